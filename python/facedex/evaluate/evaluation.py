"""Pictures of known people → a `Report`: embeds them, compares all with all, searches galleries of every size."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import check_int, check_path
from ..engine import Engine
from ..errors import ArgumentError, PackMismatchError, PictureSetError, RateError
from ..records import pluralize
from . import rates
from .attacks import judge_attacks
from .figures import Failure, IdentificationPoint, RankPoint
from .identification import Searches, SearchScores, fuse, prepare_searches
from .inspection import FEWEST_PEOPLE, Subject, find_suspects, quality_range, slice_by, worst_pairs
from .picture_set import PictureSet, read_folder
from .report import Report
from .samples import Progress, Sample, Samples, sample_pictures
from .verification import ClaimScores, Comparisons, Estimate, draw_people, interval, score_pairs

FMRS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""False match rates of a report, as far as the data can show them."""

FPIRS = (0.1, 0.01, 0.001)
"""False positive identification rates of a report, as far as the data can show them."""

SIZES = (10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)
"""Numbers of people in a gallery."""

BEYOND = 2
"""How many sizes beyond the data are extrapolated."""

MOST_PICTURES = 5
"""The greatest number of pictures a person that is compared."""

SLICED_FMR = 1e-3
"""The false match rate at whose threshold parts of the data are compared."""

_BINS = 60  # of the histogram
_MANY = 1_000_000  # similarities: replicates vary little


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """What an evaluation computes.

    Attributes
    ----------
    fmrs : tuple of float or None
        False match rates, 0 to 1. One that the data cannot show is an error; by default those of `FMRS` that they can.
    fpirs : tuple of float or None
        False positive identification rates, likewise; by default of `FPIRS`.
    people : tuple of int or None
        Numbers of people in a gallery; by default those of `SIZES` that the data support, and two beyond.
    ranks : tuple of int
    replicates : int
        How often people are drawn for the intervals.
    seed : int
        Of the draw: the same seed gives the same intervals.
    shown : int
        How many confusions, misses and suspects are listed.
    """

    fmrs: tuple[float, ...] | None = None
    fpirs: tuple[float, ...] | None = None
    people: tuple[int, ...] | None = None
    ranks: tuple[int, ...] = (1, 5, 10)
    replicates: int = 200
    seed: int = 0
    shown: int = 12

    def __post_init__(self) -> None:
        for name in ("replicates", "shown"):
            check_int(name, getattr(self, name), minimum=1)
        for name in ("ranks", "people"):
            for number in getattr(self, name) or ():
                check_int(name, number, minimum=1)
        for name in ("fmrs", "fpirs"):
            for rate in getattr(self, name) or ():
                if not 0 < rate < 1:
                    raise ArgumentError(f"{name} must lie between 0 and 1, got {rate}")


