"""Record the MTCNN cascade, stage by stage and end to end, from the PyPI package mtcnn on TensorFlow.

In: the bundled people. Out:

- `portrait-1.png`, `portrait-2.png`, `group.png`: bundled pictures reduced by averaging, kept without loss, because the
  cascade is brittle to the decoder: a test must be able to feed the very pixels that the reference saw;
- `mtcnn_cascade.npz`: on those pictures (and on one cut so that faces touch the edge) and on some in full size the
  boxes after each stage; some levels of the pyramid with P-Net's heads and the boxes made of them; crops for R-Net and
  O-Net; seeded cases of non-maximum suppression;
- `mtcnn_end_to_end.json`: faces in every bundled JPEG picture, decoded by Pillow.

    python tests/parity/record/mtcnn_cascade.py --people DIR --out tests/parity/data

Needs mtcnn 1.0.0, tensorflow and pillow. Parameters are the package's defaults unless a key says otherwise.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from mtcnn import MTCNN
from mtcnn.utils import bboxes as reference_boxes
from mtcnn.utils import images as reference_images
from PIL import Image
from sources import Array, jpeg_names, read_rgb, sha256, versions, write_arrays, write_json

PACKAGES = ("mtcnn", "tensorflow-cpu", "numpy", "pillow")
SEED = 20261122
SMALL = {
    "portrait-1": ("people/ayu/1.jpg", 320, 240),
    "portrait-2": ("probes/hadi-2.jpg", 240, 180),
    "group": ("group.jpg", 640, 360),
}
# Cut out of the reduced group picture: left, top, right, bottom. The outer faces touch the edges.
EDGE = ("group", (85, 110, 330, 290))
# In strangers/1.jpg two proposals of one level share the score 1.0: the order of equal scores shows.
FULL_SIZE = ("group.jpg", "people/ayu/1.jpg", "probes/hadi-2.jpg", "strangers/1.jpg")
PYRAMID_LEVELS = (4, 6)
STRICT = {"threshold_pnet": 0.7, "threshold_rnet": 0.8, "threshold_onet": 0.8}
DEFAULTS = {
    "min_face_size": 20,
    "scale_factor": 0.709,
    "threshold_pnet": 0.6,
    "threshold_rnet": 0.7,
    "threshold_onet": 0.8,
    "nms_pnet1": 0.5,
    "nms_pnet2": 0.7,
    "nms_rnet": 0.7,
    "nms_onet": 0.7,
}


def stages(detector: MTCNN, image: Array, parameters: dict[str, float]) -> dict[str, Array]:
    """Boxes after each stage for one image, before the last clipping to the picture.

    Returns
    -------
    dict
        `p` and `r`, shape (n, 5): x1, y1, x2, y2 (squared), score. `o`, shape (n, 15): the same, not squared, then
        five x and five y of the landmarks. float64, pixels of `image`, best score first.
    """
    batch = reference_images.normalize_images(image)[np.newaxis]
    shapes = np.array([image.shape])
    boxes = None
    after: dict[str, Array] = {}
    for name, stage in zip("pro", detector.stages, strict=True):
        boxes = stage(bboxes_batch=boxes, images_normalized=batch, images_oshapes=shapes, **parameters)
        after[name] = boxes[:, 1:].copy()
    return after


def faces(detector: MTCNN, image: Array, parameters: dict[str, float]) -> Array:
    """Final faces of one image: rows of x1, y1, x2, y2 (clipped to the picture), score, five x, five y; float64."""
    found = detector.detect_faces(image, output_type="numpy", box_format="xyxy", **parameters)
    return found[:, 1:]


def pyramid(detector: MTCNN, image: Array) -> dict[str, Array]:
    """Scales and sizes of the pyramid; for some levels the reduced picture, P-Net's heads, the boxes made of them."""
    height, width = image.shape[:2]
    scales = reference_images.build_scale_pyramid(width, height, min_face_size=20, scale_factor=0.709)
    batch = reference_images.normalize_images(image)[np.newaxis]
    levels, _ = reference_images.apply_scales(batch, [scales])
    arrays = {"scales": scales, "sizes": np.array([level.shape[1:3] for level in levels])}
    for number in PYRAMID_LEVELS:
        regression, scores = detector.stages[0]._model(levels[number])
        boxes = reference_boxes.generate_bounding_box(regression, scores, 0.6)
        boxes = reference_boxes.upscale_bboxes(boxes, scales[number : number + 1])
        kept = reference_boxes.smart_nms_from_bboxes(boxes, threshold=0.5, method="union", initial_sort=False)
        arrays |= {
            f"level{number}_tensor": levels[number].numpy()[0],
            f"level{number}_reg": regression.numpy()[0],
            f"level{number}_prob": scores.numpy()[0],
            f"level{number}_boxes": boxes[:, 1:],
            f"level{number}_kept": kept[:, 1:],
        }
    return arrays


