"""What the old backend called training: templates are built from the full-resolution photos, of one user or of all."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, BeforeValidator

from ....errors import RegistrationError
from ....gallery import Gallery
from ...building import build_everybody
from ...security import need
from ...services import ServicesOf
from ..listing import everybody
from ..long import at_leisure
from ..shapes import masked_route
from .answers import NAME, TRAINING, TRAINING_ERRORS, WORDS, now


def _whole(value: object) -> object:
    if isinstance(value, (bool, float)):
        raise ValueError("must be a whole number")
    return value


class OneUser(BaseModel):
    """Whose templates are to be built."""

    user_id: Annotated[int, BeforeValidator(_whole)]


def router() -> APIRouter:
    """Make the routes."""
    routes = APIRouter(
        prefix="/training", route_class=masked_route(TRAINING, NAME), tags=[NAME], responses=TRAINING_ERRORS
    )

    @routes.post("/incremental", dependencies=[Depends(need("enrol"))])
    async def incremental(services: ServicesOf, asked: OneUser) -> dict[str, Any]:
        """Build the templates of one user anew from all photos; nobody else is touched."""
        started = time.perf_counter()
        built = await services.work(lambda gallery: _build(gallery, asked.user_id))
        data = {
            "user_id": asked.user_id,
            "faces_processed": built,
            "embeddings_created": built,
            "processing_time_seconds": round(time.perf_counter() - started, 3),
            "timestamp": now(),
        }
        return {"success": True, "message": f"Embeddings built for user {asked.user_id}", "data": data}

    @routes.post("/start", dependencies=[Depends(need("enrol"))])
    async def start(services: ServicesOf) -> dict[str, Any]:
        """Build the templates of everybody anew from the photos; who has none keeps what there is."""
        started = time.perf_counter()
        told = await at_leisure(services, _build_all)
        seconds = time.perf_counter() - started
        took = {"training_time_seconds": round(seconds, 3), "training_time_minutes": round(seconds / 60, 4)}
        counted = {name: told[name] for name in ("num_data", "num_classes", "total_faces", "model_path")}
        return {
            "success": True,
            "message": "Face database built successfully",
            "data": counted | took | {"timestamp": now()},
        }

    @routes.get("/status", dependencies=[Depends(need("read"))])
    async def status(services: ServicesOf) -> dict[str, Any]:
        """Tell what has been built."""
        told = await services.ask(_counted)
        counted = {name: told[name] for name in ("num_classes", "num_data", "total_faces", "embedding_dim")}
        available = told["total_faces"] > 0
        return {
            "success": True,
            "message": "Model is available" if available else "No face has been registered yet",
            "data": {"model_available": available}
            | counted
            | {"samples_per_user": told["samples_per_user"], "timestamp": now()},
        }

    return routes


def _build(gallery: Gallery, user_id: int) -> int:
    person = gallery.person_numbered(user_id)
    try:
        return len(gallery.rebuild_person(person.person_id, faces="largest").faces)
    except RegistrationError as error:
        reasons = [f"{one.text}: {WORDS.about(one.error)}" for one in error.rejected[:3]]
        why = "; ".join(reasons) or "there is none, upload one first"
        raise RegistrationError(f"no photo of user {user_id} can be used: {why}") from error


def _build_all(gallery: Gallery) -> dict[str, Any]:
    build_everybody(gallery, faces="largest")
    return _counted(gallery)


def _counted(gallery: Gallery) -> dict[str, Any]:
    samples: dict[str, int] = {}
    for person in everybody(gallery):
        if person.faces:
            samples[str(person.number)] = len(person.faces)
    return {
        "num_data": gallery.photo_count(),
        "num_classes": len(samples),
        "total_faces": sum(samples.values()),
        "embedding_dim": gallery.pack.dimension,
        "samples_per_user": samples,
        "model_path": gallery.pack.name,
    }
