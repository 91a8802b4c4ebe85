"""Chooses thresholds by error rate.

Goes in: a rule (a similarity, `FMR` or `FPIR`), the `Tail` of similarities of different people, and how many people a
face is compared with. Comes out: a `Decision`, which states the threshold, where it comes from, and the false positive
rate to expect. Refused: a rate that the data cannot show, with the number of people that it would take.

Of N independent comparisons 1 - (1 - FMR)^N is the share of unknown faces that match somebody (FPIR of ISO/IEC
19795-1); where the comparisons of one face depend on each other, the share is smaller.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..checks import abbreviate, check_float
from ..errors import ArgumentError, RateError

if TYPE_CHECKING:
    from .._core import PackInfo

Origin = Literal["prior", "gallery", "both", "fixed"]
"""Where a threshold comes from: the pack's measurement, the gallery's own people, both, or the caller."""

RATES = (
    *(0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 5e-3, 2e-3, 1e-3, 5e-4, 2e-4, 1e-4, 5e-5, 2e-5, 1e-5),
    *(5e-6, 2e-6, 1e-6, 5e-7, 2e-7, 1e-7),
)
"""False match rates at which a tail is tabulated."""

EXTRAPOLATION = 10.0
"""How many times lower than the rule of three allows a fitted tail may be read."""

LEAST_PEOPLE = 50
"""Fewer people make no tail."""

PRIOR_PEOPLE = 200
"""As many own people weigh as much as the pack's measurement."""

MOST_PEOPLE = 2000
"""As many people are sampled for the tail of a gallery."""

MAX_FMR = 1e-3
"""The default of ``max_fmr``: a gallery's threshold is never looser, however few people it holds."""

RULE_OF_THREE = 3.0
"""Without an error in n pairs the rate is at most 3 / n at 95 % (Hanley and Lippman-Hand 1983)."""

_Z = 1.959964  # 95 %, two-sided
_RULE = re.compile(r"\s*(fmr|fpir)\s*[=(]\s*([^()=\s]+)\s*\)?\s*", re.IGNORECASE)


def _check_rate(name: str, value: object) -> float:
    try:
        rate = check_float(name, value)
    except ArgumentError:
        rate = math.nan
    if not 0.0 < rate < 1.0:
        raise ArgumentError(f"{name} must be a rate between 0 and 1, got {abbreviate(value)}")
    return rate


@dataclass(frozen=True, slots=True)
class FMR:
    """The threshold at a false match rate: the share of comparisons of different people that match.

    Attributes
    ----------
    rate : float
        Between 0 and 1; lower is stricter.

    Examples
    --------
    >>> str(FMR(1e-4))
    'fmr=0.0001'
    """

    rate: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", _check_rate("FMR", self.rate))

    def __str__(self) -> str:
        return f"fmr={self.rate:g}"

    def fmr(self, people: int, max_fmr: float) -> float:
        """Return the false match rate of one comparison; it does not depend on the people."""
        return self.rate


@dataclass(frozen=True, slots=True)
class FPIR:
    """The threshold at a false positive identification rate: the share of unknown faces that match somebody.

    It adapts to the number of people, because every one is one more chance of a false match.

    Attributes
    ----------
    rate : float
        Between 0 and 1; lower is stricter.

    Examples
    --------
    >>> f"{FPIR(0.01).fmr(people=100, max_fmr=1e-3):.2e}"
    '1.00e-04'
    """

    rate: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", _check_rate("FPIR", self.rate))

    def __str__(self) -> str:
        return f"fpir={self.rate:g}"

    def fmr(self, people: int, max_fmr: float) -> float:
        """Return the false match rate that each of the comparisons with so many people may have.

        Parameters
        ----------
        people : int
        max_fmr : float
            Not more, however few people.
        """
        return min(-math.expm1(math.log1p(-self.rate) / max(people, 1)), max_fmr)


Rule = float | FMR | FPIR
"""What ``threshold=`` is after `parse_rule`: a similarity or a rate."""

GALLERY_RULE = FPIR(0.01)
"""The default of a gallery's recognitions."""

PAIR_RULE = FMR(1e-4)
"""The default of `compare` and `verify`."""

