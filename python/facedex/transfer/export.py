"""A whole gallery → one file. The format is in facedex.transfer.lines and docs/gallery-file.md.

The file is written atomically: to a temporary file, synced, renamed. A few people are in memory at a time. With a key,
everything after the first 62 bytes is encrypted with AES-256-GCM, like search snapshots. An encrypted gallery is
written in the clear only on request.

Not exported: the audit, which belongs to this gallery only; templates of other packs; search snapshots, which are
rebuilt.
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
from ..plain import record_to_dict
from ..store import KeyInput, PortablePerson, Vault, key_of
from .lines import ENCRYPTED, MAX_LINE, MAX_PHOTOS, OWNER, SALT_BYTES, End, Head, end_line, head_line, lines_of

if TYPE_CHECKING:
    from ..gallery import Gallery

Progress = Callable[[int, int], object]


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export wrote.

    Attributes
    ----------
    path : Path
    people, faces, photos : int
    size : int
        Size of the file, bytes.
    encrypted : bool
        Whether the file is encrypted.
    """

    path: Path
    people: int
    faces: int
    photos: int
    size: int
    encrypted: bool

    to_dict = record_to_dict


def export_to(
    gallery: Gallery,
    path: str | os.PathLike[str],
    *,
    key: KeyInput | None = None,
    plain: bool = False,
    progress: Progress | None = None,
) -> ExportReport:
    """Write all people, with faces, templates and stored photos, to one file.

    The file holds the state of the gallery at one moment; the gallery can be used meanwhile.

    Parameters
    ----------
    gallery : Gallery
    path : str or PathLike
        The file; an older one is replaced once the new one is on the disk.
    key : bytes, str or callable, optional
        Encrypts the file: 32 bytes, these in base64, or a function that returns either. It need not be the gallery's.
    plain : bool
        Whether an encrypted gallery may be written in the clear.
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
        When the database is damaged.
    """
    target = Path(path)
    if key is not None and plain:
        raise ArgumentError("give either key or plain=True")
    if gallery.encrypted and key is None and not plain:
        raise PlainExportError(
            "the gallery is encrypted and the file would not be; give a key to encrypt it (key=...), or plain=True"
        )
    secret = None if key is None else key_of(key)
    writer = _Writer(gallery, progress)
    pieces = writer.lines() if secret is None else _encrypt(writer.lines(), secret)
    with closing(pieces):
        try:
            size = write_atomically(target, pieces)
        except OSError as error:
            raise ExportError(f"{path} cannot be written: {error.strerror}") from error
    return ExportReport(target, writer.people, writer.faces, writer.photos, size, secret is not None)


class _Writer:
    """Yields the lines of a gallery and counts people, faces and photos."""

    def __init__(self, gallery: Gallery, progress: Progress | None) -> None:
        self.people = self.faces = self.photos = 0
        self._gallery = gallery
        self._progress = progress

    def lines(self) -> Generator[bytes, None, None]:
        from .. import __version__

        pack, total = self._gallery.pack, self._gallery.lookup.counts()[0]
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
        with closing(self._gallery.exchange.export_people(pack=pack.digest)) as people:
            for person in people:
                if sum(len(kept.photo.content) for kept in person.photos) > MAX_PHOTOS:
                    raise _too_large(person, MAX_PHOTOS)
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


def _too_large(portable: PortablePerson, limit: int) -> ExportError:
    """Make the error of a person whose lines could not be imported again."""
    return ExportError(
        f"the data of {portable.person.person_id!r} take more than {limit} bytes; delete faces or photos"
    )


def _encrypt(lines: Iterable[bytes], key: bytes) -> Generator[bytes, None, None]:
    salt = secrets.token_bytes(SALT_BYTES)
    vault = Vault(key, salt.hex())
    yield ENCRYPTED + salt + vault.key_check
    yield from vault.encrypt_stream(lines, OWNER)
