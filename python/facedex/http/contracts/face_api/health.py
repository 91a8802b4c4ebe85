"""Health for orchestrators."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from .... import __version__
from ....errors import FacedexError
from ...security import principal_of
from ...services import ServicesOf
from .setup import FaceApiSettings


def add(routes: APIRouter, settings: FaceApiSettings) -> None:
    """Add the routes."""

    @routes.get("/health")
    @routes.get("/health/live")
    async def live() -> dict[str, Any]:
        """Say that the process answers."""
        return {"status": "healthy", "service": "facedex"}

    @routes.get("/health/ready")
    async def ready(services: ServicesOf) -> Any:
        """Say whether the gallery can be asked; "degraded" where changes cannot be stored now."""
        try:
            storage = await services.look(lambda gallery: (gallery.counts(), gallery.storage())[1])
        except FacedexError:
            return JSONResponse({"status": "unavailable", "ready": False}, 503)
        return {"status": "healthy" if storage == "ok" else "degraded", "ready": True}

    @routes.get("/health/detailed")
    async def detailed(services: ServicesOf, request: Request) -> dict[str, Any]:
        """Tell what the server works with, to whoever may read."""
        if not (await principal_of(request)).may("read"):
            return {"status": "healthy"}
        status = await services.ask(lambda gallery: gallery.status())
        return {
            "status": "healthy",
            "version": __version__,
            "model": {"name": settings.model_name, "pack": status.pack},
            "people": status.people,
            "embeddings": status.faces,
            "index": status.method,
            "working": services.limits.pictures.inside,
        }
