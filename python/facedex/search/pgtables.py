"""The tables of the search inside PostgreSQL: vectors for each gallery and pack, and one that says how far each is.

A trigger deletes a vector in the very transaction that deletes its template, whoever does so and however that process
searches. The tables are a cache: dropped, they are made again from the database.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import sqlalchemy as sa

from ..errors import SearchUnavailableError, StoreError
from ..store import Database, Feed
from .following import Keys, Vectors

PLAIN_DIMENSION = 1900
"""Longest vector that is kept within its row: a page has 8,192 bytes. A scan over values kept outside takes five times
as long (10,000 x 512: 57 ms against 10)."""

GRAPH_DIMENSION = 2000
"""Longest vector that pgvector can put into a graph."""

_STATES = """
CREATE TABLE IF NOT EXISTS search_tables (
    name varchar(63) PRIMARY KEY,
    gallery_id bigint NOT NULL REFERENCES galleries (id) ON DELETE CASCADE,
    position bigint NOT NULL,
    token varchar(32) NOT NULL
)"""

_VECTORS = """
CREATE TABLE IF NOT EXISTS {table} (
    face_id bigint PRIMARY KEY,
    person_row bigint NOT NULL,
    vector vector({dimension}) NOT NULL
);
ALTER TABLE {table} ALTER COLUMN vector SET STORAGE {storage};
CREATE INDEX IF NOT EXISTS {table}_of ON {table} (person_row);
CREATE OR REPLACE FUNCTION {table}_gone() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    DELETE FROM {table} WHERE face_id IN (SELECT face_id FROM gone WHERE pack_digest = '{digest}');
    RETURN NULL;
END
$body$;
DROP TRIGGER IF EXISTS {table} ON templates;
CREATE TRIGGER {table} AFTER DELETE ON templates
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION {table}_gone();
DELETE FROM {table};
"""

_NOTED = sa.text(
    "INSERT INTO search_tables (name, gallery_id, position, token) VALUES (:name, :gallery, :position, :token) "
    "ON CONFLICT (name) DO UPDATE SET position = excluded.position, token = excluded.token"
)


def table_name(feed: Feed) -> str:
    """Name the table of a gallery's vectors of its pack: letters and digits, shorter than PostgreSQL's 63."""
    return f"search_{feed.uuid}_{feed.pin.digest[:12]}"


def need_pgvector(database: Database, *, graph: bool) -> None:
    """Make the extension available in a database, and the table of states.

    Raises
    ------
    SearchUnavailableError
        When it is not installed, may not be created, or has no graphs and one is wanted.
    """
    with database.single() as connection:
        version = connection.execute(_VERSION).scalar_one_or_none()
        offered = connection.execute(_OFFERED).scalar_one_or_none()
        states = connection.exec_driver_sql("SELECT to_regclass('search_tables')").scalar()
    if version is None and offered is None:
        raise SearchUnavailableError(
            f"the server of database {database.place} has no pgvector; install it there (Debian: the package "
            "postgresql-<version>-pgvector), or open the gallery with search='local'"
        )
    if version is None or states is None:
        try:
            with database.write() as connection:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MAKING})")
                connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS vector")
                connection.exec_driver_sql(_STATES)
                version = connection.execute(_VERSION).scalar_one()
        except StoreError as error:
            raise SearchUnavailableError(
                f"pgvector cannot be made available in database {database.place}: {error}; let an administrator run "
                "CREATE EXTENSION vector there"
            ) from error
    found = [int(part) for part in re.findall(r"\d+", str(version))]
    if graph and found < [0, 5]:
        raise SearchUnavailableError(
            f"pgvector {version} in database {database.place} has no graphs; update it to 0.5, or use index='exact'"
        )


def make_table(connection: sa.Connection, table: str, feed: Feed) -> None:
    """Make the table of vectors, empty, with its trigger; until the commit nobody can read or write templates."""
    dimension = feed.pin.dimension
    storage = "PLAIN" if dimension <= PLAIN_DIMENSION else "EXTERNAL"
    digest = feed.pin.digest
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise StoreError(f"the digest of pack {feed.pin.name!r} is not SHA-256 in hexadecimal: {digest!r}")
    connection.exec_driver_sql(_VECTORS.format(table=table, dimension=dimension, storage=storage, digest=digest))
    note_state(connection, table, feed.book.row, (0, ""))


def note_state(connection: sa.Connection, table: str, gallery: int, state: tuple[int, str]) -> None:
    """Write down how far a table is, in the transaction that brought it there."""
    values = {"name": table, "gallery": gallery, "position": state[0], "token": state[1]}
    connection.execute(_NOTED, values)


def drop_tables(feed: Feed) -> None:
    """Drop the vectors of a gallery, of whatever pack; other databases than PostgreSQL have none.

    They come again at the next search that uses them.
    """
    if not feed.database.location.startswith("postgresql"):
        return
    with feed.database.write() as connection:
        if connection.exec_driver_sql("SELECT to_regclass('search_tables')").scalar() is None:
            return
        mine = sa.text("DELETE FROM search_tables WHERE gallery_id = :gallery RETURNING name")
        for table in connection.execute(mine, {"gallery": feed.book.row}).scalars().all():
            connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS {table}_gone() CASCADE")
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table}")


def copy_rows(connection: sa.Connection, table: str, keys: Keys, people: Keys, vectors: Vectors) -> None:
    """Add rows by PostgreSQL's binary COPY (its manual, "Binary Format"); a vector is its length, 0, and float32."""
    rows, dimension = vectors.shape
    if not rows:
        return
    row = np.dtype(
        [
            ("fields", ">i2"),
            ("size_1", ">i4"),
            ("face", ">i8"),
            ("size_2", ">i4"),
            ("person", ">i8"),
            ("size_3", ">i4"),
            ("dimension", ">i2"),
            ("unused", ">i2"),
            ("vector", ">f4", (dimension,)),
        ]
    )
    content = np.zeros(rows, row)
    content["fields"], content["size_1"], content["size_2"], content["size_3"] = 3, 8, 8, 4 + 4 * dimension
    content["face"], content["person"], content["dimension"], content["vector"] = keys, people, dimension, vectors
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
        copy.write(content.tobytes())
        copy.write(b"\xff\xff")


_VERSION = sa.text("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
_OFFERED = sa.text("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'")
_MAKING = 0x66616365766563  # "facevec": the advisory lock of the extension and of the table of states
