"""All contracts over one gallery: a person enrolled through one is recognised through every other."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from facedex._core import PackInfo
from facedex.engine import Engine
from facedex.errors import ArgumentError
from facedex.http.contracts.mask import apply_mask, read_mask
from facedex.scales import ARCFACE_R18, ARCFACE_R50, ARCFACE_R100, DLIB, Calibration, ScaleMap

PASSWORD = "correct horse battery"


def by_flask_face(server: Any, pictures: list[Path]) -> requests.Response:
    user = server.ask("POST", "/api/users", json={"name": "AYU", "email": "ayu@example.org"}).json()
    for picture in pictures:
        server.ask("POST", f"/api/photos/{user['id']}/upload", files={"file": picture.read_bytes()})
    answer: requests.Response = server.ask("POST", "/api/training/incremental", json={"user_id": user["id"]})
    return answer


def by_face_server(server: Any, pictures: list[Path]) -> requests.Response:
    for picture in pictures:
        photo = base64.b64encode(picture.read_bytes()).decode()
        answer: requests.Response = server.ask("POST", "/register-face", json={"user_id": 7, "photo": photo})
    return answer


def by_face_re(server: Any, pictures: list[Path]) -> requests.Response:
    answer: requests.Response = server.ask(
        "POST", "/api/face/register", data={"name": "AYU"}, files={"file": pictures[0].read_bytes()}
    )
    return answer


def by_face_api(server: Any, pictures: list[Path]) -> requests.Response:
    body = {"username": uuid4().hex, "password": PASSWORD}
    server.ask("POST", "/api/register", json=body)
    token = server.ask("POST", "/api/login", json=body).json()["token"]
    answer: requests.Response = server.ask(
        "POST",
        "/api/add_embedding",
        data={"class_id": "PERSON_001", "name": "AYU"},
        files=[("file", (picture.name, picture.read_bytes())) for picture in pictures],
        headers={"Authorization": f"Bearer {token}"},
    )
    return answer


def by_mtcnn_facenet(server: Any, pictures: list[Path]) -> requests.Response:
    files = [("files", (picture.name, picture.read_bytes())) for picture in pictures]
    answer: requests.Response = server.ask("POST", "/upload/", data={"nik": "12345", "nama": "AYU"}, files=files)
    return answer


ENROL = [by_flask_face, by_face_server, by_face_re, by_face_api, by_mtcnn_facenet]


@pytest.mark.parametrize("enrol", ENROL, ids=lambda verb: verb.__name__.removeprefix("by_"))
def test_a_person_is_recognised_through_every_other_contract(
    server: Any,
    enrol: Callable[[Any, list[Path]], requests.Response],
    ayu: list[Path],
    ayu_again: Path,
    budi: Path,
) -> None:
    recognised_everywhere(server, enrol, ayu, ayu_again, budi)


def recognised_everywhere(
    server: Any, enrol: Callable[[Any, list[Path]], requests.Response], ayu: list[Path], ayu_again: Path, budi: Path
) -> None:
    """Enrol a person, and recognise only them through each contract."""
    answer = enrol(server, ayu)
    assert answer.ok, answer.text
    picture, other = ({"file": path.read_bytes()} for path in (ayu_again, budi))

    flask = server.ask("POST", "/api/face/predict", files=picture).json()
    assert flask["status"] == "success"
    assert isinstance(flask["data"]["user_id"], int)
    assert server.ask("POST", "/api/face/predict", files=other).json()["status"] == "unknown"
    signed = server.ask(
        "POST", "/api/auth/login-face-verify", data={"user_id": flask["data"]["user_id"]}, files=picture
    )
    assert signed.json()["data"]["match"] is True

    photos = [base64.b64encode(path.read_bytes()).decode() for path in (ayu_again, budi)]
    said = [server.ask("POST", "/recognize", json={"photo": photo}).json() for photo in photos]
    assert [one["success"] for one in said] == [True, False]
    nik = said[0]["user_id"]

    said = [server.ask("POST", "/api/face/recognition", files=files).json() for files in (picture, other)]
    assert [one["match"] for one in said] == [True, False]

    said = [
        server.ask("POST", "/api/face_query", files=files, data={"threshold": 0.3}).json() for files in (picture, other)
    ]
    assert said[0]["person_info"]["class_id"] == str(nik)
    assert said[1]["person_info"] is None

    said = [
        server.ask("POST", "/recognize/", data={"nik_input": str(nik)}, files=files).json()
        for files in (picture, other)
    ]
    assert [one["nik_matched"] for one in said] == [True, False]


@pytest.mark.shared
def test_a_person_is_recognised_through_every_other_contract_with_another_pack(
    mobile: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ayu: list[Path], ayu_again: Path, budi: Path
) -> None:
    monkeypatch.setenv("FACEDEX_HOME", str(mobile.folder / "home"))
    engine = Engine("mobile")
    known, seen = (engine.analyze(path, max_faces=1)[0].embedding for path in (ayu[0], ayu_again))
    assert known is not None
    assert seen is not None
    cosine = float(known @ seen)
    for enrol in ENROL:
        mobile.empty()
        recognised_everywhere(mobile, enrol, ayu, ayu_again, budi)
        if enrol is by_face_re:  # which takes one picture
            numbers_are_those_of_the_scales(mobile, engine.pack, cosine, ayu_again)


def numbers_are_those_of_the_scales(server: Any, pack: PackInfo, cosine: float, probe: Path) -> None:
    """Check that each contract returns a similarity on its own scale, or as a probability."""
    files = {"file": probe.read_bytes()}
    photo = base64.b64encode(probe.read_bytes()).decode()
    told = {
        ARCFACE_R50: server.ask("POST", "/api/face/predict", files=files).json()["data"]["similarity"],
        ARCFACE_R100: server.ask("POST", "/api/face/recognition", files=files).json()["score"],
        ARCFACE_R18: server.ask("POST", "/api/face_query", files=files).json()["similarity"],
        DLIB: 1 - server.ask("POST", "/recognize", json={"photo": photo}).json()["confidence"],
    }
    for scale, number in told.items():
        assert number == pytest.approx(ScaleMap(pack, scale).from_pack(cosine), abs=2e-3), scale.name
    (found,) = server.ask("POST", "/recognize/", data={"nik_input": "x"}, files=files).json()["results"]
    assert found["accuracy"] == pytest.approx(Calibration(pack).probability(cosine), abs=2e-3)


def test_a_deletion_through_one_contract_applies_to_all(server: Any, ayu: list[Path], ayu_again: Path) -> None:
    by_mtcnn_facenet(server, ayu)
    assert server.ask("DELETE", "/face/12345").status_code == 200
    picture = {"file": ayu_again.read_bytes()}
    assert server.ask("POST", "/api/face/predict", files=picture).json()["status"] == "unknown"
    assert server.ask("POST", "/api/face/recognition", files=picture).json()["match"] is False
    assert server.ask("POST", "/api/face_query", files=picture).json()["person_info"] is None


PATHS = [
    ("POST", "/api/users"),
    ("POST", "/api/photos/1/upload"),
    ("POST", "/api/photos/x/upload/multiple"),
    ("GET", "/api/users/99999999999999999999999"),
    ("GET", "/api/users/-1"),
    ("GET", "/api/photos/1/99999999999999999999999/view"),
    ("POST", "/api/training/incremental"),
    ("POST", "/api/face/predict"),
    ("POST", "/api/auth/login-pass-verify"),
    ("POST", "/api/auth/login-face-verify"),
    ("POST", "/api/auth/login-face"),
    ("POST", "/api/auth/verify"),
    ("POST", "/api/auth/logout"),
    ("GET", "/api/auth/tokens/x"),
    ("POST", "/register-face"),
    ("POST", "/recognize"),
    ("GET", "/status/%00"),
    ("DELETE", "/face/%00%ff"),
    ("DELETE", "/face/" + "x" * 300),
    ("POST", "/api/face/register"),
    ("POST", "/api/face/recognition"),
    ("DELETE", "/api/face/recognition/%00"),
    ("POST", "/api/login"),
    ("POST", "/api/register"),
    ("POST", "/api/face_query"),
    ("GET", "/api/list_nguoi?query=%00&page=1"),
    ("GET", "/api/get_image_ids_by_class/%00"),
    ("GET", "/api/vector_info?image_id=99999999999999999999999"),
    ("POST", "/upload/"),
    ("POST", "/recognize/"),
]
FOREIGN = ("person_id", "on_existing", "faces=", "add_photo", "photos=", "gallery", "login or")
"""Words of facedex that no contract has."""

BODIES: list[dict[str, Any]] = [
    {},
    {"data": b"\x00\xff" * 50},
    {"data": "{", "headers": {"Content-Type": "application/json"}},
    {"data": "[" * 5000, "headers": {"Content-Type": "application/json"}},
    {"json": None},
    {"json": {"photo": {"a": []}, "user_id": [], "name": {}, "email": [], "token": {}, "username": [], "password": 1}},
    {
        "json": {
            "user_id": 10**400,
            "photo": "AAAA",
            "email": "a@b",
            "name": "\u0000",
            "password": "\ud800" * 0 + "x" * 9,
        }
    },
    {"data": b"--x\r\nbroken", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
    {"data": b"anything", "headers": {"Content-Type": "multipart/form-data"}},
    {"files": {"file": ("\x00/../a.jpg", b"\xff\xd8\xff" + b"\0" * 100)}, "data": {"name": "\x00", "user_id": "\x00"}},
    {"files": {"files": ("a", b"GIF89a")}, "data": {"nik": "\x00", "nama": "\x00", "user_id": "9" * 400}},
]


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_bad_input_never_gives_a_server_error(server: Any, method: str, path: str) -> None:
    for body in BODIES if method == "POST" else BODIES[:1]:
        answer = server.ask(method, path, **body)
        assert 200 <= answer.status_code < 500, (body, answer.text)
        if answer.status_code >= 400:
            said = answer.json()
            assert said.get("message") or said.get("detail"), answer.text
            assert not [word for word in FOREIGN if word in answer.text], answer.text


@given(st.text(alphabet="ab{},* ", max_size=30))
def test_any_mask_is_accepted_or_refused(text: str) -> None:
    try:
        mask = read_mask(text)
    except ArgumentError:
        return
    kept = apply_mask({"a": 1, "b": {"a": 2, "ab": [3, {"b": 4}]}}, mask)
    assert isinstance(kept, dict)


@given(
    st.dictionaries(
        st.sampled_from("abcd"), st.one_of(st.integers(), st.dictionaries(st.sampled_from("ab"), st.integers()))
    )
)
def test_a_mask_of_all_fields_changes_nothing(answer: dict[str, Any]) -> None:
    assert apply_mask(answer, read_mask("*")) == answer
    if answer:
        assert apply_mask(answer, read_mask(",".join(answer))) == answer


def test_an_unknown_contract_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine) -> None:
    from facedex.http import Settings, create_app

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACEDEX_HOME", str(tmp_path / "home"))
    with pytest.raises(ArgumentError, match="mtcnn-facenet"):
        create_app(Settings(db=str(tmp_path / "a.db"), contracts=("face-sever",)), engine=engine)


def test_any_subset_of_contracts_is_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine) -> None:
    from facedex.http import Settings, create_app

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACEDEX_HOME", str(tmp_path / "home"))
    for contracts, there, absent in (
        ((), "/v1/people", "/recognize"),
        (("face-server",), "/recognize", "/recognize/"),
        (("mtcnn-facenet", "face-re"), "/recognize/", "/recognize"),
    ):
        app = create_app(Settings(db=str(tmp_path / "a.db"), contracts=contracts), engine=engine)
        paths = app.openapi()["paths"]
        assert there in paths
        assert absent not in paths
        app.state.facedex.close()


def test_a_body_that_is_too_large_is_413_in_the_format_of_the_contract(server: Any) -> None:
    for path, keys in (
        ("/api/users", {"message"}),
        ("/api/training/start", {"success", "message"}),
        ("/api/auth/verify", {"status", "message"}),
        ("/register-face", {"success", "message"}),
        ("/recognize", {"success", "message"}),
        ("/recognize/", {"message"}),
        ("/api/face/register", {"message"}),
        ("/api/login", {"success", "message"}),
    ):
        connection = HTTPConnection(server.url.removeprefix("http://"), timeout=30)
        connection.putrequest("POST", path)
        connection.putheader("Content-Length", str(1 << 40))
        connection.endheaders()
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read()).keys()) == (413, keys), path
        connection.close()


def test_long_operations_run_one_at_a_time(server: Any, ayu: list[Path]) -> None:
    by_flask_face(server, ayu)
    paths = ["/api/training/start", "/api/optimize_index", "/api/training/start", "/api/rebuild_index"]
    with ThreadPoolExecutor(len(paths)) as pool:
        answers = list(pool.map(lambda path: server.ask("POST", path, json={}, headers=server.admin), paths))
    assert [answer.status_code for answer in answers] == [200] * len(paths)
    assert answers[0].json()["data"]["total_faces"] == 3
