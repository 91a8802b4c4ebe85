"""The search inside this process: the native index, kept in step with the database, and its snapshot file.

Before a search the index applies what changed in the database, whoever changed it. Its snapshot stands beside the
database as ``people.db.<gallery>.<position>-<token>.index``. Position and token name one state of one history, and the
file says inside whose it is, so a snapshot is used only by the history that made it: one that is damaged or foreign is
never trusted, the index is rebuilt from the database, and a warning tells. A snapshot that holds somebody who is
deleted is removed with the deletion. The snapshot of an encrypted gallery is encrypted; it is never written plain.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from .._core import Index
from ..errors import ArgumentError, GalleryKeyError, IndexFileError, SearchError, StoreError
from . import sealed

_log = logging.getLogger("facedex")

_Keys = NDArray[np.uint64]
_Vectors = NDArray[np.float32]
_Delta = tuple[int, str, _Keys, _Vectors, _Keys]


class Vault(Protocol):
    """Encrypts files."""

    def file(self, content: memoryview, owner: str) -> Iterator[bytes]:
        """Encrypt a file, in pieces."""

    def opened_file(self, sealed: memoryview, owner: str, name: str) -> bytearray:
        """Decrypt a file, or raise `IndexFileError`."""


class Feed(Protocol):
    """What the search asks of the store: the ordered changes of one gallery.

    A change has a number and a token. A delta is position, token, keys added, their vectors, keys removed.
    """

    @property
    def uuid(self) -> str:
        """Names the gallery in all the world."""

    @property
    def vault(self) -> Vault | None:
        """Encrypts snapshots; None where they stay plain."""

    def head(self) -> tuple[int, str]:
        """Tell number and token of the last change."""

    def holds(self, position: int, token: str) -> bool:
        """Tell whether the change of that number has that token."""

    def since(self, position: int, token: str) -> _Delta | None:
        """Return what changed after a position; None when this history has no such position."""

    def templates(self) -> Iterator[_Delta]:
        """Yield everything that is stored, in batches of one state."""


class LocalSearch:
    """A native index that follows a gallery.

    Safe under any number of threads: searches run side by side, one thread at a time brings the index up to date.

    Parameters
    ----------
    feed : Feed
        The gallery.
    dimension : int
        Length of an embedding.
    pack : str
        Digest of the pack that makes them.
    database : Path
        The database's file, beside which the snapshot stands.
    gallery : str
        The gallery's name.
    method : str
        "exact", "hnsw" or "auto".

    Attributes
    ----------
    rebuilt : str or None
        Why the index was rebuilt; None when it was not.
    """

    def __init__(self, feed: Feed, *, dimension: int, pack: str, database: Path, gallery: str, method: str) -> None:
        self.rebuilt: str | None = None
        self._feed = feed
        self._dimension = dimension
        self._pack = pack
        self._method = method
        self._folder = database.absolute().parent
        self._stem = f"{database.name}.{quote(gallery, safe='').replace('.', '%2E')}"
        self._lock = threading.Lock()
        self._at = (0, "")
        self._saved_at = (0, "")
        self._index = self._new()
        with self._lock:
            self._open()

    @property
    def at(self) -> tuple[int, str]:
        """Number and token of the last change that the index has applied."""
        return self._at

    @property
    def method(self) -> str:
        """How searches are answered now: "exact" or "hnsw"."""
        return self._index.method

    def __len__(self) -> int:
        return len(self._index)

    def sync(self) -> tuple[int, str]:
        """Apply what changed in the database; one small query when nothing did.

        Returns
        -------
        position : int
        token : str
            The state that the index now stands at.
        """
        head = self._feed.head()
        if head != self._at:
            with self._lock:
                self._advance()
            head = self._at
        return head

    def search(self, probes: _Vectors, k: int) -> tuple[_Keys, _Vectors]:
        """Find the nearest faces in the state of the last `sync`.

        Parameters
        ----------
        probes : ndarray of float32, shape (m, dimension)
            Unit length.
        k : int

        Returns
        -------
        keys : ndarray of uint64, shape (m, k')
            Face ids, closest first; k' is at most k and the number of faces.
        similarities : ndarray of float32, shape (m, k')
        """
        return self._index.search(probes, k)

    def forget(self) -> None:
        """Remove every snapshot of this gallery from the disk, and what broken-off writes of one left.

        Raises
        ------
        SearchError
            When a file cannot be removed.
        """
        for path, _ in self._files():
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise SearchError(f"snapshot {str(path)!r} cannot be removed: {error.strerror}") from error
        self._saved_at = (0, "")

    def save(self) -> None:
        """Write a snapshot when there is something new; a failure costs time at the next opening, and is only told."""
        with self._lock:
            try:
                self._advance()
                if self._at != self._saved_at and len(self._index) > 0:
                    self._write()
            except (SearchError, StoreError, GalleryKeyError) as error:
                _log.warning("the search index was not saved and will be rebuilt: %s", error)

    def _new(self) -> Index:
        return Index(self._dimension, self._pack, method=self._method)

    def _open(self) -> None:
        reason = None
        for path, state in sorted(self._files(), key=lambda file: file[1], reverse=True):
            if not state[1]:
                continue  # left by a save that broke off
            if not self._feed.holds(*state):
                reason = reason or f"{path.name} belongs to another history of the database"
                continue
            try:
                index, position = self._load(path, self._owner(state[1]))
                if position != state[0]:
                    raise IndexFileError(f"{path.name} is at position {position}")
            except IndexFileError as error:
                reason = str(error)
                continue
            self._index, self._at, self._saved_at = index, state, state
            self._advance()
            return
        if reason is not None:
            self._tell(reason)
        self._rebuild()

    def _advance(self) -> None:
        """Bring the index to the head of the feed; the caller holds the lock."""
        if self._feed.head() == self._at:
            return
        delta = self._feed.since(*self._at)
        if delta is None:
            self._tell("the database was put back to another history")
            self._rebuild()
            return
        position, token, added, vectors, removed = delta
        try:
            self._index.add(added, vectors)
        except ArgumentError:
            self._tell("an update of the index broke off")
            self._rebuild()
            return
        self._index.remove(removed)
        self._at = (position, token)
        if len(removed) > 0:
            self._forget_quietly()

    def _rebuild(self) -> None:
        index = self._new()
        at = self._at
        for position, token, added, vectors, _ in self._feed.templates():
            index.add(added, vectors)
            at = (position, token)
        self._index, self._at = index, at

    def _write(self) -> None:
        position, token = self._at
        path = self._folder / f"{self._stem}.{position}-{token}.index"
        owner, vault = self._owner(token), self._feed.vault
        if vault is None:
            self._index.save(str(path), owner, position)
        else:
            sealed.write(path, vault.file(self._index.to_bytes(owner, position).data, owner))
        # Somebody may have been deleted while it was written, by a process that could not see the file yet.
        try:
            delta = self._feed.since(position, token)
        except GalleryKeyError:  # or the gallery was encrypted
            self.forget()
            raise
        if delta is None or len(delta[4]) > 0:
            self.forget()
            return
        self._saved_at = self._at
        for old, _ in self._files():
            if old != path:
                old.unlink(missing_ok=True)

    def _load(self, path: Path, owner: str) -> tuple[Index, int]:
        vault = self._feed.vault
        if vault is None:
            return Index.load(str(path), self._pack, owner, method=self._method)
        content = vault.opened_file(memoryview(sealed.read(path)), owner, path.name)
        return Index.from_bytes(np.frombuffer(content, np.uint8), path, self._pack, owner, method=self._method)

    def _owner(self, token: str) -> str:
        return f"{self._feed.uuid}:{token}"

    def _files(self) -> list[tuple[Path, tuple[int, str]]]:
        """Snapshots of this gallery with the state that their names tell; an empty token for a broken-off write."""
        pattern = re.compile(re.escape(self._stem) + r"\.(\d{1,19})-([0-9a-f]{16})\.index(\..+\.tmp)?")
        found = []
        for path in self._folder.iterdir():
            match = pattern.fullmatch(path.name)
            if match is not None:
                found.append((path, (int(match[1]), "" if match[3] else match[2])))
        return found

    def _forget_quietly(self) -> None:
        try:
            self.forget()
        except SearchError as error:
            _log.warning("%s", error)

    def _tell(self, reason: str) -> None:
        self.rebuilt = reason
        _log.warning("the search index is rebuilt from the database: %s", reason)
