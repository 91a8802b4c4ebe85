"""Records, results and errors → JSON, by one rule.

A dataclass or result of the core is an object of its public fields, a tuple a list, a time ISO 8601, a path a text, an
error its code, message and data. Ids stay as they are. Embeddings are never written, nor are fields hidden from `repr`,
like the picture of a result. Boxes and points are in pixels of the upright original, times in UTC.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import FacedexError

_HIDDEN = {"embedding", "embeddings", "to_dict"}
_ON_REQUEST = {"liveness", "quality", "attributes"}  # left out of a recognized face unless requested
# as messages write it
_ADVICE = re.compile(r"\b(on_existing|same_pack|faces|photos|index|pack)=('[^']+'(?:(?:, | or )'\w+')*)")


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
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Exception):
        data = {name: getattr(value, name) for name in (*vars(value), "measured", "limit") if hasattr(value, name)}
        return {"code": code_of(value), "message": message_of(value)} | to_json(data, text="picture")
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {names.get(str(name), str(name)): to_json(item, **names) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item, **names) for item in value]
    if hasattr(value, "tolist"):  # numpy
        return value.tolist()
    return to_json(dict(_fields(value)), **names)


def code_of(error: Exception) -> str:
    """Return the stable code of an error."""
    return error.code if isinstance(error, FacedexError) else FacedexError.code


def message_of(error: Exception) -> str:
    """Return the message of an error, with options of the command line in place of Python arguments.

    Examples
    --------
    >>> message_of(FacedexError("choose on_existing='add' or 'replace'"))
    'choose --on-existing add or replace'
    """
    message = str(error).replace("plain=True", "--plain").replace("(name=...)", "(--gallery NAME)")
    return _ADVICE.sub(lambda found: f"--{found[1].replace('_', '-')} {found[2].replace(chr(39), '')}", message)


def _fields(record: Any) -> Iterator[tuple[str, Any]]:
    """Yield the public fields of a dataclass or of an object of the core."""
    if is_dataclass(record):
        names = [field.name for field in fields(record) if field.repr]
    else:
        names = [name for name in vars(type(record)) if not name.startswith("_")]
    for name in names:
        value = getattr(record, name)
        requestable = name in _ON_REQUEST and hasattr(record, "attributes")
        if name not in _HIDDEN and not (requestable and value is None):
            yield name, value
