"""Limits of connections: slow headers, slow readers, and connections per address and per process.

uvicorn limits only the number of connections and the idle time between requests. This closes a connection whose headers
take longer than `HEAD_S` or exceed `HEAD_BYTES`, and one whose client reads its response slower than `LEAST_RATE` for
`WRITE_S`. A connection beyond the limits is answered 503, except for a health check. `facedex.http.guard` limits
bodies.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

HEAD_S = 20.0
"""Time limit of the headers of a request, seconds."""

HEAD_BYTES = 64 * 1024
"""Maximum size of the headers; the default of nginx is 32 KiB, that of h11 is this."""

WRITE_S = 15.0
"""How long a client may read its response slower than `LEAST_RATE`, seconds."""

LEAST_RATE = 4096
"""Minimum rate at which a client reads, bytes a second; a 56k modem reads 7,000."""

MOST = 1024
"""Maximum number of connections of a process."""

MAX_PER_ADDRESS = 128
"""Maximum number of connections of an address; a browser opens six."""

MOST_EXTRA = 64
"""Maximum number of connections beyond the limits, which are answered 503; the oldest is closed for the next."""

EXTRA_S = 5.0
"""Time limit of the request on such a connection, seconds."""

CONNECTION_LIMITER = "facedex.connections"
"""Key of the application's `ConnectionLimiter` in the state of its lifespan."""

HEALTH = frozenset({"/v1/health/live", "/v1/health/ready", "/health", "/health/live", "/health/ready"})
"""Paths of health checks, which are always answered."""

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_OVERLOADED = b'{"status": 503, "code": "overloaded", "detail": "too many connections are open; try again later"}'
_CLOSE = (b"connection", b"close")


