"""Quality on real photos: each change of a picture lowers the component that measures it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from facedex import Engine, Face, Liveness, Quality, errors, people

COMPONENTS = (
    "head_size",
    "inter_eye_distance",
    "head_pose",
    "sharpness",
    "exposure",
    "dynamic_range",
    "face_occlusion_prevention",
)
WEIGHTS = (0.10, 0.15, 0.25, 0.25, 0.15, 0.05, 0.05)
PORTRAITS = [pictures[0] for pictures in people.PROBES.values()]


def photo(number: int) -> Image.Image:
    with Image.open(PORTRAITS[number]) as picture:
        return picture.convert("RGB")


def largest(engine: Engine, picture: Image.Image | NDArray[np.uint8]) -> Face:
    return engine.analyze(picture, embed=False, quality=True, max_faces=1, min_face=24)[0]


def quality(engine: Engine, picture: Image.Image | NDArray[np.uint8]) -> Quality:
    measured = largest(engine, picture).quality
    assert measured is not None
    return measured


def falling(values: list[float]) -> bool:
    return all(before >= after for before, after in pairwise(values)) and values[0] > values[-1] + 5


@pytest.mark.parametrize("number", range(len(PORTRAITS)))
def test_blur_lowers_sharpness(engine: Engine, number: int) -> None:
    pictures = [photo(number).filter(ImageFilter.GaussianBlur(radius)) for radius in (0, 1.5, 3, 6)]
    measured = [quality(engine, picture) for picture in pictures]
    assert falling([one.sharpness for one in measured])
    assert measured[0].unified_score > measured[1].unified_score > measured[2].unified_score


def brightened(picture: Image.Image, factor: float) -> Image.Image:
    return picture.point(lambda value: min(255, int(value * factor)))


@pytest.mark.parametrize("factors", [(1.0, 0.5, 0.3, 0.2), (2.0, 3.0, 5.0)], ids=["dark", "burnt out"])
def test_darkening_and_overexposure_lower_exposure(engine: Engine, factors: tuple[float, ...]) -> None:
    seen = []
    for number in range(len(PORTRAITS)):
        known = largest(engine, photo(number))
        found = [
            [face.quality.exposure for face in faces if np.abs(face.bbox - known.bbox).max() < 40]
            for factor in factors
            for faces in [engine.analyze(brightened(photo(number), factor), embed=False, quality=True)]
        ]
        if all(found):  # a picture as bad as the last may show no face: it cannot be compared then
            seen.append([exposures[0] for exposures in found])
    assert seen
    assert all(falling(exposures) for exposures in seen), seen


@pytest.mark.parametrize("number", [0, 3])
def test_smaller_lowers_size(engine: Engine, number: int) -> None:
    picture = photo(number)
    face = largest(engine, picture)
    side = min(face.bbox[2] - face.bbox[0], face.bbox[3] - face.bbox[1])
    scaled = [picture.resize((int(picture.width * w / side), int(picture.height * w / side))) for w in (160, 90, 45)]
    measured = [quality(engine, one) for one in scaled]
    assert falling([one.head_size for one in measured])
    assert falling([one.inter_eye_distance for one in measured])
    assert falling([one.unified_score for one in measured])


def test_roll_is_the_angle_of_the_picture(engine: Engine) -> None:
    picture = photo(0)
    upright = quality(engine, picture)
    turned = quality(engine, picture.rotate(-20, expand=True, resample=Image.Resampling.BICUBIC))
    assert turned.roll - upright.roll == pytest.approx(20, abs=4)
    assert turned.head_pose < upright.head_pose


@pytest.mark.parametrize("number", [0, 4])
def test_a_mirrored_face_looks_the_other_way(engine: Engine, number: int) -> None:
    picture = photo(number)
    seen = quality(engine, picture)
    mirrored = quality(engine, np.ascontiguousarray(np.asarray(picture)[:, ::-1]))
    assert (mirrored.yaw, mirrored.roll) == pytest.approx((-seen.yaw, -seen.roll), abs=6)
    assert mirrored.pitch == pytest.approx(seen.pitch, abs=6)


def test_scores_are_in_range_and_the_unified_one_is_their_weighted_mean(engine: Engine) -> None:
    for picture in [*PORTRAITS, people.GROUP]:
        for face in engine.analyze(picture, embed=False, quality=True):
            parts = [getattr(face.quality, name) for name in COMPONENTS]
            assert all(0 <= part <= 100 for part in parts)
            mean = 100 * np.prod([(max(part, 1) / 100) ** w for part, w in zip(parts, WEIGHTS, strict=True)])
            assert face.quality.unified_score == pytest.approx(mean, rel=1e-4)


def test_results_compare_by_value(engine: Engine) -> None:
    measured = quality(engine, photo(1))
    assert list(measured.to_dict()) == ["unified_score", *COMPONENTS, "yaw", "pitch", "roll"]
    assert pickle.loads(pickle.dumps(measured)) == measured == Quality(**measured.to_dict())
    assert hash(measured) == hash(Quality(**measured.to_dict()))
    assert repr(measured).startswith("Quality(unified_score=")
    with pytest.raises(AttributeError):
        measured.sharpness = 100.0  # type: ignore[misc]


def test_without_a_network_liveness_is_unavailable_or_refused(engine: Engine) -> None:
    for asked in (True, "advisory"):
        for face in engine.analyze(people.GROUP, embed=False, liveness=asked):
            assert (face.liveness.status, face.liveness.live, face.liveness.score) == ("unavailable", False, None)
            assert "has no liveness network; open a pack that has one, or add one" in face.liveness.reason
    with pytest.raises(errors.LivenessError, match="has no liveness network") as caught:
        engine.analyze(people.GROUP, embed=False, liveness="required")
    assert caught.value.code == "liveness_unavailable"
    # Refused before anything is found, so that an empty picture is no way round it.
    with pytest.raises(errors.LivenessError):
        engine.analyze(np.zeros((64, 64, 3), np.uint8), liveness="required")
    with pytest.raises(errors.RoleMissingError):
        engine.liveness_crops(people.GROUP, (0, 0, 10, 10))
    for wrong in ("always", 1, []):
        with pytest.raises(errors.ArgumentError, match='False, True, "advisory" or "required"'):
            engine.analyze(people.GROUP, liveness=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("score", [0.499999, 0.5, 0.500001])
def test_the_liveness_threshold_is_inclusive(score: float) -> None:
    judged = Liveness(score, 0.5)
    assert judged.live is (score >= 0.5)
    assert judged.status == ("live" if judged.live else "attack")


@pytest.mark.parametrize(
    "make",
    [lambda: Liveness(), lambda: Liveness(0.5), lambda: Liveness(0.5, 0.5, "small"), lambda: Liveness(0.5, reason="")],
)
def test_a_liveness_has_a_score_or_is_unavailable(make: Callable[[], Liveness]) -> None:
    with pytest.raises(errors.ArgumentError, match="score and threshold, or reason alone"):
        make()
    unavailable = Liveness(reason="too small")
    assert (unavailable.live, unavailable.status, unavailable.reason) == (False, "unavailable", "too small")
    assert repr(unavailable) == "Liveness(unavailable: too small)"
    assert pickle.loads(pickle.dumps(unavailable)) == unavailable
