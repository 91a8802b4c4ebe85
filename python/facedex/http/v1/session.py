"""Sessions and API keys: sign in and out, list, create and revoke keys."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import Depends, Path, Request, Response

from ...errors import SignInError
from ...server import ApiKey
from ..security import (
    COOKIE,
    AdminBy,
    address_of,
    clear_cookie,
    is_open,
    limit_rate,
    principal_of,
    secret_of,
    set_cookie,
)
from ..services import ServicesOf
from . import schemas
from .answers import list_of
from .common import part

router = part("session", "/session")
key_routes = part("keys", "/keys")


@router.get("")
async def session(services: ServicesOf, request: Request) -> schemas.Session:
    """Return the caller and its scopes."""
    principal = await principal_of(request)
    return schemas.Session(
        kind=principal.kind,
        name=principal.name,
        scopes=sorted(principal.scopes),
        open=await is_open(services),
    )


@router.post("", openapi_extra={"x-once": False}, dependencies=[Depends(limit_rate)])
async def sign_in(
    services: ServicesOf, request: Request, response: Response, given: schemas.SigningIn
) -> schemas.SignedIn:
    """Sign in with a password. After some failures sign-ins are delayed, longer with each failure."""
    if services.access is None:
        raise SignInError("wrong login or password")
    address = address_of(request)
    signed = await services.query_access(
        lambda access: access.sign_in(given.login, given.password, address=address), password=True
    )
    principal = signed.account.principal
    if given.cookie:
        set_cookie(request, response, signed.secret, services.settings.token_ttl_s)
    return schemas.SignedIn(
        kind=principal.kind,
        name=principal.name,
        scopes=sorted(principal.scopes),
        open=False,
        token=None if given.cookie else signed.secret,
        expires_at=signed.token.expires_at,
    )


@router.delete("", status_code=204, openapi_extra={"x-once": False})
async def sign_out(services: ServicesOf, request: Request, response: Response) -> None:
    """Sign out: revoke the token, in every process."""
    await principal_of(request)
    secret = secret_of(request) or request.cookies.get(COOKIE)
    if secret:
        await services.query_access(lambda access: access.tokens.revoke(secret))
    clear_cookie(response)


@key_routes.get("", response_model=list_of(schemas.ApiKey))
async def keys(services: ServicesOf, caller: AdminBy) -> list[ApiKey]:
    """List the API keys."""
    return await services.query_access(lambda access: access.keys.all())


@key_routes.post("", status_code=201, response_model=schemas.ShownKey, openapi_extra={"x-once": False})
async def add_key(services: ServicesOf, caller: AdminBy, given: schemas.NewKey) -> dict[str, Any]:
    """Create an API key."""
    made, secret = await services.query_access(
        lambda access: access.keys.add(given.name, given.scopes, expires_at=given.expires_at)
    )
    return {**asdict(made), "key": secret}


@key_routes.delete("/{key_id}", response_model=schemas.ApiKey)
async def revoke_key(services: ServicesOf, caller: AdminBy, key_id: Annotated[int, Path(ge=1, le=2**63 - 1)]) -> ApiKey:
    """Revoke an API key at once, in every process."""
    return await services.query_access(lambda access: access.keys.revoke(key_id))
