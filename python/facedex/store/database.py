"""One database: opened safely, read in one view, written in one transaction.

SQLite runs with a write-ahead log, ``synchronous=FULL`` (a commit that returned survives a power cut), foreign keys,
and ``secure_delete`` (what is deleted is overwritten with zeros). A writer takes the lock when it begins, so that what
it reads is still true when it writes. Refused: a folder, a missing folder, a file that is no SQLite database or another
program's, and a database of a newer facedex.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ..errors import ArgumentError, DatabaseUnavailableError
from . import migrate
from .failures import failures

BUSY_TIMEOUT_S = 5.0
"""How long a call waits for another writer unless the URL says ``?timeout=``, seconds: SQLite's customary time."""

_PRAGMAS = ("foreign_keys=ON", "synchronous=FULL", "secure_delete=ON", "trusted_schema=OFF", "cell_size_check=ON")

_BEGIN = "facedex_begin"


class Database:
    """A database whose tables are those of this version.

    Parameters
    ----------
    location : str or PathLike
        A path, or an SQLAlchemy URL ``sqlite:///path``.

    Attributes
    ----------
    place : str
        What the database is called in messages.
    path : Path
        Its file.
    """

    def __init__(self, location: str | os.PathLike[str]) -> None:
        url = _url(location)
        self.path = Path(str(url.database))
        self.place = repr(str(self.path))
        _check_place(self.path)
        # Calls run in the caller's threads, as many as there are: each takes a connection, none waits for one.
        self._engine = sa.create_engine(
            url, connect_args={"timeout": float(str(url.query.get("timeout", BUSY_TIMEOUT_S)))}, max_overflow=-1
        )
        sa.event.listen(self._engine, "connect", _on_connect)
        sa.event.listen(self._engine, "begin", _on_begin)
        self._single = self._engine.execution_options(**{_BEGIN: ""})
        self._writer = self._engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        try:
            self._prepare()
        except BaseException:
            self._engine.dispose()
            raise

    @contextmanager
    def single(self) -> Iterator[sa.Connection]:
        """Lend a connection for one statement that reads: the cheapest way to ask."""
        with failures(self.place, self.path), self._single.connect() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Lend a connection whose statements all see the same state."""
        with failures(self.place, self.path), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Run a transaction that has the write lock: committed durably at the end, or undone as a whole."""
        with failures(self.place, self.path), self._writer.begin() as connection:
            yield connection

    def wipe_log(self) -> None:
        """Empty the write-ahead log, in which deleted rows would stand until it is written over.

        A reader in another process may hold the log; then it is emptied by a later call or by the last to close.
        """
        with failures(self.place, self.path), self._single.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all()

    def close(self) -> None:
        """Close every connection; closing again does nothing."""
        self._engine.dispose()

    def _prepare(self) -> None:
        with failures(self.place, self.path):
            with self._engine.begin() as connection:
                current = migrate.is_current(connection, self.place)
            if current:
                return
            with self._single.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL").all()
            with self._writer.begin() as connection:
                if not migrate.is_current(connection, self.place):
                    migrate.upgrade(connection)


def _url(location: str | os.PathLike[str]) -> sa.URL:
    text = location if isinstance(location, str) else str(Path(location))
    if not text:
        raise ArgumentError("location must be a path or a URL, got an empty text")
    if "://" not in text:
        return sa.URL.create("sqlite", database=text)
    try:
        url = sa.make_url(text)
        float(str(url.query.get("timeout", BUSY_TIMEOUT_S)))
    except (sa.exc.ArgumentError, ValueError) as error:
        raise ArgumentError(f"location must be a path or a URL sqlite:///path, got {text!r}") from error
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        shown = url.render_as_string(hide_password=True)
        raise ArgumentError(f"location must be a path or a URL sqlite:///path to a file, got {shown!r}")
    return url


def _check_place(path: Path) -> None:
    if path.is_dir():
        raise DatabaseUnavailableError(f"database {str(path)!r} is a folder; give the path of a file")
    if not path.absolute().parent.is_dir():
        raise DatabaseUnavailableError(
            f"folder {str(path.absolute().parent)!r} for database {path.name!r} does not exist; create it"
        )


def _on_connect(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself: _on_begin does
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").close()
    except BaseException:
        connection.close()  # the pool does not know it yet
        raise


def _on_begin(connection: sa.Connection) -> None:
    statement = connection.get_execution_options().get(_BEGIN, "BEGIN")
    if statement:
        connection.exec_driver_sql(statement)
