"""Pictures → faces: the native engine with a pack found by name and the runtime found in its package.

Nothing is loaded before an engine is made: ``import facedex`` touches neither ONNX Runtime nor a network.
"""

from __future__ import annotations

import copy
import functools
import itertools
import os
from collections.abc import Callable, Iterable, Sequence, Sized
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _core
from .checks import abbreviate, as_int, check_choice, check_flag, check_float
from .config import MAX_PIXELS, Oversize, settings
from .coroutines import make_coroutine
from .errors import ArgumentError, BBox, FacedexError, ImageError, NoFaceError, RoleMissingError
from .forks import inherit, lock_of
from .inputs import ImageInput, ReadPicture, find_hint, iterate_images, keep_source, read_jpeg, read_picture
from .options import AnalyzeOptions, LivenessOption
from .packs import ReadyPack, default, require_ready
from .results import Analysis, Comparison, ImageSize
from .runtime import runtime_library
from .thresholds import PAIR_RULE, Decision, Prior, Rule, decide, pair_rule, prior_of

BATCH = 8
"""Pictures for each thread that are read before they are analysed: bounds the memory of a batch, and progress is
reported after each."""

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class Engine:
    """The networks of a pack, ready to run.

    Safe under any number of threads; the answers are bit for bit those of one thread. After a fork the child opens
    the networks again on first use, and a pickled engine is opened with the same options where it arrives.

    Parameters
    ----------
    pack : str or path, optional
        Name of a pack, or path of a manifest; default ``FACEDEX_PACK``, else `packs.default`, the pack that comes with
        facedex.
    threads : int, optional
        Threads that run networks; default ``FACEDEX_THREADS``, else as many as this process may use (affinity and
        control groups counted). Each holds its own copy of a network while several run.
    providers : str or sequence of str, optional
        ONNX Runtime execution providers by name, in order: "cuda" or "CUDAExecutionProvider"; default
        ``FACEDEX_PROVIDERS``, else the CPU. An unavailable one is an error.
    max_pixels : int, optional
        Larger pictures are refused; default ``FACEDEX_MAX_PIXELS``, else 50 million.
    oversize : {"refuse", "reduce"}, optional
        "reduce" decodes a JPEG file over that limit at a half, a quarter or an eighth of its sides, if it is within the
        limit then; default ``FACEDEX_OVERSIZE``, else "refuse". Boxes and landmarks are pixels of the original, and
        ``hint`` of the result says so. A progressive file is refused. Damage inside the file is not noticed, because it
        is never decoded in full.
    strict : bool, optional
        Whether a JPEG file whose end is cut off is refused; default ``FACEDEX_STRICT``, else True. With False, what it
        holds is decoded, the rest is grey, and ``hint`` of the result says so.
    mirror : bool, optional
        Average each crop with its mirror image; default as the pack's manifest says. It makes another kind of
        embedding, so that a gallery made with it opens only with it.
    accept_license : str, optional
        Names of licences of weights that are accepted, separated by commas; also ``FACEDEX_ACCEPT_LICENSE``. Needed
        once, for weights whose licence forbids commercial use.
    add : str, path or sequence of them, optional
        Packs that add networks for liveness or attributes which this one lacks, such as ``"liveness"``: names, or paths
        of manifests; default ``FACEDEX_ADD_PACKS``. They change no embedding. One that adds nothing is an
        `ArgumentError`.

    Raises
    ------
    PackNotFoundError, WeightsMissingError, WeightsDigestError, NetworkError
        The pack is not there, or not what its manifest declares. Nothing is ever fetched here.
    LicenseError, WeightsUnverifiedError
        The licence was not accepted, or nobody published a digest of a file and none was accepted.
    RuntimeUnavailableError
        ONNX Runtime is missing or older than 1.20.1.
    ProviderError
        A named provider is not available.

    Examples
    --------
    >>> import facedex
    >>> from facedex import people
    >>> engine = facedex.Engine()
    >>> faces = engine.analyze(people.GROUP)
    >>> len(faces)
    5
    """

    def __init__(
        self,
        pack: str | os.PathLike[str] | None = None,
        *,
        threads: int | None = None,
        providers: str | Sequence[str] | None = None,
        max_pixels: int | None = None,
        oversize: Oversize | None = None,
        strict: bool | None = None,
        mirror: bool | None = None,
        accept_license: str | None = None,
        add: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    ) -> None:
        environment = settings()
        self._options: dict[str, Any] = {
            "pack": pack if pack is not None else environment.pack or default(),
            "threads": threads,
            "providers": providers,
            "max_pixels": max_pixels,
            "mirror": mirror,
            "accept_license": accept_license,
            "add": environment.add_packs if add is None else add,
            "oversize": oversize,
            "strict": strict,
        }
        self.max_pixels = as_int("max_pixels", max_pixels if max_pixels is not None else environment.max_pixels)
        self.oversize = environment.oversize if oversize is None else oversize
        check_choice("oversize", self.oversize, Oversize)
        self.strict = environment.strict if strict is None else check_flag("strict", strict)
        cores = threads if threads is not None else environment.threads
        ready = require_ready(self._options["pack"], accept_license=accept_license)
        given = self._options["add"]
        extra = [given] if isinstance(given, str | os.PathLike) else given
        added = [require_ready(name, accept_license=accept_license) for name in extra]
        chosen = environment.providers if providers is None else providers
        self._opened = (
            os.getpid(),
            _core.Engine(
                str(ready.location.manifest),
                [str(folder) for folder in ready.location.folders],
                runtime=str(runtime_library()),
                threads=None if cores is None else as_int("threads", cores),
                providers=None if chosen is None else _provider_names(chosen),
                max_pixels=self.max_pixels,
                mirror=mirror,
                pins=ready.pins,
                add=[_pack_arguments(other) for other in added],
            ),
        )
        self.pack: _core.PackInfo = self._native.pack
        self.added: tuple[_core.PackInfo, ...] = tuple(self._native.added)

    @property
    def _native(self) -> _core.Engine:
        """The native engine of this process."""
        process, native = self._opened
        if process != os.getpid():
            with lock_of(self):
                if self._opened[0] != os.getpid():
                    inherit(self._opened)
                    self._opened = Engine(**self._options)._opened
            process, native = self._opened
        return native

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(Engine, **self._options), ()

    @property
    def threads(self) -> int:
        """Number of threads that run networks."""
        return self._native.threads

    def analyze(
        self,
        image: ImageInput,
        *,
        min_face: int | None = None,
        max_faces: int | None = None,
        embed: bool = True,
        attributes: bool = False,
        liveness: LivenessOption = False,
        quality: bool = False,
    ) -> Analysis:
        """Find the faces of a picture. Only what is requested is computed.

        Parameters
        ----------
        image : path, bytes, binary file object, PIL image or uint8 array (height, width, 3)
            RGB where it is an array; of OpenCV's, which have blue first, give ``image[..., ::-1]``. In the wrong order
            faces are still found, but similarities are lower. EXIF orientation is applied to files.
        min_face : int, optional
            Smallest face, pixels; by default as the pack's manifest says: a fraction of the picture's short side, or as
            small as a first pass suggests. The detector limits it: 12 pixels with MTCNN, more in pictures beyond four
            megapixels.
        max_faces : int, optional
            Maximum number of faces; the largest are kept.
        embed : bool, default True
            Whether to compute embeddings.
        attributes : bool, default False
            Whether to estimate age and gender: ``face.attributes``.
        liveness : bool or {"off", "advisory", "required"}, default False
            Whether each face is judged for being live: ``face.liveness``. A face that cannot be judged, because no pack
            has a network for it or because it is too small, cut off or fills the picture, is "unavailable" with
            "advisory" (True is the same), and an error with "required". The networks stop flat prints and screens; they
            do not stop cut-outs, masks, disguise or generated pictures.
        quality : bool, default False
            Whether to compute the quality for recognition: ``face.quality``.

        Returns
        -------
        Analysis
            The faces, largest first; an empty one is no error.

        Raises
        ------
        ImageError
            Not a picture, damaged, truncated, too large, unreadable, or an array of the wrong type or shape.
        LivenessError
            Liveness is required and a face cannot be judged, or the pack has no network for it.
        RoleMissingError
            Embeddings or attributes are requested and the pack has no network for them.

        Examples
        --------
        >>> import facedex
        >>> from facedex import people
        >>> face = facedex.Engine().analyze(people.GROUP, max_faces=1, embed=False, liveness=True, quality=True)[0]
        >>> face.liveness.status
        'unavailable'
        >>> 0 <= face.quality.unified_score <= 100
        True
        """
        options = AnalyzeOptions(
            min_face=min_face, max_faces=max_faces, liveness=liveness, quality=quality, attributes=attributes
        )
        return self._analyze_read(image, self.read(image), options, embed)

    def _analyze_read(self, image: ImageInput, read: ReadPicture, options: AnalyzeOptions, embed: bool) -> Analysis:
        if options.min_face is not None and read.size is not None:
            options = replace(options, min_face=max(1, round(options.min_face / max(read.factors))))
        return _analysis(*self._native.analyze(read.pixels, **_core_arguments(options, embed)), image, read)

    def analyze_many(
        self,
        images: Iterable[ImageInput],
        *,
        min_face: int | None = None,
        max_faces: int | None = None,
        embed: bool = True,
        attributes: bool = False,
        liveness: LivenessOption = False,
        quality: bool = False,
        progress: Callable[[int, int], object] | None = None,
    ) -> list[Analysis | FacedexError]:
        """Find the faces of many pictures, side by side.

        Parameters
        ----------
        images : iterable
            Several of what `analyze` accepts: also an array (n, height, width, 3), a column of paths, or a data set
            that is read by index. Read in parts, so that a generator may give any number.
        min_face, max_faces, embed, attributes, liveness, quality
            As for `analyze`.
        progress : callable, optional
            Called often with the number of pictures that are done and of all, as ``progress(done, total)``. An iterable
            that does not know its length is then listed first, which keeps all its pictures in memory.

        Returns
        -------
        list of Analysis or FacedexError
            One for each picture, in order: its faces, or why it was refused.
        """
        options = AnalyzeOptions(
            min_face=min_face, max_faces=max_faces, liveness=liveness, quality=quality, attributes=attributes
        )
        check_flag("embed", embed)
        given = iterate_images(images)
        total = 0
        if progress is not None:
            if not isinstance(images, Sized):
                given = iter(images := list(given))
            total = len(images)
        results: list[Analysis | FacedexError] = []
        while batch := list(itertools.islice(given, self.threads * BATCH)):
            results += self._analyze_batch(batch, options, embed)
            if progress is not None:
                progress(len(results), total)
        return results

    def _analyze_batch(
        self, images: Sequence[ImageInput], options: AnalyzeOptions, embed: bool
    ) -> list[Analysis | FacedexError]:
        """Analyze pictures side by side; what goes wrong with one is its result."""
        given: list[ReadPicture | Analysis | FacedexError] = []
        for image in images:
            try:
                read = self.read(image)
                # A reduced one has its own scale and may be large: it is not held until the others are read.
                given.append(read if read.size is None else self._analyze_read(image, read, options, embed))
            except FacedexError as error:
                given.append(error)
        pixels = [read.pixels for read in given if isinstance(read, ReadPicture)]
        answers = iter(self._native.analyze_many(pixels, **_core_arguments(options, embed)))
        results: list[Analysis | FacedexError] = []
        for image, read_or_result in zip(images, given, strict=True):
            if not isinstance(read_or_result, ReadPicture):
                results.append(read_or_result)
                continue
            answer = next(answers)
            if isinstance(answer, FacedexError):
                results.append(answer)
            else:
                results.append(_analysis(*answer, image, read_or_result))
        return results

    def read(self, image: ImageInput) -> ReadPicture:
        """Read a picture as this engine does, into a form that the core decodes; not part of the public interface."""
        picture = read_picture(image, max_pixels=self.max_pixels)
        reduce = self.oversize == "reduce"
        if isinstance(picture, (str, bytes)) and (reduce or not self.strict):
            decoded = read_jpeg(picture, max_pixels=self.max_pixels, strict=self.strict, reduce=reduce)
            if decoded is not None:
                return decoded
        return ReadPicture(picture, picture)

    def crop(
        self, image: ImageInput, landmarks: NDArray[np.float32] | Sequence[tuple[float, float]]
    ) -> NDArray[np.uint8]:
        """Return the crop of a face that the embedder gets.

        Parameters
        ----------
        image : path, bytes, binary file object, PIL image or uint8 array (height, width, 3)
            The picture.
        landmarks : numpy.ndarray or sequence of (float, float)
            (5, 2), pixels of the upright picture, as in ``Face.landmarks`` and ``FoundFace.landmarks``.

        Returns
        -------
        numpy.ndarray
            (height, width, 3), uint8, RGB.

        Raises
        ------
        LandmarksError
            The points coincide or are not finite.
        """
        read = self.read(image)
        return self._native.crop(read.pixels, _scale_points(landmarks, read))

    def liveness_crops(self, image: ImageInput, bbox: Sequence[float] | NDArray[np.float32]) -> list[NDArray[np.uint8]]:
        """Return the crops of a face that the liveness networks get.

        Parameters
        ----------
        image : path, bytes, binary file object, PIL image or uint8 array (height, width, 3)
            The picture.
        bbox : sequence of 4 float
            x1, y1, x2, y2, pixels of the upright picture, as in ``Face.bbox``.

        Returns
        -------
        list of numpy.ndarray
            One for each network, in the manifest's order: (height, width, 3), uint8, RGB.

        Raises
        ------
        RoleMissingError
            No pack has a liveness network.
        """
        read = self.read(image)
        return self._native.liveness_crops(read.pixels, read.scale_box(_four(bbox)))

    def attributes_crop(
        self,
        image: ImageInput,
        bbox: Sequence[float] | NDArray[np.float32],
        landmarks: NDArray[np.float32] | Sequence[tuple[float, float]],
    ) -> NDArray[np.uint8]:
        """Return the crop of a face that the attributes network gets.

        Parameters
        ----------
        image : path, bytes, binary file object, PIL image or uint8 array (height, width, 3)
            The picture.
        bbox : sequence of 4 float
            x1, y1, x2, y2, pixels of the upright picture, as in ``Face.bbox``.
        landmarks : numpy.ndarray or sequence of (float, float)
            (5, 2), pixels of the upright picture, as in ``Face.landmarks`` and ``FoundFace.landmarks``.

        Returns
        -------
        numpy.ndarray
            (height, width, 3), uint8, RGB.

        Raises
        ------
        RoleMissingError
            No pack has an attributes network.
        LandmarksError
            The points coincide, or the box is empty.
        """
        read = self.read(image)
        return self._native.attributes_crop(read.pixels, read.scale_box(_four(bbox)), _scale_points(landmarks, read))

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the embeddings of crops.

        Parameters
        ----------
        crops : numpy.ndarray
            (n, height, width, 3), uint8, RGB, of the pack's crop size.

        Returns
        -------
        numpy.ndarray
            (n, dimension), float32, unit length.
        """
        return self._native.embed(crops)

    def compare(self, a: ImageInput, b: ImageInput, *, threshold: Rule | str | None = None) -> Comparison:
        """Compare the largest faces of two pictures.

        Parameters
        ----------
        a, b : path, bytes, binary file object, PIL image or uint8 array (height, width, 3)
            Two pictures.
        threshold : float, FMR or str, optional
            Least similarity of a match, inclusive, −1 to 1, or the false match rate that it keeps; the default is the
            setting, else ``FMR(1e-4)``.

        Returns
        -------
        Comparison
            Their similarity, cosine, −1 to 1, higher is closer, and the decision.

        Raises
        ------
        ArgumentError
            The threshold is neither a number from −1 to 1 nor a rate, or none is given and the pack states none.
        RateError
            The pack's data do not support the rate.
        ImageError
            One of them is refused; the message says which.
        NoFaceError
            One of them shows no face; the message says which.
        """
        decision = self.decide(threshold)
        faces = []
        for name, image in (("first", a), ("second", b)):
            try:
                found = self.analyze(image, max_faces=1)
            except (ArgumentError, ImageError) as error:
                raise _name_picture(error, name) from error
            if not found:
                raise NoFaceError(f"the {name} picture shows no face; {found.hint or 'a larger or sharper one may'}")
            faces.append(found[0])
        return Comparison.between(*faces, decision=decision)

    @property
    def dimension(self) -> int:
        """Number of values of an embedding; `RoleMissingError` where the pack has no embedder."""
        if self.pack.dimension is None:
            raise RoleMissingError(f"pack {self.pack.name!r} has no embedder; open a pack that has one")
        return self.pack.dimension

    @property
    def threshold(self) -> float:
        """The pack's default threshold on cosine similarity, −1 to 1, inclusive; `ArgumentError` where it has none."""
        if self.pack.threshold is None:
            raise ArgumentError(f"pack {self.pack.name!r} states no measured threshold; name one: threshold=...")
        return self.pack.threshold

    @property
    def prior(self) -> Prior | None:
        """What the pack states about the similarities of different people; None where it states nothing."""
        return prior_of(self.pack)

    def decide(self, threshold: Rule | str | None = None) -> Decision:
        """Choose the threshold for a comparison of two faces.

        Parameters
        ----------
        threshold : float, FMR, FPIR or str, optional
            A similarity or a rate; the default is the setting, else ``FMR(1e-4)``, which also replaces an `FPIR`, as
            that is for many people. Where the pack's data do not support the default, it is the strictest rate that
            they do.

        Returns
        -------
        Decision

        Raises
        ------
        RateError
            The pack's data do not support the rate.
        ArgumentError
            It is neither a number from −1 to 1 nor a rate, or none is given and the pack states none.

        Examples
        --------
        >>> import facedex
        >>> facedex.Engine("base").decide("fmr=1e-3").origin
        'prior'
        """
        prior = self.prior
        given = pair_rule(settings().threshold if threshold is None else threshold)
        if given is None and prior is None:
            return decide(self.threshold, None, "prior", people=1)
        tail = None if prior is None else prior.tail()
        return decide(PAIR_RULE if given is None else given, tail, "prior", people=1, strict=given is not None)

    def stats(self) -> dict[str, float]:
        """Return ``images``, ``total_s`` of their analysis, ``network_s`` in ONNX Runtime, summed over threads."""
        return self._native.stats()

    aanalyze = make_coroutine(analyze)
    aanalyze_many = make_coroutine(analyze_many)
    acrop = make_coroutine(crop)
    aliveness_crops = make_coroutine(liveness_crops)
    aattributes_crop = make_coroutine(attributes_crop)
    aembed = make_coroutine(embed)
    acompare = make_coroutine(compare)

    def __repr__(self) -> str:
        return f"Engine(pack={self.pack.name!r}, threads={self.threads})"


