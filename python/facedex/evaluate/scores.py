"""Similarities of many comparisons → the table ``[scores]`` of a pack's manifest.

The table puts the pack's cosines on other scales by equal false match rate (`facedex.scales`). It ends where the data
end: with n comparisons no rate below 3/n was seen (Hanley and Lippman-Hand 1983), and none is put down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import ArgumentError
from .rates import Array

RATES = (
    *(0.999, 0.99, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01),
    *(5e-3, 2e-3, 1e-3, 5e-4, 2e-4, 1e-4, 5e-5, 2e-5, 1e-5, 5e-6, 2e-6, 1e-6),
)
"""Rates of the table, as far down as the data reach."""

DIGITS = 4
"""Decimals of a similarity in the table."""

Curve = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """What a manifest keeps of the similarities of many comparisons.

    Attributes
    ----------
    data : str
        On what they were measured, by which command.
    impostor_pairs, genuine_pairs : int
        How many comparisons of different people and of the same person.
    impostor : tuple of (float, float)
        False match rate, falling, and the cosine, rising, that this share of different people reach.
    genuine : tuple of (float, float)
        False non-match rate and cosine, both rising: this share of comparisons of the same person lies below.
    """

    data: str
    impostor_pairs: int
    genuine_pairs: int
    impostor: Curve
    genuine: Curve

    def toml(self) -> str:
        """Write it as the section of a manifest."""
        return "\n".join(
            [
                "[scores]",
                f'data = "{self.data}"',
                f"impostor_pairs = {self.impostor_pairs}",
                f"genuine_pairs = {self.genuine_pairs}",
                *_rows("impostor", self.impostor),
                *_rows("genuine", self.genuine),
            ]
        )


def score_table(mated: Array, impostors: Array, data: str) -> ScoreTable:
    """Make the table from similarities.

    Parameters
    ----------
    mated, impostors : numpy.ndarray
        (n,), similarities of the same and of different people; those of a picture without a face do not count.
    data : str
        On what they were measured, by which command; without quotation marks and line breaks.

    Returns
    -------
    ScoreTable

    Raises
    ------
    ArgumentError
        Too few comparisons for a table.
    """
    same, others = mated[np.isfinite(mated)], impostors[np.isfinite(impostors)]
    return ScoreTable(
        data=data,
        impostor_pairs=len(others),
        genuine_pairs=len(same),
        impostor=curve(others, [1.0 - rate for rate in RATES], RATES),
        genuine=curve(same, RATES[::-1], RATES[::-1]),
    )


def curve(scores: Array, shares: Sequence[float], rates: Sequence[float]) -> Curve:
    """Pair rates with the scores below which those shares lie, where the data show the rate.

    Parameters
    ----------
    scores : numpy.ndarray
        (n,), finite.
    shares : sequence of float
        Share of the scores below, rising, 0 to 1.
    rates : sequence of float
        The rate of each share.

    Returns
    -------
    tuple of (float, float)
        Rate and score; scores rise strictly, so that one that repeats is left out.

    Raises
    ------
    ArgumentError
        Too few scores for two pairs.
    """
    least = 3 / max(len(scores), 1)
    kept = [(share, rate) for share, rate in zip(shares, rates, strict=True) if min(rate, 1 - rate) >= least]
    points: list[tuple[float, float]] = []
    if len(kept) >= 2:
        values = np.quantile(scores.astype(np.float64), [share for share, _ in kept]).round(DIGITS)
        for (_, rate), value in zip(kept, values.tolist(), strict=True):
            if not points or value > points[-1][1]:
                points.append((rate, value))
    if len(points) < 2:
        raise ArgumentError(f"{len(scores)} comparisons are too few for a table of rates; use more pictures")
    return tuple(points)


def _rows(name: str, points: Curve) -> list[str]:
    return [f"{name} = [", *(f"    [{rate:g}, {value:.{DIGITS}f}]," for rate, value in points), "]"]
