"""The pipeline around every route: admission, body, audit actor, idempotency, and errors in the route's own format."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from . import idempotency
from .admission import admission_of, as_audit_actor, read_json
from .errors import CLIENT_CLOSED, ErrorFormatter, format_problem, is_disconnect, problem_of


def route_class(format_error: ErrorFormatter = format_problem, *, contract: str | None = None) -> type[APIRoute]:
    """Make the class of routes that format their errors with `format_error`; give it to ``APIRouter(route_class=...)``.

    Parameters
    ----------
    format_error : callable
        Formats a problem as a response; by default as problem details.
    contract : str, optional
        The contract of the routes: it may allow larger bodies, and ``Idempotency-Key`` is ignored.
    """
    formatter, of_contract = format_error, contract

    class Route(APIRoute):
        """A route that formats every error, whatever application it is mounted in."""

        format_error = staticmethod(formatter)
        contract = of_contract

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            scope = admission_of(self.dependant).scope
            if scope is not None:
                self.openapi_extra = {"x-scope": scope, **(self.openapi_extra or {})}

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handler = super().get_route_handler()
            admit = admission_of(self.dependant)

            async def handle(request: Request) -> Response:
                try:
                    await admit(request)
                    await read_json(request)
                    with as_audit_actor(request):
                        return await idempotency.respond(request, handler)
                except Exception as error:  # noqa: BLE001 - problem_of logs what is a fault
                    return CLIENT_CLOSED if is_disconnect(error) else formatter(request, problem_of(error))

            return handle

    return Route
