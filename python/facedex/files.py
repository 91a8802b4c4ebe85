"""Files written whole or not at all: beside their place, synced, renamed. Only their owner may read them."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path


def write_aside(path: Path, pieces: Iterable[bytes]) -> int:
    """Write a file beside `path` and rename it there when it is on the disk.

    Parameters
    ----------
    path : Path
    pieces : iterable of bytes

    Returns
    -------
    int
        Bytes that were written.

    Raises
    ------
    OSError
        When it cannot be written; then, as with an error of `pieces`, an older file stays as it was.
    """
    aside = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(8)}.tmp")
    size = 0
    try:
        with open(aside, "xb", opener=_private) as file:
            for piece in pieces:
                size += file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
    return size


def sync_folder(folder: Path) -> None:
    """Make what was renamed or removed in a folder durable, where folders can be synced."""
    if os.name == "posix":
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
