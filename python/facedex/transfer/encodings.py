"""Pickled dlib encodings → the vectors of each person.

Accepted are the layouts that programs based on ``face_recognition`` write: a dict of ids to vectors; a dict or pair of
two lists of one length, vectors and names; or one file with vectors per person, named after the person. A vector is an
array or a list of 128 numbers. Other entries of such a dict, like a date or a path, are ignored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import pickles
from ..errors import FacedexError, ImportFileError
from ..records import PersonId
from .report import Tally
from .vectors import PersonVectors, grouped, person_key

SUFFIXES = (".pkl", ".pickle", ".p", ".dat", ".enc", ".encodings")
"""Suffixes of files of pickled encodings; in a folder only these are read."""

_VECTORS = ("encodings", "face_encodings", "known_face_encodings", "known_encodings", "embeddings")
_ONE = ("encoding", "embedding")
_IDS = ("ids", "user_ids", "known_face_ids", "labels", "names", "known_face_names", "known_names")
_NAMES = ("names", "known_face_names", "known_names")
_ID = ("user_id", "id", "person_id")
_MOST_FILES = 1_000_000


def in_file(path: Path, fallback: str | None = None) -> list[PersonVectors]:
    """Read the people of a file of encodings.

    Parameters
    ----------
    path : Path
    fallback : str, optional
        The id of the person, if the file does not contain it.

    Raises
    ------
    ImportFileError
        When it is damaged, or contains something else.
    UnsafePickleError
        When it contains more than plain data.
    """
    try:
        size = path.stat().st_size
        if size > pickles.MAX_BYTES:
            raise ImportFileError(f"{path} has {size} bytes; the limit for a pickle is {pickles.MAX_BYTES}")
        data = path.read_bytes()
    except OSError as error:
        raise ImportFileError(f"{path} cannot be read: {error.strerror}") from error
    return people_in(pickles.read(data, str(path)), str(path), fallback)


def in_folder(folder: Path, tally: Tally) -> list[PersonVectors]:
    """Read the files of encodings in a folder and its subfolders; add rejected files to the tally."""
    people: list[PersonVectors] = []
    for path, owner in files_in(folder):
        try:
            people += in_file(path, owner)
        except FacedexError as error:
            tally.reject(str(path), error)
    return people


def files_in(folder: Path) -> list[tuple[Path, str]]:
    """List the files of encodings with the person's id: the name of the file, or of its subfolder."""
    found = []
    try:
        for entry in sorted(folder.iterdir()):
            if entry.is_dir():
                found += [(path, entry.name) for path in sorted(entry.iterdir()) if _is_pickle(path)]
            elif _is_pickle(entry):
                found.append((entry, entry.stem))
    except OSError as error:
        raise ImportFileError(f"{error.filename or folder} cannot be read: {error.strerror}") from error
    if len(found) > _MOST_FILES:
        raise ImportFileError(f"{folder} contains {len(found)} files; the limit is {_MOST_FILES}")
    return found


def people_in(value: Any, where: str, fallback: str | None = None) -> list[PersonVectors]:
    """Find the vectors of each person in a value.

    Raises
    ------
    ImportFileError
        When its layout is unknown.
    """
    if isinstance(value, dict):
        listed = _first(value, _VECTORS)
        if listed is None:
            single = _first(value, _ONE)
            owner = _first(value, _ID)
            if single is not None and (owner is not None or fallback is not None):
                return [_person(fallback if owner is None else owner, single, where)]
            return [_keyed(person_id, held, where) for person_id, held in value.items()]
        return _labelled(value, listed, where, fallback)
    if isinstance(value, (list, tuple)) and len(value) == 2 and _are_texts(value[1]):
        return _parallel(value[0], value[1], None, where)
    if fallback is None:
        raise ImportFileError(f"{where} has vectors without ids; a dict of ids to vectors is needed")
    return [_person(fallback, value, where)]


def _labelled(value: dict[Any, Any], listed: Any, where: str, fallback: str | None) -> list[PersonVectors]:
    """Read a dict with a key for its list of vectors."""
    owner = _first(value, _ID)
    if owner is not None or (fallback is not None and _first(value, _IDS) is None):
        return [_person(fallback if owner is None else owner, listed, where)]
    ids = _first(value, _IDS)
    if not isinstance(ids, (list, tuple)):
        raise ImportFileError(f"{where} has vectors and no list of ids or names")
    names = _first(value, _NAMES)
    return _parallel(listed, ids, names if isinstance(names, (list, tuple)) and names is not ids else None, where)


def _parallel(listed: Any, ids: Any, names: Any, where: str) -> list[PersonVectors]:
    vectors = _vectors(listed, where)
    if len(ids) != len(vectors) or (names is not None and len(names) != len(ids)):
        raise ImportFileError(f"{where} has {len(ids)} ids for {len(vectors)} vectors")
    return grouped([person_key(person_id, where) for person_id in ids], names, vectors, where)


def _keyed(person_id: object, held: Any, where: str) -> PersonVectors:
    name = None
    if isinstance(held, dict):
        named, held = _first(held, ("name",)), _first(held, _VECTORS + _ONE)
        name = named if isinstance(named, str) else None
    return _person(person_id, held, where, name)


def _person(person_id: object, held: Any, where: str, name: str | None = None) -> PersonVectors:
    owner: PersonId = person_key(person_id, where)
    return PersonVectors(owner, _vectors(held, f"{where} ({owner!r})"), where, name)


def _vectors(held: Any, where: str) -> NDArray[Any]:
    """Return vectors, given as arrays or as lists of numbers, as one array of a row each."""
    if isinstance(held, np.ndarray):
        return np.atleast_2d(held)
    if not isinstance(held, (list, tuple)) or not held:
        raise ImportFileError(f"{where} contains {type(held).__name__} where vectors are needed")
    if all(isinstance(item, float) for item in held):
        return np.array([held])
    rows = [_row(item, where) for item in held]
    if len({len(row) for row in rows}) != 1:
        raise ImportFileError(f"{where} contains vectors of several lengths")
    return np.stack(rows)


def _row(item: Any, where: str) -> NDArray[Any]:
    if isinstance(item, np.ndarray) and item.ndim == 1:
        return item
    if isinstance(item, (list, tuple)) and item and all(isinstance(value, float) for value in item):
        return np.array(item)
    raise ImportFileError(f"{where} contains something else among its vectors")


def _first(value: dict[Any, Any], names: tuple[str, ...]) -> Any:
    return next((value[name] for name in names if name in value), None)


def _are_texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(item, (str, int)) for item in value)


def _is_pickle(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()
