"""The snapshot files of one gallery's index: list, read, write, compare with the database, remove.

A snapshot is called ``people.db.<gallery>.<position>-<token>.index``. Position and token name one state of one history,
and the file holds the gallery's id, so a file that is damaged or of another gallery is refused. The database stores
the digest of each snapshot that was written, so a file that somebody else wrote or altered is refused too. The
snapshots of an encrypted gallery are encrypted and authenticated instead; plain vectors never reach the disk.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import numpy as np

from .._core import Index
from ..config import settings
from ..errors import ArgumentError, GalleryKeyError, GalleryPackError, IndexFileError, SearchError
from ..files import sync_folder, write_atomically
from ..store import Feed
from .base import Keys, SearchOptions, State, Vectors

RESIDENT_BYTES = 256 << 20
"""Vectors of more bytes than this stay in the snapshot that is opened; its codes are always in memory."""

_SAMPLE = 2000  # vectors of a batch that are searched for; a scan for each of a million would take days
_SAME = 1e-5  # rounding error of float32 on a cosine of 1
_TIES = 8  # faces of one picture that may come before the face itself


class Difference(NamedTuple):
    """A snapshot that differs from the database."""

    path: Path
    reason: str


class Snapshots:
    """The snapshots of a gallery.

    They stand beside the database's file; for a database server in a folder that only this user can read. A deletion
    removes them; those of another machine are removed when the gallery is next opened or searched there.

    Parameters
    ----------
    feed : Feed
        The gallery, bound to its pack.
    options : SearchOptions, optional
        How to search an index that is loaded.

    Raises
    ------
    SearchError
        When the folder cannot be made.
    """

    def __init__(self, feed: Feed, options: SearchOptions | None = None) -> None:
        self._feed = feed
        self._options = (SearchOptions() if options is None else options).index_arguments()
        file = feed.database.path or _cache_folder() / feed.uuid
        self._folder = file.absolute().parent
        self._stem = f"{file.name}.{quote(feed.name, safe='').replace('.', '%2E')}"

    def path(self, state: State) -> Path:
        """Return the path of the snapshot of a state."""
        return self._folder / f"{self._stem}.{state[0]}-{state[1]}.index"

    def files(self) -> list[tuple[Path, State]]:
        """List the snapshots with their states; the token is empty for a file that was not written to its end."""
        pattern = re.compile(re.escape(self._stem) + r"\.(\d{1,19})-([0-9a-f]{16})\.index(\..+\.tmp)?")
        found = []
        for path in self._folder.iterdir():
            match = pattern.fullmatch(path.name)
            if match is not None:
                found.append((path, (int(match[1]), "" if match[3] else match[2])))
        return found

    def load(self, path: Path, state: State) -> Index:
        """Read a snapshot.

        Raises
        ------
        IndexFileError
            When it is damaged, not of that state of this gallery, or not one that was written for it.
        """
        owner, pack, vault = self._owner(state), self._feed.pin.digest, self._feed.vault
        if vault is None:
            digests = self._feed.snapshot_digests(*state)
            index, position = Index.load(
                str(path), pack, owner, digests=digests, resident_bytes=RESIDENT_BYTES, **self._options
            )
        else:
            try:
                encrypted = memoryview(path.read_bytes())
            except OSError as error:
                raise IndexFileError(f"{path.name} cannot be read: {error.strerror}") from error
            content = np.frombuffer(vault.decrypt_file(encrypted, owner, path.name), np.uint8)
            index, position = Index.from_bytes(content, path, pack, owner, **self._options)
        if position != state[0]:
            raise IndexFileError(f"{path.name} is at position {position}")
        return index

    def save(self, index: Index, state: State) -> bool:
        """Write a snapshot in place of the others.

        Returns
        -------
        bool
            False when it was removed again, because a face was deleted meanwhile.

        Raises
        ------
        SearchError
            When it cannot be written.
        StoreError
            When its digest cannot be stored; the file is then removed.
        """
        path, owner, vault = self.path(state), self._owner(state), self._feed.vault
        if vault is None:
            digest = index.save(str(path), owner, state[0])
            try:
                self._feed.record_snapshot(*state, digest)
            except BaseException:
                self.remove(path)  # without its digest it is never loaded
                raise
        else:
            try:
                write_atomically(path, vault.encrypt_file(index.to_bytes(owner, state[0]).data, owner))
            except OSError as error:
                raise SearchError(f"snapshot {str(path)!r} cannot be written: {error.strerror}") from error
        # A process that could not see the file yet may have deleted a face while it was written.
        try:
            delta = self._feed.since(*state)
        except (GalleryKeyError, GalleryPackError):  # or the gallery was encrypted, or moved to another pack
            self.forget()
            raise
        if delta is None or len(delta.removed) > 0:
            self.forget()
            return False
        for old, _ in self.files():
            if old != path:
                old.unlink(missing_ok=True)
        return True

    def forget(self) -> None:
        """Remove every snapshot, and what broken-off writes left, durably: a power cut brings none back.

        Raises
        ------
        SearchError
            When a file cannot be removed.
        """
        found = self.files()
        for path, _ in found:
            self.remove(path)
        if found:
            try:
                sync_folder(self._folder)
            except OSError as error:
                raise SearchError(f"folder {str(self._folder)!r} cannot be synced: {error.strerror}") from error

    def remove(self, path: Path) -> None:
        """Remove one file.

        Raises
        ------
        SearchError
            When it cannot be removed.
        """
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise SearchError(f"snapshot {str(path)!r} cannot be removed: {error.strerror}") from error

    def compare(self) -> list[Difference]:
        """Compare each snapshot, brought up to date, with the database.

        Every face must be in it, and no other. All its vectors, or of a large gallery a sample of each batch, must find
        themselves.

        Returns
        -------
        list of Difference
            Empty when a search from each snapshot answers as one from the database.

        Raises
        ------
        DatabaseDamagedError
            When the database itself cannot be read.
        """
        reasons = [(path, self._difference(path, state)) for path, state in sorted(self.files())]
        return [Difference(path, reason) for path, reason in reasons if reason is not None]

    def _difference(self, path: Path, state: State) -> str | None:
        if not state[1]:
            return "it was left by a write that broke off"
        try:
            index = self.load(path, state)
            delta = self._feed.since(*state)
            if delta is None:
                return "it belongs to another history of the database"
            index.add(delta.added, delta.vectors, people=delta.people)
            index.remove(delta.removed)
            return self._index_difference(index)
        except IndexFileError as error:
            return str(error)
        except ArgumentError:
            return "it holds faces that were registered after it was written"

    def _index_difference(self, index: Index) -> str | None:
        chance = np.random.default_rng(0)
        stored = 0
        for batch in self._feed.templates():
            keys, vectors = batch.added, batch.vectors
            stored += len(keys)
            missing = [int(key) for key in keys if int(key) not in index]
            if missing:
                return f"it lacks face {missing[0]}"
            if len(keys) > _SAMPLE:
                chosen = chance.choice(len(keys), _SAMPLE, replace=False)
                keys, vectors = keys[chosen], vectors[chosen]
            wrong = _first_wrong_vector(index, keys, vectors)
            if wrong is not None:
                return f"the vector of face {wrong} in it is another than the database's"
        return None if stored == len(index) else f"it holds {len(index)} faces, the database {stored}"

    def _owner(self, state: State) -> str:
        return f"{self._feed.uuid}:{state[1]}"


def _cache_folder() -> Path:
    """Make the folder of this machine for the snapshots of databases on servers."""
    home = settings().home
    if home is None:
        from platformdirs import user_cache_path

        home = user_cache_path("facedex", appauthor=False)
    folder = home / "galleries"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SearchError(
            f"folder {str(folder)!r} for search snapshots cannot be made: {error.strerror}; "
            "choose another with FACEDEX_HOME"
        ) from error
    return folder


def _first_wrong_vector(index: Index, keys: Keys, vectors: Vectors) -> int | None:
    """Return a face that does not find itself, if there is one."""
    if not len(keys):
        return None
    found, similarities = index.search(vectors, _TIES)
    itself = (found == keys[:, None]) & (similarities >= 1 - _SAME)
    # Where more vectors than these are equal, a face may find only the others.
    tied = similarities[:, -1] >= 1 - _SAME
    wrong = ~(itself.any(axis=1) | tied)
    return int(keys[wrong][0]) if wrong.any() else None
