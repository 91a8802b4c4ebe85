"""A clock that is set back: waits are as long as documented, and nothing is valid for longer than documented."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from facedex.errors import AttemptsError, RepeatedNowError, SignInError
from facedex.server import Access, Lockout, Passwords, StoredResponse
from facedex.server.jobs import Jobs
from facedex.store import Database
from facedex.store.clock import now as real_now

DAY = timedelta(days=1)
READERS = ("server.attempts", "server.tokens", "server.idempotency", "server.access", "server.jobs")
Advance = Callable[[timedelta], None]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Advance:
    """Replace the clock everywhere; return a function that moves it."""
    offset = [timedelta(0)]

    def move(by: timedelta) -> None:
        offset[0] += by

    def now() -> datetime:
        return real_now() + offset[0]

    for module in READERS:
        monkeypatch.setattr(f"facedex.{module}.now", now)
    return move


@pytest.fixture
def access(tmp_path: Path) -> Iterator[Access]:
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    made = Access(Database(tmp_path / "people.db"), ttl_s=3600, lockout=Lockout(after=3), passwords=Passwords(hasher))
    made.accounts.add(email="ayu@example.org", password="correct horse", scopes=["read"])
    yield made
    made.close()


def sign_in(access: Access, password: str = "correct horse", address: str = "192.0.2.1") -> str:
    return access.sign_in("ayu@example.org", password, address=address).secret


def wait_of(access: Access, **given: str) -> int:
    with pytest.raises(AttemptsError) as told:
        sign_in(access, **given)
    return told.value.retry_after_s


def test_an_account_waits_no_longer_than_documented(access: Access, clock: Advance) -> None:
    for _ in range(3):
        with pytest.raises(SignInError):
            sign_in(access, "wrong")
    assert wait_of(access) == 1
    clock(-DAY)
    assert wait_of(access) <= 1
    clock(timedelta(seconds=1.1))
    assert sign_in(access)


def test_an_address_waits_no_longer_than_documented(access: Access, clock: Advance) -> None:
    for number in range(12):
        with pytest.raises(SignInError):
            access.sign_in(f"nobody{number}@example.org", "wrong", address="192.0.2.1")
    longest = 900 / 12
    assert wait_of(access) <= longest
    clock(-DAY)
    assert wait_of(access) <= longest
    clock(timedelta(seconds=longest + 0.1))
    assert sign_in(access)


def test_the_count_of_requests_restarts_each_minute(access: Access, clock: Advance) -> None:
    for _ in range(5):
        access.attempts.count_request("192.0.2.1", 5)
    clock(-DAY)
    for _ in range(5):
        access.attempts.count_request("192.0.2.1", 5)
    with pytest.raises(AttemptsError) as told:
        access.attempts.count_request("192.0.2.1", 5)
    assert told.value.retry_after_s <= 60


def test_a_sign_in_lasts_no_longer_than_documented(access: Access, clock: Advance) -> None:
    secret = sign_in(access)
    assert access.principal(secret) is not None
    clock(timedelta(seconds=-20))  # as the clocks of two machines differ
    assert access.principal(secret) is not None
    clock(-DAY)
    assert access.principal(secret) is None
    assert access.principal(sign_in(access)) is not None


def test_lookups_are_cached_no_longer_than_documented(
    access: Access, clock: Advance, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, secret = access.keys.add("desk", ["read"])
    monotonic = [1000.0]
    monkeypatch.setattr("facedex.server.access.time.monotonic", lambda: monotonic[0])
    access.principal(secret)
    access.principal(secret)
    assert access.cached_principal(secret) is not None
    clock(-DAY)
    monotonic[0] += 61
    assert access.cached_principal(secret) is None


def test_a_stored_response_and_a_job_from_the_future_have_expired(access: Access, clock: Advance) -> None:
    assert access.idempotency.begin("key 1 POST /x", "digest") is None
    with pytest.raises(RepeatedNowError):
        access.idempotency.begin("key 1 POST /x", "digest")
    access.idempotency.complete("key 1 POST /x", StoredResponse(201, "application/json", b"{}", {}))
    clock(-DAY)
    assert access.idempotency.begin("key 1 POST /x", "digest") is None
    jobs, go = Jobs(access.database), threading.Event()
    clock(DAY)
    job = jobs.begin("check", "default", lambda progress: {"ended": go.wait(20)}, actor="test")
    clock(-DAY)
    assert jobs.one(job.id).state == "lost", "until it says again that it runs"
    go.set()
    jobs.close()
