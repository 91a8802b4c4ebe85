"""Abusive connections: responses that nobody reads, and too many connections of one client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psutil
import pytest
import uvicorn

from facedex.http import Settings, connections
from facedex.http.connections import CONNECTION_LIMITER, Connection, ConnectionLimiter, network_of
from facedex.http.guard import Guard
from facedex.http.limits import Limits, Unread
from facedex.http.metrics import Metrics

LARGE = 16 << 20  # bytes: more than the system holds for a connection
ASK = b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n"
HEALTH = b"GET /v1/health/live HTTP/1.1\r\nHost: a\r\n\r\n"

Started = Callable[..., int]


async def _large(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        body = b"x" * (LARGE if scope["path"] == "/large" else 2)
        head = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
def start() -> Iterator[Started]:
    """Start a server in a thread, whose answers are large; returns its port."""
    with ExitStack() as stack:

        def begin(crowd: ConnectionLimiter | None = None) -> int:
            listening = stack.enter_context(socket.socket())
            listening.bind(("127.0.0.1", 0))
            settings = uvicorn.Config(_large, http=Connection, ws="none", lifespan="off", log_level="error")
            server = uvicorn.Server(settings)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
            thread.start()
            stack.callback(thread.join)
            stack.callback(lambda: setattr(server, "should_exit", True))
            while not server.started:
                time.sleep(0.01)
            if crowd is not None:
                server.lifespan.state[CONNECTION_LIMITER] = crowd
            return int(listening.getsockname()[1])

        yield begin


def connected(port: int, said: bytes = b"") -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(20)
    connection.connect(("127.0.0.1", port))
    connection.sendall(said)
    return connection


def read(connection: socket.socket) -> bytes:
    """Read to the end; the server closing hard counts as one."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(1 << 20):
            found += piece
    return found


