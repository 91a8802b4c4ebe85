"""Runs an engine on a protocol and measures its error rates.

Of several faces in a picture the one nearest its centre counts, as is usual with LFW, whose pictures are centred on
their person. A picture without a face, or one that cannot be read, is a failure to enrol: it is reported, and every
comparison with it counts as a non-match.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..engine import Engine
from ..errors import ArgumentError, FacedexError
from ..results import Analysis
from . import rates
from .protocol import Protocol
from .rates import FoldRates, Rate

if TYPE_CHECKING:
    from .._core import Face

FARS = (1e-2, 1e-3)
"""False match rates for the protocol's own pairs, which have too few impostors for lower ones."""

FMRS = (1e-2, 1e-3, 1e-4)
"""False match rates for the comparison of all pictures with all others."""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """The error rates at a threshold.

    Attributes
    ----------
    wanted : float
        Requested false match rate, 0 to 1.
    threshold : float
        The lowest cosine that keeps it, inclusive.
    fmr, fnmr : Rate
        The measured rates.
    """

    wanted: float
    threshold: float
    fmr: Rate
    fnmr: Rate


@dataclass(frozen=True, slots=True)
class Measurement:
    """The results of an engine on a protocol.

    Attributes
    ----------
    failures : tuple of (pathlib.Path, str)
        Pictures that were not enrolled, and why.
    pictures, people : int
        Their numbers.
    by_folds : FoldRates
        Over the protocol's pairs.
    pairs : tuple of OperatingPoint
        Over the protocol's pairs, at each of `FARS`.
    crossed : tuple of OperatingPoint
        Over all pairs of pictures, at each of `FMRS`.
    impostor_mean, impostor_std : float
        Of the cosine of different people, over all pairs of pictures.
    impostor_pairs : int
        Their number.
    seconds : float
        Wall time for all pictures: decoding, detection and embedding.
    threads : int
        Threads that shared the work.
    """

    failures: tuple[tuple[Path, str], ...]
    pictures: int
    people: int
    by_folds: FoldRates
    pairs: tuple[OperatingPoint, ...]
    crossed: tuple[OperatingPoint, ...]
    impostor_mean: float
    impostor_std: float
    impostor_pairs: int
    seconds: float
    threads: int


def measure(engine: Engine, protocol: Protocol, *, progress: Callable[[int, int], object] | None = None) -> Measurement:
    """Embed the pictures of a protocol and measure the error rates.

    Parameters
    ----------
    engine : Engine
        With the pack and the options to be measured.
    protocol : Protocol
        Pictures and pairs.
    progress : callable, optional
        Called with the number of pictures that are done and of all.

    Returns
    -------
    Measurement

    Raises
    ------
    ArgumentError
        No picture has a face, or the protocol has no pair of one of the two kinds.
    """
    if not protocol.same.any() or protocol.same.all():
        raise ArgumentError("the protocol needs pairs of one person and pairs of two")
    start = time.perf_counter()
    analyses = engine.analyze_many(protocol.pictures, progress=progress)
    seconds = time.perf_counter() - start
    embeddings, failures = stack_embeddings(analyses, protocol.pictures)
    similarity = np.einsum("ij,ij->i", embeddings[protocol.first], embeddings[protocol.second])
    similarity = np.where(np.isfinite(similarity), similarity, np.float32(-np.inf))
    mated, impostors = rates.all_pairs(embeddings, protocol.people)
    mean, std, count = rates.impostor_statistics(impostors)
    return Measurement(
        failures=failures,
        pictures=len(protocol.pictures),
        people=len(np.unique(protocol.people)),
        by_folds=rates.measure_folds(similarity, protocol.same, protocol.fold),
        pairs=tuple(_point(similarity[protocol.same], similarity[~protocol.same], rate) for rate in FARS),
        crossed=tuple(_point(mated, impostors, rate) for rate in FMRS),
        impostor_mean=mean,
        impostor_std=std,
        impostor_pairs=count,
        seconds=seconds,
        threads=engine.threads,
    )


def central_face(analysis: Analysis) -> Face | None:
    """Return the face whose box is nearest the centre of the picture.

    Parameters
    ----------
    analysis : Analysis

    Returns
    -------
    Face or None
        None when there is no face.
    """
    width, height = analysis.image_size.width, analysis.image_size.height

    def off_centre(face: int) -> float:
        x1, y1, x2, y2 = (float(edge) for edge in analysis[face].bbox)
        return float(np.hypot((x1 + x2 - width) / 2, (y1 + y2 - height) / 2))

    return analysis[min(range(len(analysis)), key=off_centre)] if len(analysis) else None


def stack_embeddings(
    analyses: list[Analysis | FacedexError], pictures: tuple[Path, ...]
) -> tuple[NDArray[np.float32], tuple[tuple[Path, str], ...]]:
    """Stack the embeddings of the `central_face` of each picture.

    Parameters
    ----------
    analyses : list of Analysis or FacedexError
        One for each picture, in order.
    pictures : tuple of pathlib.Path

    Returns
    -------
    embeddings : numpy.ndarray
        (pictures, dimension), float32, unit length; NaN where a picture failed.
    failures : tuple of (pathlib.Path, str)
        The pictures that failed, and why.

    Raises
    ------
    ArgumentError
        No picture has a face.
    """
    found: list[NDArray[np.float32] | None] = []
    failures = []
    for picture, analysis in zip(pictures, analyses, strict=True):
        if isinstance(analysis, FacedexError):
            found.append(None)
            failures.append((picture, str(analysis)))
            continue
        face = central_face(analysis)
        embedding = None if face is None else face.embedding
        found.append(embedding)
        if embedding is None:
            failures.append((picture, "no face"))
    dimension = next((len(embedding) for embedding in found if embedding is not None), None)
    if dimension is None:
        raise ArgumentError(f"none of the {len(pictures)} pictures has a face")
    absent = np.full(dimension, np.nan, dtype=np.float32)
    return np.stack([absent if embedding is None else embedding for embedding in found]), tuple(failures)


def _point(mated: rates.Array, impostors: rates.Array, wanted: float) -> OperatingPoint:
    threshold = rates.threshold_at_fmr(impostors, wanted)
    return OperatingPoint(wanted, threshold, rates.fmr(impostors, threshold), rates.fnmr(mated, threshold))
