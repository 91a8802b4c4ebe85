"""The verbs that look after a gallery: fsck, rebuild."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer

from .opening import location_of, name_of
from .options import DatabaseOption, GalleryOption, JsonOption
from .output import NO, answering, counted, document, say


def fsck(
    repair: Annotated[
        bool, typer.Option("--repair", help="Put right what can be; a face without a good template is removed.")
    ] = False,
    db: DatabaseOption = None,
    within: GalleryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the database with itself and with the search snapshots, and say what differs."""
    with answering(as_json):
        from ..gallery.fsck import fsck as compare

        with bar("comparing", as_json) as progress:
            report = compare(location_of(db), name=name_of(within), repair=repair, progress=progress)
        if as_json:
            document({"ok": report.ok} | asdict(report))
        else:
            for finding in report.findings:
                say(f"{'mended' if finding.mended else 'wrong'}: {finding.text}")
            verdict = "all agrees" if report.ok else "this does not agree; --repair mends what can be"
            say(f"{counted(report.faces, 'face')}, {counted(report.snapshots, 'snapshot')}: {verdict}")
    if not report.ok:
        raise typer.Exit(NO)


def rebuild(db: DatabaseOption = None, within: GalleryOption = None, as_json: JsonOption = False) -> None:
    """Start the search index over from the database."""
    with answering(as_json):
        from ..gallery.fsck import rebuild as build

        with bar("indexing", as_json) as progress:
            number = build(location_of(db), name=name_of(within), progress=progress)
        if as_json:
            document({"faces": number})
        else:
            say(f"indexed {counted(number, 'face')}")


@contextmanager
def bar(doing: str, as_json: bool) -> Iterator[Callable[[int, int], object] | None]:
    """Show a progress bar on standard error, where somebody looks at it."""
    if as_json:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    terminal = Console(stderr=True)
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task(doing, total=None)
        yield lambda done, number: bar.update(task, completed=done, total=number)
