"""The commands about a whole gallery: its status, key, pack and files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..config import settings
from .documents import to_json
from .opening import Target, check_database, command, location_of, read_key
from .options import DatabaseOption, GalleryOption, IndexOption, JsonOption, parse_threshold
from .output import (
    NO,
    Output,
    format_outlier,
    interruptible,
    pluralize,
    print_error,
    print_line,
    print_table,
    progress_bar,
)
from .people import NOT_WIPED

if TYPE_CHECKING:
    from ..gallery.fsck import FsckReport
    from ..gallery.migration import Migration
    from ..options import WithoutPhoto
    from ..records import Status

gallery = typer.Typer(help="Show a gallery, change its key, or migrate it to another pack.")

LeaveOption = Annotated[
    bool,
    typer.Option(
        "--leave-without-photo",
        help="Migrate the gallery even if people can no longer be recognized; they stay registered.",
    ),
]
NewThresholdOption = Annotated[
    str | None,
    typer.Option(
        "--threshold",
        metavar="NUMBER|RATE",
        parser=parse_threshold,
        help="A similarity, or a rate such as fpir=0.01. Required if the pack states no measurement.",
    ),
]

_RESUME = (
    "the gallery uses the same pack as before: the same command goes on from here, 'facedex gallery finish' cancels it"
)

_LISTED = 20  # people named of a long list


@gallery.command("new-key")
def new_key() -> None:
    """Print a new random key, for FACEDEX_KEY or a file. Without the key the templates are lost."""
    import base64
    import secrets

    from ..config import KEY_BYTES

    typer.echo(base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode("ascii"))


@gallery.command("rekey")
@command
def rekey(
    target: Target,
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--new-key-file", metavar="FILE", help="File with the new key, as 'new-key' prints it; - is standard input."
        ),
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Store the templates without encryption.")] = False,
) -> Output:
    """Encrypt a gallery with a new key. The current key, if there is one, is read from FACEDEX_KEY."""
    if (key_file is None) != plain:
        raise typer.BadParameter("give either --new-key-file FILE or --plain", param_hint="--new-key-file")
    key = read_key(key_file, "--new-key-file")
    with target.open() as opened:
        wiped = opened.rekey(key)

    def show() -> None:
        print_line("the gallery is not encrypted now" if key is None else "the gallery opens with the new key only")
        if not wiped:
            print_line(NOT_WIPED)

    return Output({"encrypted": key is not None, "wiped": wiped}, show)


@gallery.command("migrate")
@command
def migrate(
    target: Target,
    to: Annotated[str, typer.Argument(metavar="PACK", help="The new pack: name or path of a manifest.")],
    leave: LeaveOption = False,
    threshold: NewThresholdOption = None,
    as_json: JsonOption = False,
) -> Output:
    """Embed all faces again with another pack, from the stored photos, and then use that pack.

    It may be interrupted at any time: the next run resumes it. Exit code 1: people would be left behind, and nothing
    was changed; they are named.
    """
    with (
        target.open() as opened,
        progress_bar("embedding", as_json) as progress,
        interruptible(progress, _RESUME) as progress,
    ):
        result = opened.migrate(to, threshold=threshold, without_photo=_policy(leave), progress=progress)
    return _migration_output(result)


@gallery.command("rollback")
@command
def rollback(
    target: Target,
    leave: LeaveOption = False,
    threshold: NewThresholdOption = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="PATH", help="The manifest of the previous pack, if it is your own.")
    ] = None,
    as_json: JsonOption = False,
) -> Output:
    """Go back to the pack before the last migration, unless that was finished.

    Exit code 1: people would be left behind, and nothing was changed; they are named.
    """
    from ..engine import Engine

    engine = None if to is None else Engine(to)
    with (
        target.open() as opened,
        progress_bar("embedding", as_json) as progress,
        interruptible(progress, _RESUME) as progress,
    ):
        result = opened.rollback(engine=engine, threshold=threshold, without_photo=_policy(leave), progress=progress)
    return _migration_output(result)


@gallery.command("finish")
@command
def finish(target: Target) -> Output:
    """Make a migration final, or cancel an unfinished one: remove the templates of all other packs."""
    with target.open() as opened:
        result = opened.finish_migration()

    def show() -> None:
        print_line(f"removed {pluralize(result.templates, 'template')} of other packs")
        if result.faces:
            print_line(f"removed {pluralize(len(result.faces), 'face')} that had no other template")

    return Output(result, show)


@gallery.command("status")
@command
def status(
    target: Target,
    index: IndexOption = None,
    budget_ms: Annotated[
        float | None,
        typer.Option("--budget-ms", min=0.0, help="Milliseconds of a search before 'auto' becomes approximate."),
    ] = None,
) -> Output:
    """Show what a gallery holds, how it is searched and why, and the recall of that search."""
    with target.open(index=index, budget_ms=budget_ms) as opened:
        found = opened.status()
    return Output(found, lambda: print_table(["", ""], _rows(found)))


@command
def vacuum(target: Target) -> Output:
    """Rewrite the database without deleted data, and return the space to the disk."""
    with target.open() as opened:
        wiped = opened.vacuum()
    sentence = "no file holds deleted data now" if wiped else f"the tables were rewritten. {NOT_WIPED}"
    return Output({"wiped": wiped}, lambda: print_line(sentence))


@command
def backup(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; it must not exist.")],
    db: DatabaseOption = None,
) -> Output:
    """Copy the whole database to a new file, also while it is in use: all galleries, photos, accounts, audit."""
    from ..store import Database

    location = location_of(db)
    check_database(location)
    database = Database(location, create=False)
    try:
        size = database.backup(path)
    finally:
        database.close()
    return Output({"bytes": size}, lambda: print_line(f"copied {database.location} to {path}: {size:,} bytes"))


@command
def fsck(
    repair: Annotated[
        bool, typer.Option("--repair", help="Repair what is possible; a face without a valid template is removed.")
    ] = False,
    db: DatabaseOption = None,
    within: GalleryOption = None,
    as_json: JsonOption = False,
) -> Output:
    """Check the consistency of the database and of the search snapshots. Exit code 1: the listed things are wrong."""
    from ..gallery.fsck import fsck as check

    with progress_bar("comparing", as_json) as progress:
        report = check(location_of(db), name=within or settings().gallery, repair=repair, progress=progress)
    return Output({"ok": report.ok} | to_json(report), lambda: _show_report(report), 0 if report.ok else NO)


@command
def rebuild(db: DatabaseOption = None, within: GalleryOption = None, as_json: JsonOption = False) -> Output:
    """Rebuild the search index from the database."""
    from ..gallery.fsck import rebuild as build

    with progress_bar("indexing", as_json) as progress:
        number = build(location_of(db), name=within or settings().gallery, progress=progress)
    return Output({"faces": number}, lambda: print_line(f"indexed {pluralize(number, 'face')}"))


def _policy(leave: bool) -> WithoutPhoto:
    return "leave" if leave else "stop"


def _migration_output(result: Migration) -> Output:
    """Describe how far a migration came, with exit code 1 if the gallery was left as it is."""

    def show() -> None:
        for refusal in result.refused[:_LISTED]:
            print_error(refusal.error, str(refusal.person_id))
        _list_people("no photo is stored of", result.without_photo)
        _list_people("no face is found any more in the photos of", result.without_face)
        print_line(f"embedded {pluralize(result.moved, 'face')} with {result.pack!r}")
        if result.swapped:
            print_line(f"the gallery uses pack {result.pack!r} now; 'facedex gallery rollback' goes back")
        else:
            print_line(
                "the gallery was left as it is: register these people again from stored pictures, delete them, or use "
                "--leave-without-photo"
            )

    return Output(result, show, 0 if result.swapped else NO)


def _list_people(what: str, people: tuple[str | int, ...]) -> None:
    if people:
        more = f" and {len(people) - _LISTED} more" if len(people) > _LISTED else ""
        names = ", ".join(map(str, people[:_LISTED]))
        print_line(f"{what} {pluralize(len(people), 'person', 'people')}: {names}{more}")


def _show_report(report: FsckReport) -> None:
    for finding in report.findings:
        print_line(f"{'repaired' if finding.mended else 'wrong'}: {finding.text}")
    for person_id, outlier in report.outliers:
        print_line(f"look at this: {format_outlier(outlier, person_id)}")
    verdict = "all is consistent" if report.ok else "this is not consistent; --repair repairs what is possible"
    print_line(f"{pluralize(report.faces, 'face')}, {pluralize(report.snapshots, 'snapshot')}: {verdict}")


def _rows(found: Status) -> list[list[str]]:
    rows = [
        ["gallery", f"{found.gallery} in {found.location}"],
        ["pack", f"{found.pack} ({found.pack_digest[:12]})"],
        ["people", f"{found.people:,}"],
        ["faces", f"{found.faces:,}"],
        ["search", f"{found.method}: {found.why}"],
        ["recall", "not measured" if found.recall is None else f"{found.recall:.4f}"],
        ["encrypted", "yes" if found.encrypted else "no"],
    ]
    optional = [
        ("retention ended", found.due, f"{found.due:,} people; 'facedex purge' deletes them"),
        ("without template", found.dormant, f"{found.dormant:,} faces, which are not recognized"),
        ("other templates", found.other_packs, ", ".join(found.other_packs)),
        ("index rebuilt", found.rebuilt, found.rebuilt or ""),
    ]
    return rows + [[name, text] for name, shown, text in optional if shown]
