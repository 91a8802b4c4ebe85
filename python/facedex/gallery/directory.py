"""Who is registered in an open gallery: list, look up, update.

What a verb returned is committed.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from datetime import datetime, timezone
from types import EllipsisType
from typing import TYPE_CHECKING, Any

from ..coroutines import make_coroutine
from ..errors import ArgumentError, GalleryClosedError, RoleMissingError
from ..records import Person, PersonId, Status
from ..search import Search, SearchOptions, open_search
from ..store import Database, Feed, Journal, PackPin, Storage, Store, packs_of
from .lifetime import Lifetime

if TYPE_CHECKING:
    from .._core import PackInfo


_HEAVY = ("_store", "_search", "_registrar", "_identifier")
"""What a closed gallery lets go of: the index, and the engine with its networks and threads, unless others share it."""


class Directory:
    """The people of a gallery, its database and its search.

    Parameters
    ----------
    database : Database
    pack : PackInfo
        The pack that makes the embeddings.
    name : str
        The gallery's name.
    index : SearchOptions
        How and where faces are searched.
    key : bytes, optional
        The gallery's key.
    journal : Journal, optional
        Writes the audit.

    Raises
    ------
    GalleryPackError
        When the gallery was made with another pack.
    GalleryKeyError
        When the key is not the gallery's.
    RoleMissingError
        When the pack has no embedder.
    """

    def __init__(
        self,
        database: Database,
        pack: PackInfo,
        *,
        name: str,
        index: SearchOptions,
        key: bytes | None = None,
        journal: Journal | None = None,
    ) -> None:
        if pack.dimension is None:
            raise RoleMissingError(f"pack {pack.name!r} has no embedder; open the gallery with a pack that has one")
        self._database = database
        self._index = index
        feed = Feed(database, name, journal)
        feed.bind(PackPin(pack.name, pack.digest, pack.dimension), key)
        self._feed, self._store, self._search = self._on(feed)
        self._pack = pack
        # Weakly, or the gallery would hold itself: who lets go of it gets the memory of its networks back at once.
        release = weakref.WeakMethod(self._release)
        self._life = Lifetime(
            f"gallery {name!r} in {database.place}",
            GalleryClosedError,
            lambda: (method := release()) is not None and method(),
        )

    def people(self) -> list[Person]:
        """List everybody who is registered, in the order of registration."""
        with self._life.call():
            return self._store.people()

    def person(self, person_id: PersonId) -> Person:
        """Return a registered person, or raise `UnknownPersonError`."""
        with self._life.call():
            return self._store.person(person_id)

    def person_numbered(self, number: int) -> Person:
        """Return the person of `Person.number`, or raise `UnknownPersonError`."""
        with self._life.call():
            return self._store.person_numbered(number)

    def people_after(self, number: int = 0, *, limit: int = 100) -> list[Person]:
        """List people whose `Person.number` is higher, in the order of registration, so many at a time."""
        with self._life.call():
            if limit < 1:
                raise ArgumentError(f"limit must be at least 1, got {limit}")
            return self._store.people_after(number, limit)

    def people_with_email(self, email: str) -> list[Person]:
        """List who is registered with an e-mail address, in whatever case."""
        with self._life.call():
            return self._store.people_with_email(email)

    def update(
        self,
        person_id: PersonId,
        *,
        name: str | EllipsisType | None = ...,
        email: str | EllipsisType | None = ...,
        info: dict[str, Any] | EllipsisType | None = ...,
        retain_until: datetime | EllipsisType | None = ...,
    ) -> Person:
        """Change what is known of a person.

        Parameters
        ----------
        person_id : str or int
        name, email : str or None, optional
        info : dict or None, optional
        retain_until : datetime or None, optional
            When ``purge`` is to delete the person, with a time zone. As with the others: what is given replaces what is
            stored; None clears it; what is not given stays.

        Returns
        -------
        Person
            As now stored.

        Raises
        ------
        UnknownPersonError
            When nobody of that id is registered.
        """
        with self._life.call():
            given = {"name": name, "email": email, "info": info, "retain_until": retain_until}
            return self._store.update(person_id, {field: value for field, value in given.items() if value is not ...})

    def status(self) -> Status:
        """Tell how the gallery stands: its pack, how many people and faces, how they are searched."""
        with self._life.call():
            position, _ = self._search.sync()
            people, faces = self._store.counts()
            stored, beside = packs_of(self._feed)
            search = self._search.status()
            return Status(
                gallery=self._feed.name,
                location=self._database.location,
                pack=self._feed.pin.name,
                pack_digest=self._feed.pin.digest,
                people=people,
                faces=faces,
                search=self._search.place,
                method=search.method,
                why=search.why,
                recall=search.recall,
                position=position,
                rebuilt=self._search.rebuilt,
                encrypted=self._feed.vault is not None,
                due=len(self._store.due(datetime.now(timezone.utc))),
                dormant=faces - stored,
                beside=beside,
            )

    def storage(self) -> Storage:
        """Tell whether changes can be stored now, without storing any; asked of the database once a second at most.

        Returns
        -------
        {"ok", "locked", "full", "read_only"}
            Questions are answered all the same, and people can be deleted on a full disk.

        Raises
        ------
        StoreError
            When the database cannot even be read.
        """
        with self._life.call():
            return self._database.storage()

    apeople = make_coroutine(people)
    aperson = make_coroutine(person)
    aperson_numbered = make_coroutine(person_numbered)
    apeople_after = make_coroutine(people_after)
    apeople_with_email = make_coroutine(people_with_email)
    aupdate = make_coroutine(update)
    astatus = make_coroutine(status)
    astorage = make_coroutine(storage)

    def __repr__(self) -> str:
        return f"Gallery({self._feed.name!r} in {self._database.place}, pack {self._feed.pin.name!r})"

    def _on(self, feed: Feed) -> tuple[Feed, Store, Search]:
        """Make what stands on a feed."""
        return feed, Store(feed), open_search(feed, self._index)

    def _giving_way(self, progress: Callable[[int, int], object] | None) -> Callable[[int, int], object]:
        """Make a callback, in which a migration need not wait for the long call that calls it."""

        def between(done: int, number: int) -> None:
            with self._life.aside():
                if progress is not None:
                    progress(done, number)

        return between

    def _release(self) -> None:
        try:
            self._search.save()
            self._search.close()
        finally:
            self._database.close()
            for name in _HEAVY:
                vars(self).pop(name, None)
