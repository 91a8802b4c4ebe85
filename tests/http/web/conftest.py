"""A browser whose camera shows a bundled picture, and a page that records every error.

Without Chromium the tests skip and say so; ``FACEDEX_REQUIRE_BROWSER=1`` requires it. Screenshots are kept in
``screenshots/`` and the name of the test, below the folder of ``FACEDEX_ARTEFACTS`` or else of pytest's ``tmp_path``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from facedex import people

Served = Callable[..., Any]

ON_CAMERA = "ayu"
"""Who stands before the camera."""

DESKTOP = {"width": 1200, "height": 900}
PHONE = {"width": 360, "height": 740}

_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)
_TIMEOUT_MS = 20_000

_COUNTED = """(() => {
  const asked = window.fetch;
  window.facedexAsked = { under: 0, quiet: performance.now() };
  window.fetch = async (...given) => {
    facedexAsked.under += 1;
    try {
      return await asked(...given);
    } finally {
      facedexAsked.under -= 1;
      facedexAsked.quiet = performance.now();
    }
  };
})();"""
"""Counts the requests that are under way. Playwright's own "networkidle" is told once a navigation, not once a tab."""

_SETTLED = """() => facedexAsked.under === 0 && performance.now() - facedexAsked.quiet > 300
  && !document.querySelector("[aria-disabled=true]")
  && [...document.images].every((image) => image.complete || !image.checkVisibility() || image.loading === "lazy")"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium without a window."""
    place = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sync_playwright = None
    if place is None or sync_playwright is None:
        missing = "Chromium" if place is None else "playwright"
        remedy = "apt install chromium" if place is None else "pip install playwright"
        if os.environ.get("FACEDEX_REQUIRE_BROWSER") == "1":
            pytest.fail(f"FACEDEX_REQUIRE_BROWSER is 1 and {missing} is not there")
        pytest.skip(f"needs {missing}: {remedy}, then make test-all")
    film = tmp_path_factory.mktemp("camera") / "camera.mjpeg"
    film.write_bytes(people.PROBES[ON_CAMERA][0].read_bytes() * 2)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=place, args=[*_OPTIONS, f"--use-file-for-fake-video-capture={film}"]
        )
        yield opened
        opened.close()


@pytest.fixture
def served(server: Callable[..., Any]) -> Served:
    """A server with some people, who have photos where it keeps any."""

    def start(*options: str, who: tuple[str, ...] = ("budi", "citra"), **variables: str) -> Any:
        at = server(*options, **variables)
        for one in who:
            files = [("images", path.read_bytes()) for path in people.PICTURES[one][:2]]
            details = {"person_id": one, "name": one.title(), "email": f"{one}@example.org"}
            assert at.post("/v1/people", data=details, files=files).status_code == 201
        return at

    return start


@dataclass
class Visit:
    """An open page, and the errors on it.

    Attributes
    ----------
    page : playwright.sync_api.Page
    base : str
        Where the server is.
    folder : Path
        For screenshots.
    refused : set of int
        Statuses that this visit means to provoke.
    """

    page: Any
    base: str
    folder: Path
    refused: set[int] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.add_init_script(_COUNTED)
        self.page.on("request", self._asked)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrong.append(f"error of the page: {error}"))

    def open(self, part: str = "users") -> None:
        self.page.goto(f"{self.base}/#{part}", wait_until="load")

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name, exact=True).click()

    def shoot(self, name: str) -> None:
        self.page.screenshot(path=self.folder / f"{name}.png", full_page=True)

    def status(self) -> Any:
        return self.page.locator("#status")

    def panel(self, name: str) -> Any:
        return self.page.locator(f"#panel-{name}")

    def choose(self, part: Any, words: str, called: str) -> None:
        """Choose a person by typing."""
        part.get_by_role("combobox", name="Person").fill(words)
        part.get_by_role("option", name=called).click()

    def by_camera(self, part: Any) -> None:
        """Take a picture and use it; the countdown is waited for."""
        part.get_by_role("button", name="Open camera").click()
        part.get_by_role("button", name="Take picture").click()
        part.get_by_role("button", name="Use this picture").click()

    def settled(self) -> None:
        """Wait until the page has shown all responses, and has no pending request."""
        self.page.wait_for_function(_SETTLED)

    def _asked(self, request: Any) -> None:
        self.asked.append(f"{request.method} {request.url.removeprefix(self.base)}")
        if not request.url.startswith((f"{self.base}/", "blob:", "data:")):
            self.wrong.append(f"asked elsewhere: {request.url}")

    def _said(self, message: Any) -> None:
        if message.type not in ("error", "warning"):
            return
        if any(f"status of {status} " in message.text for status in self.refused):
            return
        self.wrong.append(f"{message.type}: {message.text}")


Go = Callable[..., Visit]


@pytest.fixture
def visit(browser: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Go]:
    """Open a page of a server; at the end nothing may have gone wrong on any of them."""
    kept = os.environ.get("FACEDEX_ARTEFACTS")
    folder = (Path(kept) if kept else tmp_path) / "screenshots" / request.node.name
    folder.mkdir(parents=True, exist_ok=True)
    visits: list[Visit] = []
    contexts: list[Any] = []

    def make(
        port: int, *, viewport: dict[str, int] = DESKTOP, refused: set[int] | None = None, **options: Any
    ) -> Visit:
        context = browser.new_context(viewport=viewport, **{"locale": "en-GB", **options})
        contexts.append(context)
        context.set_default_timeout(_TIMEOUT_MS)
        made = Visit(context.new_page(), f"http://127.0.0.1:{port}", folder, refused or set())
        made.watch()
        visits.append(made)
        return made

    yield make
    for number, one in enumerate(visits):
        if not one.page.is_closed():
            one.shoot(f"end-{number}")
    for context in contexts:
        context.close()
    print(f"screenshots are in {folder}")  # noqa: T201 - pytest shows it when the test fails, or with -s
    assert [said for one in visits for said in one.wrong] == []
