"""Records of people, photos and the audit: frozen, typed, comparable, without vectors.

A box is x1, y1, x2, y2 in pixels of the upright original; a time is UTC.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .errors import BBox
from .plain import pydantic_schema, record_to_dict

PersonId = str | int
"""The caller's own key of a person, stored and returned as given; 7 and "7" are the same person."""


def pluralize(number: int, word: str) -> str:
    """Return a number with a word, in the plural where needed.

    Examples
    --------
    >>> pluralize(1, "face"), pluralize(0, "face")
    ('1 face', '0 faces')
    """
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


@dataclass(frozen=True, slots=True)
class RegisteredFace:
    """A face that was stored.

    Attributes
    ----------
    face_id : int
        Its id, never reused after a deletion.
    source : int
        Place of its picture among those given, from 0.
    bbox : tuple of float
        x1, y1, x2, y2 in that picture, pixels.
    det_score : float
        The detector's score, [0, 1].
    quality : float or None
        For recognition, [0, 100], higher is better; None where there was no picture to measure it in.
    """

    face_id: int
    source: int
    bbox: BBox
    det_score: float
    quality: float | None = None

    to_dict = record_to_dict
    __get_pydantic_core_schema__ = pydantic_schema


@dataclass(frozen=True, slots=True)
class Rejection:
    """A picture that was rejected.

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

    to_dict = record_to_dict
    __get_pydantic_core_schema__ = pydantic_schema

    def __repr__(self) -> str:
        return f"Rejection({self.text}: {self.error})"


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A face that was registered and resembles somebody who is registered under another id.

    Attributes
    ----------
    source : int
        Place of its picture among those given, from 0.
    person_id : str or int
        The other person.
    name : str or None
    similarity : float
        To that person by the gallery's score, or with "mean" to the closest face; [-1, 1].
    threshold : float
        The cut-off that it reaches.
    """

    source: int
    person_id: PersonId
    name: str | None
    similarity: float
    threshold: float

    to_dict = record_to_dict
    __get_pydantic_core_schema__ = pydantic_schema


@dataclass(frozen=True, slots=True)
class Outlier:
    """A stored face that does not resemble the person's other faces: probably a photo of somebody else.

    Attributes
    ----------
    face_id : int
        Of two faces that do not resemble each other, the newer one.
    source : int or None
        Place of its picture among those given, from 0; None for a face that was stored before.
    similarity : float
        To the normalised mean of the person's other faces, [-1, 1].
    threshold : float
        What it does not reach: the similarity that one face in a hundred of other people has.
    """

    face_id: int
    source: int | None
    similarity: float
    threshold: float

    to_dict = record_to_dict
    __get_pydantic_core_schema__ = pydantic_schema


