"""The command that shows the settings: what each is, and whether the environment or the default says so.

Keys are masked, and so are passwords in addresses.
"""

from __future__ import annotations

import os
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..config import Settings, settings, user_folder, variable_of
from .opening import command
from .options import DEFAULT_DATABASE
from .output import Output, print_line, print_table
from .serve import server_settings

MASK = "***"

_KEYS = ("key", "audit_key")
_PASSWORD = re.compile(r"(?i)([?&][^=&]*(?:password|passwd|pwd|token|secret|api_?key)[^=&]*=)[^&]*")
_USER = re.compile(r"(?<=://)(?!/).*@")  # up to the last @: a password may hold / and @


@command
def config() -> Output:
    """Show the settings, and where each comes from: the environment or the default. Keys and passwords are masked."""
    found = settings()
    values = {one.name: getattr(found, one.name) for one in fields(Settings)}
    values["db"] = values["db"] or DEFAULT_DATABASE
    values["home"] = values["home"] or user_folder("data")
    served, old = _server_settings()
    rows = []
    for name in sorted(served | values):
        value = served.get(name) if values.get(name) is None else values[name]
        named = os.environ.get(variable_of(name), "").strip()
        origin = "environment" if named else "name of an older backend" if name in old else "default"
        rows.append({"setting": variable_of(name), "value": _plain(name, value), "from": origin})

    def show() -> None:
        print_table(("setting", "value", "from"), [(row["setting"], _text(row["value"]), row["from"]) for row in rows])
        if not served:
            print_line("the settings of the server are not listed: pip install 'facedex[server]'")

    return Output({"settings": rows}, show)


def _server_settings() -> tuple[dict[str, Any], set[str]]:
    """Return the server's settings, and which of them are set; nothing where the server is not installed."""
    try:
        found = server_settings({})
    except ImportError:
        return {}, set()
    return found.model_dump(), found.model_fields_set


def _plain(name: str, value: Any) -> Any:
    """Return a setting as JSON can hold it, without secrets."""
    if value is None:
        return None
    if name in _KEYS:
        return MASK
    if isinstance(value, tuple):
        return [_plain(name, one) for one in value]
    if isinstance(value, Path):
        value = str(value)
    return _USER.sub(f"{MASK}@", _PASSWORD.sub(rf"\1{MASK}", value)) if isinstance(value, str) else value


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
