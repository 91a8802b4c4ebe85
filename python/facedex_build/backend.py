"""The hooks of PEP 517 and 660: maturin's, with the weights of the built-in packs made first.

A wheel and an editable installation get the weights and the manifests as package data, the wheel of all built-in packs,
an editable installation perhaps without those of `OPTIONAL`; a source distribution gets the means to make them. What is
wrong is told in one line on standard error and ends the build, without a trace.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from facedex_build import npm, toolchain, weights
from facedex_build.errors import BuildError

ROOT = Path(__file__).resolve().parents[2]

OPTIONAL = ("base",)
"""Packs that an editable installation may lack."""

Settings = Mapping[str, Any] | None


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """Return the package with an npm where one is needed and none is there, once the compilers are known to be."""
    with _one_line():
        toolchain.check(ROOT)
        return npm.requirements(weights.to_fetch(ROOT))


def get_requires_for_build_editable(config_settings: Settings = None) -> list[str]:
    """As for a wheel."""
    return get_requires_for_build_wheel(config_settings)


def get_requires_for_build_sdist(config_settings: Settings = None) -> list[str]:
    """Return nothing more than pyproject.toml asks for."""
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

    Where their sources cannot be fetched, one can still work on the code with the other packs.
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
