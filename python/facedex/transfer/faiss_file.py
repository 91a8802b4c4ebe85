"""The vectors of a flat faiss index, mapped into memory. faiss is not needed.

The whole file is checked first, which faiss itself does not do. Accepted are ``IndexFlatIP``, ``IndexFlatL2`` and
either of them in an ``IndexIDMap`` or ``IndexIDMap2``; other indexes store codes from which the exact vectors cannot be
restored. Layout, little-endian, as faiss writes it (``faiss/impl/index_write.cpp``):

``IxFI`` or ``IxF2``, then the head, then the number of floats (uint64) and the floats. ``IxMp`` or ``IxM2``, then the
head, then an index, then the number of ids (uint64) and the ids (int64). A head is the dimension (int32), the number of
vectors (int64), two unused numbers (int64), whether it is trained (uint8) and the metric (int32).
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
    """The content of a flat index.

    vectors : ndarray of float32, shape (n, dimension)
    ids : ndarray of int64, shape (n,), or None when they are the row numbers
    """

    vectors: NDArray[np.float32]
    ids: NDArray[np.int64] | None


def read(path: Path) -> FlatIndex:
    """Map a flat index.

    Raises
    ------
    ImportFileError
        When it is damaged, or another kind of index.
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
                    f"{path.name} is an index of kind {kind.decode('latin-1')!r}; only flat ones keep the vectors: "
                    f"{', '.join(name.decode() for name in (*FLAT, *WITH_IDS))}. Save it as one, or import the photos"
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
    """Read a head: the number of vectors and their dimension."""
    content = file.read(_HEAD.size)
    if len(content) != _HEAD.size:
        raise _damaged(name, "it ends in its head")
    dimension, number, _, _, trained, metric = _HEAD.unpack(content)
    if not 1 <= dimension <= _MAX_DIMENSION or number < 0 or trained != 1 or metric not in _METRICS:
        raise _damaged(name, f"its head: dimension {dimension}, {number} vectors, trained {trained}, metric {metric}")
    return number, dimension


def _block(file: BinaryIO, path: Path, dtype: str, count: int, size: int) -> tuple[NDArray[Any], int]:
    """Map an array that follows its length; return it and the offset of its end."""
    content = file.read(_COUNT.size)
    start = file.tell()
    end = start + count * np.dtype(dtype).itemsize
    if len(content) != _COUNT.size or _COUNT.unpack(content)[0] != count or end > size:
        raise _damaged(path.name, f"it does not contain the {count} numbers of its head")
    if count == 0:
        return np.zeros(0, dtype), end
    return np.memmap(path, dtype, "r", start, (count,)), end


def _damaged(name: str, why: str) -> ImportFileError:
    return ImportFileError(f"{name} is not a valid faiss index: {why}")
