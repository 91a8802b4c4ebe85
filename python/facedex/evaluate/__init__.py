"""Error rates on pictures of known people.

`evaluate_folder` measures a folder of ``<person>/<picture>`` and returns a `Report`; `Gallery.evaluate` measures a
gallery with probes; `read_lfw` and its like read standard protocols. ``python -m facedex.evaluate``, which ``make
accuracy`` runs, prints the figures of a pack's manifest.
"""

from .calibration import PackCalibration, calibrate
from .evaluation import EvaluateOptions, evaluate_folder, evaluate_pictures
from .figures import AttackRate, Failure, IdentificationPoint, PicturePair, RankPoint, Slice, Suspect
from .lists import PairSet, TemplateSet, read_bin, read_ijb, read_scface
from .measure import Measurement, OperatingPoint, measure
from .picture_set import AttackSet, PictureSet, read_folder
from .protocol import Protocol, read_lfw, read_subset
from .protocols import evaluate_pairs, evaluate_templates
from .rates import (
    FoldRates,
    Rate,
    all_pairs,
    best_threshold,
    fmr,
    fnmr,
    impostor_statistics,
    measure_folds,
    rate_limits,
    threshold_at_fmr,
)
from .report import Report
from .scores import ScoreTable, score_table
from .side_by_side import PackComparison, PackCost, compare_packs
from .verification import Estimate, VerificationPoint

__all__ = [
    "AttackRate",
    "AttackSet",
    "Estimate",
    "EvaluateOptions",
    "Failure",
    "FoldRates",
    "IdentificationPoint",
    "Measurement",
    "OperatingPoint",
    "PackCalibration",
    "PackComparison",
    "PackCost",
    "PairSet",
    "PicturePair",
    "PictureSet",
    "Protocol",
    "RankPoint",
    "Rate",
    "Report",
    "ScoreTable",
    "Slice",
    "Suspect",
    "TemplateSet",
    "VerificationPoint",
    "all_pairs",
    "best_threshold",
    "calibrate",
    "compare_packs",
    "evaluate_folder",
    "evaluate_pairs",
    "evaluate_pictures",
    "evaluate_templates",
    "fmr",
    "fnmr",
    "impostor_statistics",
    "measure",
    "measure_folds",
    "rate_limits",
    "read_bin",
    "read_folder",
    "read_ijb",
    "read_lfw",
    "read_scface",
    "read_subset",
    "score_table",
    "threshold_at_fmr",
]
