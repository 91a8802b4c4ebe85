"""Training, as the old backend called it: templates are built from the stored photos, of one user or of all."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, BeforeValidator

from ....errors import RegistrationError
from ....gallery import Gallery
from ...building import build_everybody
from ...security import require_scope
from ...services import ServicesOf
from ..listing import iter_people
from ..long import run_long
from ..people import now
from .answers import TRAINING


def _require_int(value: object) -> object:
    if isinstance(value, (bool, float)):
        raise ValueError("must be a whole number")
    return value


class TrainUser(BaseModel):
    """The user whose templates are built."""

    user_id: Annotated[int, BeforeValidator(_require_int)]


def router() -> APIRouter:
    """Make the routes."""
    routes = TRAINING.router("/training", maskable=True)

    @routes.post("/incremental", dependencies=[Depends(require_scope("enrol"))])
    async def incremental(services: ServicesOf, body: TrainUser) -> dict[str, Any]:
        """Rebuild the templates of one user from all photos of that user."""
        started = time.perf_counter()
        built = await services.work(lambda gallery: _build(gallery, body.user_id))
        data = {
            "user_id": body.user_id,
            "faces_processed": built,
            "embeddings_created": built,
            "processing_time_seconds": round(time.perf_counter() - started, 3),
            "timestamp": now(),
        }
        return {"success": True, "message": f"Embeddings built for user {body.user_id}", "data": data}

    @routes.post("/start", dependencies=[Depends(require_scope("enrol"))])
    async def start(services: ServicesOf) -> dict[str, Any]:
        """Rebuild the templates of all users from their photos; a user without photos keeps the present templates."""
        started = time.perf_counter()
        counts = await run_long(services, _build_all)
        seconds = time.perf_counter() - started
        data = {name: counts[name] for name in ("num_data", "num_classes", "total_faces", "model_path")}
        data |= {"training_time_seconds": round(seconds, 3), "training_time_minutes": round(seconds / 60, 4)}
        return {"success": True, "message": "Face database built successfully", "data": data | {"timestamp": now()}}

    @routes.get("/status", dependencies=[Depends(require_scope("read"))])
    async def status(services: ServicesOf) -> dict[str, Any]:
        """Count what has been built."""
        counts = await services.query(_count)
        available = counts["total_faces"] > 0
        fields = ("num_classes", "num_data", "total_faces", "embedding_dim", "samples_per_user")
        data = {"model_available": available} | {name: counts[name] for name in fields} | {"timestamp": now()}
        message = "Model is available" if available else "No face has been registered yet"
        return {"success": True, "message": message, "data": data}

    return routes


def _build(gallery: Gallery, user_id: int) -> int:
    person = gallery.lookup.person_by_number(user_id)
    try:
        return len(gallery.rebuild_person(person.person_id, faces="largest").faces)
    except RegistrationError as error:
        reasons = [f"{one.text}: {TRAINING.message(one.error)}" for one in error.rejected[:3]]
        why = "; ".join(reasons) or "there is none, upload one first"
        raise RegistrationError(f"no photo of user {user_id} can be used: {why}") from error


def _build_all(gallery: Gallery) -> dict[str, Any]:
    build_everybody(gallery, faces="largest")
    return _count(gallery)


def _count(gallery: Gallery) -> dict[str, Any]:
    samples: dict[str, int] = {}
    for person in iter_people(gallery):
        if person.faces:
            samples[str(person.number)] = len(person.faces)
    return {
        "num_data": gallery.lookup.photo_count(),
        "num_classes": len(samples),
        "total_faces": sum(samples.values()),
        "embedding_dim": gallery.pack.dimension,
        "samples_per_user": samples,
        "model_path": gallery.pack.name,
    }
