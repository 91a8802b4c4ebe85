"""Bytes of a pickle → the plain values and arrays in it. Nothing of the pickle is ever run.

A pickle is a program for a stack machine. This is a machine of its own that knows how to build numbers, texts, lists,
dicts and numpy's arrays of numbers, and nothing else: it imports nothing and calls nothing that a pickle names. What
numpy's own pickles name is recognised and built here, from bytes whose length must be that of the shape. Anything else
that is named is refused with its name. Sets are read as lists.

Limits: `MAX_BYTES`, `MAX_STEPS`, arrays of 4 axes. Protocols 2 to 5, which Python 3 writes; the opcodes are those of
the module ``pickletools`` in Python's library, where they are described.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import ImportFileError, TransferError, UnsafePickleError
from .pickled import Blank, DamagedError, NumberType, array_of, plain

MAX_BYTES = 256 << 20
"""Largest pickle that is read, bytes."""

MAX_STEPS = 8_000_000
"""Most opcodes that are followed: an array takes about 25, so this is some 300,000 of them."""

_MAX_INT = 128  # bytes of a whole number
_NUMBERS = re.compile(r"(?:[iu][1248]|f[248]|b1)")
_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_BUILTINS = ("builtins", "__builtin__")
_NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")


class _Name(NamedTuple):
    """What a pickle names: one of the few that are recognised."""

    text: str


_MARK = object()
_SAID = (IndexError, KeyError, TypeError, ValueError, OverflowError, AttributeError, struct.error, DamagedError)


def read(data: bytes, name: str) -> Any:
    """Read a pickle.

    Parameters
    ----------
    data : bytes
    name : str
        What to call it in messages.

    Returns
    -------
    object
        Of None, bool, int, float, str, bytes, list, tuple, dict and `Array`.

    Raises
    ------
    UnsafePickleError
        When it names anything but numpy's arrays.
    ImportFileError
        When it is damaged, too large, or of a protocol that Python 3 does not write.
    """
    if len(data) > MAX_BYTES:
        raise ImportFileError(f"{name} has {len(data)} bytes, at most {MAX_BYTES} are read of a pickle")
    if len(data) < 2 or data[0] != 0x80 or not 2 <= data[1] <= 5:
        raise ImportFileError(f"{name} is no pickle of protocol 2 to 5; load it where you trust it and save it again")
    machine = _Machine(data, name)
    try:
        return machine.run()
    except TransferError:
        raise
    except _SAID as error:
        raise ImportFileError(f"{name} is no whole pickle of arrays: damaged before byte {machine.at}") from error


class _Machine:
    """Follows one pickle."""

    def __init__(self, data: bytes, name: str) -> None:
        self.at = 0
        self._data = data
        self._name = name
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._encoded = 0

    def run(self) -> Any:
        steps = _STEPS
        for _ in range(MAX_STEPS):
            code = self._data[self.at]
            self.at += 1
            if code == 0x2E:  # STOP
                value = self._pop()
                if self._stack:
                    raise DamagedError
                return plain(value)
            step = steps.get(code)
            if step is None:
                raise self._refusal(f"opcode {code:#04x}")
            step(self)
        raise ImportFileError(f"{self._name} takes more than {MAX_STEPS} steps to read")

    def number(self, form: struct.Struct) -> Any:
        value = form.unpack_from(self._data, self.at)[0]
        self.at += form.size
        return value

    def take(self, size: int) -> bytes:
        if size < 0 or size > len(self._data) - self.at:
            raise DamagedError
        self.at += size
        return self._data[self.at - size : self.at]

    def line(self) -> str:
        end = self._data.index(b"\n", self.at)
        text = self._data[self.at : end].decode("utf-8")
        self.at = end + 1
        return text

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise DamagedError
        return value

    def _since_mark(self) -> list[Any]:
        stack = self._stack
        for place in range(len(stack) - 1, -1, -1):
            if stack[place] is _MARK:
                items = stack[place + 1 :]
                del stack[place:]
                return items
        raise DamagedError

    def _refusal(self, named: str) -> UnsafePickleError:
        return UnsafePickleError(
            f"{self._name} names {named}, and only arrays and plain values are taken from a pickle; nothing of it was "
            "run",
            refused=named,
        )

    # one method for each thing that opcodes do

    def integer(self, size: int) -> None:
        if size > _MAX_INT:
            raise DamagedError
        self.push(int.from_bytes(self.take(size), "little", signed=True))

    def text(self, size: int) -> None:
        self.push(self.take(size).decode("utf-8", "surrogatepass"))

    def append(self) -> None:
        value = self._pop()
        _typed(self._stack[-1], list).append(value)

    def appends(self) -> None:
        items = self._since_mark()
        _typed(self._stack[-1], list).extend(items)

    def tuple_of(self, count: int) -> None:
        self.push(tuple(reversed([self._pop() for _ in range(count)])))

    def set_item(self) -> None:
        value, key = self._pop(), self._pop()
        _typed(self._stack[-1], dict)[_key(key)] = value

    def set_items(self) -> None:
        items = self._since_mark()
        self._fill(_typed(self._stack[-1], dict), items)

    def _fill(self, into: dict[Any, Any], items: list[Any]) -> None:
        if len(items) % 2:
            raise DamagedError
        for place in range(0, len(items), 2):
            into[_key(items[place])] = items[place + 1]

    def dict_of(self) -> None:
        made: dict[Any, Any] = {}
        self._fill(made, self._since_mark())
        self.push(made)

    def put(self, place: int) -> None:
        value = self._stack[-1]
        if value is _MARK:
            raise DamagedError
        self._memo[place] = value

    def get(self, place: int) -> None:
        self.push(self._memo[place])

    def duplicate(self) -> None:
        value = self._pop()
        self._stack += [value, value]

    def drop(self) -> None:
        self._stack.pop()

    def name(self, module: str, name: str) -> None:
        known = (
            (module in _MULTIARRAY and name in ("_reconstruct", "scalar"))
            or (module in _NUMERIC and name == "_frombuffer")
            or (module == "numpy" and name in ("ndarray", "dtype"))
            or (module == "_codecs" and name == "encode")
            or (module in _BUILTINS and name in ("bytes", "set", "frozenset"))
        )
        if not known:
            raise self._refusal(f"{module}.{name}")
        self.push(_Name(name))

    def stack_name(self) -> None:
        name, module = self._pop(), self._pop()
        self.name(_typed(module, str), _typed(name, str))

    def reduce(self) -> None:
        given, named = _typed(self._pop(), tuple), self._pop()
        if not isinstance(named, _Name):
            raise DamagedError
        self.push(self._made(named.text, given))

    def _made(self, named: str, given: tuple[Any, ...]) -> Any:
        if named == "_reconstruct":
            kind, shape, _ = given
            if kind != _Name("ndarray") or shape != (0,):
                raise DamagedError
            return Blank()
        if named == "dtype":
            code = _typed(given[0], str)
            if _NUMBERS.fullmatch(code) is None:
                raise self._refusal(f"an array of {code!r}")
            return NumberType(code)
        if named == "_frombuffer":
            content, kind, shape, order = given
            return array_of(_typed(content, bytes), _typed(kind, NumberType), shape, {"C": False, "F": True}[order])
        if named == "scalar":
            kind, content = given
            return array_of(_typed(content, bytes), _typed(kind, NumberType), (), False).values[()].item()
        if named == "encode":
            text, coding = given
            if coding not in ("latin1", "latin-1"):
                raise DamagedError
            # One text can be encoded again and again: what that makes may not outgrow the pickle.
            self._encoded += len(_typed(text, str))
            if self._encoded > len(self._data):
                raise DamagedError
            return bytes(text, "latin-1")
        if named == "bytes" and given == ():  # how protocol 2 writes none at all
            return b""
        if named in ("set", "frozenset"):  # how protocols 2 and 3 write them
            (items,) = given
            return _typed(items, list)
        raise self._refusal(f"a call of {named}")

    def build(self) -> None:
        state, target = _typed(self._pop(), tuple), self._stack[-1]
        if isinstance(target, NumberType):
            _, order, parts, names, fields, *_ = state
            if parts is not None or names is not None or fields is not None or order not in ("<", ">", "|", "="):
                raise self._refusal("an array of records")
            target.order = {"=": "<", "|": "|"}.get(order, order)
        elif isinstance(target, Blank):
            _, shape, kind, turned, content = state
            target.array = array_of(_typed(content, bytes), _typed(kind, NumberType), shape, bool(turned))
        else:
            raise self._refusal("the state of an object")

    def refuse(self) -> None:
        named = next((value.text for value in reversed(self._stack) if isinstance(value, _Name)), "an object")
        raise self._refusal(f"an instance of {named}")

    def instance(self) -> None:
        self.name(self.line(), self.line())
        self.refuse()

    def mark(self) -> None:
        self._stack.append(_MARK)

    def pop_mark(self) -> None:
        self._since_mark()

    def list_of(self) -> None:
        self.push(self._since_mark())

    def tuple_since_mark(self) -> None:
        self.push(tuple(self._since_mark()))

    def memoize(self) -> None:
        self.put(len(self._memo))


def _typed(value: Any, kind: type[Any]) -> Any:
    if not isinstance(value, kind):
        raise DamagedError
    return value


def _key(key: Any) -> Any:
    if key is not None and not isinstance(key, (str, int, float, bytes)):
        raise DamagedError
    return key


_U1, _U2, _I4, _U4, _U8, _F8 = (struct.Struct(form) for form in ("<B", "<H", "<i", "<I", "<Q", ">d"))

_STEPS: dict[int, Callable[[_Machine], object]] = {
    0x80: lambda m: m.take(1),  # PROTO
    0x95: lambda m: m.take(8),  # FRAME: its length is of no use here
    ord("("): _Machine.mark,
    ord("0"): _Machine.drop,
    ord("1"): _Machine.pop_mark,
    ord("2"): _Machine.duplicate,
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("J"): lambda m: m.push(m.number(_I4)),
    ord("K"): lambda m: m.push(m.number(_U1)),
    ord("M"): lambda m: m.push(m.number(_U2)),
    0x8A: lambda m: m.integer(m.number(_U1)),
    0x8B: lambda m: m.integer(m.number(_I4)),
    ord("G"): lambda m: m.push(m.number(_F8)),
    0x8C: lambda m: m.text(m.number(_U1)),
    ord("X"): lambda m: m.text(m.number(_U4)),
    0x8D: lambda m: m.text(m.number(_U8)),
    ord("C"): lambda m: m.push(m.take(m.number(_U1))),
    ord("B"): lambda m: m.push(m.take(m.number(_U4))),
    0x8E: lambda m: m.push(m.take(m.number(_U8))),
    0x96: lambda m: m.push(m.take(m.number(_U8))),
    ord("]"): lambda m: m.push([]),
    ord("a"): _Machine.append,
    ord("e"): _Machine.appends,
    ord("l"): _Machine.list_of,
    ord(")"): lambda m: m.push(()),
    ord("t"): _Machine.tuple_since_mark,
    0x85: lambda m: m.tuple_of(1),
    0x86: lambda m: m.tuple_of(2),
    0x87: lambda m: m.tuple_of(3),
    ord("}"): lambda m: m.push({}),
    ord("s"): _Machine.set_item,
    ord("u"): _Machine.set_items,
    ord("d"): _Machine.dict_of,
    0x8F: lambda m: m.push([]),  # EMPTY_SET
    0x90: _Machine.appends,
    0x91: _Machine.list_of,
    ord("c"): lambda m: m.name(m.line(), m.line()),
    0x93: _Machine.stack_name,
    ord("R"): _Machine.reduce,
    ord("b"): _Machine.build,
    ord("i"): _Machine.instance,
    ord("o"): _Machine.refuse,
    0x81: _Machine.refuse,  # NEWOBJ
    0x92: _Machine.refuse,
    ord("q"): lambda m: m.put(m.number(_U1)),
    ord("r"): lambda m: m.put(m.number(_U4)),
    0x94: _Machine.memoize,
    ord("h"): lambda m: m.get(m.number(_U1)),
    ord("j"): lambda m: m.get(m.number(_U4)),
}
