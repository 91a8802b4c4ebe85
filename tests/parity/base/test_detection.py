"""The detector of the pack ``base`` against its definition in NumPy, and on faces at every angle.

The networks themselves are compared in ``tests/build``; here they run in ONNX Runtime on inputs that are made by hand.
"""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image

from facedex import Engine, Face, people
from facedex.packs.find import find
from facedex.packs.state import state

pytestmark = pytest.mark.slow

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

ROOT = Path(__file__).parents[3]
MANIFEST = ROOT / "models" / "base.toml"
SIDE = 256
SCORE = 0.3
OVERLAP = 0.3
PORTRAITS = {name: pictures[0] for name, pictures in people.PICTURES.items()}


@pytest.fixture(scope="module", autouse=True)
def networks() -> dict[str, Path]:
    """The files of the pack; without them the tests skip, and in CI they must be there."""
    if not state("base").ready:
        reason = "needs the networks of base: make build, where the npm registry answers"
        pytest.fail(reason) if os.environ.get("FACEDEX_REQUIRE_SHARED") == "1" else pytest.skip(reason)
    base, classic = find("base").folder, find("classic").folder
    folders = {"blazeface_back.onnx": base, "mobilefacenet_sirius.onnx": base, "onet.onnx": classic}
    return {name: folder / name for name, folder in folders.items()}


@pytest.fixture(scope="module")
def base() -> Engine:
    return Engine("base", threads=1)


