"""Fetches the files of a pack: each is checked before it gets its name, and no file of the user is touched.

A file comes from a mirror where one is set, else from its own addresses, else from the archive that holds it. It is
written beside its place, compared with size and SHA-256, and renamed. One process at a time works on a pack; a second
one waits and finds the files there.
"""

from __future__ import annotations

import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import settings
from ..errors import (
    ArchiveError,
    DownloadError,
    PackFolderError,
    WeightsDigestError,
    WeightsMissingError,
    WeightsUnverifiedError,
)
from .download import RetryPolicy, check_address, download
from .find import find
from .licenses import require_licenses
from .records import Record, digest_of, lock, read_record, translate_write_errors, write_record
from .state import PackState, format_missing, state_of

if TYPE_CHECKING:
    from .._core import PackArchive, PackFile

MAX_SIZE = 4 << 30
"""Largest file whose size is not published, bytes."""

_PART = ".part"
_BLOCK = 1 << 18
_ENCRYPTED = 0x1  # flag of a zip entry
_RETRIES = RetryPolicy()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a download is.

    Attributes
    ----------
    name : str
        The file or archive that is fetched.
    done : int
        Bytes so far.
    total : int or None
        Bytes of the whole file, if known.
    """

    name: str
    done: int
    total: int | None


def get(
    pack: str | os.PathLike[str],
    *,
    accept_license: str | None = None,
    accept_unverified: bool = False,
    mirror: str | None = None,
    progress: Callable[[Progress], object] | None = None,
) -> PackState:
    """Fetch the missing files of a pack.

    Parameters
    ----------
    pack : str or path
        Name of a pack, or path of a manifest.
    accept_license : str, optional
        Names of licences that are accepted, separated by commas; also ``FACEDEX_ACCEPT_LICENSE``. Needed once, for
        weights whose licence forbids commercial use.
    accept_unverified : bool, default False
        Accept a file whose digest is not published; its digest is recorded, and from then on no other is accepted.
    mirror : str, optional
        Address under which the files lie as ``<mirror>/<pack>/<file name>``: ``https://``, ``file://``, or ``http://``
        on this machine; default ``FACEDEX_MIRROR``, else the addresses of the manifest.
    progress : callable, optional
        Called with a `Progress` after each block.

    Returns
    -------
    PackState
        The pack, every file verified.

    Raises
    ------
    LicenseError
        Its licence was not accepted.
    WeightsUnverifiedError
        The digest of a file is not published, and `accept_unverified` is False.
    WeightsMissingError
        It comes with facedex, and this build lacks a file of it.
    DownloadError
        A file does not exist at its address, or the connection broke too often.
    WeightsDigestError
        A fetched file, or one of the user that is there already, is not the one that the manifest declares.
    ArchiveError
        An archive is damaged or lacks a file.
    PackFolderError
        The folder cannot be written, or its disk is full.
    """
    location = find(pack)
    before = state_of(location)
    if location.bundled and before.missing:
        raise WeightsMissingError(format_missing(before, location.key))
    require_licenses(before.info, accept_license)
    if before.unpinned and not accept_unverified:
        names = ", ".join(repr(file.name) for file in before.unpinned)
        raise WeightsUnverifiedError(
            f"pack {before.name!r}: no SHA-256 of {names} is published, so another file could come unnoticed; to "
            "accept it, once, give accept_unverified=True or say --accept-unverified"
        )
    base = mirror or settings().mirror
    base = None if base is None else check_address(base, name="the mirror")
    with lock(location.key):
        before = state_of(location, read=True)
        return _Fetcher(before, base, progress or (lambda _: None)).run()


class _Fetcher:
    """Fetches one pack, under its lock."""

    def __init__(self, before: PackState, mirror: str | None, progress: Callable[[Progress], object]) -> None:
        self._before = before
        self._info = before.info
        self._folder = before.location.cache
        self._mirror = None if mirror is None else f"{mirror}/{before.name}"
        self._progress = progress
        self._record = read_record(self._folder)
        self._extracted: set[str] = set()

    def run(self) -> PackState:
        for state in self._before.files:
            if state.condition == "unverified":
                assert state.path is not None  # it was read
                self._write_record(self._record.with_pin(state.file.name, digest_of(state.path)))
            elif state.condition == "missing":
                self._fetch(state.file)
            elif state.condition == "wrong":
                assert state.path is not None
                self._check_replaceable(state.file, state.path)
                self._fetch(state.file)
        return state_of(self._before.location, read=True)

    def _check_replaceable(self, file: PackFile, path: Path) -> None:
        """Refuse to replace a file that facedex did not write, or that was changed since."""
        found = digest_of(path)
        if path.parent != self._folder or self._record.files.get(file.name) != found:
            raise WeightsDigestError(
                f"{str(path)!r} is not the file of the manifest: expected SHA-256 {file.sha256}, found "
                f"{found}; facedex did not write it and leaves it as it is: move it away and try again"
            )

    def _fetch(self, file: PackFile) -> None:
        if file.name in self._extracted:
            return  # an archive of an earlier file held it
        if file.pack is not None:
            raise WeightsMissingError(f"file {file.name!r} comes with pack {file.pack!r}, which is not complete")
        archives = [one for one in self._info.archives if one.name == file.archive and (one.urls or self._mirror)]
        archive = archives[0] if archives else None
        urls = file.urls if self._mirror is None else [f"{self._mirror}/{file.name}"]
        part = self._part(file.name, file.sha256)
        if urls:
            try:
                self._download_any(urls, part, file.name, size=file.size, sha256=file.sha256)
            except (DownloadError, WeightsDigestError):
                if archive is None:
                    raise
            else:
                self._install(part, file)
                return
        if archive is None:
            raise DownloadError(
                f"no address of {file.name!r} is published ({file.source}); put it into {str(self._folder)!r} "
                "yourself, or name a mirror that has it"
            )
        self._fetch_archive(archive, file)

    def _fetch_archive(self, archive: PackArchive, file: PackFile) -> None:
        """Fetch an archive and extract every file that the pack still needs."""
        packed = self._part(archive.name, archive.sha256)
        urls = archive.urls if self._mirror is None else [f"{self._mirror}/{archive.name}"]
        self._download_any(urls, packed, archive.name, size=archive.size, sha256=archive.sha256)
        try:
            missing = {state.file.name for state in self._before.files if state.condition == "missing"} | {file.name}
            for other in self._info.files:
                if other.archive == archive.name and other.name in missing - self._extracted:
                    self._extract(packed, archive.name, other)
        finally:
            packed.unlink(missing_ok=True)

    def _extract(self, packed: Path, archive: str, file: PackFile) -> None:
        assert file.member is not None  # the manifest has both or neither
        part = self._part(file.name, file.sha256)
        extract_member(packed, file.member, part, name=archive, size=file.size, max_size=file.size or MAX_SIZE)
        self._check(part, file.name, file.sha256)
        self._install(part, file)
        self._extracted.add(file.name)

    def _download_any(
        self, urls: Sequence[str], part: Path, name: str, *, size: int | None, sha256: str | None
    ) -> None:
        """Download from the first address that works, or raise the error of the last one."""
        for url in urls[:-1]:
            with suppress(DownloadError, WeightsDigestError):
                self._download(url, part, name, size=size, sha256=sha256)
                return
        self._download(urls[-1], part, name, size=size, sha256=sha256)

    def _download(self, url: str, part: Path, name: str, *, size: int | None, sha256: str | None) -> None:
        """Download into an unfinished file and check it; one that was continued and is wrong is started over."""
        with translate_write_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._check_room(part, size)
            continued = part.exists()
        while True:
            download(
                url,
                part,
                size=size,
                max_size=size or MAX_SIZE,
                progress=lambda done: self._progress(Progress(name, done, size)),
                retries=_RETRIES,
            )
            try:
                self._check(part, name, sha256)
                return
            except WeightsDigestError:
                if not continued:
                    raise
                continued = False

    def _check_room(self, part: Path, size: int | None) -> None:
        done = part.stat().st_size if part.exists() else 0
        free = shutil.disk_usage(self._folder).free
        if size is not None and size - done > free:
            raise PackFolderError(
                f"the disk of {str(self._folder)!r} is too full: {size - done} bytes are needed, {free} are free; "
                "make room or choose another folder with FACEDEX_HOME"
            )

    @staticmethod
    def _check(part: Path, name: str, sha256: str | None) -> None:
        found = digest_of(part)
        if sha256 is not None and found != sha256:
            part.unlink()
            raise WeightsDigestError(
                f"{name!r} was fetched, but is not the file of the manifest: expected SHA-256 {sha256}, found {found}"
            )

    def _install(self, part: Path, file: PackFile) -> None:
        """Give a checked file its name. The record is written first: without it the file would count as the user's."""
        target = self._folder / file.name
        digest = digest_of(part)
        ours = target.is_file() and self._record.files.get(file.name) == digest_of(target)
        record = self._record.with_file(file.name, digest)
        self._write_record(record if file.sha256 is not None else record.with_pin(file.name, digest))
        with translate_write_errors(self._folder):
            with part.open("rb") as written:
                os.fsync(written.fileno())
            if ours:
                part.replace(target)
            else:
                _rename_new(part, target)

    def _write_record(self, record: Record) -> None:
        write_record(self._folder, record)
        self._record = record

    def _part(self, name: str, sha256: str | None) -> Path:
        # The name has the digest, so that an unfinished file of an older manifest is not continued.
        return self._folder / f".{name}.{(sha256 or 'unverified')[:16]}{_PART}"


