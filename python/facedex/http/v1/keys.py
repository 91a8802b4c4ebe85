"""API keys: list, create, revoke."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import Path

from ...server import ApiKey
from ..security import AdminBy
from ..services import ServicesOf
from . import schemas
from .common import part

router = part("keys", "/keys")


@router.get("", response_model=list[schemas.ApiKey])  # type: ignore[valid-type]
async def keys(services: ServicesOf, caller: AdminBy) -> list[ApiKey]:
    """List the API keys."""
    return await services.ask_access(lambda access: access.keys.listed())


@router.post("", status_code=201, response_model=schemas.ShownKey, openapi_extra={"x-once": False})
async def add(services: ServicesOf, caller: AdminBy, given: schemas.NewKey) -> dict[str, Any]:
    """Create an API key."""
    made, secret = await services.ask_access(
        lambda access: access.keys.add(given.name, given.scopes, expires_at=given.expires_at)
    )
    return {**asdict(made), "key": secret}


@router.delete("/{key_id}", response_model=schemas.ApiKey)
async def revoke(services: ServicesOf, caller: AdminBy, key_id: Annotated[int, Path(ge=1, le=2**63 - 1)]) -> ApiKey:
    """Revoke an API key at once, in every process."""
    return await services.ask_access(lambda access: access.keys.revoke(key_id))
