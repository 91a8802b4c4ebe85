"""Age and gender compared with InsightFace's arithmetic in NumPy and ONNX Runtime."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from facedex import Attributes, Engine, errors, people
from facedex_build.onnx_file import Network

TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def guessing(packs: Any) -> Engine:
    return Engine(accept_license=packs.licence, add=[packs.manifest("attributes/genderage_v1")])


@pytest.fixture(scope="module")
def means(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """A network in the 96 x 96 layout whose three values are the means of red, green and blue, in hundredths."""
    network = Network("means")
    value = network.node("GlobalAveragePool", [network.input("data", ["n", 3, 96, 96])], "averaged")
    value = network.node("Flatten", [value], "flat", axis=1)
    network.node("Mul", [value, network.tensor("hundredth", np.full(1, 0.01, np.float32))], "fc1")
    network.output("fc1", ["n", 3])
    content = network.to_bytes()
    folder = tmp_path_factory.mktemp("means")
    (folder / "means.onnx").write_bytes(content)
    (folder / "means.toml").write_text(
        'format = 1\nname = "means"\nsummary = "for tests"\n'
        f'[[file]]\nname = "means.onnx"\nsize = {len(content)}\nsha256 = "{hashlib.sha256(content).hexdigest()}"\n'
        'licence = "Apache-2.0"\ncommercial = true\nlicence_source = "made here"\nsource = "made here"\n'
        'trained_on = "nothing"\n[attributes]\nfamily = "genderage"\nscale = 1.5\n[attributes.network]\n'
        'file = "means.onnx"\noutputs = ["fc1"]\ninput = { name = "data", width = 96, height = 96, colour = "rgb", '
        "mean = [0.0, 0.0, 0.0], std = [1.0, 1.0, 1.0] }\n"
    )
    return Engine(add=[folder / "means.toml"])


def similarity(points: Floats, template: Floats) -> Floats:
    """The least-squares similarity from points to template, (2, 3), by linear algebra."""
    rows = [[x, -y, 1, 0] for x, y in points] + [[y, x, 0, 1] for x, y in points]
    (a, b, tx, ty), *_ = np.linalg.lstsq(np.array(rows), template.T.ravel(), rcond=None)
    return np.array([[a, -b, tx], [b, a, ty]])


def warped(picture: Pixels, matrix: Floats, side: int) -> Pixels:
    """What `warpAffine` of OpenCV gives: bilinear, black outside."""
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    rows, columns = np.mgrid[:side, :side]
    x, y = inverse @ np.stack([columns.ravel(), rows.ravel(), np.ones(side * side)])
    framed = np.pad(picture.astype(np.float64), ((2, 2), (2, 2), (0, 0)))
    x, y = np.clip(x + 2, 0, framed.shape[1] - 2), np.clip(y + 2, 0, framed.shape[0] - 2)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    across, down = (x - left)[:, None], (y - top)[:, None]
    upper = framed[top, left] * (1 - across) + framed[top, left + 1] * across
    lower = framed[top + 1, left] * (1 - across) + framed[top + 1, left + 1] * across
    values = upper * (1 - down) + lower * down
    return np.floor(values + 0.5).astype(np.uint8).reshape(side, side, 3)


def read(values: NDArray[np.float32]) -> tuple[str, float, float]:
    """The label, its share and the age, as the authors read the 202 values."""
    female, male = values[:2].astype(np.float64)
    years = values[2:].reshape(100, 2)
    share = 1 / (1 + np.exp(-abs(male - female)))
    return ("male" if male > female else "female"), share, float((years[:, 1] > years[:, 0]).sum())


@pytest.mark.shared
def test_attributes_equal_those_of_the_network(
    guessing: Engine, packs: Any, people_photos: list[Path], rgb: Callable[[Path], Pixels]
) -> None:
    session = onnxruntime.InferenceSession(
        packs.weights("genderage_v1_insightface_112.onnx"), providers=["CPUExecutionProvider"]
    )
    changed = 0
    for photo in people_photos[:30]:
        picture = rgb(photo)
        face = guessing.analyze(picture, embed=False, attributes=True, max_faces=1)[0]
        crop = guessing.attributes_crop(picture, face.bbox, face.landmarks)
        matrix = similarity(face.landmarks.astype(np.float64), TEMPLATE)
        if np.hypot(*matrix[:, 0]) > 0.5:  # a larger face is averaged first, which the reference does not
            assert np.abs(crop.astype(int) - warped(picture, matrix, 112)).max() <= 1
        values = session.run(None, {"input": crop.transpose(2, 0, 1)[None].astype(np.float32)})[0][0]
        gender, share, age = read(values)
        assert (face.attributes.gender, face.attributes.age) == (gender, age)
        assert face.attributes.gender_score == pytest.approx(share, abs=1e-5)
        swapped = session.run(None, {"input": crop[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32)})[0][0]
        changed += abs(read(swapped)[1] - share) > 0.01 or read(swapped)[2] != age
    assert changed > 20, "a swapped colour order would not be seen"


@pytest.mark.parametrize("picture", [people.GROUP, people.PROBES["ayu"][0]], ids=["group", "portrait"])
def test_the_square_round_the_box_goes_in_as_rgb(means: Engine, picture: Path, rgb: Callable[[Path], Pixels]) -> None:
    pixels = rgb(picture)
    for face in means.analyze(pixels, embed=False, attributes=True):
        x1, y1, x2, y2 = map(float, face.bbox)
        scale = 96 / (max(x2 - x1, y2 - y1) * 1.5)
        matrix = np.array([[scale, 0, 48 - scale * (x1 + x2) / 2], [0, scale, 48 - scale * (y1 + y2) / 2]])
        crop = means.attributes_crop(pixels, face.bbox, face.landmarks)
        if scale > 0.5:
            assert np.abs(crop.astype(int) - warped(pixels, matrix, 96)).max() <= 1
        red, green, blue = crop.reshape(-1, 3).mean(axis=0)
        assert face.attributes.age == pytest.approx(blue, abs=1e-2)
        assert face.attributes.gender == ("male" if green > red else "female")
        assert face.attributes.gender_score == pytest.approx(1 / (1 + np.exp(-abs(green - red) / 100)), abs=1e-4)


def test_only_requested_networks_run(means: Engine, engine: Engine) -> None:
    face = means.analyze(people.GROUP, embed=False, max_faces=1)[0]
    assert (face.embedding, face.attributes, face.liveness, face.quality) == (None, None, None, None)
    before = means.stats()["network_s"]
    asked = means.analyze(people.GROUP, embed=False, max_faces=1, attributes=True)[0]
    assert means.stats()["network_s"] > before
    assert asked.attributes is not None
    assert asked.embedding is None
    assert pickle.loads(pickle.dumps(asked)) == asked
    with pytest.raises(
        errors.RoleMissingError, match="has no attributes network; open a pack that has one, or add one"
    ):
        engine.analyze(people.GROUP, attributes=True)
    with pytest.raises(errors.RoleMissingError):
        engine.attributes_crop(people.GROUP, face.bbox, face.landmarks)


def test_attributes_can_be_constructed_and_compared() -> None:
    one = Attributes(31.0, "female", 0.9)
    assert (one.age, one.gender) == (31.0, "female")
    assert one == Attributes(31.0, "female", one.gender_score) != Attributes(31.0, "male", 0.9)
    assert hash(one) == hash(pickle.loads(pickle.dumps(one)))
    assert repr(one) == 'Attributes(age=31, gender="female", gender_score=0.90)'
    with pytest.raises(errors.ArgumentError, match='"female" or "male", got "other"'):
        Attributes(31.0, "other", 0.9)
