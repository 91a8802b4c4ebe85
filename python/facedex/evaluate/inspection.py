"""Looks into the comparisons of a set: rates of its parts, worst confusions and misses, and data that may be wrong."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..engine import decode
from ..errors import BBox, FacedexError
from ..inputs import ImageInput
from .figures import PicturePair, Slice, Suspect
from .identification import fuse
from .rates import Array
from .verification import Comparisons, Estimate, PairScores, draw_people, interval, people_needed

FEWEST_PEOPLE = 30
"""With fewer people a part of the data has too few to say; 30 people also bound a rate without errors by 10 %."""

QUALITY_EDGES = (0, 20, 40, 60, 80, 100)
"""Edges of the ranges of quality, 0 to 100."""

_SHOWN_SIDE = 112  # pixels of a face in a report
_MARGIN = 0.35  # of the box, around it


@dataclass(frozen=True, slots=True)
class Subject:
    """The usable pictures of a set.

    Attributes
    ----------
    pictures : tuple of ImageInput
    names : tuple of str
    bboxes : tuple of (tuple of float or None)
        Of the face, pixels.
    embeddings : numpy.ndarray
        (pictures, dimension), float32, unit length.
    people : numpy.ndarray
        (pictures,), int64, number of the person in each, from 0.
    people_names : tuple of str
        By number.
    """

    pictures: tuple[ImageInput, ...]
    names: tuple[str, ...]
    bboxes: tuple[BBox | None, ...]
    embeddings: NDArray[np.float32]
    people: NDArray[np.int64]
    people_names: tuple[str, ...]

    def jpeg(self, picture: int) -> bytes | None:
        """Return the face of a picture in small, as a JPEG; None when the picture cannot be read again."""
        from PIL import Image

        try:
            whole = Image.fromarray(decode(self.pictures[picture]))
        except (FacedexError, OSError, ValueError):
            return None
        x1, y1, x2, y2 = self.bboxes[picture] or (0.0, 0.0, float(whole.width), float(whole.height))
        half = max(x2 - x1, y2 - y1) * (0.5 + _MARGIN)
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        small = whole.crop((round(x - half), round(y - half), round(x + half), round(y + half)))
        data = io.BytesIO()
        small.resize((_SHOWN_SIDE, _SHOWN_SIDE)).save(data, "JPEG", quality=80)
        return data.getvalue()


def slice_by(
    column: str,
    values: Sequence[str | None],
    subject: Subject,
    pairs: PairScores,
    *,
    threshold: float,
    wanted_fmr: float,
    lowest: bool = False,
    replicates: int,
    seed: int,
) -> list[Slice]:
    """Compute the error rates of each part of the data.

    Parameters
    ----------
    column : str
        What divides it.
    values : sequence of (str or None)
        The part of each picture.
    subject : Subject
    pairs : PairScores
        All comparisons.
    threshold : float
        Of all parts.
    wanted_fmr : float
        The false match rate of that threshold over all parts; a part must be able to show it.
    lowest : bool, default False
        Whether a comparison belongs to the part of that picture whose value is first in order; otherwise to a part only
        if both pictures do.
    replicates, seed : int
        Of the bootstrap.

    Returns
    -------
    list of Slice
    """
    names = sorted({value for value in values if value is not None})
    codes = np.array([-1 if value is None else names.index(value) for value in values], dtype=np.int16)
    belongs = _condense(codes, lowest=lowest)
    found = []
    for code, name in enumerate(names):
        inside = belongs == code
        mated = np.flatnonzero(inside & pairs.same)
        inside &= ~pairs.same
        impostors = int(np.count_nonzero(inside))
        members = subject.people[codes == code]
        known = pairs.people_of(mated)[0]
        notes = []
        fnmr = fmr = None
        if len(np.unique(known)) < FEWEST_PEOPLE:
            notes.append(f"misses of {len(np.unique(known))} people, {FEWEST_PEOPLE} are needed")
        else:
            fnmr = _fnmr(pairs.scores[mated] < threshold, known, replicates, seed)
        needed = int(np.ceil(3 / wanted_fmr - 1e-9))
        if impostors < needed:
            each = len(members) / max(len(np.unique(members)), 1)
            people = people_needed(needed, each)
            notes.append(f"{impostors:,} impostor pairs, {needed:,} are needed: about {people} people")
        else:
            accepted = pairs.people_of(np.flatnonzero(inside & (pairs.scores >= threshold)))
            fmr = _fmr(accepted, impostors, int(pairs.people.max()) + 1, len(np.unique(members)), replicates, seed)
        note = f"too few to say: {'; '.join(notes)}" if notes else None
        found.append(Slice(column, name, len(np.unique(members)), len(members), fmr, fnmr, note))
    return found


def quality_range(quality: float | None) -> str | None:
    """Return the range of quality that a value is in.

    Examples
    --------
    >>> quality_range(57.0), quality_range(100.0)
    ('40 to 60', '80 to 100')
    """
    if quality is None:
        return None
    place = min(int(np.searchsorted(QUALITY_EDGES, quality, side="right")) - 1, len(QUALITY_EDGES) - 2)
    return f"{QUALITY_EDGES[max(place, 0)]} to {QUALITY_EDGES[max(place, 0) + 1]}"


def _condense(codes: NDArray[np.int16], *, lowest: bool) -> NDArray[np.int16]:
    """Return the part of each comparison, −1 for none, in the order of `rates.condensed_scores`."""
    rows: list[NDArray[np.int16]] = [np.empty(0, np.int16)]
    for place, code in enumerate(codes):
        later = codes[place + 1 :]
        rows.append(np.minimum(later, code) if lowest else np.where(later == code, code, -1).astype(np.int16))
    return np.concatenate(rows)


def _fnmr(missed: NDArray[np.bool_], people: NDArray[np.int64], replicates: int, seed: int) -> Estimate:
    """Estimate a rate of errors of people, each with its own number of comparisons."""
    numbers, place = np.unique(people, return_inverse=True)
    errors = np.bincount(place, weights=missed, minlength=len(numbers))
    trials = np.bincount(place, minlength=len(numbers))
    weights = draw_people(len(numbers), replicates, seed)
    drawn = (weights @ errors) / (weights @ trials)
    value = float(errors.sum() / trials.sum())
    return Estimate(value, *interval(drawn, value, len(numbers)), len(people))


def _fmr(
    accepted: tuple[NDArray[np.int64], NDArray[np.int64]],
    impostors: int,
    people: int,
    members: int,
    replicates: int,
    seed: int,
) -> Estimate:
    """Estimate a false match rate from the people of the pairs that match, of so many impostor pairs."""
    first, second = accepted
    weights = draw_people(people, replicates, seed)
    value = len(first) / impostors
    # a pair of two people counts 1 - 1 / people times on average
    drawn = (weights[:, first] * weights[:, second]).sum(axis=1) / (impostors * (1 - 1 / people))
    return Estimate(value, *interval(drawn, value, members), impostors)


def worst_pairs(subject: Subject, comparisons: Comparisons, shown: int) -> tuple[list[PicturePair], list[PicturePair]]:
    """Return the closest pictures of different people, and the farthest pictures of one: one pair for each.

    Parameters
    ----------
    subject : Subject
    comparisons : Comparisons
        Of these pictures, all with each other.
    shown : int
        How many of each.

    Returns
    -------
    confusions, misses : list of PicturePair
    """
    pairs = comparisons.pairs
    assert isinstance(pairs, PairScores)
    found = []
    for values, same, sign in ((comparisons.impostors, False, -1), (comparisons.mated, True, 1)):
        count = min(50 * shown, len(values))
        cut = np.partition(sign * values, count - 1)[count - 1]
        places = np.flatnonzero((sign * pairs.scores <= cut) & (pairs.same == same))
        order = places[np.argsort(sign * pairs.scores[places], kind="stable")]
        seen: set[tuple[int, ...]] = set()
        listed = []
        for place in order:
            (first,), (second,) = pairs.pictures(np.array([place]))
            who = tuple(sorted({int(subject.people[first]), int(subject.people[second])}))
            if who not in seen:
                seen.add(who)
                listed.append(_pair(subject, int(first), int(second), float(pairs.scores[place])))
            if len(listed) == shown:
                break
        found.append(listed)
    return found[0], found[1]


def _pair(subject: Subject, first: int, second: int, similarity: float) -> PicturePair:
    names = [subject.people_names[subject.people[picture]] for picture in (first, second)]
    return PicturePair(
        subject.names[first],
        subject.names[second],
        names[0],
        names[1],
        similarity,
        subject.jpeg(first),
        subject.jpeg(second),
    )


def find_suspects(subject: Subject, *, low: float, high: float, most: int) -> list[Suspect]:
    """List data that may be wrong: pictures under a wrong name, and people who may be one.

    A picture is suspected when it is below `low` to its person's other pictures, and these agree with each other or it
    is closer to somebody else, at `high` or above. Of a person with two pictures either may be the wrong one. Two
    people are suspected to be one when their fused templates reach `high`, and are as close as three of four pairs of
    pictures of one person.

    Parameters
    ----------
    subject : Subject
    low, high : float
        Similarities: below `low` two pictures are hardly of one person, at `high` or above hardly of two.
    most : int
        How many of each kind are listed.

    Returns
    -------
    list of Suspect
        The gravest of each kind first.
    """
    count = len(subject.people_names)
    pictures = [np.flatnonzero(subject.people == person) for person in range(count)]
    enrolled = np.array([person for person in range(count) if len(pictures[person])])
    templates = np.stack([fuse(subject.embeddings[pictures[person]]) for person in enrolled])
    labels, mated = [], []
    for column, person in enumerate(enrolled):
        own = pictures[person]
        if len(own) < 2:
            continue
        vectors = subject.embeddings[own]
        between = vectors @ vectors.T
        mated += between[np.triu_indices(len(own), k=1)].tolist()
        for place, picture in enumerate(own):
            rest = np.delete(np.arange(len(own)), place)
            similarity = float(vectors[place] @ fuse(vectors[rest]))
            if similarity >= low:
                continue
            to_others = templates @ vectors[place]
            to_others[column] = -1.0
            other, closest = int(enrolled[np.argmax(to_others)]), float(to_others.max())
            name = subject.people_names[person]
            shown = [picture, *own[rest[:3]]]
            if closest >= high:
                both = (name, subject.people_names[other])
                reason = f"it resembles {both[1]} ({closest:.2f})"
                labels.append(_suspect("wrong label", both, shown, similarity, reason, subject))
            elif len(own) > 2 and float(between[np.ix_(rest, rest)][np.triu_indices(len(rest), k=1)].min()) >= low:
                reason = f"the other {len(rest)} pictures resemble each other"
                labels.append(_suspect("wrong label", (name,), shown, similarity, reason, subject))
            elif len(own) == 2 and place == 0:
                reason = "the person's two pictures do not resemble each other"
                labels.append(_suspect("one of two", (name,), own.tolist(), similarity, reason, subject))
    labels.sort(key=lambda suspect: suspect.similarity)
    found = labels[:most]
    least = max(high, float(np.quantile(mated, 0.25)) if mated else high)
    for first, second, similarity in _closest(templates, least)[:most]:
        people = (subject.people_names[enrolled[first]], subject.people_names[enrolled[second]])
        examples = [int(pictures[enrolled[first]][0]), int(pictures[enrolled[second]][0])]
        reason = f"as similar as pictures of one person ({least:.2f} or more)"
        found.append(_suspect("duplicate people", people, examples, similarity, reason, subject))
    return found


def _closest(templates: Array, least: float) -> list[tuple[int, int, float]]:
    found = []
    for place in range(len(templates) - 1):
        similarities = templates[place + 1 :] @ templates[place]
        found += [
            (place, place + 1 + int(other), float(similarities[other]))
            for other in np.flatnonzero(similarities >= least)
        ]
    return sorted(found, key=lambda pair: -pair[2])


def _suspect(
    kind: str, people: tuple[str, ...], pictures: Sequence[int], similarity: float, reason: str, subject: Subject
) -> Suspect:
    shown = [subject.jpeg(int(picture)) for picture in pictures]
    names = tuple(subject.names[int(picture)] for picture in pictures[: 1 if kind == "wrong label" else 2])
    return Suspect(kind, people, names, similarity, reason, tuple(jpeg for jpeg in shown if jpeg is not None))
