"""All routes of `/v1`, and those of one gallery."""

from __future__ import annotations

from functools import cache

from fastapi import APIRouter
from starlette.routing import BaseRoute

from . import events, index, jobs, people, photos, recognition, session, system

_OF_A_GALLERY = (recognition.router, people.router, people.faces, photos.router, index.status, events.router)
_OF_A_SERVER = (
    index.gallery_routes,
    index.router,
    jobs.router,
    events.attendance,
    session.router,
    session.key_routes,
    system.router,
)


def of_a_gallery() -> APIRouter:
    """Return the routes that need one open gallery and nothing else."""
    router = APIRouter()
    for one in _OF_A_GALLERY:
        router.include_router(one)
    return router


@cache
def of_a_server() -> tuple[BaseRoute, ...]:
    """Return all routes, ``/metrics`` included; built once per process.

    Each part is included directly, because FastAPI matches nested routers twice; the busiest part comes first.
    """
    router = APIRouter()
    for one in (*_OF_A_GALLERY, *_OF_A_SERVER):
        router.include_router(one, prefix="/v1")
    router.include_router(system.metrics_router)
    return tuple(router.routes)
