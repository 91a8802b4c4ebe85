"""Fetch the files of a pack: each is checked before it has its name, and nothing of the user's is touched.

A file comes from a mirror where one is set, else from its own addresses, else out of the archive that holds it. It is
written beside its place, compared with size and SHA-256, and renamed. One process at a time works on a pack; a second
one waits and finds the files there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
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
from . import licence
from .fetch import Patience, check_address, fetch
from .find import find
from .home import locked, writing
from .record import Record, digest_of, read_record, write_record
from .state import PackState, missing_message, state_of
from .unpack import unpack

if TYPE_CHECKING:
    from .._core import PackArchive, PackFile

MOST = 4 << 30
"""Largest file whose size nobody published, bytes."""

_PART = ".part"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a download is.

    Attributes
    ----------
    name : str
        The file or archive that is fetched.
    done : int
        Bytes that are there.
    total : int or None
        Bytes that are needed, where that is known.
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
    """Fetch what is missing of a pack.

    Parameters
    ----------
    pack : str or path
        Name of a pack, or path of a manifest.
    accept_license : str, optional
        Names of licences that are accepted, separated by commas; also ``FACEDEX_ACCEPT_LICENSE``. Needed once, for
        weights whose licence forbids commercial use.
    accept_unverified : bool, default False
        Take a file whose digest nobody published as it comes; its digest is kept, and from then on no other is taken.
    mirror : str, optional
        Address under which the files lie as ``<mirror>/<pack>/<file name>``: ``https://``, ``file://``, or ``http://``
        on this machine; default ``FACEDEX_MIRROR``, else the addresses of the manifest.
    progress : callable, optional
        Called with a `Progress` now and then.

    Returns
    -------
    PackState
        The pack, each file read and right.

    Raises
    ------
    LicenseError
        Its licence was not accepted.
    WeightsUnverifiedError
        Nobody published a digest of a file, and `accept_unverified` is False.
    WeightsMissingError
        It comes with facedex, and this build lacks a file of it.
    DownloadError
        A file is not there, or the line was cut too often.
    WeightsDigestError
        What came, or a file of the user's that is there already, is another than the manifest declares.
    ArchiveError
        An archive is damaged or lacks a file.
    PackFolderError
        The folder cannot be written, or its disk is full.
    """
    location = find(pack)
    before = state_of(location, read_record(location.cache))
    if location.bundled and before.missing:
        raise WeightsMissingError(missing_message(before, location.key))
    licence.require(before.info, accept_license)
    if before.unpinned and not accept_unverified:
        names = ", ".join(repr(file.name) for file in before.unpinned)
        raise WeightsUnverifiedError(
            f"pack {before.name!r}: nobody published a SHA-256 of {names}, so another file could come unnoticed; to "
            "take it as it comes, once, give accept_unverified=True or say --accept-unverified"
        )
    base = mirror or settings().mirror
    base = None if base is None else check_address(base, name="the mirror")
    with locked(location.key):
        work = _Work(state_of(location, read_record(location.cache), read=True), base, progress or (lambda _: None))
        return work.do()


class _Work:
    """Fetching one pack, under its lock."""

    def __init__(self, before: PackState, mirror: str | None, tell: Callable[[Progress], object]) -> None:
        self._before = before
        self._info = before.info
        self._folder = before.location.cache
        self._mirror = None if mirror is None else f"{mirror}/{before.name}"
        self._tell = tell
        self._record = read_record(self._folder)
        self._taken: set[str] = set()

    def do(self) -> PackState:
        for state in self._before.files:
            if state.condition == "unverified":
                assert state.path is not None  # it was read
                self._keep(self._record.with_pin(state.file.name, digest_of(state.path)))
            elif state.condition == "missing":
                self._fetch(state.file)
            elif state.condition == "wrong":
                assert state.path is not None
                self._check_ours(state.file, state.path)
                self._fetch(state.file)
        return state_of(self._before.location, self._record, read=True)

    def _check_ours(self, file: PackFile, path: Path) -> None:
        """Only what facedex wrote, and nobody changed since, may be replaced."""
        found = digest_of(path)
        if path.parent != self._folder or self._record.files.get(file.name) != found:
            raise WeightsDigestError(
                f"{str(path)!r} is there, but not the file of the manifest: expected SHA-256 {file.sha256}, found "
                f"{found}; it was not written by facedex, so it is left as it is: move it away and try again"
            )

    def _fetch(self, file: PackFile) -> None:
        if file.name in self._taken:
            return  # out of the archive of a file before it
        if file.pack is not None:
            raise WeightsMissingError(f"file {file.name!r} comes with pack {file.pack!r}, which is not complete")
        archive = next((archive for archive in self._info.archives if archive.name == file.archive), None)
        urls = file.urls if self._mirror is None else [f"{self._mirror}/{file.name}"]
        errors: list[DownloadError | WeightsDigestError | ArchiveError] = []
        for url in urls:
            part = self._part(file.name, file.sha256)
            try:
                self._bring(url, part, file.name, size=file.size, sha256=file.sha256)
            except (DownloadError, WeightsDigestError) as error:
                errors.append(error)
            else:
                self._place(part, file)
                return
        if archive is not None:
            try:
                self._fetch_from(archive, file)
            except (DownloadError, WeightsDigestError, ArchiveError) as error:
                errors.append(error)
            else:
                return
        if not errors:
            raise DownloadError(
                f"no address of {file.name!r} is published ({file.source}); put it into {str(self._folder)!r} "
                "yourself, or name a mirror that has it"
            )
        raise errors[-1]

    def _fetch_from(self, archive: PackArchive, file: PackFile) -> None:
        """Fetch an archive and take every file out of it that the pack still needs."""
        packed = self._part(archive.name, archive.sha256)
        urls = archive.urls if self._mirror is None else [f"{self._mirror}/{archive.name}"]
        for i, url in enumerate(urls):
            try:
                self._bring(url, packed, archive.name, size=archive.size, sha256=archive.sha256)
                break
            except (DownloadError, WeightsDigestError):
                if i == len(urls) - 1:
                    raise
        try:
            missing = {state.file.name for state in self._before.files if state.condition == "missing"} | {file.name}
            for other in self._info.files:
                if other.archive == archive.name and other.name in missing - self._taken:
                    self._take_out(packed, archive.name, other)
        finally:
            packed.unlink(missing_ok=True)

    def _take_out(self, packed: Path, archive: str, file: PackFile) -> None:
        assert file.member is not None  # the manifest has both or neither
        part = self._part(file.name, file.sha256)
        unpack(packed, file.member, part, name=archive, size=file.size, most=file.size or MOST)
        self._check(part, file.name, file.sha256)
        self._place(part, file)
        self._taken.add(file.name)

    def _bring(self, url: str, part: Path, name: str, *, size: int | None, sha256: str | None) -> None:
        """Fetch into an unfinished file and check it; one that was continued and is wrong is begun anew."""
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._check_room(part, size)
            continued = part.exists()
        while True:
            fetch(
                url,
                part,
                size=size,
                most=size or MOST,
                progress=lambda done: self._tell(Progress(name, done, size)),
                patience=_PATIENCE,
            )
            try:
                self._check(part, name, sha256)
                return
            except WeightsDigestError:
                if not continued:
                    raise
                continued = False

    def _check_room(self, part: Path, size: int | None) -> None:
        there = part.stat().st_size if part.exists() else 0
        free = shutil.disk_usage(self._folder).free
        if size is not None and size - there > free:
            raise PackFolderError(
                f"the disk of {str(self._folder)!r} is too full: {size - there} bytes are needed, {free} are free; "
                "make room or choose another folder with FACEDEX_HOME"
            )

    @staticmethod
    def _check(part: Path, name: str, sha256: str | None) -> None:
        found = digest_of(part)
        if sha256 is not None and found != sha256:
            part.unlink()
            raise WeightsDigestError(
                f"{name!r} came, but is not the file of the manifest: expected SHA-256 {sha256}, found {found}"
            )

    def _place(self, part: Path, file: PackFile) -> None:
        """Give a checked file its name. The record comes first: without it the file would be taken for the user's."""
        target = self._folder / file.name
        digest = digest_of(part)
        ours = target.is_file() and self._record.files.get(file.name) == digest_of(target)
        record = self._record.with_file(file.name, digest)
        self._keep(record if file.sha256 is not None else record.with_pin(file.name, digest))
        with writing(self._folder):
            with part.open("rb") as written:
                os.fsync(written.fileno())
            if ours:
                part.replace(target)
            else:
                _rename_new(part, target)

    def _keep(self, record: Record) -> None:
        write_record(self._folder, record)
        self._record = record

    def _part(self, name: str, sha256: str | None) -> Path:
        # With the digest in its name, an unfinished file of an older manifest is not continued.
        return self._folder / f".{name}.{(sha256 or 'unverified')[:16]}{_PART}"


_PATIENCE = Patience()


def unfinished(folder: Path) -> list[Path]:
    """Unfinished downloads in a folder of facedex."""
    return sorted(folder.glob(f".*{_PART}"))


def _rename_new(part: Path, target: Path) -> None:
    """Rename, but over nothing: a file that came there meanwhile is not ours."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise PackFolderError(f"{str(target)!r} appeared meanwhile and is left as it is; try again") from None
    except OSError:  # a file system without hard links
        if target.exists():
            raise PackFolderError(f"{str(target)!r} appeared meanwhile and is left as it is; try again") from None
        part.rename(target)
    else:
        with suppress(OSError):
            part.unlink()
