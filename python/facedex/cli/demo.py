"""``facedex demo``: the bundled people, each decision in a table, wrong ones named."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .documents import to_json
from .opening import command, writing_to
from .output import NO, Output, pluralize, print_line, print_table

if TYPE_CHECKING:
    from ..demo import Report


@command
def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Where to write the pictures with boxes and names.")
    ] = Path("demo-output"),
    pack: Annotated[
        str | None,
        typer.Option("--pack", metavar="NAME|PATH", help="The networks to use. Default: the built-in ones."),
    ] = None,
) -> Output:
    """Register, recognize, verify and delete the bundled synthetic people. Exit code 1: a decision was wrong."""
    from ..demo import NOTE, run

    with writing_to(out):
        out.mkdir(parents=True, exist_ok=True)
        report = run(out, pack=pack)
    content = to_json(report) | {
        "note": NOTE,
        "synthetic": True,
        "out": out.resolve(),
        "pictures": [picture.resolve() for picture in report.pictures],
        "wrong": len(report.wrong),
        "decisions": [to_json(decision) | {"right": decision.right} for decision in report.decisions],
    }
    return Output(content, lambda: _show(report, out, NOTE), NO if report.wrong else 0)


def _show(report: Report, out: Path, note: str) -> None:
    columns = ["step", "who or what", "expected", "decision", "similarity", "threshold", "ms", ""]
    rows = [
        [
            *(decision.step, decision.subject, decision.expected, decision.decided),
            *(_number(decision.similarity, 3), _number(decision.threshold, 3), _number(decision.elapsed_ms, 0)),
            "ok" if decision.right else "WRONG",
        ]
        for decision in report.decisions
    ]
    print_table(columns, rows, right="similarity,threshold,ms")
    print_line(note)
    print_line(f"Pictures with boxes and names: {out.resolve()} ({pluralize(len(report.pictures), 'file')})")
    print_line(f"{len(report.decisions)} decisions in {report.elapsed_s:.1f} s, {len(report.wrong)} wrong")
    for decision in report.wrong:
        print_line(f"WRONG: {decision.step} {decision.subject}: expected {decision.expected}, got {decision.decided}")


def _number(value: float | None, places: int) -> str:
    return "" if value is None else f"{value:.{places}f}"
