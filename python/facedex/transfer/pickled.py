"""What a pickle of arrays is made of, before and when it is whole.

An array is built over bytes that must be exactly as many as its type and shape need: no room is ever made for what a
shape says.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_AXES = 4
"""Most axes of an array."""


class Array(NamedTuple):
    """An array of numbers that was found in a pickle."""

    values: NDArray[Any]


class NumberType:
    """A numpy type on its way: its code, and the byte order that follows."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.order = "<"

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type as numpy knows it."""
        return np.dtype(self.order + self.code)


class Blank:
    """An array whose state follows."""

    array: Array | None = None


class DamagedError(Exception):
    """Something that no pickle of values and arrays has."""


def array_of(content: bytes, kind: NumberType, shape: Any, turned: bool) -> Array:
    """Build an array over bytes, which must be exactly as many as its shape needs."""
    if not isinstance(shape, tuple) or len(shape) > MAX_AXES:
        raise DamagedError
    if any(type(size) is not int or size < 0 for size in shape):
        raise DamagedError
    dtype = kind.dtype
    if math.prod(shape) * dtype.itemsize != len(content):
        raise DamagedError
    return Array(np.frombuffer(content, dtype).reshape(shape, order="F" if turned else "C"))


def plain(value: Any) -> Any:
    """Return a value of a pickle as it is meant: an array that was completed later is that array."""
    return value.array if isinstance(value, Blank) else value