SIGN_IN_RULE = FMR(1e-5)
"""The rule for signing in by face."""


def parse_rule(value: object) -> Rule:
    """Return the rule for a threshold.

    Parameters
    ----------
    value : float, FMR, FPIR or str
        A similarity from -1 to 1; a rate; or a text such as ``"fmr=1e-4"``, ``"fpir=0.01"``, ``"0.5"``.

    Raises
    ------
    ArgumentError
        When it is neither.

    Examples
    --------
    >>> parse_rule("fpir=0.01")
    FPIR(rate=0.01)
    >>> parse_rule(0.5)
    0.5
    """
    if isinstance(value, (FMR, FPIR)):
        return value
    number: object = value
    if isinstance(value, str):
        match = _RULE.fullmatch(value)
        if match is not None:
            kind = FMR if match[1].lower() == "fmr" else FPIR
            return kind(_as_number(match[2]))
        number = _as_number(value)
    try:
        similarity = math.nan if isinstance(number, (bytes, bool)) else float(number)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        similarity = math.nan
    if not -1.0 <= similarity <= 1.0:
        raise ArgumentError(
            f"threshold must be a number from -1 to 1, or a rate such as FMR(1e-4) or 'fpir=0.01', got "
            f"{abbreviate(value)}"
        )
    return similarity


def pair_rule(value: object) -> Rule | None:
    """Return the rule for comparing two faces; None, the default, where there is none or it is for many people.

    Examples
    --------
    >>> pair_rule("fmr=1e-3"), pair_rule(FPIR(0.01)), pair_rule(None)
    (FMR(rate=0.001), None, None)
    """
    rule = None if value is None else parse_rule(value)
    return None if isinstance(rule, FPIR) else rule


