"""MTCNN's cascade through the engine against the faces that the mtcnn package found.

From the very pixels that the reference saw the boxes agree to hundredths of a pixel, but only because both make every
decision alike: the cascade is brittle. Its proposals start from cells 2 pixels of a reduced picture apart, and of two
that overlap the one with the higher score survives, so that a change of one level in some pixels may let another
proposal win and move a large face's box by pixels. From JPEG files, which our decoder turns into pixels that differ by
up to 4 levels from Pillow's, the same faces must be found, close by; noise of ±1 level moves the boxes as much.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from facedex import Engine, Face, people

Rows = NDArray[np.float64]
Pixels = NDArray[np.uint8]
AsRows = Callable[[Sequence[Face]], Rows]

PIXELS = 0.01
SCORE = 1e-5
CASES = ["portrait-1", "portrait-2", "group", "edge"]
MIN_FACE = 20


def agree(found: Rows, expected: Rows) -> bool:
    """The criterion of parity: the same faces in the same order, boxes and landmarks within 0.01 px, scores 1e-5."""
    if found.shape != expected.shape:
        return False
    differences = np.abs(found - expected)
    return bool(differences[:, 4].max() <= SCORE and np.delete(differences, 4, axis=1).max() <= PIXELS)


def assert_agree(found: Rows, expected: Rows, what: str) -> None:
    assert found.shape == expected.shape, f"{what}: {len(found)} faces, the reference found {len(expected)}"
    differences = np.abs(found - expected)
    score, pixels = differences[:, 4].max(), np.delete(differences, 4, axis=1).max()
    assert agree(found, expected), f"{what}: {pixels:.4f} px, scores {score:.1e} off"


@pytest.mark.parametrize("case", CASES)
def test_the_stored_pictures_give_the_recorded_faces(
    engine: Engine, cascade: dict[str, NDArray[Any]], small_pictures: dict[str, Pixels], as_rows: AsRows, case: str
) -> None:
    found = engine.analyze(small_pictures[case], min_face=MIN_FACE, embed=False)
    areas = [float(np.prod(face.bbox[2:] - face.bbox[:2])) for face in found]
    assert areas == sorted(areas, reverse=True)
    assert_agree(as_rows(found), cascade[f"{case}_faces"], case)


def test_other_thresholds_give_the_faces_recorded_with_them(
    classic_with: Callable[..., Engine],
    cascade: dict[str, NDArray[Any]],
    small_pictures: dict[str, Pixels],
    as_rows: AsRows,
) -> None:
    strict = classic_with("[0.7, 0.8, 0.8]", threads=1)
    found = strict.analyze(small_pictures["group-strict"], min_face=MIN_FACE, embed=False)
    assert_agree(as_rows(found), cascade["group-strict_faces"], "group-strict")


def test_every_bundled_picture_gives_the_recorded_faces_from_the_same_pixels(
    engine: Engine, end_to_end: dict[str, Rows], as_rows: AsRows, read_pixels: Callable[[Path], Pixels]
) -> None:
    assert len(end_to_end) == 43
    for name, expected in end_to_end.items():
        found = engine.analyze(read_pixels(people.FOLDER / name), min_face=MIN_FACE, embed=False)
        assert_agree(as_rows(found), expected, name)


def test_every_bundled_file_gives_the_same_faces_close_by(
    engine: Engine, end_to_end: dict[str, Rows], as_rows: AsRows
) -> None:
    boxes, points = [], []
    for name, expected in end_to_end.items():
        found = as_rows(engine.analyze(people.FOLDER / name, min_face=MIN_FACE, embed=False))
        assert len(found) == len(expected), name
        # scores of a crowd may change places: the nearest box is the same face, and no two faces have the same nearest
        nearest = np.abs(found[:, None, :4] - expected[None, :, :4]).sum(axis=2).argmin(axis=1)
        assert sorted(nearest) == list(range(len(expected))), name
        twin = expected[nearest]
        widths, eyes = twin[:, 2] - twin[:, 0], np.hypot(twin[:, 6] - twin[:, 5], twin[:, 11] - twin[:, 10])
        boxes.extend(np.abs(found[:, :4] - twin[:, :4]).max(axis=1) / widths)
        points.extend(np.abs(found[:, 5:] - twin[:, 5:]).max(axis=1) / eyes)
        assert np.abs(found[:, 4] - twin[:, 4]).max() < 0.05, name
    # Fractions of the box's width and of the distance between the eyes; the README of the folder above has pixels.
    assert max(boxes) < 0.08
    assert np.median(boxes) < 0.005
    assert max(points) < 0.10
    assert np.median(points) < 0.01


@pytest.fixture(scope="module")
def classic() -> Engine:
    return Engine("classic")


@pytest.mark.parametrize(
    ("picture", "scale"),
    [("people/farah/1.jpg", 1.0), ("people/ayu/2.jpg", 0.5), ("people/hadi/2.jpg", 2.0), ("probes/hadi-2.jpg", 0.8)],
)
def test_a_clear_face_that_one_square_doubts_passes_the_second_check(
    classic: Engine, picture: str, scale: float
) -> None:
    face = only(classic.analyze(resized(picture, scale), min_face=MIN_FACE, embed=False))
    assert 0.6 < face.det_score < 0.92


def test_hair_that_one_square_accepts_fails_the_second_check(
    classic: Engine, classic_with: Callable[..., Engine]
) -> None:
    picture = resized("probes/gita-2.jpg", 0.6)
    sure, hair = sorted(classic_with("[0.6, 0.7, 0.6]").analyze(picture, embed=False), key=lambda face: -face.det_score)
    assert hair.det_score > 0.8
    assert only(classic.analyze(picture, embed=False)).bbox.tolist() == sure.bbox.tolist()


def resized(picture: str, scale: float) -> Pixels:
    with Image.open(people.FOLDER / picture) as image:
        size = round(image.width * scale), round(image.height * scale)
        return np.array(image.convert("RGB").resize(size, Image.Resampling.BICUBIC))


def only(faces: Sequence[Face]) -> Face:
    [face] = faces
    return face


@pytest.mark.parametrize("case", CASES)
def test_swapped_red_and_blue_change_the_result(
    engine: Engine, cascade: dict[str, NDArray[Any]], small_pictures: dict[str, Pixels], as_rows: AsRows, case: str
) -> None:
    swapped = np.ascontiguousarray(small_pictures[case][..., ::-1])
    found, expected = as_rows(engine.analyze(swapped, min_face=MIN_FACE, embed=False)), cascade[f"{case}_faces"]
    assert not agree(found, expected)
    if found.shape == expected.shape:
        assert np.abs(found - expected).max() > 20 * PIXELS
