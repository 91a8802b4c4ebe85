"""The people of one gallery, read."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from ..checks import abbreviate, check_int
from ..errors import ArgumentError, DatabaseDamagedError, UnknownPersonError
from ..records import AuditEvent, AuditReport, Person, PersonId, StoredFace
from .audit_file import exported
from .audit_seal import number_of
from .checksums import agrees, check_face, check_person, link_of, naming_of, person_damaged
from .database import Database
from .feed import CHUNK, Feed
from .journal import Check, Head
from .rows import Owner, info_of, is_storable, key_of, person_id_of, unsound
from .tables import faces, people, photos

_log = logging.getLogger("facedex")

OWNERS = (
    sa.select(faces.c.id, faces.c.person_row, faces.c.checksum.label("link"))
    .add_columns(people.c.gallery_id, people.c.key, people.c.key_is_int, people.c.name, people.c.checksum)
    .join(people, faces.c.person_row == people.c.id)
    .where(people.c.gallery_id == sa.bindparam("gallery"), faces.c.id.in_(sa.bindparam("faces", expanding=True)))
)
"""Whose faces are, with what tells that it is so."""

FACES_OF = sa.select(faces).where(faces.c.person_row == sa.bindparam("person")).order_by(faces.c.id)
"""The faces of a person, oldest first."""

_PERSON = sa.select(people).where(people.c.gallery_id == sa.bindparam("gallery"), people.c.key == sa.bindparam("key"))
_EVERYBODY = sa.select(people).where(people.c.gallery_id == sa.bindparam("gallery")).order_by(people.c.id)


class Lookup:
    """Reads the people of a gallery.

    Parameters
    ----------
    feed : Feed
        The gallery, bound to its pack.
    """

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self._database: Database = feed.database

    def owners(self, face_ids: Iterable[int]) -> dict[int, Owner]:
        """Tell whose the faces are; a face that is not stored is left out, one of a damaged row has no sound owner."""
        wanted = list(face_ids)
        found: dict[int, Owner] = {}
        try:
            with self._database.single() as connection:
                for start in range(0, len(wanted), CHUNK):
                    asked = self.feed.keys | {"faces": wanted[start : start + CHUNK]}
                    for row in connection.execute(OWNERS, asked):
                        found[row.id] = _owner_if_sound(row)
        except DatabaseDamagedError:
            # A row that cannot even be read must not keep the others from being told.
            if len(wanted) == 1:
                return {wanted[0]: unsound(wanted[0])}
            half = len(wanted) // 2
            return self.owners(wanted[:half]) | self.owners(wanted[half:])
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
            check_person(row)
            rows = connection.execute(self.feed.templates_query.where(people.c.id == row.id), self.feed.keys).all()
            return owner_of(row), *self.feed.vectors(connection, rows)

    def people(self) -> list[Person]:
        """List everybody, in the order of registration."""
        with self._database.read() as connection:
            rows = connection.execute(_EVERYBODY, self.feed.keys).all()
            stored: dict[int, list[Any]] = {row.id: [] for row in rows}
            query = (
                sa.select(faces).join(people).where(people.c.gallery_id == sa.bindparam("gallery")).order_by(faces.c.id)
            )
            for face in connection.execute(query, self.feed.keys):
                file_under(stored, face)
        return [person_of(row, stored[row.id]) for row in rows]

    def person(self, person_id: PersonId) -> Person:
        """Return one person.

        Raises
        ------
        UnknownPersonError
        """
        with self._database.read() as connection:
            row = self._person(connection, person_id)
            return person_of(row, connection.execute(FACES_OF, {"person": row.id}).all())

    def person_numbered(self, number: int) -> Person:
        """Return the person of a row.

        Raises
        ------
        UnknownPersonError
        """
        query = sa.select(people).where(people.c.gallery_id == self.feed.keys["gallery"], people.c.id == number)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none() if 0 < number < 2**63 else None
            if row is None:
                raise UnknownPersonError(
                    f"nobody in gallery {self.feed.name!r} has number {abbreviate(number)}", person_id=number
                )
            return person_of(row, connection.execute(FACES_OF, {"person": row.id}).all())

    def people_after(self, number: int, limit: int) -> list[Person]:
        """List people with a higher number, in the order of registration."""
        number, limit = check_int("number", number), check_int("limit", limit, least=0)
        mine = people.c.gallery_id == self.feed.keys["gallery"]
        with self._database.read() as connection:
            query = sa.select(people).where(mine, people.c.id > number).order_by(people.c.id).limit(limit)
            rows = connection.execute(query).all()
            stored: dict[int, list[Any]] = {row.id: [] for row in rows}
            for start in range(0, len(rows), CHUNK):
                asked = [row.id for row in rows[start : start + CHUNK]]
                for face in connection.execute(
                    sa.select(faces).where(faces.c.person_row.in_(asked)).order_by(faces.c.id)
                ):
                    file_under(stored, face)
        return [person_of(row, stored[row.id]) for row in rows]

    def people_with_email(self, email: str) -> list[Person]:
        """List who has an e-mail address, in whatever case, in the order of registration."""
        if not is_storable(email):
            return []
        mine = people.c.gallery_id == self.feed.keys["gallery"]
        with self._database.read() as connection:
            query = sa.select(people).where(mine, sa.func.lower(people.c.email) == email.lower()).order_by(people.c.id)
            found = connection.execute(query).all()
            return [person_of(row, connection.execute(FACES_OF, {"person": row.id}).all()) for row in found]

    def require(self, person_id: PersonId) -> None:
        """Tell that nobody is registered under an id, and nothing else.

        Raises
        ------
        UnknownPersonError
        """
        with self._database.single() as connection:
            self._person(connection, person_id)

    def counts(self) -> tuple[int, int]:
        """Tell how many people and faces are stored."""
        mine = people.c.gallery_id == sa.bindparam("gallery")
        with self._database.read() as connection:
            number = connection.execute(
                sa.select(sa.func.count()).select_from(people).where(mine), self.feed.keys
            ).scalar_one()
            joined = sa.select(sa.func.count()).select_from(faces.join(people)).where(mine)
            return number, connection.execute(joined, self.feed.keys).scalar_one()

    def photo_count(self) -> int:
        """Tell how many photos are kept."""
        mine = people.c.gallery_id == self.feed.keys["gallery"]
        with self._database.single() as connection:
            joined = sa.select(sa.func.count()).select_from(photos.join(people, photos.c.person_row == people.c.id))
            return int(connection.execute(joined.where(mine)).scalar_one())

    def due(self, at: datetime) -> list[PersonId]:
        """List who may be kept no longer at that time, the longest overdue first."""
        query = sa.select(people).where(people.c.gallery_id == self.feed.keys["gallery"], people.c.retain_until <= at)
        with self._database.single() as connection:
            rows = connection.execute(query.order_by(people.c.retain_until, people.c.id)).all()
        found = []
        for row in rows:
            try:
                check_person(row)
                found.append(person_id_of(row.key, row.key_is_int))
            except DatabaseDamagedError as error:  # the others are still deleted on time
                _log.warning("somebody who may be due is not deleted: %s", error)
        return found

    def audit(self, after: int) -> list[AuditEvent]:
        """Return the next lines of the audit, some at a time."""
        after = check_int("after", after)
        with self._database.single() as connection:
            return self.feed.journal.page(connection, self.feed.book.row, after)

    def check_audit(self, noted: Head | None = None, *, keyed: bool = False) -> AuditReport:
        """Follow the whole chain of the audit, and with `keyed` find a fault in one that no key seals to its end."""
        with self._database.read() as connection:
            return self._audit_report(connection, noted, keyed)

    def export_audit(self) -> Iterator[bytes]:
        """Yield the audit as a file, signed where there is a key; the database is read in one view meanwhile."""
        with self._database.read() as connection:
            head = self.feed.audit_head(connection)
            yield from exported(connection, self.feed.book.row, self.feed.name, self.feed.audit_keys, head)

    def _audit_report(self, connection: sa.Connection, noted: Head | None, keyed: bool) -> AuditReport:
        keys = self.feed.audit_keys
        if keyed and not keys.keys:
            raise ArgumentError(
                "the audit can be checked with a key only where there is one; set FACEDEX_AUDIT_KEY, or FACEDEX_KEY of "
                "an encrypted gallery"
            )
        head, seal = self.feed.audit_head(connection), self.feed.audit_seal(connection)
        mark = number_of(seal)
        check = Check(self.feed.uuid, noted, mark)
        fault = check.run(connection, self.feed.book.row, head)
        believed = mark is not None and check.marked is not None and keys.opens(seal, Head(mark, check.marked))
        if keyed and fault is None and not believed:
            fault = (
                1,
                "nothing of the audit is sealed with this key: it was never sealed, or written anew without the key",
            )
        elif keyed and fault is None and mark is not None and mark < head.seq:
            fault = mark + 1, f"line {mark + 1} and those after it were written without the key"
        return check.report(fault, believed and mark == head.seq if keys.keys else None)

    def _find(self, connection: sa.Connection, key: str) -> Any:
        row = connection.execute(_PERSON, {"gallery": self.feed.keys["gallery"], "key": key}).one_or_none()
        if row is not None and row.key != key:  # the index over the ids is damaged
            raise person_damaged(row.id)
        return row

    def _person(self, connection: sa.Connection, person_id: PersonId) -> Any:
        row = self._find(connection, key_of(person_id)[0])
        if row is None:
            raise UnknownPersonError(
                f"nobody is registered as {person_id!r} in gallery {self.feed.name!r}", person_id=person_id
            )
        return row


def file_under(stored: dict[int, list[Any]], face: Any) -> None:
    """Put a row of a face to those of its person.

    Raises
    ------
    DatabaseDamagedError
        When a damaged index has led to the face of somebody who was not asked for.
    """
    if face.person_row not in stored:
        raise person_damaged(face.person_row)
    stored[face.person_row].append(face)


def owner_of(row: Any) -> Owner:
    """Take the owner from a row with key, key_is_int and name, as it reads."""
    return Owner(person_id_of(row.key, row.key_is_int), row.name)


def _owner_if_sound(row: Any) -> Owner:
    """Take the owner from a row of `OWNERS`."""
    naming = naming_of(row.person_row, row.gallery_id, row.key, row.key_is_int, row.name)
    sound = agrees(row.checksum, naming) and agrees(row.link, link_of(row.id, row.person_row))
    return owner_of(row) if sound else unsound(row.id)


def person_details(row: Any) -> dict[str, Any]:
    """Read all but the faces from a row of ``people``.

    Raises
    ------
    DatabaseDamagedError
        When it is not what was stored.
    """
    check_person(row)
    return {
        "person_id": person_id_of(row.key, row.key_is_int),
        "name": row.name,
        "email": row.email,
        "info": info_of(row.info),
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "retain_until": row.retain_until,
    }


def person_of(row: Any, stored: Sequence[Any]) -> Person:
    """Take a person from a row of ``people`` and the rows of the faces.

    Raises
    ------
    DatabaseDamagedError
        When one of them is not what was stored.
    """
    details = person_details(row)
    for face in stored:
        check_face(face, row.id)
    return Person(
        **details,
        number=row.id,
        faces=tuple(
            StoredFace(
                face.id,
                (face.x1, face.y1, face.x2, face.y2),
                face.det_score,
                face.created_at,
                face.photo_id,
                face.quality,
            )
            for face in stored
        ),
    )