def network_of(host: str) -> str:
    """Return the network of one customer: an IPv4 address itself, the /64 of an IPv6 address.

    Examples
    --------
    >>> network_of("192.0.2.7"), network_of("2001:db8::1:2:3:4")
    ('192.0.2.7', '2001:db8::/64')
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 4:
        return str(address)
    mapped = address.ipv4_mapped
    return str(ipaddress.ip_network(f"{address}/64", strict=False)) if mapped is None else str(mapped)


class ConnectionLimiter:
    """Counts and limits the connections of a process.

    Parameters
    ----------
    max_per_address : int
        Maximum number of connections of one address.
    trusted : sequence of str
        Networks of proxies, which have no limit per address.
    on_drop : callable, optional
        Called with the reason when a connection is closed or refused: "slow_headers", "slow_reader", "crowded".
    on_leave : callable, optional
        Called when a client disconnects before its response.
    """

    def __init__(
        self,
        *,
        max_per_address: int = MAX_PER_ADDRESS,
        trusted: tuple[str, ...] = (),
        on_drop: Callable[[str], object] | None = None,
        on_leave: Callable[[], object] | None = None,
    ) -> None:
        self._max_per_address = max_per_address
        self._trusted = tuple(ipaddress.ip_network(network) for network in trusted)
        self._on_drop = on_drop
        self._on_leave = on_leave
        self._of_one: Counter[str] = Counter()
        self._extra: dict[Connection, None] = {}

    def enter(self, connection: Connection, host: str) -> bool:
        """Count a connection and return whether it is within the limits; beyond them the oldest extra one is closed."""
        network = network_of(host)
        if self._of_one.total() < MOST and (self._of_one[network] < self._max_per_address or self._is_proxy(host)):
            self._of_one[network] += 1
            return True
        self.report_drop("crowded")
        self._extra[connection] = None
        if len(self._extra) > MOST_EXTRA:
            next(iter(self._extra)).abort()
        return False

    def leave(self, connection: Connection, host: str) -> None:
        """Stop counting a connection."""
        if connection in self._extra:
            del self._extra[connection]
            return
        network = network_of(host)
        self._of_one[network] -= 1
        if self._of_one[network] <= 0:
            del self._of_one[network]

    def report_drop(self, reason: str) -> None:
        """Report why a connection was closed or refused."""
        if self._on_drop is not None:
            self._on_drop(reason)

    def report_leave(self) -> None:
        """Report a client that disconnected before its response."""
        if self._on_leave is not None:
            self._on_leave()

    def _is_proxy(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return not host  # a Unix socket, which has no address
        mapped = address.ipv4_mapped if address.version == 6 else None
        return any((mapped or address) in network for network in self._trusted)


class Connection(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # whichever of uvicorn's protocols there is
    """A client's connection."""

    app: ASGIApp
    _heading: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None
    _received = 0
    _read = -1  # by the client at the last check; -1 when nothing was pending
    _slow_s = 0.0
    _host = ""
    _extra = False
    _aborted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the time limit of the first headers."""
        self._sent = _CountingTransport(cast(asyncio.Transport, transport))
        super().connection_made(self._sent)
        self._limiter: ConnectionLimiter = self.app_state.setdefault(CONNECTION_LIMITER, ConnectionLimiter())
        self._host = self.client[0] if self.client else ""
        self._extra = not self._limiter.enter(self, self._host)
        if self._extra:
            self.app = _Overloaded(self.app)
        self._begin()
        self._check_rate()

    def data_received(self, data: bytes) -> None:
        """Handle a part of a request."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._end()  # the headers are complete
            return
        self._begin()
        self._received += len(data)
        if self._received > HEAD_BYTES and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers."""
        self._end()
        if self._reading is not None:
            self._reading.cancel()
        unanswered = self.cycle is not None and not self.cycle.response_complete
        if (unanswered or self._sent.lost) and not self._aborted:
            self._limiter.report_leave()
        self._limiter.leave(self, self._host)
        super().connection_lost(exc)

    def abort(self) -> None:
        """Close at once, without sending the rest."""
        self._aborted = True
        self._end()
        self._sent.abort()

    def _begin(self) -> None:
        if self._heading is None and not self.transport.is_closing():
            wait_s = min(EXTRA_S, HEAD_S) if self._extra else HEAD_S
            self._heading = asyncio.get_running_loop().call_later(wait_s, self._late)

    def _end(self) -> None:
        self._received = 0
        if self._heading is not None:
            self._heading.cancel()
            self._heading = None

    def _late(self) -> None:
        self._limiter.report_drop("slow_headers")
        self._close()

    def _close(self) -> None:
        self._end()
        cast(Any, self.transport).close()

    def _check_rate(self) -> None:
        """Check at intervals how much of the response the client has read."""
        every_s = WRITE_S / 3
        if self._sent.pending():
            read = self._sent.sent()
            slow = self._read >= 0 and read - self._read < LEAST_RATE * every_s
            self._slow_s, self._read = (self._slow_s + every_s if slow else 0.0), read
            if self._slow_s >= WRITE_S - every_s / 2:
                self._limiter.report_drop("slow_reader")
                self.abort()
                return
        else:
            self._slow_s, self._read = 0.0, -1
        self._reading = asyncio.get_running_loop().call_later(every_s, self._check_rate)


class _CountingTransport:
    """A transport that counts the bytes written and read."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._written = 0
        self.lost = False  # whether something was written after the client disconnected
        self.write_bytes = transport.write

    def write(self, data: bytes) -> None:
        self._written += len(data)
        self.lost |= self._transport.is_closing()
        self.write_bytes(data)

    def pending(self) -> int:
        """Return the bytes that are not yet sent; those in the buffers of the system do not count."""
        return self._transport.get_write_buffer_size()

    def sent(self) -> int:
        """Return the bytes that were read, or passed to the system."""
        return self._written - self.pending()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Overloaded:
    """An application for connections beyond the limits: it answers health checks, and 503 to everything else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_last(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), _CLOSE]}
            await send(message)

        if scope["type"] == "http" and scope["path"] in HEALTH:
            await self._app(scope, receive, send_last)
            return
        head = [(b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(_OVERLOADED))]
        head += [(b"retry-after", b"5"), (b"x-content-type-options", b"nosniff")]
        await send_last({"type": "http.response.start", "status": 503, "headers": head})
        await send_last({"type": "http.response.body", "body": _OVERLOADED})
