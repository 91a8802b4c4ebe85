"""Pictures → one embedding each, from the engine or from a cache file of an earlier run.

The cache is written only on request. It is a text file with a line for each picture and pack, readable by its owner
only: an embedding is a biometric template. A run that was interrupted adds to it what it had, so that the next run
begins there. A line that is cut off or damaged is ignored, and its picture is analysed again.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..engine import Engine
from ..errors import BBox, FacedexError, PictureSetError
from ..inputs import ImageInput
from ..results import Analysis, bbox_of
from .measure import central_face

if TYPE_CHECKING:
    from .._core import Face

Progress = Callable[[int, int], object]
"""Called with the number of pictures that are done, and of all."""

_BATCH = 32  # pictures analysed before they are written to the cache
_FORMAT = "facedex embeddings 1"


@dataclass(frozen=True, slots=True)
class Sample:
    """What the engine found in a picture.

    Attributes
    ----------
    embedding : numpy.ndarray or None
        (dimension,), float32, unit length; None is a failure to acquire.
    failure : str or None
        Why there is none.
    bbox : tuple of float or None
        x1, y1, x2, y2, pixels: the face nearest the middle of the picture.
    quality : float or None
        For recognition, 0 to 100.
    """

    embedding: NDArray[np.float32] | None
    failure: str | None = None
    bbox: BBox | None = None
    quality: float | None = None


@dataclass(frozen=True, slots=True)
class Samples:
    """The samples of several pictures, of one pack.

    Attributes
    ----------
    pack : str
        Digest of the pack that made the embeddings.
    samples : tuple of Sample
        One for each picture, in order.
    analysed : int
        How many pictures the engine analysed; the others were in the cache.
    seconds : float
        Wall time of those.
    """

    pack: str
    samples: tuple[Sample, ...]
    analysed: int
    seconds: float


class Cache(AbstractContextManager["Cache"]):
    """A file of embeddings, found by the digest of a picture and of the pack.

    Parameters
    ----------
    path : pathlib.Path
        Created, readable by its owner only, if it does not exist.
    pack : str
        Digest of the pack.

    Raises
    ------
    PictureSetError
        The file cannot be opened, or is none of facedex.
    """

    def __init__(self, path: Path, pack: str) -> None:
        self._pack = pack
        self._known: dict[str, Sample] = {}
        try:
            self._file: IO[str] = open(  # noqa: SIM115 - closed by __exit__
                path, "a+", encoding="utf-8", opener=partial(os.open, mode=0o600)
            )
        except OSError as error:
            raise PictureSetError(f"the cache {path} cannot be opened: {error.strerror}") from error
        try:
            self._read(path)
        except UnicodeDecodeError as error:
            self._file.close()
            raise PictureSetError(_foreign(path)) from error
        except OSError as error:
            self._file.close()
            raise PictureSetError(f"the cache {path} cannot be read: {error.strerror}") from error

    def _read(self, path: Path) -> None:
        self._file.seek(0)
        text = self._file.read()
        if not text:
            self._file.write(_FORMAT + "\n")
        elif not text.startswith(_FORMAT + "\n"):
            self._file.close()
            raise PictureSetError(_foreign(path))
        elif not text.endswith("\n"):
            self._file.write("\n")  # the last line was cut off
        if os.name == "posix":
            with suppress(PermissionError):  # of another owner, or a file system without modes
                os.fchmod(self._file.fileno(), 0o600)  # an existing file may be readable by others
        for line in text.splitlines()[1:]:
            try:
                key, pack, sample = _parse(line)
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
            if pack == self._pack:
                self._known[key] = sample

    def find(self, digest: str) -> Sample | None:
        """Return the sample of a picture; None when it is not there."""
        return self._known.get(digest)

    def add(self, digest: str, sample: Sample) -> None:
        """Write the sample of a picture."""
        self._known[digest] = sample
        embedding = sample.embedding
        line: dict[str, Any] = {
            "picture": digest,
            "pack": self._pack,
            "embedding": None
            if embedding is None
            else base64.b64encode(embedding.astype("<f4").tobytes()).decode("ascii"),
            "failure": sample.failure,
            "bbox": sample.bbox,
            "quality": sample.quality,
        }
        self._file.write(json.dumps(line) + "\n")

    def flush(self) -> None:
        """Hand what was added to the operating system."""
        self._file.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _foreign(path: Path) -> str:
    return f"{path} is no cache of embeddings of facedex; name another file"


def _parse(line: str) -> tuple[str, str, Sample]:
    values = json.loads(line)
    encoded = values["embedding"]
    embedding = None
    if encoded is not None:
        embedding = np.frombuffer(base64.b64decode(encoded, validate=True), dtype="<f4").astype(np.float32)
        if not np.isclose(np.linalg.norm(embedding), 1.0, atol=1e-3):
            raise ValueError("not of unit length")
    bbox = None if values["bbox"] is None else bbox_of(values["bbox"])
    return str(values["picture"]), str(values["pack"]), Sample(embedding, values["failure"], bbox, values["quality"])


def sample_pictures(
    engine: Engine,
    pictures: Sequence[ImageInput],
    *,
    bboxes: Sequence[BBox | None] | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Samples:
    """Find the face nearest the middle of each picture, and embed it.

    Parameters
    ----------
    engine : Engine
    pictures : sequence of ImageInput
    bboxes : sequence of (tuple of float or None), optional
        Which face of each picture is meant: the one that overlaps this box most, x1, y1, x2, y2 in pixels.
    cache : pathlib.Path, optional
        File in which embeddings are kept; those that are in it are not computed again.
    progress : callable, optional
        Called with the number of pictures that are done, and of all.

    Returns
    -------
    Samples

    Raises
    ------
    PictureSetError
        The cache cannot be used.
    """
    found: list[Sample | None] = [None] * len(pictures)
    done = analysed = 0
    seconds = 0.0
    kept = None if cache is None else Cache(cache, engine.pack.digest)
    try:
        for start in range(0, len(pictures), _BATCH):
            digests: dict[int, str] = {}
            waiting: list[int] = []
            for place in range(start, min(start + _BATCH, len(pictures))):
                if kept is not None:
                    digest = _digest(engine, pictures[place], None if bboxes is None else bboxes[place])
                    found[place] = None if digest is None else kept.find(digest)
                    digests |= {} if digest is None else {place: digest}
                if found[place] is None:
                    waiting.append(place)
            began = time.perf_counter()
            analyses = engine.analyze_many([pictures[place] for place in waiting], quality=True) if waiting else []
            seconds += time.perf_counter() - began
            analysed += len(waiting)
            for place, analysis in zip(waiting, analyses, strict=True):
                sample = found[place] = _sample(analysis, None if bboxes is None else bboxes[place])
                if kept is not None and place in digests:
                    kept.add(digests[place], sample)
            if kept is not None:
                kept.flush()
            done = min(start + _BATCH, len(pictures))
            if progress is not None:
                progress(done, len(pictures))
    finally:
        if kept is not None:
            kept.__exit__(None, None, None)
    return Samples(engine.pack.digest, tuple(sample for sample in found if sample is not None), analysed, seconds)


def _sample(analysis: Analysis | FacedexError, bbox: BBox | None) -> Sample:
    if isinstance(analysis, FacedexError):
        return Sample(None, str(analysis))
    face = central_face(analysis) if bbox is None else _overlapping(analysis, bbox)
    if face is None or face.embedding is None:
        return Sample(None, "no face" if analysis.hint is None else f"no face: {analysis.hint}")
    return Sample(face.embedding, None, bbox_of(face.bbox), _quality(face))


def _overlapping(analysis: Analysis, bbox: BBox) -> Face | None:
    """Return the face whose box overlaps the given one most; None when none does."""
    best, greatest = None, 0.0
    for face in analysis:
        x1, y1, x2, y2 = bbox_of(face.bbox)
        width, height = min(x2, bbox[2]) - max(x1, bbox[0]), min(y2, bbox[3]) - max(y1, bbox[1])
        if width > 0 and height > 0:
            areas = (x2 - x1) * (y2 - y1) + (bbox[2] - bbox[0]) * (bbox[3] - bbox[1])
            overlap = width * height / (areas - width * height)
            if overlap > greatest:
                best, greatest = face, overlap
    return best


def _quality(face: Face) -> float | None:
    return None if face.quality is None else float(face.quality.unified_score)


def _digest(engine: Engine, picture: ImageInput, bbox: BBox | None) -> str | None:
    """Return the digest of a picture's bytes and the box; None when they cannot be read: the engine says why."""
    where = b"" if bbox is None else repr(bbox).encode()
    try:
        read = engine.read(picture).pixels
        if isinstance(read, str):
            return hashlib.sha256(Path(read).read_bytes() + where).hexdigest()
        if isinstance(read, bytes):
            return hashlib.sha256(read + where).hexdigest()
        return hashlib.sha256(repr(read.shape).encode() + read.tobytes() + where).hexdigest()
    except (FacedexError, OSError):
        return None
