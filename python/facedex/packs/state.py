"""The state of a pack on this machine: which files are there, and what is needed before it can be opened."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..errors import PackFolderError, WeightsMissingError, WeightsUnverifiedError
from ..plain import record_to_dict
from .find import PREFERRED, PackLocation, find
from .licenses import require_licenses, unaccepted_licenses
from .records import digest_of, pack_folder, read_record, write_record

if TYPE_CHECKING:
    from .._core import PackFile, PackInfo

_log = logging.getLogger("facedex")

Condition = Literal["missing", "present", "good", "wrong", "unverified"]
"""Of a file: missing; there, but not read; read and as declared; read and not as declared; read, no digest is known."""


@dataclass(frozen=True, slots=True)
class FileState:
    """A file of a pack on this machine.

    Attributes
    ----------
    file : PackFile
        Its entry in the manifest.
    path : pathlib.Path or None
        Where it is, unless it is missing.
    condition : {"missing", "present", "good", "wrong", "unverified"}
        "present" when it was not read.
    """

    file: PackFile
    path: Path | None
    condition: Condition

    to_dict = record_to_dict


@dataclass(frozen=True, slots=True)
class PackState:
    """A pack on this machine.

    Attributes
    ----------
    info : PackInfo
        The manifest, with the digests that were accepted here.
    location : PackLocation
        Its manifest and folders.
    files : tuple of FileState
        Its files.
    unaccepted : tuple of str
        Licences that have still to be accepted.
    """

    info: PackInfo
    location: PackLocation
    files: tuple[FileState, ...]
    unaccepted: tuple[str, ...]

    to_dict = record_to_dict

    @property
    def name(self) -> str:
        """Name of the pack."""
        return self.info.name

    @property
    def ready(self) -> bool:
        """Whether it can be opened, without verifying its files."""
        usable = all(state.condition in ("present", "good") for state in self.files)
        return usable and not self.unaccepted and not self.unpinned

    @property
    def missing(self) -> tuple[PackFile, ...]:
        """The missing files."""
        return tuple(state.file for state in self.files if state.condition == "missing")

    @property
    def unpinned(self) -> tuple[PackFile, ...]:
        """Files whose digest is not published and was not accepted on this machine."""
        return tuple(file for file in self.info.files if file.sha256 is None)

    @property
    def download_size(self) -> int | None:
        """Size of the downloads that are needed, bytes; None where a size is not known."""
        archives = {archive.name: archive.size for archive in self.info.archives}
        packed = {file.archive for file in self.missing if file.archive is not None and not file.urls}
        sizes = [file.size for file in self.missing if file.urls or file.archive is None]
        known = [size for size in sizes if size is not None]
        return None if len(known) < len(sizes) else sum(known) + sum(archives[name] for name in packed)


@dataclass(frozen=True, slots=True)
class ReadyPack:
    """A pack that may be opened.

    Attributes
    ----------
    location : PackLocation
        Its manifest and folders.
    pins : dict of str to str
        SHA-256 of its unverified files, as they were accepted.
    """

    location: PackLocation
    pins: dict[str, str]


def default() -> str:
    """Return the pack that is used where none is named: the first of `PREFERRED` whose files are here.

    Where that is not the first one, the logger ``facedex`` warns once.
    """
    reason = fallback()
    if reason is not None:
        _warn_once(reason)
    return _first_present()


def fallback() -> str | None:
    """Explain why the default is not the first of `PREFERRED`; None where it is."""
    name = _first_present()
    if name == PREFERRED[0]:
        return None
    return (
        f"pack {PREFERRED[0]!r} is not in this build, so {name!r} is used where no pack is named; to have it, in a "
        "source tree: make weights, else install facedex from a wheel"
    )


def _first_present() -> str:
    return next((name for name in PREFERRED if not state(name).missing), PREFERRED[-1])


@lru_cache
def _warn_once(message: str) -> None:
    _log.warning("%s", message)


def state(pack: str | os.PathLike[str]) -> PackState:
    """Describe a pack without reading its files.

    Parameters
    ----------
    pack : str or path
        Name of a pack, or path of a manifest.

    Raises
    ------
    PackNotFoundError, ManifestError
        There is no such pack, or its manifest is not valid.
    """
    return state_of(find(pack))


def state_of(location: PackLocation, *, read: bool = False) -> PackState:
    """Describe a pack at a location; with `read`, its files are compared with their digests.

    Installed packages are searched only where a file is missing.
    """
    from .._core import read_manifest

    info = read_manifest(location.manifest, pins=pins_of(location))
    files = tuple(_file_state(file, location, read=read) for file in info.files)
    if any(file.condition == "missing" for file in files):
        wider = location.with_package()
        if wider != location:
            return state_of(wider, read=read)
    return PackState(info, location, files, unaccepted_licenses(info))


def pins_of(location: PackLocation) -> dict[str, str]:
    """Return the accepted digests of unverified files: those of the installed package and those of this machine."""
    own = {} if location.bundled else read_record(pack_folder(location.key)).pins
    return own if location.package is None else {**read_record(location.package.folder).pins, **own}


def verify(pack: str | os.PathLike[str], *, accept_unverified: bool = False) -> PackState:
    """Read the files of a pack and compare them with their digests.

    Parameters
    ----------
    pack : str or path
        Name of a pack, or path of a manifest.
    accept_unverified : bool, default False
        Accept files whose digest is not published: it is recorded, and from then on no other is accepted.

    Returns
    -------
    PackState
        Each file "good", "wrong", "missing" or "unverified".
    """
    location = find(pack)
    found = state_of(location, read=True)
    fresh = [file for file in found.files if file.condition == "unverified"]
    if not accept_unverified or not fresh:
        return found
    record = read_record(location.cache)
    for file in fresh:
        assert file.path is not None  # it was read
        record = record.with_pin(file.file.name, digest_of(file.path))
    write_record(location.cache, record)
    return state_of(location, read=True)


def require_ready(pack: str | os.PathLike[str], *, accept_license: str | None = None) -> ReadyPack:
    """Check that a pack can be opened: its files are here and its licence is accepted. Nothing is fetched.

    Parameters
    ----------
    pack : str or path
        Name of a pack, or path of a manifest.
    accept_license : str, optional
        Licences that are accepted now.

    Raises
    ------
    PackNotFoundError, ManifestError
        There is no such pack, or its manifest is not valid.
    WeightsMissingError
        A file is missing; the message names the command that fetches it, the folder, and the way without a network.
    LicenseError
        Its licence forbids commercial use and was not accepted.
    WeightsUnverifiedError
        The digest of a file is not published, and none was accepted.
    """
    found = state(pack)
    if found.missing:
        raise WeightsMissingError(format_missing(found, os.fsdecode(pack)))
    require_licenses(found.info, accept_license)
    if found.unpinned:
        name = found.unpinned[0].name
        raise WeightsUnverifiedError(
            f"pack {found.name!r}: no SHA-256 of file {name!r} is published, so another file would go unnoticed; "
            f"accept the one that is there: facedex packs verify {os.fsdecode(pack)} --accept-unverified"
        )
    return ReadyPack(found.location, pins_of(found.location))


def format_missing(found: PackState, pack: str) -> str:
    """Format the error for missing files: which they are, and how to get them."""
    names = ", ".join(repr(file.name) for file in found.missing)
    verb = "is" if len(found.missing) == 1 else "are"
    try:
        folder = str(found.location.folder)
    except PackFolderError as error:
        return f"pack {found.name!r} is not here, and {error}, then fetch it: facedex packs get {pack}"
    if found.location.bundled:
        return (
            f"pack {found.name!r} comes with facedex, and {names} {verb} not in {folder!r}; install facedex again, or "
            "in a source tree: make weights"
        )
    size = "" if found.download_size is None else f" ({found.download_size / 1e6:.1f} MB)"
    accept = f" --accept-license {','.join(found.unaccepted)}" if found.unaccepted else ""
    accept += " --accept-unverified" if found.unpinned else ""
    return (
        f"pack {found.name!r} is not here: {names} {verb} not in {folder!r}; fetch it{size}: facedex packs get {pack}"
        f"{accept}; or, without a network, put the files into that folder, from the addresses that "
        f"'facedex packs info {pack}' lists"
    )


def _is_file(path: Path) -> bool:
    """Return whether there is a file; one in a folder that this user cannot search counts as missing."""
    try:
        return path.is_file()
    except OSError:
        return False


def _file_state(file: PackFile, location: PackLocation, *, read: bool) -> FileState:
    places = (folder / file.name for folder in location.folders_of(file.pack))
    path = next((place for place in places if _is_file(place)), None)
    if path is None:
        return FileState(file, None, "missing")
    if not read:
        return FileState(file, path, "present")
    if file.sha256 is None:
        return FileState(file, path, "unverified")
    return FileState(file, path, "good" if digest_of(path) == file.sha256 else "wrong")
