"""Whether the snapshots of a gallery hold what its database holds."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from .._core import Index
from ..errors import ArgumentError, IndexFileError
from .following import Feed, Keys, Vectors
from .snapshots import Snapshots

_SAMPLE = 2000  # vectors of a batch that are searched for; a scan for each of a million would take days
_SAME = 1e-5  # what float32 may lose on a cosine of 1
_TIES = 8  # faces of one and the same picture that may stand before one another


class Difference(NamedTuple):
    """A snapshot that is not what it should be."""

    path: Path
    reason: str


def compare_snapshots(feed: Feed, snapshots: Snapshots) -> list[Difference]:
    """Compare each snapshot, brought up to date, with the database.

    Every face must be in it, and no other. Of its vectors all, or of a large gallery a sample of each batch, must find
    themselves.

    Parameters
    ----------
    feed : Feed
    snapshots : Snapshots

    Returns
    -------
    list of Difference
        Empty when a search from each snapshot answers as one from the database.

    Raises
    ------
    DatabaseDamagedError
        When the database itself cannot be read.
    """
    found = []
    for path, state in sorted(snapshots.files()):
        if not state[1]:
            found.append(Difference(path, "it was left by a write that broke off"))
            continue
        try:
            index = snapshots.load(path, state)
            delta = feed.since(*state)
            if delta is None:
                reason: str | None = "it belongs to another history of the database"
            else:
                index.add(delta[2], delta[3], people=delta[5])
                index.remove(delta[4])
                reason = _compare(feed, index)
        except IndexFileError as error:
            reason = str(error)
        except ArgumentError:
            reason = "it holds faces that were registered after it was written"
        if reason is not None:
            found.append(Difference(path, reason))
    return found


def _compare(feed: Feed, index: Index) -> str | None:
    chance = np.random.default_rng(0)
    stored = 0
    for _, _, keys, vectors, *_ in feed.templates():
        stored += len(keys)
        lacking = [int(key) for key in keys if int(key) not in index]
        if lacking:
            return f"it lacks face {lacking[0]}"
        if len(keys) > _SAMPLE:
            chosen = chance.choice(len(keys), _SAMPLE, replace=False)
            keys, vectors = keys[chosen], vectors[chosen]
        wrong = _wrong(index, keys, vectors)
        if wrong is not None:
            return f"the vector of face {wrong} in it is another than the database's"
    return None if stored == len(index) else f"it holds {len(index)} faces, the database {stored}"


def _wrong(index: Index, keys: Keys, vectors: Vectors) -> int | None:
    """Return a face that does not find itself, if there is one."""
    if not len(keys):
        return None
    found, similarities = index.search(vectors, _TIES)
    itself = (found == keys[:, None]) & (similarities >= 1 - _SAME)
    # Of more equal vectors than were asked for, each finds others of its own kind.
    crowd = similarities[:, -1] >= 1 - _SAME
    wrong = ~(itself.any(axis=1) | crowd)
    return int(keys[wrong][0]) if wrong.any() else None
