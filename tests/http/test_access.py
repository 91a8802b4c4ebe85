"""Permissions: every route with every role, sign-in, lockout, tokens in several processes, other origins."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from argon2 import PasswordHasher
from fastapi import APIRouter
from fastapi.testclient import TestClient

from facedex import Gallery, people
from facedex.engine import Engine
from facedex.errors import ArgumentError, AttemptsError, DuplicateAccountError, SignInError, UnknownAccountError
from facedex.http import Settings, v1
from facedex.http.admission import admission_of
from facedex.http.security import COOKIE
from facedex.server import Access, Lockout, Passwords
from facedex.server.tables import tokens
from facedex.store import Database

PASSWORD = "correct horse"
SCOPES = ("read", "recognise", "enrol", "admin")
OPEN = {
    ("GET", "/v1/health/live"),
    ("GET", "/v1/health/ready"),
    ("GET", "/v1/session"),
    ("POST", "/v1/session"),
    ("DELETE", "/v1/session"),
    ("POST", "/v1/session/face"),
    ("POST", "/v1/challenges"),
}
"""What needs no scope."""


def access_of(client: TestClient) -> Access:
    access: Access = client.app.state.facedex.access  # type: ignore[attr-defined]
    return access


def routes(router: Any, prefix: str = "") -> list[tuple[str, str, str | None]]:
    """Method, path and scope of every route."""
    found = []
    for route in router.routes:
        if hasattr(route, "original_router"):
            found += routes(route.original_router, prefix + route.include_context.prefix)
        elif hasattr(route, "dependant"):
            scope = admission_of(route.dependant).scope
            found += [(method, prefix + route.path, scope) for method in sorted(route.methods)]
    return found


EVERYTHING = APIRouter()
EVERYTHING.routes.extend(v1.server_routes())
ROUTES = routes(EVERYTHING)


def test_every_route_declares_its_scope() -> None:
    assert len(ROUTES) > 35
    assert {(method, path) for method, path, scope in ROUTES if scope is None} == OPEN
    assert {scope for _, _, scope in ROUTES} == {None, *SCOPES}
    assert {path for _, path, scope in ROUTES if scope == "admin"} >= {"/v1/keys", "/v1/events", "/v1/embed"}
    writes = {scope for method, path, scope in ROUTES if method != "GET" and scope is not None}
    assert "read" not in writes


def test_every_route_with_every_role(client: TestClient, keys: dict[str, dict[str, str]]) -> None:
    client.app.state.facedex.jobs.begin = lambda *_, **__: pytest.fail("nothing here may begin a job")  # type: ignore[attr-defined]
    for method, path, scope in ROUTES:
        address = path.replace("{person_id}", "x").replace("{job_id}", "x").replace("{name}", "x")
        address = address.replace("{face_id}", "999").replace("{photo_id}", "999").replace("{key_id}", "999")
        for role in (None, *SCOPES):
            if role == "admin" and path.startswith("/v1/index/"):
                continue
            answer = client.request(method, address, headers=keys[role] if role else {})
            where = f"{method} {path} as {role}: {answer.status_code} {answer.text[:200]}"
            if (method, path) == ("POST", "/v1/embed") and role == "admin":
                continue
            if scope is None or role in (scope, "admin"):
                assert answer.status_code not in (401, 403), where
                assert answer.status_code < 500, where
            else:
                assert answer.status_code == (401 if role is None else 403), where
                assert answer.json()["code"] == ("unauthenticated" if role is None else "forbidden"), where


def test_a_server_requires_keys_as_soon_as_there_is_one(client: TestClient) -> None:
    assert client.get("/v1/session").json() == {
        "kind": "operator",
        "name": "operator",
        "scopes": ["admin"],
        "open": True,
        "face_sign_in": False,
    }
    made = client.post("/v1/keys", json={"name": "door", "scopes": ["recognise"]}).json()
    assert client.get("/v1/people").status_code == 401
    mine = {"Authorization": f"Bearer {made['key']}"}
    assert client.get("/v1/session", headers=mine).json()["scopes"] == ["recognise"]
    assert made["key"].startswith(made["prefix"])
    access_of(client).keys.revoke(made["id"])
    assert client.get("/v1/people").status_code == 200
    refused = client.get("/v1/people", headers=mine)
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Bearer realm="facedex"')


def test_an_exposed_server_always_requires_keys(serve: Any) -> None:
    for settings in ({"host": "0.0.0.0"}, {"trusted_proxies": "10.0.0.1"}):
        assert serve(**settings).get("/v1/people").status_code == 401
    assert serve(host="0.0.0.0", insecure=True).get("/v1/people").status_code == 200
    assert serve(host="0.0.0.0", public_scopes="read").get("/v1/people").status_code == 200
    assert serve(host="0.0.0.0", public_scopes="read").delete("/v1/people/x").status_code == 401


def test_keys_and_secrets_are_neither_stored_nor_listed(
    client: TestClient, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "facedex")
    made = client.post("/v1/keys", json={"name": "all", "scopes": ["admin"]}).json()
    head = {"X-API-Key": made["key"]}
    access_of(client).accounts.add(email="ayu@example.org", password=PASSWORD, scopes=["read"])
    token = client.post("/v1/session", json={"login": "ayu@example.org", "password": PASSWORD}).json()["token"]
    client.get("/v1/people?key=query-secret", headers=head)
    listed = client.get("/v1/keys", headers=head)
    assert made["key"] not in listed.text
    assert listed.json()[0]["used_at"] is not None
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("people.db*"))
    for secret in (made["key"], token, PASSWORD):
        assert secret.encode() not in stored
        assert secret not in caplog.text
    assert b"$argon2id$" in stored
    assert "query-secret" not in caplog.text
    assert "GET /v1/people 200" in caplog.text


def test_an_unknown_account_and_a_wrong_password_give_the_same_response(client: TestClient) -> None:
    access_of(client).accounts.add(email="Ayu@Example.org", password=PASSWORD)
    wrong = client.post("/v1/session", json={"login": "ayu@example.org", "password": "another one"})
    nobody = client.post("/v1/session", json={"login": "nobody@example.org", "password": "another one"})
    assert wrong.status_code == nobody.status_code == 401
    assert wrong.json() == nobody.json()
    assert wrong.json()["detail"] == "wrong login or password"
    right = client.post("/v1/session", json={"login": "AYU@example.ORG", "password": PASSWORD}).json()
    assert right["kind"] == "account"


def test_an_unknown_account_takes_as_long_as_a_wrong_password(tmp_path: Any) -> None:
    database = Database(tmp_path / "people.db")
    access = Access(database, passwords=Passwords(PasswordHasher(time_cost=4, memory_cost=32768, parallelism=1)))
    access.accounts.add(login="ayu", password=PASSWORD)
    access.accounts.add(login="faceonly")
    disabled = access.accounts.add(login="gone", password=PASSWORD)
    access.accounts.update(disabled.id, disabled=True)
    took: dict[str, list[float]] = {"ayu": [], "nobody": [], "faceonly": [], "gone": []}
    for _ in range(5):
        for login, times in took.items():
            started = time.thread_time()  # of this thread alone: the machine may have other work to do
            assert access.accounts.verify(login, PASSWORD if login == "gone" else "another one") is None
            times.append(time.thread_time() - started)
    least = {login: min(times) for login, times in took.items()}
    assert max(least.values()) < 1.5 * min(least.values()), least
    access.close()


def test_failures_lock_an_account_in_every_process(serve: Any) -> None:
    one, other = serve(lockout_after=3), serve(lockout_after=3)
    access_of(one).accounts.add(login="ayu", password=PASSWORD)
    for server in (one, other, one):
        assert server.post("/v1/session", json={"login": "ayu", "password": "wrong"}).status_code == 401
    for server in (one, other):
        locked = server.post("/v1/session", json={"login": "AYU ", "password": PASSWORD})
        assert (locked.status_code, locked.json()["code"]) == (429, "too_many_attempts")
        assert 1 <= int(locked.headers["retry-after"]) <= 2
    for _ in range(3):
        one.post("/v1/session", json={"login": "nobody", "password": "wrong"})
    assert one.post("/v1/session", json={"login": "nobody", "password": "wrong"}).status_code == 429
    with access_of(one).database.write() as connection:  # as if two seconds had passed
        connection.exec_driver_sql("UPDATE attempts SET since = since - 2000000, last_at = last_at - 2000000")
    assert one.post("/v1/session", json={"login": "ayu", "password": PASSWORD}).status_code == 200
    assert one.post("/v1/session", json={"login": "ayu", "password": "wrong"}).status_code == 401


def test_an_address_that_tries_many_accounts_must_wait(place: Any) -> None:
    access = Access(Database(place.location), lockout=Lockout(after=2, first_s=60), passwords=_cheap())
    for number in range(8):
        with pytest.raises(SignInError):
            access.sign_in(f"user{number}", "wrong", address="192.0.2.1")
    with pytest.raises(AttemptsError) as told:
        access.sign_in("user9", "wrong", address="192.0.2.1")
    assert 100 < told.value.retry_after_s <= 113  # an eighth of 15 minutes
    with pytest.raises(SignInError):
        access.sign_in("user9", "wrong", address="192.0.2.2")
    access.close()


def test_requests_of_an_address_are_counted_in_every_process(serve: Any) -> None:
    one, other = serve(rate_per_minute=4), serve(rate_per_minute=4)
    answers = [server.get("/v1/people").status_code for server in (one, other, one, other, one)]
    assert answers == [200, 200, 200, 200, 429]
    assert one.get("/v1/health/live").status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/session", {"login": "ayu", "password": "a"}),
        ("/api/login", {"username": "ayu", "password": "a"}),
        ("/api/auth/login-pass-verify", {"email": "ayu", "password": "a"}),
        ("/api/auth/verify", {"token": "a"}),
    ],
)
def test_sign_ins_count_as_requests_of_an_address(serve: Any, path: str, body: dict[str, str]) -> None:
    client = serve(rate_per_minute=2, contracts=("flask-face", "face-api"), lockout_after=100)
    answers = [client.post(path, json=body) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert int(answers[2].headers["retry-after"]) > 0


def test_a_revoked_token_is_invalid_at_once_in_every_process(serve: Any) -> None:
    one, other = serve(host="0.0.0.0"), serve(host="0.0.0.0")
    account = access_of(one).accounts.add(login="ayu", password=PASSWORD, scopes=["read"])

    def signed_in() -> dict[str, str]:
        answer = one.post("/v1/session", json={"login": "ayu", "password": PASSWORD})
        return {"Authorization": f"Bearer {answer.json()['token']}"}

    head = signed_in()
    assert [server.get("/v1/people", headers=head).status_code for server in (one, other)] == [200, 200]
    assert other.delete("/v1/session", headers=head).status_code == 204
    assert [server.get("/v1/people", headers=head).status_code for server in (one, other)] == [401, 401]
    for end in ({"password": "a new password"}, {"disabled": True}):
        access_of(one).accounts.update(account.id, password=PASSWORD)
        head = signed_in()
        assert other.get("/v1/people", headers=head).status_code == 200
        access_of(one).accounts.update(account.id, **end)
        assert other.get("/v1/people", headers=head).status_code == 401


def test_a_token_expires(place: Any) -> None:
    access = Access(Database(place.location), ttl_s=60, passwords=_cheap())
    access.accounts.add(login="ayu", password=PASSWORD)
    signed = access.sign_in("ayu", PASSWORD, address="")
    assert access.principal(signed.secret) is not None
    assert signed.secret not in repr(signed)
    now = datetime.now(timezone.utc)
    assert timedelta(0) < signed.token.expires_at - now <= timedelta(seconds=60)
    place.execute(tokens.update().values(expires_at=now))
    assert access.principal(signed.secret) is None
    assert access.tokens.active(signed.account.id) == []
    access.close()


def test_accounts_in_every_database(place: Any, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine) as gallery:
        gallery.create(7)
    access = Access(Database(place.location), passwords=_cheap())
    accounts = access.accounts
    ayu = accounts.add(email="Ayu@Example.org", name="Ayu", password=PASSWORD, scopes=["enrol", "read"], person_key=7)
    assert (ayu.scopes, ayu.person_key, ayu.email) == (("read", "enrol"), "7", "Ayu@Example.org")
    assert [one.id for one in accounts.of_person(7)] == [ayu.id]
    with pytest.raises(DuplicateAccountError):
        accounts.add(email="ayu@example.ORG")
    budi = accounts.add(login="Budi")
    assert accounts.find("BUDI") == budi
    with pytest.raises(DuplicateAccountError):
        accounts.update(budi.id, email="AYU@example.org")
    with pytest.raises(ArgumentError, match="8 to 1024"):
        accounts.update(budi.id, password="short")
    with pytest.raises(ArgumentError, match="scopes"):
        accounts.update(budi.id, scopes=["root"])
    assert accounts.update(budi.id, profile={"city": "Bandung"}).profile == {"city": "Bandung"}
    assert not access.has_credentials()
    accounts.update(ayu.id, scopes=["admin"])
    assert access.has_credentials()
    signed = access.sign_in("ayu@example.org", PASSWORD, address="")
    accounts.delete(ayu.id)
    assert access.principal(signed.secret) is None
    with pytest.raises(UnknownAccountError):
        accounts.update(ayu.id, name="Ayu")
    assert accounts.add(login="citra").id > budi.id
    made, secret = access.keys.add("door", ["recognise"])
    assert access.principal(secret).has_scope("recognise")  # type: ignore[union-attr]
    assert access.keys.revoke(made.id).revoked_at is not None
    assert access.principal(secret) is None
    assert access.principal("fdk_" + "x" * 43) is None
    assert access.principal("fdk_ü") is None
    access.close()


def test_the_cookie_of_the_page(client: TestClient) -> None:
    access_of(client).accounts.add(login="boss", password=PASSWORD, scopes=["admin"])
    signed = client.post("/v1/session", json={"login": "boss", "password": PASSWORD, "cookie": True})
    assert signed.json()["token"] is None
    cookie = signed.headers["set-cookie"]
    assert all(part in cookie for part in (COOKIE, "HttpOnly", "SameSite=strict", "Path=/"))
    assert "Secure" not in cookie
    assert client.get("/v1/people").status_code == 200
    for headers, status in (
        ({}, 404),
        ({"Origin": "http://localhost"}, 404),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ):
        assert client.delete("/v1/people/x", headers=headers).status_code == status, headers
    assert client.delete("/v1/session", headers={"Origin": "https://evil.example"}).status_code == 403
    assert client.delete("/v1/session").status_code == 204
    assert client.get("/v1/people").status_code == 401


def test_a_page_of_another_origin_cannot_use_an_open_server(client: TestClient) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}, {"Host": "evil.example:8000"}):
        assert client.post("/v1/people", json={"person_id": "x"}, headers=headers).status_code == 403
    assert client.get("/v1/people", headers={"Host": "evil.example"}).status_code == 403
    assert client.get("/v1/people", headers={"Host": "localhost:8000"}).status_code == 200
    assert client.get("/v1/people").json()["items"] == []


def test_cors_and_security_headers(serve: Any) -> None:
    client = serve(cors_origins="https://desk.example")
    friend = client.get("/v1/people", headers={"Origin": "https://desk.example"})
    assert friend.headers["access-control-allow-origin"] == "https://desk.example"
    stranger = client.get("/v1/people", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in stranger.headers
    for answer in (friend, client.get("/v1/nowhere"), client.get("/api/docs")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "script-src" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
    assert friend.headers["cache-control"] == "no-store"


def test_the_audit_names_the_caller(client: TestClient, keys: dict[str, dict[str, str]]) -> None:
    files = {"images": people.PICTURES["ayu"][0].read_bytes()}
    client.post("/v1/people", data={"person_id": "ayu"}, files=files, headers=keys["enrol"])
    (event,) = client.get("/v1/events", headers=keys["admin"]).json()["items"]
    assert (event["kind"], event["actor"]) == ("register", "key:enrol")


def _cheap() -> Passwords:
    return Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


def test_scopes_are_accepted_in_both_spellings(client: TestClient) -> None:
    made = client.post("/v1/keys", json={"name": "door", "scopes": ["recognize", "enroll"]})
    assert made.status_code == 201, made.text
    assert made.json()["scopes"] == ["recognise", "enrol"]
    assert Settings(public_scopes=("recognize",)).public_scopes == ("recognise",)
