"""What searches in another program have in common: checked probes, people by widening, a measured recall.

Vectors stand there as they are, so an encrypted gallery is refused.
"""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import get_args

import numpy as np

from .._core import Index
from ..errors import ArgumentError, PlainSearchError
from ..options import IndexMethod
from ..store import Feed
from .base import FoundPeople, SearchOptions, SearchStatus
from .following import Keys, State, Vectors
from .widening import people_by_widening

_log = logging.getLogger("facedex")

_METHODS = [method for method in get_args(IndexMethod) if method != "ivf"]

_COMPARED = 500  # faces fetched at once to be compared with the database
_PROBES = 100  # of the sample that chooses the breadth of a walk
_PERSON = 0.75  # cosine of two pictures of one person, about, of which the probes of a sample are made
_LOSS = 1e-5  # what float32 may lose on a cosine


class RemoteSearch(ABC):
    """A search that other processes share, in step with one gallery.

    Parameters
    ----------
    feed : Feed
        The gallery, bound to its pack.
    options : SearchOptions
        Its method is "auto", "exact" or "hnsw".
    place : str
        Where it searches, without secrets.
    progress : callable, optional
        Called with the number of faces that an index that is built has so far.

    Raises
    ------
    ArgumentError
        When it has no such method.
    PlainSearchError
        When the gallery is encrypted.
    """

    _breadth: int
    """Of a walk through the graph."""

    def __init__(
        self, feed: Feed, *, options: SearchOptions, place: str, progress: Callable[[int], object] | None
    ) -> None:
        if options.method not in _METHODS:
            known = ", ".join(_METHODS)
            raise ArgumentError(f"index of the search {place} must be one of {known}, got {options.method!r}")
        if feed.vault is not None:
            raise PlainSearchError(
                f"gallery {feed.name!r} is encrypted, and the search {place} would hold its templates in the clear; "
                "open it with search='local'"
            )
        self.rebuilt: str | None = None
        self._feed = feed
        self._database = feed.database
        self._options = options
        self._place = place
        self._progress = progress
        self._lock = threading.Lock()
        self._at: State = (0, "")
        self._faces = 0
        self._walks = False
        self._recall: float | None = None
        self._measured_at: State | None = None
        self._gate = Index(feed.pin.dimension, feed.pin.digest, method="exact")

    @property
    def at(self) -> State:
        """Number and token of the last change that is applied."""
        return self._at

    @property
    def place(self) -> str:
        """Where it searches."""
        return self._place

    @property
    def method(self) -> str:
        """How searches are answered now: "exact" or "hnsw"."""
        return "hnsw" if self._graph and self._walks else "exact"

    def __len__(self) -> int:
        return self._faces

    def sync(self) -> State:
        """Apply what changed in the database; one small query when nothing did."""
        if not self._is_current():
            with self._lock:
                if not self._is_current():
                    self._advance()
        return self._at

    def search(self, probes: Vectors, k: int) -> tuple[Keys, Vectors]:
        """Find the nearest faces in the state of the last `sync` or a later one.

        Parameters
        ----------
        probes : ndarray of float32, shape (m, dimension)
            Unit length.
        k : int

        Returns
        -------
        keys : ndarray of uint64, shape (m, k')
            Face ids, closest first.
        similarities : ndarray of float32, shape (m, k')
        """
        keys, similarities, _ = self._checked(probes, k)
        return keys, similarities

    def search_people(self, probes: Vectors, k: int, *, faces: int = 1) -> FoundPeople:
        """Find the nearest people; the mean of so many closest faces of each counts."""
        self._gate.search(probes, k)
        return people_by_widening(self._nearest, self._scores, len(self), probes, k, faces)

    def sample_recall(self, n: int = 200) -> float:
        """Measure how often the nearest face is found, on probes that resemble n stored faces; 1 where none is.

        A probe counts when a face is found that is at least as close as the one that it was made from.
        """
        if self.method == "exact" or n < 1:
            return 1.0
        stored = self._sample(n)
        if not len(stored):
            return 1.0
        noise = np.random.default_rng(0).standard_normal(stored.shape)
        noise -= (noise * stored).sum(1, keepdims=True) * stored
        noise /= np.linalg.norm(noise, axis=1, keepdims=True)
        probes = (_PERSON * stored + np.sqrt(1 - _PERSON**2) * noise).astype(np.float32)
        probes /= np.linalg.norm(probes, axis=1, keepdims=True)
        own = (probes * stored).sum(1)
        _, similarities, _ = self._nearest(probes, 1)
        recall = float(np.mean(similarities[:, 0] >= own - _LOSS)) if similarities.shape[1] else 0.0
        self._recall, self._measured_at = recall, self._at
        self._walks = recall >= self._options.promised_recall
        return recall

    def status(self) -> SearchStatus:
        """Tell how searches are answered; the recall is measured when that was not done for this state."""
        if self.method == "hnsw" and self._measured_at != self._at:
            self.sample_recall()
        recall = self._recall if self._recall is not None and self._options.method != "exact" else 1.0
        return SearchStatus(self.method, self._why(recall), recall)

    def forget(self) -> None:  # noqa: B027
        """Do nothing: no file of this machine holds a vector."""

    def save(self) -> None:  # noqa: B027
        """Do nothing: what is searched stands where it is searched."""

    def close(self) -> None:  # noqa: B027
        """Let go of connections."""

    def difference(self) -> str | None:
        """Compare what it holds, brought up to date, with the database; what differs first, None when nothing does."""
        self.sync()
        stored = 0
        for _, _, keys, vectors, _, people in self._feed.templates():
            stored += len(keys)
            for start in range(0, len(keys), _COMPARED):
                part = slice(start, start + _COMPARED)
                held = self._held(keys[part].tolist())
                for key, person, vector in zip(keys[part].tolist(), people[part].tolist(), vectors[part], strict=True):
                    if key not in held:
                        return f"it lacks face {key}"
                    if held[key][0] != person:
                        return f"face {key} in it is another person's than in the database"
                    if not np.array_equal(held[key][1], vector):
                        return f"the vector of face {key} in it is another than the database's"
        held_now = self._count()
        return None if held_now == stored else f"it holds {held_now} faces, the database {stored}"

    @property
    @abstractmethod
    def _graph(self) -> bool:
        """Whether there is a graph to be searched."""

    @abstractmethod
    def wipe(self, *, anew: bool = False) -> bool:
        """Clear away what was deleted."""

    @abstractmethod
    def _is_current(self) -> bool:
        """Whether it stands at the head of the feed; when it does, `_at` and `_faces` say so."""

    @abstractmethod
    def _advance(self) -> None:
        """Bring it to the head of the feed; the caller holds the lock."""

    @abstractmethod
    def _nearest(self, probes: Vectors, k: int) -> tuple[Keys, Vectors, Keys]:
        """Find faces, similarities and people, (m, k')."""

    @abstractmethod
    def _scores(self, probe: Vectors, people: Sequence[int]) -> dict[int, list[float]]:
        """Compare one probe with all faces of these people."""

    @abstractmethod
    def _held(self, keys: list[int]) -> dict[int, tuple[int, Vectors]]:
        """Fetch person and vector of the faces of these ids, as far as they are there."""

    @abstractmethod
    def _count(self) -> int:
        """Count the faces that it holds."""

    @abstractmethod
    def _sample(self, n: int) -> Vectors:
        """Fetch about n stored vectors."""

    def _checked(self, probes: Vectors, k: int) -> tuple[Keys, Vectors, Keys]:
        self._gate.search(probes, k)  # refuses, in the same words, what the search of this process refuses
        if not len(probes):
            nothing = np.empty((0, 0), np.uint64)
            return nothing, np.empty((0, 0), np.float32), nothing
        return self._nearest(probes, k)

    def _choose_breadth(self, breadths: Sequence[int], otherwise: str) -> None:
        """Walk as broadly as the promised recall needs, tried from the narrowest; where none has it, say so."""
        recall = 0.0
        for breadth in breadths:
            self._breadth, self._walks = breadth, True
            recall = self.sample_recall(_PROBES)
            if self._walks:
                return
        found = 100 * recall
        _log.warning("the graph of the search %s finds %.1f %% of the nearest faces; %s", self.place, found, otherwise)

    def _why(self, recall: float) -> str:
        if self._options.method == "exact":
            return "asked for"
        if recall < self._options.promised_recall:
            return f"the approximate search finds {recall:.1%}, and {self._options.promised_recall:.1%} are promised"
        if self.method == "hnsw":
            return "asked for" if self._options.method == "hnsw" else "an exact search would take too long"
        return "an exact search is quick enough" if self._options.method == "auto" else "the graph is not built yet"

    def _tell(self, reason: str) -> None:
        self.rebuilt = reason
        _log.warning("the search %s is rebuilt from the database: %s", self._place, reason)


def table_of(rows: Sequence[Sequence[tuple[int, float, int]]]) -> tuple[Keys, Vectors, Keys]:
    """Put rows of (face, similarity, person) into three arrays, each row cut to the shortest."""
    width = min(map(len, rows), default=0)
    shape = (len(rows), width)
    keys = np.array([[one[0] for one in row[:width]] for row in rows], np.uint64).reshape(shape)
    similarities = np.array([[one[1] for one in row[:width]] for row in rows], np.float32).reshape(shape)
    people = np.array([[one[2] for one in row[:width]] for row in rows], np.uint64).reshape(shape)
    return keys, similarities, people
