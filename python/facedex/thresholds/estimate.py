"""Measures the tail of the similarities of different people from their embeddings.

Each pair of people counts once. Above its upper 2 % the tail is a generalized Pareto distribution, fitted by
probability-weighted moments (Hosking and Wallis 1987; Pickands 1975); its errors are those of a bootstrap over people.
The fit is read ten times further than the rule of three allows the data to be, and not beyond.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .rules import EXTRAPOLATION, LEAST_PEOPLE, RATES, RULE_OF_THREE, Tail, rising

_TOP = 0.02  # the share of comparisons that the Pareto distribution is fitted to
_KEPT = 2 * _TOP  # a resampled set of people has its upper 2 % among these
_LEAST_ABOVE = 20  # comparisons that a fit needs
_SHAPES = (-0.5, 0.25)  # beyond, the moments are not those of a similarity, which is bounded

_Values = NDArray[np.float64]


def estimate_tail(
    probes: NDArray[np.float32],
    probe_people: NDArray[np.int64],
    templates: NDArray[np.float32],
    template_people: NDArray[np.int64],
    *,
    ceiling: float | None = None,
    replicates: int = 200,
) -> Tail | None:
    """Measure the tail of the similarities of probes to the templates of other people.

    Parameters
    ----------
    probes : numpy.ndarray
        (m, dimension), unit length: one face each.
    probe_people : numpy.ndarray
        (m,), whose face it is, as any integers.
    templates : numpy.ndarray
        (n, dimension), unit length: one or more of each person, as they are compared.
    template_people : numpy.ndarray
        (n,), whose template it is.
    ceiling : float, optional
        Of people who are as similar as this, only the first is measured: they are taken for one person under several
        ids, or twins.
    replicates : int
        Number of bootstrap samples for the errors.

    Returns
    -------
    Tail or None
        None with fewer than 50 people, or too few similarities for a fit.
    """
    people, number = np.unique(np.concatenate([probe_people, template_people]), return_inverse=True)
    asked, known = number[: len(probe_people)], number[len(probe_people) :]
    shared = np.intersect1d(asked, known, assume_unique=False)
    pairs = len(np.unique(asked)) * len(np.unique(known)) - len(shared) * (len(shared) + 1) // 2
    if len(np.unique(asked)) < LEAST_PEOPLE or len(np.unique(known)) < LEAST_PEOPLE:
        return None
    scores = (probes @ templates.T).astype(np.float32)
    scores[asked[:, None] == known[None, :]] = -2.0  # of one person
    if ceiling is not None:
        probe, template = np.nonzero(scores >= ceiling)
        again = np.unique(np.maximum(asked[probe], known[template]))
        if len(again):
            asks, is_known = ~np.isin(asked, again), ~np.isin(known, again)
            return estimate_tail(probes[asks], asked[asks], templates[is_known], known[is_known], replicates=replicates)
    flat = scores.ravel()
    compared = int(np.count_nonzero(flat > -2.0))
    kept = min(compared, max(1, int(_KEPT * compared)))
    top = np.argpartition(flat, len(flat) - kept)[len(flat) - kept :]
    top = top[np.argsort(-flat[top], kind="stable")]
    of_probe, of_template = np.divmod(top, len(templates))
    sampled = _Sample(
        flat[top].astype(np.float64),
        asked[of_probe],
        known[of_template],
        # Each pair of people counts once, however many faces they have.
        1.0 / (np.bincount(asked)[asked[of_probe]] * np.bincount(known)[known[of_template]]),
        np.bincount(asked, minlength=len(people)) > 0,
        np.bincount(known, minlength=len(people)) > 0,
    )
    lowest = RULE_OF_THREE / (EXTRAPOLATION * pairs)
    rates = np.array([rate for rate in RATES if rate <= _TOP and rate >= lowest])
    cosines = sampled.cosines(np.ones(len(people)), rates)
    if cosines is None:
        return None
    random = np.random.default_rng(0)
    resampled = [
        found
        for _ in range(replicates)
        if (found := sampled.cosines(random.multinomial(len(people), [1 / len(people)] * len(people)), rates))
        is not None
    ]
    if len(resampled) < 2:
        return None
    errors = np.std(resampled, axis=0, ddof=1)
    common = np.array([rate for rate in RATES if rate > _TOP])
    body = flat[flat > -2.0][:: max(1, compared // 500_000)]
    table = [
        (rate, cosine, float(errors[0])) for rate, cosine in zip(common, np.quantile(body, 1 - common), strict=True)
    ]
    table += zip(rates, cosines, errors, strict=True)
    return Tail(len(people), pairs, rising(table))


@dataclass(frozen=True, slots=True)
class _Sample:
    """The highest similarities of different people, highest first, and who they are of."""

    scores: _Values
    asked: NDArray[np.intp]
    known: NDArray[np.intp]
    weights: _Values
    asks: NDArray[np.bool_]
    is_known: NDArray[np.bool_]

    def cosines(self, counts: NDArray[Any], rates: _Values) -> _Values | None:
        """Return the cosine at each rate, where person i counts `counts[i]` times; None when too few are left."""
        asks, knows = counts * self.asks, counts * self.is_known
        total = float(asks.sum()) * float(knows.sum()) - float((asks * knows).sum())
        weights = counts[self.asked] * counts[self.known] * self.weights
        reached = np.cumsum(weights) / total
        end = int(np.searchsorted(reached, _TOP))
        if end >= len(reached) or end < _LEAST_ABOVE:
            return None
        base = self.scores[end]
        shape, scale = _fit_pareto(self.scores[:end] - base, weights[:end])
        ratio = reached[end] / rates
        if abs(shape) < 1e-6:
            return np.asarray(base + scale * np.log(ratio))
        return np.asarray(base + scale / shape * (ratio**shape - 1))


def _fit_pareto(excess: _Values, weights: _Values) -> tuple[float, float]:
    """Fit a generalized Pareto distribution by probability-weighted moments; returns shape and scale.

    `excess` falls; the moments are a0 = E[x] and a1 = E[x (1 - F(x))] (Hosking and Wallis 1987).
    """
    total = weights.sum()
    above = (np.cumsum(weights) - weights / 2) / total
    first = float((weights * excess).sum() / total)
    second = float((weights * excess * above).sum() / total)
    shape = 2 - first / max(first - 2 * second, 1e-12)
    shape = min(max(shape, _SHAPES[0]), _SHAPES[1])
    return shape, first * (1 - shape)  # the mean is kept
