"""Computes error rates, their confidence limits and thresholds from similarities.

Terms are those of ISO/IEC 19795-1: the false match rate (FMR) is the share of impostor comparisons that match, the
false non-match rate (FNMR) the share of mated ones that do not. A comparison with a picture in which no face was found
has the similarity minus infinity: it matches at no threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError

Array = NDArray[np.float32] | NDArray[np.float64]

_BLOCK = 512  # rows of the matrix of similarities that are computed at once


@dataclass(frozen=True, slots=True)
class Rate:
    """A measured rate.

    Attributes
    ----------
    errors : int
        Number of errors.
    trials : int
        Number of comparisons.
    """

    errors: int
    trials: int

    @property
    def value(self) -> float:
        """The rate, 0 to 1; NaN without any trial."""
        return self.errors / self.trials if self.trials else float("nan")

    @property
    def limits(self) -> tuple[float, float]:
        """95 % confidence limits of the rate, see `rate_limits`."""
        return rate_limits(self.errors, self.trials)


def rate_limits(errors: int, trials: int, *, level: float = 0.95) -> tuple[float, float]:
    """Compute confidence limits of a rate from the number of errors.

    Wilson's score interval (Wilson 1927); without errors the upper limit is the one-sided one, at 95 % the "rule of
    three" 3 / trials (Hanley and Lippman-Hand 1983), and likewise if every trial was an error. It assumes
    independent trials; comparisons that share a picture or a person are not, so that the true rate may lie outside.

    Parameters
    ----------
    errors, trials : int
        Number of errors and of comparisons.
    level : float, default 0.95
        0 to 1.

    Returns
    -------
    tuple of float
        Lower and upper limit, 0 to 1; the whole range without any trial.

    Raises
    ------
    ArgumentError
        More errors than trials, fewer than none, or a level that is not between 0 and 1.

    Examples
    --------
    >>> [round(limit, 4) for limit in rate_limits(0, 1000)]
    [0.0, 0.003]
    >>> [round(limit, 3) for limit in rate_limits(5, 100)]
    [0.022, 0.112]
    """
    if not 0 <= errors <= trials:
        raise ArgumentError(f"errors must be 0 to the number of trials, {trials}, got {errors}")
    if not 0 < level < 1:
        raise ArgumentError(f"level must lie between 0 and 1, got {level}")
    if trials == 0:
        return 0.0, 1.0
    zero_error_limit = -np.log1p(-level) / trials
    if errors == 0:
        return 0.0, min(1.0, float(zero_error_limit))
    if errors == trials:
        return max(0.0, 1.0 - float(zero_error_limit)), 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    rate, shrink = errors / trials, 1 + z * z / trials
    centre = (rate + z * z / (2 * trials)) / shrink
    half = z / shrink * float(np.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials)))
    return max(0.0, centre - half), min(1.0, centre + half)


def fmr(impostors: Array, threshold: float) -> Rate:
    """Compute the false match rate: impostor comparisons at or above the threshold.

    Parameters
    ----------
    impostors : numpy.ndarray
        (n,), similarities of different people, cosine, −1 to 1.
    threshold : float
        Inclusive.

    Returns
    -------
    Rate
        Lower is better; it never rises with the threshold.
    """
    return Rate(int(np.count_nonzero(impostors >= threshold)), len(impostors))


def fnmr(mated: Array, threshold: float) -> Rate:
    """Compute the false non-match rate: mated comparisons below the threshold.

    Parameters
    ----------
    mated : numpy.ndarray
        (n,), similarities of the same person, cosine, −1 to 1.
    threshold : float
        Inclusive.

    Returns
    -------
    Rate
        Lower is better; it never falls as the threshold rises.
    """
    return Rate(int(np.count_nonzero(mated < threshold)), len(mated))


def threshold_at_fmr(impostors: Array, rate: float) -> float:
    """Find the lowest threshold with at most this false match rate.

    Parameters
    ----------
    impostors : numpy.ndarray
        (n,), similarities of different people.
    rate : float
        False match rate, 0 to 1.

    Returns
    -------
    float
        The next value of the type of the similarities above the greatest one that must not match; minus infinity when
        all may match.

    Raises
    ------
    ArgumentError
        No comparison, or a rate outside 0 to 1.
    """
    if not 0 <= rate <= 1:
        raise ArgumentError(f"the false match rate must be 0 to 1, got {rate}")
    count = len(impostors)
    if count == 0:
        raise ArgumentError("a threshold needs at least one comparison of different people")
    allowed = int(np.floor(rate * count + 1e-9))
    if allowed >= count:
        return float("-inf")
    place = count - 1 - allowed
    # In the type of the similarities: a comparison of float32 with a Python float is made in float32.
    return float(np.nextafter(np.partition(impostors, place)[place], impostors.dtype.type(np.inf)))


def best_threshold(similarity: Array, same: NDArray[np.bool_]) -> float:
    """Find the threshold with the most correct decisions; the lowest of several equally good ones.

    Parameters
    ----------
    similarity : numpy.ndarray
        (n,), one a pair.
    same : numpy.ndarray
        (n,), bool, whether the pair is of one person.

    Returns
    -------
    float
        Halfway between the lowest similarity that matches and the highest that does not.

    Raises
    ------
    ArgumentError
        No pair with a face in both pictures.
    """
    finite = np.isfinite(similarity)
    if not finite.any():
        raise ArgumentError("a threshold needs at least one pair with a face in both pictures")
    scores, where = np.unique(similarity[finite].astype(np.float64), return_inverse=True)
    mated = np.bincount(where, weights=same[finite], minlength=len(scores))
    others = np.bincount(where, minlength=len(scores)) - mated
    # Correct with the threshold at scores[i]: mated pairs from i on, others before i. The last entry matches nothing.
    correct = np.append(np.cumsum(mated[::-1])[::-1], 0) + np.insert(np.cumsum(others), 0, 0)
    place = int(np.argmax(correct))
    if place == 0:
        return float(scores[0])
    if place == len(scores):
        return float(np.nextafter(scores[-1], np.inf))
    return float((scores[place - 1] + scores[place]) / 2)


@dataclass(frozen=True, slots=True)
class FoldRates:
    """Share of correct decisions, each fold at the best threshold of the others.

    Attributes
    ----------
    folds : tuple of float
        Accuracy of each fold, 0 to 1, in the order of their numbers.
    thresholds : tuple of float
        The threshold of each fold.
    correct : Rate
        Correct decisions of all folds together.
    """

    folds: tuple[float, ...]
    thresholds: tuple[float, ...]
    correct: Rate

    @property
    def mean(self) -> float:
        """Mean over the folds, 0 to 1."""
        return float(np.mean(self.folds))

    @property
    def standard_error(self) -> float:
        """Standard error of that mean: standard deviation of the folds ÷ √ of their number."""
        return float(np.std(self.folds, ddof=1) / np.sqrt(len(self.folds)))


def measure_folds(similarity: Array, same: NDArray[np.bool_], fold: NDArray[np.int64]) -> FoldRates:
    """Compute the accuracy over folds, with the threshold of the other folds: the verification protocol of LFW.

    Parameters
    ----------
    similarity : numpy.ndarray
        (n,), one a pair.
    same : numpy.ndarray
        (n,), bool, whether the pair is of one person.
    fold : numpy.ndarray
        (n,), number of the pair's fold.

    Returns
    -------
    FoldRates

    Raises
    ------
    ArgumentError
        Fewer than two folds.
    """
    similarity = similarity.astype(np.float64)  # thresholds lie between two values of float32
    numbers = np.unique(fold)
    if len(numbers) < 2:
        raise ArgumentError(f"the threshold comes from the other folds: at least 2 are needed, got {len(numbers)}")
    folds, thresholds, total = [], [], 0
    for number in numbers:
        inside = fold == number
        threshold = best_threshold(similarity[~inside], same[~inside])
        correct = (similarity[inside] >= threshold) == same[inside]
        folds.append(float(np.mean(correct)))
        thresholds.append(threshold)
        total += int(np.count_nonzero(correct))
    return FoldRates(tuple(folds), tuple(thresholds), Rate(total, len(fold)))


def all_pairs(embeddings: Array, people: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Compare each picture with each other one, once.

    Parameters
    ----------
    embeddings : numpy.ndarray
        (n, dimension), unit length; rows that are not finite are pictures without a face.
    people : numpy.ndarray
        (n,), number of the person in each picture.

    Returns
    -------
    mated, impostors : numpy.ndarray
        Similarities of the same and of different people, float32; minus infinity where a face is missing.
    """
    scores = condensed_scores(embeddings)
    same = condensed_same(people)
    return scores[same], scores[~same]


