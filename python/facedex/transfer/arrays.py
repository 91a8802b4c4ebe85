"""Files of numpy: memory-mapped ``.npy``, and ``.npz`` of small arrays. Neither is ever unpickled.

The header is checked against the length of the file before an array is made, because numpy would allocate whatever a
header says. The format is described in ``numpy.lib.format``.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ..errors import ImportFileError

MAX_BYTES = 256 << 20
"""Maximum size of the arrays of an ``.npz``, bytes: they hold ids and names."""

_MAX_MEMBERS = 64
_DAMAGED = (ValueError, TypeError, KeyError, OverflowError, EOFError, SyntaxError, RecursionError, MemoryError)


def map_npy(path: Path) -> NDArray[Any]:
    """Map an ``.npy`` file of numbers into memory; its rows are read from the disk on use.

    Raises
    ------
    ImportFileError
        When it is damaged, contains objects, or its length does not match its header.
    """
    try:
        with path.open("rb") as file:
            shape, by_column, dtype, start = _header(file, path.stat().st_size, path.name)
        if 0 in shape:
            return np.zeros(shape, dtype)
        return np.memmap(path, dtype, "r", start, shape, "F" if by_column else "C")
    except OSError as error:
        raise ImportFileError(f"{path} cannot be read: {error.strerror}") from error


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of an ``.npz`` file by name.

    Raises
    ------
    ImportFileError
        When it is damaged, too large, or contains objects.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            listed = archive.infolist()
            if len(listed) > _MAX_MEMBERS:
                raise ImportFileError(f"{path.name} contains {len(listed)} arrays; the limit is {_MAX_MEMBERS}")
            size = sum(info.file_size for info in listed)
            if size > MAX_BYTES:
                raise ImportFileError(f"the arrays in {path.name} take {size} bytes; the limit is {MAX_BYTES}")
            return {info.filename.removesuffix(".npy"): _member(archive, info, path.name) for info in listed}
    except OSError as error:
        raise ImportFileError(f"{path} cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, *_DAMAGED) as error:
        if isinstance(error, ImportFileError):
            raise
        raise ImportFileError(f"{path.name} is not a valid .npz file: {error}") from error


def texts(array: NDArray[Any], name: str) -> list[str | int]:
    """Return the ids or names in an array of one axis: texts, bytes in UTF-8, or integers.

    Raises
    ------
    ImportFileError
        When it is another array.
    """
    if array.ndim != 1 or array.dtype.kind not in "USiu":
        raise ImportFileError(
            f"{name} must be an array of texts or whole numbers with one axis, got {array.dtype} {array.shape}"
        )
    try:
        return [value.decode("utf-8") if isinstance(value, bytes) else value for value in array.tolist()]
    except ValueError as error:
        raise ImportFileError(f"{name} contains a text that is not valid UTF-8") from error


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> NDArray[Any]:
    with archive.open(info) as file:
        content = file.read(info.file_size + 1)
    if len(content) != info.file_size:
        raise ImportFileError(f"the length of {info.filename!r} in {name} does not match the archive")
    held = io.BytesIO(content)
    shape, by_column, dtype, start = _header(held, len(content), f"{info.filename!r} in {name}")
    return np.frombuffer(content, dtype, offset=start).reshape(shape, order="F" if by_column else "C")


def _header(file: BinaryIO, size: int, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Read the header: shape, whether in column order, type, and offset of the numbers."""
    try:
        version = npy.read_magic(file)
        reading = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        shape, by_column, dtype = reading(file)
        needed = math.prod(shape) * dtype.itemsize
    except _DAMAGED as error:
        raise ImportFileError(f"{name} is not a valid .npy array") from error
    if dtype.hasobject or dtype.kind not in "fiubUS":
        raise ImportFileError(f"{name} is an array of {dtype}; only numbers and texts are read")
    start = file.tell()
    if any(length < 0 for length in shape) or start + needed != size:
        raise ImportFileError(f"{name} has {size} bytes, its header says {start + needed}")
    return shape, by_column, dtype, start
