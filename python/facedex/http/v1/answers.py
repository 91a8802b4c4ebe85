"""Response models made from the dataclasses that they answer: the same fields, described by the dataclass's docstring.

A field that is added to a dataclass is answered and documented without a change here. Only what a dataclass must not
show is left out by name.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import reduce
from operator import or_
from types import GenericAlias, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

_Model = TypeVar("_Model")

_MODELS: dict[Any, Any] = {}
"""The response models that stand for a class, by that class and by its name."""

_HEADING = re.compile(r"^(Attributes|Parameters)\n-+\n(.*?)(?=^\w[^\n]*\n-+\n|\Z)", re.MULTILINE | re.DOTALL)
_ENTRY = re.compile(r"^(\w[\w, ]*?) : [^\n]*((?:\n {4}[^\n]*|\n(?=\n {4}))*)", re.MULTILINE)


class Answer(BaseModel):
    """Base of the response models; filled from the attributes of an object."""

    model_config = ConfigDict(from_attributes=True)


def list_of(model: type[BaseModel]) -> Any:
    """Return the response model of a list of `model`."""
    return GenericAlias(list, (model,))


def answer(
    source: type,
    *,
    name: str | None = None,
    omit: tuple[str, ...] = (),
    properties: tuple[str, ...] = (),
    extra: Mapping[str, tuple[Any, str]] | None = None,
) -> type[Answer]:
    """Make the response model of a dataclass.

    Parameters
    ----------
    source : type
        A dataclass.
    name : str, optional
        Name of the schema; by default that of `source`.
    omit : tuple of str
        Fields that are not answered.
    properties : tuple of str
        Properties that are answered too.
    extra : mapping, optional
        Type and description of fields that the dataclass lacks.

    Examples
    --------
    >>> from facedex.records import Duplicate
    >>> answer(Duplicate).model_fields["similarity"].description
    "To that person's closest face, [-1, 1]."
    """
    descriptions = attribute_docs(source)
    written = {one.name: one.type for one in fields(source) if one.name not in omit}
    # A native class is imported for type checkers only, and so is looked up by its name.
    named = {one: model for one, model in _MODELS.items() if isinstance(one, str)}
    holder = type(source.__name__, (), {"__annotations__": written, "__module__": source.__module__})
    hints = get_type_hints(holder, localns=named, include_extras=True)
    shown: dict[str, tuple[Any, str | None]] = {one: (model_of(hints[one]), descriptions.get(one)) for one in written}
    for one in properties:
        getter = getattr(source, one).fget
        shown[one] = (get_type_hints(getter)["return"], inspect.cleandoc(getter.__doc__ or ""))
    shown |= extra or {}
    made: type[Answer] = create_model(
        name or source.__name__,
        __base__=Answer,
        __module__=__name__,
        __doc__=_summary(source),
        **{one: (kind, Field(description=text)) for one, (kind, text) in shown.items()},  # type: ignore[call-overload]
    )
    _MODELS[source] = _MODELS[source.__name__] = made
    return made


def answers_for(source: type) -> Callable[[_Model], _Model]:
    """Decorate the response model that stands for a class wherever a dataclass names that class."""

    def register(model: _Model) -> _Model:
        _MODELS[source] = _MODELS[source.__name__] = model
        return model

    return register


def model_of(annotation: Any) -> Any:
    """Put response models in place of the classes that an annotation names."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return _MODELS.get(annotation, annotation)
    arguments = get_args(annotation)
    if not arguments or get_origin(annotation) is Annotated:
        return annotation
    replaced = tuple(model_of(one) for one in arguments)
    if replaced == arguments:
        return annotation
    origin: Any = get_origin(annotation)
    return reduce(or_, replaced) if origin in (Union, UnionType) else origin[replaced]


def attribute_docs(source: type) -> Mapping[str, str]:
    """Read the descriptions of fields from the section "Attributes" of a NumPy docstring, in the words of JSON.

    Examples
    --------
    >>> from facedex.records import StoredFace
    >>> attribute_docs(StoredFace)["det_score"]
    "The detector's certainty, [0, 1]."
    """
    found = _HEADING.search(inspect.cleandoc(source.__doc__ or "") + "\n")
    docs = {}
    for names, text in _ENTRY.findall(found.group(2)) if found else ():
        for one in names.split(","):
            docs[one.strip()] = re.sub(r"\bNone\b", "null", " ".join(text.split()))
    return {one: text for one, text in docs.items() if text}


def _summary(source: type) -> str:
    return inspect.cleandoc(source.__doc__ or source.__name__).partition("\n\n")[0]
