"""Contract `flask-face`, a test for each line of its tables, as its old clients ask."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from facedex import packs

PACK = packs.info(packs.default()).info
PASSWORD = "correct horse battery"


def create(server: Any, name: str = "Ayu", email: str = "ayu@example.org", **more: str) -> dict[str, Any]:
    answer = server.ask("POST", "/api/users", json={"name": name, "email": email, **more})
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


def upload(server: Any, user_id: int, picture: Path | bytes, name: str = "one.jpg") -> requests.Response:
    data = picture if isinstance(picture, bytes) else picture.read_bytes()
    answer: requests.Response = server.ask("POST", f"/api/photos/{user_id}/upload", files={"file": (name, data)})
    return answer


def trained(server: Any, pictures: list[Path], **who: str) -> dict[str, Any]:
    user = create(server, **who)
    for picture in pictures:
        assert upload(server, user["id"], picture).status_code == 201
    answer = server.ask("POST", "/api/training/incremental", json={"user_id": user["id"]})
    assert answer.status_code == 200, answer.text
    return user


def test_a_user_is_created_with_an_integer_id(server: Any) -> None:
    printed = server.curl(
        *("-X", "POST", "-H", "Content-Type: application/json", "-w", "\n%{http_code}"),
        *("-d", '{"name": "Ayu", "email": "ayu@example.org", "password": "correct horse battery"}', "/api/users"),
    )
    body, status = printed.rsplit("\n", 1)
    user = json.loads(body)
    assert status == "201"
    assert (user["name"], user["email"]) == ("Ayu", "ayu@example.org")
    assert isinstance(user["id"], int)
    assert PASSWORD not in body
    assert user.keys() == {"id", "name", "email"}


@pytest.mark.parametrize(
    "body",
    [
        {"email": "a@example.org"},
        {"name": "", "email": "a@example.org"},
        {"name": "Ayu", "email": "no address"},
        {"name": "Ayu"},
        {"name": 7, "email": "a@example.org"},
        {"name": "Ayu", "email": "a@example.org", "password": "short"},
        [],
        "text",
    ],
)
def test_an_invalid_user_is_400_with_a_message(server: Any, body: object) -> None:
    answer = server.ask("POST", "/api/users", json=body)
    assert answer.status_code == 400
    assert answer.json().keys() == {"message"}


def test_a_body_that_is_not_json_is_400(server: Any) -> None:
    answer = server.ask("POST", "/api/users", data="{", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json().keys()) == (400, {"message"})


def test_an_email_that_is_in_use_is_400(server: Any) -> None:
    create(server)
    answer = server.ask("POST", "/api/users", json={"name": "Other", "email": "AYU@example.org"})
    assert answer.status_code == 400
    assert "e-mail" in answer.json()["message"]
    assert len(server.ask("GET", "/api/users").json()) == 1


def test_users_are_listed_returned_found_and_changed(server: Any) -> None:
    user = create(server)
    assert server.ask("GET", "/api/users").json() == [user]
    assert server.ask("GET", f"/api/users/{user['id']}").json() == user
    assert server.ask("GET", "/api/users/email/ayu@example.org").json() == user
    changed = server.ask("PUT", f"/api/users/{user['id']}", json={"name": "Ayu Dewi", "email": "dewi@example.org"})
    assert changed.json() == {"id": user["id"], "name": "Ayu Dewi", "email": "dewi@example.org"}
    assert server.ask("GET", "/api/users/email/dewi@example.org").json() == changed.json()
    assert server.ask("GET", "/api/users/email/ayu@example.org").status_code == 404


@pytest.mark.parametrize("path", ["/api/users/999999", "/api/users/email/nobody@example.org", "/api/photos/999999"])
def test_an_unknown_user_is_404(server: Any, path: str) -> None:
    answer = server.ask("GET", path)
    assert (answer.status_code, answer.json().keys()) == (404, {"message"})


def test_changing_and_deleting_an_unknown_user_is_404(server: Any) -> None:
    assert server.ask("PUT", "/api/users/999999", json={"name": "X"}).status_code == 404
    assert server.ask("DELETE", "/api/users/999999").status_code == 404


def test_deleting_a_user_deletes_everything_of_theirs(server: Any, ayu: list[Path], ayu_again: Path) -> None:
    user = trained(server, ayu[:1], password=PASSWORD)
    answer = server.ask("DELETE", f"/api/users/{user['id']}")
    assert (answer.status_code, answer.json()) == (200, {"message": "User deleted"})
    assert server.ask("GET", f"/api/photos/{user['id']}").status_code == 404
    predicted = server.ask("POST", "/api/face/predict", files={"file": ayu_again.read_bytes()}).json()
    assert (predicted["status"], predicted["data"]["all_predictions"]) == ("unknown", [])
    login = server.ask("POST", "/api/auth/login-pass-verify", json={"email": user["email"], "password": PASSWORD})
    assert login.status_code == 401


def test_a_photo_is_stored_with_its_metadata_and_returned(server: Any, ayu: list[Path]) -> None:
    user = create(server)
    answer = upload(server, user["id"], ayu[0], "../../etc/ayu 1.jpg")
    assert answer.status_code == 201, answer.text
    photo = answer.json()
    assert isinstance(photo["id"], int)
    assert photo["user_id"] == user["id"]
    assert photo["filename"] == "ayu 1.jpg"
    assert photo["filepath"] == f"dataset/{user['id']}/ayu 1.jpg"
    assert (photo["width"], photo["height"]) == (224, 224)
    assert photo["created_at"].startswith("20")
    assert "T" in photo["created_at"]
    assert server.ask("GET", f"/api/photos/{user['id']}").json() == [photo]
    shown = server.ask("GET", f"/api/photos/{user['id']}/{photo['id']}/view")
    assert shown.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(shown.content)).size == (224, 224)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_png_and_the_first_frame_of_gif_are_accepted(server: Any, ayu: list[Path], kind: str) -> None:
    user = create(server)
    out = io.BytesIO()
    Image.open(ayu[0]).convert("RGB").save(out, kind)
    assert upload(server, user["id"], out.getvalue(), f"a.{kind.lower()}").status_code == 201
    assert server.ask("POST", "/api/training/incremental", json={"user_id": user["id"]}).status_code == 200


@pytest.mark.parametrize("content", [b"", b"no picture", b"%PDF-1.7", b"\xff\xd8\xff\xe0 cut off"])
def test_a_file_that_is_not_a_picture_is_400(server: Any, content: bytes) -> None:
    user = create(server)
    answer = upload(server, user["id"], content)
    assert (answer.status_code, answer.json().keys()) == (400, {"message"})
    assert server.ask("GET", f"/api/photos/{user['id']}").json() == []


def test_no_file_is_400_and_no_user_404(server: Any, ayu: list[Path]) -> None:
    user = create(server)
    assert server.ask("POST", f"/api/photos/{user['id']}/upload").status_code == 400
    assert server.ask("POST", f"/api/photos/{user['id']}/upload/multiple").status_code == 400
    assert upload(server, 999999, ayu[0]).status_code == 404
    several = server.ask(
        "POST", "/api/photos/999999/upload/multiple", files=[("files", ("a.jpg", ayu[0].read_bytes()))]
    )
    assert several.status_code == 404


@pytest.mark.parametrize("field", ["files", "files[]"])
def test_several_photos_at_once(server: Any, ayu: list[Path], field: str) -> None:
    user = create(server)
    files = [(field, (path.name, path.read_bytes())) for path in ayu]
    answer = server.ask("POST", f"/api/photos/{user['id']}/upload/multiple", files=files)
    assert answer.status_code == 201, answer.text
    assert answer.json()["uploaded"] == 3
    assert [one["filename"] for one in answer.json()["files"]] == ["1.jpg", "2.jpg", "3.jpg"]


def test_a_photo_is_deleted_only_by_its_own_user(server: Any, ayu: list[Path]) -> None:
    user, other = create(server), create(server, "Budi", "budi@example.org")
    photo = upload(server, user["id"], ayu[0]).json()
    for path in (f"/api/photos/{other['id']}/{photo['id']}", f"/api/photos/{user['id']}/999999"):
        assert server.ask("DELETE", path).status_code == 404
        assert server.ask("GET", path + "/view").status_code == 404
    answer = server.ask("DELETE", f"/api/photos/{user['id']}/{photo['id']}")
    assert answer.status_code == 200
    assert answer.json().keys() == {"message"}
    assert server.ask("GET", f"/api/photos/{user['id']}").json() == []


def test_incremental_training_changes_one_user(server: Any, ayu: list[Path], budi: Path) -> None:
    other = trained(server, [budi], name="Budi", email="budi@example.org")
    user = create(server)
    for picture in ayu:
        upload(server, user["id"], picture)
    before = server.ask("GET", "/api/training/status").json()["data"]["samples_per_user"]
    for _ in range(2):  # anew, not in addition
        answer = server.ask("POST", "/api/training/incremental", json={"user_id": user["id"]})
        assert answer.status_code == 200, answer.text
        said = answer.json()
        assert said["success"] is True
        assert said["message"] == f"Embeddings built for user {user['id']}"
        data = said["data"]
        assert (data["user_id"], data["faces_processed"], data["embeddings_created"]) == (user["id"], 3, 3)
        assert data["processing_time_seconds"] >= 0
        assert "T" in data["timestamp"]
    after = server.ask("GET", "/api/training/status").json()["data"]["samples_per_user"]
    assert before == {str(other["id"]): 1}
    assert after == {str(other["id"]): 1, str(user["id"]): 3}


def test_incremental_training_of_an_unknown_user_or_without_a_face(server: Any, landscape: bytes) -> None:
    answer = server.ask("POST", "/api/training/incremental", json={"user_id": 999999})
    assert (answer.status_code, answer.json()["success"]) == (404, False)
    user = create(server)
    for _ in range(2):  # without a photo, then with one that shows no face
        answer = server.ask("POST", "/api/training/incremental", json={"user_id": user["id"]})
        assert (answer.status_code, answer.json()["success"]) == (400, False)
        assert answer.json().keys() == {"success", "message"}
        upload(server, user["id"], landscape, "land.png")
    assert server.ask("POST", "/api/training/incremental", json={}).status_code == 400


def test_full_training_and_its_status(server: Any, ayu: list[Path], budi: Path, landscape: bytes) -> None:
    users = [create(server), create(server, "Budi", "budi@example.org"), create(server, "None", "none@example.org")]
    for user, picture in zip(users, (ayu[0], budi, landscape), strict=True):
        upload(server, user["id"], picture)
    empty = server.ask("GET", "/api/training/status").json()
    assert (empty["success"], empty["data"]["model_available"]) == (True, False)
    answer = server.ask("POST", "/api/training/start", json={})
    said = answer.json()
    assert (answer.status_code, said["success"]) == (200, True)
    assert said["message"] == "Face database built successfully"
    data = said["data"]
    assert (data["num_data"], data["num_classes"], data["total_faces"]) == (3, 2, 2)
    assert data["training_time_seconds"] >= 0
    assert data["training_time_minutes"] >= 0
    assert data.keys() >= {"model_path", "timestamp"}
    status = server.ask("GET", "/api/training/status").json()["data"]
    assert status["model_available"] is True
    assert (status["num_classes"], status["num_data"], status["total_faces"]) == (2, 3, 2)
    assert status["embedding_dim"] == PACK.dimension


def test_model_info(server: Any) -> None:
    said = server.ask("GET", "/api/face/model-info").json()
    assert said["status"] == "success"
    assert said["data"]["pack"] == PACK.name
    assert said["data"]["embedding_dim"] == PACK.dimension
    assert all(licence in said["data"]["licence"] for licence in PACK.licences)
    assert 0 < said["data"]["threshold"] < 1


def test_a_known_face_is_predicted(server: Any, ayu: list[Path], ayu_again: Path, budi: Path) -> None:
    user = trained(server, ayu)
    trained(server, [budi], name="Budi", email="budi@example.org")
    printed = server.curl("-F", f"file=@{ayu_again}", "/api/face/predict")
    said = json.loads(printed)
    assert said["status"] == "success"
    data = said["data"]
    assert (data["user_id"], data["name"], data["email"]) == (user["id"], "Ayu", "ayu@example.org")
    assert 0 < data["similarity"] <= 1
    assert data["confidence"] == pytest.approx(100 * data["similarity"], abs=0.01)
    assert [one["name"] for one in data["all_predictions"]] == ["Ayu", "Budi"]
    assert data["all_predictions"][0].keys() == {"user_id", "name", "confidence", "similarity"}
    assert data["all_predictions"][0]["similarity"] > data["all_predictions"][1]["similarity"]


def test_an_unknown_face_is_reported_with_predictions(server: Any, ayu: list[Path], budi: Path) -> None:
    trained(server, ayu)
    answer = server.ask("POST", "/api/face/predict", files={"file": budi.read_bytes()})
    assert (answer.status_code, answer.json()["status"]) == (200, "unknown")
    data = answer.json()["data"]
    assert data["user_id"] is None
    assert [one["name"] for one in data["all_predictions"]] == ["Ayu"]


def test_no_face_to_predict_is_400(server: Any, ayu: list[Path], landscape: bytes) -> None:
    for _ in range(2):  # with nobody registered, and with somebody
        answer = server.ask("POST", "/api/face/predict", files={"file": landscape})
        assert (answer.status_code, answer.json()["status"]) == (400, "error")
        trained(server, ayu[:1], name="Ayu", email="ayu@example.org") if not server.ask(
            "GET", "/api/users"
        ).json() else None
    assert server.ask("POST", "/api/face/predict").json()["status"] == "error"


def test_sign_in_with_a_password(server: Any) -> None:
    user = create(server, password=PASSWORD)
    answer = server.ask("POST", "/api/auth/login-pass-verify", json={"email": user["email"], "password": PASSWORD})
    said = answer.json()
    assert (answer.status_code, said["status"], said["message"]) == (200, "success", "Login successful")
    assert said["data"].keys() == {"user_id", "name", "email", "token", "expires_at"}
    assert said["data"]["user_id"] == user["id"]


def test_a_wrong_address_and_a_wrong_password_give_the_same_message(server: Any) -> None:
    create(server, password=PASSWORD)
    answers = [
        server.ask("POST", "/api/auth/login-pass-verify", json={"email": email, "password": password})
        for email, password in (("ayu@example.org", "another password"), ("nobody@example.org", PASSWORD))
    ]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["status"] == "error"


def sign_in(server: Any, user: dict[str, Any], picture: Path | bytes, **claim: Any) -> requests.Response:
    data = picture if isinstance(picture, bytes) else picture.read_bytes()
    answer: requests.Response = server.ask(
        "POST", "/api/auth/login-face-verify", data=claim or {"user_id": user["id"]}, files={"file": data}
    )
    return answer


@pytest.mark.parametrize("by", ["user_id", "email"])
def test_the_face_of_the_claimed_user_signs_in(server: Any, ayu: list[Path], ayu_again: Path, by: str) -> None:
    user = trained(server, ayu)
    answer = sign_in(server, user, ayu_again, **{by: user["id" if by == "user_id" else "email"]})
    said = answer.json()
    assert (answer.status_code, said["message"]) == (200, "Face verification successful")
    keys = {"match", "user_id", "name", "email", "token", "confidence", "similarity", "method", "expires_at"}
    assert said["data"].keys() == keys
    assert (said["data"]["match"], said["data"]["user_id"]) == (True, user["id"])


def test_another_face_is_403_and_gets_no_token(server: Any, ayu: list[Path], budi: Path) -> None:
    user = trained(server, ayu)
    answer = sign_in(server, user, budi)
    said = answer.json()
    assert (answer.status_code, said["status"]) == (403, "error")
    assert said["data"].keys() == {"match", "claimed_user_id", "confidence"}
    assert (said["data"]["match"], said["data"]["claimed_user_id"]) == (False, user["id"])


def test_a_face_of_unknown_liveness_is_401(server: Any, ayu: list[Path], landscape: bytes) -> None:
    user = trained(server, ayu[:1])
    answer = sign_in(server, user, landscape)
    assert (answer.status_code, answer.json()["status"]) == (401, "error")
    assert "token" not in answer.text
    assert sign_in(server, user, ayu[0], user_id=999999).status_code == 403
    assert server.ask("POST", "/api/auth/login-face-verify", files={"file": landscape}).status_code == 400


def test_a_face_signs_in_without_a_claim(server: Any, ayu: list[Path], ayu_again: Path, budi: Path) -> None:
    user = trained(server, ayu)
    answer = server.ask("POST", "/api/auth/login-face", files={"file": ayu_again.read_bytes()})
    said = answer.json()
    assert (answer.status_code, said["data"]["user_id"]) == (200, user["id"])
    assert "match" not in said["data"]
    assert said["data"]["token"]
    answer = server.ask("POST", "/api/auth/login-face", files={"file": budi.read_bytes()})
    said = answer.json()
    assert (answer.status_code, said["status"]) == (401, "error")
    assert said["data"].keys() == {"confidence", "required_confidence"}
    assert said["data"]["confidence"] < said["data"]["required_confidence"]


def test_a_token_is_verified_and_invalid_after_logout(server: Any) -> None:
    user = create(server, password=PASSWORD)
    login = server.ask("POST", "/api/auth/login-pass-verify", json={"email": user["email"], "password": PASSWORD})
    token = login.json()["data"]["token"]
    said = server.ask("POST", "/api/auth/verify", json={"token": token})
    assert (said.status_code, said.json()["message"]) == (200, "Token is valid")
    assert said.json()["data"]["user_id"] == user["id"]
    out = server.ask("POST", "/api/auth/logout", json={"token": token})
    assert (out.status_code, out.json()) == (200, {"status": "success", "message": "Logout successful"})
    assert server.ask("POST", "/api/auth/verify", json={"token": token}).status_code == 401
    assert server.ask("POST", "/api/auth/verify", json={}).status_code == 400
    assert server.ask("POST", "/api/auth/verify", json={"token": "fdt_x"}).status_code == 401


def test_tokens_are_listed_to_their_user_and_to_an_admin_by_their_last_characters(server: Any) -> None:
    user, other = create(server, password=PASSWORD), create(server, "Budi", "budi@example.org", password=PASSWORD)
    tokens = {}
    for one in (user, other):
        login = server.ask("POST", "/api/auth/login-pass-verify", json={"email": one["email"], "password": PASSWORD})
        tokens[one["id"]] = login.json()["data"]["token"]
    path = f"/api/auth/tokens/{user['id']}"
    own = server.ask("GET", path, headers={"Authorization": f"Bearer {tokens[user['id']]}"})
    assert own.status_code == 200, own.text
    [shown] = own.json()["data"]["tokens"]
    assert tokens[user["id"]].endswith(shown["token"].lstrip("…"))
    assert len(shown["token"]) <= 9
    assert tokens[user["id"]] not in own.text
    assert server.ask("GET", path, headers=server.admin).json() == own.json()
    assert server.ask("GET", path, headers={"Authorization": f"Bearer {tokens[other['id']]}"}).status_code == 403
    assert server.ask("GET", path).status_code == 401


def test_the_mask_keeps_the_named_fields(server: Any, ayu: list[Path], ayu_again: Path) -> None:
    trained(server, ayu)
    wanted = {"X-Fields": "name,email"}
    assert server.ask("GET", "/api/users", headers=wanted).json() == [{"name": "Ayu", "email": "ayu@example.org"}]
    picture = {"file": ayu_again.read_bytes()}
    nested = {"X-Fields": "status,data{name,all_predictions{name}}"}
    said = server.ask("POST", "/api/face/predict", files=picture, headers=nested).json()
    assert said == {"status": "success", "data": {"name": "Ayu", "all_predictions": [{"name": "Ayu"}]}}
    assert server.ask("GET", "/api/users", headers={"X-Fields": "name,nothing"}).json() == [
        {"name": "Ayu", "nothing": None}
    ]


@pytest.mark.parametrize("mask", ["data{name", "name,,email", "}", "{", "data{}", "a" * 2000])
def test_an_invalid_mask_is_400_and_changes_nothing(server: Any, mask: str) -> None:
    body = {"name": "Ayu", "email": "ayu@example.org"}
    answer = server.ask("POST", "/api/users", json=body, headers={"X-Fields": mask})
    assert (answer.status_code, answer.json().keys()) == (400, {"message"})
    assert server.ask("GET", "/api/users").json() == []


def test_the_openapi_page_is_served(server: Any) -> None:
    assert "<html" in server.ask("GET", "/api/docs").text
    assert "/api/face/predict" in server.ask("GET", "/api/openapi.json").json()["paths"]


def test_passwords_are_stored_as_hashes_only(server: Any) -> None:
    create(server, password=PASSWORD)
    for path in server.folder.glob("people.db*"):
        assert PASSWORD.encode() not in path.read_bytes()
    assert PASSWORD not in (server.folder / "server.log").read_text()


def test_deleting_a_person_through_v1_deletes_the_account(server: Any, ayu: list[Path]) -> None:
    user = trained(server, ayu[:1], password=PASSWORD)
    [found] = server.ask("GET", "/v1/people", headers=server.admin).json()["items"]
    assert server.ask("DELETE", f"/v1/people/{found['person_id']}", headers=server.admin).ok
    login = server.ask("POST", "/api/auth/login-pass-verify", json={"email": user["email"], "password": PASSWORD})
    assert login.status_code == 401
    create(server)  # the address is free again


def test_responses_are_not_stored_for_replay(server: Any) -> None:
    body = {"name": "Ayu", "email": "ayu@example.org"}
    key = {"Idempotency-Key": "one"}
    assert server.ask("POST", "/api/users", json=body, headers=key).status_code == 201
    assert server.ask("POST", "/api/users", json=body, headers=key).status_code == 400
