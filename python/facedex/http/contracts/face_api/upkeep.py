"""The routes of `face-api` that change the gallery or tell of it: embeddings, people ("nguoi"), the index.

An image id is the number of a stored face. What changes something needs a token or key, whatever the server allows
without one, and stands in the audit.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Annotated, Any

import numpy as np
import psutil
from fastapi import APIRouter, Depends, File, Form, Query, Request, UploadFile
from pydantic import BaseModel

from ....errors import ArgumentError, UnknownFaceError, UnknownPersonError
from ....gallery import Gallery
from ....gallery.fsck import rebuild
from ....records import Person, Registration
from ...pictures import json_of
from ...security import need
from ...services import Services, ServicesOf
from ..listing import everybody
from ..long import at_leisure
from .setup import WORDS, FaceApiSettings, info_text, person_info, signed_in, upload_of

ClassId = Annotated[str, Form(min_length=1, max_length=255)]
MOST_FILES = 100


def add(routes: APIRouter, settings: FaceApiSettings) -> None:
    """Add the routes."""
    writes = [Depends(signed_in), Depends(need("enrol"))]
    upkeep = [Depends(signed_in), Depends(need("admin"))]
    _changes(routes, settings, writes)
    _people(routes, writes)
    _index(routes, settings, upkeep)


class Deleting(BaseModel):
    """Which image."""

    image_id: int


def _changes(routes: APIRouter, settings: FaceApiSettings, writes: list[Any]) -> None:
    @routes.post("/api/add_embedding", dependencies=writes)
    async def add_embedding(
        services: ServicesOf,
        class_id: ClassId,
        file: Annotated[list[UploadFile], File()],
        name: Annotated[str | None, Form()] = None,
        info: Annotated[str | None, Form()] = None,
    ) -> dict[str, Any]:
        """Add faces to a person; the first makes the person."""
        if not 1 <= len(file) <= MOST_FILES:
            raise ArgumentError(f"file must be 1 to {MOST_FILES} pictures, got {len(file)}")
        pictures = [await upload_of(one, settings) for one in file]

        def store(gallery: Gallery) -> Registration:
            if gallery.counts()[1] + len(pictures) > settings.max_vectors:
                raise ArgumentError(
                    f"the gallery holds as many embeddings as MAX_VECTORS allows: {settings.max_vectors}"
                )
            given = pictures if len(pictures) > 1 else pictures[0]
            known = _details(gallery, class_id, name, info)
            return gallery.register(class_id, given, on_existing="add", faces="largest", **known)

        done = await services.work(store)
        image_ids = [face.face_id for face in done.faces]
        rejected = [{"file": one.source, "reason": WORDS.about(one.error)} for one in done.rejected]
        added = {"success": True, "image_id": image_ids[0], "image_ids": image_ids, "class_id": class_id}
        return added | ({"rejected": rejected} if rejected else {})

    @routes.put("/api/edit_embedding", dependencies=writes)
    async def edit_embedding(
        services: ServicesOf,
        image_id: Annotated[int, Form()],
        file: Annotated[UploadFile | None, File()] = None,
        name: Annotated[str | None, Form()] = None,
        info: Annotated[str | None, Form()] = None,
        class_id: Annotated[str | None, Form(min_length=1, max_length=255)] = None,
    ) -> dict[str, Any]:
        """Replace a face, give it to another person, or change what is known of its person.

        A face that is replaced or moved gets a new image id: ids are never used again.
        """
        picture = None if file is None else await upload_of(file, settings)
        if picture is None and name is None and info is None and class_id is None:
            raise ArgumentError("send what is to be changed: file, name, info or class_id")
        return await services.work(lambda gallery: _edit(gallery, image_id, picture, name, info, class_id))

    @routes.delete(
        "/api/delete_image",
        dependencies=writes,
        openapi_extra={
            "requestBody": {"content": {"application/json": {"schema": Deleting.model_json_schema()}}},
        },
    )
    async def delete_image(services: ServicesOf, image_id: Annotated[int, Depends(_image_id)]) -> dict[str, Any]:
        """Delete a face; as query parameter, form field or JSON."""
        await services.work(lambda gallery: gallery.delete_face(image_id))
        return {"success": True, "image_id": image_id, "message": "Image deleted"}


def _people(routes: APIRouter, writes: list[Any]) -> None:
    @routes.get("/api/list_nguoi", dependencies=[Depends(need("read"))])
    async def list_nguoi(
        services: ServicesOf,
        page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
        page_size: Annotated[int, Query(ge=1, le=1000)] = 20,
        query: Annotated[str | None, Query(max_length=255)] = None,
    ) -> dict[str, Any]:
        """List people with their image counts; `query` searches names and info."""
        wanted = (query or "").strip().casefold()
        shown, total = await services.ask(lambda gallery: _found(gallery, wanted, (page - 1) * page_size, page_size))
        counted = {"page": page, "page_size": page_size, "total": total}
        return {"success": True, "nguoi": shown, **counted, "total_pages": math.ceil(total / page_size)}

    @routes.get("/api/get_image_ids_by_class/{class_id:path}", dependencies=[Depends(need("read"))])
    async def image_ids(services: ServicesOf, class_id: str) -> dict[str, Any]:
        """List the image ids of a person."""
        person = await services.ask(lambda gallery: gallery.person(class_id))
        listed = [face.face_id for face in person.faces]
        told = {"class_id": str(person.person_id), "image_ids": listed, "count": len(listed)}
        return {"success": True, **told, "nguoi": _nguoi(person)}

    @routes.delete("/api/delete_class/{class_id:path}", dependencies=writes)
    async def delete_class(services: ServicesOf, class_id: str) -> dict[str, Any]:
        """Delete a person with all data."""

        def erase(gallery: Gallery) -> Person:
            person = gallery.person(class_id)
            gallery.delete(person.person_id)
            return person

        person = await services.work(erase)
        told = {"class_id": str(person.person_id), "deleted_images": len(person.faces)}
        return {"success": True, **told, "message": "Class deleted"}


def _index(routes: APIRouter, settings: FaceApiSettings, upkeep: list[Any]) -> None:
    @routes.get("/api/index_status", dependencies=[Depends(need("read"))])
    async def index_status(services: ServicesOf) -> dict[str, Any]:
        """Tell how faces are searched, how many there are, and how busy the server is."""
        status, dimension = await services.ask(lambda gallery: (gallery.status(), gallery.pack.dimension))
        memory = await services.limits.ask(lambda: psutil.Process().memory_info().rss)
        index = {"type": status.method, "dimension": dimension, "vector_count": status.faces}
        measured = {"recall": status.recall, "memory_bytes": memory, "max_vectors": settings.max_vectors}
        # The database is the truth: whatever is acknowledged is saved.
        saved = {"last_save": status.position, "status": "healthy"}
        requests = {"working": services.limits.pictures.inside, "asking": services.limits.questions.inside}
        return {"success": True, **index, **measured, **saved, "requests": requests}

    @routes.post("/api/reset_index", dependencies=upkeep)
    async def reset_index(services: ServicesOf) -> dict[str, Any]:
        """Throw the index away and make it anew from the database; nobody is deleted."""
        return await _rebuilt(services, "Index reset and rebuilt from the database")

    @routes.post("/api/rebuild_index", dependencies=upkeep)
    async def rebuild_index(services: ServicesOf) -> dict[str, Any]:
        """Make the index anew from the database."""
        return await _rebuilt(services, "Index rebuilt from the database")

    @routes.post("/api/optimize_index", dependencies=upkeep)
    async def optimize_index(services: ServicesOf) -> dict[str, Any]:
        """Give back the space of what was deleted."""
        compact = await at_leisure(services, lambda gallery: gallery.vacuum())
        status = await services.ask(lambda gallery: gallery.status())
        done = {"compacted": compact, "vector_count": status.faces, "type": status.method}
        return {"success": True, "message": "Index optimized", **done}

    @routes.get("/api/vector_info", dependencies=[Depends(need("read"))])
    async def vector_info(services: ServicesOf, image_id: int | None = None) -> dict[str, Any]:
        """Tell of the vectors, or of one; never its values."""

        def told(gallery: Gallery) -> dict[str, Any]:
            people, faces = gallery.counts()
            counted = {"dimension": gallery.pack.dimension, "metric": "cosine", "count": faces, "people": people}
            if image_id is None:
                return counted | {"norm": 1.0}
            class_id, vector = gallery.template(image_id)
            own = {"image_id": image_id, "class_id": str(class_id)}
            return counted | own | {"norm": round(float(np.linalg.norm(vector)), 6)}

        return {"success": True} | await services.ask(told)


def _edit(
    gallery: Gallery, image_id: int, picture: bytes | None, name: str | None, info: str | None, class_id: str | None
) -> dict[str, Any]:
    pack = gallery.pack.digest
    owner, vector = gallery.template(image_id)
    target = str(owner) if class_id is None else class_id
    moved = target != str(owner)
    number = image_id
    if picture is None and not moved:
        gallery.update(owner, **_details(gallery, owner, name, info))
    else:
        known: dict[str, Any] = {"on_existing": "add", **_details(gallery, target, name, info)}
        key = owner if not moved else target
        if picture is not None:
            done = gallery.register(key, picture, faces="largest", **known)
        else:
            done = gallery.register_templates(key, vector, pack=pack, **known)
        number = done.faces[0].face_id
        with suppress(UnknownFaceError):  # somebody deleted it meanwhile, as was to be done here
            gallery.delete_face(image_id)
    person = gallery.person(target)
    changed: dict[str, Any] = {"image_id": number, "class_id": str(person.person_id), "nguoi": _nguoi(person)}
    return {"success": True, **changed} | ({"replaced": image_id} if number != image_id else {})


def _details(gallery: Gallery, class_id: str | int, name: str | None, info: str | None) -> dict[str, Any]:
    """Collect what is to be changed of a person; free data of other programs stay."""
    changed: dict[str, Any] = {} if name is None else {"name": name}
    if info is not None:
        try:
            before = gallery.person(class_id).info
        except UnknownPersonError:
            before = {}
        changed["info"] = before | {"info": info}
    return changed


async def _image_id(request: Request) -> int:
    text: Any = request.query_params.get("image_id")
    if text is None:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        given: Any = await json_of(request) if kind == "application/json" else await request.form()
        text = given.get("image_id")
    if isinstance(text, bool) or not str(text).isascii() or not str(text).isdigit() or len(str(text)) > 18:
        raise ArgumentError("image_id must be a whole number")
    return int(text)


async def _rebuilt(services: Services, message: str) -> dict[str, Any]:
    location, name = services.settings.location, services.settings.gallery
    number = await at_leisure(services, lambda _: rebuild(location, name=name))
    return {"success": True, "message": message, "vector_count": number}


def _found(gallery: Gallery, wanted: str, start: int, most: int) -> tuple[list[dict[str, Any]], int]:
    """Describe those of one page whose name or info holds a text, and count all."""
    shown: list[dict[str, Any]] = []
    total = 0
    for person in everybody(gallery):
        if wanted in _searched(person):
            if start <= total < start + most:
                shown.append(_nguoi(person))
            total += 1
        if not wanted and len(shown) == most:
            return shown, max(total, gallery.counts()[0])
    return shown, total


def _nguoi(person: Person) -> dict[str, Any]:
    told = person_info(person.person_id, person.name, person.info)
    return told | {"image_count": len(person.faces), "created_at": person.created_at.isoformat()}


def _searched(person: Person) -> str:
    return f"{person.name or ''}\n{info_text(person.info) or ''}".casefold()
