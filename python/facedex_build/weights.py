"""A source tree in; the package data of the built-in pack written into it: networks, their licence, the manifests.

What a converted network must be is told by models/classic.toml (``[[file]]`` tables: name, sha256, size): a file that
is there with that digest is kept, any other is made anew, and one that comes out differently is refused. Files are
written beside their place and renamed, so that an interrupted build leaves no half of one.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from facedex_build import sources
from facedex_build.errors import BuildError
from facedex_build.sources import SourceFile

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PACK = "classic"
MANIFEST = Path("models", f"{PACK}.toml")
DATA = Path("python", "facedex", "packs", "data")


@dataclass(frozen=True)
class Recipe:
    """How a file of the pack is made: from which file, by which function of that file's checked bytes."""

    source: SourceFile
    convert: Callable[[bytes], bytes]


def make(root: Path) -> list[Path]:
    """Write the pack's files and the manifests below `root` where they are missing or differ; return their paths.

    Raises
    ------
    BuildError
        A pinned package is missing or altered, or a result is not what the manifest says.
    """
    wanted = _digests(root / MANIFEST)
    folder = root / DATA / PACK
    paths = []
    for name, recipe in RECIPES.items():
        if name not in wanted:
            raise BuildError(f"{MANIFEST} lists no file {name}; restore it: git checkout {MANIFEST}")
        paths.append(folder / name)
        _make_file(folder / name, recipe, wanted[name])
    licence = folder / "LICENSE.mtcnn"
    if not licence.is_file():
        _write(licence, sources.MTCNN_LICENCE.read())
    return [*paths, licence, *_copy_manifests(root)]


def _make_file(path: Path, recipe: Recipe, wanted: str) -> None:
    if path.is_file() and sha256(path.read_bytes()).hexdigest() == wanted:
        return
    data = recipe.convert(recipe.source.read())
    found = sha256(data).hexdigest()
    if found != wanted:
        raise BuildError(
            f"{path.name} came out with sha256 {found} ({len(data)} bytes), but {MANIFEST} says {wanted}; "
            "restore the converter, or record the new digest there if the change is meant"
        )
    _write(path, data)


def _copy_manifests(root: Path) -> list[Path]:
    folder = root / DATA / "manifests"
    originals = sorted((root / MANIFEST).parent.glob("*.toml"))
    for stale in set(folder.glob("*.toml")) - {folder / original.name for original in originals}:
        stale.unlink()
    for original in originals:
        data = original.read_bytes()
        copy = folder / original.name
        if not copy.is_file() or copy.read_bytes() != data:
            _write(copy, data)
    return [folder / original.name for original in originals]


def _digests(manifest: Path) -> Mapping[str, str]:
    try:
        with manifest.open("rb") as file:
            content: dict[str, Any] = tomllib.load(file)
        return {table["name"]: table["sha256"] for table in content["file"]}
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise BuildError(f"{MANIFEST} cannot be read ({error!r}); restore it: git checkout {MANIFEST}") from error


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        temporary.chmod(0o644)  # mkstemp's files are for their owner only
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _convert_cascade(name: str) -> Callable[[bytes], bytes]:
    def convert(data: bytes) -> bytes:
        from facedex_build import cascade  # wants numpy and joblib, which only a wheel needs

        return cascade.convert(name, cascade.unpickle(data, name))

    return convert


def _convert_resnet(data: bytes) -> bytes:
    from facedex_build import dlib_dat, resnet

    return resnet.convert(dlib_dat.read(data))


RECIPES: Mapping[str, Recipe] = {
    "pnet.onnx": Recipe(sources.PNET, _convert_cascade("pnet")),
    "rnet.onnx": Recipe(sources.RNET, _convert_cascade("rnet")),
    "onet.onnx": Recipe(sources.ONET, _convert_cascade("onet")),
    "dlib_resnet.onnx": Recipe(sources.DLIB_RESNET, _convert_resnet),
}
