"""Sign-in with a password or a face: decisions, messages, counted attempts, and log entries."""

from __future__ import annotations

import importlib
import io
import logging
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher, extract_parameters
from fastapi.testclient import TestClient
from PIL import Image

from facedex import FMR, people
from facedex.http.contracts.flask_face import auth
from facedex.server import Access, Lockout, Passwords

PASSWORD = "correct horse battery"
AYU, PROBE = people.PICTURES["ayu"][0].read_bytes(), people.PROBES["ayu"][0].read_bytes()
STRANGER = people.PROBES["budi"][0].read_bytes()

Serve = Callable[..., TestClient]


def served(serve: Serve, **settings: Any) -> TestClient:
    return serve(**({"contracts": ("flask-face", "face-api"), "face_login_liveness": "off"} | settings))


@pytest.fixture
def client(serve: Serve) -> TestClient:
    """A server where a face signs in."""
    return served(serve)


def access_of(client: TestClient) -> Access:
    access: Access = client.app.state.facedex.access  # type: ignore[attr-defined]
    return access


def register(client: TestClient, person_id: str, picture: bytes | None = AYU, email: str | None = None) -> int:
    """Register somebody; returns the number."""
    given: dict[str, Any] = {"person_id": person_id} | ({} if email is None else {"email": email})
    files = {} if picture is None else {"files": {"image": picture}}
    answer = client.post("/v1/people", **({"data": given} | files if files else {"json": given}))  # type: ignore[arg-type]
    assert answer.status_code == 201, answer.text
    number: int = next(user["id"] for user in client.get("/api/users").json() if user["name"] == person_id)
    return number


def show(client: TestClient, picture: bytes, **claim: Any) -> httpx.Response:
    """Sign in with a face, with or without a claim."""
    path = "login-face-verify" if claim else "login-face"
    return client.post(f"/api/auth/{path}", data=claim, files={"file": ("a.jpg", picture)})


def faceless() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), (90, 140, 90)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(("scopes", "let_in"), [("recognise", False), ("read,recognise,enrol", True)])
def test_a_face_does_not_sign_in_an_account_with_broader_scopes(serve: Serve, scopes: str, let_in: bool) -> None:
    client = served(serve, account_scopes=scopes)
    number = register(client, "op")
    account = access_of(client).accounts.add(login="op", scopes=["read", "recognise", "enrol"], person_key="op")
    for claim in ({}, {"user_id": number}):
        answer = show(client, PROBE, **claim)
        assert answer.status_code == (200 if let_in else 403), answer.text
        assert ("token" in answer.text) == let_in
    assert len(access_of(client).tokens.active(account.id)) == (2 if let_in else 0)


