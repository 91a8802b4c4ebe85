"""Packs of the shared networks, put together from the fragments in ``tests/packs``, and the reference libraries."""

from __future__ import annotations

import csv
import importlib
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from facedex import Engine

FRAGMENTS = Path(__file__).parents[1] / "packs"

OpenPack = Callable[..., Engine]


class Packs:
    """Manifests made of fragments; the weights are linked beside them."""

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
        """Write a manifest of the fragments, such as ``detector/scrfd_500m``; each change is a pattern and its text."""
        text = "\n".join((FRAGMENTS / f"{fragment}.toml").read_text() for fragment in fragments)
        for pattern, replacement in (changes or {}).items():
            text, count = re.subn(pattern, replacement, text)
            assert count == 1, f"{pattern!r} is {count} times in {fragments}"
        self._made += 1
        folder = self._folder / str(self._made)
        folder.mkdir()
        names = re.findall(r'^file = "(.*)"$', text, re.MULTILINE)
        for name in names:
            (folder / name).symlink_to(self.weights(name))
        files = "\n".join(self._declared(name) for name in names)
        manifest = folder / "pack.toml"
        header = f'format = 1\nname = "test-{self._made}"\nsummary = "for tests"\n'
        manifest.write_text(f"{header}\n{text}\n{files}")
        return manifest

    def open(self, *fragments: str, changes: dict[str, str] | None = None, threads: int = 1) -> Engine:
        return Engine(self.manifest(*fragments, changes=changes), threads=threads)

    def _declared(self, name: str) -> str:
        row = self._files[name]
        return (
            f'[[file]]\nname = "{name}"\nsize = {row["bytes"]}\nsha256 = "{row["sha256"]}"\n'
            'licence = "see the shared folder"\ncommercial = false\nterms = "for tests only"\n'
            'licence_source = "the shared folder"\nsource = "the shared folder"\ntrained_on = "see the shared folder"\n'
        )


@pytest.fixture(scope="session")
def packs(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Packs:
    return Packs(shared, tmp_path_factory.mktemp("packs"))


def reference(name: str) -> ModuleType:
    """A reference library from the extra ``parity``: skipped without it, required where FACEDEX_REQUIRE_PARITY is 1."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError:
        if os.environ.get("FACEDEX_REQUIRE_PARITY") == "1":
            raise
        pytest.skip(f"needs {name}: pip install 'facedex[parity]'")


@pytest.fixture(scope="session")
def cv2() -> ModuleType:
    return reference("cv2")


@pytest.fixture(scope="session")
def scrfd_reference() -> ModuleType:
    return reference("insightface.model_zoo.scrfd")


@pytest.fixture(scope="session")
def face_align() -> ModuleType:
    return reference("insightface.utils.face_align")


@pytest.fixture(scope="session")
def photos(shared: Path) -> list[Path]:
    """A hundred photos: ninety of one face and, for many faces and other shapes, ten of groups."""
    people = sorted((shared / "faces" / "lfw-subset").rglob("*.jpg"))
    groups = sorted((shared / "faces" / "group").glob("*.jpg"))
    chosen = people[:: len(people) // 90][:90]
    return chosen + [path for path in groups if path.name != "no_face_coffee.jpg" and "crowd_group" not in path.name][:10]


def pixels(path: Path) -> NDArray[np.uint8]:
    """RGB, as Pillow decodes it, for both sides of a comparison."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
