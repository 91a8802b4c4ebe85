"""The architecture that cannot go stale: a module uses lower levels only; modules of one level do not know each other.

The levels below are the house's. Changing one is a decision about the architecture. Inside a module, files may use each
other in one direction only: the imports between files have no circle.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

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
    "people": 0,
    "_pyinstaller": 0,
    "_core": 0,  # the native module imports nothing of the package but the exceptions that it raises
    "coroutines": 0,
    "files": 0,
    "forks": 0,
    "checks": 1,
    "config": 1,
    "inputs": 1,
    "pickles": 1,
    "plain": 1,
    "thresholds": 2,  # options are made of its rules
    "options": 3,
    "records": 3,
    "draw": 3,
    "scales": 3,
    "challenge": 3,
    "packs": 4,
    "results": 4,  # shows its picture through draw
    "store": 4,
    "runtime": 4,
    "engine": 5,
    "search": 5,  # follows the store's feed of changes
    "evaluate": 6,
    "gallery": 7,
    "transfer": 8,
    "server": 8,
    "demo": 8,
    "http": 9,  # http/settings.py reads the environment for it, as config.py does for everything else
    "cli": 10,
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


def import_statements(path: Path, relative: Path, *, types: bool) -> list[tuple[list[str], list[str]]]:
    """Imports of the package in a file: the module and the names from it; with `types` those for type checkers too."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if (
            not types
            and isinstance(node, ast.If)
            and isinstance(node.test, ast.Name)
            and node.test.id == "TYPE_CHECKING"
        ):
            node.body = []
    found: list[tuple[list[str], list[str]]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found += [(parts[1:-1], parts[-1:]) for parts in names if parts[0] == "facedex" and len(parts) > 1]
        elif isinstance(node, ast.ImportFrom):
            base = list(relative.parent.parts)[: len(relative.parent.parts) - node.level + 1]
            within = node.module.split(".") if node.module else []
            if node.level == 0:
                if within[:1] != ["facedex"]:
                    continue
                base, within = [], within[1:]
            found.append(([*base, *within], [alias.name for alias in node.names]))
    return found


def imports(path: Path, relative: Path) -> set[str]:
    """Top modules of the package that a file imports when it runs."""
    found = {(base or [name])[0] for base, names in import_statements(path, relative, types=False) for name in names}
    return found - {"__version__"}


def without_tests(source: str) -> str:
    """Remove comments and the test module, which stands at the end of a file."""
    return re.sub(r"//[^\n]*", "", re.split(r"#\[cfg\(test\)\]\s*mod \w+ \{", source)[0])


def use_paths(tree: str, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Expand the tree of a `use` into paths: `a::{b, c::d}` is a::b and a::c::d."""
    paths = []
    depth, start = 0, 0
    for end, character in enumerate(tree + ","):
        depth += (character == "{") - (character == "}")
        if character == "," and depth == 0:
            part = re.sub(r"\s+as\s+\w+", "", tree[start:end]).strip()
            start = end + 1
            if part.endswith("}"):
                head, inside = part[:-1].split("{", 1)
                paths += use_paths(inside, (*prefix, *head.strip(" :").split("::")))
            elif part:
                paths.append((*prefix, *part.split("::")))
    return paths


def rust_file_graph() -> dict[str, set[str]]:
    """Imports between the files of the core. The parent of a file declares it and is not counted among its imports."""
    sources = {}
    for path in sorted((ROOT / "src").rglob("*.rs")):
        parts = path.relative_to(ROOT / "src").with_suffix("").parts
        if "tests" not in parts and parts != ("lib",):
            sources[parts[:-1] if parts[-1] == "mod" else parts] = without_tests(path.read_text())
    imported = {
        module: [
            path for tree in re.findall(r"\buse\s+([^;]+);", source) for path in use_paths(re.sub(r"\s+", " ", tree))
        ]
        + [tuple(path.split("::")) for path in re.findall(r"\b(?:super|crate)(?:::\w+)+", source)]
        for module, source in sources.items()
    }

    def target(module: tuple[str, ...], path: tuple[str, ...]) -> tuple[str, ...] | None:
        """Find the file that a path leads to, through the names that a parent re-exports."""
        if path[0] == "crate":
            place, rest = (), path[1:]
        elif path[0] == "super":
            place, rest = module[:-1], path[1:]
        elif (*module, path[0]) in sources:
            place, rest = module, path
        else:
            return None
        while rest and (*place, rest[0]) in sources:
            place, rest = (*place, rest[0]), rest[1:]
        for exported in imported.get(place, []):
            if rest and exported[-1] == rest[0] and (*place, exported[0]) in sources:
                return (*place, exported[0])
        return place or None

    graph: dict[str, set[str]] = {"/".join(module): set() for module in sources}
    for module, paths in imported.items():
        for path in paths:
            used = target(module, path)
            related = used is None or used == module[: len(used)] or module == used[: len(module)]
            if not related:
                graph["/".join(module)].add("/".join(used or ()))
    return graph


def python_file_graph() -> dict[str, set[str]]:
    """Imports between the files of the package, also those inside functions and those for type checkers."""
    package = ROOT / "python" / "facedex"
    files = {path.relative_to(package).as_posix() for path in package.rglob("*.py")}

    def file_of(parts: list[str]) -> str | None:
        names = ("/".join(parts) + ".py", "/".join([*parts, "__init__.py"]))
        return next((name for name in names if name in files), None)

    graph: dict[str, set[str]] = {name: set() for name in files}
    for name in files:
        for base, imported in import_statements(package / name, Path(name), types=True):
            for part in imported:
                used = file_of([*base, part]) or file_of(base)
                if used not in (None, name, "__init__.py"):  # that one is read for the version only
                    graph[name].add(str(used))
    return graph


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Find the sets of files that reach each other."""

    def reachable(start: str) -> set[str]:
        found: set[str] = set()
        waiting = [start]
        while waiting:
            for used in graph[waiting.pop()] - found:
                found.add(used)
                waiting.append(used)
        return found

    reached = {name: reachable(name) for name in graph}
    found: list[set[str]] = []
    for name in sorted(graph):
        if name in reached[name] and not any(name in circle for circle in found):
            found.append({other for other in reached[name] if name in reached[other]})
    return found


def test_circles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"a"}, "f": {"f"}}
    assert circles(graph) == [{"b", "c"}, {"f"}]
    assert use_paths("super::{a, b::{self, C as D}, e::F}") == [
        ("super", "a"),
        ("super", "b", "self"),
        ("super", "b", "C"),
        ("super", "e", "F"),
    ]
    assert "index/rows" in rust_file_graph()["index/exact"]
    assert "search/base.py" in python_file_graph()["search/local.py"]


def test_files_use_each_other_in_one_direction() -> None:
    assert circles(rust_file_graph()) == []
    assert circles(python_file_graph()) == []


def test_a_base_class_has_several_subclasses() -> None:
    """Inheritance is for classes that are used in each other's place; a class is not split into a chain of files."""
    package = importlib.import_module("facedex")
    names = [module.name for module in pkgutil.walk_packages(package.__path__, "facedex.")]
    programs = ("__main__", "hook-facedex")  # the second is PyInstaller's
    modules = [importlib.import_module(name) for name in names if not name.endswith(programs)]
    classes = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__.startswith("facedex.")
    }
    children: dict[type, set[type]] = {}
    for child in classes:
        for base in child.__bases__:
            children.setdefault(base, set()).add(child)
    assert children[importlib.import_module("facedex.search.remote").RemoteSearch], "no class was read"
    alone = {
        f"{base.__module__}.{base.__name__}": {child.__name__ for child in found}
        for base, found in children.items()
        if base in classes
        and len(found) < 2
        and not issubclass(base, (Exception, BaseModel))
        and not getattr(base, "_is_protocol", False)
    }
    assert alone == {}


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
