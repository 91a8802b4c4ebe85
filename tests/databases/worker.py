"""A worker process with a gallery of synthetic vectors; it does what each line of standard input says and answers.

"register <number>" stores the vector of that number under that id, "delete <number>" removes the person, and
"find <number>" answers whose the nearest vector is, or "nobody". Where it searches may be said after the location.
"""

from __future__ import annotations

import sys

import numpy as np

from facedex.search import LOCAL, SearchOptions, open_search
from facedex.store import Database, Feed, NewFace, PackPin, Store

PIN = PackPin("synthetic", "ab" * 32, 32)


def unit(number: int) -> np.ndarray:
    vector = np.random.default_rng(number).normal(size=PIN.dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def say(answer: str) -> None:
    sys.stdout.write(answer + "\n")
    sys.stdout.flush()


def main(location: str, where: str = LOCAL) -> None:
    database = Database(location)
    feed = Feed(database, "default")
    feed.bind(PIN)
    store = Store(feed)
    search = open_search(feed, SearchOptions("exact", where=where))

    def find(number: int) -> str:
        search.sync()
        keys, similarities = search.search(unit(number)[None], 1)
        if not keys.size or similarities[0, 0] < 0.999:
            return "nobody"
        return str(store.owners([int(keys[0, 0])])[int(keys[0, 0])].person_id)

    say("ready")
    for line in sys.stdin:
        verb, text = line.split()
        number = int(text)
        answer = "done"
        if verb == "register":
            store.register(number, [NewFace((0.0, 0.0, 1.0, 1.0), 1.0, unit(number))])
        elif verb == "delete":
            store.delete(number)
        else:
            answer = find(number)
        say(answer)
    search.save()
    search.close()
    database.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
