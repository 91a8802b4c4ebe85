"""The people of a gallery as rows: found, listed, written. Each function runs in the transaction of its connection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any, NamedTuple

import sqlalchemy as sa

from ..checks import check_moment
from ..errors import DuplicatePersonError, UnknownPersonError
from ..options import PersonDetails
from ..records import Person, PersonId, StoredFace
from .audit import Subject
from .checksums import (
    agrees,
    check_face,
    check_person,
    insert_rows,
    link_checksum,
    name_checksum,
    person_checksum,
    person_damaged,
)
from .columns import Instant
from .feed import CHUNK, Feed
from .rows import (
    LONGEST,
    Owner,
    damaged_owner,
    info_of,
    json_of,
    key_of,
    person_id_of,
    plain_id,
    spellings_of,
    text_within,
)
from .tables import faces, people, templates
from .vault import PersonCipher

_NAMED = (
    sa.select(faces.c.id, faces.c.person_row, faces.c.checksum.label("link"))
    .add_columns(people.c.gallery_id, people.c.key, people.c.key_is_int, people.c.name, people.c.checksum)
    .join(people, faces.c.person_row == people.c.id)
)
_OWNERS = _NAMED.where(
    people.c.gallery_id == sa.bindparam("gallery"), faces.c.id.in_(sa.bindparam("faces", expanding=True))
)
"""The people of faces, with the checksums of both."""

_FACES_OF_PEOPLE = (
    _NAMED.add_columns(templates.c.vector, templates.c.checksum.label("of_vector"), people.c.data_key)
    .join(templates, templates.c.face_id == faces.c.id)
    .where(people.c.gallery_id == sa.bindparam("gallery"), people.c.id.in_(sa.bindparam("people", expanding=True)))
    .where(templates.c.pack_digest == sa.bindparam("digest"))
    .order_by(faces.c.id)
)

_FACES_OF = sa.select(faces).where(faces.c.person_row == sa.bindparam("person")).order_by(faces.c.id)

_PERSON = sa.select(people).where(
    people.c.gallery_id == sa.bindparam("gallery"), people.c.key.in_(sa.bindparam("keys", expanding=True))
)


class StoredPerson(NamedTuple):
    """A person in the database: number of the row, key, whether the id is an integer, and the cipher under a key."""

    row: int
    key: str
    is_int: bool
    cipher: PersonCipher | None

    @property
    def subject(self) -> Subject:
        """The person as the audit names them."""
        return Subject(self.row, self.key, self.is_int)


def find_person(connection: sa.Connection, feed: Feed, person_id: PersonId) -> Any:
    """Return the row of a person; None when there is none.

    A person of an older gallery is found under every spelling of the id; of two whose ids differ only in the spelling,
    the one with the spelling that is given.

    Raises
    ------
    DatabaseDamagedError
        When a damaged index gives the row of another person.
    """
    key_of(person_id)  # refuses what is no id
    keys = spellings_of(person_id)
    rows = connection.execute(_PERSON, {"gallery": feed.gallery_id, "keys": keys}).all()
    for row in rows:
        if row.key not in keys:
            raise person_damaged(row.id)
    return min(rows, key=lambda row: keys.index(row.key), default=None)


def find_keys(connection: sa.Connection, feed: Feed, keys: Sequence[str]) -> set[str]:
    """Return the keys that exist, normalised."""
    found: set[str] = set()
    stored = [spelling for key in keys for spelling in spellings_of(key)]
    for start in range(0, len(stored), CHUNK):
        mine = people.c.gallery_id == feed.gallery_id, people.c.key.in_(stored[start : start + CHUNK])
        found.update(map(plain_id, connection.execute(sa.select(people.c.key).where(*mine)).scalars()))
    return found


def require_person(connection: sa.Connection, feed: Feed, person_id: PersonId) -> Any:
    """Return the row of a person, or raise `UnknownPersonError`."""
    row = find_person(connection, feed, person_id)
    if row is None:
        raise UnknownPersonError(f"nobody is registered as {person_id!r} in gallery {feed.name!r}", person_id=person_id)
    return row


def duplicate_person(person_id: PersonId, gallery: str, remedy: str) -> DuplicatePersonError:
    """Make the error for an id that is in use."""
    return DuplicatePersonError(
        f"somebody is registered as {person_id!r} in gallery {gallery!r}; choose {remedy}", person_id=person_id
    )


def find_owners(connection: sa.Connection, feed: Feed, face_ids: Sequence[int]) -> list[Any]:
    """Return the rows of faces with their people: face ``id``, ``person_row``, and what names the person."""
    rows: list[Any] = []
    for start in range(0, len(face_ids), CHUNK):
        asked = feed.parameters | {"faces": list(face_ids[start : start + CHUNK])}
        rows += connection.execute(_OWNERS, asked).all()
    return rows


def find_faces(connection: sa.Connection, feed: Feed, person_rows: Sequence[int]) -> list[Any]:
    """Return rows as `find_owners` does, of all faces of these people with a template of the gallery's pack.

    They have the template's ``vector``, its checksum as ``of_vector``, and the ``data_key`` of the person.
    """
    return list(connection.execute(_FACES_OF_PEOPLE, feed.parameters | {"people": list(person_rows)}))


def owner_of(row: Any) -> Owner:
    """Return the owner from a row with key, key_is_int and name, unchecked."""
    return Owner(person_id_of(row.key, row.key_is_int), row.name)


def check_owner(row: Any) -> Owner:
    """Return the owner from a row of `find_owners`; `damaged_owner` when the row is not what was stored."""
    naming = name_checksum(row.person_row, row.gallery_id, row.key, row.key_is_int, row.name)
    intact = agrees(row.checksum, naming) and agrees(row.link, link_checksum(row.id, row.person_row))
    return owner_of(row) if intact else damaged_owner(row.id)


def read_faces(connection: sa.Connection, person_row: int) -> Sequence[Any]:
    """Return the rows of a person's faces, oldest first.

    Raises
    ------
    DatabaseDamagedError
        When a damaged index gives the face of another person.
    """
    rows = connection.execute(_FACES_OF, {"person": person_row}).all()
    if any(face.person_row != person_row for face in rows):
        raise person_damaged(person_row)
    return rows


def read_person(connection: sa.Connection, row: Any) -> Person:
    """Return the person of a row of ``people``, with faces.

    Raises
    ------
    DatabaseDamagedError
        When a row is not what was stored.
    """
    return _person_of(row, connection.execute(_FACES_OF, {"person": row.id}).all())


def read_people(connection: sa.Connection, query: sa.Select[Any]) -> list[Person]:
    """Return the people of a query over ``people``, with faces, in two statements.

    Raises
    ------
    DatabaseDamagedError
        When a row is not what was stored.
    """
    rows = connection.execute(query).all()
    chosen = query.with_only_columns(people.c.id).subquery()
    stored = group_faces(
        [row.id for row in rows],
        connection.execute(sa.select(faces).join(chosen, chosen.c.id == faces.c.person_row).order_by(faces.c.id)),
    )
    return [_person_of(row, stored[row.id]) for row in rows]


def group_faces(person_rows: Iterable[int], rows: Iterable[Any]) -> dict[int, list[Any]]:
    """Group rows of faces by person.

    Raises
    ------
    DatabaseDamagedError
        When a damaged index gives the face of a person who was not asked for.
    """
    stored: dict[int, list[Any]] = {number: [] for number in person_rows}
    for face in rows:
        if face.person_row not in stored:
            raise person_damaged(face.person_row)
        stored[face.person_row].append(face)
    return stored


def person_details(row: Any) -> dict[str, Any]:
    """Return all but the faces from a row of ``people``.

    Raises
    ------
    DatabaseDamagedError
        When it is not what was stored.
    """
    check_person(row)
    details = {name: getattr(row, name) for name in PersonDetails.__annotations__} | {"info": info_of(row.info)}
    times = {"created_at": row.created_at, "updated_at": row.updated_at}
    return {"person_id": person_id_of(row.key, row.key_is_int)} | details | times


def _person_of(row: Any, stored: Sequence[Any]) -> Person:
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


def stored_person(feed: Feed, row: Any) -> StoredPerson:
    """Return a person from a row of ``people``, to which faces are added.

    Raises
    ------
    DatabaseDamagedError
        When the row is not what was stored.
    """
    check_person(row)
    cipher = None if feed.vault is None else feed.vault.person_cipher(row.data_key, row.key, row.key_is_int)
    return StoredPerson(row.id, row.key, row.key_is_int, cipher)


class NewPerson(NamedTuple):
    """A person to be stored: the id, columns of `details_of`, and times."""

    person_id: PersonId
    details: dict[str, Any]
    created_at: datetime
    updated_at: datetime


def insert_people(connection: sa.Connection, feed: Feed, new: Sequence[NewPerson]) -> list[StoredPerson]:
    """Insert people whose ids are not in use."""
    vault, rows = feed.vault, []
    empty = dict.fromkeys(PersonDetails.__annotations__) | {"info": "{}"}
    for person in new:
        key, is_int = key_of(person.person_id)
        values: dict[str, Any] = {"gallery_id": feed.gallery_id, "key": key, "key_is_int": is_int}
        values |= {"created_at": _utc(person.created_at), "updated_at": _utc(person.updated_at)}
        values["data_key"] = None if vault is None else vault.new_data_key(key, is_int)
        rows.append(values | empty | person.details)
    numbers = insert_rows(connection, people, rows)
    return [
        StoredPerson(
            number,
            row["key"],
            row["key_is_int"],
            None if vault is None else vault.person_cipher(row["data_key"], row["key"], row["key_is_int"]),
        )
        for number, row in zip(numbers, rows, strict=True)
    ]


def update_person(connection: sa.Connection, row: Any, details: dict[str, Any], at: datetime) -> Any:
    """Change columns of a person and the time of the last change; returns the new row.

    A damaged row stays damaged: it gets no new checksum.
    """
    values = details | {"updated_at": at}
    changed = SimpleNamespace(**(row._asdict() | values))
    if row.checksum == person_checksum(row):
        changed.checksum = values["checksum"] = person_checksum(changed)
    connection.execute(people.update().where(people.c.id == row.id).values(values))
    return changed


def touch_person(connection: sa.Connection, number: int, at: datetime) -> None:
    """Set the time of the last change of a person."""
    row = connection.execute(sa.select(people).where(people.c.id == number)).one()
    update_person(connection, row, {}, at)


def details_of(given: dict[str, Any], *, clear: bool) -> dict[str, Any]:
    """Return the columns for the details of a person; None clears a column, or leaves it.

    Raises
    ------
    ArgumentError
        When something cannot be stored as given.
    """
    details: dict[str, Any] = {}
    for field, value in given.items():
        if value is None:
            if clear:
                details[field] = "{}" if field == "info" else None
        elif field == "info":
            details[field] = json_of(value)
        elif isinstance(people.c[field].type, Instant):
            details[field] = check_moment(field, value)
        else:
            details[field] = text_within(field, value, LONGEST[field])
    return details


def _utc(value: datetime) -> datetime:
    return value.astimezone(timezone.utc)
