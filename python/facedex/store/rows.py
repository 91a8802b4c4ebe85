"""Values of rows and their checks: ids, texts, vectors with their checksum, free data.

Refused on the way in are ids and data that cannot be stored as given; on the way out, a damaged value.
"""

from __future__ import annotations

import json
import operator
import re
import unicodedata
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._core import is_plain_name
from ..checks import abbreviate
from ..errors import ArgumentError, BBox, DatabaseDamagedError
from ..records import PersonId
from .tables import people
from .vault import PersonCipher, Vault

KEY_LENGTH = 255
"""Longest person id, characters: what an index of every supported database can hold."""

LONGEST: dict[str, int] = {column.name: column.info["longest"] for column in people.c if "longest" in column.info}
"""Longest texts about a person, characters. They and the free data come with every recognition and in every list."""

LONGEST_NAME = 255
"""Longest file name of a photo, characters."""

LARGEST_INFO = 64 * 1024
"""Largest free data, bytes of JSON in UTF-8."""

_DIGEST = re.compile("[0-9a-f]{64}")
_FLOAT = np.dtype("<f4")  # the same bytes on every machine
_DEEPEST = 32  # levels of free data, far below the limits of JSON readers, as pydantic's of 255


@dataclass(frozen=True, slots=True)
class PackPin:
    """The pack to which a gallery is bound, which makes its embeddings.

    Attributes
    ----------
    name : str
    digest : str
        SHA-256 in hexadecimal.
    dimension : int
        Length of an embedding.
    """

    name: str
    digest: str
    dimension: int


def pin_of(row: Any) -> PackPin:
    """Read a pack from a row with pack_name, pack_digest and dimension.

    Raises
    ------
    DatabaseDamagedError
        When the name is not one by the rule of manifests, a path for example, or the digest is malformed: both are
        part of file names, and the name selects the networks that are loaded.
    """
    if not is_plain_name(row.pack_name) or not _DIGEST.fullmatch(row.pack_digest):
        raise DatabaseDamagedError(
            f"the pack of the database is {abbreviate(row.pack_name)}, which is no name of a pack, or has no valid "
            "digest; restore the database from a backup, and do not trust it"
        )
    return PackPin(row.pack_name, row.pack_digest, row.dimension)


@dataclass(frozen=True, slots=True, eq=False)
class NewPhoto:
    """A photo to be stored.

    Attributes
    ----------
    rendition : {"original", "thumbnail"}
    media_type : str
    width, height : int
        Pixels, upright.
    filename : str or None
        Of the original picture.
    content : bytes
        The file.
    """

    rendition: str
    media_type: str
    width: int
    height: int
    filename: str | None
    content: bytes


@dataclass(frozen=True, slots=True, eq=False)
class NewFace:
    """A face to be stored.

    Attributes
    ----------
    bbox : tuple of float
        x1, y1, x2, y2, pixels.
    det_score : float
        [0, 1].
    embedding : ndarray of float32, shape (dimension,)
        Unit length.
    photo : NewPhoto, int or None
        To be stored with it, or the number of a stored photo.
    quality : float or None
        For recognition, [0, 100]; None without a picture.
    """

    bbox: BBox
    det_score: float
    embedding: NDArray[np.float32]
    photo: NewPhoto | int | None = None
    quality: float | None = None


class Owner(NamedTuple):
    """The person of a face; when `intact` is False, the row is damaged and the person must not be named."""

    person_id: PersonId
    name: str | None
    intact: bool = True


def damaged_owner(face_id: int) -> Owner:
    """Return a placeholder for the owner of a face whose row is damaged: an id that no person can have."""
    return Owner(f"\0{face_id}", None, False)


class PersonFaces(NamedTuple):
    """A person with the ids of stored faces, oldest first, and their vectors where there are several to compare."""

    owner: Owner
    face_ids: tuple[int, ...]
    vectors: NDArray[np.float32] | None = None

    @classmethod
    def damaged(cls, face_id: int) -> PersonFaces:
        """Return a placeholder for the person of a face whose row is damaged; 0 where no face is known."""
        return cls(damaged_owner(face_id), (face_id,))

    @property
    def size(self) -> int:
        """Number of vectors."""
        return 0 if self.vectors is None else len(self.vectors)

    def closest(self, probe: NDArray[np.float32]) -> int:
        """Return the face that is closest to a probe, (dimension,); the oldest where none can be compared."""
        return self.face_ids[0 if self.vectors is None else int(np.argmax(self.vectors @ probe))]


def is_intact(person_id: PersonId) -> bool:
    """Return whether an id is that of a person, not the placeholder of `damaged_owner`."""
    return not (isinstance(person_id, str) and person_id.startswith("\0"))


