"""O-Net as a separate role, compared with its network alone on the same squares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

pytestmark = pytest.mark.shared

ROLE = ("detector/yunet_n", "landmarks/onet")


def sampled(picture: NDArray[np.uint8], square: NDArray[np.float64]) -> NDArray[np.float32]:
    """The square stretched to 48 x 48 as TensorFlow's `crop_and_resize` does it, (x - 127.5) / 128, 0 outside."""
    values = (picture.astype(np.float64) - 127.5) / 128

    def axis(start: float, end: float, length: int) -> tuple[Any, Any, Any, Any]:
        place = np.linspace(start / length * (length - 1), end / length * (length - 1), 48)
        low = np.clip(np.floor(place).astype(int), 0, length - 1)
        return low, np.clip(low + 1, 0, length - 1), place - low, (place >= 0) & (place <= length - 1)

    left, right, across, in_x = axis(square[0], square[2], picture.shape[1])
    upper, lower, down, in_y = axis(square[1], square[3], picture.shape[0])
    rows = values[:, left] + (values[:, right] - values[:, left]) * across[None, :, None]
    crop = rows[upper] + (rows[lower] - rows[upper]) * down[:, None, None]
    crop[~(in_y[:, None] & in_x[None, :])] = 0
    return crop.transpose(2, 0, 1)[None].astype(np.float32)


def test_points_equal_those_of_the_network_alone(packs: Any, people_photos: list[Path], rgb: Any) -> None:
    session = onnxruntime.InferenceSession(packs.weights("onet.onnx"), providers=["CPUExecutionProvider"])
    plain, refined = packs.open(ROLE[0]), packs.open(*ROLE)
    seen = 0
    for photo in people_photos[::5]:
        picture = rgb(photo)
        for before, after in zip(
            plain.analyze(picture, embed=False), refined.analyze(picture, embed=False), strict=True
        ):
            assert before.bbox.tolist() == after.bbox.tolist()
            assert before.det_score == after.det_score
            box = before.bbox.astype(np.float64)
            if box.min() <= 0 or max(box) >= min(picture.shape[:2]) - 1:
                continue  # cut at the edge: the network saw the whole box
            middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).max() / 2
            square = np.concatenate([middle - half, middle + half])
            (points,) = session.run(["landmarks"], {"input": sampled(picture, square)})
            expected = (2 * half + 1) * points.reshape(2, 5).T + square[:2] - 1
            assert after.landmarks is not None
            assert np.abs(after.landmarks - expected).max() < 0.01, photo.name
            seen += 1
    assert seen >= 15


def test_its_score_removes_false_detections(packs: Any, shared: Path, annotated: Any) -> None:
    """YuNet-n detects the cat as a face; with a higher limit O-Net does not, and keeps the faces of a group."""
    cat = shared / "faces" / "group" / "no_face_cat.png"
    weeding = packs.open(*ROLE, changes={'family = "onet"': 'family = "onet"\nmin_score = 0.5'})
    assert len(packs.open(*ROLE).analyze(cat, embed=False)) == 1
    assert not weeding.analyze(cat, embed=False)
    for photo, boxes in annotated.items():
        if photo.name in ("t1.jpg", "multiface.jpg", "nine_people_bench.jpg"):
            assert len(weeding.analyze(photo, embed=False)) == len(boxes)
