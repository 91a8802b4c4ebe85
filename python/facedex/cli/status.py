"""The verb that tells how a gallery stands: what it holds, how it is searched, how well."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from .opening import gallery_at
from .options import DatabaseOption, GalleryOption, IndexOption, JsonOption, PackOption, SearchIndex
from .output import answering, document, table

if TYPE_CHECKING:
    from ..records import Status


def status(
    db: DatabaseOption = None,
    within: GalleryOption = None,
    pack: PackOption = None,
    index: IndexOption = SearchIndex.auto,
    budget_ms: Annotated[
        float | None,
        typer.Option("--budget-ms", min=0.0, help="Milliseconds of a search before 'auto' becomes approximate."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what a gallery holds, how it is searched and why, and what share of the faces such a search finds."""
    with answering(as_json):
        with gallery_at(db, within, pack=pack, index=index.value, budget_ms=budget_ms) as gallery:
            found = gallery.status()
        if as_json:
            document(asdict(found))
        else:
            table(["", ""], _rows(found))


def add_to(group: typer.Typer) -> None:
    """Add the verb to a group of commands."""
    group.command()(status)


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
        ("kept too long", found.due, f"{found.due:,} people; 'facedex purge' deletes them"),
        ("without template", found.dormant, f"{found.dormant:,} faces, which are not recognised"),
        ("templates beside", found.beside, ", ".join(found.beside)),
        ("search rebuilt", found.rebuilt, found.rebuilt or ""),
    ]
    return rows + [[name, text] for name, there, text in optional if there]
