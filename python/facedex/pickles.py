"""Bytes of a pickle → the plain values and arrays in it. No code of the pickle ever runs.

A pickle is a program for a stack machine. `pickletools.genops` decodes its opcodes, and the machine here executes those
that build numbers, texts, lists, dicts and numpy's arrays of numbers. It imports nothing and calls nothing that a
pickle names: the few names that numpy's own pickles use are recognized and their arrays built here, from exactly as
many bytes as the shape needs. Every other name or opcode is refused. Sets are read as lists.

Limits: `MAX_BYTES`, `MAX_STEPS`, arrays of 4 axes. Protocols 2 to 5. Texts of Python 2 are read as bytes.
"""

from __future__ import annotations

import math
import pickletools
import re
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import ImportFileError, TransferError, UnsafePickleError

MAX_BYTES = 256 << 20
"""Largest pickle that is read, bytes."""

MAX_STEPS = 8_000_000
"""Maximum number of opcodes: an array takes about 25, so this is some 300,000 of them."""

_MAX_AXES = 4
_NUMBERS = re.compile(r"(?:[iu][1248]|f[248]|b1)")
_NAMES = {
    f"{module} {name}"
    for modules, names in (
        (("numpy.core.multiarray", "numpy._core.multiarray"), ("_reconstruct", "scalar")),
        (("numpy.core.numeric", "numpy._core.numeric"), ("_frombuffer",)),
        (("numpy",), ("ndarray", "dtype")),
        (("_codecs",), ("encode",)),
        (("builtins", "__builtin__"), ("bytes", "set", "frozenset")),
    )
    for module in modules
    for name in names
}
_VALUES = {"BINFLOAT", "BININT", "BININT1", "BININT2", "LONG1", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
_VALUES |= {"SHORT_BINBYTES", "BINBYTES", "BINBYTES8"}
"""Opcodes that push their argument."""


class _Name(NamedTuple):
    """A name that is recognized, without its module."""

    text: str


class _NumberType:
    """A numpy type: its code, and the byte order that follows."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.order = "<"


class _Blank:
    """An array whose state follows, and the places of the memo that refer to it."""

    def __init__(self) -> None:
        self.places: list[int] = []


class _DamagedError(Exception):
    """The pickle is not one of plain values and arrays."""


_MARK = object()
_DAMAGE = (
    *(IndexError, KeyError, TypeError, ValueError, OverflowError, AttributeError, _DamagedError),
    Warning,  # of a bad escape in a name, where warnings are errors
)


def read(data: bytes, name: str, *, max_bytes: int = MAX_BYTES) -> Any:
    """Read a pickle.

    Parameters
    ----------
    data : bytes
    name : str
        Name of the file, for messages.
    max_bytes : int
        A larger pickle is refused.

    Returns
    -------
    object
        Of None, bool, int, float, str, bytes, list, tuple, dict and ndarray.

    Raises
    ------
    UnsafePickleError
        When it names anything but numpy's arrays.
    ImportFileError
        When it is damaged, too large, or of a protocol that Python 3 does not write.
    """
    if len(data) > max_bytes:
        raise ImportFileError(f"{name} has {len(data)} bytes; the limit for a pickle is {max_bytes}")
    if len(data) < 2 or data[0] != 0x80 or not 2 <= data[1] <= 5:
        raise ImportFileError(f"{name} is no pickle of protocol 2 to 5; load it where you trust it and save it again")
    machine = _Machine(data, name)
    try:
        return machine.run()
    except TransferError:
        raise
    except _DAMAGE as error:
        raise ImportFileError(f"{name} is not a valid pickle: damaged after byte {machine.at}") from error


class _Machine:
    """The state of one pickle while its opcodes are executed."""

    def __init__(self, data: bytes, name: str) -> None:
        self.at = 0
        self._data = data
        self._name = name
        self._encoded = 0
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        push = self._stack.append
        for step, (opcode, argument, at) in enumerate(pickletools.genops(self._data)):
            if step >= MAX_STEPS:
                raise ImportFileError(f"{self._name} takes more than {MAX_STEPS} steps to read")
            if opcode.name in _VALUES:
                push(argument)
            else:
                self.at = at or 0
                self._execute(opcode.name, argument)
        value = self._pop()
        if self._stack:
            raise _DamagedError
        return value

    def _execute(self, opcode: str, argument: Any) -> None:
        stack = self._stack
        match opcode:
            case "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "BINPUT" | "LONG_BINPUT":
                self._put(argument)
            case "MEMOIZE":
                self._put(len(self._memo))
            case "MARK":
                stack.append(_MARK)
            case "BINSTRING" | "SHORT_BINSTRING":  # of Python 2
                stack.append(argument.encode("latin-1"))
            case "APPENDS" | "ADDITEMS":
                items = self._pop_to_mark()
                _typed(stack[-1], list).extend(items)
            case "SETITEMS":
                items = self._pop_to_mark()
                _fill(_typed(stack[-1], dict), items)
            case "APPEND":
                value = self._pop()
                _typed(stack[-1], list).append(value)
            case "SETITEM":
                value, key = self._pop(), self._pop()
                _fill(_typed(stack[-1], dict), [key, value])
            case "EMPTY_LIST" | "EMPTY_SET":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(reversed([self._pop() for _ in range(int(opcode[-1]))])))
            case "TUPLE":
                stack.append(tuple(self._pop_to_mark()))
            case "LIST" | "FROZENSET":
                stack.append(self._pop_to_mark())
            case "DICT":
                stack.append(_fill({}, self._pop_to_mark()))
            case "GLOBAL":
                self._push_name(argument)
            case "STACK_GLOBAL":
                name, module = self._pop(), self._pop()
                self._push_name(f"{_typed(module, str)} {_typed(name, str)}")
            case "REDUCE":
                arguments, named = _typed(self._pop(), tuple), self._pop()
                stack.append(self._call(_typed(named, _Name).text, arguments))
            case "BUILD":
                self._build(_typed(self._pop(), tuple))
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(opcode == "NEWTRUE")
            case "LONG4":  # a number of more than 255 bytes
                raise _DamagedError
            case "BYTEARRAY8":
                stack.append(bytes(argument))
            case "DUP":
                stack.append(stack[-1])
            case "POP":
                stack.pop()
            case "POP_MARK":
                self._pop_to_mark()
            case "INST":
                raise self._refusal(f"an instance of {argument.replace(' ', '.')}")
            case "OBJ" | "NEWOBJ" | "NEWOBJ_EX":
                named = next((value.text for value in reversed(stack) if isinstance(value, _Name)), "an object")
                raise self._refusal(f"an instance of {named}")
            case "PROTO" | "FRAME" | "STOP":
                pass
            case _:
                raise self._refusal(f"opcode {opcode}")

    def _pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise _DamagedError
        return value

    def _pop_to_mark(self) -> list[Any]:
        stack = self._stack
        for place in range(len(stack) - 1, -1, -1):
            if stack[place] is _MARK:
                items = stack[place + 1 :]
                del stack[place:]
                return items
        raise _DamagedError

    def _put(self, place: int) -> None:
        value = self._stack[-1]
        if value is _MARK:
            raise _DamagedError
        if isinstance(value, _Blank):
            value.places.append(place)
        self._memo[place] = value

    def _push_name(self, named: str) -> None:
        if named not in _NAMES:
            raise self._refusal(named.replace(" ", "."))
        self._stack.append(_Name(named.split(" ")[1]))

    def _call(self, named: str, arguments: tuple[Any, ...]) -> Any:
        """Return the result of calling a recognized name."""
        if named == "_reconstruct":
            kind, shape, _ = arguments
            if _typed(kind, _Name).text != "ndarray" or shape != (0,):
                raise _DamagedError
            return _Blank()
        if named == "dtype":
            code = _typed(arguments[0], str)
            if _NUMBERS.fullmatch(code) is None:
                raise self._refusal(f"an array of {code!r}")
            return _NumberType(code)
        if named == "_frombuffer":
            content, kind, shape, order = arguments
            return _array(content, kind, shape, {"C": False, "F": True}[order])
        if named == "scalar":
            kind, content = arguments
            return _array(content, kind, (), False)[()].item()
        if named == "encode":
            text, coding = arguments
            if _typed(coding, str) not in ("latin1", "latin-1"):
                raise _DamagedError
            # One text can be encoded again and again: the results together may not outgrow the pickle.
            self._encoded += len(_typed(text, str))
            if self._encoded > len(self._data):
                raise _DamagedError
            return bytes(text, "latin-1")
        if named == "bytes" and not arguments:  # how protocol 2 writes empty bytes
            return b""
        if named in ("set", "frozenset"):  # how protocols 2 and 3 write them
            (items,) = arguments
            return _typed(items, list)
        raise self._refusal(f"a call of {named}")

    def _build(self, state: tuple[Any, ...]) -> None:
        """Set the state of the type or array on the stack."""
        target = self._stack[-1]
        if isinstance(target, _NumberType):
            _, order, parts, names, fields, *_ = state
            if parts is not None or names is not None or fields is not None or order not in ("<", ">", "|", "="):
                raise self._refusal("an array of records")
            target.order = "<" if order == "=" else order
        elif isinstance(target, _Blank):
            _, shape, kind, by_column, content = state
            array = _array(content, kind, shape, bool(by_column))
            self._stack[-1] = array
            for place in target.places:
                self._memo[place] = array
        else:
            raise self._refusal("the state of an object")

    def _refusal(self, named: str) -> UnsafePickleError:
        return UnsafePickleError(
            f"{self._name} contains {named}; only arrays and plain values are read, and no code of it ran",
            refused=named,
        )


def _array(content: Any, kind: Any, shape: Any, by_column: bool) -> NDArray[Any]:
    """Make an array over bytes, which must be exactly as many as its shape needs."""
    if len(_typed(shape, tuple)) > _MAX_AXES or any(type(size) is not int or size < 0 for size in shape):
        raise _DamagedError
    dtype = np.dtype(_typed(kind, _NumberType).order + kind.code)
    if math.prod(shape) * dtype.itemsize != len(_typed(content, bytes)):
        raise _DamagedError
    return np.frombuffer(content, dtype).reshape(shape, order="F" if by_column else "C")


def _fill(into: dict[Any, Any], items: list[Any]) -> dict[Any, Any]:
    """Put keys and values, one after the other, into a dict."""
    if len(items) % 2 or not all(key is None or isinstance(key, (str, int, float, bytes)) for key in items[::2]):
        raise _DamagedError
    into.update(zip(items[::2], items[1::2], strict=True))
    return into


def _typed(value: Any, kind: type[Any]) -> Any:
    if not isinstance(value, kind):
        raise _DamagedError
    return value
