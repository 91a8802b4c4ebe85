"""What the store needs of a database program: how to connect and begin, how to lock a migration, what failures mean.

The driver begins no transaction by itself: `Backend.reading` and `Backend.writing` are sent when one begins, and a
single query needs none. The address is shown without password and without anything else that may be a secret.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

from ...errors import (
    DatabaseDamagedError,
    DatabaseLockedError,
    DatabaseReadOnlyError,
    DatabaseUnavailableError,
    ExportError,
    StorageFullError,
    StoreError,
)

TIMEOUT_S = 5.0
"""How long a call waits for another writer unless the URL says ``?timeout=``, seconds: SQLite's customary time."""

MIGRATION_TIMEOUT_S = 60
"""How long one process waits for another that brings a server's tables up to date, seconds."""

CONNECT_TIMEOUT_S = 10
"""How long a server may take to answer the first call, seconds."""

POOL = {"pool_size": 5, "max_overflow": 10, "pool_timeout": 30, "pool_pre_ping": True}
"""Connections of one gallery to a server: at most 15, so that six workers stay below the 100 that servers allow by
default. A connection that the server has closed is replaced before it is used."""

_ADDRESS_PARTS = ("host", "port", "unix_socket", "service")  # parts of a URL's query that are an address and no secret


Storage = Literal["ok", "locked", "full", "read_only"]
"""Whether changes can be stored: another program holds the database, its disk is full, or it may not be written."""


class Kind(Enum):
    """What a failure means: the error, and its message before and after the database's own."""

    damaged = (DatabaseDamagedError, "database {place} is damaged", "restore it from a backup")
    locked = (DatabaseLockedError, "database {place} is held by another program", "try again when it has finished")
    full = (StorageFullError, "no space is left for database {place}", "nothing of this change was stored")
    read_only = (DatabaseReadOnlyError, "database {place} may not be written", "")
    unavailable = (DatabaseUnavailableError, "database {place} cannot be used", "")
    other = (StoreError, "database {place}", "")

    def error(self, place: str, message: str, advice: str = "") -> StoreError:
        """Make the error.

        Parameters
        ----------
        place : str
            The database's name in messages.
        message : str
            The database's own.
        advice : str
            What to do, where it differs from the default.
        """
        kind: type[StoreError]
        kind, before, default = self.value
        after = advice or default
        return kind(f"{before.format(place=place)}: {message}" + (f"; {after}" if after else ""))


