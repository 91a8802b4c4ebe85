"""Packs of the shared networks, put together from the fragments in ``tests/packs``, and the reference libraries."""

from __future__ import annotations

import csv
import importlib
import json
import os
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from facedex import Analysis, Engine

FRAGMENTS = Path(__file__).parents[1] / "packs"
LICENCE = "as the shared folder says"

Floats = NDArray[np.floating]
Pixels = NDArray[np.uint8]


class Packs:
    """Manifests made of fragments; the weights are linked next to them."""

    licence = LICENCE

    def __init__(self, shared: Path, folder: Path) -> None:
        self._models = shared / "models"
        self._folder = folder
        self._made = 0
        with (self._models / "MANIFEST.tsv").open() as table:
            rows = list(csv.DictReader(table, delimiter="\t"))
        self._files = {Path(row["path"]).name: row for row in rows}

    def weights(self, name: str) -> Path:
        return self._models / self._files[name]["path"]

    def manifest(self, *fragments: str, changes: dict[str, str] | None = None) -> Path:
        """Write a manifest of fragments, such as ``detector/scrfd_500m``; each change: a text, its successor."""
        text = "\n".join((FRAGMENTS / f"{fragment}.toml").read_text() for fragment in fragments)
        for found, replacement in (changes or {}).items():
            assert text.count(found) == 1, f"{found!r} is {text.count(found)} times in {fragments}"
            text = text.replace(found, replacement)
        self._made += 1
        folder = self._folder / str(self._made)
        folder.mkdir()
        names = re.findall(r'^file = "(.*)"$', text, re.MULTILINE)
        for name in names:
            (folder / name).symlink_to(self.weights(name))
        header = f'format = 1\nname = "test-{self._made}"\nsummary = "for tests"\n'
        manifest = folder / "pack.toml"
        manifest.write_text("\n".join([header, text, *(self._declared(name) for name in names)]))
        return manifest

    def open(self, *fragments: str, changes: dict[str, str] | None = None) -> Engine:
        return Engine(self.manifest(*fragments, changes=changes), accept_license=LICENCE)

    def _declared(self, name: str) -> str:
        row = self._files[name]
        return (
            f'[[file]]\nname = "{name}"\nsize = {row["bytes"]}\nsha256 = "{row["sha256"]}"\n'
            f'licence = "{LICENCE}"\ncommercial = false\nterms = "for tests only"\n'
            'licence_source = "the shared folder"\nsource = "the shared folder"\ntrained_on = "see the shared folder"\n'
        )


@pytest.fixture(scope="session")
def packs(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Packs]:
    """Packs of the shared networks; accepted licences are recorded in a folder of the test's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEDEX_HOME", str(tmp_path_factory.mktemp("home")))
        yield Packs(shared, tmp_path_factory.mktemp("packs"))


def _reference(name: str) -> ModuleType:
    """A library of the extra ``parity``: tests skip without it, and must run where FACEDEX_REQUIRE_PARITY is 1."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError as error:
        if os.environ.get("FACEDEX_REQUIRE_PARITY") == "1":
            raise
        pytest.skip(f"needs the extra parity: make EXTRAS=test,parity test-all ({error})")


@pytest.fixture(scope="session")
def cv2() -> ModuleType:
    return _reference("cv2")


@pytest.fixture(scope="session")
def scrfd_reference() -> ModuleType:
    return _reference("insightface.model_zoo.scrfd")


@pytest.fixture(scope="session")
def face_align() -> ModuleType:
    return _reference("insightface.utils.face_align")


@pytest.fixture(scope="session")
def people_photos(shared: Path) -> list[Path]:
    """Ninety photos, most of one face, 250 x 250."""
    photos = sorted((shared / "faces" / "lfw-subset").rglob("*.jpg"))
    return photos[:: len(photos) // 90][:90]


@pytest.fixture(scope="session")
def group_photos(shared: Path) -> list[Path]:
    """Ten photos of six faces and more, wide ones."""
    photos = sorted((shared / "faces" / "group").glob("*.jpg"))
    return [photo for photo in photos if photo.name not in ("no_face_coffee.jpg", "crowd_group.jpg")]


@pytest.fixture(scope="session")
def annotated(shared: Path) -> dict[Path, Floats]:
    """The eight photos with every face annotated by hand, 222 in all: their boxes, x1, y1, x2, y2."""
    folder = shared / "faces" / "group"
    images = json.loads((folder / "annotations.json").read_text())["images"]
    return {folder / one["file"]: np.array(one["boxes"]) for one in images if one["complete"] and one["faces"]}


@pytest.fixture(scope="session")
def rgb() -> Callable[[Path], Pixels]:
    """Read a photo as Pillow decodes it, the same for both sides of a comparison."""

    def read(path: Path) -> Pixels:
        with Image.open(path) as image:
            return np.array(image.convert("RGB"))

    return read


@dataclass(frozen=True)
class Found:
    """Faces of one picture: boxes (n, 4) inside the picture, points (n, 5, 2) or none, scores (n,)."""

    boxes: Floats
    points: Floats | None
    scores: Floats

    @classmethod
    def of(cls, analysis: Analysis) -> Found:
        points = [face.landmarks for face in analysis if face.landmarks is not None]
        return cls(
            boxes=np.array([face.bbox for face in analysis]).reshape(-1, 4),
            points=np.array(points).reshape(-1, 5, 2) if len(points) == len(analysis) else None,
            scores=np.array([face.det_score for face in analysis]),
        )

    @classmethod
    def reference(cls, boxes: Floats, points: Floats | None, scores: Floats, picture: Pixels) -> Found:
        """What a reference found, its boxes cut at the picture's edges, which facedex does and no reference."""
        height, width = picture.shape[:2]
        return cls(np.clip(boxes, 0, [width - 1, height - 1] * 2), points, scores)

    def pairs(self, other: Found, least: float = 0.4) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows here and there that are one face: each one's best overlap, of at least `least`."""
        if not len(self.boxes) or not len(other.boxes):
            return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
        overlaps = overlap(self.boxes, other.boxes)
        best = overlaps.argmax(axis=1)
        mine = np.flatnonzero((overlaps.max(axis=1) >= least) & (overlaps.argmax(axis=0)[best] == np.arange(len(best))))
        return mine, best[mine]

    def differences(self, other: Found) -> tuple[float, float, float]:
        """Greatest differences of boxes and points, in pixels, and of scores; every face must have its pair."""
        mine, theirs = self.pairs(other)
        assert len(mine) == len(self.boxes) == len(other.boxes), f"{len(self.boxes)} and {len(other.boxes)} faces"
        if not len(mine):
            return 0.0, 0.0, 0.0
        box = float(np.abs(self.boxes[mine] - other.boxes[theirs]).max())
        score = float(np.abs(self.scores[mine] - other.scores[theirs]).max())
        if self.points is None or other.points is None:
            assert self.points is other.points
            return box, 0.0, score
        return box, float(np.abs(self.points[mine] - other.points[theirs]).max()), score


def overlap(first: Floats, second: Floats) -> Floats:
    """Intersection over union of every box here with every box there."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (first, second)]
    return shared / (areas[0][:, None] + areas[1][None, :] - shared)


@pytest.fixture(scope="session")
def found() -> type[Found]:
    return Found


@pytest.fixture(scope="session", name="overlap")
def overlap_of_boxes() -> Callable[[Floats, Floats], Floats]:
    return overlap
