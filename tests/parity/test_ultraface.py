"""UltraFace compared with a reimplementation in OpenCV and numpy, and its boxes with O-Net's points.

No package of the reference (Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB) is on a registry.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from facedex.errors import RoleMissingError

pytestmark = pytest.mark.shared

FILES = {"ultraface_rfb": "version-RFB-320.onnx", "ultraface_slim": "version-slim-320.onnx"}


def described(
    cv2: ModuleType, session: onnxruntime.InferenceSession, picture: NDArray[np.uint8], overlap: Any
) -> tuple[Any, Any, Any]:
    """Boxes and scores of an RGB picture, stretched to 320 x 240."""
    values = (cv2.resize(picture, (320, 240)).astype(np.float32) - 127) / 128
    scores, boxes = session.run(["scores", "boxes"], {"input": values.transpose(2, 0, 1)[None]})
    likely = scores[0, :, 1] >= 0.7
    height, width = picture.shape[:2]
    boxes, scores = boxes[0, likely] * [width, height, width, height], scores[0, likely, 1]
    kept: list[int] = []
    for row in np.argsort(-scores, kind="stable"):
        if not kept or overlap(boxes[row : row + 1], boxes[kept]).max() <= 0.3:
            kept.append(int(row))
    return boxes[kept], None, scores[kept]


@pytest.fixture(scope="module")
def quiet_session() -> Any:
    def open_session(path: Path) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    return open_session


@pytest.mark.parametrize("name", sorted(FILES))
def test_photos_match_the_description(
    name: str,
    cv2: ModuleType,
    packs: Any,
    quiet_session: Any,
    people_photos: list[Path],
    annotated: Any,
    rgb: Any,
    found: Any,
    overlap: Any,
) -> None:
    session = quiet_session(packs.weights(FILES[name]))
    engine = packs.open(f"detector/{name}")
    faces = 0
    for photo in [*people_photos[::3], *annotated]:
        picture = rgb(photo)
        mine = found.of(engine.analyze(picture, embed=False))
        differences = mine.differences(found.reference(*described(cv2, session, picture, overlap), picture))
        assert max(differences) < 0.02, (photo.name, differences)
        faces += len(mine.boxes)
    assert faces > 100


def test_counts_on_group_photos(packs: Any, annotated: Any) -> None:
    engine = packs.open("detector/ultraface_rfb")
    counts = {photo.name: len(engine.analyze(photo, embed=False)) for photo in annotated}
    for name in ("t1.jpg", "multiface.jpg", "six_people_party.jpg"):
        assert counts[name] == 6
    assert counts["nine_people_bench.jpg"] == 9


def test_without_points_nothing_can_be_embedded(packs: Any, people_photos: list[Path]) -> None:
    engine = packs.open("detector/ultraface_rfb", "embedder/foamliu")
    with pytest.raises(RoleMissingError, match=r"\[landmarks\]"):
        engine.analyze(people_photos[0])
    (face, *_) = engine.analyze(people_photos[0], embed=False)
    assert face.landmarks is None


def test_onet_points_are_near_those_of_scrfd(packs: Any, people_photos: list[Path], found: Any) -> None:
    with_points = packs.open("detector/ultraface_rfb", "landmarks/onet")
    scrfd = packs.open("detector/scrfd_500m")
    distances = []
    for photo in people_photos:
        mine, other = (found.of(engine.analyze(photo, embed=False)) for engine in (with_points, scrfd))
        rows, others = mine.pairs(other)
        eyes = np.linalg.norm(other.points[others, 0] - other.points[others, 1], axis=1)
        mean = np.linalg.norm(mine.points[rows] - other.points[others], axis=2).mean(axis=1)
        distances.extend(mean / eyes)
    assert len(distances) >= 90
    assert np.median(distances) < 0.06
    assert np.percentile(distances, 95) < 0.16
