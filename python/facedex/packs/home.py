"""The folder for packs on this machine, and writing into it so that no half of a file is ever seen.

``packs/<key>/`` holds the files of a pack and the record of what facedex put there; ``licences.json`` the licences that
were accepted; ``added.json`` the manifests that were added; ``locks/`` the locks between processes.
"""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..config import settings
from ..errors import PackFolderError

LOCK_TIMEOUT_S = 3600.0
"""How long one process waits for another that fetches the same pack; a large pack on a slow line takes its time."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def home() -> Path:
    """Tell the folder for packs: ``FACEDEX_HOME``, else the platform's folder for a user's data."""
    chosen = settings().home
    if chosen is not None:
        return chosen
    from platformdirs import user_data_path

    return user_data_path("facedex", appauthor=False)


def folder_of(key: str) -> Path:
    """Tell the folder into which the files of a pack are fetched."""
    return home() / "packs" / key


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn an error of the file system into one that names the folder and what to do.

    Raises
    ------
    PackFolderError
    """
    try:
        yield
    except OSError as error:
        what = "the disk is full" if error.errno in _FULL else (error.strerror or str(error))
        raise PackFolderError(
            f"cannot write to {str(folder)!r}: {what}; make room or choose another folder with FACEDEX_HOME"
        ) from error


@contextmanager
def locked(key: str, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
    """Hold the lock of a pack, or of a file of records: one process at a time changes it.

    Raises
    ------
    PackFolderError
        Another process holds it for too long, or the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    place = home() / "locks" / f"{key}.lock"
    with writing(home()):
        place.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place, timeout=timeout_s)
    try:
        with writing(home()):
            lock.acquire()
    except Timeout as error:
        raise PackFolderError(f"another process has held {str(place)!r} for more than {timeout_s:g} seconds") from error
    try:
        yield
    finally:
        lock.release()


def read_json(path: Path) -> dict[str, Any]:
    """Read a record; one that is not there is empty.

    Raises
    ------
    PackFolderError
        It cannot be read, or is damaged.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise PackFolderError(f"the record {str(path)!r} cannot be read: {error}; move it away") from error
    if not isinstance(content, dict):
        raise PackFolderError(f"the record {str(path)!r} is damaged: not a table; move it away")
    return content


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a record beside its place and rename it.

    Raises
    ------
    PackFolderError
    """
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(content, file, indent=2, sort_keys=True)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o644)  # mkstemp's files are for their owner only
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
