"""The demo: registers and recognizes the bundled people, and checks each decision.

It returns a `Report` of decisions, each with the expected one, and writes pictures with boxes and names to a folder.
The people are synthetic and chosen to be distinguishable: a wrong decision is a fault, right ones prove no accuracy.
The gallery is temporary.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import people
from .engine import Engine
from .errors import UnknownPersonError
from .gallery import Gallery
from .plain import record_to_dict
from .results import FoundFace, Recognition

NOTE = (
    "The people are synthetic: rendered heads that portray nobody, chosen to be easy to distinguish. "
    "This shows that the program works; it is no accuracy figure."
)

DELETED = "ayu"
"""The person who is deleted. She is in the group picture too, where the others must still be recognized."""

TRUE_CLAIM = ("budi", people.PROBES["budi"][1])
FALSE_CLAIM = ("citra", people.PROBES["eko"][0])  # of all pairs these two are among the most alike

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision of the demo.

    Attributes
    ----------
    step : str
        "register", "recognize", "verify", "delete", or "after" for checks after the deletion.
    subject : str
        The picture, or the person.
    expected, decided : str
        The right decision, and the one that was made.
    similarity, threshold : float or None
        That decided it, if any; [-1, 1], higher is closer.
    elapsed_ms : float or None
        Time of the picture, milliseconds; None for the second and later faces of one picture.
    """

    step: str
    subject: str
    expected: str
    decided: str
    similarity: float | None = None
    threshold: float | None = None
    elapsed_ms: float | None = None

    to_dict = record_to_dict

    @property
    def right(self) -> bool:
        """Whether the decision is the expected one."""
        return self.decided == self.expected


@dataclass(frozen=True, slots=True)
class Report:
    """The decisions of the demo, and the pictures that it wrote.

    Attributes
    ----------
    decisions : tuple of Decision
        In the order in which they were made.
    pictures : tuple of Path
        The pictures with boxes and names.
    elapsed_s : float
        Total time, seconds, with opening the engine and writing the pictures.
    """

    decisions: tuple[Decision, ...]
    pictures: tuple[Path, ...]
    elapsed_s: float

    to_dict = record_to_dict

    @property
    def wrong(self) -> tuple[Decision, ...]:
        """The decisions that are not as expected."""
        return tuple(decision for decision in self.decisions if not decision.right)


def run(out: str | os.PathLike[str], *, pack: str | os.PathLike[str] | None = None) -> Report:
    """Register, recognize, verify and delete the bundled people.

    Parameters
    ----------
    out : str or PathLike
        Folder for the pictures with boxes and names; made when it is not there.
    pack : str or PathLike, optional
        The pack to use; default that of `Engine`. The people were chosen with the packs that come with facedex; with
        another, decisions may be wrong.

    Returns
    -------
    Report

    Raises
    ------
    FacedexError
        When the engine or the gallery fails.
    OSError
        When a picture cannot be written.
    """
    started = time.perf_counter()
    with (
        tempfile.TemporaryDirectory(prefix="facedex-demo-") as folder,
        Gallery.open(Path(folder) / "people.db", engine=Engine(pack)) as gallery,
    ):
        demo = _Demo(gallery, Path(out))
        decisions = tuple(demo.decisions())
    return Report(decisions, tuple(demo.pictures), time.perf_counter() - started)


class _Demo:
    """The steps of the demo, on an open and empty gallery."""

    def __init__(self, gallery: Gallery, out: Path) -> None:
        self._gallery = gallery
        self._out = out
        self.pictures: list[Path] = []

    def decisions(self) -> Iterator[Decision]:
        for person_id, pictures in people.PICTURES.items():
            yield self._register(person_id, pictures)
        for person_id, probes in people.PROBES.items():
            for probe in probes:
                yield from self._recognize("recognize", probe, [person_id])
        for stranger in people.STRANGERS:
            yield from self._recognize("recognize", stranger, [None])
        yield from self._recognize("recognize", people.GROUP, people.GROUP_IDS)
        yield self._verify(*TRUE_CLAIM, expected="match")
        yield self._verify(*FALSE_CLAIM, expected="no match")
        yield self._delete(DELETED)
        for probe in people.PROBES[DELETED]:
            yield from self._recognize("after", probe, [None])
        remaining = [None if person_id == DELETED else person_id for person_id in people.GROUP_IDS]
        yield from self._recognize("after", people.GROUP, remaining)
        yield self._look_up(DELETED)

    def _register(self, person_id: str, pictures: Sequence[Path]) -> Decision:
        started = time.perf_counter()
        registration = self._gallery.register(person_id, pictures, name=person_id.capitalize())
        return Decision(
            "register",
            person_id,
            expected=f"{len(pictures)} faces",
            decided=f"{len(registration.faces)} faces",
            elapsed_ms=_since(started),
        )

    def _recognize(self, step: str, picture: Path, expected: Sequence[str | None]) -> Iterator[Decision]:
        """Yield a decision for each face that is expected or found, left to right."""
        started = time.perf_counter()
        recognition = self._gallery.recognize(picture)
        elapsed_ms: float | None = _since(started)
        self._write(step, picture, recognition)
        found: list[FoundFace | None] = [*sorted(recognition, key=_left)]
        wanted = [UNKNOWN if person_id is None else person_id for person_id in expected]
        wanted += ["no face"] * (len(found) - len(wanted))
        found += [None] * (len(wanted) - len(found))
        for number, (who, face) in enumerate(zip(wanted, found, strict=True), 1):
            subject = _name(picture) if len(wanted) == 1 else f"{_name(picture)} face {number}"
            if face is None:
                yield Decision(step, subject, who, "no face", elapsed_ms=elapsed_ms)
            else:
                decided = UNKNOWN if face.person_id is None else str(face.person_id)
                yield Decision(step, subject, who, decided, face.similarity, face.threshold, elapsed_ms)
            elapsed_ms = None

    def _verify(self, person_id: str, picture: Path, *, expected: str) -> Decision:
        started = time.perf_counter()
        answer = self._gallery.verify(person_id, picture)
        return Decision(
            "verify",
            f"{_name(picture)} as {person_id}",
            expected,
            "match" if answer.match else "no match",
            answer.similarity,
            answer.threshold,
            _since(started),
        )

    def _delete(self, person_id: str) -> Decision:
        started = time.perf_counter()
        deletion = self._gallery.delete(person_id)
        return Decision(
            "delete",
            person_id,
            expected=f"{len(people.PICTURES[person_id])} faces",
            decided=f"{len(deletion.faces)} faces",
            elapsed_ms=_since(started),
        )

    def _look_up(self, person_id: str) -> Decision:
        started = time.perf_counter()
        try:
            decided = f"{len(self._gallery.person(person_id).faces)} faces"
        except UnknownPersonError:
            decided = "gone"
        return Decision("after", person_id, "gone", decided, elapsed_ms=_since(started))

    def _write(self, step: str, picture: Path, recognition: Recognition) -> None:
        name = picture.relative_to(people.FOLDER)
        target = self._out / ("after-deletion" if step == "after" else "") / name
        target.parent.mkdir(parents=True, exist_ok=True)
        recognition.draw().save(target, quality=90)
        self.pictures.append(target)


def _left(face: FoundFace) -> float:
    return face.bbox[0]


def _name(picture: Path) -> str:
    return f"stranger {picture.stem}" if picture in people.STRANGERS else picture.stem


def _since(started: float) -> float:
    return 1000.0 * (time.perf_counter() - started)
