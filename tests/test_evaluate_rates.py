"""Error rates of 1:1 and 1:N against slow computations that share nothing with the package but the scores."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from facedex.errors import ArgumentError, RateError
from facedex.evaluate.identification import (
    Searches,
    SearchScores,
    chances_of_first,
    chances_of_rank,
    fuse,
    prepare_searches,
)
from facedex.evaluate.rates import all_pairs
from facedex.evaluate.verification import Comparisons, PairScores, draw_people, interval, score_pairs

PEOPLE, PICTURES, DIMENSION = 7, 3, 5


def synthetic(
    seed: int, people: int = PEOPLE, pictures: int = PICTURES
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Embeddings that scatter around a center for each person: the rates are neither 0 nor 1."""
    random = np.random.default_rng(seed)
    centers = random.normal(size=(people, DIMENSION))
    vectors = np.repeat(centers, pictures, axis=0) + random.normal(scale=0.8, size=(people * pictures, DIMENSION))
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit, np.repeat(np.arange(people), pictures).astype(np.int64)


def compare_all(
    embeddings: NDArray[np.float32], people: NDArray[np.int64], *, replicates: int, seed: int
) -> Comparisons:
    return Comparisons(score_pairs(embeddings, people), len(set(people.tolist())), replicates=replicates, seed=seed)


def search_scores(seed: int) -> SearchScores:
    """The first picture of each person is the template; the last person is not enrolled."""
    embeddings, people = synthetic(seed)
    templates = embeddings[::PICTURES][: PEOPLE - 1]
    own = np.where(people < PEOPLE - 1, people, -1)
    return SearchScores(embeddings @ templates.T, own, np.arange(len(people)) % PICTURES > 0, people)


def fpir_by_enumeration(search: SearchScores, people: int, threshold: float) -> Fraction:
    """Search every probe in every gallery of that size without its own person, one by one."""
    shares = []
    for row, own in zip(search.scores.tolist(), search.own.tolist(), strict=True):
        others = [score for column, score in enumerate(row) if column != own]
        galleries = list(itertools.combinations(others, people))
        shares.append(Fraction(sum(max(gallery) >= threshold for gallery in galleries), len(galleries)))
    return sum(shares, Fraction(0)) / len(shares)


def found_by_enumeration(search: SearchScores, people: int, rank: int, threshold: float) -> Fraction:
    """Share of mated probes that are returned at this rank, over every gallery that has their person."""
    shares = []
    for row, own, mated in zip(search.scores.tolist(), search.own.tolist(), search.mated.tolist(), strict=True):
        if not mated or own < 0:
            continue
        others = [score for column, score in enumerate(row) if column != own]
        galleries = list(itertools.combinations(others, people - 1))
        good = sum(sum(s >= row[own] for s in gallery) < rank and row[own] >= threshold for gallery in galleries)
        shares.append(Fraction(good, len(galleries)))
    return sum(shares, Fraction(0)) / len(shares)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("people", range(1, PEOPLE - 1))
def test_identification_rates_are_those_of_all_galleries(seed: int, people: int) -> None:
    search = search_scores(seed)
    prepared = prepare_searches(search, people, ranks=3, least_chance=0)
    assert not prepared.extrapolated
    for threshold in (-1.0, 0.2, 0.5, float(search.scores[4, 2]), 0.8, 1.1):
        expected = fpir_by_enumeration(search, people, threshold)
        assert prepared.fpir(threshold) == pytest.approx(float(expected), abs=1e-12)
        found = found_by_enumeration(search, people, 1, threshold)
        assert prepared.fnir(threshold) == pytest.approx(float(1 - found), abs=1e-12)
    for rank in (1, 2, 3):
        expected = found_by_enumeration(search, people, rank, -2.0)
        assert prepared.rank(rank) == pytest.approx(float(expected), abs=1e-12)


@pytest.mark.parametrize("fpir", [0.0, 0.01, 0.1, 0.3, 0.9])
def test_the_threshold_is_the_lowest_that_keeps_the_rate(fpir: float) -> None:
    search = search_scores(0)
    prepared = prepare_searches(search, 4, least_chance=0)
    threshold = prepared.threshold(fpir)
    assert fpir_by_enumeration(search, 4, threshold) <= Fraction(fpir) + Fraction(1, 10**12)
    below = max(float(score) for score in search.scores.ravel() if score < threshold)
    assert fpir_by_enumeration(search, 4, below) > Fraction(fpir)


def test_chances_are_those_of_counting() -> None:
    for others, people in ((9, 4), (9, 9), (9, 1), (60, 13)):
        expected = [math.comb(others - k - 1, people - 1) / math.comb(others, people) for k in range(others)]
        assert chances_of_first(others, people) == pytest.approx(expected, abs=1e-12)
        table = chances_of_rank(others, people, 3)
        for closer in range(others + 1):
            drawn = people - 1
            ways = [
                math.comb(closer, x) * math.comb(others - closer, drawn - x) if drawn - x >= 0 else 0 for x in range(3)
            ]
            shares = np.cumsum(ways) / math.comb(others, drawn)
            assert table[closer] == pytest.approx(shares.tolist(), abs=1e-12)
    with pytest.raises(ArgumentError, match="1 to 3 people"):
        chances_of_first(3, 0)


