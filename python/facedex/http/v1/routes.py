"""All routes of `/v1`, and those of one gallery."""

from __future__ import annotations

from functools import cache

from fastapi import APIRouter
from starlette.routing import BaseRoute

from . import challenges, events, index, jobs, people, photos, recognition, session, system

_GALLERY_ROUTERS = (recognition.router, people.router, people.faces, photos.router, index.status, events.router)
_SERVER_ROUTERS = (
    index.gallery_routes,
    index.router,
    jobs.router,
    events.attendance,
    session.router,
    challenges.router,
    session.key_routes,
    system.router,
)


def gallery_routes() -> APIRouter:
    """Return the routes that need one open gallery and nothing else."""
    router = APIRouter()
    for one in _GALLERY_ROUTERS:
        router.include_router(one)
    return router


@cache
def server_routes() -> tuple[BaseRoute, ...]:
    """Return all routes, ``/metrics`` included; built once per process.

    Each part is included directly, because FastAPI matches nested routers twice; the busiest part comes first.
    """
    router = APIRouter()
    for one in (*_GALLERY_ROUTERS, *_SERVER_ROUTERS):
        router.include_router(one, prefix="/v1")
    router.include_router(system.metrics_router)
    return tuple(router.routes)
