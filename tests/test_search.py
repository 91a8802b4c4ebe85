"""The native index from Python: answers equal to a plain scan, people, changes during searches, snapshots, refusals."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facedex._core import Index
from facedex.errors import ArgumentError, FacedexError, IndexFileError

Floats = NDArray[np.float32]
Keys = NDArray[np.uint64]

PACK = "ab" * 32


def faces(rows: int, dimension: int = 64, seed: int = 1) -> tuple[Floats, Keys]:
    """Vectors shaped like faces and their people: three photographs of each, in a row."""
    generator = np.random.default_rng(seed)
    count = -(-rows // 3)
    centres = generator.standard_normal((count, dimension)) * (np.arange(dimension) + 20.0) ** -0.5
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    people = np.repeat(np.arange(count), 3)[:rows]
    noise = generator.standard_normal((rows, dimension))
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    vectors = 0.78 * centres[people] + np.sqrt(1 - 0.78**2) * noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), people.astype(np.uint64)


def filled(vectors: Floats, people: Keys | None = None, method: str = "exact") -> Index:
    index = Index(vectors.shape[1], PACK, method=method)
    index.add(np.arange(len(vectors), dtype=np.uint64), vectors, people=people)
    return index


@pytest.mark.parametrize(("rows", "dimension"), [(1, 512), (300, 512), (6000, 512), (20_000, 128), (500, 33)])
def test_the_exact_search_equals_a_plain_scan(rows: int, dimension: int) -> None:
    vectors, _ = faces(rows + 40, dimension)
    index = filled(vectors[:rows])
    probes = vectors[rows:]
    truth = probes.astype(np.float64) @ vectors[:rows].T.astype(np.float64)
    order = np.argsort(-truth, axis=1)[:, :10]
    keys, similarities = index.search(probes, 10)
    assert keys.shape == similarities.shape == order.shape
    np.testing.assert_allclose(similarities, np.take_along_axis(truth, order, axis=1), atol=1e-6)
    assert np.mean(keys == order) > 0.999  # equals to the last bit may change places
    for row, probe in enumerate(probes[:5]):
        alone = index.search(probe[None], 10)
        assert np.array_equal(alone[0][0], keys[row])
        assert np.array_equal(alone[1][0], similarities[row])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=60), st.integers(0, 10**6))
def test_changes_give_the_result_of_a_dictionary(changes: list[tuple[int, bool]], seed: int) -> None:
    vectors, _ = faces(61, 16, seed)
    index, model = Index(16, PACK), {}
    for key, come in changes:
        keys = np.array([key], np.uint64)
        if come and key not in model:
            index.add(keys, vectors[key : key + 1], people=keys // np.uint64(3))
            model[key] = vectors[key]
        elif come:
            with pytest.raises(ArgumentError, match="not in the index"):
                index.add(keys, vectors[key : key + 1])
        else:
            assert index.remove(keys) == (model.pop(key, None) is not None)
    assert len(index) == len(model)
    found, _ = index.search(vectors[:1], 100)
    assert sorted(found[0]) == sorted(model)
    people, *_ = index.search_people(vectors[:1], 100)
    assert sorted(people[0]) == sorted({key // 3 for key in model})


@pytest.mark.parametrize("count", [1, 2, 3])
def test_people_are_ranked_by_their_best_faces(count: int) -> None:
    vectors, people = faces(2430)
    stored, probes = slice(0, 2400), vectors[2400:]
    index = filled(vectors[stored], people[stored])
    found, similarities, keys, margins = index.search_people(probes, 4, faces=count)
    scores = (probes @ vectors[stored].T).reshape(len(probes), 800, 3)
    means = -np.sort(-scores, axis=2)[:, :, :count].mean(axis=2)
    order = np.argsort(-means, axis=1)
    assert np.array_equal(found, order[:, :4])
    expected = np.take_along_axis(means, order, axis=1)
    np.testing.assert_allclose(similarities, expected[:, :4], atol=1e-6)
    np.testing.assert_allclose(margins, expected[:, 0] - expected[:, 1], atol=2e-6)
    best = np.take_along_axis(scores.argmax(axis=2), order, axis=1)[:, :4]
    assert np.array_equal(keys, 3 * order[:, :4] + best)


def test_a_single_person_has_no_margin() -> None:
    vectors, _ = faces(3)
    found, _, keys, margins = filled(vectors, np.zeros(3, np.uint64)).search_people(vectors[:1], 5)
    assert (found.tolist(), keys.tolist(), margins.tolist()) == ([[0]], [[0]], [float("inf")])
    empty = Index(64, PACK).search_people(vectors, 5)
    assert [part.shape for part in empty] == [(3, 0), (3, 0), (3, 0), (3,)]


def test_the_approximate_search_finds_people_and_is_measured() -> None:
    vectors, people = faces(21_000, 512)
    families = faces(300, 512, seed=2)[0][::3]  # so that lists pay for few faces already
    vectors = vectors + 1.2 * families[people % 100]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = filled(vectors, people, "ivf")
    index.maintain()
    status = index.status()
    assert (status["n_lists"], status["unindexed"], status["note"], status["method"]) == (128, 0, None, "ivf")
    recall = index.sample_recall(300)
    assert recall >= status["promised_recall"]
    assert index.method == "ivf"
    # A person's first photograph is looked for among the others.
    index.remove(np.arange(0, 1500, 3, dtype=np.uint64))
    found, *_ = index.search_people(vectors[:1500:3], 1)
    assert np.mean(found[:, 0] == people[:1500:3]) > 0.995
    assert filled(vectors[:100], people[:100], "ivf").sample_recall(10) == 1.0


def test_a_removed_face_is_never_found_again_and_an_added_one_at_once() -> None:
    vectors, _ = faces(4000)
    index = filled(vectors[:3000])
    gone: set[int] = set()
    come: set[int] = set()
    ended = threading.Event()
    failures: list[str] = []

    def read(seed: int) -> None:
        generator = np.random.default_rng(seed)
        while not ended.is_set():
            at = int(generator.integers(0, 4000))
            was_gone, was_there = at in gone, at in come
            keys, similarities = index.search(vectors[at : at + 1], 1)
            found = keys[0, 0] == at and similarities[0, 0] > 0.999
            if (found and was_gone) or (was_there and not found):
                failures.append(f"{at} {found}")

    readers = [threading.Thread(target=read, args=(seed,)) for seed in range(3)]
    for reader in readers:
        reader.start()
    for at in range(1000):
        key = np.array([3 * at], np.uint64)
        assert index.remove(key) == 1
        gone.add(3 * at)
        new = np.array([3000 + at], np.uint64)
        index.add(new, vectors[3000 + at : 3001 + at])
        if at % 3:  # those are removed in their turn
            come.add(3000 + at)
    ended.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert len(index) == 3000


def test_searches_and_changes_continue_while_a_snapshot_is_written(tmp_path: Path) -> None:
    vectors, _ = faces(60_000)
    index = filled(vectors)
    saving = threading.Thread(target=index.save, args=(str(tmp_path / "a.index"), "door", 7))
    saving.start()
    longest, changes = 0.0, 0
    while saving.is_alive() or changes == 0:
        start = time.perf_counter()
        index.add(np.array([10**6 + changes], np.uint64), vectors[:1])
        index.search(vectors[:1], 1)
        longest, changes = max(longest, time.perf_counter() - start), changes + 1
    saving.join()
    assert longest < 1.0
    again, position = Index.load(tmp_path / "a.index", PACK, "door")
    assert position == 7
    assert len(again) >= 60_000


def test_other_threads_run_during_a_search() -> None:
    vectors, _ = faces(60_000, 128)
    index = filled(vectors)
    ended = threading.Event()
    thread = threading.Thread(target=lambda: (index.search(vectors[:2000], 5), ended.set()))
    thread.start()
    counted = 0
    while not ended.is_set():
        counted += 1
        time.sleep(0)
    thread.join()
    assert counted > 20


@pytest.mark.parametrize("method", ["exact", "hnsw", "ivf", "auto"])
def test_a_loaded_snapshot_equals_the_index(tmp_path: Path, method: str) -> None:
    vectors, people = faces(900)
    index = filled(vectors, people, method)
    index.remove(np.arange(0, 900, 4, dtype=np.uint64))
    path = tmp_path / "faces.index"
    index.save(path, "door", 3)
    content = index.to_bytes("door", 3)
    assert path.read_bytes() == content.tobytes()
    for again, position in (
        Index.load(path, PACK, "door", method=method),
        Index.from_bytes(content, path, PACK, "door", method=method),
    ):
        assert (position, len(again), again.method) == (3, 675, index.method)
        for one, other in zip(index.search_people(vectors[:50], 5), again.search_people(vectors[:50], 5), strict=True):
            assert np.array_equal(one, other)
        assert again.to_bytes("door", 3).tobytes() == content.tobytes()


def test_a_damaged_or_foreign_snapshot_is_refused(tmp_path: Path) -> None:
    vectors, people = faces(50)
    path = tmp_path / "faces.index"
    filled(vectors, people).save(path, "door", 3)
    content = path.read_bytes()
    generator = np.random.default_rng(5)
    for at in generator.integers(0, len(content), 200):
        damaged = bytearray(content)
        damaged[at] ^= 1 << int(generator.integers(0, 8))
        path.write_bytes(damaged)
        with pytest.raises(IndexFileError):
            Index.load(path, PACK, "door")
    path.write_bytes(content)
    for pack, gallery in (("cd" * 32, "door"), (PACK, "home")):
        with pytest.raises(IndexFileError):
            Index.load(path, pack, gallery)
    path.write_bytes(content[:8] + (1).to_bytes(4, "little") + content[12:])
    with pytest.raises(IndexFileError, match="format version 1, this program reads version 3"):
        Index.load(path, PACK, "door")


def test_errors_name_the_argument() -> None:
    vectors, _ = faces(4)
    index = filled(vectors)
    new = np.arange(10, 14, dtype=np.uint64)
    for call, message in [
        (lambda: Index(64, PACK, method="flat"), 'method must be "auto", "exact", "ivf" or "hnsw", got "flat"'),
        (lambda: Index(64, PACK, budget_ms=-1.0), "budget_ms must be 0 or more milliseconds, got -1"),
        (lambda: index.add(new, vectors.astype(np.float64)), "vectors must be float32"),
        (lambda: index.add(new.astype(np.int64), vectors), "keys must be uint64"),
        (lambda: index.add(new, vectors, people=new[:3]), "people must be one per vector, 4, got 3"),
        (lambda: index.add(new, vectors, people=new.astype(np.int64)), "people must be uint64"),
        (lambda: index.add(new, 2 * vectors), "must have length 1 within 0.001, row 0 has length 2"),
        (lambda: index.search(np.full((1, 64), np.nan, np.float32), 1), "must be finite, row 0 is not"),
        (lambda: index.search_people(vectors, 1, faces=0), "faces must be at least 1, got 0"),
        (lambda: index.search_people(vectors, 0), "k must be at least 1, got 0"),
    ]:
        with pytest.raises(FacedexError) as caught:
            call()
        assert message in str(caught.value)
    assert len(index) == 4
