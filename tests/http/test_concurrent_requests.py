"""Concurrent changes between two steps of a sign-in or of the creation of an account."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient

from facedex import Gallery, people
from facedex.engine import Engine
from facedex.errors import SignInError, UnauthenticatedError, UnknownPersonError
from facedex.http.contracts.flask_face import auth
from facedex.server import Access, Passwords, tokens
from facedex.server import accounts as accounts_module
from facedex.server.accounts import Account
from facedex.store import Database

OLD, NEW = "correct horse", "battery staple"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
DEARER = PasswordHasher(time_cost=2, memory_cost=8, parallelism=1)
AYU, PROBE = people.PICTURES["ayu"][0].read_bytes(), people.PROBES["ayu"][0].read_bytes()


class Slow(Passwords):
    """Passwords that run a callback once during hashing or checking."""

    def __init__(self, hasher: PasswordHasher = CHEAP) -> None:
        super().__init__(hasher)
        self.while_hashing: list[Callable[[], Any]] = []
        self.while_checking: list[Callable[[], Any]] = []

    def hash(self, password: str) -> str:
        made = super().hash(password)
        while self.while_hashing:
            self.while_hashing.pop()()
        return made

    def verify(self, hashed: str | None, password: str) -> bool:
        agreed = super().verify(hashed, password)
        while self.while_checking:
            self.while_checking.pop()()
        return agreed


@pytest.fixture
def process(place: Any) -> Iterator[Callable[..., Access]]:
    """Open the database as one more process would."""
    opened: list[Access] = []

    def once_more(passwords: Passwords | None = None) -> Access:
        opened.append(Access(Database(place.location), passwords=passwords or Passwords(CHEAP)))
        return opened[-1]

    yield once_more
    for access in opened:
        access.close()


@pytest.fixture
def gallery(place: Any, engine: Engine) -> Iterator[Gallery]:
    with Gallery.open(place.location, engine=engine) as opened:
        opened.create("ayu")
        yield opened


class Before:
    """Starts a concurrent change after a transaction has stored a row; it must wait for the commit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: Any, other: Callable[[], Any]) -> None:
        self._original, self._other = module.insert, other
        self._ended, self.waited = threading.Event(), False
        self._thread = threading.Thread(target=self._run)
        monkeypatch.setattr(module, "insert", self._insert)

    def _run(self) -> None:
        try:
            self._other()
        finally:
            self._ended.set()

    def _insert(self, *given: Any) -> int:
        number: int = self._original(*given)
        self._thread.start()
        self.waited = not self._ended.wait(0.5)
        return number

    def join(self) -> None:
        self._thread.join(30)
        assert self._ended.is_set()


# Making an account.


def test_a_person_deleted_while_the_password_is_hashed_gets_no_account(
    process: Callable[..., Access], gallery: Gallery
) -> None:
    slow = Slow()
    accounts = process(slow).accounts
    slow.while_hashing.append(lambda: gallery.delete("ayu"))
    with pytest.raises(UnknownPersonError, match="'ayu'"):
        accounts.add(login="ayu", password=OLD, person_key="ayu")
    assert accounts.page() == []


def test_a_deleted_person_is_not_linked_with_an_account(process: Callable[..., Access], gallery: Gallery) -> None:
    slow = Slow()
    accounts = process(slow).accounts
    made = accounts.add(login="ayu")
    slow.while_hashing.append(lambda: gallery.delete("ayu"))
    with pytest.raises(UnknownPersonError, match="'ayu'"):
        accounts.update(made.id, password=OLD, person_key="ayu")
    assert accounts.page() == [made]


