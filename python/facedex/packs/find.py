"""A pack's name or path → its manifest and the folders in which its files lie.

The manifests of the packs that facedex knows come with the package; their files are fetched into the folder for packs
or installed by pip, but for those of `BUNDLED`, which come with the package too. A manifest of one's own has its files
beside it. What the files contain is checked when they are loaded, not here.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import PackFolderError, PackNotFoundError
from .home import folder_of, home, read_json
from .installed import InstalledPack, installed

_DATA = Path(__file__).parent / "data"
BUNDLED = ("base", "classic")
"""The packs whose files come with the package."""

PREFERRED = ("base", "classic")
"""The packs of which the first that is here is used where none is named; see `default`."""

_FIRST = (*BUNDLED, "mobile", "open")


@dataclass(frozen=True, slots=True)
class PackLocation:
    """Where a pack is.

    Attributes
    ----------
    manifest : pathlib.Path
        The TOML file that declares it.
    folders : tuple of pathlib.Path
        Where its files are looked for, in order.
    key : str
        Names its folder and its lock among the packs of this machine.
    package : InstalledPack or None
        The package that brings its files, where pip installed them.
    """

    manifest: Path
    folders: tuple[Path, ...]
    key: str
    package: InstalledPack | None = None

    @property
    def folder(self) -> Path:
        """The first place of its files: of a built-in pack its own, of one's own manifest the folder beside it."""
        return self.folders[0]

    def folders_of(self, pack: str | None) -> tuple[Path, ...]:
        """Where a file is looked for: among those of a bundled pack only where the manifest says that it is of it."""
        others = {folder for name, folder in _bundled().items() if name not in (pack, self.key)}
        return tuple(folder for folder in self.folders if folder not in others)

    @property
    def cache(self) -> Path:
        """Where files of it are fetched to; nobody but facedex writes there."""
        return folder_of(self.key)

    @property
    def bundled(self) -> bool:
        """Whether its files come with facedex."""
        return self.key in BUNDLED

    def with_package(self) -> PackLocation:
        """Look for the files of a pack of facedex also where pip installed them."""
        package = None if self.bundled or self.package is not None else installed().get(self.key)
        if package is None:
            return self
        return replace(self, folders=(*self.folders, package.folder), package=package)


def built_in() -> tuple[str, ...]:
    """Names of the packs whose manifests come with facedex, those to try first at the head."""
    names = {path.stem for path in (_DATA / "manifests").glob("*.toml")}
    return tuple(sorted(names, key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name)))


def added_file() -> Path:
    """Tell the place of the record of added manifests."""
    return home() / "added.json"


def added() -> dict[str, Path]:
    """Name → manifest of the packs that were added.

    Raises
    ------
    PackFolderError
        The record is damaged.
    """
    content = read_json(added_file())
    if not all(isinstance(path, str) for path in content.values()):
        raise PackFolderError(f"the record {str(added_file())!r} is damaged: a path is no text; move it away")
    return {name: Path(path) for name, path in content.items()}


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
        return _own(Path(text), f"there is no manifest at {text!r}")
    if text in built_in():
        bundled = _bundled()
        first = bundled.get(text, folder_of(text))
        folders = (first, *(folder for folder in bundled.values() if folder != first))
        return PackLocation(_DATA / "manifests" / f"{text}.toml", folders, text)
    others = added()
    if text in others:
        remedy = f"or forget it: facedex packs remove {text}"
        return _own(
            others[text], f"pack {text!r} was added from {str(others[text])!r}, which is gone; restore it, {remedy}"
        )
    packages = installed()
    if text in packages:
        return _own(packages[text].manifest, "", packages[text])
    known = ", ".join([*built_in(), *others, *packages]) or "none: the package was built without its data"
    raise PackNotFoundError(f"no pack is called {text!r}; known are {known}; or give the path of a .toml manifest")


def _bundled() -> dict[str, Path]:
    return {name: _DATA / name for name in BUNDLED}


def _own(manifest: Path, absent: str, package: InstalledPack | None = None) -> PackLocation:
    if not manifest.is_file():
        raise PackNotFoundError(absent)
    place = manifest.resolve()
    # Its name is its own affair, and may be that of another pack: the path tells it apart.
    key = f"own-{hashlib.sha256(os.fsencode(place)).hexdigest()[:16]}"
    return PackLocation(manifest, (place.parent, folder_of(key), *_bundled().values()), key, package)
