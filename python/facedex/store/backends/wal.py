"""SQLite's write-ahead log, looked at from outside: whether it holds commits that SQLite passes over.

SQLite reads the log up to the first frame whose checksum is wrong, because that is what a power cut leaves. A flipped
bit in the midst does the same, and loses every commit behind it without a word. Here the frames behind are counted that
belong to the same log and end a commit. Layout of the log: sqlite.org, "WAL-mode File Format".

Only the log is opened here. SQLite's locks stand on the database and on the index of the log, and POSIX drops all that
a process has on a file when it closes any descriptor of it (sqlite.org, "How To Corrupt An SQLite Database File").
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

_HEADER = struct.Struct(">8I")  # magic, version, page size, checkpoint, two salts, two checksums
_FRAME = struct.Struct(">6I")  # page, pages of the file after a commit or 0, two salts, two checksums
_SUSPICIOUS = 2  # commits passed over; one may be what a power cut tore
_TRIES = 3  # another process may begin the log anew meanwhile


def commits_passed_over(path: Path, frames_taken: Callable[[], int]) -> int:
    """Count the commits in the log of a database behind the last that SQLite takes.

    Parameters
    ----------
    path : Path
        Of the database.
    frames_taken : callable
        Asks SQLite how many frames it holds valid; less than 0 when it does not say.

    Returns
    -------
    int
        After a power cut it may be 1: a commit that was torn before it was acknowledged.

    Raises
    ------
    OSError
        When there is no log, or it cannot be read.
    """
    for _ in range(_TRIES):
        before, commits = _commits(path)
        if len(commits) < _SUSPICIOUS:
            return 0
        # Asked after the frames were read: what is committed meanwhile is in it.
        last = frames_taken()
        if last < 0:
            return 0  # another is at the log, and SQLite does not say
        if _commits(path, header_only=True)[0] == before:
            return sum(frame > last for frame in commits)
    return 0


def _commits(path: Path, *, header_only: bool = False) -> tuple[tuple[int, ...], list[int]]:
    """Return the salts of the log, and the numbers of the frames that have them and end a commit."""
    with path.with_name(f"{path.name}-wal").open("rb") as file:
        head = file.read(_HEADER.size)
        if len(head) < _HEADER.size:
            return (), []
        page_size, salts = _HEADER.unpack(head)[2], _HEADER.unpack(head)[4:6]
        found: list[int] = []
        number = 1
        while not header_only and len(frame := file.read(_FRAME.size)) == _FRAME.size:
            fields = _FRAME.unpack(frame)
            if fields[2:4] == salts and fields[1]:
                found.append(number)
            file.seek(page_size, 1)
            number += 1
        return salts, found
