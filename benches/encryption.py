"""What a key costs: the same gallery searched, added to and opened, without a key and with one.

Vectors are random and of unit length, one person for each, in SQLite. The plain and the encrypted gallery take turns in
every round, so that what slows the machine slows both, and ratios are medians over the rounds of one run. A gallery is
opened from the snapshot of its search, which is encrypted with it, and from the database, where every template is.

    python benches/encryption.py                              10,000 faces of 128 values, about a minute
    python benches/encryption.py --faces 2000 --dimension 512
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

from galleries import Floats, enter, in_turns, median_ratio, opened, unit_vectors

from facedex.search import SearchOptions, open_search

Report = dict[str, Any]

NEAREST = 8
OPTIONS = SearchOptions("exact")


class Kept:
    """A gallery with its search."""

    def __init__(self, folder: Path, vectors: Floats, probes: Floats, key: bytes | None) -> None:
        folder.mkdir()
        self.folder, self.probes = folder, probes
        self.newcomers = unit_vectors(1000, vectors.shape[1], 9)
        self.store = opened(str(folder / "people.db"), vectors.shape[1], key)
        enter(self.store, vectors)
        self.search = open_search(self.store.feed, OPTIONS)

    def find(self, number: int) -> None:
        self.search.sync()
        self.search.search(self.probes[number % len(self.probes)][None], NEAREST)

    def register(self, number: int) -> None:
        enter(self.store, self.newcomers[number][None], first=10**6 + number)

    def open_from_database(self, _: int) -> None:
        open_search(self.store.feed, OPTIONS, fresh=True).close()

    def open_from_snapshot(self, _: int) -> None:
        open_search(self.store.feed, OPTIONS).close()

    def save(self) -> None:
        self.search.save()
        if not any(self.folder.glob("*.index")):
            raise SystemExit("the snapshot was not written")

    def close(self) -> None:
        self.search.close()
        self.store.feed.database.close()


def bench(arguments: argparse.Namespace) -> Report:
    vectors = unit_vectors(arguments.faces, arguments.dimension, 1)
    probes = unit_vectors(100, arguments.dimension, 2)
    with tempfile.TemporaryDirectory() as name:
        keys = {"plain": None, "encrypted": os.urandom(32)}
        both = {kind: Kept(Path(name) / kind, vectors, probes, key) for kind, key in keys.items()}
        rounds = arguments.rounds
        times = {
            "search": in_turns({kind: kept.find for kind, kept in both.items()}, 10 * rounds),
            "registration": in_turns({kind: kept.register for kind, kept in both.items()}, rounds, warm=False),
            "open from the database": in_turns({kind: kept.open_from_database for kind, kept in both.items()}, rounds),
        }
        for kept in both.values():
            kept.save()
        snapshots = {kind: kept.open_from_snapshot for kind, kept in both.items()}
        times["open from the snapshot"] = in_turns(snapshots, rounds)
        for kept in both.values():
            kept.close()
    rows = {
        what: {
            "plain_ms": statistics.median(taken["plain"]),
            "encrypted_ms": statistics.median(taken["encrypted"]),
            "ratio": median_ratio(taken["encrypted"], taken["plain"]),
        }
        for what, taken in times.items()
    }
    return {"faces": arguments.faces, "dimension": arguments.dimension, "rounds": rounds, "calls": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=10_000, help="number of faces (10000)")
    parser.add_argument("--dimension", type=int, default=128, help="values of a vector (128)")
    parser.add_argument("--rounds", type=int, default=20, help="turns of each; ten times as many of searches (20)")
    parser.add_argument("--output", type=Path, default=Path("bench-output/encryption.json"))
    arguments = parser.parse_args()
    report = bench(arguments)
    print(f"{report['faces']:,} faces of {report['dimension']} values\n")
    print("| | with a key | plain ms | encrypted ms |\n| --- | --- | --- | --- |")
    for what, row in report["calls"].items():
        print(f"| {what} | {row['ratio']:.2f} × | {row['plain_ms']:.2f} | {row['encrypted_ms']:.2f} |")
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\n{arguments.output}")


if __name__ == "__main__":
    main()
