"""One configuration of facedex in a process of its own: times a photo, prints JSON in the last line."""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

import facedex

WARM_UP = 5
REPEATS = 40
BATCH = 16


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("picture", type=Path)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--mirror", action="store_true")
    arguments = parser.parse_args()
    engine = facedex.Engine(threads=arguments.threads, mirror=arguments.mirror or None)
    data = arguments.picture.read_bytes()
    pixels = np.asarray(Image.open(arguments.picture).convert("RGB"))
    faces = engine.analyze(pixels).faces
    if len(faces) != 1:
        raise SystemExit(f"the photo must show one face, found {len(faces)}")
    landmarks = faces[0].landmarks
    # A peer's embedding cuts the face out too.
    figures = {
        "embed": _timed(lambda: engine.embed(engine.crop(pixels, landmarks)[np.newaxis])),
        "many_jpeg": _timed(lambda: engine.analyze_many([data] * BATCH), repeats=5) / BATCH,
    }
    for task, picture in (("array", pixels), ("jpeg", data)):
        before = engine.stats()
        figures[f"analyze_{task}"] = _timed(lambda picture=picture: engine.analyze(picture))
        after = engine.stats()
        total, network = (after[key] - before[key] for key in ("total_s", "network_s"))
        figures[f"share_{task}"] = network / total
    figures["versions"] = {name: version(name) for name in ("facedex", "onnxruntime", "numpy")}
    print(json.dumps(figures))


def _timed(call: Callable[[], object], *, repeats: int = REPEATS) -> float:
    """Median time of a call, milliseconds."""
    times = []
    for number in range(WARM_UP + repeats):
        start = time.perf_counter()
        call()
        if number >= WARM_UP:
            times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


if __name__ == "__main__":
    main()
