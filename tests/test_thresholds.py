"""Thresholds from error rates: the rules, the tails, what is refused, and that the rates hold on other people."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facedex._core import PackInfo, read_manifest
from facedex.errors import ArgumentError, RateError
from facedex.thresholds import (
    FMR,
    FPIR,
    GALLERY_RULE,
    PAIR_RULE,
    RATES,
    SIGN_IN_RULE,
    Rule,
    Tail,
    at_least_one,
    combine,
    decide,
    has_moved,
    parse_rule,
    people_for,
    prior_of,
)
from facedex.thresholds.estimate import estimate_tail

MODELS = Path(__file__).parents[1] / "models"
MEASURED = ("base", "classic", "mobile")
NORMAL = Tail(1000, 499_500, tuple((rate, round(0.1 * -math.log10(rate), 6), 0.002) for rate in RATES if rate >= 1e-6))
"""A made tail: a tenth more of cosine for each decade of the rate."""


def pack(name: str) -> PackInfo:
    return read_manifest(MODELS / f"{name}.toml")


def faces(people: int, pictures: int, seed: int, spread: float = 0.5) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Unit vectors of made people: a centre each, and pictures around it."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(people, 64))
    vectors = np.repeat(centres, pictures, axis=0) + spread * random.normal(size=(people * pictures, 64))
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit, np.repeat(np.arange(people), pictures)


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (0.5, 0.5),
        (1, 1.0),
        (np.float32(0.5), 0.5),
        ("0.5", 0.5),
        (FMR(1e-4), FMR(1e-4)),
        ("fmr=1e-4", FMR(1e-4)),
        ("FMR(1e-4)", FMR(1e-4)),
        (" fpir = 0.01 ", FPIR(0.01)),
        (str(FPIR(0.01)), FPIR(0.01)),
    ],
)
def test_a_rule_is_a_similarity_or_a_rate(value: object, rule: Rule) -> None:
    assert parse_rule(value) == rule


@pytest.mark.parametrize("value", [None, True, b"0.5", "", "far=0.1", "fmr=", 1.5, -2, math.nan, "nan", [0.5], 10**400])
def test_what_is_no_rule_is_refused_and_what_is_accepted_named(value: object) -> None:
    with pytest.raises(ArgumentError, match=r"-1 to 1, or a rate such as FMR\(1e-4\) or 'fpir=0\.01'|between 0 and 1"):
        parse_rule(value)


@pytest.mark.parametrize("rate", [0, 1, -0.1, 2, math.nan, "x", None])
def test_a_rate_lies_between_0_and_1(rate: float) -> None:
    for kind in (FMR, FPIR):
        with pytest.raises(ArgumentError, match=f"{kind.__name__} must be a rate between 0 and 1, got "):
            kind(rate)


def test_the_rate_of_a_comparison_falls_with_the_people_and_is_capped() -> None:
    assert FPIR(0.01).fmr(1, 1e-3) == FPIR(0.01).fmr(10, 1e-3) == 1e-3
    for people in (20, 100, 1000):
        assert at_least_one(FPIR(0.01).fmr(people, 1e-3), people) == pytest.approx(0.01, rel=1e-12)
    assert FMR(1e-4).fmr(1000, 1e-3) == 1e-4


def test_a_decision_states_the_rate_that_it_keeps() -> None:
    few, many = (decide(FPIR(0.01), NORMAL, "prior", people=people) for people in (2, 1000))
    assert few.threshold == pytest.approx(0.3)
    assert few.expected == pytest.approx(0.002, rel=1e-2)
    assert many.threshold == pytest.approx(0.5, abs=1e-3)
    assert (many.rule, many.origin, many.people) == ("fpir=0.01", "prior", 1000)
    assert many.expected == pytest.approx(0.01, rel=1e-6)
    assert many.low is not None
    assert many.high is not None
    assert 0 <= many.low < 0.01 < many.high < 0.02
    # A gallery of few people has a rate of its own: its interval is wider for the same rate.
    assert few.low is not None
    assert few.high is not None
    assert few.expected is not None
    assert few.high / few.expected > many.high / 0.01


def test_a_similarity_is_kept_as_it_is_and_its_rate_stated() -> None:
    fixed = decide(0.3, NORMAL, "both", people=100)
    assert (fixed.threshold, fixed.origin, fixed.rule) == (0.3, "fixed", "0.3")
    assert fixed.expected == pytest.approx(at_least_one(1e-3, 100))
    assert decide(0.3, None, "prior", people=100).expected is None


def test_a_rate_that_the_data_cannot_show_is_refused_with_the_people_it_takes() -> None:
    with pytest.raises(
        RateError, match=r"fmr=1e-08 needs .* of 1000 people show none below 1e-06; it takes 7,747"
    ) as e:
        decide(FMR(1e-8), NORMAL, "prior", people=1)
    assert e.value.people == people_for(1e-8) == 7747
    with pytest.raises(RateError):
        decide(FPIR(0.01), NORMAL, "prior", people=100_000)
    lenient = decide(FPIR(0.01), NORMAL, "prior", people=100_000, strict=False)
    assert lenient.threshold == NORMAL.threshold(1e-6)
    assert lenient.expected is not None
    assert lenient.expected > 0.05


def test_people_for_is_the_least_number_whose_pairs_support_a_rate() -> None:
    for rate in (1e-3, 1e-4, 1e-5, 1e-6):
        people = people_for(rate)
        assert 0.3 / (people * (people - 1) / 2) <= rate < 0.3 / ((people - 1) * (people - 2) / 2)


def test_a_pack_without_a_measurement_needs_a_similarity() -> None:
    with pytest.raises(ArgumentError, match="states no measured threshold; name one"):
        decide(GALLERY_RULE, None, "prior", people=3)


def test_the_estimate_is_the_known_tail_of_made_people() -> None:
    """Cosines of random directions in 64 dimensions: (1 + cosine) / 2 is Beta(31.5, 31.5)."""
    vectors, people = faces(800, 2, seed=1)
    tail = estimate_tail(vectors, people, vectors, people, replicates=20)
    assert tail is not None
    assert (tail.people, tail.pairs) == (800, 800 * 799 // 2)
    random = np.random.default_rng(5)
    sample = 2 * random.beta(31.5, 31.5, size=4_000_000) - 1
    for rate in (0.1, 0.01, 1e-3, 1e-4, 1e-5):
        expected = np.quantile(sample, 1 - rate)
        error = next(error for at, _, error in tail.points if at == rate)
        assert abs(tail.threshold(rate) - expected) < max(4 * error, 0.012), rate
    assert tail.least_rate == 1e-6


def test_each_pair_of_people_counts_once_however_many_pictures_they_have() -> None:
    vectors, people = faces(100, 1, seed=2)
    once = estimate_tail(vectors, people, vectors, people, replicates=5)
    doubled = np.concatenate([vectors, vectors[:50]]), np.concatenate([people, people[:50]])
    twice = estimate_tail(*doubled, *doubled, replicates=5)
    assert once is not None
    assert twice is not None
    tails = [[tail.threshold(rate) for rate in (0.02, 1e-2, 1e-3)] for tail in (once, twice)]
    np.testing.assert_allclose(tails[0], tails[1], atol=2e-3)


def test_one_person_under_two_ids_does_not_spoil_the_tail() -> None:
    vectors, people = faces(200, 2, seed=3)
    honest = estimate_tail(vectors, people, vectors, people, replicates=5)
    copies = vectors.copy()
    copies[people >= 190] = copies[(people >= 180) & (people < 190)]  # the last ten are the ten before them
    spoilt = estimate_tail(copies, people, copies, people, replicates=5)
    guarded = estimate_tail(copies, people, copies, people, ceiling=0.7, replicates=5)
    assert honest is not None
    assert spoilt is not None
    assert guarded is not None
    assert spoilt.threshold(1e-4) > honest.threshold(1e-4) + 0.05
    assert guarded.threshold(1e-4) == pytest.approx(honest.threshold(1e-4), abs=0.04)


@pytest.mark.parametrize("distinct", [1, 2, 49])
def test_few_people_under_many_ids_make_no_tail(distinct: int) -> None:
    """As when one picture is registered again and again to try how a gallery bears it."""
    vectors, _ = faces(distinct, 1, seed=6)
    many, people = vectors[np.arange(120) % distinct], np.arange(120)
    assert estimate_tail(many, people, many, people, ceiling=0.7, replicates=5) is None


def test_people_under_several_ids_count_once() -> None:
    vectors, people = faces(60, 1, seed=7)
    once = estimate_tail(vectors, people, vectors, people, replicates=5)
    many, ids = np.concatenate([vectors] * 3), np.arange(180)
    assert once is not None
    assert estimate_tail(many, ids, many, ids, ceiling=0.7, replicates=5) == once


def test_too_few_people_make_no_tail() -> None:
    vectors, people = faces(49, 2, seed=4)
    assert estimate_tail(vectors, people, vectors, people) is None


def test_own_people_weigh_more_the_more_there_are() -> None:
    own = [
        Tail(people, people * (people - 1) // 2, tuple((rate, cosine + 0.1, 0.01) for rate, cosine, _ in NORMAL.points))
        for people in (50, 200, 2000)
    ]
    cosines = [combine(NORMAL, tail)[0].threshold(1e-4) for tail in own]  # type: ignore[union-attr]
    assert cosines == pytest.approx([0.4 + 0.1 * n / (n + 200) for n in (50, 200, 2000)])
    assert combine(NORMAL, None) == (NORMAL, "prior")
    assert combine(None, own[0]) == (own[0], "gallery")
    assert combine(NORMAL, own[0])[1] == "both"


def test_rates_that_one_tail_alone_supports_follow_its_shape() -> None:
    short = Tail(60, 1770, tuple((rate, cosine + 0.1, 0.01) for rate, cosine, _ in NORMAL.points if rate >= 2e-4))
    both, _ = combine(NORMAL, short)
    assert both is not None
    assert both.least_rate == NORMAL.least_rate
    cosines = [cosine for _, cosine, _ in both.points]
    assert cosines == sorted(cosines)
    step = NORMAL.threshold(1e-5) - NORMAL.threshold(2e-4)
    assert both.threshold(1e-5) - both.threshold(2e-4) == pytest.approx(step)


@pytest.mark.parametrize("name", MEASURED)
def test_the_measured_packs_support_their_defaults(name: str) -> None:
    prior = prior_of(pack(name))
    assert prior is not None
    assert sorted(prior.tails) == [1, 2, 3, 4]
    one = prior.tail()
    assert (one.people, one.pairs) == (700, 244_650)
    for rule in (PAIR_RULE, SIGN_IN_RULE):
        assert decide(rule, one, "prior", people=1).expected == pytest.approx(rule.rate, rel=1e-3)
    for people in (1, 10, 100, 1000):
        assert decide(GALLERY_RULE, one, "prior", people=people).expected == pytest.approx(
            min(0.01, at_least_one(1e-3, people)), rel=1e-3
        )
    # The tail of fused templates is another one, and between two numbers of pictures it lies between theirs.
    assert one.threshold(1e-3) < prior.tail(2).threshold(1e-3) < prior.tail(3).threshold(1e-3)
    assert one.threshold(1e-3) < prior.tail(1.5).threshold(1e-3) < prior.tail(2).threshold(1e-3)
    assert prior.tail(9) == prior.tail(4)


def test_a_pack_with_a_single_published_point_supports_that_alone() -> None:
    prior = prior_of(pack("buffalo_l"))
    assert prior is not None
    tail = prior.tail()
    assert decide(FPIR(0.01), tail, "prior", people=100).threshold == pytest.approx(0.4078)
    assert decide(FMR(1e-4), tail, "prior", people=1).low is None
    with pytest.raises(
        RateError, match="fmr=1e-07 needs a false match rate of 1e-07, and the data show none below 1e-06"
    ):
        decide(FMR(1e-7), tail, "prior", people=1)


def test_a_pack_that_states_nothing_has_no_prior() -> None:
    assert prior_of(pack("open")) is None


def test_a_quarter_moves() -> None:
    assert [has_moved(now, 8) for now in (6, 7, 8, 9, 10)] == [True, False, False, False, True]
    assert has_moved(1, 0)
    assert not has_moved(0, 0)
