"""The files for containers are well-formed by the linters of their formats; no engine runs here."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from facedex.cli.app import app
from facedex.engine import Engine
from facedex.http import Settings, create_app

ROOT = Path(__file__).parents[1]


def test_the_dockerfile_passes_its_linter() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("needs hadolint, whose package is for Linux on x86-64: make test there")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_compose_file_fits_the_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, ROOT / "compose.yaml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_files_that_the_build_reads_are_not_ignored() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert all((ROOT / name).exists() for name in kept)
    assert kept >= {"Cargo.toml", "Cargo.lock", "LICENSE", "README.md", "models", "pyproject.toml", "python", "src"}


def test_the_health_check_uses_a_route_of_the_server(tmp_path: Path, engine: Engine) -> None:
    (path,) = re.findall(r"http://127\.0\.0\.1:8000(/\S+?)'", (ROOT / "Dockerfile").read_text("utf-8"))
    with TestClient(create_app(Settings(db=str(tmp_path / "people.db")), engine=engine), "http://127.0.0.1") as client:
        assert client.get(path).status_code == 200


@pytest.mark.parametrize("file", ["Dockerfile", "compose.yaml"])
def test_the_commands_in_the_comments_are_understood(file: str, tmp_path: Path) -> None:
    (command,) = re.findall(r"^#.* facedex (keys add .*)$", (ROOT / file).read_text("utf-8"), re.MULTILINE)
    done = CliRunner().invoke(app, [*command.split(), "--db", str(tmp_path / "people.db")])
    assert done.exit_code == 0, done.output
