"""The faces of a gallery and their templates as rows: inserted, removed, and chosen when a person has too many.

Each function runs in the transaction of its connection.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

import sqlalchemy as sa

from ..errors import PersonFullError
from ..options import WhenFull
from .checksums import insert_rows
from .feed import CHUNK, Feed, Transaction
from .people import StoredPerson
from .photos import insert_photo, photos_of, remove_faceless
from .rows import NewFace, NewPhoto, PackPin, bytes_of, checksum_of
from .tables import faces, templates
from .vault import PersonCipher


class Removed(NamedTuple):
    """How many templates and photos were removed with faces or a person."""

    templates: int
    photos: int


def insert_faces(
    connection: sa.Connection, feed: Feed, new: Sequence[tuple[StoredPerson, NewFace, datetime]]
) -> list[int]:
    """Insert faces with their templates and new photos; returns their numbers, in order.

    It costs three statements, however many faces there are, and those of the photos.

    Parameters
    ----------
    connection : sqlalchemy.Connection
    feed : Feed
    new : sequence of (StoredPerson, NewFace, datetime)
        Each face with its person and the time of its registration.

    Raises
    ------
    ArgumentError
        When an embedding has another length than the gallery's, or a photo is of a type that is not stored.
    PhotoTooLargeError
    """
    vectors = [bytes_of(face.embedding, feed.pin) for _, face, _ in new]
    rows = []
    for person, face, at in new:
        photo = face.photo
        if isinstance(photo, NewPhoto):
            photo = insert_photo(connection, feed, photo, person.row, person.cipher, at)
        # As the database returns them: no integer, no narrower number, no negative zero.
        x1, y1, x2, y2, score = (float(value) + 0.0 for value in (*face.bbox, face.det_score))
        quality = None if face.quality is None else float(face.quality) + 0.0
        row: dict[str, Any] = {"photo_id": photo, "created_at": at.astimezone(timezone.utc)}
        row |= {
            "person_row": person.row,
            "x1": x1,
            "y1": y1,
            "x2": x2,
            "y2": y2,
            "det_score": score,
            "quality": quality,
        }
        rows.append(row)
    numbers = insert_rows(connection, faces, rows)
    stored = [
        template_row(feed.pin, face_id, person.row, vector, person.cipher)
        for face_id, vector, (person, _, _) in zip(numbers, vectors, new, strict=True)
    ]
    if stored:
        connection.execute(templates.insert(), stored)
    return numbers


def template_row(
    pin: PackPin, face_id: int, person_row: int, vector: bytes, cipher: PersonCipher | None
) -> dict[str, Any]:
    """Return the row of a template, encrypted where there is a key, with its checksum."""
    stored = vector if cipher is None else cipher.encrypt(vector, face_id, person_row, pin.digest)
    check = checksum_of(face_id, person_row, pin, stored)
    return {"face_id": face_id, "pack_digest": pin.digest, "vector": stored, "checksum": check}


def remove_faces(
    transaction: Transaction, feed: Feed, face_ids: Sequence[int], *, keep_photos: bool = False
) -> Removed:
    """Remove faces with their templates, and the photos that show no other stored face."""
    connection, bound, others = transaction.connection, 0, 0
    owners: dict[int, int | None] = dict.fromkeys(face_ids)
    shown = [] if keep_photos else photos_of(connection, face_ids)
    for start in range(0, len(face_ids), CHUNK):
        chunk = face_ids[start : start + CHUNK]
        theirs = templates.c.face_id.in_(chunk)
        whose = sa.select(faces.c.id, faces.c.person_row).where(faces.c.id.in_(chunk)).order_by(faces.c.id)
        owners |= {row.id: row.person_row for row in connection.execute(whose)}
        mine = sa.and_(theirs, templates.c.pack_digest == feed.pin.digest)
        bound += connection.execute(templates.delete().where(mine)).rowcount
        others += connection.execute(templates.delete().where(theirs)).rowcount
        connection.execute(faces.delete().where(faces.c.id.in_(chunk)))
    transaction.remove_faces(owners, bound)
    return Removed(bound + others, remove_faceless(connection, shown))


class FaceLimit(NamedTuple):
    """How many faces a person may have, and which face is removed when there are more."""

    max_faces: int
    when_full: WhenFull

    def choose(self, stored: Sequence[Any], new: Sequence[NewFace]) -> tuple[list[int], list[bool]]:
        """Choose which faces stay.

        Parameters
        ----------
        stored : sequence
            Rows with id, det_score and quality, oldest first.
        new : sequence of NewFace

        Returns
        -------
        removed : list of int
            Ids of the stored faces that are removed.
        kept : list of bool
            Whether each new face is stored.

        Raises
        ------
        PersonFullError
            When no new face is stored.
        """
        number = len(stored) + len(new)
        places = list(range(number))
        excess = number - self.max_faces
        if excess <= 0:
            return [], [True] * len(new)
        if self.when_full == "worst":
            worth = _worth([*stored, *new])
            places.sort(key=lambda place: (worth[place], place))
        out = set(places[:excess])
        kept = [place not in out for place in range(len(stored), number)]
        if self.when_full == "refuse" or not any(kept):
            raise self.full_error(number)
        return [row.id for place, row in enumerate(stored) if place in out], kept

    def full_error(self, number: int) -> PersonFullError:
        """Make the error for a person who would have that many faces."""
        remedies = {
            "refuse": "; delete one first",
            "worst": ", and each of these is better; use a clearer picture",
            "oldest": ", the newest; give fewer pictures at once",
        }
        return PersonFullError(
            f"the person would have {number} faces, at most {self.max_faces} are kept{remedies[self.when_full]}",
            measured=number,
            limit=self.max_faces,
        )


def _worth(compared: Sequence[Any]) -> list[float]:
    """Return the numbers by which faces are compared: quality where all have it, else the detector's score."""
    qualities = [face.quality for face in compared]
    known = [quality for quality in qualities if quality is not None]
    return known if len(known) == len(compared) else [face.det_score for face in compared]
