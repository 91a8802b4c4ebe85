"""The recorded values, and the layout of found faces for the comparison."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from facedex import Engine, Face
from facedex.packs import find

DATA = Path(__file__).parents[1] / "data"

Rows = NDArray[np.float64]
Pixels = NDArray[np.uint8]


def rgb(path: Path) -> Pixels:
    """A picture's pixels as Pillow decodes them; (height, width, 3), uint8."""
    with Image.open(path) as picture:
        return np.array(picture.convert("RGB"))


def recorded(name: str) -> dict[str, NDArray[Any]]:
    with np.load(DATA / name, allow_pickle=False) as arrays:
        return dict(arrays)


def rows_of(faces: Sequence[Face]) -> Rows:
    """Faces as the reference lays them out, best score first: x1, y1, x2, y2, score, five x, five y; (n, 15)."""
    rows = [[*face.bbox, face.det_score, *face.landmarks.T.ravel()] for face in faces]
    return np.array(sorted(rows, key=lambda row: -row[4]), dtype=np.float64).reshape(-1, 15)


@pytest.fixture(scope="session")
def read_pixels() -> Callable[[Path], Pixels]:
    return rgb


@pytest.fixture(scope="session")
def as_rows() -> Callable[[Sequence[Face]], Rows]:
    return rows_of


@pytest.fixture(scope="session")
def nets() -> dict[str, NDArray[Any]]:
    return recorded("mtcnn_nets.npz")


@pytest.fixture(scope="session")
def cascade() -> dict[str, NDArray[Any]]:
    return recorded("mtcnn_cascade.npz")


@pytest.fixture(scope="session")
def classic_with(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Engine]:
    """The built-in pack with other thresholds of the cascade and without a second look, which the reference has not."""

    def make(thresholds: str, threads: int | None = None) -> Engine:
        location = find("classic")
        text = location.manifest.read_text(encoding="utf-8")
        text, count = re.subn(
            r"^score_thresholds = .*\nsecond_look = .*\n",
            f"score_thresholds = {thresholds}\n",
            text,
            flags=re.MULTILINE,
        )
        assert count == 1
        folder = tmp_path_factory.mktemp("classic")
        (folder / "other.toml").write_text(text, encoding="utf-8")
        for network in location.folders[0].glob("*.onnx"):
            shutil.copy(network, folder)
        return Engine(folder / "other.toml", threads=threads)

    return make


@pytest.fixture(scope="session")
def engine(classic_with: Callable[..., Engine]) -> Engine:
    """The built-in pack with the reference's own thresholds."""
    return classic_with("[0.6, 0.7, 0.8]")


@pytest.fixture(scope="session")
def small_pictures(cascade: dict[str, NDArray[Any]]) -> dict[str, Pixels]:
    """The stored pictures by the name of their case; (height, width, 3), uint8 RGB."""
    pictures = {name: rgb(DATA / f"{name}.png") for name in ("portrait-1", "portrait-2", "group")}
    left, top, right, bottom = cascade["edge_cut"]
    pictures["edge"] = np.ascontiguousarray(pictures["group"][top:bottom, left:right])
    pictures["group-strict"] = pictures["group"]
    return pictures


@pytest.fixture(scope="session")
def end_to_end() -> dict[str, Rows]:
    """The faces of every bundled picture, as `rows_of` lays them out."""
    document = json.loads((DATA / "mtcnn_end_to_end.json").read_text(encoding="utf-8"))
    return {
        name: np.array(
            [[*face["bbox"], face["det_score"], *np.array(face["landmarks"]).T.ravel()] for face in picture["faces"]]
        )
        for name, picture in document["pictures"].items()
    }


@pytest.fixture(scope="session")
def chips() -> tuple[Pixels, NDArray[np.str_], NDArray[np.float32]]:
    """Ten chips (10, 150, 150, 3), the pictures they are from, dlib's descriptors brought to unit length (10, 128)."""
    sheet, recordings = rgb(DATA / "dlib_chips.png"), recorded("dlib_chips.npz")
    side = 150
    cut = [sheet[y : y + side, x : x + side] for y in range(0, 2 * side, side) for x in range(0, 5 * side, side)]
    return np.stack(cut), recordings["pictures"], unit(recordings["descriptors"])


@pytest.fixture(scope="session")
def described_faces() -> list[tuple[str, NDArray[np.float32], NDArray[np.float32]]]:
    """For each face of the bundled pictures: the picture, its landmarks (5, 2), its unit descriptor (128,)."""
    recordings = recorded("dlib_end_to_end.npz")
    names = [str(name) for name in recordings["pictures"]]
    return list(zip(names, recordings["landmarks"], unit(recordings["descriptors"]), strict=True))


def unit(descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
    return descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)
