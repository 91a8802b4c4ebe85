"""Sign in, sign out, and the current session."""

from __future__ import annotations

from fastapi import Depends, Request, Response

from ...errors import SignInError
from ..security import COOKIE, address_of, clear_cookie, counted, is_open, principal_of, set_cookie, shown_secret
from ..services import ServicesOf
from . import schemas
from .common import part

router = part("session", "/session")


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


@router.post("", openapi_extra={"x-once": False}, dependencies=[Depends(counted)])
async def sign_in(
    services: ServicesOf, request: Request, response: Response, given: schemas.SigningIn
) -> schemas.SignedIn:
    """Sign in with a password. After some failures sign-ins are delayed, longer with each failure."""
    if services.access is None:
        raise SignInError("wrong login or password")
    address = address_of(request)
    signed = await services.ask_access(
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
    secret = shown_secret(request) or request.cookies.get(COOKIE)
    if secret:
        await services.ask_access(lambda access: access.tokens.revoke(secret))
    clear_cookie(response)