def test_beyond_the_templates_galleries_are_searched_one_after_the_other() -> None:
    search = search_scores(1)
    prepared = prepare_searches(search, 50, least_chance=0)
    assert prepared.extrapolated
    assert prepared.galleries == 10
    for threshold in (0.3, 0.7, 0.9):
        expected = 1 - (1 - float(fpir_by_enumeration(search, 5, threshold))) ** 10
        assert prepared.fpir(threshold) == pytest.approx(expected, abs=1e-12)
        found = []
        for row, own, mated in zip(search.scores.tolist(), search.own.tolist(), search.mated.tolist(), strict=True):
            if mated and own >= 0:
                beaten = float(fpir_by_enumeration(search, 5, row[own]))
                found.append((1 - beaten) ** (49 / 5) if row[own] >= threshold else 0.0)
        assert prepared.fnir(threshold) == pytest.approx(1 - float(np.mean(found)), abs=1e-12)
    threshold = prepared.threshold(0.5)
    assert prepared.fpir(threshold) <= 0.5


def test_the_extrapolation_is_close_where_it_can_be_checked() -> None:
    """Templates of 60 people foretell galleries of 240, on average over five such parts of all 300."""
    random = np.random.default_rng(0)
    vectors = random.normal(size=(600, 24))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = unit[:300] @ unit[300:].T
    nobody = np.full(300, -1)
    whole = SearchScores(scores, nobody, nobody >= 0, np.arange(300))
    threshold = prepare_searches(whole, 240).threshold(0.1)
    parts = [SearchScores(scores[:, start::5], nobody, nobody >= 0, np.arange(300)) for start in range(5)]
    assert np.mean([prepare_searches(part, 240).fpir(threshold) for part in parts]) == pytest.approx(0.1, rel=0.1)


def test_large_sets_have_the_same_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, people = synthetic(11, people=80)
    templates = embeddings[::PICTURES]
    search = SearchScores(embeddings @ templates.T, people, np.arange(len(people)) % PICTURES > 0, people)
    whole = prepare_searches(search, 40, least_chance=0)
    monkeypatch.setattr("facedex.evaluate.identification._LARGE", 100)
    part = prepare_searches(search, 40)
    assert len(part.scores) < 0.2 * len(whole.scores)
    for fpir in (0.5, 0.1, 0.01):
        threshold = whole.threshold(fpir)
        assert part.threshold(fpir) == threshold
        assert part.fpir(threshold) == pytest.approx(whole.fpir(threshold), abs=1e-12)
        assert part.fnir(threshold) == whole.fnir(threshold)


def test_weights_count_as_copies_of_the_people() -> None:
    search = search_scores(2)
    prepared = prepare_searches(search, 3, least_chance=0)
    weights = np.array([2, 0, 1, 1, 3, 0, 1], dtype=np.float64)
    rows = np.concatenate([np.flatnonzero(search.people == person).repeat(int(weights[person])) for person in range(7)])
    copies = SearchScores(search.scores[rows], search.own[rows], search.mated[rows], search.people[rows])
    drawn: Searches = prepare_searches(copies, 3, least_chance=0)
    for threshold in (0.1, 0.5, 0.7):
        assert prepared.fpir(threshold, weights) == pytest.approx(drawn.fpir(threshold), abs=1e-12)
        assert prepared.fnir(threshold, weights) == pytest.approx(drawn.fnir(threshold), abs=1e-12)
    assert prepared.threshold(0.2, weights) == drawn.threshold(0.2)


def test_verification_rates_are_those_of_counting() -> None:
    embeddings, people = synthetic(3, people=30)
    found = compare_all(embeddings, people, replicates=50, seed=0)
    mated: list[np.float32] = []
    impostors: list[np.float32] = []
    for i, j in itertools.combinations(range(len(people)), 2):
        (mated if people[i] == people[j] else impostors).append(found.pairs.scores[_place(i, j, len(people))])
    assert len(impostors) == 30 * 29 * 9 // 2
    for point in found.points([0.1, 0.01], [0.4]):
        assert point.fmr.value == pytest.approx(np.mean([score >= point.threshold for score in impostors]), abs=1e-12)
        assert point.fnmr.value == pytest.approx(np.mean([score < point.threshold for score in mated]), abs=1e-12)
        assert point.fmr.low <= point.fmr.value <= point.fmr.high
        assert point.fnmr.low < point.fnmr.value < point.fnmr.high
        assert point.wanted_fmr is None or point.fmr.value <= point.wanted_fmr
    curve = found.curve()
    assert [point.wanted_fmr for point in curve] == sorted((point.wanted_fmr or 0 for point in curve), reverse=True)
    assert curve[-1].wanted_fmr is not None
    assert curve[-1].wanted_fmr * len(impostors) >= 3


