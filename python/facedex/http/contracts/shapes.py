"""The errors of the older backends, and the masks of their answers.

`/v1` distinguishes a picture without a face from bytes that are not a picture by the status; the older backends answer
400 to both.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from ...errors import ArgumentError
from ..errors import ErrorFormatter, Problem, problem_of
from ..route import route_class
from .listing import JsonList
from .mask import apply_mask, read_mask

MASK = "X-Fields"
"""The header with the fields that a client wants."""

_STATUS = {409: 400, 415: 400, 422: 400}
_TYPES: dict[type, str] = {str: "string", bool: "boolean"}


@dataclass(frozen=True, slots=True)
class ErrorFormat:
    """How a contract formats its errors: as an object with a message, in the words of the contract.

    Attributes
    ----------
    contract : str
        Name of the contract.
    example : mapping of str to str or bool
        An error: its ``message``, and the fields that are the same in all errors.
    messages : mapping of str to str
        Messages by the code of the error, where that of facedex has words that the contract does not know.
    fields : mapping of str to str
        The contract's field by that of facedex. A message about a value begins with the name of its field.
    """

    contract: str
    example: Mapping[str, str | bool]
    messages: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)

    def message(self, error: Exception) -> str:
        """Describe an error that is one of several in an answer."""
        return self._message(problem_of(error))

    def respond(self, request: Request, problem: Problem) -> Response:
        """Format an error as the answer of a route; an `ErrorFormatter`."""
        content = {**self.example, "message": self._message(problem)}
        return JSONResponse(content, _STATUS.get(problem.status, problem.status), problem.headers)

    def router(self, prefix: str = "", *, maskable: bool = False, **options: Any) -> APIRouter:
        """Make a router whose errors have this format.

        Parameters
        ----------
        prefix : str
        maskable : bool
            Whether the header ``X-Fields`` chooses the fields of answers.
        **options
            Of the router.
        """
        route = route_class(self.respond, contract=self.contract)
        return APIRouter(
            prefix=prefix,
            route_class=_maskable(route, self.respond) if maskable else route,
            tags=[self.contract],
            responses=self._responses(),
            **options,
        )

    def _message(self, problem: Problem) -> str:
        name, must, rest = problem.message.partition(" must ")
        return self.messages.get(problem.code) or f"{self.fields.get(name, name)}{must}{rest}"

    def _responses(self) -> dict[int | str, dict[str, Any]]:
        """Describe the errors for OpenAPI."""
        properties = {name: {"type": _TYPES[type(value)], "example": value} for name, value in self.example.items()}
        schema = {"type": "object", "properties": properties, "required": list(properties)}
        content = {"application/json": {"schema": schema}}
        return {
            "4XX": {"description": "What is wrong, and what would be accepted.", "content": content},
            "5XX": {
                "description": "The server cannot answer now; Retry-After says when to try again.",
                "content": content,
            },
        }


def _maskable(base: type[APIRoute], formatter: ErrorFormatter) -> type[APIRoute]:
    """Make a class of routes whose answers are reduced to the fields that a header names.

    A mask that is not valid is refused before the route runs. Errors are not masked: they always have a message.
    """

    class MaskedRoute(base):  # type: ignore[misc, valid-type]
        """A route that answers only the fields in the header."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handler: Callable[[Request], Coroutine[Any, Any, Response]] = super().get_route_handler()

            async def handle(request: Request) -> Response:
                header = request.headers.get(MASK)
                if header is None:
                    return await handler(request)
                try:
                    mask = read_mask(header)
                except ArgumentError as error:
                    return formatter(request, problem_of(error))
                response = await handler(request)
                if isinstance(response, JsonList):
                    response.mask = mask
                    return response
                kind = response.headers.get("content-type", "")
                if response.status_code >= 300 or not kind.startswith("application/json"):
                    return response
                return JSONResponse(apply_mask(json.loads(bytes(response.body)), mask), response.status_code)

            return handle

    return MaskedRoute