@pytest.fixture(scope="module")
def coarse(networks: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """BlazeFace alone, with its own points, and nothing that calls for another look than the first."""
    text = MANIFEST.read_text()
    text = re.sub(r"\[landmarks\].*?(?=\[embedder\])", "", text, flags=re.DOTALL)
    for key, value in (("from_fraction", "1.0"), ("smallest_face", "1"), ("doubtful_score", "0.0")):
        text, count = re.subn(f"{key} = [0-9.]+", f"{key} = {value}", text)
        assert count == 1
    folder = tmp_path_factory.mktemp("coarse")
    for name, path in networks.items():
        (folder / name).symlink_to(path)
    (folder / "coarse.toml").write_text(text.replace('name = "base"', 'name = "coarse"'))
    return Engine(folder / "coarse.toml", threads=1)


def read(path: Path) -> Pixels:
    return np.asarray(Image.open(path).convert("RGB"))


def overlaps(length: int, count: int) -> Floats:
    """The part of each of `count` intervals that each of `length` pixels covers, (count, length)."""
    edges = np.arange(count + 1) * length / count
    pixels = np.arange(length)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.maximum(covered, 0) * count / length


@dataclass(eq=False)
class Reference:
    """A face as the definition gives it."""

    bbox: Floats
    points: Floats
    score: float


def first_look(picture: Pixels, network: onnxruntime.InferenceSession) -> list[Reference]:
    """The picture shrunk by area to a long side of 256, black to multiples of 32; anchors decoded and blended."""
    height, width = picture.shape[:2]
    scale = SIDE / max(height, width)
    assert scale <= 1
    high, wide = round(height * scale), round(width * scale)
    rows = np.tensordot(overlaps(height, high), picture.astype(np.float64), axes=1)
    small = np.tensordot(rows, overlaps(width, wide), axes=(1, 1)).transpose(0, 2, 1)
    canvas = np.zeros((-(-high // 32) * 32, -(-wide // 32) * 32, 3))
    canvas[:high, :wide] = small
    tensor = ((canvas - 127.5) / 127.5).transpose(2, 0, 1)[None].astype(np.float32)
    found = []
    for output, stride, anchors in zip(
        network.run(["stride16", "stride32"], {"input": tensor}), (16, 32), (2, 6), strict=False
    ):
        for row in range(output.shape[2]):
            for column in range(output.shape[3]):
                cell = output[0, :, row, column].astype(np.float64)
                for anchor in range(anchors):
                    score = float(1 / (1 + np.exp(-np.clip(cell[anchor], -80, 80))))
                    if score >= SCORE:
                        centre = np.array([column + 0.5, row + 0.5]) * stride
                        values = cell[anchors + 16 * anchor :][:16]
                        half = values[2:4] / 2
                        middle = centre + values[:2]
                        box = np.concatenate([middle - half, middle + half])
                        found.append(Reference(box, values[4:].reshape(6, 2) + centre, score))
    back = np.array([width / wide, height / high])
    return [Reference(face.bbox * np.tile(back, 2), face.points * back, face.score) for face in blend(found)]


def blend(found: list[Reference]) -> list[Reference]:
    left, blended = sorted(found, key=lambda face: -face.score), []
    while left:
        same = [face for face in left if face is left[0] or iou(face.bbox, left[0].bbox) > OVERLAP]
        weights = np.array([face.score for face in same])
        weights /= weights.sum()
        box = sum(weight * face.bbox for weight, face in zip(weights, same, strict=True))
        points = sum(weight * face.points for weight, face in zip(weights, same, strict=True))
        blended.append(Reference(box, points, left[0].score))
        left = [face for face in left if face not in same]
    return blended


def iou(one: Floats, other: Floats) -> float:
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    return shared / (float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2])) - shared)


def nearest(faces: list[Face], bbox: Floats) -> Face:
    return max(faces, key=lambda face: iou(np.asarray(face.bbox, np.float64), bbox))


@pytest.mark.parametrize("path", [people.GROUP, *PORTRAITS.values()], ids=["group", *PORTRAITS])
def test_the_first_pass_equals_the_definition(coarse: Engine, networks: dict[str, Path], path: Path) -> None:
    picture = read(path)
    session = onnxruntime.InferenceSession(networks["blazeface_back.onnx"], providers=["CPUExecutionProvider"])
    height, width = picture.shape[:2]
    edge = 0.02 * max(height, width)
    inside = [
        face
        for face in first_look(picture, session)
        if face.bbox[:2].min() >= edge and face.bbox[2] <= width - edge and face.bbox[3] <= height - edge
    ]
    assert any(face.score > 0.5 for face in inside)
    faces = list(coarse.analyze(picture, embed=False))
    swapped = first_look(np.ascontiguousarray(picture[:, :, ::-1]), session)
    for expected in inside:
        found = nearest(faces, expected.bbox)
        assert found.landmarks is not None
        np.testing.assert_allclose(found.bbox, expected.bbox, rtol=0, atol=0.05)
        np.testing.assert_allclose(found.landmarks[:3], expected.points[:3], rtol=0, atol=0.05)
        assert found.det_score == pytest.approx(expected.score, abs=1e-4)
        assert all(np.abs(other.points - expected.points).max() > 0.2 for other in swapped)


def turned(picture: Pixels, degrees: float) -> tuple[Pixels, Floats]:
    """The picture turned clockwise on a grey canvas that holds it; the transform of its points, (2, 3)."""
    height, width = picture.shape[:2]
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    wide, high = (math.ceil(abs(width * a) + abs(height * b)) for a, b in ((cos, sin), (sin, cos)))
    matrix = np.array([[cos, -sin], [sin, cos]])
    shift = np.array([wide - 1, high - 1]) / 2 - matrix @ (np.array([width - 1, height - 1]) / 2)
    back = np.linalg.inv(matrix)
    offset = -back @ shift
    # Pillow counts from corners, the transform here from centres of pixels
    corner = offset + 0.5 - back @ np.array([0.5, 0.5])
    data = (back[0, 0], back[0, 1], corner[0], back[1, 0], back[1, 1], corner[1])
    image = Image.fromarray(picture).transform(
        (wide, high), Image.Transform.AFFINE, data, Image.Resampling.BICUBIC, fillcolor=(127, 127, 127)
    )
    return np.asarray(image), np.column_stack([matrix, shift])


@pytest.mark.parametrize("degrees", range(15, 360, 15))
def test_a_turned_face_has_the_points_and_the_embedding_of_the_upright_one(base: Engine, degrees: int) -> None:
    for name, path in PORTRAITS.items():
        picture = read(path)
        [upright] = base.analyze(picture)
        canvas, transform = turned(picture, degrees)
        faces = list(base.analyze(canvas))
        assert len(faces) == 1, name
        assert upright.landmarks is not None
        assert faces[0].landmarks is not None
        expected = upright.landmarks @ transform[:, :2].T + transform[:, 2]
        eyes = float(np.linalg.norm(upright.landmarks[1] - upright.landmarks[0]))
        assert float(np.linalg.norm(faces[0].landmarks - expected, axis=1).mean()) < 0.15 * eyes, name
        assert float(faces[0].embedding @ upright.embedding) > 0.85, name
        assert upright.roll is not None
        assert faces[0].roll is not None
        difference = (faces[0].roll - upright.roll - degrees + 180) % 360 - 180
        assert abs(difference) < 8, name


def bilinear(picture: Pixels, x: Floats, y: Floats) -> Floats:
    """The picture between pixels, black outside, (…, 3)."""
    framed = np.pad(picture.astype(np.float64), ((1, 1), (1, 1), (0, 0)))
    x, y = np.clip(x + 1, 0, framed.shape[1] - 1.001), np.clip(y + 1, 0, framed.shape[0] - 1.001)
    left, top = x.astype(int), y.astype(int)
    right, low = (x - left)[..., None], (y - top)[..., None]
    upper = framed[top, left] * (1 - right) + framed[top, left + 1] * right
    lower = framed[top + 1, left] * (1 - right) + framed[top + 1, left + 1] * right
    return upper * (1 - low) + lower * low


@pytest.mark.parametrize("degrees", [-60, -35, 30, 50])
def test_the_points_are_those_of_o_net_on_the_turned_square(
    base: Engine, coarse: Engine, networks: dict[str, Path], degrees: int
) -> None:
    session = onnxruntime.InferenceSession(networks["onet.onnx"], providers=["CPUExecutionProvider"])
    compared = 0
    for path in PORTRAITS.values():
        small = Image.open(path).convert("RGB")
        small.thumbnail((160, 160))  # a square under 96 pixels, which is sampled without averaging
        picture, _ = turned(np.asarray(small), degrees)
        faces = list(base.analyze(picture, embed=False))
        for seen in coarse.analyze(picture, embed=False):
            roll = math.radians(seen.roll or 0.0)
            box = np.asarray(seen.bbox, np.float64)
            side = 1.1 * float((box[2:] - box[:2]).max())
            if seen.det_score < 0.5 or abs(roll) < math.radians(20) or side >= 94:
                continue
            middle = (box[:2] + box[2:]) / 2
            steps = np.arange(48) - 23.5
            u, v = np.meshgrid(steps * side / 47, steps * side / 47)
            x = middle[0] + math.cos(roll) * u - math.sin(roll) * v
            y = middle[1] + math.sin(roll) * u + math.cos(roll) * v
            tensor = ((bilinear(picture, x, y) - 127.5) / 128).transpose(2, 0, 1)[None].astype(np.float32)
            points, scores = session.run(["landmarks", "prob"], {"input": tensor})
            if scores[0, 1] < 0.999:  # the detector looks again
                continue
            at = points[0].reshape(2, 5).T.astype(np.float64) * 47 - 23.5
            at *= side / 47
            turn = np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
            face = nearest(faces, box)
            if np.abs(np.asarray(face.bbox) - box).max() > 0.01:  # from the look with a margin
                continue
            np.testing.assert_allclose(face.landmarks, middle + at @ turn.T, rtol=0, atol=0.15)
            compared += 1
    assert compared >= 3


def test_a_quarter_turn_changes_nothing_but_the_coordinates(base: Engine) -> None:
    picture = read(PORTRAITS["ayu"])
    [upright] = base.analyze(picture)
    [sideways] = base.analyze(np.ascontiguousarray(np.rot90(picture)))
    [upside_down] = base.analyze(np.ascontiguousarray(picture[::-1, ::-1]))
    assert upright.roll == pytest.approx(0, abs=5)
    assert sideways.roll == pytest.approx(-90, abs=8)
    assert abs(upside_down.roll or 0) == pytest.approx(180, abs=8)
    for face in (sideways, upside_down):
        assert float(face.embedding @ upright.embedding) > 0.9


def scene(*faces: tuple[str, int, int, int]) -> Pixels:
    """Bundled portraits on a grey canvas of 640 × 480: name, side, left, top."""
    canvas = Image.new("RGB", (640, 480), (120, 120, 120))
    for name, side, left, top in faces:
        canvas.paste(Image.open(PORTRAITS[name]).convert("RGB").resize((side, side)), (left, top))
    return np.asarray(canvas)


@pytest.mark.parametrize(("left", "top"), [(-25, 150), (505, 150), (250, -30), (250, 345)])
@pytest.mark.parametrize("side", [140, 170, 210])
def test_a_face_at_the_edge_is_found_beside_a_larger_one(base: Engine, left: int, top: int, side: int) -> None:
    large = (380, 20) if left < 0 else (0, 20)
    for name in ("budi", "citra", "eko"):
        picture = scene(("ayu", 260, *large), (name, side, min(left, 640 - side + 25), min(top, 480 - side + 25)))
        assert len(base.analyze(picture, embed=False)) == 2, name


def test_a_minimum_face_removes_no_larger_face(base: Engine) -> None:
    for turns in range(4):
        picture = np.ascontiguousarray(np.rot90(scene(("ayu", 150, 240, 160)), turns))
        [face] = base.analyze(picture, embed=False)
        height = float(face.bbox[3] - face.bbox[1])
        for least in (20, 30, 40, 50, 60):
            found = len(base.analyze(picture, embed=False, min_face=least))
            assert found == (1 if height >= least else 0) or abs(height - least) < 15, (turns, least)


@pytest.mark.shared
@pytest.mark.timeout(600)
def test_the_requirements_hold_on_a_sample(shared: Path) -> None:
    """`make bench-detection` measures them on all photos; every face here stands for many."""
    rows = "scale,turned,quarter turns,group,no face"
    command = [sys.executable, str(ROOT / "benches" / "detection.py"), "--pack", "base", "--people", "6"]
    command += ["--scales", "6", "--rows", rows, "--check"]
    environment = os.environ | {"FACEDEX_SHARED": str(shared.parent)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
