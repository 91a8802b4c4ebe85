"""Calls one gallery from many threads in several processes, and checks every result against a replay by one thread.

Each call is the actor of its audit entry. The audit has the changes in the order of their commits; the replay applies
them in this order and records the position of the feed after each. A call records the position before and after it: its
result must be correct in one of the states between them, and a change must be committed between them.

"concurrency.py <location> <process> <processes> <threads> <seconds> <log>" runs one of the processes.
"""

from __future__ import annotations

import bisect
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from synthetic import SURE, Opened, face, unit

from facedex.errors import DuplicatePersonError, FacedexError, UnknownFaceError, UnknownPersonError
from facedex.gallery.fsck import fsck
from facedex.store import acting_as

PEOPLE = 40
SERIALS = 100_000  # vectors that one thread may use up
PROCESS = 100 * SERIALS
MIX = {
    "register": 6,
    "add": 5,
    "replace": 4,
    "update": 4,
    "delete": 5,
    "delete_face": 4,
    "find": 30,
    "verify": 12,
    "person": 12,
    "people": 4,
}

Answer = dict[str, Any]
State = dict[str, tuple[str | None, tuple[int, ...]]]


class Caller:
    """The calls of one thread of one process."""

    def __init__(self, opened: Opened, process: int, thread: int, *, processes: int, threads: int) -> None:
        self.calls: list[Answer] = []
        self._opened = opened
        self._store = opened.store
        self._name = f"{process}.{thread}"
        self._processes, self._threads = processes, threads
        self._serial = process * PROCESS + thread * SERIALS
        self._random = random.Random(self._serial)
        self._numbers: list[int] = []
        self._faces: list[int] = []

    def run(self, until: float) -> None:
        """Call random methods until a time of the monotonic clock."""
        verbs, weights = list(MIX), list(MIX.values())
        while time.monotonic() < until:
            (verb,) = self._random.choices(verbs, weights)
            self._call(verb)

    def _call(self, verb: str) -> None:
        call: Answer = {"id": f"{self._name}.{len(self.calls)}", "verb": verb}
        call["person"] = str(self._random.randrange(PEOPLE))
        call["from"] = self._store.feed.head()[0]
        try:
            with acting_as(call["id"]):
                call["answer"] = getattr(self, f"_{verb}")(call)
        except (DuplicatePersonError, UnknownPersonError, UnknownFaceError) as error:
            call["refused"] = type(error).__name__
        except FacedexError as error:
            call["failed"] = f"{type(error).__name__}: {error}"
        call["to"] = self._store.feed.head()[0]
        self.calls.append(call)

    def _register(self, call: Answer, on_existing: str = "error") -> list[int | None]:
        call["numbers"] = [self._serial + one for one in range(self._random.randint(1, 3))]
        self._serial += len(call["numbers"])
        self._numbers += call["numbers"]
        new = [face(number, self._opened.feed.pin) for number in call["numbers"]]
        if on_existing == "replace":
            self._opened.search.forget()
        receipt = self._store.register(call["person"], new, on_existing=on_existing)  # type: ignore[arg-type]
        self._faces += [one for one in receipt.face_ids if one is not None]
        return list(receipt.face_ids)

    def _add(self, call: Answer) -> list[int | None]:
        return self._register(call, "add")

    def _replace(self, call: Answer) -> list[int | None]:
        return self._register(call, "replace")

    def _update(self, call: Answer) -> None:
        call["name"] = f"name {self._random.randrange(10**6)}"
        self._store.update(call["person"], {"name": call["name"]})

    def _delete(self, call: Answer) -> list[int]:
        self._opened.search.forget()
        return list(self._store.delete(call["person"]).faces)

    def _delete_face(self, call: Answer) -> None:
        call["face"] = self._random.choice(self._faces) if self._faces else 10**9
        self._opened.search.forget()
        self._store.delete_face(call["face"])

    def _find(self, call: Answer) -> Any:
        call["number"] = self._some_number()
        return self._opened.name_of(call["number"])

    def _verify(self, call: Answer) -> bool:
        call["number"] = self._some_number()
        _, keys, vectors = self._store.templates_of(call["person"])
        return bool(len(keys)) and float((vectors @ unit(call["number"], vectors.shape[1])).max()) >= SURE

    def _person(self, call: Answer) -> Any:
        person = self._store.person(call["person"])
        return person.name, [one.face_id for one in person.faces]

    def _people(self, call: Answer) -> Any:
        return [(str(one.person_id), one.name, [face.face_id for face in one.faces]) for one in self._store.people()]

    def _some_number(self) -> int:
        recent = self._numbers[-30:]
        if self._random.random() < 0.5 or not recent:  # of another thread; its numbers can be guessed
            other = self._random.randrange(self._processes) * PROCESS + self._random.randrange(self._threads) * SERIALS
            return other + self._random.randrange(60)
        return self._random.choice(recent)


