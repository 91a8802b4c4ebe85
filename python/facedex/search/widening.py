"""People from faces, for a place that can only find faces: ask for more of them until nobody can be missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .base import FoundPeople
from .following import Keys, Vectors

Nearest = Callable[[Vectors, int], tuple[Keys, Vectors, Keys]]
"""Faces, similarities and people of the nearest faces of some probes, each of shape (m, k'), closest first."""

Scores = Callable[[Vectors, Sequence[int]], dict[int, list[float]]]
"""Similarities of one probe to all faces of these people."""

_FACES_A_PERSON = 4  # faces asked for each person wanted, before there are asked more
_MORE = 8  # how many times more then


def people_by_widening(
    nearest: Nearest, scores: Scores, stored: int, probes: Vectors, k: int, faces: int = 1
) -> FoundPeople:
    """Find the `k` nearest people of each probe.

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
        A person's similarity is the mean of so many closest faces, of all where there are fewer.

    Returns
    -------
    FoundPeople
    """
    answers: list[list[tuple[int, float, int]]] = [[] for _ in probes]
    pending, width = list(range(len(probes))), min(_FACES_A_PERSON * k, stored)
    while pending and width:
        again = []
        for probe, *rows in zip(pending, *nearest(probes[pending], width), strict=True):
            found = _first_of_each(*rows)
            complete = width >= stored or len(rows[0]) < width
            settled = len(found) >= k
            if faces > 1 and found:
                given = scores(probes[probe], [person for person, _, _ in found])
                means = [(person, _mean(given.get(person, [best]), faces), face) for person, best, face in found]
                found = sorted(means, key=lambda one: (-one[1], one[2]))
                # Nobody's mean is above the closest face, and no face that was not seen is closer than the last one.
                settled = settled and found[k - 1][1] > float(rows[1][-1])
            answers[probe] = found[:k]
            if not (complete or settled):
                again.append(probe)
        pending, width = again, min(_MORE * width, stored)
    most = min(map(len, answers), default=0)
    table = [answer[:most] for answer in answers]
    people = np.array([[one[0] for one in row] for row in table], np.uint64).reshape(len(answers), most)
    similarities = np.array([[one[1] for one in row] for row in table], np.float32).reshape(len(answers), most)
    best = np.array([[one[2] for one in row] for row in table], np.uint64).reshape(len(answers), most)
    return FoundPeople(people, similarities, best)


def _first_of_each(keys: Keys, similarities: Vectors, people: Keys) -> list[tuple[int, float, int]]:
    """Keep the closest face of each person, in order: person, similarity, face."""
    found: dict[int, tuple[int, float, int]] = {}
    for key, similarity, person in zip(keys.tolist(), similarities.tolist(), people.tolist(), strict=True):
        found.setdefault(person, (person, similarity, key))
    return list(found.values())


def _mean(similarities: Sequence[float], faces: int) -> float:
    best = sorted(similarities, reverse=True)[:faces]
    return float(np.mean(best))
