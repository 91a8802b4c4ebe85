"""Resident memory over many calls on pictures of a few sizes, as bytes and as arrays, with faces and without."""

import argparse
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

STATM = Path("/proc/self/statm")
SIZES = ((160, 120), (120, 160), (128, 128), (180, 180), (200, 150), (240, 180))
WARM_UP = 500
EVERY = 250
MOST_GROWTH = 0.02


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--calls", type=int, default=20_000, help="calls after the warm-up (default 20,000)")
    parser.add_argument("--threads", type=int, default=None, help="threads of the engine (default: as the engine)")


def run(arguments: argparse.Namespace) -> bool:
    """Watch a fresh process, so that nothing else lives in it."""
    if not STATM.exists():
        print("memory: skipped, resident memory is read from /proc, which this system does not have")
        return True
    command = [sys.executable, __file__, str(arguments.calls), str(arguments.threads or 0)]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    report = json.loads(ended.stdout.splitlines()[-1])
    first, last, peak = (report[key] for key in ("first_mb", "last_mb", "peak_mb"))
    met = peak <= first * (1 + MOST_GROWTH)
    print(f"{report['calls']} calls in {report['seconds']:.0f} s after {WARM_UP} to warm up; resident memory, MB:")
    grown = {"last": last / first - 1, "peak": peak / first - 1}
    print(f"  first {first:.1f}   last {last:.1f} ({grown['last']:+.2%})   peak {peak:.1f} ({grown['peak']:+.2%})")
    print(f"{'met   ' if met else 'MISSED'}  no growth beyond {MOST_GROWTH:.0%}")
    path = arguments.output / "memory.json"
    path.write_text(json.dumps(report | {"met": met}, indent=1) + "\n")
    print(f"written: {path}")
    return met


def _watch(calls: int, threads: int) -> None:
    import numpy as np
    from PIL import Image

    import facedex
    from facedex import people

    pictures: list[bytes | np.ndarray] = []
    for source, (width, height) in zip((*people.STRANGERS, *people.PICTURES["ayu"], people.GROUP), SIZES, strict=True):
        image = Image.open(source).convert("RGB").resize((width, height))
        file = io.BytesIO()
        image.save(file, "JPEG", quality=90)
        pictures += [file.getvalue(), np.asarray(image), np.zeros((height, width, 3), np.uint8)]
    engine = facedex.Engine(threads=threads or None)
    samples = []
    started = time.monotonic()
    for number in range(WARM_UP + calls):
        engine.analyze(pictures[number % len(pictures)])
        if number >= WARM_UP - 1 and (number - WARM_UP + 1) % EVERY == 0:
            samples.append(_resident_mb())
    report = {
        "calls": calls,
        "sizes": SIZES,
        "seconds": time.monotonic() - started,
        "first_mb": samples[0],
        "last_mb": samples[-1],
        "peak_mb": max(samples),
        "every": EVERY,
        "samples_mb": samples,
    }
    print(json.dumps(report))


def _resident_mb() -> float:
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    _watch(int(sys.argv[1]), int(sys.argv[2]))
