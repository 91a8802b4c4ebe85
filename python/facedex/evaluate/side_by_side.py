"""Puts packs side by side: error rates on the same pictures, milliseconds, memory, licence."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from ..checks import check_path
from ..engine import Engine
from ..errors import ArgumentError
from ..plain import record_to_dict
from .evaluation import EvaluateOptions, evaluate_pictures
from .picture_set import read_folder
from .report import Report
from .samples import Progress

TIMED = 20
"""Pictures that are analysed for the time and the memory of a pack."""

_WARM_UP = 2  # pictures before the time is taken


@dataclass(frozen=True, slots=True)
class PackCost:
    """What a pack costs.

    Attributes
    ----------
    ms_per_picture : float
        Median wall time of detection, alignment and embedding with one thread.
    memory_mb : float or None
        Greatest resident memory of a process that does only this, megabytes; None on Windows.
    weights_mb : float
        Size of the networks.
    licences : tuple of str
    commercial : bool
        Whether the licences allow commercial use.
    """

    ms_per_picture: float
    memory_mb: float | None
    weights_mb: float
    licences: tuple[str, ...]
    commercial: bool

    to_dict = record_to_dict


@dataclass(frozen=True, slots=True)
class PackComparison:
    """Packs on the same pictures.

    Attributes
    ----------
    reports : tuple of Report
        One for each pack, in the given order.
    costs : tuple of PackCost
    """

    reports: tuple[Report, ...]
    costs: tuple[PackCost, ...]

    to_dict = record_to_dict


def compare_packs(
    packs: Sequence[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    *,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    options: EvaluateOptions | None = None,
) -> PackComparison:
    """Evaluate packs on a folder of ``<person>/<picture>``, and measure their time and memory.

    Time and memory are measured in a process of its own for each pack, with one thread, on at most `TIMED` pictures.

    Parameters
    ----------
    packs : sequence of (str or path)
        Two or more.
    folder : path
    cache, progress, options
        As in `evaluate_folder`; one cache may serve all packs.

    Returns
    -------
    PackComparison

    Raises
    ------
    ArgumentError
        Fewer than two packs, or one twice.
    PackError
        A pack cannot be used.
    PictureSetError, RateError
        As in `evaluate_folder`.
    """
    names = [check_path("pack", pack) for pack in packs]
    if len(names) < 2 or len(set(names)) < len(names):
        raise ArgumentError(f"packs must be two or more different ones, got {', '.join(names) or 'none'}")
    pictures = read_folder(Path(check_path("folder", folder)))
    engines = [Engine(name) for name in names]
    reports = []
    for place, engine in enumerate(engines):

        def advance(done: int, number: int, before: int = place * len(pictures.pictures)) -> None:
            if progress is not None:
                progress(before + done, number * len(engines))

        kept = None if cache is None else Path(check_path("cache", cache))
        reports.append(evaluate_pictures(engine, pictures, cache=kept, progress=advance, options=options))
    timed = [os.fspath(picture) for picture in pictures.pictures if isinstance(picture, (str, os.PathLike))][:TIMED]
    return PackComparison(
        tuple(reports),
        tuple(_cost(engine, name, timed) for engine, name in zip(engines, names, strict=True)),
    )


def _cost(engine: Engine, name: str, pictures: Sequence[str]) -> PackCost:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        milliseconds, memory = process.submit(measure_cost, name, pictures).result()
    return PackCost(
        ms_per_picture=milliseconds,
        memory_mb=memory,
        weights_mb=sum(file.size or 0 for file in engine.pack.files) / 1e6,
        licences=tuple(engine.pack.licences),
        commercial=engine.pack.commercial,
    )


def measure_cost(pack: str, pictures: Sequence[str]) -> tuple[float, float | None]:
    """Measure the time of a picture and the memory of this process.

    Parameters
    ----------
    pack : str
    pictures : sequence of str
        Paths; the first ones warm up.

    Returns
    -------
    ms, memory_mb : float, float or None
        Median wall time, and greatest resident memory.
    """
    engine = Engine(pack, threads=1)
    times = []
    for number, picture in enumerate([*pictures[:_WARM_UP], *pictures]):
        start = time.perf_counter()
        engine.analyze_many([picture])
        if number >= _WARM_UP:
            times.append(1e3 * (time.perf_counter() - start))
    times.sort()
    if sys.platform == "win32":
        return times[len(times) // 2], None
    import resource

    unit = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, kilobytes elsewhere
    return times[len(times) // 2], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
