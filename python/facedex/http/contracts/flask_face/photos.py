"""Photos: the originals are kept, for the templates; what is shown is a rendition of 224 x 224 pixels."""

from __future__ import annotations

import io
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, UploadFile
from fastapi.responses import JSONResponse, Response
from PIL import Image, ImageOps

from .... import _core
from ....errors import ArgumentError, FacedexError, UnknownPersonError, UnknownPhotoError
from ....gallery import Gallery
from ....records import Person, Photo
from ....store import plain_name
from ...security import need
from ...services import ServicesOf
from ..pictures import read
from ..shapes import masked_route
from .answers import KINDS, NAME, PLAIN, PLAIN_ERRORS, WORDS

SIDE = 224
"""Width and height of a photo as it is shown, pixels."""

MOST_FILES = 100


def router() -> APIRouter:
    """Make the routes."""
    routes = APIRouter(prefix="/photos", route_class=masked_route(PLAIN, NAME), tags=[NAME], responses=PLAIN_ERRORS)

    @routes.post("/{user_id}/upload", status_code=201, dependencies=[Depends(need("enrol"))])
    async def upload(services: ServicesOf, user_id: int, file: Annotated[UploadFile, File()]) -> dict[str, Any]:
        """Keep a photo of a user; training builds templates from it."""
        data, name = await read(file, accepted=KINDS), plain_name(file.filename)
        return await services.work(lambda gallery: _keep(gallery, user_id, data, name))

    @routes.post("/{user_id}/upload/multiple", status_code=201, dependencies=[Depends(need("enrol"))])
    async def upload_several(
        services: ServicesOf,
        user_id: int,
        files: Annotated[list[UploadFile] | None, File()] = None,
        listed: Annotated[list[UploadFile] | None, File(alias="files[]")] = None,
    ) -> Any:
        """Keep photos of a user; those that are refused are told, and the others kept."""
        given = [*(files or []), *(listed or [])]
        if not 1 <= len(given) <= MOST_FILES:
            raise ArgumentError(f"files must be 1 to {MOST_FILES} pictures, got {len(given)}")
        await services.ask(lambda gallery: gallery.person_numbered(user_id))
        kept, refused = [], []
        for file in given:
            name = plain_name(file.filename)
            try:
                keep = partial(_keep, user_id=user_id, data=await read(file, accepted=KINDS), name=name)
                kept.append(await services.work(keep))
            except UnknownPersonError:
                raise
            except FacedexError as error:
                refused.append({"filename": name, "message": WORDS.about(error)})
        if not kept:
            return JSONResponse({"message": refused[0]["message"]}, 400)
        return {"uploaded": len(kept), "files": kept} | ({"refused": refused} if refused else {})

    @routes.get("/{user_id}", dependencies=[Depends(need("read"))])
    async def everything(services: ServicesOf, user_id: int) -> list[dict[str, Any]]:
        """List the photos of a user."""

        def look(gallery: Gallery) -> list[dict[str, Any]]:
            person = gallery.person_numbered(user_id)
            return [_metadata(person, photo) for photo in gallery.photos(person.person_id)]

        return await services.ask(look)

    @routes.get(
        "/{user_id}/{photo_id}/view",
        dependencies=[Depends(need("read"))],
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}}},
    )
    async def view(services: ServicesOf, user_id: int, photo_id: int) -> Response:
        """Show a photo."""

        def shown(gallery: Gallery) -> bytes:
            _, photo = _own(gallery, user_id, photo_id)
            return rendition(gallery.photo_bytes(photo.photo_id))

        content = await services.work(shown)
        return Response(content, media_type="image/jpeg", headers={"Cache-Control": "private, no-store"})

    @routes.delete("/{user_id}/{photo_id}", dependencies=[Depends(need("enrol"))])
    async def delete(services: ServicesOf, user_id: int, photo_id: int) -> dict[str, Any]:
        """Delete a photo and the templates that were built from it."""
        await services.work(lambda gallery: gallery.delete_photo(_own(gallery, user_id, photo_id)[1].photo_id))
        return {"message": "Photo deleted"}

    return routes


def rendition(content: bytes) -> bytes:
    """Make a JPEG of 224 x 224 pixels, with black bars where the picture is no square."""
    small, _ = _core.thumbnail(content)
    with Image.open(io.BytesIO(small)) as picture:
        fitted = ImageOps.pad(picture.convert("RGB"), (SIDE, SIDE))
    out = io.BytesIO()
    fitted.save(out, "JPEG", quality=90)
    return out.getvalue()


def _keep(gallery: Gallery, user_id: int, data: bytes, name: str | None) -> dict[str, Any]:
    person = gallery.person_numbered(user_id)
    return _metadata(person, gallery.add_photo(person.person_id, data, filename=name, rendition="original"))


def _own(gallery: Gallery, user_id: int, photo_id: int) -> tuple[Person, Photo]:
    """Return a photo of a user; raises UnknownPhotoError also when it is another's."""
    person = gallery.person_numbered(user_id)
    photo = gallery.photo(photo_id) if 0 < photo_id < 1 << 63 else None
    if photo is None or str(photo.person_id) != str(person.person_id):
        raise UnknownPhotoError(f"user {user_id} has no photo {photo_id}", photo_id=photo_id)
    return person, photo


def _metadata(person: Person, photo: Photo) -> dict[str, Any]:
    name = photo.filename or f"{photo.photo_id}.{photo.media_type.rpartition('/')[2].replace('jpeg', 'jpg')}"
    return {
        "id": photo.photo_id,
        "user_id": person.number,
        "filename": name,
        "filepath": f"dataset/{person.number}/{name}",
        "width": SIDE,
        "height": SIDE,
        "created_at": photo.created_at.isoformat(),
    }
