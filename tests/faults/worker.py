"""A process that registers and deletes until it is killed, telling each change before and after it is made.

Run as a nursery, which has loaded everything: a line "<database> <seed>" on standard input makes it fork a child that
works on that database. The child writes to standard output

    pid <number>              it begins
    ask <change>              it is about to ask for a change
    ack <change> [faces]      the change has returned

and the nursery writes "end" when the child is gone. A change is "register <person> <vector>...", "replace <person>
<vector>...", "delete <person>" or "delete_face <face>"; a vector is told by the number it is made from. Run with
"gallery" as argument, the child uses the whole library on the bundled pictures instead of synthetic vectors.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable

import alembic.command
import numpy as np

from facedex import people
from facedex.gallery import Gallery
from facedex.search import LocalSearch
from facedex.store import Database, Feed, NewFace, PackPin, SqlStore

PIN = PackPin("synthetic", "ab" * 32, 32)
PEOPLE = 6

assert alembic.command  # loaded before the fork, so that a child begins its work at once


def unit(number: int) -> np.ndarray:
    vector = np.random.default_rng(number).normal(size=PIN.dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def opened(path: str) -> tuple[SqlStore, LocalSearch]:
    database = Database(path)
    feed = Feed(database, "default")
    feed.bind(PIN)
    search = LocalSearch(
        feed, dimension=PIN.dimension, pack=PIN.digest, database=database.path, gallery="default", method="exact"
    )
    return SqlStore(feed), search


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def synthetic(path: str, seed: int) -> None:
    """The store and the search as the gallery uses them, with vectors in place of pictures."""
    chance = random.Random(seed)
    store, search = opened(path)
    faces = {str(person.person_id): [face.face_id for face in person.faces] for person in store.people()}
    serial = seed * 1000
    while True:
        person = str(chance.randrange(PEOPLE))
        if person in faces and chance.random() < 0.5:
            if faces[person] and chance.random() < 0.4:
                face_id = faces[person].pop()
                say("ask delete_face", face_id)
                search.forget()
                store.delete_face(face_id)
                say("ack delete_face", face_id)
            else:
                say("ask delete", person)
                search.forget()
                store.delete(person)
                del faces[person]
                say("ack delete", person)
            search.sync()
            store.feed.database.wipe_log()
        else:
            verb = "replace" if person in faces else "register"
            numbers = list(range(serial, serial + chance.randint(1, 3)))
            serial += len(numbers)
            say("ask", verb, person, *numbers)
            new = [NewFace((0.0, 0.0, 1.0, 1.0), 1.0, unit(number)) for number in numbers]
            receipt = store.register(person, new, on_existing="replace" if verb == "replace" else "error")
            faces[person] = list(receipt.face_ids)
            say("ack", verb, person, *receipt.face_ids)
            search.sync()
        if chance.random() < 0.2:
            search.save()


def whole(path: str, seed: int) -> None:
    """The whole library on the bundled pictures."""
    chance = random.Random(seed)
    gallery = Gallery.open(path)
    known = {str(person.person_id) for person in gallery.people()}
    while True:
        person = chance.choice(people.IDS)
        if person in known:
            say("ask delete", person)
            gallery.delete(person)
            known.discard(person)
            say("ack delete", person)
        else:
            say("ask register", person, 0)
            registration = gallery.register(person, people.PICTURES[person][0])
            known.add(person)
            say("ack register", person, *(face.face_id for face in registration.faces))


def main(work: Callable[[str, int], None]) -> None:
    for line in sys.stdin:
        path, seed = line.rsplit(maxsplit=1)
        pid = os.fork()
        if pid == 0:
            say("pid", os.getpid())
            work(path, int(seed))
        os.waitpid(pid, 0)
        say("end")


if __name__ == "__main__":
    main(whole if sys.argv[1:] == ["gallery"] else synthetic)
