"""The photos of a gallery: stored beside the faces that were found in them, read, and checked.

A photo is a JPEG, PNG or WebP file, under its person's key where the gallery is encrypted. Its checksum is over what is
stored, so that it can be looked at without the key. Refused on the way in: another type. Refused on the way out: one
that is not what was stored. A database may come from elsewhere, so its word about a photo's type is not believed.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from ..errors import ArgumentError, PhotoIntegrityError, PhotoTooLargeError
from .feed import CHUNK, Feed
from .rows import NewPhoto
from .tables import faces, people, photos
from .vault import PersonCipher, Vault

LARGEST = 32 << 20
"""Largest photo that is stored, bytes."""

MEDIA_TYPES = ("image/jpeg", "image/png", "image/webp")
"""The types of photos that are stored."""

UNKNOWN_TYPE = "application/octet-stream"
"""The type of a photo that is stored and is none of these, as imports once stored them."""

ABOUT = (
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
LINKED = sa.select(faces.c.id, faces.c.photo_id).join(
    photos, sa.and_(photos.c.id == faces.c.photo_id, photos.c.person_row == faces.c.person_row)
)
"""Faces with their photos; a damaged link to another person's photo is none."""

CONTENT = (photos.c.content, photos.c.checksum, people.c.data_key)


class Removed(NamedTuple):
    """How much went with faces or a person."""

    templates: int
    photos: int


def photo_content(vault: Vault | None, row: Any) -> bytes:
    """Open the content of a row with id, person_row, content, checksum, data_key, key and key_is_int.

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


def keep_photo(
    connection: sa.Connection, feed: Feed, photo: NewPhoto, person_row: int, cipher: PersonCipher | None, at: datetime
) -> int:
    """Store a photo of a person; returns its number.

    Raises
    ------
    ArgumentError
        When it is of a type that is not stored.
    PhotoTooLargeError
    """
    check_type(photo.media_type)
    check_size(len(photo.content))
    values: dict[str, Any] = {"person_row": person_row, "rendition": photo.rendition, "media_type": photo.media_type}
    values |= {"width": photo.width, "height": photo.height, "filename": photo.filename, "created_at": at}
    inserted: Any = connection.execute(photos.insert().values(values | {"content": b"", "checksum": 0}))
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
        When the database does not take it.
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
    """Tell which photos the faces are of."""
    found: set[int] = set()
    for start in range(0, len(face_ids), CHUNK):
        chosen = LINKED.where(faces.c.id.in_(face_ids[start : start + CHUNK]))
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
    r"""Find the type of a photo from its first bytes.

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
    """Compute the CRC-32 over a photo's number, its person and its bytes as stored: a flipped bit or a swap shows."""
    return zlib.crc32(stored, zlib.crc32(f"photo {photo_id} {person_row}".encode()))
