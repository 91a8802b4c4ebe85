"""Runs standard protocols: listed pairs in folds, and templates that are compared or searched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..engine import Engine, decode
from ..errors import ArgumentError, FacedexError, LabelsError, PictureSetError
from ..records import pluralize
from . import rates
from .evaluation import (
    FMRS,
    EvaluateOptions,
    begin_report,
    histogram_of,
    rank_of,
    report_search,
    share_of,
)
from .figures import Failure, RankPoint, Slice
from .identification import SearchScores, fuse, prepare_searches
from .lists import PairSet, TemplateSet
from .report import Report
from .samples import Progress, Sample, Samples, sample_pictures
from .verification import Comparisons, Estimate, ListedScores, draw_people, interval

_BATCH = 64  # crops embedded at once


def evaluate_pairs(
    engine: Engine,
    pairs: PairSet,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
    options: EvaluateOptions | None = None,
) -> Report:
    """Compare the listed pairs of pictures: the share of right decisions over folds, and error rates.

    A comparison with a picture without a face is a miss or no match, as in the published protocols.

    Parameters
    ----------
    engine : Engine
    pairs : PairSet
        Such as `read_bin` returns, or `PairSet.of` an LFW protocol.
    cache, progress, options
        As in `evaluate_folder`.

    Returns
    -------
    Report

    Raises
    ------
    PictureSetError
        No pair of one of the two kinds has a face in both pictures.
    RateError
        The pairs cannot show a requested rate.
    """
    options = EvaluateOptions() if options is None else options
    notes: list[str] = []
    samples = _embed_crops(engine, pairs, progress, notes) if pairs.aligned else None
    if samples is None:
        samples = sample_pictures(engine, pairs.pictures, cache=cache, progress=progress)
    embeddings = _stack(samples.samples, pairs.name)
    scores = np.einsum("ij,ij->i", embeddings[pairs.first], embeddings[pairs.second])
    scores = np.where(np.isfinite(scores), scores, np.float32(-np.inf)).astype(np.float32)
    found = np.isfinite(scores)
    if not (found & pairs.same).any() or not (found & ~pairs.same).any():
        raise PictureSetError(f"{pairs.name} needs pairs of one person and pairs of two with a face in both pictures")
    folds = rates.measure_folds(scores, pairs.same, pairs.fold)
    if pairs.people is None:
        notes.append("the people are unknown: intervals are of pairs drawn again, not of people")
        first, second, count = np.arange(len(scores)), None, len(scores)
    else:
        first, second = pairs.people[pairs.first], pairs.people[pairs.second]
        count = int(pairs.people.max()) + 1
    comparisons = Comparisons(
        ListedScores(scores, pairs.same, first, second), count, replicates=options.replicates, seed=options.seed
    )
    fmrs = options.fmrs or tuple(fmr for fmr in FMRS if fmr >= comparisons.least_fmr())
    threshold = engine.pack.threshold
    error = 2 * folds.standard_error
    limits = (max(0.0, folds.mean - error), min(1.0, folds.mean + error))
    shown = Comparisons(
        ListedScores(scores[found], pairs.same[found], first[found], None if second is None else second[found]),
        count,
        replicates=1,
        seed=0,
    )
    return replace(
        begin_report(engine, pairs.name, notes=notes),
        people=0 if pairs.people is None else count,
        pictures=len(pairs.pictures),
        failures=_failures(pairs.names, samples.samples),
        fta=share_of(sum(sample.embedding is None for sample in samples.samples), len(samples.samples)),
        points=comparisons.points(fmrs),
        at_threshold=None if threshold is None else comparisons.points((), [threshold])[0],
        curve=comparisons.curve(),
        histogram=histogram_of(shown),
        correct=Estimate(folds.mean, *limits, len(scores)),
        ms_per_picture=1e3 * samples.seconds / samples.analysed if samples.analysed else None,
    )


def _embed_crops(engine: Engine, pairs: PairSet, progress: Progress | None, notes: list[str]) -> Samples | None:
    """Embed pictures that are crops already; None when they are not of the pack's size."""
    found: list[Sample] = []
    for start in range(0, len(pairs.pictures), _BATCH):
        crops: list[NDArray[np.uint8] | FacedexError] = []
        for picture in pairs.pictures[start : start + _BATCH]:
            try:
                crops.append(decode(picture))
            except FacedexError as error:
                crops.append(error)
        good = [crop for crop in crops if not isinstance(crop, FacedexError)]
        try:
            made = iter(engine.embed(np.stack(good)) if good else ())
        except (ArgumentError, ValueError) as error:
            notes.append(f"the crops are not of the pack's size, so that faces were looked for in them: {error}")
            return None
        found += [Sample(None, str(crop)) if isinstance(crop, FacedexError) else Sample(next(made)) for crop in crops]
        if progress is not None:
            progress(len(found), len(pairs.pictures))
    return Samples(engine.pack.digest, tuple(found), 0, 0.0)


