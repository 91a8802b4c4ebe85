"""A gallery file's lines ↔ people. The format is described in docs/gallery-file.md.

A line is a JSON object, then a line feed. The first describes the file; the last has the counts and the SHA-256 of all
bytes before it. The fields of a person, face or photo are those of the records, written and read by their declared
types. Reading checks types, ranges, lengths, and that embeddings are finite and of unit length, and rejects whatever
`lines_of` would not write.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from datetime import datetime, timezone
from functools import cache
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from .._core import is_plain_name
from ..checks import abbreviate
from ..errors import ArgumentError, GalleryFileError, GalleryFileVersionError, PhotoTooLargeError
from ..gallery.exchange import UNIT_TOLERANCE
from ..options import Rendition
from ..records import Person
from ..store import NewPhoto, PortableFace, PortablePerson, PortablePhoto, check_portable

KIND = "facedex gallery"
"""The kind of the first line."""

FORMAT = 1
"""The format that this version writes, and the newest that it reads."""

MAX_LINE = 128 << 20
"""Longest line, bytes: a photo of 32 MiB takes 43."""

MAX_PHOTOS = 1 << 30
"""Maximum size of the photos of one person, bytes: they are in memory together."""

ENCRYPTED = b"fdxgallery\x01sealed"
"""The first bytes of an encrypted file."""

SALT_BYTES = 16
"""Random bytes that follow, from which the keys of the file are derived."""

CHECK_BYTES = 29
"""Length of the piece that follows, which only the right key decrypts: format, nonce, tag."""

OWNER = "gallery file"
"""Associated data of the encrypted pieces that follow."""

_NAMES = {"person_id": "id", "embedding": "template"}  # fields with another name in the file
_UNWRITTEN = {"faces": (), "number": 0}  # fields of `Person` that a line does not hold, and their values after reading
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FAR = 1e9  # pixels
_RANGES = {
    "det_score": (0, 1),
    "quality": (0, 100),
    "dimension": (1, 1 << 16),
    "width": (1, (1 << 31) - 1),
    "height": (1, (1 << 31) - 1),
    "photos": (0, math.inf),
}
_Record = TypeVar("_Record")


@dataclass(frozen=True, slots=True)
class Head:
    """The content of the first line.

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
    """The content of the last line: the counts, and the SHA-256 of the bytes before it, in hexadecimal."""

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


def lines_of(portable: PortablePerson) -> Iterator[bytes]:
    """Write a person: a line, and one for each photo."""
    details = {name: value for name, value in _object(portable.person).items() if name not in _UNWRITTEN}
    rest = {"faces": _plain(portable.faces), "photos": len(portable.photos)}
    yield _line({"kind": "person"} | details | rest)
    for kept in portable.photos:
        yield _line({"kind": "photo"} | _object(kept.photo) | {"created_at": kept.created_at.isoformat()})


