"""One behaviour of every search: in this process, inside PostgreSQL by pgvector, and in Milvus (its Lite form)."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from numpy.typing import NDArray
from place import Place, Servers, new_place
from servers import MissingError

from facedex import Gallery, people
from facedex.engine import Engine
from facedex.errors import (
    ArgumentError,
    DatabaseLockedError,
    DatabaseUnavailableError,
    EmbeddingError,
    FacedexError,
    PlainSearchError,
    SearchError,
    SearchUnavailableError,
)
from facedex.gallery.fsck import fsck, rebuild
from facedex.search import Search, SearchOptions, open_search
from facedex.search.pgvector import need_pgvector, table_name
from facedex.search.remote import RemoteSearch
from facedex.store import Database, Feed, NewFace, PackPin, Store

Floats = NDArray[np.float32]

PIN = PackPin("synthetic", "ab" * 32, 32)
WIDE = PackPin("synthetic", "cd" * 32, 512)
PEOPLE, EACH = 110, 21
WORKER = Path(__file__).parent / "databases" / "worker.py"
KINDS = ["local exact", "pgvector exact", "pgvector hnsw", "milvus exact", "milvus hnsw"]
SHARED = pytest.mark.parametrize("backend", KINDS[1:], indirect=True)
PGVECTOR = pytest.mark.parametrize("backend", ["pgvector exact", "pgvector hnsw"], indirect=True)
MILVUS = pytest.mark.parametrize("backend", ["milvus exact"], indirect=True)
EXACT = pytest.mark.parametrize("backend", ["local exact", "pgvector exact", "milvus exact"], indirect=True)


def unit(number: int, dimension: int = PIN.dimension) -> Floats:
    vector = np.random.default_rng(number).normal(size=dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def photographs(dimension: int) -> Floats:
    """Vectors of several photographs of each of many people, in a row: about 0.6 between two of one person."""
    chance = np.random.default_rng(5)
    centres = chance.standard_normal((PEOPLE, dimension)) * (np.arange(dimension) + 20.0) ** -0.5
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    noise = chance.standard_normal((PEOPLE * EACH, dimension))
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    vectors = 0.78 * np.repeat(centres, EACH, axis=0) + np.sqrt(1 - 0.78**2) * noise
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def face(vector: Floats) -> NewFace:
    return NewFace((0.0, 0.0, 1.0, 1.0), 1.0, vector)


@dataclass
class Backend:
    """A place for a gallery, and where and how it is searched."""

    place: Place
    options: SearchOptions
    folder: Path

    @property
    def where(self) -> str:
        return self.options.where

    def store(self, pin: PackPin = PIN) -> Store:
        feed = Feed(Database(self.place.location), "default")
        feed.bind(pin)
        return Store(feed)

    @contextlib.contextmanager
    def searching(self, store: Store, *, fresh: bool = False) -> Iterator[Search]:
        search = open_search(store.feed, self.options, fresh=fresh)
        try:
            yield search
        finally:
            search.close()


def many(backend: Backend) -> tuple[Store, Floats, Floats]:
    """A gallery of many faces, these, and another photograph of each person."""
    vectors = photographs(WIDE.dimension).reshape(PEOPLE, EACH, WIDE.dimension)
    store = backend.store(WIDE)
    for person in range(PEOPLE):
        store.register(person, [face(vector) for vector in vectors[person, 1:]])
    return store, vectors[:, 1:].reshape(-1, WIDE.dimension), vectors[:, 0]


def lacking(reason: str) -> None:
    """Skip, but not where CI requires the servers."""
    if os.environ.get("FACEDEX_REQUIRE_SERVERS") == "1":
        pytest.fail(f"FACEDEX_REQUIRE_SERVERS is 1: {reason}")
    pytest.skip(reason)


@pytest.fixture(params=KINDS)
def backend(
    request: pytest.FixtureRequest, servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Backend]:
    where, method = request.param.split()
    monkeypatch.setenv("FACEDEX_HOME", str(tmp_path / "home"))
    if where == "milvus":
        if find_spec("pymilvus") is None or find_spec("milvus_lite") is None:
            lacking("needs Milvus Lite: make EXTRAS=test,servers test-all")
        where = f"milvus:{tmp_path / 'lite.db'}"
    try:
        with new_place("postgresql" if where == "pgvector" else "sqlite", servers, tmp_path, tables=True) as place:
            if where == "pgvector":
                database = Database(place.location)
                try:
                    need_pgvector(database, graph=True)
                except SearchUnavailableError as error:
                    lacking(str(error))
                finally:
                    database.close()
            yield Backend(place, SearchOptions(method, where=where), tmp_path)  # type: ignore[arg-type]
    except MissingError as missing:
        lacking(str(missing))


@pytest.fixture
def store(backend: Backend) -> Iterator[Store]:
    store = backend.store()
    yield store
    store.feed.database.close()


@pytest.fixture
def search(backend: Backend, store: Store) -> Iterator[Search]:
    with backend.searching(store) as search:
        yield search


def found(search: Search, number: int, k: int = 1) -> list[int]:
    """Return the faces with that number's vector, in the latest state."""
    search.sync()
    keys, similarities = search.search(unit(number)[None], k)
    return [int(key) for key, score in zip(keys[0], similarities[0], strict=True) if score > 0.999]


