"""``face_db.npy`` with its JSON, or a faiss index with its ``.npz`` → the vectors of each person.

The JSON is a list with a name, an id or a dict with either for each row, or a dict from row numbers to these. The
``.npz`` has an array of ids and possibly one of names; docs/moving.md lists the accepted keys.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..errors import ImportFileError
from ..records import PersonId
from . import arrays, faiss_file
from .vectors import PersonVectors, grouped, person_key, same_length

IDS = ("class_ids", "class_id", "person_ids", "user_ids", "id", "ids", "labels", "names", "name")
"""Accepted keys of ids, best first."""

NAMES = ("names", "name", "class_names", "person_names", "nama")
"""Accepted keys of names."""

ROWS = ("image_ids", "faiss_ids", "vector_ids", "index_ids")
"""Accepted keys of the array that has the id in the index of each entry."""

MAX_JSON = 256 << 20
"""Largest JSON that is read, bytes."""

_LISTS = ("names", "ids", "labels", "people", "metadata", "faces")


def from_npy(path: Path, labels: Path | None) -> list[PersonVectors]:
    """Read an array of vectors and the JSON with their ids.

    Parameters
    ----------
    path : Path
        The ``.npy`` file.
    labels : Path, optional
        The JSON; by default the one of the same name, or the only one in the folder.

    Raises
    ------
    ImportFileError
    """
    vectors = arrays.map_npy(path)
    beside = labels or _beside(path, ".json")
    ids, names = _json_people(beside, len(vectors) if vectors.ndim else 0)
    same_length(ids, vectors, beside.name)
    return grouped(ids, names, vectors, path.name)


def from_faiss(path: Path, labels: Path | None) -> list[PersonVectors]:
    """Read a flat faiss index and the ``.npz`` with the ids of its vectors.

    Parameters
    ----------
    path : Path
        The index.
    labels : Path, optional
        The ``.npz``; by default the one of the same name, or the only one in the folder.

    Raises
    ------
    ImportFileError
    """
    index = faiss_file.read(path)
    beside = labels or _beside(path, ".npz")
    held = arrays.read_npz(beside)
    key = next((name for name in IDS if name in held), None)
    if key is None:
        raise ImportFileError(f"{beside.name} has no array of ids; one of {', '.join(IDS)} is needed")
    named = next((name for name in NAMES if name in held and name != key), None)
    ids = arrays.texts(held[key], f"{key!r} in {beside.name}")
    names = None if named is None else arrays.texts(held[named], f"{named!r} in {beside.name}")
    if names is not None and len(names) != len(ids):
        raise ImportFileError(f"{beside.name} has {len(ids)} ids and {len(names)} names")
    order = _order(index, held, len(ids), beside.name)
    if order is not None:
        ids = [ids[place] for place in order]
        names = None if names is None else [names[place] for place in order]
    same_length(ids, index.vectors, beside.name)
    return grouped(ids, names, index.vectors, path.name)


def _order(index: faiss_file.FlatIndex, held: dict[str, NDArray[Any]], number: int, name: str) -> list[int] | None:
    """Return the entry of each vector; None when they are in the same order."""
    key = next((name for name in ROWS if name in held), None)
    if index.ids is None or key is None:
        return None
    rows = arrays.texts(held[key], f"{key!r} in {name}")
    places = {row: place for place, row in enumerate(rows)}
    if len(rows) != number or len(places) != number:
        raise ImportFileError(f"{key!r} in {name} has {len(places)} different ids for {number} entries")
    try:
        return [places[row] for row in index.ids.tolist()]
    except KeyError as error:
        raise ImportFileError(f"{key!r} in {name} lacks {error.args[0]}, which the index has") from error


def _json_people(path: Path, number: int) -> tuple[list[PersonId], list[str | None]]:
    """Read the id, and the name if there is one, of each row."""
    try:
        size = path.stat().st_size
        if size > MAX_JSON:
            raise ImportFileError(f"{path} has {size} bytes; the limit is {MAX_JSON}")
        value = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise ImportFileError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ImportFileError(f"{path} is not JSON in UTF-8: {error}") from error
    if isinstance(value, dict) and not _is_numbered(value, number):
        value = next((value[key] for key in _LISTS if isinstance(value.get(key), (list, dict))), value)
    if isinstance(value, dict):
        if not _is_numbered(value, number):
            raise ImportFileError(
                f"{path.name} must have an entry for each of {number} rows, from 0; it has {len(value)}"
            )
        value = [value[str(row)] for row in range(number)]
    if not isinstance(value, list):
        raise ImportFileError(
            f"{path.name} contains {type(value).__name__}; a list or dict with one entry per row is needed"
        )
    people = [_entry(item, path.name) for item in value]
    return [person_id for person_id, _ in people], [name for _, name in people]


def _entry(item: object, where: str) -> tuple[PersonId, str | None]:
    if isinstance(item, dict):
        key = next((name for name in ("person_id", "user_id", *IDS) if name in item), None)
        if key is None:
            raise ImportFileError(f"{where} has an entry without an id or a name")
        name = next((item[other] for other in NAMES if other in item and other != key), None)
        return person_key(item[key], where), name if isinstance(name, str) else None
    return person_key(item, where), None


def _is_numbered(value: dict[str, Any], number: int) -> bool:
    return len(value) == number and all(str(row) in value for row in range(number))


def _beside(path: Path, suffix: str) -> Path:
    """Find the file with the ids of the vectors."""
    same = path.with_suffix(suffix)
    if same.is_file():
        return same
    others = sorted(path.parent.glob(f"*{suffix}"))
    if len(others) != 1:
        listed: Sequence[str] = [other.name for other in others[:5]]
        found = f"there are {', '.join(listed)}" if listed else "there is none"
        raise ImportFileError(f"{path.name} needs the {suffix} file with the ids of its vectors, and {found}; name it")
    return others[0]
