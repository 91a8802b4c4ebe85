"""SQLite, in this process: one file, which may be in memory.

It runs with a write-ahead log, ``synchronous=FULL`` (a commit that returned survives a power cut), foreign keys, and
``secure_delete`` (deleted content is overwritten with zeros). A writer takes the lock when it begins, so that what it
reads is still true when it writes. Failures are recognised by SQLite's messages, because Python has its error numbers
only from 3.11 on; their source is ``sqlite3ErrStr`` in SQLite's main.c.

SQLite reads its log up to the first frame whose checksum is wrong, because that is what a power cut leaves. A flipped
bit in the middle has the same effect: every later commit is lost silently. So opening a database counts the later
frames that belong to the same log and end a commit. Layout of the log: sqlite.org, "WAL-mode File Format". Only the log
is opened for that. SQLite's locks are on the database and on the index of the log, and POSIX drops all locks of a
process on a file when it closes any descriptor of it (sqlite.org, "How To Corrupt An SQLite Database File").
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import struct
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock, Timeout

from ...errors import (
    ArgumentError,
    DatabaseDamagedError,
    DatabaseReadOnlyError,
    DatabaseUnavailableError,
    ExportError,
    StoreError,
)
from ...files import sync_folder
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
"""Disk space that is reserved beside a database, so that people can be deleted on a full disk: a deletion writes each
page that it changes to the log first. It is enough for some dozen faces and thumbnails, or one large photo."""

_SHOWN = 100  # characters of a path in a message about it

_SHARED_MEMORY = Path("/dev/shm")
"""Where Linux has a file system in memory."""

_ZEROS = bytes(1 << 16)

_LOCK_WAIT_S = 1.0
"""How long another writer may hold the database before it counts as locked, seconds."""


_HEADER = struct.Struct(">8I")  # magic, version, page size, checkpoint, two salts, two checksums
_FRAME = struct.Struct(">6I")  # page, pages of the file after a commit or 0, two salts, two checksums
_SUSPICIOUS = 2  # ignored commits; one may be torn by a power cut
_TRIES = 3  # another process may restart the log meanwhile


class SqliteBackend(Backend):
    """An SQLite file.

    Parameters
    ----------
    url : sqlalchemy.URL or None
        None is a file in memory, for tests: only its own connections find it, and it is removed when it is closed.
        SQLite's own databases in memory have no write-ahead log: a read would wait for the writer in whose transaction
        it runs. So it is a file in a private folder, in the file system in memory where the machine has one (Linux),
        otherwise in the folder for temporary files. A file in a folder that may not be written is opened as immutable,
        because SQLite could make neither log nor locks there.
    timeout_s : float
        How long a call waits for another writer, seconds.
    """

    reading = ("BEGIN",)
    writing = migration = ("BEGIN IMMEDIATE",)

    def __init__(self, url: sa.URL | None, timeout_s: float) -> None:
        self._temporary = None
        if url is None:
            memory = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
            folder_name = tempfile.mkdtemp(prefix="facedex-", dir=memory)
            self._temporary = weakref.finalize(self, _remove_folder, folder_name, os.getpid())
            url = sa.URL.create("sqlite", database=str(Path(folder_name) / "people.db"))
        super().__init__(url, timeout_s)
        self._path = Path(str(url.database))
        self._watcher: sqlite3.Connection | None = None
        self._closed = False
        self._watcher_lock = threading.Lock()
        folder = self._path.absolute().parent
        try:
            os.fsencode(self._path)
            is_folder, has_folder = self._path.is_dir(), folder.is_dir()
        except (OSError, ValueError) as error:  # a name too long, or a character that no file name has
            reason = error.strerror if isinstance(error, OSError) else error
            raise DatabaseUnavailableError(f"database {str(self._path)[:_SHOWN]!r} cannot be used: {reason}") from error
        if is_folder:
            raise DatabaseUnavailableError(f"database {str(self._path)!r} is a folder; give the path of a file")
        if not has_folder:
            raise DatabaseUnavailableError(
                f"folder {str(folder)[:_SHOWN]!r} for database {self._path.name[:_SHOWN]!r} does not exist; create it"
            )
        self._log = self._path.with_name(f"{self._path.name}-wal")
        self._had_log = self._log.exists()
        self._clearing = weakref.finalize(self, _clear_mark, str(self._path), os.getpid())
        self._immutable = self._path.exists() and not os.access(folder, os.W_OK) and not os.access(self._path, os.W_OK)
        if self._immutable and self._had_log:
            raise DatabaseReadOnlyError(
                f"database {self.place} may not be written, and its log ({self._log.name}) is in use or was left: "
                "close it where it is written, or give a copy that 'facedex backup' made"
            )
        if self._immutable:
            self._state = _state(self._path)
            self.url = sa.URL.create(
                "sqlite", database=self._path.absolute().as_uri(), query={"immutable": "1", "mode": "ro", "uri": "true"}
            )
        self._reserve = self._path.with_name(f"{self._path.name}.reserve")

    @property
    def path(self) -> Path:
        """Its file."""
        return self._path

    @property
    def location(self) -> str:
        """Where it is."""
        return str(self._path) if self._temporary is None else ":memory:"

    @property
    def in_memory(self) -> bool:
        """Whether it is in memory, so that nothing of it may be written to a disk."""
        return self._temporary is not None

    @property
    def read_only(self) -> bool:
        """Whether it was opened as immutable."""
        return self._immutable

    def check_unchanged(self) -> None:
        """Refuse to read an immutable file that another user changes: SQLite takes no locks on it."""
        if self._immutable and (self._log.exists() or _state(self._path) != self._state):
            raise DatabaseReadOnlyError(
                f"database {self.place} was opened for reading only, and another program writes it now; open it again"
            )

    def remove(self) -> None:
        """Remove a file in memory."""
        if self._temporary is not None:
            self._temporary()

    def engine(self) -> sa.Engine:
        """Make the pool: calls run in the caller's threads, each with a connection of its own without waiting."""
        if not self._immutable:
            self._make_private()
        return sa.create_engine(
            self.url, connect_args={"timeout": self.timeout_s}, max_overflow=-1, hide_parameters=True
        )

    def prepare(self, connection: Any) -> None:
        """Set what each connection must have."""
        connection.isolation_level = None  # the driver begins no transaction by itself
        for pragma in _PRAGMAS if not self._immutable else _PRAGMAS[3:]:
            connection.execute(f"PRAGMA {pragma}").close()

    def prepare_migration(self, connection: sa.Connection) -> None:
        """Switch to the write-ahead log, which stays switched on in the file.

        SQLite does not wait here as it does elsewhere: where another process has the file, it fails at once.
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
        """Read the schema; tables named sqlite_* are SQLite's own, and nothing else can make one."""
        query = "SELECT type, name, tbl_name FROM sqlite_master WHERE type <> 'index' ORDER BY type, name"
        found = []
        for kind, name, table in connection.exec_driver_sql(query):
            if kind == "trigger":
                found.append(f"trigger {name!r} on {table!r}")
            elif kind != "table" or not (name in ours or str(name).startswith("sqlite_")):
                found.append(f"{kind} {name!r}")
        return found

    def data_version(self) -> int | None:
        """Read, from a connection that never writes, how often others have committed: a read of shared memory.

        Source: PRAGMA data_version in SQLite's documentation.
        """
        if self._immutable:
            return 0
        try:
            with self._watcher_lock:
                if self._closed:
                    return None
                if self._watcher is None:
                    self._watcher = sqlite3.connect(
                        f"{self._path.absolute().as_uri()}?mode=rw",  # which makes no file where there is none
                        uri=True,
                        timeout=0,
                        isolation_level=None,
                        check_same_thread=False,
                    )
                return int(self._watcher.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error:
            return None  # such as a file that is being recovered; the next query reports it

    def close(self) -> None:
        """Close the connection of `data_version`, and note that the log is not needed any more."""
        with self._watcher_lock:
            self._closed = True
            if self._watcher is not None:
                self._watcher.close()
                self._watcher = None
        self._clearing()

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
        """Return a warning when the write-ahead log is missing, or has commits that SQLite ignores.

        They are ignored because of a damaged frame.
        """
        if (
            not self._had_log
            and not self._immutable
            and _is_marked(connection)
            and _count_valid_frames(connection) <= 0
        ):
            return f"it was copied while it was in use, without its log ({self._log.name}): {_last_change(connection)}"
        try:
            lost = _count_ignored_commits(self._path, lambda: _count_valid_frames(connection))
        except (OSError, sa.exc.DBAPIError):
            return None  # there is no log, or it cannot be read; then SQLite reports that itself
        if lost < 2:
            return None  # a power cut may tear one, which was not acknowledged
        return f"its log is damaged: about {lost} commits in it cannot be read and are gone; compare with a backup"

    def wipe_log(self, connection: sa.Connection, *, wait_s: float | None = None) -> bool:
        """Empty the write-ahead log.

        A reader in another process may block that; then a later call or the last close empties it.
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
        """Advice for a disk that is too full even for a deletion."""
        return (
            f"make room on the disk of {str(self._path.absolute().parent)!r}, as much as the photos and faces to be "
            "deleted take and 4 MiB more, then delete again"
        )

    def probe(self, connection: sa.Connection) -> None:
        """Read the file: SQLite opens it and its log only then."""
        connection.exec_driver_sql("PRAGMA schema_version").all()

    def release_reserve(self) -> bool:
        """Remove the file that reserves space on the disk."""
        try:
            self._reserve.unlink()
        except OSError:  # there is none
            return False
        return True

    def is_nearly_full(self) -> bool:
        """Compare with the free space of the disk."""
        return shutil.disk_usage(self._path.absolute().parent).free < 4 * RESERVE_BYTES

    def fill_reserve(self) -> None:
        """Make the file that reserves space on the disk, smaller where there is too little room, or not at all.

        A file that is shorter than it should be is replaced.
        """
        reserve = self._reserve
        if self.in_memory or not os.access(self._path, os.W_OK):
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
        """Check the free space of the disk, and take the lock of a writer for a moment."""
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
        """Rewrite the file and empty the log that was written for it."""
        connection.exec_driver_sql("VACUUM")
        return self.wipe_log(connection)

    def mark_in_use(self, connection: sa.Connection) -> bool:
        """Set the mark in the file's header; the last close clears it, so that a file with it has a log beside it."""
        if _is_marked(connection):
            return False
        connection.exec_driver_sql("PRAGMA user_version=1")
        return True

    def write_mark(self, connection: sa.Connection) -> None:
        """Write it to the main file, as far as readers allow."""
        _count_valid_frames(connection)

    def backup(self, connection: sa.Connection, path: Path) -> int:
        """Copy it with SQLite's own online backup, in one step that writers do not disturb, and check the copy."""
        if str(path) == ":memory:":
            raise ArgumentError("path must be that of a file, got ':memory:', which is no place for a backup")
        temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
        source: Any = connection.connection.driver_connection
        try:
            for taken in (path, path.with_name(f"{path.name}-wal")):
                if taken.exists():
                    raise ExportError(f"the backup cannot be written: {str(taken)!r} exists; name a new file")
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            with closing(sqlite3.connect(temporary, isolation_level=None)) as copy:
                source.backup(copy)
                copy.execute("PRAGMA user_version=0").close()
                (found,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
            if found != "ok":
                raise DatabaseDamagedError(f"database {self.place} is damaged, and so is its copy: {found}")
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            size = temporary.stat().st_size
            temporary.replace(path)
            sync_folder(path.parent)
        except (OSError, ValueError) as error:
            raise ExportError(f"the backup cannot be written to {str(path)[:_SHOWN]!r}: {error}") from error
        except sqlite3.Error as error:
            failure = self.failure(error, lost=False)
            if isinstance(failure, DatabaseDamagedError):
                raise failure from error
            raise ExportError(f"the backup cannot be written to {str(path)[:_SHOWN]!r}: {error}") from error
        finally:
            for suffix in ("", "-wal", "-shm", "-journal"):
                with suppress(OSError, ValueError):
                    temporary.with_name(temporary.name + suffix).unlink(missing_ok=True)
        return size

    def check_file(self, connection: sa.Connection) -> list[str]:
        """Run SQLite's own checks: of every page and index, and of rows that refer to none."""
        messages = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check")]
        lost = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        found = [f"the file: {text}" for text in messages if text != "ok"]
        return found + [f"row {row[1]} of {row[0]} belongs to a row of {row[2]} that is gone" for row in lost]

    def is_out_of_range(self, error: BaseException) -> bool:
        """Decide by the driver's message that it could not send a number."""
        return isinstance(error, OverflowError) and "to SQLite INTEGER" in str(error)

    def failure(self, error: BaseException, *, lost: bool) -> StoreError:
        """Translate a failure by SQLite's message."""
        message = str(error)
        low = message.lower()
        if "not a database" in low:
            return DatabaseDamagedError(
                f"{self.place} is not a database of facedex: {message}; give the path of a gallery or of a new file"
            )
        kind = next((kind for kind, words in _KINDS if any(word in low for word in words)), Kind.other)
        if kind is Kind.read_only or (kind is Kind.unavailable and self._unwritable(low)):
            return Kind.read_only.error(self.place, message, "its file and folder must be writable")
        return kind.error(self.place, message)

    def _make_private(self) -> None:
        """Create the file readable by its owner alone, whose mode its log inherits; an existing file keeps its mode.

        An existing file is not opened: closing it would drop the locks that SQLite has on it.
        """
        with suppress(OSError):  # it exists, or cannot be created, which SQLite reports
            os.close(os.open(os.path.realpath(self._path), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))

    def _unwritable(self, message: str) -> bool:
        """Whether SQLite could not open a file because it or its folder is read-only: both read "unable to open"."""
        if "unable to open" not in message or not self._path.exists():
            return False
        return not (os.access(self._path, os.W_OK) and os.access(self._path.parent, os.W_OK))


def _state(path: Path) -> tuple[int, int]:
    """Return when a file was changed last, and its size."""
    with suppress(OSError):
        found = path.stat()
        return found.st_mtime_ns, found.st_size
    return 0, 0


def _fill(file: int, size: int) -> None:
    """Allocate space on the disk; where the system cannot, by writing."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        for _ in range(size // len(_ZEROS)):
            os.write(file, _ZEROS)


def _is_marked(connection: sa.Connection) -> bool:
    """Return whether the file's header has the mark of `SqliteBackend.mark_in_use`."""
    return bool(connection.exec_driver_sql("PRAGMA user_version").scalar())


def _clear_mark(path: str, process: int) -> None:
    """Remove the mark from a file, as far as it can be written now; the next one to write sets it again."""
    if os.getpid() != process or not os.path.exists(path):  # noqa: PTH110 - raises nothing at the end of the process
        return
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(path, timeout=_LOCK_WAIT_S, isolation_level=None)) as connection,
    ):
        if connection.execute("PRAGMA user_version").fetchone()[0]:
            connection.execute("PRAGMA user_version=0").close()


def _remove_folder(folder: str, process: int) -> None:
    """Remove the folder of a file in memory, unless this is a child of the process that made it."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


def _last_change(connection: sa.Connection) -> str:
    """Describe how far the galleries of a database reach."""
    try:
        found = connection.exec_driver_sql("SELECT name, position FROM galleries ORDER BY name").all()
    except sa.exc.DBAPIError:
        found = []
    reach = ", ".join(f"gallery {name!r} ends at change {position}" for name, position in found[:3])
    return f"{reach or 'it holds no gallery'}, and later changes, if any, are missing; use 'facedex backup'"


def _count_valid_frames(connection: sa.Connection) -> int:
    """Return how many frames of the log SQLite considers valid; a passive checkpoint reports that."""
    return int(connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)").one()[1])


def _count_ignored_commits(path: Path, count_valid_frames: Callable[[], int]) -> int:
    """Count the commits in the log of a database after the last frame that SQLite considers valid.

    After a power cut it may be 1: a commit that was torn before it was acknowledged.
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