def condensed_scores(embeddings: Array) -> NDArray[np.float32]:
    """Compare each picture with each later one.

    Parameters
    ----------
    embeddings : numpy.ndarray
        (n, dimension), unit length; rows that are not finite are pictures without a face.

    Returns
    -------
    numpy.ndarray
        (n (n − 1) / 2,), float32, cosine: the first picture with the second, third, ..., then the second with the
        third, and so on; minus infinity where a face is missing.
    """
    missing = np.asarray(~np.isfinite(embeddings).all(axis=1), dtype=np.bool_)
    faces = np.where(missing[:, None], 0.0, embeddings).astype(np.float32)
    parts: list[NDArray[np.float32]] = [np.empty(0, np.float32)]
    for start in range(0, len(faces), _BLOCK):
        stop = min(start + _BLOCK, len(faces))
        similarity = faces[start:stop] @ faces[start:].T
        similarity[missing[start:stop]] = -np.inf
        similarity[:, missing[start:]] = -np.inf
        parts.append(similarity[np.triu(np.ones(similarity.shape, dtype=np.bool_), k=1)])
    return np.concatenate(parts)


def condensed_same(people: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return for each pair of `condensed_scores`, in its order, whether both pictures show one person."""
    parts: list[NDArray[np.bool_]] = [np.empty(0, np.bool_)]
    parts += [np.asarray(people[place + 1 :] == person, dtype=np.bool_) for place, person in enumerate(people)]
    return np.concatenate(parts)


def impostor_statistics(impostors: Array) -> tuple[float, float, int]:
    """Compute the mean and standard deviation of the similarities of different people.

    Parameters
    ----------
    impostors : numpy.ndarray
        (n,), similarities; those with a missing face are left out.

    Returns
    -------
    tuple
        Mean, standard deviation, number of comparisons.
    """
    found = impostors[np.isfinite(impostors)]
    if not len(found):
        raise ArgumentError("no comparison of different people with a face in both pictures")
    return float(found.mean(dtype=np.float64)), float(found.std(dtype=np.float64)), len(found)
