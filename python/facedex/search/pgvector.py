"""The search inside PostgreSQL: one index that every process on every machine shares, kept by the extension pgvector.

Each gallery and pack has a table of vectors; `search_tables` has the position of each. They are a cache, rebuilt from
the database when they are dropped. The table follows the feed of changes, because processes that search elsewhere may
change the gallery too; its position is committed with its rows. The first query after a change applies it under a lock.
A trigger deletes a vector in the transaction that deletes its template, whichever process runs that.
Scores are inner products of the float32 vectors themselves: there are no codes and nothing to re-rank.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import sqlalchemy as sa

from ..errors import ArgumentError, SearchError, SearchUnavailableError, StoreError
from ..store import Database, Feed
from ..store.database import CommitUnansweredError
from .base import Keys, SearchOptions, State, Vectors
from .remote import RemoteSearch, arrays_of

_log = logging.getLogger("facedex")

AUTO_FACES = 20_000
"""Up to this number "auto" compares every face, without a budget: 10,000 x 512 take about 10 ms, a graph search 3."""

PLAIN_DIMENSION = 1900
"""Longest vector that is stored within its row: a page has 8,192 bytes. A scan over values stored outside takes five
times as long (10,000 x 512: 57 ms against 10)."""

GRAPH_DIMENSION = 2000
"""Longest vector that pgvector can put into a graph."""

_GRAPH = "m = 16, ef_construction = 200"  # 10,000 x 512: built in 5 to 15 s on two cores; 32 takes twice that

_BREADTHS = (100, 200, 400, 800)  # hnsw.ef_search, tried from the narrowest; pgvector allows up to 1000
_WIDEST = 1000

_PATIENCE_MS = 60_000  # how long a process waits for another that updates the table
_TRIES = 3

_CREATE_POSITIONS = """
CREATE TABLE IF NOT EXISTS search_tables (
    name varchar(63) PRIMARY KEY,
    gallery_id bigint NOT NULL REFERENCES galleries (id) ON DELETE CASCADE,
    position bigint NOT NULL,
    token varchar(32) NOT NULL
)"""

_CREATE_VECTORS = """
CREATE TABLE IF NOT EXISTS {table} (
    face_id bigint PRIMARY KEY,
    person_row bigint NOT NULL,
    vector vector({dimension}) NOT NULL
);
ALTER TABLE {table} ALTER COLUMN vector SET STORAGE {storage};
CREATE INDEX IF NOT EXISTS {table}_of ON {table} (person_row);
CREATE OR REPLACE FUNCTION {table}_gone() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    DELETE FROM {table} WHERE face_id IN ({gone});
    RETURN NULL;
END
$body$;
DROP TRIGGER IF EXISTS {table} ON templates;
CREATE TRIGGER {table} AFTER DELETE ON templates
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION {table}_gone();
DELETE FROM {table};
"""

_GONE = "SELECT face_id FROM gone WHERE pack_digest = '{digest}'"
_GONE_PEOPLE = "SELECT person_row FROM faces WHERE id IN (SELECT face_id FROM gone WHERE pack_digest = '{digest}')"
"""The rows whose vectors were made of deleted templates. A template is deleted before its face."""

_WRITE_POSITION = sa.text(
    "INSERT INTO search_tables (name, gallery_id, position, token) VALUES (:name, :gallery, :position, :token) "
    "ON CONFLICT (name) DO UPDATE SET position = excluded.position, token = excluded.token"
)
_VERSION = sa.text("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
_OFFERED = sa.text("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'")
_CREATION_LOCK = 0x66616365766563  # "facevec": the advisory lock of the extension and of the table of positions

_STATE = """
SELECT g.position, g.token, g.faces, s.position AS applied, s.token AS applied_token,
       (SELECT i.indisvalid FROM pg_index i WHERE i.indexrelid = to_regclass('{table}_graph')) AS graph
