"""A pack's name or path → its manifest and the folders in which its files lie.

The manifests of the packs that facedex knows come with the package. Only ``classic`` has its files there too; a path to
a manifest has them beside it. What the files contain is checked when they are loaded, not here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import PackNotFoundError

_DATA = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class PackLocation:
    """Where a pack is.

    Attributes
    ----------
    manifest : pathlib.Path
        The TOML file that declares it.
    folders : tuple of pathlib.Path
        Where its files are looked for, in order.
    """

    manifest: Path
    folders: tuple[Path, ...]


def built_in() -> tuple[str, ...]:
    """Names of the packs whose manifests come with facedex, sorted."""
    return tuple(sorted(path.stem for path in (_DATA / "manifests").glob("*.toml")))


def find(pack: str | os.PathLike[str]) -> PackLocation:
    """Find a pack.

    Parameters
    ----------
    pack : str or path
        A name, such as ``"classic"``, or the path of a manifest, which ends in ``.toml``.

    Returns
    -------
    PackLocation
        Its manifest and folders.

    Raises
    ------
    PackNotFoundError
        No pack of that name, or no file at that path.
    """
    text = os.fspath(pack)
    if text.endswith(".toml"):
        manifest = Path(text)
        if not manifest.is_file():
            raise PackNotFoundError(f"there is no manifest at {text!r}")
        return PackLocation(manifest, (manifest.parent,))
    if text not in built_in():
        known = ", ".join(built_in()) or "none: the package was built without its data"
        raise PackNotFoundError(f"no pack is called {text!r}; known are {known}; or give the path of a .toml manifest")
    return PackLocation(_DATA / "manifests" / f"{text}.toml", (_DATA / text,))
