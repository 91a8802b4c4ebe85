"""The common part of the searches in another program: probe checks, people from faces, measured recall.

Vectors are stored there in the clear, so an encrypted gallery is refused.
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
from .base import FoundPeople, Keys, SearchOptions, SearchStatus, State, Vectors

_log = logging.getLogger("facedex")

_METHODS = [method for method in get_args(IndexMethod) if method != "ivf"]

_COMPARED = 500  # faces fetched at once to be compared with the database
_PROBES = 100  # of the sample that chooses the breadth of a graph search
_PERSON = 0.75  # approximate cosine of two pictures of one person, of which the probes of a sample are made
_LOSS = 1e-5  # rounding error of float32 on a cosine
_FACES_PER_PERSON = 4  # faces that are searched first for each person
_WIDENING = 8  # factor by which a search that found too few people is widened

Nearest = Callable[[Vectors, int], tuple[Keys, Vectors, Keys]]
"""Faces, similarities and people of the nearest faces of some probes, each of shape (m, k'), closest first."""

Scores = Callable[[Vectors, Sequence[int]], dict[int, list[float]]]
"""Similarities of one probe to all faces of these people."""


class RemoteSearch(ABC):
    """A search that other processes share, which refuses encrypted galleries; its public methods are those of `Search`.

    `place` says where it searches, without secrets; see `open_search` for the other parameters and the errors.
    """

    _breadth: int
    """Of a search through the graph."""

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
        self._rows = options.rows(feed)
        self._place = place
        self._progress = progress
        self._lock = threading.Lock()
        self._at: State = (0, "")
        self._stored = 0
        self._uses_graph = False
        self._recall: float | None = None
        self._measured_at: State | None = None
        # Empty: it checks probes, with the errors of the search in this process.
        self._checker = Index(feed.pin.dimension, feed.pin.digest, method="exact")

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
        """The method in use: "exact" or "hnsw"."""
        return "hnsw" if self._graph and self._uses_graph else "exact"

    def __len__(self) -> int:
        return self._stored

    def sync(self) -> State:
        """Apply what changed in the database; one small query when nothing changed."""
        if not self._is_current():
            with self._lock:
                if not self._is_current():
                    self._advance()
        return self._at

    def search(self, probes: Vectors, k: int) -> tuple[Keys, Vectors]:
        """Find the nearest rows in the state of the last `sync` or a later one."""
        self._checker.search(probes, k)
        if not len(probes):
            return np.empty((0, 0), np.uint64), np.empty((0, 0), np.float32)
        keys, similarities, _ = self._nearest(probes, k)
        return keys, similarities

    def search_people(self, probes: Vectors, k: int, *, faces: int = 1) -> FoundPeople:
        """Find the nearest people: by their closest face, or by the mean of their closest `faces`."""
        self._checker.search(probes, k)
        per_person = 1 if self._options.fused else _FACES_PER_PERSON
        return people_by_widening(self._nearest, self._scores, len(self), probes, k, faces, per_person * k)

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
        self._uses_graph = recall >= self._options.promised_recall
        return recall

    def status(self) -> SearchStatus:
        """Describe how the gallery is searched; measures the recall unless that was done for this state."""
        if self.method == "hnsw" and self._measured_at != self._at:
            self.sample_recall()
        recall = self._recall if self._recall is not None and self._options.method != "exact" else 1.0
        return SearchStatus(self.method, self._why(recall), recall)

    def forget(self) -> None:  # noqa: B027
        """Do nothing: no file of this machine holds a vector."""

    def save(self) -> None:  # noqa: B027
        """Do nothing: the other program stores the vectors."""

    def close(self) -> None:  # noqa: B027
        """Close the connections."""

    def difference(self) -> str | None:
        """Compare what it holds, brought up to date, with the database; return the first difference or None."""
        self.sync()
        stored, row = 0, "person" if self._options.fused else "face"
        for batch in self._rows.templates():
            keys, vectors, people = batch.added, batch.vectors, batch.people
            stored += len(keys)
            for start in range(0, len(keys), _COMPARED):
                part = slice(start, start + _COMPARED)
                remote = self._fetch(keys[part].tolist())
                for key, person, vector in zip(keys[part].tolist(), people[part].tolist(), vectors[part], strict=True):
                    if key not in remote:
                        return f"it lacks {row} {key}"
                    if remote[key][0] != person:
                        return f"face {key} in it is another person's than in the database"
                    if not np.array_equal(remote[key][1], vector):
                        return f"its vector of {row} {key} differs from the database"
        count = self._count()
        what = "people" if self._options.fused else "faces"
        return None if count == stored else f"it holds {count} {what}, the database {stored}"

    @property
    @abstractmethod
    def _graph(self) -> bool:
        """Whether there is a graph to search."""

    @abstractmethod
    def vacuum(self, *, full: bool = False) -> bool:
        """Free the space of deleted vectors; return False when copies may remain elsewhere."""

    @abstractmethod
    def _is_current(self) -> bool:
        """Return whether it has applied the last change; then `_at` and `_stored` are up to date."""

    @abstractmethod
    def _advance(self) -> None:
        """Apply the changes of the feed; the caller holds the lock."""

    @abstractmethod
    def _nearest(self, probes: Vectors, k: int) -> tuple[Keys, Vectors, Keys]:
        """Find rows, similarities and people, (m, k')."""

    @abstractmethod
    def _scores(self, probe: Vectors, people: Sequence[int]) -> dict[int, list[float]]:
        """Compare one probe with all rows of these people."""

    @abstractmethod
    def _fetch(self, keys: list[int]) -> dict[int, tuple[int, Vectors]]:
        """Fetch person and vector of the rows of these keys, where they exist."""

    @abstractmethod
    def _count(self) -> int:
        """Count the rows that it holds."""

    @abstractmethod
    def _sample(self, n: int) -> Vectors:
        """Fetch about n stored vectors."""

    def _write_all(self, write: Callable[[Keys, Keys, Vectors], None]) -> State:
        """Write every stored template in batches of keys, people and vectors, and return the state that they are of."""
        done = 0
        state: State = (0, "")
        for batch in self._rows.templates():
            write(batch.added, batch.people, batch.vectors)
            state = (batch.position, batch.token)
            done += len(batch.added)
            if self._progress is not None:
                self._progress(done)
        return state

    def _choose_breadth(self, breadths: Sequence[int], otherwise: str) -> None:
        """Choose the narrowest graph search that has the promised recall; log a warning where none has it."""
        recall = 0.0
        for breadth in breadths:
            self._breadth, self._uses_graph = breadth, True
            recall = self.sample_recall(_PROBES)
            if self._uses_graph:
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

    def _log_rebuild(self, reason: str) -> None:
        self.rebuilt = reason
        _log.warning("the search %s is rebuilt from the database: %s", self._place, reason)


def arrays_of(rows: Sequence[Sequence[tuple[int, float, int]]]) -> tuple[Keys, Vectors, Keys]:
    """Turn rows of (number, similarity, number) into three arrays; each row is cut to the shortest."""
    width = min(map(len, rows), default=0)
    shape = (len(rows), width)
    keys = np.array([[one[0] for one in row[:width]] for row in rows], np.uint64).reshape(shape)
    similarities = np.array([[one[1] for one in row[:width]] for row in rows], np.float32).reshape(shape)
    people = np.array([[one[2] for one in row[:width]] for row in rows], np.uint64).reshape(shape)
    return keys, similarities, people


def people_by_widening(
    nearest: Nearest, scores: Scores, stored: int, probes: Vectors, k: int, faces: int = 1, width: int = 0
) -> FoundPeople:
    """Find the `k` nearest people of each probe where only faces can be searched, by searching ever more of them.

    Parameters
    ----------
    nearest : callable
        Finds faces.
    scores : callable
        Compares with given people; called for a mean of several faces only.
    stored : int
        Number of faces.
    probes : ndarray of float32, shape (m, dimension)
    k : int
    faces : int
        A person's similarity is the mean of this many closest faces, or of all where there are fewer.
    width : int
        Number of faces that are searched first; by default several for each person.

    Returns
    -------
    FoundPeople
    """
    answers: list[list[tuple[int, float, int]]] = [[] for _ in probes]
    pending, width = list(range(len(probes))), min(width or _FACES_PER_PERSON * k, stored)
    while pending and width:
        again = []
        for probe, *rows in zip(pending, *nearest(probes[pending], width), strict=True):
            found = _closest_of_each(*rows)
            complete = width >= stored or len(rows[0]) < width
            enough = len(found) >= k
            if faces > 1 and found:
                given = scores(probes[probe], [person for person, _, _ in found])
                means = [(person, _mean(given.get(person, [best]), faces), face) for person, best, face in found]
                found = sorted(means, key=lambda one: (-one[1], one[2]))
                # A mean is at most the closest face, and no face that was not seen is closer than the last one.
                enough = enough and found[k - 1][1] > float(rows[1][-1])
            answers[probe] = found[:k]
            if not (complete or enough):
                again.append(probe)
        pending, width = again, min(_WIDENING * width, stored)
    return FoundPeople(*arrays_of(answers))


def _closest_of_each(keys: Keys, similarities: Vectors, people: Keys) -> list[tuple[int, float, int]]:
    """Keep the closest face of each person, in order: person, similarity, face."""
    found: dict[int, tuple[int, float, int]] = {}
    for key, similarity, person in zip(keys.tolist(), similarities.tolist(), people.tolist(), strict=True):
        found.setdefault(person, (person, similarity, key))
    return list(found.values())


def _mean(similarities: Sequence[float], faces: int) -> float:
    best = sorted(similarities, reverse=True)[:faces]
    return float(np.mean(best))