FROM galleries g LEFT JOIN search_tables s ON s.name = '{table}'
WHERE g.id = :gallery AND g.uuid = :uuid
"""

_NEAREST = """
SELECT face_id, -distance, person_row FROM (
    SELECT face_id, person_row, {distance} AS distance FROM {table} ORDER BY distance LIMIT {k}
) f ORDER BY distance, face_id
"""

_BY_GRAPH = "vector <#> '{probe}'"
_BY_SCAN = "(vector <#> '{probe}') + 0"  # no index serves this expression: every row is compared

_SCORES = """
SELECT person_row, -(vector <#> '{probe}') FROM {table} WHERE person_row = ANY(ARRAY[{people}]::bigint[])
"""

_FETCH = "SELECT face_id, person_row, CAST(vector AS real[]) FROM {table} WHERE face_id = ANY(:faces)"
_SAMPLE = "SELECT CAST(vector AS real[]) FROM {table} TABLESAMPLE SYSTEM (:percent) LIMIT :n"


class PgvectorSearch(RemoteSearch):
    """The vectors of one gallery in a table beside it; see `open_search` for parameters and errors.

    "exact" compares every face, "hnsw" uses pgvector's graph, "auto" chooses when the gallery is opened, by the budget
    or else the number of faces.
    """

    def __init__(
        self,
        feed: Feed,
        options: SearchOptions,
        *,
        fresh: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> None:
        if not feed.database.location.startswith("postgresql"):
            raise ArgumentError(
                f"search='pgvector' needs a gallery in PostgreSQL, this one is in {feed.database.place}; use 'local'"
            )
        super().__init__(feed, options=options, place="pgvector", progress=progress)
        dimension = feed.pin.dimension
        if options.method == "hnsw" and dimension > GRAPH_DIMENSION:
            raise SearchUnavailableError(
                f"pgvector's graphs take vectors of up to {GRAPH_DIMENSION} values, those of pack {feed.pin.name!r} "
                f"have {dimension}; use index='exact'"
            )
        need_pgvector(feed.database, graph=options.method == "hnsw")
        self._table = table_name(feed, fused=options.fused)
        self._keys = {"gallery": feed.gallery_id, "uuid": feed.uuid}
        self._state = sa.text(_STATE.format(table=self._table))
        self._fetch_query = sa.text(_FETCH.format(table=self._table))
        self._sample_query = sa.text(_SAMPLE.format(table=self._table))
        self._graph_ready = False
        self._breadth = _BREADTHS[0]
        with self._lock:
            self._advance(fresh=fresh)
        if options.method == "hnsw" or (options.method == "auto" and dimension <= GRAPH_DIMENSION and self._is_slow()):
            self._make_graph()
            self._choose_breadth(_BREADTHS, "every face is compared")

    def vacuum(self, *, full: bool = False) -> bool:
        """Vacuum the table; False, because a client cannot empty the server's log and backups."""
        how = "FULL" if full else "SKIP_LOCKED"
        try:
            with self._database.single() as connection:
                connection.exec_driver_sql(f"VACUUM ({how}) {self._table}")
        except StoreError as error:
            _log.warning("removed, but the search table could not be cleared yet: %s", error)
        return False

    @property
    def _graph(self) -> bool:
        return self._graph_ready

    def _is_current(self) -> bool:
        with self._database.single() as connection:
            return self._accept_if_current(connection)

    def _accept_if_current(self, connection: sa.Connection) -> bool:
        row = connection.execute(self._state, self._keys).one()
        if row.applied is None or (row.applied, row.applied_token) != (row.position, row.token):
            return False
        self._accept(connection, row)
        return True

    def _accept(self, connection: sa.Connection, row: Any) -> None:
        """Search the table in the state of a row, which is counted once a state where a row is a person."""
        at = (row.applied, row.applied_token)
        if not self._options.fused:
            self._stored = row.faces
        elif at != self._at:
            self._stored = self._count_rows(connection)
        self._at, self._graph_ready = at, bool(row.graph)

    def _advance(self, *, fresh: bool = False) -> None:
        for left in reversed(range(_TRIES)):
            try:
                with self._locked_table() as (connection, row):
                    made = row.applied is None
                    if made:
                        make_table(connection, self._table, self._feed, fused=self._options.fused)
                    else:
                        self._follow(connection, row, fresh=fresh)
                if not made:
                    return
            except CommitUnansweredError:  # the table shows whether it was committed
                if not left:
                    raise
        raise SearchError(f"search table {self._table} of database {self._database.place} is dropped again and again")

    @contextlib.contextmanager
    def _locked_table(self) -> Iterator[tuple[sa.Connection, Any]]:
        """Run a transaction that has the table to itself, with the row of its state."""
        with self._database.write() as connection:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_PATIENCE_MS}")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock(hashtextextended('{self._table}', 0))")
            yield connection, connection.execute(self._state, self._keys).one()

    def _follow(self, connection: sa.Connection, row: Any, *, fresh: bool) -> None:
        if fresh or not self._accept_if_current(connection):
            delta = None if fresh or not row.applied else self._rows.since(row.applied, row.applied_token)
            if delta is None:
                if row.applied and not fresh:
                    self._log_rebuild("the database was put back to another history")
                connection.exec_driver_sql(f"DELETE FROM {self._table}")
                state = self._write_all(partial(copy_rows, connection, self._table))
            else:
                delete = sa.text(f"DELETE FROM {self._table} WHERE face_id = ANY(:faces)")
                connection.execute(delete, {"faces": delta.removed.astype(np.int64).tolist()})
                copy_rows(connection, self._table, delta.added, delta.people, delta.vectors)
                state = (delta.position, delta.token)
            write_position(connection, self._table, self._feed, state)
        # Where the gallery was changed meanwhile, the next query applies that.
        self._accept(connection, connection.execute(self._state, self._keys).one())

    def _nearest(self, probes: Vectors, k: int) -> tuple[Keys, Vectors, Keys]:
        if self.method == "hnsw" and k <= _WIDEST:
            rows = self._query(probes, k, by_graph=True)
            least = min(k, self._stored)
            if all(len(row) >= least for row in rows):
                return arrays_of(rows)
        return arrays_of(self._query(probes, k, by_graph=False))

    def _query(self, probes: Vectors, k: int, *, by_graph: bool) -> list[list[tuple[int, float, int]]]:
        for left in reversed(range(_TRIES)):
            with self._database.read() as connection:
                # A deletion takes a person out until the faces that are left are fused.
                if not self._options.fused or self._accept_if_current(connection) or not left:
                    return self._query_rows(connection, probes, k, by_graph=by_graph)
            self.sync()
        return []

    def _query_rows(
        self, connection: sa.Connection, probes: Vectors, k: int, *, by_graph: bool
    ) -> list[list[tuple[int, float, int]]]:
        rows = []
        if by_graph:
            breadth = max(self._breadth, min(2 * k, _WIDEST))
            connection.exec_driver_sql(f"SET LOCAL hnsw.ef_search = {breadth}; SET LOCAL enable_seqscan = off")
        for probe in probes:
            # The probe, which is only numbers, is in the text: a parameter may be parsed again for each row.
            distance = (_BY_GRAPH if by_graph else _BY_SCAN).format(probe=_vector_literal(probe))
            query = _NEAREST.format(distance=distance, table=self._table, k=int(k))
            rows.append([tuple(row) for row in connection.exec_driver_sql(query)])
        return rows

    def _scores(self, probe: Vectors, people: Sequence[int]) -> dict[int, list[float]]:
        among = ",".join(str(int(person)) for person in people)
        query = _SCORES.format(probe=_vector_literal(probe), table=self._table, people=among)
        scores: dict[int, list[float]] = {}
        with self._database.single() as connection:
            for person, similarity in connection.exec_driver_sql(query):
                scores.setdefault(person, []).append(similarity)
        return scores

    def _fetch(self, keys: list[int]) -> dict[int, tuple[int, Vectors]]:
        with self._database.single() as connection:
            rows = connection.execute(self._fetch_query, {"faces": keys}).all()
        return {face: (person, np.array(vector, np.float32)) for face, person, vector in rows}

    def _count(self) -> int:
        with self._database.single() as connection:
            return self._count_rows(connection)

    def _count_rows(self, connection: sa.Connection) -> int:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {self._table}").scalar_one())

    def _sample(self, n: int) -> Vectors:
        percent = min(100.0, 1.0 + 400.0 * n / max(1, self._stored))
        with self._database.single() as connection:
            rows = connection.execute(self._sample_query, {"percent": percent, "n": n}).scalars().all()
        return np.array(rows, np.float32).reshape(len(rows), self._feed.pin.dimension)

    def _make_graph(self) -> None:
        """Build the graph in one process, without blocking the others; an interrupted build starts over."""
        with self._build_lock() as locked:
            if not locked or self._graph_ready:
                return
            with self._database.single() as connection:
                connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {self._table}_graph")
                connection.exec_driver_sql(
                    f"CREATE INDEX CONCURRENTLY {self._table}_graph ON {self._table} "
                    f"USING hnsw (vector vector_ip_ops) WITH ({_GRAPH})"
                )
        self._is_current()

    @contextlib.contextmanager
    def _build_lock(self) -> Iterator[bool]:
        """Keep other builders out; yields False when another process is building."""
        name = f"hashtextextended('{self._table}_graph', 0)"
        with self._database.single() as connection:
            if not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({name})").scalar():
                yield False
                return
            try:
                yield True
            finally:
                connection.exec_driver_sql(f"SELECT pg_advisory_unlock({name})")

    def _is_slow(self) -> bool:
        """Return whether comparing every face takes longer than the budget."""
        budget_ms = self._options.budget_ms
        if budget_ms is None:
            return self._stored > AUTO_FACES
        probes = self._sample(1)
        if not len(probes):
            return False
        self._query(probes, 1, by_graph=False)  # brings the table into memory
        started = time.perf_counter()
        self._query(probes, 1, by_graph=False)
        return 1000 * (time.perf_counter() - started) > budget_ms


