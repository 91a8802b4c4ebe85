"""The header ``X-Fields`` → the fields of a JSON answer that a client wants.

The grammar is that of Flask-RESTX: names separated by commas, ``data{user_id,name}`` for what is inside, ``*`` for all
others, braces round the whole allowed. A list is masked item by item; a field that is not there is null. Refused: a
mask that does not close, has an empty name, or is longer or deeper than any answer.
"""

from __future__ import annotations

import re
from typing import Any

from ...errors import ArgumentError

LONGEST = 1000
"""Longest mask, characters."""

DEEPEST = 8
"""How deep masks may be nested."""

_TOKEN = re.compile(r"\s*([{},]|[^\s{},]+)\s*")

Mask = dict[str, "Mask | None"]
"""Field → what to keep inside it; None is all."""


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
    if len(text) > LONGEST:
        raise ArgumentError(f"X-Fields has {len(text)} characters, at most {LONGEST} are read")
    if not text.isprintable():
        raise ArgumentError("X-Fields must be printable text")
    tokens = _TOKEN.findall(text)
    if tokens[:1] == ["{"] and tokens[-1:] == ["}"]:
        tokens = tokens[1:-1]
    mask, rest = _fields(tokens, 1)
    if rest:
        raise _refused(f"{rest[0]!r} is not expected there")
    return mask


def masked(answer: Any, mask: Mask) -> Any:
    """Keep of an answer what the mask names.

    Parameters
    ----------
    answer : object
        What JSON can hold.
    mask : dict
        As of `read_mask`.

    Examples
    --------
    >>> masked([{"name": "Ayu", "email": None, "id": 1}], read_mask("name"))
    [{'name': 'Ayu'}]
    """
    if isinstance(answer, list):
        return [masked(item, mask) for item in answer]
    if not isinstance(answer, dict):
        return answer
    kept = dict(answer) if "*" in mask else {}
    for name, inside in mask.items():
        if name != "*":
            value = answer.get(name)
            kept[name] = value if inside is None else masked(value, inside)
    return kept


def _fields(tokens: list[str], depth: int) -> tuple[Mask, list[str]]:
    """Read names up to a closing brace or the end; return what is left."""
    if depth > DEEPEST:
        raise _refused(f"it is nested deeper than {DEEPEST}")
    mask: Mask = {}
    while True:
        if not tokens or tokens[0] in "{},":
            raise _refused("a name is missing")
        name, tokens = tokens[0], tokens[1:]
        mask[name] = None
        if tokens[:1] == ["{"]:
            mask[name], tokens = _fields(tokens[1:], depth + 1)
            if tokens[:1] != ["}"]:
                raise _refused("a brace is not closed")
            tokens = tokens[1:]
        if tokens[:1] != [","]:
            return mask, tokens
        tokens = tokens[1:]


def _refused(reason: str) -> ArgumentError:
    return ArgumentError(f"X-Fields must be names such as 'name,email' or 'data{{user_id,name}}': {reason}")
