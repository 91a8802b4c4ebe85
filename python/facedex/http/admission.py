"""Authentication and body limits, decided from the headers before a byte of the body is read.

FastAPI reads the body first and runs the dependencies then. A dependency that is a coroutine function of the request
alone is marked with `before_body`; the route class awaits those first. It also sets the limit of the body: a contract
may allow larger ones than `/v1` on its routes that need a scope; a route that needs none accepts a small body only,
unless it accepts a file.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.params import File

from ..errors import MalformedRequestError
from ..store import acting_as
from .settings import Settings

SMALL_BODY = 64 * 1024
"""Maximum body of a route that needs no scope, such as a sign-in, bytes."""

BODY = "facedex.body"
"""Key of the body that is being read, in the ASGI scope."""

MOST_VALUES = 20_000
"""Maximum number of values in a JSON body, estimated by its commas and brackets, those in texts included."""

PRINCIPAL = "facedex_principal"
"""Name of the authenticated caller in the state of a request."""

_Check = Callable[[Request], Awaitable[object]]
_Dependency = TypeVar("_Dependency", bound=_Check)

_before: WeakKeyDictionary[_Check, str | None] = WeakKeyDictionary()
"""The dependencies that need no body, with the scope that each requires."""

_with_files: WeakSet[_Check] = WeakSet()
"""Those of them whose route accepts files, although it needs no scope."""


@dataclass(frozen=True, slots=True)
class Admission:
    """The checks of a route before its body is read.

    Attributes
    ----------
    checks : tuple of callable
    files : bool
        Whether the route accepts files.
    scope : str or None
        The scope that the route needs.
    """

    checks: tuple[_Check, ...]
    files: bool
    scope: str | None = None

    async def __call__(self, request: Request) -> None:
        """Check a request.

        Raises
        ------
        UnauthenticatedError, ForbiddenError, AttemptsError, BodyTooLargeError
        """
        services = services_known(request)
        if services is None or services.access is None:
            return  # in another application, which authenticates by itself
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


def before_body(check: _Dependency, *, scope: str | None = None, files: bool = False) -> _Dependency:
    """Mark a dependency to be awaited before the body is read, and return it.

    Parameters
    ----------
    check : coroutine function of the request
    scope : str, optional
        The scope that it requires.
    files : bool
        Whether the route accepts files without a scope; FastAPI's own `File` is found without this.
    """
    _before[check] = scope
    if files:
        _with_files.add(check)
    return check


async def read_json(request: Request) -> None:
    """Read a JSON body, which is parsed later; raises MalformedRequestError as `check_json_size`."""
    if BODY not in request.scope:
        return  # in another application, which has other limits
    kind = request.headers.get("content-type", "").lower()
    if "json" in kind or (not kind and (await request.body()).lstrip()[:1] in (b"{", b"[")):
        check_json_size(await request.body())


def check_json_size(body: bytes) -> None:
    """Refuse JSON with very many values: parsing it takes seconds and blocks all other requests.

    Raises
    ------
    MalformedRequestError
    """
    if sum(map(body.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise MalformedRequestError(f"the JSON of the body must hold at most {MOST_VALUES} values")


def as_audit_actor(request: Request) -> AbstractContextManager[None]:
    """Name the caller as the actor in the audit; another application around the router does so itself."""
    principal = getattr(request.state, PRINCIPAL, None)
    return nullcontext() if principal is None else acting_as(principal.name)


def services_known(request: Request) -> Any:
    """Return the services, or None in a router that is mounted elsewhere and has not provided them yet."""
    return getattr(request.state, "facedex", None) or getattr(request.app.state, "facedex", None)


def admission_of(dependant: Dependant) -> Admission:
    """Collect the checks before the body from the dependencies of a route."""
    checks = tuple(call for call in _calls(dependant) if call in _before)
    scope = next((_before[check] for check in checks if _before[check]), None)
    files = any(isinstance(field.field_info, File) for field in dependant.body_params)
    files = files or any(check in _with_files for check in checks)
    return Admission(checks, files, scope)


def _calls(dependant: Dependant) -> Iterator[Any]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from _calls(inner)
