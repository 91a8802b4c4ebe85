"""The commands that change or list who is registered: register, people, delete, purge."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated

import typer

from ..options import OnExisting
from .documents import to_json
from .opening import Target, command, read_pictures
from .options import FacesOption, MinFaceOption, PersonArgument, PhotosOption, PicturesArgument, StrictOption
from .output import (
    Output,
    format_bbox,
    format_outlier,
    format_time,
    interruptible,
    pluralize,
    print_error,
    print_line,
    print_note,
    print_table,
)

if TYPE_CHECKING:
    from ..records import Deletion, Person, Registration

NOT_WIPED = (
    "Traces may remain in the logs of the database: another program was reading them, or the database runs on a server."
)


@command
def register(
    target: Target,
    person_id: PersonArgument,
    pictures: PicturesArgument,
    name: Annotated[str | None, typer.Option("--name", help="The person's name.")] = None,
    email: Annotated[str | None, typer.Option("--email", help="The person's e-mail address.")] = None,
    on_existing: Annotated[
        OnExisting,
        typer.Option("--on-existing", help="If the id is in use: refuse, add the faces, replace them, or skip."),
    ] = "error",
    faces: FacesOption = "one",
    min_face: MinFaceOption = None,
    strict: StrictOption = False,
    retain_until: Annotated[
        datetime | None,
        typer.Option("--retain-until", help="When 'facedex purge' is to delete the person, UTC."),
    ] = None,
    photos: PhotosOption = None,
) -> Output:
    """Register a person from pictures. One good picture is enough; rejected pictures are listed."""
    advice = f"{person_id!r} is stored completely or not at all: run it again with --on-existing skip"
    with interruptible(None, advice), target.open(create=True, photos=photos) as gallery:
        given = read_pictures(pictures)
        result = gallery.register(
            person_id,
            given[0] if len(given) == 1 else given,
            name=name,
            email=email,
            on_existing=on_existing,
            faces=faces,
            min_face=min_face,
            strict=strict,
            retain_until=None if retain_until is None else retain_until.replace(tzinfo=timezone.utc),
        )

    def show() -> None:
        show_registration(result, "registered", pictures)
        for warning in result.warnings:
            print_note(
                f"warning: {pictures[warning.source]} resembles {warning.person_id!r}, who is registered "
                f"(similarity {warning.similarity:.3f}, threshold {warning.threshold:.3f})"
            )

    return Output(to_json(result, text="picture"), show)


@command
def people(
    target: Target,
    person_id: Annotated[str | None, typer.Argument(metavar="ID", help="Only this person, with every face.")] = None,
) -> Output:
    """List the registered people."""
    with target.open() as gallery:
        listed = gallery.people() if person_id is None else [gallery.person(person_id)]

    def show() -> None:
        if person_id is None:
            _show_people(listed)
        else:
            _show_person(listed[0])

    return Output({"people": listed}, show)


@command
def delete(
    target: Target,
    person_id: Annotated[str | None, typer.Argument(metavar="ID", help="The person to delete.")] = None,
    face: Annotated[
        int | None,
        typer.Option("--face", min=1, metavar="NUMBER", help="Delete only this face; see 'facedex people ID'."),
    ] = None,
) -> Output:
    """Delete a person with all faces, or one face. This is final, and there is no confirmation."""
    if (person_id is None) == (face is None):
        raise typer.BadParameter("give either a person's ID or --face NUMBER", param_hint="ID")
    with target.open() as gallery:
        if person_id is not None:
            receipt = gallery.delete(person_id)
        elif face is not None:
            receipt = gallery.delete_face(face)
    return Output(receipt, lambda: _show_deletion(receipt))


@command
def purge(target: Target) -> Output:
    """Delete everybody whose retention has ended. Run it from a timer, as often as needed to be on time."""
    with target.open() as gallery:
        receipts = gallery.purge()

    def show() -> None:
        for receipt in receipts:
            _show_deletion(receipt)
        print_line(f"{pluralize(len(receipts), 'person', 'people')} purged")
        if not all(receipt.wiped for receipt in receipts):
            print_line(NOT_WIPED)

    return Output({"purged": receipts}, show)


def show_registration(result: Registration, verb: str, pictures: Sequence[object] = ()) -> None:
    """Print the number of faces, each rejected picture, and faces that do not resemble the others."""
    if result.skipped:
        print_line(f"left {result.person_id!r} as stored")
        return
    print_line(f"{verb} {result.person_id!r} with {pluralize(len(result.faces), 'face')}")
    for rejection in result.rejected:
        print_error(rejection.error, rejection.text)
    for outlier in result.outliers:
        print_note(f"warning: {format_outlier(outlier, result.person_id, pictures)}")


def _show_deletion(receipt: Deletion) -> None:
    if receipt.person_removed:
        faces = pluralize(len(receipt.faces), "face")
        print_line(f"deleted {receipt.person_id!r} with {faces}, receipt {receipt.digest}")
    else:
        numbers = ", ".join(map(str, receipt.faces))
        print_line(f"deleted face {numbers} of {receipt.person_id!r}, receipt {receipt.digest}")


def _show_people(listed: list[Person]) -> None:
    rows = [
        [
            str(person.person_id),
            person.name or "",
            person.email or "",
            str(len(person.faces)),
            format_time(person.created_at),
        ]
        for person in listed
    ]
    print_table(["person", "name", "e-mail", "faces", "registered (UTC)"], rows, right="faces")
    print_line(f"{pluralize(len(listed), 'person', 'people')} registered")


def _show_person(person: Person) -> None:
    facts = {"person": str(person.person_id), "name": person.name, "e-mail": person.email} | person.info
    for label, value in facts.items():
        if value is not None:
            print_line(f"{label}: {value}")
    rows = [
        [
            str(face.face_id),
            format_bbox(face.bbox),
            f"{face.det_score:.3f}",
            "" if face.quality is None else f"{face.quality:.0f}",
            format_time(face.created_at),
        ]
        for face in person.faces
    ]
    print_table(["face", "box", "score", "quality", "stored (UTC)"], rows, right="face,score,quality")
