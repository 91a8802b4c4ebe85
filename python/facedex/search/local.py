"""The search inside this process: the native index, kept in step with the database, and its snapshot file.

Before a search the index applies what changed in the database, whoever changed it. A snapshot is used only by the
history that made it: when one is damaged or foreign, the index is rebuilt from the database, and a warning tells. A
snapshot that holds somebody who is deleted is removed with the deletion.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from .._core import Index
from ..errors import ArgumentError, GalleryKeyError, GalleryPackError, IndexFileError, SearchError, StoreError
from ..options import IndexMethod
from .base import FoundPeople, SearchOptions, SearchStatus
from .following import Feed, Keys, State, Vectors
from .snapshots import Snapshots

_log = logging.getLogger("facedex")

_Answer = TypeVar("_Answer")


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
    method : str or SearchOptions
        "auto", "exact", "ivf" or "hnsw", or all options.
    fresh : bool
        Start over from the database, whatever snapshots there are; they are removed.
    progress : callable, optional
        Called with the number of faces that an index that is rebuilt has so far.

    Attributes
    ----------
    rebuilt : str or None
        Why the index was rebuilt; None when it was not.
    """

    def __init__(
        self,
        feed: Feed,
        *,
        dimension: int,
        pack: str,
        database: Path,
        gallery: str,
        method: IndexMethod | SearchOptions = "auto",
        fresh: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> None:
        self.rebuilt: str | None = None
        self._feed = feed
        self._dimension = dimension
        self._pack = pack
        self._options = method if isinstance(method, SearchOptions) else SearchOptions(method)
        self._progress = progress
        self._snapshots = Snapshots(feed, pack=pack, database=database, gallery=gallery, options=self._options)
        self._lock = threading.Lock()
        self._at: State = (0, "")
        self._saved_at: State = (0, "")
        self._measured_at: State | None = None
        self._index = self._new()
        with self._lock:
            if fresh:
                self._snapshots.forget()
                self._rebuild()
            else:
                self._open()

    @property
    def at(self) -> tuple[int, str]:
        """Number and token of the last change that the index has applied."""
        return self._at

    @property
    def method(self) -> str:
        """How searches are answered now: "exact", "ivf" or "hnsw"."""
        return self._index.method

    @property
    def place(self) -> str:
        """Where it searches: in this process."""
        return "local"

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

    def search(self, probes: Vectors, k: int) -> tuple[Keys, Vectors]:
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
        return self._answer(lambda index: index.search(probes, k))

    def search_people(self, probes: Vectors, k: int, *, faces: int = 1) -> FoundPeople:
        """Find the nearest people: by their closest face, or by the mean of their closest `faces`."""
        people, similarities, keys, _ = self._answer(lambda index: index.search_people(probes, k, faces=faces))
        return FoundPeople(people, similarities, keys)

    def sample_recall(self, n: int = 200) -> float:
        """Measure how often the approximate search finds what the exact one finds; too seldom, and it is not used."""
        at = self._at
        recall = self._answer(lambda index: index.sample_recall(n))
        self._measured_at = at
        return recall

    def status(self) -> SearchStatus:
        """Tell how searches are answered; the recall is measured when that was not done for this state."""
        if self._measured_at != self._at:
            self.sample_recall()
        status = self._index.status()
        recall = status["recall"] if status["n_lists"] or status["method"] == "hnsw" else 1.0
        return SearchStatus(status["in_use"], _why(status), recall)

    def forget(self) -> None:
        """Remove every snapshot of this gallery from the disk, and what broken-off writes of one left.

        Raises
        ------
        SearchError
            When a file cannot be removed.
        """
        self._snapshots.forget()
        self._saved_at = (0, "")

    def wipe(self, *, anew: bool = False) -> bool:
        """Tell that nothing that was deleted stands anywhere: the snapshots are removed with a deletion."""
        return True

    def close(self) -> None:
        """Do nothing: it holds nothing but memory."""

    def save(self) -> None:
        """Write a snapshot when there is something new; a failure costs time at the next opening, and is only told."""
        with self._lock:
            try:
                self._advance()
                if self._at != self._saved_at and len(self._index) > 0:
                    self._write()
            except (IndexFileError, SearchError, StoreError, GalleryKeyError, GalleryPackError) as error:
                _log.warning("the search index was not saved and will be rebuilt: %s", error)

    def _new(self) -> Index:
        return Index(self._dimension, self._pack, **self._options.index_arguments())

    def _answer(self, question: Callable[[Index], _Answer]) -> _Answer:
        """Ask the index; one whose vectors cannot be read from its snapshot any more is rebuilt first."""
        try:
            return question(self._index)
        except IndexFileError:
            self.sync()  # another process may have deleted and overwritten what this search was about to read
        index = self._index
        try:
            return question(index)
        except IndexFileError as error:
            with self._lock:
                if self._index is index:  # nobody else was faster
                    self._tell(str(error))
                    self._forget_quietly()
                    self._rebuild()
        return question(self._index)

    def _open(self) -> None:
        reason = None
        for path, state in sorted(self._snapshots.files(), key=lambda file: file[1], reverse=True):
            if not state[1]:
                continue  # left by a save that broke off
            if not self._feed.holds(*state):
                reason = reason or f"{path.name} belongs to another history of the database"
                continue
            try:
                index = self._snapshots.load(path, state)
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
        position, token, added, vectors, removed, people = delta
        try:
            self._index.add(added, vectors, people=people)
        except ArgumentError:
            self._tell("an update of the index broke off")
            self._rebuild()
            return
        if len(removed) > 0:
            self._forget_quietly()  # first: removed rows are overwritten in a file that has no name any more
        self._index.remove(removed)
        self._at = (position, token)

    def _rebuild(self) -> None:
        index = self._new()
        at = self._at
        for position, token, added, vectors, _, people in self._feed.templates():
            index.add(added, vectors, people=people)
            at = (position, token)
            if self._progress is not None:
                self._progress(len(index))
        self._index, self._at = index, at

    def _write(self) -> None:
        self._saved_at = self._at if self._snapshots.save(self._index, self._at) else (0, "")

    def _forget_quietly(self) -> None:
        try:
            self.forget()
        except SearchError as error:
            _log.warning("%s", error)

    def _tell(self, reason: str) -> None:
        self.rebuilt = reason
        _log.warning("the search index is rebuilt from the database: %s", reason)


def _why(status: dict[str, Any]) -> str:
    """Explain from the status of an index why it searches with the method in use."""
    wanted, used = status["method"], status["in_use"]
    if wanted == "exact":
        return "asked for"
    if used == "exact" and status["recall"] is not None and status["recall"] < status["promised_recall"]:
        return f"the approximate search finds {status['recall']:.1%}, and {status['promised_recall']:.1%} are promised"
    if used == "exact" and status["note"] is not None:
        return str(status["note"])
    if used == "exact" and wanted == "auto":
        return f"an exact search takes {_rounded(status['exact_ms'])}"
    if used == "exact":
        return "there are too few faces for another way"
    return "asked for" if used == wanted else f"an exact search would take {_rounded(status['exact_ms'])}"


def _rounded(time_ms: float) -> str:
    return f"about {time_ms:.2g} ms" if time_ms >= 0.01 else "less than 0.01 ms"
