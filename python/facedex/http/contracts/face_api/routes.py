"""The routes of the contract, put together."""

from __future__ import annotations

from fastapi import APIRouter

from ..shapes import contract_route, told
from . import accounts, health, queries, upkeep
from .setup import NAME, SHAPE, FaceApiSettings

SHAPES = (("/api/", SHAPE),)


def router() -> APIRouter:
    """Make the routes of the contract, with the old settings as they are now."""
    settings = FaceApiSettings()
    routes = APIRouter(
        route_class=contract_route(SHAPE, NAME),
        tags=[NAME],
        responses=told(success=False, message="a bearer token is needed"),
    )
    accounts.add(routes)
    queries.add(routes, settings)
    upkeep.add(routes, settings)
    health.add(routes, settings)
    return routes
