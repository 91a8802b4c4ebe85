"""SQLite: one file, in this process.

It runs with a write-ahead log, ``synchronous=FULL`` (a commit that returned survives a power cut), foreign keys, and
``secure_delete`` (what is deleted is overwritten with zeros). A writer takes the lock when it begins, so that what it
reads is still true when it writes. Its own words are matched, because its error numbers reach Python only from 3.11 on;
their source is ``sqlite3ErrStr`` in SQLite's main.c.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock, Timeout

from ...errors import DatabaseDamagedError, DatabaseUnavailableError, StoreError
from . import wal
from .base import Backend, Kind, Storage

_PRAGMAS = ("foreign_keys=ON", "synchronous=FULL", "secure_delete=ON", "trusted_schema=OFF", "cell_size_check=ON")

_KINDS = (
    (Kind.damaged, ("malformed", "could not decode", "corrupt")),
    (Kind.locked, ("locked", "busy")),
    (Kind.full, ("is full",)),
    (Kind.read_only, ("readonly", "read-only")),
    (Kind.unavailable, ("unable to open", "disk i/o error")),
)
"""What a failure means by words in its message, in the order in which they are looked for."""


RESERVE_BYTES = 4 << 20
"""Space that is kept on the disk beside a database, so that people can be deleted on a full one: a deletion writes each
page that it changes to the log first. It is enough for some dozen faces and thumbnails, or one large photo."""

_ZEROS = bytes(1 << 16)

_LOCK_WAIT_S = 1.0
"""How long another writer may have the database before it counts as locked, seconds."""


class SqliteBackend(Backend):
    """An SQLite file."""

    reading = ("BEGIN",)
    writing = migration = ("BEGIN IMMEDIATE",)

    def __init__(self, url: sa.URL, timeout_s: float) -> None:
        super().__init__(url, timeout_s)
        self._path = Path(str(url.database))
        self._reserve = self._path.with_name(f"{self._path.name}.reserve")
        self._watch: sqlite3.Connection | None = None
        self._closed = False
        self._watching = threading.Lock()
        if self._path.is_dir():
            raise DatabaseUnavailableError(f"database {str(self._path)!r} is a folder; give the path of a file")
        folder = self._path.absolute().parent
        if not folder.is_dir():
            raise DatabaseUnavailableError(
                f"folder {str(folder)!r} for database {self._path.name!r} does not exist; create it"
            )

    @property
    def path(self) -> Path:
        """Its file."""
        return self._path

    @property
    def location(self) -> str:
        """Where it is."""
        return str(self._path)

    def engine(self) -> sa.Engine:
        """Make the pool: calls run in the caller's threads; each takes a connection and none waits for one."""
        self._make_private()
        return sa.create_engine(
            self.url, connect_args={"timeout": self.timeout_s}, max_overflow=-1, hide_parameters=True
        )

    def connected(self, connection: Any) -> None:
        """Set what each connection must have."""
        connection.isolation_level = None  # the driver begins nothing by itself
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").close()

    def before_tables(self, connection: sa.Connection) -> None:
        """Switch to the write-ahead log, which stays switched on in the file.

        SQLite does not wait here as it does elsewhere: where another process has the file, it says so at once.
        """
        until = time.monotonic() + self.timeout_s
        while True:
            try:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL").all()
            except sa.exc.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(0.02)
            else:
                return

    def foreign_objects(self, connection: sa.Connection, ours: frozenset[str]) -> list[str]:
        """Read the schema; the tables whose name begins with sqlite_ are SQLite's own, and nobody else can make one."""
        query = "SELECT type, name, tbl_name FROM sqlite_master WHERE type <> 'index' ORDER BY type, name"
        found = []
        for kind, name, table in connection.exec_driver_sql(query):
            if kind == "trigger":
                found.append(f"trigger {name!r} on {table!r}")
            elif kind != "table" or not (name in ours or str(name).startswith("sqlite_")):
                found.append(f"{kind} {name!r}")
        return found

    def data_version(self) -> int | None:
        """Ask a connection that never writes whether another one has committed: it looks into shared memory.

        Source: PRAGMA data_version in SQLite's documentation.
        """
        try:
            with self._watching:
                if self._closed:
                    return None
                if self._watch is None:
                    self._watch = sqlite3.connect(
                        f"{self._path.absolute().as_uri()}?mode=rw",  # which makes no file where there is none
                        uri=True,
                        timeout=0,
                        isolation_level=None,
                        check_same_thread=False,
                    )
                return int(self._watch.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error:
            return None  # such as a file that is being recovered; whoever asks the pool learns more

    def close(self) -> None:
        """Close the connection that watches."""
        with self._watching:
            self._closed = True
            if self._watch is not None:
                self._watch.close()
                self._watch = None

    @contextmanager
    def lock(self, connection: sa.Connection, name: str, wait_s: float) -> Iterator[None]:
        """Lock a file beside the database's: a lock of SQLite's own would keep its writers out."""
        beside = self._path.with_name(f"{self._path.name}.{name}.lock")
        try:
            with FileLock(beside, timeout=wait_s, mode=0o600):
                yield
        except Timeout as error:
            raise Kind.locked.error(self.place, f"{beside.name} was not free for {wait_s:g} seconds") from error

    def check_log(self, connection: sa.Connection) -> str | None:
        """Tell when the write-ahead log holds commits that SQLite passes over: a damaged frame ends it there."""
        try:
            lost = wal.commits_passed_over(self._path, lambda: _frames_taken(connection))
        except (OSError, sa.exc.DBAPIError):
            return None  # there is no log, or it may not be looked at; then SQLite says so itself
        if lost < 2:
            return None  # one is what a power cut tears, before it was acknowledged
        return f"its log is damaged: about {lost} commits in it cannot be read and are gone; compare with a backup"

    def wipe_log(self, connection: sa.Connection, *, wait_s: float | None = None) -> bool:
        """Empty the write-ahead log.

        A reader in another process may hold it; then it is emptied by a later call or by the last to close.
        """
        if wait_s is not None:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={round(1000 * wait_s)}").all()
        try:
            return not connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
        finally:
            if wait_s is not None:
                connection.exec_driver_sql(f"PRAGMA busy_timeout={round(1000 * self.timeout_s)}").all()

    @property
    def full_advice(self) -> str:
        """Tell what to do when the disk is too full even for a deletion."""
        return (
            f"make room on the disk of {str(self._path.absolute().parent)!r}, as much as the photos and faces to be "
            "deleted take and 4 MiB more, then delete again"
        )

    def look(self, connection: sa.Connection) -> None:
        """Read the file: SQLite opens it, and its log, only then."""
        connection.exec_driver_sql("PRAGMA schema_version").all()

    def spend_reserve(self) -> bool:
        """Remove the file that keeps space on the disk."""
        try:
            self._reserve.unlink()
        except OSError:  # there is none
            return False
        return True

    def is_scarce(self) -> bool:
        """Look at the space of the disk."""
        return shutil.disk_usage(self._path.absolute().parent).free < 4 * RESERVE_BYTES

    def keep_reserve(self) -> None:
        """Make the file that keeps space on the disk, smaller where there is too little room; without any it goes.

        A file that is shorter than it should be is made again.
        """
        reserve = self._reserve
        if not os.access(self._path, os.W_OK):
            return
        with suppress(OSError):
            if reserve.lstat().st_size >= RESERVE_BYTES:
                return
            reserve.unlink()
        for share in (1, 2, 4, 8):
            with (
                suppress(OSError),
                os.fdopen(os.open(reserve, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb", buffering=0) as file,
            ):
                try:
                    _fill(file.fileno(), RESERVE_BYTES // share)
                    return
                except OSError:
                    reserve.unlink(missing_ok=True)

    def storage(self, connection: sa.Connection) -> Storage:
        """Look at the space of the disk, and take the lock of a writer for a moment."""
        if not os.access(self._path, os.W_OK):
            return "read_only"
        if shutil.disk_usage(self._path.absolute().parent).free < RESERVE_BYTES // 4:
            return "full"
        try:
            with closing(
                sqlite3.connect(self._path, timeout=min(self.timeout_s, _LOCK_WAIT_S), isolation_level=None)
            ) as other:
                other.execute("BEGIN IMMEDIATE").close()
                other.execute("ROLLBACK").close()
        except sqlite3.OperationalError as error:
            kind = next((kind for kind, words in _KINDS if any(word in str(error).lower() for word in words)), None)
            if kind is Kind.locked:
                return "locked"
            if kind is Kind.read_only:
                return "read_only"
            raise
        return "ok"

    def vacuum(self, connection: sa.Connection) -> bool:
        """Write the file anew and empty the log through which it went."""
        connection.exec_driver_sql("VACUUM")
        return self.wipe_log(connection)

    def check_file(self, connection: sa.Connection) -> list[str]:
        """Run SQLite's own checks: of every page and index, and of rows that refer to none."""
        told = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check")]
        lost = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        found = [f"the file: {text}" for text in told if text != "ok"]
        return found + [f"row {row[1]} of {row[0]} belongs to a row of {row[2]} that is gone" for row in lost]

    def is_beyond(self, error: BaseException) -> bool:
        """Tell whether the driver, in its own words, could not send a number."""
        return isinstance(error, OverflowError) and "to SQLite INTEGER" in str(error)

    def failure(self, error: BaseException, *, lost: bool) -> StoreError:
        """Name a failure by SQLite's words."""
        said = str(error)
        low = said.lower()
        if "not a database" in low:
            return DatabaseDamagedError(
                f"{self.place} is not a database of facedex: {said}; give the path of a gallery or of a new file"
            )
        kind = next((kind for kind, words in _KINDS if any(word in low for word in words)), Kind.other)
        if kind is Kind.read_only or (kind is Kind.unavailable and self._unwritable(low)):
            return Kind.read_only.error(self.place, said, "its file and folder must be writable")
        return kind.error(self.place, said)

    def _make_private(self) -> None:
        """Make a new file for its owner alone, from whom its log takes over the mode; one that is there keeps its own.

        It is made only when there is none: closing a file that is in use would give up the locks that SQLite has on it.
        """
        with suppress(OSError):  # it is there, or cannot be made, which SQLite tells
            os.close(os.open(os.path.realpath(self._path), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))

    def _unwritable(self, said: str) -> bool:
        """Whether SQLite could not open a file because it or its folder is read-only: both read "unable to open"."""
        if "unable to open" not in said or not self._path.exists():
            return False
        return not (os.access(self._path, os.W_OK) and os.access(self._path.parent, os.W_OK))


def _fill(file: int, size: int) -> None:
    """Take space on the disk; where the system cannot promise it, by writing."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        for _ in range(size // len(_ZEROS)):
            os.write(file, _ZEROS)


def _frames_taken(connection: sa.Connection) -> int:
    """Ask SQLite how many frames of the log it holds valid: a checkpoint that waits for nobody tells it."""
    return int(connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)").one()[1])