def test_an_account_with_broader_scopes_outlives_a_deletion_with_an_enrol_key(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The application's settings decide, regardless of the environment."""
    monkeypatch.setenv("FACEDEX_ACCOUNT_SCOPES", "read,recognise,enrol")
    client = serve(account_scopes="recognise")
    _, secret = access_of(client).keys.add("enrol", ["enrol"])
    key = {"X-API-Key": secret}
    made = client.post("/v1/people", json={"person_id": "op"}, headers=key)
    assert made.status_code == 201, made.text
    accounts = access_of(client).accounts
    operator = accounts.add(login="op", scopes=["read", "enrol"], person_key="op")
    accounts.add(login="visitor", scopes=["recognise"], person_key="op")
    assert client.delete("/v1/people/op", headers=key).status_code == 200
    assert [(one.id, one.person_key) for one in accounts.page()] == [(operator.id, None)]


def test_an_unauthenticated_caller_does_not_learn_who_is_registered(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "MAX_PER_MINUTE", 100)
    register(client, "ayu", email="ayu@x.org")
    register(client, "citra", None, email="citra@x.org")
    for picture, status in ((STRANGER, 403), (faceless(), 401)):
        told = [show(client, picture, email=email) for email in ("ayu@x.org", "citra@x.org", "nobody@x.org", "\0")]
        assert {answer.status_code for answer in told} == {status}
        assert {answer.text for answer in told} == {told[0].text}
        assert told[0].json()["data"] == {"match": False, "claimed_user_id": None, "confidence": 0.0}
        by_number = [show(client, picture, user_id=number) for number in (1, 2, 99)]
        assert {answer.status_code for answer in by_number} == {status}
        assert [answer.json()["data"].pop("claimed_user_id") for answer in by_number] == [1, 2, 99]
        assert {answer.json()["message"] for answer in by_number} == {told[0].json()["message"]}
        assert {answer.json()["data"]["confidence"] for answer in by_number} == {0.0}
    assert show(client, PROBE, email="ayu@x.org").json()["data"]["confidence"] > 0


def test_without_a_liveness_network_an_unauthenticated_caller_does_not_learn_who_is_registered(serve: Serve) -> None:
    client = served(serve, face_login_liveness="required")
    register(client, "ayu", email="ayu@x.org")
    told = [show(client, PROBE, email=email) for email in ("ayu@x.org", "nobody@x.org")]
    assert told[0].status_code == told[1].status_code == 401
    assert told[0].text == told[1].text


def test_the_similarity_of_a_failed_sign_in_is_not_revealed(client: TestClient) -> None:
    register(client, "ayu")
    refused = show(client, STRANGER)
    assert refused.status_code == 401
    data = refused.json()["data"]
    assert data == {"confidence": 0.0, "required_confidence": data["required_confidence"]}
    assert data["required_confidence"] > 0
    assert show(client, PROBE).json()["data"]["confidence"] > data["required_confidence"]


@pytest.mark.parametrize("claim", [{"user_id": 99}, {"email": "nobody@x.org"}, {"user_id": 1}])
def test_face_attempts_are_counted_for_every_claim(serve: Serve, claim: dict[str, Any]) -> None:
    client = served(serve, lockout_after=2)
    access_of(client).attempts._lockout = Lockout(after=2, first_s=60)  # longer than the test on any machine
    register(client, "ayu")
    assert [show(client, STRANGER, **claim).status_code for _ in range(3)] == [403, 403, 429]
    assert show(client, PROBE, **claim).status_code == 429


def test_face_attempts_are_counted_per_person_by_any_name(serve: Serve) -> None:
    client = served(serve, lockout_after=3)
    number = register(client, "ayu", email="ayu@x.org")
    access_of(client).accounts.add(login="desk", person_key="ayu")
    claims: list[dict[str, Any]] = [{"user_id": number}, {"email": "AYU@x.org"}, {"email": "desk"}]
    assert [show(client, STRANGER, **claim).status_code for claim in claims] == [403, 403, 403]
    assert [show(client, PROBE, **claim).status_code for claim in claims] == [429, 429, 429]
    assert show(client, PROBE).status_code == 200  # nobody is locked out where nobody is claimed


def test_a_face_attempt_without_a_claim_counts_for_its_address(serve: Serve) -> None:
    client = served(serve, lockout_after=1)  # an address has four
    register(client, "ayu", email="ayu@x.org")
    assert show(client, PROBE).status_code == 200
    assert [show(client, STRANGER).status_code for _ in range(5)] == [401, 401, 401, 401, 429]
    assert [show(client, PROBE, **claim).status_code for claim in ({}, {"email": "ayu@x.org"})] == [429, 429]
    assert client.post("/v1/session", json={"login": "ayu", "password": PASSWORD}).status_code == 429


def test_an_address_may_try_ten_faces_a_minute(client: TestClient) -> None:
    assert [show(client, b"no picture", **claim).status_code for claim in [{}, {"user_id": 1}] * 6] == [
        *[400] * 10,
        *[429] * 2,
    ]


def test_password_and_face_attempts_are_counted_separately(serve: Serve) -> None:
    client = served(serve, lockout_after=2)
    register(client, "ayu")
    for login in ("face of 1", "user 1"):
        for _ in range(2):
            assert client.post("/v1/session", json={"login": login, "password": "wrong"}).status_code == 401
    assert show(client, PROBE, user_id=1).status_code == 200  # nobody is locked out by a name
    assert [show(client, STRANGER, user_id=1).status_code for _ in range(2)] == [403, 403]
    for login in ("Face of 1", "User 1"):
        access_of(client).accounts.add(login=login, password=PASSWORD)
        assert client.post("/v1/session", json={"login": login, "password": PASSWORD}).status_code == 200
    assert show(client, STRANGER, user_id=1).status_code == 429  # and no name lets one in


def test_a_first_face_sign_in_does_not_need_an_unused_name(client: TestClient) -> None:
    number, other = register(client, "ayu"), register(client, "citra", None)
    for taken in (number, other):
        made = client.post("/api/register", json={"username": f"person-{taken}", "password": PASSWORD})
        assert made.status_code == 201, made.text
    assert show(client, PROBE).status_code == 200
    assert client.put(f"/api/users/{other}", json={"password": PASSWORD}).status_code == 200
    logins = [one.login for one in access_of(client).accounts.page()]
    assert len(logins) == len(set(logins)) == 4


def test_a_profile_cannot_use_the_login_of_another_account(client: TestClient) -> None:
    accounts = access_of(client).accounts
    accounts.add(login="mallory", password=PASSWORD, scopes=["read", "enrol"])
    accounts.add(login="late@x.org", password=PASSWORD)
    token = client.post("/v1/session", json={"login": "mallory", "password": PASSWORD}).json()["token"]
    taken = client.put("/api/profile", json={"email": "late@x.org"}, headers={"Authorization": f"Bearer {token}"})
    assert taken.status_code == 400, taken.text
    signed = client.post("/v1/session", json={"login": "late@x.org", "password": PASSWORD}).json()
    assert signed["name"] == "account:late@x.org"


def test_no_account_may_use_the_address_of_a_person_without_an_account(client: TestClient) -> None:
    budi = register(client, "budi", None, "budi@x.org")
    ayu = register(client, "ayu", None, "ayu@x.org")
    accounts = access_of(client).accounts
    accounts.add(login="mallory", password=PASSWORD, scopes=["read", "enrol"], person_key="ayu")
    token = client.post("/v1/session", json={"login": "mallory", "password": PASSWORD}).json()["token"]
    head = {"Authorization": f"Bearer {token}"}
    for email in ("budi@x.org", " BUDI@X.org "):
        taken = client.put("/api/profile", json={"email": email}, headers=head)
        assert (taken.status_code, taken.json()["success"]) == (400, False), taken.text
        for wanted in ({"username": "eve", "email": email}, {"username": email}):
            made = client.post("/api/register", json={"password": PASSWORD} | wanted)
            assert made.status_code == 400, made.text
    assert len(accounts.page()) == 1
    for email in ("ayu@x.org", "new@x.org"):  # the own one, and one that nobody has
        assert client.put("/api/profile", json={"email": email}, headers=head).status_code == 200
    assert [client.get(f"/api/users/email/{email}").json()["id"] for email in ("budi@x.org", "new@x.org")] == [
        budi,
        ayu,
    ]


def test_an_address_identifies_first_the_person_who_has_it(client: TestClient) -> None:
    budi = register(client, "budi", None, "budi@x.org")
    register(client, "ayu")
    access_of(client).accounts.add(email="Budi@x.org", person_key="ayu")  # as an older version let it
    assert client.get("/api/users/email/budi@x.org").json()["id"] == budi
    assert show(client, PROBE, email="budi@x.org").status_code == 403


def test_a_key_that_expires_beyond_the_last_year_is_refused(client: TestClient) -> None:
    body = {"name": "door", "scopes": ["read"], "expires_at": "9999-12-31T23:59:59-14:00"}
    answer = client.post("/v1/keys", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "argument")
    assert client.get("/v1/keys").json() == []


def test_the_first_unknown_login_takes_no_longer_than_the_next() -> None:
    hasher = PasswordHasher(time_cost=4, memory_cost=32768, parallelism=1)
    hasher.hash("warm")

    def took(passwords: Passwords) -> float:
        started = time.thread_time()  # of this thread alone: the machine may have other work to do
        assert not passwords.verify(None, "x")
        return time.thread_time() - started

    first, next_one = [], []
    for _ in range(5):
        passwords = Passwords(hasher)
        first.append(took(passwords))
        next_one.append(took(passwords))
    assert min(first) < 1.4 * min(next_one)


@pytest.mark.parametrize("hasher", [PasswordHasher(), PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)])
def test_the_password_of_an_unknown_login_is_checked_at_the_same_cost(hasher: PasswordHasher) -> None:
    passwords = Passwords(hasher)
    assert extract_parameters(passwords._unknown) == extract_parameters(passwords.hash(PASSWORD))
    assert not passwords.verify(None, PASSWORD)
    assert not passwords.verify("", "")


