"""The build hooks: a missing tool ends the build with one line that names the remedy."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from facedex_build import backend
from facedex_build.errors import BuildError

ROOT = Path(__file__).parents[2]


def program(folder: Path, name: str, says: str = "", status: int = 0) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\nexit {status}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH of one empty folder."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    return tmp_path


needs_posix = pytest.mark.skipif(os.name != "posix", reason="needs shell scripts: Linux or macOS")


@needs_posix
def test_everything_there(tools: Path) -> None:
    program(tools, "cargo")
    program(tools, "rustc", "rustc 1.95.0 (1234 2026-01-01)")
    program(tools, "g++")
    backend.check_toolchain(ROOT)


def test_no_rust(tools: Path) -> None:
    with pytest.raises(BuildError, match="cargo is not on the PATH; install Rust from"):
        backend.check_toolchain(ROOT)


@needs_posix
def test_old_rust(tools: Path) -> None:
    program(tools, "cargo")
    program(tools, "rustc", "rustc 1.70.0 (1234 2023-01-01)")
    with pytest.raises(BuildError, match=r"Rust 1.70 is too old, 1.\d+ is needed; run: rustup update stable"):
        backend.check_toolchain(ROOT)


@needs_posix
def test_rust_that_does_not_run(tools: Path) -> None:
    program(tools, "cargo")
    program(tools, "rustc", "error: no default toolchain", status=1)
    with pytest.raises(BuildError, match=r"rustc does not run .*install Rust from"):
        backend.check_toolchain(ROOT)


@needs_posix
def test_no_compiler(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tools, "cargo")
    program(tools, "rustc", "rustc 1.95.0")
    with pytest.raises(BuildError, match=r"no C\+\+ compiler found; install one"):
        backend.check_toolchain(ROOT)
    program(tools, "my-compiler")
    monkeypatch.setenv("CXX", "my-compiler -m64")
    backend.check_toolchain(ROOT)


def test_the_hook_ends_with_one_line(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": str(tmp_path), "PYTHONPATH": str(ROOT / "python")}
    ended = subprocess.run(
        [sys.executable, "-c", "import facedex_build; facedex_build.get_requires_for_build_wheel()"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("facedex: cargo is not on the PATH; install Rust")
    assert ended.stderr.count("\n") == 1
