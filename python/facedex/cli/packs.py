"""The packs of networks: list, describe, get, verify, add, remove; as tables for people and JSON for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import PackFolderError
from .documents import to_json
from .opening import command
from .options import JsonOption
from .output import NO, Output, pluralize, print_line, print_table

if TYPE_CHECKING:
    from ..packs import PackState, Progress

PACK_HELP = """\
A pack is downloaded only on request: 'packs get NAME'. Without a network put its files into the folder that \
'packs path NAME' prints, or name a mirror: FACEDEX_MIRROR=file:///media/usb holds them as <pack>/<file name>."""

packs = typer.Typer(
    help="List, describe, get, verify, add and remove packs of networks.",
    epilog=PACK_HELP,
    invoke_without_command=True,
)

PackArgument = Annotated[str, typer.Argument(metavar="NAME|PATH", help="Name of a pack, or path of a manifest.")]
UnverifiedOption = Annotated[
    bool,
    typer.Option(
        "--accept-unverified",
        help="Accept the current content of files without a published digest, and no other from then on.",
    ),
]


@packs.callback()
def default(context: typer.Context, as_json: JsonOption = False) -> None:
    """List, describe, get, verify, add and remove packs of networks."""
    if context.invoked_subcommand is None:
        list_packs(as_json=as_json)


@packs.command("list")
@command
def list_packs() -> Output:
    """List the packs by name, recommended ones first."""
    from .. import packs as library

    found, default_pack, note = library.list(), library.default(), library.fallback()

    def show() -> None:
        _show_list(found)
        print_line(note or f"pack {default_pack!r} is the default")

    return Output({"packs": [_describe_pack(pack) for pack in found], "default": default_pack, "note": note}, show)


@packs.command("info")
@command
def info(pack: PackArgument) -> Output:
    """Describe a pack: threshold, error rate, files, licences, and what its networks were trained on."""
    from .. import packs as library

    found = library.state(pack)
    return Output(_describe_pack(found), lambda: _show_pack(found))


@packs.command("get")
@command
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
) -> Output:
    """Download the missing files of a pack; each is checked before it gets its name."""
    from .. import packs as library

    with _download_bar(as_json) as progress:
        found = library.get(pack, accept_license=accept_license, accept_unverified=accept_unverified, progress=progress)
    sentence = f"pack {found.name!r} is ready: {pluralize(len(found.files), 'file')} in {found.location.cache}"
    return Output(_describe_pack(found), lambda: print_line(sentence))


@packs.command("verify")
@command
def verify(pack: PackArgument, accept_unverified: UnverifiedOption = False) -> Output:
    """Compare the files of a pack with their digests. Exit code 1: one is missing or differs."""
    from .. import packs as library

    found = library.verify(pack, accept_unverified=accept_unverified)
    good = all(file.condition == "good" for file in found.files)
    return Output(_describe_pack(found), lambda: _show_files(found), 0 if good else NO)


@packs.command("remove")
@command
def remove(pack: PackArgument) -> Output:
    """Delete the downloaded files of a pack, or forget a pack that was added. Your own files stay."""
    from .. import packs as library

    done = library.remove(pack)

    def show() -> None:
        print_line(f"{pluralize(len(done.removed), 'file')} removed")
        for path in done.kept:
            print_line(f"left as it is, because facedex did not write it: {path}")
        if done.forgotten is not None:
            print_line(f"no longer known by its name: {done.forgotten}")

    return Output(done, show)


@packs.command("add")
@command
def add(
    manifest: Annotated[Path, typer.Argument(metavar="PATH", help="A manifest: a TOML file beside its weights.")],
) -> Output:
    """Make your own pack known by its name."""
    from .. import packs as library

    found = library.add(manifest)
    sentence = f"pack {found.name!r} is known now; its files stay beside {manifest}"
    return Output(_describe_pack(found), lambda: print_line(sentence))


@packs.command("path")
@command
def path(pack: PackArgument) -> Output:
    """Print the folder of a pack, where its files can be put by hand."""
    from .. import packs as library

    folder = library.path(pack)
    return Output({"path": folder}, lambda: print_line(str(folder)))


@packs.command("wheel")
@command
def wheel(
    pack: PackArgument,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the wheel.")] = Path(),
    version: Annotated[
        str | None, typer.Option("--version", metavar="VERSION", help="Of the wheel. Default: that of facedex.")
    ] = None,
) -> Output:
    """Build a wheel of a ready pack: pip installs it on machines without network access."""
    from .. import packs as library

    made = library.wheel(pack, out, version=version)
    size = made.stat().st_size
    sentence = f"{made} ({size / 1e6:.1f} MB); install it with: pip install --no-index {made}"
    return Output({"wheel": made, "bytes": size}, lambda: print_line(sentence))