# What is registered is found, what is deleted is gone, at once.


def test_an_empty_gallery_finds_nobody(search: Search) -> None:
    assert (len(search), search.sync()) == (0, (0, ""))
    keys, similarities = search.search(np.stack([unit(1), unit(2)]), 3)
    assert (keys.shape, similarities.shape) == ((2, 0), (2, 0))
    assert [part.shape for part in search.search_people(unit(1)[None], 3)] == [(1, 0)] * 3
    assert search.rebuilt is None


def test_a_change_is_visible_at_the_next_search(store: Store, search: Search) -> None:
    for number in range(12):
        receipt = store.register(number, [face(unit(number))])
        assert found(search, number) == list(receipt.face_ids)
        assert len(search) == number + 1
    before = store.register("ayu", [face(unit(100)), face(unit(101))]).face_ids
    after = store.register("ayu", [face(unit(101)), face(unit(102))], on_existing="replace").face_ids
    assert found(search, 100) == []
    assert (found(search, 101), found(search, 102)) == ([after[0]], [after[1]])
    assert len(search) == 14
    store.delete_face(int(after[1] or 0))
    assert found(search, 102) == []
    for number in range(12):
        store.delete(number)
        assert found(search, number) == []
    assert len(search) == 1
    assert search.sync() == store.feed.head() == search.at
    assert before != after


def test_equal_faces_are_all_found(store: Store, search: Search) -> None:
    keys = [store.register(number, [face(unit(7))]).face_ids[0] for number in range(5)]
    store.register("another", [face(unit(8))])
    assert sorted(found(search, 7, 6)) == sorted(key for key in keys if key is not None)


def test_faces_from_before_the_search_are_found(backend: Backend, store: Store) -> None:
    store.register("ayu", [face(unit(1))])
    with backend.searching(store) as first:
        assert found(first, 1)
    store.register("budi", [face(unit(2))])
    store.delete("ayu")
    with backend.searching(store) as second:
        assert (found(second, 1), len(found(second, 2)), len(second)) == ([], 1, 1)
        assert second.rebuilt is None


@EXACT
def test_results_equal_those_of_a_plain_scan(backend: Backend) -> None:
    store, stored, probes = many(backend)
    truth = probes.astype(np.float64) @ stored.T.astype(np.float64)
    order = np.argsort(-truth, axis=1)[:, :10]
    with backend.searching(store) as search:
        keys, similarities = search.search(probes, 10)
        np.testing.assert_allclose(similarities, np.take_along_axis(truth, order, axis=1), atol=1e-6)
        assert np.mean(keys - 1 == order) > 0.99  # face ids count from 1; those equal to the last bit may change places
        truth = truth[:25]
        for count in (1, 3):
            scores = -np.sort(-truth.reshape(25, PEOPLE, -1), axis=2)[:, :, :count].mean(axis=2)
            best = np.argsort(-scores, axis=1)[:, :5]
            asked = search.search_people(probes[:25], 5, faces=count)
            np.testing.assert_allclose(asked.similarities, np.take_along_axis(scores, best, axis=1), atol=1e-6)
            rows = store.owners(asked.keys[:, 0].tolist())
            assert [rows[int(key)].person_id for key in asked.keys[:, 0]] == best[:, 0].tolist()
            assert len(set(asked.people[0].tolist())) == 5
    store.feed.database.close()


