"""What the routes of `/v1` share: the names of errors they answer, the body of pictures, cursors, the gallery."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from ...errors import MalformedRequestError
from ..errors import MEDIA_TYPE
from ..route import route_class
from . import schemas

GalleryName = Annotated[
    str | None,
    Query(alias="gallery", min_length=1, max_length=64, description="Which gallery; by default the server's."),
]
Cursor = Annotated[str | None, Query(max_length=64, description="`next_cursor` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Most items of a page.")]

_ERRORS = {
    400: "The picture or the request cannot be read.",
    401: "Nobody is signed in, or the token or key is of no use.",
    403: "Whoever asks may not do that.",
    404: "What is asked for is not there.",
    408: "The body came too slowly.",
    409: "It does not go with what is stored.",
    413: "The body or the picture is too large.",
    415: "A picture of a kind that is not decoded.",
    422: "The request is not what is taken, or its picture shows no usable face.",
    429: "Too many attempts; Retry-After says when to try again.",
    500: "A fault of the server.",
    503: "Too much to do, or the database is away; Retry-After says when to try again.",
    504: "It took too long.",
    507: "No space is left.",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": words, "model": schemas.Problem, "content": {MEDIA_TYPE: {}}}
    for status, words in _ERRORS.items()
}
"""The error responses that every route may give."""

_Route = route_class()


def part(tag: str, prefix: str = "", dependencies: list[Any] | None = None) -> APIRouter:
    """Make the router of one part of `/v1`."""
    return APIRouter(
        prefix=prefix, tags=[tag], route_class=_Route, responses=RESPONSES, dependencies=dependencies or []
    )


def pictures_body(options: type[BaseModel], *, several: bool = False, required: bool = True) -> dict[str, Any]:
    """Describe for OpenAPI a body that carries pictures: a file, the raw bytes, or base64 in JSON.

    Parameters
    ----------
    options : type of pydantic model
        What may stand beside the pictures.
    several : bool
        Whether more than one picture is taken.
    required : bool
    """
    schema: dict[str, Any] = options.model_json_schema(ref_template="#/components/schemas/{model}")
    fields, needed = schema.get("properties", {}), schema.get("required", [])

    def body(picture: dict[str, Any], example: Any) -> dict[str, Any]:
        shown: dict[str, Any] = {"images": {"type": "array", "items": picture}} if several else {"image": picture}
        names = list(shown) if required else []
        content = {"type": "object", "properties": shown | fields, "required": names + needed}
        content["additionalProperties"] = False
        beside = {name: fields[name]["examples"][0] for name in needed}
        return {"schema": content} | ({"example": {next(iter(shown)): example} | beside} if example else {})

    text = {"type": "string", "description": "Base64, or a data URL.", "maxLength": 20_000_000}
    content = {
        "multipart/form-data": body({"type": "string", "format": "binary"}, None),
        "application/json": body(text, ["data:image/jpeg;base64,/9j/4AAQ..."] if several else "/9j/4AAQ..."),
    }
    if not needed and not several:
        content["image/*"] = {"schema": {"type": "string", "format": "binary"}}
    return {"requestBody": {"required": required, "content": content}}


def cursor_of(place: int | str) -> str:
    """Write a place in a list as a text that tells a client nothing."""
    return base64.urlsafe_b64encode(f"c{place}".encode()).decode().rstrip("=")


def place_of(cursor: str | None) -> int:
    """Read a cursor; 0 is the beginning.

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
        raise MalformedRequestError("cursor must be the next_cursor of a page before") from None
