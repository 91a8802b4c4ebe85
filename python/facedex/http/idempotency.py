"""A write that is repeated with its ``Idempotency-Key`` is done once: the second request gets the answer of the first.

The key belongs to whoever asks, the method and the path; the same key with another body is refused. The body is
compared by its digest, in which the boundary of a multipart body does not count, because a client draws a new one each
time. Kept are answers of writes that were done. What only asks is answered anew, because its answer names people and
would stay behind when they are deleted: routes that need the scope ``read`` or ``recognise``. Neither are answers kept
that hold a secret or embeddings: a route is left out with ``openapi_extra={"x-once": False}``. Nothing is kept for
somebody who shows neither key nor token: strangers would have their keys in common. On a full disk a deletion is done
although its answer cannot be kept; sent again, it is done again.
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
from ..server import Reply
from ..server.forgetting import subject_of
from .admission import services_known
from .security import principal_of

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"

_LONGEST = 255
_LARGEST = 1 << 20  # bytes of an answer that is kept
_KEPT = ("Location",)  # besides the type of the answer
_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_QUESTIONS = frozenset({"read", "recognise"})  # scopes of routes that ask
_NAMING = frozenset({"person_id", "person_key"})  # under which an answer names people


async def respond(request: Request, handler: Callable[[Request], Awaitable[Response]]) -> Response:
    """Answer a request, or give its answer again.

    Raises
    ------
    RepeatedKeyError, RepeatedNowError
    """
    given = request.headers.get(HEADER)
    extra = getattr(request.scope.get("route"), "openapi_extra", None) or {}
    kept = extra.get("x-once") is not False and getattr(request.scope.get("route"), "contract", None) is None
    kept = kept and extra.get("x-scope") not in _QUESTIONS
    if given is None or request.method not in _METHODS or not kept:
        return await handler(request)
    services = services_known(request)
    access = None if services is None else services.access
    if access is None:
        return await handler(request)  # in somebody else's application, which keeps no answers
    if not 1 <= len(given) <= _LONGEST or not given.isprintable():
        raise ArgumentError(f"{HEADER} must be 1 to {_LONGEST} printable characters")
    principal = await principal_of(request)
    if principal.kind == "anybody" or not principal.scopes:
        return await handler(request)
    who = f"{principal.kind} {principal.id} {request.method} {request.url.path}?{request.url.query} {given}"
    digest = await _digest(request)
    # A deletion goes on where no answer can be kept.
    unkept: tuple[type[Exception], ...] = (StorageFullError,) if request.method == "DELETE" else ()
    try:
        before = await services.limits.ask(lambda: access.replies.begin(who, digest))
    except unkept:
        return await handler(request)
    if before is not None:
        return Response(before.body, before.status, before.headers | {REPLAYED: "true"}, before.media_type)
    stands = False
    try:
        try:
            response = await handler(request)
        except LateAnswerError:
            stands = (
                True  # what is late goes on: until it must have ended, the same again is told that it is being done
            )
            raise
        body = getattr(response, "body", None)
        if response.status_code < 500 and isinstance(body, bytes) and len(body) <= _LARGEST:
            headers = {name: response.headers[name] for name in _KEPT if name in response.headers}
            reply = Reply(response.status_code, response.headers.get("content-type", ""), body, headers)
            gallery = request.query_params.get("gallery") or services.settings.gallery
            subject = subject_of(gallery, _named(request, body))
            with suppress(*unkept):
                await services.limits.ask(lambda: access.replies.keep(who, reply, subject))
                stands = True
        return response
    finally:
        if not stands:
            with suppress(*unkept):
                await services.limits.ask(lambda: access.replies.drop(who))


def _named(request: Request, body: bytes) -> frozenset[str]:
    """Return the ids of the people whom an answer names, or its address."""
    asked = request.path_params.get("person_id")
    try:
        named = set(_ids(json.loads(body)))
    except ValueError:  # no JSON, which names nobody
        named = set()
    return frozenset(named if asked is None else named | {str(asked)})


def _ids(answer: Any) -> Iterator[str]:
    if isinstance(answer, dict):
        yield from (str(value) for name, value in answer.items() if name in _NAMING and isinstance(value, (str, int)))
        if answer.get("code") == DuplicateFaceError.code:
            yield ""  # its message names somebody else
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