def evaluate_folder(
    folder: str | os.PathLike[str],
    *,
    pack: str | os.PathLike[str] | None = None,
    engine: Engine | None = None,
    labels: str | os.PathLike[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    options: EvaluateOptions | None = None,
) -> Report:
    """Measure the error rates of a pack on a folder of ``<person>/<picture>``.

    Parameters
    ----------
    folder : path
        A folder for each person. Of several faces in a picture the one nearest the middle counts.
    pack : str or path, optional
        Name of a pack, or path of a manifest; by default the built-in one.
    engine : Engine, optional
        In place of `pack`.
    labels : path, optional
        A CSV file that describes pictures or people; by default ``labels.csv`` of the folder, if there is one.
    cache : path, optional
        A file in which embeddings are kept, so that an interrupted evaluation resumes. It holds biometric templates:
        only its owner may read it, and it should be deleted afterwards.
    progress : callable, optional
        Called with the number of pictures that are done, and of all.
    options : EvaluateOptions, optional

    Returns
    -------
    Report

    Raises
    ------
    PictureSetError
        The folder cannot be read, or has fewer than two people with a face, or nobody with two pictures.
    LabelsError
        The labels are not valid, or name nothing in the folder.
    RateError
        The data cannot show a requested rate; the message says how many people it would take.

    Examples
    --------
    >>> from facedex import people
    >>> from facedex.evaluate import evaluate_folder
    >>> report = evaluate_folder(people.FOLDER / "people")
    >>> report.people, report.pictures, report.at_threshold.fnmr.value
    (8, 24, 0.0)
    """
    pictures = read_folder(
        Path(check_path("folder", folder)), labels=None if labels is None else Path(check_path("labels", labels))
    )
    return evaluate_pictures(
        Engine(pack) if engine is None else engine,
        pictures,
        cache=None if cache is None else Path(check_path("cache", cache)),
        progress=progress,
        options=options,
    )


def evaluate_pictures(
    engine: Engine,
    pictures: PictureSet,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
    options: EvaluateOptions | None = None,
) -> Report:
    """Measure error rates on a set of pictures; as `evaluate_folder`, which reads the set from a folder."""
    options = EvaluateOptions() if options is None else options
    report = begin_report(engine, pictures.name, notes=pictures.notes)
    if pictures.attacks is not None:
        report = replace(report, attacks=judge_attacks(engine, pictures.attacks))
        if not pictures.people:
            return replace(report, pictures=len(pictures.attacks.pictures))
    pictures.require_people()
    samples = sample_pictures(engine, pictures.pictures, cache=cache, progress=progress)
    return _evaluate(report, pictures, samples, options, threshold=engine.pack.threshold)


def begin_report(engine: Engine, name: str, *, notes: Sequence[str] = ()) -> Report:
    """Return a report with what is known before anything is measured."""
    from .. import __version__

    return Report(
        name=name,
        pack=engine.pack.name,
        pack_digest=engine.pack.digest,
        version=__version__,
        created_at=datetime.now(timezone.utc),
        people=0,
        pictures=0,
        threads=engine.threads,
        notes=tuple(notes),
    )


def _evaluate(
    report: Report, pictures: PictureSet, samples: Samples, options: EvaluateOptions, *, threshold: float | None
) -> Report:
    usable = [place for place, sample in enumerate(samples.samples) if sample.embedding is not None]
    subject = subject_of(pictures, samples.samples, usable)
    notes = list(report.notes)
    comparisons = Comparisons(
        score_pairs(subject.embeddings, subject.people),
        len(subject.people_names),
        replicates=options.replicates,
        seed=options.seed,
    )
    fmrs = options.fmrs
    if fmrs is None:
        fmrs = tuple(fmr for fmr in FMRS if fmr >= comparisons.least_fmr())
        notes += _unsupported(comparisons, FMRS)
    points = comparisons.points(fmrs)
    at_threshold = None if threshold is None else comparisons.points((), [threshold])[0]
    everybody = tuple(dict.fromkeys(pictures.people))
    report = replace(
        report,
        people=len(everybody),
        pictures=len(pictures.pictures),
        failures=tuple(
            Failure(name, sample.failure or "no face")
            for name, sample in zip(pictures.names, samples.samples, strict=True)
            if sample.embedding is None
        ),
        fte=share_of(len(everybody) - len(subject.people_names), len(everybody)),
        fta=share_of(len(pictures.pictures) - len(usable), len(pictures.pictures)),
        points=points,
        at_threshold=at_threshold,
        gfrr=None if at_threshold is None else _gfrr(pictures, usable, at_threshold),
        curve=comparisons.curve(),
        histogram=histogram_of(comparisons),
        ms_per_picture=1e3 * samples.seconds / samples.analysed if samples.analysed else None,
    )
    searches, search_notes = _Searching(subject, options).report(threshold)
    notes += search_notes
    slices, reference = _slices(pictures, samples, usable, subject, comparisons, options, threshold)
    confusions, misses = worst_pairs(subject, comparisons, options.shown)
    low, high = _suspicious(comparisons, threshold)
    return replace(
        report,
        **searches,
        slices=slices,
        slice_threshold=reference,
        confusions=tuple(confusions),
        misses=tuple(misses),
        suspects=tuple(find_suspects(subject, low=low, high=high, most=options.shown)),
        notes=tuple(notes),
    )


def subject_of(pictures: PictureSet, samples: Sequence[Sample], usable: Sequence[int]) -> Subject:
    """Return the usable pictures of a set; `PictureSetError` where too few are left."""
    names = tuple(dict.fromkeys(pictures.people[place] for place in usable))
    people = np.array([names.index(pictures.people[place]) for place in usable], dtype=np.int64)
    if len(names) < 2 or len(names) == len(usable):
        reason = next((f": {sample.failure}" for sample in samples if sample.failure), "")
        raise PictureSetError(
            f"a face was found in {len(usable)} of {len(samples)} pictures of {pictures.name}, of "
            f"{pluralize(len(names), 'person')}; error rates need 2 people, and one with 2 pictures{reason}"
        )
    found = [sample.embedding for sample in samples if sample.embedding is not None]
    return Subject(
        tuple(pictures.pictures[place] for place in usable),
        tuple(pictures.names[place] for place in usable),
        tuple(samples[place].bbox for place in usable),
        np.stack(found),
        people,
        names,
    )


def share_of(errors: int, trials: int) -> Estimate:
    """Return a rate of independent trials."""
    return Estimate(errors / trials, *rates.rate_limits(errors, trials), trials)


def _gfrr(pictures: PictureSet, usable: Sequence[int], point: Any) -> float:
    """Return the generalised false reject rate: a comparison with a picture without a face is a miss."""
    counts = {person: pictures.people.count(person) for person in set(pictures.people)}
    total = sum(count * (count - 1) // 2 for count in counts.values())
    matched = (1 - point.fnmr.value) * point.fnmr.trials
    return float(1 - matched / total)


def _unsupported(comparisons: Comparisons, fmrs: Sequence[float]) -> list[str]:
    """Say for the greatest rate that the data cannot show what it would take."""
    for fmr in fmrs:
        try:
            comparisons.require(fmr)
        except RateError as error:
            return [str(error)]
    return []


def histogram_of(comparisons: Comparisons) -> tuple[tuple[float, float, float], ...]:
    """Return the histogram of a report."""
    low = float(min(comparisons.mated.min(), comparisons.impostors.min()))
    edges = np.linspace(low, 1.0, _BINS + 1)
    mated = np.histogram(comparisons.mated, edges)[0] / len(comparisons.mated)
    impostors = np.histogram(comparisons.impostors, edges)[0] / len(comparisons.impostors)
    return tuple(zip(edges[:-1].tolist(), mated.tolist(), impostors.tolist(), strict=True))


def _suspicious(comparisons: Comparisons, threshold: float | None) -> tuple[float, float]:
    """Return the similarities below and above which labels are suspected."""
    least = comparisons.least_fmr()
    low = rates.threshold_at_fmr(comparisons.impostors, max(1e-2, least))
    high = rates.threshold_at_fmr(comparisons.impostors, max(1e-4, least))
    if least > 1e-4 and threshold is not None:
        high = max(high, threshold)
        low = min(low, threshold)
    return low, high


def _slices(
    pictures: PictureSet,
    samples: Samples,
    usable: Sequence[int],
    subject: Subject,
    comparisons: Comparisons,
    options: EvaluateOptions,
    threshold: float | None,
) -> tuple[tuple[Any, ...], float | None]:
    pairs = comparisons.pairs
    if comparisons.least_fmr() <= SLICED_FMR:
        reference = rates.threshold_at_fmr(comparisons.impostors, SLICED_FMR)
    elif threshold is not None:
        reference = threshold
    else:
        return (), None
    shared: dict[str, Any] = {
        "threshold": reference,
        "wanted_fmr": SLICED_FMR,
        "replicates": options.replicates,
        "seed": options.seed,
    }
    qualities = [quality_range(samples.samples[place].quality) for place in usable]
    found = slice_by("quality", qualities, subject, pairs, lowest=True, **shared)  # type: ignore[arg-type]
    for column, values in pictures.groups.items():
        found += slice_by(column, [values[place] for place in usable], subject, pairs, **shared)  # type: ignore[arg-type]
    return tuple(found), reference


class _Searching:
    """Searches galleries made of a set's own people."""

    def __init__(self, subject: Subject, options: EvaluateOptions) -> None:
        self.subject = subject
        self.options = options
        count = len(subject.people_names)
        self.pictures = [np.flatnonzero(subject.people == person) for person in range(count)]
        self.weights = draw_people(count, options.replicates, options.seed)

    def report(self, threshold: float | None) -> tuple[dict[str, Any], list[str]]:
        """Return the fields of the report about search, and notes."""
        notes: list[str] = []
        search = self.search_scores(1)
        largest = search.templates - 1
        sizes = self.options.people
        if sizes is None:
            sizes = tuple(dict.fromkeys([*(size for size in SIZES if size < largest), largest]))
            sizes += tuple(size for size in SIZES if size > largest)[:BEYOND]
        fpirs = supported_fpirs(self.options.fpirs, len(search.people), len(self.pictures), notes)
        points: list[IdentificationPoint] = []
        ranks: list[RankPoint] = []
        top = max(self.options.ranks, default=1)
        for size in sizes:
            prepared = prepare_searches(search, size, ranks=top)
            points += self.points(prepared, 1, fpirs, threshold, search, notes)
            if not prepared.extrapolated:
                ranks += [rank_of(prepared, rank, self.weights) for rank in self.options.ranks if rank <= size]
        beyond = [size for size in sizes if size > largest]
        if beyond:
            notes.append(
                f"galleries of {' and '.join(f'{size:,}' for size in beyond)} people are extrapolated from "
                f"{search.templates:,}: as if the others resembled these"
            )
        by_pictures, about = self.by_pictures(fpirs, threshold)
        return {"identification": tuple(points), "by_pictures": by_pictures, "ranks": tuple(ranks)}, notes + about

    def by_pictures(
        self, fpirs: Sequence[float], threshold: float | None
    ) -> tuple[tuple[IdentificationPoint, ...], list[str]]:
        """Compare one, two, three, ... pictures a person on the same probes."""
        counts = np.array([len(own) for own in self.pictures])
        most = max(
            (g for g in range(2, MOST_PICTURES + 1) if np.count_nonzero(counts > g) >= FEWEST_PEOPLE), default=None
        )
        if most is None:
            return (), [
                f"the number of pictures a person is not compared: it takes {FEWEST_PEOPLE} people with 3 pictures, "
                f"and there are {np.count_nonzero(counts > 2)}"
            ]
        size = min(100, int(np.count_nonzero(counts >= most)) - 1)
        rows: list[IdentificationPoint] = []
        for pictures in range(1, most + 1):
            search = self.search_scores(pictures, reserved=most)
            rows += self.points(prepare_searches(search, size), pictures, fpirs[-1:], threshold, search, [])
        return tuple(rows), []

    def search_scores(self, pictures: int, *, reserved: int | None = None) -> SearchScores:
        """Fuse the first pictures of each person into a template; the later ones are probes.

        Parameters
        ----------
        pictures : int
            Of each person; people with fewer are not enrolled.
        reserved : int, optional
            Pictures that are no mated probes; people with fewer are not enrolled. By default as many as are fused.
        """
        least = pictures if reserved is None else reserved
        enrolled = [person for person, own in enumerate(self.pictures) if len(own) >= least]
        templates = np.stack([fuse(self.subject.embeddings[self.pictures[person][:pictures]]) for person in enrolled])
        column = np.full(len(self.pictures), -1, dtype=np.int64)
        column[enrolled] = np.arange(len(enrolled))
        mated = np.ones(len(self.subject.people), dtype=np.bool_)
        for own in self.pictures:
            mated[own[:least]] = False
        return SearchScores(
            self.subject.embeddings @ templates.T, column[self.subject.people], mated, self.subject.people
        )

    def points(
        self,
        prepared: Searches,
        pictures: int | None,
        fpirs: Sequence[float],
        threshold: float | None,
        search: SearchScores,
        notes: list[str],
    ) -> list[IdentificationPoint]:
        """Return the error rates at each FPIR that the comparisons can show, and at the threshold in use."""
        comparisons = len(search.scores) * (search.templates - 1)
        found = []
        for fpir in fpirs:
            needed = math.ceil(3 * prepared.people / fpir)
            if prepared.extrapolated and comparisons < needed:
                notes.append(
                    f"FPIR {fpir:g} with {prepared.people:,} people is not extrapolated: it needs {needed:,} "
                    f"comparisons of different people, and there are {comparisons:,}"
                )
                continue
            found.append(point_of(prepared, pictures, fpir, prepared.threshold(fpir), self.weights))
        if threshold is not None:
            found.append(point_of(prepared, pictures, None, threshold, self.weights))
        return found


def rank_of(prepared: Searches, rank: int, weights: NDArray[np.float64], group: str | None = None) -> RankPoint:
    """Return the share of mated probes that are returned within a rank, with an interval from people drawn again."""
    value = prepared.rank(rank)
    drawn = np.array([prepared.rank(rank, draw) for draw in weights])
    limits = interval(drawn, value, len(np.unique(prepared.known_by)))
    return RankPoint(prepared.people, rank, Estimate(value, *limits, len(prepared.own)), group)


def supported_fpirs(wanted: Sequence[float] | None, probes: int, people: int, notes: list[str]) -> tuple[float, ...]:
    """Return the false positive identification rates that a number of probes can show, by the rule of three.

    Raises
    ------
    RateError
        A wanted one is not among them.
    """
    for fpir in wanted or ():
        needed = math.ceil(3 / fpir - 1e-9)
        if needed > probes:
            raise RateError(
                f"a false positive identification rate of {fpir:g} needs {needed:,} probes, and there are {probes:,}",
                people=math.ceil(needed * people / max(probes, 1)),
            )
    if wanted is not None:
        return tuple(wanted)
    kept = tuple(fpir for fpir in FPIRS if fpir * probes >= 3 - 1e-9)
    for fpir in FPIRS[len(kept) : len(kept) + 1]:
        notes.append(f"FPIR {fpir:g} needs {math.ceil(3 / fpir - 1e-9):,} probes, and there are {probes:,}")
    return kept


def point_of(
    prepared: Searches, pictures: int | None, fpir: float | None, threshold: float, weights: NDArray[np.float64]
) -> IdentificationPoint:
    """Return the error rates of search at a threshold, with intervals from people drawn again.

    Parameters
    ----------
    prepared : Searches
    pictures : int or None
        Of each person.
    fpir : float or None
        The rate that gave the threshold, which is then estimated anew in each replicate; None for a given threshold.
    threshold : float
    weights : numpy.ndarray
        (replicates, people), how often each person was drawn.
    """
    accepted, missed = prepared.fpir(threshold), prepared.fnir(threshold)
    margin = 5 if len(prepared.scores) < _MANY else 2.5  # the threshold of a replicate lies within
    head = prepared.head(min(1.0, margin * max(accepted, fpir or 0.0, 1e-3)))
    accepted_drawn, missed_drawn = np.empty(len(weights)), np.empty(len(weights))
    for place, drawn in enumerate(weights):
        cut = threshold if fpir is None else head.threshold(fpir, drawn)
        accepted_drawn[place] = head.fpir(threshold, drawn)
        missed_drawn[place] = head.fnir(cut, drawn)
    unknown = int(np.count_nonzero(prepared.unknown))
    known = len(np.unique(prepared.known_by))
    return IdentificationPoint(
        people=prepared.people,
        pictures=pictures,
        wanted_fpir=fpir,
        threshold=threshold,
        fpir=Estimate(accepted, *interval(accepted_drawn, accepted, unknown), int(prepared.unknown.sum())),
        fnir=Estimate(missed, *interval(missed_drawn, missed, known), len(prepared.own)),
        extrapolated=prepared.extrapolated,
    )


def evaluate_probes(
    engine: Engine,
    name: str,
    templates: Sequence[tuple[str, NDArray[np.float32]]],
    probes: PictureSet,
    *,
    threshold: float,
    pack_digest: str,
    cache: Path | None = None,
    progress: Progress | None = None,
    options: EvaluateOptions | None = None,
) -> Report:
    """Measure how a gallery recognizes probes.

    Parameters
    ----------
    engine : Engine
        The gallery's.
    name : str
        Label of the results.
    templates : sequence of (str, numpy.ndarray)
        Each person with the embeddings of the stored faces, (faces, dimension); they are fused.
    probes : PictureSet
        Pictures of people in the gallery, under the same ids, and of others.
    threshold : float
        In use.
    pack_digest : str
        Of the pack that made the templates.
    cache, progress, options
        As in `evaluate_folder`.

    Returns
    -------
    Report

    Raises
    ------
    PictureSetError
        The gallery has fewer than two people, or no probe has a face.
    PackMismatchError
        The templates are of another pack than the engine's.
    """
    options = EvaluateOptions() if options is None else options
    if pack_digest != engine.pack.digest:
        raise PackMismatchError(
            f"the templates are of a pack with digest {pack_digest[:12]}, the probes would be of {engine.pack.name!r}, "
            f"{engine.pack.digest[:12]}; embeddings of two packs cannot be compared"
        )
    if len(templates) < 2:
        raise PictureSetError(f"{name} has {pluralize(len(templates), 'person')} with a face; search needs at least 2")
    samples = sample_pictures(engine, probes.pictures, cache=cache, progress=progress)
    usable = [place for place, sample in enumerate(samples.samples) if sample.embedding is not None]
    if not usable:
        raise PictureSetError(f"none of the {len(samples.samples)} probes has a face")
    enrolled = [person for person, _ in templates]
    everybody = list(dict.fromkeys([*enrolled, *(probes.people[place] for place in usable)]))
    number = {person: place for place, person in enumerate(everybody)}
    people = np.array([number[probes.people[place]] for place in usable], dtype=np.int64)
    own = np.where(people < len(enrolled), people, -1)
    embeddings = np.stack([sample.embedding for sample in samples.samples if sample.embedding is not None])
    scores = embeddings @ np.stack([fuse(vectors) for _, vectors in templates]).T
    search = SearchScores(scores, own, own >= 0, people)
    notes = list(probes.notes)
    if not (own < 0).any():
        notes.append("every probe is of a person in the gallery: the FPIR is that of searches without this person")
    if not (own >= 0).any():
        notes.append("no probe is of a person in the gallery: misses were not measured")
    report = replace(
        begin_report(engine, name, notes=notes),
        people=len(set(probes.people)),
        pictures=len(probes.pictures),
        failures=tuple(
            Failure(label, sample.failure or "no face")
            for label, sample in zip(probes.names, samples.samples, strict=True)
            if sample.embedding is None
        ),
        fta=share_of(len(samples.samples) - len(usable), len(samples.samples)),
        ms_per_picture=1e3 * samples.seconds / samples.analysed if samples.analysed else None,
    )
    if not (own >= 0).any():
        return report
    return report_search(report, search, np.arange(len(enrolled)), len(everybody), options, threshold, notes)


def report_search(
    report: Report,
    search: SearchScores,
    templates: NDArray[np.int64],
    count: int,
    options: EvaluateOptions,
    threshold: float | None,
    notes: list[str],
) -> Report:
    """Add the error rates of probes against the templates of a gallery to a report.

    Parameters
    ----------
    report : Report
    search : SearchScores
        With at least one mated probe.
    templates : numpy.ndarray
        (templates,), int64, number of the person of each.
    count : int
        Number of people in the data.
    options : EvaluateOptions
    threshold : float or None
        In use.
    notes : list of str
        Those of the report, to which some are added.

    Returns
    -------
    Report
    """
    weights = draw_people(count, options.replicates, options.seed)
    same = np.zeros(search.scores.shape, dtype=np.bool_)
    known = np.flatnonzero(search.own >= 0)
    same[known, search.own[known]] = True
    claims = ClaimScores(search.scores.ravel(), same.ravel(), search.people, templates)
    comparisons = Comparisons(claims, count, replicates=options.replicates, seed=options.seed)
    fmrs = options.fmrs or tuple(fmr for fmr in FMRS if fmr >= comparisons.least_fmr())
    fpirs = supported_fpirs(options.fpirs, len(search.people), len(set(search.people.tolist())), notes)
    largest = search.templates - 1
    points: list[IdentificationPoint] = []
    ranks: list[RankPoint] = []
    for size in options.people or tuple(dict.fromkeys([*(size for size in SIZES if size < largest), largest])):
        prepared = prepare_searches(search, size, ranks=max(options.ranks, default=1))
        points += [point_of(prepared, None, fpir, prepared.threshold(fpir), weights) for fpir in fpirs]
        if threshold is not None:
            points.append(point_of(prepared, None, None, threshold, weights))
        if not prepared.extrapolated:
            ranks += [rank_of(prepared, rank, weights) for rank in options.ranks if rank <= size]
    return replace(
        report,
        points=comparisons.points(fmrs),
        at_threshold=None if threshold is None else comparisons.points((), [threshold])[0],
        curve=comparisons.curve(),
        histogram=histogram_of(comparisons),
        identification=tuple(points),
        ranks=tuple(ranks),
        notes=tuple(notes),
    )
