"""Files that are no networks, or other networks than declared: a typed error each, never a crash.

Every manifest here has the right digest of the file beside it: what is tested lies behind that check.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facedex import Engine
from facedex.errors import FacedexError, NetworkError
from facedex_build.onnx_file import Network, _bytes, _text, _varint

PICTURE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)

ULTRAFACE = """
[detector]
family = "ultraface"
activation = "none"
score_threshold = 0.7
nms_threshold = 0.3
network.file = "a.onnx"
network.outputs = ["scores", "boxes"]
network.input = { name = "input", width = 32, height = 32, colour = "rgb", mean = [0, 0, 0], std = [1, 1, 1] }
"""

YUNET = """
[detector]
family = "yunet"
size = { long_side = 64, max_long_side = 64, smallest_face = 10 }
strides = [8, 16, 32]
activation = "none"
score_threshold = 0.6
nms_threshold = 0.3
network.file = "a.onnx"
network.outputs = ["cls_8", "cls_16", "cls_32", "obj_8", "obj_16", "obj_32",
    "bbox_8", "bbox_16", "bbox_32", "kps_8", "kps_16", "kps_32"]
network.input = { name = "input", colour = "bgr", mean = [0, 0, 0], std = [1, 1, 1] }
"""


def engine_of(folder: Path, data: bytes, role: str) -> Engine:
    (folder / "a.onnx").write_bytes(data)
    (folder / "pack.toml").write_text(
        f"""
format = 1
name = "hostile"
summary = "for tests"

[[file]]
name = "a.onnx"
size = {len(data)}
sha256 = "{hashlib.sha256(data).hexdigest()}"
licence = "Apache-2.0"
commercial = true
licence_source = "this test"
source = "this test"
trained_on = "nothing"
{role}
"""
    )
    return Engine(folder / "pack.toml", threads=1)


def ultraface(scores: NDArray[np.float32], boxes: NDArray[np.float32]) -> bytes:
    """A network of UltraFace's form whose answer is always the same."""
    network = Network("constant")
    network.input("input", [1, 3, 32, 32])
    network.node("Identity", [network.tensor("s", scores)], "scores")
    network.node("Identity", [network.tensor("b", boxes)], "boxes")
    network.output("scores", ["n", "anchors", "classes"])
    network.output("boxes", ["n", "anchors", "corners"])
    return network.to_bytes()


SURE = np.array([[[0.0, 1.0]]], np.float32)
MIDDLE = np.array([[[0.25, 0.25, 0.75, 0.5]]], np.float32)


def test_the_constant_network_runs(tmp_path: Path) -> None:
    (face,) = engine_of(tmp_path, ultraface(SURE, MIDDLE), ULTRAFACE).analyze(PICTURE, embed=False)
    assert face.bbox.tolist() == [16, 16, 48, 32]
    assert face.det_score == 1


@pytest.mark.parametrize(
    ("scores", "boxes", "words"),
    [
        (SURE, np.zeros((1, 2, 4), np.float32), r"output shape: expected \[1, 4\], found \[1, 2, 4\]"),
        (SURE[..., :1], MIDDLE, r'per row of output "scores": expected 2, found \[1\]'),
        (SURE, MIDDLE[..., :3], r'per row of output "boxes": expected 4, found \[3\]'),
        (np.zeros((0, 2), np.float32), MIDDLE, r"output shape: expected \[0, 4\], found \[1, 1, 4\]"),
        (SURE, np.full((1, 1, 4), np.inf, np.float32), "not finite"),
        (SURE, np.full((1, 1, 4), np.nan, np.float32), "not finite"),
    ],
)
def test_outputs_of_a_wrong_shape_or_without_a_value_are_refused(
    scores: NDArray[np.float32], boxes: NDArray[np.float32], words: str, tmp_path: Path
) -> None:
    with pytest.raises(NetworkError, match=words):
        engine_of(tmp_path, ultraface(scores, boxes), ULTRAFACE).analyze(PICTURE, embed=False)


def test_a_score_that_is_not_a_number_is_no_face(tmp_path: Path) -> None:
    nothing = np.full((1, 1, 2), np.nan, np.float32)
    assert not engine_of(tmp_path, ultraface(nothing, MIDDLE), ULTRAFACE).analyze(PICTURE, embed=False)


