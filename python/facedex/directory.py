"""Who is registered in an open gallery: list, look up, update.

What a verb returned is committed. Deleting is in `facedex.custody`, registering and recognising in `facedex.gallery`.
"""

from __future__ import annotations

from datetime import datetime, timezone
from types import EllipsisType
from typing import TYPE_CHECKING, Any

from .errors import GalleryClosedError, RoleMissingError
from .lifetime import Lifetime
from .records import Person, PersonId, Status
from .search import LocalSearch, snapshots_beside
from .store import Database, Feed, Journal, PackPin, SqlStore
from .twins import twin

if TYPE_CHECKING:
    from ._core import PackInfo


class Directory:
    """The people of a gallery, its database and its search.

    Parameters
    ----------
    database : Database
    pack : PackInfo
        The pack that makes the embeddings.
    name : str
        The gallery's name.
    index : str
        How faces are searched.
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
        index: str,
        key: bytes | None = None,
        journal: Journal | None = None,
    ) -> None:
        if pack.dimension is None:
            raise RoleMissingError(f"pack {pack.name!r} has no embedder; open the gallery with a pack that has one")
        self._database = database
        self._feed = Feed(database, name, journal)
        self._feed.bind(PackPin(pack.name, pack.digest, pack.dimension), key)
        self._store = SqlStore(self._feed)
        self._search = LocalSearch(
            self._feed,
            dimension=pack.dimension,
            pack=pack.digest,
            database=snapshots_beside(database.path, self._feed.uuid),
            gallery=name,
            method=index,
        )
        self._life = Lifetime(f"gallery {name!r} in {database.place}", GalleryClosedError, self._release)

    def people(self) -> list[Person]:
        """List everybody who is registered, in the order of registration."""
        with self._life.call():
            return self._store.people()

    def person(self, person_id: PersonId) -> Person:
        """Return a registered person, or raise `UnknownPersonError`."""
        with self._life.call():
            return self._store.person(person_id)

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
            return Status(
                gallery=self._feed.name,
                location=self._database.location,
                pack=self._feed.pin.name,
                pack_digest=self._feed.pin.digest,
                people=people,
                faces=faces,
                method=self._search.method,
                position=position,
                rebuilt=self._search.rebuilt,
                encrypted=self._feed.vault is not None,
                due=len(self._store.due(datetime.now(timezone.utc))),
            )

    apeople = twin(people)
    aperson = twin(person)
    aupdate = twin(update)
    astatus = twin(status)

    def __repr__(self) -> str:
        return f"Gallery({self._feed.name!r} in {self._database.place}, pack {self._feed.pin.name!r})"

    def _release(self) -> None:
        self._search.save()
        self._database.close()
