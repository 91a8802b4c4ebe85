"""Errors and answers in the form of an old backend: its message, its status, its mask.

`/v1` tells a picture without a face from bytes that are no picture by a status; the old backends answer 400 to both.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from ...errors import ArgumentError
from ..errors import Problem, Shape, problem_of
from ..route import route_class
from .listing import JsonList
from .mask import masked, read_mask

MASK = "X-Fields"
"""The header that says which fields are wanted."""

_STATUS = {409: 400, 415: 400, 422: 400}


def told(**fields: object) -> dict[int | str, dict[str, Any]]:
    """Describe for OpenAPI what a router's errors look like.

    Parameters
    ----------
    **fields
        Of the answer: its message, and what stands beside it.
    """
    schema = {
        "type": "object",
        "properties": {name: {"type": _TYPES[type(value)], "example": value} for name, value in fields.items()},
        "required": list(fields),
    }
    content = {"application/json": {"schema": schema}}
    return {
        "4XX": {"description": "What is wrong, and what would be accepted.", "content": content},
        "5XX": {"description": "The server cannot answer now; Retry-After says when to try again.", "content": content},
    }


_TYPES: dict[type, str] = {str: "string", bool: "boolean"}


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a contract in place of facedex's own.

    Attributes
    ----------
    said : mapping of str to str
        The whole message by the code of the error, where facedex's would name what the contract has not.
    fields : mapping of str to str
        The contract's field by that of facedex. A message about a value begins with the name of its field.
    """

    said: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)

    def tell(self, code: str, message: str) -> str:
        """Put an error into the contract's words."""
        name, must, rest = message.partition(" must ")
        return self.said.get(code) or f"{self.fields.get(name, name)}{must}{rest}"

    def about(self, error: Exception) -> str:
        """Put an error into the contract's words, where it is one of several in an answer."""
        problem = problem_of(error)
        return self.tell(problem.code, problem.message)


def shape(content: Callable[[str], dict[str, Any]], words: Words) -> Shape:
    """Make the shape of an old backend's errors.

    Parameters
    ----------
    content : callable
        From the message to the answer.
    words : Words
    """

    def answer(request: Request, problem: Problem) -> Response:
        message = words.tell(problem.code, problem.message)
        status = _STATUS.get(problem.status, problem.status)
        return JSONResponse(content(message), status, problem.headers)

    return answer


def contract_route(form: Shape, contract: str) -> type[APIRoute]:
    """Make the class of a contract's routes, whose errors have a shape; no answer is kept to be given again."""
    return route_class(form, contract=contract)


def masked_route(form: Shape, contract: str) -> type[APIRoute]:
    """Make the class of a contract's routes whose errors have a shape and whose answers can be masked by a header.

    What is wrong with the mask is told before anything is done. An error is not masked: its message is always there.
    """
    base = contract_route(form, contract)

    class MaskedRoute(base):  # type: ignore[misc, valid-type]
        """A route that answers only the fields that the header names."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handler: Callable[[Request], Coroutine[Any, Any, Response]] = super().get_route_handler()

            async def handle(request: Request) -> Response:
                wanted = request.headers.get(MASK)
                if wanted is None:
                    return await handler(request)
                try:
                    mask = read_mask(wanted)
                except ArgumentError as error:
                    return form(request, problem_of(error))
                response = await handler(request)
                if isinstance(response, JsonList):
                    response.mask = mask
                    return response
                kind = response.headers.get("content-type", "")
                if response.status_code >= 300 or not kind.startswith("application/json"):
                    return response
                return JSONResponse(masked(json.loads(bytes(response.body)), mask), response.status_code)

            return handle

    return MaskedRoute
