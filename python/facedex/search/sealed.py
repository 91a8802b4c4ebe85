"""Encrypted files, written whole or not at all: aside, synced, renamed. They come and go only as ciphertext."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from ..errors import IndexFileError, SearchError


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
    aside = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(8)}.tmp")
    try:
        with open(aside, "xb", opener=_private) as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
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


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def sync_folder(folder: Path) -> None:
    """Make what was renamed or removed in a folder durable, where folders can be synced."""
    if os.name == "posix":
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