def _vector_literal(vector: Vectors) -> str:
    return "[" + ",".join(map(repr, vector.tolist())) + "]"


def table_name(feed: Feed, *, fused: bool) -> str:
    """Return the name of the table of a gallery's vectors: letters and digits, shorter than PostgreSQL's 63."""
    return f"{'fused' if fused else 'search'}_{feed.uuid}_{feed.pin.digest[:12]}"


def need_pgvector(database: Database, *, graph: bool) -> None:
    """Create the extension and the table of positions in a database unless they exist.

    Raises
    ------
    SearchUnavailableError
        When it is not installed, may not be created, or has no graphs and one is wanted.
    """
    with database.single() as connection:
        version = connection.execute(_VERSION).scalar_one_or_none()
        offered = connection.execute(_OFFERED).scalar_one_or_none()
        positions = connection.exec_driver_sql("SELECT to_regclass('search_tables')").scalar()
    if version is None and offered is None:
        raise SearchUnavailableError(
            f"the server of database {database.place} has no pgvector; install it there (Debian: the package "
            "postgresql-<version>-pgvector), or open the gallery with search='local'"
        )
    if version is None or positions is None:
        try:
            with database.write() as connection:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_CREATION_LOCK})")
                connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS vector")
                connection.exec_driver_sql(_CREATE_POSITIONS)
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


