"""The thresholds of facedex.thresholds on real people: the prior is what the data say, and the rates hold on others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facedex import Engine
from facedex.errors import ArgumentError
from facedex.evaluate.measure import stack_embeddings
from facedex.evaluate.open_set import check_rates, fuse, measure_tails, people_with
from facedex.thresholds import prior_of

MOBILE = ("yunet/yunet_n_dynamic.onnx", "mobilefacenet/mobilefacenet_foamliu_128d.onnx")

Embed = Callable[[str], tuple[Engine, NDArray[np.float32], NDArray[np.int64]]]


@pytest.fixture(scope="module")
def embed(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Embed:
    """Embed the pictures of the 700 people of the test data with a pack, once."""

    @cache
    def embedded(name: str) -> tuple[Engine, NDArray[np.float32], NDArray[np.int64]]:
        pack: str | Path = name
        if name == "mobile":
            folder = tmp_path_factory.mktemp("mobile")
            for network in MOBILE:
                shutil.copy(shared / "models" / network, folder)
            pack = Path(shutil.copy(Path(__file__).parents[1] / "models" / "mobile.toml", folder))
        engine = Engine(pack)
        faces = shared / "faces"
        pictures = tuple(sorted([*faces.glob("lfw-subset/*/*.jpg"), *faces.glob("lfw-strangers/*/*.jpg")]))
        _, people = np.unique([picture.parent.name for picture in pictures], return_inverse=True)
        embeddings, failures = stack_embeddings(engine.analyze_many(pictures), pictures)
        assert len(failures) <= 3
        assert people.max() == 699
        return engine, embeddings, people.astype(np.int64)

    return embedded


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("name", ["base", "classic", "mobile"])
def test_the_rate_holds_on_people_not_used_for_the_tail_and_a_flat_threshold_fails(name: str, embed: Embed) -> None:
    engine, embeddings, people = embed(name)
    for pictures in (1, 3):
        rows = check_rates(embeddings, people, pictures=pictures, flat=engine.threshold)
        assert len(rows) >= 9
        assert rows[-1].people >= 100
        assert sum(row.holds for row in rows) >= 0.9 * len(rows), rows
        assert np.mean([row.inside for row in rows]) >= 0.85
        assert all(row.expected == pytest.approx(0.01, rel=1e-3) for row in rows)
        assert all(0.004 < row.observed < 0.025 for row in rows), rows
        # The pack's own threshold grows looser with the people.
        assert rows[-1].flat > 6 * rows[0].flat
        assert rows[-1].flat > 0.015 or rows[0].flat < 0.002


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("name", ["base", "classic", "mobile"])
def test_the_prior_in_the_manifest_is_what_the_data_say(name: str, embed: Embed) -> None:
    engine, embeddings, people = embed(name)
    measured, stated = measure_tails(embeddings, people, replicates=10), prior_of(engine.pack)
    assert stated is not None
    assert measured.tails.keys() == stated.tails.keys()
    for pictures, tail in measured.tails.items():
        mine = stated.tails[pictures]
        assert (tail.people, tail.pairs) == (mine.people, mine.pairs)
        # Which pictures are fused is chosen at random, in the order of the test set.
        allowed = 0.0003 if pictures == 1 else 0.012
        for rate in (1e-2, 1e-3, 1e-4, 1e-5):
            assert tail.threshold(rate) == pytest.approx(mine.threshold(rate), abs=allowed), (pictures, rate)


def test_fuse_is_the_normalized_mean_of_a_persons_pictures() -> None:
    vectors = np.eye(4, dtype=np.float32)
    people = np.array([7, 7, 8, 9])
    fused = fuse(vectors, people, [7, 8], 2, np.random.default_rng(0))
    np.testing.assert_allclose(fused, [[0.5**0.5, 0.5**0.5, 0, 0], [0, 0, 1, 0]], atol=1e-6)
    assert people_with(people, 2).tolist() == [7]


def test_too_few_people_make_no_prior() -> None:
    vectors = np.eye(40, dtype=np.float32)
    with pytest.raises(ArgumentError, match="at least 50 people, got 40"):
        measure_tails(vectors, np.arange(40))
