"""Record what dlib's ResNet answers, from dlib itself.

In: the bundled people, the landmarks in `mtcnn_end_to_end.json` (`mtcnn_cascade.py` writes it) and the network's file.
Out:

- `dlib_chips.png`: ten 150x150 chips in two rows of five; `dlib_chips.npz`: their descriptors. The chips are kept as
  pixels, so that the network is compared alone;
- `dlib_end_to_end.npz`: one row a face in every bundled picture: the picture, the landmarks, the descriptor of the chip
  that OpenCV cuts by the similarity of those landmarks (`alignment.py`), without jitter.

    python tests/parity/record/dlib_descriptors.py --people DIR --weights FILE --out tests/parity/data

The file is `dlib_face_recognition_resnet_model_v1.dat` of the PyPI source package face_recognition_models 0.3.0; its
digest is checked. Needs dlib-bin, scikit-image, opencv-python-headless and pillow. Descriptors have 128 values and are
not of unit length.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import dlib
import numpy as np
from alignment import CHIP_SIDE, CHIP_TEMPLATE, crop_from_image, cut
from PIL import Image
from sources import Array, jpeg_names, read_rgb, sha256, write_arrays

PACKAGES = ("dlib-bin", "scikit-image", "opencv-python-headless", "numpy", "pillow")
WEIGHTS_SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
CHIPS = (
    ("people/ayu/1.jpg", 0),
    ("people/budi/2.jpg", 0),
    ("people/citra/3.jpg", 0),
    ("people/dewi/1.jpg", 0),
    ("probes/eko-1.jpg", 0),
    ("probes/farah-2.jpg", 0),
    ("probes/gita-1.jpg", 0),
    ("probes/hadi-2.jpg", 0),
    ("strangers/1.jpg", 0),
    ("group.jpg", 2),
)
COLUMNS = 5


def chips_of(people: Path, out: Path) -> dict[tuple[str, int], tuple[Array, Array]]:
    """Landmarks (5, 2) and chip of every face of every bundled picture, keyed by picture and face."""
    document = json.loads((out / "mtcnn_end_to_end.json").read_text(encoding="utf-8"))
    chips = {}
    for name in jpeg_names(people):
        image = read_rgb(people / name)
        entry = document["pictures"][name]
        if entry["sha256"] != sha256(people / name):
            raise SystemExit(f"{name} is not the picture whose landmarks were recorded: run mtcnn_cascade.py again")
        for number, face in enumerate(entry["faces"]):
            landmarks = np.array(face["landmarks"], dtype=np.float32)
            matrix = crop_from_image(landmarks, CHIP_TEMPLATE)
            chips[name, number] = landmarks, cut(image, matrix, CHIP_SIDE)
    return chips


def record(people: Path, weights: Path, out: Path) -> None:
    """Write the chips and the descriptors."""
    if sha256(weights) != WEIGHTS_SHA256:
        raise SystemExit(f"{weights} has SHA-256 {sha256(weights)}, expected {WEIGHTS_SHA256}")
    network = dlib.face_recognition_model_v1(str(weights))

    def descriptor(chip: Array) -> Array:
        values = network.compute_face_descriptor(np.ascontiguousarray(chip))
        return np.array(values, dtype=np.float32)

    chips = chips_of(people, out)
    chosen = [chips[key][1] for key in CHIPS]
    rows = [np.concatenate(chosen[start : start + COLUMNS], axis=1) for start in range(0, len(chosen), COLUMNS)]
    Image.fromarray(np.concatenate(rows, axis=0)).save(out / "dlib_chips.png", optimize=True)
    write_arrays(
        out / "dlib_chips.npz",
        {
            "pictures": np.array([name for name, _ in CHIPS]),
            "descriptors": np.stack([descriptor(chip) for chip in chosen]),
        },
        PACKAGES,
    )
    write_arrays(
        out / "dlib_end_to_end.npz",
        {
            "pictures": np.array([name for name, _ in chips]),
            "faces": np.array([number for _, number in chips]),
            "landmarks": np.stack([landmarks for landmarks, _ in chips.values()]),
            "descriptors": np.stack([descriptor(chip) for _, chip in chips.values()]),
        },
        PACKAGES,
    )


def main() -> None:
    """Read the arguments and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=Path, required=True, help="folder of the bundled people")
    parser.add_argument("--weights", type=Path, required=True, help="dlib_face_recognition_resnet_model_v1.dat")
    parser.add_argument("--out", type=Path, required=True, help="folder of the cascade's data, written into")
    arguments = parser.parse_args()
    record(arguments.people, arguments.weights, arguments.out)


if __name__ == "__main__":
    main()