def evaluate_templates(
    engine: Engine,
    templates: TemplateSet,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
    options: EvaluateOptions | None = None,
) -> Report:
    """Compare or search templates of several pictures, fused.

    Where the list says which face of a picture is meant, it is the one whose box overlaps the given one most. A
    template without any face fails to be enrolled or acquired: a comparison with it does not match, a search for it
    finds nobody; such comparisons are left out of the rates and counted as failures.

    Parameters
    ----------
    engine : Engine
    templates : TemplateSet
        Such as `read_ijb` and `read_scface` return.
    cache, progress, options
        As in `evaluate_folder`.

    Returns
    -------
    Report
        Ranks and slices also for each group of probes, such as a camera.

    Raises
    ------
    PictureSetError
        No comparison or no search remains.
    LabelsError
        Two templates of the gallery are of one person.
    """
    options = EvaluateOptions() if options is None else options
    samples = sample_pictures(engine, templates.pictures, bboxes=templates.bboxes, cache=cache, progress=progress)
    made = [_fuse_members(samples.samples, members) for members in templates.members]
    names = tuple(dict.fromkeys(templates.people))
    number = {name: place for place, name in enumerate(names)}
    people = np.array([number[name] for name in templates.people], dtype=np.int64)
    lacking = sum(vector is None for vector in made)
    report = replace(
        begin_report(engine, templates.name),
        people=len(names),
        pictures=len(templates.pictures),
        failures=_failures(tuple(path.name for path in templates.pictures), samples.samples),
        fte=share_of(lacking, len(made)),
        fta=share_of(sum(sample.embedding is None for sample in samples.samples), len(samples.samples)),
        ms_per_picture=1e3 * samples.seconds / samples.analysed if samples.analysed else None,
    )
    notes = [f"{pluralize(lacking, 'template')} without a face left out"] if lacking else []
    if templates.pairs:
        report = _compare(report, templates, made, people, options, engine.pack.threshold)
    if templates.gallery:
        report = _search(report, templates, made, people, options, engine.pack.threshold, notes)
    return replace(report, notes=tuple(dict.fromkeys([*report.notes, *notes])))


def _fuse_members(samples: Sequence[Sample], members: Sequence[int]) -> NDArray[np.float32] | None:
    found = [samples[member].embedding for member in members]
    kept = [embedding for embedding in found if embedding is not None]
    return fuse(np.stack(kept)) if kept else None


def _compare(
    report: Report,
    templates: TemplateSet,
    made: Sequence[NDArray[np.float32] | None],
    people: NDArray[np.int64],
    options: EvaluateOptions,
    threshold: float | None,
) -> Report:
    kept = [(a, b) for a, b in templates.pairs if made[a] is not None and made[b] is not None]
    pairs = np.array(kept, dtype=np.int64).reshape(-1, 2)
    same = people[pairs[:, 0]] == people[pairs[:, 1]]
    if not same.any() or same.all():
        raise PictureSetError(f"{templates.name} needs pairs of one person and pairs of two with a face in both")
    blank = np.zeros(next(len(vector) for vector in made if vector is not None), dtype=np.float32)
    vectors = np.stack([blank if vector is None else vector for vector in made])
    scores = np.einsum("ij,ij->i", vectors[pairs[:, 0]], vectors[pairs[:, 1]])
    listed = ListedScores(scores, np.asarray(same, dtype=np.bool_), people[pairs[:, 0]], people[pairs[:, 1]])
    comparisons = Comparisons(listed, int(people.max()) + 1, replicates=options.replicates, seed=options.seed)
    return replace(
        report,
        points=comparisons.points(options.fmrs or [fmr for fmr in FMRS if fmr >= comparisons.least_fmr()]),
        at_threshold=None if threshold is None else comparisons.points((), [threshold])[0],
        curve=comparisons.curve(),
        histogram=histogram_of(comparisons),
    )


