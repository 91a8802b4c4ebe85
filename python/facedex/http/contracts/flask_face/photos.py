"""Photos: the originals are stored, for the templates; clients see a rendition of 224 x 224 pixels."""

from __future__ import annotations

import io
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, UploadFile
from fastapi.responses import JSONResponse, Response
from PIL import Image, ImageOps

from .... import _core
from ....errors import FacedexError, UnknownPersonError, UnknownPhotoError
from ....gallery import Gallery
from ....records import Person, Photo
from ....store import plain_name
from ...security import require_scope
from ...services import ServicesOf
from ..faces import check_count, read_upload
from .answers import FORMATS, PLAIN

SIDE = 224
"""Width and height of a rendition, pixels."""


def router() -> APIRouter:
    """Make the routes."""
    routes = PLAIN.router("/photos", maskable=True)

    @routes.post("/{user_id}/upload", status_code=201, dependencies=[Depends(require_scope("enrol"))])
    async def upload(services: ServicesOf, user_id: int, file: Annotated[UploadFile, File()]) -> dict[str, Any]:
        """Store a photo of a user; training builds templates from it."""
        data, name = await read_upload(file, accepted=FORMATS), plain_name(file.filename)
        return await services.work(lambda gallery: _store(gallery, user_id, data, name))

    @routes.post("/{user_id}/upload/multiple", status_code=201, dependencies=[Depends(require_scope("enrol"))])
    async def upload_several(
        services: ServicesOf,
        user_id: int,
        files: Annotated[list[UploadFile] | None, File()] = None,
        listed: Annotated[list[UploadFile] | None, File(alias="files[]")] = None,
    ) -> Any:
        """Store photos of a user; the answer lists those that are refused."""
        uploads = [*(files or []), *(listed or [])]
        check_count(uploads, "files")
        await services.query(lambda gallery: gallery.lookup.person_by_number(user_id))
        stored, refused = [], []
        for file in uploads:
            name = plain_name(file.filename)
            try:
                store = partial(_store, user_id=user_id, data=await read_upload(file, accepted=FORMATS), name=name)
                stored.append(await services.work(store))
            except UnknownPersonError:
                raise
            except FacedexError as error:
                refused.append({"filename": name, "message": PLAIN.message(error)})
        if not stored:
            return JSONResponse({"message": refused[0]["message"]}, 400)
        return {"uploaded": len(stored), "files": stored} | ({"refused": refused} if refused else {})

    @routes.get("/{user_id}", dependencies=[Depends(require_scope("read"))])
    async def list_all(services: ServicesOf, user_id: int) -> list[dict[str, Any]]:
        """List the photos of a user."""

        def metadata(gallery: Gallery) -> list[dict[str, Any]]:
            person = gallery.lookup.person_by_number(user_id)
            return [_metadata(person, photo) for photo in gallery.photos(person.person_id)]

        return await services.query(metadata)

    @routes.get(
        "/{user_id}/{photo_id}/view",
        dependencies=[Depends(require_scope("read"))],
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}}},
    )
    async def view(services: ServicesOf, user_id: int, photo_id: int) -> Response:
        """Return the rendition of a photo."""

        def make(gallery: Gallery) -> bytes:
            _, photo = _photo_of(gallery, user_id, photo_id)
            return rendition(gallery.photo_bytes(photo.photo_id))

        content = await services.work(make)
        return Response(content, media_type="image/jpeg", headers={"Cache-Control": "private, no-store"})

    @routes.delete("/{user_id}/{photo_id}", dependencies=[Depends(require_scope("enrol"))])
    async def delete(services: ServicesOf, user_id: int, photo_id: int) -> dict[str, Any]:
        """Delete a photo and the templates that were built from it."""
        await services.work(lambda gallery: gallery.delete_photo(_photo_of(gallery, user_id, photo_id)[1].photo_id))
        return {"message": "Photo deleted"}

    return routes


def rendition(content: bytes) -> bytes:
    """Make a JPEG of 224 x 224 pixels, with black bars if the picture is not square."""
    small, _ = _core.thumbnail(content)
    with Image.open(io.BytesIO(small)) as picture:
        fitted = ImageOps.pad(picture.convert("RGB"), (SIDE, SIDE))
    out = io.BytesIO()
    fitted.save(out, "JPEG", quality=90)
    return out.getvalue()


def _store(gallery: Gallery, user_id: int, data: bytes, name: str | None) -> dict[str, Any]:
    person = gallery.lookup.person_by_number(user_id)
    return _metadata(person, gallery.add_photo(person.person_id, data, filename=name, rendition="original"))


def _photo_of(gallery: Gallery, user_id: int, photo_id: int) -> tuple[Person, Photo]:
    """Return a photo of a user, or raise `UnknownPhotoError`, also for a photo of another user."""
    person = gallery.lookup.person_by_number(user_id)
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
