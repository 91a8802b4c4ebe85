"""Malicious content in a gallery, stored by an import or by an older version, is never executed by a browser."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from facedex import people
from facedex.store import Database
from facedex.store.photos import photo_checksum
from facedex.store.tables import people as people_table
from facedex.store.tables import photos as photos_table

AYU = people.PROBES["ayu"][0].read_bytes()
PAGE = b"<!doctype html><script>alert(1)</script>"


def stored(tmp_path: Path, media_type: str, content: bytes) -> None:
    """Store a photo with a wrong type, as older versions did."""
    database = Database(tmp_path / "people.db")
    with database.write() as connection:
        row = connection.execute(sa.select(people_table.c.id)).scalar_one()
        about: dict[str, Any] = {"person_row": row, "rendition": "thumbnail", "media_type": media_type}
        about |= {"width": 1, "height": 1, "filename": "../a\r\nX: <b>.jpg", "created_at": datetime.now(timezone.utc)}
        about |= {"content": content, "checksum": photo_checksum(1, row, content)}
        connection.execute(photos_table.insert().values(about))
    database.close()


@pytest.mark.parametrize("media_type", ["text/html", "image/svg+xml", "image/png\r\nSet-Cookie: a=b"])
@pytest.mark.parametrize("content", [PAGE, AYU], ids=["page", "picture"])
def test_a_photo_is_served_with_its_detected_type_or_not_at_all(
    serve: Any, media_type: str, content: bytes, tmp_path: Path
) -> None:
    client = serve(contracts="face-re")
    client.post("/v1/people", json={"person_id": "ayu", "name": "Ayu"})
    stored(tmp_path, media_type, content)
    (listed,) = client.get("/v1/people/ayu/photos").json()
    assert (listed["media_type"], listed["filename"]) == ("application/octet-stream", "aX: <b>.jpg")
    answer = client.get("/v1/photos/1/image")
    assert "set-cookie" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"
    if content is AYU:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.content == content
    else:
        assert (answer.status_code, answer.headers["content-type"]) == (415, "application/problem+json")
        assert PAGE not in answer.content


def test_a_malicious_import_stores_nothing_that_a_browser_runs(serve: Any, tmp_path: Path) -> None:
    client: TestClient = serve(photos="thumbnail")
    client.post("/v1/people", data={"person_id": "ayu"}, files={"images": people.PICTURES["ayu"][0].read_bytes()})
    written = tmp_path / "people.fdx"
    client.app.state.facedex.galleries.use("default", lambda gallery: _export(gallery, written))  # type: ignore[attr-defined]
    for media_type in ("text/html", "text/javascript", "image/svg+xml", "a\r\nb: c"):
        job = client.post("/v1/index/import?on_existing=replace", content=_lying(written, media_type, PAGE))
        assert _ended(client, job.json())["state"] == "failed", media_type
    job = client.post(
        "/v1/index/import?on_existing=replace", content=_lying(written, "image/jpeg", b"\xff\xd8\xff" + PAGE)
    )
    ended = _ended(client, job.json())
    assert (ended["state"], ended["answer"]["people"]) == ("done", 0)
    assert [one["code"] for one in ended["answer"]["rejected"]] == ["image_truncated"]
    (photo,) = client.get("/v1/people/ayu/photos").json()
    assert client.get(f"/v1/photos/{photo['photo_id']}/image").headers["content-type"] == "image/jpeg"


def _export(gallery: Any, path: Path) -> None:
    from facedex import transfer

    transfer.export_to(gallery, path)


def _lying(path: Path, media_type: str, content: bytes) -> bytes:
    """Replace a photo in a gallery file, and correct its digest."""
    held = [json.loads(line) for line in path.read_text("ascii").splitlines()]
    photo = next(line for line in held if line["kind"] == "photo")
    photo.update(media_type=media_type, content=base64.b64encode(content).decode())
    body = b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in held[:-1])
    end = held[-1] | {"sha256": hashlib.sha256(body).hexdigest()}
    return body + json.dumps(end, separators=(",", ":")).encode() + b"\n"


def _ended(client: TestClient, job: dict[str, Any]) -> Any:
    for _ in range(100):
        found = client.get(f"/v1/jobs/{job['id']}").json()
        if found["state"] not in ("queued", "running"):
            return found
        time.sleep(0.05)
    raise AssertionError(found)