def extract_member(archive: Path, member: str, target: Path, *, name: str, size: int | None, max_size: int) -> None:
    """Write one member of a zip archive whose digest was checked.

    No name from the archive becomes a path, and nothing grows beyond its declared size.

    Parameters
    ----------
    archive : pathlib.Path
        The zip file.
    member : str
        Its path within the archive, exactly.
    target : pathlib.Path
        The file to write; overwritten.
    name : str
        The archive's name, for messages.
    size : int, optional
        The member's size, bytes, if known.
    max_size : int
        Largest allowed size, bytes.

    Raises
    ------
    ArchiveError
        It is damaged or not a zip file, or does not hold that member exactly once, unencrypted, with that size.
    PackFolderError
        It cannot be written.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            found = [entry for entry in file.infolist() if entry.filename == member]
            if len(found) != 1:
                raise ArchiveError(f"archive {name!r} holds {member!r} {len(found)} times; once is needed")
            (entry,) = found
            if entry.flag_bits & _ENCRYPTED:
                raise ArchiveError(f"{member!r} of archive {name!r} is encrypted")
            if entry.file_size > max_size or (size is not None and entry.file_size != size):
                raise ArchiveError(
                    f"{member!r} of archive {name!r} has {entry.file_size} bytes, {max_size if size is None else size} "
                    f"{'at most are allowed' if size is None else 'are declared'}"
                )
            with file.open(entry) as source, translate_write_errors(target.parent), target.open("wb") as output:
                done = 0
                while block := source.read(_BLOCK):
                    done += len(block)
                    if done > entry.file_size:
                        raise ArchiveError(f"{member!r} of archive {name!r} is larger than it says")
                    output.write(block)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ArchiveError(f"archive {name!r} is damaged or not a zip archive: {error}") from error


def unfinished_downloads(folder: Path) -> list[Path]:
    """List the unfinished downloads in a folder of facedex."""
    return sorted(folder.glob(f".*{_PART}"))


def _rename_new(part: Path, target: Path) -> None:
    """Rename a file, but never over one that another program created."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise PackFolderError(
            f"{str(target)!r} was created by another program and is not overwritten; try again"
        ) from None
    except OSError:  # a file system without hard links
        if target.exists():
            raise PackFolderError(
                f"{str(target)!r} was created by another program and is not overwritten; try again"
            ) from None
        part.rename(target)
    else:
        with suppress(OSError):
            part.unlink()
