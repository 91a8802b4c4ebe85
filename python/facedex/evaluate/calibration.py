"""Measures a pack on the user's own people and cameras, and writes what its manifest says of thresholds and scores.

The embeddings do not change, and neither does the pack's digest: a gallery that was made with the pack opens with the
calibrated one.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..checks import check_path
from ..engine import Engine
from ..errors import ArgumentError
from ..files import write_atomically
from ..packs.find import BUNDLED, find
from ..records import pluralize
from . import open_set, rates
from .accuracy import round_up
from .evaluation import subject_of
from .picture_set import read_folder
from .samples import Progress, sample_pictures
from .scores import DIGITS, ScoreTable, score_table
from .verification import Comparisons, VerificationPoint, score_pairs

FMRS = (1e-2, 1e-3, 1e-4, 1e-5)
"""False match rates of the table of thresholds, as far as the data can show them."""

DEFAULT_FMR = 1e-4
"""The false match rate of the threshold, if the data can show it."""

_SECTIONS = ("recognition", "scores", "prior")


@dataclass(frozen=True, slots=True)
class PackCalibration:
    """What was measured of a pack on some people.

    Attributes
    ----------
    pack : str
        Name of the pack, or path of its manifest.
    people, pictures : int
    point : VerificationPoint
        The threshold and its error rates.
    points : tuple of VerificationPoint
        The table of thresholds.
    mean, std : float
        Of the similarities of different people.
    impostor_pairs : int
    scores : ScoreTable
    prior : str or None
        The section [prior]; None with too few people.
    source : str
        The data.
    """

    pack: str
    people: int
    pictures: int
    point: VerificationPoint
    points: tuple[VerificationPoint, ...]
    mean: float
    std: float
    impostor_pairs: int
    scores: ScoreTable
    prior: str | None
    source: str

    def toml(self) -> str:
        """Return the sections ``[recognition]``, ``[scores]`` and, with enough people, ``[prior]`` of a manifest."""
        lines = [
            "[recognition]",
            f"threshold = {round_up(self.point.threshold, DIGITS):.{DIGITS}f}",
            f"fmr = {self.point.wanted_fmr:g}",
            f"impostor_mean = {self.mean:.4f}",
            f"impostor_std = {self.std:.4f}",
            f"impostor_pairs = {self.impostor_pairs}",
            "thresholds = [",
        ]
        for point in self.points:
            cut = round_up(point.threshold, DIGITS)
            lines.append(
                f"    {{ fmr = {point.wanted_fmr:g}, threshold = {cut:.{DIGITS}f}, fnmr = {point.fnmr.value:.4f} }},"
            )
        lines += ["]", f"source = {json.dumps(self.source, ensure_ascii=False)}", "", self.scores.toml()]
        return "\n".join(lines) + ("" if self.prior is None else f"\n\n{self.prior}") + "\n"

    def manifest(self, name: str) -> str:
        """Return the pack's manifest under another name, with these sections in place of its own.

        Parameters
        ----------
        name : str
            Of the new pack: letters, digits, hyphens and underscores.
        """
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
            raise ArgumentError(f"the name of a pack has letters, digits, '-' and '_', got {name!r}")
        location = find(self.pack)
        kept: list[str] = []
        for block in _blocks(location.manifest.read_text("utf-8")):
            header = block.split("\n", 1)[0].strip("[] ")
            if header.split(".")[0] in _SECTIONS:
                continue
            if header == "file" and location.key in BUNDLED and not re.search(r"^pack\s*=", block, re.MULTILINE):
                block = f'{block.rstrip()}\npack = "{location.key}"\n\n'
            kept.append(block)
        text = re.sub(r'^name\s*=\s*"[^"]*"', f'name = "{name}"', "".join(kept), count=1, flags=re.MULTILINE)
        return f"{text.rstrip()}\n\n{self.toml()}"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the manifest to a file, whose name without ``.toml`` becomes the name of the pack.

        Returns
        -------
        pathlib.Path

        Raises
        ------
        ArgumentError
            The name does not end with ``.toml``.
        OSError
            The file cannot be written.
        """
        target = Path(check_path("path", path))
        if target.suffix != ".toml":
            raise ArgumentError(f"a manifest ends in .toml, got {target.name!r}")
        write_atomically(target, [self.manifest(target.stem).encode("utf-8")], mode=0o644)
        return target


