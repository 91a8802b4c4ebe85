"""Maps similarities of one network to the scale of another, and to a probability.

Thresholds and similarities of an old network are mapped to a pack's scale, and back, by equal false match rate; see
docs/scales.md.
"""

from .mapping import ScaleMap
from .networks import ARCFACE_R18, ARCFACE_R50, ARCFACE_R100, DLIB, Scale
from .probability import PRIOR, Calibration

__all__ = ["ARCFACE_R18", "ARCFACE_R50", "ARCFACE_R100", "DLIB", "PRIOR", "Calibration", "Scale", "ScaleMap"]
