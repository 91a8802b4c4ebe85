"""Files of numpy: ``.npy`` mapped from the disk, ``.npz`` of small arrays. Neither is ever unpickled.

The header is checked against the length of the file before an array is made: numpy would make room for whatever a
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
"""Most bytes that the arrays of an ``.npz`` may take: they hold ids and names."""

_MAX_MEMBERS = 64
_DAMAGED = (ValueError, TypeError, KeyError, OverflowError, EOFError, SyntaxError, RecursionError, MemoryError)


def mapped(path: Path) -> NDArray[Any]:
    """Map an ``.npy`` file of numbers; its rows are read from the disk when they are used.

    Raises
    ------
    ImportFileError
        When it is damaged, holds objects, or has another length than its header says.
    """
    try:
        with path.open("rb") as file:
            shape, turned, dtype, start = _header(file, path.stat().st_size, path.name)
        if 0 in shape:
            return np.zeros(shape, dtype)
        return np.memmap(path, dtype, "r", start, shape, "F" if turned else "C")
    except OSError as error:
        raise ImportFileError(f"{path} cannot be read: {error.strerror}") from error


def members(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of an ``.npz`` file by name.

    Raises
    ------
    ImportFileError
        When it is damaged, too large, or holds objects.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            listed = archive.infolist()
            if len(listed) > _MAX_MEMBERS:
                raise ImportFileError(f"{path.name} holds {len(listed)} arrays, at most {_MAX_MEMBERS} are read")
            size = sum(info.file_size for info in listed)
            if size > MAX_BYTES:
                raise ImportFileError(f"the arrays in {path.name} take {size} bytes, at most {MAX_BYTES} are read")
            return {info.filename.removesuffix(".npy"): _member(archive, info, path.name) for info in listed}
    except OSError as error:
        raise ImportFileError(f"{path} cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, *_DAMAGED) as error:
        if isinstance(error, ImportFileError):
            raise
        raise ImportFileError(f"{path.name} is no whole .npz file: {error}") from error


def texts(array: NDArray[Any], name: str) -> list[str | int]:
    """Take ids or names from an array of one axis: texts, bytes in UTF-8, or whole numbers.

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
        raise ImportFileError(f"{name} holds a text that is not UTF-8 or not Unicode") from error


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> NDArray[Any]:
    with archive.open(info) as file:
        content = file.read(info.file_size + 1)
    if len(content) != info.file_size:
        raise ImportFileError(f"{info.filename!r} in {name} has another length than the archive says")
    held = io.BytesIO(content)
    shape, turned, dtype, start = _header(held, len(content), f"{info.filename!r} in {name}")
    return np.frombuffer(content, dtype, offset=start).reshape(shape, order="F" if turned else "C")


def _header(file: BinaryIO, size: int, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Read the header; returns shape, whether columns come first, type, and where the numbers begin."""
    try:
        version = npy.read_magic(file)
        reading = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        shape, turned, dtype = reading(file)
        needed = math.prod(shape) * dtype.itemsize
    except _DAMAGED as error:
        raise ImportFileError(f"{name} is no whole .npy array") from error
    if dtype.hasobject or dtype.kind not in "fiubUS":
        raise ImportFileError(f"{name} is an array of {dtype}; only numbers and texts are read")
    start = file.tell()
    if any(length < 0 for length in shape) or start + needed != size:
        raise ImportFileError(f"{name} has {size} bytes, its header says {start + needed}")
    return shape, turned, dtype, start
