"""What a gallery asks of a search, wherever it runs.

Every search is a cache that follows the store's feed of changes: `Search.sync` brings it to the state of the database
before a question, whoever changed the gallery and on whichever machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from ..options import IndexMethod
from .following import Keys, State, Vectors

PROMISED_RECALL = 0.99
"""Least share of probes that an approximate search must answer as the exact one does."""

LOCAL = "local"
"""Where a gallery is searched by default: in this process."""


class SearchOptions(NamedTuple):
    """How to search a gallery.

    Attributes
    ----------
    method : {"auto", "exact", "ivf", "hnsw"}
    budget_ms : float or None
        Time limit for a search of one probe, milliseconds; above it "auto" becomes approximate. None is the default.
    promised_recall : float
        An approximate search is used only if its measured recall, [0, 1], is at least this.
    where : str
        "local" in this process, "pgvector" inside the gallery's PostgreSQL, or the address of a Milvus.
    """

    method: IndexMethod = "auto"
    budget_ms: float | None = None
    promised_recall: float = PROMISED_RECALL
    where: str = LOCAL

    def index_arguments(self) -> dict[str, Any]:
        """Return the options as keyword arguments of the native index."""
        return {"method": self.method, "budget_ms": self.budget_ms, "promised_recall": self.promised_recall}


@dataclass(frozen=True, slots=True)
class SearchStatus:
    """How searches are answered.

    Attributes
    ----------
    method : str
        How they are answered now: "exact", "ivf" or "hnsw".
    why : str
        Why it is this way.
    recall : float or None
        Share of probes made from this very gallery for which the approximate search finds what the exact one finds,
        [0, 1]; 1 where there is none, None where it could not be measured.
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
        Of the closest face of each, or the mean of the closest faces; [-1, 1].
    faces : ndarray of uint64, shape (m, k')
        The closest face of each.
    """

    people: Keys
    similarities: Vectors
    faces: Keys


class Search(Protocol):
    """A search through the faces of one gallery.

    Any number of threads may use it. What it finds may already be deleted when the caller looks it up in the database.
    """

    rebuilt: str | None
    """Why it was started over from the database since it was opened; None when it was not."""

    @property
    def at(self) -> State:
        """Number and token of the last change that is applied."""

    @property
    def method(self) -> str:
        """How searches are answered now: "exact", or an approximate method."""

    @property
    def place(self) -> str:
        """Where it searches: "local", "pgvector", or the address of another program, without secrets."""

    def __len__(self) -> int: ...

    def sync(self) -> State:
        """Apply what changed in the database; one small query when nothing did."""

    def search(self, probes: Vectors, k: int) -> tuple[Keys, Vectors]:
        """Find the k nearest faces of each probe, (m, dimension), unit length: face ids and similarities, (m, k')."""

    def search_people(self, probes: Vectors, k: int, *, faces: int = 1) -> FoundPeople:
        """Find the k nearest people of each probe; the mean of so many closest faces counts."""

    def sample_recall(self, n: int = 200) -> float:
        """Measure on n probes how often the nearest face is found, in [0, 1]; 1 for an exact search."""

    def status(self) -> SearchStatus:
        """Tell how searches are answered; the recall is measured when that was not done for this state."""

    def forget(self) -> None:
        """Remove files that may hold what is about to be deleted."""

    def wipe(self, *, anew: bool = False) -> bool:
        """Clear away what was deleted, with `anew` by writing all anew; False where it may still stand somewhere."""

    def save(self) -> None:
        """Keep what speeds up the next opening."""

    def close(self) -> None:
        """Let go of connections; closing again does nothing."""
