"""The photos that a gallery keeps, where it is set up to keep them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Response

from ...errors import UnsupportedImageError
from ...gallery import Gallery
from ...store import UNKNOWN_TYPE, media_type_of
from ..pictures import Submission, submitted
from ..security import EnrolBy, ReadBy
from ..services import ServicesOf
from . import schemas
from .common import GalleryName, part, pictures_body
from .people import PersonKey, answer_of

router = part("photos")

_HARMLESS = {
    "Content-Disposition": "inline",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}

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
    """Give the picture of a photo.

    Its type is found from its bytes and is one of three that no browser runs, whatever the database says; the headers
    take from a browser what it might run all the same.
    """
    data = await services.ask(lambda opened: opened.photo_bytes(photo_id), gallery)
    media_type = media_type_of(data)
    if media_type == UNKNOWN_TYPE:
        raise UnsupportedImageError(
            f"photo {photo_id} is no JPEG, PNG or WebP and is not shown; save it by 'facedex photos save' or delete it"
        )
    return Response(data, media_type=media_type, headers=_HARMLESS)


@router.delete("/photos/{photo_id}")
async def delete(
    services: ServicesOf, who: EnrolBy, photo_id: PhotoId, gallery: GalleryName = None
) -> schemas.Deletion:
    """Delete a photo and the faces that were registered from it."""
    return schemas.Deletion.model_validate(await services.ask(lambda opened: opened.delete_photo(photo_id), gallery))
