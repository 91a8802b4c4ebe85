"""The routes of the contract, put together."""

from __future__ import annotations

from fastapi import APIRouter

from .answers import NAME
from .auth import router as auth
from .faces import router as faces
from .photos import router as photos
from .training import router as training
from .users import router as users


def router() -> APIRouter:
    """Make the routes of the contract."""
    routes = APIRouter(prefix="/api", tags=[NAME])
    for part in (users, photos, training, faces, auth):
        routes.include_router(part())
    return routes
