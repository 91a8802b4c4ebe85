"""The cache of keys and tokens: never stale, in each process and each kind of database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from facedex.server import Access, Principal
from facedex.server.access import AuthenticationCache
from facedex.store import Database

PASSWORD = "correct horse"


@pytest.fixture
def process(place: Any) -> Iterator[Callable[[], Access]]:
    """Open the database as one more process would."""
    opened: list[Access] = []

    def once_more() -> Access:
        opened.append(Access(Database(place.location)))
        return opened[-1]

    yield once_more
    for access in opened:
        access.close()


def is_file(access: Access) -> bool:
    return access.database.path is not None


def test_a_key_is_cached_until_another_process_revokes_it(process: Callable[[], Access]) -> None:
    here, there = process(), process()
    key, secret = there.keys.add("door", ["recognise"])
    assert here.cached_principal(secret) is None
    here.principal(secret)  # notes when the key was used last, which is a commit
    asked = here.principal(secret)
    assert asked is not None
    assert here.cached_principal(secret) == (asked if is_file(here) else None)
    there.keys.revoke(key.id)
    assert here.cached_principal(secret) is None
    assert here.principal(secret) is None
    assert here.cached_principal(secret) is None


def test_a_token_is_cached_until_it_ends_or_its_account_is_disabled(
    process: Callable[[], Access],
) -> None:
    here, there = process(), process()
    account = there.accounts.add(login="ayu", password=PASSWORD)
    signed_in = there.admit(account, "password")
    asked = here.principal(signed_in.secret)
    assert asked is not None
    assert asked.until == signed_in.token.expires_at
    assert here.cached_principal(signed_in.secret) == (asked if is_file(here) else None)
    there.tokens.revoke(signed_in.secret)
    assert here.cached_principal(signed_in.secret) is None

    again = there.admit(account, "password").secret
    here.principal(again)
    there.accounts.update(account.id, disabled=True)
    assert here.cached_principal(again) is None
    assert here.principal(again) is None


def test_a_cached_key_expires_on_time(process: Callable[[], Access], monkeypatch: pytest.MonkeyPatch) -> None:
    here = process()
    _, secret = here.keys.add("door", ["recognise"], expires_at=datetime.now(timezone.utc) + timedelta(seconds=30))
    here.principal(secret)
    asked = here.principal(secret)
    assert asked is not None
    assert (here.cached_principal(secret) is not None) == is_file(here)
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + 30)
    monkeypatch.setattr("facedex.server.access.time", clock)
    assert here.cached_principal(secret) is None


def test_that_keys_are_off_is_cached_until_another_process_makes_the_first(process: Callable[[], Access]) -> None:
    here, there = process(), process()
    assert not here.cached_no_credentials()
    assert not here.has_credentials()
    assert here.cached_no_credentials() == is_file(here)
    key, _ = there.keys.add("door", ["recognise"])
    assert not here.cached_no_credentials()
    assert here.has_credentials()
    assert not here.cached_no_credentials()
    there.keys.revoke(key.id)
    assert not here.has_credentials()
    assert here.cached_no_credentials() == is_file(here)


def test_a_result_from_before_a_commit_is_not_cached(process: Callable[[], Access]) -> None:
    here, there = process(), process()
    cache = AuthenticationCache(here.database)
    before = cache.data_version()
    there.keys.add("door", ["recognise"])
    cache.add(before, "who", Principal("key", "door", frozenset({"recognise"})))
    assert cache.find("who") is None


def test_invalid_secrets_are_not_cached_and_the_cache_is_bounded(process: Callable[[], Access]) -> None:
    here = process()
    for number in range(3000):
        here._cache.add(here._cache.data_version(), str(number), Principal("key", "door", frozenset({"recognise"})))
    assert len(here._cache._entries) <= 1024
    assert here.principal("fdk_nonsense") is None
    assert here.principal("fdt_" + "x" * 500) is None
    assert all("x" * 100 not in question for question in here._cache._entries)
    assert here.cached_principal("fdk_nonsense") is None


def test_a_deleted_or_closed_database_is_not_created_again(tmp_path: Path) -> None:
    location = tmp_path / "people.db"
    database = Database(location)
    location.unlink()
    assert database.data_version() is None
    assert not location.exists()
    database.close()
    again = Database(location)
    assert again.data_version() is not None
    again.close()
    assert again.data_version() is None
