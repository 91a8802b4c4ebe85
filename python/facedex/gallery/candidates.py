"""Who the rows are that a search found, and which stored face of each person is the closest.

Where a row is a person, the stored faces of those who were found, and of nobody else, are compared with the probe.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..search import FoundPeople
from ..store import Owner, PersonFaces, Store

_CACHED = 100_000  # rows kept in memory
_CACHED_VECTORS = 16_384  # vectors kept in memory: 32 MiB at 512 values


class Found(NamedTuple):
    """A person who was found.

    Attributes
    ----------
    owner : Owner
    similarity : float
        By the gallery's score, [-1, 1].
    face_id : int
        The closest stored face.
    """

    owner: Owner
    similarity: float
    face_id: int


class _Cache(NamedTuple):
    """Rows that were read in one state, and the number of their vectors; replaced as a whole, never changed."""

    state: tuple[int, str]
    known: dict[int, PersonFaces]
    vectors: int


_EMPTY = _Cache((0, ""), {}, 0)


class Candidates:
    """Reads the people of the rows that a search found, and caches them until the state of the gallery changes.

    A cached person can be newer than the state, never older.

    Parameters
    ----------
    store : Store
    fused : bool
        Whether a row is a person, instead of a face.
    """

    def __init__(self, store: Store, *, fused: bool) -> None:
        self._store = store
        self._fused = fused
        self._cache: _Cache = _EMPTY

    def resolve(self, state: tuple[int, str], found: FoundPeople, probes: NDArray[np.float32]) -> list[list[Found]]:
        """Return the people found for each probe, closest first, without those who were deleted after `state`."""
        known = self._read(state, set(found.keys.ravel().tolist()))
        return [
            [
                Found(known[key].owner, similarity, known[key].closest(probe))
                for key, similarity in zip(keys, similarities, strict=True)
                if key in known
            ]
            for probe, keys, similarities in zip(probes, found.keys.tolist(), found.similarities.tolist(), strict=True)
        ]

    def clear(self) -> None:
        """Empty the cache, which may hold what was deleted."""
        self._cache = _EMPTY

    def _read(self, state: tuple[int, str], keys: set[int]) -> dict[int, PersonFaces]:
        at, known, vectors = self._cache
        if at != state or len(known) > _CACHED or vectors > _CACHED_VECTORS:
            known, vectors = {}, 0
        missing = keys - known.keys()
        if missing:
            read = self._store.faces_of_people if self._fused else self._owners
            found = read(sorted(missing))
            if len(found) < len(missing) and self._store.feed.head() == state:
                # Nobody was deleted meanwhile: the database has lost the people.
                found |= {key: PersonFaces.damaged(0 if self._fused else key) for key in missing - found.keys()}
            known = known | found
            self._cache = _Cache(state, known, vectors + sum(person.size for person in found.values()))
        return known

    def _owners(self, face_ids: Iterable[int]) -> dict[int, PersonFaces]:
        owners = self._store.owners(face_ids)
        return {face_id: PersonFaces(owner, (face_id,)) for face_id, owner in owners.items()}
