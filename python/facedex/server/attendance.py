"""Attendance: attempts to be recognised, with their results. Records of a person are deleted with the person.

The deletion does that in its own transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ..errors import UnknownGalleryError
from ..plain import record_to_dict
from ..store import Database
from ..store.clock import now
from ..store.rows import is_storable, spellings_of
from ..store.tables import galleries, people
from .tables import attendance
from .writing import insert

_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class AttendanceRecord:
    """An attempt to be recognised.

    Attributes
    ----------
    id : int
    at : datetime
        UTC; None before it is stored.
    contract : str
        The interface that was used.
    claimed : str or None
        The id that was claimed.
    person_id, name : str or None
        The person recognised; None is unknown.
    matched : bool
        Whether the claim was confirmed.
    similarity : float or None
        Cosine, [-1, 1].
    probability : float or None
        Of being the same person, [0, 1].
    liveness : float or None
        [0, 1], higher is more likely live.
    """

    id: int = 0
    at: datetime | None = None
    contract: str = "v1"
    claimed: str | None = None
    person_id: str | None = None
    name: str | None = None
    matched: bool
    similarity: float | None = None
    probability: float | None = None
    liveness: float | None = None

    to_dict = record_to_dict


_STORED = ("at", "contract", "claimed", "name", "matched", "similarity", "probability", "liveness")


class Attendance:
    """The attendance records of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, record: AttendanceRecord, gallery: str = "default", *, claimed_is_registered: bool = False
    ) -> AttendanceRecord:
        """Store a record; returns it as stored, with its id and time.

        A person who was deleted since the attempt is not named; with `claimed_is_registered` that includes the claimed
        id, which is otherwise stored as it was claimed. A deletion and this wait for each other.
        """
        record = replace(
            record, claimed=record.claimed and record.claimed.replace("\0", "")[:255], at=record.at or now()
        )
        with self._database.write() as connection:
            number = _gallery(connection, gallery)
            # By its primary key, as the store locks it: MariaDB would lock only the name in the index of the names.
            connection.execute(sa.select(galleries.c.id).where(galleries.c.id == number).with_for_update(read=True))
            mine = sa.and_(people.c.gallery_id == number, people.c.key == record.person_id)
            person_row = connection.execute(sa.select(people.c.id).where(mine)).scalar()
            if person_row is None:
                claimed = None if record.claimed == record.person_id else record.claimed
                record = replace(record, person_id=None, name=None, claimed=claimed)
            if claimed_is_registered and record.claimed not in (None, record.person_id):
                mine = sa.and_(people.c.gallery_id == number, people.c.key.in_(spellings_of(record.claimed)))
                if connection.execute(sa.select(people.c.id).where(mine)).first() is None:
                    record = replace(record, claimed=None)
            values: dict[str, Any] = {name: getattr(record, name) for name in _STORED}
            values |= {"gallery_id": number, "person_row": person_row, "person_key": record.person_id}
            return replace(record, id=insert(connection, attendance, values))

    def between(self, start: datetime, end: datetime, gallery: str = "default") -> Iterator[AttendanceRecord]:
        """Go through the records of a span of time in order; `start` is inclusive, `end` exclusive."""
        after = 0
        last: Any = start
        while True:
            later = sa.or_(attendance.c.at > last, sa.and_(attendance.c.at == last, attendance.c.id > after))
            with self._database.single() as connection:
                mine = attendance.c.gallery_id == _gallery(connection, gallery)
                query = sa.select(attendance).where(mine, later, attendance.c.at < end)
                rows = connection.execute(query.order_by(attendance.c.at, attendance.c.id).limit(_PAGE)).all()
            for row in rows:
                stored = {name: getattr(row, name) for name in _STORED}
                yield AttendanceRecord(id=row.id, person_id=row.person_key, **stored)
            if len(rows) < _PAGE:
                return
            after, last = rows[-1].id, rows[-1].at


def _gallery(connection: sa.Connection, name: str) -> int:
    mine = galleries.c.name == name
    number = connection.execute(sa.select(galleries.c.id).where(mine)).scalar() if is_storable(name) else None
    if number is None:
        raise UnknownGalleryError(f"there is no gallery {name!r}")
    return int(number)
