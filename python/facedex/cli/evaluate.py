"""The commands that measure error rates: evaluate, calibrate, packs compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..options import EvaluationProtocol
from .opening import command, writing_to
from .options import JsonOption, PackOption
from .output import Output, interruptible, print_line, print_note, print_table, progress_bar
from .packs import packs

if TYPE_CHECKING:
    from ..evaluate import Estimate, PackComparison, Report

FolderArgument = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="A folder for each person, with the person's pictures.")
]
AddOption = Annotated[
    list[str] | None,
    typer.Option("--add", metavar="NAME|PATH", help="A pack that adds networks, such as liveness. May be repeated."),
]
LabelsOption = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        metavar="FILE",
        help="A CSV that describes pictures (column file) or people (column person). Default: labels.csv in FOLDER.",
    ),
]
ResumeOption = Annotated[
    Path | None,
    typer.Option(
        "--resume",
        metavar="FILE",
        help="Keep embeddings in this file, and go on from it. It holds biometric templates: delete it afterwards.",
    ),
]


ProtocolOption = Annotated[
    EvaluationProtocol,
    typer.Option(
        "--protocol",
        help="What FOLDER is: people's folders, LFW with pairs.txt, a .bin file, IJB-style or SCface-style pictures.",
    ),
]


@command
def evaluate(
    folder: FolderArgument,
    pack: PackOption = None,
    add: AddOption = None,
    labels: LabelsOption = None,
    protocol: ProtocolOption = "folder",
    templates: Annotated[
        list[Path] | None,
        typer.Option("--templates", metavar="FILE", help="IJB: a list of templates, the probes. May be repeated."),
    ] = None,
    enrolled: Annotated[
        list[Path] | None,
        typer.Option("--enrolled", metavar="FILE", help="IJB: a list of templates in the gallery. May be repeated."),
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option("--pairs", metavar="FILE", help="IJB: the pairs of templates to compare.")
    ] = None,
    cameras: Annotated[
        Path | None,
        typer.Option("--cameras", metavar="FILE", help="SCface: a CSV of file, person, camera, distance."),
    ] = None,
    fmr: Annotated[
        list[float] | None,
        typer.Option("--fmr", metavar="RATE", help="A false match rate. May be repeated. Default: what the data show."),
    ] = None,
    fpir: Annotated[
        list[float] | None,
        typer.Option("--fpir", metavar="RATE", help="A false positive identification rate. May be repeated."),
    ] = None,
    people: Annotated[
        list[int] | None,
        typer.Option("--people", metavar="N", help="A number of people in the gallery. May be repeated."),
    ] = None,
    resume: ResumeOption = None,
    out: Annotated[
        list[Path] | None,
        typer.Option("--out", "-o", metavar="FILE", help="Write the report: .html, .json or .csv. May be repeated."),
    ] = None,
    as_json: JsonOption = False,
) -> Output:
    """Measure error rates on pictures of your own people: comparison, search, failures, suspect labels, liveness."""
    from .. import evaluate as library
    from ..engine import Engine

    _check_out(out or [])
    for option, given, belongs in (
        ("--labels", labels, "folder"),
        ("--templates", templates, "ijb"),
        ("--enrolled", enrolled, "ijb"),
        ("--pairs", pairs, "ijb"),
        ("--cameras", cameras, "scface"),
    ):
        if given and protocol != belongs:
            raise typer.BadParameter(f"{option} belongs to --protocol {belongs}", param_hint=option)
    options = library.EvaluateOptions(
        fmrs=tuple(fmr) if fmr else None,
        fpirs=tuple(fpir) if fpir else None,
        people=tuple(people) if people else None,
    )
    engine = Engine(pack, add=add or ())
    advice = "--resume FILE keeps what was done" if resume is None else "the same command goes on from there"
    with progress_bar("evaluating", as_json) as bar, interruptible(bar, advice) as progress:
        shared: dict[str, Any] = {"cache": resume, "progress": progress, "options": options}
        if protocol == "folder":
            report = library.evaluate_folder(folder, engine=engine, labels=labels, **shared)
        elif protocol == "lfw":
            report = library.evaluate_pairs(engine, library.PairSet.of(library.read_lfw(folder)), **shared)
        elif protocol == "bin":
            report = library.evaluate_pairs(engine, library.read_bin(folder), **shared)
        elif protocol == "ijb":
            read = library.read_ijb(folder, templates or [], pairs=pairs, gallery=enrolled or [])
            report = library.evaluate_templates(engine, read, **shared)
        else:
            report = library.evaluate_templates(engine, library.read_scface(folder, cameras=cameras), **shared)
    for path in out or ():
        save(report, path)
    return Output(report.to_dict(), lambda: show(report, out or []))


@command
def calibrate(
    folder: FolderArgument,
    pack: PackOption = None,
    fmr: Annotated[
        float | None,
        typer.Option(
            "--fmr", metavar="RATE", help="The false match rate of the threshold. Default: 1e-4, or what the data show."
        ),
    ] = None,
    resume: ResumeOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE.toml", help="Write a whole manifest; its name becomes the pack's."),
    ] = None,
    as_json: JsonOption = False,
) -> Output:
    """Measure a pack's thresholds and scores on your own people and cameras: sections of its manifest."""
    from .. import evaluate as library

    if out is not None and out.suffix != ".toml":
        raise typer.BadParameter(f"{out.name} must end with .toml", param_hint="--out")
    advice = "--resume FILE keeps what was done" if resume is None else "the same command goes on from there"
    with progress_bar("calibrating", as_json) as bar, interruptible(bar, advice) as progress:
        found = library.calibrate(folder, pack=pack, fmr=fmr, cache=resume, progress=progress)
    if out is not None:
        with writing_to(out):
            found.save(out)

    def describe() -> None:
        if out is None:
            for line in found.toml().splitlines():
                print_line(line)
            return
        point = found.point
        print_line(f"threshold {point.threshold:.4f} at FMR {point.wanted_fmr:g}, FNMR {rate(point.fnmr)}")
        print_line(f"manifest written to {out}; use it with --pack {out}, or add it: facedex packs add {out}")

    content = {
        "pack": found.pack,
        "people": found.people,
        "pictures": found.pictures,
        "point": found.point,
        "points": found.points,
        "toml": found.toml(),
        "manifest": out,
    }
    return Output(content, describe)


