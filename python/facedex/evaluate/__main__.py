"""``python -m facedex.evaluate``: error rates of a pack, from one crop and from the crop and its mirror image."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, TaskID

from ..engine import Engine
from ..errors import ArgumentError, FacedexError
from ..packs import default
from . import rates, report
from .measure import Measurement, enrolled, measure
from .protocol import Protocol, read_lfw, read_subset
from .scores import ScoreTable, score_table

SUBSET = Path("..", "shared", "assets", "faces", "lfw-subset")
"""Where the shared subset lies, seen from a checkout."""

VARIANTS = {"one crop": False, "crop and mirror image": True}
"""What is measured, by the engine's option `mirror`."""

FAILED = 3
"""Exit code where it could not be measured, as that of the command line; 2 is wrong usage."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print.

    Parameters
    ----------
    arguments : sequence of str, optional
        Instead of the process's own.

    Returns
    -------
    int
        0, or 3 with the reason in one line on standard error.
    """
    parser = argparse.ArgumentParser(prog="python -m facedex.evaluate", description=__doc__)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--lfw", type=Path, metavar="DIR", help="LFW: pairs.txt and the pictures, standard protocol")
    source.add_argument("--subset", type=Path, metavar="DIR", help=f"folder with pairs.csv (default: {SUBSET})")
    parser.add_argument("--pack", help="name of a pack or path of a manifest (default: the built-in one)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--json", action="store_true", help="print a JSON document")
    what.add_argument("--scores", action="store_true", help="print the section [scores] of the pack's manifest")
    options = parser.parse_args(arguments)
    try:
        pack = options.pack or default()
        protocol = read(options.lfw, options.subset)
        if options.scores:
            sys.stdout.write(scores(pack, protocol).toml() + "\n")
            return 0
        measured = run(pack, protocol)
    except FacedexError as error:
        sys.stderr.write(f"error [{error.code}]: {error}\n")
        return FAILED
    if options.json:
        sys.stdout.write(json.dumps(report.document(protocol, measured, pack), indent=2) + "\n")
    else:
        report.show(report.console(), protocol, measured, pack)
    return 0


def read(lfw: Path | None, subset: Path | None) -> Protocol:
    """Read the test set that was named, else the shared subset.

    Parameters
    ----------
    lfw, subset : pathlib.Path or None
        Folders; at most one.

    Returns
    -------
    Protocol

    Raises
    ------
    ArgumentError
        It is not there, or not complete.
    """
    if lfw is not None:
        return read_lfw(lfw)
    if subset is None and not SUBSET.is_dir():
        raise ArgumentError(f"the shared pictures are not at {SUBSET}: name a test set with --subset or --lfw")
    return read_subset(SUBSET if subset is None else subset)


def run(pack: str, protocol: Protocol) -> dict[str, Measurement]:
    """Measure each variant with an engine of its own, with a bar on standard error.

    Parameters
    ----------
    pack : str
        Name of a pack or path of a manifest.
    protocol : Protocol
        Pictures and pairs.

    Returns
    -------
    dict of str to Measurement
    """
    measured = {}
    with Progress(console=Console(stderr=True), transient=True) as bar:
        for name, mirror in VARIANTS.items():
            task = bar.add_task(name, total=len(protocol.pictures))

            def advance(count: int, task: TaskID = task) -> None:
                bar.update(task, completed=count)

            measured[name] = measure(Engine(pack, mirror=mirror), protocol, progress=advance)
    return measured


def scores(pack: str, protocol: Protocol) -> ScoreTable:
    """Compare all pictures of the test set with each other, one crop each, as a gallery does.

    Parameters
    ----------
    pack : str
        Name of a pack or path of a manifest.
    protocol : Protocol
        Pictures.

    Returns
    -------
    ScoreTable
    """
    engine = Engine(pack)
    embeddings, _ = enrolled(engine.analyze_many(protocol.pictures), protocol.pictures)
    mated, impostors = rates.all_pairs(embeddings, protocol.people)
    counted = f"{len(set(protocol.people.tolist()))} people, {len(protocol.pictures)} pictures"
    command = f"python -m facedex.evaluate --pack {Path(pack).stem} --scores"
    return score_table(mated, impostors, f"{protocol.name}: {counted}; {command}")


if __name__ == "__main__":
    sys.exit(main())
