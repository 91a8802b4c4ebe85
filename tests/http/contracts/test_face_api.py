"""Contract `face-api`, a test for each line of its table, as its old clients ask."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests

from facedex import packs, people

DIMENSION = packs.info(packs.default()).info.dimension
PASSWORD = "correct horse battery"


@pytest.fixture
def bearer(server: Any) -> dict[str, str]:
    """Headers of an account that has signed in."""
    return {"Authorization": f"Bearer {sign_in(server, account(server))['token']}"}


def account(server: Any, **more: Any) -> str:
    username = f"operator-{uuid4().hex[:8]}"
    answer = server.ask("POST", "/api/register", json={"username": username, "password": PASSWORD, **more})
    assert answer.status_code == 201, answer.text
    return username


def sign_in(server: Any, username: str) -> dict[str, Any]:
    answer = server.ask("POST", "/api/login", json={"username": username, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


def add(server: Any, bearer: dict[str, str], class_id: str, *pictures: Path, **more: str) -> requests.Response:
    files = [("file", (picture.name, picture.read_bytes())) for picture in pictures]
    answer: requests.Response = server.ask(
        "POST", "/api/add_embedding", data={"class_id": class_id, **more}, files=files, headers=bearer
    )
    return answer


def query(server: Any, picture: Path | bytes, path: str = "/api/face_query", **more: object) -> requests.Response:
    data = picture if isinstance(picture, bytes) else picture.read_bytes()
    answer: requests.Response = server.ask("POST", path, data=more, files={"file": ("a.jpg", data)})
    return answer


def test_an_account_is_made_and_signs_in_by_json_and_by_form(server: Any) -> None:
    username = f"operator-{uuid4().hex[:8]}"
    body = {"username": username, "password": PASSWORD, "full_name": "Operator One", "department": "Gate 3"}
    made = server.ask("POST", "/api/register", json=body)
    assert made.status_code == 201
    assert (made.json()["username"], made.json()["profile"]) == (username, {"department": "Gate 3"})
    assert PASSWORD not in made.text
    said = sign_in(server, username)
    keys = {"success", "token", "access_token", "token_type", "username", "expires_at", "message"}
    assert said.keys() == keys
    assert said["success"] is True
    assert said["token"] == said["access_token"]
    assert (said["token_type"], said["username"]) == ("bearer", username)
    form = server.curl("-d", f"username={username}&password={PASSWORD.replace(' ', '+')}", "/api/login")
    assert json.loads(form)["success"] is True


def test_bad_accounts_and_sign_ins(server: Any) -> None:
    username = account(server)
    again = server.ask("POST", "/api/register", json={"username": username.upper(), "password": PASSWORD})
    assert (again.status_code, again.json()["success"]) == (400, False)
    for body in ({"username": "x"}, {"username": "", "password": PASSWORD}, {"username": "x", "password": "short"}, []):
        answer = server.ask("POST", "/api/register", json=body)
        assert (answer.status_code, answer.json()["success"]) == (400, False), answer.text
    wrong = [
        server.ask("POST", "/api/login", json={"username": name, "password": password})
        for name, password in ((username, "another password"), ("nobody-here", PASSWORD))
    ]
    assert [answer.status_code for answer in wrong] == [401, 401]
    assert wrong[0].json() == wrong[1].json()
    for body in ({}, {"username": username}, {"username": 7, "password": 8}):
        assert server.ask("POST", "/api/login", json=body).status_code == 400
    assert server.ask("POST", "/api/login", data="{", headers={"Content-Type": "application/json"}).status_code == 400


def test_a_token_is_invalid_after_logout(server: Any, bearer: dict[str, str]) -> None:
    assert server.ask("GET", "/api/profile", headers=bearer).status_code == 200
    assert server.ask("POST", "/api/logout", headers=bearer).json()["success"] is True
    for method, path in (("GET", "/api/profile"), ("POST", "/api/logout")):
        answer = server.ask(method, path, headers=bearer)
        assert (answer.status_code, answer.json()["success"]) == (401, False)
    assert server.ask("POST", "/api/logout").status_code == 401


def test_the_profile_is_returned_and_changed(server: Any) -> None:
    username = account(server, department="Gate 3")
    bearer = {"Authorization": f"Bearer {sign_in(server, username)['token']}"}
    said = server.ask("PUT", "/api/profile", json={"shift": "night", "name": "One"}, headers=bearer)
    assert said.status_code == 200, said.text
    profile = server.ask("GET", "/api/profile", headers=bearer).json()
    assert profile["profile"] == {"department": "Gate 3", "shift": "night"}
    assert (profile["username"], profile["name"]) == (username, "One")
    assert server.ask("PUT", "/api/profile", json={"scopes": ["admin"]}, headers=bearer).status_code == 200
    assert "admin" not in server.ask("GET", "/api/profile", headers=bearer).json()["scopes"]
    assert server.ask("GET", "/api/profile").status_code == 401
    assert server.ask("PUT", "/api/profile", json={"email": "no address"}, headers=bearer).status_code == 400


def test_a_person_is_added_and_queried(
    server: Any, bearer: dict[str, str], ayu: list[Path], ayu_again: Path, budi: Path
) -> None:
    added = add(server, bearer, "PERSON_001", *ayu, name="Ayu", info="Employee ID: 12345")
    assert added.status_code == 200, added.text
    assert added.json()["class_id"] == "PERSON_001"
    assert len(added.json()["image_ids"]) == 3
    assert added.json()["image_id"] == added.json()["image_ids"][0]
    add(server, bearer, "PERSON_002", budi, name="Budi")
    said = query(server, ayu_again).json()
    assert said["person_info"] == {"class_id": "PERSON_001", "name": "Ayu", "info": "Employee ID: 12345"}
    assert said["similarity"] >= 0.5
    assert said["processing_time"] > 0
    ranked = query(server, ayu_again, "/api/face_query_top5", threshold=-1).json()
    assert [one["person_info"]["class_id"] for one in ranked["results"]] == ["PERSON_001", "PERSON_002"]
    assert ranked["results"][0]["similarity"] > ranked["results"][1]["similarity"]
    assert ranked["processing_time"] > 0


def test_a_face_below_the_threshold_is_unknown(
    server: Any, bearer: dict[str, str], ayu: list[Path], budi: Path
) -> None:
    assert query(server, budi).json()["person_info"] is None  # nobody is registered
    add(server, bearer, "PERSON_001", ayu[0])
    said = query(server, budi).json()
    assert said["person_info"] is None
    assert said["similarity"] < 0.5
    assert query(server, budi, "/api/face_query_top5").json()["results"] == []
    assert query(server, budi, threshold=-1).json()["person_info"]["class_id"] == "PERSON_001"


def test_the_threshold_and_the_similarity_use_one_scale(
    server: Any, bearer: dict[str, str], ayu: list[Path], ayu_again: Path
) -> None:
    add(server, bearer, "PERSON_001", *ayu)
    similarity = query(server, ayu_again, threshold=0).json()["similarity"]
    assert query(server, ayu_again, threshold=round(similarity - 0.001, 4)).json()["person_info"] is not None
    assert query(server, ayu_again, threshold=round(similarity + 0.001, 4)).json()["person_info"] is None


def test_all_faces_of_a_picture_are_listed(server: Any, bearer: dict[str, str], ayu: list[Path], group: Path) -> None:
    add(server, bearer, "PERSON_001", *ayu)
    said = query(server, group, threshold=0.3).json()
    assert len(said["faces"]) == len(people.GROUP_IDS)
    for face in said["faces"]:
        assert len(face["bbox"]) == 4
    named = [one["person_info"]["class_id"] for face in said["faces"] for one in face["results"]]
    assert named == ["PERSON_001"]


def test_estimates_without_a_network_are_reported_as_unavailable(
    server: Any, bearer: dict[str, str], ayu: list[Path]
) -> None:
    add(server, bearer, "PERSON_001", ayu[0])
    said = query(server, ayu[0], include_demographics="true").json()
    assert said["anti_spoofing"] == "unavailable"  # ENABLE_ANTI_SPOOFING is on, and no pack judges liveness
    assert said["demographics"] == "unavailable"
    assert said["person_info"]["class_id"] == "PERSON_001"
    query(server, ayu[0])
    assert (server.folder / "server.log").read_text().count("anti-spoofing is unavailable") == 1


@pytest.mark.parametrize("path", ["/api/face_query", "/api/face_query_top5"])
def test_bad_queries(server: Any, ayu: list[Path], landscape: bytes, path: str) -> None:
    for picture in (landscape, b"no picture", b""):
        answer = query(server, picture, path)
        assert (answer.status_code, answer.json()["success"]) == (400, False)
    for threshold in ("x", "nan", "2"):
        assert query(server, ayu[0], path, threshold=threshold).status_code == 400
    assert server.ask("POST", path).status_code == 400
    large = query(server, ayu[0].read_bytes() + b"\0" * 2_000_000, path)
    assert (large.status_code, large.json()["success"]) == (413, False)


def test_changes_need_a_token(server: Any, ayu: list[Path]) -> None:
    for method, path, given in (
        ("POST", "/api/add_embedding", {"data": {"class_id": "X"}, "files": {"file": ayu[0].read_bytes()}}),
        ("PUT", "/api/edit_embedding", {"data": {"image_id": 1, "name": "x"}}),
        ("DELETE", "/api/delete_image?image_id=1", {}),
        ("DELETE", "/api/delete_class/X", {}),
        ("POST", "/api/reset_index", {}),
        ("POST", "/api/rebuild_index", {}),
        ("POST", "/api/optimize_index", {}),
    ):
        answer = server.ask(method, path, **given)
        assert (answer.status_code, answer.json()["success"]) == (401, False), path
    assert server.ask("GET", "/api/list_nguoi").json()["nguoi"] == []


def test_maintenance_needs_an_admin(server: Any, bearer: dict[str, str], ayu: list[Path], ayu_again: Path) -> None:
    add(server, bearer, "PERSON_001", *ayu)
    for path in ("/api/reset_index", "/api/rebuild_index", "/api/optimize_index"):
        assert server.ask("POST", path, headers=bearer).status_code == 403
        done = server.ask("POST", path, headers=server.admin)
        assert done.status_code == 200, done.text
        assert (done.json()["success"], done.json()["vector_count"]) == (True, 3)
    assert query(server, ayu_again).json()["person_info"]["class_id"] == "PERSON_001"


def test_bad_additions_are_400(server: Any, bearer: dict[str, str], ayu: list[Path], landscape: bytes) -> None:
    for data, files in (
        ({"class_id": "X"}, {"file": ("a.png", landscape)}),
        ({"class_id": "X"}, {"file": ("a.jpg", b"no picture")}),
        ({"class_id": ""}, {"file": ("a.jpg", ayu[0].read_bytes())}),
        ({"class_id": "x" * 300}, {"file": ("a.jpg", ayu[0].read_bytes())}),
        ({}, {"file": ("a.jpg", ayu[0].read_bytes())}),
        ({"class_id": "X"}, None),
    ):
        answer = server.ask("POST", "/api/add_embedding", data=data, files=files, headers=bearer)
        assert (answer.status_code, answer.json()["success"]) == (400, False), answer.text
    assert server.ask("GET", "/api/get_image_ids_by_class/X").status_code == 404


def test_an_image_is_edited(server: Any, bearer: dict[str, str], ayu: list[Path], ayu_again: Path, budi: Path) -> None:
    def edit(**given: Any) -> requests.Response:
        file = given.pop("file", None)
        files = None if file is None else {"file": file.read_bytes()}
        answer: requests.Response = server.ask("PUT", "/api/edit_embedding", data=given, files=files, headers=bearer)
        return answer

    image_id = add(server, bearer, "PERSON_001", budi).json()["image_id"]
    said = edit(image_id=image_id, name="Ayu", info="Gate 3")
    assert said.status_code == 200, said.text
    assert said.json()["nguoi"]["name"] == "Ayu"
    assert said.json()["nguoi"]["info"] == "Gate 3"
    replaced = edit(image_id=image_id, file=ayu[0]).json()
    assert replaced["replaced"] == image_id
    assert query(server, ayu_again).json()["person_info"]["class_id"] == "PERSON_001"
    assert query(server, budi).json()["person_info"] is None
    moved = edit(image_id=replaced["image_id"], class_id="PERSON_002", name="Ayu Two").json()
    assert moved["class_id"] == "PERSON_002"
    assert query(server, ayu_again).json()["person_info"]["class_id"] == "PERSON_002"
    assert server.ask("GET", "/api/get_image_ids_by_class/PERSON_001").json()["count"] == 0
    assert edit(image_id=image_id, name="X").status_code == 404
    assert edit(image_id=moved["image_id"]).status_code == 400
    assert edit(image_id="x", name="X").status_code == 400


def test_images_are_listed_and_deleted(server: Any, bearer: dict[str, str], ayu: list[Path]) -> None:
    image_ids = add(server, bearer, "PERSON_001", *ayu, name="Ayu").json()["image_ids"]
    said = server.ask("GET", "/api/get_image_ids_by_class/PERSON_001").json()
    assert (said["class_id"], said["image_ids"], said["count"]) == ("PERSON_001", image_ids, 3)
    assert (said["nguoi"]["class_id"], said["nguoi"]["name"]) == ("PERSON_001", "Ayu")
    for given in (
        {"params": {"image_id": image_ids[0]}},
        {"data": {"image_id": image_ids[1]}},
        {"json": {"image_id": image_ids[2]}},
    ):
        answer = server.ask("DELETE", "/api/delete_image", headers=bearer, **given)
        assert answer.status_code == 200, answer.text
        again = server.ask("DELETE", "/api/delete_image", headers=bearer, **given)
        assert (again.status_code, again.json()["success"]) == (404, False)
    assert server.ask("GET", "/api/get_image_ids_by_class/PERSON_001").json()["count"] == 0
    for given in ({}, {"params": {"image_id": "x"}}, {"json": {"image_id": True}}, {"json": []}):
        assert server.ask("DELETE", "/api/delete_image", headers=bearer, **given).status_code == 400


def test_people_are_listed_in_pages_and_searched(
    server: Any, bearer: dict[str, str], ayu: list[Path], budi: Path
) -> None:
    add(server, bearer, "PERSON_001", *ayu[:2], name="Ayu", info="Employee ID: 12345")
    add(server, bearer, "PERSON_002", budi, name="Budi", info="Gate 3")
    said = server.ask("GET", "/api/list_nguoi?page=1&page_size=1").json()
    assert (said["total"], said["total_pages"]) == (2, 2)
    assert [(one["class_id"], one["image_count"]) for one in said["nguoi"]] == [("PERSON_001", 2)]
    second = server.ask("GET", "/api/list_nguoi?page=2&page_size=1").json()["nguoi"]
    assert [one["name"] for one in second] == ["Budi"]
    for text, found in (("AYU", ["PERSON_001"]), ("gate", ["PERSON_002"]), ("nobody", [])):
        listed = server.ask("GET", "/api/list_nguoi", params={"query": text}).json()["nguoi"]
        assert [one["class_id"] for one in listed] == found
    assert server.ask("GET", "/api/list_nguoi?page=0").status_code == 400


def test_a_class_is_deleted(server: Any, bearer: dict[str, str], ayu: list[Path], ayu_again: Path) -> None:
    add(server, bearer, "PERSON_001", *ayu)
    answer = server.ask("DELETE", "/api/delete_class/PERSON_001", headers=bearer)
    assert (answer.status_code, answer.json()["deleted_images"]) == (200, 3)
    assert server.ask("DELETE", "/api/delete_class/PERSON_001", headers=bearer).status_code == 404
    assert query(server, ayu_again).json()["person_info"] is None


def test_the_state_of_the_index_is_returned(server: Any, bearer: dict[str, str], ayu: list[Path]) -> None:
    image_id = add(server, bearer, "PERSON_001", *ayu).json()["image_id"]
    status = server.ask("GET", "/api/index_status").json()
    assert (status["dimension"], status["vector_count"], status["type"]) == (DIMENSION, 3, "exact")
    assert status["memory_bytes"] > 0
    assert status["status"] == "healthy"
    assert status.keys() >= {"last_save", "requests"}
    info = server.ask("GET", "/api/vector_info").json()
    assert (info["dimension"], info["metric"], info["count"], info["norm"]) == (DIMENSION, "cosine", 3, 1.0)
    one = server.ask("GET", f"/api/vector_info?image_id={image_id}").json()
    assert (one["class_id"], one["norm"]) == ("PERSON_001", pytest.approx(1.0, abs=1e-3))
    assert server.ask("GET", "/api/vector_info?image_id=999999").status_code == 404
    assert server.ask("GET", "/api/vector_info?image_id=x").status_code == 400


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready", "/health/detailed"])
def test_health(server: Any, path: str) -> None:
    answer = server.ask("GET", path)
    assert answer.status_code == 200
    assert answer.json()["status"] in ("healthy", "online")  # of one path face-server's answer is given


def test_the_audit_names_the_author_of_each_write(server: Any, ayu: list[Path]) -> None:
    username = account(server)
    bearer = {"Authorization": f"Bearer {sign_in(server, username)['token']}"}
    image_id = add(server, bearer, "PERSON_001", *ayu).json()["image_id"]
    server.ask("DELETE", f"/api/delete_image?image_id={image_id}", headers=bearer)
    server.ask("DELETE", "/api/delete_class/PERSON_001", headers=bearer)
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        given = {"limit": 1000} | ({"cursor": cursor} if cursor else {})
        page = server.ask("GET", "/v1/events", headers=server.admin, params=given).json()
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    mine = [one["kind"] for one in items if one["actor"] == f"account:{username}" and one["kind"] != "threshold"]
    assert mine == ["register", "delete_face", "delete"]
