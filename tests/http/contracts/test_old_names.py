"""Settings under the names of the older backends."""

from __future__ import annotations

from pathlib import Path

import pytest

from facedex.http import Settings
from facedex.http.contracts.face_api.setup import FaceApiSettings
from facedex.http.contracts.face_server import FaceServerSettings


@pytest.fixture(autouse=True)
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("HOST", "PORT", "FLASK_HOST", "FLASK_PORT", "FACEDEX_PORT", "FACEDEX_CONTRACTS", "ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("contracts", "host", "port"),
    [
        ("face-server", "127.0.0.2", 5001),
        ("face-api", "127.0.0.3", 8001),
        ("face-re", "127.0.0.1", 8000),
        ("", "127.0.0.1", 8000),
    ],
)
def test_address_and_port_follow_the_contract(
    monkeypatch: pytest.MonkeyPatch, contracts: str, host: str, port: int
) -> None:
    monkeypatch.setenv("FACEDEX_CONTRACTS", contracts)
    monkeypatch.setenv("FLASK_HOST", "127.0.0.2")
    monkeypatch.setenv("FLASK_PORT", "5001")
    monkeypatch.setenv("HOST", "127.0.0.3")
    monkeypatch.setenv("PORT", "8001")
    settings = Settings()
    assert (settings.host, settings.port) == (host, port)


def test_facedex_settings_and_arguments_take_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_PORT", "5001")
    assert Settings(contracts=("face-server",)).port == 5001
    monkeypatch.setenv("FACEDEX_PORT", "5002")
    assert Settings(contracts=("face-server",)).port == 5002
    assert Settings(contracts=("face-server",), port=5003).port == 5003


def test_the_environment_takes_precedence_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("PORT=8001\nASYNC_WORKERS=4\nFAISS_INDEX_TYPE=IndexIVFFlat\nMAX_FILE_SIZE=1000\n")
    settings = Settings(contracts=("all",))
    assert (settings.port, settings.concurrency, settings.index) == (8001, 4, "ivf")
    monkeypatch.setenv("PORT", "8002")
    assert Settings(contracts=("all",)).port == 8002
    assert FaceApiSettings().max_file_size == 1000


def test_swagger_is_off_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "development")
    assert Settings(contracts=("face-re",)).docs is True
    monkeypatch.setenv("ENVIRONMENT", "production")
    assert Settings(contracts=("face-re",)).docs is False
    assert Settings(contracts=()).docs is True


def test_the_defaults_follow_the_contract() -> None:
    server = FaceServerSettings()
    assert (server.face_data_dir, server.recognition_tolerance, server.face_quality_threshold) == (
        "./face_data",
        0.6,
        0.8,
    )
    assert (server.max_faces_per_user, server.log_level) == (5, "INFO")
    api = FaceApiSettings()
    assert (api.max_file_size, api.max_vectors, api.anti_spoofing_threshold) == (10 * 1024 * 1024, 1_000_000, 0.7)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RECOGNITION_TOLERANCE", "x"),
        ("RECOGNITION_TOLERANCE", "-1"),
        ("MAX_FACES_PER_USER", "0"),
        ("LOG_LEVEL", "LOUD"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=name.lower()):
        FaceServerSettings()


def test_the_largest_body_follows_the_contract_unless_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().largest_body == 10 << 20
    assert Settings(contracts=("face-re",)).largest_body == 10 << 20
    settings = Settings(contracts=("face-server", "mtcnn-facenet"))
    assert settings.max_upload_bytes == 10 << 20
    assert settings.largest_body == settings.largest_body_of("mtcnn-facenet") == 64 << 20
    assert (settings.largest_body_of("face-server"), settings.largest_body_of(None)) == (15 << 20, 10 << 20)
    assert Settings(contracts=("all",)).largest_body == 64 << 20
    monkeypatch.setenv("FACEDEX_MAX_UPLOAD_BYTES", "5000")
    settings = Settings(contracts=("all",))
    assert settings.largest_body == settings.largest_body_of("flask-face") == 5000
