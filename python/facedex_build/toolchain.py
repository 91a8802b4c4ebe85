"""Are the compilers there? Asked before a build, so that a missing one is told in a line that names the remedy."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from facedex_build.errors import BuildError

_RUST_REMEDY = "install Rust from https://rustup.rs and open a new shell"


def check(root: Path) -> None:
    """Look for Rust in the version that Cargo.toml asks for, and for a C++ compiler.

    Raises
    ------
    BuildError
        One of them is missing or too old.
    """
    _check_rust(_minimum_rust(root))
    # the search index is C++; on Windows its compiler is found through the registry, by the build itself
    if os.name == "posix" and not any(shutil.which(name) for name in _compilers()):
        raise BuildError("no C++ compiler found; install one (Debian: apt install g++, macOS: xcode-select --install)")


def _check_rust(wanted: tuple[int, ...]) -> None:
    missing = [name for name in ("cargo", "rustc") if shutil.which(name) is None]
    if missing:
        raise BuildError(f"{missing[0]} is not on the PATH; {_RUST_REMEDY}")
    told = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"rustc (\d+)\.(\d+)", told.stdout)
    if found is None:
        raise BuildError(f"rustc does not run ({told.stderr.strip()[:200]!r}); {_RUST_REMEDY}")
    version = tuple(int(part) for part in found.groups())
    if version < wanted:
        have, need = ".".join(map(str, version)), ".".join(map(str, wanted))
        raise BuildError(f"Rust {have} is too old, {need} is needed; run: rustup update stable")


def _minimum_rust(root: Path) -> tuple[int, ...]:
    found = re.search(r'^rust-version = "(\d+)\.(\d+)', (root / "Cargo.toml").read_text("utf-8"), re.MULTILINE)
    return tuple(int(part) for part in found.groups()) if found else (0, 0)


def _compilers() -> tuple[str, ...]:
    chosen = os.environ.get("CXX", "").split()
    return tuple(chosen[:1]) or ("c++", "g++", "clang++")