@packs.command("compare")
@command
def compare_packs(
    names: Annotated[list[str], typer.Argument(metavar="NAME|PATH...", help="Two packs or more.")],
    on: Annotated[Path, typer.Option("--on", metavar="FOLDER", help="A folder for each person, with pictures.")],
    resume: ResumeOption = None,
    as_json: JsonOption = False,
) -> Output:
    """Put packs side by side on your own people: error rates, milliseconds, memory, licence."""
    from .. import evaluate as library

    advice = "--resume FILE keeps what was done" if resume is None else "the same command goes on from there"
    with progress_bar("evaluating", as_json) as bar, interruptible(bar, advice) as progress:
        found = library.compare_packs(names, on, cache=resume, progress=progress)
    return Output(found, lambda: _show_comparison(found))


def _show_comparison(found: PackComparison) -> None:
    from ..evaluate.html import percent

    print_line(f"{found.reports[0].name}: {found.reports[0].people} people, {found.reports[0].pictures} pictures")
    rows: dict[str, dict[int, str]] = {}
    for column, (report, cost) in enumerate(zip(found.reports, found.costs, strict=True)):
        cells = {"failure to acquire": "" if report.fta is None else percent(report.fta.value)}
        cells |= {f"FNMR at FMR {point.wanted_fmr:g}": rate(point.fnmr) for point in report.points}
        for row in report.identification:
            if row.wanted_fpir is not None and not row.extrapolated:
                cells[f"FNIR at FPIR {row.wanted_fpir:g}, {row.people:,} people"] = rate(row.fnir)
        if report.at_threshold is not None:
            point = report.at_threshold
            cells["own threshold"] = f"{point.threshold:.3f}: FMR {percent(point.fmr.value)}"
        cells |= {
            "ms a picture, one thread": f"{cost.ms_per_picture:.1f}",
            "memory, MB": "" if cost.memory_mb is None else f"{cost.memory_mb:.0f}",
            "networks, MB": f"{cost.weights_mb:.1f}",
            "licences": ", ".join(cost.licences),
            "commercial use": "yes" if cost.commercial else "no",
        }
        for name, cell in cells.items():
            rows.setdefault(name, {})[column] = cell
    columns = range(len(found.reports))
    table = [[name, *(cells.get(column, "") for column in columns)] for name, cells in rows.items()]
    print_table(["", *(report.pack for report in found.reports)], table)
    for note in dict.fromkeys(note for report in found.reports for note in report.notes):
        print_note(f"note: {note}")


