"""The photos of a gallery as rows: stored beside the faces that were found in them, read, checked and removed.

A photo is a JPEG, PNG or WebP file, under its person's key where the gallery is encrypted. Its checksum is over what is
stored, so that it can be checked without the key. Refused on the way in: another type. Refused on the way out: one that
is not what was stored. A database may come from elsewhere, so the stored type of a photo is not trusted.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa

from ..errors import ArgumentError, PhotoIntegrityError, PhotoTooLargeError, UnknownPhotoError
from ..records import Photo
from .checksums import agrees, name_checksum, person_damaged
from .feed import CHUNK, Feed
from .rows import NewPhoto, person_id_of, plain_name
from .tables import faces, people, photos
from .vault import PersonCipher, Vault

LARGEST = 32 << 20
"""Largest photo that is stored, bytes."""

MEDIA_TYPES = ("image/jpeg", "image/png", "image/webp")
"""The types of photos that are stored."""

UNKNOWN_TYPE = "application/octet-stream"
"""The type of a stored photo that is none of these, as imports once stored them."""

CONTENT = (photos.c.content, photos.c.checksum, people.c.data_key)
"""Further columns for `photo_content`."""

_COLUMNS = (
    photos.c.id,
    photos.c.person_row,
    photos.c.rendition,
    photos.c.media_type,
    photos.c.width,
    photos.c.height,
    photos.c.filename,
    photos.c.created_at,
    people.c.key,
    people.c.key_is_int,
    people.c.gallery_id,
    people.c.name,
    people.c.checksum.label("naming"),
)
_LINKED = sa.select(faces.c.id, faces.c.photo_id).join(
    photos, sa.and_(photos.c.id == faces.c.photo_id, photos.c.person_row == faces.c.person_row)
)
"""Faces with their photos, without damaged links to another person's photo."""


