"""Computes the error rates of 1:1 comparison over all pairs of pictures, with intervals from a bootstrap by person.

Terms are those of ISO/IEC 19795-1. Comparisons that share a person depend on each other. The bootstrap therefore draws
people, not comparisons: a pair of one person counts as often as the person was drawn, a pair of two as often as the
product says, and nobody is compared with a copy of himself (Bolle, Ratha and Pankanti 2004 draw subsets for the same
reason).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import RateError
from ..plain import record_to_dict
from . import rates
from .rates import Array

CONFIDENCE = 0.95
"""Of every interval."""

LARGEST_FMR = 0.1
"""The greatest false match rate of a curve."""

_PER_DECADE = 8  # points of a curve
_MOST_KEPT = 2_000_000  # impostor comparisons that are drawn again in each replicate


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measured rate and its interval.

    Attributes
    ----------
    value : float
        0 to 1; NaN without any trial.
    low, high : float
        Limits at 95 %, from a bootstrap by person; where no error was seen, by the rule of three over people.
    trials : int
        Number of comparisons or searches.
    """

    value: float
    low: float
    high: float
    trials: int

    to_dict = record_to_dict


@dataclass(frozen=True, slots=True)
class PairScores:
    """All comparisons of a set of pictures, each with a face.

    Attributes
    ----------
    scores : numpy.ndarray
        (pairs,), float32, in the order of `rates.condensed_scores`.
    same : numpy.ndarray
        (pairs,), bool, whether both pictures show one person.
    people : numpy.ndarray
        (pictures,), int64, number of the person in each picture, from 0.
    """

    scores: Array
    same: NDArray[np.bool_]
    people: NDArray[np.int64]

    def pictures(self, pairs: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the two pictures of pairs.

        Parameters
        ----------
        pairs : numpy.ndarray
            (n,), places in `scores`.

        Returns
        -------
        first, second : numpy.ndarray
            (n,), places of the pictures.
        """
        count = len(self.people)
        starts = np.concatenate([[0], np.cumsum(np.arange(count - 1, 0, -1))]).astype(np.int64)
        first = np.searchsorted(starts[:-1], pairs, side="right") - 1
        return first, pairs - starts[first] + first + 1

    def people_of(self, pairs: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the people in the two pictures of pairs."""
        first, second = self.pictures(pairs)
        return self.people[first], self.people[second]

    def count_impostors(self, weights: NDArray[np.float64]) -> float:
        """Count the comparisons of different people if each person were there as often as `weights` says."""
        each = weights * np.bincount(self.people, minlength=len(weights))
        return float((each.sum() ** 2 - (each**2).sum()) / 2)


@dataclass(frozen=True, slots=True)
class ClaimScores:
    """Comparisons of probes with the templates of people, each a claim to be that person.

    Attributes
    ----------
    scores : numpy.ndarray
        (probes × templates,), float32, probe by probe.
    same : numpy.ndarray
        (probes × templates,), bool, whether the claim is true.
    people : numpy.ndarray
        (probes,), int64, number of the person in each probe, from 0.
    templates : numpy.ndarray
        (templates,), int64, number of the person of each template.
    """

    scores: Array
    same: NDArray[np.bool_]
    people: NDArray[np.int64]
    templates: NDArray[np.int64]

    def people_of(self, pairs: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the person in the probe and the person of the template."""
        probes, templates = np.divmod(pairs, len(self.templates))
        return self.people[probes], self.templates[templates]

    def count_impostors(self, weights: NDArray[np.float64]) -> float:
        """Count the false claims if each person were there as often as `weights` says."""
        probes = weights * np.bincount(self.people, minlength=len(weights))
        enrolled = weights * np.bincount(self.templates, minlength=len(weights))
        return float(probes.sum() * enrolled.sum() - (probes * enrolled).sum())


def score_pairs(embeddings: Array, people: NDArray[np.int64]) -> PairScores:
    """Compare all pictures with each other.

    Parameters
    ----------
    embeddings : numpy.ndarray
        (pictures, dimension), finite, unit length.
    people : numpy.ndarray
        (pictures,), int64, number of the person in each.
    """
    return PairScores(rates.condensed_scores(embeddings), rates.condensed_same(people), people)


def draw_people(count: int, replicates: int, seed: int) -> NDArray[np.float64]:
    """Draw as many people as there are, with replacement.

    Returns
    -------
    numpy.ndarray
        (replicates, people), float64, how often each person was drawn.
    """
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=replicates)
    return drawn.astype(np.float64)


def interval(values: Array, value: float, people: int) -> tuple[float, float]:
    """Return the limits of a rate from those of its replicates.

    Parameters
    ----------
    values : numpy.ndarray
        (replicates,), the rate in each; NaN is left out.
    value : float
        The rate itself.
    people : int
        Number of people, for the rule of three where no error was seen.

    Returns
    -------
    tuple of float
        Lower and upper limit at 95 %; NaN without a rate.
    """
    seen = values[np.isfinite(values)]
    if not len(seen) or math.isnan(value):
        return float("nan"), float("nan")
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(seen, [tail, 1 - tail])
    if value == 0:
        high = rates.rate_limits(0, people)[1]
    if value == 1:
        low = rates.rate_limits(people, people)[0]
    return float(min(low, value)), float(max(high, value))


@dataclass(frozen=True, slots=True)
class VerificationPoint:
    """The error rates at a threshold.

    Attributes
    ----------
    wanted_fmr : float or None
        Requested false match rate; None where the threshold was given.
    threshold : float
        The lowest similarity that keeps it, inclusive.
    fmr, fnmr : Estimate
        The measured rates at this threshold; the interval of `fnmr` includes that the threshold is an estimate.
    """

    wanted_fmr: float | None
    threshold: float
    fmr: Estimate
    fnmr: Estimate

    to_dict = record_to_dict


@dataclass(frozen=True, slots=True)
class ListedScores:
    """Comparisons that a protocol lists.

    Attributes
    ----------
    scores : numpy.ndarray
        (pairs,), float32.
    same : numpy.ndarray
        (pairs,), bool, whether both are of one person.
    first : numpy.ndarray
        (pairs,), int64, number of the person in the first picture; where people are unknown, of the pair.
    second : numpy.ndarray or None
        Of the person in the second picture; None where people are unknown: then pairs are drawn, not people.
    """

    scores: Array
    same: NDArray[np.bool_]
    first: NDArray[np.int64]
    second: NDArray[np.int64] | None

    def people_of(self, pairs: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
        """Return the people of pairs."""
        return self.first[pairs], None if self.second is None else self.second[pairs]

    def count_impostors(self, weights: NDArray[np.float64]) -> float:
        """Count the comparisons of different people if each person were there as often as `weights` says."""
        return float(_weigh(weights, *self.people_of(np.flatnonzero(~self.same))).sum())


def _weigh(
    weights: NDArray[np.float64], first: NDArray[np.int64], second: NDArray[np.int64] | None
) -> NDArray[np.float64]:
    """Return how often each pair counts."""
    return weights[first] if second is None else weights[first] * weights[second]


class Comparisons:
    """Comparisons in order, from which points and curves are read.

    Parameters
    ----------
    pairs : PairScores, ClaimScores or ListedScores
    people : int
        Number of people in the data.
    replicates : int
        How often people are drawn for the intervals.
    seed : int
        Of the draw.
    """

    def __init__(
        self, pairs: PairScores | ClaimScores | ListedScores, people: int, *, replicates: int, seed: int
    ) -> None:
        self.pairs = pairs
        self.mated = pairs.scores[pairs.same]
        self.impostors = pairs.scores[~pairs.same]
        self.people = people
        places = np.flatnonzero(pairs.same)
        order = np.argsort(self.mated, kind="stable")
        self._mated = self.mated[order]
        self._mated_people = pairs.people_of(places[order])[0]
        kept = min(math.ceil(LARGEST_FMR * len(self.impostors)) + 1, _MOST_KEPT, len(self.impostors))
        least = np.partition(self.impostors, len(self.impostors) - kept)[len(self.impostors) - kept] if kept else 2.0
        nearest = np.flatnonzero((pairs.scores >= least) & ~pairs.same)
        nearest = nearest[np.argsort(-pairs.scores[nearest], kind="stable")][:kept]
        self._impostors = pairs.scores[nearest]
        self._pairs_of_people = pairs.people_of(nearest)
        self._weights = draw_people(self.people, replicates, seed)

    def least_fmr(self) -> float:
        """Return the smallest false match rate that the comparisons can show, by the rule of three."""
        return 3 / max(len(self.impostors), 1)

    def require(self, fmr: float) -> None:
        """Raise `RateError` for a rate that the comparisons cannot show."""
        needed = math.ceil(3 / fmr - 1e-9)
        if needed <= len(self.impostors):
            return
        each = 1.0 if isinstance(self.pairs, ListedScores) else len(self.pairs.people) / max(self.people, 1)
        people = people_needed(needed, each)
        raise RateError(
            f"a false match rate of {fmr:g} needs {needed:,} comparisons of different people, and there are "
            f"{len(self.impostors):,}; with {each:.1f} pictures a person that takes about {people:,} people in place "
            f"of {self.people:,}",
            people=people,
        )

    def points(self, fmrs: Sequence[float] = (), thresholds: Sequence[float] = ()) -> tuple[VerificationPoint, ...]:
        """Compute error rates at the lowest threshold of each false match rate, then at each given threshold.

        Parameters
        ----------
        fmrs : sequence of float
            False match rates, 0 to 1.
        thresholds : sequence of float
            Similarities, inclusive.

        Returns
        -------
        tuple of VerificationPoint

        Raises
        ------
        RateError
            The comparisons cannot show one of the rates.
        """
        for fmr in fmrs:
            self.require(fmr)
        wanted: list[float | None] = [*fmrs, *[None] * len(thresholds)]
        cuts = [rates.threshold_at_fmr(self.impostors, fmr) for fmr in fmrs] + [float(value) for value in thresholds]
        reached = [int(np.count_nonzero(self._impostors >= cut)) for cut in cuts]
        fmr_drawn, fnmr_drawn = self._draw(wanted, cuts, reached)
        found = []
        for place, (asked, cut) in enumerate(zip(wanted, cuts, strict=True)):
            accepted, missed = rates.fmr(self.impostors, cut), rates.fnmr(self.mated, cut)
            beyond = reached[place] == len(self._impostors)  # more than are drawn again: as if independent
            limits = accepted.limits if beyond else interval(fmr_drawn[place], accepted.value, self.people)
            accepted_rate = Estimate(accepted.value, *limits, accepted.trials)
            limits = interval(fnmr_drawn[place], missed.value, self.people)
            found.append(VerificationPoint(asked, cut, accepted_rate, Estimate(missed.value, *limits, missed.trials)))
        return tuple(found)

    def curve(self) -> tuple[VerificationPoint, ...]:
        """Return the points of the ROC and DET curves, from the greatest false match rate to the least."""
        least = max(self.least_fmr(), 1e-9)
        count = max(0, math.floor(math.log10(LARGEST_FMR / least) * _PER_DECADE)) + 1
        grid = [LARGEST_FMR * 10 ** (-place / _PER_DECADE) for place in range(count)]
        return self.points([fmr for fmr in grid if fmr * len(self.impostors) >= 3])

    def _draw(
        self, wanted: Sequence[float | None], cuts: Sequence[float], reached: Sequence[int]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute both rates of each point in each replicate: arrays (points, replicates).

        The FNMR of a requested false match rate is taken at the threshold that the replicate's own impostors give.
        """
        first, second = self._pairs_of_people
        fmr_drawn = np.zeros((len(cuts), len(self._weights)))
        fnmr_drawn = np.full_like(fmr_drawn, np.nan)
        for replicate, weights in enumerate(self._weights):
            shares = np.cumsum(_weigh(weights, first, second)) / max(self.pairs.count_impostors(weights), 1.0)
            missed = np.concatenate([[0.0], np.cumsum(weights[self._mated_people])])
            for place, (fmr, cut) in enumerate(zip(wanted, cuts, strict=True)):
                if reached[place]:
                    fmr_drawn[place, replicate] = shares[reached[place] - 1]
                kept = len(shares) if fmr is None else int(np.searchsorted(shares, fmr, side="right"))
                if kept < len(shares):
                    below = int(np.searchsorted(self._mated, self._impostors[kept], side="right"))
                else:
                    below = int(np.searchsorted(self._mated, np.asarray(cut, self._mated.dtype), side="left"))
                if missed[-1]:
                    fnmr_drawn[place, replicate] = missed[below] / missed[-1]
        return fmr_drawn, fnmr_drawn


def people_needed(comparisons: int, pictures_each: float) -> int:
    """Estimate how many people give a number of comparisons of different people.

    Examples
    --------
    >>> people_needed(30_000, 3.0)
    82
    """
    each = max(pictures_each, 1.0) ** 2 / 2
    return math.ceil((1 + math.sqrt(1 + 4 * comparisons / each)) / 2)
