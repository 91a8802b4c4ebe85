"""Requests are authorized before their body is read, passwords do not block others, and requests are counted."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from facedex.http.admission import SMALL_BODY
from facedex.http.contracts.flask_face.auth import MAX_PER_MINUTE
from facedex.http.serve import address_of
from facedex.http.settings import Settings
from facedex.server import Access

FORM = {"content-type": "multipart/form-data; boundary=x"}
UPLOADS = [
    ("/v1/recognize", {"content-type": "image/jpeg"}),
    ("/v1/people", FORM),
    ("/v1/galleries", {"content-type": "application/json"}),
    ("/api/photos/1/upload", FORM),
    ("/api/face/predict", FORM),
    ("/api/users", {"content-type": "application/json"}),
    ("/register-face", {"content-type": "application/json"}),
    ("/recognize", {"content-type": "application/json"}),
    ("/recognize/", FORM),
    ("/api/face/register", FORM),
    ("/api/face_query", FORM),
]


def access_of(client: TestClient) -> Access:
    access: Access = client.app.state.facedex.access  # type: ignore[attr-defined]
    return access


def ask(client: TestClient, path: str, headers: dict[str, str], **given: Any) -> tuple[int, dict[str, str], int]:
    """Send an endless body; return the status, the headers, and the number of pieces read."""
    taken, sent = 0, []
    raw = [(b"host", b"localhost"), (b"transfer-encoding", b"chunked")]
    raw += [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": b"x" * 10_000, "more_body": True}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": given.get("method", "POST"),
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": raw,
        "client": ("testclient", 1),
        "server": ("localhost", 80),
        "state": {},
    }
    asyncio.run(client.app(scope, receive, send))  # type: ignore[arg-type]
    start = next(message for message in sent if message["type"] == "http.response.start")
    told = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], told, taken


@pytest.mark.parametrize(("path", "kind"), UPLOADS)
def test_the_body_of_an_unauthorized_request_is_not_read(serve: Any, path: str, kind: dict[str, str]) -> None:
    client = serve(contracts=("all",))
    _, reader = access_of(client).keys.add("reader", ["read"])
    for headers, status in (({}, 401), ({"x-api-key": "fdk_nothing"}, 401), ({"x-api-key": reader}, 403)):
        answered, told, taken = ask(client, path, kind | headers)
        assert (answered, taken) == (status, 0), headers
        assert told["connection"] == "close"  # the rest of the body is never read


def test_the_rate_limit_applies_before_the_body_is_read(serve: Any) -> None:
    client = serve(rate_per_minute=1, contracts=("face-server",))
    assert client.get("/v1/people").status_code == 200
    for path, kind in (UPLOADS[0], UPLOADS[6]):
        answered, told, taken = ask(client, path, kind)
        assert (answered, taken) == (429, 0)
        assert int(told["retry-after"]) > 0


@pytest.mark.parametrize("path", ["/v1/session", "/api/login", "/api/auth/login-pass-verify", "/api/auth/verify"])
def test_a_sign_in_accepts_only_a_small_body(serve: Any, path: str) -> None:
    client = serve(contracts=("flask-face", "face-api"))
    answered, _, taken = ask(client, path, {"content-type": "application/json"})
    assert answered == 413
    assert taken <= SMALL_BODY // 10_000 + 1
    told = client.post(path, content=b"x" * (SMALL_BODY + 1), headers={"content-type": "application/json"})
    assert told.status_code == 413


LIMITS = [
    ("/v1/recognize", {"content-type": "image/jpeg"}, 10),
    ("/v1/people", FORM, 10),
    ("/api/photos/1/upload/multiple", FORM, 64),
    ("/api/auth/login-face", FORM, 10),  # nobody shows a key there
    ("/api/auth/login-face-verify", FORM, 10),
    ("/recognize", {"content-type": "application/json"}, 15),
    ("/api/face/register", FORM, 10),
    ("/api/face_query", FORM, 11),
    ("/upload/", FORM, 64),
]


@pytest.mark.parametrize(("path", "kind", "mib"), LIMITS)
def test_a_contract_accepts_larger_bodies_only_on_its_own_routes(
    serve: Any, path: str, kind: dict[str, str], mib: int
) -> None:
    client = serve(contracts=("all",))
    answered, _, taken = ask(client, path, kind | {"content-length": str((mib << 20) + 1)})
    assert (answered, taken) == (413, 0)
    _, _, taken = ask(client, path, kind | {"content-length": str(mib << 20)})
    assert taken > 0
    client = serve(contracts=("all",), max_upload_bytes=2_000_000)
    answered, _, taken = ask(client, path, kind | {"content-length": "2000001"})
    assert (answered, taken) == (413, 0)


def test_a_sign_in_with_a_face_is_counted_before_its_picture_is_read(serve: Any) -> None:
    client = serve(contracts=("flask-face",), face_login_liveness="off")
    for number in range(MAX_PER_MINUTE):
        sent = client.post("/api/auth/login-face", files={"file": ("a.jpg", b"x")})
        assert sent.status_code != 429, number
    for path in ("/api/auth/login-face", "/api/auth/login-face-verify"):
        answered, told, taken = ask(client, path, FORM)
        assert (answered, taken) == (429, 0)
        assert int(told["retry-after"]) > 0


def test_a_body_that_was_read_leaves_the_connection_open(client: TestClient) -> None:
    answer = client.post("/v1/session", json={"login": "nobody", "password": "nothing"})
    assert answer.status_code == 401
    assert "connection" not in answer.headers
    assert "connection" not in client.get("/v1/people").headers


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/session", {"login": "ayu", "password": "a"}),
        ("/api/login", {"username": "ayu", "password": "a"}),
        ("/api/auth/login-pass-verify", {"email": "ayu", "password": "a"}),
    ],
)
def test_sign_ins_do_not_delay_other_requests(
    serve: Any, monkeypatch: pytest.MonkeyPatch, path: str, body: dict[str, str]
) -> None:
    app = serve(contracts=("flask-face", "face-api"), lockout_after=10**6).app
    go = threading.Event()
    verify = app.state.facedex.access.accounts.passwords.verify
    monkeypatch.setattr(
        app.state.facedex.access.accounts.passwords, "verify", lambda *given: go.wait(20) and verify(*given)
    )

    async def run() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            signing = [asyncio.create_task(client.post(path, json=body)) for _ in range(20)]
            for _ in range(200):
                if app.state.facedex.limits.pending()["hash"] == 20:
                    break
                await asyncio.sleep(0.02)
            assert app.state.facedex.limits.pending() == {"work": 0, "ask": 0, "look": 0, "hash": 20, "face": 0}
            for asked in ("/v1/health/ready", "/v1/people"):
                answer = await asyncio.wait_for(client.get(asked), 5)
                assert answer.status_code == 200
            go.set()
            assert {answer.status_code for answer in await asyncio.gather(*signing)} == {401}

    asyncio.run(run())


def test_requests_of_a_key_and_of_an_account_are_counted_from_every_address(serve: Any) -> None:
    client = serve(rate_per_minute=3)
    access = access_of(client)
    _, key = access.keys.add("desk", ["read"])
    access.accounts.add(login="ayu", password="correct horse", scopes=["read"])
    token = access.sign_in("ayu", "correct horse", address="10.0.0.9").secret
    for shown in (key, token):
        answers = []
        for number in range(4):
            asking = TestClient(client.app, "http://localhost", client=(f"10.{len(shown)}.0.{number}", 1))
            answers.append(asking.get("/v1/people", headers={"Authorization": f"Bearer {shown}"}))
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert int(answers[-1].headers["retry-after"]) > 0
    other, secret = access.keys.add("other", ["read"])
    assert other.id
    assert client.get("/v1/people", headers={"X-API-Key": secret}).status_code == 200


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("::1", "http://[::1]:9000"),
        ("::", "http://[::]:9000"),
        ("127.0.0.1", "http://127.0.0.1:9000"),
        ("localhost", "http://localhost:9000"),
    ],
)
def test_the_address_of_a_server(host: str, address: str) -> None:
    assert address_of(Settings(host=host, port=9000)) == address