def select_photos(feed: Feed, chosen: sa.ColumnElement[bool], *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """Return a query over photos of a gallery, oldest first, with their people and further columns."""
    query = sa.select(*_COLUMNS, *columns).join(people, people.c.id == photos.c.person_row)
    return query.where(people.c.gallery_id == feed.gallery_id, chosen).order_by(photos.c.id)


def require_photo(connection: sa.Connection, feed: Feed, photo_id: int, *columns: sa.ColumnElement[Any]) -> Any:
    """Return the row of a photo, or raise `UnknownPhotoError`."""
    row = connection.execute(select_photos(feed, photos.c.id == photo_id, *columns)).one_or_none()
    if row is None:
        raise unknown_photo(feed, photo_id)
    return row


def unknown_photo(feed: Feed, photo_id: int) -> UnknownPhotoError:
    """Make the error for a photo that is not stored."""
    return UnknownPhotoError(f"no photo {photo_id!r} is stored in gallery {feed.name!r}", photo_id=photo_id)


def describe_photos(connection: sa.Connection, rows: Sequence[Any]) -> list[Photo]:
    """Return the photos of rows of `select_photos`, with the faces that were found in them.

    Raises
    ------
    DatabaseDamagedError
        When the row of a person is not what was stored.
    """
    for row in rows:
        naming = name_checksum(row.person_row, row.gallery_id, row.key, row.key_is_int, row.name)
        if not agrees(row.naming, naming):
            raise person_damaged(row.person_row)
    shown: dict[int, list[int]] = {row.id: [] for row in rows}
    numbers = list(shown)
    for start in range(0, len(numbers), CHUNK):
        chosen = _LINKED.where(photos.c.id.in_(numbers[start : start + CHUNK]))
        for face_id, photo_id in connection.execute(chosen.order_by(faces.c.id)):
            shown[photo_id].append(face_id)
    return [
        Photo(
            photo_id=row.id,
            person_id=person_id_of(row.key, row.key_is_int),
            rendition=row.rendition,
            media_type=row.media_type if row.media_type in MEDIA_TYPES else UNKNOWN_TYPE,
            width=row.width,
            height=row.height,
            filename=plain_name(row.filename),
            faces=tuple(shown[row.id]),
            created_at=row.created_at,
        )
        for row in rows
    ]


def photo_content(vault: Vault | None, row: Any) -> bytes:
    """Return the file of a row with id, person_row, content, checksum, data_key, key and key_is_int.

    Raises
    ------
    PhotoIntegrityError
        When it is not what was stored.
    """
    stored = bytes(row.content)
    check_photo(row.id, row.person_row, stored, row.checksum)
    if vault is None:
        return stored
    return vault.person_cipher(row.data_key, row.key, row.key_is_int).decrypt_photo(stored, row.id, row.person_row)


def original_content(connection: sa.Connection, feed: Feed, photo_id: int, person_row: int) -> bytes | None:
    """Return the file of a person's photo; None when it is no original.

    Raises
    ------
    PhotoIntegrityError
        When it is not what was stored, or another person's.
    """
    chosen = sa.and_(photos.c.id == photo_id, photos.c.rendition == "original")
    row = connection.execute(select_photos(feed, chosen, *CONTENT)).one_or_none()
    if row is not None and row.person_row != person_row:
        raise PhotoIntegrityError(
            f"a face refers to photo {photo_id}, which is another person's; repair it with 'facedex fsck --repair'",
            photo_id=photo_id,
        )
    return None if row is None else photo_content(feed.vault, row)


def insert_photo(
    connection: sa.Connection, feed: Feed, photo: NewPhoto, person_row: int, cipher: PersonCipher | None, at: datetime
) -> int:
    """Insert a photo of a person; returns its number.

    Raises
    ------
    ArgumentError
        When it is of a type that is not stored.
    PhotoTooLargeError
    """
    check_type(photo.media_type)
    check_size(len(photo.content))
    values: dict[str, Any] = {"person_row": person_row, "rendition": photo.rendition, "media_type": photo.media_type}
    values |= {"width": photo.width, "height": photo.height, "filename": photo.filename}
    values |= {"content": b"", "checksum": 0, "created_at": at.astimezone(timezone.utc)}
    inserted: Any = connection.execute(photos.insert().values(values))
    photo_id = int(inserted.inserted_primary_key[0])
    # Its number is part of what is encrypted and of the checksum.
    write_photo(connection, feed, photo_id, person_row, photo.content, cipher)
    return photo_id


def write_photo(
    connection: sa.Connection, feed: Feed, photo_id: int, person_row: int, content: bytes, cipher: PersonCipher | None
) -> None:
    """Write the content of a photo, encrypted where there is a key, with its checksum.

    Raises
    ------
    PhotoTooLargeError
        When the database cannot store it.
    """
    stored = content if cipher is None else cipher.encrypt_photo(content, photo_id, person_row)
    limit = feed.database.packet_limit(connection, stored)
    if limit is not None:
        raise PhotoTooLargeError(
            f"the photo has {len(stored)} bytes, and database {feed.database.place} takes statements of at most "
            f"{limit}; have its administrator raise max_allowed_packet (twice the photo and more), or keep a thumbnail",
            measured=len(stored),
            limit=limit,
        )
    check = photo_checksum(photo_id, person_row, stored)
    connection.execute(photos.update().where(photos.c.id == photo_id).values(content=stored, checksum=check))


def photos_of(connection: sa.Connection, face_ids: Sequence[int]) -> list[int]:
    """Return the photos in which faces were found."""
    found: set[int] = set()
    for start in range(0, len(face_ids), CHUNK):
        chosen = _LINKED.where(faces.c.id.in_(face_ids[start : start + CHUNK]))
        found.update(row.photo_id for row in connection.execute(chosen))
    return sorted(found)


def remove_faceless(connection: sa.Connection, photo_ids: Sequence[int]) -> int:
    """Remove those of the photos in which no stored face was found; returns their number."""
    number = 0
    for start in range(0, len(photo_ids), CHUNK):
        chunk = photo_ids[start : start + CHUNK]
        shown = set(connection.execute(sa.select(faces.c.photo_id).where(faces.c.photo_id.in_(chunk))).scalars())
        gone = [photo_id for photo_id in chunk if photo_id not in shown]
        if gone:
            number += connection.execute(photos.delete().where(photos.c.id.in_(gone))).rowcount
    return number


def check_size(number: int) -> None:
    """Refuse a photo of too many bytes.

    Raises
    ------
    PhotoTooLargeError
    """
    if number > LARGEST:
        raise PhotoTooLargeError(
            f"the photo has {number} bytes without metadata, at most {LARGEST} are kept; keep a thumbnail",
            measured=number,
            limit=LARGEST,
        )


def media_type_of(content: bytes) -> str:
    r"""Return the type of a photo by its first bytes.

    Returns
    -------
    str
        One of `MEDIA_TYPES`, or `UNKNOWN_TYPE`.

    Examples
    --------
    >>> media_type_of(b"\xff\xd8\xff\xe0"), media_type_of(b"<html>")
    ('image/jpeg', 'application/octet-stream')
    """
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    return "image/webp" if content[:4] == b"RIFF" and content[8:12] == b"WEBP" else UNKNOWN_TYPE


def check_type(media_type: str) -> None:
    """Refuse a type of photo that is not stored.

    Raises
    ------
    ArgumentError
    """
    if media_type not in MEDIA_TYPES:
        raise ArgumentError(f"the media type of a photo must be one of {', '.join(MEDIA_TYPES)}, got {media_type!r}")


def check_photo(photo_id: int, person_row: int, stored: bytes, checksum: int) -> None:
    """Refuse a photo whose checksum is wrong.

    Raises
    ------
    PhotoIntegrityError
    """
    if checksum != photo_checksum(photo_id, person_row, stored):
        raise PhotoIntegrityError(
            f"the stored photo {photo_id} is damaged; restore the database from a backup", photo_id=photo_id
        )


def photo_checksum(photo_id: int, person_row: int, stored: bytes) -> int:
    """Compute the CRC-32 over number, person and stored bytes of a photo; it detects flipped bits and swaps."""
    return zlib.crc32(stored, zlib.crc32(f"photo {photo_id} {person_row}".encode()))
