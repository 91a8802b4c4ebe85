"""Contract `face-re`: name and picture in, UUID out; a score is a cosine on the scale of ArcFace R100."""

from __future__ import annotations

import base64
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, File, Form, Query, UploadFile
from fastapi.responses import JSONResponse

from ... import _core
from ...errors import FacedexError, UnknownPersonError
from ...gallery import Gallery
from ...records import Person
from ...scales import ARCFACE_R100
from ...store import media_type_of
from ..security import need
from ..services import Services, ServicesOf
from .faces import largest, on_scale
from .listing import JsonList, listed
from .people import by_uuid, name_of, uuid_from, uuid_of
from .pictures import read
from .shapes import Words, contract_route, shape, told

NAME = "face-re"
KINDS = ("JPG", "PNG")

_AT_ONCE = 50  # people read from the database at a time, with their pictures

SHAPE = shape(
    lambda message: {"message": message},
    Words(
        {
            "no_face": "No face was found in the picture",
            "several_faces": "Several faces were found in the picture; exactly one is needed",
        }
    ),
)
SHAPES = (("/api/face/", SHAPE),)


def router() -> APIRouter:
    """Make the routes of the contract."""
    routes = APIRouter(
        route_class=contract_route(SHAPE, NAME),
        prefix="/api/face",
        tags=[NAME],
        responses=told(message="No face was found"),
    )

    @routes.post("/register", dependencies=[Depends(need("enrol"))])
    async def register(services: ServicesOf, name: Annotated[str, Form()], file: Annotated[UploadFile, File()]) -> Any:
        """Register a person under a new UUID."""
        if not name.strip():
            return JSONResponse({"message": "name must not be empty"}, 400)
        picture = await read(file, accepted=KINDS)
        await services.work(lambda gallery: _register(gallery, name.strip(), picture))
        return {"message": "Face registered successfully"}

    @routes.post("/recognition", dependencies=[Depends(need("recognise"))])
    async def recognition(services: ServicesOf, file: Annotated[UploadFile, File()]) -> dict[str, Any]:
        """Say who is in a picture."""
        picture = await read(file, accepted=KINDS)
        return await services.work(lambda gallery: _recognize(services, gallery, picture))

    @routes.delete("/recognition/{id_face}", dependencies=[Depends(need("enrol"))])
    async def delete(services: ServicesOf, id_face: str) -> Any:
        """Delete a person with all data."""
        uuid = uuid_from(id_face)
        if uuid is None:
            return JSONResponse({"message": f"{id_face[:64]!r} is no UUID of version 4"}, 400)

        def erase(gallery: Gallery, uuid: UUID = uuid) -> None:
            gallery.delete(by_uuid(gallery, uuid).person_id)

        try:
            await services.work(erase)
        except UnknownPersonError:
            return JSONResponse({"message": f"Face with ID {uuid} was not found"}, 404)
        return {"message": f"Face with ID {uuid} has been deleted successfully"}

    @routes.get("/", dependencies=[Depends(need("read"))])
    async def everybody(
        services: ServicesOf,
        limit: Annotated[int | None, Query(ge=1)] = None,
        offset: Annotated[int, Query(ge=0)] = 0,
    ) -> JsonList:
        """List people with a small picture of each, some read from the database at a time."""
        return await listed(services, _entry, at_once=_AT_ONCE, skip=offset, limit=limit)

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


def _recognize(services: Services, gallery: Gallery, picture: bytes) -> dict[str, Any]:
    face = largest(services, gallery, picture)
    score = 0.0 if face is None else round(on_scale(gallery, ARCFACE_R100).from_pack(face.similarity), 4)
    if face is None or face.person_id is None:
        return {"match": False, "name": None, "id_face": None, "score": score}
    person = gallery.person(face.person_id)
    return {"match": True, "name": name_of(person), "id_face": str(uuid_of(person)), "score": score}


def _entry(gallery: Gallery, person: Person) -> dict[str, Any]:
    return {"id_face": str(uuid_of(person)), "name": name_of(person), "image": _image(gallery, person)}


def _image(gallery: Gallery, person: Person) -> str:
    """Make a small JPEG of the first photo in base64; empty where none is kept or it was deleted meanwhile."""
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
