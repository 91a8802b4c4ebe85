"""Galleries of random unit vectors, entered past the engine, and times of calls that take turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import datetime, timezone

import numpy as np
from numpy.typing import NDArray

from facedex.records import Person
from facedex.store import Database, Feed, PackPin, PortableFace, PortablePerson, Store

Floats = NDArray[np.float32]

BATCH = 500  # people of one transaction


def unit_vectors(count: int, dimension: int, seed: int) -> Floats:
    vectors = np.random.default_rng(seed).standard_normal((count, dimension), np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def opened(location: str, dimension: int, key: bytes | None = None) -> Store:
    """A gallery that is made when it is not there."""
    feed = Feed(Database(location), "default")
    feed.bind(PackPin("random", f"{dimension:064x}", dimension), key)
    return Store(feed)


def enter(store: Store, vectors: Floats, *, first: int = 0) -> None:
    """Register a person with one face for each vector; the ids are numbers from `first` on."""
    now = datetime.now(timezone.utc)
    people = [
        PortablePerson(Person(number, None, None, {}, now, now, ()), (PortableFace((0, 0, 1, 1), 1.0, vector, now),))
        for number, vector in enumerate(vectors, first)
    ]
    for start in range(0, len(people), BATCH):
        store.import_people(people[start : start + BATCH], "error", lambda: None)


def in_turns(calls: dict[str, Callable[[int], object]], rounds: int, *, warm: bool = True) -> dict[str, list[float]]:
    """Milliseconds of each call in each round; all take their turn in every round, in another order.

    With `warm` there is a round before, which is not counted and brings everything into memory.
    """
    order, chance = list(calls), np.random.default_rng(3)
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(-1 if warm else 0, rounds):
        chance.shuffle(order)
        for name in order:
            spent = milliseconds(lambda name=name, number=number: calls[name](number))
            if number >= 0:
                times[name].append(spent)
    return times


def milliseconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - started)


def median_ratio(times: list[float], others: list[float]) -> float:
    """Median over the rounds of one call's time against another's."""
    return statistics.median(mine / other for mine, other in zip(times, others, strict=True))
