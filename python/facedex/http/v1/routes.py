"""The parts of `/v1`, put together."""

from __future__ import annotations

from fastapi import APIRouter

from . import events, galleries, index, jobs, keys, people, photos, recognition, session, system

_OF_A_GALLERY = (people.router, people.faces, photos.router, recognition.router, index.status, events.router)
_OF_A_SERVER = (
    galleries.router,
    index.router,
    jobs.router,
    events.attendance,
    session.router,
    keys.router,
    system.router,
)


def of_a_gallery() -> APIRouter:
    """Return the routes that need one open gallery and nothing else."""
    return _together(*_OF_A_GALLERY)


def everything() -> APIRouter:
    """Return all routes, ``/metrics`` included."""
    router = APIRouter()
    router.include_router(_together(*_OF_A_GALLERY, *_OF_A_SERVER), prefix="/v1")
    router.include_router(system.metrics_router)
    return router


def _together(*parts: APIRouter) -> APIRouter:
    router = APIRouter()
    for one in parts:
        router.include_router(one)
    return router
