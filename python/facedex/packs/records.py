"""The folder for packs on this machine, the records in it, and the locks between processes.

``packs/<key>/`` holds the files of a pack and the record of those that facedex wrote: without an entry there, a file is
the user's own. ``licences.json`` holds the licences that were accepted, ``added.json`` the manifests that were added,
``locks/`` the locks. Records are written beside their place and renamed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..config import user_folder
from ..errors import PackFolderError
from ..files import is_disk_full, write_atomically

RECORD = ".facedex.json"
"""Name of the record in the folder of a pack."""

LOCK_TIMEOUT_S = 3600.0
"""How long one process waits for another that fetches the same pack; a large pack on a slow line takes its time."""

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Record:
    """The record of a pack's folder.

    Attributes
    ----------
    files : dict of str to str
        File name → SHA-256 of what facedex wrote.
    pins : dict of str to str
        File name → SHA-256 of an unverified file when it was accepted.
    """

    files: dict[str, str] = field(default_factory=dict)
    pins: dict[str, str] = field(default_factory=dict)

    def with_file(self, name: str, sha256: str) -> Record:
        """Return the record with a file that facedex wrote."""
        return replace(self, files={**self.files, name: sha256})

    def with_pin(self, name: str, sha256: str) -> Record:
        """Return the record with an unverified file that was accepted."""
        return replace(self, pins={**self.pins, name: sha256})


def data_folder() -> Path:
    """Return the folder for packs: ``FACEDEX_HOME``, else the platform's folder for a user's data.

    Raises
    ------
    PackFolderError
        The user has none.
    """
    folder = user_folder("data")
    if folder is None:
        raise PackFolderError("this user has no home folder for packs; name a folder with FACEDEX_HOME")
    return folder


def pack_folder(key: str) -> Path | None:
    """Return the folder into which the files of a pack are fetched; None where the user has no folder for packs."""
    folder = user_folder("data")
    return None if folder is None else folder / "packs" / key


@contextmanager
def translate_write_errors(folder: Path) -> Iterator[None]:
    """Raise an error of the file system as `PackFolderError`, which names the folder and the remedy."""
    try:
        yield
    except OSError as error:
        what = "the disk is full" if is_disk_full(error) else (error.strerror or str(error))
        raise PackFolderError(
            f"cannot write to {str(folder)!r}: {what}; make room or choose another folder with FACEDEX_HOME"
        ) from error


@contextmanager
def lock(key: str, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
    """Hold the lock of a pack or of a record: one process at a time changes it.

    Raises
    ------
    PackFolderError
        Another process holds it for too long, or the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    folder = data_folder()
    path = folder / "locks" / f"{key}.lock"
    with translate_write_errors(folder):
        path.parent.mkdir(parents=True, exist_ok=True)
    file_lock = FileLock(path, timeout=timeout_s)
    try:
        with translate_write_errors(folder):
            file_lock.acquire()
    except Timeout as error:
        raise PackFolderError(f"another process has held {str(path)!r} for more than {timeout_s:g} seconds") from error
    try:
        yield
    finally:
        file_lock.release()


def read_own_json(name: str) -> dict[str, Any]:
    """Read a JSON object of the folder for packs; a missing file or folder is an empty one."""
    folder = user_folder("data")
    return {} if folder is None else read_json(folder / name)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; a missing file is an empty one.

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
    """Write a JSON object atomically, or raise `PackFolderError`."""
    with translate_write_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, [json.dumps(content, indent=2, sort_keys=True).encode()], mode=0o644)


def read_record(folder: Path | None) -> Record:
    """Read the record of a pack's folder; a missing one is empty.

    Raises
    ------
    PackFolderError
        It is damaged.
    """
    if folder is None:
        return Record()
    content = read_json(folder / RECORD)
    files, pins = content.get("files", {}), content.get("pins", {})
    for table in (files, pins):
        if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
            raise PackFolderError(f"the record {str(folder / RECORD)!r} is damaged; move it away")
    return Record(files, pins)


def write_record(folder: Path, record: Record) -> None:
    """Write the record of a pack's folder, or raise `PackFolderError`."""
    write_json(folder / RECORD, {"files": record.files, "pins": record.pins, "written_at": now()})


def now() -> str:
    """Return the time in UTC, ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def digest_of(path: Path) -> str:
    """Compute the SHA-256 of a file, 64 hexadecimal digits.

    Raises
    ------
    PackFolderError
        It cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise PackFolderError(f"cannot read {str(path)!r}: {error.strerror}") from error
    return digest.hexdigest()
