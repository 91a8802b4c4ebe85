"""Fixtures, and the rule for missing requirements: tests skip with the reason; in CI they must run.

``FACEDEX_REQUIRE_SHARED=1`` requires the data of the mark ``shared``, ``FACEDEX_REQUIRE_SERVERS=1`` the servers.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from place import KINDS, Place, Servers, new_place
from servers import MissingError

from facedex.engine import Engine

# How long an example takes says nothing on a machine that has other work to do.
hypothesis_settings.register_profile("facedex", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("facedex")

SHARED = Path(os.environ.get("FACEDEX_SHARED", Path(__file__).parents[2] / "shared")) / "assets"


@pytest.hookimpl(tryfirst=True)  # before the marks are selected
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that need a database server as slow; skip tests whose shared data are missing."""
    reason = f"needs the test data that FACEDEX_SHARED names, or {SHARED.parent}; then make test-all"
    if not SHARED.is_dir() and os.environ.get("FACEDEX_REQUIRE_SHARED") == "1":
        raise pytest.UsageError(f"FACEDEX_REQUIRE_SHARED is 1 and {SHARED} is not there")
    for item in items:
        if _needs_server(item):
            item.add_marker(pytest.mark.slow)
        if "shared" in item.keywords and not SHARED.is_dir():
            item.add_marker(pytest.mark.skip(reason=reason))


def _needs_server(item: pytest.Item) -> bool:
    """Return whether a test runs on another database than SQLite, or searches in another process."""
    callspec = getattr(item, "callspec", None)
    params = {} if callspec is None else callspec.params
    named = (str(params[name]).split()[0] for name in ("place", "empty_place", "backend") if name in params)
    return any(name not in ("sqlite", "local") for name in named)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared test data; use with the mark ``shared``."""
    return SHARED


@pytest.fixture(scope="session")
def engine() -> Engine:
    """One engine of the built-in pack for all tests that do not change it."""
    return Engine()


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The database servers that this machine has."""
    running = Servers()
    yield running
    running.close()


@pytest.fixture(params=list(KINDS))
def place(
    request: pytest.FixtureRequest, servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    """A place for a gallery in SQLite, PostgreSQL and MariaDB in turn; parametrize it indirectly for some of them."""
    monkeypatch.setenv("FACEDEX_HOME", str(tmp_path / "home"))
    with _there(request.param, servers, tmp_path, tables=True) as place:
        yield place


@pytest.fixture(params=list(KINDS))
def empty_place(
    request: pytest.FixtureRequest, servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    """The same without tables: the migrations are run in it."""
    monkeypatch.setenv("FACEDEX_HOME", str(tmp_path / "home"))
    with _there(request.param, servers, tmp_path, tables=False) as place:
        yield place


@contextlib.contextmanager
def _there(kind: str, servers: Servers, folder: Path, *, tables: bool) -> Iterator[Place]:
    try:
        with new_place(kind, servers, folder, tables=tables) as place:
            yield place
    except MissingError as missing:
        if os.environ.get("FACEDEX_REQUIRE_SERVERS") == "1":
            pytest.fail(f"FACEDEX_REQUIRE_SERVERS is 1: {missing}")
        pytest.skip(str(missing))
