"""The snapshot files of one gallery's search: found, read, written, removed.

A snapshot is called ``people.db.<gallery>.<position>-<token>.index``. Position and token name one state of one history,
and the file says inside whose it is, so that one which is damaged or foreign is never taken for the gallery's. The
database keeps the digest of each that was written, so that one which somebody else wrote or altered is not taken for it
either. That of an encrypted gallery is encrypted, which says as much; it is never written plain.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import numpy as np

from .._core import Index
from ..errors import GalleryKeyError, GalleryPackError, IndexFileError, SearchError
from ..files import sync_folder
from . import sealed
from .base import SearchOptions
from .following import Feed, State

RESIDENT_BYTES = 256 << 20
"""Vectors of more bytes than this stay in the snapshot that is opened; its codes are always in memory."""


class Snapshots:
    """The snapshots of a gallery.

    Parameters
    ----------
    feed : Feed
        The gallery.
    pack : str
        Digest of the pack that makes the embeddings.
    database : Path
        The database's file, beside which they stand; see `snapshots_beside`.
    gallery : str
        The gallery's name.
    options : SearchOptions, optional
        How to search an index that is loaded.
    """

    def __init__(
        self, feed: Feed, *, pack: str, database: Path, gallery: str, options: SearchOptions | None = None
    ) -> None:
        self._feed = feed
        self._pack = pack
        self._options = (SearchOptions() if options is None else options).index_arguments()
        self._folder = database.absolute().parent
        self._stem = f"{database.name}.{quote(gallery, safe='').replace('.', '%2E')}"

    def files(self) -> list[tuple[Path, State]]:
        """List them with the state that their names tell; an empty token for a write that broke off."""
        pattern = re.compile(re.escape(self._stem) + r"\.(\d{1,19})-([0-9a-f]{16})\.index(\..+\.tmp)?")
        found = []
        for path in self._folder.iterdir():
            match = pattern.fullmatch(path.name)
            if match is not None:
                found.append((path, (int(match[1]), "" if match[3] else match[2])))
        return found

    def load(self, path: Path, state: State) -> Index:
        """Read one.

        Raises
        ------
        IndexFileError
            When it is damaged, not of that state of this gallery, or not one that was written for it.
        """
        owner, vault = self._owner(state), self._feed.vault
        if vault is None:
            digests = self._feed.snapshot_digests(*state)
            index, position = Index.load(
                str(path), self._pack, owner, digests=digests, resident_bytes=RESIDENT_BYTES, **self._options
            )
        else:
            content = np.frombuffer(vault.decrypt_file(memoryview(sealed.read(path)), owner, path.name), np.uint8)
            index, position = Index.from_bytes(content, path, self._pack, owner, **self._options)
        if position != state[0]:
            raise IndexFileError(f"{path.name} is at position {position}")
        return index

    def save(self, index: Index, state: State) -> bool:
        """Write one in place of the others.

        Returns
        -------
        bool
            False when it did not stay, because somebody was deleted meanwhile.

        Raises
        ------
        SearchError
            When it cannot be written.
        StoreError
            When its digest cannot be stored; then it does not stay.
        """
        path = self._folder / f"{self._stem}.{state[0]}-{state[1]}.index"
        owner, vault = self._owner(state), self._feed.vault
        if vault is None:
            digest = index.save(str(path), owner, state[0])
            try:
                self._feed.record_snapshot(*state, digest)
            except BaseException:
                self.remove(path)  # nobody would believe it
                raise
        else:
            sealed.write(path, vault.encrypt_file(index.to_bytes(owner, state[0]).data, owner))
        # Somebody may have been deleted while it was written, by a process that could not see the file yet.
        try:
            delta = self._feed.since(*state)
        except (GalleryKeyError, GalleryPackError):  # or the gallery was encrypted, or moved to another pack
            self.forget()
            raise
        if delta is None or len(delta[4]) > 0:
            self.forget()
            return False
        for old, _ in self.files():
            if old != path:
                old.unlink(missing_ok=True)
        return True

    def forget(self) -> None:
        """Remove every one from the disk, and what broken-off writes of one left; a power cut brings none back.

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
        """Remove one from the disk.

        Raises
        ------
        SearchError
            When it cannot be removed.
        """
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise SearchError(f"snapshot {str(path)!r} cannot be removed: {error.strerror}") from error

    def _owner(self, state: State) -> str:
        return f"{self._feed.uuid}:{state[1]}"
