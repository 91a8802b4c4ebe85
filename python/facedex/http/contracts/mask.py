"""The header ``X-Fields``, with which a client chooses the fields of a JSON answer.

The grammar is that of Flask-RESTX: names separated by commas, ``data{user_id,name}`` for what is inside, ``*`` for all
others; the whole may be in braces. A list is masked item by item; a missing field is null. Refused: a mask with an open
brace or an empty name, or one that is longer or deeper than any answer.
"""

from __future__ import annotations

import re
from typing import Any

from ...errors import ArgumentError

MAX_LENGTH = 1000
"""Longest mask, characters."""

MAX_DEPTH = 8
"""Deepest nesting of a mask."""

_TOKEN = re.compile(r"\s*([{},]|[^\s{},]+)\s*")

Mask = dict[str, "Mask | None"]
"""Field → the mask inside it; None keeps all."""


def read_mask(text: str) -> Mask:
    """Read a mask.

    Parameters
    ----------
    text : str
        The value of the header.

    Returns
    -------
    dict

    Raises
    ------
    ArgumentError

    Examples
    --------
    >>> read_mask("status,data{user_id,name}")
    {'status': None, 'data': {'user_id': None, 'name': None}}
    """
    if len(text) > MAX_LENGTH:
        raise ArgumentError(f"X-Fields has {len(text)} characters, at most {MAX_LENGTH} are read")
    if not text.isprintable():
        raise ArgumentError("X-Fields must be printable text")
    tokens = _TOKEN.findall(text)
    if tokens[:1] == ["{"] and tokens[-1:] == ["}"]:
        tokens = tokens[1:-1]
    mask, rest = _fields(tokens, 1)
    if rest:
        raise _error(f"{rest[0]!r} is not expected there")
    return mask


def apply_mask(answer: Any, mask: Mask) -> Any:
    """Reduce an answer to the fields of a mask.

    Parameters
    ----------
    answer : object
        A JSON value.
    mask : dict
        As `read_mask` returns it.

    Examples
    --------
    >>> apply_mask([{"name": "Ayu", "email": None, "id": 1}], read_mask("name"))
    [{'name': 'Ayu'}]
    """
    if isinstance(answer, list):
        return [apply_mask(item, mask) for item in answer]
    if not isinstance(answer, dict):
        return answer
    kept = dict(answer) if "*" in mask else {}
    for name, inside in mask.items():
        if name != "*":
            value = answer.get(name)
            kept[name] = value if inside is None else apply_mask(value, inside)
    return kept


def _fields(tokens: list[str], depth: int) -> tuple[Mask, list[str]]:
    """Read names up to a closing brace or the end; return the mask and the remaining tokens."""
    if depth > MAX_DEPTH:
        raise _error(f"it is nested deeper than {MAX_DEPTH}")
    mask: Mask = {}
    while True:
        if not tokens or tokens[0] in "{},":
            raise _error("a name is missing")
        name, tokens = tokens[0], tokens[1:]
        mask[name] = None
        if tokens[:1] == ["{"]:
            mask[name], tokens = _fields(tokens[1:], depth + 1)
            if tokens[:1] != ["}"]:
                raise _error("a brace is not closed")
            tokens = tokens[1:]
        if tokens[:1] != [","]:
            return mask, tokens
        tokens = tokens[1:]


def _error(reason: str) -> ArgumentError:
    return ArgumentError(f"X-Fields must be names such as 'name,email' or 'data{{user_id,name}}': {reason}")