def run_process(location: str, process: int, processes: int, threads: int, seconds: float, log: Path) -> None:
    """Run one of the processes: call from many threads and write the calls and their results to a log."""
    opened = Opened(location)
    callers = [Caller(opened, process, one, processes=processes, threads=threads) for one in range(threads)]
    until = time.monotonic() + seconds
    running = [threading.Thread(target=caller.run, args=(until,)) for caller in callers]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    opened.close()
    log.write_text(json.dumps([call for caller in callers for call in caller.calls]))


class Replay:
    """The state after each change, and the comparison of every result with it.

    Attributes
    ----------
    positions : list of int
        Position of the feed in each state, beginning with the empty one.
    states : list of dict
        Person → name and faces.
    problems : list of str
        Results and changes that do not agree with the replay.
    checked : Counter
        Number of compared results of each method.
    """

    def __init__(self, opened: Opened, calls: list[Answer]) -> None:
        self.positions = [0]
        self.states: list[State] = [{}]
        self.problems: list[str] = []
        self.checked: Counter[str] = Counter()
        self._face_of: dict[int, int] = {}
        self._owner_of: dict[int, str] = {}
        self._opened = opened
        self._calls = {call["id"]: call for call in calls}
        self._apply()
        for call in calls:
            self._check(call)
        self._check_end()

    def _apply(self) -> None:
        state: State = {}
        seen = after = 0
        while page := self._opened.store.audit(after):
            after = page[-1].seq
            for event in page:
                call = self._calls.get(event.actor or "")
                if call is None or "answer" not in call or "at" in call:
                    self.problems.append(f"the audit has {event.kind} by {event.actor}, which did not return: {call}")
                    if call is None:
                        continue
                call["at"] = len(self.states)
                faces, removed = event.facts.get("faces", []), event.facts.get("removed", [])
                seen += max(1, len(faces) + len(removed))
                state = dict(state)
                self._change(state, event.kind, call, tuple(faces), set(removed))
                self.states.append(state)
                self.positions.append(seen)

    def _change(self, state: State, kind: str, call: Answer, faces: tuple[int, ...], removed: set[int]) -> None:
        person = call["person"]
        if kind == "delete":
            state.pop(person, None)
        elif kind == "delete_face":
            for one, (name, stored) in state.items():
                state[one] = name, tuple(face_id for face_id in stored if face_id not in faces)
        elif kind == "update":
            state[person] = call["name"], state.get(person, (None, ()))[1]
        else:
            name, stored = state.get(person, (None, ()))
            state[person] = name, (*(face_id for face_id in stored if face_id not in removed), *faces)
            for number, face_id in zip(call["numbers"], faces, strict=True):
                self._face_of[number], self._owner_of[face_id] = face_id, person

    def _between(self, call: Answer) -> list[State]:
        first = bisect.bisect_right(self.positions, call["from"]) - 1
        return self.states[first : bisect.bisect_right(self.positions, call["to"])]

    def _check(self, call: Answer) -> None:
        self.checked[call["verb"]] += 1
        verb, possible = call["verb"], self._between(call)
        if "failed" in call:
            self.problems.append(f"{call['id']} {verb} failed: {call['failed']}")
        elif "refused" in call:
            if not any(self._refuses(state, call) for state in possible):
                self.problems.append(
                    f"{call['id']} {verb} was refused with {call['refused']}, which is correct in no state"
                )
        elif verb in ("register", "add", "replace", "update", "delete", "delete_face"):
            if "at" not in call or not call["from"] < self.positions[call["at"]] <= call["to"]:
                self.problems.append(f"{call['id']} {verb} returned, and its change was committed outside the call")
        elif not self._is_correct(call, possible):
            self.problems.append(
                f"{call['id']} {verb} returned {call['answer']}, which is correct in no state of {possible[:3]}"
            )

    def _refuses(self, state: State, call: Answer) -> bool:
        if call["refused"] == "DuplicatePersonError":
            return call["person"] in state
        if call["refused"] == "UnknownFaceError":
            return not any(call["face"] in faces for _, faces in state.values())
        return call["person"] not in state

    def _is_correct(self, call: Answer, possible: list[State]) -> bool:
        answer = call["answer"]
        if call["verb"] == "person":
            return any(
                call["person"] in state and [state[call["person"]][0], list(state[call["person"]][1])] == answer
                for state in possible
            )
        if call["verb"] == "people":
            listed = {one: (name, tuple(faces)) for one, name, faces in answer}
            return any(list(listed.items()) == list(state.items()) for state in possible)
        face_id = self._face_of.get(call["number"], 0)
        if call["verb"] == "verify":
            return any(
                call["person"] in state and (face_id in state[call["person"]][1]) == answer for state in possible
            )
        owner = self._owner_of.get(face_id, "")
        there = [owner in state and face_id in state[owner][1] for state in possible]
        if answer is None:
            return not all(there)
        # The search and the lookup of the name are two reads, each of its own state.
        named = any(owner in state and state[owner][0] == answer[1] for state in possible)
        return answer[0] == owner and any(there) and named

    def _check_end(self) -> None:
        stored = {
            str(one.person_id): (one.name, tuple(face.face_id for face in one.faces))
            for one in self._opened.store.people()
        }
        if stored != self.states[-1] or self._opened.feed.head()[0] != self.positions[-1]:
            self.problems.append("the stored people differ from the replay")
        owners = {one: person for person, (_, faces) in self.states[-1].items() for one in faces}
        expected = {number: owners.get(face_id) for number, face_id in self._face_of.items()}
        if self._opened.find(expected) != expected:
            self.problems.append("the people found differ from the replay")
        if not self._opened.store.check_audit().intact:
            self.problems.append("the audit is broken")


def call_concurrently(
    location: str, folder: Path, *, processes: int, threads: int, seconds: float
) -> tuple[Counter[str], list[str]]:
    """Call an empty gallery from many threads; return the number of compared results of each method, and problems."""
    Opened(location).close()
    logs = [folder / f"concurrency{process}.json" for process in range(processes)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    started = [
        subprocess.Popen(
            [sys.executable, __file__, location, *map(str, (process, processes, threads, seconds, log))],
            env=environment,
        )
        for process, log in enumerate(logs)
    ]
    ended = [one.wait(timeout=seconds + 300) for one in started]
    problems = [f"a process ended with {code}" for code in ended if code]
    calls = [call for log in logs if log.exists() for call in json.loads(log.read_text())]
    opened = Opened(location)
    try:
        replay = Replay(opened, calls)
    finally:
        opened.close()
    problems += replay.problems + [f"fsck finds: {finding.text}" for finding in fsck(location).findings]
    return replay.checked, problems


if __name__ == "__main__":
    run_process(sys.argv[1], *map(int, sys.argv[2:5]), float(sys.argv[5]), Path(sys.argv[6]))
