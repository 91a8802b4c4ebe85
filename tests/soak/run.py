"""Attacks a server, injects faults, and prints the outcomes: ``make soak``, five minutes by default.

Honest clients ask all the time while others overload the server, read nothing, leave, or send slowly, a worker and the
master are killed, another process holds the database's lock, the clock is set back, a small disk is full, and
PostgreSQL is away for 15 seconds. For each phase: answers, the wait for a health check, the memory of all processes.
Exit code 1 after a faulty response, when the server did not recover after a phase, or when its memory grew.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

FOLDER = Path(__file__).parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent / "databases")]

import clients  # noqa: E402 the folders were not on the path
from clients import HONEST, WATCHING, Account, Client, health, honest  # noqa: E402
from servers import MissingError, Postgresql  # noqa: E402

from facedex import people  # noqa: E402

PEOPLE, NOTE = 40, 60_000  # a list of all of them has 2.4 MB
WELL_S = 60.0
"""In which a server must answer everything again after a phase."""

START_S = 300.0
"""In which a server must have started, on a machine that has other work."""

GROWTH = 300 << 20
"""Bytes that the processes may have more at the end than after the first phase."""

Disturb = Callable[[int, threading.Event], None]


@dataclass
class Served:
    """A server in processes of its own."""

    folder: Path
    location: str
    workers: int
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if not self.port:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
        command = [sys.executable, str(FOLDER / "served.py"), "serve", "--db", self.location]
        command += ["--port", str(self.port), "--workers", str(self.workers)]
        environment = os.environ | {"FACEDEX_SOAK_CLOCK": str(self.folder / "clock"), "TMPDIR": str(self.folder)}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        self.wait_until_well(START_S)

    def wait_until_well(self, within_s: float = WELL_S) -> float:
        """Wait until the server is ready and recognises; returns the seconds."""
        started = time.monotonic()
        said = ""
        while time.monotonic() - started < within_s:
            try:
                with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=20) as client:
                    ready = client.get("/v1/health/ready")
                    asked = client.get("/v1/people?limit=1")
                    said = f"{ready.status_code}, {asked.status_code}"
                    if ready.status_code == asked.status_code == 200:
                        return time.monotonic() - started
            except httpx.TransportError as error:
                said = repr(error)
            time.sleep(0.2)
        raise RuntimeError(f"the server is not well after {within_s:g} s ({said})\n{self.tail()}")

    def fill(self) -> None:
        """Register people: two with faces, the others with large details."""
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60) as client:
            for person in ("ayu", "budi"):
                files = {"images": people.PICTURES[person][0].read_bytes()}
                client.post("/v1/people", data={"person_id": person}, files=files).raise_for_status()
            for number in range(PEOPLE):
                given = {"person_id": f"n{number}", "info": {"note": "x" * NOTE}}
                client.post("/v1/people", json=given).raise_for_status()

    def processes(self) -> list[psutil.Process]:
        assert self.process is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            master = psutil.Process(self.process.pid)
            return [master, *master.children(recursive=True)]
        return []

    def memory(self) -> int:
        total = 0
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        return total

    def worker(self) -> psutil.Process:
        workers = [one for one in self.processes()[1:] if "resource_tracker" not in " ".join(one.cmdline())]
        return max(workers, key=lambda one: one.memory_info().rss)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()

    def tail(self) -> str:
        return "\n".join((self.folder / "log").read_text(errors="replace").splitlines()[-15:])


@dataclass
class Phase:
    """The outcome of a phase."""

    name: str
    account: Account
    live: Account
    ready: Account
    memory: int
    well_s: float


@dataclass
class Soak:
    """The phases, and what failed.

    Attributes
    ----------
    seconds : float
        Of one phase.
    """

    seconds: float
    phases: list[Phase] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def hold(self, name: str, served: Served, disturb: Disturb, *, faults: bool = False) -> None:
        """Disturb a server for a phase, while honest clients ask it, and wait until it is well again.

        With `faults` the database is away: then answers may be 503 or 507, and only ``live`` must go on answering.
        """
        say(f"{name} ...")
        asking = [Client(honest(number), served.port, HONEST, 0.02) for number in range(3)]
        live = Client(health("/v1/health/live"), served.port, WATCHING, 0.25)
        ready = Client(health("/v1/health/ready"), served.port, WATCHING, 0.25)
        ended, most = threading.Event(), served.memory()
        threads = [*asking, live, ready]
        for thread in threads:
            thread.start()
        disturbing = threading.Thread(target=disturb, args=(served.port, ended), daemon=True)
        disturbing.start()
        until = time.monotonic() + self.seconds
        while time.monotonic() < until or (disturbing.is_alive() and not ended.is_set()):
            most = max(most, served.memory())
            if time.monotonic() >= until:
                ended.set()
            time.sleep(0.2)
        disturbing.join(60)
        for thread in threads:
            thread.ended.set()
        for thread in threads:
            thread.join(45)
        whole = Account()
        for thread in asking:
            whole.answers += thread.account.answers
            whole.waits += thread.account.waits
        try:
            well_s = served.wait_until_well()
        except RuntimeError as error:
            self.wrong.append(f"{name}: {error}")
            well_s = float("inf")
        self.phases.append(Phase(name, whole, live.account, ready.account, most, well_s))
        self._judge(self.phases[-1], faults)
        say(_format(self.phases[-1]))

    def _judge(self, phase: Phase, faults: bool) -> None:
        if phase.account.faults or phase.account.answers[500]:
            self.wrong.append(f"{phase.name}: answers that were faults: {dict(phase.account.answers)}")
        if not set(phase.account.answers) & clients.ACCEPTED and not faults:
            self.wrong.append(f"{phase.name}: no honest client was answered: {dict(phase.account.answers)}")
        killed = "killed" in phase.name
        for what, account in (("live", phase.live), ("ready", phase.ready)):
            bad = {status: number for status, number in account.answers.items() if status != 200}
            if bad and not killed and not (faults and what == "ready" and set(bad) <= {503, 507}):
                self.wrong.append(f"{phase.name}: health check {what} answered {bad}")

    def judge_memory(self, before: int, after: int) -> None:
        """Check the memory of a server at the end."""
        say(f"memory before {before / 1e6:.0f} MB, after {after / 1e6:.0f} MB")
        if after - before > GROWTH:
            self.wrong.append(f"memory grew from {before / 1e6:.0f} to {after / 1e6:.0f} MB")

    def show(self) -> None:
        """Print everything."""
        say(f"\n{_HEAD}")
        for phase in self.phases:
            say(_format(phase))
        for wrong in self.wrong:
            say(f"WRONG {wrong}")
        say("no faults" if not self.wrong else f"{len(self.wrong)} faults")


_HEAD = (
    f"{'phase':<28}{'answers':>8}{'ok':>7}{'refused':>9}{'faults':>8}{'broken':>8}{'live p50':>10}{'max s':>7}"
    f"{'ready p50':>11}{'max s':>7}{'memory MB':>11}{'well in s':>11}"
)


def _format(phase: Phase) -> str:
    answers = phase.account.answers
    accepted = sum(answers[status] for status in clients.ACCEPTED)
    refused = sum(answers[status] for status in clients.REFUSED)
    cells = (
        f"{phase.name:<28}{sum(answers.values()):>8}{accepted:>7}{refused:>9}{phase.account.faults:>8}{answers[0]:>8}"
    )
    for account, width in ((phase.live, 10), (phase.ready, 11)):
        waits = sorted(account.waits) or [float("nan")]
        cells += f"{waits[len(waits) // 2]:>{width}.3f}{waits[-1]:>7.2f}"
    return f"{cells}{phase.memory / 1e6:>11.0f}{phase.well_s:>11.1f}"


def say(text: str = "") -> None:
    print(text, flush=True)


def attacked(soak: Soak, folder: Path) -> None:
    """Two workers on SQLite."""
    served = Served(folder, str(folder / "people.db"), workers=2)
    try:
        served.start()
        served.fill()
        soak.hold("at rest", served, lambda port, ended: None)
        before = served.memory()
        for name, disturb in (
            ("overload", clients.overload),
            ("clients that read nothing", clients.read_nothing),
            ("clients that leave", clients.leave),
            ("clients that send slowly", clients.send_slowly),
        ):
            soak.hold(name, served, disturb)
        soak.hold("a worker killed", served, lambda port, ended: served.worker().kill())
        soak.hold("the master killed", served, lambda port, ended: _restart(served, ended))
        soak.hold("a lock held", served, lambda port, ended: _lock(folder / "people.db", ended), faults=True)
        soak.hold("the clock set back a day", served, lambda port, ended: _move(folder / "clock", ended))
        time.sleep(2)
        soak.judge_memory(before, served.memory())
    finally:
        served.stop()
    log = (folder / "log").read_text(errors="replace")
    if "fault of the server" in log:
        at = log.index("fault of the server")
        soak.wrong.append(f"the log reports a fault: {log[at : at + 1500]}")


def _restart(served: Served, ended: threading.Event) -> None:
    time.sleep(1)
    served.kill()
    served.start()


def _lock(path: Path, ended: threading.Event) -> None:
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    ended.wait(15)
    connection.execute("ROLLBACK")
    connection.close()
    ended.wait()


def _move(clock: Path, ended: threading.Event) -> None:
    clock.write_text("-86400")
    ended.wait()
    clock.write_text("0")


def on_a_small_disk(soak: Soak, folder: Path) -> None:
    """One worker on a disk of 24 MB, which is filled and emptied."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)]
    if not hasattr(os, "getuid") or os.getuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        say("a full disk: skipped, only root mounts one")
        return
    try:
        served = Served(folder, str(disk / "people.db"), workers=1)
        try:
            served.start()
            served.fill()
            soak.hold("a full disk", served, lambda port, ended: _fill_disk(disk, ended), faults=True)
        finally:
            served.stop()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def _fill_disk(disk: Path, ended: threading.Event) -> None:
    filler = disk / "filler"
    with filler.open("wb") as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 65536)
            file.flush()
    ended.wait()
    filler.unlink()


