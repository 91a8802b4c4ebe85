"""What a gallery keeps and reports of people: frozen, typed, comparable, without vectors.

A box is x1, y1, x2, y2 in pixels of the upright original; a time is UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .errors import BBox

PersonId = str | int
"""The caller's own key of a person, kept and returned as given; 7 and "7" are the same person."""


@dataclass(frozen=True, slots=True)
class RegisteredFace:
    """A face that was stored.

    Attributes
    ----------
    face_id : int
        Its id, never used again after a deletion.
    source : int
        Place of its picture among those given, from 0.
    bbox : tuple of float
        x1, y1, x2, y2 in that picture, pixels.
    det_score : float
        The detector's certainty, [0, 1].
    """

    face_id: int
    source: int
    bbox: BBox
    det_score: float


@dataclass(frozen=True, slots=True)
class Rejection:
    """A picture that was not accepted.

    Attributes
    ----------
    source : int
        Its place among those given, from 0.
    text : str
        Its path, or a short description.
    error : Exception
        Why; a `FacedexError`.
    """

    source: int
    text: str
    error: Exception

    def __repr__(self) -> str:
        return f"Rejection({self.text}: {self.error})"


@dataclass(frozen=True, slots=True)
class Registration:
    """What a registration stored.

    Attributes
    ----------
    person_id : str or int
        The id as it is kept.
    faces : tuple of RegisteredFace
        The faces stored by this call.
    rejected : tuple of Rejection
        The pictures that were not accepted.
    """

    person_id: PersonId
    faces: tuple[RegisteredFace, ...]
    rejected: tuple[Rejection, ...] = ()

    def __repr__(self) -> str:
        tail = f", {len(self.rejected)} rejected" if self.rejected else ""
        return f"Registration({self.person_id!r}, {_counted(len(self.faces), 'face')}{tail})"


@dataclass(frozen=True, slots=True)
class StoredFace:
    """A face in the gallery.

    Attributes
    ----------
    face_id : int
    bbox : tuple of float
        x1, y1, x2, y2 in the picture it came from, pixels.
    det_score : float
        The detector's certainty, [0, 1].
    created_at : datetime
        When it was stored, UTC.
    """

    face_id: int
    bbox: BBox
    det_score: float
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Person:
    """A registered person.

    Attributes
    ----------
    person_id : str or int
        The id as given at registration.
    name, email : str or None
    info : dict
        Free data of the caller.
    created_at, updated_at : datetime
        When the person was registered and last changed, UTC.
    faces : tuple of StoredFace
        Oldest first.
    """

    person_id: PersonId
    name: str | None
    email: str | None
    info: dict[str, Any] = field(hash=False)
    created_at: datetime
    updated_at: datetime
    faces: tuple[StoredFace, ...]

    def __repr__(self) -> str:
        name = "" if self.name is None else f", {self.name!r}"
        return f"Person({self.person_id!r}{name}, {_counted(len(self.faces), 'face')})"


@dataclass(frozen=True, slots=True)
class Deletion:
    """What a deletion removed; it does not come back.

    Attributes
    ----------
    person_id : str or int
        Whose data they were.
    name : str or None
        The person's name.
    person_removed : bool
        Whether the person was removed too, or only a face.
    faces : tuple of int
        Ids of the faces removed; they are never used again.
    templates : int
        Number of stored embeddings removed.
    deleted_at : datetime
        When it was committed, UTC.
    """

    person_id: PersonId
    name: str | None
    person_removed: bool
    faces: tuple[int, ...]
    templates: int
    deleted_at: datetime


@dataclass(frozen=True, slots=True)
class Status:
    """How a gallery stands.

    Attributes
    ----------
    gallery : str
        Its name within the database.
    location : str
        Where the database is.
    pack, pack_digest : str
        The pack it is bound to.
    people, faces : int
        How many are stored.
    method : str
        How the index searches: "exact" or "hnsw".
    position : int
        The last change that the index has applied.
    rebuilt : str or None
        Why the index was rebuilt since opening; None when it was not.
    """

    gallery: str
    location: str
    pack: str
    pack_digest: str
    people: int
    faces: int
    method: str
    position: int
    rebuilt: str | None


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
