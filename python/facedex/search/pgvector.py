"""The search inside PostgreSQL: one index that every process on every machine shares, kept by the extension pgvector.

It follows the feed of changes like the search of this process, because a gallery may be changed by processes that
search otherwise; its position is committed with its rows, so no crash comes between them. Whoever asks first after a
change applies it, under a lock; the others find it done. Scores are inner products of float32, of the vectors
themselves: there are no codes and nothing to re-rank.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa

from ..errors import ArgumentError, SearchError, SearchUnavailableError, StoreError
from ..store import Feed
from ..store.failures import CommitUnansweredError
from .base import SearchOptions
from .following import Keys, Vectors
from .pgtables import GRAPH_DIMENSION, copy_rows, make_table, need_pgvector, note_state, table_name
from .remote import RemoteSearch, table_of

_log = logging.getLogger("facedex")

AUTO_FACES = 20_000
"""Up to this number "auto" compares every face, without a budget: 10,000 x 512 take about 10 ms, a graph's walk 3."""

_GRAPH = "m = 16, ef_construction = 200"  # 10,000 x 512: built in 5 to 15 s on two cores; 32 takes twice that

_BREADTHS = (100, 200, 400, 800)  # of a walk, tried from the narrowest; pgvector allows up to 1000
_WIDEST = 1000

_PATIENCE_MS = 60_000  # how long a process waits for another that brings the table up to date
_TRIES = 3

_STATE = """
SELECT g.position, g.token, g.faces, s.position AS noted, s.token AS noted_token,
       (SELECT i.indisvalid FROM pg_index i WHERE i.indexrelid = to_regclass('{table}_graph')) AS graph
FROM galleries g LEFT JOIN search_tables s ON s.name = '{table}'
WHERE g.id = :gallery AND g.uuid = :uuid
"""

_NEAREST = """
SELECT face_id, -distance, person_row FROM (
    SELECT face_id, person_row, {distance} AS distance FROM {table} ORDER BY distance LIMIT {k}
) f ORDER BY distance, face_id
"""

_WALKED = "vector <#> '{probe}'"
_COMPARED = "(vector <#> '{probe}') + 0"  # for such an expression no index is made: every row is looked at

_SCORES = """
SELECT person_row, -(vector <#> '{probe}') FROM {table} WHERE person_row = ANY(ARRAY[{people}]::bigint[])
"""

_HELD = "SELECT face_id, person_row, CAST(vector AS real[]) FROM {table} WHERE face_id = ANY(:faces)"
_SAMPLE = "SELECT CAST(vector AS real[]) FROM {table} TABLESAMPLE SYSTEM (:percent) LIMIT :n"