def test_a_box_outside_the_picture_is_dropped(tmp_path: Path) -> None:
    outside = np.array([[[-3.0, -3.0, -2.0, -2.0]]], np.float32)
    assert not engine_of(tmp_path, ultraface(SURE, outside), ULTRAFACE).analyze(PICTURE, embed=False)


@pytest.mark.parametrize("data", [b"", b"\x00", b"no network", b"\x08\x08" + b"\xff" * 400, bytes(range(256)) * 40])
def test_a_file_that_is_not_a_network_is_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"a\.onnx"):
        engine_of(tmp_path, data, ULTRAFACE)


def test_a_network_of_another_family_is_refused_with_expected_and_found(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="expected cls_8, found scores, boxes"):
        engine_of(tmp_path, ultraface(SURE, MIDDLE), YUNET)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=3000))
def test_arbitrary_bytes_are_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(NetworkError):
        engine_of(tmp_path, data, ULTRAFACE)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.dictionaries(st.integers(0, 10**6), st.integers(0, 255), max_size=20),
    length=st.one_of(st.none(), st.integers(0, 10**6)),
)
def test_a_damaged_network_works_or_is_refused(
    changes: dict[int, int], length: int | None, tmp_path: Path, small_network: bytes
) -> None:
    data = bytearray(small_network)
    for place, value in changes.items():
        data[place % len(data)] = value
    kept = bytes(data if length is None else data[: length % len(data)])
    with contextlib.suppress(FacedexError):
        faces = engine_of(tmp_path, kept, ULTRAFACE).analyze(PICTURE, embed=False)
        assert all(np.isfinite(face.bbox).all() for face in faces)


@pytest.fixture(scope="module")
def small_network() -> bytes:
    return ultraface(np.repeat(SURE, 3, axis=1), np.repeat(MIDDLE, 3, axis=1))


@pytest.mark.shared
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_detector_works_or_is_refused(data: st.DataObject, tmp_path: Path, shared: Path) -> None:
    whole = bytearray((shared / "models" / "yunet" / "yunet_n_dynamic.onnx").read_bytes())
    # The graph's description lies at both ends; the weights between them make numbers only.
    ends = st.one_of(
        st.integers(0, 500), st.integers(len(whole) - 5000, len(whole) - 1), st.integers(0, len(whole) - 1)
    )
    for place, value in data.draw(st.lists(st.tuples(ends, st.integers(0, 255)), max_size=10)):
        whole[place] = value
    with contextlib.suppress(FacedexError):
        faces = engine_of(tmp_path, bytes(whole), YUNET).analyze(PICTURE, embed=False)
        assert all(np.isfinite(face.bbox).all() for face in faces)


# Weights beside the file, which its digest does not cover.


def with_weights_outside(folder: Path, location: str) -> bytes:
    """The same network, whose boxes stand in a file of this name."""
    boxes = np.full((1, 3, 4), 0.5, np.float32)
    network = Network("constant")
    network.input("input", [1, 3, 32, 32])
    network.node("Identity", [network.tensor("s", np.full((1, 3, 2), 0.5, np.float32))], "scores")
    (folder / "weights.bin").write_bytes(boxes.tobytes())
    dims = b"".join(_varint(1, size) for size in boxes.shape)
    places = [("location", location), ("offset", "0"), ("length", str(boxes.nbytes))]
    outside = b"".join(_bytes(13, _text(1, key) + _text(2, value)) for key, value in places)
    tensor = dims + _varint(2, 1) + _text(8, "b") + outside + _varint(14, 1)
    network.node("Identity", ["b"], "boxes")
    network.output("scores", ["n", "anchors", "classes"])
    network.output("boxes", ["n", "anchors", "corners"])
    return network.to_bytes() + _bytes(7, _bytes(5, tensor))  # a graph that comes twice is one with the parts of both


@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin", "*/_ORT_MEM_ADDR_/*"])
def test_a_network_with_weights_outside_its_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    monkeypatch.chdir(tmp_path)  # where ONNX Runtime looks for what lies beside bytes in memory
    with pytest.raises(NetworkError, match="external data, which no digest covers"):
        engine_of(tmp_path, with_weights_outside(tmp_path, location), ULTRAFACE)
