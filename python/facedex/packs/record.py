"""What facedex itself put into the folder of a pack: without an entry here, a file is the user's own.

One JSON file in that folder. It also keeps the digests of unverified files as they were when they were accepted.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..errors import PackFolderError
from .home import read_json, write_json

RECORD = ".facedex.json"
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
        """Tell that facedex wrote a file."""
        return replace(self, files={**self.files, name: sha256})

    def with_pin(self, name: str, sha256: str) -> Record:
        """Tell that an unverified file was accepted."""
        return replace(self, pins={**self.pins, name: sha256})


def read_record(folder: Path) -> Record:
    """Read the record of a folder; without one it is empty.

    Raises
    ------
    PackFolderError
        It is damaged.
    """
    content = read_json(folder / RECORD)
    files, pins = content.get("files", {}), content.get("pins", {})
    if not (_texts(files) and _texts(pins)):
        raise PackFolderError(f"the record {str(folder / RECORD)!r} is damaged; move it away")
    return Record(files, pins)


def write_record(folder: Path, record: Record) -> None:
    """Write the record of a folder.

    Raises
    ------
    PackFolderError
    """
    write_json(folder / RECORD, {"files": record.files, "pins": record.pins, "written_at": now()})


def now() -> str:
    """Tell the time in UTC, ISO 8601, to the second."""
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


def _texts(content: Any) -> bool:
    return isinstance(content, dict) and all(isinstance(value, str) for value in content.values())
