"""The outermost middleware: limits of bodies and unread responses, security headers, metrics, access log.

A body that is too large is refused before it is read if it declares its length, else while it is read. One that arrives
too slowly is refused too. The access log has method, path, status, time and address of a request: no query, no header,
no body.
"""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import anyio
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import BodyTooLargeError, FacedexError, SlowBodyError
from .admission import BODY
from .connections import HEALTH, network_of
from .errors import MEDIA_TYPE, error_formatter_for, is_disconnect, problem_of
from .limits import ADDRESS, Limits, Unread
from .metrics import Metrics
from .pixels import CLAIM, Claim
from .settings import Settings

_logger = logging.getLogger("facedex.http.access")

POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
"""Content security policy of every response: nothing from other origins, no inline script, no frame."""

_HEADERS = {
    b"content-security-policy": POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-site",
    b"permissions-policy": b"camera=(self), microphone=(), geolocation=()",
}
_NOT_KEPT = (b"cache-control", b"no-store")
_ENCRYPTED_ONLY = (b"strict-transport-security", b"max-age=31536000")
_LAST = (b"connection", b"close")

_PIECE = 64 << 10  # of a response, bytes: uvicorn waits for the client between two
_SHOWN = 1024  # characters of a path in the log
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Guard:
    """The outermost middleware of the application.

    Parameters
    ----------
    app : ASGI application
    settings : Settings
    metrics : Metrics
    limits : Limits
    """

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics, limits: Limits) -> None:
        self._app = app
        self._settings = settings
        self._metrics = metrics
        self._unread = limits.unread
        self._pixels = limits.pixels
        self._largest = settings.largest_body  # a route may accept less: see facedex.http.admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"]
        if method == "HEAD":  # handled as GET; uvicorn drops the body
            scope = {**scope, "method": "GET"}
        body = Body(receive, self._largest, self._settings.body_timeout_s)
        who = network_of(scope["client"][0]) if scope.get("client") else ""
        started = time.perf_counter()
        answer = _Answer(send, body, self._unread, who, secure=scope.get("scheme") == "https")
        claim = Claim(self._pixels, who)
        scope[BODY] = body
        status = 499  # if the client disconnects before the response
        try:
            body.check(scope)
            ADDRESS.set(who)
            CLAIM.set(claim)
            if scope["path"] not in HEALTH:
                self._unread.check()
            await self._app(scope, body.receive, answer.send)
        except FacedexError as error:
            if answer.status:
                raise
            problem = problem_of(error)
            request = Request(scope)
            await error_formatter_for(request)(request, problem)(scope, receive, answer.send)
        except Exception as error:
            if not is_disconnect(error):
                status = 500  # the response of the middleware around this one
            raise
        finally:
            answer.release()
            claim.release()
            self._log(scope, method, answer.status or status, time.perf_counter() - started)

    def _log(self, scope: Scope, method: str, status: int, seconds: float) -> None:
        known = method if method in _METHODS else "other"  # any number of unknown methods would fill the memory
        self._metrics.count_request(known, _template(scope), status, seconds)
        if not self._settings.access_log:
            return
        address = scope["client"][0] if scope.get("client") else "-"
        line = {"method": method, "path": scope["path"][:_SHOWN], "status": status, "ms": round(1000 * seconds, 1)}
        line["address"] = address
        if self._settings.log_format == "json":
            _logger.info("%s", json.dumps(line))
        else:
            path = scope["path"][:_SHOWN].encode("unicode_escape").decode("ascii")
            _logger.info("%s %s %s %d %.1f ms", address, method, path, status, 1000 * seconds)


def _template(scope: Scope) -> str:
    """Return the path of the route with the names of its parameters.

    A route knows its path below the prefix of its router. The prefix, which has no parameters, is taken from the
    request if its path ends with the route's; otherwise it is left out.
    """
    route = scope.get("route")
    own = getattr(route, "path", "")
    if not own:
        return "unmatched"
    path, written = scope["path"], str(getattr(route, "path_format", own)).format(**scope.get("path_params", {}))
    return path.removesuffix(written) + own if path.endswith(written) else own


