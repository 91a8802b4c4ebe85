"""The verbs that move people between galleries and programs: import, export."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .custody import key_in
from .opening import gallery_at, location_of
from .options import (
    DatabaseOption,
    FacePolicy,
    FacesOption,
    GalleryOption,
    JsonOption,
    MinFaceOption,
    PackOption,
    PhotosOption,
    Rendition,
    StrictOption,
)
from .output import NO, answering, complain, counted, document, error_document, say
from .upkeep import bar

if TYPE_CHECKING:
    from ..transfer import ImportReport


class Kind(Enum):
    """What is imported."""

    folder = "folder"
    pickles = "pickles"
    array = "array"
    faiss = "faiss"
    gallery = "gallery"


class OnExisting(Enum):
    """What to do when a person is registered already."""

    error = "error"
    add = "add"
    replace = "replace"
    skip = "skip"


KeyFileOption = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        metavar="FILE",
        help="File with the key that seals the gallery file, as 'facedex gallery new-key' prints it; - is standard "
        "input.",
    ),
]


def import_people(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="A folder of <person>/<photo>, a gallery file, pickled dlib encodings or a folder of them, an .npy "
            "array, or a flat faiss index.",
        ),
    ],
    kind: Annotated[Kind | None, typer.Option("--kind", help="What it is. Without it the content tells.")] = None,
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
        typer.Option(
            "--same-pack", metavar="NAME", help="Say that this pack made the vectors; it must be the gallery's."
        ),
    ] = None,
    key_file: KeyFileOption = None,
    on_existing: Annotated[
        OnExisting,
        typer.Option(
            "--on-existing", help="When an id is taken: reject, add the faces, replace them, or leave as stored."
        ),
    ] = OnExisting.error,
    faces: FacesOption = FacePolicy.one,
    min_face: MinFaceOption = None,
    strict: StrictOption = False,
    photos: PhotosOption = Rendition.none,
    db: DatabaseOption = None,
    within: GalleryOption = None,
    pack: PackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import people from another program, or from a gallery file. Exit code 1: something was rejected."""
    key = None if key_file is None else key_in(key_file, "--key-file")
    with answering(as_json):
        from .. import transfer

        found = transfer.kind_of(path) if kind is None else kind.value
        location = location_of(db)
        if pack is None and found == "gallery" and "://" not in location and not Path(location).exists():
            pack = transfer.pack_of(path, key=key)  # a new gallery is made with the pack of the file
        opened = gallery_at(db, within, pack=pack, create=True, photos=photos.value)
        with opened as gallery, bar("importing", as_json) as progress:
            report = transfer.import_from(
                gallery,
                path,
                kind=found,
                names=names,
                same_pack=same_pack,
                key=key,
                on_existing=on_existing.value,
                faces=faces.value,
                min_face=min_face,
                strict=strict,
                progress=progress,
            )
        if as_json:
            document(_imported(report))
        else:
            _tell(report)
    if report.rejected:
        raise typer.Exit(NO)


def export(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The gallery file to write; an older one is replaced.")],
    key_file: KeyFileOption = None,
    plain: Annotated[bool, typer.Option("--plain", help="Write an encrypted gallery in the clear.")] = False,
    db: DatabaseOption = None,
    within: GalleryOption = None,
    pack: PackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the whole gallery into one file: people, faces, templates and kept photos."""
    if plain and key_file is not None:
        raise typer.BadParameter("give either --key-file FILE or --plain", param_hint="--key-file")
    key = None if key_file is None else key_in(key_file, "--key-file")
    with answering(as_json):
        from .. import transfer

        with gallery_at(db, within, pack=pack) as gallery, bar("exporting", as_json) as progress:
            report = transfer.export_to(gallery, path, key=key, plain=plain, progress=progress)
        if as_json:
            described = {"path": str(report.path), "people": report.people, "faces": report.faces}
            document(described | {"photos": report.photos, "size": report.size, "encrypted": report.encrypted})
        else:
            held = _held(report.people, report.faces, report.photos)
            say(f"wrote {held} to {report.path}" + (", encrypted" if report.encrypted else ", not encrypted"))


def _tell(report: ImportReport) -> None:
    for rejection in report.rejected:
        complain(rejection.error, rejection.text)
    for person_id, warning in report.warnings:
        say(
            f"warning: {person_id!r} resembles {warning.person_id!r} (similarity {warning.similarity:.3f}, threshold "
            f"{warning.threshold:.3f})"
        )
    if report.unnamed:
        say(f"without a line in the file of names: {', '.join(report.unnamed)}")
    told = f"imported {_held(report.people, report.faces, report.photos)}"
    if report.skipped:
        told += f", left {counted(len(report.skipped), 'person', 'people')} as stored"
    say(f"{told}; {counted(len(report.rejected), 'item')} rejected")


def _imported(report: ImportReport) -> dict[str, Any]:
    return {
        "kind": report.kind,
        "people": report.people,
        "faces": report.faces,
        "photos": report.photos,
        "skipped": list(report.skipped),
        "rejected": [
            {"item": rejection.text, "error": error_document(rejection.error)} for rejection in report.rejected
        ],
        "unnamed": list(report.unnamed),
        "warnings": [
            {
                "person_id": person_id,
                "resembles": warning.person_id,
                "similarity": warning.similarity,
                "threshold": warning.threshold,
            }
            for person_id, warning in report.warnings
        ],
    }


def _held(people: int, faces: int, photos: int) -> str:
    text = f"{counted(people, 'person', 'people')} with {counted(faces, 'face')}"
    return f"{text} and {counted(photos, 'photo')}" if photos else text
