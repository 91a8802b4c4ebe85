"""The photos that a gallery keeps, where it is set up to keep them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Response

from ...gallery import Gallery
from ..pictures import Submission, submitted
from ..security import EnrolBy, ReadBy
from ..services import ServicesOf
from . import schemas
from .common import GalleryName, part, pictures_body
from .people import PersonKey, answer_of

router = part("photos")

PhotoId = Annotated[int, Path(ge=1, le=2**63 - 1)]
NewPhoto = Annotated[Submission[schemas.PhotoOptions], Depends(submitted(schemas.PhotoOptions))]


@router.get("/people/{person_id}/photos")
async def photos(
    services: ServicesOf, who: ReadBy, person_id: PersonKey, gallery: GalleryName = None
) -> list[schemas.Photo]:
    """List the photos that are kept of a person."""
    found = await services.ask(lambda opened: opened.photos(person_id), gallery)
    return [schemas.Photo.model_validate(photo) for photo in found]


@router.post("/people/{person_id}/photos", status_code=201, openapi_extra=pictures_body(schemas.PhotoOptions))
async def add(
    services: ServicesOf, who: EnrolBy, person_id: PersonKey, given: NewPhoto, gallery: GalleryName = None
) -> schemas.Photo:
    """Keep a photo of a person; the face in it counts after the person is built anew from the photos."""
    (picture,), rendition = given.pictures, given.options.rendition

    def keep(opened: Gallery) -> schemas.Photo:
        photo = opened.add_photo(person_id, picture.data, filename=picture.filename, rendition=rendition)
        return schemas.Photo.model_validate(photo)

    return await services.work(keep, gallery)


@router.post("/people/{person_id}/build")
async def build(
    services: ServicesOf, who: EnrolBy, person_id: PersonKey, gallery: GalleryName = None
) -> schemas.Registration:
    """Make the faces of a person anew from the original photos that are kept; nobody else is touched."""
    return answer_of(await services.work(lambda opened: opened.rebuild_person(person_id), gallery))


@router.get("/photos/{photo_id}")
async def photo(services: ServicesOf, who: ReadBy, photo_id: PhotoId, gallery: GalleryName = None) -> schemas.Photo:
    """Tell what is known of a photo."""
    return schemas.Photo.model_validate(await services.ask(lambda opened: opened.photo(photo_id), gallery))


@router.get(
    "/photos/{photo_id}/image",
    response_class=Response,
    responses={200: {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def image(services: ServicesOf, who: ReadBy, photo_id: PhotoId, gallery: GalleryName = None) -> Response:
    """Give the picture of a photo."""
    data, kind = await services.ask(
        lambda opened: (opened.photo_bytes(photo_id), opened.photo(photo_id).media_type), gallery
    )
    return Response(data, media_type=kind, headers={"Content-Disposition": "inline"})


@router.delete("/photos/{photo_id}")
async def delete(
    services: ServicesOf, who: EnrolBy, photo_id: PhotoId, gallery: GalleryName = None
) -> schemas.Deletion:
    """Delete a photo and the faces that were registered from it."""
    return schemas.Deletion.model_validate(await services.ask(lambda opened: opened.delete_photo(photo_id), gallery))
