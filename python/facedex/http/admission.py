"""Who may ask is decided from the headers, before a byte of the body is read.

FastAPI reads the body first and asks the dependencies then. A dependency that is a coroutine function of the request
alone says with `before_body` that it needs no body; the routes' class awaits those first. How large the body may be is
decided there too: where a contract takes more than `/v1`, its own routes do and no others, and of these those that need
a scope. A route that needs none takes a small body only, unless it takes a file.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.params import File

from ..errors import MalformedRequestError
from ..store import acting_as
from .settings import Settings

SMALL_BODY = 64 * 1024
"""Largest body of a route that needs no scope, such as a sign-in, bytes."""

BODY = "facedex.body"
"""Where the guard leaves the body that is being read, in the scope of a request."""

MOST_VALUES = 20_000
"""Most values in the JSON of a body, as far as commas and brackets tell; those in texts count too."""

PRINCIPAL = "facedex_principal"
"""Where it is left who asks, in the state of a request."""

_Check = Callable[[Request], Awaitable[object]]
_Dependency = TypeVar("_Dependency", bound=_Check)

_before: WeakKeyDictionary[_Check, str | None] = WeakKeyDictionary()
"""The dependencies that need no body, with the scope that each asks for."""


@dataclass(frozen=True, slots=True)
class Admission:
    """What is decided about a request of a route before its body is read.

    Attributes
    ----------
    checks : tuple of callable
    files : bool
        Whether the route takes files.
    scope : str or None
        What one must be allowed to do.
    """

    checks: tuple[_Check, ...]
    files: bool
    scope: str | None = None

    async def __call__(self, request: Request) -> None:
        """Let a request in, or refuse it.

        Raises
        ------
        UnauthenticatedError, ForbiddenError, AttemptsError, BodyTooLargeError
        """
        services = services_known(request)
        if services is None or services.access is None:
            return  # in somebody else's application, which decides for itself
        for check in self.checks:
            await check(request)
        body = request.scope.get(BODY)
        limit = self._largest(request, services.settings)
        if body is not None and limit < body.limit:
            body.limit = limit
            body.check(request.scope)

    def _largest(self, request: Request, settings: Settings) -> int:
        if self.scope is None:
            return settings.largest_body_of(None) if self.files else SMALL_BODY
        return settings.largest_body_of(getattr(request.scope.get("route"), "contract", None))


def before_body(check: _Dependency, *, scope: str | None = None) -> _Dependency:
    """Let a dependency be awaited before the body is read, and return it.

    Parameters
    ----------
    check : coroutine function of the request
    scope : str, optional
        What it wants one to be allowed to do.
    """
    _before[check] = scope
    return check


async def read_json(request: Request) -> None:
    """Read a body of JSON, which is parsed later; raises MalformedRequestError as `refuse_crowd`."""
    if BODY not in request.scope:
        return  # in somebody else's application, whose bodies have other limits
    kind = request.headers.get("content-type", "").lower()
    if "json" in kind or (not kind and (await request.body()).lstrip()[:1] in (b"{", b"[")):
        refuse_crowd(await request.body())


def refuse_crowd(body: bytes) -> None:
    """Refuse JSON of very many values: to parse it takes seconds, in which nobody else is answered.

    Raises
    ------
    MalformedRequestError
    """
    if sum(map(body.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise MalformedRequestError(f"the JSON of the body must hold at most {MOST_VALUES} values")


def acting(request: Request) -> AbstractContextManager[None]:
    """Note in the audit what is done inside as done by whoever asks; the application around us names them itself."""
    principal = getattr(request.state, PRINCIPAL, None)
    return nullcontext() if principal is None else acting_as(principal.name)


def services_known(request: Request) -> Any:
    """Return what the routes share, or None before a router that is mounted elsewhere has said it."""
    return getattr(request.state, "facedex", None) or getattr(request.app.state, "facedex", None)


def admission_of(dependant: Dependant) -> Admission:
    """Read from what a route depends on what is decided before its body is read."""
    checks = tuple(call for call in _calls(dependant) if call in _before)
    scope = next((_before[check] for check in checks if _before[check]), None)
    files = any(isinstance(field.field_info, File) for field in dependant.body_params)
    return Admission(checks, files, scope)


def _calls(dependant: Dependant) -> Iterator[Any]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from _calls(inner)
