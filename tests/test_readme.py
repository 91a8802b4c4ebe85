"""README and docs/: their examples run and print what they say; links, pages and make targets exist."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from typer.main import get_command

from facedex.cli import app

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
INDEX = ROOT / "docs" / "README.md"
PAGES = [
    README,
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "models" / "README.md",
    ROOT / "tests" / "parity" / "README.md",
]

LAYERS = ("RUST", "PYTHON")
"""The tables of levels in tests/test_layers.py, in the order of those in docs/development.md."""


INFO = ("facedex seal", "facedex files")
"""Texts in the description of an encrypted gallery file that are no command lines."""


def read_prose(page: Path) -> str:
    """Read a page without its code blocks."""
    return re.sub(r"^```.*?^```|^    .*?$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def relative_links(page: Path) -> Iterator[str]:
    for target in re.findall(r"\]\(([^)]+)\)", read_prose(page)):
        if not re.match(r"\w+:", target):
            yield target


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", read_prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) < 200


def test_the_python_block_prints_what_the_readme_says_each_time(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```\n+```text\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 1
    code, expected = blocks[0]
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=False,
            env=dict(os.environ),
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == expected


def test_the_application_in_the_documentation_answers(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "include_router" in block]
    requests = """
from fastapi.testclient import TestClient
from facedex import people
with TestClient(app) as client:
    with open(people.PICTURES["ayu"][0], "rb") as file:
        detected = client.post("/faces/detect", files={"image": file})
    print(client.get("/faces/people").json()["items"], detected.status_code)
"""
    done = subprocess.run(
        [sys.executable, "-c", code + requests], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.stdout == "[] 200\n", done.stderr


def test_every_make_target_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        named = set(re.findall(r"`make ([a-z-]+)", text)) | set(re.findall(r"^make ([a-z-]+) +#", text, re.MULTILINE))
        assert named <= targets, page
        assert named or page != README


def test_the_picture_of_a_recognized_group_is_small() -> None:
    path = ROOT / "docs" / "images" / "group.jpg"
    assert "docs/images/group.jpg" in relative_links(README)
    assert 20_000 < path.stat().st_size < 150_000
    with Image.open(path) as picture:
        assert (picture.format, picture.size) == ("JPEG", (1280, 720))
        assert not picture.getexif()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for link in relative_links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target), link


def test_every_page_and_notebook_is_in_the_index() -> None:
    linked = {(INDEX.parent / link).resolve() for link in relative_links(INDEX)}
    notebooks = set((ROOT / "notebooks").glob("*.ipynb"))
    assert {*PAGES, *notebooks} - {INDEX} <= linked


def test_the_threat_model_names_tests_that_exist() -> None:
    text = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
    named = {name for names in re.findall(r"\[((?:[\w./]*test_\w+(?:, )?)+)\]", text) for name in names.split(", ")}
    assert len(named) > 20
    assert [name for name in sorted(named) if not (ROOT / "tests" / "http" / f"{name}.py").exists()] == []


def test_every_pack_is_in_the_table_of_licences() -> None:
    table = re.findall(r"^\| (`.*?) \|", (ROOT / "docs" / "packs.md").read_text(encoding="utf-8"), re.MULTILINE)
    listed = {name for cell in table for name in re.findall(r"`([\w-]+)`", cell)}
    assert listed == {path.stem for path in (ROOT / "models").glob("*.toml")}


def test_the_layout_has_every_module_with_its_level() -> None:
    tree = ast.parse((ROOT / "tests" / "test_layers.py").read_text(encoding="utf-8"))
    levels = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in LAYERS
    }
    section = (ROOT / "docs" / "development.md").read_text(encoding="utf-8").split("## Layout\n")[1].split("\n## ")[0]
    tables = [
        re.findall(r"^\| `(\w+)` \| (\d+) \| .+ \|$", part, re.MULTILINE) for part in section.split("The package,")
    ]
    assert [{name: int(level) for name, level in table} for table in tables] == [levels[name] for name in LAYERS]


def command_lines(page: Path) -> Iterator[list[str]]:
    """The words of each command line of facedex: those in code blocks, and those quoted in a sentence."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n.*?^```|^    .*?$", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in re.findall(r"^ *(facedex .+)$", block, re.MULTILINE)]
    for line in lines + [quoted for quoted in re.findall(r"`(facedex [^`]+)`", text) if quoted not in INFO]:
        yield line.split("#")[0].split()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_line_is_understood(page: Path) -> None:
    for words in command_lines(page):
        command = get_command(app)
        while getattr(command, "commands", {}) and len(words) > 1 and not words[1].startswith("-"):
            assert words[1] in command.commands, words
            command = command.commands[words.pop(1)]
            if "|" in words:  # a list of commands
                break
        options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        assert {word.split("=")[0] for word in words if word.startswith("--")} - {"--help"} <= options, words


def test_the_recipes_name_files_that_exist() -> None:
    text = (ROOT / "docs" / "development.md").read_text(encoding="utf-8")
    recipes = text.split("## Recipes\n")[1].split("\n## ")[0]
    named = set(re.findall(r"`([\w.-]+/[\w./-]*)`", recipes))
    assert len(named) > 25
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
