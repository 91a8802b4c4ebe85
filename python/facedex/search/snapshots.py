"""The snapshot files of one gallery's index: list, read, write, check against the database, remove.

A snapshot is called ``people.db.<gallery>.<position>-<token>.index``, or ``….fused.index`` where a row is a person and
not a face. Position and token name one state of one history, and the file holds the gallery's id and what a row is, so
a damaged file, one of another gallery or one of other rows is refused. The database stores the
digest of each snapshot, so a file that another program wrote or altered is refused too. The snapshots of an encrypted
gallery are encrypted and authenticated instead; plain vectors never reach the disk.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import numpy as np

from .._core import Index
from ..config import user_folder
from ..errors import ArgumentError, GalleryKeyError, GalleryPackError, IndexFileError, SearchError
from ..files import sync_folder, write_atomically
from ..store import Feed
from .base import Keys, SearchOptions, State, Vectors

RESIDENT_BYTES = 256 << 20
"""Vectors of more bytes than this stay in the snapshot that is opened; its codes are always in memory."""

_SAMPLE = 2000  # vectors of a batch that are searched for; a scan for each of a million would take days
_ROUNDING_ERROR = 1e-5  # of float32, on a cosine of 1
_MAX_TIES = 8  # faces of one picture that may come before the face itself


class Difference(NamedTuple):
    """A snapshot that differs from the database."""

    path: Path
    reason: str


class Snapshots:
    """The snapshots of a gallery.

    They are stored next to the database file; for a database server, in a folder that only this user can read. A
    deletion removes them; another machine removes its own when it next opens or searches the gallery. A database in
    memory has none.

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
        options = SearchOptions() if options is None else options
        self._options = options.index_arguments()
        self._rows = options.rows(feed)
        self._kind = ".fused" if options.fused else ""
        database = feed.database
        file = database.path or (Path(feed.uuid) if database.in_memory else _cache_folder() / feed.uuid)
        self._folder = file.absolute().parent
        self._stem = f"{file.name}.{quote(feed.name, safe='').replace('.', '%2E')}"

    def path(self, state: State) -> Path:
        """Return the path of the snapshot of a state."""
        position, token = state
        return self._folder / f"{self._stem}.{position}-{token}{self._kind}.index"

    def files(self) -> list[tuple[Path, State]]:
        """List the snapshots of these rows with their states; the token is empty for an incomplete file."""
        return [(path, state) for path, state, kind in self._all_files() if kind == self._kind]

    def _all_files(self) -> list[tuple[Path, State, str]]:
        """List the snapshots of faces and of people, with their states and kinds."""
        if self._feed.database.in_memory:
            return []
        name = re.escape(self._stem) + r"\.(\d{1,19})-([0-9a-f]{16})(\.fused)?\.index(\..+\.tmp)?"
        found = []
        for path in self._folder.iterdir():
            match = re.fullmatch(name, path.name)
            if match is not None:
                found.append((path, (int(match[1]), "" if match[4] else match[2]), match[3] or ""))
        return found

    def load(self, path: Path, state: State) -> Index:
        """Read a snapshot.

        Raises
        ------
        IndexFileError
            When it is damaged, of another state or gallery, or has an unknown digest.
        """
        identity, pack, vault = self._identity(state), self._feed.pin.digest, self._feed.vault
        saved_at, _ = state
        if vault is None:
            digests = self._feed.snapshot_digests(*state)
            index, position = Index.load(
                str(path), pack, identity, digests=digests, resident_bytes=RESIDENT_BYTES, **self._options
            )
        else:
            try:
                encrypted = memoryview(path.read_bytes())
            except OSError as error:
                raise IndexFileError(f"{path.name} cannot be read: {error.strerror}") from error
            content = np.frombuffer(vault.decrypt_file(encrypted, identity, path.name), np.uint8)
            index, position = Index.from_bytes(content, path, pack, identity, **self._options)
        if position != saved_at:
            raise IndexFileError(f"{path.name} is at position {position}")
        return index

    def save(self, index: Index, state: State) -> bool:
        """Write a snapshot in place of the others.

        Returns
        -------
        bool
            False when the snapshot was deleted again, because a face was deleted in the meantime.

        Raises
        ------
        SearchError
            When it cannot be written.
        StoreError
            When its digest cannot be stored; the file is then removed.
        """
        path, identity, vault = self.path(state), self._identity(state), self._feed.vault
        position, _ = state
        if vault is None:
            digest = index.save(str(path), identity, position)
            try:
                self._feed.record_snapshot(*state, digest)
            except BaseException:
                self.remove(path)  # without its digest it is never loaded
                raise
        else:
            try:
                write_atomically(path, vault.encrypt_file(index.to_bytes(identity, position).data, identity))
            except OSError as error:
                raise SearchError(f"snapshot {str(path)!r} cannot be written: {error.strerror}") from error
        # A process that could not see the file yet may have deleted a face while it was written.
        try:
            delta = self._rows.since(*state)
        except (GalleryKeyError, GalleryPackError):  # or the gallery was encrypted, or moved to another pack
            self.remove_all()
            raise
        if delta is None or delta.deletes:
            self.remove_all()
            return False
        for old, of, _ in self._all_files():
            if old != path and of != state:
                old.unlink(missing_ok=True)
        return True

    def remove_all(self) -> None:
        """Remove every snapshot, of faces and of people, and files of interrupted writes; sync the folder.

        Raises
        ------
        SearchError
            When a file cannot be removed.
        """
        found = self._all_files()
        for path, _, _ in found:
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

    def check(self) -> list[Difference]:
        """Compare each snapshot, brought up to date, with the database.

        It must contain every face, and no other. Each vector, or in a large gallery each of a sample per batch, must be
        its own nearest match.

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
        _, token = state
        if not token:
            return "it was left by an interrupted write"
        try:
            index = self.load(path, state)
            delta = self._rows.since(*state)
            if delta is None:
                return "it belongs to another history of the database"
            index.replace(delta.removed, delta.added, delta.vectors, people=delta.people)
            return self._index_difference(index)
        except IndexFileError as error:
            return str(error)
        except ArgumentError:
            return "it holds faces that were registered after it was written"

    def _index_difference(self, index: Index) -> str | None:
        rng = np.random.default_rng(0)
        stored = 0
        for batch in self._rows.templates():
            keys, vectors = batch.added, batch.vectors
            stored += len(keys)
            missing = [int(key) for key in keys if int(key) not in index]
            if missing:
                return f"it lacks {self._row} {missing[0]}"
            if len(keys) > _SAMPLE:
                chosen = rng.choice(len(keys), _SAMPLE, replace=False)
                keys, vectors = keys[chosen], vectors[chosen]
            wrong = _first_wrong_vector(index, keys, vectors)
            if wrong is not None:
                return f"its vector of {self._row} {wrong} differs from the database"
        what = "people" if self._kind else "faces"
        return None if stored == len(index) else f"it holds {len(index)} {what}, the database {stored}"

    @property
    def _row(self) -> str:
        """What a row is, in messages."""
        return "person" if self._kind else "face"

    def _identity(self, state: State) -> str:
        _, token = state
        return f"{self._feed.uuid}:{token}{self._kind}"


def _cache_folder() -> Path:
    """Create this machine's folder for the snapshots of databases on servers."""
    home = user_folder("cache")
    if home is None:
        raise SearchError("this user has no home folder for search snapshots; name a folder with FACEDEX_HOME")
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
    """Return a face whose vector is not its own nearest match; None if all are."""
    if not len(keys):
        return None
    found, similarities = index.search(vectors, _MAX_TIES)
    finds_itself = (found == keys[:, None]) & (similarities >= 1 - _ROUNDING_ERROR)
    # Where more vectors than these are equal, a face may find only the others.
    tied = similarities[:, -1] >= 1 - _ROUNDING_ERROR
    wrong = ~(finds_itself.any(axis=1) | tied)
    return int(keys[wrong][0]) if wrong.any() else None
