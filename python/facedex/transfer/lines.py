"""A gallery file's lines ↔ people. The format is described in docs/gallery-file.md.

A line is a JSON object, then a line feed. The first says what the file is, the last how many there are and the SHA-256
of all bytes before it. Everything is checked on the way in: types, ranges, lengths, that embeddings are finite and of
unit length. Refused is whatever `lines_of` would not write.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .._core import is_plain_name
from ..checks import abbreviate
from ..errors import ArgumentError, BBox, GalleryFileError, GalleryFileVersionError, PhotoTooLargeError
from ..gallery.portable import UNIT
from ..store import NewPhoto, PortableFace, PortablePerson, PortablePhoto, check_portable

KIND = "facedex gallery"
"""What the first line calls itself."""

FORMAT = 1
"""The format that this version writes, and the newest that it reads."""

MAX_LINE = 128 << 20
"""Longest line, bytes: a photo of 32 MiB takes 43."""

MAX_PHOTOS = 1 << 30
"""Most bytes that the photos of one person may have: they are in memory together."""

SEALED = b"fdxgallery\x01sealed"
"""How a sealed file begins."""

SALT = 16
"""Random bytes that follow, from which the keys of the file are derived."""

SEAL = 29
"""Length of the piece that follows, which only the right key opens: format, nonce, tag."""

OWNER = "gallery file"
"""What the encrypted pieces that follow belong to."""

_MAX_DIMENSION = 1 << 16
_RENDITIONS = ("original", "thumbnail")
_FAR = 1e9  # pixels
_DIGEST = re.compile(r"[0-9a-f]{64}")
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Head:
    """What the first line says.

    Attributes
    ----------
    pack, pack_digest : str
    dimension : int
    gallery, name : str
        The gallery's uuid and its name.
    created_at : str
        When it was written, UTC.
    facedex : str
        The version that wrote it.
    """

    pack: str
    pack_digest: str
    dimension: int
    gallery: str
    name: str
    created_at: str
    facedex: str


@dataclass(frozen=True, slots=True)
class End:
    """What the last line says: how many there are, and the SHA-256 of the bytes before it, in hexadecimal."""

    people: int
    faces: int
    photos: int
    sha256: str


def head_line(head: Head) -> bytes:
    """Write the first line."""
    return _line({"kind": KIND, "format": FORMAT} | asdict(head))


def end_line(end: End) -> bytes:
    """Write the last line."""
    return _line({"kind": "end"} | asdict(end))


def lines_of(person: PortablePerson) -> Iterator[bytes]:
    """Write a person: a line, and one for each photo."""
    yield _line(
        {
            "kind": "person",
            "id": person.person_id,
            "name": person.name,
            "email": person.email,
            "info": person.info,
            "created_at": person.created_at.isoformat(),
            "updated_at": person.updated_at.isoformat(),
            "retain_until": None if person.retain_until is None else person.retain_until.isoformat(),
            "photos": len(person.photos),
            "faces": [
                {
                    "bbox": list(face.bbox),
                    "det_score": face.det_score,
                    "quality": face.quality,
                    "created_at": face.created_at.isoformat(),
                    "photo": face.photo,
                    "template": _encoded(face.embedding.astype("<f4").tobytes()),
                }
                for face in person.faces
            ],
        }
    )
    for kept in person.photos:
        yield _line(
            {
                "kind": "photo",
                "rendition": kept.photo.rendition,
                "media_type": kept.photo.media_type,
                "width": kept.photo.width,
                "height": kept.photo.height,
                "filename": kept.photo.filename,
                "created_at": kept.created_at.isoformat(),
                "content": _encoded(kept.photo.content),
            }
        )


class Reading:
    """Reads the lines of a gallery file in order.

    Parameters
    ----------
    name : str
        What to call the file in messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._number = 0
        self.dimension = 0

    def head(self, line: bytes) -> Head:
        """Read the first line.

        Raises
        ------
        GalleryFileError
            When it is no gallery file.
        GalleryFileVersionError
            When it is of a newer format.
        """
        held = self._object(line, KIND)
        version = self._get(held, "format", int)
        if version > FORMAT:
            raise GalleryFileVersionError(
                f"{self._name} has format {version} and this facedex reads up to {FORMAT}; import it with a newer one"
            )
        fields = {key: self._get(held, key, int if key == "dimension" else str) for key in Head.__dataclass_fields__}
        head = Head(**fields)
        if version != FORMAT or not 1 <= head.dimension <= _MAX_DIMENSION:
            raise self.wrong(f"format {version}, dimension {head.dimension}")
        if not is_plain_name(head.pack) or not _DIGEST.fullmatch(head.pack_digest):
            raise self.wrong(f"pack {abbreviate(head.pack)} of digest {abbreviate(head.pack_digest)}")
        self.dimension = head.dimension
        return head

    def end(self, line: bytes) -> End | None:
        """Read a line that may be the last; None when it is none."""
        if not line.startswith(b'{"kind":"end"'):
            return None
        held = self._object(line, "end")
        end = End(**{key: self._get(held, key, str if key == "sha256" else int) for key in End.__dataclass_fields__})
        if end_line(end) != line:
            raise self.wrong("it is not written as it must be")
        return end

    def person(self, line: bytes, photo_lines: Iterator[bytes]) -> PortablePerson:
        """Read a person, from the line and those of the photos that follow it."""
        held = self._object(line, "person")
        count = self._get(held, "photos", int)
        faces = [self._face(face, count) for face in self._get(held, "faces", list)]
        person_id = self._get(held, "id", (str, int))
        name, email, info = (self._get(held, "name", str, None), self._get(held, "email", str, None), held.get("info"))
        if not isinstance(info, dict):
            raise self.wrong("'info' is no object")
        retain = self._get(held, "retain_until", str, None)
        created, updated = self._time(held, "created_at"), self._time(held, "updated_at")
        photos, size = [], 0
        for _ in range(count):
            following = next(photo_lines, None)
            if following is None:
                raise self.wrong("it ends before the photos of its last person")
            photos.append(self._photo(following))
            size += len(photos[-1].photo.content)
            if size > MAX_PHOTOS:
                raise self.wrong(f"the photos of a person have more than {MAX_PHOTOS} bytes")
        person = PortablePerson(
            person_id=person_id,
            name=name,
            email=email,
            info=info,
            created_at=created,
            updated_at=updated,
            retain_until=None if retain is None else self._time(held, "retain_until"),
            faces=tuple(faces),
            photos=tuple(photos),
        )
        try:
            check_portable(person)
        except (ArgumentError, PhotoTooLargeError) as error:
            raise self.wrong(str(error)) from error
        return person

    def wrong(self, why: str) -> GalleryFileError:
        """Make the error that says where the file is wrong."""
        return GalleryFileError(f"{self._name} is no whole gallery file: line {self._number}: {why}")

    def _face(self, held: Any, photos: int) -> PortableFace:
        if not isinstance(held, dict):
            raise self.wrong("a face is no object")
        photo = self._get(held, "photo", int, None)
        if photo is not None and not 0 <= photo < photos:
            raise self.wrong(f"a face is of photo {photo} of {photos}")
        score = self._number_of(held.get("det_score"))
        if not 0 <= score <= 1:
            raise self.wrong(f"'det_score' is {score}")
        quality = None if held.get("quality") is None else self._number_of(held["quality"])
        if quality is not None and not 0 <= quality <= 100:
            raise self.wrong(f"'quality' is {quality}")
        embedding = self._embedding(self._bytes(held, "template"))
        at = self._time(held, "created_at")
        return PortableFace(self._bbox(held.get("bbox")), score, embedding, at, photo, quality)

    def _photo(self, line: bytes) -> PortablePhoto:
        held = self._object(line, "photo")
        rendition = self._get(held, "rendition", str)
        width, height = self._get(held, "width", int), self._get(held, "height", int)
        if rendition not in _RENDITIONS or not (1 <= width < 1 << 31 and 1 <= height < 1 << 31):
            raise self.wrong(f"a photo is {rendition!r}, {width} x {height}")
        filename, media_type = self._get(held, "filename", str, None), self._get(held, "media_type", str)
        content = self._bytes(held, "content")
        photo = NewPhoto(rendition, media_type, width, height, filename, content)
        return PortablePhoto(photo, self._time(held, "created_at"))

    def _bbox(self, value: Any) -> BBox:
        if not isinstance(value, list) or len(value) != 4:
            raise self.wrong("'bbox' is no list of four numbers")
        x1, y1, x2, y2 = (self._number_of(number) for number in value)
        return x1, y1, x2, y2

    def _number_of(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= _FAR:
            raise self.wrong("a number is missing, or far too large")
        return float(value)

    def _embedding(self, content: bytes) -> NDArray[np.float32]:
        if len(content) != 4 * self.dimension:
            raise self.wrong(f"a template has {len(content)} bytes instead of {4 * self.dimension}")
        vector = np.frombuffer(content, "<f4").astype(np.float32)
        length = float(np.linalg.norm(vector.astype(np.float64))) if np.isfinite(vector).all() else math.nan
        if not math.isfinite(length) or abs(length - 1) > UNIT:
            raise self.wrong(f"a template has length {length}")
        return vector

    def _object(self, line: bytes, kind: str) -> dict[str, Any]:
        self._number += 1
        try:
            held = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise self.wrong("it is no JSON") from error
        if not isinstance(held, dict) or held.get("kind") != kind:
            raise self.wrong(f"it is no line of kind {kind!r}")
        return held

    def _get(self, held: dict[str, Any], key: str, kind: Any, *default: Any) -> Any:
        value = held.get(key)
        if value is None and default:
            return default[0]
        if isinstance(value, bool) or not isinstance(value, kind):
            raise self.wrong(f"{key!r} is missing or of another type")
        if isinstance(value, int) and key in ("photos", "people", "faces") and value < 0:
            raise self.wrong(f"{key!r} is {value}")
        return value

    def _time(self, held: dict[str, Any], key: str) -> datetime:
        try:
            at = datetime.fromisoformat(self._get(held, key, str))
            if at.utcoffset() is None:
                raise ValueError("without a time zone")
            return at.astimezone(timezone.utc)
        except (ValueError, OverflowError) as error:
            raise self.wrong(f"{key!r} is no time with a zone") from error

    def _bytes(self, held: dict[str, Any], key: str) -> bytes:
        try:
            return base64.b64decode(self._get(held, key, str), validate=True)
        except (binascii.Error, ValueError) as error:
            raise self.wrong(f"{key!r} is no base64") from error


def split(pieces: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Cut pieces of a file into lines, each with its line feed.

    Raises
    ------
    GalleryFileError
        When a line is too long, or the last has no end.
    """
    held = bytearray()
    for piece in pieces:
        start = len(held)
        held += piece
        begin = 0
        while (end := held.find(b"\n", start)) >= 0:
            yield bytes(held[begin : end + 1])
            begin = start = end + 1
        del held[:begin]
        if len(held) > MAX_LINE:
            raise GalleryFileError(f"{name} has a line of more than {MAX_LINE} bytes")
    if held:
        raise GalleryFileError(f"{name} ends in the middle of a line")


def _line(held: dict[str, Any]) -> bytes:
    return json.dumps(held, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
