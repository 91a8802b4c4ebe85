"""Speed, recall and memory of the search, compared with numpy and faiss, on synthetic faces of realistic spread.

Each configuration runs in its own process with one thread, on the same vectors. Times are CPU time of the calling
thread, the best of several calls, so that other work on the machine disturbs them little; what another process does to
memory still counts. Ratios compare figures of one run only. "Reading" is the time to read the codes once.

Faces: identity centres from a decaying spectrum plus 24 shared directions; a sample is a·centre + √(1−a²)·noise with a
from 0.70 to 0.85 for each identity, one to five samples each; so cosines spread as those of photographs do.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK = 5_000
"""Identities that are made at once."""

PROBES = 2_000
"""New photographs of people whose stored ones are among the first rows."""

BATCH = 64

Floats = NDArray[np.float32]
Report = dict[str, Any]


def unit(vectors: Floats) -> Floats:
    """Scale rows to length 1, in place."""
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors


def write_faces(folder: Path, rows: int, dimension: int) -> None:
    """Write `rows` faces with their people, and probes with theirs."""
    out = np.lib.format.open_memmap(folder / "faces.npy", "w+", np.float32, (rows, dimension))
    people = np.empty(rows, np.uint64)
    generator = np.random.default_rng(dimension)
    spectrum = (np.arange(dimension, dtype=np.float32) + 20) ** -0.5
    shared = 0.02 * generator.standard_normal((24, dimension), np.float32)
    probes: list[Floats] = []
    names: list[NDArray[np.uint64]] = []
    done, identity = 0, 0
    while done < rows:
        centres = generator.standard_normal((CHUNK, dimension), np.float32) * spectrum
        centres = unit(centres + generator.standard_normal((CHUNK, 24), np.float32) @ shared)
        closeness = generator.uniform(0.70, 0.85, (CHUNK, 1)).astype(np.float32)

        def photographs(of: NDArray[np.int64], centres: Floats = centres, closeness: Floats = closeness) -> Floats:
            noise = unit(generator.standard_normal((len(of), dimension), np.float32))
            return unit(closeness[of] * centres[of] + np.sqrt(1 - closeness[of] ** 2) * noise)

        of = np.repeat(np.arange(CHUNK), generator.integers(1, 6, CHUNK))[: rows - done]
        out[done : done + len(of)] = photographs(of)
        people[done : done + len(of)] = of + identity
        if identity == 0:
            probed = np.unique(of)[:PROBES]
            probes.append(photographs(probed))
            names.append(probed.astype(np.uint64))
        done, identity = done + len(of), identity + CHUNK
    out.flush()
    np.savez(folder / "rest.npz", people=people, probes=np.concatenate(probes), names=np.concatenate(names))


class Faces:
    """The first `size` faces of a folder, and the probes whose people are among them."""

    def __init__(self, folder: Path, size: int) -> None:
        self.vectors: Floats = np.load(folder / "faces.npy", mmap_mode="r")[:size]
        rest = np.load(folder / "rest.npz")
        self.people = rest["people"][:size]
        mated = np.isin(rest["names"], self.people)
        self.probes, self.names = rest["probes"][mated], rest["names"][mated]
        self.keys = np.arange(size, dtype=np.uint64)


def best_ms(call: Callable[[int], object], repeats: int) -> float:
    """Return the least CPU time of a call, which gets its number."""
    times = []
    for number in range(repeats):
        start = time.thread_time_ns()
        call(number)
        times.append(time.thread_time_ns() - start)
    return min(times) / 1e6


def bandwidth(size: int) -> float:
    """Return the bytes per second that one thread reads from memory."""
    block = np.ones(max(size, 64 << 20) // 8, np.uint64)
    return block.nbytes / best_ms(lambda _: block.max(), 8) * 1e3


def repeats_for(size: int) -> int:
    return max(8, min(200, 8_000_000 // size))


def fill(faces: Faces, method: str) -> Any:
    from facedex._core import Index

    index = Index(faces.vectors.shape[1], "bench", method=method)
    step = 65_536
    for start in range(0, len(faces.keys), step):
        part = slice(start, start + step)
        index.add(faces.keys[part], np.ascontiguousarray(faces.vectors[part]), people=faces.people[part])
    return index


def right_person(index: Any, faces: Faces, single: int) -> float:
    """Return the share of probes whose own person comes first: some one by one, the rest in batches."""
    found = [index.search_people(faces.probes[i : i + 1], 1)[0] for i in range(min(single, len(faces.probes)))]
    for start in range(len(found), len(faces.probes), BATCH):
        found.append(index.search_people(faces.probes[start : start + BATCH], 1)[0])
    return float(np.mean(np.concatenate(found)[:, 0] == faces.names))


def run_exact(faces: Faces, folder: Path) -> Report:
    """Search all rows: one probe, a batch, people; recall against a plain scan in double precision."""
    index = fill(faces, "exact")
    status = index.status()
    probes, repeats = faces.probes, repeats_for(len(faces.keys))
    speed = bandwidth(status["code_bytes"])
    single = best_ms(lambda n: index.search(probes[n % 100 : n % 100 + 1], 10), repeats)
    speed = max(speed, bandwidth(status["code_bytes"]))
    batch = best_ms(lambda _: index.search(np.resize(probes, (BATCH, probes.shape[1])), 10), max(3, repeats // 20))
    people = best_ms(lambda n: index.search_people(probes[n % 100 : n % 100 + 1], 1), repeats)
    checked = probes[:32]
    keys, similarities = index.search(checked, 10)
    truth = np.empty((len(checked), len(faces.keys)), np.float32)
    for start in range(0, len(faces.keys), 50_000):
        truth[:, start : start + 50_000] = checked @ faces.vectors[start : start + 50_000].T
    tenth = -np.partition(-truth, 9, axis=1)[:, 9]
    found = np.take_along_axis(truth, keys.astype(np.int64), axis=1)
    index.save(str(folder / "bench.index"), "bench", 1)
    return {
        "single_ms": single,
        "batch_ms_per_probe": batch / BATCH,
        "people_ms": people,
        "code_ms_at_bandwidth": status["code_bytes"] / speed * 1e3,
        "bandwidth_gb_s": speed / 1e9,
        "recall_at_10": float(np.mean(found >= tenth[:, None] - 1e-6)),
        "largest_error": float(np.abs(found - similarities).max()),
    }


def run_open(faces: Faces, folder: Path) -> Report:
    """Open the snapshot that `run_exact` left; measure the time and the memory it takes."""
    from facedex._core import Index

    def resident() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("RssAnon:"))) * 1024

    before = resident()
    start, cpu = time.perf_counter(), time.process_time()
    index, _ = Index.load(str(folder / "bench.index"), "bench", "bench", method="exact")
    opened, cpu = time.perf_counter() - start, time.process_time() - cpu
    index.search(faces.probes[:1], 10)
    status = index.status()
    codes = len(faces.keys) * faces.vectors.shape[1]
    return {
        "open_s": opened,
        "open_cpu_s": cpu,
        "memory_per_code_byte": (resident() - before - status["vector_bytes"]) / codes,
        "vectors_in_memory_mb": status["vector_bytes"] / 1e6,
        "single_ms": best_ms(lambda n: index.search(faces.probes[n % 100 : n % 100 + 1], 10), 16),
    }


def run_approximate(faces: Faces, folder: Path, method: str) -> Report:
    """Build the lists or the graph, then find people among them."""
    start = time.process_time()
    index = fill(faces, method)
    index.maintain()
    built = time.process_time() - start
    probes, repeats = faces.probes, repeats_for(len(faces.keys))
    single = best_ms(lambda n: index.search(probes[n % 100 : n % 100 + 1], 10), 3 * repeats)
    batch = best_ms(lambda _: index.search(np.resize(probes, (BATCH, probes.shape[1])), 10), max(3, repeats // 20))
    status = index.status()
    exact = fill(faces, "exact")
    return {
        "single_ms": single,
        "batch_ms_per_probe": batch / BATCH,
        "build_cpu_s": built,
        "in_use": status["in_use"],
        "n_lists": status["n_lists"],
        "n_probe": status["n_probe"],
        "sampled_recall": status["recall"] if status["recall"] is not None else index.sample_recall(200),
        "right_person": right_person(index, faces, 200),
        "right_person_exact": right_person(exact, faces, 0),
        "probes": len(faces.probes),
        "exact_ms": best_ms(lambda n: exact.search(probes[n % 100 : n % 100 + 1], 10), repeats),
    }


def run_changes(faces: Faces, folder: Path) -> Report:
    """Add and remove single faces, and save, while two readers search at full speed."""
    index = fill(faces, "exact")
    ended = threading.Event()
    counts = [0, 0]

    def read(reader: int) -> None:
        while not ended.is_set():
            index.search(faces.probes[counts[reader] % 100 : counts[reader] % 100 + 1], 10)
            counts[reader] += 1

    readers = [threading.Thread(target=read, args=(reader,)) for reader in range(2)]
    for reader in readers:
        reader.start()

    def changes(number: int, seconds: float) -> tuple[list[float], list[float]]:
        additions, removals = [], []
        limit = time.perf_counter() + seconds
        while time.perf_counter() < limit:
            key, vector = np.array([10**9 + number], np.uint64), faces.probes[number % 100 : number % 100 + 1]
            start = time.perf_counter()
            index.add(key, vector)
            additions.append(time.perf_counter() - start)
            old = faces.keys[number * 97 % len(faces.keys) :][:1]
            start = time.perf_counter()
            index.remove(old)
            removals.append(time.perf_counter() - start)
            number += 1
        return additions, removals

    additions, removals = changes(0, 4.0)
    saving = threading.Thread(target=index.save, args=(str(folder / "changes.index"), "bench", 2))
    saving.start()
    start, meanwhile = time.perf_counter(), []
    number = 10**6
    while saving.is_alive():
        one = changes(number, 0.05)
        meanwhile += one[0] + one[1]
        number += 10**4
    saved = time.perf_counter() - start
    ended.set()
    for reader in readers:
        reader.join()

    def quantile(times: list[float], share: float) -> float:
        return float(np.quantile(times, share)) * 1e3 if times else float("nan")

    return {
        "add_ms": quantile(additions, 0.5),
        "add_ms_95": quantile(additions, 0.95),
        "remove_ms": quantile(removals, 0.5),
        "remove_ms_95": quantile(removals, 0.95),
        "changes": len(additions) + len(removals),
        "searches_meanwhile": sum(counts),
        "save_s": saved,
        "change_ms_95_while_saving": quantile(meanwhile, 0.95),
    }


def run_numpy(faces: Faces, folder: Path) -> Report:
    """Multiply all rows in f32 and select, as a first program does."""
    vectors = np.array(faces.vectors)

    def search(number: int) -> NDArray[np.int64]:
        scores = vectors @ faces.probes[number % 100]
        best = np.argpartition(-scores, 10)[:10]
        return best[np.argsort(-scores[best])]

    return {"single_ms": best_ms(search, min(40, repeats_for(len(faces.keys))))}


def run_faiss(faces: Faces, folder: Path) -> Report:
    """Search faiss's exact index, IndexFlatIP."""
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(faces.vectors.shape[1])
    index.add(np.array(faces.vectors))
    probes, repeats = faces.probes, min(40, repeats_for(len(faces.keys)))
    batch = np.resize(probes, (BATCH, probes.shape[1]))
    return {
        "single_ms": best_ms(lambda n: index.search(probes[n % 100 : n % 100 + 1], 10), repeats),
        "batch_ms_per_probe": best_ms(lambda _: index.search(batch, 10), max(2, repeats // 20)) / BATCH,
        "version": faiss.__version__,
    }


RUNS: dict[str, Callable[[Faces, Path], Report]] = {
    "exact": run_exact,
    "open": run_open,
    "ivf": lambda faces, folder: run_approximate(faces, folder, "ivf"),
    "hnsw": lambda faces, folder: run_approximate(faces, folder, "hnsw"),
    "changes": run_changes,
    "numpy": run_numpy,
    "faiss": run_faiss,
}


def in_its_own_process(python: str, name: str, folder: Path, size: int) -> Report | None:
    """Run one configuration; None where the interpreter lacks what it needs."""
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    command = [python, __file__, "--run", name, "--folder", str(folder), "--size", str(size)]
    done = subprocess.run(command, env=os.environ | threads, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(f"{name} at {size}: not run: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def bench(arguments: argparse.Namespace) -> list[Report]:
    sizes = arguments.sizes or ([1_000, 10_000, 50_000] if arguments.quick else [1_000, 10_000, 100_000, 1_000_000])
    peers = arguments.peer_python or sys.executable
    reports = []
    for dimension in arguments.dimensions or ([512] if arguments.quick else [512, 128]):
        with tempfile.TemporaryDirectory(dir=arguments.scratch) as name:
            folder = Path(name)
            write_faces(folder, max(sizes), dimension)
            for size in sizes:
                row: Report = {"dimension": dimension, "faces": size}
                runs = {"exact": sys.executable, "open": sys.executable, "numpy": peers, "faiss": peers}
                if size >= 20_000:
                    runs["ivf"] = sys.executable
                if size == max(sizes):
                    runs["changes"] = sys.executable
                if arguments.hnsw and size <= 100_000:
                    runs["hnsw"] = sys.executable
                for run, python in runs.items():
                    row[run] = in_its_own_process(python, run, folder, size)
                reports.append(row)
                print(line(row), flush=True)
    return reports


def line(row: Report) -> str:
    """One configuration in words and figures."""
    exact, faiss, plain, ivf = (row.get(name) or {} for name in ("exact", "faiss", "numpy", "ivf"))
    parts = [f"{row['faces']:>9,} × {row['dimension']}"]
    if exact:
        parts.append(
            f"exact {exact['single_ms']:.3f} ms ({exact['single_ms'] / exact['code_ms_at_bandwidth']:.2f} × reading)"
        )
        parts.append(f"recall {exact['recall_at_10']:.4f}")
        parts.append(f"batch × {exact['single_ms'] / exact['batch_ms_per_probe']:.1f}")
    if exact and faiss:
        parts.append(f"faiss × {faiss['single_ms'] / exact['single_ms']:.1f}")
    if exact and plain:
        parts.append(f"numpy × {plain['single_ms'] / exact['single_ms']:.1f}")
    if ivf:
        parts.append(f"ivf {ivf['single_ms']:.3f} ms (1/{ivf['exact_ms'] / ivf['single_ms']:.1f})")
        parts.append(f"right person {ivf['right_person']:.4f} of {ivf['right_person_exact']:.4f}")
    if row.get("open"):
        opened = row["open"]
        parts.append(f"open {opened['open_s']:.2f} s, {opened['memory_per_code_byte']:.2f} × code bytes")
    if row.get("changes"):
        changes = row["changes"]
        parts.append(f"add {changes['add_ms']:.2f} ms (95 % {changes['add_ms_95']:.2f})")
        parts.append(f"remove {changes['remove_ms']:.2f} ms (95 % {changes['remove_ms_95']:.2f})")
    return " · ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="up to 50,000 faces of 512 values, under a minute")
    parser.add_argument("--sizes", type=int, nargs="+", help="numbers of faces instead of those")
    parser.add_argument("--dimensions", type=int, nargs="+", help="values of a vector instead of 512 and 128")
    parser.add_argument("--peer-python", metavar="PATH", help="one with numpy and faiss-cpu; default: this interpreter")
    parser.add_argument("--hnsw", action="store_true", help="also the graph, up to 100,000 faces (minutes of building)")
    parser.add_argument("--scratch", help="folder for the vectors, up to 5 GB; default: the system's temporary one")
    parser.add_argument("--output", type=Path, default=Path("bench-output/search.json"))
    parser.add_argument("--run", choices=RUNS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        print(json.dumps(RUNS[arguments.run](Faces(arguments.folder, arguments.size), arguments.folder)))
        return
    reports = bench(arguments)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(reports, indent=1) + "\n")
    print(arguments.output)


if __name__ == "__main__":
    main()
