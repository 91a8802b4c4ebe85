"""The packs of networks: which there are, what one is, fetching and checking its files, adding one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import JsonOption
from .output import NO, answering, counted, document, say
from .packs_show import fetching, pack_document, show_files, show_list, show_pack

PACK_HELP = """\
A pack is fetched only when told so: 'packs get NAME'. Without a network put its files into the folder that \
'packs path NAME' tells, or name a mirror: FACEDEX_MIRROR=file:///media/usb holds them as <pack>/<file name>."""

packs = typer.Typer(
    help="List, describe, fetch, check, add and remove packs of networks.",
    epilog=PACK_HELP,
    invoke_without_command=True,
)

PackArgument = Annotated[str, typer.Argument(metavar="NAME|PATH", help="Name of a pack, or path of a manifest.")]
UnverifiedOption = Annotated[
    bool,
    typer.Option(
        "--accept-unverified", help="Take files as they are whose digest nobody published, and no others from then on."
    ),
]


@packs.callback()
def default(context: typer.Context, as_json: JsonOption = False) -> None:
    """List, describe, fetch, check, add and remove packs of networks."""
    if context.invoked_subcommand is None:
        list_packs(as_json)


@packs.command("list")
def list_packs(as_json: JsonOption = False) -> None:
    """List the packs by name, those to try first at the head."""
    with answering(as_json):
        from .. import packs as shelf

        found, lacking = shelf.list(), shelf.fallback()
        if as_json:
            listed = [pack_document(pack) for pack in found]
            document({"packs": listed, "default": shelf.default(), "note": lacking})
            return
        show_list(found)
        say(lacking or f"pack {shelf.default()!r} is used where no pack is named")


@packs.command("info")
def info(pack: PackArgument, as_json: JsonOption = False) -> None:
    """Describe a pack: threshold, error rate, files, licences, and what its networks were trained on."""
    with answering(as_json):
        from .. import packs as shelf

        found = shelf.state(pack)
        if as_json:
            document(pack_document(found))
            return
        show_pack(found)


@packs.command("get")
def get(
    pack: PackArgument,
    accept_license: Annotated[
        str | None,
        typer.Option(
            "--accept-license", metavar="NAME", help="Accept a licence that forbids commercial use, by its name."
        ),
    ] = None,
    accept_unverified: UnverifiedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch what is missing of a pack; each file is checked before it has its name."""
    with answering(as_json):
        from .. import packs as shelf

        with fetching(as_json) as progress:
            found = shelf.get(
                pack, accept_license=accept_license, accept_unverified=accept_unverified, progress=progress
            )
        if as_json:
            document(pack_document(found))
            return
        say(f"pack {found.name!r} is ready: {counted(len(found.files), 'file')} in {found.location.cache}")


@packs.command("verify")
def verify(pack: PackArgument, accept_unverified: UnverifiedOption = False, as_json: JsonOption = False) -> None:
    """Read the files of a pack and compare them with their digests; exit code 1 where one is missing or another."""
    with answering(as_json):
        from .. import packs as shelf

        found = shelf.verify(pack, accept_unverified=accept_unverified)
        if as_json:
            document(pack_document(found))
        else:
            show_files(found)
    if any(file.condition != "good" for file in found.files):
        raise typer.Exit(NO)


@packs.command("remove")
def remove(pack: PackArgument, as_json: JsonOption = False) -> None:
    """Delete the files of a pack that facedex fetched; forget a pack that was added. Files of one's own stay."""
    with answering(as_json):
        from .. import packs as shelf

        done = shelf.remove(pack)
        if as_json:
            document(
                {
                    "removed": [str(path) for path in done.removed],
                    "kept": [str(path) for path in done.kept],
                    "forgotten": None if done.forgotten is None else str(done.forgotten),
                }
            )
            return
        say(f"{counted(len(done.removed), 'file')} removed")
        for path in done.kept:
            say(f"left as it is, for it is not facedex's: {path}")
        if done.forgotten is not None:
            say(f"no longer known by its name: {done.forgotten}")


@packs.command("add")
def add(
    manifest: Annotated[Path, typer.Argument(metavar="PATH", help="A manifest: a TOML file beside its weights.")],
    as_json: JsonOption = False,
) -> None:
    """Make a pack of one's own known by its name."""
    with answering(as_json):
        from .. import packs as shelf

        found = shelf.add(manifest)
        if as_json:
            document(pack_document(found))
            return
        say(f"pack {found.name!r} is known now; its files stay beside {manifest}")


@packs.command("path")
def path(pack: PackArgument, as_json: JsonOption = False) -> None:
    """Print the folder of a pack, where one may put its files oneself."""
    with answering(as_json):
        from .. import packs as shelf

        folder = shelf.path(pack)
        if as_json:
            document({"path": str(folder)})
            return
        say(str(folder))


@packs.command("wheel")
def wheel(
    pack: PackArgument,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the wheel.")] = Path(),
    version: Annotated[
        str | None, typer.Option("--version", metavar="VERSION", help="Of the wheel. Without it that of facedex.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a wheel of a pack that is ready here: pip installs it on machines that may fetch nothing else."""
    with answering(as_json):
        from .. import packs as shelf

        made = shelf.wheel(pack, out, version=version)
        if as_json:
            document({"wheel": str(made), "bytes": made.stat().st_size})
            return
        say(f"{made} ({made.stat().st_size / 1e6:.1f} MB); install it with: pip install --no-index {made}")
