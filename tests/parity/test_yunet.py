"""YuNet compared with OpenCV's FaceDetectorYN on the same pixels."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.shared

FILES = {
    "yunet_n": "yunet_n_dynamic.onnx",
    "yunet_s": "yunet_s_dynamic.onnx",
    "yunet_n_320": "yunet_n_320_320.onnx",
    "yunet_n_640": "yunet_n_640_640.onnx",
    "yunet_2023mar": "face_detection_yunet_2023mar.onnx",
    "yunet_2026may": "face_detection_yunet_2026may.onnx",
}


def detect_reference(cv2: ModuleType, weights: Path, picture: np.ndarray[Any, Any], side: int, fixed: bool) -> Any:
    """Return what the reference detects in an RGB picture whose long side is resized to `side`."""
    height, width = picture.shape[:2]
    size = (side, int(side * height / width)) if width >= height else (int(side / (height / width)), side)
    small = cv2.resize(np.ascontiguousarray(picture[..., ::-1]), size)
    if fixed:
        small = np.pad(small, ((0, side - size[1]), (0, side - size[0]), (0, 0)))
    # The thresholds are those of the manifests; the third number is OpenCV's own default.
    detector = cv2.FaceDetectorYN.create(str(weights), "", small.shape[1::-1], 0.6, 0.3, 5000)
    _, rows = detector.detect(small)
    rows = np.empty((0, 15)) if rows is None else rows
    scale = np.array([width / size[0], height / size[1]])
    boxes = np.hstack([rows[:, :2] * scale, (rows[:, :2] + rows[:, 2:4]) * scale])
    return boxes, rows[:, 4:14].reshape(-1, 5, 2) * scale, rows[:, 14]


@pytest.mark.slow
def test_a_hundred_photos_match_opencv(
    cv2: ModuleType, packs: Any, people_photos: list[Path], group_photos: list[Path], rgb: Any, found: Any
) -> None:
    engine = packs.open("detector/yunet_n")
    faces = 0
    for photo in people_photos + group_photos:
        picture = rgb(photo)
        mine = found.of(engine.analyze(picture, embed=False))
        answer = detect_reference(cv2, packs.weights(FILES["yunet_n"]), picture, 640, fixed=False)
        reference = found.reference(*answer, picture)
        if photo.name == "crowd_selfie.jpg":
            # OpenCV cuts boxes to whole pixels before it compares them: in a crowd one more or less stays.
            assert abs(len(mine.boxes) - len(reference.boxes)) <= 2
            rows, others = mine.pairs(reference)
            mine, reference = (
                type(side)(side.boxes[kept], side.points[kept], side.scores[kept])
                for side, kept in ((mine, rows), (reference, others))
            )
        differences = mine.differences(reference)
        assert max(differences) < 0.01, (photo.name, differences)
        faces += len(mine.boxes)
    assert faces > 450


@pytest.mark.parametrize("name", sorted(FILES))
def test_every_file_matches_opencv(
    name: str, cv2: ModuleType, packs: Any, people_photos: list[Path], annotated: Any, rgb: Any, found: Any
) -> None:
    engine = packs.open(f"detector/{name}")
    side = 320 if name.endswith("320") else 640
    fixed = name.endswith(("320", "640", "2023mar"))
    for photo in [*people_photos[::9], *list(annotated)[:3]]:
        picture = rgb(photo)
        mine = found.of(engine.analyze(picture, embed=False))
        answer = detect_reference(cv2, packs.weights(FILES[name]), picture, side, fixed)
        differences = mine.differences(found.reference(*answer, picture))
        assert max(differences) < 0.01, (photo.name, differences)


@pytest.mark.parametrize("name", ["yunet_n", "yunet_s"])
def test_all_annotated_faces_are_found(name: str, packs: Any, annotated: Any, shared: Path, found: Any) -> None:
    engine = packs.open(f"detector/{name}")
    for photo, boxes in annotated.items():
        mine = found.of(engine.analyze(photo, embed=False))
        rows, _ = mine.pairs(found.reference(boxes, None, np.ones(len(boxes)), np.empty((5000, 5000, 3), np.uint8)))
        assert len(rows) == len(boxes), photo.name
    assert not engine.analyze(shared / "faces" / "group" / "no_face_coffee.jpg", embed=False)
