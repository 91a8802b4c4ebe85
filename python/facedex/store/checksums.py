"""Checksums over the rows that name people, so that a flipped bit never gives a face another name.

One number holds two sums of 32 and 31 bits: over what names a person, which is enough to find whose a face is, and over
the rest. A row is checked before it is used and before it is changed, never afterwards: a change never makes a damaged
row valid. A row without a checksum is damaged.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa

from ..errors import DatabaseDamagedError
from .tables import people

_LOW = (1 << 32) - 1
_HIGH = (1 << 31) - 1  # the column has a sign

_UNCHECKED = {"data_key", "checksum"}  # a change of the key wraps the data key again
_NAMING = {"id", "gallery_id", "key", "key_is_int", "name"}
_REST = ("email", "info", "retain_until", "created_at", "updated_at")  # released databases have sums in this order
_LATER = tuple(column.name for column in people.c if column.name not in _UNCHECKED.union(_NAMING, _REST))

_BATCH = 1000  # rows in memory at once
_REMEDY = "restore the database from a backup; 'facedex fsck' lists the damaged rows"


def name_checksum(number: object, gallery: object, key: object, is_int: object, name: object) -> int:
    """Compute the sum over what names a person: number of the row, gallery, id, name."""
    return _sum((number, gallery, key, is_int, name))


def person_checksum(row: Any) -> int:
    """Compute what ``people.checksum`` must be; `row` has all other columns.

    Columns that were added to the table after the first checksums count only where they have a value, so that the
    checksums of older rows stay valid. The rows of older migrations lack them.
    """
    values: list[object] = [getattr(row, name) for name in _REST]
    values += [f"{name}={value}" for name in _LATER if (value := getattr(row, name, None)) is not None]
    rest = _sum(values)
    return name_checksum(row.id, row.gallery_id, row.key, row.key_is_int, row.name) | (rest & _HIGH) << 32


def face_checksum(row: Any) -> int:
    """Compute what ``faces.checksum`` must be; the photo is left out, which has a checksum of its own."""
    rest = _sum((row.x1, row.y1, row.x2, row.y2, row.det_score, row.quality, row.created_at))
    return link_checksum(row.id, row.person_row) | (rest & _HIGH) << 32


def link_checksum(face_id: object, person_row: object) -> int:
    """Compute the sum over what links a face to its person."""
    return _sum((face_id, person_row))


def agrees(checksum: object, low: int) -> bool:
    """Return whether a stored checksum has this sum over what names a person."""
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
    """Refuse a row of ``faces`` that is not what was stored, or that a damaged index gives to that person.

    Raises
    ------
    DatabaseDamagedError
    """
    if row.person_row != person_row or row.checksum != face_checksum(row):
        raise DatabaseDamagedError(f"row {row.id} of faces is not what was stored; {_REMEDY}")


def person_damaged(number: object) -> DatabaseDamagedError:
    """Make the error that names the row of a person, and nothing of its content."""
    return DatabaseDamagedError(f"row {number} of people is not what was stored; {_REMEDY}")


def insert_rows(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> list[int]:
    """Insert rows of ``people`` or ``faces`` with their checksums; returns their numbers, in order.

    A checksum covers the number, which the database gives, so it is written in a second statement.

    Parameters
    ----------
    connection : sqlalchemy.Connection
    table : sqlalchemy.Table
    rows : sequence of dict
        All columns but ``id`` and ``checksum``, in the types that the database returns.
    """
    if not rows:
        return []
    if connection.dialect.insert_executemany_returning_sort_by_parameter_order:
        insert = table.insert().returning(table.c.id, sort_by_parameter_order=True)
        numbers = list(connection.execute(insert, rows).scalars())
    else:  # MySQL has no RETURNING
        numbers = [_inserted_id(connection.execute(table.insert().values(row))) for row in rows]
    named = [SimpleNamespace(id=number, **row) for number, row in zip(numbers, rows, strict=True)]
    _write(connection, table, named)
    return numbers


def write_checksums(connection: sa.Connection, table: Any, which: sa.ColumnElement[bool]) -> None:
    """Write the checksums of chosen rows of ``people`` or ``faces`` as they are stored, in batches.

    Parameters
    ----------
    connection : sqlalchemy.Connection
    table : sqlalchemy.Table
    which : sqlalchemy expression
        Of the columns of that table.
    """
    after = 0
    while True:
        query = sa.select(table).where(which, table.c.id > after).order_by(table.c.id).limit(_BATCH)
        rows = connection.execute(query).all()
        if not rows:
            return
        _write(connection, table, rows)
        after = rows[-1].id


seal = write_checksums  # the name that a released migration imports


def _write(connection: sa.Connection, table: Any, rows: Sequence[Any]) -> None:
    compute = person_checksum if table.name == "people" else face_checksum
    update = table.update().where(table.c.id == sa.bindparam("number")).values({table.c.checksum: sa.bindparam("sum")})
    connection.execute(update, [{"number": row.id, "sum": compute(row)} for row in rows])


def _inserted_id(result: sa.CursorResult[Any]) -> int:
    key: Any = result.inserted_primary_key
    return int(key[0])


def _sum(values: Sequence[object]) -> int:
    # No text that is stored holds a NUL, and one that is missing differs from an empty one.
    joined = "\0".join("" if value is None else f"={value}" for value in values)
    return zlib.crc32(joined.encode("utf-8", "surrogatepass"))
