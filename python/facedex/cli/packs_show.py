"""How packs are shown: as a document for programs, as tables and a progress bar for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .output import say, table

if TYPE_CHECKING:
    from ..packs import PackState, Progress


def pack_document(pack: PackState) -> dict[str, Any]:
    """Describe a pack for programs."""
    from ..packs import cautions

    info = pack.info
    return {
        "name": info.name,
        "summary": info.summary,
        "digest": info.digest,
        "dimension": info.dimension,
        "threshold": info.threshold,
        "fmr": info.fmr,
        "operating_points": [
            {"fmr": fmr, "threshold": threshold, "fnmr": fnmr} for fmr, threshold, fnmr in info.operating_points
        ],
        "source": info.source,
        "licences": list(info.licences),
        "commercial": info.commercial,
        "licences_to_accept": list(pack.unaccepted),
        "ready": pack.ready,
        "manifest": str(pack.location.manifest),
        "folders": [str(folder) for folder in pack.location.folders],
        "package": None if pack.location.package is None else pack.location.package.distribution,
        "download_bytes": pack.download_size,
        "files": [
            {
                "name": state.file.name,
                "condition": state.condition,
                "path": None if state.path is None else str(state.path),
                "size": state.file.size,
                "sha256": state.file.sha256,
                "urls": list(state.file.urls),
                "archive": state.file.archive,
                "member": state.file.member,
                "pack": state.file.pack,
                "licence": state.file.licence,
                "commercial": state.file.commercial,
                "terms": state.file.terms,
                "licence_source": state.file.licence_source,
                "source": state.file.source,
                "trained_on": state.file.trained_on,
                "cautions": list(cautions(state.file.trained_on)),
            }
            for state in pack.files
        ],
        "archives": [
            {
                "name": archive.name,
                "size": archive.size,
                "sha256": archive.sha256,
                "urls": list(archive.urls),
            }
            for archive in info.archives
        ],
    }


def show_list(packs: Sequence[PackState]) -> None:
    """Print a line for each pack."""
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
    table(["pack", "ready", "MB to get", "commercial use", "summary"], rows, right="MB to get")


def show_pack(pack: PackState) -> None:
    """Print all that is to know about a pack before using it."""
    from ..packs import cautions

    info = pack.info
    facts = {
        "name": info.name,
        "summary": info.summary,
        "digest": info.digest,
        "dimension": info.dimension,
        "threshold": info.threshold,
        "fmr": info.fmr,
        "source": info.source,
    }
    for label, value in facts.items():
        if value is not None:
            say(f"{label}: {value}")
    for fmr, threshold, fnmr in info.operating_points:
        say(f"measured: threshold {threshold:g} has FMR {fmr:g} and FNMR {fnmr:.1%}")
    say(f"licences: {', '.join(info.licences)}")
    say(f"commercial use: {'the licences allow it' if info.commercial else 'a licence forbids it'}")
    for terms in dict.fromkeys(file.terms for file in info.files if file.terms is not None):
        say(f"terms: {terms}")
    for licence in pack.unaccepted:
        say(f"to accept before use: {licence}")
    say(f"ready: {'yes' if pack.ready else 'no'}")
    say(f"folder: {pack.location.folder}")
    if pack.location.package is not None:
        say(f"installed by pip: {pack.location.package.distribution}")
    show_files(pack)
    for state in pack.files:
        say(f"{state.file.name}: {state.file.source}; licence: {state.file.licence_source}")
        say(f"{state.file.name} was trained on: {state.file.trained_on}")
        for url in state.file.urls:
            say(f"{state.file.name} is at: {url}")
        if state.file.archive is not None:
            say(f"{state.file.name} is {state.file.member} of {state.file.archive}")
    for archive in info.archives:
        for url in archive.urls:
            say(f"{archive.name} ({archive.size:,} bytes, SHA-256 {archive.sha256}) is at: {url}")
    found = [caution for state in pack.files for caution in cautions(state.file.trained_on)]
    for caution in reversed(dict.fromkeys(reversed(found))):  # whose decision it is comes last
        say(f"note: {caution}")


def show_files(pack: PackState) -> None:
    """Print a line for each file."""
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
    table(["file", "condition", "bytes", "licence", "SHA-256"], rows, right="bytes")


@contextmanager
def fetching(as_json: bool) -> Iterator[Callable[[Progress], object]]:
    """Show how far a download is, on standard error, where somebody looks at it."""
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

        def show(progress: Progress) -> None:
            if progress.name not in tasks:
                tasks[progress.name] = bar.add_task(progress.name, total=progress.total)
            bar.update(tasks[progress.name], completed=progress.done)

        yield show


def _megabytes(size: int | None) -> str:
    return "?" if size is None else f"{size / 1e6:.1f}"
