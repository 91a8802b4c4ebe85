"""The search inside this process: the native index, kept in step with the database, and its snapshot file.

Before a search the index applies what changed in the database, whichever process changed it. A snapshot is used only
by the history that made it: when it is damaged or foreign, the index is rebuilt from the database with a warning. A
deletion removes the snapshots that hold the deleted face.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from .._core import Index
from ..errors import ArgumentError, GalleryKeyError, GalleryPackError, IndexFileError, SearchError, StoreError
from ..store import Feed
from .base import FoundPeople, Keys, SearchOptions, SearchStatus, State, Vectors
from .snapshots import Snapshots

_log = logging.getLogger("facedex")

_Answer = TypeVar("_Answer")


class LocalSearch:
    """A native index that follows a gallery; see `open_search` for the parameters, `Search` for the methods.

    Searches run side by side; one thread at a time updates the index. With `fresh`, the snapshots are removed.
    """

    def __init__(
        self,
        feed: Feed,
        options: SearchOptions,
        *,
        fresh: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> None:
        self.rebuilt: str | None = None
        self._feed = feed
        self._options = options
        self._rows = options.rows(feed)
        self._progress = progress
        self._snapshots = Snapshots(feed, options)
        self._lock = threading.Lock()
        self._at: State = (0, "")
        self._saved_at: State = (0, "")
        self._measured_at: State | None = None
        self._index = self._new()
        with self._lock:
            if fresh:
                self._snapshots.remove_all()
                self._rebuild()
            else:
                self._open()

    @property
    def at(self) -> State:
        """Number and token of the last change that the index has applied."""
        return self._at

    @property
    def method(self) -> str:
        """The method in use: "exact", "ivf" or "hnsw"."""
        return self._index.method

    @property
    def place(self) -> str:
        """Where it searches: in this process."""
        return "local"

    def __len__(self) -> int:
        return len(self._index)

    def sync(self) -> State:
        """Apply what changed in the database; one small query when nothing changed."""
        head = self._feed.head()
        if head != self._at:
            with self._lock:
                self._advance()
            head = self._at
        return head

    def search(self, probes: Vectors, k: int) -> tuple[Keys, Vectors]:
        """Find the nearest faces in the state of the last `sync`."""
        return self._query(lambda index: index.search(probes, k))

    def search_people(self, probes: Vectors, k: int, *, faces: int = 1) -> FoundPeople:
        """Find the nearest people: by their closest face, or by the mean of their closest `faces`."""
        people, similarities, keys, _ = self._query(lambda index: index.search_people(probes, k, faces=faces))
        return FoundPeople(people, similarities, keys)

    def sample_recall(self, n: int = 200) -> float:
        """Measure how often the approximate search finds what the exact one finds."""
        at = self._at
        recall = self._query(lambda index: index.sample_recall(n))
        self._measured_at = at
        return recall

    def status(self) -> SearchStatus:
        """Describe how the gallery is searched; measures the recall unless that was done for this state."""
        if self._measured_at != self._at:
            self.sample_recall()
        status = self._index.status()
        recall = status["recall"] if status["n_lists"] or status["method"] == "hnsw" else 1.0
        return SearchStatus(status["in_use"], _why(status), recall)

    def forget(self) -> None:
        """Remove the snapshots of this gallery, or raise `SearchError`."""
        self._feed.database.check_writable()
        self._snapshots.remove_all()
        self._saved_at = (0, "")

    def vacuum(self, *, full: bool = False) -> bool:
        """Return True: a deletion removes the snapshots, so no copy of a deleted vector remains."""
        return True

    def close(self) -> None:
        """Do nothing: it has no connections."""

    def save(self) -> None:
        """Write a snapshot when something changed; a failure is logged and costs time at the next opening."""
        if self._feed.database.in_memory or self._feed.database.read_only:
            return
        with self._lock:
            try:
                self._advance()
                if self._at != self._saved_at and len(self._index) > 0:
                    self._saved_at = self._at if self._snapshots.save(self._index, self._at) else (0, "")
            except (IndexFileError, SearchError, StoreError, GalleryKeyError, GalleryPackError) as error:
                _log.warning("the search index was not saved and will be rebuilt: %s", error)

    def _new(self) -> Index:
        pin = self._feed.pin
        return Index(pin.dimension, pin.digest, **self._options.index_arguments())

    def _query(self, query: Callable[[Index], _Answer]) -> _Answer:
        """Run a query; an index whose vectors cannot be read from its snapshot any more is rebuilt first."""
        try:
            return query(self._index)
        except IndexFileError:
            self.sync()  # another process may have deleted and overwritten what this search was about to read
        index = self._index
        try:
            return query(index)
        except IndexFileError as error:
            with self._lock:
                if self._index is index:  # no other thread has rebuilt it
                    self._log_rebuild(str(error))
                    self._forget_quietly()
                    self._rebuild()
        return query(self._index)

    def _open(self) -> None:
        reason = None
        for path, state in sorted(self._snapshots.files(), key=lambda file: file[1], reverse=True):
            if not state[1]:
                continue  # left by an interrupted save
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
            self._log_rebuild(reason)
        self._rebuild()

    def _advance(self) -> None:
        """Bring the index to the head of the feed; the caller holds the lock."""
        if self._feed.head() == self._at:
            return
        delta = self._rows.since(*self._at)
        if delta is None:
            self._log_rebuild("the database was put back to another history")
            self._rebuild()
            return
        if delta.deletes:
            self._forget_quietly()  # first: removed rows are overwritten in a file that has no name any more
        try:
            self._index.replace(delta.removed, delta.added, delta.vectors, people=delta.people)
        except ArgumentError:
            self._log_rebuild("an update of the index was interrupted")
            self._rebuild()
            return
        self._at = (delta.position, delta.token)

    def _rebuild(self) -> None:
        index = self._new()
        at = self._at
        for batch in self._rows.templates():
            index.add(batch.added, batch.vectors, people=batch.people)
            at = (batch.position, batch.token)
            if self._progress is not None:
                self._progress(len(index))
        self._index, self._at = index, at

    def _forget_quietly(self) -> None:
        try:
            self.forget()
        except SearchError as error:
            _log.warning("%s", error)

    def _log_rebuild(self, reason: str) -> None:
        self.rebuilt = reason
        _log.warning("the search index is rebuilt from the database: %s", reason)


def _why(status: dict[str, Any]) -> str:
    """Explain from the status of an index why the method in use is used."""
    requested, used = status["method"], status["in_use"]
    if requested == "exact":
        return "asked for"
    if used == "exact" and status["recall"] is not None and status["recall"] < status["promised_recall"]:
        return f"the approximate search finds {status['recall']:.1%}, and {status['promised_recall']:.1%} are promised"
    if used == "exact" and status["note"] is not None:
        return str(status["note"])
    if used == "exact" and requested == "auto":
        return f"an exact search takes {_format_ms(status['exact_ms'])}"
    if used == "exact":
        return "there are too few faces for another way"
    return "asked for" if used == requested else f"an exact search would take {_format_ms(status['exact_ms'])}"


def _format_ms(time_ms: float) -> str:
    return f"about {time_ms:.2g} ms" if time_ms >= 0.01 else "less than 0.01 ms"
