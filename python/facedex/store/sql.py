"""The people of one gallery: read, registered, updated, deleted.

Every method that changes something is one transaction: what it returned is committed, what it raised left no trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from ..errors import DuplicatePersonError, UnknownFaceError, UnknownPersonError
from ..records import Person, PersonId, StoredFace
from .database import Database
from .feed import CHUNK, TEMPLATES, Feed
from .rows import (
    NewFace,
    Owner,
    Receipt,
    Removed,
    bytes_of,
    checked_text,
    checksum_of,
    info_of,
    json_of,
    key_of,
    person_id_of,
    vectors_of,
)
from .tables import faces, people, templates

OnExisting = Literal["error", "add", "replace"]

_OWNERS = (
    sa.select(faces.c.id, faces.c.person_row, people.c.key, people.c.key_is_int, people.c.name)
    .join(people, faces.c.person_row == people.c.id)
    .where(people.c.gallery_id == sa.bindparam("gallery"), faces.c.id.in_(sa.bindparam("faces", expanding=True)))
)
_PERSON = sa.select(people).where(people.c.gallery_id == sa.bindparam("gallery"), people.c.key == sa.bindparam("key"))
_EVERYBODY = sa.select(people).where(people.c.gallery_id == sa.bindparam("gallery")).order_by(people.c.id)
_FACES_OF = sa.select(faces).where(faces.c.person_row == sa.bindparam("person")).order_by(faces.c.id)


class SqlStore:
    """The people of a gallery.

    Parameters
    ----------
    feed : Feed
        The gallery, bound to its pack.
    """

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self._database: Database = feed.database

    def owners(self, face_ids: Iterable[int]) -> dict[int, Owner]:
        """Tell whose the faces are; a face that is not stored is left out."""
        wanted = list(face_ids)
        found: dict[int, Owner] = {}
        with self._database.single() as connection:
            for start in range(0, len(wanted), CHUNK):
                asked = self.feed.keys | {"faces": wanted[start : start + CHUNK]}
                for row in connection.execute(_OWNERS, asked):
                    found[row.id] = _owner_of(row)
        return found

    def templates_of(self, person_id: PersonId) -> tuple[Owner, NDArray[np.uint64], NDArray[np.float32]]:
        """Return a person with faces and vectors.

        Returns
        -------
        owner : Owner
        keys : ndarray of uint64, shape (n,)
        vectors : ndarray of float32, shape (n, dimension)

        Raises
        ------
        UnknownPersonError
        """
        with self._database.read() as connection:
            row = self._person(connection, person_id)
            rows = connection.execute(TEMPLATES.where(people.c.id == row.id), self.feed.keys).all()
        return _owner_of(row), *vectors_of(rows, self.feed.pin)

    def people(self) -> list[Person]:
        """List everybody, in the order of registration."""
        with self._database.read() as connection:
            rows = connection.execute(_EVERYBODY, self.feed.keys).all()
            stored: dict[int, list[Any]] = {row.id: [] for row in rows}
            query = (
                sa.select(faces).join(people).where(people.c.gallery_id == sa.bindparam("gallery")).order_by(faces.c.id)
            )
            for face in connection.execute(query, self.feed.keys):
                stored[face.person_row].append(face)
        return [_person_of(row, stored[row.id]) for row in rows]

    def person(self, person_id: PersonId) -> Person:
        """Return one person.

        Raises
        ------
        UnknownPersonError
        """
        with self._database.read() as connection:
            row = self._person(connection, person_id)
            return _person_of(row, connection.execute(_FACES_OF, {"person": row.id}).all())

    def check(self, person_id: PersonId, given: dict[str, Any], on_existing: OnExisting) -> None:
        """Refuse a registration that `register` would refuse, before anybody has looked at pictures for it.

        Raises
        ------
        ArgumentError
        DuplicatePersonError
        """
        key, _ = key_of(person_id)
        _details(given, clear=False)
        if on_existing == "error":
            with self._database.single() as connection:
                if self._find(connection, key) is not None:
                    raise _duplicate(person_id, self.feed.name)

    def counts(self) -> tuple[int, int]:
        """Tell how many people and faces are stored."""
        mine = people.c.gallery_id == sa.bindparam("gallery")
        with self._database.read() as connection:
            number = connection.execute(
                sa.select(sa.func.count()).select_from(people).where(mine), self.feed.keys
            ).scalar_one()
            joined = sa.select(sa.func.count()).select_from(faces.join(people)).where(mine)
            return number, connection.execute(joined, self.feed.keys).scalar_one()

    def register(
        self,
        person_id: PersonId,
        new: Sequence[NewFace],
        given: dict[str, Any] | None = None,
        *,
        on_existing: OnExisting = "error",
    ) -> Receipt:
        """Store faces under a person's id.

        Parameters
        ----------
        person_id : str or int
        new : sequence of NewFace
        given : dict, optional
            Any of name, email, info; None leaves what is stored.
        on_existing : {"error", "add", "replace"}
            When the person exists: refuse, add the faces, or put them in place of the stored ones.

        Returns
        -------
        Receipt

        Raises
        ------
        ArgumentError
            When something cannot be stored as given.
        DuplicatePersonError
            When the person exists and `on_existing` is "error".
        """
        key, is_int = key_of(person_id)
        vectors = [bytes_of(face.embedding, self.feed.pin) for face in new]
        details = _details(given or {}, clear=False)
        with self.feed.write() as (connection, noted):
            row = self._find(connection, key)
            if row is None:
                values = {"gallery_id": self.feed.keys["gallery"], "key": key, "key_is_int": is_int, "info": "{}"}
                values |= details | {"created_at": noted.at, "updated_at": noted.at}
                number: int = connection.execute(people.insert().values(values).returning(people.c.id)).scalar_one()
            elif on_existing == "error":
                raise _duplicate(person_id, self.feed.name)
            else:
                number, is_int = row.id, row.key_is_int
                if on_existing == "replace":
                    gone = [face.id for face in connection.execute(_FACES_OF, {"person": number})]
                    self._remove(connection, gone)
                    noted.removed(gone)
                connection.execute(
                    people.update().where(people.c.id == number).values(details | {"updated_at": noted.at})
                )
            added = []
            for face, vector in zip(new, vectors, strict=True):
                x1, y1, x2, y2 = face.bbox
                values = {"person_row": number, "x1": x1, "y1": y1, "x2": x2, "y2": y2}
                values |= {"det_score": face.det_score, "created_at": noted.at}
                face_id: int = connection.execute(faces.insert().values(values).returning(faces.c.id)).scalar_one()
                check = checksum_of(face_id, number, self.feed.pin, vector)
                values = {"face_id": face_id, "pack_digest": self.feed.pin.digest, "vector": vector, "checksum": check}
                connection.execute(templates.insert().values(values))
                added.append(face_id)
            noted.added(added)
        return Receipt(person_id_of(key, is_int), tuple(added))

    def update(self, person_id: PersonId, given: dict[str, Any]) -> Person:
        """Change what is known of a person.

        Parameters
        ----------
        person_id : str or int
        given : dict
            Any of name, email, info; None clears.

        Returns
        -------
        Person

        Raises
        ------
        ArgumentError
            When something cannot be stored as given.
        UnknownPersonError
        """
        details = _details(given, clear=True)
        with self.feed.write() as (connection, noted):
            row = self._person(connection, person_id)
            connection.execute(people.update().where(people.c.id == row.id).values(details | {"updated_at": noted.at}))
            changed = self._person(connection, person_id)
            return _person_of(changed, connection.execute(_FACES_OF, {"person": row.id}).all())

    def delete(self, person_id: PersonId) -> Removed:
        """Remove a person with all faces and templates.

        Raises
        ------
        UnknownPersonError
        """
        with self.feed.write() as (connection, noted):
            row = self._person(connection, person_id)
            gone = [face.id for face in connection.execute(_FACES_OF, {"person": row.id})]
            number = self._remove(connection, gone)
            connection.execute(people.delete().where(people.c.id == row.id))
            noted.removed(gone)
        return Removed(_owner_of(row), tuple(gone), number, noted.at)

    def delete_face(self, face_id: int) -> Removed:
        """Remove one face with its template; the person stays.

        Raises
        ------
        UnknownFaceError
        """
        with self.feed.write() as (connection, noted):
            row = connection.execute(_OWNERS, self.feed.keys | {"faces": [face_id]}).one_or_none()
            if row is None:
                raise UnknownFaceError(f"no face {face_id!r} is stored in gallery {self.feed.name!r}", face_id=face_id)
            number = self._remove(connection, [face_id])
            connection.execute(people.update().where(people.c.id == row.person_row).values(updated_at=noted.at))
            noted.removed([face_id])
        return Removed(_owner_of(row), (face_id,), number, noted.at)

    def _find(self, connection: sa.Connection, key: str) -> Any:
        return connection.execute(_PERSON, {"gallery": self.feed.keys["gallery"], "key": key}).one_or_none()

    def _person(self, connection: sa.Connection, person_id: PersonId) -> Any:
        row = self._find(connection, key_of(person_id)[0])
        if row is None:
            raise UnknownPersonError(
                f"nobody is registered as {person_id!r} in gallery {self.feed.name!r}", person_id=person_id
            )
        return row

    def _remove(self, connection: sa.Connection, face_ids: Sequence[int]) -> int:
        """Remove faces with their templates; returns the number of templates."""
        number = 0
        for start in range(0, len(face_ids), CHUNK):
            chunk = face_ids[start : start + CHUNK]
            number += connection.execute(templates.delete().where(templates.c.face_id.in_(chunk))).rowcount
            connection.execute(faces.delete().where(faces.c.id.in_(chunk)))
        return number


def _duplicate(person_id: PersonId, gallery: str) -> DuplicatePersonError:
    """Make the refusal of an id that is taken."""
    return DuplicatePersonError(
        f"somebody is registered as {person_id!r} in gallery {gallery!r}; "
        "choose on_existing='add' or 'replace', or another id",
        person_id=person_id,
    )


def _details(given: dict[str, Any], *, clear: bool) -> dict[str, Any]:
    """Columns from name, email and info; None clears a column, or leaves it."""
    details: dict[str, Any] = {}
    for field, value in given.items():
        if value is None:
            if clear:
                details[field] = "{}" if field == "info" else None
        else:
            details[field] = json_of(value) if field == "info" else checked_text(field, value)
    return details


def _owner_of(row: Any) -> Owner:
    return Owner(person_id_of(row.key, row.key_is_int), row.name)


def _person_of(row: Any, stored: Sequence[Any]) -> Person:
    return Person(
        person_id=person_id_of(row.key, row.key_is_int),
        name=row.name,
        email=row.email,
        info=info_of(row.info),
        created_at=row.created_at,
        updated_at=row.updated_at,
        faces=tuple(
            StoredFace(face.id, (face.x1, face.y1, face.x2, face.y2), face.det_score, face.created_at)
            for face in stored
        ),
    )