def _analysis(faces: Sequence[_core.Face], size: tuple[int, int], image: ImageInput, read: ReadPicture) -> Analysis:
    hint = read.hint
    if not faces and hint is None:
        hint = find_hint(read.pixels, width=size[0], height=size[1])
    if read.size is not None:
        faces, size = [_enlarge(face, read.factors) for face in faces], read.size
    return Analysis(tuple(faces), ImageSize(*size), keep_source(image, read.source), hint)


def _enlarge(face: _core.Face, factors: tuple[float, float]) -> _core.Face:
    """Return a face of a reduced picture in pixels of the original."""
    points = None if face.landmarks is None else face.landmarks * factors
    x1, y1, x2, y2 = (float(side) for side in face.bbox * (factors * 2))
    more = (face.embedding, face.liveness, face.attributes, face.quality)
    return _core.Face((x1, y1, x2, y2), points, face.det_score, *more)


def _scale_points(landmarks: Any, read: ReadPicture) -> Any:
    """Return landmarks of an original in pixels of what was read of it."""
    return landmarks if read.size is None else np.asarray(landmarks, np.float32) / np.asarray(read.factors, np.float32)


def _name_picture(error: FacedexError, name: str) -> FacedexError:
    """Return an error of the same type and data whose message says which picture it is about."""
    named = copy.copy(error)
    named.args = (f"the {name} picture: {error}",)
    return named