def _search(
    report: Report,
    templates: TemplateSet,
    made: Sequence[NDArray[np.float32] | None],
    people: NDArray[np.int64],
    options: EvaluateOptions,
    threshold: float | None,
    notes: list[str],
) -> Report:
    gallery = [place for place in templates.gallery if made[place] is not None]
    probes = [place for place in templates.probes if made[place] is not None]
    groups = [group for place, group in zip(templates.probes, templates.groups, strict=True) if made[place] is not None]
    if len({int(people[place]) for place in gallery}) < len(gallery):
        raise LabelsError(f"the gallery of {templates.name} has two templates of one person")
    column = {int(people[place]): number for number, place in enumerate(gallery)}
    own = np.array([column.get(int(people[place]), -1) for place in probes], dtype=np.int64)
    if len(gallery) < 2 or not (own >= 0).any():
        raise PictureSetError(
            f"{templates.name} has {pluralize(len(gallery), 'person')} in the gallery and "
            f"{np.count_nonzero(own >= 0)} probes of these with a face; search needs 2 and 1"
        )
    enrolled = np.stack([vector for place in gallery if (vector := made[place]) is not None])
    searched = np.stack([vector for place in probes if (vector := made[place]) is not None])
    search = SearchScores(searched @ enrolled.T, own, own >= 0, people[probes])
    count = int(people.max()) + 1
    compared = report.points, report.at_threshold, report.curve, report.histogram
    report = report_search(report, search, people[gallery], count, options, threshold, notes)
    if compared[0] or compared[1]:  # the protocol's own pairs
        report = replace(report, points=compared[0], at_threshold=compared[1], curve=compared[2], histogram=compared[3])
    ranks: list[RankPoint] = [*report.ranks]
    slices: list[Slice] = []
    weights = draw_people(count, options.replicates, options.seed)
    for group in sorted({group for group in groups if group is not None}):
        rows = np.array([place for place, name in enumerate(groups) if name == group])
        part = SearchScores(search.scores[rows], own[rows], own[rows] >= 0, search.people[rows])
        if part.mated.any():
            prepared = prepare_searches(part, search.templates - 1)
            prepared = replace(prepared, unknown=np.bincount(part.people, minlength=count))
            ranks.append(rank_of(prepared, 1, weights, group))
        if threshold is not None:
            slices.append(_slice(group, part, threshold, weights))
    return replace(report, ranks=tuple(ranks), slices=tuple(slices), slice_threshold=threshold if slices else None)


def _slice(group: str, part: SearchScores, threshold: float, weights: NDArray[np.float64]) -> Slice:
    """Return the error rates of comparing the probes of a group with each template."""
    same = np.zeros(part.scores.shape, dtype=np.bool_)
    known = np.flatnonzero(part.own >= 0)
    same[known, part.own[known]] = True
    accepted = ((part.scores >= threshold) & ~same).sum(axis=1)
    false_claims = (~same).sum(axis=1)
    missed = part.scores[known, part.own[known]] < threshold
    each = weights[:, part.people]
    value = float(accepted.sum() / false_claims.sum())
    with np.errstate(invalid="ignore"):
        drawn = (each @ accepted) / (each @ false_claims)
    people = len(np.unique(part.people))
    fmr = Estimate(value, *interval(drawn, value, people), int(false_claims.sum()))
    fnmr = None
    if len(known):
        value = float(missed.mean())
        mine = weights[:, part.people[known]]
        with np.errstate(invalid="ignore"):
            drawn = (mine @ missed) / mine.sum(axis=1)
        fnmr = Estimate(value, *interval(drawn, value, len(np.unique(part.people[known]))), len(known))
    return Slice("camera", group, people, len(part.people), fmr, fnmr)


def _failures(names: Sequence[str], samples: Sequence[Sample]) -> tuple[Failure, ...]:
    return tuple(
        Failure(name, sample.failure or "no face")
        for name, sample in zip(names, samples, strict=True)
        if sample.embedding is None
    )


def _stack(samples: Sequence[Sample], name: str) -> NDArray[np.float32]:
    """Stack embeddings; NaN where a picture failed."""
    dimension = next((len(sample.embedding) for sample in samples if sample.embedding is not None), None)
    if dimension is None:
        raise PictureSetError(f"none of the {len(samples)} pictures of {name} has a face")
    absent = np.full(dimension, np.nan, dtype=np.float32)
    return np.stack([absent if sample.embedding is None else sample.embedding for sample in samples])
