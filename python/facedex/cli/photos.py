"""The photos that a gallery stores: list, save, add, delete, and rebuild a person from them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import FacedexError, ImageError, PhotoTooLargeError
from ..options import Rendition
from .documents import to_json
from .opening import Target, command, read_pictures, writing_to
from .options import FacesOption, MinFaceOption, PersonArgument, PicturesArgument
from .output import FAILED, Output, format_time, pluralize, print_error, print_line, print_table
from .people import show_registration

if TYPE_CHECKING:
    from ..records import Photo

photos = typer.Typer(help="List, save, add and delete the photos that a gallery stores of people.")

_SUFFIXES = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "application/octet-stream": "bin"}


@photos.command("list")
@command
def list_(target: Target, person_id: PersonArgument) -> Output:
    """List the photos of a person, oldest first."""
    with target.open() as gallery:
        listed = gallery.photos(person_id)

    def show() -> None:
        rows = [
            [
                str(photo.photo_id),
                photo.rendition,
                f"{photo.width} × {photo.height}",
                ", ".join(map(str, photo.faces)),
                photo.filename or "",
                format_time(photo.created_at),
            ]
            for photo in listed
        ]
        print_table(["photo", "stored as", "size", "faces", "file", "stored (UTC)"], rows, right="photo")
        print_line(pluralize(len(listed), "photo"))

    return Output({"photos": listed}, show)


@photos.command("save")
@command
def save(
    target: Target,
    person_id: PersonArgument,
    folder: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Write the photos into this folder.")],
) -> Output:
    """Write the photos of a person to files; each is named by its number."""
    from ..store import media_type_of

    written = []
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with target.open() as gallery:
        for photo in gallery.photos(person_id):
            data = gallery.photo_bytes(photo.photo_id)
            written.append(folder / f"{photo.photo_id}.{_SUFFIXES[media_type_of(data)]}")
            with writing_to(folder):
                written[-1].write_bytes(data)
    return Output({"written": written}, lambda: print_line(f"wrote {pluralize(len(written), 'photo')} to {folder}"))


@photos.command("add")
@command
def add(
    target: Target,
    person_id: PersonArgument,
    pictures: PicturesArgument,
    rendition: Annotated[
        Rendition, typer.Option("--photos", help="The picture without metadata, or a small one of it.")
    ] = "original",
) -> Output:
    """Store pictures of a registered person, without looking for faces in them. Exit code 3: one was rejected."""
    added: list[Photo] = []
    rejected: list[tuple[Path, FacedexError]] = []
    with target.open() as gallery:
        gallery.person(person_id)  # an unknown one is no error of each picture
        for picture, image in zip(pictures, read_pictures(pictures), strict=True):
            try:
                added.append(gallery.add_photo(person_id, image, rendition=rendition))
            except (ImageError, PhotoTooLargeError) as error:
                rejected.append((picture, error))

    def show() -> None:
        for picture, error in rejected:
            print_error(error, str(picture))
        print_line(f"added {pluralize(len(added), 'photo')} of {person_id!r}")

    described = [{"picture": picture, "error": error} for picture, error in rejected]
    return Output({"photos": added, "rejected": described}, show, FAILED if rejected else 0)


@photos.command("delete")
@command
def delete(
    target: Target,
    number: Annotated[int, typer.Argument(min=1, metavar="NUMBER", help="The photo; see 'facedex photos list'.")],
) -> Output:
    """Delete a photo with the faces that were registered from it. There is no confirmation."""
    with target.open() as gallery:
        receipt = gallery.delete_photo(number)
    faces = pluralize(len(receipt.faces), "face")
    sentence = f"deleted photo {number} of {receipt.person_id!r} with {faces}, receipt {receipt.digest}"
    return Output(receipt, lambda: print_line(sentence))


@photos.command("rebuild")
@command
def rebuild(
    target: Target, person_id: PersonArgument, faces: FacesOption = "one", min_face: MinFaceOption = None
) -> Output:
    """Rebuild the templates of a person from the stored originals."""
    with target.open() as gallery:
        result = gallery.rebuild_person(person_id, faces=faces, min_face=min_face)
    return Output(to_json(result, text="picture"), lambda: show_registration(result, "rebuilt"))
