"""Pictures of a request: a multipart file, the raw body, or base64 or a data URL in JSON.

In: a request. Out: the bytes of its pictures, and its validated options. The filename that a client sends is never used
as a path: it is a text of at most 255 characters without folders, see `facedex.store.plain_name`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from ..errors import BodyTooLargeError, FacedexError, MalformedRequestError, NotAnImageError
from ..store import plain_name
from . import pixels
from .admission import check_json_size
from .errors import format_findings
from .guard import limit_body
from .services import services_of

_Options = TypeVar("_Options", bound=BaseModel)

FIELDS = ("image", "images", "images[]", "file", "files", "files[]")
"""Field names of pictures in a multipart body."""

OF_THE_ROUTE = "gallery"
"""A query parameter that is no option: every route reads it itself."""

_DATA_URL = re.compile(r"data:[\w.+-]+/[\w.+-]+(?:;[\w.+-]+=[\w.+-]+)*;base64,", re.ASCII)
_FIELD_BYTES = 1 << 20  # of a text in a multipart body


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as it was sent.

    Attributes
    ----------
    data : bytes
    filename : str or None
        As sent by the client, without folders.
    """

    data: bytes
    filename: str | None = None

    def __repr__(self) -> str:
        return f"Picture({len(self.data)} bytes)"


@dataclass(frozen=True, slots=True)
class Submission(Generic[_Options]):
    """Pictures and options of a request.

    Attributes
    ----------
    pictures : tuple of Picture
    options : pydantic model
    """

    pictures: tuple[Picture, ...]
    options: _Options

    @property
    def images(self) -> list[bytes]:
        """The bytes of the pictures."""
        return [picture.data for picture in self.pictures]


def read_submission(
    options: type[_Options], *, least: int = 1, most: int = 1
) -> Callable[[Request], Awaitable[Submission[_Options]]]:
    """Create the dependency that reads the pictures and options of a request.

    Parameters
    ----------
    options : type of pydantic model
        Read from the query and the fields of a multipart body or JSON object.
    least, most : int
        Number of pictures; with `most` 0 the settings limit it.
    """

    async def read(request: Request) -> Submission[_Options]:
        services = services_of(request)
        allowed = most or services.settings.max_pictures
        if services.access is None:  # in another application, which has no Guard
            request = limit_body(request, services.settings)
        pictures, given = await _read(request, allowed)
        if not least <= len(pictures) <= allowed:
            wanted = str(least) if least == allowed else f"{least} to {allowed}"
            raise MalformedRequestError(
                f"the request must carry {wanted} pictures, got {len(pictures)}: as multipart file 'image', as raw "
                "body of type image/..., or as base64 in the JSON field 'image'"
            )
        query = {name: value for name, value in request.query_params.items() if name != OF_THE_ROUTE}
        return Submission(tuple(pictures), validate_options(options, query | given))

    return read


def validate_options(options: type[_Options], given: dict[str, Any]) -> _Options:
    """Validate options; raises MalformedRequestError, which never shows a value."""
    try:
        return options.model_validate(given)
    except ValidationError as error:
        problems = format_findings(error.errors(include_url=False, include_context=False, include_input=False))
        raise MalformedRequestError("; ".join(problems), problems=problems) from None


def decode_picture(text: object) -> Picture:
    r"""Decode a picture in base64 or a data URL.

    Raises
    ------
    NotAnImageError

    Examples
    --------
    >>> decode_picture("data:image/png;base64,AAEC"), decode_picture("AAEC").data
    (Picture(3 bytes), b'\x00\x01\x02')
    """
    if not isinstance(text, str) or not text:
        raise NotAnImageError("a picture in JSON must be a base64 text or a data URL")
    match = _DATA_URL.match(text)
    try:
        data = base64.b64decode("".join(text[match.end() if match else 0 :].split()), validate=True)
    except (binascii.Error, ValueError):
        raise NotAnImageError("a picture in JSON must be base64, or a data URL 'data:image/...;base64,...'") from None
    if not data:
        raise NotAnImageError("the picture is empty")
    pixels.add(data)
    return Picture(data)


async def form_of(request: Request, most_files: int) -> FormData:
    """Read a multipart or urlencoded body.

    Raises
    ------
    MalformedRequestError
        When it is damaged.
    """
    try:
        return await request.form(max_files=most_files + 1, max_fields=100, max_part_size=_FIELD_BYTES)
    except HTTPException as error:
        raise MalformedRequestError(f"the form cannot be read: {error.detail}") from error
    except FacedexError:
        raise  # such as BodyTooLargeError, which is a ValueError
    except (ValueError, LookupError, AssertionError) as error:
        raise MalformedRequestError("the form cannot be read") from error


async def json_of(request: Request) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    MalformedRequestError
    """
    check_json_size(await request.body())
    try:
        content = await request.json()
    except FacedexError:
        raise  # such as BodyTooLargeError, which is a ValueError
    except (ValueError, RecursionError) as error:
        raise MalformedRequestError("the body is not valid JSON") from error
    if not isinstance(content, dict):
        raise MalformedRequestError(f"the body must be a JSON object, got {type(content).__name__}")
    return content


async def _read(request: Request, most: int) -> tuple[list[Picture], dict[str, Any]]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _from_form(await form_of(request, most), most)
    if kind == "application/json":
        return _from_json(await json_of(request))
    data = await request.body()
    if not data:
        return [], {}
    if kind.startswith("image/") or kind in ("application/octet-stream", ""):
        pixels.add(data)
        return [Picture(data)], {}
    raise MalformedRequestError(f"the body must be multipart/form-data, application/json or image/..., got {kind!r}")


async def _from_form(form: FormData, most: int) -> tuple[list[Picture], dict[str, Any]]:
    pictures: list[Picture] = []
    given: dict[str, Any] = {}
    try:
        for name, value in form.multi_items():
            if not isinstance(value, UploadFile):
                if value:  # a form sends an empty text for what was not filled in
                    given[name] = value
            elif name not in FIELDS:
                raise MalformedRequestError(f"unknown file field {name[:40]!r}; use 'image'")
            elif len(pictures) >= most:
                raise BodyTooLargeError(f"more than {most} pictures in one request", limit=most)
            else:
                pictures.append(Picture(await value.read(), plain_name(value.filename)))
                pixels.add(pictures[-1].data)
    finally:
        await form.close()
    return pictures, given


def _from_json(content: dict[str, Any]) -> tuple[list[Picture], dict[str, Any]]:
    several = content.pop("images", [])
    if not isinstance(several, list):
        raise MalformedRequestError("images must be a list of pictures in base64")
    if "image" in content:
        several = [content.pop("image"), *several]
    return [decode_picture(text) for text in several], content
