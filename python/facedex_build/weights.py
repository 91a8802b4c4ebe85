"""Writes the package data of the built-in packs into a source tree: networks, their licences, the manifests.

The manifest of a pack in ``models/`` has the digest of each converted network (``[[file]]`` tables: name, sha256). A
file with that digest is kept, any other is converted again, and a result with another digest is refused. Files are
written atomically, so that an interrupted build leaves no half of one.

A pack is complete or absent. One whose sources cannot be fetched may be left out where that is allowed: its folder is
then removed, and `missing_packs` names it.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facedex_build import npm, sources
from facedex_build.errors import BuildError, FetchError
from facedex_build.npm import NpmFile
from facedex_build.sources import SourceFile

if TYPE_CHECKING:
    from facedex_build.onnx_file import Network  # imports numpy, which only a wheel needs

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MODELS = Path("models")
DATA = Path("python", "facedex", "packs", "data")


@dataclass(frozen=True)
class Recipe:
    """How a file of a pack is made: its source files, and the function that converts their checked bytes."""

    sources: tuple[SourceFile | NpmFile, ...]
    convert: Callable[..., bytes]


@dataclass(frozen=True)
class Pack:
    """The files of a built-in pack.

    Parameters
    ----------
    recipes
        Its networks by name, without those that its manifest takes from another pack.
    licences
        Licences and notices by name: a file of a source, or the path of one of this project.
    """

    recipes: Mapping[str, Recipe]
    licences: Mapping[str, SourceFile | NpmFile | Path]

    def npm_files(self, names: Collection[str]) -> list[NpmFile]:
        """Return the files of the npm registry from which its files `names` are made."""
        used = [source for name, recipe in self.recipes.items() if name in names for source in recipe.sources]
        used += [source for name, source in self.licences.items() if name in names and isinstance(source, NpmFile)]
        return [source for source in used if isinstance(source, NpmFile)]


def make(root: Path, *, optional: Collection[str] = ()) -> list[Path]:
    """Write the packs' files and the manifests below `root` where they are missing or differ; return their paths.

    Parameters
    ----------
    root
        The source tree.
    optional
        Packs that are left out where their sources cannot be fetched.

    Raises
    ------
    FetchError
        The sources of a pack cannot be fetched, and it is not optional.
    BuildError
        A source is missing or altered, or a result is not what the manifest says.
    """
    paths: list[Path] = []
    for name, pack in PACKS.items():
        try:
            paths += _make_pack(root, name, pack)
        except FetchError as error:
            if name not in optional:
                raise FetchError(f"the pack {name} cannot be made: {error}") from error
            shutil.rmtree(root / DATA / name, ignore_errors=True)
            sys.stderr.write(f"facedex: {error}\n")
    return [*paths, *_copy_manifests(root)]


def missing_packs(root: Path) -> list[str]:
    """Return the names of the packs that lack a file below `root`, or have one with another digest."""
    return [name for name in PACKS if _missing(root, name)]


def files_to_fetch(root: Path) -> list[NpmFile]:
    """Return the files of the npm registry that `make` will read."""
    return [file for name, pack in PACKS.items() for file in pack.npm_files(_missing(root, name))]


def _make_pack(root: Path, name: str, pack: Pack) -> list[Path]:
    folder, missing = root / DATA / name, _missing(root, name)
    npm.fetch(pack.npm_files(missing))
    for file in missing:
        if file in pack.recipes:
            _make_file(root, folder / file, pack.recipes[file])
        else:
            _write(folder / file, _read_licence(root, pack.licences[file]))
    return [folder / file for file in (*pack.recipes, *pack.licences)]


def _missing(root: Path, name: str) -> list[str]:
    """Return the names of the files of a pack that must be made."""
    pack, folder = PACKS[name], root / DATA / name
    digests = _digests(root, name)
    unknown = set(pack.recipes) - set(digests)
    if unknown:
        manifest = _manifest(name)
        raise BuildError(f"{manifest} lists no file {min(unknown)}; restore it: git checkout {manifest}")
    made = [file for file in pack.recipes if _digest(folder / file) != digests[file]]
    return made + [file for file, source in pack.licences.items() if not _has_licence(root, folder / file, source)]


def _make_file(root: Path, path: Path, recipe: Recipe) -> None:
    manifest, expected = _manifest(path.parent.name), _digests(root, path.parent.name)[path.name]
    data = recipe.convert(*(source.read() for source in recipe.sources))
    found = sha256(data).hexdigest()
    if found != expected:
        raise BuildError(
            f"{path.name} came out with sha256 {found} ({len(data)} bytes), but {manifest} says {expected}; "
            "restore the converter, or record the new digest there if the change is meant"
        )
    _write(path, data)


def _has_licence(root: Path, path: Path, source: SourceFile | NpmFile | Path) -> bool:
    """Return whether a licence is there and, if it is one of this project, unchanged."""
    return path.is_file() and not (isinstance(source, Path) and path.read_bytes() != (root / source).read_bytes())


def _read_licence(root: Path, source: SourceFile | NpmFile | Path) -> bytes:
    return (root / source).read_bytes() if isinstance(source, Path) else source.read()


def _copy_manifests(root: Path) -> list[Path]:
    folder = root / DATA / "manifests"
    originals = sorted((root / MODELS).glob("*.toml"))
    for stale in set(folder.glob("*.toml")) - {folder / original.name for original in originals}:
        stale.unlink()
    for original in originals:
        data = original.read_bytes()
        copy = folder / original.name
        if not copy.is_file() or copy.read_bytes() != data:
            _write(copy, data)
    return [folder / original.name for original in originals]


def _manifest(name: str) -> Path:
    return MODELS / f"{name}.toml"


def _digests(root: Path, name: str) -> Mapping[str, str]:
    manifest = _manifest(name)
    try:
        with (root / manifest).open("rb") as file:
            content: dict[str, Any] = tomllib.load(file)
        return {table["name"]: table["sha256"] for table in content["file"]}
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise BuildError(f"{manifest} cannot be read ({error!r}); restore it: git checkout {manifest}") from error


def _digest(path: Path) -> str | None:
    return sha256(path.read_bytes()).hexdigest() if path.is_file() else None


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
        from facedex_build import cascade  # imports numpy and joblib, which only a wheel needs

        return cascade.convert(name, cascade.unpickle(data, name))

    return convert


def _convert_resnet(data: bytes) -> bytes:
    from facedex_build import dlib_dat, resnet

    return resnet.convert(dlib_dat.read(data))


def _convert_mobilefacenet(topology: bytes, weights: bytes) -> bytes:
    from facedex_build import mobilefacenet, tfjs

    return _check("mobilefacenet_sirius.onnx", mobilefacenet.convert(tfjs.read(topology, weights)))


def _convert_blazeface(topology: bytes, weights: bytes) -> bytes:
    from facedex_build import blazeface, tfjs

    return _check("blazeface_back.onnx", blazeface.convert(tfjs.read(topology, weights)))


def _check(name: str, network: Network) -> bytes:
    from facedex_build import recorded

    recorded.check(name, network)
    return network.to_bytes()


PACKS: Mapping[str, Pack] = {
    "classic": Pack(
        {
            "pnet.onnx": Recipe((sources.PNET,), _convert_cascade("pnet")),
            "rnet.onnx": Recipe((sources.RNET,), _convert_cascade("rnet")),
            "onet.onnx": Recipe((sources.ONET,), _convert_cascade("onet")),
            "dlib_resnet.onnx": Recipe((sources.DLIB_RESNET,), _convert_resnet),
        },
        {"LICENSE.mtcnn": sources.MTCNN_LICENCE},
    ),
    "base": Pack(
        {
            "blazeface_back.onnx": Recipe(sources.BLAZEFACE, _convert_blazeface),
            "mobilefacenet_sirius.onnx": Recipe(sources.MOBILEFACENET, _convert_mobilefacenet),
        },
        {
            "LICENSE.human-models": sources.HUMAN_MODELS_LICENCE,
            "LICENSE.apache-2.0": Path("python", "facedex", "packs", "texts", "Apache-2.0.txt"),
            "NOTICE": MODELS / "base.NOTICE",
        },
    ),
}
"""The built-in packs, in the order in which they are made."""