def crops(image: Array) -> dict[str, Array]:
    """Crops of boxes inside, partly outside and larger than the picture, with fractions; float32, normalised."""
    height, width = image.shape[:2]
    boxes = np.array(
        [
            [100.25, 60.5, 190.75, 151.0],
            [-20.4, -10.6, 60.3, 70.1],
            [width - 50.2, height - 40.7, width + 29.8, height + 39.3],
            [0.0, 0.0, width, width],
            [150.0, 100.0, 166.5, 116.5],
        ]
    )
    batch = reference_images.normalize_images(image)[np.newaxis]
    rows = np.concatenate([np.zeros((len(boxes), 1)), boxes], axis=1)
    arrays = {"crop_boxes": boxes}
    for side in (24, 48):
        count = len(boxes) if side == 24 else 2
        tensors = reference_images.extract_patches(batch, rows[:count], expected_size=(side, side))
        arrays[f"crops{side}"] = tensors.numpy()
    return arrays


def suppression() -> dict[str, Array]:
    """Seeded boxes (float32 values, distinct scores, best first) and the rows that the reference keeps."""
    random = np.random.default_rng(SEED)
    arrays: dict[str, Array] = {}
    for number, count in enumerate((1, 12, 80, 200)):
        corners = random.uniform(0, 100, (count, 2)).astype(np.float32)
        sides = random.uniform(20, 80, (count, 2)).astype(np.float32)
        boxes = np.concatenate([corners, corners + sides], axis=1)
        scores = np.sort(random.choice(10_000, count, replace=False))[::-1].astype(np.float32) / np.float32(10_000)
        arrays[f"nms{number}_boxes"], arrays[f"nms{number}_scores"] = boxes, scores
        for method in ("union", "min"):
            overlaps = reference_boxes.iou(boxes.astype(np.float64), method=method)
            for threshold in (0.3, 0.7):
                kept = reference_boxes.nms(overlaps, threshold)
                arrays[f"nms{number}_{method}_{round(threshold * 100)}"] = kept.astype(np.int64)
    return arrays


def record_stages(detector: MTCNN, people: Path, out: Path) -> None:
    """Write the small pictures and `mtcnn_cascade.npz`."""
    arrays: dict[str, Array] = {}
    images: dict[str, Array] = {}
    for name, (source, width, height) in SMALL.items():
        reduced = Image.fromarray(read_rgb(people / source)).resize((width, height), Image.Resampling.BOX)
        reduced.save(out / f"{name}.png", optimize=True)
        images[name] = np.asarray(reduced)
    left, top, right, bottom = EDGE[1]
    images["edge"] = np.ascontiguousarray(images[EDGE[0]][top:bottom, left:right])
    arrays["edge_cut"] = np.array(EDGE[1])
    cases = [(name, image, DEFAULTS) for name, image in images.items()]
    cases.append(("group-strict", images["group"], DEFAULTS | STRICT))
    for name, image, parameters in cases:
        for stage, boxes in stages(detector, image, parameters).items():
            arrays[f"{name}_{stage}"] = boxes
        arrays[f"{name}_faces"] = faces(detector, image, parameters)
        print(f"{name}: boxes after P, R, O {[len(arrays[f'{name}_{stage}']) for stage in 'pro']}")
    for source in FULL_SIZE:
        for stage, boxes in stages(detector, read_rgb(people / source), DEFAULTS).items():
            arrays[f"{source.removesuffix('.jpg').replace('/', '-')}-full_{stage}"] = boxes
    arrays |= {f"pyramid_{key}": value for key, value in pyramid(detector, images["portrait-1"]).items()}
    arrays |= crops(images["portrait-1"]) | suppression()
    write_arrays(out / "mtcnn_cascade.npz", arrays, PACKAGES)


def record_end_to_end(detector: MTCNN, people: Path, out: Path) -> None:
    """Write `mtcnn_end_to_end.json`."""
    pictures = {}
    for name in jpeg_names(people):
        image = read_rgb(people / name)
        rows = faces(detector, image, DEFAULTS)
        pictures[name] = {
            "sha256": sha256(people / name),
            "size": [image.shape[1], image.shape[0]],
            "faces": [
                {
                    "bbox": np.round(row[:4], 4).tolist(),
                    "det_score": round(float(row[4]), 6),
                    "landmarks": np.round(row[5:].reshape(2, 5).T, 4).tolist(),
                }
                for row in rows
            ],
        }
    document = {"versions": versions(PACKAGES), "parameters": DEFAULTS, "pictures": pictures}
    write_json(out / "mtcnn_end_to_end.json", document)


def main() -> None:
    """Read the arguments and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=Path, required=True, help="folder of the bundled people")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    arguments = parser.parse_args()
    detector = MTCNN()
    record_stages(detector, arguments.people, arguments.out)
    record_end_to_end(detector, arguments.people, arguments.out)


if __name__ == "__main__":
    main()
