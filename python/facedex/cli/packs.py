"""The packs of networks: which there are, and what one of them is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import JsonOption
from .output import answering, document, say, table

if TYPE_CHECKING:
    from .._core import PackInfo
    from ..packs import PackLocation

packs = typer.Typer(help="List the packs of networks, or describe one.", invoke_without_command=True)


@packs.callback()
def default(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the packs of networks, or describe one."""
    if context.invoked_subcommand is None:
        list_packs(as_json)


@packs.command("list")
def list_packs(as_json: JsonOption = False) -> None:
    """List the packs by name."""
    with answering(as_json):
        from .._core import read_manifest
        from ..packs import built_in, find

        found = [find(name) for name in built_in()]
        described = [_described(read_manifest(location.manifest), location) for location in found]
        if as_json:
            document({"packs": described})
            return
        rows = [
            [pack["name"], "yes" if pack["ready"] else "no", "yes" if pack["commercial"] else "no", pack["summary"]]
            for pack in described
        ]
        table(["pack", "ready", "commercial use", "summary"], rows)


@packs.command("info")
def info(
    pack: Annotated[str, typer.Argument(metavar="NAME|PATH", help="Name of a pack, or path of a manifest.")],
    as_json: JsonOption = False,
) -> None:
    """Describe a pack: threshold, error rate, files and their licences."""
    with answering(as_json):
        from .._core import read_manifest
        from ..packs import find

        location = find(pack)
        described = _described(read_manifest(location.manifest), location)
        if as_json:
            document(described)
            return
        for label in ("name", "summary", "digest", "dimension", "threshold", "fmr", "source"):
            if described[label] is not None:
                say(f"{label}: {described[label]}")
        say(f"licences: {', '.join(described['licences'])}")
        say(f"commercial use: {'yes' if described['commercial'] else 'no'}")
        say(f"ready: {'yes' if described['ready'] else 'no, files are missing'}")
        rows = [[file["name"], f"{file['size']:,}", file["licence"], file["source"]] for file in described["files"]]
        table(["file", "bytes", "licence", "source"], rows, right="bytes")


def _described(pack: PackInfo, location: PackLocation) -> dict[str, Any]:
    return {
        "name": pack.name,
        "summary": pack.summary,
        "digest": pack.digest,
        "dimension": pack.dimension,
        "threshold": pack.threshold,
        "fmr": pack.fmr,
        "source": pack.source,
        "licences": list(pack.licences),
        "commercial": pack.commercial,
        "ready": all(any((folder / file.name).is_file() for folder in location.folders) for file in pack.files),
        "files": [
            {
                "name": file.name,
                "size": file.size,
                "sha256": file.sha256,
                "licence": file.licence,
                "commercial": file.commercial,
                "source": file.source,
                "trained_on": file.trained_on,
            }
            for file in pack.files
        ],
    }
