"""Attendance: who claimed to be whom, what was decided, and when. A person who is deleted is deleted from it too.

The store does that in the transaction that deletes the person, see facedex.store.forgetting.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ..errors import UnknownGalleryError
from ..store import Database
from ..store.changes import now
from ..store.rows import is_storable
from ..store.tables import attendance, galleries, people
from .rows import inserted

_PAGE = 1000
_KEPT = ("contract", "claimed", "person_key", "name", "similarity", "probability", "matched", "liveness", "at")


@dataclass(frozen=True, slots=True)
class Sighted:
    """One attempt to be recognised.

    Attributes
    ----------
    claimed : str or None
        The id that was claimed.
    person_key, name : str or None
        Who it was decided to be; None is nobody.
    matched : bool
        Whether the claim was confirmed.
    similarity : float or None
        Cosine, [-1, 1].
    probability : float or None
        That it is the same person, [0, 1].
    liveness : float or None
        [0, 1], higher is more likely live.
    contract : str
        Through which interface.
    at : datetime
        UTC.
    id : int
    """

    claimed: str | None
    person_key: str | None
    name: str | None
    matched: bool
    similarity: float | None = None
    probability: float | None = None
    liveness: float | None = None
    contract: str = "v1"
    at: datetime | None = None
    id: int = 0


class Attendance:
    """The attendance of the galleries of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, seen: Sighted, gallery: str = "default") -> Sighted:
        """Keep an attempt; returns what was kept, with its id and time.

        Who was deleted since the attempt is not named. A deletion and this wait for each other.
        """
        at = seen.at or now()
        with self._database.write() as connection:
            number = _gallery(connection, gallery)
            # By its primary key, as the store locks it: MariaDB would lock only the name in the index of the names.
            connection.execute(sa.select(galleries.c.id).where(galleries.c.id == number).with_for_update(read=True))
            mine = sa.and_(people.c.gallery_id == number, people.c.key == seen.person_key)
            person_row = connection.execute(sa.select(people.c.id).where(mine)).scalar()
            kept = replace(seen, claimed=_short(seen.claimed), at=at)
            if person_row is None:
                gone = kept.claimed is not None and kept.claimed == seen.person_key
                kept = replace(kept, person_key=None, name=None, claimed=None if gone else kept.claimed)
            values: dict[str, Any] = {name: getattr(kept, name) for name in _KEPT}
            row_id = inserted(connection, attendance, values | {"gallery_id": number, "person_row": person_row})
        return replace(kept, id=row_id)

    def between(self, start: datetime, end: datetime, gallery: str = "default") -> Iterator[Sighted]:
        """Go through the attempts from a time on and before another, in their order."""
        after = 0
        last: Any = start
        while True:
            later = sa.or_(attendance.c.at > last, sa.and_(attendance.c.at == last, attendance.c.id > after))
            with self._database.single() as connection:
                mine = attendance.c.gallery_id == _gallery(connection, gallery)
                query = sa.select(attendance).where(mine, later, attendance.c.at < end)
                rows = connection.execute(query.order_by(attendance.c.at, attendance.c.id).limit(_PAGE)).all()
            for row in rows:
                yield _sighted_of(row)
            if len(rows) < _PAGE:
                return
            after, last = rows[-1].id, rows[-1].at


def _gallery(connection: sa.Connection, name: str) -> int:
    mine = galleries.c.name == name
    number = connection.execute(sa.select(galleries.c.id).where(mine)).scalar() if is_storable(name) else None
    if number is None:
        raise UnknownGalleryError(f"there is no gallery {name!r}")
    return int(number)


def _short(text: str | None) -> str | None:
    return None if text is None else text.replace("\0", "")[:255]


def _sighted_of(row: Any) -> Sighted:
    return Sighted(
        claimed=row.claimed,
        person_key=row.person_key,
        name=row.name,
        matched=row.matched,
        similarity=row.similarity,
        probability=row.probability,
        liveness=row.liveness,
        contract=row.contract,
        at=row.at,
        id=row.id,
    )
