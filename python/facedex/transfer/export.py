"""A whole gallery → one file. The format is in facedex.transfer.lines and docs/gallery-file.md.

Written aside, synced, renamed; a few people are in memory at a time. Sealed, everything after the first 62 bytes is
encrypted with AES-256-GCM as search snapshots are. Refused: to write an encrypted gallery in the clear unasked.

Left out: the audit, which tells of this gallery only; templates of other packs; search snapshots, which are rebuilt.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ArgumentError, ExportError, PlainExportError
from ..files import write_atomically
from ..store import KeyInput, PortablePerson, Vault, key_of
from .lines import MAX_LINE, MAX_PHOTOS, OWNER, SALT, SEALED, End, Head, end_line, head_line, lines_of

if TYPE_CHECKING:
    from ..gallery import Gallery

Progress = Callable[[int, int], object]


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written.

    Attributes
    ----------
    path : Path
    people, faces, photos : int
    size : int
        Bytes of the file.
    sealed : bool
        Whether it is encrypted.
    """

    path: Path
    people: int
    faces: int
    photos: int
    size: int
    sealed: bool


def export_to(
    gallery: Gallery,
    path: str | os.PathLike[str],
    *,
    key: KeyInput | None = None,
    plain: bool = False,
    progress: Progress | None = None,
) -> ExportReport:
    """Write everybody, with faces, templates and kept photos, into one file.

    What is written is the gallery as it is at one moment; it goes on working meanwhile.

    Parameters
    ----------
    gallery : Gallery
    path : str or PathLike
        The file; an older one is replaced when the new one is on the disk.
    key : bytes, str or callable, optional
        Seals the file: 32 bytes, these in base64, or what returns either. It need not be the gallery's.
    plain : bool
        Write an encrypted gallery in the clear.
    progress : callable, optional
        Called with the number of people done and of all.

    Returns
    -------
    ExportReport

    Raises
    ------
    PlainExportError
        When the gallery is encrypted and neither `key` nor `plain` is given.
    ExportError
        When the file cannot be written.
    DatabaseDamagedError
        When something in the database is not what was stored.
    """
    target = Path(path)
    if key is not None and plain:
        raise ArgumentError("give either key or plain=True")
    if gallery.encrypted and key is None and not plain:
        raise PlainExportError(
            "the gallery is encrypted and the file would not be; give a key that seals it (key=...), or say plain=True"
        )
    secret = None if key is None else key_of(key)
    writing = _Writing(gallery, progress)
    pieces = writing.lines() if secret is None else _sealed(writing.lines(), secret)
    with closing(pieces):
        size = _write(target, pieces)
    return ExportReport(target, writing.people, writing.faces, writing.photos, size, secret is not None)


class _Writing:
    """The lines of a gallery, counted on the way."""

    def __init__(self, gallery: Gallery, progress: Progress | None) -> None:
        self.people = self.faces = self.photos = 0
        self._gallery = gallery
        self._progress = progress

    def lines(self) -> Generator[bytes, None, None]:
        from .. import __version__

        pack, total = self._gallery.pack, self._gallery.counts()[0]
        digest = hashlib.sha256()
        head = Head(
            pack=pack.name,
            pack_digest=pack.digest,
            dimension=pack.dimension or 0,
            gallery=self._gallery.uuid,
            name=self._gallery.name,
            created_at=datetime.now(timezone.utc).isoformat(),
            facedex=__version__,
        )
        first = head_line(head)
        digest.update(first)
        yield first
        with closing(self._gallery.export_people(pack=pack.digest)) as people:
            for person in people:
                _check_size(person)
                for line in lines_of(person):
                    if len(line) > MAX_LINE:
                        raise _too_large(person, MAX_LINE)
                    digest.update(line)
                    yield line
                self.people += 1
                self.faces += len(person.faces)
                self.photos += len(person.photos)
                if self._progress is not None:
                    self._progress(self.people, max(total, self.people))
        yield end_line(End(self.people, self.faces, self.photos, digest.hexdigest()))


def _check_size(person: PortablePerson) -> None:
    """Refuse what could not be read again."""
    if sum(len(kept.photo.content) for kept in person.photos) > MAX_PHOTOS:
        raise _too_large(person, MAX_PHOTOS)


def _too_large(person: PortablePerson, limit: int) -> ExportError:
    return ExportError(f"what belongs to {person.person_id!r} takes more than {limit} bytes; delete faces or photos")


def _sealed(lines: Iterable[bytes], key: bytes) -> Generator[bytes, None, None]:
    name = secrets.token_bytes(SALT)
    vault = Vault(key, name.hex())
    yield SEALED + name + vault.key_check
    yield from vault.encrypt_stream(lines, OWNER)


def _write(path: Path, pieces: Iterable[bytes]) -> int:
    """Write the file as a whole; only its owner may read it."""
    try:
        return write_atomically(path, pieces)
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error.strerror}") from error
