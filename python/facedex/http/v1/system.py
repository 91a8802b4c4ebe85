"""Whether the server is well, and how much it does."""

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
    """Tell that the process answers."""
    return schemas.Health()


@router.get("/health/ready")
async def ready(services: ServicesOf) -> schemas.Ready:
    """Tell that the gallery can be asked; 503 when it cannot.

    It is "degraded" when it can be asked and changes cannot be stored now: another program holds the database, its disk
    is full, or it may not be written. Recognition goes on, so this is no reason to send requests elsewhere.
    """

    def look(opened: Gallery) -> schemas.Ready:
        opened.people_after(limit=1)
        storage = opened.storage()
        return schemas.Ready(status="ok" if storage == "ok" else "degraded", storage=storage)

    return await services.look(look)


@router.get("/stats")
async def stats(services: ServicesOf, who: ReadBy, gallery: GalleryName = None) -> schemas.Stats:
    """Tell how machine and gallery stand."""
    engine = await services.engine(gallery)

    def look(opened: Gallery) -> dict[str, Any]:
        status = opened.status()
        done = engine.stats()
        return {
            "version": __version__,
            "cpu_percent": psutil.cpu_percent(),
            "memory_percent": psutil.virtual_memory().percent,
            "process_memory": psutil.Process().memory_info().rss,
            "disk": _disk(status.location),
            "inside": services.limits.inside(),
            "gallery": schemas.Status.model_validate(status),
            "pack": schemas.Pack.model_validate(engine.pack),
            "photos": services.settings.photos,
            "total_s": done["total_s"],
            "network_s": done["network_s"],
            "images": int(done["images"]),
        }

    return schemas.Stats(**await services.ask(look, gallery))


@metrics_router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(services: ServicesOf, who: ReadBy) -> Response:
    """Tell Prometheus."""
    with suppress(FacedexError):  # the numbers of the requests are told also when the gallery is away
        services.metrics.stands(await services.ask(lambda opened: opened.status()))
    return Response(services.metrics.text(), media_type=CONTENT_TYPE)


def _disk(location: str) -> schemas.Disk | None:
    """Tell the space where a database file is; None where it is on a server."""
    folder = Path(location).absolute().parent
    if "://" in location or not folder.is_dir():
        return None
    usage = shutil.disk_usage(folder)
    return schemas.Disk(total=usage.total, free=usage.free)
