"""A gallery: register people, recognize and verify them, delete them.

A verb that returned is committed; one that raised changed nothing. A coroutine that is cancelled, as by a timeout,
changed nothing if its commit had not begun; if it had, the change stands: read before you repeat it. Any number of
threads and processes may use one gallery: each result takes into account every change that was acknowledged before the
call. Every verb has a coroutine, with an ``a`` before its name.
"""

from __future__ import annotations

import functools
import os
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..checks import check_choice, check_flag
from ..config import settings, variable_of
from ..coroutines import make_coroutine
from ..engine import Engine
from ..errors import ArgumentError, ExportError, FacedexError, GalleryClosedError, UnknownGalleryError
from ..files import write_atomically
from ..forks import inherit, lock_of
from ..inputs import ImageInput, iterate_images
from ..options import (
    AnalyzeOptions,
    AuditLevel,
    FacePolicy,
    IndexMethod,
    KeptPhotos,
    LivenessOption,
    OnExisting,
    PersonDetails,
    RecognizeOptions,
    RegisterOptions,
    Rendition,
    Score,
    ScoreOptions,
    VerifyOptions,
    WithoutPhoto,
)
from ..records import AuditEvent, AuditReport, Deletion, Person, PersonId, Photo, Registration, Status
from ..results import Recognition, Verification
from ..search import PROMISED_RECALL, SearchOptions
from ..store import AuditLog, Database, Eraser, Feed, Head, KeyInput, Storage, acting_as, gallery_names, key_of
from ..thresholds import MAX_FMR, Decision, Rule, parse_rule
from .deletion import Deleter, default_eraser
from .evaluation import Probes, evaluate
from .exchange import Exchange
from .lifetime import Lifetime, Progress
from .lookup import Lookup
from .migration import Finish, Migration, Migrator
from .photos import Photos
from .policy import Enrolment
from .recognition import Recognizer
from .registration import Registrar, check_details
from .resources import Resources

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from .._core import PackInfo
    from ..evaluate import EvaluateOptions, Report
    from .registration import Entry


