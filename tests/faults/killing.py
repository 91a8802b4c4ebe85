"""Kills a working process at random points and looks at what is left: acknowledged changes, and no third state."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from synthetic import KEYS, PINS, Opened, photo

from facedex.errors import GalleryKeyError
from facedex.gallery.fsck import fsck

WORKER = Path(__file__).parent / "worker.py"
CHANGING = ("register", "replace", "update", "delete", "delete_face", "finish", "rekey", "move")
TARGETS = (*CHANGING, "save", "rebuild", "vacuum", "repair")
"""The acts in whose midst a child is killed, in turn."""

_PATIENCE = 60  # lines that a child is let write until it begins the act
_CHECKED = 5  # every so many kills fsck looks at all


class ViolationError(AssertionError):
    """A gallery that is not what was acknowledged."""


class Nursery:
    """The worker's nursery, and what its children told."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        there = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | dict(environment or {})
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env=there,
        )

    def kill_one(self, work: Sequence[object], until: Callable[[list[str]], float | None]) -> list[list[str]]:
        """Let a child work and kill it.

        `work` is what a line to the nursery says. `until` is told the words of each line; once it gives a number, the
        child lives that many seconds longer. Returns the words of all lines.
        """
        assert self._process.stdin is not None
        self._process.stdin.write("\t".join(map(str, work)) + "\n")
        first = self._line()
        if first[:1] != ["pid"]:
            raise ViolationError(f"the nursery said {first}")
        lines: list[list[str]] = []
        after_s = until([])
        while after_s is None:
            line = self._line()
            if line[0] == "end":
                return self._ended(line, lines)
            lines.append(line)
            after_s = until(line)
        time.sleep(after_s)
        os.kill(int(first[1]), signal.SIGKILL)  # its number stays its own until the next line to the nursery
        while (line := self._line())[0] != "end":
            lines.append(line)
        return self._ended(line, lines)

    @staticmethod
    def _ended(line: list[str], lines: list[list[str]]) -> list[list[str]]:
        if int(line[1]) not in (0, -signal.SIGKILL):
            raise ViolationError(f"a child failed by itself after {lines[-1:]}, exit code {line[1]}")
        return lines

    def close(self) -> None:
        """Let it end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()

    def _line(self) -> list[str]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ViolationError("the nursery died")
        return line.split()


class Model:
    """What must be stored.

    Attributes
    ----------
    people : dict of str to list of (int, int)
        Person → faces as (face id, number of the vector).
    names : dict of str to str or None
        Person → name.
    key, pack : int
        Places in KEYS and PINS.
    asked : list of str or None
        The act that was begun and not acknowledged.
    """

    def __init__(self) -> None:
        self.people: dict[str, list[tuple[int, int]]] = {}
        self.names: dict[str, str | None] = {}
        self.key = 0
        self.pack = 0
        self.asked: list[str] | None = None

    def take(self, lines: list[list[str]]) -> None:
        """Apply what a child told."""
        self.asked = None
        for kind, verb, *words in lines:
            if kind == "ask":
                self.asked = [verb, *words]
                continue
            if self.asked is None:
                raise ViolationError(f"{verb} was acknowledged and never asked for")
            self.apply(self.asked, [int(word) for word in words[1:]] if verb in ("register", "replace") else [])
            self.asked = None

    def apply(self, asked: list[str], face_ids: list[int]) -> None:
        """Apply an act."""
        verb, *words = asked
        if verb == "delete":
            del self.people[words[0]], self.names[words[0]]
        elif verb == "delete_face":
            for person, faces in self.people.items():
                self.people[person] = [face for face in faces if face[0] != int(words[0])]
        elif verb in ("register", "replace"):
            self.people[words[0]] = list(zip(face_ids, map(int, words[1:]), strict=True))
            self.names.setdefault(words[0], None)
        elif verb == "update":
            self.names[words[0]] = words[1]
        elif verb == "rekey":
            self.key = int(words[0])
        elif verb == "move":
            self.pack = int(words[0])

    @property
    def state(self) -> dict[str, tuple[str | None, list[int]]]:
        """Person → name and face ids."""
        return {person: (self.names[person], [one for one, _ in faces]) for person, faces in self.people.items()}

    def settle(self, stored: dict[str, tuple[str | None, list[int]]], key: int, pack: int) -> None:
        """Take the act that was in flight as done or as not done, whichever the gallery shows."""
        if self.asked is not None and (stored, key, pack) != (self.state, self.key, self.pack):
            verb = self.asked[0]
            known = len(self.asked) > 1 and self.asked[1] in stored
            self.apply(self.asked, stored[self.asked[1]][1] if verb in ("register", "replace") and known else [])
        if (stored, key, pack) != (self.state, self.key, self.pack):
            raise ViolationError(f"a third state after {self.asked}: {stored} instead of {self.state}; {key=} {pack=}")


class Checker:
    """Compares a gallery with what was acknowledged."""

    def __init__(self) -> None:
        self._gone: set[int] = set()

    def check(self, location: str, model: Model, asked: set[int]) -> None:
        """Open a gallery and look at all of it; `asked` are numbers of vectors that it may have held."""
        if model.asked == ["repair"]:  # what was to be mended was done on purpose; mending goes on where it broke off
            fsck(location, key=KEYS[model.key], repair=True)
        opened, key = self._open(location, model)
        try:
            self._check(opened, key, model, asked)
        finally:
            opened.close()

    def check_int(self, location: str, model: Model) -> None:
        """Let fsck look: it finds nothing but what a write that broke off has left, and then nothing."""
        key = KEYS[model.key]
        first = fsck(location, key=key, repair=True)
        odd = [finding for finding in first.findings if "write that broke off" not in finding.text]
        again = fsck(location, key=key)
        if odd or again.findings:
            raise ViolationError(f"fsck finds {[*odd, *again.findings]} after {model.asked}")

    @staticmethod
    def _open(location: str, model: Model) -> tuple[Opened, int]:
        """Open with the key from before or after the act that was in flight; another must not open it."""
        keys = [model.key]
        if model.asked and model.asked[0] == "rekey":
            keys.append(int(model.asked[1]))
        for key in keys:
            try:
                opened = Opened(location, key=KEYS[key])
            except GalleryKeyError:
                continue
            with opened.feed.write(listed=False):  # a server may still be committing what the killed child asked for
                pass
            return opened, key
        raise ViolationError(f"no key of {keys} opens the gallery after {model.asked}")

    def _check(self, opened: Opened, key: int, model: Model, asked: set[int]) -> None:
        stored = {str(one.person_id): (one.name, [face.face_id for face in one.faces]) for one in opened.store.people()}
        model.settle(stored, key, PINS.index(opened.feed.pin))
        alive = {number: person for person, faces in model.people.items() for _, number in faces}
        self._gone = {*sorted(self._gone | asked)[-200:]} - alive.keys()
        if opened.find(alive) != alive:
            raise ViolationError(f"{opened.find(alive)} was found instead of {alive} after {model.asked}")
        found = {number: person for number, person in opened.find(self._gone).items() if person is not None}
        if found or len(opened.search) != len(alive):
            raise ViolationError(f"{found} of those deleted was found after {model.asked}")
        for person, faces in model.people.items():
            kept = {face_id: one.photo_id for one in opened.store.photos(person) for face_id in one.faces}
            shown = {face_id: opened.store.photo_bytes(photo_id) for face_id, photo_id in kept.items()}
            if shown != {face_id: photo(number) for face_id, number in faces}:
                raise ViolationError(f"the photos of {person} are not those that were registered after {model.asked}")
        if not opened.store.check_audit().intact:
            raise ViolationError(f"the audit is broken after {model.asked}: {opened.store.check_audit().reason}")


class Kills:
    """Kills children that work on one gallery, and checks it after each.

    Parameters
    ----------
    location : str
        An empty place.
    seed : int
    environment : dict, optional
        Added to that of the children.
    """

    def __init__(self, location: str, seed: int, environment: Mapping[str, str] | None = None) -> None:
        self.done: Counter[str] = Counter()
        self.acknowledged = 0
        self._location = location
        self._chance = random.Random(seed)
        self._seed = seed * 1_000_000
        self._model = Model()
        self._checker = Checker()
        self._lasts = dict.fromkeys(TARGETS, 0.01)
        self._nursery = Nursery(environment)

    def kill(self) -> None:
        """Kill a child once, and check."""
        number = self.done.total()
        self._seed += 1
        target = TARGETS[number % len(TARGETS)]
        asked = {vector for faces in self._model.people.values() for _, vector in faces}
        work = ("changes", self._seed, self._location, self._model.key)
        lines = self._nursery.kill_one(work, self._until(target))
        self.acknowledged += sum(line[0] == "ack" for line in lines)
        self._model.take(lines)
        self.done[self._model.asked[0] if self._model.asked else "between"] += 1
        self._checker.check(self._location, self._model, asked | numbers_in(lines))
        if number % _CHECKED == _CHECKED - 1:
            self._checker.check_int(self._location, self._model)

    def close(self) -> None:
        """Let the nursery end."""
        self._nursery.close()

    def _until(self, target: str) -> Callable[[list[str]], float | None]:
        begun, seen = 0.0, 0

        def until(line: list[str]) -> float | None:
            nonlocal begun, seen
            seen += 1
            now = time.monotonic()
            if line[:1] == ["ask"]:
                begun = now
                if line[1] == target:
                    return self._chance.uniform(0, 1.2 * self._lasts[target])
            elif line[:1] == ["ack"]:
                self._lasts[line[1]] += 0.2 * (now - begun - self._lasts[line[1]])
            return self._chance.uniform(0, 0.01) if seen > _PATIENCE else None

        return until


def numbers_in(lines: list[list[str]]) -> set[int]:
    """Tell the numbers of the vectors that a child registered or began to."""
    return {int(word) for line in lines if line[0] == "ask" and line[1] in ("register", "replace") for word in line[3:]}


class Upgrades:
    """Kills children that bring an old database up to date, and finishes it.

    Parameters
    ----------
    old : sequence of Path
        Databases of older versions.
    check : callable
        Called with the path of a database that was brought up to date.
    folder : Path
    """

    def __init__(self, old: list[Path], check: Callable[[Path], None], folder: Path, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self._old = old
        self._check = check
        self._folder = folder
        self._chance = random.Random(seed)
        self._lasts = 0.2
        self._nursery = Nursery()

    def kill(self) -> None:
        """Kill a child once, and check."""
        number = self.done.total()
        path = self._folder / f"upgrade{number}.db"
        shutil.copy(self._old[number % len(self._old)], path)
        begun = 0.0

        def until(line: list[str]) -> float | None:
            nonlocal begun
            if line[:1] != ["ask"]:
                return None
            begun = time.monotonic()
            return None if number == 0 else self._chance.uniform(0, 1.1 * self._lasts)

        lines = self._nursery.kill_one(("upgrade", number, path), until)
        if number == 0:  # the first may end, and shows how long it takes
            self._lasts = time.monotonic() - begun
        self.done["upgrade" if lines[-1][0] == "ask" else "between"] += 1
        self._check(path)
        for left in self._folder.glob(f"{path.name}*"):
            left.unlink()

    def close(self) -> None:
        """Let the nursery end."""
        self._nursery.close()
