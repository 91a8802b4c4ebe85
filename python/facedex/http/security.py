"""Who asks, and whether that is allowed: a bearer token, an API key, or the cookie of the page.

Without any of them one is anybody, who may do what the settings say; as long as there is neither a key nor an account
that administers, and the server is reached from its own machine only, one may do everything. A request that a browser
may have been tricked into is refused: one that changes something, shows no token or key, and comes from the page of
another origin.
"""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request, Response

from ..errors import ForbiddenError, UnauthenticatedError
from ..server import Access, Principal
from .admission import PRINCIPAL, before_body
from .connections import network_of
from .pixels import CLAIM
from .services import Services, services_of
from .settings import is_loopback

COOKIE = "facedex_session"
"""Name of the cookie that holds a token."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OPERATOR = Principal("operator", "operator", frozenset({"admin"}))
_HOST_APP = Principal("operator", "application", frozenset({"admin"}))


async def principal_of(request: Request) -> Principal:
    """Tell who asks; asked once for each request.

    Raises
    ------
    UnauthenticatedError
        When a token or key is shown that is of no use.
    ForbiddenError
        When a page of another origin wants something changed.
    AttemptsError
        When the address, the key or the account asks too often.
    """
    known: Principal | None = getattr(request.state, PRINCIPAL, None)
    if known is None:
        known = await _principal(request, services_of(request))
        claim = CLAIM.get()
        if claim is not None and known.kind in ("key", "account"):
            claim.charge(f"{known.kind} {known.id}")
        setattr(request.state, PRINCIPAL, known)
    return known


async def _principal(request: Request, services: Services) -> Principal:
    access, settings = services.access, services.settings
    if access is None:
        return _HOST_APP
    await _count(request, services)
    shown = shown_secret(request)
    if shown is not None:
        found = await _whose(shown, access, services)
        if found is None:
            raise UnauthenticatedError("the token or key is unknown, expired or revoked")
        return await _counted_as(found, services)
    if request.method not in _SAFE:
        _refuse_other_origin(request, services)
    cookie = request.cookies.get(COOKIE)
    if cookie:
        found = await _whose(cookie, access, services)
        if found is not None and found.kind == "account":
            return await _counted_as(found, services)
    if await is_open(services):
        _refuse_other_host(request, services)
        return _OPERATOR
    return Principal("anybody", "anybody", frozenset(settings.public_scopes))


async def _whose(secret: str, access: Access, services: Services) -> Principal | None:
    return access.recalled(secret) or await services.limits.ask(lambda: access.principal(secret))


@before_body
async def counted(request: Request) -> None:
    """Count a request of its address; a dependency of routes that do not ask who it is, such as a sign-in.

    Raises
    ------
    AttemptsError
        When the address asks too often.
    ForbiddenError
        When an open server is asked under somebody else's name.
    """
    services = services_of(request)
    if services.access is None:
        return
    if await is_open(services):
        _refuse_other_host(request, services)
    await _count(request, services)


async def _count(request: Request, services: Services) -> None:
    """Count a request of its address, once."""
    access, most = services.access, services.settings.rate_per_minute
    if access is None or not most or getattr(request.state, "facedex_counted", False):
        return
    request.state.facedex_counted = True
    await services.limits.ask(lambda: access.attempts.take(address_of(request), most))


async def _counted_as(principal: Principal, services: Services) -> Principal:
    """Count a request of a key or an account, from whatever address it comes; raises AttemptsError."""
    access, most = services.access, services.settings.rate_per_minute
    if access is not None and most:
        await services.limits.ask(lambda: access.attempts.take(f"{principal.kind} {principal.id}", most))
    return principal


async def is_open(services: Services) -> bool:
    """Tell whether everybody may do everything: no keys, and only this machine asks, or ``insecure``."""
    access = services.access
    if access is None:
        return True
    if services.settings.exposed and not services.settings.insecure:
        return False
    return access.recalled_unguarded() or not await services.limits.ask(access.guarded)


def shown_secret(request: Request) -> str | None:
    """Return the key or token in the headers; None when there is none.

    Raises
    ------
    UnauthenticatedError
        When the header ``Authorization`` holds something else.
    """
    header = request.headers.get("authorization")
    if header is not None:
        scheme, _, secret = header.partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise UnauthenticatedError("the header Authorization must be 'Bearer' and a token or key")
        return secret.strip()
    return request.headers.get("x-api-key") or None


def need(scope: str) -> Any:
    """Make the dependency of a route that needs a scope.

    Parameters
    ----------
    scope : {"read", "recognise", "enrol", "admin"}

    Examples
    --------
    >>> from fastapi import APIRouter, Depends
    >>> router = APIRouter(dependencies=[Depends(need("enrol"))])
    """

    async def check(request: Request) -> Principal:
        principal = await principal_of(request)
        _refuse_other_scope(principal, scope)
        return principal

    return before_body(check, scope=scope)


def _refuse_other_scope(principal: Principal, scope: str) -> None:
    if principal.may(scope):
        return
    if principal.kind == "anybody":
        raise UnauthenticatedError(f"sign in, or show a key that may {scope}")
    raise ForbiddenError(f"{principal.name} may not {scope}")


ReadBy = Annotated[Principal, Depends(need("read"))]
RecogniseBy = Annotated[Principal, Depends(need("recognise"))]
EnrolBy = Annotated[Principal, Depends(need("enrol"))]
AdminBy = Annotated[Principal, Depends(need("admin"))]
"""Parameters of routes that need a scope."""


def address_of(request: Request) -> str:
    """Tell the address a request comes from; an IPv6 address counts as its /64, which one customer has."""
    return network_of(request.client.host if request.client is not None else "")


def set_cookie(request: Request, response: Response, secret: str, max_age_s: int) -> None:
    """Give the page its token in a cookie that no script reads and no other site sends."""
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, secret, max_age=max_age_s, httponly=True, samesite="strict", secure=secure, path="/")


def clear_cookie(response: Response) -> None:
    """Take the cookie back."""
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")


def _refuse_other_origin(request: Request, services: Services) -> None:
    """Cross-site request forgery: Fetch Metadata says so, or the Origin is not ours."""
    origin = request.headers.get("origin")
    if request.headers.get("sec-fetch-site") in (None, "same-origin", "none") and origin is None:
        return
    if origin is not None and (
        origin.partition("://")[2] == request.headers.get("host") or origin in services.settings.cors_origins
    ):
        return
    raise ForbiddenError("a page of another origin may not do that without a token or key")


def _refuse_other_host(request: Request, services: Services) -> None:
    """DNS rebinding: a name of somebody else that points to this machine."""
    if services.settings.exposed:
        return
    try:
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:  # such as "[::1"
        host = ""
    if not (is_loopback(host) or host == services.settings.host):
        raise ForbiddenError(f"this server answers to its own machine, not to the name {host!r}")
