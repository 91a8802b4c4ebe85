"""SCRFD compared with the insightface package on the same pixels."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from facedex.errors import ArgumentError

pytestmark = pytest.mark.shared

SIDE = 640


@pytest.fixture(scope="module")
def named(packs: Any) -> Any:
    return packs.open("detector/scrfd_500m")


def make_reference(reference: ModuleType, packs: Any, file: str) -> Callable[[np.ndarray[Any, Any]], Any]:
    """Return the reference's detection on RGB pictures, with an input of 640 x 640."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        detector = reference.SCRFD(str(packs.weights(file)))
        detector.prepare(-1)

    def detect(picture: np.ndarray[Any, Any]) -> Any:
        boxes, points = detector.detect(picture[..., ::-1], input_size=(SIDE, SIDE))
        return boxes[:, :4], points, boxes[:, 4]

    return detect


def square(picture: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The picture in the upper left of a black square: the same input for both, which facedex would not pad."""
    side = max(picture.shape[:2])
    return np.pad(picture, ((0, side - picture.shape[0]), (0, side - picture.shape[1]), (0, 0)))


@pytest.mark.slow
def test_a_hundred_photos_match_insightface(
    named: Any,
    packs: Any,
    scrfd_reference: ModuleType,
    people_photos: list[Path],
    group_photos: list[Path],
    rgb: Any,
    found: Any,
) -> None:
    detect = make_reference(scrfd_reference, packs, "scrfd_500m_bnkps.onnx")
    faces = 0
    for photo in people_photos + group_photos:
        picture = square(rgb(photo))
        mine = found.of(named.analyze(picture, embed=False))
        differences = mine.differences(found.reference(*detect(picture), picture))
        assert max(differences) < 0.01, (photo.name, differences)
        faces += len(mine.boxes)
    assert faces > 400


def test_a_wide_photo_differs_by_its_padding_only(
    named: Any, packs: Any, scrfd_reference: ModuleType, group_photos: list[Path], rgb: Any, found: Any
) -> None:
    """The reference fills the input up to a square with black and takes one scale for both axes."""
    detect = make_reference(scrfd_reference, packs, "scrfd_500m_bnkps.onnx")
    for photo in group_photos:
        picture = rgb(photo)
        height, width = picture.shape[:2]
        mine = found.of(named.analyze(picture, embed=False))
        boxes, points, scores = detect(picture)
        across = np.array([(int(SIDE * height / width) / height) / (SIDE / width), 1.0])
        reference = found.reference(boxes * [*across, *across], points * across, scores, picture)
        rows, others = mine.pairs(reference)
        assert len(rows) >= 0.97 * len(reference.boxes)
        pixel = max(height, width) / SIDE
        assert np.abs(mine.boxes[rows] - reference.boxes[others]).max() < 1.5 * pixel, photo.name
        assert np.abs(mine.points[rows] - reference.points[others]).max() < 1.5 * pixel, photo.name


def test_all_annotated_faces_are_found_and_no_others(named: Any, annotated: Any, shared: Path, found: Any) -> None:
    missed = 0
    for photo, boxes in annotated.items():
        mine = found.of(named.analyze(photo, embed=False))
        rows, _ = mine.pairs(found.reference(boxes, None, np.ones(len(boxes)), np.empty((5000, 5000, 3), np.uint8)))
        missed += len(boxes) - len(rows)
        assert len(mine.boxes) - len(rows) <= 1, photo.name
    assert sum(map(len, annotated.values())) == 222
    assert missed == 0
    for name in ("no_face_cat.png", "no_face_coffee.jpg"):
        assert not named.analyze(shared / "faces" / "group" / name, embed=False)


def test_a_larger_network_matches_insightface(
    packs: Any, scrfd_reference: ModuleType, people_photos: list[Path], rgb: Any, found: Any
) -> None:
    detect = make_reference(scrfd_reference, packs, "scrfd_2.5g_bnkps.onnx")
    engine = packs.open("detector/scrfd_2.5g")
    for photo in people_photos[::9]:
        picture = rgb(photo)
        mine = found.of(engine.analyze(picture, embed=False))
        assert max(mine.differences(found.reference(*detect(picture), picture))) < 0.01, photo.name


def test_named_numbered_and_batched_heads_give_the_same_faces(
    named: Any, packs: Any, people_photos: list[Path], found: Any
) -> None:
    numbered = packs.open("detector/scrfd_500m_numbered")
    for photo in people_photos[::9]:
        first, second = (found.of(engine.analyze(photo, embed=False)) for engine in (named, numbered))
        assert max(first.differences(second)) < 1e-3, photo.name


def test_without_heads_for_points_the_boxes_are_the_same(named: Any, packs: Any, people_photos: list[Path]) -> None:
    boxes_only = packs.open("detector/scrfd_500m_boxes")
    for photo in people_photos[::30]:
        whole, boxes = (engine.analyze(photo, embed=False) for engine in (named, boxes_only))
        assert [face.bbox.tolist() for face in whole] == [face.bbox.tolist() for face in boxes]
        assert all(face.landmarks is None for face in boxes)


def test_a_declared_input_size_is_kept(named: Any, packs: Any, people_photos: list[Path]) -> None:
    fixed = packs.open(
        "detector/scrfd_500m",
        changes={
            "size = { long_side = 640, max_long_side = 1920, smallest_face = 12, enlarge = true }\n": "",
            'name = "input.1", ': 'name = "input.1", width = 640, height = 640, ',
        },
    )
    for photo in people_photos[::30]:
        assert fixed.analyze(photo, embed=False).faces == named.analyze(photo, embed=False).faces


def test_a_small_minimum_face_enlarges_the_input(packs: Any, annotated: Any) -> None:
    small = packs.open("detector/scrfd_500m", changes={"long_side = 640, max": "long_side = 320, max"})
    (photo,) = (photo for photo in annotated if photo.name == "suits_77.jpg")
    assert len(small.analyze(photo, embed=False)) < 40
    assert len(small.analyze(photo, embed=False, min_face=18)) >= 77


def test_faces_under_the_minimum_are_left_out(named: Any, annotated: Any) -> None:
    (photo,) = (photo for photo in annotated if photo.name == "t1.jpg")
    heights = sorted(face.bbox[3] - face.bbox[1] for face in named.analyze(photo, embed=False))
    assert len(heights) == 6
    middle = int(heights[3])
    assert len(named.analyze(photo, embed=False, min_face=middle)) == sum(height >= middle for height in heights)
    with pytest.raises(ArgumentError, match="min_face"):
        named.analyze(photo, embed=False, min_face=0)
