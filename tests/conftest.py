"""Fixtures and the rule for ``shared``: without the data these tests skip and say so; in CI they must run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from facedex.engine import Engine

SHARED = Path(os.environ.get("FACEDEX_SHARED", Path(__file__).parents[2] / "shared")) / "assets"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if SHARED.is_dir():
        return
    if os.environ.get("FACEDEX_REQUIRE_SHARED") == "1":
        raise pytest.UsageError(f"FACEDEX_REQUIRE_SHARED is 1 and {SHARED} is not there")
    reason = "needs the test pictures and networks beside the checkout (FACEDEX_SHARED)"
    for item in items:
        if "shared" in item.keywords:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared test data; use with the mark ``shared``."""
    return SHARED


@pytest.fixture(scope="session")
def engine() -> Engine:
    """One engine of the built-in pack for all tests that only ask it questions."""
    return Engine()
