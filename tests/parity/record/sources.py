"""What the recording programs share: pictures in, recorded values out.

In: the folder of bundled people. Out: RGB arrays decoded by Pillow, and files under `data/` that hold plain arrays or
JSON (never pickled objects), each with the versions of the packages that made it.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Array = np.ndarray[Any, Any]


def jpeg_names(people: Path) -> list[str]:
    """Names of every bundled JPEG picture, relative to `people`, sorted."""
    names = sorted(path.relative_to(people).as_posix() for path in people.rglob("*.jpg"))
    if not names:
        raise SystemExit(f"no JPEG pictures under {people}: name the folder of bundled people with --people")
    return names


def read_rgb(path: Path) -> Array:
    """Decode one picture with Pillow.

    Returns
    -------
    ndarray, shape (height, width, 3), uint8
        RGB. The bundled pictures carry no EXIF orientation.
    """
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Installed version of each named distribution."""
    return {name: importlib.metadata.version(name) for name in packages}


def write_arrays(path: Path, arrays: Mapping[str, Array], packages: Iterable[str]) -> None:
    """Write a compressed .npz; the key `versions` holds lines such as "mtcnn 1.0.0"."""
    lines = [f"{name} {version}" for name, version in versions(packages).items()]
    for key, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"{key} holds Python objects, which an .npz would pickle")
    np.savez_compressed(path, versions=np.array(lines), **arrays)  # type: ignore[arg-type]
    report(path)


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write JSON with one line per innermost list, so that a difference reads well."""
    path.write_text(compact(document, 0) + "\n", encoding="utf-8")
    report(path)


def compact(value: Any, depth: int) -> str:
    """JSON text of `value`: mappings and lists of mappings indented, anything else on one line."""
    indent, outdent = "  " * (depth + 1), "  " * depth
    if isinstance(value, Mapping):
        rows = [f"{indent}{json.dumps(key)}: {compact(item, depth + 1)}" for key, item in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{outdent}}}"
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        rows = [indent + compact(item, depth + 1) for item in value]
        return "[\n" + ",\n".join(rows) + f"\n{outdent}]"
    return json.dumps(value)


def report(path: Path) -> None:
    """Print what was written and its size."""
    print(f"{path.name}: {path.stat().st_size:,} bytes")