def _describe_pack(pack: PackState) -> dict[str, Any]:
    """Describe a pack: what its manifest declares, and its state on this machine."""
    from ..packs import cautions

    described: dict[str, Any] = to_json(pack.info)
    described.pop("scores")  # tables of the command `evaluate`
    return described | {
        "operating_points": [
            {"fmr": fmr, "threshold": threshold, "fnmr": fnmr} for fmr, threshold, fnmr in pack.info.operating_points
        ],
        "licences_to_accept": pack.unaccepted,
        "ready": pack.ready,
        "manifest": pack.location.manifest,
        "folders": pack.location.folders,
        "package": None if pack.location.package is None else pack.location.package.distribution,
        "download_bytes": pack.download_size,
        "files": [
            to_json(state.file)
            | {"condition": state.condition, "path": state.path, "cautions": cautions(state.file.trained_on)}
            for state in pack.files
        ],
    }


def _show_list(packs: Sequence[PackState]) -> None:
    rows = [
        [
            pack.name,
            "yes" if pack.ready else "no",
            "" if pack.ready else _megabytes(pack.download_size),
            "yes" if pack.info.commercial else "no",
            pack.info.summary,
        ]
        for pack in packs
    ]
    print_table(["pack", "ready", "MB to get", "commercial use", "summary"], rows, right="MB to get")


def _show_pack(pack: PackState) -> None:
    """Print all that there is to know about a pack before using it."""
    from ..packs import cautions

    info = pack.info
    for label in ("name", "summary", "digest", "dimension", "threshold", "fmr", "source"):
        value = getattr(info, label)
        if value is not None:
            print_line(f"{label}: {value}")
    for fmr, threshold, fnmr in info.operating_points:
        print_line(f"measured: threshold {threshold:g} has FMR {fmr:g} and FNMR {fnmr:.1%}")
    print_line(f"licences: {', '.join(info.licences)}")
    print_line(f"commercial use: {'the licences allow it' if info.commercial else 'a licence forbids it'}")
    for terms in dict.fromkeys(file.terms for file in info.files if file.terms is not None):
        print_line(f"terms: {terms}")
    for licence in pack.unaccepted:
        print_line(f"to accept before use: {licence}")
    print_line(f"ready: {'yes' if pack.ready else 'no'}")
    try:
        print_line(f"folder: {pack.location.folder}")
    except PackFolderError as error:
        print_line(f"folder: {error}")
    if pack.location.package is not None:
        print_line(f"installed by pip: {pack.location.package.distribution}")
    _show_files(pack)
    for file in (state.file for state in pack.files):
        print_line(f"{file.name}: {file.source}; licence: {file.licence_source}")
        print_line(f"{file.name} was trained on: {file.trained_on}")
        for url in file.urls:
            print_line(f"{file.name} is at: {url}")
        if file.archive is not None:
            print_line(f"{file.name} is {file.member} of {file.archive}")
    for archive in info.archives:
        for url in archive.urls:
            print_line(f"{archive.name} ({archive.size:,} bytes, SHA-256 {archive.sha256}) is at: {url}")
    found = [caution for state in pack.files for caution in cautions(state.file.trained_on)]
    for caution in reversed(dict.fromkeys(reversed(found))):  # the one about the caller's responsibility comes last
        print_line(f"note: {caution}")


def _show_files(pack: PackState) -> None:
    rows = [
        [
            state.file.name,
            state.condition,
            "" if state.file.size is None else f"{state.file.size:,}",
            state.file.licence,
            state.file.sha256 or "not published",
        ]
        for state in pack.files
    ]
    print_table(["file", "condition", "bytes", "licence", "SHA-256"], rows, right="bytes")


@contextmanager
def _download_bar(as_json: bool) -> Iterator[Callable[[Progress], object]]:
    """Show the progress of a download on standard error, if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    tasks: dict[str, TaskID] = {}
    with Bar(*columns, console=console, disable=as_json or not console.is_terminal) as bar:

        def update(progress: Progress) -> None:
            if progress.name not in tasks:
                tasks[progress.name] = bar.add_task(progress.name, total=progress.total)
            bar.update(tasks[progress.name], completed=progress.done)

        yield update


def _megabytes(size: int | None) -> str:
    return "?" if size is None else f"{size / 1e6:.1f}"
