"""Measures the tails of a pack, and checks on other people that the thresholds from them keep their rate.

Goes in: the embeddings of pictures of known people. Comes out: the table ``[prior]`` of a manifest (`measure_prior`),
and for each size of a gallery the share of unknown faces that match somebody, beside what `facedex.thresholds` expects
(`check_rates`). The people are split at random: one half makes the tail, of the other half some are registered, and the
rest are the unknown ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError
from ..thresholds import FPIR, LEAST_PEOPLE, Prior, Tail, decide
from ..thresholds.estimate import estimate_tail

PICTURES = (1, 2, 3, 4, 5)
"""Numbers of pictures a person for which a tail is measured, where enough people have them."""

SIZES = (10, 15, 20, 30, 40, 50, 70, 100, 125, 150, 200, 300, 400, 500, 700, 1000)
"""Numbers of people in a gallery that are tried, as far as the test set has them."""

_DRAWS = 4  # random choices of a person's pictures
_SPLITS = 10
_GALLERIES = 10  # of each size, in each split
_UNKNOWN = 20  # people who are not registered, at least

_Embeddings = NDArray[np.float32]
_People = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class OpenSetRow:
    """The false positive identification rate of galleries of one size, as a mean over random splits of the people.

    Attributes
    ----------
    pictures, people : int
        Fused pictures a person, and people a gallery.
    threshold : float
        Cosine that the tail gives for the rate.
    expected, low, high : float
        The rate and its interval of 95 %, as `facedex.thresholds.Decision` states them.
    observed : float
        The share of unknown people that match somebody.
    flat : float
        The same at the pack's own threshold, which does not know how many people there are.
    inside : float
        The share of the splits where the observed rate lies in the interval.
    probes : int
        Unknown people who were tried, over all splits and galleries.
    """

    pictures: int
    people: int
    threshold: float
    expected: float
    low: float
    high: float
    observed: float
    flat: float
    inside: float
    probes: int

    @property
    def holds(self) -> bool:
        """Whether the observed rate lies in the interval."""
        return self.low <= self.observed <= self.high


def fuse(
    embeddings: _Embeddings,
    people: _People,
    chosen: Sequence[int] | _People,
    pictures: int,
    random: np.random.Generator,
) -> _Embeddings:
    """Return the normalized mean of some pictures of each person, chosen at random.

    Parameters
    ----------
    embeddings : numpy.ndarray
        (pictures, dimension), unit length.
    people : numpy.ndarray
        (pictures,), who is in each.
    chosen : sequence of int
        The people, each of whom has that many pictures.
    pictures : int
        From 1.
    random : numpy.random.Generator

    Returns
    -------
    numpy.ndarray
        (chosen, dimension), float32, unit length.
    """
    means = [embeddings[random.permutation(np.flatnonzero(people == one))[:pictures]].mean(axis=0) for one in chosen]
    stacked = np.stack(means)
    return np.asarray(stacked / np.linalg.norm(stacked, axis=1, keepdims=True), dtype=np.float32)


def people_with(people: _People, pictures: int) -> _People:
    """List the people who have at least so many pictures."""
    numbers, counts = np.unique(people, return_counts=True)
    return numbers[counts >= pictures]


def measure_tails(embeddings: _Embeddings, people: _People, *, replicates: int = 200) -> Prior:
    """Measure the tails of the similarities of one face to the fused template of another person.

    Parameters
    ----------
    embeddings : numpy.ndarray
        (pictures, dimension), unit length; NaN where a picture has no face, which is left out.
    people : numpy.ndarray
        (pictures,), who is in each.
    replicates : int
        Number of bootstrap samples for the errors.

    Returns
    -------
    Prior
        With a tail for each of `PICTURES` that at least 50 people have.

    Raises
    ------
    ArgumentError
        When there are fewer people.
    """
    present = np.isfinite(embeddings).all(axis=1)
    embeddings, people = embeddings[present], people[present]
    random = np.random.default_rng(0)
    tails: dict[int, Tail] = {}
    for pictures in PICTURES:
        known = people_with(people, pictures)
        if len(known) < LEAST_PEOPLE:
            break
        if pictures == 1:
            templates, owners = embeddings, people
        else:
            templates = np.concatenate([fuse(embeddings, people, known, pictures, random) for _ in range(_DRAWS)])
            owners = np.tile(known, _DRAWS)
        tail = estimate_tail(embeddings, people, templates, owners, replicates=replicates)
        if tail is not None:
            tails[pictures] = tail
    if not tails:
        raise ArgumentError(f"a tail needs at least {LEAST_PEOPLE} people, got {len(np.unique(people))}")
    return Prior(tails)


def format_prior(prior: Prior, data: str) -> str:
    """Format tails as the section ``[prior]`` of a manifest; `data` names the test set and the command."""
    lines = ["[prior]", f'data = "{data}"']
    for pictures, tail in prior.tails.items():
        lines += ["", "[[prior.tail]]", f"pictures = {pictures}", f"people = {tail.people}", f"pairs = {tail.pairs}"]
        cells = [f"[{rate:g}, {cosine:.4f}, {error:.4f}]" for rate, cosine, error in tail.points]
        rows = ["    " + ", ".join(cells[place : place + 4]) + "," for place in range(0, len(cells), 4)]
        lines += ["points = [", *rows, "]"]
    return "\n".join(lines)


def check_rates(
    embeddings: _Embeddings,
    people: _People,
    *,
    pictures: int,
    flat: float,
    rate: float = 0.01,
    sizes: Sequence[int] = SIZES,
    splits: int = _SPLITS,
) -> list[OpenSetRow]:
    """Compare the expected with the observed rate on people who were not used for the tail.

    Parameters
    ----------
    embeddings : numpy.ndarray
        (pictures, dimension), unit length; NaN where a picture has no face, which is left out.
    people : numpy.ndarray
        (pictures,), who is in each.
    pictures : int
        Fused pictures a person.
    flat : float
        A threshold for comparison, cosine.
    rate : float
        The false positive identification rate that is asked for.
    sizes : sequence of int
        Numbers of people a gallery; those for which there are too few people are left out.
    splits : int
        Number of random splits.

    Returns
    -------
    list of OpenSetRow
        One for each size.
    """
    present = np.isfinite(embeddings).all(axis=1)
    embeddings, people = embeddings[present], people[present]
    found: dict[int, list[tuple[float, ...]]] = {}
    tried: dict[int, int] = {}
    for split in range(splits):
        random = np.random.default_rng(split)
        shuffled = random.permutation(np.unique(people))
        fitted, tested = np.array_split(shuffled, 2)
        mine = np.isin(people, fitted)
        known = np.intersect1d(people_with(people, pictures), fitted)
        draws = 1 if pictures == 1 else _DRAWS
        templates = np.concatenate([fuse(embeddings, people, known, pictures, random) for _ in range(draws)])
        tail = estimate_tail(embeddings[mine], people[mine], templates, np.tile(known, draws), replicates=50)
        if tail is None:
            raise ArgumentError(f"half of the people make no tail: {2 * LEAST_PEOPLE} people at least are needed")
        candidates = np.intersect1d(people_with(people, pictures), tested)
        for size in sizes:
            if size > len(candidates) or size > len(tested) - _UNKNOWN:
                continue
            decision = decide(FPIR(rate), tail, "prior", people=size, max_fmr=1.0, strict=False)
            shares = []
            for _ in range(_GALLERIES):
                registered = random.permutation(candidates)[:size]
                gallery = fuse(embeddings, people, registered, pictures, random)
                unknown = np.isin(people, tested) & ~np.isin(people, registered)
                best = (embeddings[unknown] @ gallery.T).max(axis=1)
                owners = people[unknown]
                weights = 1 / np.bincount(owners)[owners]  # each person counts once
                tried[size] = tried.get(size, 0) + len(np.unique(owners))
                shares.append([np.average(best >= cut, weights=weights) for cut in (decision.threshold, flat)])
            observed, at_flat = np.mean(shares, axis=0)
            assert decision.expected is not None
            assert decision.low is not None
            assert decision.high is not None
            inside = decision.low <= observed <= decision.high
            row = (decision.threshold, decision.expected, decision.low, decision.high, observed, at_flat, inside)
            found.setdefault(size, []).append(tuple(map(float, row)))
    return [OpenSetRow(pictures, size, *_means(rows), tried[size]) for size, rows in sorted(found.items())]


def _means(rows: list[tuple[float, ...]]) -> tuple[float, float, float, float, float, float, float]:
    cosine, expected, low, high, observed, flat, inside = np.mean(rows, axis=0).tolist()
    return cosine, expected, low, high, observed, flat, inside
