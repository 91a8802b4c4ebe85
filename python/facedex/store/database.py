"""One database: opened safely, read in one view, written in one transaction.

Which program it is, is chosen by its address; what differs between them is in facedex.store.backends. Refused: an
address of another kind, another program's tables, triggers or views, and a database of a newer facedex.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import sqlalchemy as sa

from ..errors import ArgumentError, DatabaseUnavailableError, StorageFullError, StoreError
from . import migrate
from .backends import Backend, Storage, backend_at
from .failures import CommitUnansweredError, failures
from .schema import check_schema

_log = logging.getLogger("facedex")

_BEGIN = "facedex_begin"

_WIPE_WAIT_S = 0.25
"""How long a change that overwrote something waits for readers, seconds; the next such change tries again."""

_LOOKED_S = 1.0
"""How long an answer about the storage holds, seconds."""


class Database:
    """A database whose tables are those of this version.

    Parameters
    ----------
    location : str or PathLike
        A path of an SQLite file, or an SQLAlchemy URL of SQLite, PostgreSQL, MariaDB or MySQL.

    Attributes
    ----------
    path : Path or None
        Its file, when it is one.
    location : str
        Where it is, without password.
    place : str
        What the database is called in messages.
    """

    def __init__(self, location: str | os.PathLike[str]) -> None:
        self._backend = backend_at(location)
        self.path = self._backend.path
        self.location = self._backend.location
        self.place = self._backend.place
        self._looking = threading.Lock()
        self._looked: tuple[float, Storage | None] = (0.0, None)
        self._engine = self._backend.engine()
        driver: Any = self._engine.dialect.loaded_dbapi
        self._raw: type[BaseException] = driver.Error
        sa.event.listen(self._engine, "connect", _preparing(self._backend))
        sa.event.listen(self._engine, "begin", _on_begin)
        self._single = self._engine.execution_options(**{_BEGIN: ()})
        self._reader = self._engine.execution_options(**{_BEGIN: self._backend.reading})
        self._writer = self._engine.execution_options(**{_BEGIN: self._backend.writing})
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def single(self) -> Iterator[sa.Connection]:
        """Lend a connection for one statement that reads: the cheapest way to ask."""
        with self._failures(), self._single.connect() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Lend a connection whose statements all see the same state."""
        with self._failures(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Run a transaction: committed durably at the end, or undone as a whole.

        In SQLite it has the database to itself; on a server it must lock the rows on which its decisions rest.

        Raises
        ------
        CommitUnansweredError
            When the connection was lost during the commit.
        """
        with self._failures(), self._writer.connect() as connection:
            transaction = connection.begin()
            try:
                yield connection
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

    @contextmanager
    def remove(self) -> Iterator[sa.Connection]:
        """Run a transaction as `write` does that only removes: on a full disk it has the space that is kept for that.

        Raises
        ------
        StorageFullError
            When that was too little; it says what to do.
        """
        try:
            with self.write() as connection:
                self._backend.spend_reserve()
                yield connection
        except StorageFullError as error:
            raise StorageFullError(f"{error}; {self._backend.full_advice}") from error
        finally:
            if self._backend.is_scarce():
                self.wipe_log_soon()  # what the log took is free again
            self._backend.keep_reserve()

    def storage(self) -> Storage:
        """Tell whether changes can be stored now; asked at most once a second, however many ask.

        Raises
        ------
        StoreError
            When it cannot even be read.
        """
        with self._looking:
            at, found = self._looked
            if found is None or time.monotonic() - at >= _LOOKED_S:
                with self._failures(), self._single.connect() as connection:
                    found = self._backend.storage(connection)
                self._looked = time.monotonic(), found
            return found

    @contextmanager
    def lock(self, name: str, wait_s: float) -> Iterator[None]:
        """Keep every other process of this database that asks for the same name out.

        Parameters
        ----------
        name : str
            At most 64 letters, digits and underscores.
        wait_s : float
            How long to wait for another, seconds.

        Raises
        ------
        DatabaseLockedError
            When another had it all the time.
        """
        with self._failures(), self._single.connect() as connection, self._backend.lock(connection, name, wait_s):
            yield

    def wipe_log(self) -> bool:
        """Empty the log in which deleted rows would still stand.

        Returns
        -------
        bool
            False when that was not possible: somebody is reading, or it is a server, which does so in its own time.
        """
        with self._failures(), self._single.connect() as connection:
            return self._backend.wipe_log(connection)

    def wipe_log_soon(self) -> None:
        """Empty the log as `wipe_log` does, but wait only a moment for readers; a failure is only told."""
        try:
            with self._failures(), self._single.connect() as connection:
                self._backend.wipe_log(connection, wait_s=_WIPE_WAIT_S)
        except StoreError as error:
            _log.warning("the log could not be emptied of what was replaced or removed: %s", error)

    def vacuum(self) -> bool:
        """Write the tables anew without what was deleted, which takes a while and keeps writers out.

        Returns
        -------
        bool
            Whether what was deleted now stands in no file; a server keeps logs that a client cannot empty.
        """
        with self._failures(), self._single.connect() as connection:
            return self._backend.vacuum(connection)

    def packet_limit(self, connection: sa.Connection, value: bytes) -> int | None:
        """Tell the limit of the database program that a value would break; None when it can be stored."""
        return self._backend.packet_limit(connection, value)

    def check_file(self, connection: sa.Connection) -> list[str]:
        """Tell what the database program finds wrong with its own file; a server looks after itself."""
        return self._backend.check_file(connection)

    def data_version(self) -> int | None:
        """Tell at once, without asking a server, whether anybody has committed since.

        Returns
        -------
        int or None
            A number that is another one after each commit; None where it cannot be had without waiting.
        """
        return self._backend.data_version()

    def close(self) -> None:
        """Close every connection; closing again does nothing."""
        self._backend.close()
        self._engine.dispose()

    def __repr__(self) -> str:
        return f"Database({self.location!r})"

    def _failures(self) -> AbstractContextManager[None]:
        return failures(self._backend, self._raw)

    def _prepare(self) -> None:
        try:
            self._connect()
        except (StorageFullError, DatabaseUnavailableError):
            # SQLite makes the index of its log when the first opens it, for which a full disk may have no room.
            if not self._backend.spend_reserve():
                raise
            try:
                self._connect()
            finally:
                self._backend.keep_reserve()
        self._make_current()
        self._backend.keep_reserve()

    def _connect(self) -> None:
        with self._failures():
            try:
                with self._single.connect() as connection:
                    self._backend.look(connection)
            except TypeError as error:
                raise ArgumentError(f"location has an option that its driver does not take: {error}") from error

    def _make_current(self) -> None:
        with self.single() as connection:  # not one view: MariaDB ends it when another process makes the tables
            current = migrate.is_current(connection, self.place)
            check_schema(connection, self._backend)
            danger = self._backend.check(connection) or self._backend.check_log(connection)
        if danger is not None:
            _log.warning("database %s: %s", self.place, danger)
        if current:
            return
        with self.single() as connection:
            self._backend.before_tables(connection)
        migrator = self._engine.execution_options(**{_BEGIN: self._backend.migration})
        with self._failures(), migrator.begin() as connection, self._backend.alone(connection):
            if not migrate.is_current(connection, self.place):
                migrate.upgrade(connection)


def _preparing(backend: Backend) -> Callable[[Any, Any], None]:
    """Make what prepares each new connection; it knows the backend only, or the pool would hold the database."""

    def prepare(connection: Any, record: Any) -> None:
        try:
            backend.connected(connection)
        except BaseException:
            connection.close()  # the pool does not know it yet
            raise

    return prepare


def _on_begin(connection: sa.Connection) -> None:
    for statement in connection.get_execution_options().get(_BEGIN, ()):
        connection.exec_driver_sql(statement)
