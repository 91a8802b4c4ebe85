"""Makes the table ``[scores]`` of a pack's manifest from the similarities of many comparisons.

The table maps the pack's cosines to other scales by equal false match rate (`facedex.scales`). It has no rate that the
data cannot show: with n comparisons none below 3/n (Hanley and Lippman-Hand 1983).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import ArgumentError
from ..scales.networks import RATES, Curve
from .rates import Array

DIGITS = 4
"""Decimals of a similarity in the table."""


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """The table of scores of a manifest.

    Attributes
    ----------
    data : str
        The test set and the command.
    impostor_pairs, genuine_pairs : int
        Number of comparisons of different people and of the same person.
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
        """Format it as the section of a manifest."""
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
        (n,), similarities of the same and of different people; those of a picture without a face are left out.
    data : str
        The test set and the command, without quotation marks and line breaks.

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
    """Pair rates with the scores below which these shares lie, for the rates that the data can show.

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
        Rate and score; scores rise strictly, a repeated one is left out.

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
