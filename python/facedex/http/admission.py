"""Who may ask is decided from the headers, before a byte of the body is read.

FastAPI reads the body first and asks the dependencies then. A dependency that needs no body says so with an attribute
``before_body``: a coroutine function of the request, which raises what the dependency would. The routes' class awaits
those first. A route that asks nobody for a scope takes a small body only, unless it takes a file.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.params import File

SMALL_BODY = 64 * 1024
"""Largest body of a route that needs no scope, such as a sign-in, bytes."""

BODY = "facedex.body"
"""Where the guard leaves the body that is being read, in the scope of a request."""

_Check = Callable[[Request], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Admission:
    """What is decided about a request of a route before its body is read.

    Attributes
    ----------
    checks : tuple of callable
    small : bool
        Whether the body must be small.
    """

    checks: tuple[_Check, ...]
    small: bool

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
        if self.small and body is not None:
            body.limit = min(body.limit, SMALL_BODY)
            body.check(request.scope)


def services_known(request: Request) -> Any:
    """Return what the routes share, or None before a router that is mounted elsewhere has said it."""
    return getattr(request.state, "facedex", None) or getattr(request.app.state, "facedex", None)


def admission_of(dependant: Dependant) -> Admission:
    """Read from what a route depends on what is decided before its body is read."""
    calls = list(_calls(dependant))
    checks = tuple(check for call in calls if (check := getattr(call, "before_body", None)) is not None)
    scoped = any(hasattr(call, "scope_needed") for call in calls)
    files = any(isinstance(field.field_info, File) for field in dependant.body_params)
    return Admission(checks, small=not (scoped or files))


def _calls(dependant: Dependant) -> Iterator[Any]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from _calls(inner)
