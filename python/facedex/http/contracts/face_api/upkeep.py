"""The routes of `face-api` for embeddings, people ("nguoi") and the index.

An image id is the number of a stored face. Changes need a token or key, even on an open server, and are recorded in the
audit.
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
from ....records import Person, Registration
from ...security import require_scope
from ...services import Services, ServicesOf
from ..faces import check_count
from ..listing import iter_people
from ..long import run_long
from ..people import delete_person
from .setup import ERRORS, FaceApiSettings, fields_of, free_text, person_info, read_file, require_sign_in

ClassId = Annotated[str, Form(min_length=1, max_length=255)]


def add(routes: APIRouter, settings: FaceApiSettings) -> None:
    """Add the routes."""
    writes = [Depends(require_sign_in), Depends(require_scope("enrol"))]
    upkeep = [Depends(require_sign_in), Depends(require_scope("admin"))]
    _add_embeddings(routes, settings, writes)
    _add_people(routes, writes)
    _add_index(routes, settings, upkeep)


class ImageId(BaseModel):
    """The id of an image."""

    image_id: int


def _add_embeddings(routes: APIRouter, settings: FaceApiSettings, writes: list[Any]) -> None:
    @routes.post("/api/add_embedding", dependencies=writes)
    async def add_embedding(
        services: ServicesOf,
        class_id: ClassId,
        file: Annotated[list[UploadFile], File()],
        name: Annotated[str | None, Form()] = None,
        info: Annotated[str | None, Form()] = None,
    ) -> dict[str, Any]:
        """Add faces to a person; the first one creates the person."""
        check_count(file, "file")
        pictures = [await read_file(one, settings) for one in file]

        def store(gallery: Gallery) -> Registration:
            if gallery.lookup.counts()[1] + len(pictures) > settings.max_vectors:
                raise ArgumentError(
                    f"the gallery holds as many embeddings as MAX_VECTORS allows: {settings.max_vectors}"
                )
            sources = pictures if len(pictures) > 1 else pictures[0]
            changes = _changes(gallery, class_id, name, info)
            return gallery.register(class_id, sources, on_existing="add", faces="largest", **changes)

        done = await services.work(store)
        image_ids = [face.face_id for face in done.faces]
        rejected = [{"file": one.source, "reason": ERRORS.message(one.error)} for one in done.rejected]
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
        """Replace a face, move it to another person, or change the data of its person.

        A face that is replaced or moved gets a new image id: ids are never reused.
        """
        picture = None if file is None else await read_file(file, settings)
        if picture is None and name is None and info is None and class_id is None:
            raise ArgumentError("send what is to be changed: file, name, info or class_id")
        return await services.work(lambda gallery: _edit(gallery, image_id, picture, name, info, class_id))

    @routes.delete(
        "/api/delete_image",
        dependencies=writes,
        openapi_extra={
            "requestBody": {"content": {"application/json": {"schema": ImageId.model_json_schema()}}},
        },
    )
    async def delete_image(services: ServicesOf, image_id: Annotated[int, Depends(_image_id)]) -> dict[str, Any]:
        """Delete a face; its id is a query parameter, a form field or JSON."""
        await services.work(lambda gallery: gallery.delete_face(image_id))
        return {"success": True, "image_id": image_id, "message": "Image deleted"}


def _add_people(routes: APIRouter, writes: list[Any]) -> None:
    @routes.get("/api/list_nguoi", dependencies=[Depends(require_scope("read"))])
    async def list_nguoi(
        services: ServicesOf,
        page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
        page_size: Annotated[int, Query(ge=1, le=1000)] = 20,
        query: Annotated[str | None, Query(max_length=255)] = None,
    ) -> dict[str, Any]:
        """List people with their image counts; `query` searches names and info."""
        text = (query or "").strip().casefold()
        shown, total = await services.query(lambda gallery: _search(gallery, text, (page - 1) * page_size, page_size))
        pages = {"page": page, "page_size": page_size, "total": total, "total_pages": math.ceil(total / page_size)}
        return {"success": True, "nguoi": shown, **pages}

    @routes.get("/api/get_image_ids_by_class/{class_id:path}", dependencies=[Depends(require_scope("read"))])
    async def image_ids(services: ServicesOf, class_id: str) -> dict[str, Any]:
        """List the image ids of a person."""
        person = await services.query(lambda gallery: gallery.person(class_id))
        ids = [face.face_id for face in person.faces]
        answer = {"success": True, "class_id": str(person.person_id), "image_ids": ids, "count": len(ids)}
        return answer | {"nguoi": _format_person(person)}

    @routes.delete("/api/delete_class/{class_id:path}", dependencies=writes)
    async def delete_class(services: ServicesOf, class_id: str) -> dict[str, Any]:
        """Delete a person with all data."""
        person = await services.work(lambda gallery: delete_person(gallery, gallery.person(class_id)))
        answer = {"success": True, "class_id": str(person.person_id), "deleted_images": len(person.faces)}
        return answer | {"message": "Class deleted"}


def _add_index(routes: APIRouter, settings: FaceApiSettings, upkeep: list[Any]) -> None:
    @routes.get("/api/index_status", dependencies=[Depends(require_scope("read"))])
    async def index_status(services: ServicesOf) -> dict[str, Any]:
        """Return how faces are searched, their number, and the load of the server."""
        status, dimension = await services.query(lambda gallery: (gallery.status(), gallery.pack.dimension))
        memory = await services.limits.queries.run(lambda: psutil.Process().memory_info().rss)
        index = {"type": status.method, "dimension": dimension, "vector_count": status.faces}
        limits = {"recall": status.recall, "memory_bytes": memory, "max_vectors": settings.max_vectors}
        # The database is the truth: every acknowledged change is saved.
        saved = {"last_save": status.position, "status": "healthy"}
        requests = {"working": services.limits.pictures.pending, "asking": services.limits.queries.pending}
        return {"success": True, **index, **limits, **saved, "requests": requests}

    @routes.post("/api/reset_index", dependencies=upkeep)
    async def reset_index(services: ServicesOf) -> dict[str, Any]:
        """Rebuild the index from the database; no person is deleted."""
        return await _rebuild(services, "Index reset and rebuilt from the database")

    @routes.post("/api/rebuild_index", dependencies=upkeep)
    async def rebuild_index(services: ServicesOf) -> dict[str, Any]:
        """Rebuild the index from the database."""
        return await _rebuild(services, "Index rebuilt from the database")

    @routes.post("/api/optimize_index", dependencies=upkeep)
    async def optimize_index(services: ServicesOf) -> dict[str, Any]:
        """Free the space of deleted data."""
        compact = await run_long(services, lambda gallery: gallery.vacuum())
        status = await services.query(lambda gallery: gallery.status())
        done = {"compacted": compact, "vector_count": status.faces, "type": status.method}
        return {"success": True, "message": "Index optimized", **done}

    @routes.get("/api/vector_info", dependencies=[Depends(require_scope("read"))])
    async def vector_info(services: ServicesOf, image_id: int | None = None) -> dict[str, Any]:
        """Describe the vectors, or one of them without its values."""

        def describe(gallery: Gallery) -> dict[str, Any]:
            people, faces = gallery.lookup.counts()
            summary = {"dimension": gallery.pack.dimension, "metric": "cosine", "count": faces, "people": people}
            if image_id is None:
                return summary | {"norm": 1.0}
            class_id, vector = gallery.lookup.template(image_id)
            vector_of = {"image_id": image_id, "class_id": str(class_id)}
            return summary | vector_of | {"norm": round(float(np.linalg.norm(vector)), 6)}

        return {"success": True} | await services.query(describe)


def _edit(
    gallery: Gallery, image_id: int, picture: bytes | None, name: str | None, info: str | None, class_id: str | None
) -> dict[str, Any]:
    pack = gallery.pack.digest
    owner, vector = gallery.lookup.template(image_id)
    target = str(owner) if class_id is None else class_id
    moved = target != str(owner)
    number = image_id
    if picture is None and not moved:
        gallery.update(owner, **_changes(gallery, owner, name, info))
    else:
        options: dict[str, Any] = {"on_existing": "add", **_changes(gallery, target, name, info)}
        key = owner if not moved else target
        if picture is not None:
            done = gallery.register(key, picture, faces="largest", **options)
        else:
            done = gallery.register_templates(key, vector, pack=pack, **options)
        number = done.faces[0].face_id
        with suppress(UnknownFaceError):  # it was deleted meanwhile
            gallery.delete_face(image_id)
    person = gallery.person(target)
    answer = {"success": True, "image_id": number, "class_id": str(person.person_id), "nguoi": _format_person(person)}
    return answer | ({"replaced": image_id} if number != image_id else {})


def _changes(gallery: Gallery, class_id: str | int, name: str | None, info: str | None) -> dict[str, Any]:
    """Collect the changes of a person; other free data stay."""
    changes: dict[str, Any] = {} if name is None else {"name": name}
    if info is not None:
        try:
            before = gallery.person(class_id).info
        except UnknownPersonError:
            before = {}
        changes["info"] = before | {"info": info}
    return changes


async def _image_id(request: Request) -> int:
    text: Any = request.query_params.get("image_id")
    if text is None:
        text = (await fields_of(request)).get("image_id")
    if isinstance(text, bool) or not str(text).isascii() or not str(text).isdigit() or len(str(text)) > 18:
        raise ArgumentError("image_id must be a whole number")
    return int(text)


async def _rebuild(services: Services, message: str) -> dict[str, Any]:
    number = await run_long(services, lambda _: services.galleries.rebuild(services.settings.gallery))
    return {"success": True, "message": message, "vector_count": number}


def _search(gallery: Gallery, text: str, start: int, count: int) -> tuple[list[dict[str, Any]], int]:
    """Format one page of the people whose name or info contains a text, and count them all."""
    shown: list[dict[str, Any]] = []
    total = 0
    for person in iter_people(gallery):
        if text in f"{person.name or ''}\n{free_text(person.info) or ''}".casefold():
            if start <= total < start + count:
                shown.append(_format_person(person))
            total += 1
        if not text and len(shown) == count:
            return shown, max(total, gallery.lookup.counts()[0])
    return shown, total


def _format_person(person: Person) -> dict[str, Any]:
    info = person_info(person.person_id, person.name, person.info)
    return info | {"image_count": len(person.faces), "created_at": person.created_at.isoformat()}
