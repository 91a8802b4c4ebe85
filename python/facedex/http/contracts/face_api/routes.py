"""The routes of the contract: health for orchestrators here, the others in their files."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from .... import __version__
from ....errors import FacedexError
from ...security import principal_of
from ...services import ServicesOf
from . import accounts, queries, upkeep
from .setup import ERRORS, FaceApiSettings

SETTINGS = FaceApiSettings
SHAPES = (("/api/", ERRORS.respond),)


def router(settings: FaceApiSettings) -> APIRouter:
    """Make the routes of the contract."""
    routes = ERRORS.router()
    accounts.add(routes)
    queries.add(routes, settings)
    upkeep.add(routes, settings)
    _add_health(routes, settings)
    return routes


def _add_health(routes: APIRouter, settings: FaceApiSettings) -> None:
    @routes.get("/health")
    @routes.get("/health/live")
    async def live() -> dict[str, Any]:
        """Return that the process is up."""
        return {"status": "healthy", "service": "facedex"}

    @routes.get("/health/ready")
    async def ready(services: ServicesOf) -> Any:
        """Return whether the gallery can be read; "degraded" when changes cannot be stored now."""
        try:
            storage = await services.check(lambda gallery: (gallery.lookup.counts(), gallery.storage())[1])
        except FacedexError:
            return JSONResponse({"status": "unavailable", "ready": False}, 503)
        return {"status": "healthy" if storage == "ok" else "degraded", "ready": True}

    @routes.get("/health/detailed")
    async def detailed(services: ServicesOf, request: Request) -> dict[str, Any]:
        """Describe the server to callers with the scope `read`."""
        if not (await principal_of(request)).has_scope("read"):
            return {"status": "healthy"}
        status = await services.query(lambda gallery: gallery.status())
        return {
            "status": "healthy",
            "version": __version__,
            "model": {"name": settings.model_name, "pack": status.pack},
            "people": status.people,
            "embeddings": status.faces,
            "index": status.method,
            "working": services.limits.pictures.pending,
        }
