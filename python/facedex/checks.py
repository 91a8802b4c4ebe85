"""Checks of arguments: integers that a database can store, thresholds, choices.

The error names the argument and abbreviates its value. The native core checks its own arguments in the same way.
"""

from __future__ import annotations

import math
import operator
from typing import get_args

from .errors import ArgumentError

_SHOWN_BITS = 128  # longer numbers are shown by their length; Python formats none of more than 4300 digits
_SHOWN = 40  # characters of a text or of anything else


def abbreviate(value: object) -> str:
    """Return a short text that shows a value in a message."""
    if isinstance(value, int) and value.bit_length() > _SHOWN_BITS:
        sign = "negative " if value < 0 else ""
        return f"a {sign}whole number of {value.bit_length()} bits"
    if isinstance(value, str):
        return repr(value) if len(value) <= _SHOWN else f"{value[:_SHOWN]!r}... ({len(value)} characters)"
    try:
        text = repr(value)
    except ValueError:  # something that holds such a number
        text = ""
    return text if 0 < len(text) <= 2 * _SHOWN else type(value).__name__


def check_int(name: str, value: object, *, minimum: int | None = None) -> int:
    """Return an integer that every database can store.

    Parameters
    ----------
    name : str
        Of the argument, for the message.
    value : int
    minimum : int, optional
        By default the smallest of 64 bits.

    Raises
    ------
    ArgumentError
        When it is not an integer, is too small, or has more than 64 bits.
    """
    try:
        if isinstance(value, bool) or getattr(getattr(value, "dtype", None), "kind", None) == "b":  # numpy's bool
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or not (-(2**63) if minimum is None else minimum) <= number < 2**63:
        accepted = "of 64 bits" if minimum is None else f"from {minimum} to 2**63 - 1"
        raise ArgumentError(f"{name} must be a whole number {accepted}, got {abbreviate(value)}")
    return number


def check_threshold(threshold: float) -> float:
    """Return a threshold that a similarity can be compared with.

    Raises
    ------
    ArgumentError
        When it is not a number from -1 to 1.
    """
    try:
        value = float(threshold)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not -1.0 <= value <= 1.0:
        raise ArgumentError(f"threshold must be a number from -1 to 1, got {abbreviate(threshold)}")
    return value


def check_choice(name: str, value: str, accepted: object) -> None:
    """Refuse a value that is not one of a `Literal`.

    Raises
    ------
    ArgumentError
    """
    words = get_args(accepted)
    if value not in words:
        raise ArgumentError(f"{name} must be one of {', '.join(map(repr, words))}, got {abbreviate(value)}")
