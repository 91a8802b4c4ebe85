"""Photos, where the gallery is configured to store them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Response

from ...errors import UnsupportedImageError
from ...records import Deletion, Photo, Registration
from ...store import UNKNOWN_TYPE, media_type_of
from ..pictures import Submission, read_submission
from ..security import EnrolBy, ReadBy
from ..services import ServicesOf
from . import schemas
from .answers import list_of
from .common import GalleryName, part, pictures_body
from .people import PersonKey

router = part("photos")

_SANDBOX = {
    "Content-Disposition": "inline",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}

PhotoId = Annotated[int, Path(ge=1, le=2**63 - 1)]
NewPhoto = Annotated[Submission[schemas.PhotoOptions], Depends(read_submission(schemas.PhotoOptions))]


@router.get("/people/{person_id}/photos", response_model=list_of(schemas.Photo))
async def photos(
    services: ServicesOf, caller: ReadBy, person_id: PersonKey, gallery: GalleryName = None
) -> list[Photo]:
    """List the stored photos of a person."""
    return await services.query(lambda opened: opened.photos(person_id), gallery)


@router.post(
    "/people/{person_id}/photos",
    status_code=201,
    response_model=schemas.Photo,
    openapi_extra=pictures_body(schemas.PhotoOptions),
)
async def add_photo(
    services: ServicesOf, caller: EnrolBy, person_id: PersonKey, given: NewPhoto, gallery: GalleryName = None
) -> Photo:
    """Store a photo of a person; its face is used after the person is rebuilt from the photos."""
    (picture,), rendition = given.pictures, given.options.rendition
    return await services.work(
        lambda opened: opened.add_photo(person_id, picture.data, filename=picture.filename, rendition=rendition),
        gallery,
    )


@router.post("/people/{person_id}/build", response_model=schemas.Registration)
async def build_person(
    services: ServicesOf, caller: EnrolBy, person_id: PersonKey, gallery: GalleryName = None
) -> Registration:
    """Rebuild the faces of a person from the stored original photos."""
    return await services.work(lambda opened: opened.rebuild_person(person_id), gallery)


@router.get("/photos/{photo_id}", response_model=schemas.Photo)
async def photo(services: ServicesOf, caller: ReadBy, photo_id: PhotoId, gallery: GalleryName = None) -> Photo:
    """Read the details of a photo."""
    return await services.query(lambda opened: opened.photo(photo_id), gallery)


@router.get(
    "/photos/{photo_id}/image",
    response_class=Response,
    responses={200: {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def image(services: ServicesOf, caller: ReadBy, photo_id: PhotoId, gallery: GalleryName = None) -> Response:
    """Return the image of a photo.

    The media type is detected from the bytes, whatever the database says, and is one of three that no browser executes;
    the headers forbid execution as well.
    """
    data = await services.query(lambda opened: opened.photo_bytes(photo_id), gallery)
    media_type = media_type_of(data)
    if media_type == UNKNOWN_TYPE:
        raise UnsupportedImageError(
            f"photo {photo_id} is not JPEG, PNG or WebP and is not shown; 'facedex photos save' writes it to a file"
        )
    return Response(data, media_type=media_type, headers=_SANDBOX)


@router.delete("/photos/{photo_id}", response_model=schemas.Deletion)
async def delete_photo(
    services: ServicesOf, caller: EnrolBy, photo_id: PhotoId, gallery: GalleryName = None
) -> Deletion:
    """Delete a photo and the faces that were registered from it."""
    return await services.query(lambda opened: opened.delete_photo(photo_id), gallery)
