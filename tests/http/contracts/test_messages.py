"""Messages of a contract use its own field names, and nothing that only facedex has."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

NUL, LONG = "a\0b", "x" * 256
PASSWORD = "correct horse battery"
FOREIGN = ("person_id", "on_existing", "faces=", "add_photo", "photos=", "gallery", "login or")


def refused(answer: Any, *words: str) -> str:
    """Check that a request was refused, and return its message."""
    assert 400 <= answer.status_code < 500, answer.text
    message: str = answer.json()["message"]
    assert all(word in message for word in words), message
    assert not [word for word in FOREIGN if word in answer.text], answer.text
    return message


def test_face_server_messages_name_user_id(server: Any, ayu: list[Path], group: Path) -> None:
    photo, several = (base64.b64encode(path.read_bytes()).decode() for path in (ayu[0], group))
    for user_id in ("", NUL, LONG, 10**300):
        answer = server.ask("POST", "/register-face", json={"user_id": user_id, "photo": photo})
        assert refused(answer).startswith("user_id must ")
    refused(server.ask("POST", "/register-face", json={"user_id": 7, "photo": several}), "More than one face")


def test_mtcnn_facenet_messages_name_nik_and_nama(server: Any, ayu: list[Path]) -> None:
    files = {"files": ayu[0].read_bytes()}
    for nik, nama, field in ((NUL, "AYU", "nik"), ("7", "A\0B", "nama")):
        answer = server.ask("POST", "/upload/", data={"nik": nik, "nama": nama}, files=files)
        assert refused(answer).startswith(f"{field} must ")


def test_face_api_messages_name_class_and_image(server: Any, ayu: list[Path]) -> None:
    files = {"file": ayu[0].read_bytes()}
    answer = server.ask("POST", "/api/add_embedding", data={"class_id": NUL}, files=files, headers=server.admin)
    assert refused(answer).startswith("class_id must ")
    refused(server.ask("GET", "/api/get_image_ids_by_class/nobody"), "class_id")
    refused(server.ask("DELETE", "/api/delete_class/nobody", headers=server.admin), "class_id")
    for method, path in (("DELETE", "/api/delete_image?image_id=999999"), ("GET", "/api/vector_info?image_id=999999")):
        refused(server.ask(method, path, headers=server.admin), "image_id")


def test_face_api_messages_name_username(server: Any) -> None:
    for _ in range(2):
        answer = server.ask("POST", "/api/register", json={"username": "front-desk", "password": PASSWORD})
    refused(answer, "username")
    refused(server.ask("POST", "/api/register", json={"username": NUL, "password": PASSWORD}), "username must ")
    refused(server.ask("POST", "/api/login", json={"username": "front-desk", "password": "x" * 9}), "username")


def test_flask_face_messages_name_users_and_photos(server: Any, landscape: bytes) -> None:
    body = {"name": "Ayu", "email": "ayu@example.org", "password": PASSWORD}
    user = server.ask("POST", "/api/users", json=body).json()
    refused(server.ask("POST", "/api/users", json=body), "e-mail address is taken")
    refused(server.ask("GET", "/api/users/999999"), "no such user")
    refused(server.ask("POST", "/api/photos/999999/upload", files={"file": landscape}), "no such user")
    refused(server.ask("GET", f"/api/photos/{user['id']}/999999/view"), "no such photo")
    login = {"email": "ayu@example.org", "password": "x" * 9}
    refused(server.ask("POST", "/api/auth/login-pass-verify", json=login), "wrong e-mail address or password")


def test_flask_face_names_the_photos_that_cannot_be_used(server: Any, landscape: bytes) -> None:
    user = server.ask("POST", "/api/users", json={"name": "Ayu", "email": "ayu@example.org"}).json()
    body = {"user_id": user["id"]}
    refused(server.ask("POST", "/api/training/incremental", json=body), f"no photo of user {user['id']}", "upload one")
    files = {"file": ("hill.png", landscape)}
    assert server.ask("POST", f"/api/photos/{user['id']}/upload", files=files).status_code == 201
    answer = server.ask("POST", "/api/training/incremental", json=body)
    refused(answer, f"no photo of user {user['id']}", "hill.png: No face was found")


@pytest.mark.parametrize("user_id", [True, 1.0, None])
def test_flask_face_accepts_integers_only(server: Any, user_id: object) -> None:
    refused(server.ask("POST", "/api/training/incremental", json={"user_id": user_id}), "user_id")
