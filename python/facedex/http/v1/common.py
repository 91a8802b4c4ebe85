"""Shared parts of the routes of `/v1`: error responses, bodies with pictures, pages, the gallery parameter."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query
from fastapi.routing import APIRoute
from pydantic import BaseModel

from ...errors import MalformedRequestError
from ..errors import MEDIA_TYPE
from ..route import route_class
from . import schemas

_Item = TypeVar("_Item")

GalleryName = Annotated[
    str | None,
    Query(alias="gallery", min_length=1, max_length=64, description="Name of the gallery; by default the server's."),
]
Cursor = Annotated[str | None, Query(max_length=64, description="`next_cursor` of the previous page.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Maximum number of items in a page.")]

_ERRORS = {
    400: "The image or the request cannot be read.",
    401: "Not signed in, or the token or key is invalid.",
    403: "Permission denied.",
    404: "Not found.",
    408: "The body arrived too slowly.",
    409: "Conflict with what is stored.",
    413: "The body or the image is too large.",
    415: "Unsupported image format.",
    422: "The request is invalid, or its picture shows no usable face.",
    429: "Too many attempts; Retry-After says when to try again.",
    500: "Internal server error.",
    503: "The server is busy or the database is unavailable; Retry-After says when to try again.",
    504: "The request timed out.",
    507: "No disk space is left.",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": words, "model": schemas.Problem, "content": {MEDIA_TYPE: {}}}
    for status, words in _ERRORS.items()
}
"""The error responses that every route may give."""

_Route = route_class()


def part(tag: str, prefix: str = "", dependencies: list[Any] | None = None) -> APIRouter:
    """Create the router of one part of `/v1`."""
    return APIRouter(
        prefix=prefix,
        tags=[tag],
        route_class=_Route,
        responses=RESPONSES,
        dependencies=dependencies or [],
        generate_unique_id_function=_operation_id,
    )


_paths: dict[Callable[..., Any], str] = {}  # of each route, before it is included elsewhere


def _operation_id(route: APIRoute) -> str:
    """Return the name of a route, behind the prefix that another application includes it with."""
    prefix = route.path_format.removesuffix(_paths.setdefault(route.endpoint, route.path_format)).removesuffix("/v1")
    return "_".join([*re.findall(r"\w+", prefix), route.name])


def pictures_body(options: type[BaseModel], *, several: bool = False, required: bool = True) -> dict[str, Any]:
    """Describe for OpenAPI a body with pictures: a file, the raw bytes, or base64 in JSON.

    Parameters
    ----------
    options : type of pydantic model
        The fields beside the pictures.
    several : bool
        Whether more than one picture is accepted.
    required : bool
    """
    schema: dict[str, Any] = options.model_json_schema(ref_template="#/components/schemas/{model}")
    fields, needed = schema.get("properties", {}), schema.get("required", [])
    # A form that is filled in by the OpenAPI page would else begin with the minimum of each number.
    blank = {name: field if "examples" in field else {"example": ""} | field for name, field in fields.items()}
    form_fields = {
        name: blank[name] if {"type": "null"} in field.get("anyOf", ()) else field for name, field in fields.items()
    }

    def body(picture: dict[str, Any], fields: dict[str, Any], example: Any) -> dict[str, Any]:
        shown: dict[str, Any] = {"images": {"type": "array", "items": picture}} if several else {"image": picture}
        names = list(shown) if required else []
        content = {"type": "object", "properties": shown | fields, "required": names + needed}
        content["additionalProperties"] = False
        beside = {name: fields[name]["examples"][0] for name in needed}
        return {"schema": content} | ({"example": {next(iter(shown)): example} | beside} if example else {})

    text = {"type": "string", "description": "Base64, or a data URL.", "maxLength": 20_000_000}
    content = {
        "multipart/form-data": body({"type": "string", "format": "binary"}, form_fields, None),
        "application/json": body(text, fields, ["data:image/jpeg;base64,/9j/4AAQ..."] if several else "/9j/4AAQ..."),
    }
    if not needed and not several:
        raw = {"schema": {"type": "string", "format": "binary"}}
        content |= {"image/*": raw, "application/octet-stream": raw}  # generators of clients leave out a wildcard
    return {"requestBody": {"required": required, "content": content}}


def page(found: Sequence[_Item], limit: int, place: Callable[[_Item], int]) -> schemas.Page[_Item]:
    """Make a page of a list; `found` holds one item more than `limit` where there is a next page.

    Parameters
    ----------
    found : sequence
    limit : int
    place : callable
        Place of an item in the list, which the opaque cursor encodes.
    """
    cursor = base64.urlsafe_b64encode(f"c{place(found[limit - 1])}".encode()).decode() if len(found) > limit else None
    return schemas.Page(items=list(found[:limit]), next_cursor=cursor and cursor.rstrip("="))


def place_of(cursor: str | None) -> int:
    """Decode a cursor; 0 is the beginning.

    Raises
    ------
    MalformedRequestError
    """
    if cursor is None:
        return 0
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        if not text.startswith("c") or not text[1:].isdigit() or len(text) > 19:
            raise ValueError(text)
        return int(text[1:])
    except (ValueError, binascii.Error):
        raise MalformedRequestError("cursor must be the next_cursor of a previous page") from None
