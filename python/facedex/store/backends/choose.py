"""A location as users give it → the database program and its address.

Accepted: a path, ``:memory:``, and URLs of SQLite, PostgreSQL, MariaDB and MySQL. An error shows nothing of a URL but
its scheme: the rest may hold a password.
"""

from __future__ import annotations

import math
import os
import re
from importlib.util import find_spec
from typing import NamedTuple

import sqlalchemy as sa

from ...errors import ArgumentError, DatabaseUnavailableError
from .base import TIMEOUT_S, Backend
from .mysql import MysqlBackend
from .postgresql import PostgresqlBackend
from .sqlite import SqliteBackend


class _Program(NamedTuple):
    backend: type[Backend]
    driver: str
    module: str
    extra: str


_PROGRAMS = {
    "sqlite": _Program(SqliteBackend, "pysqlite", "sqlite3", ""),
    "postgresql": _Program(PostgresqlBackend, "psycopg", "psycopg", "postgres"),
    "mysql": _Program(MysqlBackend, "pymysql", "pymysql", "mysql"),
    "mariadb": _Program(MysqlBackend, "pymysql", "pymysql", "mysql"),
}

_ACCEPTED = (
    "a path, ':memory:', or a URL sqlite:///path, postgresql+psycopg://user:password@host/database or "
    "mysql+pymysql://user:password@host/database, each with ?timeout=seconds where wanted"
)


_UNFINISHED_URL = re.compile(r"(file|sqlite|postgresql|postgres|mysql|mariadb)(\+\w+)?:", re.IGNORECASE)
"""The start of a text that was meant as a URL; as a path it would name a file that nobody looks for."""

_IN_MEMORY = ("sqlite://", "sqlite:///", "sqlite:///:memory:")


def is_in_memory(location: str) -> bool:
    """Return whether a location names a database in memory, which ends with the object that opened it.

    Examples
    --------
    >>> is_in_memory(":memory:"), is_in_memory("sqlite://?timeout=1"), is_in_memory("people.db")
    (True, True, False)
    """
    return location == ":memory:" or location.partition("?")[0].replace("+pysqlite", "") in _IN_MEMORY


def database_exists(location: str | os.PathLike[str]) -> bool:
    """Return whether there is a file at a location; of a database on a server only opening it shows that.

    Raises
    ------
    ArgumentError, DatabaseUnavailableError
        As `backend_at`.
    """
    path = backend_at(location).path
    return path is None or path.exists()


def backend_at(location: str | os.PathLike[str]) -> Backend:
    """Choose the database program of a location.

    Parameters
    ----------
    location : str or PathLike
        A path, or an SQLAlchemy URL.

    Raises
    ------
    ArgumentError
        When it is neither.
    DatabaseUnavailableError
        When the driver is not installed, or a file's folder does not exist.
    """
    given: object = location
    text: object = os.fspath(given) if isinstance(given, str | os.PathLike) else None
    if not isinstance(text, str):
        raise ArgumentError(f"location must be {_ACCEPTED}, got {type(given).__name__}")
    if not text.strip() or "\0" in text:
        raise ArgumentError(f"location must be {_ACCEPTED}, got {'a NUL in it' if text.strip() else 'an empty text'}")
    if text == ":memory:":
        return SqliteBackend(None, TIMEOUT_S)
    if "://" not in text:
        if (found := _UNFINISHED_URL.match(text)) is not None:
            raise ArgumentError(f"location must be {_ACCEPTED}, got {found[0]}... without //; a path may begin with ./")
        return SqliteBackend(sa.URL.create("sqlite", database=text), TIMEOUT_S)
    scheme = text.partition("://")[0]
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        url = None
    name, _, driver = scheme.partition("+")
    program = _PROGRAMS.get(name)
    if url is None or program is None or driver not in ("", program.driver):
        raise ArgumentError(f"location must be {_ACCEPTED}, got {scheme}://...")
    timeout_s = _seconds(url)
    url = url.set(drivername=f"{name}+{program.driver}").difference_update_query(["timeout"])
    if name == "sqlite":
        if url.query or url.host:
            wrong = f"the parameter {next(iter(url.query))!r}" if url.query else "two slashes, where a path needs three"
            raise ArgumentError(f"location must be {_ACCEPTED}, got {scheme}:// with {wrong}")
        return SqliteBackend(None if is_in_memory(text) else url, timeout_s)
    if not url.database:
        raise ArgumentError(f"location must be {_ACCEPTED}, got {scheme}:// without a database")
    if find_spec(program.module) is None:
        raise DatabaseUnavailableError(
            f"a {name} database needs {program.module}, which is not installed: pip install 'facedex[{program.extra}]'"
        )
    return program.backend(url, timeout_s)


def _seconds(url: sa.URL) -> float:
    given = url.query.get("timeout", str(TIMEOUT_S))
    try:
        seconds = float(str(given))
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= 1e6:
        raise ArgumentError(f"location must be {_ACCEPTED}, got timeout={given}")
    return seconds
