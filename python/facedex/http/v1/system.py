"""Health checks, figures, and metrics for Prometheus."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from fastapi import Response

from ... import __version__
from ...errors import FacedexError
from ...gallery import Gallery
from ..metrics import CONTENT_TYPE
from ..security import ReadBy
from ..services import ServicesOf
from . import schemas
from .common import GalleryName, part

router = part("system")
metrics_router = part("system")


@router.get("/health/live")
async def live() -> schemas.Health:
    """Return that the process answers."""
    return schemas.Health()


@router.get("/health/ready")
async def ready(services: ServicesOf) -> schemas.Ready:
    """Return whether the gallery can be read; 503 when it cannot.

    "degraded" means that changes cannot be stored now: another program locks the database, its disk is full, or it is
    read-only. Recognition still works, so this is no reason to send requests elsewhere.
    """

    def look(opened: Gallery) -> schemas.Ready:
        opened.lookup.people_after(limit=1)
        storage = opened.storage()
        return schemas.Ready(status="ok" if storage == "ok" else "degraded", storage=storage)

    return await services.check(look)


@router.get("/stats", response_model=schemas.Stats)
async def stats(services: ServicesOf, caller: ReadBy, gallery: GalleryName = None) -> dict[str, Any]:
    """Return figures of the machine and the gallery."""

    def measure(opened: Gallery) -> dict[str, Any]:
        status, done = opened.status(), opened.engine.stats()
        return {
            "version": __version__,
            "cpu_percent": psutil.cpu_percent(),
            "memory_percent": psutil.virtual_memory().percent,
            "process_memory": psutil.Process().memory_info().rss,
            "disk": _disk(status.location),
            "inside": services.limits.pending(),
            "gallery": status,
            "pack": opened.engine.pack,
            "photos": services.settings.photos,
            "total_s": done["total_s"],
            "network_s": done["network_s"],
            "images": int(done["images"]),
        }

    return await services.query(measure, gallery)


@metrics_router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(services: ServicesOf, caller: ReadBy) -> Response:
    """Return the metrics in Prometheus's text format."""
    with suppress(FacedexError):  # request metrics are returned also when the gallery is unavailable
        services.metrics.update_gallery(await services.query(lambda opened: opened.status()))
    return Response(services.metrics.text(), media_type=CONTENT_TYPE)


def _disk(location: str) -> schemas.Disk | None:
    """Return the disk space of a database file; None for a database server."""
    folder = Path(location).absolute().parent
    if "://" in location or not folder.is_dir():
        return None
    usage = shutil.disk_usage(folder)
    return schemas.Disk(total=usage.total, free=usage.free)
