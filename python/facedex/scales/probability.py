"""Estimates from a pack's cosine the probability that both pictures show the same person.

Isotonic regression (pool adjacent violators, Ayer et al. 1955) on the pack's table of scores: impostor and genuine
comparisons are equally likely a priori, unless another prior is given. It never falls as the similarity rises. It stays
away from 0 and 1 by one in the number of comparisons plus two (Laplace's rule).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, PackScoresError

if TYPE_CHECKING:
    from .._core import PackInfo

PRIOR = 0.5
"""Default share of comparisons of the same person."""

_Values = NDArray[np.float64]


class Calibration:
    """Maps similarities to probabilities.

    Parameters
    ----------
    pack : PackInfo
        Its manifest has the table of scores.
    prior : float
        Share of comparisons that are of the same person, between 0 and 1.

    Raises
    ------
    PackScoresError
        When the pack has no table of scores.
    ArgumentError
        When the prior is not between 0 and 1.
    """

    def __init__(self, pack: PackInfo, *, prior: float = PRIOR) -> None:
        if not 0 < prior < 1:
            raise ArgumentError(f"prior must lie between 0 and 1, got {prior!r}")
        scores = pack.scores
        if scores is None:
            raise PackScoresError(
                f"pack {pack.name!r} has no table of scores, so that probabilities are unknown; measure one with "
                f"'python -m facedex.evaluate --pack {pack.name} --scores --lfw DIR' and put it into the manifest"
            )
        impostor = np.array([(value, 1 - rate) for rate, value in scores.impostor])
        genuine = np.array([(value, rate) for rate, value in scores.genuine])
        edges = np.unique(np.concatenate([impostor[:, 0], genuine[:, 0]]))
        places = np.concatenate([edges[:1], (edges[1:] + edges[:-1]) / 2, edges[-1:]])
        others, same = _shares(edges, impostor), _shares(edges, genuine)
        self._places = places
        odds = _isotonic(same, others) * prior / (1 - prior)
        doubt = np.array([1 / (scores.impostor_pairs + 2), 1 - 1 / (scores.genuine_pairs + 2)])
        self._probabilities = (1 - 1 / (1 + odds)).clip(*doubt)

    def probability(self, similarity: float) -> float:
        """Estimate the probability that both are the same person.

        Parameters
        ----------
        similarity : float
            Cosine, higher is closer; beyond the table it is clamped.

        Returns
        -------
        float
            0 to 1, never falling as the similarity rises.
        """
        return float(np.interp(similarity, self._places, self._probabilities))


def _shares(edges: _Values, curve: _Values) -> _Values:
    """Return the share of comparisons below the first edge, between each two, and above the last."""
    below = np.interp(edges, curve[:, 0], curve[:, 1], left=0.0, right=1.0)
    # What lies beyond the ends of the table counts at its ends.
    return np.diff(np.concatenate([[0.0], below, [1.0]]))


def _isotonic(same: _Values, others: _Values) -> _Values:
    """Return the likelihood ratio of each piece, pooled with its neighbours until it does not fall."""
    pools: list[tuple[float, float, int]] = []
    for mine, theirs in zip(same.tolist(), others.tolist(), strict=True):
        pool = (mine, theirs, 1)
        while pools and pools[-1][0] * pool[1] >= pool[0] * pools[-1][1]:
            last = pools.pop()
            pool = (last[0] + pool[0], last[1] + pool[1], last[2] + pool[2])
        pools.append(pool)
    ratios = [np.full(count, mine / theirs if theirs > 0 else np.inf) for mine, theirs, count in pools]
    return np.concatenate(ratios)
