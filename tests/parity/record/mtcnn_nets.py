"""Record what the three MTCNN networks answer, from the PyPI package mtcnn on TensorFlow.

In: pieces of the bundled people, reduced, and seeded noise. Out: `mtcnn_nets.npz` with the uint8 RGB input of each
network and its raw outputs. The input tensor is (rgb - 127.5) / 128; outputs are in the network's own order and scale.

    python tests/parity/record/mtcnn_nets.py --people DIR --out tests/parity/data

Needs mtcnn 1.0.0, tensorflow and pillow.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from mtcnn import MTCNN
from PIL import Image
from sources import Array, read_rgb, write_arrays

PACKAGES = ("mtcnn", "tensorflow-cpu", "numpy", "pillow")
SEED = 20261121
# Heights and widths of P-Net's inputs: its least size (12), odd sizes (its pooling rounds up), and larger ones.
NOISE_SIZES = ((12, 12), (13, 17), (24, 19))
# Rectangles of a portrait (left, top, right, bottom) that hold a face, part of one, or none.
FACE_BOX = (220, 90, 420, 340)
PNET_SIZES = ((40, 32), (61, 47))
BOXES = ((220, 90, 420, 340), (240, 140, 400, 300), (200, 60, 440, 300), (300, 120, 420, 240), (10, 10, 130, 130))


def reduced(image: Array, box: tuple[int, int, int, int], height: int, width: int) -> Array:
    """Cut `box` out of `image` and reduce it, as uint8; these pixels are the recorded input."""
    cut = Image.fromarray(image).crop(box)
    return np.asarray(cut.resize((width, height), Image.Resampling.BOX))


def normalised(images: Array) -> Array:
    """The networks' input tensor: float32 in [-1, 1)."""
    return (images.astype(np.float32) - np.float32(127.5)) / np.float32(128)


def record(people: Path, out: Path) -> None:
    """Run the networks and write `mtcnn_nets.npz`."""
    pnet, rnet, onet = (stage._model for stage in MTCNN().stages)
    random = np.random.default_rng(SEED)
    portraits = [read_rgb(people / name) for name in ("people/budi/1.jpg", "probes/farah-1.jpg")]
    arrays: dict[str, Array] = {}

    inputs = [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in NOISE_SIZES]
    inputs += [reduced(portrait, FACE_BOX, *size) for portrait, size in zip(portraits, PNET_SIZES, strict=True)]
    for number, image in enumerate(inputs):
        regression, scores = (output.numpy()[0] for output in pnet(normalised(image)[np.newaxis]))
        arrays |= {f"pnet{number}_input": image, f"pnet{number}_reg": regression, f"pnet{number}_prob": scores}

    for name, net, side in (("rnet", rnet, 24), ("onet", onet, 48)):
        images = [reduced(portrait, box, side, side) for portrait in portraits for box in BOXES]
        images.append(random.integers(0, 256, (side, side, 3), dtype=np.uint8))
        batch = np.stack(images)
        outputs = [output.numpy() for output in net(normalised(batch))]
        arrays[f"{name}_input"] = batch
        arrays[f"{name}_reg"] = outputs[0]
        arrays[f"{name}_prob"] = outputs[-1]
        if name == "onet":
            arrays["onet_landmarks"] = outputs[1]
    write_arrays(out / "mtcnn_nets.npz", arrays, PACKAGES)


def main() -> None:
    """Read the arguments and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=Path, required=True, help="folder of the bundled people")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    arguments = parser.parse_args()
    record(arguments.people, arguments.out)


if __name__ == "__main__":
    main()
