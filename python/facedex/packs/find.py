"""Finds the manifest and the folders of a pack by its name or path.

The manifests of the built-in packs come with the package. Their files are fetched into the folder for packs or
installed by pip; those of `BUNDLED` come with the package too. The files of the user's own manifest lie beside it. A
package that brings a pack, such as `wheel` makes, announces it by an entry point, which names the folder of the
manifest; nothing of the package is imported. The content of the files is checked when they are loaded, not here.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from .._core import is_plain_name
from ..checks import check_path
from ..errors import PackFolderError, PackNotFoundError
from .records import data_folder, pack_folder, read_own_json

_DATA = Path(__file__).parent / "data"
_MANIFESTS = _DATA / "manifests"
BUNDLED = ("base", "classic")
"""The packs whose files come with the package."""

PREFERRED = ("base", "classic")
"""The packs of which the first that is here is used where none is named; see `default`."""

GROUP = "facedex.packs"
"""Group of the entry points that announce packs."""

ADDED = "added.json"
"""Name of the record of added manifests, in the folder for packs."""

_MODULE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)

_FIRST = (*BUNDLED, "mobile", "open")


@dataclass(frozen=True, slots=True)
class InstalledPack:
    """A pack in a package that pip installed.

    Attributes
    ----------
    manifest : pathlib.Path
        The TOML file that declares it; its files lie beside it.
    distribution : str
        Name of the package, as ``pip uninstall`` takes it.
    """

    manifest: Path
    distribution: str

    @property
    def folder(self) -> Path:
        """The folder of its files."""
        return self.manifest.parent


@dataclass(frozen=True, slots=True)
class PackLocation:
    """Where a pack is.

    Attributes
    ----------
    manifest : pathlib.Path
        The TOML file that declares it.
    folders : tuple of pathlib.Path
        Where its files are searched, in order.
    key : str
        The name of its folder and its lock among the packs of this machine.
    package : InstalledPack or None
        The installed package that brings its files.
    """

    manifest: Path
    folders: tuple[Path, ...]
    key: str
    package: InstalledPack | None = None

    @property
    def folder(self) -> Path:
        """The folder that is searched first: a built-in pack's own, or the folder of the user's own manifest.

        Raises
        ------
        PackFolderError
            It would be in the home folder, and the user has none.
        """
        fetched = self.manifest.parent == _MANIFESTS and not self.bundled
        return self.cache if fetched else self.folders[0]

    def folders_of(self, pack: str | None) -> tuple[Path, ...]:
        """Return the folders to search for a file; that of another bundled pack only for a file of that pack."""
        others = {folder for name, folder in _bundled().items() if name not in (pack, self.key)}
        return tuple(folder for folder in self.folders if folder not in others)

    @property
    def cache(self) -> Path:
        """The folder into which facedex fetches its files; raises `PackFolderError` where the user has none."""
        return data_folder() / "packs" / self.key

    @property
    def bundled(self) -> bool:
        """Whether its files come with facedex."""
        return self.key in BUNDLED

    def with_package(self) -> PackLocation:
        """Return the location with the folder of the package that brings the pack's files, where one is installed."""
        package = None if self.bundled or self.package is not None else installed_packs().get(self.key)
        if package is None:
            return self
        return replace(self, folders=(*self.folders, package.folder), package=package)


def built_in() -> tuple[str, ...]:
    """List the packs whose manifests come with facedex, those to try first at the head."""
    names = {path.stem for path in _MANIFESTS.glob("*.toml")}
    return tuple(sorted(names, key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name)))


def added_packs() -> dict[str, Path]:
    """Return the manifests that were added, by the name of the pack.

    Raises
    ------
    PackFolderError
        The record is damaged.
    """
    content = read_own_json(ADDED)
    if not all(isinstance(path, str) for path in content.values()):
        record = str(data_folder() / ADDED)
        raise PackFolderError(f"the record {record!r} is damaged: a path is not a string; move it away")
    return {name: Path(path) for name, path in content.items()}


def installed_packs() -> dict[str, InstalledPack]:
    """Return the installed packs by name; of two packages with one name the first on ``sys.path``."""
    from importlib.metadata import entry_points  # slow to import, and few packs need it

    found: dict[str, InstalledPack] = {}
    for point in entry_points(group=GROUP):
        if point.dist is None or not (_MODULE.fullmatch(point.value) and is_plain_name(point.name)):
            continue
        folder = point.value.replace(".", "/")
        manifest = Path(str(point.dist.locate_file(f"{folder}/{point.name}.toml")))
        if manifest.is_file():
            found.setdefault(point.name, InstalledPack(manifest, point.dist.name))
    return found


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
    text = check_path("pack", pack)
    if text.endswith(".toml"):
        return _locate_own(Path(text), f"there is no manifest at {text!r}")
    if text in built_in():
        bundled = _bundled()
        first = bundled.get(text) or pack_folder(text)
        folders = dict.fromkeys(folder for folder in (first, *bundled.values()) if folder is not None)
        return PackLocation(_MANIFESTS / f"{text}.toml", tuple(folders), text)
    others = added_packs()
    if text in others:
        absent = f"pack {text!r} was added from {str(others[text])!r}, which is gone; restore it, "
        return _locate_own(others[text], f"{absent}or remove it: facedex packs remove {text}")
    packages = installed_packs()
    if text in packages:
        return _locate_own(packages[text].manifest, "", packages[text])
    known = ", ".join([*built_in(), *others, *packages]) or "none: the package was built without its data"
    raise PackNotFoundError(f"no pack is called {text!r}; known are {known}; or give the path of a .toml manifest")


def _bundled() -> dict[str, Path]:
    return {name: _DATA / name for name in BUNDLED}


def _locate_own(manifest: Path, absent: str, package: InstalledPack | None = None) -> PackLocation:
    if not manifest.is_file():
        raise PackNotFoundError(absent)
    place = manifest.resolve()
    # By the path, because its name may be that of another pack.
    key = f"own-{hashlib.sha256(os.fsencode(place)).hexdigest()[:16]}"
    folders = (place.parent, pack_folder(key), *_bundled().values())
    return PackLocation(manifest, tuple(folder for folder in folders if folder is not None), key, package)
