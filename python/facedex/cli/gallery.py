"""The verbs that change or list who is known: register, people, delete."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated

import typer

from . import documents
from .opening import gallery_at
from .options import (
    DatabaseOption,
    FacePolicy,
    FacesOption,
    GalleryOption,
    JsonOption,
    MinFaceOption,
    OnExisting,
    PackOption,
    PersonArgument,
    PhotosOption,
    PicturesArgument,
    Rendition,
    StrictOption,
)
from .output import answering, complain, counted, document, say, table

if TYPE_CHECKING:
    from ..records import Person


def register(
    person_id: PersonArgument,
    pictures: PicturesArgument,
    name: Annotated[str | None, typer.Option("--name", help="The person's name.")] = None,
    email: Annotated[str | None, typer.Option("--email", help="The person's e-mail address.")] = None,
    on_existing: Annotated[
        OnExisting, typer.Option("--on-existing", help="When the id is taken: refuse, add the faces, or replace them.")
    ] = OnExisting.error,
    faces: FacesOption = FacePolicy.one,
    min_face: MinFaceOption = None,
    strict: StrictOption = False,
    retain_until: Annotated[
        datetime | None,
        typer.Option("--retain-until", help="When 'facedex purge' is to delete the person, UTC."),
    ] = None,
    photos: PhotosOption = Rendition.none,
    db: DatabaseOption = None,
    within: GalleryOption = None,
    pack: PackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register a person from pictures. Refused pictures are told; one good picture is enough."""
    with answering(as_json):
        with gallery_at(db, within, pack=pack, create=True, photos=photos.value) as gallery:
            given = [str(picture) for picture in pictures]
            result = gallery.register(
                person_id,
                given[0] if len(given) == 1 else given,
                name=name,
                email=email,
                on_existing=on_existing.value,
                faces=faces.value,
                min_face=min_face,
                strict=strict,
                retain_until=None if retain_until is None else retain_until.replace(tzinfo=timezone.utc),
            )
        if as_json:
            document(documents.registration(result))
            return
        say(f"registered {result.person_id!r} with {counted(len(result.faces), 'face')}")
        for rejection in result.rejected:
            complain(rejection.error, rejection.text)
        for warning in result.warnings:
            say(
                f"warning: {pictures[warning.source]} resembles {warning.person_id!r}, who is registered "
                f"(similarity {warning.similarity:.3f}, threshold {warning.threshold:.3f})"
            )


def people(
    person_id: Annotated[str | None, typer.Argument(metavar="ID", help="Only this person, with every face.")] = None,
    db: DatabaseOption = None,
    within: GalleryOption = None,
    pack: PackOption = None,
    as_json: JsonOption = False,
) -> None:
    """List who is registered."""
    with answering(as_json):
        with gallery_at(db, within, pack=pack) as gallery:
            listed = gallery.people() if person_id is None else [gallery.person(person_id)]
        if as_json:
            document({"people": [documents.person(person) for person in listed]})
        elif person_id is None:
            rows = [
                [str(person.person_id), person.name or "", person.email or "", str(len(person.faces)), _when(person)]
                for person in listed
            ]
            if rows:
                table(["person", "name", "e-mail", "faces", "registered (UTC)"], rows, right="faces")
            say(f"{counted(len(listed), 'person', 'people')} registered")
        else:
            _show_person(listed[0])


def delete(
    person_id: Annotated[str | None, typer.Argument(metavar="ID", help="The person to delete.")] = None,
    face: Annotated[
        int | None,
        typer.Option("--face", min=1, metavar="NUMBER", help="Delete only this face; see 'facedex people ID'."),
    ] = None,
    db: DatabaseOption = None,
    within: GalleryOption = None,
    pack: PackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a person with all faces, or one face. It does not come back, and nothing is asked first."""
    if (person_id is None) == (face is None):
        raise typer.BadParameter("give either a person's ID or --face NUMBER", param_hint="ID")
    with answering(as_json):
        with gallery_at(db, within, pack=pack) as gallery:
            if person_id is not None:
                result = gallery.delete(person_id)
            elif face is not None:
                result = gallery.delete_face(face)
        if as_json:
            document(documents.deletion(result))
        elif result.person_removed:
            say(f"deleted {result.person_id!r} with {counted(len(result.faces), 'face')}, receipt {result.digest}")
        else:
            told = ", ".join(str(number) for number in result.faces)
            say(f"deleted face {told} of {result.person_id!r}, receipt {result.digest}")


def _show_person(person: Person) -> None:
    for label, value in (("person", str(person.person_id)), ("name", person.name), ("e-mail", person.email)):
        if value:
            say(f"{label}: {value}")
    for key, value in person.info.items():
        say(f"{key}: {value}")
    rows = [
        [
            str(face.face_id),
            ", ".join(str(round(value)) for value in face.bbox),
            f"{face.det_score:.3f}",
            "" if face.quality is None else f"{face.quality:.0f}",
            f"{face.created_at:%Y-%m-%d %H:%M}",
        ]
        for face in person.faces
    ]
    table(["face", "box", "score", "quality", "stored (UTC)"], rows, right="face,score,quality")


def _when(person: Person) -> str:
    return f"{person.created_at:%Y-%m-%d %H:%M}"
