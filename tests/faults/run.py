"""Tries faults at length: ``make faults``. Prints how far it is, then a table; exit code 1 when something was wrong.

What is tried: processes killed in the midst of each kind of change and of upkeep, on SQLite and on the servers that
this machine has; databases of older versions whose upgrade is killed; power cuts; flipped bits in every kind of file;
and a crowd of threads and processes whose answers a replay checks.
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
from crowd import crowd  # noqa: E402
from killing import Kills, Upgrades, ViolationError  # noqa: E402
from older import check_upgraded, old_databases  # noqa: E402
from place import KINDS, Place, Servers, new_place  # noqa: E402
from powercut import PowerCuts, compiled  # noqa: E402
from servers import MissingError  # noqa: E402

SHARES = {"sqlite": 0.7, "postgresql": 0.1, "mysql": 0.1, "upgrade": 0.1}
"""How the kills are divided."""

ACTS = 60  # in each process whose power is cut


class Table:
    """What was tried and what came of it."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, int, str, float]] = []
        self.violations: list[str] = []

    @contextlib.contextmanager
    def line(self, what: str) -> Iterator[Counter[str]]:
        """Time a line; the block counts in what it is lent, ``tried`` being the whole."""
        say(f"{what} ...")
        counted: Counter[str] = Counter()
        began = time.monotonic()
        try:
            yield counted
        except MissingError as missing:
            say(f"{what}: skipped, {missing}")
            return
        except ViolationError as violation:
            self.violations.append(f"{what}: {violation}")
        except Exception as error:  # noqa: BLE001 a gallery that cannot be used any more is a violation too
            self.violations.append(f"{what}: {type(error).__name__}: {error}")
        tried = counted.pop("tried", 0)
        came = ", ".join(f"{word} {number}" for word, number in sorted(counted.items(), key=lambda one: -one[1]))
        self.add(what, tried, came, time.monotonic() - began)

    def add(self, what: str, tried: int, came: str, took_s: float) -> None:
        """Add a line, and say it."""
        self.lines.append((what, tried, came, took_s))
        say(self._shown(*self.lines[-1]))

    def show(self) -> None:
        """Print it."""
        say()
        for line in self.lines:
            say(self._shown(*line))
        say(f"\n{sum(line[1] for line in self.lines)} tried, {len(self.violations)} violations")
        for violation in self.violations:
            say(f"VIOLATION {violation[:2000]}")

    @staticmethod
    def _shown(what: str, tried: int, came: str, took_s: float) -> str:
        return f"{what:<34}{tried:>8}  {took_s:6.0f} s  {came}"


def say(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def kills(table: Table, kind: str, number: int, seed: int, servers: Servers, folder: Path) -> None:
    """Kill processes that work on a gallery in one kind of database."""
    with table.line(f"kill -9, {kind}") as counted, new_place(kind, servers, folder, tables=True) as place:
        killer = Kills(place.location, seed)
        try:
            for done in range(number):
                killer.kill()
                counted["tried"] += 1
                if done % 100 == 99:
                    say(f"  {done + 1} of {number}")
        finally:
            killer.close()
            counted.update(killer.done)
            counted["acknowledged changes"] = killer.acknowledged


def upgrades(table: Table, number: int, seed: int, folder: Path) -> None:
    """Kill upgrades of databases of older versions."""
    with table.line("kill -9, schema upgrade") as counted:
        killer = Upgrades(old_databases(folder), check_upgraded, folder, seed)
        try:
            for _ in range(number):
                killer.kill()
                counted["tried"] += 1
        finally:
            killer.close()
            counted.update(killer.done)


def cuts(table: Table, number: int, seed: int, folder: Path) -> None:
    """Cut the power."""
    with table.line("power cut, sqlite and snapshots") as counted:
        cutter = PowerCuts(folder, compiled(folder))
        each = 40
        for round_number in range(0, number, each):
            cutter.cut(seed + round_number, ACTS, min(each, number - round_number))
            counted["tried"] = cutter.done
            counted["recorded calls"] = cutter.records
            say(f"  {cutter.done} of {number}")


def flips(table: Table, number: int, seed: int) -> None:
    """Flip bits, in a process of its own, because a crash is one of the things that must not happen."""
    command = [sys.executable, str(FOLDER / "flipping.py"), str(seed), str(number)]
    began = time.monotonic()
    say("bit flips ...")
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    if done.returncode:
        table.violations.append(f"bit flips: the process ended with {done.returncode}: {done.stderr[-1000:]}")
        return
    told = json.loads(done.stdout)
    each = (time.monotonic() - began) / len(told["came"])
    for kind, came in told["came"].items():
        table.add(
            f"bit flips, {kind}",
            sum(came.values()),
            ", ".join(f"{word} {number}" for word, number in came.items()),
            each,
        )
    table.violations += told["wrong"]


def archives(table: Table, number: int, seed: int, folder: Path) -> None:
    """Flip bits of exported files and of pack manifests."""
    for kind, came, wrong in flip_archives(number, seed, folder):
        with table.line(f"bit flips, {kind}") as counted:
            counted.update(came)
            counted["tried"] = came.total()
        table.violations += wrong


def crowds(table: Table, kind: str, seconds: float, threads: int, servers: Servers, folder: Path) -> None:
    """Let many threads and processes call, and replay."""
    with (
        table.line(f"{threads} threads x 4, {kind}") as counted,
        new_place(kind, servers, folder, tables=True) as place,
    ):
        checked, problems = crowd(waiting(place), folder, processes=4, threads=threads, seconds=seconds)
        counted.update(checked)
        counted["tried"] = checked.total()
        table.violations += problems


def waiting(place: Place) -> str:
    """The location with patience: in SQLite a hundred writers wait for one another."""
    return place.with_options(timeout="120") if place.kind == "sqlite" else place.location


def fresh(folder: Path) -> Path:
    """Make an empty folder."""
    folder.mkdir()
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=1000, help="processes killed")
    parser.add_argument("--cuts", type=int, default=240, help="power cuts")
    parser.add_argument("--flips", type=int, default=4000, help="bits flipped")
    parser.add_argument("--minutes", type=float, default=3.0, help="of the crowd, on all databases together")
    parser.add_argument("--threads", type=int, default=32, help="in each of the crowd's four processes")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    logging.getLogger("facedex").setLevel(logging.CRITICAL)
    table, servers = Table(), Servers()
    try:
        with tempfile.TemporaryDirectory() as name:
            os.environ["FACEDEX_HOME"] = str(Path(name) / "home")
            place = Path(name)
            if asked.cuts:
                cuts(table, asked.cuts, asked.seed, fresh(place / "cuts"))
            if asked.flips:
                flips(table, asked.flips, asked.seed)
                archives(table, asked.flips // 10, asked.seed, fresh(place / "archives"))
            if asked.kills:
                upgrades(table, int(asked.kills * SHARES["upgrade"]), asked.seed, fresh(place / "upgrade"))
            for kind in KINDS:
                if asked.kills:
                    number = int(asked.kills * SHARES[kind])
                    kills(table, kind, number, asked.seed, servers, fresh(place / f"kill-{kind}"))
                if asked.minutes:
                    seconds = 60 * asked.minutes / len(KINDS)
                    crowds(table, kind, seconds, asked.threads, servers, fresh(place / f"crowd-{kind}"))
    finally:
        servers.close()
    table.show()
    return 1 if table.violations else 0


if __name__ == "__main__":
    sys.exit(main())
