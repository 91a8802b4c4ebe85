"""A gallery moved to another pack, moved back, and the move made final."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import documents
from .opening import gallery_at
from .options import DatabaseOption, GalleryOption, JsonOption, PackOption
from .output import NO, answering, complain, counted, document, say
from .upkeep import bar

if TYPE_CHECKING:
    from ..gallery.migration import Migration
    from ..options import WithoutPhoto

LeaveOption = Annotated[
    bool,
    typer.Option(
        "--leave-without-photo",
        help="Move the gallery even when people cannot be recognised any more; they stay registered.",
    ),
]

ThresholdOption = Annotated[
    float | None,
    typer.Option("--threshold", min=-1.0, max=1.0, help="Needed where the pack states none."),
]

_SHOWN = 20  # people named of a long list


def migrate(
    to: Annotated[str, typer.Argument(metavar="PACK", help="The pack to move to: name or path of a manifest.")],
    leave: LeaveOption = False,
    threshold: ThresholdOption = None,
    db: DatabaseOption = None,
    within: GalleryOption = None,
    pack: PackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Embed everybody again with another pack, from the photos that were kept, and then use that pack.

    It may be broken off at any time: the next call goes on. Exit code 1: people would be left behind, and nothing was
    changed; they are named.
    """
    with answering(as_json):
        with gallery_at(db, within, pack=pack) as gallery, bar("embedding", as_json) as progress:
            result = gallery.migrate(to, threshold=threshold, without_photo=_choice(leave), progress=progress)
        _show(result, as_json)


def rollback(
    leave: LeaveOption = False,
    threshold: ThresholdOption = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="PATH", help="The manifest of the pack before, if it is your own.")
    ] = None,
    db: DatabaseOption = None,
    within: GalleryOption = None,
    pack: PackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go back to the pack before the last migration, unless that was finished."""
    with answering(as_json):
        from ..engine import Engine

        engine = None if to is None else Engine(to)
        with gallery_at(db, within, pack=pack) as gallery, bar("embedding", as_json) as progress:
            result = gallery.rollback(
                engine=engine, threshold=threshold, without_photo=_choice(leave), progress=progress
            )
        _show(result, as_json)


def finish(
    db: DatabaseOption = None, within: GalleryOption = None, pack: PackOption = None, as_json: JsonOption = False
) -> None:
    """Make a migration final, or give up one that is not done: remove the templates of every other pack."""
    with answering(as_json):
        with gallery_at(db, within, pack=pack) as gallery:
            result = gallery.finish_migration()
        if as_json:
            document(documents.finish(result))
            return
        say(f"removed {counted(result.templates, 'template')} of other packs")
        if result.faces:
            say(f"removed {counted(len(result.faces), 'face')} that had no other template")


def add_to(group: typer.Typer) -> None:
    """Add the verbs to a group of commands."""
    for command in (migrate, rollback, finish):
        group.command()(command)


def _choice(leave: bool) -> WithoutPhoto:
    return "leave" if leave else "stop"


def _show(result: Migration, as_json: bool) -> None:
    if as_json:
        document(documents.migration(result))
    else:
        for refusal in result.refused[:_SHOWN]:
            complain(refusal.error, str(refusal.person_id))
        _name("no photo is kept of", result.without_photo)
        _name("no face is found any more in the photos of", result.without_face)
        say(f"embedded {counted(result.moved, 'face')} with {result.pack!r}")
        if result.swapped:
            say(f"the gallery is of pack {result.pack!r} now; 'facedex gallery rollback' goes back")
        else:
            say(
                "the gallery was left as it is: register these people again from pictures that are kept, delete them, "
                "or use --leave-without-photo"
            )
    if not result.swapped:
        raise typer.Exit(NO)


def _name(what: str, people: tuple[str | int, ...]) -> None:
    if people:
        more = f" and {len(people) - _SHOWN} more" if len(people) > _SHOWN else ""
        say(f"{what} {counted(len(people), 'person', 'people')}: {', '.join(map(str, people[:_SHOWN]))}{more}")
