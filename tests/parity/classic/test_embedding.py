"""Crops and embeddings through the engine against OpenCV's cuts and dlib's own descriptors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facedex import Engine, people

Pixels = NDArray[np.uint8]
Chips = tuple[Pixels, NDArray[np.str_], NDArray[np.float32]]
Described = list[tuple[str, NDArray[np.float32], NDArray[np.float32]]]

FROM_CHIPS = 1e-5
FROM_LANDMARKS = 1e-4


def test_dlibs_chips_give_dlibs_descriptors(engine: Engine, chips: Chips) -> None:
    pixels, _, expected = chips
    found = engine.embed(pixels)
    assert found.shape == expected.shape == (10, 128)
    np.testing.assert_allclose(found, expected, rtol=0, atol=FROM_CHIPS)


def test_a_crop_and_its_mirror_image_give_their_mean(chips: Chips) -> None:
    """Mirrored chips were not given to dlib: the mean is made of single embeddings, each checked above."""
    pixels, _, _ = chips
    one, both = (Engine("classic", mirror=mirror, threads=1) for mirror in (False, True))
    mirrored = np.ascontiguousarray(pixels[:, :, ::-1])
    np.testing.assert_allclose(both.embed(pixels), both.embed(mirrored), rtol=0, atol=FROM_CHIPS)
    # Lengths of the network's own outputs differ by some per cent between a crop and its mirror image, so that the
    # direction of their sum differs a little from that of the sum of the directions.
    directions = one.embed(pixels) + one.embed(mirrored)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    assert np.abs(both.embed(pixels) - directions).max() < 2e-3
    assert np.abs(both.embed(pixels) - one.embed(pixels)).max() > 5e-3


def test_swapped_red_and_blue_change_the_result(engine: Engine, chips: Chips) -> None:
    pixels, _, expected = chips
    swapped = engine.embed(np.ascontiguousarray(pixels[..., ::-1]))
    assert np.abs(swapped - expected).max(axis=1).min() > 1000 * FROM_CHIPS


def test_crops_are_those_of_opencv(
    engine: Engine, chips: Chips, described_faces: Described, read_pixels: Callable[[Path], Pixels]
) -> None:
    """The faces are less than twice as large as the chip, so that no picture is averaged down first."""
    pixels, names, expected = chips
    for chip, name, descriptor in zip(pixels, names, expected, strict=True):
        [landmarks] = [
            points for other, points, values in described_faces if other == name and (values == descriptor).all()
        ]
        crop = engine.crop(read_pixels(people.FOLDER / str(name)), landmarks)
        assert crop.shape == chip.shape
        difference = np.abs(crop.astype(int) - chip.astype(int))
        assert difference.max() <= 1, name
        assert difference.mean() < 1e-3, name


def test_recorded_landmarks_give_dlibs_descriptors_from_the_same_pixels(
    engine: Engine, described_faces: Described, read_pixels: Callable[[Path], Pixels]
) -> None:
    assert len(described_faces) == 47
    for name, landmarks, expected in described_faces:
        crop = engine.crop(read_pixels(people.FOLDER / name), landmarks)
        found = engine.embed(crop[np.newaxis])[0]
        np.testing.assert_allclose(found, expected, rtol=0, atol=FROM_LANDMARKS, err_msg=name)


def test_recorded_landmarks_give_dlibs_descriptors_from_the_files(engine: Engine, described_faces: Described) -> None:
    """Only the JPEG decoder lies between: by up to 4 levels, 0.06 in the mean."""
    for name, landmarks, expected in described_faces:
        found = engine.embed(engine.crop(people.FOLDER / name, landmarks)[np.newaxis])[0]
        assert np.abs(found - expected).max() < 4e-3, name
        assert float(found @ expected) > 0.99995, name


def test_all_the_way_from_the_files(engine: Engine, described_faces: Described) -> None:
    """Here the landmarks are our own, which move with the decoder's pixels (test_cascade.py)."""
    cosines = []
    for name in sorted({name for name, _, _ in described_faces}):
        found = engine.analyze(people.FOLDER / name, min_face=20)
        for other, landmarks, expected in described_faces:
            if other == name:
                face = min(found, key=lambda face: float(np.abs(face.landmarks - landmarks).sum()))
                assert face.embedding is not None
                cosines.append(float(face.embedding @ expected))
    assert len(cosines) == len(described_faces)
    assert min(cosines) > 0.995
    assert np.mean(np.array(cosines) > 0.999) > 0.9
    assert np.median(cosines) > 0.9999


@pytest.mark.parametrize("number", range(10))
def test_a_face_of_swapped_pixels_is_another_embedding(
    engine: Engine, chips: Chips, described_faces: Described, read_pixels: Callable[[Path], Pixels], number: int
) -> None:
    _, names, expected = chips
    name, descriptor = str(names[number]), expected[number]
    [landmarks] = [
        points for other, points, values in described_faces if other == name and (values == descriptor).all()
    ]
    swapped = np.ascontiguousarray(read_pixels(people.FOLDER / name)[..., ::-1])
    found = engine.embed(engine.crop(swapped, landmarks)[np.newaxis])[0]
    assert np.abs(found - descriptor).max() > 100 * FROM_LANDMARKS