class Receipt(NamedTuple):
    """What a registration stored.

    The id as it is stored; the new faces in the order given, None for one without room; the faces that were removed.
    """

    person_id: PersonId
    face_ids: tuple[int | None, ...]
    replaced: tuple[int, ...] = ()

    @property
    def stored(self) -> list[int]:
        """The new faces that were stored."""
        return [face_id for face_id in self.face_ids if face_id is not None]


class Delta(NamedTuple):
    """What changed after a position: removals and additions to apply as one change, and the new position.

    `people` are the numbers of the rows of the people whose faces were added. A key in both `removed` and `added` is
    replaced. `deletes` is whether a stored face was removed, so that what was derived from it must go.
    """

    position: int
    token: str
    added: NDArray[np.uint64]
    vectors: NDArray[np.float32]
    removed: NDArray[np.uint64]
    people: NDArray[np.uint64]
    deletes: bool = False


def plain_id(person_id: object) -> str:
    r"""Return an id as text, normalised to NFC: as it is stored and compared.

    Examples
    --------
    >>> plain_id("Jose\u0301") == plain_id("Jos\u00e9"), plain_id(7)
    (True, '7')
    """
    return unicodedata.normalize("NFC", str(person_id))


def spellings_of(person_id: object) -> tuple[str, ...]:
    r"""Return the texts under which a person may be stored: as given, in NFC, and in NFD.

    Ids were stored as given before they were normalised; file systems of macOS give NFD.

    Examples
    --------
    >>> len(spellings_of("Jose\u0301")), spellings_of(7)
    (2, ('7',))
    """
    text = str(person_id)
    return tuple(dict.fromkeys((text, plain_id(text), unicodedata.normalize("NFD", text))))


def key_of(person_id: object) -> tuple[str, bool]:
    """Return the text under which a person is stored, and whether the id was a whole number.

    A text is normalised to NFC: "é" is one character or two, by the keyboard or file system that it comes from, and the
    same id.

    Parameters
    ----------
    person_id : str or int

    Returns
    -------
    key : str
    is_int : bool

    Raises
    ------
    ArgumentError
        When it is neither, empty, too long, or not valid text.

    Examples
    --------
    >>> key_of(7), key_of("7")
    (('7', True), ('7', False))
    """
    if isinstance(person_id, str):
        person_id = plain_id(person_id)
        if not person_id.strip() or len(person_id) > KEY_LENGTH:
            given = abbreviate(person_id)
            raise ArgumentError(
                f"person_id must be a text of 1 to {KEY_LENGTH} characters or a whole number, got {given}"
            )
        return checked_text("person_id", person_id), False
    try:
        if isinstance(person_id, (bool, np.bool_)):
            raise TypeError
        key = str(operator.index(person_id))  # type: ignore[arg-type]
    except TypeError:
        found = type(person_id).__name__
        raise ArgumentError(
            f"person_id must be a text of 1 to {KEY_LENGTH} characters or a whole number, got {found}"
        ) from None
    except ValueError:  # Python writes no number of more than 4300 digits
        raise ArgumentError(f"person_id must have at most {KEY_LENGTH} digits, got thousands") from None
    if len(key) > KEY_LENGTH:
        raise ArgumentError(f"person_id must have at most {KEY_LENGTH} digits, got {len(key)}")
    return key, True


def person_id_of(key: str, is_int: bool) -> PersonId:
    """Return the id as it was given."""
    try:
        return int(key) if is_int else key
    except ValueError as error:
        raise DatabaseDamagedError(
            f"the stored id {key!r} is no whole number; restore the database from a backup"
        ) from error


def checked_text(name: str, value: object, *, longest: int | None = None) -> str:
    """Return a text that every database can store.

    Raises
    ------
    ArgumentError
        When it is no text, cannot be encoded in UTF-8, contains a NUL, is longer than `longest` or empty.
    """
    if not isinstance(value, str):
        raise ArgumentError(f"{name} must be a text, got {type(value).__name__}")
    if not is_storable(value):
        raise ArgumentError(f"{name} must be valid text without NUL, got {abbreviate(value)}")
    if longest is not None and not (value.strip() and len(value) <= longest):
        raise ArgumentError(f"{name} must be a text of 1 to {longest} characters, got {abbreviate(value)}")
    return value


def plain_name(name: str | None) -> str | None:
    r"""Reduce a file name to one that is safe in a page, a header and a path: no folder, no control character.

    Examples
    --------
    >>> plain_name("../../etc/passwd"), plain_name("C:\\photos\\ayu.jpg"), plain_name("..")
    ('passwd', 'ayu.jpg', None)
    """
    last = re.split(r"[/\\]", name or "")[-1]
    kept = "".join(char for char in last if char.isprintable()).strip()[:LONGEST_NAME]
    return kept if kept.strip(". ") else None


