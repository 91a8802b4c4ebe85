"""A gallery: register people, recognise and verify them, delete them. The database is the truth.

What a verb returned is committed; what it raised left no trace. Any number of threads and processes may use one
gallery: each answer takes in every change that was acknowledged before the question. Every verb has a coroutine twin
with an ``a`` before its name.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from .choose import FacePolicy, check_choice
from .config import settings
from .custody import Custody
from .engine import Engine
from .enrol import Progress, Registrar, Rules, enrolee
from .errors import ArgumentError, FacedexError
from .identify import Identifier, check_threshold
from .inputs import ImageInput, is_one
from .policy import Enrolment
from .records import PersonId, Registration
from .results import Recognition, Verification
from .store import AuditLevel, Database, Feed, Journal, KeyInput, OnExisting, key_of
from .twins import twin

if TYPE_CHECKING:
    from typing_extensions import Self

    from .enrol import Entry


class Gallery(Custody):
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
        index: str,
        key: bytes | None,
        journal: Journal,
        enrolment: Enrolment,
    ) -> None:
        cut = check_threshold(engine.threshold if threshold is None else threshold)
        super().__init__(database, engine.pack, name=name, index=index, key=key, journal=journal)
        self._registrar = Registrar(engine, self._store, self._search, enrolment, cut)
        self._identifier = Identifier(engine, self._store, self._search, cut, noting=journal.level == "all")

    @classmethod
    def open(
        cls,
        location: str | os.PathLike[str] = "facedex.db",
        *,
        pack: str | os.PathLike[str] | None = "classic",
        engine: Engine | None = None,
        name: str = "default",
        threshold: float | None = None,
        index: Literal["auto", "exact", "hnsw"] = "auto",
        key: KeyInput | None = None,
        audit: AuditLevel = "changes",
        actor: str | None = None,
        enrolment: Enrolment | None = None,
    ) -> Self:
        """Open a gallery, making it when it does not exist.

        Parameters
        ----------
        location : str or PathLike
            Path of an SQLite file, or a URL ``sqlite:///path?timeout=5`` with the seconds to wait for another writer.
        pack : str, PathLike or None
            The pack that makes the embeddings; None is the one that made the gallery.
        engine : Engine, optional
            An engine to share; its pack is used, and `pack` is not read.
        name : str
            One database holds any number of galleries.
        threshold : float, optional
            Cut-off on similarity, [-1, 1], inclusive; without it that of the pack.
        index : {"auto", "exact", "hnsw"}
            How faces are searched: "exact" considers each, "hnsw" is approximate, "auto" chooses by their number.
        key : bytes, str or callable, optional
            32 bytes, these in base64, or what returns either; without it ``FACEDEX_KEY``. A gallery that is made with a
            key keeps its templates and search snapshots encrypted (AES-256-GCM) and opens only with that key. Ids,
            names, e-mail addresses, free info and the audit are not encrypted. Whoever loses the key loses the
            templates.
        audit : {"changes", "all", "none"}
            What is written to the audit: changes of the gallery, also each recognition and verification, or nothing.
        actor : str, optional
            Who acts, for the audit, where `acting_as` does not say; without it ``FACEDEX_ACTOR``.
        enrolment : Enrolment, optional
            Which faces are taken in; by default all, with a warning of one that resembles another person.

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
        PackError
            When the pack cannot be used.
        """
        check_choice("audit", audit, AuditLevel)
        journal = Journal(audit, settings().actor if actor is None else actor)
        secret = key_of(key)
        database = Database(location)
        try:
            if engine is None:
                stored = Feed(database, name).stored_pack if pack is None else None
                engine = Engine(pack=pack if pack is not None else stored.name if stored is not None else "classic")
            return cls(
                database,
                engine,
                name=name,
                threshold=threshold,
                index=index,
                key=secret,
                journal=journal,
                enrolment=Enrolment() if enrolment is None else enrolment,
            )
        except BaseException:
            database.close()
            raise

    @classmethod
    async def aopen(
        cls,
        location: str | os.PathLike[str] = "facedex.db",
        *,
        pack: str | os.PathLike[str] | None = "classic",
        engine: Engine | None = None,
        name: str = "default",
        threshold: float | None = None,
        index: Literal["auto", "exact", "hnsw"] = "auto",
        key: KeyInput | None = None,
        audit: AuditLevel = "changes",
        actor: str | None = None,
        enrolment: Enrolment | None = None,
    ) -> Self:
        """Run `open` in a thread, so that the event loop goes on; parameters, result and errors are its."""
        import asyncio

        return await asyncio.to_thread(
            partial(cls.open, location, pack=pack, engine=engine, name=name, threshold=threshold, index=index),
            key=key,
            audit=audit,
            actor=actor,
            enrolment=enrolment,
        )

    def register(
        self,
        person_id: PersonId,
        images: ImageInput | Iterable[ImageInput],
        *,
        name: str | None = None,
        email: str | None = None,
        info: dict[str, Any] | None = None,
        retain_until: datetime | None = None,
        on_existing: OnExisting = "error",
        faces: FacePolicy = "one",
        min_face: int | None = None,
        strict: bool = False,
    ) -> Registration:
        """Register a person from one picture or several.

        Parameters
        ----------
        person_id : str or int
            Your own key, at most 255 characters, kept and returned as given; 7 and "7" are the same person.
        images : ImageInput or iterable of ImageInput
            The error of a single picture is raised; of several, those that are refused are listed in the result.
        name, email : str, optional
        info : dict, optional
            Free data that JSON can hold.
        retain_until : datetime, optional
            When `purge` is to delete the person, with a time zone.
        on_existing : {"error", "add", "replace"}
            When the id is taken: refuse, add the faces, or put them in place of the stored ones. With "add" and
            "replace", name, email, info and retain_until are changed where given.
        faces : {"one", "largest"}
            A picture must show exactly one face, or its largest is taken.
        min_face : int, optional
            Smallest face that is looked for, pixels; by default a fraction of the picture.
        strict : bool
            Refuse a face that resembles a person of another id, whatever the gallery's rules say.

        Returns
        -------
        Registration

        Raises
        ------
        DuplicatePersonError
            When the id is taken and `on_existing` is "error".
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
        with self._life.call():
            rules = Rules(on_existing, faces, min_face, strict)
            who = enrolee(person_id, images, name=name, email=email, info=info, retain_until=retain_until)
            return self._registrar.register(who, rules)

    def register_many(
        self,
        people: Iterable[Entry],
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
        people : iterable of (person_id, images) or (person_id, images, name)
        on_existing, faces, min_face, strict
            As in `register`.
        progress : callable, optional
            Called with the number of people done and of all.

        Returns
        -------
        list of Registration or FacedexError
            One for each person, in order.
        """
        with self._life.call():
            return self._registrar.register_many(list(people), Rules(on_existing, faces, min_face, strict), progress)

    def recognize(
        self, image: ImageInput, *, k: int = 1, threshold: float | None = None, min_face: int | None = None
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
            Smallest face that is looked for, pixels; by default a fraction of the picture.

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
        """
        with self._life.call():
            return self._identifier.recognize(image, k=k, threshold=threshold, min_face=min_face)

    def recognize_many(
        self,
        images: Iterable[ImageInput],
        *,
        k: int = 1,
        threshold: float | None = None,
        min_face: int | None = None,
        progress: Progress | None = None,
    ) -> list[Recognition | FacedexError]:
        """Say who is in each of many pictures.

        Parameters
        ----------
        images : iterable of ImageInput
        k, threshold, min_face
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
            if is_one(images):
                raise ArgumentError(f"images must be several pictures, got one {type(images).__name__}")
            given = list(images)
            return self._identifier.recognize_many(
                given, k=k, threshold=threshold, min_face=min_face, progress=progress
            )

    def verify(
        self,
        person_id: PersonId,
        image: ImageInput,
        *,
        threshold: float | None = None,
        faces: FacePolicy = "one",
        min_face: int | None = None,
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
            Smallest face that is looked for, pixels; by default a fraction of the picture.

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
            return self._identifier.verify(person_id, image, threshold=threshold, faces=faces, min_face=min_face)

    def close(self) -> None:
        """Close the gallery when the calls of other threads have ended; closing again does nothing."""
        self._life.close()

    aregister = twin(register)
    aregister_many = twin(register_many)
    arecognize = twin(recognize)
    arecognize_many = twin(recognize_many)
    averify = twin(verify)
    aclose = twin(close)

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
