"""API keys, managed by whoever may administer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Path
from pydantic import Field

from ..security import AdminBy
from ..services import ServicesOf
from .common import part
from .schemas import Answer, Options

router = part("keys", "/keys")


class ApiKey(Answer):
    """An API key, without the key itself."""

    id: int
    name: str
    prefix: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None


class NewKey(Options):
    """A key to be made."""

    name: str = Field(min_length=1, max_length=255, examples=["front door"])
    scopes: list[str] = Field(min_length=1, max_length=4, examples=[["recognise"]])
    expires_at: datetime | None = None


class ShownKey(ApiKey):
    """A key that was made; the key itself is shown this once."""

    key: str


@router.get("")
async def keys(services: ServicesOf, who: AdminBy) -> list[ApiKey]:
    """List the API keys."""
    return [ApiKey.model_validate(key) for key in await services.ask_access(lambda access: access.keys.listed())]


@router.post("", status_code=201, openapi_extra={"x-once": False})
async def add(services: ServicesOf, who: AdminBy, given: NewKey) -> ShownKey:
    """Make an API key."""
    made, secret = await services.ask_access(
        lambda access: access.keys.add(given.name, given.scopes, expires_at=given.expires_at)
    )
    return ShownKey(**ApiKey.model_validate(made).model_dump(), key=secret)


@router.delete("/{key_id}")
async def revoke(services: ServicesOf, who: AdminBy, key_id: Annotated[int, Path(ge=1, le=2**63 - 1)]) -> ApiKey:
    """Make an API key useless at once, in every process."""
    return ApiKey.model_validate(await services.ask_access(lambda access: access.keys.revoke(key_id)))
