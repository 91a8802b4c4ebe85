"""A flat index of faiss: the vectors in it, mapped from the disk. No faiss is needed.

The file is checked whole before a vector is taken: faiss itself trusts what a file says. Accepted are ``IndexFlatIP``,
``IndexFlatL2`` and either of them within an ``IndexIDMap`` or ``IndexIDMap2``; the others keep codes from which the
vectors cannot be had as they were. Layout, little-endian, as faiss writes it (``faiss/impl/index_write.cpp``):

``IxFI`` or ``IxF2``, then the head, then the number of floats (uint64) and the floats. ``IxMp`` or ``IxM2``, then the
head, then an index, then the number of ids (uint64) and the ids (int64). A head is the dimension (int32), the number of
vectors (int64), two numbers without meaning (int64), whether it is trained (uint8) and the metric (int32).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ImportFileError

FLAT = (b"IxFI", b"IxF2")
WITH_IDS = (b"IxMp", b"IxM2")

_HEAD = struct.Struct("<iqqqBi")
_COUNT = struct.Struct("<Q")
_METRICS = (0, 1)  # inner product, squared Euclidean distance
_MAX_DIMENSION = 1 << 16


class FlatIndex(NamedTuple):
    """What a flat index holds.

    vectors : ndarray of float32, shape (n, dimension)
    ids : ndarray of int64, shape (n,), or None when it numbers them itself
    """

    vectors: NDArray[np.float32]
    ids: NDArray[np.int64] | None


def read(path: Path) -> FlatIndex:
    """Map a flat index.

    Raises
    ------
    ImportFileError
        When it is damaged, or an index of another kind.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            kind = file.read(4)
            outer = None
            if kind in WITH_IDS:
                outer = _head(file, path.name)
                kind = file.read(4)
            if kind not in FLAT:
                raise ImportFileError(
                    f"{path.name} is an index of kind {kind.decode('latin-1')!r}; only flat ones, with or without ids, "
                    f"hold the vectors as they were: {', '.join(name.decode() for name in (*FLAT, *WITH_IDS))}. Save "
                    "it as one, or import the photos"
                )
            number, dimension = _head(file, path.name)
            if outer not in (None, (number, dimension)):
                raise _damaged(path.name, "its two heads differ")
            vectors, end = _block(file, path, "<f4", number * dimension, size)
            ids = None
            if outer is not None:
                file.seek(end)
                ids, end = _block(file, path, "<i8", number, size)
            if end != size:
                raise _damaged(path.name, f"it has {size} bytes instead of {end}")
    except OSError as error:
        raise ImportFileError(f"{path} cannot be read: {error.strerror}") from error
    return FlatIndex(vectors.reshape(number, dimension), ids)


def _head(file: BinaryIO, name: str) -> tuple[int, int]:
    """Read a head; returns the number of vectors and their dimension."""
    content = file.read(_HEAD.size)
    if len(content) != _HEAD.size:
        raise _damaged(name, "it ends in its head")
    dimension, number, _, _, trained, metric = _HEAD.unpack(content)
    if not 1 <= dimension <= _MAX_DIMENSION or number < 0 or trained != 1 or metric not in _METRICS:
        raise _damaged(name, f"it says dimension {dimension}, {number} vectors, trained {trained}, metric {metric}")
    return number, dimension


def _block(file: BinaryIO, path: Path, dtype: str, count: int, size: int) -> tuple[NDArray[Any], int]:
    """Map numbers, whose count stands before them; returns them and where they end."""
    content = file.read(_COUNT.size)
    start = file.tell()
    end = start + count * np.dtype(dtype).itemsize
    if len(content) != _COUNT.size or _COUNT.unpack(content)[0] != count or end > size:
        raise _damaged(path.name, f"it does not hold the {count} numbers that its head says")
    if count == 0:
        return np.zeros(0, dtype), end
    return np.memmap(path, dtype, "r", start, (count,)), end


def _damaged(name: str, why: str) -> ImportFileError:
    return ImportFileError(f"{name} is no whole index of faiss: {why}")
