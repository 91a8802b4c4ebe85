"""The files of the page, without a browser: how they are served, and what they must not contain."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from facedex import http

WEB = Path(http.__file__).parent / "web"
FILES = sorted(path.name for path in WEB.iterdir())
BROWSER = {"Accept": "text/html,application/xhtml+xml"}


def test_the_page_is_at_the_root(client: TestClient) -> None:
    answer = client.get("/", headers=BROWSER)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert (policy["frame-ancestors"], policy["form-action"], policy["base-uri"]) == ("'none'", "'self'", "'none'")
    assert {"img-src", "media-src"} <= policy.keys()
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert client.get("/").content == answer.content
    assert client.head("/", headers=BROWSER).status_code == 200
    assert client.post("/").status_code == 405


def test_each_file_is_served_and_revalidated(client: TestClient) -> None:
    kinds = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
    assert len(FILES) > 15
    for name in FILES:
        answer = client.get(f"/web/{name}")
        assert (answer.status_code, answer.content) == (200, (WEB / name).read_bytes())
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["content-type"].startswith(kinds[Path(name).suffix])
        tag = answer.headers["etag"]
        again = client.get(f"/web/{name}", headers={"If-None-Match": f'"x", W/{tag}'})
        assert (again.status_code, again.content) == (304, b"")
        assert client.get(f"/web/{name}", headers={"If-None-Match": '"x"'}).status_code == 200


def test_nothing_else_is_served(client: TestClient) -> None:
    for name in ("nothing.js", "%2e%2e%2fapp.py", "..%2f..%2fapp.py", "index.html%00", ""):
        assert client.get(f"/web/{name}").status_code == 404


def test_unknown_paths_and_methods_are_unchanged(client: TestClient) -> None:
    assert client.post("/v1/nothing").status_code == 404
    assert client.get("/nothing", headers=BROWSER).json()["code"] == "not_found"
    assert client.put("/v1/people").status_code == 405
    assert "/web/{name}" not in client.get("/api/openapi.json").text


@pytest.mark.parametrize("name", FILES)
def test_no_file_contains_what_the_policy_forbids(name: str) -> None:
    text = (WEB / name).read_text()
    assert len(text.splitlines()) < 400
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|\son\w+=\"", text)
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=", text)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), "nothing comes from elsewhere"