@dataclass(frozen=True, slots=True)
class Registration:
    """What a registration stored.

    Attributes
    ----------
    person_id : str or int
        The id as stored.
    faces : tuple of RegisteredFace
        The faces stored by this call.
    rejected : tuple of Rejection
        The pictures that were rejected.
    warnings : tuple of Duplicate
        Faces that resemble another person.
    replaced : tuple of int
        Ids of the faces that were removed to make room.
    skipped : bool
        Whether the id was in use and everything was left as stored, with ``on_existing="skip"``.
    outliers : tuple of Outlier
        Faces that do not resemble the person's others, the least similar first.
    """

    person_id: PersonId
    faces: tuple[RegisteredFace, ...]
    rejected: tuple[Rejection, ...] = ()
    warnings: tuple[Duplicate, ...] = ()
    replaced: tuple[int, ...] = ()
    skipped: bool = False
    outliers: tuple[Outlier, ...] = ()

    to_dict = record_to_dict
    __get_pydantic_core_schema__ = pydantic_schema

    def __repr__(self) -> str:
        tail = ", skipped" if self.skipped else ""
        tail += f", {len(self.rejected)} rejected" if self.rejected else ""
        tail += f", {pluralize(len(self.warnings), 'warning')}" if self.warnings else ""
        tail += f", {pluralize(len(self.outliers), 'outlier')}" if self.outliers else ""
        return f"Registration({self.person_id!r}, {pluralize(len(self.faces), 'face')}{tail})"


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo in the gallery, without its bytes.

    Attributes
    ----------
    photo_id : int
        Its id, never reused after a deletion.
    person_id : str or int
        Whose it is.
    rendition : {"original", "thumbnail"}
        The picture without its metadata, or a small square around the face.
    media_type : str
        "image/jpeg", "image/png" or "image/webp".
    width, height : int
        Pixels, upright.
    filename : str or None
        Of the picture it was made from, if known.
    faces : tuple of int
        Ids of the faces that were registered from it.
    created_at : datetime
        When it was stored, UTC.
    """

    photo_id: int
    person_id: PersonId
    rendition: str
    media_type: str
    width: int
    height: int
    filename: str | None
    faces: tuple[int, ...]
    created_at: datetime

    to_dict = record_to_dict
    __get_pydantic_core_schema__ = pydantic_schema


@dataclass(frozen=True, slots=True)
class StoredFace:
    """A face in the gallery.

    Attributes
    ----------
    face_id : int
    bbox : tuple of float
        x1, y1, x2, y2 in the picture it came from, pixels.
    det_score : float
        The detector's score, [0, 1].
    created_at : datetime
        When it was stored, UTC.
    photo_id : int or None
        The photo of the picture it came from, if one is stored.
    quality : float or None
        For recognition, [0, 100], as it was measured at registration; None where there was no picture.
    """

    face_id: int
    bbox: BBox
    det_score: float
    created_at: datetime
    photo_id: int | None = None
    quality: float | None = None

    to_dict = record_to_dict
    __get_pydantic_core_schema__ = pydantic_schema


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
    retain_until : datetime or None
        When the person is to be purged, UTC; None is never.
    number : int
        Number of the person's row, from 1, never reused: for programs whose ids are numbers.
    """

    person_id: PersonId
    name: str | None
    email: str | None
    info: dict[str, Any] = field(hash=False)
    created_at: datetime
    updated_at: datetime
    faces: tuple[StoredFace, ...]
    retain_until: datetime | None = None
    number: int = 0

    to_dict = record_to_dict
    __get_pydantic_core_schema__ = pydantic_schema

    def __repr__(self) -> str:
        name = "" if self.name is None else f", {self.name!r}"
        return f"Person({self.person_id!r}{name}, {pluralize(len(self.faces), 'face')})"


