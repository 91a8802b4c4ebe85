"""People with all that belongs to them, read out of one gallery and stored in another of the same pack.

Reading is one view of the database, however long it takes, and holds a few people at a time. Storing is one transaction
for several people: each is there wholly or not at all. What is stored was accepted before, so no rule of enrolment is
asked. Faces that have no template of the gallery's pack are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from ..errors import ArgumentError, BBox
from ..records import PersonId
from .checksums import check_face
from .people import details_of
from .photos import check_size, check_type, media_type_of
from .rows import NewPhoto, key_of
from .tables import people

PAGE = 128  # people read at once

PAGE_OF_PEOPLE = (
    sa.select(people)
    .where(people.c.gallery_id == sa.bindparam("gallery"), people.c.id > sa.bindparam("after"))
    .order_by(people.c.id)
    .limit(PAGE)
)


@dataclass(frozen=True, slots=True, eq=False)
class PortablePhoto:
    """A photo that is kept.

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
        Place of its photo among those of the person, from 0.
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
    person_id : str or int
    name, email : str or None
    info : dict
    created_at, updated_at : datetime
    retain_until : datetime or None
    faces : tuple of PortableFace
        Oldest first.
    photos : tuple of PortablePhoto
    """

    person_id: PersonId
    name: str | None
    email: str | None
    info: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    retain_until: datetime | None
    faces: tuple[PortableFace, ...]
    photos: tuple[PortablePhoto, ...] = ()


def check_portable(person: PortablePerson) -> None:
    """Refuse what cannot be stored as it is, before a transaction begins; embeddings are not looked at.

    Raises
    ------
    ArgumentError
    PhotoTooLargeError
    """
    key_of(person.person_id)
    details_of(portable_details(person), clear=False)
    for held in person.photos:
        check_size(len(held.photo.content))
        check_type(held.photo.media_type)
        found = media_type_of(held.photo.content)
        if found != held.photo.media_type:
            raise ArgumentError(f"a photo is called {held.photo.media_type} and is {found}")


def portable_details(person: PortablePerson) -> dict[str, Any]:
    """Return name, email, info and retain_until of a person."""
    return {"name": person.name, "email": person.email, "info": person.info, "retain_until": person.retain_until}


def portable_face(
    face: Any, person_row: int, embeddings: dict[int, NDArray[np.float32]], kept: list[int]
) -> PortableFace:
    """Read a face from its row, its embedding and the numbers of its person's photos."""
    check_face(face, person_row)
    return PortableFace(
        (face.x1, face.y1, face.x2, face.y2),
        face.det_score,
        embeddings[face.id],
        face.created_at,
        kept.index(face.photo_id) if face.photo_id in kept else None,
        face.quality,
    )
