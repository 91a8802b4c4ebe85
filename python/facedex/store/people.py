"""The people of one gallery, read."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa

from ..errors import ArgumentError
from ..records import Person, StoredFace
from .checksums import agrees, check_face, check_person, link_of, naming_of, person_damaged
from .rows import LONGEST, Owner, damaged_owner, info_of, json_of, person_id_of, text_within
from .tables import faces, people

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

PERSON = sa.select(people).where(people.c.gallery_id == sa.bindparam("gallery"), people.c.key == sa.bindparam("key"))
EVERYBODY = sa.select(people).where(people.c.gallery_id == sa.bindparam("gallery")).order_by(people.c.id)


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


def owner_if_sound(row: Any) -> Owner:
    """Take the owner from a row of `OWNERS`."""
    naming = naming_of(row.person_row, row.gallery_id, row.key, row.key_is_int, row.name)
    sound = agrees(row.checksum, naming) and agrees(row.link, link_of(row.id, row.person_row))
    return owner_of(row) if sound else damaged_owner(row.id)


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


def details_of(given: dict[str, Any], *, clear: bool) -> dict[str, Any]:
    """Columns from name, email, info and retain_until; None clears a column, or leaves it."""
    details: dict[str, Any] = {}
    for field, value in given.items():
        if value is None:
            if clear:
                details[field] = "{}" if field == "info" else None
        elif field == "retain_until":
            details[field] = _moment(value)
        else:
            details[field] = json_of(value) if field == "info" else text_within(field, value, LONGEST[field])
    return details


def _moment(value: object) -> datetime:
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise ArgumentError(f"retain_until must be a datetime with a time zone, got {value!r}")
    try:
        return value.astimezone(timezone.utc)
    except OverflowError:
        raise ArgumentError(f"retain_until must be a time from year 1 to 9999 in UTC, got {value!r}") from None
