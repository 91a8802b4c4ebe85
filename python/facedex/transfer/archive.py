"""A gallery file → people in a gallery. The format is in facedex.transfer.lines and docs/gallery-file.md.

The file is read twice: first every byte is checked, then the people are stored. If it changes in between, the import
stops before the change is stored. A few people are in memory at a time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from ..errors import (
    DuplicatePersonError,
    FacedexError,
    GalleryFileError,
    GalleryPackError,
    IndexFileError,
    KeyMissingError,
    KeyUnusedError,
    WrongKeyError,
)
from ..options import OnExisting
from ..store import KeyInput, PortablePerson, Vault, key_of
from .lines import CHECK_BYTES, ENCRYPTED, FORMAT, KIND, OWNER, SALT_BYTES, End, Head, Reading, split
from .report import ImportReport, Tally

if TYPE_CHECKING:
    from ..gallery import Gallery

Progress = Callable[[int, int], object]

BATCH = 64
"""People stored in one transaction."""

_BATCH_BYTES = 32 << 20  # photos and templates stored in one transaction, about
_PLAIN = f'{{"kind":"{KIND}"'.encode()
_READ = 1 << 20
_HEAD = len(ENCRYPTED) + SALT_BYTES + CHECK_BYTES


class _Checked(NamedTuple):
    """The result of the first reading: first and last line, and the digest of the lines up to the end of each batch."""

    head: Head
    end: End
    digests: list[bytes]


def import_gallery(
    gallery: Gallery,
    path: Path,
    *,
    key: KeyInput | None = None,
    on_existing: OnExisting = "error",
    progress: Progress | None = None,
) -> ImportReport:
    """Store the people of a gallery file; same parameters and errors as `import_from`."""
    with _open(path) as file:
        vault = _vault_of(file, path, key)
        checked = _check(file, path, vault)
        pack = gallery.pack
        if (checked.head.pack_digest, checked.head.dimension) != (pack.digest, pack.dimension):
            raise GalleryPackError(
                f"{path.name} is of pack {checked.head.pack!r} ({checked.head.pack_digest[:12]}) and the gallery of "
                f"{pack.name!r} ({pack.digest[:12]}); their embeddings cannot be compared. Open the gallery with that "
                "pack, or import the photos",
                stored=pack.name,
                opened=checked.head.pack,
            )
        return _store(gallery, file, path, vault, checked, on_existing, progress)


def is_gallery_file(head: bytes) -> bool:
    """Return whether a file that begins with these bytes is a gallery file."""
    return head.startswith((_PLAIN, ENCRYPTED))


def pack_of(path: str | os.PathLike[str], *, key: KeyInput | None = None) -> str:
    """Return the name of a gallery file's pack, from its first line.

    Parameters
    ----------
    path : str or PathLike
    key : bytes, str or callable, optional
        As in `import_from`.

    Raises
    ------
    GalleryFileError, GalleryFileVersionError, KeyMissingError, WrongKeyError
    """
    place = Path(path)
    with _open(place) as file:
        vault = _vault_of(file, place, key)
        first = next(split(_pieces(file, place, vault), place.name), b"")
        return Reading(place.name).head(first).pack


def _check(file: BinaryIO, path: Path, vault: Vault | None) -> _Checked:
    """Read the whole file, and raise an error if anything in it is wrong."""
    reading = _Batches(file, path, vault)
    digests = [reading.digest() for _ in reading.batches()]
    if reading.head is None or reading.end is None:
        raise GalleryFileError(f"{path.name} is truncated")
    return _Checked(reading.head, reading.end, digests)


def _store(
    gallery: Gallery,
    file: BinaryIO,
    path: Path,
    vault: Vault | None,
    checked: _Checked,
    on_existing: OnExisting,
    progress: Progress | None,
) -> ImportReport:
    tally = Tally("gallery")
    reading = _Batches(file, path, vault)
    done = 0
    for number, batch in enumerate(reading.batches()):
        if number >= len(checked.digests) or reading.digest() != checked.digests[number]:
            raise GalleryFileError(f"{path.name} changed during the import; people stored before remain stored")
        answers = gallery.exchange.import_people(batch, on_existing=on_existing, pack=checked.head.pack_digest)
        for portable, answer in zip(batch, answers, strict=True):
            person_id = portable.person.person_id
            if isinstance(answer, DuplicatePersonError) and on_existing == "skip":
                tally.skip_person(person_id)
            elif isinstance(answer, FacedexError):
                tally.add_answer(person_id, f"{person_id!r} in {path.name}", answer)
            else:
                tally.add_person(len(portable.faces), len(portable.photos))
        done += len(batch)
        if progress is not None:
            progress(done, checked.end.people)
    return tally.report()


class _Batches:
    """One reading of a gallery file: batches of people, and the digest up to the end of each batch."""

    def __init__(self, file: BinaryIO, path: Path, vault: Vault | None) -> None:
        self.head: Head | None = None
        self.end: End | None = None
        self._digest = hashlib.sha256()
        self._file = file
        self._path = path
        self._vault = vault
        self._size = 0
        self._before = ""

    def digest(self) -> bytes:
        return self._digest.copy().digest()

    def batches(self) -> Iterator[list[PortablePerson]]:
        name = self._path.name
        reading = Reading(name)
        lines = self._lines()
        self.head = reading.head(next(lines, b""))
        batch: list[PortablePerson] = []
        people = faces = photos = held = 0
        for line in lines:
            before = self._before
            self.end = reading.end(line)
            if self.end is not None:
                if self.end != End(people, faces, photos, before):
                    raise GalleryFileError(f"{name} is damaged: its last line does not match the lines before it")
                break
            person = reading.person(line, lines)
            batch.append(person)
            people, faces, photos = people + 1, faces + len(person.faces), photos + len(person.photos)
            held += self._size
            self._size = 0
            if len(batch) >= BATCH or held >= _BATCH_BYTES:
                yield batch
                batch, held = [], 0
        if self.end is None:
            raise GalleryFileError(f"{name} is truncated")
        if next(lines, None) is not None:
            raise GalleryFileError(f"{name} has data after its last line")
        if batch:
            yield batch

    def _lines(self) -> Iterator[bytes]:
        """Yield the lines; `_before` is the digest of the lines before the current one."""
        for line in split(_pieces(self._file, self._path, self._vault), self._path.name):
            self._before = self._digest.hexdigest()
            self._digest.update(line)
            self._size += len(line)
            yield line


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise _unreadable(path, error) from error


def _pieces(file: BinaryIO, path: Path, vault: Vault | None) -> Iterator[bytes]:
    try:
        if vault is None:
            file.seek(0)
            while piece := file.read(_READ):
                yield piece
        else:
            file.seek(_HEAD)
            yield from vault.decrypt_stream(file, OWNER, path.name)
    except IndexFileError as error:
        raise GalleryFileError(f"{path.name} was altered or truncated") from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> GalleryFileError:
    return GalleryFileError(f"{path} cannot be read: {error.strerror}")


def _vault_of(file: BinaryIO, path: Path, key: KeyInput | None) -> Vault | None:
    """Return the vault that decrypts the file; None when it is not encrypted."""
    try:
        head = file.read(_HEAD)
    except OSError as error:
        raise _unreadable(path, error) from error
    if not head.startswith(ENCRYPTED):
        if not head.startswith(_PLAIN):
            raise GalleryFileError(f"{path.name} is not a gallery file of facedex (format {FORMAT})")
        if key is not None:
            raise KeyUnusedError(f"{path.name} is not encrypted and a key was given; import it without a key")
        return None
    if len(head) < _HEAD:
        raise GalleryFileError(f"{path.name} is truncated")
    secret = key_of(key)
    if secret is None:
        raise KeyMissingError(f"{path.name} is encrypted; give the key of the file (key=...) or set FACEDEX_KEY")
    vault = Vault(secret, head[len(ENCRYPTED) : len(ENCRYPTED) + SALT_BYTES].hex())
    if not vault.matches(head[len(ENCRYPTED) + SALT_BYTES :]):
        raise WrongKeyError(
            f"{path.name} is encrypted with another key than the one given, or its first bytes were altered"
        )
    return vault
