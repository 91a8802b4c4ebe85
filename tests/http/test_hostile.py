"""Requests that mean harm, each of which once was a fault of the server or held a connection."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from fastapi.testclient import TestClient

from facedex import people
from facedex.http import connections
from facedex.http.connections import Connection

AYU = people.PROBES["ayu"][0].read_bytes()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "[::1"}, 403),
        ({"host": "evil.example"}, 403),
        ({"host": "127.0.0.1", "origin": "http://[::1"}, 403),
        ({"host": "127.0.0.1", "origin": "null"}, 403),
        ({"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000"}, 201),
        ({"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:9000"}, 403),
    ],
)
def test_odd_hosts_and_origins(client: TestClient, headers: dict[str, str], status: int) -> None:
    assert client.post("/v1/people", json={"person_id": "ayu"}, headers=headers).status_code == status


def nested(levels: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for _ in range(levels - 1):
        made = {"a": made}
    return made


@pytest.mark.parametrize(
    "details",
    [
        {"info": nested(33)},
        {"info": nested(900)},
        {"info": {"a": "\ud800"}},
        {"info": {"\ud800": 1}},
        {"retain_until": "9999-12-31T23:59:59-23:59"},
        {"retain_until": "0001-01-01T00:00:00+23:59"},
        {"min_face": 2**32},
        {"min_face": 2**70},
    ],
)
def test_details_that_could_not_be_answered_again(client: TestClient, details: dict[str, Any]) -> None:
    body = json.dumps({"person_id": "ayu"} | details)
    answer = client.post("/v1/people", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert client.get("/v1/people").json()["items"] == []


def test_details_that_can_be_answered_again(client: TestClient) -> None:
    given = {"person_id": "ayu", "info": nested(32), "retain_until": "9999-12-31T23:59:59+00:00"}
    assert client.post("/v1/people", json=given).status_code == 201
    assert client.get("/v1/people").json()["items"][0]["info"] == nested(32)


@pytest.mark.parametrize("least", [0, -1, 2**32, 2**70])
def test_a_least_face_that_no_picture_has(client: TestClient, least: int) -> None:
    for path in ("recognize", "detect"):
        answer = client.post(f"/v1/{path}?min_face={least}", content=AYU, headers={"content-type": "image/jpeg"})
        assert answer.status_code == 422, answer.text


def test_strange_methods_do_not_fill_the_metrics(client: TestClient) -> None:
    for number in range(20):
        client.request(f"X{number}", "/v1/people")
    text = client.get("/metrics").text
    assert 'method="X' not in text
    assert 'method="other"' in text


async def _hello(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server that waits half a second for headers."""
    monkeypatch.setattr(connections, "HEAD_S", 0.5)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(_hello, http=Connection, ws="none", lifespan="off", log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join()


def read(connection: socket.socket) -> bytes:
    """Read to the end; the server closing hard counts as one."""
    found = b""
    try:
        while piece := connection.recv(65536):
            found += piece
    except ConnectionError:
        pass
    return found


def send_all_the_time(connection: socket.socket, piece: bytes, times: int, *, every_s: float) -> None:
    for _ in range(times):
        connection.sendall(piece)
        time.sleep(every_s)


HEAD = b"POST / HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.parametrize("said", [b"", b"POST / HT", HEAD, HEAD + b"Content-Length: 0\r\n\r\n" + HEAD])
def test_headers_that_never_end(port: int, said: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(said)
        started = time.monotonic()
        answer = read(connection)
        assert answer.count(b" 200 ") == (1 if b"\r\n\r\n" in said else 0)
        assert time.monotonic() - started < 8


def test_headers_that_drip(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(HEAD)
        with pytest.raises(ConnectionError):
            send_all_the_time(connection, b"X: a\r\n", 100, every_s=0.05)


def test_headers_without_measure(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(HEAD + b"X: ")
        with pytest.raises(ConnectionError):
            send_all_the_time(connection, b"a" * 65536, 500, every_s=0.001)


def test_a_slow_body_and_a_kept_connection_are_not_mistaken_for_headers(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for _ in range(2):
            connection.sendall(HEAD + b"Content-Length: 8\r\n\r\n")
            for _ in range(8):
                time.sleep(0.1)
                connection.sendall(b"x")
            answer = b""
            while not answer.endswith(b"ok"):
                piece = connection.recv(65536)
                assert piece, answer
                answer += piece
            assert b" 200 " in answer
            time.sleep(0.7)