@dataclass(frozen=True, slots=True)
class Tail:
    """The similarities of different people, from a common one up to the rarest that the data can show.

    Attributes
    ----------
    people, pairs : int
        How many people were compared, and in how many pairs; 0 where that is not known.
    points : tuple of (float, float, float)
        False match rate, falling; the cosine at which it is kept, rising; the standard error of that cosine, nan where
        it is not known.
    """

    people: int
    pairs: int
    points: tuple[tuple[float, float, float], ...]

    @property
    def least_rate(self) -> float:
        """The lowest false match rate that it supports."""
        return self.points[-1][0]

    def threshold(self, rate: float) -> float:
        """Return the cosine that keeps a false match rate; that of the nearest rate, beyond the table."""
        return _interpolate(-math.log(rate), self._depths, [cosine for _, cosine, _ in self.points])

    def rate(self, cosine: float) -> float:
        """Return the false match rate at a cosine; that of the nearest cosine, beyond the table."""
        return math.exp(-_interpolate(cosine, [at for _, at, _ in self.points], self._depths))

    def error(self, rate: float) -> float:
        """Return the standard error of the cosine at a false match rate; nan where it is not known."""
        return _interpolate(-math.log(rate), self._depths, [error for _, _, error in self.points])

    def interval(self, cosine: float, people: int) -> tuple[float, float] | None:
        """Return the interval of 95 % of the false match rate that so many people have at a cosine.

        A gallery of few people has a rate of its own, because some people resemble many others. The error of the tail
        shows by how much, being that of `self.people`, of whom each is the one and the other person of a pair; with `n`
        gallery people a quarter of its variance counts `self.people` / `n` times (Hoeffding 1948).

        Returns
        -------
        (float, float) or None
            None where the error is not known.
        """
        error = self.error(self.rate(cosine))
        if math.isnan(error):
            return None
        error *= math.sqrt(1 + self.people / (4 * max(people, 1)))
        low = 0.0 if cosine + _Z * error > self.points[-1][1] else self.rate(cosine + _Z * error)
        return low, self.rate(cosine - _Z * error)

    @property
    def _depths(self) -> list[float]:
        return [-math.log(rate) for rate, _, _ in self.points]


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a threshold comes from, and how often an unknown face will reach it.

    Attributes
    ----------
    threshold : float
        Cosine, [-1, 1], inclusive.
    rule : str
        What it keeps: ``"fpir=0.01"``, ``"fmr=0.0001"``, or the similarity that was given.
    origin : {"prior", "gallery", "both", "fixed"}
        The pack's measurement, the gallery's own people, both, or the caller.
    people : int
        How many people a face is compared with.
    expected : float or None
        The share of unknown faces that will match somebody, [0, 1]; None where the pack states no measurement.
    low, high : float or None
        Its interval of 95 %; None where its error is not known.
    """

    threshold: float
    rule: str
    origin: Origin
    people: int
    expected: float | None = None
    low: float | None = None
    high: float | None = None


def decide(
    rule: Rule,
    tail: Tail | None,
    origin: Origin,
    *,
    people: int,
    basis: int | None = None,
    max_fmr: float = MAX_FMR,
    strict: bool = True,
) -> Decision:
    """Choose the threshold that a rule asks for.

    Parameters
    ----------
    rule : float, FMR or FPIR
    tail : Tail or None
        Of the people who are compared; None where nothing is known.
    origin : {"prior", "gallery", "both"}
        Where the tail comes from.
    people : int
        How many people a face is compared with; 1 for a comparison of two faces.
    basis : int, optional
        The number of people for which the threshold is chosen, where it lags behind `people`.
    max_fmr : float
        `FPIR` allows no higher false match rate of a comparison, however few people.
    strict : bool
        Whether a rate that the tail does not support is refused; otherwise the lowest that it supports is kept.

    Returns
    -------
    Decision

    Raises
    ------
    RateError
        When the rate is not supported.
    ArgumentError
        When a rate is asked for and there is no tail.
    """
    if isinstance(rule, float):
        threshold, origin = rule, "fixed"
    elif tail is None:
        raise ArgumentError("the pack states no measured threshold; name one: threshold=...")
    else:
        rate = rule.fmr(people if basis is None else basis, max_fmr)
        if rate < tail.least_rate * (1 - 1e-9):
            if strict:
                raise unsupported(rule, rate, tail)
            rate = tail.least_rate
        threshold = tail.threshold(rate)
    if tail is None:
        return Decision(threshold, _text(rule), origin, people)
    expected = at_least_one(tail.rate(threshold), people)
    interval = tail.interval(threshold, people)
    if interval is None:
        return Decision(threshold, _text(rule), origin, people, expected)
    low, high = (at_least_one(rate, people) for rate in interval)
    return Decision(threshold, _text(rule), origin, people, expected, low, high)


def unsupported(rule: FMR | FPIR, rate: float, tail: Tail) -> RateError:
    """Return the error about a rate that a tail does not support."""
    needed = people_for(rate)
    measured = f"of {tail.people} people " if tail.people else ""
    return RateError(
        f"{rule} needs a false match rate of {rate:.2g}, and the data {measured}show none below {tail.least_rate:.2g}; "
        f"it takes {needed:,} people: register more, measure the pack on more, or ask for a higher rate",
        people=needed,
    )


def people_for(rate: float) -> int:
    """Return how many people it takes to support a false match rate.

    Examples
    --------
    >>> people_for(1e-4)
    78
    """
    return math.ceil(0.5 + math.sqrt(0.25 + 2 * RULE_OF_THREE / (EXTRAPOLATION * rate)))


def at_least_one(fmr: float, people: int) -> float:
    """Return the probability that at least one of so many independent comparisons is a false match."""
    return 1.0 if fmr >= 1.0 else -math.expm1(people * math.log1p(-fmr))


def combine(prior: Tail | None, own: Tail | None) -> tuple[Tail | None, Origin]:
    """Combine the pack's tail with that of a gallery's own people.

    At each rate the cosine is the weighted mean of both. The gallery's weight is n / (n + 200) with n own people: it
    grows from a fifth at 50 people to nine tenths at 2,000. Rates that only one of them supports follow the shape of
    that one from there on.

    Returns
    -------
    tail : Tail or None
    origin : {"prior", "gallery", "both"}
    """
    if own is None:
        return prior, "prior"
    if prior is None:
        return own, "gallery"
    weight = own.people / (own.people + PRIOR_PEOPLE)
    shared = max(prior.least_rate, own.least_rate)
    further = prior if prior.least_rate < own.least_rate else own
    rates = [rate for rate, _, _ in further.points]
    points: list[tuple[float, float, float]] = []
    for rate in rates:
        near = max(rate, shared)
        cosine = (1 - weight) * prior.threshold(near) + weight * own.threshold(near)
        error = math.hypot((1 - weight) * prior.error(near), weight * own.error(near))
        if rate < shared:
            cosine += further.threshold(rate) - further.threshold(shared)
            error = max(error, further.error(rate))
        if not points or cosine > points[-1][1]:
            points.append((rate, cosine, error))
    return Tail(prior.people + own.people, prior.pairs + own.pairs, tuple(points)), "both"


def rising(table: Iterable[tuple[float, float, float]]) -> tuple[tuple[float, float, float], ...]:
    """Return the points whose cosine rises, of falling rates; cosines and errors have five digits."""
    points: list[tuple[float, float, float]] = []
    for rate, cosine, error in table:
        if not points or cosine > points[-1][1]:
            points.append((float(rate), round(float(cosine), 5), round(float(error), 5)))
    return tuple(points)


@dataclass(frozen=True, slots=True)
class Prior:
    """The tails that a pack was measured to have.

    Attributes
    ----------
    tails : mapping of int to Tail
        Number of pictures a person → the tail of the similarities of one face to the fused template.
    """

    tails: Mapping[int, Tail]

    def tail(self, pictures: float = 1.0) -> Tail:
        """Return the tail for templates of so many pictures, between two measured numbers by their logarithm."""
        numbers = sorted(self.tails)
        wanted = min(max(pictures, numbers[0]), numbers[-1])
        above = next(number for number in numbers if number >= wanted)
        below = max(number for number in numbers if number <= wanted)
        high = self.tails[above]
        if above == below:
            return high
        low, share = self.tails[below], math.log(wanted / below) / math.log(above / below)
        rates = [rate for rate, _, _ in max(low, high, key=lambda tail: tail.least_rate).points]
        points = [
            (
                rate,
                (1 - share) * low.threshold(rate) + share * high.threshold(rate),
                (1 - share) * low.error(rate) + share * high.error(rate),
            )
            for rate in rates
        ]
        return Tail(min(low.people, high.people), min(low.pairs, high.pairs), rising(points))


def prior_of(pack: PackInfo) -> Prior | None:
    """Return what a pack states about its similarities.

    That is its table ``[prior]``; else its table of scores, or its operating points, for one picture a person and
    without an error.

    Returns
    -------
    Prior or None
        None when it states nothing.
    """
    if pack.prior is not None:
        return Prior({tail.pictures: Tail(tail.people, tail.pairs, tuple(tail.points)) for tail in pack.prior.tails})
    if pack.scores is not None:
        known = {(rate, cosine) for rate, cosine in pack.scores.impostor if rate <= RATES[0]}
    else:
        known = {(fmr, float(threshold)) for fmr, threshold, _ in pack.operating_points}
    if not known and pack.fmr and pack.threshold is not None:
        known = {(pack.fmr, pack.threshold)}
    if not known:
        return None
    return Prior({1: Tail(0, 0, rising((rate, cosine, math.nan) for rate, cosine in sorted(known, reverse=True)))})


def has_moved(now: int, then: int) -> bool:
    """Return whether a number has changed by a quarter or more.

    Examples
    --------
    >>> has_moved(124, 100), has_moved(125, 100), has_moved(75, 100)
    (False, True, True)
    """
    return now != then and 4 * abs(now - then) >= then


def _interpolate(at: float, places: Sequence[float], values: Sequence[float]) -> float:
    """Interpolate linearly between rising places; beyond them the nearest value holds."""
    after = bisect_left(places, at)
    if after == 0 or after == len(places):
        return values[min(after, len(places) - 1)]
    share = (at - places[after - 1]) / (places[after] - places[after - 1])
    return values[after - 1] + share * (values[after] - values[after - 1])


def _text(rule: Rule) -> str:
    return f"{rule:g}" if isinstance(rule, float) else str(rule)


def _as_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
