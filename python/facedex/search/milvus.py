"""The search inside Milvus, for galleries that no single machine holds: a collection for each gallery and pack.

Milvus has no transactions: whoever applies a change holds a lock of the gallery's database meanwhile, and the position
is written after the vectors, so that a process that dies between leaves what the next one applies again. Milvus scores
the float32 vectors themselves. Reads are strongly consistent: what one process wrote, the next search of any sees.
A path in place of a server's address is a file of Milvus Lite, which serves one process.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np

from ..errors import ArgumentError, SearchError, SearchUnavailableError
from ..store import Feed
from .base import SearchOptions
from .following import Keys, State, Vectors
from .remote import RemoteSearch, table_of

_log = logging.getLogger("facedex")

AUTO_FACES = 1_000_000
"""Up to this number of faces, when the collection is made, "auto" compares every face."""

_POSITIONS = "facedex_positions"
_GRAPH = {"M": 32, "efConstruction": 256}
_BREADTHS = (64, 128, 256, 512, 1024)  # of a walk, tried from the narrowest
_MOST = 16_384  # hits of one search, Milvus's limit
_BATCH = 4096  # rows sent at once: 8 MiB at 512 values, below the 64 MiB of a message
_TIMEOUT_S = 30.0
_PATIENCE_S = 60.0  # how long a process waits for another that brings the collection up to date
_FOUND = ["face", "person"]


class MilvusSearch(RemoteSearch):
    """The vectors of one gallery in a collection of Milvus.

    Parameters
    ----------
    feed : Feed
        The gallery, bound to its pack.
    address : str
        ``milvus+http://host:19530``, ``milvus+https://user:password@host:port/database`` or ``milvus:path``.
    options : SearchOptions
        "exact" is Milvus's FLAT index, "hnsw" its HNSW, "auto" chooses by the number when the collection is made.
    fresh : bool
        Start over from the database.
    progress : callable, optional
        Called with the number of faces that a collection that is rebuilt has so far.

    Raises
    ------
    ArgumentError
        When the address cannot be read.
    SearchUnavailableError
        When Milvus's client is not installed, or the server is not reached.
    PlainSearchError
        When the gallery is encrypted.
    """

    def __init__(
        self,
        feed: Feed,
        *,
        address: str,
        options: SearchOptions,
        fresh: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> None:
        given, place = _parts(address)
        super().__init__(feed, options=options, place=place, progress=progress)
        if find_spec("pymilvus") is None:
            raise SearchUnavailableError("a search in Milvus needs pymilvus: pip install 'facedex[milvus]'")
        if "://" not in given["uri"] and find_spec("milvus_lite") is None:
            raise SearchUnavailableError("a file of Milvus Lite needs milvus-lite: pip install milvus-lite")
        from pymilvus import MilvusClient
        from pymilvus.exceptions import MilvusException

        self._failure: type[Exception] = MilvusException
        self._name = f"facedex_{feed.uuid}_{feed.pin.digest[:12]}"
        self._breadth = _BREADTHS[0]
        self._index_type = ""
        try:
            self._client = MilvusClient(timeout=_TIMEOUT_S, **given)
        except (MilvusException, ImportError, OSError) as error:
            hint = "" if "://" in given["uri"] else "; a file of Milvus Lite serves one process at a time"
            raise SearchUnavailableError(f"the search {place} cannot be opened: {_said(error)}{hint}") from error
        try:
            with self._lock:
                self._prepare(fresh=fresh)
            if self._graph:
                self._choose_breadth(_BREADTHS, "walks are as broad as may be")
        except BaseException:
            self._client.close()
            raise

    @property
    def method(self) -> str:
        """How searches are answered now: "exact" or "hnsw"."""
        return "hnsw" if self._graph else "exact"

    def wipe(self, *, anew: bool = False) -> bool:
        """Let Milvus write its segments anew without what was deleted; False, because it does so in its own time."""
        try:
            with self._calls():
                self._client.flush(self._name)
                self._client.compact(self._name)
        except SearchError as error:
            _log.warning("removed, but the search %s could not be cleared yet: %s", self.place, error)
        return False

    def close(self) -> None:
        """Close the connection."""
        with self._calls():
            self._client.close()

    @property
    def _graph(self) -> bool:
        return self._index_type == "HNSW"

    def _is_current(self) -> bool:
        # Whoever stands at the head has applied it, or seen that it was applied; no server needs to be asked.
        return self._feed.head() == self._at

    def _prepare(self, *, fresh: bool) -> None:
        with self._calls(), self._database.lock(self._name, _PATIENCE_S):
            if not self._client.has_collection(_POSITIONS):
                self._make_positions()
            there = self._client.has_collection(self._name)
            if there and not fresh and self._noted() is not None:
                self._client.load_collection(self._name)
                self._fit_index()
                self._follow()
            else:
                self._fill()

    def _advance(self) -> None:
        with self._calls(), self._database.lock(self._name, _PATIENCE_S):
            if self._client.has_collection(self._name):
                self._follow()
            else:
                self._fill()

    def _follow(self) -> None:
        """Apply what is new; the caller holds the lock of all processes."""
        noted = self._noted()
        delta = None if noted is None else self._feed.since(*noted)
        if delta is None:
            self._tell("the database was put back to another history")
            self._fill()
            return
        state = (delta.position, delta.token)
        if state != noted:
            self._remove(delta.removed)
            self._add(delta.added, delta.people, delta.vectors)
            self._note(state)
        self._stand_at(state)

    def _fill(self) -> None:
        """Start over; the caller holds the lock of all processes. What an earlier pack left goes."""
        earlier = [name for name in self._client.list_collections() if name.startswith(f"facedex_{self._feed.uuid}_")]
        for name in earlier:
            self._client.drop_collection(name)
        self._client.delete(_POSITIONS, ids=[self._name, *earlier])
        self._make()
        done = 0
        state: State = (0, "")
        for position, token, added, vectors, _, people in self._feed.templates():
            self._add(added, people, vectors)
            state = (position, token)
            done += len(added)
            if self._progress is not None:
                self._progress(done)
        self._note(state)
        self._stand_at(state)
        self._fit_index()

    def _stand_at(self, state: State) -> None:
        self._faces, self._at = self._count(), state

    def _make(self) -> None:
        from pymilvus import DataType

        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("face", DataType.INT64, is_primary=True)
        schema.add_field("person", DataType.INT64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self._feed.pin.dimension)
        kind = "HNSW" if self._options.method == "hnsw" else "FLAT"
        self._create(self._name, schema, kind)
        self._index_type = kind

    def _make_positions(self) -> None:
        """Make the collection of positions; Milvus wants a vector in each."""
        from pymilvus import DataType

        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("name", DataType.VARCHAR, max_length=128, is_primary=True)
        schema.add_field("position", DataType.INT64)
        schema.add_field("token", DataType.VARCHAR, max_length=32)
        schema.add_field("unused", DataType.FLOAT_VECTOR, dim=2)
        self._create(_POSITIONS, schema, "FLAT", field="unused")

    def _create(self, name: str, schema: Any, kind: str, field: str = "vector") -> None:
        self._client.create_collection(
            name, schema=schema, index_params=self._index(kind, field), consistency_level="Strong"
        )

    def _index(self, kind: str, field: str) -> Any:
        params = self._client.prepare_index_params()
        params.add_index(field, index_type=kind, metric_type="IP", params=_GRAPH if kind == "HNSW" else {})
        return params

    def _fit_index(self) -> None:
        """Give the collection the index of the options if it has another; "auto" only replaces a scan by a graph."""
        self._index_type = str(self._client.describe_index(self._name, "vector")["index_type"])
        wanted = {"hnsw": "HNSW", "exact": "FLAT"}.get(self._options.method, self._index_type)
        if self._options.method == "auto" and self._count() > AUTO_FACES:
            wanted = "HNSW"
        if wanted != self._index_type:
            self._client.release_collection(self._name)
            self._client.drop_index(self._name, "vector")
            self._client.create_index(self._name, self._index(wanted, "vector"))
            self._client.load_collection(self._name)
            self._index_type = wanted

    def _count(self) -> int:
        with self._calls():
            rows = self._client.query(self._name, filter="", output_fields=["count(*)"], consistency_level="Strong")
        return int(rows[0]["count(*)"])

    def _noted(self) -> State | None:
        self._client.load_collection(_POSITIONS)
        fields = ["position", "token"]
        rows = list(self._client.query(_POSITIONS, ids=[self._name], output_fields=fields, consistency_level="Strong"))
        return (int(rows[0]["position"]), str(rows[0]["token"])) if rows else None

    def _note(self, state: State) -> None:
        row = {"name": self._name, "position": state[0], "token": state[1], "unused": [0.0, 1.0]}
        self._client.upsert(_POSITIONS, [row])

    def _add(self, keys: Keys, people: Keys, vectors: Vectors) -> None:
        for start in range(0, len(keys), _BATCH):
            part = slice(start, start + _BATCH)
            rows = zip(keys[part].tolist(), people[part].tolist(), vectors[part], strict=True)
            self._client.upsert(self._name, [{"face": key, "person": who, "vector": row} for key, who, row in rows])

    def _remove(self, keys: Keys) -> None:
        for start in range(0, len(keys), _BATCH):
            self._client.delete(self._name, ids=keys[start : start + _BATCH].tolist())

    def _nearest(self, probes: Vectors, k: int) -> tuple[Keys, Vectors, Keys]:
        return table_of(self._ask(probes, k))

    def _ask(self, probes: Vectors, k: int, among: str = "") -> list[list[tuple[int, float, int]]]:
        k = min(k, _MOST)
        params = {"ef": max(self._breadth, k)} if self._graph else {}
        with self._calls():
            found = self._client.search(
                self._name,
                data=list(probes),
                filter=among,
                limit=k,
                output_fields=_FOUND,
                search_params={"metric_type": "IP", "params": params},
                consistency_level="Strong",
            )
        rows = [[(hit["entity"]["face"], hit["distance"], hit["entity"]["person"]) for hit in hits] for hits in found]
        return [sorted(row, key=lambda hit: (-hit[1], hit[0])) for row in rows]

    def _scores(self, probe: Vectors, people: Sequence[int]) -> dict[int, list[float]]:
        among = f"person in [{', '.join(str(int(person)) for person in people)}]"
        scores: dict[int, list[float]] = {}
        if self._graph:  # a walk among few faces may miss some of them: they are fetched
            with self._calls():
                fields = ["person", "vector"]
                rows = self._client.query(self._name, filter=among, output_fields=fields, consistency_level="Strong")
            for row in rows:
                scores.setdefault(int(row["person"]), []).append(float(np.asarray(row["vector"], np.float32) @ probe))
        else:
            for _, similarity, person in self._ask(probe[None], len(self), among)[0]:
                scores.setdefault(person, []).append(similarity)
        return scores

    def _held(self, keys: list[int]) -> dict[int, tuple[int, Vectors]]:
        fields = ["face", "person", "vector"]
        with self._calls():
            rows = self._client.query(self._name, ids=keys, output_fields=fields, consistency_level="Strong")
        return {int(row["face"]): (int(row["person"]), np.array(row["vector"], np.float32)) for row in rows}

    def _sample(self, n: int) -> Vectors:
        with self._calls():
            rows = self._client.query(self._name, filter="face >= 0", output_fields=["vector"], limit=min(n, _MOST))
        return np.array([row["vector"] for row in rows], np.float32).reshape(len(rows), self._feed.pin.dimension)

    def _why(self, recall: float) -> str:
        if self._graph and self._options.method == "auto" and recall >= self._options.promised_recall:
            return "the collection has a graph"
        return super()._why(recall)

    @contextmanager
    def _calls(self) -> Iterator[None]:
        """Turn what the client raises into a `SearchError`."""
        try:
            yield
        except self._failure as error:
            raise SearchError(f"the search {self.place} failed: {_said(error)}") from error


def _parts(address: str) -> tuple[dict[str, str], str]:
    """Read an address into what the client takes, and what may be shown of it."""
    scheme, _, rest = address.partition(":")
    if scheme == "milvus" and rest and not rest.startswith("//"):
        return {"uri": rest}, address
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    kinds = {"milvus+http": "http", "milvus+https": "https"}
    if parts.scheme not in kinds or not host:
        raise ArgumentError(
            "search must be milvus+http://host:19530, milvus+https://user:password@host:port/database or "
            f"milvus:path, got {scheme}:..."
        )
    where = f"{f'[{host}]' if ':' in host else host}:{port or 19530}"
    given = {"uri": f"{kinds[parts.scheme]}://{where}"}
    if parts.username:
        given |= {"user": unquote(parts.username), "password": unquote(parts.password or "")}
    database = parts.path.strip("/")
    if database:
        given["db_name"] = unquote(database)
    return given, f"{parts.scheme}://{where}" + (f"/{database}" if database else "")


def _said(error: BaseException) -> str:
    return str(getattr(error, "message", "") or error).partition("\n")[0]
