"""The tree of errors: drawn as it is, stable codes, data that survive a process pool."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from facedex import errors
from facedex.config import MAX_PIXELS, Settings, settings
from facedex.errors import ArgumentError, FacedexError

ALL = [
    thing
    for _, thing in inspect.getmembers(errors, inspect.isclass)
    if issubclass(thing, FacedexError) and thing.__module__.startswith(errors.__name__)
]


def _drawn() -> dict[str, tuple[str, ...]]:
    """Name → bases, as the docstring draws them."""
    tree: dict[str, tuple[str, ...]] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    (?P<lines>[│├└─ ]*)(?P<name>\w*Error)(?: \((?P<second>\w+)\))?", line)
        if match:
            depth = len(match["lines"]) // 4
            above[depth:] = [match["name"]]
            tree[match["name"]] = ((above[depth - 1],) if depth else ("Exception",)) + (
                (match["second"],) if match["second"] else ()
            )
    return tree


def test_the_tree_in_the_docstring_is_complete() -> None:
    assert _drawn() == {thing.__name__: tuple(base.__name__ for base in thing.__bases__) for thing in ALL}


def test_every_error_has_its_own_code_and_message() -> None:
    codes = [vars(thing).get("code") for thing in ALL]
    assert None not in codes
    assert len(set(codes)) == len(ALL)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", str(code)) for code in codes)
    assert all(thing.__doc__ for thing in ALL)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_an_error_survives_pickling_with_its_data(kind: type[FacedexError]) -> None:
    names = [name for name in inspect.signature(kind).parameters if name != "message"]
    data = {name: ((1.0, 2.0, 3.0, 4.0),) if name in ("bboxes", "rejected") else "7" for name in names}
    error = kind("no face was found", **data)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == "no face was found"
    assert {name: getattr(copy, name) for name in names} == data


def test_an_error_is_also_a_builtin_exception() -> None:
    with pytest.raises(LookupError):
        raise errors.UnknownPersonError("nobody", person_id="x")
    with pytest.raises(ValueError, match="uint8"):
        raise errors.ImageArrayError("image must be uint8")
    with pytest.raises(TypeError):
        raise errors.ImageArrayError("image must be uint8")


def test_settings_are_read_from_the_environment_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "THREADS", "PROVIDERS", "MAX_PIXELS", "ACCEPT_LICENSE", "MIRROR", "ONNXRUNTIME"):
        monkeypatch.delenv(f"FACEDEX_{name}", raising=False)
    assert settings() == Settings()
    assert settings().max_pixels == MAX_PIXELS
    monkeypatch.setenv("FACEDEX_THREADS", " 3 ")
    monkeypatch.setenv("FACEDEX_MAX_PIXELS", "1000")
    monkeypatch.setenv("FACEDEX_PROVIDERS", "CUDAExecutionProvider, CPUExecutionProvider,")
    read = settings()
    assert (read.threads, read.max_pixels) == (3, 1000)
    assert read.providers == ("CUDAExecutionProvider", "CPUExecutionProvider")


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "²"])
def test_a_setting_out_of_range_is_refused_by_name(value: str) -> None:
    with pytest.raises(ArgumentError, match=f"FACEDEX_THREADS must be a whole number from 1, got '{value}'"):
        settings({"FACEDEX_THREADS": value})


def test_unknown_scopes_are_refused() -> None:
    assert settings({"FACEDEX_ACCOUNT_SCOPES": "read, enrol"}).account_scopes == ("read", "enrol")
    assert settings({"FACEDEX_ACCOUNT_SCOPES": "recognize,enroll"}).account_scopes == ("recognise", "enrol")
    assert settings({"FACEDEX_ACCOUNT_SCOPES": ""}).account_scopes == ()
    with pytest.raises(ArgumentError, match="FACEDEX_ACCOUNT_SCOPES must be some of read, recognise, enrol, admin"):
        settings({"FACEDEX_ACCOUNT_SCOPES": "read,raed"})
