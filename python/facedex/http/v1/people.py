"""Who is registered: register, list, look up, change, delete; and the faces of each."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, Path, Query, Request, Response

from ...errors import ArgumentError
from ...gallery import Gallery
from ...records import Registration
from ..errors import describe
from ..pictures import Submission, submitted
from ..security import EnrolBy, ReadBy
from ..services import ServicesOf
from . import schemas
from .common import Cursor, GalleryName, Limit, cursor_of, part, pictures_body, place_of

router = part("people")
faces = part("faces")

PersonKey = Annotated[str, Path(min_length=1, max_length=255, description="The person's id.")]
NewPerson = Annotated[Submission[schemas.NewPerson], Depends(submitted(schemas.NewPerson, least=0, most=0))]
NewFaces = Annotated[Submission[schemas.Registering], Depends(submitted(schemas.Registering, most=0))]


@router.get("/people")
async def people(
    services: ServicesOf,
    who: ReadBy,
    cursor: Cursor = None,
    limit: Limit = 100,
    email: Annotated[str | None, Query(max_length=255, description="Only people with this e-mail address.")] = None,
    gallery: GalleryName = None,
) -> schemas.Page[schemas.Person]:
    """List who is registered, in the order of registration."""
    after = place_of(cursor)
    if email is not None:
        found = await services.ask(lambda opened: opened.people_with_email(email), gallery)
        found = [person for person in found if person.number > after]
    else:
        found = await services.ask(lambda opened: opened.people_after(after, limit=limit + 1), gallery)
    more = cursor_of(found[limit - 1].number) if len(found) > limit else None
    return schemas.Page(items=[schemas.Person.model_validate(one) for one in found[:limit]], next_cursor=more)


@router.post("/people", status_code=201, openapi_extra=pictures_body(schemas.NewPerson, several=True, required=False))
async def register(
    services: ServicesOf,
    who: EnrolBy,
    given: NewPerson,
    request: Request,
    response: Response,
    gallery: GalleryName = None,
) -> schemas.Registration:
    """Register a person from pictures; without one the person is entered, and recognised only after a face is added."""
    options = given.options
    if isinstance(options.person_id, str) and ("/" in options.person_id or options.person_id in (".", "..")):
        raise ArgumentError("person_id must not be '.' or '..' nor hold '/', because it is part of an address")
    details: dict[str, Any] = options.model_dump(include={"name", "email", "info", "retain_until"})

    def enter(opened: Gallery) -> schemas.Registration:
        if not given.pictures and options.on_existing == "error":
            person = opened.create(options.person_id, **details)
            return schemas.Registration(person_id=person.person_id, faces=[], rejected=[], warnings=[], replaced=[])
        rules = options.model_dump(include={"on_existing", "faces", "min_face", "strict"})
        return answer_of(opened.register(options.person_id, _pictures(given), **details, **rules))

    answer = await services.work(enter, gallery)
    response.headers["Location"] = f"{request.url.path}/{quote(str(answer.person_id), safe='')}"
    return answer


@router.get("/people/{person_id}")
async def person(
    services: ServicesOf, who: ReadBy, person_id: PersonKey, gallery: GalleryName = None
) -> schemas.Person:
    """Tell what is known of a person."""
    return schemas.Person.model_validate(await services.ask(lambda opened: opened.person(person_id), gallery))


@router.patch("/people/{person_id}")
async def change(
    services: ServicesOf,
    who: EnrolBy,
    person_id: PersonKey,
    given: schemas.PersonChange,
    gallery: GalleryName = None,
) -> schemas.Person:
    """Change what is known of a person."""
    fields = given.model_dump(exclude_unset=True)
    found = await services.ask(lambda opened: opened.update(person_id, **fields), gallery)
    return schemas.Person.model_validate(found)


@router.delete("/people/{person_id}")
async def delete(
    services: ServicesOf, who: EnrolBy, person_id: PersonKey, gallery: GalleryName = None
) -> schemas.Deletion:
    """Delete a person with all faces, photos and templates. It does not come back."""
    return schemas.Deletion.model_validate(await services.ask(lambda opened: opened.delete(person_id), gallery))


@faces.get("/people/{person_id}/faces")
async def faces_of(
    services: ServicesOf, who: ReadBy, person_id: PersonKey, gallery: GalleryName = None
) -> list[schemas.Face]:
    """List the faces of a person."""
    found = await services.ask(lambda opened: opened.person(person_id), gallery)
    return [schemas.Face.model_validate(face) for face in found.faces]


@faces.post(
    "/people/{person_id}/faces", status_code=201, openapi_extra=pictures_body(schemas.Registering, several=True)
)
async def add_faces(
    services: ServicesOf, who: EnrolBy, person_id: PersonKey, given: NewFaces, gallery: GalleryName = None
) -> schemas.Registration:
    """Add faces to a person who is registered."""

    def add(opened: Gallery) -> Registration:
        opened.person(person_id)
        return opened.register(person_id, _pictures(given), on_existing="add", **given.options.model_dump())

    return answer_of(await services.work(add, gallery))


@faces.put("/people/{person_id}/faces", openapi_extra=pictures_body(schemas.Registering, several=True))
async def replace_faces(
    services: ServicesOf, who: EnrolBy, person_id: PersonKey, given: NewFaces, gallery: GalleryName = None
) -> schemas.Registration:
    """Put faces in place of all that are stored of a person."""

    def replace(opened: Gallery) -> Registration:
        opened.person(person_id)
        return opened.register(person_id, _pictures(given), on_existing="replace", **given.options.model_dump())

    return answer_of(await services.work(replace, gallery))


@faces.delete("/faces/{face_id}")
async def delete_face(
    services: ServicesOf,
    who: EnrolBy,
    face_id: Annotated[int, Path(ge=1, le=2**63 - 1)],
    gallery: GalleryName = None,
) -> schemas.Deletion:
    """Delete one face; the person stays, even without a face."""
    return schemas.Deletion.model_validate(await services.ask(lambda opened: opened.delete_face(face_id), gallery))


def answer_of(found: Registration) -> schemas.Registration:
    """Tell what a registration stored."""
    return schemas.Registration(
        person_id=found.person_id,
        faces=[schemas.RegisteredFace.model_validate(face) for face in found.faces],
        rejected=[schemas.Rejection(source=one.source, **describe(one.error)) for one in found.rejected],
        warnings=[schemas.Duplicate.model_validate(one) for one in found.warnings],
        replaced=list(found.replaced),
    )


def _pictures(given: Submission[Any]) -> Any:
    """One picture by itself, whose error is then the answer; several as a list."""
    return given.images[0] if len(given.images) == 1 else given.images