def test_the_log_records_who_changed_accounts_and_keys(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "facedex.access")
    access = access_of(client)
    access.accounts.add(login="boss", password=PASSWORD, scopes=["admin"])
    token = client.post("/v1/session", json={"login": "boss", "password": PASSWORD}).json()["token"]
    head = {"Authorization": f"Bearer {token}"}
    key = client.post("/v1/keys", json={"name": "door", "scopes": ["recognise", "read"]}, headers=head).json()
    client.delete(f"/v1/keys/{key['id']}", headers=head)
    client.delete(f"/v1/keys/{key['id']}", headers=head)
    user = client.post("/api/users", json={"name": "Ayu", "email": "ayu@x.org"}, headers=head).json()
    client.put(f"/api/users/{user['id']}", json={"password": "stolen-pass-1"}, headers=head)
    access.accounts.delete(2)
    assert [record.getMessage() for record in caplog.records if record.name == "facedex.access"] == [
        "'this machine': account 1 is created with scopes admin",
        "'address:testclient': account 1 signs in with its password",
        "'account:boss': API key 1 is created with scopes read recognise",
        "'account:boss': API key 1 is revoked",
        "'account:boss': account 2 is created with scopes read recognise enrol",
        "'account:boss': account 2 is changed: password",
        "'this machine': account 2 is deleted",
    ]
    for secret in (PASSWORD, "stolen-pass-1", token, key["key"], "ayu@x.org"):
        assert secret not in caplog.text


