"""``python -m facedex.evaluate``: error rates of a pack, from one crop and from the crop and its mirror image."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress, TaskID

from ..engine import Engine
from ..errors import ArgumentError, FacedexError
from ..files import escape_unencodable_output
from ..packs import default
from . import accuracy, open_set, rates
from .measure import Measurement, central_face, measure, stack_embeddings
from .protocol import Protocol, read_lfw, read_subset
from .scores import ScoreTable, score_table
from .templates import compare_scores

UNKNOWN = "lfw-strangers"
"""A folder beside the subset, with one picture each of other people."""

VARIANTS = {"one crop": False, "crop and mirror image": True}
"""Name of each variant that is measured → the option `mirror` of the engine."""

FAILED = 3
"""Exit code when the measurement fails, as of the command line; 2 is wrong usage."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure a pack and print the report.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command-line arguments; by default those of the process.

    Returns
    -------
    int
        0, or 3 after one line with the error on standard error.
    """
    parser = argparse.ArgumentParser(prog="python -m facedex.evaluate", description=__doc__)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--lfw", type=Path, metavar="DIR", help="LFW: pairs.txt and the pictures, standard protocol")
    source.add_argument("--subset", type=Path, metavar="DIR", help="folder of <person>/<picture> with pairs.csv")
    parser.add_argument("--pack", help="name of a pack or path of a manifest (default: the built-in one)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--json", action="store_true", help="print a JSON document")
    what.add_argument("--scores", action="store_true", help="print the section [scores] of the pack's manifest")
    what.add_argument("--prior", action="store_true", help="print the section [prior] of the pack's manifest")
    what.add_argument("--open-set", action="store_true", help="check the thresholds on people not used for them")
    what.add_argument("--templates", action="store_true", help="compare the scores of people with several pictures")
    escape_unencodable_output()
    options = parser.parse_args(arguments)
    try:
        pack = options.pack or default()
        protocol = _read_protocol(options.lfw, options.subset)
        if options.scores:
            sys.stdout.write(_measure_scores(pack, protocol).toml() + "\n")
            return 0
        if options.prior or options.open_set:
            _measure_open_set(pack, protocol, options.subset, prior=options.prior)
            return 0
        if options.templates:
            _compare_templates(pack, protocol, options.subset)
            return 0
        measured = _measure_variants(pack, protocol)
    except FacedexError as error:
        sys.stderr.write(f"error [{error.code}]: {error}\n")
        return FAILED
    if options.json:
        sys.stdout.write(json.dumps(accuracy.document(protocol, measured, pack), indent=2) + "\n")
    else:
        accuracy.show(accuracy.console(), protocol, measured, pack)
    return 0


def _read_protocol(lfw: Path | None, subset: Path | None) -> Protocol:
    """Read the given test set; raises `ArgumentError` without one."""
    if lfw is not None:
        return read_lfw(lfw)
    if subset is None:
        raise ArgumentError(
            "give a test set with --subset or --lfw; for pictures of your own people use 'facedex evaluate FOLDER'"
        )
    return read_subset(subset)


def _measure_variants(pack: str, protocol: Protocol) -> dict[str, Measurement]:
    """Measure each variant with its own engine; a progress bar goes to standard error."""
    measured = {}
    with Progress(console=Console(stderr=True), transient=True) as bar:
        for name, mirror in VARIANTS.items():
            task = bar.add_task(name, total=len(protocol.pictures))

            def advance(count: int, total: int, task: TaskID = task) -> None:
                bar.update(task, completed=count)

            measured[name] = measure(Engine(pack, mirror=mirror), protocol, progress=advance)
    return measured


def _measure_scores(pack: str, protocol: Protocol) -> ScoreTable:
    """Compare all pictures of the test set with each other, by one crop each, as a gallery does."""
    engine = Engine(pack)
    embeddings, _ = stack_embeddings(engine.analyze_many(protocol.pictures), protocol.pictures)
    mated, impostors = rates.all_pairs(embeddings, protocol.people)
    size = f"{len(set(protocol.people.tolist()))} people, {len(protocol.pictures)} pictures"
    command = f"python -m facedex.evaluate --pack {Path(pack).stem} --scores"
    return score_table(mated, impostors, f"{protocol.name}: {size}; {command}")


def _everybody(protocol: Protocol, subset: Path | None) -> tuple[tuple[Path, ...], NDArray[np.int64]]:
    """Return the pictures of a test set and of those beside the subset, and who is in each."""
    others = () if subset is None else tuple(sorted((subset.parent / UNKNOWN).glob("*/*.jpg")))
    people = protocol.people
    return (*protocol.pictures, *others), np.concatenate([people, people.max() + 1 + np.arange(len(others))])


def _compare_templates(pack: str, protocol: Protocol, subset: Path | None) -> None:
    """Print the error rates of search by the number of pictures a person and the way to score the person."""
    pictures, people = _everybody(protocol, subset)
    analyses = Engine(pack).analyze_many(pictures, quality=True)
    embeddings, _ = stack_embeddings(analyses, pictures)
    quality = np.ones(len(pictures))
    for place, analysis in enumerate(analyses):
        face = None if isinstance(analysis, FacedexError) else central_face(analysis)
        if face is not None and face.quality is not None:
            quality[place] = face.quality.unified_score
    accuracy.show_templates(accuracy.console(), compare_scores(embeddings, people, quality), protocol, pack)


def _measure_open_set(pack: str, protocol: Protocol, subset: Path | None, *, prior: bool) -> None:
    """Print the section [prior], or the check of the thresholds, of all people and of those beside the subset."""
    engine = Engine(pack)
    pictures, everybody = _everybody(protocol, subset)
    embeddings, _ = stack_embeddings(engine.analyze_many(pictures), pictures)
    if prior:
        size = f"{len(np.unique(everybody))} people, {len(everybody)} pictures"
        data = f"{protocol.name}: {size}; python -m facedex.evaluate --pack {Path(pack).stem} --prior"
        sys.stdout.write(open_set.format_prior(open_set.measure_tails(embeddings, everybody), data) + "\n")
        return
    rows = [
        row
        for number in (1, 3)
        for row in open_set.check_rates(embeddings, everybody, pictures=number, flat=engine.threshold)
    ]
    accuracy.show_open_set(accuracy.console(), rows, protocol, pack, engine.threshold)


if __name__ == "__main__":
    sys.exit(main())
