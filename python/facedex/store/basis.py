"""What a gallery's thresholds are chosen from: its number of people, and the tail of its own people's similarities.

It is stored with the gallery, so that all processes choose the same threshold, and is renewed in the transaction that
changes the number of people or of faces by a quarter. It names nobody and holds no vector.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa

from ..errors import StoreError
from ..thresholds import LEAST_PEOPLE, MOST_PEOPLE, Tail, has_moved
from .feed import Feed, Transaction
from .fused import count_registered_in, read_sample
from .tables import galleries

_log = logging.getLogger("facedex")

_REPLICATES = 50  # bootstrap samples: the gallery is held meanwhile


@dataclass(frozen=True, slots=True)
class Basis:
    """The people whom a gallery's thresholds are for.

    Attributes
    ----------
    people, faces : int
        How many have a template of the pack, and how many faces they have.
    position : int
        The change of the feed at which they were counted.
    tail : Tail or None
        Of the similarities of the gallery's own people; None with fewer than 50.
    """

    people: int
    faces: int
    position: int
    tail: Tail | None = None

    @property
    def pictures(self) -> float:
        """The mean number of faces a person, from 1."""
        return max(1.0, self.faces / self.people) if self.people else 1.0


def read_basis(feed: Feed) -> Basis | None:
    """Return what is stored for the gallery and its pack; None before it was renewed once."""
    with feed.database.single() as connection:
        return _read(connection, feed)


def renew_basis(
    feed: Feed, transaction: Transaction, position: int, faces: int, ceiling: float | None
) -> tuple[Basis | None, Basis] | None:
    """Count and measure the people again, where their number or that of their faces moved by a quarter.

    Parameters
    ----------
    feed : Feed
    transaction : Transaction
        The one that changes them, with all its changes done.
    position, faces : int
        The number of its last change, and the number of faces after it.
    ceiling : float or None
        Similarities from here on are taken for one person under two ids.

    Returns
    -------
    (Basis or None, Basis) or None
        The one before and the new one; None when nothing moved.
    """
    connection = transaction.connection
    before = _read(connection, feed)
    # Each change of the feed adds or removes one face: the people cannot have moved by more than the feed.
    if before is not None and not has_moved(faces, before.faces) and 4 * (position - before.position) < before.people:
        return None
    people = count_registered_in(connection, feed)
    if before is not None and not has_moved(people, before.people) and not has_moved(faces, before.faces):
        return None
    after = Basis(people, faces, position, _measure(connection, feed, people, ceiling))
    content = {"pack": feed.pin.digest, "people": people, "faces": faces, "position": position, "tail": None}
    if after.tail is not None:
        content["tail"] = {"people": after.tail.people, "pairs": after.tail.pairs, "points": after.tail.points}
    connection.execute(
        galleries.update().where(galleries.c.id == feed.gallery_id).values(basis=json.dumps(content, allow_nan=False))
    )
    return before, after


def _read(connection: sa.Connection, feed: Feed) -> Basis | None:
    text = connection.execute(sa.select(galleries.c.basis).where(galleries.c.id == feed.gallery_id)).scalar()
    try:
        content: dict[str, Any] = json.loads(text) if text else {}
        if content.get("pack") != feed.pin.digest:
            return None
        tail = content["tail"]
        measured = None if tail is None else Tail(tail["people"], tail["pairs"], tuple(map(tuple, tail["points"])))
        return Basis(content["people"], content["faces"], content["position"], measured)
    except (ValueError, KeyError, TypeError, AttributeError):  # a damaged one is renewed with the next change
        _log.warning("what the thresholds of gallery %r were chosen from is damaged; it is counted again", feed.name)
        return None


def _measure(connection: sa.Connection, feed: Feed, people: int, ceiling: float | None) -> Tail | None:
    """Measure the tail of at most 2,000 people: one face of each against the fused templates of the others."""
    if people < LEAST_PEOPLE:
        return None
    from ..thresholds.estimate import estimate_tail

    try:
        sample = read_sample(connection, feed, MOST_PEOPLE)
    except StoreError as error:  # the registration is worth more than the estimate
        _log.warning("the similarities of the people of gallery %r cannot be measured: %s", feed.name, error)
        return None
    numbers = np.arange(len(sample.faces), dtype=np.int64)
    return estimate_tail(sample.faces, numbers, sample.fused, numbers, ceiling=ceiling, replicates=_REPLICATES)
