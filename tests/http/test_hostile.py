"""Malicious requests, each of which once caused a server error or blocked a connection."""

from __future__ import annotations

import io
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil
import pytest
import uvicorn
from fastapi.testclient import TestClient
from PIL import Image

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
def test_details_that_json_cannot_represent_are_refused(client: TestClient, details: dict[str, Any]) -> None:
    body = json.dumps({"person_id": "ayu"} | details)
    answer = client.post("/v1/people", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert client.get("/v1/people").json()["items"] == []


def test_details_that_json_can_represent_are_returned(client: TestClient) -> None:
    given = {"person_id": "ayu", "info": nested(32), "retain_until": "9999-12-31T23:59:59+00:00"}
    assert client.post("/v1/people", json=given).status_code == 201
    assert client.get("/v1/people").json()["items"][0]["info"] == nested(32)


@pytest.mark.parametrize("least", [0, -1, 2**32, 2**70])
def test_an_impossible_minimum_face_is_refused(client: TestClient, least: int) -> None:
    for path in ("recognize", "detect"):
        answer = client.post(f"/v1/{path}?min_face={least}", content=AYU, headers={"content-type": "image/jpeg"})
        assert answer.status_code == 422, answer.text


def test_unknown_methods_do_not_fill_the_metrics(client: TestClient) -> None:
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


def test_headers_sent_slowly(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(HEAD)
        with pytest.raises(ConnectionError):
            send_all_the_time(connection, b"X: a\r\n", 100, every_s=0.05)


def test_headers_without_limit(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(HEAD + b"X: ")
        with pytest.raises(ConnectionError):
            send_all_the_time(connection, b"a" * 65536, 500, every_s=0.001)


def test_a_slow_body_and_a_kept_alive_connection_are_not_mistaken_for_headers(port: int) -> None:
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


def test_a_sign_in_at_an_open_server_under_another_name(serve: Any) -> None:
    client = serve(contracts="flask-face,face-api", face_login_liveness="off")
    for path in ("/v1/session", "/api/login", "/api/auth/login-face", "/api/auth/login-face-verify"):
        answer = client.post(path, headers={"host": "evil.example"})
        assert answer.status_code == 403, path
        assert client.post(path).status_code != 403, path


def test_paths_of_clients_are_not_in_the_metrics(serve: Any) -> None:
    client = serve(contracts="all", public_scopes="read")
    for number in range(30):
        client.get(f"/status/secret{number}/b/c")
        client.get(f"/api/users/email/secret{number}/x@example.org")
        client.get(f"/v1/people/secret{number}")
        client.get(f"/v1/secret{number}")
    text = client.get("/metrics").text
    assert "secret" not in text
    routes = set(re.findall(r'route="([^"]*)"', text))
    assert routes == {
        "/status/{user_id:path}",
        "/api/users/email/{email:path}",
        "/v1/people/{person_id}",
        "unmatched",
    }


def test_a_log_line_is_of_bounded_length(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "facedex.http.access"):
        client.get("/v1/people/" + "x" * 30_000)
    assert len(caplog.messages) == 1
    assert len(caplog.messages[0]) < 1200


@pytest.mark.parametrize(
    "body",
    [
        b'{"image": "AAAA",' + b",".join(b'"%d": 0' % number for number in range(200_000)) + b"}",
        b'{"image": "AAAA", "x": [' + b",".join(b"[]" for _ in range(200_000)) + b"]}",
    ],
)
@pytest.mark.parametrize("path", ["/v1/recognize", "/v1/people", "/v1/keys"])
@pytest.mark.parametrize("kind", ["application/json", "application/JSON; charset=utf-8", "application/X+JSON"])
def test_too_many_values_are_refused_before_parsing(client: TestClient, path: str, kind: str, body: bytes) -> None:
    answer = client.post(path, content=body, headers={"content-type": kind})
    assert answer.status_code == 422
    assert "at most 20000 values" in answer.json()["detail"]


def test_only_the_first_errors_of_a_request_are_reported(client: TestClient) -> None:
    body = {"image": "AAAA"} | {f"{number}{'x' * 900}": 0 for number in range(1_000)}
    for path in ("/v1/recognize", "/v1/keys"):
        answer = client.post(path, json=body)
        assert answer.status_code == 422
        assert len(answer.json()["errors"]) == 21
        assert len(answer.content) < 10_000


def test_the_smallest_faces_cost_a_bounded_amount_of_memory(client: TestClient) -> None:
    noise = np.random.default_rng(5).integers(0, 255, (700, 700, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG")
    before = psutil.Process().memory_info().rss
    answer = client.post("/v1/detect?min_face=1", content=file.getvalue(), headers={"content-type": "image/jpeg"})
    assert answer.status_code == 200
    assert psutil.Process().memory_info().rss - before < 500 << 20


def test_face_sign_ins_do_not_delay_clients_with_a_key(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = serve(contracts="flask-face", face_login_liveness="off")
    services = client.app.state.facedex
    go, use = threading.Event(), services.galleries.use
    monkeypatch.setattr(services.galleries, "use", lambda name, verb: go.wait(20) and use(name, verb))
    strangers = [threading.Thread(target=_sign_in, args=(client,)) for _ in range(4)]
    for thread in strangers:
        thread.start()
    try:
        for _ in range(200):
            if services.limits.pending()["face"] == 4:
                break
            time.sleep(0.02)
        assert services.limits.pending() == {"work": 0, "ask": 0, "look": 0, "hash": 0, "face": 4}
    finally:
        go.set()
        for thread in strangers:
            thread.join()


def _sign_in(client: TestClient) -> None:
    client.post("/api/auth/login-face", files={"file": ("a.jpg", AYU, "image/jpeg")})
