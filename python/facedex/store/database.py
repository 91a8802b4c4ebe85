"""One database: opened safely, read in one view, written in one transaction; its failures become errors of facedex.

The address chooses the database program; what differs between programs is in facedex.store.backends. Refused: an
address of another kind, a database of a newer facedex, and tables, triggers, views or rules that facedex did not make,
because they can change or hide what is stored.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ..coroutines import check_cancelled
from ..errors import (
    ArgumentError,
    DatabaseDamagedError,
    DatabaseReadOnlyError,
    DatabaseSchemaError,
    DatabaseUnavailableError,
    FacedexError,
    ForkError,
    StorageFullError,
    StoreError,
)
from ..forks import inherit, lock_of
from . import migrate
from .backends import Backend, Storage, backend_at

_log = logging.getLogger("facedex")

_BEGIN = "facedex_begin"

_WIPE_WAIT_S = 0.25
"""How long a change that overwrote something waits for readers, seconds; the next such change tries again."""

_STORAGE_CACHED_S = 1.0
"""How long a result about the storage is cached, seconds."""

_MOST_NAMED = 5  # foreign objects in a message


class CommitUnansweredError(DatabaseUnavailableError):
    """The connection was lost while the database was committing: it may have done so or not."""


class Database:
    """A database whose tables are those of this version.

    Parameters
    ----------
    location : str or PathLike
        A path of an SQLite file, ``:memory:``, or an SQLAlchemy URL of SQLite, PostgreSQL, MariaDB or MySQL.
    create : bool
        Whether a file that does not exist is created; with False it is a `DatabaseUnavailableError`.

    Attributes
    ----------
    path : Path or None
        Its file, when it is one.
    in_memory : bool
        Whether it is in the memory of this process only, so that nothing of it may be written to a disk.
    location : str
        Where it is, without password.
    place : str
        What the database is called in messages.
    """

    def __init__(self, location: str | os.PathLike[str], *, create: bool = True) -> None:
        self._given = location
        self._open(create=create)
        self.path = self._backend.path
        self.in_memory = self._backend.in_memory
        self.location = self._backend.location
        self.place = self._backend.place
        self._storage_lock = threading.Lock()
        self._storage: tuple[float, Storage | None] = (0.0, None)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def _open(self, *, create: bool) -> None:
        self._backend = backend_at(self._given)
        path = None if create or self._backend.in_memory else self._backend.path
        if path is not None and not path.exists():
            raise DatabaseUnavailableError(f"there is no database at {self._backend.place}; give the path of one")
        self._engine = self._backend.engine()
        driver: Any = self._engine.dialect.loaded_dbapi
        self._raw: type[BaseException] = driver.Error
        sa.event.listen(self._engine, "connect", _preparation(self._backend))
        sa.event.listen(self._engine, "begin", _on_begin)
        self._single = self._engine.execution_options(**{_BEGIN: ()})
        self._reader = self._engine.execution_options(**{_BEGIN: self._backend.reading})
        self._writer = self._engine.execution_options(**{_BEGIN: self._backend.writing})
        self._process = os.getpid()

    def _open_after_fork(self) -> None:
        """Open connections of this process, where those are a parent's."""
        if self._process == os.getpid():
            return
        with lock_of(self):
            if self._process == os.getpid():
                return
            if self.in_memory:
                raise ForkError("a database in memory belongs to the process that opened it; use a file")
            inherit((self._backend, self._engine, self._storage_lock))
            self._storage_lock = threading.Lock()
            self._open(create=True)

    @contextmanager
    def single(self) -> Iterator[sa.Connection]:
        """Yield a connection for one statement that reads: the cheapest way to query."""
        with self._errors(), self._single.connect() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Yield a connection whose statements all see the same state."""
        with self._errors(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Run a transaction: committed durably at the end, or undone as a whole, also when its coroutine is cancelled.

        In SQLite it has the database to itself; on a server it must lock the rows on which its decisions rest.

        Raises
        ------
        CommitUnansweredError
            When the connection was lost during the commit.
        """
        check_cancelled()
        self.check_writable()
        with self._errors(), self._writer.connect() as connection:
            transaction = connection.begin()
            try:
                is_first = self._backend.mark_in_use(connection)
                yield connection
                check_cancelled()
            except BaseException:
                transaction.rollback()
                raise
            try:
                transaction.commit()
            except sa.exc.DBAPIError as error:
                if error.connection_invalidated:
                    raise CommitUnansweredError(
                        f"database {self.place} was lost while it was committing: whether the change was stored is "
                        "not known; look before you try again"
                    ) from error
                raise
        if is_first:
            self._write_mark()

    @contextmanager
    def remove(self) -> Iterator[sa.Connection]:
        """Run a transaction as `write` does that only removes: on a full disk it may use the space reserved for that.

        Raises
        ------
        StorageFullError
            When that was too little; it says what to do.
        """
        try:
            with self.write() as connection:
                self._backend.release_reserve()
                yield connection
        except StorageFullError as error:
            raise StorageFullError(f"{error}; {self._backend.full_advice}") from error
        finally:
            if self._backend.is_nearly_full():
                self.wipe_log_soon()  # what the log took is free again
            self._backend.fill_reserve()

    @property
    def read_only(self) -> bool:
        """Whether it was opened for reading only, because its files may not be written."""
        return self._backend.read_only

    def check_writable(self) -> None:
        """Raise `DatabaseReadOnlyError` when the database was opened for reading only."""
        if self.read_only:
            raise DatabaseReadOnlyError(
                f"database {self.place} may not be written: its file and folder were read-only when it was opened"
            )

    def storage(self) -> Storage:
        """Return whether changes can be stored now; the result is cached for a second.

        Raises
        ------
        StoreError
            When it cannot even be read.
        """
        self._open_after_fork()
        with self._storage_lock:
            at, found = self._storage
            if found is None or time.monotonic() - at >= _STORAGE_CACHED_S:
                with self._errors(), self._single.connect() as connection:
                    found = self._backend.storage(connection)
                self._storage = time.monotonic(), found
            return found

    @contextmanager
    def lock(self, name: str, wait_s: float) -> Iterator[None]:
        """Hold a lock of that name, which excludes every other process of this database.

        Parameters
        ----------
        name : str
            At most 64 letters, digits and underscores.
        wait_s : float
            How long to wait for it, seconds.

        Raises
        ------
        DatabaseLockedError
            When another process held it all the time.
        """
        with self._errors(), self._single.connect() as connection, self._backend.lock(connection, name, wait_s):
            yield

    def wipe_log(self) -> bool:
        """Empty the log in which deleted rows would still stand.

        Returns
        -------
        bool
            False when that was not possible: another process reads, or it is a server, which does so in its own time.
        """
        with self._errors(), self._single.connect() as connection:
            return self._backend.wipe_log(connection)

    def wipe_log_soon(self) -> None:
        """Empty the log as `wipe_log` does, but wait only a moment for readers; a failure is only logged."""
        try:
            with self._errors(), self._single.connect() as connection:
                self._backend.wipe_log(connection, wait_s=_WIPE_WAIT_S)
        except StoreError as error:
            _log.warning("the log could not be emptied of what was replaced or removed: %s", error)

    def vacuum(self) -> bool:
        """Rewrite the tables without deleted rows, which takes a while and blocks writers.

        Returns
        -------
        bool
            Whether deleted rows are now in no file; a server keeps logs that a client cannot empty.
        """
        with self._errors(), self._single.connect() as connection:
            return self._backend.vacuum(connection)

    def backup(self, path: Path) -> int:
        """Copy the database to a new file, as it is at one moment, while others may write.

        Returns
        -------
        int
            The size of the copy, bytes.

        Raises
        ------
        ExportError
            When the file exists or cannot be written, or the database is on a server.
        DatabaseDamagedError
            When the copy, and so the database, is not intact.
        """
        with self._errors(), self._single.connect() as connection:
            return self._backend.backup(connection, path)

    def packet_limit(self, connection: sa.Connection, value: bytes) -> int | None:
        """Return the limit of the database program that a value would exceed; None when it can be stored."""
        return self._backend.packet_limit(connection, value)

    def check_file(self, connection: sa.Connection) -> list[str]:
        """Return what the database program finds wrong with its own file; nothing for a server."""
        return self._backend.check_file(connection)

    def data_version(self) -> int | None:
        """Return a number that changes with each commit, without a round trip to a server.

        Returns
        -------
        int or None
            None where it is not available without waiting.
        """
        self._open_after_fork()
        return self._backend.data_version()

    def close(self) -> None:
        """Close every connection; closing again does nothing."""
        if self._process != os.getpid():
            return  # the connections are the parent's
        self._backend.close()
        self._engine.dispose()
        self._engine.clear_compiled_cache()  # SQLAlchemy's engine is in a reference cycle, and lives on for a while
        self._backend.remove()

    def __repr__(self) -> str:
        return f"Database({self.location!r})"

    def _errors(self) -> AbstractContextManager[None]:
        self._open_after_fork()
        self._backend.check_unchanged()
        return _translate_errors(self._backend, self._raw)

    def _prepare(self) -> None:
        try:
            self._connect()
        except (StorageFullError, DatabaseUnavailableError):
            # SQLite makes the index of its log at the first opening, for which a full disk may have no room.
            if not self._backend.release_reserve():
                raise
            try:
                self._connect()
            finally:
                self._backend.fill_reserve()
        self._make_current()
        self._backend.fill_reserve()

    def _connect(self) -> None:
        with self._errors():
            try:
                with self._single.connect() as connection:
                    self._backend.probe(connection)
            except TypeError as error:
                raise ArgumentError(f"location has an option that its driver does not take: {error}") from error

    def _check_schema(self, connection: sa.Connection) -> None:
        found = self._backend.foreign_objects(connection, migrate.TABLES)
        if not found:
            return
        more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        raise DatabaseSchemaError(
            f"database {self.place} holds what facedex did not make: {', '.join(found[:_MOST_NAMED])}{more}; that can "
            "change or hide what is stored. Find out who made it, then drop it, or give the gallery a database of its "
            "own",
            found=tuple(found),
        )

    def _make_current(self) -> None:
        with self.single() as connection:  # not one view: MariaDB ends it when another process makes the tables
            current = migrate.is_current(connection, self.place)
            self._check_schema(connection)
            danger = self._backend.check_settings(connection) or self._backend.check_log(connection)
        if danger is not None:
            _log.warning("database %s: %s", self.place, danger)
        if current:
            return
        if self.read_only:
            raise DatabaseReadOnlyError(
                f"database {self.place} has an older version's tables or none, and may not be written; open it once "
                "where it may be"
            )
        with self.single() as connection:
            self._backend.prepare_migration(connection)
        migrator = self._engine.execution_options(**{_BEGIN: self._backend.migration})
        with self._errors(), migrator.begin() as connection, self._backend.lock_migration(connection):
            if not migrate.is_current(connection, self.place):
                migrate.upgrade(connection)
                self._backend.mark_in_use(connection)
        self._write_mark()

    def _write_mark(self) -> None:
        with (
            suppress(sa.exc.DBAPIError),
            self._single.connect() as connection,
        ):  # it only helps to notice a partial copy
            self._backend.write_mark(connection)


