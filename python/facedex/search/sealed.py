"""Encrypted files, written whole or not at all: aside, synced, renamed. They come and go only as ciphertext."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..errors import IndexFileError, SearchError
from ..files import write_atomically


def write(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file beside `path` and rename it there when it is on the disk; only its owner may read it.

    Parameters
    ----------
    path : Path
    pieces : iterable of bytes

    Raises
    ------
    SearchError
        When it cannot be written; then an older file stays as it was.
    """
    try:
        write_atomically(path, pieces)
    except OSError as error:
        raise SearchError(f"snapshot {str(path)!r} cannot be written: {error.strerror}") from error


def read(path: Path) -> bytes:
    """Read a file.

    Raises
    ------
    IndexFileError
        When it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise IndexFileError(f"{path.name} cannot be read: {error.strerror}") from error
