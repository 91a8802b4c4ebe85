"""The packs of this machine: list them, add one's own, remove fetched files, find the folder of one."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..checks import check_path
from ..errors import ArgumentError, PackError, PackNameError, PackNotFoundError
from ..plain import record_to_dict
from .find import ADDED, BUNDLED, PackLocation, added_packs, built_in, find, installed_packs
from .get import unfinished_downloads
from .records import RECORD, data_folder, digest_of, lock, read_record, translate_write_errors, write_json
from .state import PackState, state

_log = logging.getLogger("facedex")


@dataclass(frozen=True, slots=True)
class Removal:
    """What `remove` did.

    Attributes
    ----------
    removed : tuple of pathlib.Path
        Files that were deleted.
    kept : tuple of pathlib.Path
        Files in the pack's folder that facedex did not write, or that were changed since.
    forgotten : pathlib.Path or None
        The manifest that is no longer registered; it stays where it is, with its files.
    """

    removed: tuple[Path, ...]
    kept: tuple[Path, ...]
    forgotten: Path | None

    to_dict = record_to_dict


def list_packs() -> tuple[PackState, ...]:
    """Describe the packs that are known by name: those of facedex, then those that were added or installed by pip.

    Returns
    -------
    tuple of PackState
        An added or installed pack whose manifest is gone or broken is left out; the logger ``facedex`` says why.
    """
    known = built_in()
    found = [state(name) for name in known]
    for name in sorted({*added_packs(), *installed_packs()} - set(known)):
        try:
            found.append(state(name))
        except PackError as error:
            _log.warning("%s", error)
    return tuple(found)


def path(pack: str | os.PathLike[str]) -> Path:
    """Return the folder of a pack, which is searched first and where one may put its files by hand.

    Raises
    ------
    PackNotFoundError
    """
    return find(pack).folder


def add(manifest: str | os.PathLike[str]) -> PackState:
    """Register a pack of one's own by its name. Its files stay beside the manifest.

    Parameters
    ----------
    manifest : path
        A TOML file.

    Returns
    -------
    PackState
        The pack.

    Raises
    ------
    PackNotFoundError, ManifestError
        There is no such file, or it is not a valid manifest.
    PackNameError
        Another pack has its name.
    """
    place = Path(manifest)
    if place.suffix != ".toml":
        raise ArgumentError(f"a manifest ends in .toml, got {str(place)!r}")
    found = state(place)
    if found.name in built_in():
        raise PackNameError(
            f"pack name {found.name!r} is already used by a pack of facedex; choose another in {str(place)!r}"
        )
    with lock("added"):
        others = added_packs()
        other = others.get(found.name)
        if other is not None and other != place.resolve():
            raise PackNameError(
                f"pack name {found.name!r} is already used by {str(other)!r}; choose another in {str(place)!r}, "
                f"or remove that one: facedex packs remove {found.name}"
            )
        package = installed_packs().get(found.name)
        if package is not None:
            raise PackNameError(
                f"pack name {found.name!r} is already used by the package {package.distribution!r}; choose another in "
                f"{str(place)!r}, or remove that one: pip uninstall {package.distribution}"
            )
        _write_added({**others, found.name: place.resolve()})
    return found


def remove(pack: str | os.PathLike[str]) -> Removal:
    """Delete the files of a pack that facedex fetched; unregister a pack that was added.

    Parameters
    ----------
    pack : str or path
        Name of a pack, or path of a manifest.

    Returns
    -------
    Removal
        The deleted files, and those that stay because facedex did not write them.

    Raises
    ------
    PackNotFoundError
        There is no such pack.
    ArgumentError
        It comes with facedex and stays, or pip installed it and has to remove it.
    PackFolderError
        A file cannot be deleted.
    """
    name = check_path("pack", pack)
    if name in BUNDLED:
        raise ArgumentError(f"pack {name!r} comes with facedex and stays")
    try:
        location = find(pack)
    except PackNotFoundError:
        if name not in added_packs():
            raise
        return Removal((), (), _unregister(name))  # without the manifest its files cannot be found
    with lock(location.key):
        removed, kept = _delete(location)
    forgotten = _unregister(name) if name in added_packs() else None
    package = location.with_package().package
    if package is not None and not removed and forgotten is None:
        raise ArgumentError(f"pack {name!r} was installed by pip: pip uninstall {package.distribution}")
    return Removal(removed, kept, forgotten)


def _unregister(name: str) -> Path:
    with lock("added"):
        others = added_packs()
        place = others.pop(name)
        _write_added(others)
    return place


def _write_added(manifests: Mapping[str, Path]) -> None:
    write_json(data_folder() / ADDED, {name: str(path) for name, path in manifests.items()})


def _delete(location: PackLocation) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    folder = location.cache
    if not folder.is_dir():
        return (), ()
    record = read_record(folder)
    ours = [
        folder / name
        for name, sha256 in record.files.items()
        if (folder / name).is_file() and digest_of(folder / name) == sha256
    ]
    with translate_write_errors(folder):
        for file in [*ours, *unfinished_downloads(folder), folder / RECORD]:
            file.unlink(missing_ok=True)
        kept = tuple(sorted(folder.iterdir()))
        if not kept:
            folder.rmdir()
    return tuple(ours), kept
