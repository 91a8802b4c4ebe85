"""Record similarity transforms estimated by scikit-image and crops cut by OpenCV.

In: seeded point sets, and the reduced pictures with the landmarks that the MTCNN package found in them
(`mtcnn_cascade.py` writes both, so run that first). Out: `alignment.npz` with the template, the point sets, the 2x3
matrices `crop_from_image` (least squares over scale, rotation and shift, no reflection; Umeyama 1991) and crops of the
half-size template by `cv2.warpAffine`, bilinear, zero outside.

    python tests/parity/record/alignment.py --out tests/parity/data

Needs scikit-image, opencv-python-headless and pillow.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from skimage.transform import SimilarityTransform
from sources import Array, read_rgb, write_arrays

PACKAGES = ("scikit-image", "opencv-python-headless", "numpy", "pillow")
SEED = 20261123
CHIP_SIDE = 150
# Where the five landmarks found by MTCNN lie on dlib's 150x150 chip: the pack's template.
CHIP_TEMPLATE = np.array([(47.54, 45.48), (100.83, 45.47), (74.03, 77.41), (50.55, 103.91), (97.53, 103.93)])
RANDOM_SETS = 20
# Stored picture, and which of its faces, counted from the best score.
CROPS = (("portrait-1", 0), ("group", 0), ("edge", 2))


def crop_from_image(landmarks: Array, template: Array) -> Array:
    """Similarity that takes `landmarks` (5, 2) nearest to `template` (5, 2).

    Returns
    -------
    ndarray, shape (2, 3), float64
        Multiply by (x, y, 1) of the picture to get crop coordinates. Pixel centres lie at whole numbers.
    """
    transform = SimilarityTransform.from_estimate(np.asarray(landmarks, dtype=np.float64), template)
    if not transform:
        raise ValueError(f"no similarity for landmarks {landmarks.tolist()}: {transform}")
    return transform.params[:2]


def cut(image: Array, matrix: Array, side: int) -> Array:
    """Square crop, uint8 RGB, bilinear, zero outside the picture."""
    return cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def random_sets() -> tuple[Array, Array]:
    """Point sets at every size and angle, some far from any similarity, some nearly mirrored, and their matrices."""
    random = np.random.default_rng(SEED)
    sets = []
    for number in range(RANDOM_SETS):
        scale, angle = random.uniform(0.2, 8), random.uniform(-np.pi, np.pi)
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        noise = random.normal(0, (0, 2, 10, 30)[number % 4], (5, 2))
        sets.append((CHIP_TEMPLATE + noise) @ turn.T + random.uniform(-500, 2000, 2))
    squeezed = CHIP_TEMPLATE * np.array([0.05, 1.0])  # a face in profile: all five nearly on one line
    mirrored = CHIP_TEMPLATE * np.array([-1.0, 1.0]) + np.array([150.0, 0.0])
    points = np.stack([*sets, squeezed, mirrored]).astype(np.float32)
    return points, np.stack([crop_from_image(item, CHIP_TEMPLATE) for item in points])


def record(out: Path) -> None:
    """Write `alignment.npz`."""
    points, matrices = random_sets()
    arrays = {"template": CHIP_TEMPLATE, "points": points, "matrices": matrices}
    with np.load(out / "mtcnn_cascade.npz") as cascade:
        left, top, right, bottom = cascade["edge_cut"]
        for number, (name, face) in enumerate(CROPS):
            source = read_rgb(out / f"{'group' if name == 'edge' else name}.png")
            image = np.ascontiguousarray(source[top:bottom, left:right]) if name == "edge" else source
            landmarks = cascade[f"{name}_faces"][face, 5:].reshape(2, 5).T
            template = (CHIP_TEMPLATE + 0.5) / 2 - 0.5
            matrix = crop_from_image(landmarks, template)
            arrays |= {
                f"crop{number}_picture": np.array(name),
                f"crop{number}_landmarks": landmarks.astype(np.float32),
                f"crop{number}_template": template,
                f"crop{number}_matrix": matrix,
                f"crop{number}_pixels": cut(image, matrix, CHIP_SIDE // 2),
            }
    write_arrays(out / "alignment.npz", arrays, PACKAGES)


def main() -> None:
    """Read the arguments and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the cascade's data, written into")
    record(parser.parse_args().out)


if __name__ == "__main__":
    main()
