"""People: register, list, read, change, delete; and their faces."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, Path, Query, Request, Response

from ...errors import ArgumentError, DuplicatePersonError
from ...gallery import Gallery
from ...options import OnExisting, PersonDetails
from ...records import Deletion, Person, Registration, StoredFace
from ..pictures import Submission, read_submission
from ..security import EnrolBy, ReadBy
from ..services import ServicesOf
from . import schemas
from .answers import list_of
from .common import Cursor, GalleryName, Limit, page, part, pictures_body, place_of
from .schemas import Page

router = part("people")
faces = part("faces")

PersonKey = Annotated[str, Path(min_length=1, max_length=255, description="The person's id.")]
NewPerson = Annotated[Submission[schemas.NewPerson], Depends(read_submission(schemas.NewPerson, least=0, most=0))]
NewFaces = Annotated[Submission[schemas.Registering], Depends(read_submission(schemas.Registering, most=0))]


@router.get("/people", response_model=schemas.page_of(schemas.Person))
async def people(
    services: ServicesOf,
    caller: ReadBy,
    cursor: Cursor = None,
    limit: Limit = 100,
    email: Annotated[str | None, Query(max_length=255, description="Only people with this e-mail address.")] = None,
    gallery: GalleryName = None,
) -> Page[Person]:
    """List people in the order of registration."""
    after = place_of(cursor)
    if email is not None:
        found = await services.query(lambda opened: opened.lookup.people_with_email(email), gallery)
        found = [person for person in found if person.number > after]
    else:
        found = await services.query(lambda opened: opened.lookup.people_after(after, limit=limit + 1), gallery)
    return page(found, limit, lambda person: person.number)


@router.post(
    "/people",
    status_code=201,
    response_model=schemas.Registration,
    openapi_extra=pictures_body(schemas.NewPerson, several=True, required=False),
)
async def register(
    services: ServicesOf,
    caller: EnrolBy,
    given: NewPerson,
    request: Request,
    response: Response,
    gallery: GalleryName = None,
) -> Registration:
    """Register a person from pictures; a person without one is not recognised until a face is added."""
    options = given.options
    if isinstance(options.person_id, str) and ("/" in options.person_id or options.person_id in (".", "..")):
        raise ArgumentError("person_id must not be '.' or '..' nor hold '/', because it is part of an address")
    details: dict[str, Any] = options.model_dump(include=set(PersonDetails.__annotations__))

    def register_or_create(opened: Gallery) -> Registration:
        if not given.pictures and options.on_existing in ("error", "skip"):
            try:
                return Registration(opened.create(options.person_id, **details).person_id, faces=())
            except DuplicatePersonError as error:
                if options.on_existing == "error" or error.person_id is None:
                    raise
                return Registration(error.person_id, faces=(), skipped=True)
        rules = options.model_dump(include={"on_existing", "faces", "min_face", "strict"})
        return opened.register(options.person_id, _pictures(given), **details, **rules)

    done = await services.work(register_or_create, gallery)
    response.headers["Location"] = f"{request.url.path}/{quote(str(done.person_id), safe='')}"
    return done


@router.get("/people/{person_id}", response_model=schemas.Person)
async def person(services: ServicesOf, caller: ReadBy, person_id: PersonKey, gallery: GalleryName = None) -> Person:
    """Read a person."""
    return await services.query(lambda opened: opened.person(person_id), gallery)


@router.patch("/people/{person_id}", response_model=schemas.Person)
async def change_person(
    services: ServicesOf,
    caller: EnrolBy,
    person_id: PersonKey,
    given: schemas.PersonChange,
    gallery: GalleryName = None,
) -> Person:
    """Change a person's details."""
    fields = given.model_dump(exclude_unset=True)
    return await services.query(lambda opened: opened.update(person_id, **fields), gallery)


@router.delete("/people/{person_id}", response_model=schemas.Deletion)
async def delete_person(
    services: ServicesOf, caller: EnrolBy, person_id: PersonKey, gallery: GalleryName = None
) -> Deletion:
    """Delete a person with all faces, photos and templates. This cannot be undone."""
    return await services.query(lambda opened: opened.delete(person_id), gallery)


@faces.get("/people/{person_id}/faces", response_model=list_of(schemas.Face))
async def faces_of(
    services: ServicesOf, caller: ReadBy, person_id: PersonKey, gallery: GalleryName = None
) -> tuple[StoredFace, ...]:
    """List the faces of a person."""
    return (await services.query(lambda opened: opened.person(person_id), gallery)).faces


@faces.post(
    "/people/{person_id}/faces",
    status_code=201,
    response_model=schemas.Registration,
    openapi_extra=pictures_body(schemas.Registering, several=True),
)
async def add_faces(
    services: ServicesOf, caller: EnrolBy, person_id: PersonKey, given: NewFaces, gallery: GalleryName = None
) -> Registration:
    """Add faces to a registered person."""
    return await services.work(partial(_register_more, person_id=person_id, given=given, on_existing="add"), gallery)


@faces.put(
    "/people/{person_id}/faces",
    response_model=schemas.Registration,
    openapi_extra=pictures_body(schemas.Registering, several=True),
)
async def replace_faces(
    services: ServicesOf, caller: EnrolBy, person_id: PersonKey, given: NewFaces, gallery: GalleryName = None
) -> Registration:
    """Replace all faces of a person."""
    return await services.work(
        partial(_register_more, person_id=person_id, given=given, on_existing="replace"), gallery
    )


@faces.delete("/faces/{face_id}", response_model=schemas.Deletion)
async def delete_face(
    services: ServicesOf,
    caller: EnrolBy,
    face_id: Annotated[int, Path(ge=1, le=2**63 - 1)],
    gallery: GalleryName = None,
) -> Deletion:
    """Delete one face; the person stays, even without a face."""
    return await services.query(lambda opened: opened.delete_face(face_id), gallery)


def _register_more(
    opened: Gallery, *, person_id: str, given: Submission[schemas.Registering], on_existing: OnExisting
) -> Registration:
    opened.person(person_id)
    return opened.register(person_id, _pictures(given), on_existing=on_existing, **given.options.model_dump())


def _pictures(given: Submission[Any]) -> Any:
    """Return one picture by itself, whose error is then the answer; several as a list."""
    return given.images[0] if len(given.images) == 1 else given.images
