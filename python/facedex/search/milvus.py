"""The search inside Milvus, for galleries that no single machine holds: a collection for each gallery and pack.

Milvus has no transactions: a process applies a change under a lock of the gallery's database, and writes the position
after the vectors, so that the next process applies again what a process that dies in between has begun. Milvus scores
the float32 vectors themselves. Reads are strongly consistent: every search sees what any process wrote before it.
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
from .base import Keys, SearchOptions, State, Vectors
from .remote import RemoteSearch, arrays_of

_log = logging.getLogger("facedex")

AUTO_FACES = 1_000_000
"""Up to this number of faces, when the collection is created, "auto" compares every face."""

_POSITIONS = "facedex_positions"
_GRAPH = {"M": 32, "efConstruction": 256}
_BREADTHS = (64, 128, 256, 512, 1024)  # of a graph search, tried from the narrowest
_MAX_HITS = 16_384  # of one search, Milvus's limit
_BATCH = 4096  # rows sent at once: 8 MiB at 512 values, below the 64 MiB of a message
_TIMEOUT_S = 30.0
_PATIENCE_S = 60.0  # how long a process waits for another that updates the collection
_FOUND = ["face", "person"]


class MilvusSearch(RemoteSearch):
    """The vectors of one gallery in a collection of Milvus; see `open_search` for parameters and errors.

    "exact" is Milvus's FLAT index, "hnsw" its HNSW; "auto" chooses by the number of faces at its creation.
    The address may hold a user, a password and a database: ``milvus+https://user:password@host:port/database``.
    """

    def __init__(
        self,
        feed: Feed,
        options: SearchOptions,
        *,
        fresh: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> None:
        arguments, place = _parse_address(options.where)
        super().__init__(feed, options=options, place=place, progress=progress)
        if find_spec("pymilvus") is None:
            raise SearchUnavailableError("a search in Milvus needs pymilvus: pip install 'facedex[milvus]'")
        if "://" not in arguments["uri"] and find_spec("milvus_lite") is None:
            raise SearchUnavailableError("a file of Milvus Lite needs milvus-lite: pip install milvus-lite")
        from pymilvus import MilvusClient
        from pymilvus.exceptions import MilvusException

        self._exception: type[Exception] = MilvusException
        self._name = collection_name(feed, fused=options.fused)
        self._breadth = _BREADTHS[0]
        self._index_type = ""
        try:
            self._client = MilvusClient(timeout=_TIMEOUT_S, **arguments)
        except (MilvusException, ImportError, OSError) as error:
            hint = "" if "://" in arguments["uri"] else "; a file of Milvus Lite serves one process at a time"
            raise SearchUnavailableError(f"the search {place} cannot be opened: {_first_line(error)}{hint}") from error
        try:
            with self._lock:
                self._prepare(fresh=fresh)
            if self._graph:
                self._choose_breadth(_BREADTHS, "the broadest search is used")
        except BaseException:
            self._client.close()
            raise

    @property
    def method(self) -> str:
        """The method in use: "exact" or "hnsw"."""
        return "hnsw" if self._graph else "exact"

    def vacuum(self, *, full: bool = False) -> bool:
        """Ask Milvus to compact its segments; False, because it does so in the background."""
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
        # At the head, this process has applied the change or seen it applied; the server need not be queried.
        return self._feed.head() == self._at

    def _prepare(self, *, fresh: bool) -> None:
        with self._calls(), self._database.lock(self._name, _PATIENCE_S):
            if not self._client.has_collection(_POSITIONS):
                self._create_positions()
            exists = self._client.has_collection(self._name)
            if exists and not fresh and self._read_position() is not None:
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
        """Apply what changed; the caller holds the lock of all processes."""
        applied = self._read_position()
        delta = None if applied is None else self._rows.since(*applied)
        if delta is None:
            self._log_rebuild("the database was put back to another history")
            self._fill()
            return
        state = (delta.position, delta.token)
        if state != applied:
            if delta.deletes:
                self._drop(self._collections() - {self._name})  # other collections may hold what was deleted
            self._remove(np.setdiff1d(delta.removed, delta.added))
            self._add(delta.added, delta.people, delta.vectors)
            self._write_position(state)
        self._accept(state)

    def _fill(self) -> None:
        """Rebuild the collection and drop those of earlier packs; the caller holds the lock of all processes."""
        current = {collection_name(self._feed, fused=fused) for fused in (False, True)}
        self._drop((self._collections() - current) | {self._name})
        self._create_vectors()
        state = self._write_all(self._add)
        self._write_position(state)
        self._accept(state)
        self._fit_index()

    def _collections(self) -> set[str]:
        """List the collections of this gallery: of every pack, with faces or people as rows."""
        return {name for name in self._client.list_collections() if name.startswith(f"facedex_{self._feed.uuid}_")}

    def _drop(self, names: set[str]) -> None:
        existing = names & self._collections()
        for name in existing:
            self._client.drop_collection(name)
        if names:
            self._client.delete(_POSITIONS, ids=sorted(names))

    def _accept(self, state: State) -> None:
        self._stored, self._at = self._count(), state

    def _create_vectors(self) -> None:
        from pymilvus import DataType

        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("face", DataType.INT64, is_primary=True)
        schema.add_field("person", DataType.INT64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self._feed.pin.dimension)
        kind = "HNSW" if self._options.method == "hnsw" else "FLAT"
        self._create(self._name, schema, kind)
        self._index_type = kind

    def _create_positions(self) -> None:
        """Create the collection of positions; Milvus needs a vector field in each collection."""
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
        """Rebuild the index unless it is that of the options; "auto" only replaces a scan by a graph."""
        self._index_type = str(self._client.describe_index(self._name, "vector")["index_type"])
        kind = {"hnsw": "HNSW", "exact": "FLAT"}.get(self._options.method, self._index_type)
        if self._options.method == "auto" and self._count() > AUTO_FACES:
            kind = "HNSW"
        if kind != self._index_type:
            self._client.release_collection(self._name)
            self._client.drop_index(self._name, "vector")
            self._client.create_index(self._name, self._index(kind, "vector"))
            self._client.load_collection(self._name)
            self._index_type = kind

    def _count(self) -> int:
        with self._calls():
            rows = self._client.query(self._name, filter="", output_fields=["count(*)"], consistency_level="Strong")
        return int(rows[0]["count(*)"])

    def _read_position(self) -> State | None:
        self._client.load_collection(_POSITIONS)
        fields = ["position", "token"]
        rows = list(self._client.query(_POSITIONS, ids=[self._name], output_fields=fields, consistency_level="Strong"))
        return (int(rows[0]["position"]), str(rows[0]["token"])) if rows else None

    def _write_position(self, state: State) -> None:
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
        return arrays_of(self._query(probes, k))

    def _query(self, probes: Vectors, k: int, among: str = "") -> list[list[tuple[int, float, int]]]:
        k = min(k, _MAX_HITS)
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
        if self._graph:  # a graph search among few faces may miss some of them: they are fetched
            with self._calls():
                fields = ["person", "vector"]
                rows = self._client.query(self._name, filter=among, output_fields=fields, consistency_level="Strong")
            for row in rows:
                scores.setdefault(int(row["person"]), []).append(float(np.asarray(row["vector"], np.float32) @ probe))
        else:
            for _, similarity, person in self._query(probe[None], len(self), among)[0]:
                scores.setdefault(person, []).append(similarity)
        return scores

    def _fetch(self, keys: list[int]) -> dict[int, tuple[int, Vectors]]:
        fields = ["face", "person", "vector"]
        with self._calls():
            rows = self._client.query(self._name, ids=keys, output_fields=fields, consistency_level="Strong")
        return {int(row["face"]): (int(row["person"]), np.array(row["vector"], np.float32)) for row in rows}

    def _sample(self, n: int) -> Vectors:
        with self._calls():
            rows = self._client.query(self._name, filter="face >= 0", output_fields=["vector"], limit=min(n, _MAX_HITS))
        return np.array([row["vector"] for row in rows], np.float32).reshape(len(rows), self._feed.pin.dimension)

    def _why(self, recall: float) -> str:
        if self._graph and self._options.method == "auto" and recall >= self._options.promised_recall:
            return "the collection has a graph"
        return super()._why(recall)

    @contextmanager
    def _calls(self) -> Iterator[None]:
        """Raise the errors of the client as `SearchError`."""
        try:
            yield
        except self._exception as error:
            raise SearchError(f"the search {self.place} failed: {_first_line(error)}") from error


def collection_name(feed: Feed, *, fused: bool) -> str:
    """Return the name of the collection of a gallery's vectors."""
    return f"facedex_{feed.uuid}_{feed.pin.digest[:12]}{'_fused' if fused else ''}"


def _parse_address(address: str) -> tuple[dict[str, str], str]:
    """Parse an address into the arguments of the client, and the part of it without secrets."""
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
    arguments = {"uri": f"{kinds[parts.scheme]}://{where}"}
    if parts.username:
        arguments |= {"user": unquote(parts.username), "password": unquote(parts.password or "")}
    database = parts.path.strip("/")
    if database:
        arguments["db_name"] = unquote(database)
    return arguments, f"{parts.scheme}://{where}" + (f"/{database}" if database else "")


def _first_line(error: BaseException) -> str:
    return str(getattr(error, "message", "") or error).partition("\n")[0]
