"""A process that changes and maintains a gallery until it is killed, and reports each act before and after it.

It is a nursery, which has loaded everything and forks a child for each line of standard input: work, seed, location and
perhaps the index of the key, separated by tabs. The child writes to standard output

    pid <number>              it begins
    ask <act>                 it is about to begin an act
    ack <act> [faces]         the act has returned

and the nursery writes "end" with the exit code when the child is gone. Acts of ``changes`` are "register <person>
<vector>...", "replace <person> <vector>...", "update <person> <name>", "delete <person>", "delete_face <face>", "rekey
<key>", "move <pack>", "finish", and "save", "rebuild", "vacuum" and "repair", which change nothing that is stored. A
vector is given by its number, a key and a pack by their index in a list. ``upgrade`` opens a database of
an older version; ``gallery`` is the whole library on the bundled pictures.

"worker.py record <location> <seed> <acts>" does this number of acts itself and ends.
"""

from __future__ import annotations

import logging
import os
import random
import sys
from pathlib import Path

import alembic.command
from synthetic import KEYS, PINS, Opened, face

from facedex import people
from facedex.gallery import Gallery
from facedex.gallery.fsck import fsck
from facedex.store import Database

PEOPLE = 8
REPORT = "acts"
"""File to which ``record`` reports its acts."""

CHANGES = {"register": 8, "replace": 5, "update": 2, "delete": 6, "delete_face": 4}
UPKEEP = {"save": 3, "rebuild": 2, "vacuum": 2, "repair": 2, "rekey": 2, "move": 3, "finish": 2}

assert alembic.command  # loaded before the fork, so that a child begins its work at once


_output = 1


def report(*words: object) -> None:
    os.write(_output, (" ".join(map(str, words)) + "\n").encode())


class Child:
    """Works on a gallery of synthetic vectors."""

    def __init__(self, location: str, seed: int, key: int) -> None:
        self.location = location
        self.random = random.Random(seed)
        self.serial = seed * 1000
        self.key = key
        self.opened = Opened(location, key=KEYS[key])
        self.faces = {str(one.person_id): [face.face_id for face in one.faces] for one in self.opened.store.people()}

    def work(self, acts: int) -> None:
        verbs = CHANGES | UPKEEP
        for _ in range(acts):
            (verb,) = self.random.choices(list(verbs), list(verbs.values()))
            getattr(self, verb)()

    def pick_person(self, *, known: bool) -> str | None:
        there = [str(number) for number in range(PEOPLE) if (str(number) in self.faces) == known]
        return self.random.choice(there) if there else None

    def register(self, verb: str = "register") -> None:
        person = self.pick_person(known=verb == "replace")
        if person is None:
            return
        numbers = list(range(self.serial, self.serial + self.random.randint(1, 3)))
        self.serial += len(numbers)
        report("ask", verb, person, *numbers)
        new = [face(number, self.opened.feed.pin) for number in numbers]
        if verb == "replace":
            self.opened.search.forget()
        receipt = self.opened.store.register(person, new, on_existing="replace" if verb == "replace" else "error")
        self.faces[person] = [face_id for face_id in receipt.face_ids if face_id is not None]
        report("ack", verb, person, *self.faces[person])
        self.opened.search.sync()

    def replace(self) -> None:
        self.register("replace")

    def update(self) -> None:
        person = self.pick_person(known=True)
        if person is not None:
            name = f"name{self.random.randrange(1000)}"
            report("ask update", person, name)
            self.opened.store.update(person, {"name": name})
            report("ack update", person)

    def delete(self) -> None:
        person = self.pick_person(known=True)
        if person is not None:
            report("ask delete", person)
            self.opened.search.forget()
            self.opened.store.delete(person)
            del self.faces[person]
            report("ack delete", person)
            self._wipe()

    def delete_face(self) -> None:
        stored = [face_id for faces in self.faces.values() for face_id in faces]
        if stored:
            face_id = self.random.choice(stored)
            for faces in self.faces.values():
                if face_id in faces:
                    faces.remove(face_id)
            report("ask delete_face", face_id)
            self.opened.search.forget()
            self.opened.store.delete_face(face_id)
            report("ack delete_face", face_id)
            self._wipe()

    def rekey(self) -> None:
        key = self.random.choice([one for one in range(len(KEYS)) if one != self.key])
        report("ask rekey", key)
        self.opened.rekey(KEYS[key])
        self.key = key
        report("ack rekey", key)

    def move(self) -> None:
        report("ask move", 1 - PINS.index(self.opened.feed.pin))
        self.opened.move()
        report("ack move", PINS.index(self.opened.feed.pin))

    def finish(self) -> None:
        report("ask finish")
        self.opened.finish()
        report("ack finish")

    def save(self) -> None:
        report("ask save")
        self.opened.search.save()
        report("ack save")

    def rebuild(self) -> None:
        report("ask rebuild")
        self.opened.rebuild()
        report("ack rebuild")

    def vacuum(self) -> None:
        report("ask vacuum")
        self.opened.search.forget()
        self.opened.database.vacuum()
        report("ack vacuum")

    def repair(self) -> None:
        report("ask repair")
        with self.opened.database.write() as connection:  # damage to repair
            connection.exec_driver_sql("UPDATE galleries SET faces = faces + 1")
        fsck(self.location, key=KEYS[self.key], repair=True)
        report("ack repair")

    def _wipe(self) -> None:
        self.opened.search.sync()
        self.opened.database.wipe_log()


def changes(location: str, seed: int, key: str = "0") -> None:
    Child(location, seed, int(key)).work(1_000_000)


def record(location: str, seed: int, acts: int) -> None:
    """Do a number of acts, and report them to a file next to the gallery."""
    global _output
    _output = os.open(Path(location).with_name(REPORT), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    child = Child(location, seed, 0)
    child.work(acts)
    child.opened.close()


def upgrade(location: str, seed: int) -> None:
    report("ask upgrade")
    Database(location).close()
    report("ack upgrade")


def gallery(location: str, seed: int) -> None:
    """Register and delete people of the bundled pictures through the whole library."""
    chance = random.Random(seed)
    gallery = Gallery.open(location)
    known = {str(person.person_id) for person in gallery.people()}
    while True:
        person = chance.choice(people.IDS)
        if person in known:
            report("ask delete", person)
            gallery.delete(person)
            known.discard(person)
            report("ack delete", person)
        else:
            report("ask register", person, 0)
            registration = gallery.register(person, people.PICTURES[person][0])
            known.add(person)
            report("ack register", person, *(face.face_id for face in registration.faces))


def main() -> None:
    logging.getLogger("facedex").setLevel(logging.CRITICAL)
    children: list[int] = []
    works = {"changes": changes, "upgrade": upgrade, "gallery": gallery}
    for line in sys.stdin:
        while children:  # only now, so that its process id was not reused while it could still be killed
            os.waitpid(children.pop(), 0)
        work, seed, *arguments = line.rstrip("\n").split("\t")
        pid = os.fork()
        if pid == 0:
            report("pid", os.getpid())
            works[work](arguments[0], int(seed), *arguments[1:])
            os._exit(0)
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        report("end", ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status)
        children.append(pid)


if __name__ == "__main__":
    if sys.argv[1:2] == ["record"]:
        record(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
