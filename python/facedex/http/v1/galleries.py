"""The galleries of a database."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

from ...records import Status
from ..security import AdminBy, ReadBy
from ..services import ServicesOf
from . import schemas
from .common import part

router = part("galleries", "/galleries")


@router.get("")
async def galleries(services: ServicesOf, caller: ReadBy) -> list[schemas.Gallery]:
    """List the galleries of this server."""
    names = await services.limits.ask(services.galleries.names)
    return [schemas.Gallery(name=name) for name in names]


@router.post("", status_code=201)
async def create(services: ServicesOf, caller: AdminBy, given: schemas.NewGallery) -> schemas.Gallery:
    """Create a gallery; an existing one stays as it is."""
    await services.limits.ask(lambda: services.galleries.at(given.name, create=True))
    return schemas.Gallery(name=given.name)


@router.get("/{name}", response_model=schemas.Status)
async def gallery(
    services: ServicesOf, caller: ReadBy, name: Annotated[str, Path(min_length=1, max_length=64)]
) -> Status:
    """Return the status of a gallery."""
    return await services.ask(lambda opened: opened.status(), name)
