"""``facedex demo``: the bundled people, each decision in a table, wrong ones named."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .opening import writing_to
from .options import JsonOption
from .output import NO, answering, counted, document, say, table

if TYPE_CHECKING:
    from ..demo import Decision, Report


def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Where to write the pictures with boxes and names.")
    ] = Path("demo-output"),
    pack: Annotated[
        str | None,
        typer.Option("--pack", metavar="NAME|PATH", help="The networks to use. Without it the built-in ones."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Register, recognise, verify and delete the bundled synthetic people. Exit code 1: a decision was wrong."""
    with answering(as_json):
        from ..demo import NOTE, run

        with writing_to(out):
            out.mkdir(parents=True, exist_ok=True)
            report = run(out, pack=pack)
        if as_json:
            document(_described(report, out, NOTE))
        else:
            _show(report, out, NOTE)
    if report.wrong:
        raise typer.Exit(NO)


def _show(report: Report, out: Path, note: str) -> None:
    columns = ["step", "who or what", "expected", "decision", "similarity", "threshold", "ms", ""]
    table(columns, [_cells(decision) for decision in report.decisions], right="similarity,threshold,ms")
    say(note)
    say(f"Pictures with boxes and names: {out.resolve()} ({counted(len(report.pictures), 'file')})")
    say(f"{len(report.decisions)} decisions in {report.elapsed_s:.1f} s, {len(report.wrong)} wrong")
    for decision in report.wrong:
        say(f"WRONG: {decision.step} {decision.subject}: expected {decision.expected}, got {decision.decided}")


def _cells(decision: Decision) -> list[str]:
    return [
        decision.step,
        decision.subject,
        decision.expected,
        decision.decided,
        _number(decision.similarity, 3),
        _number(decision.threshold, 3),
        _number(decision.elapsed_ms, 0),
        "ok" if decision.right else "WRONG",
    ]


def _number(value: float | None, places: int) -> str:
    return "" if value is None else f"{value:.{places}f}"


def _described(report: Report, out: Path, note: str) -> dict[str, Any]:
    return {
        "note": note,
        "synthetic": True,
        "out": str(out.resolve()),
        "pictures": [str(picture.resolve()) for picture in report.pictures],
        "elapsed_s": report.elapsed_s,
        "wrong": len(report.wrong),
        "decisions": [
            {
                "step": decision.step,
                "subject": decision.subject,
                "expected": decision.expected,
                "decided": decision.decided,
                "right": decision.right,
                "similarity": decision.similarity,
                "threshold": decision.threshold,
                "elapsed_ms": decision.elapsed_ms,
            }
            for decision in report.decisions
        ],
    }