def test_pairs_lead_back_to_their_pictures() -> None:
    embeddings, people = synthetic(4)
    pairs = score_pairs(embeddings, people)
    first, second = pairs.pictures(np.arange(len(pairs.scores)))
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == list(itertools.combinations(range(21), 2))
    assert np.array_equal(pairs.same, people[first] == people[second])
    assert pairs.scores == pytest.approx(np.einsum("ij,ij->i", embeddings[first], embeddings[second]), abs=1e-6)
    mated, impostors = all_pairs(embeddings, people)
    assert np.array_equal(mated, pairs.scores[pairs.same])
    assert np.array_equal(impostors, pairs.scores[~pairs.same])


def test_the_bootstrap_draws_people() -> None:
    """A replicate is the set in which each person occurs as often as drawn and nobody is compared with a copy."""
    embeddings, people = synthetic(5, people=12)
    comparisons = compare_all(embeddings, people, replicates=20, seed=7)
    fmr, fnmr = comparisons._draw([None], [0.9], [int(np.count_nonzero(comparisons.impostors >= 0.9))])
    for replicate, weights in enumerate(draw_people(12, 20, 7)):
        assert weights.sum() == 12
        accepted = total = missed = mated = 0.0
        for i, j in itertools.combinations(range(len(people)), 2):
            score, (p, q) = float(comparisons.pairs.scores[_place(i, j, len(people))]), (people[i], people[j])
            if p == q:
                mated += weights[p]
                missed += weights[p] * (score < 0.9)
            else:
                total += weights[p] * weights[q]
                accepted += weights[p] * weights[q] * (score >= 0.9)
        assert fmr[0, replicate] == pytest.approx(accepted / total, abs=1e-12)
        assert fnmr[0, replicate] == pytest.approx(missed / mated, abs=1e-12)


def _place(i: int, j: int, count: int) -> int:
    return i * count - i * (i + 1) // 2 + j - i - 1


def test_intervals_cover_the_rate() -> None:
    """Of 60 sets, most have the true FNMR within their interval: of 95 % at least 48, but for chance."""
    truth = compare_all(*synthetic(99, people=1500), replicates=1, seed=0).points((), [0.3])[0].fnmr.value
    covered = 0
    for seed in range(60):
        point = compare_all(*synthetic(seed, people=25), replicates=100, seed=0).points((), [0.3])[0]
        covered += point.fnmr.low <= truth <= point.fnmr.high
    assert 48 <= covered <= 60


def test_without_an_error_the_rule_of_three_counts_people() -> None:
    low, high = interval(np.zeros(100), 0.0, 50)
    assert low == 0
    assert high == pytest.approx(-math.log(0.05) / 50)
    assert all(math.isnan(limit) for limit in interval(np.array([np.nan]), float("nan"), 50))


def test_a_rate_that_the_data_cannot_show_is_refused_with_what_it_takes() -> None:
    comparisons = compare_all(*synthetic(6), replicates=5, seed=0)
    with pytest.raises(RateError, match=r"needs 30,000 comparisons .* there are 189; .* about 83 people") as e:
        comparisons.points([1e-4])
    assert e.value.people == 83


def test_a_fused_template_is_the_normalised_mean() -> None:
    embeddings, _ = synthetic(8)
    fused = fuse(embeddings[:3])
    mean = embeddings[:3].astype(np.float64).mean(axis=0)
    assert fused == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)
    assert fuse(np.array([[1.0, 0.0], [-1.0, 0.0]])).tolist() == [1.0, 0.0]


def test_ties_do_not_pass_a_threshold() -> None:
    scores = np.array([[0.5, 0.5, 0.2], [0.5, 0.1, 0.5]])
    search = SearchScores(scores, np.array([-1, -1]), np.zeros(2, dtype=bool), np.array([0, 1]))
    prepared = prepare_searches(search, 2, least_chance=0)
    assert prepared.fpir(0.5) == pytest.approx(1.0)
    assert prepared.threshold(0.5) > 0.5
    assert math.isnan(prepared.fnir(0.5))
    with pytest.raises(ArgumentError, match="at least 2 people"):
        prepare_searches(SearchScores(scores[:, :1], np.array([-1, -1]), np.zeros(2, dtype=bool), np.arange(2)), 1)


def test_a_pair_scores_without_mated_pairs_has_no_fnmr() -> None:
    embeddings, _ = synthetic(9, people=40, pictures=1)
    pairs: PairScores = score_pairs(embeddings, np.arange(40))
    (point,) = Comparisons(pairs, 40, replicates=5, seed=0).points([0.1])
    assert math.isnan(point.fnmr.value)
    assert point.fnmr.trials == 0