@pytest.mark.parametrize("backend", ["pgvector hnsw", "milvus hnsw"], indirect=True)
def test_a_graph_keeps_the_promised_recall(backend: Backend) -> None:
    store, stored, probes = many(backend)
    with backend.searching(store) as search:
        assert search.method == "hnsw"
        assert search.sample_recall(200) >= backend.options.promised_recall
        truth = probes @ stored.T
        keys, similarities = search.search(probes, 1)
        right = keys[:, 0] - 1 == truth.argmax(axis=1)
        assert right.mean() >= backend.options.promised_recall
        np.testing.assert_allclose(similarities[right, 0], truth.max(axis=1)[right], atol=1e-6)
        itself, _ = search.search(stored, 1)
        assert np.mean(itself[:, 0] - 1 == np.arange(len(stored))) >= 0.999
        status = search.status()
        assert (status.method, status.why) == ("hnsw", "asked for")
        assert status.recall is not None
        assert status.recall >= backend.options.promised_recall
        everybody = search.search_people(probes[:1], PEOPLE)
        assert sorted(everybody.people[0].tolist()) == list(range(1, PEOPLE + 1))
    store.feed.database.close()


@pytest.mark.parametrize("backend", ["pgvector hnsw"], indirect=True)
def test_a_graph_with_low_recall_reports_it(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    breadths = (1, 2)  # far too narrow for vectors that resemble nothing
    monkeypatch.setattr("facedex.search.pgvector._BREADTHS", breadths)
    store = backend.store(WIDE)
    vectors = np.random.default_rng(3).standard_normal((1500, WIDE.dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    store.register("crowd", [face(vector) for vector in vectors])
    backend.options = replace(backend.options, promised_recall=1.0)
    with caplog.at_level("WARNING", logger="facedex"), backend.searching(store) as search:
        (told,) = [record.getMessage() for record in caplog.records if "of the nearest faces" in record.getMessage()]
        assert isinstance(search, RemoteSearch)
        assert search._breadth == breadths[-1]
    said = re.fullmatch(r"the graph of the search pgvector finds ([0-9.]+) % of the nearest faces; .+", told)
    assert said is not None, told
    assert 1 < float(said[1]) < 100
    store.feed.database.close()


# What is wrong is told.


@pytest.mark.parametrize(
    ("probes", "error", "words"),
    [
        (unit(1, 16)[None], EmbeddingError, "32 values, got 16"),
        (2 * unit(1)[None], EmbeddingError, "length 1"),
        (np.full((1, 32), np.nan, np.float32), EmbeddingError, "finite"),
        (unit(1), ArgumentError, "shape"),
        (unit(1)[None].astype(np.float64), ArgumentError, "float32"),
    ],
)
@pytest.mark.parametrize("backend", ["local exact", "pgvector exact", "milvus exact"], indirect=True)
def test_invalid_probes_are_refused(
    store: Store, search: Search, probes: Floats, error: type[FacedexError], words: str
) -> None:
    store.register("ayu", [face(unit(1))])
    search.sync()
    with pytest.raises(error, match=words):
        search.search(probes, 1)
    with pytest.raises(error, match=words):
        search.search_people(probes, 1)
    with pytest.raises(ArgumentError, match="k must be"):
        search.search(unit(1)[None], 0)


@SHARED
def test_an_encrypted_gallery_is_searched_only_in_this_process(backend: Backend) -> None:
    feed = Feed(Database(backend.place.location), "default")
    feed.bind(PIN, b"k" * 32)
    with pytest.raises(PlainSearchError, match="search='local'"):
        open_search(feed, backend.options)
    feed.database.close()


def test_an_unknown_search_is_refused(tmp_path: Path) -> None:
    database = Database(tmp_path / "people.db")
    feed = Feed(database, "default")
    feed.bind(PIN)
    for where, words in [
        ("qdrant://user:secret@host", "got 'qdrant'"),
        ("milvus", "milvus:path"),
        ("milvus+http://", "milvus:path"),
        ("milvus+ftp://user:secret@host", "milvus:path"),
        ("milvus+http://user:secret@host:port", "milvus:path"),
        ("pgvector", "needs a gallery in PostgreSQL"),
    ]:
        with pytest.raises(ArgumentError, match=words) as raised:
            open_search(feed, SearchOptions(where=where))
        assert "secret" not in str(raised.value)
    with pytest.raises(ArgumentError, match="auto, exact, hnsw, got 'ivf'"):
        open_search(feed, SearchOptions("ivf", where=f"milvus:{tmp_path / 'lite.db'}"))
    database.close()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("pymilvus") is None, reason="needs pymilvus: make EXTRAS=test,servers test-all")
def test_an_unreachable_milvus_is_reported_without_the_password(tmp_path: Path) -> None:
    database = Database(tmp_path / "people.db")
    feed = Feed(database, "default")
    feed.bind(PIN)
    with pytest.raises(SearchUnavailableError, match=r"milvus\+http://127\.0\.0\.1:1 cannot be opened") as raised:
        open_search(feed, SearchOptions(where="milvus+http://user:secret@127.0.0.1:1"))
    assert "secret" not in str(raised.value)
    database.close()


# Many processes and machines.


class Worker:
    """A process with the same gallery."""

    def __init__(self, backend: Backend, where: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER), backend.place.location, where],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._answer() == "ready"

    def ask(self, verb: str, number: int) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{verb} {number}\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        self._process.communicate(timeout=60)
        assert self._process.returncode == 0

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["pgvector exact"], indirect=True)
def test_processes_share_one_search(backend: Backend) -> None:
    backend.store().feed.database.close()
    workers = [Worker(backend, "pgvector"), Worker(backend, "pgvector"), Worker(backend, "pgvector")]
    workers.append(Worker(backend, "local"))  # searches otherwise, changes the same gallery
    for number in range(400):
        writer, *others = workers[number % 4 :] + workers[: number % 4]
        assert writer.ask("register", number) == "done"
        assert [reader.ask("find", number) for reader in others] == [str(number)] * 3
        if number >= 10:
            assert writer.ask("delete", number - 10) == "done"
            assert [reader.ask("find", number - 10) for reader in others] == ["nobody"] * 3
    for worker in workers:
        worker.close()


