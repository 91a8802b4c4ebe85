"""People with faces and photos, read from one gallery to be stored in another of the same pack.

Reading is one view of the database, however long it takes, and keeps a few people in memory at a time. Faces without a
template of the gallery's pack are left out. `Store.import_people` stores them: they were accepted before, so no rule of
enrolment applies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from ..errors import ArgumentError, BBox, DatabaseDamagedError, PhotoIntegrityError
from ..options import PersonDetails
from ..records import Person
from .checksums import check_face
from .feed import Feed
from .people import NewPerson, details_of, group_faces, person_details
from .photos import CONTENT, UNKNOWN_TYPE, check_size, check_type, media_type_of, photo_content, select_photos
from .rows import NewPhoto, key_of, plain_name
from .tables import faces, galleries, people, photos

PAGE = 128  # people read at once

_PAGE = (
    sa.select(people)
    .where(people.c.gallery_id == sa.bindparam("gallery"), people.c.id > sa.bindparam("after"))
    .order_by(people.c.id)
)


@dataclass(frozen=True, slots=True, eq=False)
class PortablePhoto:
    """A photo.

    Attributes
    ----------
    photo : NewPhoto
    created_at : datetime
    """

    photo: NewPhoto
    created_at: datetime


@dataclass(frozen=True, slots=True, eq=False)
class PortableFace:
    """A face with its embedding.

    Attributes
    ----------
    bbox : tuple of float
        x1, y1, x2, y2, pixels.
    det_score : float
        [0, 1].
    embedding : ndarray of float32, shape (dimension,)
        Unit length.
    created_at : datetime
    photo : int or None
        Index of its photo among those of the person.
    quality : float or None
        For recognition, [0, 100], where it is known.
    """

    bbox: BBox
    det_score: float
    embedding: NDArray[np.float32]
    created_at: datetime
    photo: int | None = None
    quality: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PortablePerson:
    """A person with faces and photos.

    Attributes
    ----------
    person : Person
        Without faces and number, which are those of a gallery.
    faces : tuple of PortableFace
        Oldest first.
    photos : tuple of PortablePhoto
    """

    person: Person
    faces: tuple[PortableFace, ...]
    photos: tuple[PortablePhoto, ...] = ()


def read_portable(connection: sa.Connection, feed: Feed) -> Iterator[PortablePerson]:
    """Yield all people of a gallery, in the order of registration.

    Raises
    ------
    DatabaseDamagedError
        When something is missing or not what was stored.
    """
    feed.check_key(connection)
    query = sa.select(galleries.c.faces).where(galleries.c.id == feed.gallery_id)
    stored = connection.execute(query).scalar_one()
    after = found = 0
    while rows := connection.execute(_PAGE.limit(PAGE), {"gallery": feed.gallery_id, "after": after}).all():
        for person in _read_page(connection, feed, rows):
            found += len(person.faces)
            yield person
        after = rows[-1].id
    if found != stored:
        raise DatabaseDamagedError(
            f"database {feed.database.place} has {found} templates of gallery {feed.name!r} where {stored} "
            "were stored; restore it from a backup"
        )


def _read_page(connection: sa.Connection, feed: Feed, rows: Sequence[Any]) -> Iterator[PortablePerson]:
    numbers = [row.id for row in rows]
    query = feed.templates_query.where(people.c.id.in_(numbers))
    keys, vectors = feed.vectors(connection, connection.execute(query, feed.parameters).all())
    embeddings = dict(zip(keys.tolist(), vectors, strict=True))
    faces_query = sa.select(faces).where(faces.c.person_row.in_(numbers)).order_by(faces.c.id)
    stored = group_faces(numbers, connection.execute(faces_query))
    photographed = set(
        connection.execute(sa.select(photos.c.person_row).where(photos.c.person_row.in_(numbers))).scalars()
    )
    for row in rows:
        person = Person(**person_details(row), faces=())
        kept = _read_photos(connection, feed, row.id) if row.id in photographed else {}
        yield PortablePerson(
            person,
            tuple(
                _portable_face(face, row.id, embeddings, list(kept)) for face in stored[row.id] if face.id in embeddings
            ),
            tuple(kept.values()),
        )


def _read_photos(connection: sa.Connection, feed: Feed, person_row: int) -> dict[int, PortablePhoto]:
    """Read the photos of a person, by number."""
    query = select_photos(feed, photos.c.person_row == person_row, *CONTENT)
    return {row.id: _portable_photo(feed, row) for row in connection.execute(query).all()}


def _portable_photo(feed: Feed, row: Any) -> PortablePhoto:
    content = photo_content(feed.vault, row)
    media_type = media_type_of(content)
    if media_type == UNKNOWN_TYPE:
        raise PhotoIntegrityError(
            f"photo {row.id} is no JPEG, PNG or WebP, and no gallery would import it; delete it with "
            f"'facedex photos delete {row.id}'",
            photo_id=row.id,
        )
    name = plain_name(row.filename)
    return PortablePhoto(NewPhoto(row.rendition, media_type, row.width, row.height, name, content), row.created_at)


def _portable_face(
    face: Any, person_row: int, embeddings: dict[int, NDArray[np.float32]], photo_ids: list[int]
) -> PortableFace:
    check_face(face, person_row)
    return PortableFace(
        (face.x1, face.y1, face.x2, face.y2),
        face.det_score,
        embeddings[face.id],
        face.created_at,
        photo_ids.index(face.photo_id) if face.photo_id in photo_ids else None,
        face.quality,
    )


def check_portable(portable: PortablePerson) -> None:
    """Refuse what cannot be stored as it is, before a transaction begins; embeddings are not checked.

    Raises
    ------
    ArgumentError
    PhotoTooLargeError
    """
    key_of(portable.person.person_id)
    new_person(portable.person)
    for photo in portable.photos:
        check_size(len(photo.photo.content))
        check_type(photo.photo.media_type)
        found = media_type_of(photo.photo.content)
        if found != photo.photo.media_type:
            raise ArgumentError(f"the media type of a photo is {photo.photo.media_type}, and the file is {found}")


def new_person(person: Person) -> NewPerson:
    """Return what is stored in the row of a person.

    The times are those of the gallery that the person comes from, so that the oldest stays the oldest.
    """
    given = {name: getattr(person, name) for name in PersonDetails.__annotations__}
    return NewPerson(person.person_id, details_of(given, clear=False), person.created_at, person.updated_at)
