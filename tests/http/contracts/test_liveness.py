"""Anti-spoofing and demographics with the networks that judge them, and face sign-in that requires a live face."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient

from facedex import people
from facedex.engine import Engine
from facedex.http import Settings, create_app
from facedex.packs import find
from facedex.server import Passwords

pytestmark = pytest.mark.shared

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
NETWORKS = {
    "MiniFASNetV2.onnx": "minifasnet_v2_2.7_80x80.onnx",
    "MiniFASNetV1SE.onnx": "minifasnet_v1se_4.0_80x80.onnx",
}


@pytest.fixture(scope="module")
def judging(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """The built-in pack with the networks for liveness, as the shared data have them: converted by others."""
    folder = tmp_path_factory.mktemp("liveness")
    manifest = find("liveness").manifest.read_text()
    for ours, theirs in NETWORKS.items():
        content = (shared / "models" / "liveness" / theirs).read_bytes()
        (folder / ours).write_bytes(content)
        declared = re.compile(rf'(name = "{re.escape(ours)}"\nsize = )\d+(\nsha256 = ")\w+')
        manifest, number = declared.subn(rf"\g<1>{len(content)}\g<2>{hashlib.sha256(content).hexdigest()}", manifest)
        assert number == 1
    (folder / "liveness.toml").write_text(manifest.replace('outputs = ["output"]', 'outputs = ["logits"]'))
    return Engine("classic", add=[folder / "liveness.toml"])


@pytest.fixture
def ask(judging: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., TestClient]]:
    """Make a client of a server with settings and one registered person."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACEDEX_HOME", str(tmp_path / "home"))
    clients: list[TestClient] = []

    def make(**environment: str) -> TestClient:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        settings = Settings(db=str(tmp_path / "people.db"), contracts=("face-api", "flask-face"))  # type: ignore[arg-type]
        client = TestClient(
            create_app(settings, engine=judging, passwords=Passwords(CHEAP)), base_url="http://localhost"
        )
        clients.append(client.__enter__())
        user = client.post("/api/users", json={"name": "Ayu", "email": "ayu@example.org"}).json()
        files = {"file": people.PICTURES["ayu"][0].read_bytes()}
        assert client.post(f"/api/photos/{user['id']}/upload", files=files).status_code == 201
        assert client.post("/api/training/incremental", json={"user_id": user["id"]}).status_code == 200
        return client

    yield make
    for client in clients:
        client.__exit__(None, None, None)


def query(client: TestClient, picture: Path, **more: Any) -> Any:
    return client.post("/api/face_query", files={"file": picture.read_bytes()}, data=more)


def test_a_live_face_and_an_attack_are_distinguished(ask: Callable[..., TestClient], shared: Path) -> None:
    client = ask(ENABLE_ANTI_SPOOFING="true")
    spoof = shared / "faces" / "spoof"
    real, attack = (
        query(client, spoof / name, threshold=-1).json() for name in ("minivision_T1.jpg", "minivision_F2.jpg")
    )
    assert (real["is_real"], attack["is_real"]) == (True, False)
    assert 0 <= real["spoof_score"] < 0.3 < attack["spoof_score"] <= 1
    assert real["person_info"] is not None
    assert attack["person_info"] is None  # whoever it shows, an attack is nobody's
    assert "anti_spoofing" not in real


def test_without_the_setting_liveness_is_not_checked(ask: Callable[..., TestClient], shared: Path) -> None:
    said = query(ask(), shared / "faces" / "spoof" / "minivision_F2.jpg").json()
    assert "is_real" not in said
    assert "anti_spoofing" not in said


def test_strict_refuses_faces_of_unknown_liveness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACEDEX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ENABLE_ANTI_SPOOFING", "true")
    monkeypatch.setenv("ANTI_SPOOFING_STRICT", "true")
    settings = Settings(db=str(tmp_path / "people.db"), contracts=("face-api",))  # type: ignore[arg-type]
    with TestClient(
        create_app(settings, engine=engine, passwords=Passwords(CHEAP)), base_url="http://localhost"
    ) as client:
        for _ in range(2):  # with nobody registered, and with somebody
            answer = query(client, people.PROBES["ayu"][0])
            assert (answer.status_code, answer.json()["success"]) == (400, False)
            files = {"image": people.PICTURES["ayu"][0].read_bytes()}
            client.post("/v1/people", data={"person_id": "ayu"}, files=files)


def test_an_attack_does_not_sign_in(ask: Callable[..., TestClient], shared: Path) -> None:
    client = ask()  # the server's own default requires a live face
    attack = (shared / "faces" / "spoof" / "minivision_F2.jpg").read_bytes()
    answer = client.post("/api/auth/login-face", files={"file": attack})
    assert (answer.status_code, answer.json()["status"]) == (401, "error")
    [user] = client.get("/api/users").json()
    answer = client.post("/api/auth/login-face-verify", data={"user_id": user["id"]}, files={"file": attack})
    assert answer.status_code in (401, 403)
    assert "token" not in answer.text


def test_face_sign_in_is_refused_without_a_liveness_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACEDEX_HOME", str(tmp_path / "home"))
    settings = Settings(db=str(tmp_path / "people.db"), contracts=("flask-face",))  # type: ignore[arg-type]
    with TestClient(
        create_app(settings, engine=engine, passwords=Passwords(CHEAP)), base_url="http://localhost"
    ) as client:
        files = {"image": people.PICTURES["ayu"][0].read_bytes()}
        client.post("/v1/people", data={"person_id": "ayu"}, files=files)
        picture = {"file": people.PROBES["ayu"][0].read_bytes()}
        assert client.post("/api/face/predict", files=picture).json()["status"] == "success"
        answer = client.post("/api/auth/login-face", files=picture)
        assert (answer.status_code, answer.json()["status"]) == (401, "error")
        assert "liveness" in answer.json()["message"]