def _preparation(backend: Backend) -> Callable[[Any, Any], None]:
    """Return what prepares each new connection; it refers to the backend only, or the pool would hold the database."""

    def prepare(connection: Any, record: Any) -> None:
        try:
            backend.prepare(connection)
        except BaseException:
            connection.close()  # it is not in the pool yet
            raise

    return prepare


def _on_begin(connection: sa.Connection) -> None:
    for statement in connection.get_execution_options().get(_BEGIN, ()):
        connection.exec_driver_sql(statement)


@contextmanager
def _translate_errors(backend: Backend, raw: type[BaseException]) -> Iterator[None]:
    """Turn what the database raises inside into a `StoreError` with its cause chained.

    Parameters
    ----------
    backend : Backend
    raw : type of BaseException
        The driver's own errors, which a new connection raises without SQLAlchemy round them.
    """
    try:
        yield
    except sa.exc.DBAPIError as error:
        if error.orig is not None and backend.is_out_of_range(error.orig):
            raise _number_too_large() from error
        raise backend.failure(error.orig or error, lost=error.connection_invalidated) from error
    except raw as error:
        raise backend.failure(error, lost=False) from error
    except sa.exc.TimeoutError as error:
        raise DatabaseUnavailableError(
            f"database {backend.place} cannot be used: no connection became free; make fewer calls at once"
        ) from error
    except sa.exc.SQLAlchemyError as error:
        raise StoreError(f"database {backend.place}: {error}") from error
    except FacedexError:
        raise
    except MemoryError as error:
        raise DatabaseDamagedError(
            f"database {backend.place} holds a value that memory has no room for: it is damaged, or memory is short"
        ) from error
    except (TypeError, ValueError, OverflowError) as error:
        if backend.is_out_of_range(error):
            raise _number_too_large() from error
        # What is written was checked before, so this is a stored value that is not what its column holds.
        raise DatabaseDamagedError(f"database {backend.place} is damaged: {error}; restore it from a backup") from error


def _number_too_large() -> ArgumentError:
    return ArgumentError("a number must be one of 64 bits, got one that no column of the database holds")
