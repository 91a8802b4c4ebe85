"""A new place for a gallery in each kind of database, with direct access to read or damage it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from servers import Mariadb, MissingError, Postgresql, Server

from facedex.store import Database

KINDS: dict[str, type[Server] | None] = {"sqlite": None, "postgresql": Postgresql, "mysql": Mariadb}


class Servers:
    """The servers of one test session, each started when it is first needed."""

    def __init__(self) -> None:
        self._running: dict[str, Server] = {}
        self._missing: dict[str, MissingError] = {}

    def get(self, kind: str) -> Server:
        """Return a running server; raises MissingError."""
        if kind in self._missing:
            raise self._missing[kind]
        if kind not in self._running:
            made = KINDS[kind]
            assert made is not None
            try:
                self._running[kind] = made()
            except MissingError as error:
                self._missing[kind] = error
                raise
        return self._running[kind]

    @cached_property
    def sqlite_with_tables(self) -> bytes:
        """A file of SQLite in which the migrations have been run."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "ready.db"
            Database(path).close()
            return path.read_bytes()

    def close(self) -> None:
        for server in self._running.values():
            server.close()


@dataclass
class Place:
    """Where a gallery can be made.

    Attributes
    ----------
    kind : str
        Key of KINDS.
    location : str
        As `facedex.Gallery.open` takes it.
    folder : Path
        Where the snapshots of a search stand.
    path : Path
        The database's file; of SQLite only.
    server : Server or None
    database : str
        Name of the database on the server.
    """

    kind: str
    location: str
    folder: Path
    path: Path
    server: Server | None = None
    database: str = ""

    def with_options(self, **query: str) -> str:
        """The location with something added to the URL."""
        if self.server is not None:
            return self.server.url(self.database, **query)
        return sa.URL.create("sqlite", database=self.location, query=query).render_as_string()

    @contextlib.contextmanager
    def connect(self) -> Iterator[sa.Connection]:
        """A connection of its own, which commits at once."""
        url = sa.URL.create("sqlite", database=self.location) if self.server is None else self.location
        engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            yield connection

    def execute(self, statement: str | sa.Executable) -> None:
        with self.connect() as connection:
            connection.execute(sa.text(statement) if isinstance(statement, str) else statement)

    def rows(self, query: str) -> list[Any]:
        with self.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(query)]

    def snapshots(self) -> list[Path]:
        return sorted(file for file in self.folder.glob("*") if file.name.endswith(".index"))


@contextlib.contextmanager
def new_place(kind: str, servers: Servers, folder: Path, *, tables: bool) -> Iterator[Place]:
    """Make a temporary place, with the tables of this version or empty; raises MissingError."""
    if kind == "sqlite":
        path = folder / "people.db"
        if tables:
            path.write_bytes(servers.sqlite_with_tables)
        yield Place(kind, str(path), folder, path)
        return
    server = servers.get(kind)
    name = server.new_database(tables=tables)
    try:
        yield Place(kind, server.url(name), folder / "home" / "galleries", folder / "no file", server, name)
    finally:
        server.drop(name)