def without_its_server(soak: Soak, folder: Path) -> None:
    """One worker on PostgreSQL, which is away for 15 seconds."""
    try:
        database = Postgresql()
    except MissingError as missing:
        say(f"PostgreSQL away: skipped, {missing}")
        return
    try:
        served = Served(folder, database.url(database.new_database(tables=True)), workers=1)
        try:
            served.start()
            served.fill()
            soak.hold("PostgreSQL away for 15 s", served, lambda port, ended: _away(database, ended), faults=True)
        finally:
            served.stop()
    finally:
        database.close()


def _away(database: Postgresql, ended: threading.Event) -> None:
    database.stop()
    time.sleep(15)
    database.start()
    ended.wait()


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="facedex-soak-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(arguments: list[str] | None = None) -> int:
    """Run everything; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0, metavar="N", help="how long, about (default: 5)")
    parser.add_argument("--short", action="store_true", help="the phases of one server on SQLite, two seconds each")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    soak = Soak(2.0 if given.short else max(given.minutes * 60 / 11, 2.0))
    parts = [attacked] if given.short else [attacked, on_a_small_disk, without_its_server]
    for part in parts:
        with _folder() as folder:
            try:
                part(soak, folder)
            except Exception as error:  # noqa: BLE001 what stops the soak is what it is for
                soak.wrong.append(f"{part.__name__}: {type(error).__name__}: {error}")
    soak.show()
    return 1 if soak.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
