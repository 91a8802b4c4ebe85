"""Embedders compared with their networks alone; crops and full images compared with the insightface package."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from facedex import Engine
from facedex.errors import NetworkError
from facedex_build.onnx_file import Network

Pixels = NDArray[np.uint8]
Floats = NDArray[np.floating]

FED: dict[str, tuple[str, Callable[[Pixels], Floats]]] = {
    # ImageNet's normalisation, as foamliu trained it
    "foamliu": (
        "mobilefacenet_foamliu_128d.onnx",
        lambda crop: (crop / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225],
    ),
    "xiaoccer": ("mobilefacenet_xiaoccer_128d.onnx", lambda crop: (crop - 127.5) / 128),
    # normalised inside the graph
    "y1": ("mobilefacenet_y1_insightface_128d.onnx", lambda crop: crop.astype(np.float64)),
}


def unit(rows: Floats) -> Floats:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def by_hand(packs: Any, name: str, crops: Pixels, fed: Callable[[Pixels], Floats]) -> Floats:
    session = onnxruntime.InferenceSession(packs.weights(FED[name][0]), providers=["CPUExecutionProvider"])
    feed = session.get_inputs()[0].name
    rows = [session.run(None, {feed: fed(crop).transpose(2, 0, 1)[None].astype(np.float32)})[0][0] for crop in crops]
    return unit(np.array(rows))


def crops_of(engine: Engine, photos: list[Path]) -> Pixels:
    found = [(photo, engine.analyze(photo, embed=False)) for photo in photos]
    return np.array([engine.crop(photo, faces[0].landmarks) for photo, faces in found if faces])


@pytest.mark.shared
@pytest.mark.parametrize("name", sorted(FED))
def test_embeddings_equal_those_of_the_network_alone(name: str, packs: Any, people_photos: list[Path]) -> None:
    engine = packs.open("detector/scrfd_500m", f"embedder/{name}")
    crops = crops_of(engine, people_photos[::4])
    embeddings = engine.embed(crops)
    assert embeddings.shape == (len(crops), 128)
    fed = FED[name][1]
    assert (embeddings * by_hand(packs, name, crops, fed)).sum(axis=1).min() > 0.999999
    # What must show: the channels in another order, the pixels in another scale.
    assert (embeddings * by_hand(packs, name, crops[..., ::-1], fed)).sum(axis=1).max() < 0.999
    other = FED["xiaoccer" if name != "xiaoccer" else "y1"][1]
    assert (embeddings * by_hand(packs, name, crops, other)).sum(axis=1).max() < 0.999


@pytest.mark.shared
def test_a_narrow_crop_is_the_center_of_the_usual_one(packs: Any, people_photos: list[Path]) -> None:
    wide, narrow = (packs.open("detector/scrfd_500m", f"embedder/{name}") for name in ("y1", "xiaoccer"))
    for usual, cut in zip(crops_of(wide, people_photos[::9]), crops_of(narrow, people_photos[::9]), strict=True):
        assert cut.shape == (112, 96, 3)
        assert np.abs(usual[:, 8:104].astype(int) - cut).max() <= 1


@pytest.mark.shared
def test_crops_and_embeddings_end_to_end_as_insightface(
    packs: Any, scrfd_reference: ModuleType, face_align: ModuleType, people_photos: list[Path], rgb: Any
) -> None:
    engine = packs.open("detector/scrfd_500m", "embedder/y1")
    detector = scrfd_reference.SCRFD(str(packs.weights("scrfd_500m_bnkps.onnx")))
    detector.prepare(-1)
    cosines = []
    for photo in people_photos[::2]:
        picture = rgb(photo)
        boxes, points = detector.detect(picture[..., ::-1], input_size=(640, 640))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a function of scikit-image that it calls is deprecated
            crops = np.array([face_align.norm_crop(picture, five) for five in points])
        embeddings = by_hand(packs, "y1", crops, FED["y1"][1])
        faces = engine.analyze(picture)
        assert len(faces) == len(boxes)
        for face in faces:
            row = int(np.abs(boxes[:, :4] - face.bbox).sum(axis=1).argmin())
            crop = engine.crop(picture, face.landmarks)
            assert np.abs(crop.astype(int) - crops[row]).mean() < 1
            cosines.append(float(face.embedding @ embeddings[row]))
    assert len(cosines) >= 45
    assert min(cosines) > 0.999


@pytest.mark.shared
@pytest.mark.parametrize(
    ("changes", "expected", "found"),
    [
        ({"dimension = 128": "dimension = 512"}, "512", "128"),
        ({"batch = 1": "batch = 8"}, "8", "1"),
        ({"width = 112": "width = 96"}, "(any, 3, 112, 96)", "112, 112]"),
        ({'colour = "rgb"': 'colour = "rgb", layout = "nhwc"'}, "(any, 112, 112, 3)", "[1, 3, 112, 112]"),
        ({'"output0"': '"embedding"'}, "embedding", "output0"),
        ({'"input0"': '"data"'}, "data", "input0"),
    ],
)
def test_what_the_manifest_declares_is_checked_against_the_file(
    changes: dict[str, str], expected: str, found: str, packs: Any
) -> None:
    with pytest.raises(NetworkError) as refused:
        packs.open("detector/yunet_n", "embedder/foamliu", changes=changes)
    before, after = str(refused.value).split("found")
    assert "mobilefacenet_foamliu_128d.onnx" in before
    assert expected in before
    assert found in after


@pytest.mark.shared
def test_prewhitened_crops_with_the_channels_last(packs: Any) -> None:
    """FaceNet's way of feeding: each crop brought to mean 0 and deviation 1, height x width x channels."""
    side, dimension = 160, 8
    weights = np.random.default_rng(1).normal(size=(side * side * 3, dimension)).astype(np.float32)
    network = Network("linear")
    network.input("image_batch", ["batch", side, side, 3])
    network.node("Flatten", ["image_batch"], "flat", axis=1)
    network.node("MatMul", ["flat", network.tensor("weights", weights)], "embeddings")
    network.output("embeddings", ["batch", dimension])
    data = network.to_bytes()
    manifest = packs.manifest("detector/yunet_n")
    (manifest.parent / "linear.onnx").write_bytes(data)
    with manifest.open("a") as text:
        text.write(
            f"""
[[file]]
name = "linear.onnx"
size = {len(data)}
sha256 = "{hashlib.sha256(data).hexdigest()}"
licence = "Apache-2.0"
commercial = true
licence_source = "this test"
source = "this test"
trained_on = "nothing"

[embedder]
dimension = {dimension}
template = [[54.7, 73.9], [105.0, 73.6], [80.0, 102.5], [59.4, 132.0], [101.0, 131.7]]
mirror = false
batch = 4

[embedder.network]
file = "linear.onnx"
outputs = ["embeddings"]

[embedder.network.input]
name = "image_batch"
width = {side}
height = {side}
colour = "rgb"
mean = [0.0, 0.0, 0.0]
std = [1.0, 1.0, 1.0]
layout = "nhwc"
standardise = true
"""
        )
    engine = Engine(manifest, accept_license=packs.licence)
    crops = np.random.default_rng(2).integers(0, 200, (6, side, side, 3), dtype=np.uint8)
    crops[5] = 90
    deviations = np.maximum(crops.std(axis=(1, 2, 3), keepdims=True), 1 / np.sqrt(crops[0].size))
    whitened = (crops - crops.mean(axis=(1, 2, 3), keepdims=True)) / deviations
    expected = unit(whitened[:5].reshape(5, -1) @ weights)
    assert np.abs(engine.embed(crops[:5]) - expected).max() < 1e-4
    with pytest.raises(NetworkError, match="zero"):
        engine.embed(crops[5:])
