"""Lists of all people are read in pages and returned completely."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from facedex import Gallery
from facedex.gallery.lookup import Lookup
from facedex.http.contracts.listing import PAGE_SIZE

NAMES = ["Ayu", "Budi", "Citra", "Dewi", "Eko"]


@pytest.fixture
def client(serve: Any, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """A server with five people, of whom it gets at most two at a time."""
    client: TestClient = serve(contracts=("flask-face", "face-re", "face-api"))
    for name in NAMES:
        assert client.post("/v1/people", json={"person_id": name.lower(), "name": name}).status_code == 201
    people_after = Lookup.people_after

    def two(lookup: Lookup, number: int = 0, *, limit: int = 100) -> Any:
        assert limit <= PAGE_SIZE
        return people_after(lookup, number, limit=min(limit, 2))

    def all_at_once(gallery: Gallery) -> Any:
        raise AssertionError("everybody is held in memory")

    monkeypatch.setattr(Lookup, "people_after", two)
    monkeypatch.setattr(Gallery, "people", all_at_once)
    return client


def test_users_are_streamed(client: TestClient) -> None:
    answer = client.get("/api/users")
    assert [user["name"] for user in answer.json()] == NAMES
    assert answer.headers["content-type"] == "application/json"
    assert "content-length" not in answer.headers
    assert client.get("/api/users", headers={"X-Fields": "name"}).json() == [{"name": name} for name in NAMES]
    refused = client.get("/api/users", headers={"X-Fields": "name{"})
    assert (refused.status_code, refused.json().keys()) == (400, {"message"})


def test_without_people_the_lists_are_empty(serve: Any) -> None:
    client = serve(contracts=("flask-face",))
    assert client.get("/api/users").json() == []
    assert client.get("/api/users", headers={"X-Fields": "name"}).json() == []


@pytest.mark.parametrize(
    ("asked", "names", "total"),
    [
        ({}, NAMES, 5),
        ({"page_size": 2}, NAMES[:2], 5),
        ({"page_size": 2, "page": 3}, NAMES[4:], 5),
        ({"page_size": 2, "page": 9}, [], 5),
        ({"query": "I"}, ["Budi", "Citra", "Dewi"], 3),
        ({"query": "i", "page_size": 2, "page": 2}, ["Dewi"], 3),
        ({"query": "nobody"}, [], 0),
    ],
)
def test_nguoi_are_paged(client: TestClient, asked: dict[str, Any], names: list[str], total: int) -> None:
    said = client.get("/api/list_nguoi", params=asked).json()
    assert ([one["name"] for one in said["nguoi"]], said["total"]) == (names, total)
    assert said["total_pages"] == -(-total // asked.get("page_size", 20))


@pytest.mark.parametrize(
    ("asked", "names"),
    [({}, NAMES), ({"limit": 3}, NAMES[:3]), ({"offset": 3}, NAMES[3:]), ({"limit": 1, "offset": 2}, ["Citra"])],
)
def test_faces_are_paged(client: TestClient, asked: dict[str, Any], names: list[str]) -> None:
    assert [one["name"] for one in client.get("/api/face/", params=asked).json()] == names


def test_the_build_counts_every_user(client: TestClient) -> None:
    said = client.get("/api/training/status").json()["data"]
    assert (said["num_classes"], said["total_faces"]) == (0, 0)
