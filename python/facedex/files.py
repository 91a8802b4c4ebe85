"""Files: atomic writes, the errors of a full disk, and standard output in any encoding."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_atomically(path: Path, pieces: Iterable[bytes], *, mode: int = 0o600) -> int:
    """Write a file atomically: to a temporary file beside `path`, which is synced and then renamed.

    Parameters
    ----------
    path : Path
    pieces : iterable of bytes
    mode : int
        Permissions; by default only the owner may read the file.

    Returns
    -------
    int
        Number of bytes written.

    Raises
    ------
    OSError
        When it cannot be written. An older file is left unchanged then, as when `pieces` raises.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(8)}.tmp")
    size = 0
    try:
        with open(temporary, "xb", opener=partial(os.open, mode=mode)) as file:
            for piece in pieces:
                size += file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return size


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error of the system means that no space is left: the disk, a quota or a limit is full."""
    return isinstance(error, OSError) and error.errno in _FULL


def escape_unencodable_output() -> None:
    r"""Let standard output write a letter that its encoding lacks as ``\uXXXX`` in place of failing."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a program may have put another object there
        sys.stdout.reconfigure(errors="backslashreplace")


def sync_folder(folder: Path) -> None:
    """Sync a folder, so that renames and removals in it are durable; does nothing where folders cannot be synced."""
    if os.name == "posix":
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
