"""Results, records and errors → plain Python that JSON can write, by one rule.

A dataclass or object of the core is a dictionary of its public fields, a tuple or array a list, a time ISO 8601, a
path a text, an error its code, message and data. Ids stay as they are. Embeddings are left out unless requested, and
so are fields hidden from `repr`, like the picture of a result; liveness, quality and attributes of a face are left out
where they were not requested. ``to_dict`` of results and records and ``--json`` of the command line follow this rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from .errors import FacedexError

_ON_REQUEST = {"liveness", "quality", "attributes"}
_NO_NAMES: Mapping[str, str] = {}


def to_plain(
    value: Any,
    *,
    embeddings: bool = False,
    names: Mapping[str, str] = _NO_NAMES,
    message: Callable[[Exception], str] = str,
) -> Any:
    """Describe a value in plain Python.

    Parameters
    ----------
    value : object
    embeddings : bool, default False
        Whether to include the embeddings of faces.
    names : mapping of str to str, optional
        Other names for fields.
    message : callable, default str
        Writes the message of an error.

    Returns
    -------
    None, bool, int, float, str, list or dict

    Examples
    --------
    >>> from facedex.records import Rejection
    >>> to_plain(Rejection(0, "a.jpg", ValueError("no")))
    {'source': 0, 'text': 'a.jpg', 'error': {'code': 'facedex', 'message': 'no'}}
    """

    def describe(value: Any) -> Any:
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, datetime):
            return value.isoformat()
        if isinstance(value, Path):
            return str(value)
        if isinstance(value, Exception):
            data = {name: getattr(value, name) for name in (*vars(value), "measured", "limit") if hasattr(value, name)}
            return {"code": code_of(value), "message": message(value)} | describe(data)
        if hasattr(value, "_asdict"):
            value = value._asdict()
        if isinstance(value, Mapping):
            return {names.get(str(name), str(name)): describe(item) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [describe(item) for item in value]
        if hasattr(value, "tolist"):  # numpy
            return value.tolist()
        return describe(dict(_fields(value, embeddings=embeddings)))

    return describe(value)


def record_to_dict(record: Any) -> dict[str, Any]:
    """Return the fields as plain Python that JSON can write: times in ISO 8601, tuples as lists.

    Returns
    -------
    dict
    """
    values: dict[str, Any] = to_plain(record)
    return values


def code_of(error: Exception) -> str:
    """Return the stable code of an error."""
    return error.code if isinstance(error, FacedexError) else FacedexError.code


def _fields(record: Any, *, embeddings: bool) -> Iterator[tuple[str, Any]]:
    """Yield the public fields of a dataclass or of an object of the core."""
    if is_dataclass(record):
        names = [field.name for field in fields(record) if field.repr]
    else:
        names = [name for name in vars(type(record)) if not name.startswith("_") and name != "to_dict"]
    for name in names:
        if name == "embedding" and not embeddings:
            continue
        value = getattr(record, name)
        requestable = name in _ON_REQUEST and hasattr(record, "attributes")
        if not (requestable and value is None):
            yield name, value
