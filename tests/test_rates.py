"""Error rates compared with direct counts, and properties for any similarities."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from facedex.errors import ArgumentError
from facedex.evaluate import (
    Rate,
    all_pairs,
    best_threshold,
    fmr,
    fnmr,
    impostor_statistics,
    measure_folds,
    rate_limits,
    threshold_at_fmr,
)

Similarities = NDArray[np.float32] | NDArray[np.float64]

# Values with few digits repeat, so that equal similarities occur; a picture without a face gives minus infinity.
cosines = st.one_of(
    st.floats(-1, 1, width=32), st.integers(-4, 4).map(lambda quarter: quarter / 4), st.just(float("-inf"))
)
similarities = st.sampled_from([np.float32, np.float64]).flatmap(
    lambda kind: arrays(kind, st.integers(1, 60), elements=cosines)
)
thresholds = st.floats(-1.5, 1.5, width=32)


@st.composite
def decisions(draw: st.DrawFn) -> tuple[Similarities, NDArray[np.bool_]]:
    similarity = draw(similarities)
    same = draw(arrays(np.bool_, len(similarity)))
    similarity[0] = 0.5  # one pair at least with a face in both
    return similarity, same


@given(similarities, thresholds, thresholds)
def test_fmr_never_rises_and_fnmr_never_falls_with_the_threshold(values: Similarities, a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert fmr(values, low).value >= fmr(values, high).value
    assert fnmr(values, low).value <= fnmr(values, high).value


@given(similarities, thresholds)
def test_rates_equal_those_counted_directly(values: Similarities, threshold: float) -> None:
    matches = sum(1 for value in values if value >= threshold)
    assert fmr(values, threshold) == Rate(matches, len(values))
    assert fnmr(values, threshold) == Rate(len(values) - matches, len(values))


@given(similarities, st.floats(0, 1))
def test_a_threshold_keeps_its_rate_and_no_lower_one_does(values: Similarities, rate: float) -> None:
    threshold = threshold_at_fmr(values, rate)
    assert fmr(values, threshold).errors <= rate * len(values) + 1e-9
    lower = [value for value in values if value < threshold]
    if lower:
        assert fmr(values, float(max(lower))).errors > rate * len(values)


def test_thresholds_of_a_hundred_impostors() -> None:
    values = np.arange(100, dtype=np.float32) / 100
    assert fmr(values, threshold_at_fmr(values, 0.05)).errors == 5
    assert 0.94 < threshold_at_fmr(values, 0.05) < 0.9401
    assert fmr(values, threshold_at_fmr(values, 0.0)).errors == 0
    assert threshold_at_fmr(values, 1.0) == -math.inf
    # 0.29 × 100 is a little under 29 in floating point
    assert fmr(values, threshold_at_fmr(values, 0.29)).errors == 29


@given(decisions(), thresholds)
def test_no_threshold_is_better_than_the_best(decided: tuple[Similarities, NDArray[np.bool_]], other: float) -> None:
    similarity, same = decided[0].astype(np.float64), decided[1]
    best = best_threshold(similarity, same)
    assert math.isfinite(best)

    def right(threshold: float) -> int:
        return sum((value >= threshold) == mate for value, mate in zip(similarity, same, strict=True))

    assert right(best) >= right(other)
    assert all(right(best) >= right(float(value)) for value in similarity if np.isfinite(value))


def test_the_best_threshold_lies_in_the_middle_of_the_gap() -> None:
    similarity = np.array([0.2, 0.5, 0.9, 0.7])
    same = np.array([False, False, True, True])
    assert best_threshold(similarity, same) == pytest.approx(0.6)
    assert best_threshold(similarity, ~same & False) > 0.9
    assert best_threshold(similarity, same | True) == pytest.approx(0.2)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_each_fold_is_evaluated_at_the_threshold_of_the_others(kind: type[np.floating]) -> None:
    random = np.random.default_rng(3)
    same = np.tile([True, False], 100)
    similarity = (random.normal(0, 0.2, 200) + np.where(same, 0.4, 0.0)).astype(kind)
    fold = np.repeat(np.arange(1, 6), 40)
    found = measure_folds(similarity, same, fold)
    expected = []
    for number in range(1, 6):
        others = [i for i in range(200) if fold[i] != number]
        candidates = sorted(float(similarity[i]) for i in others)
        counts = [sum((similarity[i] >= kind(t)) == same[i] for i in others) for t in candidates]
        # Between this similarity and the one below it every threshold decides the others alike.
        place = int(np.argmax(counts))
        middle = candidates[0] if place == 0 else (candidates[place - 1] + candidates[place]) / 2
        inside = [i for i in range(200) if fold[i] == number]
        expected.append(sum((float(similarity[i]) >= middle) == same[i] for i in inside) / len(inside))
    assert found.folds == pytest.approx(expected)
    assert found.mean == pytest.approx(sum(expected) / 5)
    spread = math.sqrt(sum((share - found.mean) ** 2 for share in expected) / 4)
    assert found.standard_error == pytest.approx(spread / math.sqrt(5))
    assert found.correct == Rate(round(sum(expected) * 40), 200)
    assert 0.7 < found.mean < 1


def test_a_single_fold_is_refused() -> None:
    with pytest.raises(ArgumentError, match="at least 2 are needed, got 1"):
        measure_folds(np.array([0.1, 0.9]), np.array([False, True]), np.array([1, 1]))


def test_every_pair_of_pictures_is_compared_once() -> None:
    random = np.random.default_rng(4)
    embeddings = random.normal(size=(1100, 8)).astype(np.float32)  # more than two blocks of rows
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    embeddings[[0, 700]] = np.nan
    people = random.integers(0, 200, 1100)
    mated, impostors = all_pairs(embeddings, people)
    expected: tuple[list[float], list[float]] = ([], [])
    similarity = np.where(np.isnan(embeddings), 0, embeddings).astype(np.float64)
    similarity = similarity @ similarity.T
    for i, j in combinations(range(1100), 2):
        missing = bool({i, j} & {0, 700})
        expected[int(people[i] != people[j])].append(-math.inf if missing else similarity[i, j])
    np.testing.assert_allclose(np.sort(mated), np.sort(expected[0]), atol=1e-6)
    np.testing.assert_allclose(np.sort(impostors), np.sort(expected[1]), atol=1e-6)
    mean, std, count = impostor_statistics(impostors)
    found = [value for value in expected[1] if value > -math.inf]
    assert count == len(found) < len(impostors)
    assert mean == pytest.approx(np.mean(found), abs=1e-6)
    assert std == pytest.approx(np.std(found), abs=1e-6)


@given(st.integers(0, 10_000).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))))
def test_the_rate_is_within_its_confidence_limits(counted: tuple[int, int]) -> None:
    errors, trials = counted
    low, high = rate_limits(errors, trials)
    assert 0 <= low <= high <= 1
    if trials:
        assert low <= errors / trials <= high
        mirrored = rate_limits(trials - errors, trials)
        assert mirrored == pytest.approx((1 - high, 1 - low))
        assert high - low >= rate_limits(errors * 4, trials * 4)[1] - rate_limits(errors * 4, trials * 4)[0]


def test_confidence_limits_equal_published_values() -> None:
    # Newcombe, "Two-sided confidence intervals for the single proportion" (1998), table I, method 3
    assert rate_limits(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert rate_limits(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert rate_limits(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)
    # the rule of three
    assert rate_limits(0, 100) == pytest.approx((0, 0.03), abs=1e-3)
    assert rate_limits(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rate_limits(3, 2), "errors must be 0 to the number of trials, 2, got 3"),
        (lambda: rate_limits(1, 2, level=1), "level must lie between 0 and 1, got 1"),
        (lambda: threshold_at_fmr(np.empty(0, np.float32), 0.1), "at least one comparison of different people"),
        (lambda: threshold_at_fmr(np.ones(3), -0.1), "must be 0 to 1, got -0.1"),
        (lambda: best_threshold(np.array([-np.inf]), np.array([True])), "a face in both pictures"),
        (lambda: impostor_statistics(np.array([-np.inf])), "a face in both pictures"),
    ],
)
def test_rates_that_cannot_be_computed_are_refused(call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(ArgumentError, match=message):
        call()


def test_a_rate_without_trials_is_nan() -> None:
    assert math.isnan(Rate(0, 0).value)
    assert Rate(0, 0).limits == (0.0, 1.0)
