"""A gallery: register people, recognise and verify them, delete them. The database is the truth.

What a verb returned is committed; what it raised left no trace. Any number of threads and processes may use one
gallery: each answer takes in every change that was acknowledged before the question. Every verb has a coroutine twin
with an ``a`` before its name.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

from ..checks import check_choice, check_threshold
from ..config import settings
from ..coroutines import make_coroutine
from ..engine import Engine
from ..errors import ArgumentError, FacedexError
from ..inputs import ImageInput, is_single
from ..options import AuditLevel, FacePolicy, IndexMethod, KeptPhotos, LivenessOption
from ..records import PersonId
from ..results import Recognition, Verification
from ..search import PROMISED_RECALL, SearchOptions
from ..store import Database, Feed, Journal, KeyInput, key_of
from .migration import Moving
from .policy import Enrolment
from .portable import Portable
from .recognition import Identifier, Questions
from .registration import Progress

if TYPE_CHECKING:
    from typing_extensions import Self


class Gallery(Moving, Portable):
    """People and their faces in a database. Open one with `Gallery.open`.

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
        database: Database,
        engine: Engine,
        *,
        name: str,
        threshold: float | None,
        index: SearchOptions,
        best_of: int,
        key: bytes | None,
        journal: Journal,
        enrolment: Enrolment,
        photos: KeptPhotos,
    ) -> None:
        cut = check_threshold(engine.threshold if threshold is None else threshold)
        super().__init__(
            database,
            engine,
            name=name,
            threshold=cut,
            index=index,
            key=key,
            journal=journal,
            enrolment=enrolment,
            photos=photos,
        )
        self._identifier = Identifier(
            engine, self._store, self._search, cut, best_of=best_of, noting=journal.level == "all"
        )

    @classmethod
    def open(
        cls,
        location: str | os.PathLike[str] = "facedex.db",
        *,
        pack: str | os.PathLike[str] | None = None,
        engine: Engine | None = None,
        name: str = "default",
        threshold: float | None = None,
        index: IndexMethod = "auto",
        budget_ms: float | None = None,
        promised_recall: float = PROMISED_RECALL,
        search: str | None = None,
        best_of: int = 1,
        key: KeyInput | None = None,
        audit: AuditLevel = "changes",
        actor: str | None = None,
        enrolment: Enrolment | None = None,
        photos: KeptPhotos = "none",
    ) -> Self:
        """Open a gallery, making it when it does not exist.

        Parameters
        ----------
        location : str or PathLike
            Path of an SQLite file, or a URL ``sqlite:///path?timeout=5`` with the seconds to wait for another writer.
        pack : str or PathLike, optional
            The pack that makes the embeddings; without it the one that made the gallery, for a new gallery that of
            `Engine`.
        engine : Engine, optional
            An engine to share; its pack is used, and `pack` is not read.
        name : str
            One database holds any number of galleries.
        threshold : float, optional
            Cut-off on similarity, [-1, 1], inclusive; without it that of the pack.
        index : {"auto", "exact", "ivf", "hnsw"}
            How faces are searched: "exact" considers each, "ivf" those in the nearest lists, "hnsw" walks a graph,
            "auto" is exact as long as that keeps the budget and "ivf" then.
        budget_ms : float, optional
            Milliseconds that a search for one face may take before "auto" becomes approximate; by default 50.
        promised_recall : float
            An approximate search that was measured on this gallery to find less, [0, 1], is not used: the search is
            exact then. `status` tells what was measured.
        search : str, optional
            Where faces are searched: "local" in this process, "pgvector" inside the gallery's PostgreSQL, shared by all
            who open it so, or a Milvus: ``milvus+http://host:19530``, or ``milvus:path`` for a file of Milvus Lite.
            Without it ``FACEDEX_SEARCH``, else "local". "ivf" is local only; no encrypted gallery is searched
            elsewhere.
        best_of : int
            A person is as similar as the mean of so many closest faces, of all where there are fewer; 1 is the closest.
        key : bytes, str or callable, optional
            32 bytes, these in base64, or what returns either; without it ``FACEDEX_KEY``. A gallery that is made with a
            key keeps its templates, photos and search snapshots encrypted (AES-256-GCM) and opens only with that key.
            Ids, names, e-mail addresses, free info, file names and the audit are not encrypted. Whoever loses the key
            loses the templates and photos.
        audit : {"changes", "all", "none"}
            What is written to the audit: changes of the gallery, also each recognition and verification, or nothing.
        actor : str, optional
            Who acts, for the audit, where `acting_as` does not say; without it ``FACEDEX_ACTOR``.
        enrolment : Enrolment, optional
            Which faces are taken in; by default all, with a warning of one that resembles another person.
        photos : {"none", "thumbnail", "original"}
            What is kept of the pictures that are registered: nothing, the square round the face at most 224 pixels
            wide, or the picture itself without metadata (EXIF, place, time, comments). Only from originals can the
            templates be made anew by another pack. Photos are encrypted with the templates, and deleted with the
            person.

        Returns
        -------
        Gallery
            A context manager; close it when done.

        Raises
        ------
        GalleryPackError
            When the gallery was made with another pack.
        KeyMissingError, WrongKeyError, KeyUnusedError
            When the key is not the gallery's.
        StoreError
            When the database cannot be used.
        SearchUnavailableError
            When the search that was chosen is not installed, not allowed or not reached.
        PlainSearchError
            When the gallery is encrypted and the search that was chosen is elsewhere.
        PackError
            When the pack cannot be used.
        """
        check_choice("audit", audit, AuditLevel)
        check_choice("index", index, IndexMethod)
        journal = Journal(audit, settings().actor if actor is None else actor)
        secret = key_of(key)
        database = Database(location)
        try:
            if engine is None:
                stored = Feed(database, name).stored_pack if pack is None else None
                engine = Engine(stored.name if stored is not None else pack)
            return cls(
                database,
                engine,
                name=name,
                threshold=threshold,
                index=SearchOptions(index, budget_ms, promised_recall, settings().search if search is None else search),
                best_of=best_of,
                key=secret,
                journal=journal,
                enrolment=Enrolment() if enrolment is None else enrolment,
                photos=photos,
            )
        except BaseException:
            database.close()
            raise

    @classmethod
    async def aopen(
        cls,
        location: str | os.PathLike[str] = "facedex.db",
        *,
        pack: str | os.PathLike[str] | None = None,
        engine: Engine | None = None,
        name: str = "default",
        threshold: float | None = None,
        index: IndexMethod = "auto",
        budget_ms: float | None = None,
        promised_recall: float = PROMISED_RECALL,
        search: str | None = None,
        best_of: int = 1,
        key: KeyInput | None = None,
        audit: AuditLevel = "changes",
        actor: str | None = None,
        enrolment: Enrolment | None = None,
        photos: KeptPhotos = "none",
    ) -> Self:
        """Run `open` in a thread, so that the event loop goes on; parameters, result and errors are its."""
        import asyncio

        return await asyncio.to_thread(
            partial(cls.open, location, pack=pack, engine=engine, name=name, threshold=threshold, index=index),
            budget_ms=budget_ms,
            promised_recall=promised_recall,
            search=search,
            best_of=best_of,
            key=key,
            audit=audit,
            actor=actor,
            enrolment=enrolment,
            photos=photos,
        )

    def recognize(
        self,
        image: ImageInput,
        *,
        k: int = 1,
        threshold: float | None = None,
        min_face: int | None = None,
        max_faces: int | None = None,
        liveness: LivenessOption = False,
        quality: bool = False,
        attributes: bool = False,
    ) -> Recognition:
        """Say who is in a picture.

        Parameters
        ----------
        image : ImageInput
        k : int
            How many candidates to name for each face, from 1.
        threshold : float, optional
            Instead of the gallery's, [-1, 1], inclusive.
        min_face : int, optional
            Smallest face that is looked for, pixels, as far as the detector reaches; default a fraction of the picture.
        max_faces : int, optional
            Only the largest so many.
        liveness : bool or {"off", "advisory", "required"}
            Whether each face is judged for being live. Where that is required, a face that is not live is nobody's, and
            one that cannot be judged is an error.
        quality, attributes : bool
            Whether quality, or age and gender as a network guesses them, are told of each face.

        Returns
        -------
        Recognition
            A `FoundFace` for each face, largest first; empty when there is none.

        Raises
        ------
        EmptyGalleryError
            When nobody is registered.
        ImageError
            When the picture is refused.
        LivenessError
            When liveness is required and a face cannot be judged.
        RoleMissingError
            When attributes are asked for and the pack has no network for them.
        """
        with self._life.call():
            asked = Questions(min_face, liveness, quality, attributes, max_faces)
            return self._identifier.recognize(image, k=k, threshold=threshold, asked=asked)

    def recognize_many(
        self,
        images: Iterable[ImageInput],
        *,
        k: int = 1,
        threshold: float | None = None,
        min_face: int | None = None,
        max_faces: int | None = None,
        liveness: LivenessOption = False,
        quality: bool = False,
        attributes: bool = False,
        progress: Progress | None = None,
    ) -> list[Recognition | FacedexError]:
        """Say who is in each of many pictures.

        Parameters
        ----------
        images : iterable of ImageInput
        k, threshold, min_face, max_faces, liveness, quality, attributes
            As in `recognize`.
        progress : callable, optional
            Called with the number of pictures done and of all.

        Returns
        -------
        list of Recognition or FacedexError
            One for each picture, in order.

        Raises
        ------
        EmptyGalleryError
            When nobody is registered.
        """
        with self._life.call():
            if is_single(images):
                raise ArgumentError(f"images must be several pictures, got one {type(images).__name__}")
            asked = Questions(min_face, liveness, quality, attributes, max_faces)
            return self._identifier.recognize_many(
                list(images), k=k, threshold=threshold, asked=asked, progress=progress
            )

    def verify(
        self,
        person_id: PersonId,
        image: ImageInput,
        *,
        threshold: float | None = None,
        faces: FacePolicy = "one",
        min_face: int | None = None,
        liveness: LivenessOption = False,
        quality: bool = False,
        attributes: bool = False,
    ) -> Verification:
        """Say whether a picture shows the person it is claimed to show.

        Parameters
        ----------
        person_id : str or int
            A registered person.
        image : ImageInput
        threshold : float, optional
            Instead of the gallery's, [-1, 1], inclusive.
        faces : {"one", "largest"}
            The picture must show exactly one face, or its largest is taken.
        min_face : int, optional
            Smallest face that is looked for, pixels, as far as the detector reaches; default a fraction of the picture.
        liveness : bool or {"off", "advisory", "required"}
            Whether the face is judged for being live. Where that is required, one that is not live is no match, and one
            that cannot be judged is an error.
        quality, attributes : bool
            As in `recognize`.

        Returns
        -------
        Verification

        Raises
        ------
        UnknownPersonError
            When nobody of that id is registered, or no face of the person is stored.
        ImageError, FaceError
            When the picture is refused.
        """
        with self._life.call():
            asked = Questions(min_face, liveness, quality, attributes)
            return self._identifier.verify(person_id, image, threshold=threshold, faces=faces, asked=asked)

    @property
    def engine(self) -> Engine:
        """The engine that analyses the gallery's pictures."""
        with self._life.call():
            return self._registrar.engine

    def close(self) -> None:
        """Close the gallery when the calls of other threads have ended; closing again does nothing."""
        self._life.close()

    arecognize = make_coroutine(recognize)
    arecognize_many = make_coroutine(recognize_many)
    averify = make_coroutine(verify)
    aclose = make_coroutine(close)

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
