"""Error rates on pictures of known people: `protocol` reads the pairs, `measure` runs the engine, `rates` counts.

``python -m facedex.evaluate`` prints a report; ``make accuracy`` runs it.
"""

from .measure import Measurement, OperatingPoint, measure
from .protocol import Protocol, read_lfw, read_subset
from .rates import (
    FoldAccuracy,
    Rate,
    all_pairs,
    best_threshold,
    confidence_limits,
    fmr,
    fnmr,
    fold_accuracy,
    impostor_statistics,
    threshold_at_fmr,
)
from .scores import ScoreTable, score_table

__all__ = [
    "FoldAccuracy",
    "Measurement",
    "OperatingPoint",
    "Protocol",
    "Rate",
    "ScoreTable",
    "all_pairs",
    "best_threshold",
    "confidence_limits",
    "fmr",
    "fnmr",
    "fold_accuracy",
    "impostor_statistics",
    "measure",
    "read_lfw",
    "read_subset",
    "score_table",
    "threshold_at_fmr",
]
