"""Records, results and errors → JSON, as `facedex.plain` does, with messages that name options of the command line."""

from __future__ import annotations

import re
from typing import Any

from ..plain import to_plain

_ADVICE = re.compile(
    r"\b(on_existing|same_pack|faces|photos|index|pack)=('[^']+'(?:(?:, | or )'\w+')*)"
)  # as messages write it

_ARGUMENTS = {
    "register or add_photo in a gallery that was opened with photos='original'": (
        "register with --photos original, or use 'facedex photos add'"
    ),
    "give its key (key=...) or set FACEDEX_KEY": "set FACEDEX_KEY to its key",
    "(key=...)": "(--key-file FILE)",
    "(name=...)": "(--gallery NAME)",
    "(engine=...)": "(--to PATH)",
    "threshold=...": "--threshold",
    "plain=True": "--plain",
    "or without strict": "or without --strict",
    "search='local'": "FACEDEX_SEARCH=local",
}
"""Advice of the library, and the same on the command line."""


def to_json(value: Any, **names: str) -> Any:
    """Describe a value in terms of JSON.

    Parameters
    ----------
    value : object
    **names : str
        Other names for fields.

    Examples
    --------
    >>> from facedex.records import Rejection
    >>> to_json(Rejection(0, "a.jpg", ValueError("no")), text="picture")
    {'source': 0, 'picture': 'a.jpg', 'error': {'code': 'facedex', 'message': 'no'}}
    """
    return to_plain(value, names=names, message=message_of)


def message_of(error: Exception) -> str:
    """Return the message of an error, with options of the command line in place of Python arguments.

    Examples
    --------
    >>> from facedex.errors import FacedexError
    >>> message_of(FacedexError("choose on_existing='add' or 'replace'"))
    'choose --on-existing add or replace'
    """
    message = str(error)
    for advice, same in _ARGUMENTS.items():
        message = message.replace(advice, same)
    return _ADVICE.sub(lambda found: f"--{found[1].replace('_', '-')} {found[2].replace(chr(39), '')}", message)
