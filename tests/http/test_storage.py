"""A server whose database is locked by another program: reads are served at once, and readiness reports it."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from facedex import people

PROBE = people.PROBES["ayu"][0]


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_reads_with_a_key_do_not_wait_for_a_writer(
    peopled: TestClient, keys: dict[str, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facedex.store.database._STORAGE_CACHED_S", 0)
    ready = peopled.get("/v1/health/ready")
    assert (ready.status_code, ready.json()) == (200, {"status": "ok", "storage": "ok"})
    with held(tmp_path / "people.db"):
        began = time.monotonic()
        listed = peopled.get("/v1/people", headers=keys["read"])
        assert (listed.status_code, len(listed.json()["items"])) == (200, 2)
        found = peopled.post("/v1/recognize", files={"image": PROBE.read_bytes()}, headers=keys["recognise"])
        assert found.status_code == 200, found.text
        assert time.monotonic() - began < 9  # a writer would have been waited for five seconds, twice
        ready = peopled.get("/v1/health/ready")
        assert (ready.status_code, ready.json()) == (200, {"status": "degraded", "storage": "locked"})
    assert peopled.get("/v1/health/ready").json()["storage"] == "ok"


def test_while_the_database_is_locked_requests_are_counted_in_memory(serve: Any, tmp_path: Path) -> None:
    client = serve(db=f"sqlite:///{tmp_path / 'people.db'}?timeout=1", rate_per_minute=4)
    for _ in range(2):
        assert client.get("/v1/people").status_code == 200
    with held(tmp_path / "people.db"):
        began = time.monotonic()
        assert [client.get("/v1/people").status_code for _ in range(5)] == [200] * 4 + [429]
        assert time.monotonic() - began < 4  # one wait for the lock, not one for each


@pytest.mark.parametrize("signed", [False, True])
def test_the_audit_is_checked_with_a_key(client: TestClient, monkeypatch: pytest.MonkeyPatch, signed: bool) -> None:
    client.post("/v1/people", data={"person_id": "ayu"}, files={"images": people.PICTURES["ayu"][0].read_bytes()})
    answer = client.get("/v1/audit", params={"require_signature": signed})
    report: dict[str, Any] = answer.json()
    if signed:
        assert answer.status_code == 422
        assert "FACEDEX_AUDIT_KEY" in report["detail"]
    else:
        assert (report["intact"], report["signed"]) == (True, None)
