"""How much of the engine's speed a server keeps: `facedex serve` compared with the same calls in one process.

The gallery has the bundled people and 1,000 others, whose templates are random. Clients send one bundled picture of
640 × 480 as raw JPEG, and an API key; in turns of a few seconds with them, a process of its own calls
`Gallery.recognize` in as many threads as clients can keep busy, at most one a core. So what slows the machine slows
both, and figures compare within one run. "CPU" compares the processor time of the workers for an answer with that of a
call. The delay of the event loop is seen from outside: the time to answer /v1/health/live, which does no work, while
the clients wait.

    python benches/server.py                     about five minutes
    python benches/server.py --soak 10           ten minutes under load: memory of the workers, and errors
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import load
import numpy as np
import psutil

from facedex import Engine, Gallery, people
from facedex.server import Access
from facedex.store import Database

PICTURE = people.PROBES["ayu"][0]
OTHERS = 1_000
LEAST_SHARE = 0.9
MOST_GROWTH = 0.05
LOOK_EVERY_S = 0.2  # each look costs the server a twentieth of an answer
SAMPLE_EVERY_S = 5.0

Report = dict[str, Any]


def enter(location: Path) -> None:
    """Make the gallery."""
    generator, engine = np.random.default_rng(7), Engine()
    with Gallery.open(location, engine=engine) as gallery:
        for person_id, pictures in people.PICTURES.items():
            gallery.register(person_id, pictures, name=person_id.title())
        vectors = generator.standard_normal((OTHERS, engine.dimension)).astype(np.float32)
        for number, vector in enumerate(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)):
            gallery.register_templates(f"other-{number}", vector)


def alone(location: Path) -> None:
    """Run the engine alone: for each line of threads and seconds, print calls, seconds and CPU seconds."""
    data = PICTURE.read_bytes()
    with Gallery.open(location) as gallery:
        for line in sys.stdin:
            threads, seconds = (int(word) for word in line.split())
            cpu, started = time.process_time(), time.perf_counter()
            until = started + seconds

            def call(until: float = until) -> int:
                calls = 0
                while time.perf_counter() < until:
                    gallery.recognize(data)
                    calls += 1
                return calls

            with ThreadPoolExecutor(threads) as pool:
                calls = sum(future.result() for future in [pool.submit(call) for _ in range(threads)])
            print(json.dumps([calls, time.perf_counter() - started, time.process_time() - cpu]), flush=True)


@contextmanager
def served(location: Path, workers: int) -> Iterator[Server]:
    """Start `facedex serve`, with keys on, and end it."""
    access = Access(Database(location))
    _, key = access.keys.add("bench", ["recognise"])
    access.close()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "facedex", "serve", "--db", str(location)]
    command += ["--port", str(port), "--workers", str(workers)]
    log = location.with_suffix(".log")
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        server = Server(process.pid, port, workers, key)
        while not server.is_ready():
            if process.poll() is not None:
                sys.exit(f"the server ended:\n{log.read_text()}")
            time.sleep(0.2)
        server.send([PICTURE], clients=8 * workers, seconds=3)
        server.rest()
        yield server
    finally:
        process.terminate()
        process.wait(60)


class Server:
    """A running server."""

    def __init__(self, pid: int, port: int, workers: int, key: str) -> None:
        self.port = port
        self._key = key
        self.workers = workers
        self._process = psutil.Process(pid)

    def processes(self) -> list[psutil.Process]:
        if self.workers == 1:
            return [self._process]
        children = self._process.children()
        return [child for child in children if "resource_tracker" not in " ".join(child.cmdline())]

    def send(self, pictures: Sequence[Path], *, clients: int, seconds: int) -> load.Load:
        return load.send(self.port, pictures, key=self._key, clients=clients, seconds=seconds)

    def memory_mb(self) -> list[float]:
        return [one.memory_info().rss / 1e6 for one in self.processes()]

    def cpu_s(self) -> float:
        return sum(sum(one.cpu_times()[:2]) for one in self.processes())

    def is_ready(self) -> bool:
        try:
            return self.ask("/v1/health/ready").status == 200
        except (OSError, http.client.HTTPException):
            return False

    def rest(self) -> None:
        """Wait until the responses to disconnected clients are done too."""
        calm = 0
        while calm < 3:
            before = self.cpu_s()
            time.sleep(0.2)
            calm = calm + 1 if self.cpu_s() - before < 0.04 else 0

    def ask(self, path: str, connection: http.client.HTTPConnection | None = None) -> http.client.HTTPResponse:
        kept = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=load.PATIENCE_S)
        kept.request("GET", path)
        answer = kept.getresponse()
        answer.read()
        return answer

    @contextmanager
    def watched(self) -> Iterator[list[float]]:
        """Measure responses that need no work, milliseconds, on as many connections as workers and 2."""
        times: list[float] = []
        ended = threading.Event()
        connections = [http.client.HTTPConnection("127.0.0.1", self.port) for _ in range(self.workers + 2)]

        def look() -> None:
            turn = 0
            while not ended.wait(LOOK_EVERY_S):
                started = time.perf_counter()
                self.ask("/v1/health/live", connections[turn % len(connections)])
                times.append(1e3 * (time.perf_counter() - started))
                turn += 1

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield times
        finally:
            ended.set()
            thread.join()
            for connection in connections:
                connection.close()


def quantile(times: list[float], share: float) -> float:
    return sorted(times)[int(len(times) * share)] if times else 0.0


def measure(location: Path, arguments: argparse.Namespace) -> list[Report]:
    rows = []
    engine = subprocess.Popen(
        [sys.executable, __file__, "--alone", str(location)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert engine.stdin is not None
    assert engine.stdout is not None

    def engine_alone(threads: int, seconds: int) -> tuple[float, float]:
        engine.stdin.write(f"{threads} {seconds}\n")
        engine.stdin.flush()
        calls, took, cpu = json.loads(engine.stdout.readline())
        return calls / took, 1e3 * cpu / calls

    cores = len(psutil.Process().cpu_affinity())
    engine_alone(cores, 2)
    try:
        for workers in arguments.workers:
            with served(location, workers) as server:
                for clients in arguments.clients:
                    threads, rounds = min(clients, cores), []
                    before = server.memory_mb()
                    for _ in range(arguments.rounds):
                        per_s, cpu_ms = engine_alone(threads, arguments.seconds)
                        cpu = server.cpu_s()
                        with server.watched() as delays:
                            seen = server.send([PICTURE], clients=clients, seconds=arguments.seconds)
                        server.rest()
                        # what was on its way at the end was worked on too, and nobody read the answer
                        spent = 1e3 * (server.cpu_s() - cpu) / max(1, seen.right + clients)
                        rounds.append(
                            asdict(seen)
                            | {"share": seen.right / seen.seconds / per_s, "per_s": seen.right / seen.seconds}
                            | {"alone_per_s": per_s, "cpu_ms": spent, "cpu_times": spent / cpu_ms}
                            | {"loop_p50_ms": quantile(delays, 0.5), "loop_p99_ms": quantile(delays, 0.99)}
                        )
                    row: Report = {"workers": workers, "clients": clients, "threads_alone": threads}
                    row |= {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
                    row |= {key: sum(one[key] for one in rounds) for key in ("right", "refused", "wrong")}
                    row |= {"memory_mb_before": before, "memory_mb_after": server.memory_mb()}
                    rows.append(row)
                    print(line(row), flush=True)
    finally:
        engine.stdin.close()
        engine.wait(30)
    return rows


def line(row: Report) -> str:
    """One configuration in words and figures."""
    memory = [" + ".join(f"{one:.0f}" for one in row[f"memory_mb_{when}"]) for when in ("before", "after")]
    return (
        f"{row['workers']} workers, {row['clients']:2} clients: {row['share']:.2f} of the engine alone "
        f"({row['per_s']:.1f} of {row['alone_per_s']:.1f}/s) · CPU × {row['cpu_times']:.2f} · "
        f"p50 {row['p50_ms']:.0f} ms, p99 {row['p99_ms']:.0f} · loop p50 {row['loop_p50_ms']:.1f} ms, "
        f"p99 {row['loop_p99_ms']:.1f} · {row['right']} answers, {row['refused']} refused, {row['wrong']} errors · "
        f"memory {memory[0]} → {memory[1]} MB"
    )


def soak(location: Path, workers: int, minutes: float) -> Report:
    """Keep a server busy for a long time with all the probes in turn; return its memory over time."""
    pictures = [picture for probes in people.PROBES.values() for picture in probes]
    samples: list[float] = []
    ended = threading.Event()
    with served(location, workers) as server:

        def sample() -> None:
            while not ended.wait(SAMPLE_EVERY_S):
                samples.append(sum(server.memory_mb()))

        thread = threading.Thread(target=sample)
        server.send(pictures, clients=8, seconds=max(5, round(6 * minutes)))  # a tenth more, to warm up
        thread.start()
        pids = [one.pid for one in server.processes()]
        with server.watched() as delays:
            seen = server.send(pictures, clients=8, seconds=max(5, round(60 * minutes)))
        ended.set()
        thread.join()
        restarted = pids != [one.pid for one in server.processes()]
    first, last, peak = samples[0], samples[-1], max(samples)
    row: Report = {"workers": workers, "minutes": minutes, **asdict(seen), "samples_mb": samples}
    row |= {"restarted": restarted, "growth": last / first - 1, "loop_p99_ms": quantile(delays, 0.99)}
    print(
        f"{workers} workers, 8 clients, {minutes:g} minutes: {seen.right} answers, {seen.refused} refused, "
        f"{seen.wrong} errors · p99 {seen.p99_ms:.0f} ms, loop p99 {row['loop_p99_ms']:.1f} ms · memory of the "
        f"workers first {first:.0f}, last {last:.0f} ({row['growth']:+.1%}), peak {peak:.0f} MB"
        + " · RESTARTED"
        * restarted
    )
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="processes of the server (1 2)")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64], help="clients at once (1 8 64)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of engine and server; the median is reported (3)")
    parser.add_argument("--seconds", type=int, default=6, help="of a turn (6)")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="watch memory and errors for so long instead")
    parser.add_argument("--strict", action="store_true", help="exit with 1 where a goal is missed")
    parser.add_argument("--output", type=Path, default=Path("bench-output"), help="folder for the JSON file")
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        alone(arguments.alone)
        return 0
    if load.by() == "python":
        print("wrk is not installed (Debian: apt install wrk): clients in Python take part of the machine themselves")
    goals: list[tuple[str, bool]] = []
    with tempfile.TemporaryDirectory() as folder:
        location = Path(folder) / "people.db"
        enter(location)
        if arguments.soak:
            rows = [soak(location, workers, arguments.soak) for workers in arguments.workers]
            goals += [(f"no growth beyond {MOST_GROWTH:.0%}", all(row["growth"] <= MOST_GROWTH for row in rows))]
            goals += [("no worker died", not any(row["restarted"] for row in rows))]
        else:
            rows = measure(location, arguments)
            goals += [(f"{LEAST_SHARE} of the engine alone", all(row["share"] >= LEAST_SHARE for row in rows))]
        goals += [("no error, none refused", not any(row["wrong"] + row["refused"] for row in rows))]
    for text, met in goals:
        print(f"{'met   ' if met else 'MISSED'}  {text}")
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / ("soak.json" if arguments.soak else "server.json")
    path.write_text(json.dumps({"clients": load.by(), "rows": rows}, indent=1) + "\n")
    print(f"written: {path}")
    return 1 if arguments.strict and not all(met for _, met in goals) else 0


if __name__ == "__main__":
    sys.exit(main())