class _Answer:
    """Sends a response with security headers, in pieces, so that it ends when the client has read it."""

    def __init__(self, send: Send, body: Body, unread: Unread, who: str, *, secure: bool) -> None:
        self.status = 0
        self._send = send
        self._body = body
        self._unread = unread
        self._who = who
        self._secure = secure
        self._held = 0
        self._refused = False

    async def send(self, message: Message) -> None:
        if self._refused:
            return
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            length = next((int(value) for name, value in headers if name.lower() == b"content-length"), 0)
            if length > _PIECE and not self._hold(length):
                await self._refuse()
                return
            self.status = message["status"]
            await self._send({**message, "headers": self._add_headers(headers)})
        elif message["type"] == "http.response.body" and len(message.get("body", b"")) > _PIECE:
            await self._send_pieces(message["body"], message.get("more_body", False))
        else:
            await self._send(message)

    def release(self) -> None:
        """Stop counting the response."""
        if self._held:
            self._unread.release(self._who, self._held)
        self._held = 0

    def _hold(self, length: int) -> bool:
        self._held = length if self._unread.reserve(self._who, length) else 0
        return self._held > 0

    async def _refuse(self) -> None:
        """Answer 503 instead of a large response to a client that does not read the others."""
        problem = problem_of(self._unread.error())
        body = json.dumps({"status": problem.status, "code": problem.code, "detail": problem.message}).encode()
        head = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body)), (b"retry-after", b"5")]
        self.status, self._refused = problem.status, True
        await self._send({"type": "http.response.start", "status": self.status, "headers": self._add_headers(head)})
        await self._send({"type": "http.response.body", "body": body})

    async def _send_pieces(self, body: bytes, more: bool) -> None:
        for start in range(0, len(body), _PIECE):
            last = start + _PIECE >= len(body)
            piece = body[start : start + _PIECE]
            await self._send({"type": "http.response.body", "body": piece, "more_body": more or not last})

    def _add_headers(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        there = {name.lower() for name, _ in headers}
        headers += [header for header in _HEADERS.items() if header[0] not in there]
        if self._secure and _ENCRYPTED_ONLY[0] not in there:
            headers.append(_ENCRYPTED_ONLY)
        if not {b"etag", b"cache-control"} & there:
            headers.append(_NOT_KEPT)  # files of the page may be cached, data about people may not
        if self._body.left:
            headers.append(_LAST)  # the rest of the body is not read
        return headers


def limit_body(request: Request, settings: Settings) -> Request:
    """Return a request whose body is limited in size and time, where no `Guard` stands before it.

    Raises
    ------
    BodyTooLargeError
        When it declares to be too large; while it is read, `SlowBodyError` too.
    """
    body = Body(request.receive, settings.max_upload_bytes, settings.body_timeout_s)
    body.check(request.scope)
    return Request(request.scope, body.receive)


class Body:
    """The body of a request, read within limits; its declared length may be false.

    Attributes
    ----------
    limit : int
        Maximum number of bytes; a route may lower it before it reads.
    left : bool
        Whether a part has not been read.
    """

    def __init__(self, receive: Receive, limit: int, timeout_s: float) -> None:
        self._receive = receive
        self.limit = limit
        self.left = False
        self._timeout_s = timeout_s
        self._until: float | None = None
        self._ended = False
        self._length = 0

    def check(self, scope: Scope) -> None:
        """Refuse a body that declares to be too large; raises BodyTooLargeError."""
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        self.left = not self._ended and (length.strip("0") != "" or "transfer-encoding" in headers)
        if length.isascii() and length.isdigit() and int(length[:20]) > self.limit:
            raise self.too_large()

    def too_large(self) -> BodyTooLargeError:
        """Create the error of a body that is too large."""
        return BodyTooLargeError(f"the body is larger than {self.limit} bytes", limit=self.limit)

    async def receive(self) -> Message:
        """Receive the next part; raises BodyTooLargeError and SlowBodyError."""
        if self._ended:
            return await self._receive()  # waits for the client to disconnect
        if self._until is None:
            self._until = anyio.current_time() + self._timeout_s
        try:
            with anyio.fail_after(self._until - anyio.current_time()):
                message: Any = await self._receive()
        except TimeoutError:
            raise SlowBodyError(f"the body took longer than {self._timeout_s:g} s to arrive") from None
        if message["type"] == "http.request":
            self._length += len(message.get("body", b""))
            if self._length > self.limit:
                raise self.too_large()
            self._ended = not message.get("more_body", False)
        else:
            self._ended = True
        if self._ended:
            self.left = False
        return message  # type: ignore[no-any-return]
