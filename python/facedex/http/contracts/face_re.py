"""Contract `face-re`: people with a name, a picture and a UUID; scores are cosines on the scale of ArcFace R100."""

from __future__ import annotations

import base64
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Depends, File, Form, Query, UploadFile
from fastapi.responses import JSONResponse

from ... import _core
from ...errors import FacedexError, UnknownPersonError
from ...gallery import Gallery
from ...records import Person
from ...scales import ARCFACE_R100
from ...store import media_type_of
from ..security import require_scope
from ..services import ServicesOf
from .faces import read_upload, recognize_largest, scale_map
from .listing import JsonList, list_people
from .people import by_uuid, delete_person, name_of, parse_uuid, uuid_of
from .shapes import ErrorFormat

_FORMATS = ("JPG", "PNG")
_PAGE_SIZE = 50  # people read from the database at a time, with their pictures

ERRORS = ErrorFormat(
    "face-re",
    {"message": "No face was found"},
    {
        "no_face": "No face was found in the picture",
        "several_faces": "Several faces were found in the picture; exactly one is needed",
    },
)
SHAPES = (("/api/face/", ERRORS.respond),)


def router() -> APIRouter:
    """Make the routes of the contract."""
    routes = ERRORS.router("/api/face")

    @routes.post("/register", dependencies=[Depends(require_scope("enrol"))])
    async def register(services: ServicesOf, name: Annotated[str, Form()], file: Annotated[UploadFile, File()]) -> Any:
        """Register a person under a new UUID."""
        if not name.strip():
            return JSONResponse({"message": "name must not be empty"}, 400)
        picture = await read_upload(file, accepted=_FORMATS)
        await services.work(lambda gallery: _register(gallery, name.strip(), picture))
        return {"message": "Face registered successfully"}

    @routes.post("/recognition", dependencies=[Depends(require_scope("recognise"))])
    async def recognition(services: ServicesOf, file: Annotated[UploadFile, File()]) -> dict[str, Any]:
        """Recognize the person in a picture."""
        picture = await read_upload(file, accepted=_FORMATS)
        return await services.work(lambda gallery: _recognize(gallery, picture))

    @routes.delete("/recognition/{id_face}", dependencies=[Depends(require_scope("enrol"))])
    async def delete(services: ServicesOf, id_face: str) -> Any:
        """Delete a person with all data."""
        uuid = parse_uuid(id_face)
        if uuid is None:
            return JSONResponse({"message": f"{id_face[:64]!r} is no UUID of version 4"}, 400)
        try:
            await services.work(lambda gallery: delete_person(gallery, by_uuid(gallery, uuid)))
        except UnknownPersonError:
            return JSONResponse({"message": f"Face with ID {uuid} was not found"}, 404)
        return {"message": f"Face with ID {uuid} has been deleted successfully"}

    @routes.get("/", dependencies=[Depends(require_scope("read"))])
    async def list_all(
        services: ServicesOf,
        limit: Annotated[int | None, Query(ge=1)] = None,
        offset: Annotated[int, Query(ge=0)] = 0,
    ) -> JsonList:
        """List people with a small picture of each."""
        return await list_people(services, _entry, page_size=_PAGE_SIZE, skip=offset, limit=limit)

    return routes


def _register(gallery: Gallery, name: str, picture: bytes) -> None:
    key = str(uuid4())
    registration = gallery.register(key, picture, name=name)
    person = gallery.person(registration.person_id)
    if all(face.photo_id is None for face in person.faces):
        try:
            gallery.add_photo(key, picture, rendition="thumbnail")
        except FacedexError:
            gallery.delete(key)
            raise


def _recognize(gallery: Gallery, picture: bytes) -> dict[str, Any]:
    face = recognize_largest(gallery, picture)
    score = 0.0 if face is None else round(scale_map(gallery, ARCFACE_R100).from_pack(face.similarity), 4)
    if face is None or face.person_id is None:
        return {"match": False, "name": None, "id_face": None, "score": score}
    person = gallery.person(face.person_id)
    return {"match": True, "name": name_of(person), "id_face": str(uuid_of(person)), "score": score}


def _entry(gallery: Gallery, person: Person) -> dict[str, Any]:
    return {"id_face": str(uuid_of(person)), "name": name_of(person), "image": _image(gallery, person)}


def _image(gallery: Gallery, person: Person) -> str:
    """Return a small JPEG of the first photo in base64; empty when there is none or it was deleted meanwhile."""
    try:
        photos = gallery.photos(person.person_id)
        if not photos:
            return ""
        content = gallery.photo_bytes(photos[0].photo_id)
        if media_type_of(content) != "image/jpeg" or photos[0].rendition != "thumbnail":
            content, _ = _core.thumbnail(content)
    except FacedexError:
        return ""
    return base64.b64encode(content).decode()