class PgvectorSearch(RemoteSearch):
    """The vectors of one gallery in a table beside it.

    Parameters
    ----------
    feed : Feed
        The gallery, bound to its pack, in PostgreSQL.
    options : SearchOptions
        "exact" compares every face, "hnsw" walks pgvector's graph, "auto" chooses when the gallery is opened, by the
        budget or else the number of faces.
    fresh : bool
        Start over from the database.
    progress : callable, optional
        Called with the number of faces that a table that is rebuilt has so far.

    Raises
    ------
    ArgumentError
        When the database is not PostgreSQL.
    SearchUnavailableError
        When pgvector cannot be used there.
    PlainSearchError
        When the gallery is encrypted.
    """

    def __init__(
        self,
        feed: Feed,
        *,
        options: SearchOptions,
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
        self._table = table_name(feed)
        self._keys = {"gallery": feed.book.row, "uuid": feed.uuid}
        self._state = sa.text(_STATE.format(table=self._table))
        self._these = sa.text(_HELD.format(table=self._table))
        self._some = sa.text(_SAMPLE.format(table=self._table))
        self._ready = False
        self._breadth = _BREADTHS[0]
        with self._lock:
            self._advance(fresh=fresh)
        if options.method == "hnsw" or (options.method == "auto" and dimension <= GRAPH_DIMENSION and self._is_slow()):
            self._make_graph()
            self._choose_breadth(_BREADTHS, "every face is compared")

    def wipe(self, *, anew: bool = False) -> bool:
        """Clear away what was deleted; False, because the server's log and its backups are not a client's to empty."""
        how = "FULL" if anew else "SKIP_LOCKED"
        try:
            with self._database.single() as connection:
                connection.exec_driver_sql(f"VACUUM ({how}) {self._table}")
        except StoreError as error:
            _log.warning("removed, but the search table could not be cleared yet: %s", error)
        return False

    @property
    def _graph(self) -> bool:
        return self._ready

    def _is_current(self) -> bool:
        with self._database.single() as connection:
            row = connection.execute(self._state, self._keys).one()
        return self._stands(row)

    def _stands(self, row: Any) -> bool:
        if row.noted is None or (row.noted, row.noted_token) != (row.position, row.token):
            return False
        self._at, self._faces, self._ready = (row.position, row.token), row.faces, bool(row.graph)
        return True

    def _advance(self, *, fresh: bool = False) -> None:
        for left in reversed(range(_TRIES)):
            try:
                with self._following() as (connection, row):
                    made = row.noted is None
                    if made:
                        make_table(connection, self._table, self._feed)
                    else:
                        self._follow(connection, row, fresh=fresh)
                if not made:
                    return
            except CommitUnansweredError:  # what became of it, the table tells
                if not left:
                    raise
        raise SearchError(f"search table {self._table} of database {self._database.place} is dropped again and again")

    @contextlib.contextmanager
    def _following(self) -> Iterator[tuple[sa.Connection, Any]]:
        """Run a transaction that has the table to itself, and lend what it says."""
        with self._database.write() as connection:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_PATIENCE_MS}")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock(hashtextextended('{self._table}', 0))")
            yield connection, connection.execute(self._state, self._keys).one()

    def _follow(self, connection: sa.Connection, row: Any, *, fresh: bool) -> None:
        if fresh or not self._stands(row):
            delta = None if fresh or not row.noted else self._feed.since(row.noted, row.noted_token)
            if delta is None:
                if row.noted and not fresh:
                    self._tell("the database was put back to another history")
                connection.exec_driver_sql(f"DELETE FROM {self._table}")
                self._fill(connection)
            else:
                gone = sa.text(f"DELETE FROM {self._table} WHERE face_id = ANY(:faces)")
                connection.execute(gone, {"faces": delta.removed.astype(np.int64).tolist()})
                copy_rows(connection, self._table, delta.added, delta.people, delta.vectors)
                self._note(connection, (delta.position, delta.token))
        now = connection.execute(self._state, self._keys).one()
        if not self._stands(now):  # somebody changed the gallery meanwhile: the next question applies it
            self._at, self._faces, self._ready = (now.noted, now.noted_token), now.faces, bool(now.graph)

    def _fill(self, connection: sa.Connection) -> None:
        done = 0
        state = (0, "")
        for position, token, added, vectors, _, people in self._feed.templates():
            copy_rows(connection, self._table, added, people, vectors)
            state = (position, token)
            done += len(added)
            if self._progress is not None:
                self._progress(done)
        self._note(connection, state)

    def _note(self, connection: sa.Connection, state: tuple[int, str]) -> None:
        note_state(connection, self._table, self._keys["gallery"], state)  # type: ignore[arg-type]

    def _nearest(self, probes: Vectors, k: int) -> tuple[Keys, Vectors, Keys]:
        if self.method == "hnsw" and k <= _WIDEST:
            rows = self._ask(probes, k, walk=True)
            least = min(k, self._faces)
            if all(len(row) >= least for row in rows):
                return table_of(rows)
        return table_of(self._ask(probes, k, walk=False))

    def _ask(self, probes: Vectors, k: int, *, walk: bool) -> list[list[tuple[int, float, int]]]:
        rows = []
        with self._database.read() as connection:
            if walk:
                breadth = max(self._breadth, min(2 * k, _WIDEST))
                connection.exec_driver_sql(f"SET LOCAL hnsw.ef_search = {breadth}; SET LOCAL enable_seqscan = off")
            for probe in probes:
                # The probe stands in the text: as a parameter it may be read anew for each row. It is only numbers.
                distance = (_WALKED if walk else _COMPARED).format(probe=_text(probe))
                query = _NEAREST.format(distance=distance, table=self._table, k=int(k))
                rows.append([tuple(row) for row in connection.exec_driver_sql(query)])
        return rows

    def _scores(self, probe: Vectors, people: Sequence[int]) -> dict[int, list[float]]:
        among = ",".join(str(int(person)) for person in people)
        query = _SCORES.format(probe=_text(probe), table=self._table, people=among)
        scores: dict[int, list[float]] = {}
        with self._database.single() as connection:
            for person, similarity in connection.exec_driver_sql(query):
                scores.setdefault(person, []).append(similarity)
        return scores

    def _held(self, keys: list[int]) -> dict[int, tuple[int, Vectors]]:
        with self._database.single() as connection:
            rows = connection.execute(self._these, {"faces": keys}).all()
        return {face: (person, np.array(vector, np.float32)) for face, person, vector in rows}

    def _count(self) -> int:
        with self._database.single() as connection:
            return int(connection.exec_driver_sql(f"SELECT count(*) FROM {self._table}").scalar_one())

    def _sample(self, n: int) -> Vectors:
        percent = min(100.0, 1.0 + 400.0 * n / max(1, self._faces))
        with self._database.single() as connection:
            rows = connection.execute(self._some, {"percent": percent, "n": n}).scalars().all()
        return np.array(rows, np.float32).reshape(len(rows), self._feed.pin.dimension)

    def _make_graph(self) -> None:
        """Build the graph while others go on; a build that broke off is started over. Only one process builds it."""
        with self._alone() as alone:
            if not alone or self._ready:
                return
            with self._database.single() as connection:
                connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {self._table}_graph")
                connection.exec_driver_sql(
                    f"CREATE INDEX CONCURRENTLY {self._table}_graph ON {self._table} "
                    f"USING hnsw (vector vector_ip_ops) WITH ({_GRAPH})"
                )
        self._is_current()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[bool]:
        """Keep other builders out; False when one is at work."""
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
        """Whether comparing every face takes longer than it may."""
        budget_ms = self._options.budget_ms
        if budget_ms is None:
            return self._faces > AUTO_FACES
        probes = self._sample(1)
        if not len(probes):
            return False
        self._ask(probes, 1, walk=False)  # brings the table into memory
        started = time.perf_counter()
        self._ask(probes, 1, walk=False)
        return 1000 * (time.perf_counter() - started) > budget_ms


def _text(vector: Vectors) -> str:
    return "[" + ",".join(map(repr, vector.tolist())) + "]"
