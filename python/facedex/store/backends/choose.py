"""A location as users give it → the database program and its address.

Accepted: a path, and URLs of SQLite, PostgreSQL, MariaDB and MySQL. An error shows nothing of a URL but its scheme: the
rest may hold a password.
"""

from __future__ import annotations

import math
import os
from importlib.util import find_spec
from pathlib import Path
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
    "a path or a URL sqlite:///path, postgresql+psycopg://user:password@host/database or "
    "mysql+pymysql://user:password@host/database, each with ?timeout=seconds where wanted"
)


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
    text = location if isinstance(location, str) else str(Path(location))
    if not text:
        raise ArgumentError(f"location must be {_ACCEPTED}, got an empty text")
    if "://" not in text:
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
    if not url.database or (name == "sqlite" and url.database == ":memory:"):
        raise ArgumentError(f"location must be {_ACCEPTED}, got {scheme}:// without a {_named(name)}")
    timeout_s = _seconds(url)
    if find_spec(program.module) is None:
        raise DatabaseUnavailableError(
            f"a {name} database needs {program.module}, which is not installed: pip install 'facedex[{program.extra}]'"
        )
    url = url.set(drivername=f"{name}+{program.driver}").difference_update_query(["timeout"])
    return program.backend(url, timeout_s)


def _named(name: str) -> str:
    return "file" if name == "sqlite" else "database"


def _seconds(url: sa.URL) -> float:
    given = url.query.get("timeout", str(TIMEOUT_S))
    try:
        seconds = float(str(given))
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= 1e6:
        raise ArgumentError(f"location must be {_ACCEPTED}, got timeout={given}")
    return seconds
