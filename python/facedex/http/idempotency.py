"""``Idempotency-Key``: a write that is repeated with its key is done once, and gets the first response again.

The key belongs to the caller, the method and the path; the same key with another body is refused. Bodies are compared
by their digest, without the boundary of a multipart body, which a client draws anew each time. Responses to completed
writes are kept for a day. Not kept are:

- responses to reads (scopes ``read`` and ``recognise``): they name people and would outlive their deletion;
- responses with secrets or embeddings: such a route has ``openapi_extra={"x-once": False}``;
- responses to callers without key or token, who would share their idempotency keys.

On a full disk a deletion is done although its response cannot be kept; repeated, it runs again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from email.message import Message
from typing import Any

from fastapi import Request, Response

from ..errors import ArgumentError, DuplicateFaceError, LateAnswerError, StorageFullError
from ..server import StoredResponse
from ..server.forgetting import subject_of
from .admission import services_known
from .security import principal_of

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"

_MAX_KEY = 255
_MAX_BODY = 1 << 20  # bytes of a response that is kept
_KEPT_HEADERS = ("Location",)
_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_READ_SCOPES = frozenset({"read", "recognise"})
_IDS = frozenset({"person_id", "person_key"})  # names of the fields that hold the ids of people


async def respond(request: Request, handler: Callable[[Request], Awaitable[Response]]) -> Response:
    """Handle a request, or return the stored response to its key.

    Raises
    ------
    RepeatedKeyError, RepeatedNowError
    """
    given = request.headers.get(HEADER)
    route = request.scope.get("route")
    extra = getattr(route, "openapi_extra", None) or {}
    kept = extra.get("x-once") is not False and extra.get("x-scope") not in _READ_SCOPES
    if given is None or request.method not in _METHODS or not kept or getattr(route, "contract", None) is not None:
        return await handler(request)
    services = services_known(request)
    access = None if services is None else services.access
    if access is None:
        return await handler(request)  # in another application, which keeps no responses
    if not 1 <= len(given) <= _MAX_KEY or not given.isprintable():
        raise ArgumentError(f"{HEADER} must be 1 to {_MAX_KEY} printable characters")
    caller = await principal_of(request)
    if caller.kind == "anybody" or not caller.scopes:
        return await handler(request)
    key = f"{caller.kind} {caller.id} {request.method} {request.url.path}?{request.url.query} {given}"
    digest = await _digest(request)
    # A deletion must work on a full disk.
    ignored: tuple[type[Exception], ...] = (StorageFullError,) if request.method == "DELETE" else ()
    try:
        stored = await services.query_access(lambda access: access.idempotency.begin(key, digest))
    except ignored:
        return await handler(request)
    if stored is not None:
        return Response(stored.body, stored.status, stored.headers | {REPLAYED: "true"}, stored.media_type)
    keep = False
    try:
        try:
            response = await handler(request)
        except LateAnswerError:
            keep = True  # the work goes on; a repetition is refused as in progress until it must have ended
            raise
        body = getattr(response, "body", None)
        if response.status_code < 500 and isinstance(body, bytes) and len(body) <= _MAX_BODY:
            headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
            result = StoredResponse(response.status_code, response.headers.get("content-type", ""), body, headers)
            gallery = request.query_params.get("gallery") or services.settings.gallery
            subject = subject_of(gallery, _people_in(request, body))
            with suppress(*ignored):
                await services.query_access(lambda access: access.idempotency.complete(key, result, subject))
                keep = True
        return response
    finally:
        if not keep:
            with suppress(*ignored):
                await services.query_access(lambda access: access.idempotency.drop(key))


def _people_in(request: Request, body: bytes) -> frozenset[str]:
    """Return the ids of the people in a response or its path."""
    addressed = request.path_params.get("person_id")
    try:
        named = set(_ids(json.loads(body)))
    except ValueError:  # not JSON
        named = set()
    return frozenset(named if addressed is None else named | {str(addressed)})


def _ids(answer: Any) -> Iterator[str]:
    if isinstance(answer, dict):
        yield from (str(value) for name, value in answer.items() if name in _IDS and isinstance(value, (str, int)))
        if answer.get("code") == DuplicateFaceError.code:
            yield ""  # the message names another person
        for value in answer.values():
            yield from _ids(value)
    elif isinstance(answer, list):
        for one in answer:
            yield from _ids(one)


async def _digest(request: Request) -> str:
    body, kind = await request.body(), request.headers.get("content-type", "")
    message = Message()
    message["content-type"] = kind
    boundary = message.get_param("boundary")
    if isinstance(boundary, str) and boundary:
        body, kind = body.replace(boundary.encode("latin-1", "replace"), b""), message.get_content_type()
    return hashlib.sha256(kind.encode("latin-1", "replace") + b"\n" + body).hexdigest()
