"""Attendance → one file a day, a line for each attempt, as the old attendance backend wrote it.

A line is appended by one write to a file opened for appending, under a lock: workers and threads do not mix theirs, and
at midnight of the time zone the next line begins the next file. A name
cannot end a line, nor begin a field of it.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from ...errors import ArgumentError

ZONE = "Asia/Jakarta"
"""The old backend's time zone."""

UNKNOWN = "Unknown"
"""In place of a name where nobody was recognised."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to be recognised.

    Attributes
    ----------
    claimed : str
        The number that was claimed.
    name : str or None
        Of who was recognised; None is nobody.
    probability : float
        That both are the same person, 0 to 1.
    matched : bool
        Whether the face confirmed the claim.
    """

    claimed: str
    name: str | None
    probability: float
    matched: bool


class DailyFile:
    """Writes attempts to ``logging_dd-mm-yyyy.txt`` of the day.

    Parameters
    ----------
    folder : pathlib.Path
        Made when the first line is written.
    zone : str
        Name of a time zone, which decides the hour and the day.

    Raises
    ------
    ArgumentError
        When nobody knows the time zone.
    """

    def __init__(self, folder: Path, zone: str = ZONE) -> None:
        try:
            self.zone = ZoneInfo(zone)
        except (KeyError, ValueError, OSError) as error:
            raise ArgumentError(f"the time zone must be a name such as {ZONE!r}, got {zone!r}") from error
        self._folder = folder
        self._lock = threading.Lock()

    def path(self, at: datetime) -> Path:
        """Tell the file of a time, which has a time zone of its own."""
        return self._folder / f"logging_{at.astimezone(self.zone):%d-%m-%Y}.txt"

    def line(self, attempt: Attempt, at: datetime) -> str:
        """Write the line of an attempt, without its end."""
        name = UNKNOWN if attempt.name is None else attempt.name
        return (
            f"{at.astimezone(self.zone):%H:%M:%S} - NIK: {_one_line(attempt.claimed)}, Name: {_one_line(name)}, "
            f"Accuracy: {attempt.probability:.4f}, Matched: {attempt.matched}"
        )

    def append(self, attempt: Attempt, at: datetime) -> None:
        """Add the line of an attempt to the file of its day.

        Raises
        ------
        OSError
            When the folder cannot be written.
        """
        content = (self.line(attempt, at) + "\n").encode()
        with self._lock:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path(at), os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o640)
            try:
                _lock_file(handle)
                written = 0
                while written < len(content):
                    written += os.write(handle, content[written:])
            finally:
                os.close(handle)  # releases the lock


def _lock_file(handle: int) -> None:
    """Keep other processes from writing meanwhile; where there is no such lock, one write is one line all the same."""
    try:
        import fcntl
    except ImportError:
        return
    fcntl.flock(handle, fcntl.LOCK_EX)


def _one_line(text: str) -> str:
    return " ".join(
        "".join(character if character.isprintable() and character != "," else " " for character in text).split()
    )
