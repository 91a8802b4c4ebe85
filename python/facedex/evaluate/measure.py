"""Protocol + Engine → what was measured.

Of several faces in a picture the one nearest its middle counts, as is usual with LFW, whose pictures are centred on
their person. A picture without a face, or one that cannot be read, is a failure to enrol: it is told, and every
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
from .rates import FoldAccuracy, Rate

if TYPE_CHECKING:
    from .._core import Face

FARS = (1e-2, 1e-3)
"""Rates at which the protocol's own pairs are judged: it has too few impostors for lower ones."""

FMRS = (1e-2, 1e-3, 1e-4)
"""Rates at which all pictures are compared with all others."""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold and what it costs.

    Attributes
    ----------
    wanted : float
        False match rate asked for, 0 to 1.
    threshold : float
        The least cosine that keeps it, inclusive.
    fmr, fnmr : Rate
        What was counted there.
    """

    wanted: float
    threshold: float
    fmr: Rate
    fnmr: Rate


@dataclass(frozen=True, slots=True)
class Measurement:
    """What an engine reached under a protocol.

    Attributes
    ----------
    failures : tuple of (pathlib.Path, str)
        Pictures that were not enrolled, and why.
    pictures, people : int
        How many of each.
    accuracy : FoldAccuracy
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
        For all pictures, by the clock: decoding, detection and embedding.
    threads : int
        Threads that shared the work.
    """

    failures: tuple[tuple[Path, str], ...]
    pictures: int
    people: int
    accuracy: FoldAccuracy
    pairs: tuple[OperatingPoint, ...]
    crossed: tuple[OperatingPoint, ...]
    impostor_mean: float
    impostor_std: float
    impostor_pairs: int
    seconds: float
    threads: int


def measure(engine: Engine, protocol: Protocol, *, progress: Callable[[int], object] | None = None) -> Measurement:
    """Embed the pictures of a protocol and count.

    Parameters
    ----------
    engine : Engine
        With the pack and the options to be judged.
    protocol : Protocol
        Pictures and pairs.
    progress : callable, optional
        Called now and then with the number of pictures done.

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
    began = time.perf_counter()
    answers = engine.analyze_many(protocol.pictures, progress=progress)
    seconds = time.perf_counter() - began
    embeddings, failures = enrolled(answers, protocol.pictures)
    similarity = np.einsum("ij,ij->i", embeddings[protocol.first], embeddings[protocol.second])
    similarity = np.where(np.isfinite(similarity), similarity, np.float32(-np.inf))
    mated, impostors = rates.all_pairs(embeddings, protocol.people)
    mean, std, count = rates.impostor_statistics(impostors)
    return Measurement(
        failures=failures,
        pictures=len(protocol.pictures),
        people=len(np.unique(protocol.people)),
        accuracy=rates.fold_accuracy(similarity, protocol.same, protocol.fold),
        pairs=tuple(_point(similarity[protocol.same], similarity[~protocol.same], rate) for rate in FARS),
        crossed=tuple(_point(mated, impostors, rate) for rate in FMRS),
        impostor_mean=mean,
        impostor_std=std,
        impostor_pairs=count,
        seconds=seconds,
        threads=engine.threads,
    )


def central_face(analysis: Analysis) -> Face | None:
    """Choose the face whose box has its centre nearest the picture's.

    Parameters
    ----------
    analysis : Analysis

    Returns
    -------
    Face or None
        None where there is no face.
    """
    width, height = analysis.image_size.width, analysis.image_size.height

    def off_centre(face: int) -> float:
        x1, y1, x2, y2 = (float(edge) for edge in analysis[face].bbox)
        return float(np.hypot((x1 + x2 - width) / 2, (y1 + y2 - height) / 2))

    return analysis[min(range(len(analysis)), key=off_centre)] if len(analysis) else None


def central_embedding(analysis: Analysis) -> NDArray[np.float32] | None:
    """Take the embedding of the `central_face`.

    Parameters
    ----------
    analysis : Analysis
        Faces with embeddings.

    Returns
    -------
    numpy.ndarray or None
        (dimension,), float32, unit length; None where there is no face.
    """
    face = central_face(analysis)
    return None if face is None else face.embedding


def enrolled(
    answers: list[Analysis | FacedexError], pictures: tuple[Path, ...]
) -> tuple[NDArray[np.float32], tuple[tuple[Path, str], ...]]:
    """Put the embeddings of pictures together.

    Parameters
    ----------
    answers : list of Analysis or FacedexError
        One for each picture, in order.
    pictures : tuple of pathlib.Path

    Returns
    -------
    embeddings : numpy.ndarray
        (pictures, dimension), float32, unit length; not a number where a picture failed.
    failures : tuple of (pathlib.Path, str)
        Those pictures, and why.

    Raises
    ------
    ArgumentError
        No picture has a face.
    """
    found: list[NDArray[np.float32] | None] = []
    failures = []
    for picture, answer in zip(pictures, answers, strict=True):
        if isinstance(answer, FacedexError):
            found.append(None)
            failures.append((picture, str(answer)))
            continue
        embedding = central_embedding(answer)
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
