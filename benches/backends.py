"""What a search costs in this process, inside PostgreSQL by pgvector, and in Milvus Lite, side by side.

Vectors are random and of unit length. Each configuration has a gallery of its own and is opened from the database. Then
all take their turn in every round, with a search of one probe, and with the first question after a registration. So
what slows the machine slows all, and ratios are those of one run. PostgreSQL is started for this, on a free port; what
is not installed is told and left out.

    python benches/backends.py                                         10,000 faces of 512 values, about five minutes
    python benches/backends.py --faces 2000 --dimension 128 --rounds 20
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from galleries import Floats, enter, in_turns, median_ratio, milliseconds, opened, unit_vectors

from facedex.errors import SearchUnavailableError
from facedex.search import SearchOptions, open_search

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "databases"))
from servers import MissingError, Postgresql

Report = dict[str, Any]

PLAIN = "local exact"
"""What the others are compared with."""

NEAREST = 8


class Configuration:
    """One gallery, opened with one search."""

    def __init__(self, location: str, options: SearchOptions, probes: Floats) -> None:
        self.store = opened(location, probes.shape[1])
        self.probes = probes
        self.open_s = milliseconds(lambda: self._open(options)) / 1e3

    def _open(self, options: SearchOptions) -> None:
        self.search = open_search(self.store.feed, options, fresh=True)

    def find(self, number: int) -> None:
        self.search.search(self.probes[number % len(self.probes)][None], NEAREST)

    def learn(self, _: int) -> None:
        self.search.sync()

    def recall(self, nearest: Floats) -> float:
        """Share of the nearest faces that it finds, by their similarities."""
        _, found = self.search.search(self.probes, NEAREST)
        return float(np.mean(found >= nearest[:, -1:] - 1e-5))

    def close(self) -> None:
        self.search.close()
        self.store.feed.database.close()


def on_sqlite(folder: Path, vectors: Floats) -> dict[str, tuple[str, SearchOptions]]:
    """Locations and options of the configurations whose gallery is a file."""
    configurations = {PLAIN: SearchOptions("exact")}
    if find_spec("pymilvus") and find_spec("milvus_lite"):
        configurations["Milvus Lite exact"] = SearchOptions("exact", where=f"milvus:{folder / 'exact.db'}")
        configurations["Milvus Lite hnsw"] = SearchOptions("hnsw", where=f"milvus:{folder / 'hnsw.db'}")
    else:
        print("without Milvus Lite: pip install pymilvus milvus-lite", file=sys.stderr)
    fill(str(folder / "filled.db"), vectors)
    places = {name: folder / f"{number}.sqlite" for number, name in enumerate(configurations)}
    for path in places.values():
        shutil.copyfile(folder / "filled.db", path)
    return {name: (str(places[name]), options) for name, options in configurations.items()}


def on_postgresql(stack: ExitStack, vectors: Floats) -> dict[str, tuple[str, SearchOptions]]:
    """Locations and options of the configurations whose gallery is in PostgreSQL."""
    configurations = {
        "local exact, shared database": SearchOptions("exact"),
        "pgvector exact": SearchOptions("exact", where="pgvector"),
        "pgvector hnsw": SearchOptions("hnsw", where="pgvector"),
    }
    try:
        server = Postgresql()
    except MissingError as missing:
        print(f"without pgvector: {missing}", file=sys.stderr)
        return {}
    stack.callback(server.close)
    filled = server.new_database(tables=False)
    fill(server.url(filled), vectors)
    for number in range(len(configurations)):
        server.copy_tables(filled, f"copy{number}")
    return {
        name: (server.url(f"copy{number}"), options) for number, (name, options) in enumerate(configurations.items())
    }


def fill(location: str, vectors: Floats) -> None:
    store = opened(location, vectors.shape[1])
    enter(store, vectors)
    store.feed.database.close()


def learning(running: dict[str, Configuration], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of the first question of each after a registration."""
    dimension = next(iter(running.values())).probes.shape[1]
    times: dict[str, list[float]] = {name: [] for name in running}
    for number, vector in enumerate(unit_vectors(rounds, dimension, 9)):
        for one in running.values():
            enter(one.store, vector[None], first=10**9 + number)
        for name, (spent,) in in_turns({name: one.learn for name, one in running.items()}, 1, warm=False).items():
            times[name].append(spent)
    return times


def bench(arguments: argparse.Namespace) -> Report:
    vectors = unit_vectors(arguments.faces, arguments.dimension, 1)
    probes = unit_vectors(arguments.probes, arguments.dimension, 2)
    nearest = -np.sort(-probes @ vectors.T, axis=1)[:, :NEAREST]
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        running: dict[str, Configuration] = {}
        for title, (location, options) in (on_sqlite(Path(name), vectors) | on_postgresql(stack, vectors)).items():
            try:
                running[title] = Configuration(location, options, probes)
            except SearchUnavailableError as error:
                print(f"without {title}: {error}", file=sys.stderr)
                continue
            stack.callback(running[title].close)
        recall = {title: one.recall(nearest) for title, one in running.items()}
        methods = {title: one.search.method for title, one in running.items()}
        found = in_turns({title: one.find for title, one in running.items()}, arguments.rounds)
        asked = in_turns({title: one.learn for title, one in running.items()}, arguments.rounds)
        learned = learning(running, arguments.rounds)
    rows = {
        title: {
            "method": methods[title],
            "recall": recall[title],
            "open_s": one.open_s,
            "search_ms": statistics.median(found[title]),
            "search_ms_least": min(found[title]),
            "search_ratio": median_ratio(found[title], found[PLAIN]),
            "up_to_date_ms": statistics.median(asked[title]),
            "after_a_change_ms": statistics.median(learned[title]),
        }
        for title, one in running.items()
    }
    return {"faces": arguments.faces, "dimension": arguments.dimension, "rounds": arguments.rounds, "searches": rows}


def table(report: Report) -> str:
    heads = ["search", "relative to local", "ms", "recall", "sync ms", "sync after a change ms", "opening s"]
    lines = [heads, ["---"] * len(heads)]
    for title, row in report["searches"].items():
        name = title if row["method"] in title else f"{title} (answered {row['method']})"
        times = [f"{row[key]:.2f}" for key in ("up_to_date_ms", "after_a_change_ms", "open_s")]
        ratio = f"{row['search_ratio']:,.{0 if row['search_ratio'] >= 10 else 2}f} ×"
        lines.append([name, ratio, f"{row['search_ms']:.2f}", f"{row['recall']:.4f}", *times])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=10_000, help="number of faces (10000)")
    parser.add_argument("--dimension", type=int, default=512, help="values of a vector (512)")
    parser.add_argument("--probes", type=int, default=50, help="vectors that are looked for (50)")
    parser.add_argument("--rounds", type=int, default=40, help="turns of each configuration (40)")
    parser.add_argument("--output", type=Path, default=Path("bench-output/backends.json"))
    arguments = parser.parse_args()
    report = bench(arguments)
    print(f"{report['faces']:,} faces of {report['dimension']} values, the {NEAREST} nearest of one probe\n")
    print(table(report))
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\n{arguments.output}")


if __name__ == "__main__":
    main()