def _core_arguments(options: AnalyzeOptions, embed: bool) -> dict[str, Any]:
    """Return options as the keyword arguments of the core."""
    liveness = options.liveness != "off" and options.liveness
    return asdict(options) | {"liveness": liveness, "embed": check_flag("embed", embed)}


def _pack_arguments(ready: ReadyPack) -> tuple[str, list[str], dict[str, str]]:
    location = ready.location
    return str(location.manifest), [str(folder) for folder in location.folders], ready.pins


def _provider_names(providers: str | Sequence[str]) -> list[str]:
    """Return the names that ONNX Runtime has for providers; one text is one name."""
    names = [providers] if isinstance(providers, str) else list(providers)
    if not all(isinstance(name, str) for name in names):
        raise ArgumentError(f"providers must be names such as 'cuda', got {abbreviate(providers)}")
    return [_PROVIDERS.get(name.lower(), name) for name in names]


def _four(bbox: Sequence[float] | NDArray[np.float32]) -> BBox:
    if len(bbox) != 4:
        raise ArgumentError(f"bbox must be x1, y1, x2, y2, got {len(bbox)} values")
    x1, y1, x2, y2 = (check_float("bbox", side) for side in bbox)
    return x1, y1, x2, y2


def decode(image: ImageInput, *, max_pixels: int | None = None) -> NDArray[np.uint8]:
    """Decode a picture to upright RGB.

    Parameters
    ----------
    image : path, bytes, binary file object, PIL image or uint8 array
        JPEG, PNG, WebP, BMP, GIF (first frame) or TIFF; through Pillow AVIF and JPEG 2000, HEIC with the extra
        ``facedex[heif]``, and JPEG XL with ``pillow-jxl-plugin``. EXIF orientation is applied, transparency is blended
        with white.
    max_pixels : int, optional
        Larger pictures are refused before memory is allocated for them. 50 million by default.

    Returns
    -------
    numpy.ndarray
        (height, width, 3), uint8, RGB.

    Raises
    ------
    ImageError
        Not a picture, damaged, truncated, too large or unreadable.
    """
    limit = MAX_PIXELS if max_pixels is None else as_int("max_pixels", max_pixels)
    return _core.decode(read_picture(image, max_pixels=limit), max_pixels=limit)


_engines: dict[tuple[int, str | None], Engine] = {}


def compare(
    a: ImageInput, b: ImageInput, *, pack: str | os.PathLike[str] | None = None, threshold: Rule | str | None = None
) -> Comparison:
    """Compare the largest faces of two pictures; see `Engine.compare`.

    The engine of the pack is made on the first call and cached.
    """
    return _shared_engine(pack).compare(a, b, threshold=threshold)


acompare = make_coroutine(compare)


def _shared_engine(pack: str | os.PathLike[str] | None) -> Engine:
    # One a process: after a fork the child makes its own. Two threads may make one each; the later stays.
    key = (os.getpid(), settings().pack if pack is None else os.fspath(pack))
    if key not in _engines:
        _engines[key] = Engine(pack)
    return _engines[key]