class Gallery:
    """People and their faces in a database. Open one with `Gallery.open`.

    After a fork the child opens it again on first use. A pickled gallery is opened with the same options where it
    arrives, so that it works in process pools.

    Examples
    --------
    >>> import tempfile
    >>> from facedex import Gallery, people
    >>> with tempfile.TemporaryDirectory() as folder, Gallery.open(f"{folder}/people.db") as gallery:
    ...     registration = gallery.register("ayu", people.PICTURES["ayu"], name="Ayu")
    ...     found = gallery.recognize(people.PROBES["ayu"][0])[0]
    ...     match = gallery.verify("ayu", people.PROBES["budi"][0]).match
    ...     removed = gallery.delete("ayu")
    >>> registration
    Registration('ayu', 3 faces)
    >>> found.person_id, found.name, match, removed.templates
    ('ayu', 'Ayu', False, 3)
    """

    def __init__(
        self,
        resources: Resources,
        *,
        log_sightings: bool,
        enrolment: Enrolment,
        photos: KeptPhotos,
    ) -> None:
        self._resources = resources
        self._life = Lifetime(
            f"gallery {resources.feed.name!r} in {resources.database.place}", GalleryClosedError, resources.release
        )
        self._recognizer = Recognizer(resources, log_sightings=log_sightings)
        self._photos = Photos(resources, photos)
        self._registrar = Registrar(resources, enrolment, self._photos)
        self._deleter = Deleter(resources)
        self._migrator = Migrator(self._life, resources)
        self._lookup = Lookup(self._life, resources)
        self._exchange = Exchange(self._life, resources, self._photos)
        self._opening: dict[str, Any] = {}
        self._process = os.getpid()

    @property
    def lookup(self) -> Lookup:
        """Pages of people and counts, for facedex.http; not part of the public interface."""
        self._open_after_fork()
        return self._lookup

    @property
    def exchange(self) -> Exchange:
        """Export and import of people, for facedex.transfer; not part of the public interface."""
        self._open_after_fork()
        return self._exchange

    def _call(self) -> AbstractContextManager[None]:
        self._open_after_fork()
        return self._life.call()

    def _open_after_fork(self) -> None:
        """Open the gallery of a parent process again in this one, with the same options."""
        if self._process == os.getpid() or self._life.closing or self._resources.database.in_memory:
            return
        with lock_of(self):
            if self._process != os.getpid():
                used = self._resources
                fresh = Gallery.open(**self._opening | {"engine": used.engine, "threshold": used.thresholds.rule})
                inherit(self.__dict__.copy())
                self.__dict__.update(fresh.__dict__)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the options; where it arrives, the gallery is opened with them."""
        if not (self._opening["key"] is None or callable(self._opening["key"])):
            raise ArgumentError("a key is not pickled: give it as a function (key=...) or in FACEDEX_KEY")
        if self._resources.database.in_memory:
            raise ArgumentError("a gallery in memory cannot be used by another process; give the path of a file")
        return functools.partial(Gallery.open, **self._opening), ()

    @classmethod
    def open(
        cls,
        location: str | os.PathLike[str] = "facedex.db",
        *,
        pack: str | os.PathLike[str] | None = None,
        engine: Engine | None = None,
        name: str = "default",
        threshold: Rule | str | None = None,
        max_fmr: float = MAX_FMR,
        index: IndexMethod | None = None,
        budget_ms: float | None = None,
        promised_recall: float = PROMISED_RECALL,
        search: str | None = None,
        score: Score | None = None,
        best_of: int | None = None,
        key: KeyInput | None = None,
        audit: AuditLevel | None = None,
        actor: str | None = None,
        enrolment: Enrolment | None = None,
        photos: KeptPhotos | None = None,
        eraser: Eraser | None = None,
        create: bool = True,
    ) -> Gallery:
        """Open a gallery, creating it if it does not exist.

        Parameters
        ----------
        location : str or PathLike
            Path of an SQLite file, or a URL ``sqlite:///path?timeout=5`` with the seconds to wait for another writer.
            ``":memory:"`` is a gallery in memory, for tests: only this object sees it, and closing deletes it.
        pack : str or PathLike, optional
            The pack that makes the embeddings; by default the gallery's own. A new gallery uses `Engine`'s default:
            ``FACEDEX_PACK``, else a built-in one.
        engine : Engine, optional
            An engine to share; its pack is used, and `pack` is not read.
        name : str
            One database holds any number of galleries.
        threshold : float, FMR, FPIR or str, optional
            When a face matches: a similarity, [-1, 1], inclusive; ``FMR(1e-4)``, so many of the comparisons with other
            people; or ``FPIR(0.01)``, so many unknown faces, however many people there are. By default
            ``FACEDEX_THRESHOLD``, else ``FPIR(0.01)``, and ``FMR(1e-4)`` for `verify`.
        max_fmr : float
            With `FPIR`, the highest false match rate of a comparison, however few people there are.
        index : {"auto", "exact", "ivf", "hnsw"}, optional
            How faces are searched: "exact" compares each, "ivf" those in the nearest lists, "hnsw" walks a graph,
            "auto" is exact as long as that keeps the budget, then "ivf". By default ``FACEDEX_INDEX``, else "auto".
        budget_ms : float, optional
            Milliseconds that a search for one face may take before "auto" becomes approximate; by default 50.
        promised_recall : float
            An approximate search is used only while its recall, measured on this gallery, is at least this, [0, 1];
            otherwise the search is exact. `status` reports what was measured.
        search : str, optional
            Where faces are searched: "local" in this process, "pgvector" inside the gallery's PostgreSQL, shared by all
            who open it so, or a Milvus: ``milvus+http://host:19530``, or ``milvus:path`` for a file of Milvus Lite.
            By default ``FACEDEX_SEARCH``, else "local". "ivf" is local only; encrypted galleries are searched locally
            only.
        score : {"fused", "closest", "mean"}, optional
            How similar a face is to a person: to the normalised mean of the person's embeddings, to the closest stored
            face, or the mean over the closest `best_of` faces. By default ``FACEDEX_SCORE``, else "fused", which has
            the fewest errors and searches one template a person.
        best_of : int, optional
            With "mean", how many closest faces are averaged (all, if fewer), which is by default all. Above 1 and
            without `score` it is "mean".
        key : bytes, str or callable, optional
            32 bytes, these in base64, or a function that returns either; by default ``FACEDEX_KEY``. A gallery that is
            made with a key keeps its templates, photos and search snapshots encrypted (AES-256-GCM) and opens only with
            that key. Ids, names, e-mail addresses, free info, file names and the audit are not encrypted. Without the
            key the templates and photos are lost.
        audit : {"changes", "all", "none"}, optional
            What the audit records: changes of the gallery, also each recognition and verification, or nothing; by
            default ``FACEDEX_AUDIT``, else "changes".
        actor : str, optional
            The actor that the audit records outside `acting_as`; by default ``FACEDEX_ACTOR``.
        enrolment : Enrolment, optional
            Which faces are accepted; by default all, at most ``FACEDEX_MAX_FACES`` of a person, with a warning if one
            resembles another person.
        photos : {"none", "thumbnail", "original"}, optional
            Which photos are stored of the registered pictures: none, the square around the face at most 224 pixels
            wide, or the picture without metadata (EXIF, place, time, comments). A migration to another pack needs
            originals. Photos are encrypted with the templates, and deleted with the person. By default
            ``FACEDEX_PHOTOS``, else none.
        eraser : callable, optional
            Called as ``eraser(connection, gallery, row)`` in the transaction that deletes a person, to delete what is
            stored about the person beside the gallery. By default the accounts, attendance and replies of a server.
        create : bool
            Whether a database or gallery that does not exist is created; with False it is an error.

        Returns
        -------
        Gallery
            A context manager; close it when done.

        Raises
        ------
        ArgumentError
            When the location or another argument is none that is accepted.
        GalleryPackError
            When the gallery was made with another pack.
        KeyMissingError, WrongKeyError, KeyUnusedError
            When the key is not the gallery's.
        UnknownGalleryError
            When the database has no gallery of that name, with ``create=False``.
        StoreError
            When the database cannot be used, or there is none, with ``create=False``.
        SearchUnavailableError
            When the search is not installed, not allowed or not reached.
        PlainSearchError
            When the gallery is encrypted and the search is not local.
        PackError
            When the pack cannot be used.
        """
        opening = {name: value for name, value in locals().items() if name != "cls"}
        environment = settings()
        level: AuditLevel = _chosen("audit", audit, environment.audit, "changes", AuditLevel)
        method: IndexMethod = _chosen("index", index, environment.index, "auto", IndexMethod)
        kept: KeptPhotos = _chosen("photos", photos, environment.photos, "none", KeptPhotos)
        scoring = ScoreOptions.choose(score, best_of, environment.score)
        journal = AuditLog(level, environment.actor if actor is None else actor)
        secret = key_of(key)
        where = environment.search if search is None else search
        database = Database(location, create=check_flag("create", create))
        try:
            if not create and Feed(database, name).stored_pack is None:
                known = ", ".join(map(repr, gallery_names(database))) or "none"
                raise UnknownGalleryError(
                    f"there is no gallery {name!r} in {database.place}, which has {known}; give the name of one "
                    "(name=...)"
                )
            if engine is None:
                stored = Feed(database, name).stored_pack if pack is None else None
                engine = Engine(pack if stored is None else _place_of(stored.name, environment.pack))
            resources = Resources(
                database,
                engine,
                name=name,
                index=SearchOptions(method, budget_ms, promised_recall, where),
                scoring=scoring,
                key=secret,
                journal=journal,
                eraser=default_eraser if eraser is None else eraser,
                threshold=threshold,
                max_fmr=max_fmr,
            )
            if database.path is not None and "://" not in str(location):
                opening["location"] = database.path.absolute()
            gallery = cls(
                resources,
                log_sightings=level == "all",
                enrolment=Enrolment(max_faces=environment.max_faces) if enrolment is None else enrolment,
                photos=kept,
            )
            gallery._opening = opening
            return gallery
        except BaseException:
            database.close()
            raise

    aopen = classmethod(make_coroutine(open))  # noqa: A003 - the method, not the builtin

    def close(self) -> None:
        """Close the gallery when the calls of other threads have ended; closing again does nothing."""
        self._life.close()

    @property
    def engine(self) -> Engine:
        """The engine that analyses the pictures."""
        with self._call():
            return self._resources.engine

    @property
    def pack(self) -> PackInfo:
        """The pack that makes the embeddings."""
        return self._resources.pack

    def decide(self, threshold: Rule | str | None = None, *, person_id: PersonId | None = None) -> Decision:
        """Choose the threshold for recognizing the people who are registered now, or for verifying one of them.

        Parameters
        ----------
        threshold : float, FMR, FPIR or str, optional
            A similarity or a rate; by default the gallery's.
        person_id : str or int, optional
            The person whom `verify` compares with.

        Returns
        -------
        Decision
            With the false positive rate to expect.

        Raises
        ------
        UnknownPersonError
        RateError
            When the data do not support the rate.
        ArgumentError
            When it is neither a similarity nor a rate.

        Examples
        --------
        >>> import facedex
        >>> with facedex.Gallery.open(":memory:") as gallery:
        ...     gallery.decide().rule, gallery.decide("fmr=1e-4").origin
        ('fpir=0.01', 'prior')
        """
        with self._call():
            self._resources.search.sync()
            rule = None if threshold is None else parse_rule(threshold)
            if person_id is None:
                return self._resources.decide(rule)
            return self._resources.decide_pair(rule, self._count_templates(person_id))

    def decide_sign_in(self, person_id: PersonId | None = None) -> Decision:
        """Choose the threshold for signing in by face: a false match rate of 1e-5, or the lowest that the data support.

        It is never below that for verifying, and without `person_id` never below that for recognizing.

        Parameters
        ----------
        person_id : str or int, optional
            The person claimed; by default whoever is recognized signs in.

        Returns
        -------
        Decision

        Raises
        ------
        UnknownPersonError

        Examples
        --------
        >>> import facedex
        >>> with facedex.Gallery.open(":memory:") as gallery:
        ...     gallery.decide_sign_in().rule
        'fmr=1e-05'
        """
        with self._call():
            self._resources.search.sync()
            return self._resources.decide_sign_in(None if person_id is None else self._count_templates(person_id))

    def _count_templates(self, person_id: PersonId) -> int:
        return max(1, len(self._resources.store.templates_of(person_id)[1]))

    @property
    def name(self) -> str:
        """The gallery's name within its database."""
        return self._resources.feed.name

    @property
    def uuid(self) -> str:
        """The gallery's globally unique id, hexadecimal."""
        return self._resources.feed.uuid

    @property
    def encrypted(self) -> bool:
        """Whether templates and photos are encrypted."""
        return self._resources.feed.vault is not None

    def create(self, person_id: PersonId, **details: Unpack[PersonDetails]) -> Person:
        """Store a person without a face, who is recognized only after a registration.

        Parameters
        ----------
        person_id : str or int
        **details
            name, email, info, retain_until: as in `register`.

        Returns
        -------
        Person

        Raises
        ------
        DuplicatePersonError
            When the id is in use.
        """
        with self._call():
            return self._resources.store.create(person_id, check_details(details))

    def register(
        self,
        person_id: PersonId,
        images: ImageInput | Iterable[ImageInput],
        *,
        on_existing: OnExisting = "error",
        faces: FacePolicy = "one",
        min_face: int | None = None,
        strict: bool = False,
        **details: Unpack[PersonDetails],
    ) -> Registration:
        """Register a person from one picture or several.

        Parameters
        ----------
        person_id : str or int
            Your own key, at most 255 characters; text is normalised to Unicode NFC. 7 and "7" are the same person.
        images : ImageInput or iterable of ImageInput
            The error of a single picture is raised; of several, those that are refused are listed in the result.
        on_existing : {"error", "add", "replace", "skip"}
            When the id is in use: refuse, add the faces, replace the stored ones, or leave everything as stored, so
            that the call can be repeated: the result is `skipped`. With "add" and "replace", name, email, info and
            retain_until are changed where given.
        faces : {"one", "largest"}
            A picture must show exactly one face, or its largest face is used.
        min_face : int, optional
            Smallest face to look for, pixels; by default a fraction of the picture.
        strict : bool
            Refuse a face that resembles a person with another id, whatever the gallery's rules are.
        name, email : str, optional
        info : dict, optional
            Free data that JSON can hold.
        retain_until : datetime, optional
            When `purge` is to delete the person, with a time zone.

        Returns
        -------
        Registration

        Raises
        ------
        DuplicatePersonError
            When the id is in use and `on_existing` is "error".
        DuplicateFaceError
            When a face resembles another person and that is refused; nothing is stored.
        EnrolmentError
            When a single picture's face is not good enough for the gallery's rules.
        PersonFullError
            When the person has as many faces as allowed and none makes room.
        ImageError, FaceError
            When a single picture is refused.
        RegistrationError
            When all of several pictures are refused.
        """
        with self._call():
            options = RegisterOptions(on_existing=on_existing, faces=faces, min_face=min_face, strict=strict)
            return self._registrar.register(person_id, images, check_details(details), options)

    def register_many(
        self,
        people: Iterable[Entry] | Mapping[Any, ImageInput | Iterable[ImageInput]],
        *,
        on_existing: OnExisting = "error",
        faces: FacePolicy = "one",
        min_face: int | None = None,
        strict: bool = False,
        progress: Progress | None = None,
    ) -> list[Registration | FacedexError]:
        """Register many people, each in a transaction of its own.

        Parameters
        ----------
        people : dict of person_id and images, or iterable of (person_id, images), (person_id, images, name) or \
                (person_id, images, details)
            Details are a dict with any of name, email, info, retain_until.
        on_existing, faces, min_face, strict
            As in `register`.
        progress : callable, optional
            Called with the number of people that are done and of all.

        Returns
        -------
        list of Registration or FacedexError
            One for each person, in order.
        """
        with self._call():
            options = RegisterOptions(on_existing=on_existing, faces=faces, min_face=min_face, strict=strict)
            entries = list(people.items() if isinstance(people, Mapping) else people)
            return self._registrar.register_many(entries, options, self._life.yield_progress(progress))

    def register_templates(
        self,
        person_id: PersonId,
        embeddings: NDArray[np.float32],
        *,
        on_existing: OnExisting = "error",
        strict: bool = False,
        pack: str | None = None,
        **details: Unpack[PersonDetails],
    ) -> Registration:
        """Register a person from embeddings, without pictures.

        They must have been made by this very pack: a vector does not say which pack made it, and comparing vectors of
        two packs gives a meaningless number without an error. The faces have the box (0, 0, 0, 0) and a score of 0.

        Parameters
        ----------
        person_id : str or int
            As in `register`.
        embeddings : ndarray of float, shape (n, dimension) or (dimension,)
            Unit length, at least one.
        on_existing, strict
            As in `register`.
        pack : str, optional
            Digest of the pack that made them, if the caller looked it up before: a migration may have changed it.
        **details
            name, email, info, retain_until: as in `register`.

        Returns
        -------
        Registration

        Raises
        ------
        PackMismatchError
            When the gallery is of another pack now.
        EmbeddingError
            When one has another length than the pack's, is not finite or not of unit length.
        DuplicatePersonError, DuplicateFaceError, PersonFullError
            As in `register`.
        """
        with self._call():
            options = RegisterOptions(on_existing=on_existing, strict=strict)
            return self._registrar.register_templates(person_id, embeddings, pack, check_details(details), options)

    def rebuild_person(
        self, person_id: PersonId, *, faces: FacePolicy = "one", min_face: int | None = None
    ) -> Registration:
        """Rebuild the templates of a person from all stored originals; nobody else is affected.

        Parameters
        ----------
        person_id : str or int
        faces : {"one", "largest"}
            A photo must show exactly one face, or its largest face is used.
        min_face : int, optional
            Smallest face to look for, pixels; by default a fraction of the picture.

        Returns
        -------
        Registration
            The new faces; ``replaced`` are those that were registered from these photos before. Photos without a
            usable face stay, and are listed in ``rejected``. A ``source`` is the place of a photo among the originals
            in `photos`.

        Raises
        ------
        UnknownPersonError
            When no person has that id.
        RegistrationError
            When no original is stored, or none of them shows a usable face; nothing is changed.
        """
        with self._call():
            options = RegisterOptions(on_existing="add", faces=faces, min_face=min_face)
            return self._registrar.rebuild(person_id, options)

    def recognize(
        self,
        image: ImageInput,
        *,
        k: int = 1,
        threshold: Rule | str | None = None,
        min_face: int | None = None,
        max_faces: int | None = None,
        liveness: LivenessOption = False,
        quality: bool = False,
        attributes: bool = False,
    ) -> Recognition:
        """Recognize the people in a picture.

        Parameters
        ----------
        image : ImageInput
            A path, bytes, file object, PIL image or uint8 array: RGB (height, width, 3), or grey. OpenCV's arrays have
            blue first: give ``image[..., ::-1]``.
        k : int
            How many candidates to return for each face, from 1.
        threshold : float, FMR, FPIR or str, optional
            Instead of the gallery's: a similarity, [-1, 1], inclusive, or a rate.
        min_face : int, optional
            Smallest face to look for, pixels, as far as the detector reaches; by default a fraction of the picture.
        max_faces : int, optional
            Maximum number of faces; the largest are kept.
        liveness : bool or {"off", "advisory", "required"}
            Whether each face is judged for being live. With "required", a face that is not live is never matched, and
            one that cannot be judged is an error.
        quality, attributes : bool
            Whether to return the quality of each face, or its age and gender as a network guesses them.

        Returns
        -------
        Recognition
            A `FoundFace` for each face, largest first; empty when there is none. In an empty gallery every face is
            unknown.

        Raises
        ------
        ImageError
            When the picture is refused.
        LivenessError
            When liveness is required and a face cannot be judged.
        RoleMissingError
            When attributes are requested and the pack has no network for them.
        """
        with self._call():
            analyze = AnalyzeOptions(
                min_face=min_face, max_faces=max_faces, liveness=liveness, quality=quality, attributes=attributes
            )
            return self._recognizer.recognize(image, RecognizeOptions(k=k, threshold=threshold, analyze=analyze))

    def evaluate(
        self,
        probes: Probes,
        *,
        threshold: float | None = None,
        cache: str | os.PathLike[str] | None = None,
        progress: Progress | None = None,
        options: EvaluateOptions | None = None,
    ) -> Report:
        """Measure how the gallery recognizes pictures of known people; nothing is stored.

        Parameters
        ----------
        probes : path or mapping
            A folder of ``<id>/<picture>``, or the pictures of each id. Ids that are not registered are unknown people:
            they measure false positives. Give no picture that was registered.
        threshold : float, optional
            Instead of the gallery's, [-1, 1], inclusive.
        cache : path, optional
            A file in which embeddings of the probes are kept, so that an interrupted evaluation resumes. It holds
            biometric templates: only its owner may read it.
        progress : callable, optional
            Called as ``progress(done, total)``.
        options : EvaluateOptions, optional
            Rates, sizes and intervals.

        Returns
        -------
        Report
            Error rates of searches and of claims to be a person, by the fused template of each person, at the gallery's
            threshold and at others.

        Raises
        ------
        PictureSetError
            When the gallery has fewer than two people, or no probe shows a face.
        RateError
            When the probes cannot show a requested rate.

        Examples
        --------
        >>> from facedex import Gallery, people
        >>> with Gallery.open(":memory:") as gallery:
        ...     for person in people.IDS[:6]:
        ...         registration = gallery.register(person, people.PICTURES[person])
        ...     report = gallery.evaluate(people.PROBES)
        >>> report.at_threshold.fnmr.value
        0.0
        """
        with self._call():
            return evaluate(
                self._resources,
                self._recognizer,
                probes,
                threshold=threshold,
                cache=cache,
                progress=progress,
                options=options,
            )

    def recognize_many(
        self,
        images: Iterable[ImageInput],
        *,
        k: int = 1,
        threshold: Rule | str | None = None,
        min_face: int | None = None,
        max_faces: int | None = None,
        liveness: LivenessOption = False,
        quality: bool = False,
        attributes: bool = False,
        progress: Progress | None = None,
    ) -> list[Recognition | FacedexError]:
        """Recognize the people in each of many pictures.

        Parameters
        ----------
        images : iterable of ImageInput
        k, threshold, min_face, max_faces, liveness, quality, attributes
            As in `recognize`.
        progress : callable, optional
            Called with the number of pictures that are done and of all.

        Returns
        -------
        list of Recognition or FacedexError
            One for each picture, in order.
        """
        with self._call():
            pictures = list(iterate_images(images))
            analyze = AnalyzeOptions(
                min_face=min_face, max_faces=max_faces, liveness=liveness, quality=quality, attributes=attributes
            )
            options = RecognizeOptions(k=k, threshold=threshold, analyze=analyze)
            return self._recognizer.recognize_many(pictures, options, self._life.yield_progress(progress))

    def verify(
        self,
        person_id: PersonId,
        image: ImageInput,
        *,
        threshold: Rule | str | None = None,
        faces: FacePolicy = "one",
        min_face: int | None = None,
        liveness: LivenessOption = False,
        quality: bool = False,
        attributes: bool = False,
    ) -> Verification:
        """Verify that a picture shows the person it is claimed to show.

        Parameters
        ----------
        person_id : str or int
            A registered person.
        image : ImageInput
        threshold : float, FMR, FPIR or str, optional
            Instead of the gallery's: a similarity, [-1, 1], inclusive, or a rate.
        faces : {"one", "largest"}
            The picture must show exactly one face, or its largest face is used.
        min_face : int, optional
            Smallest face to look for, pixels, as far as the detector reaches; by default a fraction of the picture.
        liveness : bool or {"off", "advisory", "required"}
            Whether the face is judged for being live. With "required", one that is not live is no match, and one that
            cannot be judged is an error.
        quality, attributes : bool
            As in `recognize`.

        Returns
        -------
        Verification

        Raises
        ------
        UnknownPersonError
            When no person has that id, or no face of the person is stored.
        ImageError, FaceError
            When the picture is refused.
        """
        with self._call():
            analyze = AnalyzeOptions(min_face=min_face, liveness=liveness, quality=quality, attributes=attributes)
            options = VerifyOptions(threshold=threshold, faces=faces, analyze=analyze)
            return self._recognizer.verify(person_id, image, options)

    def people(self) -> list[Person]:
        """Return everybody who is registered, in the order of registration."""
        with self._call():
            return self._resources.store.people()

    def person(self, person_id: PersonId) -> Person:
        """Return a registered person, or raise `UnknownPersonError`."""
        with self._call():
            return self._resources.store.person(person_id)

    def update(self, person_id: PersonId, **details: Unpack[PersonDetails]) -> Person:
        """Change the details of a person. What is given replaces what is stored; None clears it.

        Parameters
        ----------
        person_id : str or int
        name, email : str or None, optional
        info : dict or None, optional
        retain_until : datetime or None, optional
            When `purge` is to delete the person, with a time zone.

        Returns
        -------
        Person
            As stored now.

        Raises
        ------
        UnknownPersonError
            When no person has that id.
        """
        with self._call():
            return self._resources.store.update(person_id, check_details(details))

    def photos(self, person_id: PersonId) -> list[Photo]:
        """Return the photos of a person, oldest first, or raise `UnknownPersonError`."""
        with self._call():
            return self._resources.store.photos(person_id)

    def photo(self, photo_id: int) -> Photo:
        """Return a photo without its file, or raise `UnknownPhotoError`."""
        with self._call():
            return self._resources.store.photo(photo_id)

    def photo_bytes(self, photo_id: int) -> bytes:
        """Return the file of a photo.

        Parameters
        ----------
        photo_id : int
            As in `Photo.photo_id`.

        Returns
        -------
        bytes
            Of the photo's ``media_type``.

        Raises
        ------
        UnknownPhotoError
            When no photo of that id is stored.
        PhotoIntegrityError
            When it is not what was stored.
        """
        with self._call():
            return self._resources.store.photo_bytes(photo_id)

    def add_photo(
        self,
        person_id: PersonId,
        image: ImageInput,
        *,
        filename: str | None = None,
        rendition: Rendition | None = None,
    ) -> Photo:
        """Store a photo of a registered person without looking for faces; `rebuild_person` does that.

        Parameters
        ----------
        person_id : str or int
        image : ImageInput
        filename : str, optional
            By default that of the path.
        rendition : {"thumbnail", "original"}, optional
            By default what the gallery stores.

        Returns
        -------
        Photo

        Raises
        ------
        UnknownPersonError
            When no person has that id.
        ArgumentError
            When the gallery stores no photos and no rendition is given.
        PhotoTooLargeError
            When the original has more than 32 MiB.
        ImageError
            When the picture is refused.
        """
        with self._call():
            return self._photos.add(person_id, image, rendition, filename)

    def delete_photo(self, photo_id: int) -> Deletion:
        """Delete a photo and the faces that were registered from it; the person stays, even without a face.

        Parameters
        ----------
        photo_id : int

        Returns
        -------
        Deletion
            What was removed.

        Raises
        ------
        UnknownPhotoError
            When no photo of that id is stored.
        """
        with self._call():
            return self._deleter.delete_photo(photo_id)

    def delete(self, person_id: PersonId) -> Deletion:
        """Delete a person with all faces, templates, photos and free data, and the search snapshots that hold them.

        What a server stores about the person is deleted too: accounts, attendance, and replies that name the person.

        Parameters
        ----------
        person_id : str or int

        Returns
        -------
        Deletion
            What was removed.

        Raises
        ------
        UnknownPersonError
            When no person has that id.
        """
        with self._call():
            return self._deleter.delete(person_id)

    def delete_face(self, face_id: int) -> Deletion:
        """Delete one stored face with its photo; the person stays, even without a face.

        Parameters
        ----------
        face_id : int
            As in `Registration.faces` or `Person.faces`.

        Returns
        -------
        Deletion
            What was removed.

        Raises
        ------
        UnknownFaceError
            When no face of that id is stored in this gallery.
        """
        with self._call():
            return self._deleter.delete_face(face_id)

    def purge(self, now: datetime | None = None) -> list[Deletion]:
        """Delete everybody whose ``retain_until`` has passed. Run it regularly.

        Only this call deletes by date: a wrong clock cannot empty a gallery that is only read.

        Parameters
        ----------
        now : datetime, optional
            The time to compare with, with a time zone; by default the clock's.

        Returns
        -------
        list of Deletion
            A receipt for each, the longest overdue first.
        """
        with self._call():
            return self._deleter.purge(now)

    def vacuum(self) -> bool:
        """Rewrite the database without deleted data. It takes a while, and writers wait.

        A deletion overwrites what it removes by itself, so this is seldom needed: after a receipt that was not
        ``wiped``, and to return space to the disk.

        Returns
        -------
        bool
            Whether no file holds deleted data now. A database server keeps logs of its own, which its administrator
            must check.
        """
        with self._call():
            return self._resources.vacuum()

    def rekey(self, key: KeyInput | None) -> bool:
        """Give the gallery another key, a first key, or none. Other processes must open it again.

        Parameters
        ----------
        key : bytes, str, callable or None
            The new key; None stores templates and photos without encryption.

        Returns
        -------
        bool
            Whether no file holds the templates as they were stored before; if not, see `vacuum`.

        Raises
        ------
        TemplateIntegrityError
            When something that is stored cannot be decrypted with the present key; then nothing is changed.
        PlainSearchError
            When the gallery is not searched locally: the search would hold its templates unencrypted.
        """
        with self._call():
            return self._resources.rekey(key)

    def audit(self, *, after: int = 0) -> Iterator[AuditEvent]:
        """Yield the entries of the audit, oldest first.

        Parameters
        ----------
        after : int
            Only entries with a higher number.

        Yields
        ------
        AuditEvent
        """
        while page := self._audit_page(after):
            yield from page
            after = page[-1].seq

    async def aaudit(self, *, after: int = 0) -> AsyncIterator[AuditEvent]:
        """Yield as `audit` does, reading in a thread."""
        import asyncio

        while page := await asyncio.to_thread(self._audit_page, after):
            for event in page:
                yield event
            after = page[-1].seq

    def _audit_page(self, after: int) -> list[AuditEvent]:
        with self._call():
            return self._resources.store.audit(after)

    def check_audit(self, *, recorded_head: str | None = None, require_signature: bool = False) -> AuditReport:
        """Check that no entry of the audit was altered, removed, moved or added.

        Parameters
        ----------
        recorded_head : str, optional
            A head that was recorded elsewhere before, as ``"NUMBER:DIGEST"``. It reveals also a database that was
            restored to an earlier state.
        require_signature : bool
            Whether the last entry must be signed with ``FACEDEX_AUDIT_KEY`` or the gallery's own key, which
            distinguishes the chain from one that somebody without the key wrote in its place.

        Returns
        -------
        AuditReport

        Raises
        ------
        ArgumentError
            When `require_signature` is set and there is no key.
        """
        with self._call():
            return self._resources.store.check_audit(Head.parse(recorded_head), require_signature=require_signature)

    def sign_audit(self, *, recorded_head: str | None = None) -> AuditReport:
        """Sign the head of the audit with the key: needed where it was begun or continued without a key.

        Compare the head with one that was recorded elsewhere first: a signed head is trusted from then on.

        Parameters
        ----------
        recorded_head : str, optional
            As in `check_audit`.

        Returns
        -------
        AuditReport
            If the chain is broken, it was not signed.

        Raises
        ------
        ArgumentError
            When there is no key.
        """
        with self._call():
            return self._resources.store.sign_audit(Head.parse(recorded_head))

    def export_audit(self, path: str | os.PathLike[str]) -> int:
        """Write the audit to a file that can be checked without the database, signed where there is a key.

        It names the people who are registered, and the file outlives later deletions.

        Parameters
        ----------
        path : str or PathLike
            Of a file that only its owner will be able to read.

        Returns
        -------
        int
            Number of bytes written.

        Raises
        ------
        ExportError
            When it cannot be written.
        """
        with self._call():
            try:
                return write_atomically(Path(path), self._resources.store.export_audit())
            except OSError as error:
                raise ExportError(f"the audit cannot be written to {str(path)!r}: {error.strerror}") from error

    def backup(self, path: str | os.PathLike[str]) -> int:
        """Copy the database, with all its galleries, photos, accounts and the audit, to a new file.

        The copy is the database at one moment, also while others write, and is checked. An ordinary copy of the file
        lacks the changes that are still in the log beside it. People who are deleted later remain in the copy.

        Parameters
        ----------
        path : str or PathLike
            Of a new file that only its owner will be able to read. It is opened like the original.

        Returns
        -------
        int
            Number of bytes written.

        Raises
        ------
        ExportError
            When the file exists or cannot be written, or the database is on a server.
        DatabaseDamagedError
            When the database is damaged.
        """
        with self._call():
            return self._resources.database.backup(Path(path))

    def acting_as(self, actor: str) -> AbstractContextManager[None]:
        """Set the actor that the audit records inside a ``with`` block, in this thread or task.

        Parameters
        ----------
        actor : str
            An account or a role, at most 255 characters. It is not erased with a person.
        """
        return acting_as(actor)

    def migrate(
        self,
        pack: str | os.PathLike[str] | None = None,
        *,
        engine: Engine | None = None,
        threshold: Rule | str | None = None,
        without_photo: WithoutPhoto = "stop",
        progress: Progress | None = None,
    ) -> Migration:
        """Move the gallery to another pack, by embedding its faces again from the original photos that it stored.

        Until the end the gallery recognizes, registers and deletes with its present pack. It can be interrupted at any
        moment; the next run resumes it. At the end one commit switches the gallery, and this object, to the other pack;
        other processes get a `GalleryPackError` and must open it again.

        Parameters
        ----------
        pack : str or PathLike, optional
            The pack to move to.
        engine : Engine, optional
            An engine to use; its pack is the target, and `pack` is not read.
        threshold : float, FMR, FPIR or str, optional
            When a face matches from then on; by default the rate that the gallery was opened with, for the other pack.
        without_photo : {"stop", "leave"}
            What to do when people would be left without a template, because no original photo of them is stored or
            their faces are not found in it again: leave the gallery as it is, or move it without them. Then they stay
            registered, and are not recognized until they are registered again or the gallery is rolled back.
        progress : callable, optional
            Called with the number of faces that are done and of all.

        Returns
        -------
        Migration
            Who would be left behind, and whether the gallery was switched.

        Raises
        ------
        MigrationError
            When another process ended the migration.
        ArgumentError
            When the pack states no measurement and no similarity is given.
        GalleryClosedError
            When the gallery is closed meanwhile.
        StoreError
        """
        with self._call():
            return self._migrator.migrate(pack, engine, threshold, without_photo, progress)

    def rollback(
        self,
        *,
        engine: Engine | None = None,
        threshold: Rule | str | None = None,
        without_photo: WithoutPhoto = "stop",
        progress: Progress | None = None,
    ) -> Migration:
        """Move the gallery back to the pack that it used before, until `finish_migration`.

        Templates of that pack are still there; faces that were registered since are embedded from their photos.

        Parameters
        ----------
        engine : Engine, optional
            An engine of that pack, if facedex does not know the pack by name.
        threshold, without_photo, progress
            As in `migrate`.

        Returns
        -------
        Migration

        Raises
        ------
        MigrationError
            When there is no pack to go back to.
        GalleryPackError
            When the engine is of another pack.
        """
        with self._call():
            return self._migrator.rollback(engine, threshold, without_photo, progress)

    def finish_migration(self) -> Finish:
        """Remove the templates of every other pack: the previous one, and that of an abandoned migration.

        After it there is no rollback. Faces that were left behind, because they have no template of the gallery's
        pack, are removed with the photos that show no other face; the people stay.

        Returns
        -------
        Finish
        """
        with self._call():
            return self._migrator.finish()

    def status(self) -> Status:
        """Return the state of the gallery: its pack, how many people and faces, how they are searched."""
        return self.lookup.status()

    def storage(self) -> Storage:
        """Return whether changes can be stored now, without storing any; queries the database at most once a second.

        Returns
        -------
        {"ok", "locked", "full", "read_only"}
            Reading works in all states, and people can be deleted on a full disk.

        Raises
        ------
        StoreError
            When the database cannot even be read.
        """
        with self._call():
            return self._resources.database.storage()

    aclose = make_coroutine(close)
    adecide = make_coroutine(decide)
    adecide_sign_in = make_coroutine(decide_sign_in)
    acreate = make_coroutine(create)
    aregister = make_coroutine(register)
    aregister_many = make_coroutine(register_many)
    aregister_templates = make_coroutine(register_templates)
    arebuild_person = make_coroutine(rebuild_person)
    arecognize = make_coroutine(recognize)
    aevaluate = make_coroutine(evaluate)
    arecognize_many = make_coroutine(recognize_many)
    averify = make_coroutine(verify)
    apeople = make_coroutine(people)
    aperson = make_coroutine(person)
    aupdate = make_coroutine(update)
    aphotos = make_coroutine(photos)
    aphoto = make_coroutine(photo)
    aphoto_bytes = make_coroutine(photo_bytes)
    aadd_photo = make_coroutine(add_photo)
    adelete_photo = make_coroutine(delete_photo)
    adelete = make_coroutine(delete)
    adelete_face = make_coroutine(delete_face)
    apurge = make_coroutine(purge)
    avacuum = make_coroutine(vacuum)
    arekey = make_coroutine(rekey)
    acheck_audit = make_coroutine(check_audit)
    asign_audit = make_coroutine(sign_audit)
    aexport_audit = make_coroutine(export_audit)
    abackup = make_coroutine(backup)
    amigrate = make_coroutine(migrate)
    arollback = make_coroutine(rollback)
    afinish_migration = make_coroutine(finish_migration)
    astatus = make_coroutine(status)
    astorage = make_coroutine(storage)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"Gallery({self.name!r} in {self._resources.database.place}, pack {self.pack.name!r})"


def _chosen(name: str, given: str | None, variable: str | None, default: str, accepted: object) -> Any:
    """Return what the caller chose, else the environment, else the default; refuse what is none of the choices."""
    if given is not None:
        check_choice(name, given, accepted)
        return given
    chosen = variable or default
    check_choice(variable_of(name), chosen, accepted)
    return chosen


def _place_of(pack: str, variable: str | None) -> str:
    """Return the path of a pack that the environment gives as a path, else its name."""
    return variable if variable is not None and Path(variable).name == f"{pack}.toml" else pack
