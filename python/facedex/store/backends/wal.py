"""SQLite's write-ahead log, read from outside: whether it has commits that SQLite ignores.

SQLite reads the log up to the first frame whose checksum is wrong, because that is what a power cut leaves. A flipped
bit in the middle has the same effect: every later commit is lost silently. This module counts the later frames that
belong to the same log and end a commit. Layout of the log: sqlite.org, "WAL-mode File Format".

Only the log is opened here. SQLite's locks are on the database and on the index of the log, and POSIX drops all locks
of a process on a file when it closes any descriptor of it (sqlite.org, "How To Corrupt An SQLite Database File").
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

_HEADER = struct.Struct(">8I")  # magic, version, page size, checkpoint, two salts, two checksums
_FRAME = struct.Struct(">6I")  # page, pages of the file after a commit or 0, two salts, two checksums
_SUSPICIOUS = 2  # ignored commits; one may be torn by a power cut
_TRIES = 3  # another process may restart the log meanwhile


def count_ignored_commits(path: Path, count_valid_frames: Callable[[], int]) -> int:
    """Count the commits in the log of a database after the last frame that SQLite considers valid.

    Parameters
    ----------
    path : Path
        Of the database.
    count_valid_frames : callable
        Returns how many frames SQLite considers valid; less than 0 when it does not know.

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
        # After the frames were read, so that it includes what is committed meanwhile.
        last = count_valid_frames()
        if last < 0:
            return 0  # another process uses the log, and SQLite does not know
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