def test_a_response_that_nobody_reads_is_dropped(start: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WRITE_S", 0.9)
    reasons: list[str] = []
    port = start(ConnectionLimiter(on_drop=reasons.append))
    before = psutil.Process().memory_info().rss
    crowd = [connected(port, ASK) for _ in range(20)]
    until = time.monotonic() + 15
    while len(reasons) < 20 and time.monotonic() < until:
        time.sleep(0.05)
    assert reasons == ["slow_reader"] * 20
    assert psutil.Process().memory_info().rss - before < 20 * LARGE
    for connection in crowd:
        assert len(read(connection)) < LARGE
        connection.close()


def test_only_clients_below_the_minimum_read_rate_are_dropped(start: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WRITE_S", 0.9)
    monkeypatch.setattr(connections, "LEAST_RATE", 1 << 20)
    port = start()
    with connected(port, ASK) as slow, connected(port, ASK) as steady:
        steady.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        found = 0
        started = time.monotonic()
        while piece := steady.recv(1 << 18):
            found += len(piece)
            time.sleep(0.03)  # 8 MiB a second
            if found >= LARGE:
                break
        assert found >= LARGE
        assert time.monotonic() - started > 0.9
        dripped = 0
        with contextlib.suppress(ConnectionError):
            for _ in range(400):
                piece = slow.recv(4096)
                if not piece:
                    break
                dripped += len(piece)
                time.sleep(0.01)
        dripped += len(read(slow))
        assert dripped < LARGE


def test_an_address_has_a_bounded_number_of_connections_and_a_health_check_is_answered(start: Started) -> None:
    reasons: list[str] = []
    port = start(ConnectionLimiter(max_per_address=10, on_drop=reasons.append))
    crowd = [connected(port, ASK) for _ in range(10)]
    time.sleep(0.2)
    for _ in range(3):
        with connected(port, ASK) as refused:
            answer = read(refused)
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after: 5" in answer
            assert b"connection: close" in answer
        with connected(port, HEALTH) as checked:
            answer = read(checked)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert answer.endswith(b"xx")
    assert reasons == ["crowded"] * 6
    for connection in crowd:
        connection.close()
    for _ in range(100):
        with connected(port, ASK.replace(b"large", b"small").replace(b"Host", b"Connection: close\r\nHost")) as again:
            if read(again).startswith(b"HTTP/1.1 200 "):
                break
        time.sleep(0.05)
    else:
        pytest.fail("the connections that ended were not counted off")


def test_connections_beyond_the_limit_replace_each_other(start: Started) -> None:
    port = start(ConnectionLimiter(max_per_address=1))
    held = [connected(port) for _ in range(1 + connections.MOST_EXTRA)]
    time.sleep(0.2)
    with connected(port, HEALTH) as checked:
        assert read(checked).startswith(b"HTTP/1.1 200 ")
    assert read(held[1]) == b""  # the oldest beyond the limit
    for connection in held:
        connection.close()


def test_a_proxy_has_any_number_of_connections(start: Started) -> None:
    port = start(ConnectionLimiter(max_per_address=1, trusted=("127.0.0.0/8",)))
    held = [connected(port) for _ in range(10)]
    with connected(port, b"GET / HTTP/1.1\r\nConnection: close\r\nHost: a\r\n\r\n") as one:
        assert read(one).startswith(b"HTTP/1.1 200 ")
    for connection in held:
        connection.close()


def test_a_client_that_reads_nothing_gets_no_more_responses(serve: Callable[..., Any]) -> None:
    client = serve()
    unread = client.app.state.facedex.limits.unread
    for number in range(3):
        client.post("/v1/people", json={"person_id": number, "info": {"note": "x" * 60_000}})
    assert client.get("/v1/people").status_code == 200
    assert unread.reserve("testclient", (32 << 20) - 100)  # as while large answers are being sent
    refused = client.get("/v1/people")
    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (503, "overloaded", "5")
    assert client.get("/v1/health/ready").status_code == 200
    unread.release("testclient", 20 << 20)
    assert client.get("/v1/people").status_code == 200
    unread.release("testclient", (12 << 20) - 100)
    assert not unread._of_one, "what was sent counts no more"


def test_a_ready_response_is_replaced_when_too_many_wait() -> None:
    unread = Unread(most=200_000)
    sent = asyncio.run(_answered(unread, 150_000))
    assert [len(message.get("body", b"")) for message in sent] == [0, 65536, 65536, 18928]
    assert unread.reserve("a", 99_000)
    sent = asyncio.run(_answered(unread, 150_000))
    assert sent[0]["status"] == 503
    assert json.loads(sent[1]["body"])["code"] == "overloaded"
    assert len(sent) == 2


async def _answered(unread: Unread, size: int) -> list[Any]:
    """Send a response of a number of bytes through the guard."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        head = [(b"content-length", b"%d" % size)]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": b"x" * size})

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "client": ("a", 1), "query_string": b""}
    limits = Limits()
    limits.unread = unread
    await Guard(app, Settings(), Metrics(), limits)(scope, receive, send)
    return sent


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("nonsense", "nonsense"),
    ],
)
def test_the_owner_of_a_connection(host: str, network: str) -> None:
    assert network_of(host) == network


@pytest.mark.slow
def test_the_server_responds_while_many_clients_do_not_read(server: Callable[..., Any]) -> None:
    at = server("--workers", "1")
    for number in range(60):
        info = {"note": "x" * 60_000}
        assert at.post("/v1/people", json={"person_id": number, "info": info}).status_code == 201
    ask = b"GET /v1/people?limit=1000 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    memory = psutil.Process(at.process.pid).memory_info
    assert at.get("/v1/people?limit=1000").status_code == 200
    crowd, before = [], memory().rss
    for _ in range(400):
        try:
            crowd.append(connected(at.port, ask))
        except OSError:  # refused, which is as good
            continue
    slowest, until, most = 0.0, time.monotonic() + 24, 0
    while time.monotonic() < until:
        started = time.monotonic()
        assert at.get("/v1/health/live").status_code == 200
        assert at.get("/v1/health/ready").status_code == 200
        slowest = max(slowest, time.monotonic() - started)
        most = max(most, memory().rss)
        time.sleep(0.2)
    assert slowest < 10, "seconds for two health checks; 1.6 on a machine with ten other jobs"
    assert most < before + (150 << 20)
    held = len(psutil.Process(at.process.pid).net_connections())
    assert held < 60, "connections that do not read are dropped"
    assert at.get("/v1/people?limit=5").status_code == 200
    assert 'facedex_connections_dropped_total{reason="slow_reader"}' in at.get("/metrics").text
    for connection in crowd:
        connection.close()
