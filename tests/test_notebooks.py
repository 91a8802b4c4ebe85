"""The notebooks: executed from top to bottom, public names only, and no output in the repository."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import facedex

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))

# Beside the public names of the package itself: the bundled pictures.
PUBLIC_MODULES = {"facedex", "facedex.people"}

by_name = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_are_notebooks_and_they_are_numbered() -> None:
    assert NOTEBOOKS
    numbers = [path.stem.split("-")[0] for path in NOTEBOOKS]
    assert numbers == [f"{number:02d}" for number in range(1, len(NOTEBOOKS) + 1)]


@by_name
def test_notebooks_contain_no_output(path: Path) -> None:
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
        assert cell["metadata"] == {}


@by_name
def test_public_names_only(path: Path) -> None:
    for source in _code(path):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                modules = {name.name for name in node.names if name.name.split(".")[0] == "facedex"}
                assert modules <= PUBLIC_MODULES
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "facedex":
                assert all(
                    f"facedex.{name.name}" in PUBLIC_MODULES or hasattr(facedex, name.name) for name in node.names
                )
            if isinstance(node, ast.Attribute):
                assert not node.attr.startswith("_")


@pytest.mark.slow
@by_name
def test_it_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    shown = [output for cell in code for output in cell.outputs if "image/png" in output.get("data", {})]
    assert len(shown) >= 3
    assert not [output for cell in code for output in cell.outputs if output.get("name") == "stderr"]
    assert list(tmp_path.iterdir()) == []


def _code(path: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
