"""What ``--help`` shows beside the options: an example of every command, and flags without a type.

`complete` gives both to the commands of an application; tests run the parser over every example.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

EXAMPLES = {
    "demo": "facedex demo --out demo-output",
    "register": "facedex register ayu ayu/1.jpg ayu/2.jpg --name Ayu",
    "recognize": "facedex recognize party.jpg --out drawn",
    "verify": "facedex verify ayu door.jpg && echo welcome",
    "compare": "facedex compare passport.jpg selfie.jpg",
    "detect": "curl -s https://example.org/party.jpg | facedex detect - --json",
    "people": "facedex people ayu",
    "delete": "facedex delete ayu",
    "purge": "facedex purge --db visitors.db",
    "vacuum": "facedex vacuum",
    "backup": "facedex backup people-copy.db",
    "fsck": "facedex fsck --repair",
    "rebuild": "facedex rebuild",
    "calibrate": "facedex calibrate photos --out mine.toml",
    "packs compare": "facedex packs compare base classic --on photos",
    "evaluate": "facedex evaluate photos --out report.html --resume photos.cache",
    "serve": "facedex serve --port 8080 --photos thumbnail",
    "config": "FACEDEX_THRESHOLD=0.6 facedex config",
    "import": "facedex import photos --names people.csv --on-existing skip",
    "export": "facedex export people.fdx --key-file key.txt",
    "photos list": "facedex photos list ayu",
    "photos save": "facedex photos save ayu --out ayu-photos",
    "photos add": "facedex photos add ayu ayu/3.jpg",
    "photos delete": "facedex photos delete 12",
    "photos rebuild": "facedex photos rebuild ayu",
    "packs list": "facedex packs list",
    "packs info": "facedex packs info base",
    "packs get": "facedex packs get mobile",
    "packs verify": "facedex packs verify base",
    "packs remove": "facedex packs remove mobile",
    "packs add": "facedex packs add my-pack.toml",
    "packs path": "facedex packs path base",
    "packs wheel": "facedex packs wheel mobile",
    "audit list": "facedex audit list --person ayu",
    "audit verify": "facedex audit verify --export audit.jsonl",
    "audit sign": "FACEDEX_AUDIT_KEY=$(cat audit.key) facedex audit sign",
    "audit export": "facedex audit export audit.jsonl",
    "keys add": "facedex keys add door-camera --scope recognise --days 365",
    "keys list": "facedex keys list",
    "keys revoke": "facedex keys revoke 3",
    "users add": "facedex users add ayu@example.org --scope read --scope recognise",
    "users list": "facedex users list",
    "users passwd": "facedex users passwd ayu@example.org",
    "users disable": "facedex users disable ayu@example.org",
    "gallery new-key": "facedex gallery new-key > key.txt",
    "gallery rekey": "facedex gallery rekey --new-key-file key.txt",
    "gallery migrate": "facedex gallery migrate mobile",
    "gallery rollback": "facedex gallery rollback",
    "gallery finish": "facedex gallery finish",
    "gallery status": "facedex gallery status --json",
}


class Command(TyperCommand):
    """A command whose flags show no type: they take no value."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, with the option for help."""
        return list(_without_types(super().get_params(ctx)))


class Group(TyperGroup):
    """A group of commands whose flags show no type."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, with the option for help."""
        return list(_without_types(super().get_params(ctx)))


def complete(app: typer.Typer, path: str = "") -> None:
    """Give every command of an application its example, and flags without a type."""
    for command in app.registered_commands:
        name = command.name or getattr(command.callback, "__name__", "")
        command.cls = Command
        if (example := EXAMPLES.get(f"{path} {name}".strip())) is not None:
            command.epilog = f"Example: {example}"
    for group in app.registered_groups:
        group.cls = Group
        if group.typer_instance is not None:
            complete(group.typer_instance, f"{path} {group.name}".strip())


def _without_types(parameters: list[Any]) -> Iterator[Any]:
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
        yield parameter
