"""Kills a working process at random points; every acknowledged change must be stored, and none in part."""

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
"""The acts during which a child is killed, in turn."""

_PATIENCE = 60  # lines after which a child is killed that has not begun the act
_FSCK_EVERY = 5  # kills between two runs of fsck


class ViolationError(AssertionError):
    """A gallery differs from what was acknowledged."""


class Nursery:
    """The worker process, which forks a child for each piece of work."""

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

        `work` is the line sent to the nursery. `until` is called with the words of each line of the child; once it
        returns a number, the child is killed after that many seconds. Returns the words of all lines.
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
        """Wait until it ends."""
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
    """The expected content of a gallery.

    Attributes
    ----------
    people : dict of str to list of (int, int)
        Person → faces as (face id, number of the vector).
    names : dict of str to str or None
        Person → name.
    key, pack : int
        Indexes in KEYS and PINS.
    pending : list of str or None
        The act that was begun and not acknowledged.
    """

    def __init__(self) -> None:
        self.people: dict[str, list[tuple[int, int]]] = {}
        self.names: dict[str, str | None] = {}
        self.key = 0
        self.pack = 0
        self.pending: list[str] | None = None

    def apply_lines(self, lines: list[list[str]]) -> None:
        """Apply the acts that a child reported."""
        self.pending = None
        for kind, verb, *words in lines:
            if kind == "ask":
                self.pending = [verb, *words]
                continue
            if self.pending is None:
                raise ViolationError(f"{verb} was acknowledged and never begun")
            self.apply(self.pending, [int(word) for word in words[1:]] if verb in ("register", "replace") else [])
            self.pending = None

    def apply(self, act: list[str], face_ids: list[int]) -> None:
        """Apply an act."""
        verb, *words = act
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
        """Regard the pending act as done or as not done, whichever the gallery shows."""
        if self.pending is not None and (stored, key, pack) != (self.state, self.key, self.pack):
            verb = self.pending[0]
            known = len(self.pending) > 1 and self.pending[1] in stored
            self.apply(self.pending, stored[self.pending[1]][1] if verb in ("register", "replace") and known else [])
        if (stored, key, pack) != (self.state, self.key, self.pack):
            raise ViolationError(
                f"a third state after {self.pending}: {stored} instead of {self.state}; {key=} {pack=}"
            )


