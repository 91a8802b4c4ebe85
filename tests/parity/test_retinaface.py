"""RetinaFace compared with a reimplementation in numpy, on pictures that need no resizing.

No package of the reference (biubug6/Pytorch_Retinaface) is on a registry; its arithmetic is: anchors in the middle of
each cell, SSD's decoding with variances 0.1 and 0.2, greedy suppression whose areas count both edge pixels.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

pytestmark = pytest.mark.shared

SIZES = {8: (16, 32), 16: (64, 128), 32: (256, 512)}
NATIVE = {"long_side = 640, max": "long_side = 1920, max", ", enlarge = true": ""}


def anchors(height: int, width: int) -> NDArray[np.float64]:
    return np.array(
        [
            ((column + 0.5) * stride, (row + 0.5) * stride, side)
            for stride, sides in SIZES.items()
            for row in range(math.ceil(height / stride))
            for column in range(math.ceil(width / stride))
            for side in sides
        ]
    )


def described(session: onnxruntime.InferenceSession, picture: NDArray[np.uint8]) -> tuple[Any, Any, Any]:
    """Boxes, points and scores of an RGB picture in its own size."""
    values = picture[..., ::-1].astype(np.float32) - np.array([104, 117, 123], np.float32)
    loc, conf, landms = session.run(["loc", "conf", "landms"], {"input": values.transpose(2, 0, 1)[None]})
    prior = anchors(*picture.shape[:2])
    assert len(prior) == loc.shape[1]
    likely = conf[0, :, 1] >= 0.6
    prior, loc, landms, scores = prior[likely], loc[0, likely], landms[0, likely], conf[0, likely, 1]
    centre, side = prior[:, :2], prior[:, 2:]
    middle, size = centre + loc[:, :2] * 0.1 * side, side * np.exp(loc[:, 2:] * 0.2)
    boxes = np.hstack([middle - size / 2, middle + size / 2])
    points = centre[:, None] + landms.reshape(-1, 5, 2) * 0.1 * side[:, None]
    kept: list[int] = []
    for row in np.argsort(-scores, kind="stable"):
        if all(overlap(boxes[row], boxes[other]) <= 0.4 for other in kept):
            kept.append(int(row))
    return boxes[kept], points[kept], scores[kept]


def overlap(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2]) + 1
    shared = float(np.prod(np.maximum(sides, 0)))
    areas = [float(np.prod(box[2:] - box[:2] + 1)) for box in (first, second)]
    return shared / (sum(areas) - shared)


def test_photos_match_the_description(
    packs: Any, people_photos: list[Path], annotated: Any, shared: Path, rgb: Any, found: Any
) -> None:
    session = onnxruntime.InferenceSession(
        packs.weights("retinaface_mobilenet0.25_biubug6.onnx"), providers=["CPUExecutionProvider"]
    )
    engine = packs.open("detector/retinaface", changes=NATIVE)
    faces = 0
    for photo in [*people_photos[::3], *annotated]:
        picture = rgb(photo)
        mine = found.of(engine.analyze(picture, embed=False))
        differences = mine.differences(found.reference(*described(session, picture), picture))
        assert max(differences) < 0.01, (photo.name, differences)
        faces += len(mine.boxes)
    assert faces > 240


def test_annotated_faces_are_found_at_the_usual_size(packs: Any, annotated: Any, shared: Path, found: Any) -> None:
    engine = packs.open("detector/retinaface")
    missed = 0
    for photo, boxes in annotated.items():
        mine = found.of(engine.analyze(photo, embed=False))
        rows, _ = mine.pairs(found.reference(boxes, None, np.ones(len(boxes)), np.empty((5000, 5000, 3), np.uint8)))
        missed += len(boxes) - len(rows)
    assert missed <= 2
    for name in ("no_face_cat.png", "no_face_coffee.jpg"):
        assert not engine.analyze(shared / "faces" / "group" / name, embed=False)
