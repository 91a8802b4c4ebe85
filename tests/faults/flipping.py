"""Flips bits in every kind of file: every read must give the same result, an earlier one, or a typed error.

"flipping.py <seed> <flips>" flips this number of bits, in each kind of file in turn, and prints the outcomes as JSON.
It is a separate process, because a crash must not end the tests.

SQLite's write-ahead log is an exception to "the same result": SQLite regards a frame with a wrong checksum as torn by a
power cut, and returns to the commit before it. There the results may be those of an earlier state, all of the same one;
when more than the last commit is lost, a warning reports it.
"""

from __future__ import annotations

import json
import logging
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from synthetic import KEYS, PINS, Opened, face, unit

from facedex.errors import FacedexError
from facedex.gallery.fsck import fsck
from facedex.records import Person

NAMES = ("Ayu", "Budi", "Citra", "Dewi", "Eka", "Fajar", "Gita", "Hadi", "Intan", "Joko")
"""Names; person n has the vectors 10 n and 10 n + 1."""

Answers = dict[str, Any]


class Warnings(logging.Handler):
    """Counts the warnings of the library."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.number = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.number += 1


WARNINGS = Warnings()


def fill(opened: Opened) -> Iterator[None]:
    """Make the gallery whose files are damaged, one change at a time."""
    for number, name in enumerate(NAMES):
        faces = [face(10 * number + one) for one in range(2)]
        opened.store.register(name.lower(), faces, {"name": name, "email": f"{name}@example", "info": {"n": number}})
        yield
    opened.store.delete("eka")
    yield
    opened.store.update("ayu", {"name": "Ayu A."})
    yield


def read_gallery(location: Path, key: bytes | None = None) -> Answers:
    """Open a gallery and read everything: query → its result or error."""
    try:
        opened = Opened(location, PINS[0], key)
    except FacedexError as error:
        return {"open": error}
    try:
        return _read_all(opened)
    finally:
        opened.database.close()


def _read_all(opened: Opened) -> Answers:
    found: Answers = {}

    def ask(question: str, call: Callable[[], Any]) -> None:
        try:
            found[question] = call()
        except FacedexError as error:
            found[question] = error

    for number, name in enumerate(NAMES):
        key = name.lower()
        for vector in (10 * number, 10 * number + 1):
            ask(f"who is {vector}", lambda vector=vector: opened.name_of(vector))  # type: ignore[misc]
        ask(f"person {key}", lambda key=key: opened.store.person(key))  # type: ignore[misc]
        ask(f"photos of {key}", lambda key=key: _photos(opened, key))  # type: ignore[misc]
        ask(f"verify {key}", lambda key=key, number=number: _verify(opened, key, 10 * number))  # type: ignore[misc]
    ask("people", opened.store.people)
    ask("audit", lambda: _audit(opened))
    return found


def _photos(opened: Opened, key: str) -> list[Any]:
    return [(one.person_id, opened.store.photo_bytes(one.photo_id)) for one in opened.store.photos(key)]


def _verify(opened: Opened, key: str, number: int) -> tuple[Any, bool]:
    owner, keys, vectors = opened.store.templates_of(key)
    return owner, bool(len(keys)) and float((vectors @ unit(number, PINS[0].dimension)).max()) > 0.999


def _audit(opened: Opened) -> list[Any] | str:
    report = opened.store.check_audit()
    return opened.store.audit(0) if report.intact else "reported"


class Sample:
    """The files of a gallery, one of which is damaged.

    Parameters
    ----------
    kind : str
        What the file is.
    folder : Path
        The undamaged files.
    name : str
        The file whose bits are flipped.
    key : bytes or None
    truths : list of Answers
        The results of each valid state; the last is the acknowledged one.
    """

    def __init__(self, kind: str, folder: Path, name: str, key: bytes | None, truths: list[Answers]) -> None:
        self.kind = kind
        self._files = {path.name: path.read_bytes() for path in folder.iterdir()}
        self._name = name
        self._key = key
        self._truths = truths
        whole = self._files[name]
        self._filled = [place for place, byte in enumerate(whole) if byte]

    def flip(self, chance: random.Random, work: Path) -> str:
        """Flip one bit and read everything; return the outcome."""
        content = bytearray(self._files[self._name])
        # Most of a database is zeros that mean nothing.
        place = chance.choice(self._filled) if chance.random() < 0.9 else chance.randrange(len(content))
        content[place] ^= 1 << chance.randrange(8)
        for left in work.iterdir():
            left.unlink()
        for name, whole in self._files.items():
            (work / name).write_bytes(content if name == self._name else whole)
        WARNINGS.number = 0
        try:
            found = read_gallery(work / "people.db", self._key)
        except Exception as error:  # noqa: BLE001 an untyped error is the failure that is looked for
            return f"untyped: {type(error).__name__}: {error} at byte {place}"
        return self._judge(found, place, work)

    def _judge(self, found: Answers, place: int, work: Path) -> str:
        reported = any(
            isinstance(answer, FacedexError) and not _same(answer, self._truths[-1].get(question))
            for question, answer in found.items()
        )
        reported = reported or found.get("audit") == "reported" or WARNINGS.number > 0
        outcome = ""
        for truth in reversed(self._truths):
            wrong = [
                question
                for question, answer in found.items()
                if question != "open"
                and answer != "reported"
                and not isinstance(answer, FacedexError)
                and not _same(answer, truth[question])
            ]
            if not wrong:
                if truth is self._truths[-1]:
                    return "reported" if reported else "harmless"
                return "earlier state, reported" if reported else "earlier state"
            if not outcome:
                outcome = "; ".join(f"{one}: {found[one]!r} instead of {truth[one]!r}"[:300] for one in wrong[:2])
        if all(_is_part(found[one], self._truths[-1][one]) for one in wrong):
            # A damaged index of the database hides a row: no person is confused with another, and fsck finds it.
            if self._found_by_fsck(work):
                return "hidden, reported by fsck"
            return f"lost: {outcome} at byte {place} of {self.kind}"
        return f"wrong: {outcome} at byte {place} of {self.kind}"

    def _found_by_fsck(self, work: Path) -> bool:
        try:
            return not fsck(work / "people.db", key=self._key).ok
        except FacedexError:
            return True


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, FacedexError) and isinstance(other, FacedexError):
        return type(one) is type(other)
    return bool(one == other)


def _is_part(answer: Any, truth: Any) -> bool:
    """Return whether a result is a part of the correct one."""
    if answer is None:
        return True
    if isinstance(answer, list):
        return isinstance(truth, list) and all(
            any(one == other or _is_part(one, other) for other in truth) for one in answer
        )
    if isinstance(answer, Person) and isinstance(truth, Person):
        return set(answer.faces) < set(truth.faces) and replace(truth, faces=answer.faces) == answer
    return isinstance(answer, tuple) and isinstance(truth, tuple) and answer == (truth[0], False)


def samples(folder: Path) -> list[Sample]:
    """Make the galleries and copy their files."""
    made = []
    for key, word in ((None, ""), (KEYS[1], "encrypted ")):
        home = folder / f"{word.strip() or 'plain'}"
        (home / "live").mkdir(parents=True)
        path = home / "live" / "people.db"
        opened = Opened(path, PINS[0], key)
        # Read on the one connection: another one would checkpoint the log into the database file.
        truths = [_read_all(opened)]
        logged = 0
        for _ in fill(opened):
            truths.append(_read_all(opened))
            if path.with_name("people.db-wal").stat().st_size:  # an update or a deletion empties the log
                shutil.rmtree(home / "log", ignore_errors=True)
                shutil.copytree(home / "live", home / "log")
                logged = len(truths)
        opened.close()
        shutil.copytree(home / "live", home / "closed")
        (snapshot,) = [file.name for file in (home / "closed").iterdir() if file.name.endswith(".index")]
        made += [
            Sample(f"{word}database", home / "closed", "people.db", key, truths[-1:]),
            Sample(f"{word}snapshot", home / "closed", snapshot, key, truths[-1:]),
        ]
        made.append(Sample(f"{word}log", home / "log", "people.db-wal", key, truths[:logged]))
        if key is None:
            made.append(
                Sample("shared memory of the log", home / "log", "people.db-shm", key, truths[logged - 1 : logged])
            )
    return made


def main(seed: int, flips: int) -> None:
    """Flip bits and print the outcomes."""
    log = logging.getLogger("facedex")
    log.addHandler(WARNINGS)
    log.propagate = False
    chance = random.Random(seed)
    outcomes: dict[str, Counter[str]] = {}
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as place:
        work = Path(place) / "work"
        work.mkdir()
        kinds = samples(Path(place))
        for number in range(flips):
            sample = kinds[number % len(kinds)]
            outcome = sample.flip(chance, work)
            word = outcome.partition(":")[0]
            outcomes.setdefault(sample.kind, Counter())[word] += 1
            if word in ("wrong", "lost", "untyped"):
                wrong.append(outcome)
    sys.stdout.write(json.dumps({"outcomes": outcomes, "wrong": wrong}) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
