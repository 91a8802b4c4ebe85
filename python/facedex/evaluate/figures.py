"""The rows of a report: rates of search, parts of the data, pairs of pictures, suspects, attacks. All are frozen."""

from __future__ import annotations

from dataclasses import dataclass, field

from .verification import Estimate


@dataclass(frozen=True, slots=True)
class Failure:
    """A picture in which no face was found, or that cannot be read.

    Attributes
    ----------
    picture, reason : str
    """

    picture: str
    reason: str


@dataclass(frozen=True, slots=True)
class IdentificationPoint:
    """The error rates of search in galleries of a size.

    Attributes
    ----------
    people : int
        Number of people in the gallery.
    pictures : int or None
        Number of pictures of each person that were fused into a template; None is as registered.
    wanted_fpir : float or None
        Requested false positive identification rate; None where the threshold was given.
    threshold : float
        The lowest similarity that keeps it.
    fpir, fnir : Estimate
        The share of searches for people who are not in the gallery that return somebody; the share of searches for
        people in it who are not returned first, at or above the threshold.
    extrapolated : bool
        Whether the data have fewer people than the gallery.
    """

    people: int
    pictures: int | None
    wanted_fpir: float | None
    threshold: float
    fpir: Estimate
    fnir: Estimate
    extrapolated: bool = False


@dataclass(frozen=True, slots=True)
class RankPoint:
    """How many people are returned within a rank, without a threshold.

    Attributes
    ----------
    people : int
        Number of people in the gallery.
    rank : int
    hits : Estimate
        Share of the searches for people in the gallery.
    group : str or None
        Which probes, such as a camera; None is all.
    """

    people: int
    rank: int
    hits: Estimate
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Slice:
    """The error rates of a part of the data, at the threshold of the whole.

    Attributes
    ----------
    column, value : str
        What divides the data, such as "quality" or a column of the labels, and which part this is.
    people, pictures : int
        Their numbers in this part.
    fmr, fnmr : Estimate or None
        None where there is too little to say.
    note : str or None
        What is too few.
    """

    column: str
    value: str
    people: int
    pictures: int
    fmr: Estimate | None
    fnmr: Estimate | None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class PicturePair:
    """Two pictures and their similarity.

    Attributes
    ----------
    first, second : str
        The pictures.
    first_person, second_person : str
        Who is in them.
    similarity : float
    first_jpeg, second_jpeg : bytes or None
        The faces in small; not in `to_dict`.
    """

    first: str
    second: str
    first_person: str
    second_person: str
    similarity: float
    first_jpeg: bytes | None = field(default=None, repr=False, compare=False)
    second_jpeg: bytes | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Suspect:
    """Data that may be wrong; a person has to look.

    Attributes
    ----------
    kind : {"wrong label", "one of two", "duplicate people"}
        A picture that resembles others more than its own person; two pictures of one person that do not resemble each
        other; two people who may be one.
    people, pictures : tuple of str
        Whom and which it concerns.
    similarity : float
        To the person's other pictures; between the two people.
    reason : str
    jpegs : tuple of bytes
        The faces in small; not in `to_dict`.
    """

    kind: str
    people: tuple[str, ...]
    pictures: tuple[str, ...]
    similarity: float
    reason: str
    jpegs: tuple[bytes, ...] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class AttackRate:
    """How presentations of one kind were judged (ISO/IEC 30107-3).

    Attributes
    ----------
    kind : str or None
        The kind of attack; None is bona fide: live people.
    error : Estimate
        APCER, the share of attacks that pass as live; of live people BPCER, the share that does not pass. Where a face
        cannot be judged it does not pass.
    errors : int
        Their number.
    unjudged : int
        Presentations without a judgement: no face, too small, cut off or too near.
    passed : tuple of str
        Pictures that passed as live.
    """

    kind: str | None
    error: Estimate
    errors: int
    unjudged: int
    passed: tuple[str, ...]
