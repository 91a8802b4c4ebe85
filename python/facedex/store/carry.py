"""People with all that belongs to them, read out of one gallery and stored in another of the same pack.

Reading is one view of the database, however long it takes, and holds a few people at a time. Storing is one transaction
for several people: each is there wholly or not at all. What is stored was accepted before, so no rule of enrolment is
asked. Faces that have no template of the gallery's pack are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from ..errors import ArgumentError, BBox, DatabaseDamagedError, DuplicatePersonError, PhotoIntegrityError
from ..options import OnExisting
from ..records import PersonId
from .changes import Changes
from .checksums import check_face, check_person, seal_person, touch_person
from .journal import Subject
from .lookup import file_under, person_details
from .photos import UNKNOWN_TYPE, check_size, check_type, keep_photo, media_type_of
from .rows import NewFace, NewPhoto, Receipt, bytes_of, key_of, person_id_of, plain_name
from .sql import SqlStore, details_of
from .tables import faces, galleries, people, photos

PAGE = 128  # people read at once

_PAGE = (
    sa.select(people)
    .where(people.c.gallery_id == sa.bindparam("gallery"), people.c.id > sa.bindparam("after"))
    .order_by(people.c.id)
    .limit(PAGE)
)


@dataclass(frozen=True, slots=True, eq=False)
class CarriedPhoto:
    """A photo that is kept.

    Attributes
    ----------
    photo : NewPhoto
    created_at : datetime
    """

    photo: NewPhoto
    created_at: datetime


@dataclass(frozen=True, slots=True, eq=False)
class CarriedFace:
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
class CarriedPerson:
    """A person with faces and photos.

    Attributes
    ----------
    person_id : str or int
    name, email : str or None
    info : dict
    created_at, updated_at : datetime
    retain_until : datetime or None
    faces : tuple of CarriedFace
        Oldest first.
    photos : tuple of CarriedPhoto
    """

    person_id: PersonId
    name: str | None
    email: str | None
    info: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    retain_until: datetime | None
    faces: tuple[CarriedFace, ...]
    photos: tuple[CarriedPhoto, ...] = ()


class CarryStore(SqlStore):
    """Reads and stores whole people of a gallery.

    Parameters
    ----------
    feed : Feed
        The gallery, bound to its pack.
    """

    def carried(self) -> Iterator[CarriedPerson]:
        """Go through everybody, in the order of registration.

        Raises
        ------
        DatabaseDamagedError
            When something is missing or not what was stored.
        """
        with self._database.read() as connection:
            self.feed.check_key(connection)
            mine = galleries.c.id == self.feed.keys["gallery"]
            stored = connection.execute(sa.select(galleries.c.faces).where(mine)).scalar_one()
            after = found = 0
            while rows := connection.execute(_PAGE, {"gallery": self.feed.keys["gallery"], "after": after}).all():
                for person in self._page(connection, rows):
                    found += len(person.faces)
                    yield person
                after = rows[-1].id
        if found != stored:
            raise DatabaseDamagedError(
                f"database {self._database.place} has {found} templates of gallery {self.feed.name!r} where {stored} "
                "were stored; restore it from a backup"
            )

    def carry(
        self,
        batch: Sequence[CarriedPerson],
        on_existing: OnExisting,
        forget: Callable[[], object],
    ) -> list[Receipt | DuplicatePersonError]:
        """Store people, in one transaction.

        Parameters
        ----------
        batch : sequence of CarriedPerson
        on_existing : {"error", "add", "replace"}
            When a person exists: refuse that one, add faces and photos, or put them in place of the stored ones.
        forget : callable
            Called before stored faces are removed.

        Returns
        -------
        list of Receipt or DuplicatePersonError
            One for each person, in order.
        """
        with self.feed.write() as (connection, noted):
            return [self._carry(connection, noted, person, on_existing, forget) for person in batch]

    def _page(self, connection: sa.Connection, rows: Sequence[Any]) -> Iterator[CarriedPerson]:
        numbers = [row.id for row in rows]
        query = self.feed.templates_query.where(people.c.id.in_(numbers))
        keys, vectors = self.feed.vectors(connection, connection.execute(query, self.feed.keys).all())
        embeddings = dict(zip(keys.tolist(), vectors, strict=True))
        shown: dict[int, list[Any]] = {number: [] for number in numbers}
        for face in connection.execute(sa.select(faces).where(faces.c.person_row.in_(numbers)).order_by(faces.c.id)):
            file_under(shown, face)
        pictured = set(
            connection.execute(sa.select(photos.c.person_row).where(photos.c.person_row.in_(numbers))).scalars()
        )
        for row in rows:
            details = person_details(row)
            kept = self._kept(connection, row.id) if row.id in pictured else {}
            yield CarriedPerson(
                **details,
                faces=tuple(
                    _face(face, row.id, embeddings, list(kept)) for face in shown[row.id] if face.id in embeddings
                ),
                photos=tuple(kept.values()),
            )

    def _kept(self, connection: sa.Connection, person_row: int) -> dict[int, CarriedPhoto]:
        """Read the photos of a person, by number."""
        query = self._photos(photos.c.person_row == person_row, photos.c.content, photos.c.checksum, people.c.data_key)
        return {row.id: self._carried_photo(row) for row in connection.execute(query).all()}

    def _carried_photo(self, row: Any) -> CarriedPhoto:
        content = self.content(row)
        media_type = media_type_of(content)
        if media_type == UNKNOWN_TYPE:
            raise PhotoIntegrityError(
                f"photo {row.id} is no JPEG, PNG or WebP, and no gallery would import it; delete it with "
                f"'facedex photos delete {row.id}'",
                photo_id=row.id,
            )
        name = plain_name(row.filename)
        return CarriedPhoto(NewPhoto(row.rendition, media_type, row.width, row.height, name, content), row.created_at)

    def _carry(
        self,
        connection: sa.Connection,
        noted: Changes,
        person: CarriedPerson,
        on_existing: str,
        forget: Callable[[], object],
    ) -> Receipt | DuplicatePersonError:
        key, is_int = key_of(person.person_id)
        vectors = [bytes_of(face.embedding, self.feed.pin) for face in person.faces]
        details = details_of(_details(person), clear=False)
        row = self._find(connection, key)
        gone: list[int] = []
        if row is None:
            # Times are those of the gallery that it comes from, so that what is oldest stays oldest.
            number, cabinet = self._enter(connection, key, is_int, details, Changes(person.created_at))
            touch_person(connection, number, person.updated_at)
        elif on_existing == "error":
            return DuplicatePersonError(
                f"somebody is registered as {person.person_id!r} in gallery {self.feed.name!r}; choose "
                "on_existing='add', 'replace' or 'skip'",
                person_id=person.person_id,
            )
        else:
            check_person(row)
            number, is_int, cabinet = row.id, row.key_is_int, self._cabinet(row)
            connection.execute(people.update().where(people.c.id == number).values(details | {"updated_at": noted.at}))
            seal_person(connection, number)
            noted.overwrites = noted.overwrites or bool(details)
            if on_existing == "replace":
                gone = [face.id for face in self._faces_of(connection, number)]
                if gone:
                    forget()
                self._remove(connection, gone, noted)
        kept = [
            keep_photo(connection, self.feed, held.photo, number, cabinet, held.created_at) for held in person.photos
        ]
        added = []
        for face, vector in zip(person.faces, vectors, strict=True):
            photo = None if face.photo is None else kept[face.photo]
            new = NewFace(face.bbox, face.det_score, face.embedding, photo, face.quality)
            added.append(self._keep(connection, number, new, vector, cabinet, Changes(face.created_at)))
        noted.added(added)
        kind = "register" if row is None else on_existing
        noted.event(kind, Subject(number, key, is_int), faces=added, removed=gone, imported=True)
        return Receipt(person_id_of(key, is_int), tuple(added), tuple(gone))


def check_carried(person: CarriedPerson) -> None:
    """Refuse what cannot be stored as it is, before a transaction begins; embeddings are not looked at.

    Raises
    ------
    ArgumentError
    PhotoTooLargeError
    """
    key_of(person.person_id)
    details_of(_details(person), clear=False)
    for held in person.photos:
        check_size(len(held.photo.content))
        check_type(held.photo.media_type)
        found = media_type_of(held.photo.content)
        if found != held.photo.media_type:
            raise ArgumentError(f"a photo is called {held.photo.media_type} and is {found}")


def _details(person: CarriedPerson) -> dict[str, Any]:
    return {"name": person.name, "email": person.email, "info": person.info, "retain_until": person.retain_until}


def _face(face: Any, person_row: int, embeddings: dict[int, NDArray[np.float32]], kept: list[int]) -> CarriedFace:
    check_face(face, person_row)
    return CarriedFace(
        (face.x1, face.y1, face.x2, face.y2),
        face.det_score,
        embeddings[face.id],
        face.created_at,
        kept.index(face.photo_id) if face.photo_id in kept else None,
        face.quality,
    )