def test_a_deletion_waits_for_an_account_that_is_being_created(
    process: Callable[..., Access], gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = process().accounts
    deletion = Before(monkeypatch, accounts_module, lambda: gallery.delete("ayu"))
    monkeypatch.setattr(accounts_module, "log_event", lambda *given: deletion.join())  # it ends before `add` does
    assert accounts.add(login="ayu", person_key="ayu").login == "ayu"
    assert deletion.waited
    assert accounts.page() == []


@pytest.mark.parametrize("had_account", [False, True])
def test_a_person_deleted_during_a_face_sign_in_is_not_signed_in(
    serve: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch, had_account: bool
) -> None:
    client = serve(contracts=("flask-face",), face_login_liveness="off")
    assert client.post("/v1/people", data={"person_id": "ayu"}, files={"image": AYU}).status_code == 201
    accounts = client.app.state.facedex.access.accounts  # type: ignore[attr-defined]
    if had_account:
        accounts.add(login="ayu", person_key="ayu")
    look = auth.account_of

    def look_and_delete(*given: Any) -> Account | None:
        found = look(*given)
        assert client.delete("/v1/people/ayu").status_code == 200
        return found

    monkeypatch.setattr(auth, "account_of", look_and_delete)
    answer = client.post("/api/auth/login-face", files={"file": ("a.jpg", PROBE)})
    assert (answer.status_code, answer.json()["status"]) == (401, "error")
    assert accounts.page() == []


# Signing in.


@pytest.mark.parametrize("change", [{"password": NEW}, {"disabled": True}, {"scopes": ["admin"]}, None])
def test_a_sign_in_fails_when_its_account_changes_while_the_password_is_checked(
    process: Callable[..., Access], change: dict[str, Any] | None
) -> None:
    slow = Slow()
    here, there = process(slow), process().accounts
    made = here.accounts.add(login="ayu", password=OLD)
    slow.while_checking.append(lambda: there.delete(made.id) if change is None else there.update(made.id, **change))
    with pytest.raises(SignInError, match="wrong login or password"):
        here.sign_in("ayu", OLD, address="")
    assert here.tokens.active(made.id) == []


def test_a_new_password_ends_a_sign_in_that_is_being_stored(
    process: Callable[..., Access], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = process(), process()
    made = here.accounts.add(login="ayu", password=OLD)
    change = Before(monkeypatch, tokens, lambda: there.accounts.update(made.id, password=NEW))
    signed = here.sign_in("ayu", OLD, address="")
    change.join()
    assert change.waited
    assert here.principal(signed.secret) is None


def test_a_token_needs_an_account(process: Callable[..., Access]) -> None:
    access = process()
    made = access.accounts.add(login="ayu")
    access.accounts.delete(made.id)
    with pytest.raises(UnauthenticatedError):
        access.admit(made, "face")


def test_renewing_a_hash_never_restores_the_old_password(process: Callable[..., Access]) -> None:
    slow = Slow(DEARER)
    here, there = process(slow), process(Passwords(DEARER)).accounts
    made = process().accounts.add(login="ayu", password=OLD)
    slow.while_hashing.append(lambda: there.update(made.id, password=NEW))
    with pytest.raises(SignInError):
        here.sign_in("ayu", OLD, address="")
    assert there.verify("ayu", OLD) is None
    found = there.verify("ayu", NEW)
    assert found is not None
    assert found[0] == made


def test_a_renewed_hash_signs_in(process: Callable[..., Access]) -> None:
    made = process().accounts.add(login="ayu", password=OLD)
    here = process(Passwords(DEARER))
    for _ in range(2):
        assert here.sign_in("ayu", OLD, address="").account == made
    found = process(Passwords(DEARER)).accounts.verify("ayu", OLD)
    assert found is not None
    assert found[0] == made


def test_a_token_is_invalid_when_its_account_is_deleted_during_the_lookup(
    process: Callable[..., Access], monkeypatch: pytest.MonkeyPatch
) -> None:
    access = process()
    made = access.accounts.add(login="ayu", password=OLD)
    secret = access.sign_in("ayu", OLD, address="").secret
    look = access.tokens.one

    def look_and_delete(shown: str) -> Any:
        found = look(shown)
        access.accounts.delete(made.id)
        return found

    monkeypatch.setattr(access.tokens, "one", look_and_delete)
    assert access.principal(secret) is None
