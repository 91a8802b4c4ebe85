"""Computes the error rates of 1:N search from the similarities of probes to people's templates.

Terms are those of ISO/IEC 19795-1: the false positive identification rate (FPIR) is the share of searches for people
who are not in the gallery that return somebody, the false negative identification rate (FNIR) the share of searches for
people in it who are not returned at the first rank at or above the threshold.

A rate at N people is its exact mean over all galleries of N that can be drawn from the templates, not the result of a
few random ones. Beyond the number of templates it is extrapolated: a search in k galleries of the largest size is
taken to be k independent searches. Probes differ in how many people they resemble, so that this is rather too high.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError
from .rates import Array

Weights = NDArray[np.float64]

_LARGE = 5_000_000  # similarities; of more, only those are kept that searches return
_SAMPLED = 1_000_000  # of these, to find which are
_RETURNED = 3.0  # with so many expected at least as close, 95 % of searches return somebody


@dataclass(frozen=True, slots=True)
class SearchScores:
    """The similarities of probes to the templates of people.

    Attributes
    ----------
    scores : numpy.ndarray
        (probes, templates), cosine, −1 to 1, higher is closer.
    own : numpy.ndarray
        (probes,), int64, the template of the probe's person; −1 when there is none.
    mated : numpy.ndarray
        (probes,), bool, whether the probe is searched among templates with its own: False for a picture that the
        template was made of.
    people : numpy.ndarray
        (probes,), int64, number of the person in each probe, from 0.
    """

    scores: Array
    own: NDArray[np.int64]
    mated: NDArray[np.bool_]
    people: NDArray[np.int64]

    @property
    def templates(self) -> int:
        """Number of people who are enrolled."""
        return int(self.scores.shape[1])


def chances_of_first(others: int, people: int) -> Weights:
    """Compute how probable it is that the k-th closest of all templates is the closest of a gallery.

    Parameters
    ----------
    others : int
        Number of templates that the gallery is drawn from.
    people : int
        Number of people in the gallery, at most `others`.

    Returns
    -------
    numpy.ndarray
        (others,), float64, by rank among all; they sum to 1.

    Examples
    --------
    >>> chances_of_first(3, 2).tolist()  # of three templates two are drawn
    [0.6666666666666666, 0.3333333333333333, 0.0]
    """
    if not 1 <= people <= others:
        raise ArgumentError(f"a gallery needs 1 to {others} people, got {people}")
    ranks = np.arange(others, dtype=np.float64)
    # The k-th is drawn and none of the k closer ones is: C(others - k - 1, people - 1) / C(others, people).
    kept = (others - ranks[:-1] - people) / np.maximum(others - ranks[:-1] - 1, 1)
    return people / others * np.concatenate([[1.0], np.cumprod(np.maximum(kept, 0.0))])


def chances_of_rank(others: int, people: int, ranks: int) -> Weights:
    """Compute how probable it is that a person is returned within a rank.

    Parameters
    ----------
    others : int
        Number of templates of other people.
    people : int
        Number of people in the gallery, with the person searched for.
    ranks : int
        The greatest rank.

    Returns
    -------
    numpy.ndarray
        (others + 1, ranks), float64: row a, column r − 1 is the probability of rank r or better when a of the others
        are at least as close as the person.
    """
    drawn = people - 1
    chances = np.zeros((others + 1, ranks))  # [a, x]: x of the a closer ones are in the gallery
    chances[0, 0] = 1.0
    before = np.arange(ranks, dtype=np.float64)
    for closer in range(others):
        joins = np.clip((drawn - before) / (others - closer), 0.0, 1.0)
        chances[closer + 1] = chances[closer] * (1 - joins)
        chances[closer + 1, 1:] += (chances[closer] * joins)[:-1]
    return np.minimum(np.cumsum(chances, axis=1), 1.0)


@dataclass(frozen=True, slots=True)
class Searches:
    """All searches of a gallery size, prepared so that rates at any threshold are sums.

    Attributes
    ----------
    people : int
        Number of people in the gallery.
    galleries : float
        How many galleries of the largest size that is: 1, or more where it is extrapolated.
    scores, chances : numpy.ndarray
        (n,), float64: a similarity that a search for somebody who is not in the gallery may return first, falling, and
        how probable that is.
    searched_by : numpy.ndarray
        (n,), int64, the person in the probe of each.
    unknown : numpy.ndarray
        (people of the data,), int64, number of those probes of each person.
    own : numpy.ndarray
        (mated probes,), float64, the similarity to the probe's own person.
    hits : numpy.ndarray
        (mated probes, ranks), float64, how probable it is that this person is returned at that rank or better.
    known_by : numpy.ndarray
        (mated probes,), int64, the person in each.
    """

    people: int
    galleries: float
    scores: Weights
    chances: Weights
    searched_by: NDArray[np.int64]
    unknown: NDArray[np.int64]
    own: Weights
    hits: Weights
    known_by: NDArray[np.int64]

    @property
    def extrapolated(self) -> bool:
        """Whether the gallery has more people than there are templates."""
        return self.galleries > 1

    def threshold(self, fpir: float, weights: Array | None = None) -> float:
        """Find the lowest threshold with at most this FPIR.

        Parameters
        ----------
        fpir : float
            0 to 1.
        weights : numpy.ndarray, optional
            (people of the data,), how often each person counts; by default once.

        Returns
        -------
        float
            The next value above the greatest similarity that must not be returned.
        """
        share = np.cumsum(self.chances * self._each(weights, self.searched_by)) / self._unknown(weights)
        wanted = 1 - (1 - fpir) ** (1 / self.galleries)
        kept = int(np.searchsorted(share, wanted * (1 + 1e-12) + 1e-15, side="right"))
        return float(np.nextafter(self.scores[kept], np.inf)) if kept < len(self.scores) else -1.0

    def fpir(self, threshold: float, weights: Array | None = None) -> float:
        """Compute the false positive identification rate at a threshold, 0 to 1."""
        returned = self.scores >= threshold
        each = (self.chances * self._each(weights, self.searched_by))[returned]
        return float(1 - (1 - min(1.0, each.sum() / self._unknown(weights))) ** self.galleries)

    def fnir(self, threshold: float, weights: Array | None = None) -> float:
        """Compute the false negative identification rate at a threshold, 0 to 1; NaN without a mated probe."""
        each = self._each(weights, self.known_by)
        found = np.where(self.own >= threshold, self.hits[:, 0], 0.0)
        total = float(np.sum(each * np.ones(len(self.own))))
        return 1 - float(np.sum(each * found)) / total if total else float("nan")

    def rank(self, rank: int, weights: Array | None = None) -> float:
        """Compute the share of mated probes whose person is returned at this rank or better, without a threshold."""
        each = self._each(weights, self.known_by)
        total = float(np.sum(each * np.ones(len(self.own))))
        return float(np.sum(each * self.hits[:, rank - 1])) / total if total else float("nan")

    def head(self, share: float) -> Searches:
        """Return these searches without the similarities that are too low to matter.

        Parameters
        ----------
        share : float
            The greatest FPIR of interest, 0 to 1.
        """
        share = 1 - (1 - share) ** (1 / self.galleries)
        kept = int(np.searchsorted(np.cumsum(self.chances), share * self._unknown(None))) + 1
        return replace(
            self, scores=self.scores[:kept], chances=self.chances[:kept], searched_by=self.searched_by[:kept]
        )

    @staticmethod
    def _each(weights: Array | None, people: NDArray[np.int64]) -> Array | float:
        return 1.0 if weights is None else weights[people]

    def _unknown(self, weights: Array | None) -> float:
        return float(self.unknown.sum() if weights is None else (self.unknown * weights).sum())


def prepare_searches(search: SearchScores, people: int, *, ranks: int = 1, least_chance: float = 1e-9) -> Searches:
    """Prepare the searches of galleries of a size.

    Every probe is searched in galleries without its own person; a mated one also in galleries with that person, beside
    `people` − 1 others.

    Parameters
    ----------
    search : SearchScores
    people : int
        Number of people in the gallery. More than there are templates beside a probe's own is extrapolated; then `hits`
        has the first rank only.
    ranks : int, default 1
        The greatest rank of interest.
    least_chance : float, default 1e-9
        Similarities that are returned more rarely are left out: to 0 for exact sums.

    Returns
    -------
    Searches

    Raises
    ------
    ArgumentError
        Fewer than two templates, or a gallery of nobody.
    """
    templates = search.templates
    if templates < 2:
        raise ArgumentError(f"identification needs templates of at least 2 people, got {templates}")
    galleries = max(1.0, people / (templates - 1))
    size = min(people, templates - 1)
    scores, chances, by = [], [], []
    has_own = search.own >= 0
    for own in (False, True):
        rows = np.flatnonzero(has_own == own)
        others = templates - own
        if not len(rows):
            continue
        weight = chances_of_first(others, size)
        values = search.scores[rows]
        if own:
            values[np.arange(len(rows)), search.own[rows]] = -np.inf
        if values.size > _LARGE:  # lower similarities are returned only where nearly every search returns somebody
            cut = np.quantile(values.ravel()[:: max(1, values.size // _SAMPLED)], max(0.0, 1 - _RETURNED / size))
            row, column = np.nonzero(values >= cut)
            found = values[row, column].astype(np.float64)
            order = np.lexsort((-found, row))
            row, found = row[order], found[order]
            rank = np.arange(len(row)) - np.searchsorted(row, row)
        else:
            kept = int(np.count_nonzero(weight > least_chance)) if least_chance else others
            found = (-np.sort(-values.astype(np.float64), axis=1)[:, :kept]).ravel()
            row, rank = np.repeat(np.arange(len(rows)), kept), np.tile(np.arange(kept), len(rows))
        scores.append(found)
        chances.append(weight[rank])
        by.append(search.people[rows][row])
    everything = np.concatenate(scores)
    order = np.argsort(-everything, kind="stable")
    mated = np.flatnonzero(search.mated & has_own)
    own_scores = search.scores[mated, search.own[mated]].astype(np.float64)
    closer = np.count_nonzero(search.scores[mated] >= own_scores[:, None], axis=1) - 1
    count = int(search.people.max()) + 1 if len(search.people) else 0
    prepared = Searches(
        people=people,
        galleries=galleries,
        scores=everything[order],
        chances=np.concatenate(chances)[order],
        searched_by=np.concatenate(by)[order],
        unknown=np.bincount(search.people, minlength=count),
        own=own_scores,
        hits=chances_of_rank(templates - 1, size, ranks)[closer],
        known_by=search.people[mated],
    )
    if galleries == 1:
        return prepared
    # nobody of the others reaches the person's own similarity: as rare as a search for somebody else that returns less
    reached = np.cumsum(prepared.chances) / max(len(search.people), 1)
    place = np.searchsorted(-prepared.scores, -own_scores, side="right")
    beaten = np.where(place > 0, reached[np.maximum(place - 1, 0)], 0.0)
    alone = (1 - np.minimum(beaten, 1.0)) ** ((people - 1) / (templates - 1))
    return replace(prepared, hits=alone[:, None])


def fuse(embeddings: Array) -> NDArray[np.float32]:
    """Fuse the embeddings of one person into one template: their normalised mean.

    Parameters
    ----------
    embeddings : numpy.ndarray
        (pictures, dimension), unit length.

    Returns
    -------
    numpy.ndarray
        (dimension,), float32, unit length; of embeddings that cancel each other the first.
    """
    mean = embeddings.mean(axis=0, dtype=np.float64)
    length = float(np.linalg.norm(mean))
    return np.asarray(mean / length if length > 1e-6 else embeddings[0], dtype=np.float32)