@MILVUS
def test_changes_of_another_process_are_found_in_milvus(backend: Backend, store: Store, search: Search) -> None:
    worker = Worker(backend, "local")
    for number in range(100):
        worker.ask("register", number)
        assert len(found(search, number)) == 1
        worker.ask("delete", number)
        assert found(search, number) == []
    worker.close()


@MILVUS
def test_a_file_of_milvus_lite_serves_one_process(backend: Backend, store: Store, search: Search) -> None:
    program = "import sys, test_search_backends as t; t.held_by_another(*sys.argv[1:])"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(WORKER.parent)])}
    done = subprocess.run(
        [sys.executable, "-c", program, backend.place.location, backend.where],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert "one process at a time" in done.stdout


def held_by_another(location: str, where: str) -> None:
    feed = Feed(Database(location), "default")
    feed.bind(PIN)
    with pytest.raises(SearchUnavailableError) as raised:
        open_search(feed, SearchOptions(where=where))
    sys.stdout.write(str(raised.value))


@SHARED
def test_threads_that_change_and_search_agree_with_the_database(backend: Backend, store: Store) -> None:
    problems: list[BaseException] = []
    with backend.searching(store) as search:

        def work(worker: int) -> None:
            try:
                for number in range(worker * 100, worker * 100 + 12):
                    store.register(number, [face(unit(number))])
                    assert len(found(search, number)) == 1
                    if number % 3 == 0:
                        store.delete(number)
                        assert found(search, number) == []
            except BaseException as error:  # noqa: BLE001 shown by the test
                problems.append(error)

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert problems == []
        assert len(search) == store.counts()[1] == 32
        there = {number for worker in range(4) for number in range(worker * 100, worker * 100 + 12) if number % 3}
        assert all(bool(found(search, number)) == (number in there) for number in range(412))


# What can happen to it.


@SHARED
def test_another_history_is_reported_and_rebuilt(backend: Backend, store: Store, search: Search) -> None:
    store.register("ayu", [face(unit(1))])
    gone = store.register("budi", [face(unit(2))]).face_ids[0]
    assert found(search, 2) == [gone]
    for statement in [
        f"DELETE FROM templates WHERE face_id = {gone}",
        f"DELETE FROM faces WHERE id = {gone}",
        "UPDATE changes SET token = 'ffffffffffffffff'",
        "UPDATE galleries SET token = 'ffffffffffffffff', faces = 1",
    ]:
        backend.place.execute(statement)
    assert (found(search, 2), len(found(search, 1)), len(search)) == ([], 1, 1)
    assert search.rebuilt == "the database was put back to another history"
    with backend.searching(store) as another:
        assert another.rebuilt is None
        assert len(found(another, 1)) == 1


def test_people_are_searched_by_their_fused_templates(backend: Backend, store: Store) -> None:
    """After any changes the search answers as a comparison with the normalised mean of each person's faces."""
    chance = np.random.default_rng(7)
    probes = np.stack([unit(number) for number in range(8)])
    stored: dict[str, dict[int, Floats]] = {}

    def change() -> None:
        who = f"person {chance.integers(12)}"
        new = [unit(int(chance.integers(1 << 30))) for _ in range(chance.integers(1, 4))]
        verb = chance.choice(["add", "add", "replace", "delete face", "delete"])
        faces = stored.setdefault(who, {})
        if verb in ("add", "replace"):
            receipt = store.register(who, [face(vector) for vector in new], on_existing=verb)  # type: ignore[arg-type]
            if verb == "replace":
                faces.clear()
            faces.update(zip(receipt.stored, new, strict=True))
        elif verb == "delete face" and faces:
            gone = int(chance.choice(list(faces)))
            store.delete_face(gone)
            del faces[gone]
        elif verb == "delete" and faces:
            store.delete(who)
            faces.clear()

    def check(search: Search) -> None:
        search.sync()
        expected = {}
        for faces in stored.values():
            if faces:
                mean = np.mean(list(faces.values()), axis=0, dtype=np.float64)
                expected[min(faces)] = mean / np.linalg.norm(mean)
        found = search.search_people(probes, 20)
        assert len(search) == len(expected) == found.people.shape[1]
        assert (found.people == found.keys).all()
        people = store.faces_of_people(found.people[0].tolist())
        for probe, rows, scores in zip(probes, found.people.tolist(), found.similarities.tolist(), strict=True):
            truth = {min(people[row].face_ids): score for row, score in zip(rows, scores, strict=True)}
            assert truth == pytest.approx({key: vector @ probe for key, vector in expected.items()}, abs=1e-5)
            assert scores == sorted(scores, reverse=True)

    options = replace(backend.options, fused=True)
    following = open_search(store.feed, options)
    for _ in range(25):
        for _ in range(chance.integers(1, 4)):
            change()
        check(following)
    following.save()
    for fresh in (False, True):
        again = open_search(store.feed, options, fresh=fresh)
        check(again)
        assert again.rebuilt is None
        if isinstance(again, RemoteSearch):
            assert again.difference() is None
        again.close()
    with backend.searching(store) as by_face:
        assert len(by_face) == sum(map(len, stored.values()))
    check(following)
    following.close()


@SHARED
def test_fsck_compares_and_repairs_an_external_search(backend: Backend, store: Store) -> None:
    for number in range(20):
        store.register(number, [face(unit(number))])
    with backend.searching(store):
        pass
    assert fsck(backend.place.location, search=backend.where, score="closest").ok
    changed = open_search(store.feed, SearchOptions(where=backend.where))
    if backend.where == "pgvector":
        table = table_name(store.feed, fused=False)
        backend.place.execute(
            f"UPDATE {table} SET vector = (SELECT vector FROM {table} WHERE face_id = 2) WHERE face_id = 1"
        )
    else:
        name = changed._name  # type: ignore[attr-defined]
        changed._client.upsert(name, [{"face": 1, "person": 1, "vector": unit(1)}])  # type: ignore[attr-defined]
    assert found(changed, 1, 2) == [1, 2]
    changed.close()
    report = fsck(backend.place.location, search=backend.where, score="closest")
    assert [(finding.where, finding.mended) for finding in report.findings] == [("search", False)]
    assert "its vector of face 1 differs from the database" in report.findings[0].text
    assert fsck(backend.place.location, search=backend.where, score="closest", repair=True).ok
    assert fsck(backend.place.location, search=backend.where, score="closest").findings == ()
    assert rebuild(backend.place.location, search=backend.where, score="closest") == 20


@PGVECTOR
def test_a_restarted_server_continues(backend: Backend, store: Store, search: Search) -> None:
    server = backend.place.server
    assert server is not None
    store.register("ayu", [face(unit(1))])
    assert found(search, 1)
    server.stop()
    try:
        with pytest.raises(DatabaseUnavailableError):
            search.sync()
    finally:
        server.start()
    assert len(found(search, 1)) == 1
    store.register("budi", [face(unit(2))])
    server.crash()
    server.start()
    assert len(found(search, 2)) == 1
    assert search.rebuilt is None


@PGVECTOR
def test_a_deletion_removes_the_vector_in_the_same_commit(backend: Backend, store: Store, search: Search) -> None:
    for number in range(3):
        store.register(number, [face(unit(number))])
    search.sync()
    table = table_name(store.feed, fused=False)
    store.delete(1)  # and nobody searches afterwards
    assert backend.place.rows(f"SELECT count(*) FROM {table}") == [(2,)]
    held = backend.place.rows(f"SELECT position, token FROM search_tables WHERE name = '{table}'")
    assert held != [store.feed.head()]
    assert (len(search), search.sync() and len(search)) == (3, 2)


@PGVECTOR
def test_a_deletion_removes_the_fused_template_in_the_same_commit(backend: Backend, store: Store) -> None:
    stored = [store.register(number, [face(unit(number)), face(unit(10 + number))]) for number in range(3)]
    search = open_search(store.feed, replace(backend.options, fused=True))
    table = table_name(store.feed, fused=True)
    assert backend.place.rows(f"SELECT count(*) FROM {table}") == [(3,)]
    store.delete(0)  # and nobody searches afterwards
    store.delete_face(stored[1].stored[0])
    assert backend.place.rows(f"SELECT count(*) FROM {table}") == [(1,)]
    # A search that has not seen the deletion yet misses nobody who is left.
    found = search.search_people(unit(11)[None], 3)
    assert (found.people.shape, len(search)) == ((1, 2), 2)
    assert found.similarities[0, 0] == pytest.approx(1.0, abs=1e-6)
    assert backend.place.rows(f"SELECT count(*) FROM {table}") == [(2,)]
    search.close()
    Database(backend.place.location).close()  # the trigger is known to be one of facedex's own


@PGVECTOR
def test_after_a_vacuum_the_vector_is_in_no_table(backend: Backend, store: Store, search: Search) -> None:
    store.register("ayu", [face(unit(1))])
    store.register("budi", [face(unit(2))])
    search.sync()
    server = backend.place.server
    assert server is not None

    def standing(number: int) -> bool:
        backend.place.execute("CHECKPOINT")
        wanted = unit(number).tobytes()
        return any(wanted in path.read_bytes() for path in (server.data / "base").rglob("*") if path.is_file())

    assert standing(1)
    store.delete("ayu")
    search.sync()
    assert not search.vacuum()  # only the server's administrator can clear its log and backups
    assert not search.vacuum(full=True)
    store.feed.database.vacuum()
    assert (standing(1), standing(2)) == (False, True)


@PGVECTOR
def test_a_dropped_table_is_recreated(backend: Backend, store: Store, search: Search) -> None:
    store.register("ayu", [face(unit(1))])
    assert found(search, 1)
    table = table_name(store.feed, fused=False)
    backend.place.execute(f"DELETE FROM search_tables WHERE name = '{table}'")
    backend.place.execute(f"DROP TABLE {table}")
    assert len(found(search, 1)) == 1


@PGVECTOR
def test_a_search_waits_for_a_concurrent_update(
    backend: Backend, store: Store, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facedex.search.pgvector._PATIENCE_MS", 200)
    store.register("ayu", [face(unit(1))])
    lock = f"SELECT pg_advisory_lock(hashtextextended('{table_name(store.feed, fused=False)}', 0))"
    with backend.place.connect() as connection:
        connection.execute(sa.text(lock))
        with pytest.raises(DatabaseLockedError):
            search.sync()
        connection.execute(sa.text(lock.replace("_lock", "_unlock")))
    assert len(found(search, 1)) == 1


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
def test_a_server_without_pgvector_is_reported(place: Place) -> None:
    """Its user may not create it, which is what a server of somebody else says."""
    database = Database(place.location)
    backend = database._backend
    with database.single() as connection:
        offered = connection.exec_driver_sql("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'").scalar()
    if offered is None:
        with pytest.raises(SearchUnavailableError, match="has no pgvector"):
            need_pgvector(database, graph=False)
    else:
        place.execute("CREATE ROLE guest LOGIN PASSWORD 'guest'")
        try:
            for statement in ["SCHEMA public", "ALL TABLES IN SCHEMA public"]:
                place.execute(f"GRANT ALL ON {statement} TO guest")
            theirs = Database(backend.url.set(username="guest", password="guest").render_as_string(False))
            with pytest.raises(SearchUnavailableError, match="CREATE EXTENSION vector"):
                need_pgvector(theirs, graph=False)
            theirs.close()
        finally:
            place.execute("DROP OWNED BY guest")
            place.execute("DROP ROLE guest")
    database.close()


@MILVUS
def test_a_crash_between_vectors_and_position_is_recovered(
    store: Store, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.register("ayu", [face(unit(1))])

    def die(state: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(search, "_write_position", die)
        with pytest.raises(RuntimeError, match="killed"):
            search.sync()
    store.register("budi", [face(unit(2))])
    store.delete("ayu")
    assert (found(search, 1), len(found(search, 2)), len(search)) == ([], 1, 1)


@MILVUS
def test_errors_of_milvus_are_search_errors(store: Store, search: Search) -> None:
    store.register("ayu", [face(unit(1))])
    search.sync()
    search._client.drop_collection(search._name)  # type: ignore[attr-defined]
    with pytest.raises(SearchError, match="does not exist"):
        search.search(unit(1)[None], 1)
    store.register("budi", [face(unit(2))])
    assert (len(found(search, 1)), len(found(search, 2))) == (1, 1)


# The gallery.


@SHARED
def test_a_gallery_uses_the_external_search(backend: Backend, engine: Engine) -> None:
    index = backend.options.method
    with Gallery.open(backend.place.location, engine=engine, index=index, search=backend.where) as gallery:
        for person_id in ("ayu", "budi"):
            gallery.register(person_id, people.PICTURES[person_id])
        assert gallery.recognize(people.PROBES["ayu"][0])[0].person_id == "ayu"
        status = gallery.status()
        assert (status.search, status.faces, status.rebuilt) == (backend.where, 6, None)
        assert gallery.delete("ayu").wiped is False
        assert gallery.recognize(people.PROBES["ayu"][0])[0].person_id is None
        assert gallery.vacuum() is False
        with pytest.raises(PlainSearchError, match="search='local'"):
            gallery.rekey(b"k" * 32)
        assert gallery.recognize(people.PROBES["budi"][0])[0].person_id == "budi"
    with Gallery.open(backend.place.location, engine=engine) as gallery:
        assert (gallery.status().search, gallery.recognize(people.PROBES["budi"][0])[0].person_id) == ("local", "budi")
    assert list(backend.folder.rglob("*.index.tmp")) == []


@PGVECTOR
def test_encrypting_a_gallery_removes_its_vectors_from_postgresql(backend: Backend, store: Store) -> None:
    pytest.importorskip("cryptography", reason="needs cryptography: pip install 'facedex[crypto]'")
    store.register("ayu", [face(unit(1))])
    with backend.searching(store):
        pass
    from facedex.search import drop_tables
    from facedex.store import rekey

    assert backend.place.rows("SELECT count(*) FROM search_tables") == [(1,)]
    rekey(store.feed, b"k" * 32)
    drop_tables(store.feed)
    assert backend.place.rows("SELECT count(*) FROM search_tables") == [(0,)]
    assert backend.place.rows(f"SELECT to_regclass('{table_name(store.feed, fused=False)}')") == [(None,)]
    store.register("budi", [face(unit(2))])
    store.delete("ayu")
    assert store.counts() == (1, 1)


def test_the_environment_selects_the_search(tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEDEX_SEARCH", "pgvector")
    with pytest.raises(ArgumentError, match="needs a gallery in PostgreSQL"):
        Gallery.open(tmp_path / "people.db", engine=engine)
    with Gallery.open(tmp_path / "people.db", engine=engine, search="local") as gallery:
        assert gallery.status().search == "local"