class Checker:
    """Compares a gallery with what was acknowledged."""

    def __init__(self) -> None:
        self._deleted: set[int] = set()

    def check(self, location: str, model: Model, numbers: set[int]) -> None:
        """Open a gallery and check all of it; `numbers` are those of vectors that it may have had."""
        if model.pending == ["repair"]:  # the damage was done on purpose; this run resumes the repair
            fsck(location, key=KEYS[model.key], repair=True)
        opened, key = self._open(location, model)
        try:
            self._check(opened, key, model, numbers)
        finally:
            opened.close()

    def check_with_fsck(self, location: str, model: Model) -> None:
        """Check that fsck finds only files of interrupted writes, and after their repair nothing."""
        key = KEYS[model.key]
        first = fsck(location, key=key, repair=True)
        odd = [finding for finding in first.findings if "interrupted write" not in finding.text]
        again = fsck(location, key=key)
        if odd or again.findings:
            raise ViolationError(f"fsck finds {[*odd, *again.findings]} after {model.pending}")

    @staticmethod
    def _open(location: str, model: Model) -> tuple[Opened, int]:
        """Open with the key from before or after the pending act; no other key may open it."""
        keys = [model.key]
        if model.pending and model.pending[0] == "rekey":
            keys.append(int(model.pending[1]))
        for key in keys:
            try:
                opened = Opened(location, key=KEYS[key])
            except GalleryKeyError:
                continue
            with opened.feed.write(listed=False):  # a server may still be committing for the killed child
                pass
            return opened, key
        raise ViolationError(f"no key of {keys} opens the gallery after {model.pending}")

    def _check(self, opened: Opened, key: int, model: Model, numbers: set[int]) -> None:
        stored = {str(one.person_id): (one.name, [face.face_id for face in one.faces]) for one in opened.store.people()}
        model.settle(stored, key, PINS.index(opened.feed.pin))
        alive = {number: person for person, faces in model.people.items() for _, number in faces}
        self._deleted = {*sorted(self._deleted | numbers)[-200:]} - alive.keys()
        if opened.find(alive) != alive:
            raise ViolationError(f"{opened.find(alive)} was found instead of {alive} after {model.pending}")
        found = {number: person for number, person in opened.find(self._deleted).items() if person is not None}
        if found or len(opened.search) != len(alive):
            raise ViolationError(f"deleted {found} was found after {model.pending}")
        for person, faces in model.people.items():
            photo_ids = {face_id: one.photo_id for one in opened.store.photos(person) for face_id in one.faces}
            shown = {face_id: opened.store.photo_bytes(photo_id) for face_id, photo_id in photo_ids.items()}
            if shown != {face_id: photo(number) for face_id, number in faces}:
                raise ViolationError(f"the photos of {person} are not those that were registered after {model.pending}")
        if not opened.store.check_audit().intact:
            raise ViolationError(f"the audit is broken after {model.pending}: {opened.store.check_audit().reason}")


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
        self._random = random.Random(seed)
        self._seed = seed * 1_000_000
        self._model = Model()
        self._checker = Checker()
        self._duration_s = dict.fromkeys(TARGETS, 0.01)
        self._nursery = Nursery(environment)

    def kill(self) -> None:
        """Kill one child, and check."""
        number = self.done.total()
        self._seed += 1
        target = TARGETS[number % len(TARGETS)]
        numbers = {vector for faces in self._model.people.values() for _, vector in faces}
        work = ("changes", self._seed, self._location, self._model.key)
        lines = self._nursery.kill_one(work, self._until(target))
        self.acknowledged += sum(line[0] == "ack" for line in lines)
        self._model.apply_lines(lines)
        self.done[self._model.pending[0] if self._model.pending else "between"] += 1
        self._checker.check(self._location, self._model, numbers | numbers_in(lines))
        if number % _FSCK_EVERY == _FSCK_EVERY - 1:
            self._checker.check_with_fsck(self._location, self._model)

    def close(self) -> None:
        """End the nursery."""
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
                    return self._random.uniform(0, 1.2 * self._duration_s[target])
            elif line[:1] == ["ack"]:
                self._duration_s[line[1]] += 0.2 * (now - begun - self._duration_s[line[1]])
            return self._random.uniform(0, 0.01) if seen > _PATIENCE else None

        return until


def numbers_in(lines: list[list[str]]) -> set[int]:
    """Return the numbers of the vectors that a child registered, or began to register."""
    return {int(word) for line in lines if line[0] == "ask" and line[1] in ("register", "replace") for word in line[3:]}


class Upgrades:
    """Kills children that upgrade an old database, and finishes the upgrade.

    Parameters
    ----------
    old : sequence of Path
        Databases of older versions.
    check : callable
        Called with the path of each upgraded database.
    folder : Path
    """

    def __init__(self, old: list[Path], check: Callable[[Path], None], folder: Path, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self._old = old
        self._check = check
        self._folder = folder
        self._random = random.Random(seed)
        self._duration_s = 0.2
        self._nursery = Nursery()

    def kill(self) -> None:
        """Kill one child, and check."""
        number = self.done.total()
        path = self._folder / f"upgrade{number}.db"
        shutil.copy(self._old[number % len(self._old)], path)
        begun = 0.0

        def until(line: list[str]) -> float | None:
            nonlocal begun
            if line[:1] != ["ask"]:
                return None
            begun = time.monotonic()
            return None if number == 0 else self._random.uniform(0, 1.1 * self._duration_s)

        lines = self._nursery.kill_one(("upgrade", number, path), until)
        if number == 0:  # the first is not killed: it shows how long an upgrade takes
            self._duration_s = time.monotonic() - begun
        self.done["upgrade" if lines[-1][0] == "ask" else "between"] += 1
        self._check(path)
        for left in self._folder.glob(f"{path.name}*"):
            left.unlink()

    def close(self) -> None:
        """End the nursery."""
        self._nursery.close()