class Backend(ABC):
    """A database program at an address.

    Parameters
    ----------
    url : sqlalchemy.URL
    timeout_s : float
        How long a call waits for another writer, seconds.

    Attributes
    ----------
    reading, writing : tuple of str
        What begins a transaction whose statements all see one state, and one that writes.
    migration : tuple of str
        What begins a migration.
    """

    reading: tuple[str, ...]
    writing: tuple[str, ...]
    migration: tuple[str, ...]

    def __init__(self, url: sa.URL, timeout_s: float) -> None:
        self.url = url
        self.timeout_s = timeout_s

    @property
    def path(self) -> Path | None:
        """Its file, when it is one."""
        return None

    @property
    def location(self) -> str:
        """Where it is, without secrets."""
        shown = {name: value for name, value in self.url.query.items() if name in _ADDRESS_PARTS}
        address = sa.URL.create(
            self.url.drivername.partition("+")[0],
            self.url.username,
            host=self.url.host,
            port=self.url.port,
            database=self.url.database,
            query=shown,
        )
        return address.render_as_string()

    @property
    def in_memory(self) -> bool:
        """Whether it is in the memory of this process only."""
        return False

    @property
    def read_only(self) -> bool:
        """Whether it was opened for reading only, because its files may not be written."""
        return False

    def check_unchanged(self) -> None:  # noqa: B027 - others lock what they read
        """Refuse to read what another program changes, where it is read without locks."""

    @property
    def place(self) -> str:
        """The database's name in messages."""
        return repr(self.location)

    @abstractmethod
    def engine(self) -> sa.Engine:
        """Make the pool of connections, without connecting yet."""

    @abstractmethod
    def prepare(self, connection: Any) -> None:
        """Prepare a new connection of the driver."""

    @abstractmethod
    def prepare_migration(self, connection: sa.Connection) -> None:
        """Prepare a database that is new or of an older version, or refuse it."""

    def data_version(self) -> int | None:
        """Return a number that changes with each commit; None where only a query to a server could."""
        return None

    def close(self) -> None:  # noqa: B027 - most have nothing
        """Close what is open beside the pool."""

    def remove(self) -> None:  # noqa: B027 - most remain
        """Remove a database that ends when it is closed."""

    def mark_in_use(self, connection: sa.Connection) -> bool:
        """Note in a transaction that writes that the database's files are in use, so that a partial copy is noticed.

        Returns whether that was not noted before, and is to be written to the main file.
        """
        return False  # nobody copies the files of a server

    def write_mark(self, connection: sa.Connection) -> None:  # noqa: B027
        """Write that note from the log to the main file; `connection` is in no transaction."""

    def backup(self, connection: sa.Connection, path: Path) -> int:
        """Copy the database to a new file, as it is at one moment; returns its size in bytes.

        Raises
        ------
        ExportError
            When it cannot be written, or the database is on a server.
        """
        raise ExportError(
            f"database {self.place} is on a server, whose own program makes its backups (pg_dump, mariadb-dump); "
            "'facedex export' writes one gallery to a file"
        )

    @abstractmethod
    def foreign_objects(self, connection: sa.Connection, ours: frozenset[str]) -> list[str]:
        """List triggers, views and the like in the database, and the tables that are not `ours`.

        Parameters
        ----------
        connection : Connection
        ours : frozenset of str
            Names of the tables of facedex.
        """

    def check_settings(self, connection: sa.Connection) -> str | None:
        """Return a warning about a setting under which a committed change may be lost."""
        return None

    def check_log(self, connection: sa.Connection) -> str | None:
        """Return a warning about the log of a database that was just opened; `connection` is in no transaction."""
        return None

    @contextmanager
    def lock_migration(self, connection: sa.Connection) -> Iterator[None]:
        """Exclude other migrations, where the statements of `migration` do not."""
        yield

    @abstractmethod
    def lock(self, connection: sa.Connection, name: str, wait_s: float) -> AbstractContextManager[None]:
        """Hold a lock of that name, which excludes every other process, wherever it runs.

        Parameters
        ----------
        connection : Connection
            Used for the lock alone meanwhile.
        name : str
            At most 64 letters, digits and underscores.
        wait_s : float
            How long to wait, seconds.

        Raises
        ------
        DatabaseLockedError
            When another process held it all the time.
        """

    def wipe_log(self, connection: sa.Connection, *, wait_s: float | None = None) -> bool:
        """Empty the files that still contain deleted rows; returns False where a client cannot do so, or not now.

        Parameters
        ----------
        connection : Connection
        wait_s : float, optional
            How long to wait for readers, seconds; as long as for a writer by default.
        """
        return False

    @property
    def full_advice(self) -> str:
        """Advice for a disk that is too full even for a deletion."""
        return "have its administrator make room on the server's disk, then delete again"

    def probe(self, connection: sa.Connection) -> None:  # noqa: B027 - most need not
        """Read something, where connecting does not show whether the database can be opened."""

    def release_reserve(self) -> bool:
        """Free the disk space reserved for deletions; returns False where there is none."""
        return False

    def is_nearly_full(self) -> bool:
        """Return whether the disk has little more room than that reserve."""
        return False

    def fill_reserve(self) -> None:  # noqa: B027 - facedex does not control a server's disk
        """Reserve that space again, as far as there is room."""

    def storage(self, connection: sa.Connection) -> Storage:
        """Return whether changes can be stored now, without storing any."""
        connection.exec_driver_sql("SELECT 1").all()
        return "ok"

    def vacuum(self, connection: sa.Connection) -> bool:
        """Rewrite the tables without deleted rows; returns whether these are now in no file."""
        return self.wipe_log(connection)

    def packet_limit(self, connection: sa.Connection, value: bytes) -> int | None:
        """Return the server's limit that a value would exceed; None when it can be stored."""
        return None

    def check_file(self, connection: sa.Connection) -> list[str]:
        """Return what is wrong with the files, where a client can read them."""
        return []

    def is_out_of_range(self, error: BaseException) -> bool:
        """Return whether a failure means that a number is too large for every column.

        Parameters
        ----------
        error : BaseException
            The driver's own, or Python's where the driver lets it through.
        """
        return isinstance(error, ValueError) and "for integer string conversion" in str(error)  # thousands of digits

    @abstractmethod
    def failure(self, error: BaseException, *, lost: bool) -> StoreError:
        """Translate a failure of the driver.

        Parameters
        ----------
        error : BaseException
            The driver's own.
        lost : bool
            Whether the connection can no longer be used.
        """