class Reading:
    """Reads the lines of a gallery file in order.

    Parameters
    ----------
    name : str
        The file's name, for messages.
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
            When it is not a gallery file.
        GalleryFileVersionError
            When its format is newer.
        """
        held = self._parse(line, KIND)
        version = self._value("format", held.get("format"), int)
        if version > FORMAT:
            raise GalleryFileVersionError(
                f"{self._name} has format {version} and this facedex reads up to {FORMAT}; import it with a newer one"
            )
        head = self._record(Head, held)
        if version != FORMAT:
            raise self.error(f"format {version}")
        if not is_plain_name(head.pack) or not _DIGEST.fullmatch(head.pack_digest):
            raise self.error(f"pack {abbreviate(head.pack)} of digest {abbreviate(head.pack_digest)}")
        self.dimension = head.dimension
        return head

    def end(self, line: bytes) -> End | None:
        """Read a line that may be the last; return None when it is not."""
        if not line.startswith(b'{"kind":"end"'):
            return None
        end = self._record(End, self._parse(line, "end"))
        if end_line(end) != line:
            raise self.error("it is not in the exact form of a last line")
        return end

    def person(self, line: bytes, photo_lines: Iterator[bytes]) -> PortablePerson:
        """Read a person, from its line and the lines of its photos that follow."""
        held = self._parse(line, "person")
        count = self._value("photos", held.get("photos"), int)
        faces = tuple(self._record(PortableFace, face) for face in self._value("faces", held.get("faces"), list))
        for face in faces:
            if face.photo is not None and not 0 <= face.photo < count:
                raise self.error(f"a face is of photo {face.photo} of {count}")
        person = self._record(Person, held, **_UNWRITTEN)
        photos, size = [], 0
        for _ in range(count):
            following = next(photo_lines, None)
            if following is None:
                raise self.error("it ends before the photos of its last person")
            photos.append(self._photo(following))
            size += len(photos[-1].photo.content)
            if size > MAX_PHOTOS:
                raise self.error(f"the photos of a person have more than {MAX_PHOTOS} bytes")
        portable = PortablePerson(person, faces, tuple(photos))
        try:
            check_portable(portable)
        except (ArgumentError, PhotoTooLargeError) as error:
            raise self.error(str(error)) from error
        return portable

    def error(self, reason: str) -> GalleryFileError:
        """Make an error with the number of the line."""
        return GalleryFileError(f"{self._name} is not a valid gallery file: line {self._number}: {reason}")

    def _photo(self, line: bytes) -> PortablePhoto:
        held = self._parse(line, "photo")
        photo = self._record(NewPhoto, held)
        if photo.rendition not in get_args(Rendition):
            raise self.error(f"a photo is {abbreviate(photo.rendition)}")
        return self._record(PortablePhoto, held, photo=photo)

    def _parse(self, line: bytes, kind: str) -> dict[str, Any]:
        self._number += 1
        try:
            held = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise self.error("it is not JSON") from error
        if not isinstance(held, dict) or held.get("kind") != kind:
            raise self.error(f"it is not a line of kind {kind!r}")
        return held

    def _record(self, kind: type[_Record], held: Any, **given: Any) -> _Record:
        """Make a record of the fields in an object; a missing field has its default, or None where that is allowed."""
        if not isinstance(held, dict):
            raise self.error("a face is not an object")
        hints: dict[str, Any] = _type_hints(kind)  # type: ignore[arg-type]
        for field in fields(kind):  # type: ignore[arg-type]
            key = _NAMES.get(field.name, field.name)
            if field.name not in given and (key in held or field.default is MISSING):
                given[field.name] = self._value(key, held.get(key), hints[field.name])
        return kind(**given)

    def _value(self, key: str, value: Any, hint: Any) -> Any:
        """Read a value of a declared type."""
        types = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        if value is None and type(None) in types:
            return None
        kind, origin = types[0], get_origin(types[0])
        if kind is datetime:
            return self._time(key, value)
        if kind is bytes:
            return self._bytes(key, value)
        if origin is np.ndarray:
            return self._embedding(self._bytes(key, value))
        if origin is tuple:
            if not isinstance(value, list) or len(value) != len(get_args(kind)):
                raise self.error(f"{key!r} is not a list of {len(get_args(kind))} numbers")
            return tuple(self._value(key, *each) for each in zip(value, get_args(kind), strict=True))
        accepted = (int, float) if kind is float else tuple(get_origin(one) or one for one in types)
        if not isinstance(value, accepted) or isinstance(value, bool) is not (kind is bool):
            raise self.error(f"{key!r} is missing or of another type")
        if kind is float or key in _RANGES:
            low, high = _RANGES.get(key, (-_FAR, _FAR))
            if not low <= value <= high:
                raise self.error(f"{key!r} is {abbreviate(value)}")
        return float(value) if kind is float else value

    def _embedding(self, content: bytes) -> NDArray[np.float32]:
        if len(content) != 4 * self.dimension:
            raise self.error(f"a template has {len(content)} bytes instead of {4 * self.dimension}")
        vector = np.frombuffer(content, "<f4").astype(np.float32)
        length = float(np.linalg.norm(vector.astype(np.float64))) if np.isfinite(vector).all() else math.nan
        if not abs(length - 1) <= UNIT_TOLERANCE:
            raise self.error(f"a template has length {length}")
        return vector

    def _time(self, key: str, value: Any) -> datetime:
        try:
            at = datetime.fromisoformat(self._value(key, value, str))
            if at.utcoffset() is None:
                raise ValueError("without a time zone")
            return at.astimezone(timezone.utc)
        except (ValueError, OverflowError) as error:
            raise self.error(f"{key!r} is not a time with a zone") from error

    def _bytes(self, key: str, value: Any) -> bytes:
        try:
            return base64.b64decode(self._value(key, value, str), validate=True)
        except (binascii.Error, ValueError) as error:
            raise self.error(f"{key!r} is not base64") from error


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


@cache
def _type_hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _object(record: Any) -> dict[str, Any]:
    return {_NAMES.get(field.name, field.name): _plain(getattr(record, field.name)) for field in fields(record)}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, np.ndarray):
        return _plain(value.astype("<f4").tobytes())
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return _object(value) if is_dataclass(value) else value


def _line(held: dict[str, Any]) -> bytes:
    return json.dumps(held, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"