def _check_out(paths: list[Path]) -> None:
    """Refuse a report that could not be written before anything is measured."""
    from ..errors import PlotsUnavailableError
    from ..evaluate import plots

    for path in paths:
        if path.suffix.lower() not in (".html", ".json", ".csv"):
            raise typer.BadParameter(f"{path.name} must end with .html, .json or .csv", param_hint="--out")
        if path.suffix.lower() == ".html" and not plots.is_available():
            raise PlotsUnavailableError("plots need matplotlib: pip install 'facedex[plots]'")


def save(report: Report, path: Path) -> None:
    """Write a report; a file that cannot be written is wrong usage of ``--out``."""
    try:
        report.save(path)
    except OSError as error:
        raise typer.BadParameter(f"cannot write to {path}: {error.strerror}", param_hint="--out") from error


def show(report: Report, out: list[Path]) -> None:
    """Print a report: the figures as tables, what is suspect, notes."""
    from ..evaluate.html import percent

    print_line(f"{report.name}: {report.people} people, {report.pictures} pictures, pack {report.pack}")
    if report.fte is not None and report.fta is not None:
        print_line(
            f"failures: {percent(report.fta.value)} of pictures (FTA), {percent(report.fte.value)} of people (FTE)"
        )
    if report.correct is not None:
        print_line(f"right decisions over the folds: {rate(report.correct)}")
    rows = [
        [f"FMR {point.wanted_fmr:g}", f"{point.threshold:.4f}", rate(point.fmr), rate(point.fnmr)]
        for point in report.points
    ]
    if report.at_threshold is not None:
        point = report.at_threshold
        rows.append(["threshold in use", f"{point.threshold:.4f}", rate(point.fmr), rate(point.fnmr)])
    print_table(["comparison at", "threshold", "FMR", "FNMR"], rows, right="threshold")
    for title, found in (("people", report.identification), ("pictures", report.by_pictures)):
        rows = [
            [
                f"{row.people:,}{'*' * row.extrapolated}" if title == "people" else str(row.pictures),
                "threshold in use" if row.wanted_fpir is None else f"FPIR {row.wanted_fpir:g}",
                f"{row.threshold:.4f}",
                rate(row.fpir),
                rate(row.fnir),
            ]
            for row in found
        ]
        print_table([title, "search at", "threshold", "FPIR", "FNIR"], rows, right=f"{title},threshold")
    rows = [
        [f"{part.column}: {part.value}", str(part.people), rate(part.fmr), rate(part.fnmr), part.note or ""]
        for part in report.slices
    ]
    print_table(["part", "people", "FMR", "FNMR", ""], rows, right="people")
    rows = [
        [rank.group or f"{rank.people:,} people", str(rank.rank), rate(rank.hits)]
        for rank in report.ranks
        if rank.group is not None or rank.people == report.ranks[-1].people or rank.rank == 1
    ]
    print_table(["probes", "rank", "found"], rows, right="rank")
    rows = [
        [
            attack.kind or "live people",
            "BPCER" if attack.kind is None else "APCER",
            rate(attack.error),
            f"{attack.errors} of {attack.error.trials}",
            str(attack.unjudged),
        ]
        for attack in report.attacks
    ]
    print_table(["liveness", "", "rate", "errors", "not judged"], rows, right="not judged")
    for suspect in report.suspects:
        print_line(f"{suspect.kind}? {', '.join(suspect.pictures)} ({suspect.similarity:.2f}): {suspect.reason}")
    for failure in report.failures:
        print_note(f"failure: {failure.picture}: {failure.reason}")
    for note in report.notes:
        print_note(f"note: {note}")
    for path in out:
        print_line(f"report written to {path}")


def rate(estimate: Estimate | None) -> str:
    """Write a rate with its limits; nothing where there is none."""
    from ..evaluate.html import rate as format_rate

    return "" if estimate is None else format_rate(estimate)
