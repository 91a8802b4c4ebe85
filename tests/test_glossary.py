"""The public names keep to the glossary in docs/development.md: none contains a word from its "never called" column."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
from typer.main import get_command

import facedex
from facedex.cli import app
from facedex.http import Settings, create_app

PAGE = Path(__file__).parents[1] / "docs" / "development.md"

Words = tuple[str, ...]


def read_glossary() -> dict[Words, str]:
    """Read the words that are never used, each with the word that takes its place."""
    section = PAGE.read_text(encoding="utf-8").split("## Glossary\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    assert 40 <= len(lines) <= 60, "the glossary is meant to be read as a whole"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert all(len(row) == 3 for row in rows)
    return {split_words(never): word for word, _, column in rows for never in re.findall(r"`(\w+)`", column)}


def split_words(name: str) -> Words:
    """Split a name into its words.

    >>> split_words("DatabaseLockedError"), split_words("--min-face"), split_words("at_v1")
    (('database', 'locked', 'error'), ('min', 'face'), ('at', 'v', '1'))
    """
    return tuple(word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name))


def contains(name: Words, words: Words) -> bool:
    return any(name[start : start + len(words)] == words for start in range(len(name)))


def public_names(value: object, path: str) -> Iterator[tuple[str, str]]:
    """The public attributes of a class, and the parameters of its methods; the parameters of a function."""
    if inspect.isclass(value):
        inherited = {name for base in value.__mro__ if not base.__module__.startswith("facedex") for name in dir(base)}
        for name in dir(value):
            if not name.startswith("_") and name not in inherited:
                yield name, f"{path}.{name}"
                attribute = inspect.getattr_static(value, name)
                if not isinstance(attribute, property):
                    yield from parameters(getattr(value, name), f"{path}.{name}")
    yield from parameters(value, path)


def parameters(value: object, path: str) -> Iterator[tuple[str, str]]:
    if callable(value):
        try:
            signature = inspect.signature(value)
        except (TypeError, ValueError):  # written in Rust, without a signature
            return
        for name in signature.parameters:
            yield name, f"{path}({name})"


def library_names() -> Iterator[tuple[str, str]]:
    for name in facedex.__all__:
        yield name, f"facedex.{name}"
        value = getattr(facedex, name)
        if not isinstance(value, ModuleType):
            yield from public_names(value, f"facedex.{name}")
            continue
        for inner in getattr(value, "__all__", [inner for inner in vars(value) if not inner.startswith("_")]):
            member = getattr(value, inner)
            if getattr(member, "__module__", "").startswith("facedex"):
                yield inner, f"facedex.{name}.{inner}"
                yield from public_names(member, f"facedex.{name}.{inner}")


def command_names(command: click.Command | None = None, path: str = "facedex") -> Iterator[tuple[str, str]]:
    command = command or get_command(app)
    for parameter in command.params:
        for option in [parameter.name or "", *parameter.opts, *parameter.secondary_opts]:
            yield option, f"{path} {option}"
    for name, inner in getattr(command, "commands", {}).items():
        if inner.hidden:  # an earlier name
            continue
        yield name, f"{path} {name}"
        yield from command_names(inner, f"{path} {name}")


def http_names(tmp_path: Path) -> Iterator[tuple[str, str]]:
    document: dict[str, Any] = create_app(Settings(db=str(tmp_path / "people.db"))).openapi()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            # the identifier ends with the path and the method, of which the path may have words of its own
            yield operation["operationId"], f"{method} {path}"
            for parameter in operation.get("parameters", []):
                yield parameter["name"], f"{method} {path} {parameter['name']}"
    for name, schema in document["components"]["schemas"].items():
        yield name, f"schema {name}"
        for field in schema.get("properties", {}):
            yield field, f"schema {name}.{field}"
    for name in Settings.model_fields:
        yield name, f"setting {name}"


def wrong(names: Iterator[tuple[str, str]]) -> list[str]:
    """List the names that contain a word which is never used."""
    glossary = read_glossary()
    checked = list(names)
    assert len({name for name, _ in checked}) > 50, "few names were read: the test itself is broken"
    return [
        f"{path}: {'_'.join(never)!r} is called {word!r}"
        for name, path in checked
        for never, word in glossary.items()
        if contains(split_words(name), never)
    ]


def test_a_banned_word_is_found() -> None:
    assert split_words("DatabaseLockedError") == ("database", "locked", "error")
    assert split_words("--min-face") == ("min", "face")
    assert split_words("face_img2") == ("face", "img", "2")
    assert contains(split_words("old_face_img"), split_words("face_img"))
    assert not contains(split_words("image"), split_words("img"))
    assert not contains(split_words("classic"), split_words("class"))
    assert read_glossary()["kps",] == "landmarks"


def test_the_library_keeps_to_the_glossary() -> None:
    assert wrong(library_names()) == []


def test_the_command_line_keeps_to_the_glossary() -> None:
    assert wrong(command_names()) == []


def test_the_server_keeps_to_the_glossary(tmp_path: Path) -> None:
    assert wrong(http_names(tmp_path)) == []
