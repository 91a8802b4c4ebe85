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
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from .errors import FacedexError

_ON_REQUEST = {"liveness", "quality", "attributes"}
_NO_NAMES: Mapping[str, str] = {}

_SIMPLE = {
    str: "str_schema",
    int: "int_schema",
    float: "float_schema",
    bool: "bool_schema",
    Any: "any_schema",
}
"""The name of pydantic's core schema of a type."""

_NATIVE: dict[str, dict[str, Any]] = {
    "Face": {
        "bbox": tuple[float, float, float, float],
        "landmarks": tuple[tuple[float, float], ...],
        "det_score": float,
        "roll": float,
        "liveness": "Liveness",
        "quality": "Quality",
        "attributes": "Attributes",
    },
    "Liveness": {"live": bool, "status": str, "score": float | None, "threshold": float | None, "reason": str | None},
    "Attributes": {"age": float, "gender": str, "gender_score": float},
    "Quality": {"unified_score": float},
}
"""Types of the fields of objects of the core, which have no annotations."""


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


@classmethod  # type: ignore[misc]  # an attribute of the classes that it describes
def pydantic_schema(cls: type, source: Any, handler: Any) -> Any:
    """Describe the class for pydantic, so that it can be a response model of FastAPI or a field of a model.

    An instance is accepted as it is, and serialized as by ``to_dict``; none is made from JSON.
    """
    from pydantic_core import core_schema  # here, because only applications that use pydantic have it

    def refuse(value: object) -> None:
        raise ValueError(f"a {cls.__name__} cannot be made from JSON")

    shape = _shape(cls, core_schema)
    return core_schema.json_or_python_schema(
        json_schema=core_schema.no_info_after_validator_function(refuse, shape),
        python_schema=core_schema.is_instance_schema(cls),
        serialization=core_schema.plain_serializer_function_ser_schema(
            lambda record: record.to_dict(), return_schema=shape
        ),
    )


def _shape(kind: Any, core_schema: Any) -> Any:
    """Return pydantic's core schema of what `to_plain` makes of values of a type."""
    if kind in _SIMPLE:
        return getattr(core_schema, _SIMPLE[kind])()
    if kind is datetime:
        return core_schema.str_schema(metadata={"pydantic_js_updates": {"format": "date-time"}})
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return core_schema.literal_schema(list(arguments))
    if origin in (Union, UnionType):
        choices = [_shape(one, core_schema) for one in arguments if one is not type(None)]
        chosen = choices[0] if len(choices) == 1 else core_schema.union_schema(choices)
        return core_schema.nullable_schema(chosen) if type(None) in arguments else chosen
    if origin is tuple:
        items = _shape(arguments[0], core_schema)
        number = None if arguments[-1] is Ellipsis else len(arguments)
        return core_schema.list_schema(items, min_length=number, max_length=number)
    name = kind if isinstance(kind, str) else getattr(kind, "__name__", "dict")
    if name in _NATIVE:
        hints = _NATIVE[name]
    elif origin is dict or not isinstance(kind, type):
        return core_schema.dict_schema()
    elif issubclass(kind, Exception):
        hints = {"code": str, "message": str}
    else:
        from . import _core

        named = {native: getattr(_core, native) for native in _NATIVE} | {"ImageInput": object}
        hints = get_type_hints(kind, localns=named)
        hidden = {field.name for field in fields(kind) if not field.repr} if is_dataclass(kind) else set()
        hints = {field: hint for field, hint in hints.items() if field not in hidden}
    requestable = _ON_REQUEST if "attributes" in hints else set()
    shapes = {
        field: core_schema.typed_dict_field(_shape(hint, core_schema), required=field not in requestable)
        for field, hint in hints.items()
    }
    summary = (getattr(kind, "__doc__", None) or name).partition("\n\n")[0].strip() if isinstance(kind, type) else name
    return core_schema.typed_dict_schema(
        shapes,
        cls_name=name,
        ref=f"facedex.{name}:0",
        extra_behavior="allow" if name in ("Quality", "Exception") else "forbid",
        metadata={"pydantic_js_updates": {"description": summary}},
    )


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
