"""Who is registered in an open gallery: list, look up, update, delete.

What a verb returned is committed. A deletion takes with it the search snapshots that hold the deleted vectors, and the
database's log in which they stood. Registering and recognising are in `facedex.gallery`.
"""

from __future__ import annotations

import logging
from types import EllipsisType
from typing import TYPE_CHECKING, Any

from .errors import GalleryClosedError, RoleMissingError, StoreError
from .lifetime import Lifetime
from .records import Deletion, Person, PersonId, Status
from .search import LocalSearch, snapshots_beside
from .store import Database, Feed, PackPin, SqlStore
from .twins import twin

if TYPE_CHECKING:
    from ._core import PackInfo

_log = logging.getLogger("facedex")


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

    Raises
    ------
    GalleryPackError
        When the gallery was made with another pack.
    RoleMissingError
        When the pack has no embedder.
    """

    def __init__(self, database: Database, pack: PackInfo, *, name: str, index: str) -> None:
        if pack.dimension is None:
            raise RoleMissingError(f"pack {pack.name!r} has no embedder; open the gallery with a pack that has one")
        self._database = database
        self._feed = Feed(database, name)
        self._feed.bind(PackPin(pack.name, pack.digest, pack.dimension))
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
    ) -> Person:
        """Change what is known of a person.

        Parameters
        ----------
        person_id : str or int
        name, email : str or None, optional
        info : dict or None, optional
            What is given replaces what is stored; None clears it; what is not given stays.

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
            given = {"name": name, "email": email, "info": info}
            return self._store.update(person_id, {field: value for field, value in given.items() if value is not ...})

    def delete(self, person_id: PersonId) -> Deletion:
        """Delete a person with all faces, templates and free data, and the search snapshots that hold them.

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
            When nobody of that id is registered.
        """
        with self._life.call():
            self._store.person(person_id)
            self._search.forget()
            return self._deletion(self._store.delete(person_id))

    def delete_face(self, face_id: int) -> Deletion:
        """Delete one stored face; the person stays, even without a face.

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
        with self._life.call():
            self._search.forget()
            return self._deletion(self._store.delete_face(face_id))

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
            )

    apeople = twin(people)
    aperson = twin(person)
    aupdate = twin(update)
    adelete = twin(delete)
    adelete_face = twin(delete_face)
    astatus = twin(status)

    def __repr__(self) -> str:
        return f"Gallery({self._feed.name!r} in {self._database.place}, pack {self._feed.pin.name!r})"

    def _deletion(self, receipt: Deletion) -> Deletion:
        """Clear what may still hold the deleted data, and tell; the deletion itself is committed."""
        try:
            self._search.sync()
            self._database.wipe_log()
        except StoreError as error:
            _log.warning("deleted, but the database's log could not be emptied yet: %s", error)
        return receipt

    def _release(self) -> None:
        self._search.save()
        self._database.close()
