"""A write that is repeated with its ``Idempotency-Key`` is done once: the second request gets the answer of the first.

The key belongs to whoever asks, the method and the path; the same key with another body is refused. The body is
compared by its digest, in which the boundary of a multipart body does not count, because a client draws a new one each
time. Answers that hold a secret are not kept: a route is left out with ``openapi_extra={"x-once": False}``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from email.message import Message

from fastapi import Request, Response

from ..access import Reply
from ..errors import ArgumentError
from .admission import services_known

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"

_LONGEST = 255
_LARGEST = 1 << 20  # bytes of an answer that is kept
_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})


async def answered(request: Request, handler: Callable[[Request], Awaitable[Response]]) -> Response:
    """Answer a request, or give its answer again.

    Raises
    ------
    RepeatedKeyError, RepeatedNowError
    """
    given = request.headers.get(HEADER)
    extra = getattr(request.scope.get("route"), "openapi_extra", None) or {}
    kept = extra.get("x-once") is not False and getattr(request.scope.get("route"), "once", True)
    if given is None or request.method not in _METHODS or not kept:
        return await handler(request)
    from .security import principal_of

    services = services_known(request)
    access = None if services is None else services.access
    if access is None:
        return await handler(request)  # in somebody else's application, which keeps no answers
    if not 1 <= len(given) <= _LONGEST or not given.isprintable():
        raise ArgumentError(f"{HEADER} must be 1 to {_LONGEST} printable characters")
    principal = await principal_of(request)
    if not principal.scopes:
        return await handler(request)  # nothing is written for somebody who may do nothing
    who = f"{principal.kind} {principal.id} {request.method} {request.url.path}?{request.url.query} {given}"
    digest = await _digest(request)
    before = await services.limits.ask(lambda: access.replies.begin(who, digest))
    if before is not None:
        return Response(before.body, before.status, {REPLAYED: "true"}, before.media_type)
    kept = False
    try:
        response = await handler(request)
        body = getattr(response, "body", None)
        if response.status_code < 500 and isinstance(body, bytes) and len(body) <= _LARGEST:
            reply = Reply(response.status_code, response.headers.get("content-type", ""), body)
            subject = _subject(request, services.settings.gallery, body)
            await services.limits.ask(lambda: access.replies.keep(who, reply, subject))
            kept = True
        return response
    finally:
        if not kept:
            await services.limits.ask(lambda: access.replies.drop(who))


def subject_of(gallery: str, person_id: str | int) -> str:
    """Name whom an answer is about."""
    return f"{gallery}/{person_id}"


def _subject(request: Request, gallery: str, body: bytes) -> str | None:
    person = request.path_params.get("person_id")
    if person is None:
        try:
            person = json.loads(body)["person_id"]
        except (ValueError, KeyError, TypeError):
            return None
    return subject_of(request.query_params.get("gallery") or gallery, person)


async def _digest(request: Request) -> str:
    body, kind = await request.body(), request.headers.get("content-type", "")
    message = Message()
    message["content-type"] = kind
    boundary = message.get_param("boundary")
    if isinstance(boundary, str) and boundary:
        body, kind = body.replace(boundary.encode("latin-1", "replace"), b""), message.get_content_type()
    return hashlib.sha256(kind.encode("latin-1", "replace") + b"\n" + body).hexdigest()
