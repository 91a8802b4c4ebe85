"""Contract `face-re`, a test for each line of its table, as its old clients ask."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import requests
from PIL import Image

REGISTERED = {"message": "Face registered successfully"}


def register(server: Any, picture: Path, name: str = "Ayu") -> requests.Response:
    files = {"file": (picture.name, picture.read_bytes(), "image/jpeg")}
    answer: requests.Response = server.ask("POST", "/api/face/register", data={"name": name}, files=files)
    return answer


def recognise(server: Any, picture: Path | bytes) -> requests.Response:
    data = picture if isinstance(picture, bytes) else picture.read_bytes()
    answer: requests.Response = server.ask("POST", "/api/face/recognition", files={"file": ("a.jpg", data)})
    return answer


def test_register_and_recognise_with_curl(server: Any, ayu: list[Path], ayu_again: Path) -> None:
    said = server.curl("-X", "POST", "-F", "name=Ayu", "-F", f"file=@{ayu[0]}", "/api/face/register")
    assert json.loads(said) == REGISTERED
    found = json.loads(server.curl("-X", "POST", "-F", f"file=@{ayu_again}", "/api/face/recognition"))
    assert found.keys() == {"match", "name", "id_face", "score"}
    assert (found["match"], found["name"]) == (True, "Ayu")
    assert UUID(found["id_face"]).version == 4
    assert 0 < found["score"] < 1
    assert round(found["score"], 4) == found["score"]


def test_an_unknown_face_is_not_matched(server: Any, ayu: list[Path], budi: Path) -> None:
    empty = recognise(server, budi)
    assert (empty.status_code, empty.json()) == (200, {"match": False, "name": None, "id_face": None, "score": 0.0})
    register(server, ayu[0])
    said = recognise(server, budi)
    assert said.status_code == 200
    assert -1 <= said.json().pop("score") < 0.3
    assert {key: said.json()[key] for key in ("match", "name", "id_face")} == {
        "match": False,
        "name": None,
        "id_face": None,
    }


def test_bad_registrations_are_400(server: Any, ayu: list[Path], group: Path, landscape: bytes) -> None:
    webp = io.BytesIO()
    Image.open(ayu[0]).save(webp, "WEBP")
    for data, files in (
        ({"name": "Ayu"}, {"file": ("a.png", landscape)}),
        ({"name": "Ayu"}, {"file": ("a.jpg", group.read_bytes())}),
        ({"name": "Ayu"}, {"file": ("a.webp", webp.getvalue())}),
        ({"name": "Ayu"}, {"file": ("a.jpg", b"no picture")}),
        ({"name": "Ayu"}, {"file": ("a.jpg", b"")}),
        ({}, {"file": ("a.jpg", ayu[0].read_bytes())}),
        ({"name": "  "}, {"file": ("a.jpg", ayu[0].read_bytes())}),
        ({"name": "Ayu"}, None),
    ):
        answer = server.ask("POST", "/api/face/register", data=data, files=files)
        assert (answer.status_code, answer.json().keys()) == (400, {"message"}), answer.text
    assert server.ask("GET", "/api/face/").json() == []


def test_bad_pictures_to_recognise_are_400(server: Any, landscape: bytes) -> None:
    for picture in (landscape, b"no picture", b""):
        answer = recognise(server, picture)
        assert (answer.status_code, answer.json().keys()) == (400, {"message"})


def test_deleting(server: Any, ayu: list[Path], ayu_again: Path) -> None:
    register(server, ayu[0])
    id_face = recognise(server, ayu_again).json()["id_face"]
    answer = server.ask("DELETE", f"/api/face/recognition/{id_face}")
    assert answer.status_code == 200
    assert answer.json() == {"message": f"Face with ID {id_face} has been deleted successfully"}
    assert server.ask("DELETE", f"/api/face/recognition/{id_face}").status_code == 404
    assert recognise(server, ayu_again).json()["match"] is False


@pytest.mark.parametrize(
    ("id_face", "status"), [("3087f05a-dfce-46ca-8292-3d8f6629bed7", 404), ("7", 400), ("not-a-uuid", 400)]
)
def test_deleting_an_unknown_person(server: Any, id_face: str, status: int) -> None:
    answer = server.ask("DELETE", f"/api/face/recognition/{id_face}")
    assert (answer.status_code, answer.json().keys()) == (status, {"message"})


def test_everybody_is_listed_with_a_small_picture_in_pages(server: Any, ayu: list[Path], budi: Path) -> None:
    register(server, ayu[0])
    register(server, budi, "Budi")
    everybody = server.ask("GET", "/api/face/").json()
    assert [one["name"] for one in everybody] == ["Ayu", "Budi"]
    for one in everybody:
        assert one.keys() == {"id_face", "name", "image"}
        picture = Image.open(io.BytesIO(base64.b64decode(one["image"])))
        assert picture.format == "JPEG"
        assert max(picture.size) <= 224
    assert server.ask("GET", "/api/face/?limit=1").json() == everybody[:1]
    assert server.ask("GET", "/api/face/?limit=1&offset=1").json() == everybody[1:]
    assert server.ask("GET", "/api/face/?offset=2").json() == []
    for wrong in ("limit=0", "limit=x", "offset=-1"):
        assert server.ask("GET", f"/api/face/?{wrong}").status_code == 400


def test_the_list_is_streamed(server: Any, ayu: list[Path]) -> None:
    register(server, ayu[0])
    answer = server.ask("GET", "/api/face/", stream=True)
    assert "content-length" not in answer.headers
    assert answer.headers["content-type"] == "application/json"
    assert next(answer.iter_content(1)) == b"["


def test_a_person_without_a_uuid_gets_a_stable_one(server: Any, ayu: list[Path], ayu_again: Path) -> None:
    data = {"nik": "12345", "nama": "AYU"}
    assert server.ask("POST", "/upload/", data=data, files={"files": ayu[0].read_bytes()}).status_code == 200
    id_face = recognise(server, ayu_again).json()["id_face"]
    assert UUID(id_face).version == 4
    assert [one["id_face"] for one in server.ask("GET", "/api/face/").json()] == [id_face]
    assert server.ask("DELETE", f"/api/face/recognition/{id_face}").status_code == 200
    assert server.ask("GET", "/api/users").json() == []
