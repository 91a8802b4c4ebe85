"""The architecture that cannot go stale: a module uses lower levels only; modules of one level do not know each other.

The levels below are the house's. Changing one is a decision about the architecture.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

RUST = {
    "error": 0,
    "geometry": 0,
    "image": 1,
    "pack": 1,
    "tensor": 2,
    "session": 2,
    "detect": 3,
    "align": 3,
    "attributes": 3,
    "liveness": 3,
    "quality": 3,
    "embed": 4,  # above align: an embedder may average a crop with its mirror image
    "index": 4,
    "analyze": 5,
    "py": 6,
}
"""Modules of the core."""

PYTHON = {
    "errors": 0,
    "config": 1,
    "inputs": 1,
    "numbers": 1,
    "aside": 0,
    "records": 1,
    "twins": 0,
    "people": 0,
    "_core": 0,  # the native module imports nothing of the package but the exceptions that it raises
    "draw": 1,
    "scales": 1,
    "packs": 2,
    "results": 2,  # shows its picture through draw
    "store": 2,
    "runtime": 2,
    "engine": 3,
    "comparison": 4,
    "search": 3,  # follows the store's feed of changes
    "choose": 3,
    "lifetime": 3,
    "policy": 4,
    "renditions": 4,
    "enrol": 5,
    "identify": 4,
    "directory": 4,
    "custody": 5,
    "reembedding": 5,
    "album": 6,
    "migration": 7,
    "portable": 7,
    "gallery": 8,
    "fsck": 6,
    "evaluate": 5,
    "transfer": 9,
    "demo": 9,
    "access": 3,  # accounts and keys, for the server and the command line
    "http": 10,  # http/settings.py reads the environment for it, as config.py does for everything else
    "cli": 11,
}
"""Modules of the package."""

ONLY_IN = {
    "ort": ["src/session.rs"],
    "rayon": ["src/analyze/"],
    "pyo3": ["src/py/"],
    "numpy": ["src/py/"],
    "usearch": ["src/index/"],
    "numkong": ["src/index/"],
    "zune_jpeg": ["src/image/"],
    "png": ["src/image/"],
}
"""Crates that one place only may name."""


def rust_edges() -> list[tuple[str, str, str]]:
    edges = []
    for path in sorted((ROOT / "src").rglob("*.rs")):
        relative = path.relative_to(ROOT / "src")
        module = relative.parts[0].removesuffix(".rs")
        if module == "lib":
            continue
        for used in re.findall(r"\bcrate::(\w+)", path.read_text()):
            if used in RUST and used != module:
                edges.append((module, used, str(relative)))
    return edges


def python_edges() -> list[tuple[str, str, str]]:
    edges = []
    package = ROOT / "python" / "facedex"
    for path in sorted(package.rglob("*.py")):
        relative = path.relative_to(package)
        module = relative.parts[0].removesuffix(".py")
        if module in ("__init__", "__main__"):
            continue
        for used in imports(path, relative):
            if used != module:
                edges.append((module, used, str(relative)))
    return edges


def imports(path: Path, relative: Path) -> set[str]:
    """Top modules of the package that a file imports when it runs; what is for type checkers only does not count."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found |= {parts[1] for parts in names if parts[0] == "facedex" and len(parts) > 1}
        elif isinstance(node, ast.ImportFrom):
            base = list(relative.parent.parts)[: len(relative.parent.parts) - node.level + 1]
            within = node.module.split(".") if node.module else []
            if node.level == 0:
                if within[:1] != ["facedex"]:
                    continue
                base, within = [], within[1:]
            full = [*base, *within]
            found |= {full[0]} if full else {alias.name for alias in node.names}
    return {name for name in found if name != "__version__"}


def test_every_module_has_a_level() -> None:
    rust = {path.stem for path in (ROOT / "src").iterdir()} - {"lib"}
    package = ROOT / "python" / "facedex"
    python = {path.stem for path in package.glob("*.py")} | {path.name for path in package.iterdir() if path.is_dir()}
    assert rust == set(RUST)
    assert python - {"__init__", "__main__", "__pycache__", ".mypy_cache"} | {"_core"} == set(PYTHON)


@pytest.mark.parametrize(("edges", "levels"), [(rust_edges(), RUST), (python_edges(), PYTHON)], ids=["rust", "python"])
def test_modules_use_lower_levels_only(edges: list[tuple[str, str, str]], levels: dict[str, int]) -> None:
    assert edges, "no import was read: the test itself is broken"
    upward = [f"{where}: {module} uses {used}" for module, used, where in edges if levels[used] >= levels[module]]
    assert upward == []


@pytest.mark.parametrize("crate", sorted(ONLY_IN))
def test_a_crate_is_named_in_one_place(crate: str) -> None:
    pattern = re.compile(rf"(^|[^\w:]|\s::){crate}::", re.MULTILINE)
    named = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "src").rglob("*.rs")
        if pattern.search(path.read_text()) or re.search(rf"^\s*use (::)?{crate}\b", path.read_text(), re.MULTILINE)
    }
    assert named, f"{crate} is named nowhere: the test itself is broken"
    assert [path for path in named if not any(path.startswith(place) for place in ONLY_IN[crate])] == []


def test_the_core_builds_without_python() -> None:
    for path in (ROOT / "src").rglob("*.rs"):
        if "py" not in path.relative_to(ROOT / "src").parts:
            assert "pyo3" not in path.read_text(), path
