"""The interface of a search through the faces of a gallery, and the shapes that go in and come out.

Every search is a cache of the database: before a query, `Search.sync` applies the changes that it has not seen yet,
whichever process on whichever machine made them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..checks import check_float
from ..options import IndexMethod
from ..store import Feed, FusedFeed

Keys = NDArray[np.uint64]
Vectors = NDArray[np.float32]

State = tuple[int, str]
"""Number and token of a change: one state of one history; 0 and an empty text before the first."""

Rows = Feed | FusedFeed
"""Where the rows of a search come from, with a key each: the faces, or the people with their fused templates."""

PROMISED_RECALL = 0.99
"""Least share of probes that an approximate search must answer as the exact one does."""

LOCAL = "local"
"""Where a gallery is searched by default: in this process."""


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How to search a gallery.

    Attributes
    ----------
    method : {"auto", "exact", "ivf", "hnsw"}
    budget_ms : float or None
        Time limit for a search of one probe, milliseconds; above it "auto" becomes approximate. None is the default.
    promised_recall : float
        An approximate search is used only if its measured recall, [0, 1], is at least this.
    fused : bool
        Whether a row of the search is a person with the fused template, instead of a face.
    where : str
        "local" in this process, "pgvector" inside the gallery's PostgreSQL, or the address of a Milvus.
    """

    method: IndexMethod = "auto"
    budget_ms: float | None = None
    promised_recall: float = PROMISED_RECALL
    where: str = LOCAL
    fused: bool = False

    def __post_init__(self) -> None:
        for name in ("budget_ms", "promised_recall"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, check_float(name, value))

    def rows(self, feed: Feed) -> Rows:
        """Return where the rows of the search come from."""
        return FusedFeed(feed) if self.fused else feed

    def index_arguments(self) -> dict[str, Any]:
        """Return the options as keyword arguments of the native index."""
        return {"method": self.method, "budget_ms": self.budget_ms, "promised_recall": self.promised_recall}


@dataclass(frozen=True, slots=True)
class SearchStatus:
    """How a gallery is searched now.

    Attributes
    ----------
    method : str
        The method in use: "exact", "ivf" or "hnsw".
    why : str
        Why this method is used.
    recall : float or None
        Share of probes made from this gallery for which the approximate search finds what the exact one finds, [0, 1];
        1 for an exact search, None where it could not be measured.
    """

    method: str
    why: str
    recall: float | None


class FoundPeople(NamedTuple):
    """The people nearest to each of m probes, closest first.

    Attributes
    ----------
    people : ndarray of uint64, shape (m, k')
        Their rows in the database; k' is at most k and the number of people.
    similarities : ndarray of float32, shape (m, k')
        To the fused template of each, to the closest face, or the mean over the closest faces; [-1, 1].
    keys : ndarray of uint64, shape (m, k')
        The closest row of each: a face, or the person where rows are people.
    """

    people: Keys
    similarities: Vectors
    keys: Keys


class Search(Protocol):
    """A search through the rows of one gallery: its faces, or its people with their fused templates.

    It is thread-safe. What it finds may have been deleted by the time the caller reads it from the database.
    """

    rebuilt: str | None
    """Why the index was rebuilt from the database since it was opened; None when it was not."""

    @property
    def at(self) -> State:
        """Number and token of the last change that is applied."""

    @property
    def method(self) -> str:
        """The method in use: "exact", or an approximate one."""

    @property
    def place(self) -> str:
        """Where it searches: "local", "pgvector", or the address of another program, without secrets."""

    def __len__(self) -> int: ...

    def sync(self) -> State:
        """Apply what changed in the database and return the new state; one small query when nothing changed."""

    def search(self, probes: Vectors, k: int) -> tuple[Keys, Vectors]:
        """Find the nearest rows in the state of the last `sync` or a later one.

        Parameters
        ----------
        probes : ndarray of float32, shape (m, dimension)
            Unit length.
        k : int

        Returns
        -------
        keys : ndarray of uint64, shape (m, k')
            Keys of rows, closest first; k' is at most k and the number of rows.
        similarities : ndarray of float32, shape (m, k')
        """

    def search_people(self, probes: Vectors, k: int, *, faces: int = 1) -> FoundPeople:
        """Find the k nearest people of each probe, by the mean similarity of the closest `faces` rows of each."""

    def sample_recall(self, n: int = 200) -> float:
        """Measure on n probes how often the nearest face is found, in [0, 1]; 1 for an exact search.

        An approximate search below the promised recall is not used.
        """

    def status(self) -> SearchStatus:
        """Describe how the gallery is searched; measures the recall unless that was done for this state."""

    def forget(self) -> None:
        """Remove the files of this machine that may hold what is about to be deleted.

        Raises
        ------
        SearchError
            When a file cannot be removed.
        """

    def vacuum(self, *, full: bool = False) -> bool:
        """Free the space of deleted vectors, with `full` by rewriting all; False when copies may remain elsewhere."""

    def save(self) -> None:
        """Save what speeds up the next opening; a failure is only logged."""

    def close(self) -> None:
        """Close the connections; closing again does nothing."""
