"""Checksums over the rows that say who is who, so that a flipped bit never gives a face another name.

One number holds two sums of 32 and 31 bits: over what names somebody, which is enough to answer whose a face is, and
over the rest. A row is checked before it is believed and before it is changed, never afterwards: what was damaged is
not made valid by a change beside it. A row without a checksum is damaged.
"""

from __future__ import annotations

import zlib
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ..errors import DatabaseDamagedError
from .tables import faces, people

_LOW = (1 << 32) - 1
_HIGH = (1 << 31) - 1  # the column has a sign

_BATCH = 1000  # rows in memory at once
_REMEDY = "restore the database from a backup; 'facedex fsck' tells which rows are damaged"


def naming_of(number: object, gallery: object, key: object, is_int: object, name: object) -> int:
    """Compute the sum over what names a person: row, gallery, id, name."""
    return _sum((number, gallery, key, is_int, name))


def person_checksum(row: Any) -> int:
    """Compute what ``people.checksum`` must be; `row` has all other columns."""
    naming = naming_of(row.id, row.gallery_id, row.key, row.key_is_int, row.name)
    rest = _sum((row.email, row.info, row.retain_until, row.created_at, row.updated_at))
    return naming | (rest & _HIGH) << 32


def face_checksum(row: Any) -> int:
    """Compute what ``faces.checksum`` must be; the photo is left out, which has a checksum of its own."""
    rest = _sum((row.x1, row.y1, row.x2, row.y2, row.det_score, row.quality, row.created_at))
    return link_of(row.id, row.person_row) | (rest & _HIGH) << 32


def link_of(face_id: object, person_row: object) -> int:
    """Compute the sum over what ties a face to its person."""
    return _sum((face_id, person_row))


def agrees(checksum: object, low: int) -> bool:
    """Tell whether a stored checksum has this sum over what names somebody."""
    return isinstance(checksum, int) and checksum & _LOW == low


def check_person(row: Any) -> None:
    """Refuse a row of ``people`` that is not what was stored.

    Raises
    ------
    DatabaseDamagedError
    """
    if row.checksum != person_checksum(row):
        raise person_damaged(row.id)


def check_face(row: Any, person_row: int) -> None:
    """Refuse a row of ``faces`` that is not what was stored, or that a damaged index takes for that person's.

    Raises
    ------
    DatabaseDamagedError
    """
    if row.person_row != person_row or row.checksum != face_checksum(row):
        raise DatabaseDamagedError(f"row {row.id} of faces is not what was stored; {_REMEDY}")


def person_damaged(number: object) -> DatabaseDamagedError:
    """Make the error that names the row of a person, and nothing of what it says."""
    return DatabaseDamagedError(f"row {number} of people is not what was stored; {_REMEDY}")


def seal_person(connection: sa.Connection, number: int) -> None:
    """Write the checksum of a person whose row was checked and then changed, or is new."""
    row = connection.execute(sa.select(people).where(people.c.id == number)).one()
    connection.execute(people.update().where(people.c.id == number).values(checksum=person_checksum(row)))


def touch_person(connection: sa.Connection, number: int, at: datetime) -> None:
    """Note that something of a person was changed; a damaged row stays damaged."""
    row = connection.execute(sa.select(people).where(people.c.id == number)).one()
    connection.execute(people.update().where(people.c.id == number).values(updated_at=at))
    if row.checksum == person_checksum(row):
        seal_person(connection, number)


def seal_face(connection: sa.Connection, face_id: int) -> None:
    """Write the checksum of a face that is new."""
    row = connection.execute(sa.select(faces).where(faces.c.id == face_id)).one()
    connection.execute(faces.update().where(faces.c.id == face_id).values(checksum=face_checksum(row)))


def seal(connection: sa.Connection, table: Any, which: sa.ColumnElement[bool]) -> None:
    """Write the checksums of chosen rows of ``people`` or ``faces`` as they stand, in batches.

    Parameters
    ----------
    connection : sqlalchemy.Connection
    table : sqlalchemy.Table
    which : sqlalchemy expression
        Of the columns of that table.
    """
    compute = person_checksum if table.name == "people" else face_checksum
    write = (
        table.update().where(table.c.id == sa.bindparam("row_id")).values({table.c.checksum: sa.bindparam("check_sum")})
    )
    after = 0
    while True:
        query = sa.select(table).where(which, table.c.id > after).order_by(table.c.id).limit(_BATCH)
        rows = connection.execute(query).all()
        if not rows:
            return
        connection.execute(write, [{"row_id": row.id, "check_sum": compute(row)} for row in rows])
        after = rows[-1].id


def _sum(values: tuple[object, ...]) -> int:
    # No text that is stored holds a NUL, and one that is missing differs from an empty one.
    joined = "\0".join("" if value is None else f"={value}" for value in values)
    return zlib.crc32(joined.encode("utf-8", "surrogatepass"))
