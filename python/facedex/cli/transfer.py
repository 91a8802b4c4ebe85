"""The commands that move people between galleries and programs: import, export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from ..errors import ExportError
from ..options import ImportKind, OnExisting
from ..plain import code_of
from .documents import to_json
from .opening import Target, command, read_key
from .options import FacesOption, JsonOption, MinFaceOption, PhotosOption, StrictOption
from .output import (
    NO,
    Output,
    format_outlier,
    interruptible,
    pluralize,
    print_error,
    print_line,
    print_note,
    print_table,
    progress_bar,
)

if TYPE_CHECKING:
    from ..transfer import ExportReport, ImportReport

KeyFileOption = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        metavar="FILE",
        help="File with the key that encrypts the gallery file, as 'facedex gallery new-key' prints it; - is standard "
        "input.",
    ),
]


@command
def import_people(
    target: Target,
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="A folder of <person>/<photo>, a gallery file, pickled dlib encodings or a folder of them, an .npy "
            "array, or a flat faiss index.",
        ),
    ],
    kind: Annotated[
        ImportKind | None,
        typer.Option("--kind", help="What it is. Default: detected from the content."),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(
            "--names",
            metavar="FILE",
            help="The CSV with names of a folder, the JSON of an array, the .npz of an index.",
        ),
    ] = None,
    same_pack: Annotated[
        str | None,
        typer.Option("--same-pack", metavar="NAME", help="The pack that made the vectors; must be the gallery's."),
    ] = None,
    key_file: KeyFileOption = None,
    on_existing: Annotated[
        OnExisting,
        typer.Option("--on-existing", help="If an id is in use: reject, add the faces, replace them, or skip."),
    ] = "error",
    faces: FacesOption = "one",
    min_face: MinFaceOption = None,
    strict: StrictOption = False,
    photos: PhotosOption = None,
    report_file: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Also write the result, as --json prints it, to this file."),
    ] = None,
    as_json: JsonOption = False,
) -> Output:
    """Import people from another program, or from a gallery file. Exit code 1: something was rejected."""
    from .. import transfer
    from ..store import database_exists

    key = read_key(key_file, "--key-file")
    kind = transfer.kind_of(path) if kind is None else kind
    pack = target.pack
    if pack is None and kind == "gallery" and not database_exists(target.location):
        pack = transfer.pack_of(path, key=key)  # a new gallery is made with the pack of the file
    with (
        _open_report(report_file) as report_to,
        target.open(create=True, pack=pack, photos=photos) as gallery,
        progress_bar("importing", as_json) as progress,
        interruptible(progress, "who was imported stays: to import the others, add --on-existing skip") as progress,
    ):
        report = transfer.import_from(
            gallery,
            path,
            kind=kind,
            names=names,
            same_pack=same_pack,
            key=key,
            on_existing=on_existing,
            faces=faces,
            min_face=min_face,
            strict=strict,
            progress=progress,
        )
        described = _describe_import(report)
        if report_to is not None:
            report_to.write(json.dumps(described, indent=2) + "\n")
    return Output(described, lambda: _show_import(report), NO if report.rejected else 0)


@contextmanager
def _open_report(path: Path | None) -> Iterator[TextIO | None]:
    """Open the file of the report before anything is imported; one that cannot be written is wrong usage."""
    try:
        file = None if path is None else path.open("w", encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"cannot write to {path}: {error.strerror}", param_hint="--report") from error
    try:
        with nullcontext() if file is None else file:
            yield file
    except OSError as error:
        raise ExportError(f"the import is done, but {path} cannot be written: {error.strerror}") from error


@command
def export(
    target: Target,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The gallery file to write; an older one is replaced.")],
    key_file: KeyFileOption = None,
    plain: Annotated[bool, typer.Option("--plain", help="Write an encrypted gallery unencrypted.")] = False,
    as_json: JsonOption = False,
) -> Output:
    """Write the whole gallery to one file: people, faces, templates and stored photos."""
    from .. import transfer

    if plain and key_file is not None:
        raise typer.BadParameter("give either --key-file FILE or --plain", param_hint="--key-file")
    key = read_key(key_file, "--key-file")
    with target.open() as gallery, progress_bar("exporting", as_json) as progress:
        report = transfer.export_to(gallery, path, key=key, plain=plain, progress=progress)
    sentence = f"wrote {_format_counts(report)} to {path}, " + ("encrypted" if report.encrypted else "not encrypted")
    return Output(report, lambda: print_line(sentence))


def _show_import(report: ImportReport) -> None:
    for rejection in report.rejected:
        print_error(rejection.error, rejection.text)
    for person_id, warning in report.warnings:
        print_note(
            f"warning: {person_id!r} resembles {warning.person_id!r} (similarity {warning.similarity:.3f}, threshold "
            f"{warning.threshold:.3f})"
        )
    for person_id, outlier in report.outliers:
        print_note(f"warning: {format_outlier(outlier, person_id)}")
    if report.unnamed:
        print_line(f"without a line in the file of names: {', '.join(report.unnamed)}")
    reasons: dict[str, list[str]] = {}
    for rejection in report.rejected:
        reasons.setdefault(code_of(rejection.error), []).append(rejection.text)
    ordered = sorted(reasons.items(), key=lambda reason: -len(reason[1]))
    rows = [(code, str(len(items)), items[0]) for code, items in ordered]
    print_table(("rejected because", "items", "first"), rows, right="items")
    skipped = f", left {pluralize(len(report.skipped), 'person', 'people')} as stored" if report.skipped else ""
    print_line(f"imported {_format_counts(report)}{skipped}; {pluralize(len(report.rejected), 'item')} rejected")


def _describe_import(report: ImportReport) -> object:
    warnings = [
        {"person_id": person_id} | to_json(warning, person_id="resembles") for person_id, warning in report.warnings
    ]
    outliers = [{"person_id": person_id} | to_json(outlier) for person_id, outlier in report.outliers]
    return to_json(report, text="item") | {"warnings": warnings, "outliers": outliers}


def _format_counts(report: ImportReport | ExportReport) -> str:
    text = f"{pluralize(report.people, 'person', 'people')} with {pluralize(report.faces, 'face')}"
    return f"{text} and {pluralize(report.photos, 'photo')}" if report.photos else text
