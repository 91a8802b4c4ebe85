"""A pack's cosine ↔ an old network's value, at which as many different people match.

Between two rates both curves are followed linearly in the probit of the rate, along which a normal distribution is a
straight line. Above the last rate that both curves reach, nothing is known but where both scales end: a picture with
itself. The line to that point keeps order, so that a cut-off and an answer that are both mapped stay as they were to
each other; the rate there is at most the last one. Below the first rate, and beyond the end, a value is clamped.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ArgumentError, PackScoresError
from .networks import ARCFACE_R18, ARCFACE_R50, ARCFACE_R100, Curve, Scale

if TYPE_CHECKING:
    from .._core import PackInfo

_STAND_INS = (ARCFACE_R50, ARCFACE_R18, ARCFACE_R100)  # tell the curve of packs that nobody could measure here


class ScaleMap:
    """Puts values of an old scale on a pack's, and back.

    Parameters
    ----------
    pack : PackInfo
        Its cosines are one side.
    scale : Scale
        The other side.

    Raises
    ------
    PackScoresError
        When no table of the pack's scores is known, and the scale is not its own.
    """

    def __init__(self, pack: PackInfo, scale: Scale) -> None:
        self.scale = scale
        self.identity = pack.name in scale.own
        self._sign = -1.0 if scale.is_distance else 1.0
        if self.identity:
            self._old = self._new = np.array([-1.0, 1.0])
            return
        here, there = _probit(_curve_of(pack)), _probit(_risen(scale.points, self._sign))
        low, high = max(here[0][0], there[0][0]), min(here[0][-1], there[0][-1])
        shared = np.unique(np.concatenate([here[0], there[0]]).clip(low, high))
        self._old = np.append(np.interp(shared, *there), self._sign * scale.same)
        self._new = np.append(np.interp(shared, *here), 1.0)

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest value of the old scale that are told apart; others are taken for these."""
        ends = self._sign * float(self._old[0]), self._sign * float(self._old[-1])
        return min(ends), max(ends)

    def to_pack(self, value: float) -> float:
        """Put a value of the old scale on the pack's.

        Parameters
        ----------
        value : float
            On the old scale; beyond `range` it is clamped.

        Returns
        -------
        float
            Cosine, higher is closer.
        """
        if self.identity:
            return min(1.0, max(-1.0, _number(value)))
        return float(np.interp(self._sign * _number(value), self._old, self._new))

    def from_pack(self, similarity: float) -> float:
        """Put a cosine of the pack on the old scale.

        Parameters
        ----------
        similarity : float
            Beyond the table it is clamped.

        Returns
        -------
        float
            On the old scale, within `range`.
        """
        if self.identity:
            return self.to_pack(similarity)
        return self._sign * float(np.interp(_number(similarity), self._new, self._old)) + 0.0


def _curve_of(pack: PackInfo) -> Curve:
    scores = pack.scores
    if scores is not None:
        return tuple(scores.impostor)
    for scale in _STAND_INS:
        if pack.name in scale.own:
            return scale.points
    raise PackScoresError(
        f"pack {pack.name!r} has no table of scores, so that no other scale can be put on its own; measure one "
        f"with 'python -m facedex.evaluate --pack {pack.name} --scores --lfw DIR' and put it into the manifest"
    )


def _risen(points: Curve, sign: float) -> Curve:
    return tuple((rate, sign * value) for rate, value in points)


def _probit(curve: Curve) -> tuple[list[float], list[float]]:
    """Probit of the share below, rising, and the value there."""
    normal = NormalDist()
    return [-normal.inv_cdf(rate) for rate, _ in curve], [value for _, value in curve]


def _number(value: float) -> float:
    if math.isnan(value):
        raise ArgumentError("a value of a scale must be a number, got nan")
    return value
