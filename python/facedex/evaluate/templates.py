"""Compares ways to score a person of whom several pictures are stored: FNIR at an FPIR, by the number of pictures.

Goes in: the embeddings of pictures of known people. Comes out: a row for each number of pictures with the rate of each
way. People are registered at random with their first pictures; one other picture of each is searched for, and so is
every picture of those who are not registered. The same people, galleries and searched pictures serve all rows. The
threshold of each cell is its own, because the ways have different tails: the lowest that keeps the FPIR.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError
from ..store import fuse

PEOPLE = 100
"""Registered people a gallery; fewer where the test set has fewer with enough pictures."""

PICTURES = 4
"""Greatest number of pictures a person that is tried."""

FPIR = 0.01

LEAST_PEOPLE = 40
"""People with enough pictures that a number of pictures needs."""

_DRAWS = 100

Floats = NDArray[np.float32]
Way = Callable[[Floats, Floats, NDArray[np.float64]], Floats]
"""Similarities (m,) of probes (m, dimension) to a person with pictures (g, dimension) of these qualities (g,)."""


def _weighted(probes: Floats, pictures: Floats, quality: NDArray[np.float64]) -> Floats:
    mean = quality @ pictures
    return np.asarray(probes @ (mean / np.linalg.norm(mean)), dtype=np.float32)


WAYS: dict[str, Way] = {
    "closest": lambda probes, pictures, _: np.asarray((probes @ pictures.T).max(axis=1)),
    "mean": lambda probes, pictures, _: np.asarray((probes @ pictures.T).mean(axis=1)),
    "fused": lambda probes, pictures, _: np.asarray(probes @ fuse(pictures)),
    "fused by quality": _weighted,
}
"""The scores of a gallery; and the fused template with pictures weighted by quality, which galleries do not have."""


@dataclass(frozen=True, slots=True)
class TemplateRow:
    """The false negative identification rate with a number of pictures a person, mean over random galleries.

    Attributes
    ----------
    pictures, people : int
        Stored pictures a person, and people a gallery.
    fnir : dict of str to float
        By the way to score, as in `WAYS`.
    probes, unknown : int
        Searches for registered people, and for others, a gallery.
    """

    pictures: int
    people: int
    fnir: dict[str, float]
    probes: int
    unknown: int


def compare_scores(
    embeddings: Floats,
    people: NDArray[np.int64],
    quality: NDArray[np.float64] | None = None,
    *,
    fpir: float = FPIR,
    draws: int = _DRAWS,
) -> list[TemplateRow]:
    """Compare the ways to score a person.

    Parameters
    ----------
    embeddings : numpy.ndarray
        (pictures, dimension), unit length; NaN where a picture has no face, which is left out.
    people : numpy.ndarray
        (pictures,), who is in each.
    quality : numpy.ndarray, optional
        (pictures,), positive; without it nothing is weighted by quality.
    fpir : float
        The rate that each threshold keeps.
    draws : int
        Number of random galleries.

    Returns
    -------
    list of TemplateRow
        For 1 picture a person and more, as far as the test set has them.

    Raises
    ------
    ArgumentError
        When fewer than 40 people have two pictures.
    """
    present = np.isfinite(embeddings).all(axis=1)
    embeddings, people = embeddings[present], people[present]
    weights = np.ones(len(people)) if quality is None else quality[present]
    numbers, counts = np.unique(people, return_counts=True)
    most = max((g for g in range(1, PICTURES + 1) if (counts > g).sum() >= LEAST_PEOPLE), default=0)
    if most == 0:
        raise ArgumentError(f"the comparison needs {LEAST_PEOPLE} people with two pictures or more")
    able = numbers[counts > most]
    size = min(PEOPLE, len(able))
    ways = {name: way for name, way in WAYS.items() if quality is not None or way is not _weighted}
    misses: dict[tuple[int, str], list[float]] = {}
    unknown = 0
    for draw in range(draws):
        random = np.random.default_rng(draw)
        registered = random.permutation(able)[:size]
        shuffled = [random.permutation(np.flatnonzero(people == one)) for one in registered]
        others = embeddings[~np.isin(people, registered)]
        own = embeddings[[places[0] for places in shuffled]]
        unknown = len(others)
        probes = np.concatenate([own, others])
        for pictures in range(1, most + 1):
            chosen = [places[1 : 1 + pictures] for places in shuffled]
            for name, way in ways.items():
                scores = np.stack([way(probes, embeddings[rows], weights[rows]) for rows in chosen], axis=1)
                misses.setdefault((pictures, name), []).append(_fnir(scores[:size], scores[size:], fpir))
    return [
        TemplateRow(pictures, size, {name: float(np.mean(misses[pictures, name])) for name in ways}, size, unknown)
        for pictures in range(1, most + 1)
    ]


def _fnir(mated: Floats, unknown: Floats, fpir: float) -> float:
    """Return the share of probes, (m, m) with their own person on the diagonal, that are not found first."""
    best = np.sort(unknown.max(axis=1))[::-1]
    threshold = best[int(fpir * len(best))]  # so many may match: those above it
    own = np.diagonal(mated)
    found = (own > threshold) & (mated.argmax(axis=1) == np.arange(len(own)))
    return float(1 - found.mean())
