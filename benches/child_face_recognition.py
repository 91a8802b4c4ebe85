"""face_recognition (dlib) in a process of its own: times a photo, prints JSON in the last line.

The package's own functions with their defaults, as its users call them. Importing it ends the process where its models
are missing.
"""

import io
import json
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path

import dlib
import face_recognition

WARM_UP = 2
REPEATS = 8


def main() -> None:
    data = Path(sys.argv[1]).read_bytes()
    pixels = face_recognition.load_image_file(io.BytesIO(data))
    boxes = face_recognition.face_locations(pixels)
    if len(boxes) != 1:
        raise SystemExit(f"the photo must show one face, found {len(boxes)}")

    def analyze(image):
        return face_recognition.face_encodings(image, face_recognition.face_locations(image))

    figures = {
        "embed": _timed(lambda: face_recognition.face_encodings(pixels, boxes)),
        "analyze_array": _timed(lambda: analyze(pixels)),
        "analyze_jpeg": _timed(lambda: analyze(face_recognition.load_image_file(io.BytesIO(data)))),
        "versions": {"face_recognition": version("face_recognition"), "dlib": dlib.__version__},
    }
    print(json.dumps(figures))


def _timed(call):
    """Median time of a call, milliseconds."""
    times = []
    for number in range(WARM_UP + REPEATS):
        start = time.perf_counter()
        call()
        if number >= WARM_UP:
            times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


if __name__ == "__main__":
    main()
