"""An application frozen by PyInstaller: the packs, the migrations and the ONNX Runtime go with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
APART = ("faiss", "insightface", "IPython", "matplotlib", "onnx", "pandas", "playwright", "pymilvus", "pytest", "scipy")
"""Packages of the test environment that facedex runs without; PyInstaller would copy them."""


def hook_folders() -> list[str]:
    """The folders that the entry point names, read as PyInstaller does."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    module, _, function = project["entry-points"]["pyinstaller40"]["hook-dirs"].partition(":")
    folders: list[str] = getattr(import_module(module), function)()
    return folders


def test_the_entry_point_names_the_folder_of_the_hook() -> None:
    (folder,) = hook_folders()
    assert (Path(folder) / "hook-facedex.py").is_file()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_frozen_application_registers_and_recognizes(tmp_path: Path) -> None:
    pytest.importorskip("PyInstaller", reason="pip install pyinstaller")
    (tmp_path / "application.py").write_text("from facedex.cli import main\nmain()\n", "utf-8")
    excluded = [option for name in APART for option in ("--exclude-module", name)]
    hooks = [option for folder in hook_folders() for option in ("--additional-hooks-dir", folder)]
    freeze = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "ERROR", *excluded, *hooks]
    subprocess.run([*freeze, "application.py"], cwd=tmp_path, check=True, timeout=800)
    program = tmp_path / "dist" / "application" / "application"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "FACEDEX"))}
    done = subprocess.run([program, "demo", "--json"], cwd=tmp_path, env=kept, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    decisions = json.loads(done.stdout)["decisions"]
    assert decisions
    assert all(decision["right"] for decision in decisions)
