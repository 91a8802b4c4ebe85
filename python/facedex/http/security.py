"""Authentication and authorization: a bearer token, an API key, or the cookie of the page.

A caller without any of them has the public scopes of the settings. While there is neither a key nor an administrator
account, and only this machine can reach the server, every caller has all scopes. Cross-site request forgery is
refused: a write without token or key from a page of another origin.
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
    """Return the caller; authenticated once per request.

    Raises
    ------
    UnauthenticatedError
        When the token or key is invalid.
    ForbiddenError
        When a page of another origin requests a write.
    AttemptsError
        When the address, the key or the account sends too many requests.
    """
    known: Principal | None = getattr(request.state, PRINCIPAL, None)
    if known is None:
        known = await _authenticate_request(request, services_of(request))
        claim = CLAIM.get()
        if claim is not None and known.kind in ("key", "account"):
            claim.charge(f"{known.kind} {known.id}")
        setattr(request.state, PRINCIPAL, known)
    return known


async def _authenticate_request(request: Request, services: Services) -> Principal:
    access, settings = services.access, services.settings
    if access is None:
        return _HOST_APP
    await _count_address(request, services)
    found, secret = None, secret_of(request)
    if secret is not None:
        found = await _authenticate_secret(secret, access, services)
        if found is None:
            raise UnauthenticatedError("the token or key is unknown, expired or revoked")
    else:
        if request.method not in _SAFE:
            _refuse_other_origin(request, services)
        cookie = request.cookies.get(COOKIE)
        owner = await _authenticate_secret(cookie, access, services) if cookie else None
        found = owner if owner is not None and owner.kind == "account" else None
    if found is not None:
        await _count_request(f"{found.kind} {found.id}", services)
        return found
    if await is_open(services):
        _refuse_other_host(request, services)
        return _OPERATOR
    return Principal("anybody", "anybody", frozenset(settings.public_scopes))


async def _authenticate_secret(secret: str, access: Access, services: Services) -> Principal | None:
    return access.cached_principal(secret) or await services.query_access(lambda access: access.principal(secret))


@before_body
async def limit_rate(request: Request) -> None:
    """Count a request of its address; a dependency of routes without authentication, such as a sign-in.

    Raises
    ------
    AttemptsError
        When the address sends too many requests.
    ForbiddenError
        When an open server is addressed by a foreign host name.
    """
    services = services_of(request)
    if services.access is None:
        return
    if await is_open(services):
        _refuse_other_host(request, services)
    await _count_address(request, services)


async def _count_address(request: Request, services: Services) -> None:
    """Count a request of its address, once."""
    if not getattr(request.state, "facedex_counted", False):
        request.state.facedex_counted = True
        await _count_request(address_of(request), services)


async def _count_request(caller: str, services: Services) -> None:
    """Count a request of an address, a key or an account; raises AttemptsError."""
    limit = services.settings.rate_per_minute
    if limit:
        await services.query_access(lambda access: access.attempts.count_request(caller, limit))


async def is_open(services: Services) -> bool:
    """Return whether every caller has all scopes.

    True without keys, when the server is local-only or ``insecure``.
    """
    access = services.access
    if access is None:
        return True
    if services.settings.exposed and not services.settings.insecure:
        return False
    return access.cached_no_credentials() or not await services.query_access(lambda access: access.has_credentials())


def secret_of(request: Request) -> str | None:
    """Return the key or token in the headers; None if there is none.

    Raises
    ------
    UnauthenticatedError
        When the header ``Authorization`` has another scheme.
    """
    header = request.headers.get("authorization")
    if header is not None:
        scheme, _, secret = header.partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise UnauthenticatedError("the header Authorization must be 'Bearer' and a token or key")
        return secret.strip()
    return request.headers.get("x-api-key") or None


def require_scope(scope: str) -> Any:
    """Create the dependency of a route that needs a scope.

    Parameters
    ----------
    scope : {"read", "recognise", "enrol", "admin"}

    Examples
    --------
    >>> from fastapi import APIRouter, Depends
    >>> router = APIRouter(dependencies=[Depends(require_scope("enrol"))])
    """

    async def check(request: Request) -> Principal:
        principal = await principal_of(request)
        _check_scope(principal, scope)
        return principal

    return before_body(check, scope=scope)


def _check_scope(principal: Principal, scope: str) -> None:
    if principal.has_scope(scope):
        return
    if principal.kind == "anybody":
        raise UnauthenticatedError(f"sign in, or send a key with scope {scope!r}")
    raise ForbiddenError(f"permission denied: {principal.name} needs scope {scope!r}")


# The caller, in a route that needs the scope.
ReadBy = Annotated[Principal, Depends(require_scope("read"))]
RecogniseBy = Annotated[Principal, Depends(require_scope("recognise"))]
EnrolBy = Annotated[Principal, Depends(require_scope("enrol"))]
AdminBy = Annotated[Principal, Depends(require_scope("admin"))]


def address_of(request: Request) -> str:
    """Return the client's address; an IPv6 address counts as its /64, which one customer has."""
    return network_of(request.client.host if request.client is not None else "")


def set_cookie(request: Request, response: Response, secret: str, max_age_s: int) -> None:
    """Set the page's token in a cookie that no script reads and no other site sends."""
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, secret, max_age=max_age_s, httponly=True, samesite="strict", secure=secure, path="/")


def clear_cookie(response: Response) -> None:
    """Delete the cookie."""
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")


def _refuse_other_origin(request: Request, services: Services) -> None:
    """Refuse cross-site request forgery, by Fetch Metadata and the Origin."""
    origin = request.headers.get("origin")
    if request.headers.get("sec-fetch-site") in (None, "same-origin", "none") and origin is None:
        return
    if origin is not None and (
        origin.partition("://")[2] == request.headers.get("host") or origin in services.settings.cors_origins
    ):
        return
    raise ForbiddenError("a page of another origin needs a token or key for this")


def _refuse_other_host(request: Request, services: Services) -> None:
    """Refuse DNS rebinding: a foreign host name that points to this machine."""
    if services.settings.exposed:
        return
    try:
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:  # such as "[::1"
        host = ""
    if not (is_loopback(host) or host == services.settings.host):
        raise ForbiddenError(f"this server answers only to names of its own machine, not to {host!r}")
