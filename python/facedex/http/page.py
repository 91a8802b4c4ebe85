"""The page: the files of ``web/``, at ``/`` and ``/web/``. They are as installed; there is no build step.

A browser gets the page at ``/`` even where a contract answers other clients there. Each file has an ETag of its
content and is asked for again each time, so that after an update nobody works with an old script.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI, HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

_FOLDER = Path(__file__).parent / "web"
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_INDEX = "index.html"


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    kind: str
    etag: str

    def answer(self, request: Request) -> Response:
        headers = {"ETag": self.etag, "Cache-Control": "no-cache"}
        known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
        if self.etag in known:
            return Response(status_code=304, headers=headers)
        return Response(self.content, media_type=self.kind, headers=headers)


class _ForBrowsers(Route):
    """A route for those who ask for a page; programs, which do not, are left to the routes after it."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        accepted = b",".join(value for name, value in scope.get("headers", ()) if name == b"accept")
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD") or b"text/html" not in accepted.lower():
            return Match.NONE, {}
        return super().matches(scope)


def add_front(app: FastAPI) -> None:
    """Give browsers the page at ``/``; to be called before the contracts are mounted, one of which has that path."""
    files = _files()

    async def front(request: Request) -> Response:
        return files[_INDEX].answer(request)

    app.router.routes.append(_ForBrowsers("/", front, include_in_schema=False))


def add_page(app: FastAPI) -> None:
    """Give everybody else the page at ``/`` where nothing else is, and its files."""
    files = _files()

    @app.get("/", include_in_schema=False)
    async def front(request: Request) -> Response:
        return files[_INDEX].answer(request)

    @app.get("/web/{name}", include_in_schema=False)
    async def file(request: Request, name: str) -> Response:
        if name not in files:
            raise HTTPException(404, f"the page has no file {name[:40]!r}")
        return files[name].answer(request)


def _files() -> dict[str, _File]:
    found = {}
    for path in sorted(_FOLDER.iterdir()):
        if path.suffix in _KINDS:
            content = path.read_bytes()
            found[path.name] = _File(content, _KINDS[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')
    return found
