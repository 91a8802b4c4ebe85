"""The people of one gallery and their photos, changed: people without a face, photos added and taken out.

Every method is one transaction, as in facedex.store.sql: what it returned is committed, what it raised left no trace.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from ..checks import check_int
from ..errors import DuplicatePersonError
from ..records import Deletion, Person, PersonId, Photo
from .checksums import check_person, touch_person
from .journal import Subject
from .lookup import FACES_OF, person_of
from .photos import Removed, keep_photo
from .room import Room
from .rows import NewFace, NewPhoto, Receipt, bytes_of, key_of, person_id_of
from .sql import SqlStore, details_of
from .tables import faces, people, photos


class AlbumStore(SqlStore):
    """The people of a gallery and their photos.

    Parameters
    ----------
    feed : Feed
        The gallery, bound to its pack.
    """

    def create(self, person_id: PersonId, given: dict[str, Any]) -> Person:
        """Store a person without a face.

        Parameters
        ----------
        person_id : str or int
        given : dict
            Any of name, email, info, retain_until.

        Raises
        ------
        ArgumentError
            When something cannot be stored as given.
        DuplicatePersonError
        """
        key, is_int = key_of(person_id)
        details = details_of(given, clear=False)
        with self.feed.write() as (connection, noted):
            if self._find(connection, key) is not None:
                raise DuplicatePersonError(
                    f"somebody is registered as {person_id!r} in gallery {self.feed.name!r}; choose another id",
                    person_id=person_id,
                )
            number, _ = self._enter(connection, key, is_int, details, noted)
            noted.event("create", Subject(number, key, is_int))
            return person_of(self._person(connection, person_id), [])

    def add_photo(self, person_id: PersonId, photo: NewPhoto) -> Photo:
        """Store a photo of a person, without a face.

        Raises
        ------
        UnknownPersonError
        PhotoTooLargeError
        """
        with self.feed.write() as (connection, noted):
            row = self._person(connection, person_id)
            check_person(row)
            photo_id = keep_photo(connection, self.feed, photo, row.id, self._cabinet(row), noted.at)
            touch_person(connection, row.id, noted.at)
            noted.event("add_photo", Subject(row.id, row.key, row.key_is_int), photos=[photo_id])
            stored = connection.execute(self._photos(photos.c.id == photo_id)).all()
            return self._described(connection, stored)[0]

    def delete_photo(self, photo_id: int) -> Deletion:
        """Remove a photo with the faces that were registered from it; the person stays.

        Raises
        ------
        UnknownPhotoError
        """
        photo_id = check_int("photo_id", photo_id)
        with self.feed.write(removing=True) as (connection, noted):
            noted.overwrites = True
            row = connection.execute(self._photos(photos.c.id == photo_id, people.c.name)).one_or_none()
            if row is None:
                raise self._unknown(photo_id)
            mine = sa.and_(faces.c.photo_id == photo_id, faces.c.person_row == row.person_row)
            gone = list(connection.execute(sa.select(faces.c.id).where(mine).order_by(faces.c.id)).scalars())
            removed = self._remove(connection, gone, noted, keep_photos=True)
            connection.execute(photos.delete().where(photos.c.id == photo_id))
            touch_person(connection, row.person_row, noted.at)
            receipt = self._receipt(row, False, gone, Removed(removed.templates, 1), 0, noted)
            subject = Subject(row.person_row, row.key, row.key_is_int)
            noted.event("delete_photo", subject, faces=gone, photos=[photo_id], receipt=receipt.digest)
        return receipt

    def rebuild(
        self,
        person_id: PersonId,
        looked_at: Sequence[int],
        new: Sequence[NewFace],
        *,
        room: Room | None = None,
        admit: Callable[[], object] | None = None,
        forget: Callable[[], object] | None = None,
    ) -> Receipt:
        """Put faces in place of those that were registered from photos; the photos stay.

        Parameters
        ----------
        person_id : str or int
        looked_at : sequence of int
            The photos whose faces are replaced.
        new : sequence of NewFace
            Each with the number of the photo it was found in.
        room : Room, optional
            How many faces the person may have.
        admit : callable, optional
            Asked when nobody else can register any more; what it raises undoes it all.
        forget : callable, optional
            Called before stored faces are removed.

        Raises
        ------
        UnknownPersonError
        UnknownPhotoError
            When one of the photos is not the person's, or was deleted meanwhile.
        PersonFullError
            When there is no room.
        """
        vectors = [bytes_of(face.embedding, self.feed.pin) for face in new]
        with self.feed.write() as (connection, noted):
            row = self._person(connection, person_id)
            check_person(row)
            there = set(connection.execute(self._photos(photos.c.person_row == row.id)).scalars())
            missing = next((photo_id for photo_id in looked_at if photo_id not in there), None)
            if missing is not None:
                raise self._unknown(missing)
            if admit is not None:
                admit()
            stored = connection.execute(FACES_OF, {"person": row.id}).all()
            replaced = [face.id for face in stored if face.photo_id in set(looked_at)]
            gone, kept = list(replaced), [True] * len(new)
            if room is not None:
                more, kept = room.made([face for face in stored if face.id not in set(replaced)], new)
                gone += more
            if forget is not None:
                forget()
            self._remove(connection, gone, noted, keep_photos=True)
            cabinet = self._cabinet(row)
            added = [
                self._keep(connection, row.id, face, vector, cabinet, noted) if keep else None
                for face, vector, keep in zip(new, vectors, kept, strict=True)
            ]
            present = [face_id for face_id in added if face_id is not None]
            noted.added(present)
            touch_person(connection, row.id, noted.at)
            noted.event("rebuild", Subject(row.id, row.key, row.key_is_int), faces=present, removed=gone)
        return Receipt(person_id_of(row.key, row.key_is_int), tuple(added), tuple(gone))