def text_within(name: str, value: object, longest: int) -> str:
    """Return a text that every database can store, which may be empty.

    Raises
    ------
    ArgumentError
        When `checked_text` refuses it, or it has more characters than `longest`.
    """
    text = checked_text(name, value)
    if len(text) > longest:
        raise ArgumentError(f"{name} must have at most {longest} characters, got {len(text)}")
    return text


def is_storable(text: str) -> bool:
    """Return whether every database can store a text and query it: PostgreSQL refuses a NUL."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def json_of(info: object) -> str:
    """Return free data as JSON text.

    Raises
    ------
    ArgumentError
        When it is no dict with text keys, JSON cannot hold it, or it is too large or nested too deeply.
    """
    if not isinstance(info, dict) or not all(isinstance(key, str) for key in info):
        raise ArgumentError(f"info must be a dict with text keys that JSON can hold, got {type(info).__name__}")
    try:
        size = len(json.dumps(info, ensure_ascii=False, allow_nan=False).encode())
        text = json.dumps(info, ensure_ascii=True, allow_nan=False)
    except UnicodeEncodeError as error:
        raise ArgumentError("info must hold valid text only") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise ArgumentError(f"info must be a dict that JSON can hold: {error}") from error
    if size > LARGEST_INFO:
        raise ArgumentError(f"info must be at most {LARGEST_INFO} bytes of JSON, got {size}")
    if not _is_within(info, _DEEPEST):
        raise ArgumentError(f"info must not be nested deeper than {_DEEPEST} levels")
    return text


def _is_within(value: object, levels: int) -> bool:
    """Return whether dicts and lists are nested in at most `levels` levels."""
    if not isinstance(value, (dict, list, tuple)):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_within(one, levels - 1) for one in inner)


def info_of(text: str) -> dict[str, Any]:
    """Return free data from JSON text."""
    try:
        info = json.loads(text)
    except ValueError as error:
        raise DatabaseDamagedError(
            "the stored info of a person is damaged; restore the database from a backup"
        ) from error
    if not isinstance(info, dict):
        raise DatabaseDamagedError("the stored info of a person is no dict; restore the database from a backup")
    return info


def bytes_of(embedding: NDArray[np.float32], pin: PackPin) -> bytes:
    """Return an embedding as little-endian float32.

    Raises
    ------
    ArgumentError
        When it has another length than the gallery's.
    """
    if embedding.shape != (pin.dimension,):
        raise ArgumentError(f"embedding must have shape ({pin.dimension},), got {embedding.shape}")
    return embedding.astype(_FLOAT).tobytes()


def checksum_of(face_id: int, person_row: int, pin: PackPin, vector: bytes) -> int:
    """Compute the CRC-32 over number, person, pack and vector of a face; it detects flipped bits and swaps."""
    return zlib.crc32(vector, zlib.crc32(f"{face_id} {person_row} {pin.digest}".encode()))


def vectors_of(
    rows: Sequence[Any], pin: PackPin, vault: Vault | None
) -> tuple[NDArray[np.uint64], NDArray[np.float32]]:
    """Read templates from rows (face_id, person_row, vector, checksum), with (key, key_is_int, data_key) under a key.

    Returns
    -------
    keys : ndarray of uint64, shape (n,)
    vectors : ndarray of float32, shape (n, dimension)

    Raises
    ------
    DatabaseDamagedError
        When a vector is not what was stored.
    """
    keys = np.fromiter((row.face_id for row in rows), dtype=np.uint64, count=len(rows))
    plain = [row.vector for row in rows] if vault is None else _decrypt(rows, pin, vault)
    size = _FLOAT.itemsize * pin.dimension
    for row, vector in zip(rows, plain, strict=True):
        # Under a key, decryption has authenticated it; the checksum is for a check without the key.
        sound = vault is not None or row.checksum == checksum_of(row.face_id, row.person_row, pin, vector)
        if len(vector) != size or not sound:
            raise DatabaseDamagedError(
                f"the stored template of face {row.face_id} is damaged; restore the database from a backup"
            )
    joined = np.frombuffer(b"".join(plain), dtype=_FLOAT)
    return keys, joined.reshape(len(rows), pin.dimension).astype(np.float32, copy=False)


def people_of(rows: Sequence[Any]) -> NDArray[np.uint64]:
    """Return the numbers of the people of such rows, shape (n,)."""
    return np.fromiter((row.person_row for row in rows), dtype=np.uint64, count=len(rows))


def _decrypt(rows: Sequence[Any], pin: PackPin, vault: Vault) -> list[bytes]:
    opened: dict[int, PersonCipher] = {}
    plain = []
    for row in rows:
        cipher = opened.get(row.person_row)
        if cipher is None:
            cipher = opened[row.person_row] = vault.person_cipher(row.data_key, row.key, row.key_is_int)
        plain.append(cipher.decrypt(row.vector, row.face_id, row.person_row, pin.digest))
    return plain