def _blocks(text: str) -> list[str]:
    """Split a manifest before each header of a table."""
    return re.split(r"^(?=\[)", text, flags=re.MULTILINE)


def calibrate(
    folder: str | os.PathLike[str],
    *,
    pack: str | os.PathLike[str] | None = None,
    engine: Engine | None = None,
    fmr: float | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> PackCalibration:
    """Measure the thresholds and scores of a pack on a folder of ``<person>/<picture>``.

    Parameters
    ----------
    folder : path
    pack : str or path, optional
        Name of a pack, or path of a manifest; by default the built-in one.
    engine : Engine, optional
        In place of `pack`.
    fmr : float, optional
        The false match rate of the threshold, 0 to 1; by default 1e-4, or the strictest of 1e-3 and 1e-2 that the data
        can show.
    cache, progress
        As in `evaluate_folder`.

    Returns
    -------
    PackCalibration

    Raises
    ------
    PictureSetError
        The folder cannot be evaluated.
    RateError
        The data cannot show the rate; the message says how many people it would take.

    Examples
    --------
    >>> from facedex import people
    >>> from facedex.evaluate import calibrate
    >>> calibrate(people.FOLDER / "people", fmr=0.05).toml().splitlines()[0]
    '[recognition]'
    """
    engine = Engine(pack) if engine is None else engine
    pictures = read_folder(Path(check_path("folder", folder)))
    pictures.require_people()
    samples = sample_pictures(
        engine,
        pictures.pictures,
        cache=None if cache is None else Path(check_path("cache", cache)),
        progress=progress,
    )
    usable = [place for place, sample in enumerate(samples.samples) if sample.embedding is not None]
    subject = subject_of(pictures, samples.samples, usable)
    people = len(subject.people_names)
    comparisons = Comparisons(score_pairs(subject.embeddings, subject.people), people, replicates=1, seed=0)
    wanted = _choose(comparisons, fmr)
    shown = sorted({wanted, *(rate for rate in FMRS if rate >= comparisons.least_fmr())}, reverse=True)
    points = comparisons.points(shown)
    mean, std, count = rates.impostor_statistics(comparisons.impostors)
    size = f"{pluralize(people, 'person').replace('persons', 'people')}, {pluralize(len(usable), 'picture')}"
    data = re.sub(r'[\\"\x00-\x1f\x7f]', "_", f"{pictures.name}: {size}; facedex calibrate")
    return PackCalibration(
        pack=str(engine.pack.name if pack is None else pack),
        people=people,
        pictures=len(usable),
        point=points[shown.index(wanted)],
        points=points,
        mean=mean,
        std=std,
        impostor_pairs=count,
        scores=score_table(comparisons.mated, comparisons.impostors, data),
        prior=_prior(subject.embeddings, subject.people, data),
        source=data,
    )


def _choose(comparisons: Comparisons, fmr: float | None) -> float:
    if fmr is not None:
        if not 0 < fmr < 1:
            raise ArgumentError(f"fmr must lie between 0 and 1, got {fmr}")
        comparisons.require(fmr)
        return fmr
    candidates: Sequence[float] = [rate for rate in FMRS if rate >= DEFAULT_FMR]
    for rate in reversed(candidates):
        if rate >= comparisons.least_fmr():
            return rate
    comparisons.require(candidates[0])
    return candidates[0]


def _prior(embeddings: NDArray[np.float32], people: NDArray[np.int64], data: str) -> str | None:
    try:
        return open_set.format_prior(open_set.measure_tails(embeddings, people), data)
    except ArgumentError:
        return None  # too few people for a tail
