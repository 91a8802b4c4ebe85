"""Maps a pack's cosine to the value of an old network with the same false match rate, and back.

Between two rates both curves are interpolated linearly in the probit of the rate, along which a normal distribution is
a straight line. Above the last rate that both curves reach, only the end of both scales is known: a picture compared
with itself. The line to that point keeps the order of values, and thus of a mapped threshold and a mapped similarity;
the rate there is at most the last one. Values below the first rate, and beyond the end, are clamped.
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

_STAND_INS = (ARCFACE_R50, ARCFACE_R18, ARCFACE_R100)  # whose curves serve for packs that could not be measured


class ScaleMap:
    """Maps values of an old scale to a pack's, and back.

    Parameters
    ----------
    pack : PackInfo
        The pack of the cosines.
    scale : Scale
        The old scale.

    Raises
    ------
    PackScoresError
        When the pack has no table of scores, and the scale is not its own.
    """

    def __init__(self, pack: PackInfo, scale: Scale) -> None:
        self.scale = scale
        self.identity = pack.name in scale.own
        self._sign = -1.0 if scale.is_distance else 1.0
        if self.identity:
            self._old = self._new = np.array([-1.0, 1.0])
            return
        pack_curve, old_curve = _probit(_curve_of(pack)), _probit(_signed(scale.points, self._sign))
        low, high = max(pack_curve[0][0], old_curve[0][0]), min(pack_curve[0][-1], old_curve[0][-1])
        shared = np.unique(np.concatenate([pack_curve[0], old_curve[0]]).clip(low, high))
        self._old = np.append(np.interp(shared, *old_curve), self._sign * scale.same)
        self._new = np.append(np.interp(shared, *pack_curve), 1.0)

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest value of the old scale; others are clamped to these."""
        ends = self._sign * float(self._old[0]), self._sign * float(self._old[-1])
        return min(ends), max(ends)

    def to_pack(self, value: float) -> float:
        """Map a value of the old scale to the pack's.

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
            return min(1.0, max(-1.0, _check_number(value)))
        return float(np.interp(self._sign * _check_number(value), self._old, self._new))

    def from_pack(self, similarity: float) -> float:
        """Map a cosine of the pack to the old scale.

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
        return self._sign * float(np.interp(_check_number(similarity), self._new, self._old)) + 0.0


def _curve_of(pack: PackInfo) -> Curve:
    scores = pack.scores
    if scores is not None:
        return tuple(scores.impostor)
    for scale in _STAND_INS:
        if pack.name in scale.own:
            return scale.points
    raise PackScoresError(
        f"pack {pack.name!r} has no table of scores, so that no other scale can be mapped to it; measure one "
        f"with 'python -m facedex.evaluate --pack {pack.name} --scores --lfw DIR' and put it into the manifest"
    )


def _signed(points: Curve, sign: float) -> Curve:
    return tuple((rate, sign * value) for rate, value in points)


def _probit(curve: Curve) -> tuple[list[float], list[float]]:
    """Return the probits of the share below, rising, and the values there."""
    normal = NormalDist()
    return [-normal.inv_cdf(rate) for rate, _ in curve], [value for _, value in curve]


def _check_number(value: float) -> float:
    if math.isnan(value):
        raise ArgumentError("a value of a scale must be a number, got nan")
    return value