@dataclass(frozen=True, slots=True)
class Deletion:
    """The receipt of a deletion: what was removed.

    Attributes
    ----------
    gallery : str
        The gallery's uuid.
    person_id : str or int
        Whose data they were.
    name : str or None
        The person's name.
    person_removed : bool
        Whether the person was removed too, or only a face.
    faces : tuple of int
        Ids of the removed faces; they are never reused.
    templates : int
        Number of stored embeddings removed.
    photos : int
        Number of photos removed.
    events : int
        Number of audit entries from which the person was erased.
    deleted_at : datetime
        When it was committed, UTC.
    salt : str
        Random, so that the digest does not reveal the person to somebody who guesses.
    digest : str
        SHA-256 over all of the above, in hexadecimal. The audit entry of this deletion holds it.
    wiped : bool
        Whether the removed data is also overwritten on the disk. False when another program was reading the database;
        then the next deletion, the last program that closes the database, or ``vacuum`` overwrites it.
    """

    gallery: str
    person_id: PersonId
    name: str | None
    person_removed: bool
    faces: tuple[int, ...]
    templates: int
    events: int
    deleted_at: datetime
    salt: str
    digest: str = ""
    wiped: bool = False
    photos: int = 0

    to_dict = record_to_dict
    __get_pydantic_core_schema__ = pydantic_schema

    def __repr__(self) -> str:
        counts = ((len(self.faces), "face"), (self.templates, "template"), (self.photos, "photo"))
        removed = ", ".join(pluralize(number, word) for number, word in counts)
        whose = repr(self.person_id) if self.person_removed else f"of {self.person_id!r}"
        return f"Deletion({whose}: {removed}{'' if self.wiped else ', not yet overwritten on the disk'})"

    def computed_digest(self) -> str:
        """Compute the `digest` of an unaltered receipt."""
        content = [self.gallery, self.person_id, self.name, self.person_removed, list(self.faces), self.templates]
        content += [self.photos, self.events, self.deleted_at.isoformat(), self.salt]
        return hashlib.sha256(json.dumps(content, ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """An entry of the audit: who did what, to whom, and when.

    Attributes
    ----------
    seq : int
        Its number, from 1.
    at : datetime
        UTC.
    kind : str
        "register", "add", "replace", "rebuild", "update", "add_photo", "delete", "delete_face", "delete_photo",
        "recognize", "verify", "rekey", "repair", "migrate", "rollback" or "finish".
    actor : str or None
        Who did it.
    person_id : str or int or None
        To whom; None when nobody was recognized, and after the person was deleted.
    person : int or None
        Number of that person's row, never reused.
    erased : bool
        Whether the person was erased from the entry, because the person was deleted.
    pack : str
        Digest of the gallery's pack.
    similarity, threshold : float or None
        Of a recognition or verification.
    facts : dict
        Other values, depending on the kind.
    digest : str
        SHA-256 of the previous digest and this entry.
    """

    seq: int
    at: datetime
    kind: str
    actor: str | None
    person_id: PersonId | None
    person: int | None
    erased: bool
    pack: str
    similarity: float | None
    threshold: float | None
    facts: dict[str, Any] = field(hash=False)
    digest: str

    to_dict = record_to_dict
    __get_pydantic_core_schema__ = pydantic_schema

    def __repr__(self) -> str:
        whom = "" if self.person_id is None else f" {self.person_id!r}"
        return f"AuditEvent({self.seq}: {self.kind}{whom}, {self.at:%Y-%m-%d %H:%M:%S})"


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Whether the chain of the audit is intact.

    Attributes
    ----------
    entries : int
        How many entries were found in order.
    head : str
        Digest of the last of them; record it elsewhere.
    first_bad : int or None
        Number of the first entry that is altered, missing, moved or added; None when the chain is intact.
    reason : str or None
        What is wrong with it.
    signed : bool or None
        Whether the last entry is signed with the audit's key, so that nobody without it rewrote the chain; None without
        a key.
    """

    entries: int
    head: str
    first_bad: int | None
    reason: str | None
    signed: bool | None = None

    to_dict = record_to_dict
    __get_pydantic_core_schema__ = pydantic_schema

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong."""
        return self.first_bad is None


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a gallery.

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
        How the index searches: "exact", "ivf" or "hnsw".
    position : int
        The last change that the index has applied.
    rebuilt : str or None
        Why the index was rebuilt since opening; None when it was not.
    encrypted : bool
        Whether templates are encrypted.
    due : int
        How many people are past their ``retain_until``; ``purge`` deletes them.
    dormant : int
        How many faces have no template of the gallery's pack, because a migration left them behind: they are not
        recognized.
    other_packs : tuple of str
        Other packs with stored templates: the targets of unfinished migrations, and the previous pack.
    why : str
        Why this method is used.
    search : str
        Where it is searched: "local" in this process, "pgvector", or the address of a Milvus.
    recall : float or None
        Share of probes made from this gallery that are answered as by an exact search, [0, 1]; 1 for an exact one.
    score : str
        How similar a face is to a person: "fused", to the normalised mean of the person's embeddings; "closest"; or
        "mean", over the closest faces.
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
    encrypted: bool = False
    due: int = 0
    dormant: int = 0
    other_packs: tuple[str, ...] = ()
    why: str = ""
    recall: float | None = None
    score: str = "fused"
    search: str = "local"

    to_dict = record_to_dict
    __get_pydantic_core_schema__ = pydantic_schema

    def __repr__(self) -> str:
        people = "1 person" if self.people == 1 else f"{self.people} people"
        parts = [f"{people}, {pluralize(self.faces, 'face')}, pack {self.pack!r}, {self.method} search"]
        parts += [f"{number} {word}" for number, word in ((self.due, "due"), (self.dormant, "dormant")) if number]
        parts += ["encrypted"] if self.encrypted else []
        return f"Status({self.gallery!r} in {self.location!r}: {', '.join(parts)})"