def test_the_log_records_the_address_of_sign_ins_and_failures(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    client = served(serve, lockout_after=3)
    caplog.set_level(logging.INFO, "facedex.access")
    number = register(client, "ayu", email="ayu@x.org")
    access_of(client).accounts.add(login="boss", password=PASSWORD)
    for login, password in (("boss", "wrong-secret"), ("who-is-it", PASSWORD), ("boss", PASSWORD)):
        client.post("/v1/session", json={"login": login, "password": password})
    show(client, STRANGER, user_id=number)
    show(client, PROBE, email="ayu@x.org")
    for claim in ({"user_id": number}, {"email": "nobody@x.org"}, {}):
        show(client, STRANGER, **claim)
    show(client, PROBE)
    told = [record.getMessage() for record in caplog.records if record.name == "facedex.access"]
    assert told.pop(0).startswith("'this machine': account 1 is created")
    assert told == [
        "'address:testclient': a sign-in with a password fails: account 1",
        "'address:testclient': a sign-in with a password fails: unknown",
        "'address:testclient': account 1 signs in with its password",
        "'address:testclient': a sign-in with a face fails: unknown",
        "'address:testclient': account 2 is created with scopes read recognise enrol",
        "'address:testclient': account 2 signs in with its face",
        "'address:testclient': a sign-in with a face fails: account 2",
        "'address:testclient': a sign-in with a face fails: unknown",
        "'address:testclient': a sign-in with a face fails: unknown",
        "'address:testclient': account 2 signs in with its face",
    ]
    for text in (PASSWORD, "wrong-secret", "who-is-it", "boss", "nobody@x.org", "ayu@x.org"):
        assert text not in " ".join(told)


def test_the_log_records_sign_ins_that_must_wait(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "facedex.access")
    for _ in range(7):
        answer = client.post("/v1/session", json={"login": "nobody", "password": "wrong"})
    assert answer.status_code == 429
    told = [record.getMessage() for record in caplog.records if record.name == "facedex.access"]
    assert told == ["'address:testclient': a sign-in with a password fails: unknown"] * 7


# The threshold.


@pytest.mark.parametrize("path", ["login-face", "login-face-verify"])
@pytest.mark.parametrize("above", [True, False])
def test_a_face_signs_in_by_the_rule_for_signing_in(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, path: str, above: bool
) -> None:
    """A rule just above or below the similarity of the face decides."""
    number = register(client, "ayu")
    similarity = client.post("/v1/verify", data={"person_id": "ayu"}, files={"image": PROBE}).json()["similarity"]
    _decide_sign_in_at(monkeypatch, similarity + (1e-3 if above else -1e-3))
    claim = {"user_id": number} if path == "login-face-verify" else {}
    assert (show(client, PROBE, **claim).status_code == 200) is not above


def _decide_sign_in_at(monkeypatch: pytest.MonkeyPatch, similarity: float) -> None:
    """Move the rule for signing in between the similarity of a face and that which verifies."""
    rules = importlib.import_module("facedex.gallery.decisions")
    monkeypatch.setattr(rules, "SIGN_IN_RULE", similarity)


@pytest.mark.parametrize(
    ("settings", "level"),
    [
        ({}, logging.INFO),
        ({"threshold": 0.2}, logging.INFO),
        ({"contracts": ("face-api",), "face_login_challenge": "required"}, logging.INFO),
        ({"contracts": ("face-api",)}, None),
    ],
)
def test_the_log_names_the_threshold_of_signing_in_at_start(
    serve: Serve, caplog: pytest.LogCaptureFixture, settings: dict[str, Any], level: int | None
) -> None:
    caplog.set_level(logging.INFO, "facedex")
    served(serve, **settings)
    lines = [record for record in caplog.records if record.getMessage().startswith("faces sign in from")]
    assert [record.levelno for record in lines] == ([] if level is None else [level])
    assert all("fmr=1e-05" in record.getMessage() for record in lines)


def test_the_log_warns_where_the_pack_supports_no_rate_so_low(
    serve: Serve, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("facedex.gallery.decisions", "facedex.http.app"):
        monkeypatch.setattr(importlib.import_module(module), "SIGN_IN_RULE", FMR(1e-7))
    served(serve)
    (line,) = [record for record in caplog.records if record.getMessage().startswith("faces sign in from")]
    assert line.levelno == logging.WARNING
    assert "none as low as 1e-07" in line.getMessage()
