"""A contract never gives a caller more than the scopes of the caller."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from facedex import people
from facedex.server import Access

PASSWORD = "correct horse battery"


@pytest.fixture
def client(serve: Callable[..., TestClient]) -> TestClient:
    """A server of the contract with users, where a face signs in."""
    return serve(contracts=("flask-face",), face_login_liveness="off")


@pytest.fixture
def chief(client: TestClient) -> int:
    """The number of a person with an administrator account."""
    access = _access(client)
    registered = client.post("/v1/people", json={"person_id": "chief", "name": "Chief"})
    assert registered.status_code == 201, registered.text
    access.accounts.add(
        email="chief@example.org", name="Chief", password=PASSWORD, person_key="chief", scopes=("admin",)
    )
    return 1


def _access(client: TestClient) -> Access:
    access: Access = client.app.state.facedex.access  # type: ignore[attr-defined]
    return access


@pytest.mark.parametrize("change", [{"password": "stolen password"}, {"email": "thief@example.org"}, {"name": "Thief"}])
def test_the_enrol_scope_cannot_change_an_administrator_account(
    client: TestClient, chief: int, keys: dict[str, dict[str, str]], change: dict[str, str]
) -> None:
    before = _access(client).accounts.page()
    refused = client.put(f"/api/users/{chief}", json=change, headers=keys["enrol"])
    assert refused.status_code == 403
    assert "may not change an account that may admin" in refused.json()["message"]
    assert _access(client).accounts.page() == before
    login = {"email": "chief@example.org", "password": PASSWORD}
    assert client.post("/api/auth/login-pass-verify", json=login).status_code == 200
    assert client.put(f"/api/users/{chief}", json=change, headers=keys["admin"]).status_code == 200


def test_the_enrol_scope_changes_client_accounts(client: TestClient, keys: dict[str, dict[str, str]]) -> None:
    user = client.post("/api/users", json={"name": "Ayu", "email": "ayu@example.org"}, headers=keys["enrol"]).json()
    changed = client.put(f"/api/users/{user['id']}", json={"password": PASSWORD}, headers=keys["enrol"])
    assert changed.status_code == 200, changed.text
    login = {"email": "ayu@example.org", "password": PASSWORD}
    assert client.post("/api/auth/login-pass-verify", json=login).status_code == 200


def test_a_face_does_not_sign_in_an_administrator(
    client: TestClient, chief: int, keys: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    picture, probe = people.PICTURES["ayu"][0].read_bytes(), people.PROBES["ayu"][0].read_bytes()
    added = client.post("/v1/people/chief/faces", files={"image": picture}, headers=keys["enrol"])
    assert added.status_code == 201, added.text
    for path, claim in (("login-face", {}), ("login-face-verify", {"user_id": str(chief)})):
        answer = client.post(f"/api/auth/{path}", data=claim, files={"file": ("a.jpg", probe)})
        assert answer.status_code == 403, answer.text
        assert "token" not in answer.text
    account = _access(client).accounts.find("chief@example.org")
    assert account is not None
    assert _access(client).tokens.active(account.id) == []


@pytest.mark.parametrize("named", [{}, {"gallery": "default"}])
def test_a_stored_response_is_deleted_with_the_person_in_every_contract(
    client: TestClient, named: dict[str, str]
) -> None:
    once = {"Idempotency-Key": "a-1"}
    body = {"person_id": "ayu", "name": "Ayu"}
    assert client.post("/v1/people", params=named, json=body, headers=once).status_code == 201
    assert client.delete("/api/users/1").status_code == 200
    again = client.post("/v1/people", params=named, json=body, headers=once)
    assert again.status_code == 201
    assert "idempotency-replayed" not in again.headers
    assert client.delete("/v1/people/ayu").status_code == 200
    third = client.post("/v1/people", params=named, json=body, headers=once)
    assert (third.status_code, third.headers.get("idempotency-replayed")) == (201, None)
    assert client.get("/v1/people/ayu").status_code == 200
