"""Injects faults at length: ``make faults``. Prints progress, then a table; exit code 1 after a violation.

The faults: processes killed during each kind of change and of maintenance, on SQLite and on the servers that this
machine has; upgrades of older databases that are killed; power cuts; flipped bits in every kind of file; and many
concurrent threads and processes, whose results a replay checks.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent / "databases")]

from archives import flip_archives  # noqa: E402 the folders were not on the path
from concurrency import call_concurrently  # noqa: E402
from killing import Kills, Upgrades, ViolationError  # noqa: E402
from old_databases import check_upgraded, write_old_databases  # noqa: E402
from place import KINDS, Place, Servers, new_place  # noqa: E402
from powercut import PowerCuts, compile_layer  # noqa: E402
from servers import MissingError  # noqa: E402

SHARES = {"sqlite": 0.7, "postgresql": 0.1, "mysql": 0.1, "upgrade": 0.1}
"""The share of the kills on each kind of database."""

ACTS = 60  # in each process whose power is cut


class Table:
    """The faults and their outcomes."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, int, str, float]] = []
        self.violations: list[str] = []

    @contextlib.contextmanager
    def line(self, what: str) -> Iterator[Counter[str]]:
        """Time a line; the block fills the counter it gets, where ``tried`` is the total."""
        say(f"{what} ...")
        counts: Counter[str] = Counter()
        began = time.monotonic()
        try:
            yield counts
        except MissingError as missing:
            say(f"{what}: skipped, {missing}")
            return
        except ViolationError as violation:
            self.violations.append(f"{what}: {violation}")
        except Exception as error:  # noqa: BLE001 an unusable gallery is a violation too
            self.violations.append(f"{what}: {type(error).__name__}: {error}")
        tried = counts.pop("tried", 0)
        outcomes = ", ".join(f"{word} {number}" for word, number in sorted(counts.items(), key=lambda one: -one[1]))
        self.add(what, tried, outcomes, time.monotonic() - began)

    def add(self, what: str, tried: int, outcomes: str, took_s: float) -> None:
        """Add a line, and print it."""
        self.lines.append((what, tried, outcomes, took_s))
        say(self._format(*self.lines[-1]))

    def show(self) -> None:
        """Print the table."""
        say()
        for line in self.lines:
            say(self._format(*line))
        say(f"\n{sum(line[1] for line in self.lines)} tried, {len(self.violations)} violations")
        for violation in self.violations:
            say(f"VIOLATION {violation[:2000]}")

    @staticmethod
    def _format(what: str, tried: int, outcomes: str, took_s: float) -> str:
        return f"{what:<34}{tried:>8}  {took_s:6.0f} s  {outcomes}"


def say(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def kills(table: Table, kind: str, number: int, seed: int, servers: Servers, folder: Path) -> None:
    """Kill processes that work on a gallery in one kind of database."""
    with table.line(f"kill -9, {kind}") as counts, new_place(kind, servers, folder, tables=True) as place:
        killer = Kills(place.location, seed)
        try:
            for done in range(number):
                killer.kill()
                counts["tried"] += 1
                if done % 100 == 99:
                    say(f"  {done + 1} of {number}")
        finally:
            killer.close()
            counts.update(killer.done)
            counts["acknowledged changes"] = killer.acknowledged


def upgrades(table: Table, number: int, seed: int, folder: Path) -> None:
    """Kill upgrades of databases of older versions."""
    with table.line("kill -9, schema upgrade") as counts:
        killer = Upgrades(write_old_databases(folder), check_upgraded, folder, seed)
        try:
            for _ in range(number):
                killer.kill()
                counts["tried"] += 1
        finally:
            killer.close()
            counts.update(killer.done)


def cuts(table: Table, number: int, seed: int, folder: Path) -> None:
    """Simulate power cuts."""
    with table.line("power cut, sqlite and snapshots") as counts:
        cutter = PowerCuts(folder, compile_layer(folder))
        each = 40
        for round_number in range(0, number, each):
            cutter.cut(seed + round_number, ACTS, min(each, number - round_number))
            counts["tried"] = cutter.done
            counts["recorded calls"] = cutter.records
            say(f"  {cutter.done} of {number}")


def flips(table: Table, number: int, seed: int) -> None:
    """Flip bits in a separate process, because a crash must not end the run."""
    command = [sys.executable, str(FOLDER / "flipping.py"), str(seed), str(number)]
    began = time.monotonic()
    say("bit flips ...")
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    if done.returncode:
        table.violations.append(f"bit flips: the process ended with {done.returncode}: {done.stderr[-1000:]}")
        return
    found = json.loads(done.stdout)
    each = (time.monotonic() - began) / len(found["outcomes"])
    for kind, outcomes in found["outcomes"].items():
        table.add(
            f"bit flips, {kind}",
            sum(outcomes.values()),
            ", ".join(f"{word} {number}" for word, number in outcomes.items()),
            each,
        )
    table.violations += found["wrong"]


def archives(table: Table, number: int, seed: int, folder: Path) -> None:
    """Flip bits of exported files and of pack manifests."""
    for kind, outcomes, wrong in flip_archives(number, seed, folder):
        with table.line(f"bit flips, {kind}") as counts:
            counts.update(outcomes)
            counts["tried"] = outcomes.total()
        table.violations += wrong


def concurrent_calls(table: Table, kind: str, seconds: float, threads: int, servers: Servers, folder: Path) -> None:
    """Call from many threads and processes, and compare with a replay."""
    with (
        table.line(f"{threads} threads x 4, {kind}") as counts,
        new_place(kind, servers, folder, tables=True) as place,
    ):
        checked, problems = call_concurrently(
            patient_location(place), folder, processes=4, threads=threads, seconds=seconds
        )
        counts.update(checked)
        counts["tried"] = checked.total()
        table.violations += problems


def patient_location(place: Place) -> str:
    """The location with a long timeout: in SQLite a hundred writers wait for one another."""
    return place.with_options(timeout="120") if place.kind == "sqlite" else place.location


def new_folder(folder: Path) -> Path:
    """Make an empty folder."""
    folder.mkdir()
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=1000, help="processes killed")
    parser.add_argument("--cuts", type=int, default=240, help="power cuts")
    parser.add_argument("--flips", type=int, default=4000, help="bits flipped")
    parser.add_argument("--minutes", type=float, default=3.0, help="of concurrent calls, on all databases together")
    parser.add_argument("--threads", type=int, default=32, help="in each of four processes")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.getLogger("facedex").setLevel(logging.CRITICAL)
    table, servers = Table(), Servers()
    try:
        with tempfile.TemporaryDirectory() as name:
            os.environ["FACEDEX_HOME"] = str(Path(name) / "home")
            place = Path(name)
            if options.cuts:
                cuts(table, options.cuts, options.seed, new_folder(place / "cuts"))
            if options.flips:
                flips(table, options.flips, options.seed)
                archives(table, options.flips // 10, options.seed, new_folder(place / "archives"))
            if options.kills:
                upgrades(table, int(options.kills * SHARES["upgrade"]), options.seed, new_folder(place / "upgrade"))
            for kind in KINDS:
                if options.kills:
                    number = int(options.kills * SHARES[kind])
                    kills(table, kind, number, options.seed, servers, new_folder(place / f"kill-{kind}"))
                if options.minutes:
                    seconds = 60 * options.minutes / len(KINDS)
                    concurrent_calls(
                        table, kind, seconds, options.threads, servers, new_folder(place / f"concurrency-{kind}")
                    )
    finally:
        servers.close()
    table.show()
    return 1 if table.violations else 0


if __name__ == "__main__":
    sys.exit(main())