def make_table(connection: sa.Connection, table: str, feed: Feed, *, fused: bool) -> None:
    """Create the empty table of vectors with its trigger; until the commit nobody can read or write templates."""
    dimension = feed.pin.dimension
    storage = "PLAIN" if dimension <= PLAIN_DIMENSION else "EXTERNAL"
    digest = feed.pin.digest
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise StoreError(f"the digest of pack {feed.pin.name!r} is not SHA-256 in hexadecimal: {digest!r}")
    gone = (_GONE_PEOPLE if fused else _GONE).format(digest=digest)
    connection.exec_driver_sql(_CREATE_VECTORS.format(table=table, dimension=dimension, storage=storage, gone=gone))
    write_position(connection, table, feed, (0, ""))


def write_position(connection: sa.Connection, table: str, feed: Feed, state: State) -> None:
    """Write the position of a table, in the transaction that brought it there."""
    values = {"name": table, "gallery": feed.gallery_id, "position": state[0], "token": state[1]}
    connection.execute(_WRITE_POSITION, values)


def drop_tables(feed: Feed) -> None:
    """Drop the vectors of a gallery, of every pack, from PostgreSQL; other databases have none.

    The next search inside PostgreSQL rebuilds them.
    """
    if not feed.database.location.startswith("postgresql"):
        return
    with feed.database.write() as connection:
        if connection.exec_driver_sql("SELECT to_regclass('search_tables')").scalar() is None:
            return
        delete = sa.text("DELETE FROM search_tables WHERE gallery_id = :gallery RETURNING name")
        for table in connection.execute(delete, {"gallery": feed.gallery_id}).scalars().all():
            connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS {table}_gone() CASCADE")
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table}")


def copy_rows(connection: sa.Connection, table: str, keys: Keys, people: Keys, vectors: Vectors) -> None:
    """Add rows by PostgreSQL's binary COPY (its manual, "Binary Format").

    A vector is encoded as its length, 0 and float32 values.
    """
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
