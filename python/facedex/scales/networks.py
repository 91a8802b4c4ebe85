"""The scales of old networks: the value of each at a list of false match rates, with the source of the figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import NormalDist

Curve = tuple[tuple[float, float], ...]

RATES = (
    *(0.999, 0.99, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01),
    *(5e-3, 2e-3, 1e-3, 5e-4, 2e-4, 1e-4, 5e-5, 2e-5, 1e-5, 5e-6, 2e-6, 1e-6),
)
"""False match rates at which scales are tabulated."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The scale of an old network.

    Attributes
    ----------
    name : str
    points : tuple of (float, float)
        False match rate, falling, and the value that this share of comparisons of different people reaches.
    same : float
        The value of a picture compared with itself: 1 for a cosine, 0 for a distance.
    own : frozenset of str
        Packs whose cosine is this scale.
    source : str
        Where the points come from.
    """

    name: str
    points: Curve
    same: float
    source: str
    own: frozenset[str] = field(default_factory=frozenset)

    @property
    def is_distance(self) -> bool:
        """Whether lower is closer."""
        return self.points[-1][1] < self.points[0][1]


# Cosines of different people under a 512-D ArcFace network lie about 0.002 (synthetic vectors of that shape). buffalo_l
# is published to reach a false match rate of 1e-6 at 0.4078. A normal distribution through both has this deviation; it
# puts 1e-3 at 0.266, where 0.28 is published for another ArcFace network on LFW (AdvFaces, Deb et al. 2019).
_ARCFACE_MEAN = 0.002
_ARCFACE_STD = (0.4078 - _ARCFACE_MEAN) / NormalDist().inv_cdf(1 - 1e-6)
_ARCFACE_POINTS = tuple((rate, NormalDist(_ARCFACE_MEAN, _ARCFACE_STD).inv_cdf(1 - rate)) for rate in RATES)
_ARCFACE_SOURCE = (
    "a model, not a measurement: normal distribution with mean 0.002 through buffalo_l's published threshold, 0.4078 "
    "at a false match rate of 1e-6"
)

ARCFACE_R50 = Scale("cosine of buffalo_l", _ARCFACE_POINTS, 1.0, _ARCFACE_SOURCE, frozenset({"buffalo_l"}))
"""Of buffalo_l's ResNet-50, -1 to 1, higher is closer."""

_STAND_IN = f"no figures of this network are published, buffalo_l's stand in: {_ARCFACE_SOURCE}"

ARCFACE_R18 = Scale("cosine of ArcFace R18", _ARCFACE_POINTS, 1.0, _STAND_IN, frozenset({"arcface_r18"}))
"""Of InsightFace's ResNet-18, -1 to 1, higher is closer."""

ARCFACE_R100 = Scale("cosine of ArcFace R100", _ARCFACE_POINTS, 1.0, _STAND_IN, frozenset({"arcface_r100"}))
"""Of InsightFace's ResNet-100, -1 to 1, higher is closer."""

DLIB = Scale(
    "Euclidean distance of dlib's descriptors",
    (
        *((0.999, 1.0857), (0.99, 1.0251), (0.95, 0.9704), (0.9, 0.9402), (0.8, 0.9015), (0.7, 0.8725)),
        *((0.6, 0.8471), (0.5, 0.8234), (0.4, 0.7998), (0.3, 0.7749), (0.2, 0.7465), (0.1, 0.7082)),
        *((0.05, 0.6771), (0.02, 0.6427), (0.01, 0.6193), (5e-3, 0.5971), (2e-3, 0.5677), (1e-3, 0.5446)),
        *((5e-4, 0.5219), (2e-4, 0.4884), (1e-4, 0.4590), (5e-5, 0.4381), (2e-5, 0.4123), (1e-5, 0.3946)),
        (5e-6, 0.3875),
    ),
    0.0,
    "shared subset, not the LFW protocol: 704,949 comparisons of different people among 400, descriptors as long as "
    "the network gives them; tests/parity/record/dlib_distances.py",
)
"""Of dlib's ResNet, at least 0, lower is closer; its author's cut-off is 0.6."""
