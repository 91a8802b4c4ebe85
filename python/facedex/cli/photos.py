"""The photos that a gallery keeps: list, save, add, delete, and build a person anew from them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import documents
from .opening import gallery_at, writing_to
from .options import (
    DatabaseOption,
    FacePolicy,
    FacesOption,
    GalleryOption,
    JsonOption,
    MinFaceOption,
    PackOption,
    PersonArgument,
    PicturesArgument,
    Rendition,
)
from .output import answering, complain, counted, document, say, table

if TYPE_CHECKING:
    from ..records import Photo

photos = typer.Typer(help="List, save, add and delete the photos that a gallery keeps of people.")

NumberArgument = Annotated[int, typer.Argument(min=1, metavar="NUMBER", help="The photo; see 'facedex photos list'.")]

_ENDINGS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "application/octet-stream": "bin"}


@photos.command("list")
def list_(
    person_id: PersonArgument,
    db: DatabaseOption = None,
    within: GalleryOption = None,
    pack: PackOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the photos of a person, oldest first."""
    with answering(as_json):
        with gallery_at(db, within, pack=pack) as gallery:
            listed = gallery.photos(person_id)
        if as_json:
            document({"photos": [documents.photo(photo) for photo in listed]})
            return
        if listed:
            columns = ["photo", "kept as", "size", "faces", "file", "stored (UTC)"]
            table(columns, [_cells(photo) for photo in listed], right="photo")
        say(counted(len(listed), "photo"))


@photos.command("save")
def save(
    person_id: PersonArgument,
    folder: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Write the photos into this folder.")],
    db: DatabaseOption = None,
    within: GalleryOption = None,
    pack: PackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the photos of a person as files; each is named by its number."""
    with answering(as_json):
        from ..store import media_type_of

        written = []
        with writing_to(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with gallery_at(db, within, pack=pack) as gallery:
            for photo in gallery.photos(person_id):
                data = gallery.photo_bytes(photo.photo_id)
                target = folder / f"{photo.photo_id}.{_ENDINGS[media_type_of(data)]}"
                with writing_to(folder):
                    target.write_bytes(data)
                written.append(str(target))
        if as_json:
            document({"written": written})
        else:
            say(f"wrote {counted(len(written), 'photo')} to {folder}")


@photos.command("add")
def add(
    person_id: PersonArgument,
    pictures: PicturesArgument,
    keep: Annotated[
        Rendition, typer.Option("--photos", help="The picture without metadata, or a small one of it.")
    ] = Rendition.original,
    db: DatabaseOption = None,
    within: GalleryOption = None,
    pack: PackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep pictures of a registered person, without looking for faces in them."""
    if keep is Rendition.none:
        raise typer.BadParameter("choose original or thumbnail", param_hint="--photos")
    with answering(as_json):
        with gallery_at(db, within, pack=pack) as gallery:
            added = [gallery.add_photo(person_id, picture, rendition=keep.value) for picture in pictures]
        if as_json:
            document({"photos": [documents.photo(photo) for photo in added]})
        else:
            say(f"added {counted(len(added), 'photo')} of {person_id!r}")


@photos.command("delete")
def delete(
    number: NumberArgument,
    db: DatabaseOption = None,
    within: GalleryOption = None,
    pack: PackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a photo with the faces that were registered from it. Nothing is asked first."""
    with answering(as_json):
        with gallery_at(db, within, pack=pack) as gallery:
            receipt = gallery.delete_photo(number)
        if as_json:
            document(documents.deletion(receipt))
        else:
            faces = counted(len(receipt.faces), "face")
            say(f"deleted photo {number} of {receipt.person_id!r} with {faces}, receipt {receipt.digest}")


@photos.command("rebuild")
def rebuild(
    person_id: PersonArgument,
    faces: FacesOption = FacePolicy.one,
    min_face: MinFaceOption = None,
    db: DatabaseOption = None,
    within: GalleryOption = None,
    pack: PackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the templates of a person anew from the originals that were kept."""
    with answering(as_json):
        with gallery_at(db, within, pack=pack) as gallery:
            result = gallery.rebuild_person(person_id, faces=faces.value, min_face=min_face)
        if as_json:
            document(documents.registration(result))
            return
        say(f"built {result.person_id!r} anew with {counted(len(result.faces), 'face')}")
        for rejection in result.rejected:
            complain(rejection.error, rejection.text)


def _cells(photo: Photo) -> list[str]:
    size = f"{photo.width} × {photo.height}"
    faces = ", ".join(map(str, photo.faces))
    stored = f"{photo.created_at:%Y-%m-%d %H:%M}"
    return [str(photo.photo_id), photo.rendition, size, faces, photo.filename or "", stored]
