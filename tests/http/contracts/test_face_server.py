"""Contract `face-server`, a test for each line of its table, as its old clients ask."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

FACES_A_USER = 3  # of the server's .env


def photo(picture: Path | bytes, *, url: bool = True) -> str:
    data = picture if isinstance(picture, bytes) else picture.read_bytes()
    return ("data:image/jpeg;base64," if url else "") + base64.b64encode(data).decode()


def register(server: Any, user_id: object, picture: Path | bytes) -> requests.Response:
    answer: requests.Response = server.ask("POST", "/register-face", json={"user_id": user_id, "photo": photo(picture)})
    return answer


def test_register_and_recognise_with_curl(server: Any, ayu: list[Path], ayu_again: Path, tmp_path: Path) -> None:
    bodies = {
        "register-face": {"user_id": 123, "photo": photo(ayu[0])},
        "recognize": {"photo": photo(ayu_again, url=False)},
    }
    said = {}
    for path, body in bodies.items():
        (tmp_path / path).write_text(json.dumps(body))
        given = ("-H", "Content-Type: application/json", "-d", f"@{tmp_path / path}")
        said[path] = json.loads(server.curl("-X", "POST", *given, f"/{path}"))
    registered, recognised = said["register-face"], said["recognize"]
    assert registered.pop("registered_at")
    assert registered == {"success": True, "message": "Face registered successfully", "user_id": 123}
    assert recognised.pop("recognized_at")
    assert 0.4 < recognised.pop("confidence") < 1
    assert recognised == {"success": True, "message": "Face recognized successfully", "user_id": 123}


@pytest.mark.parametrize("user_id", [123, "123", "E-0042", 0])
def test_a_user_id_comes_back_with_its_type(server: Any, ayu: list[Path], ayu_again: Path, user_id: object) -> None:
    answer = register(server, user_id, ayu[0]).json()
    assert answer["user_id"] == user_id
    assert type(answer["user_id"]) is type(user_id)
    found = server.ask("POST", "/recognize", json={"photo": photo(ayu_again)}).json()
    assert found["user_id"] == user_id
    assert type(found["user_id"]) is type(user_id)


def test_an_unknown_face_is_not_recognised(server: Any, ayu: list[Path], budi: Path) -> None:
    nobody = {"success": False, "message": "Face not recognized", "user_id": "unknown", "confidence": 0.0}
    for _ in range(2):  # with nobody registered, and with somebody
        answer = server.ask("POST", "/recognize", json={"photo": photo(budi)})
        assert (answer.status_code, answer.json()) == (200, nobody)
        register(server, 1, ayu[0])


def test_bad_photos_are_400(server: Any, group: Path, landscape: bytes) -> None:
    for picture, words in (
        (landscape, "No face detected in image"),
        (group, "More than one face detected in image"),
        (b"text", "not base64 of an image"),
    ):
        answer = register(server, 1, picture)
        assert (answer.status_code, answer.json()["success"]) == (400, False), answer.text
        assert words in answer.json()["message"]
    answer = server.ask("POST", "/recognize", json={"photo": photo(landscape)})
    assert (answer.status_code, answer.json()["message"]) == (400, "No face detected in image")
    assert server.ask("GET", "/status/1").json()["registered"] is False


def test_a_face_of_low_quality_is_refused_with_the_limit(server: Any, ayu: list[Path]) -> None:
    dark = io.BytesIO()
    Image.open(ayu[0]).point(lambda value: value // 6).save(dark, "JPEG", quality=95)
    answer = register(server, 1, dark.getvalue())
    assert answer.status_code == 400
    assert "quality" in answer.json()["message"]
    assert "0.8" in answer.json()["message"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"user_id": 1},
        {"photo": "AAAA"},
        {"user_id": 1, "photo": "%%%"},
        {"user_id": 1, "photo": ""},
        {"user_id": 1.5, "photo": "AAAA"},
        {"user_id": True, "photo": "AAAA"},
        {"user_id": None, "photo": "AAAA"},
        {"user_id": "", "photo": "/9j/"},
        {"user_id": "x" * 300, "photo": "/9j/"},
        {"user_id": 1, "photo": 7},
        [],
    ],
)
def test_a_bad_body_is_400_in_the_format_of_the_contract(server: Any, body: object) -> None:
    for path in ("/register-face", "/recognize"):
        if path == "/recognize" and isinstance(body, dict) and "photo" in body:
            continue
        answer = server.ask("POST", path, json=body)
        assert answer.status_code == 400, answer.text
        assert answer.json()["success"] is False
        assert answer.json()["message"]


def test_status_counts_faces_and_the_oldest_is_replaced(server: Any, ayu: list[Path], ayu_again: Path) -> None:
    unknown = server.ask("GET", "/status/123").json()
    assert unknown == {
        "success": True,
        "user_id": "123",
        "registered": False,
        "last_updated": None,
        "encoding_count": 0,
    }
    for place, picture in enumerate([*ayu, ayu_again, ayu[0]], start=1):
        assert register(server, 123, picture).status_code == 200
        status = server.ask("GET", "/status/123").json()
        assert status["encoding_count"] == min(place, FACES_A_USER)
    assert (status["success"], status["user_id"], status["registered"]) == (True, 123, True)
    assert "T" in status["last_updated"]


def test_deleting(server: Any, ayu: list[Path], ayu_again: Path) -> None:
    register(server, 123, ayu[0])
    answer = server.ask("DELETE", "/face/123")
    assert answer.status_code == 200
    assert answer.json() == {"success": True, "message": "Face data deleted successfully", "user_id": 123}
    again = server.ask("DELETE", "/face/123")
    assert (again.status_code, again.json()["success"]) == (404, False)
    assert server.ask("POST", "/recognize", json={"photo": photo(ayu_again)}).json()["user_id"] == "unknown"


def test_health_and_stats(server: Any, ayu: list[Path]) -> None:
    register(server, 1, ayu[0])
    health = server.ask("GET", "/health").json()
    keys = {"status", "service", "version", "timestamp", "registered_faces", "face_data_dir", "recognition_tolerance"}
    assert health.keys() == keys
    assert (health["status"], health["registered_faces"], health["recognition_tolerance"]) == ("online", 1, 0.6)
    assert health["face_data_dir"] == "./face_data"
    stats = server.ask("GET", "/stats").json()
    assert stats["success"] is True
    said = stats["stats"]
    assert (said["registered_users"], said["total_encodings"], said["recognition_tolerance"]) == (1, 1, 0.6)
    assert said["data_directory"] == "./face_data"
    assert said["server_info"].keys() == {"cpu_percent", "memory_percent", "disk_usage"}


def test_the_log_is_written_without_personal_data(server: Any, ayu: list[Path]) -> None:
    register(server, "person-4711", ayu[0])
    log = (server.folder / "face_server.log").read_text()
    assert "registered" in log
    assert "person-4711" not in log


def test_photos_are_never_stored(server: Any, ayu: list[Path]) -> None:
    register(server, 1, ayu[0])
    [user] = server.ask("GET", "/api/users").json()
    assert server.ask("GET", f"/api/photos/{user['id']}").json() == []


def test_a_wrong_key_is_refused_in_the_format_of_the_contract(server: Any, ayu: list[Path]) -> None:
    answer = server.ask("POST", "/recognize", json={"photo": photo(ayu[0])}, headers={"X-API-Key": "fdk_wrong"})
    assert (answer.status_code, answer.json()["success"]) == (401, False)
