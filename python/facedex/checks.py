"""Checks of arguments: integers, flags, times, paths, choices.

A number is accepted for its value, whatever type holds it: 20, 20.0 and NumPy's integers are the same.

The error names the argument and abbreviates its value. The native core checks its own arguments in the same way.
"""

from __future__ import annotations

import math
import operator
import os
from datetime import datetime, timezone
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
    except Exception:  # noqa: BLE001 - of a foreign class, or one that holds such a number
        text = ""
    return text if 0 < len(text) <= 2 * _SHOWN else type(value).__name__


def as_int(name: str, value: object, accepted: str = "a whole number") -> int:
    """Return an integer from an integer or an integral float of any type.

    Parameters
    ----------
    name : str
        Of the argument, for the message.
    value : int or float
    accepted : str
        For the message.

    Raises
    ------
    ArgumentError
        When it is not a whole number, or a bool.

    Examples
    --------
    >>> as_int("min_face", 20.0)
    20
    """
    try:
        if isinstance(value, bool) or getattr(getattr(value, "dtype", None), "kind", None) == "b":  # numpy's bool
            raise TypeError
        if isinstance(value, (str, bytes)) or not hasattr(value, "__float__") or hasattr(value, "__index__"):
            return operator.index(value)  # type: ignore[arg-type]
        number = float(value)
        if number.is_integer():
            return int(number)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ArgumentError(f"{name} must be {accepted}, got {abbreviate(value)}")


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
    accepted = "a whole number of 64 bits" if minimum is None else f"a whole number from {minimum} to 2**63 - 1"
    number = as_int(name, value, accepted)
    if not (-(2**63) if minimum is None else minimum) <= number < 2**63:
        raise ArgumentError(f"{name} must be {accepted}, got {abbreviate(value)}")
    return number


def check_flag(name: str, value: object, accepted: str = "True or False") -> bool:
    """Return a bool from a bool of Python or NumPy.

    Parameters
    ----------
    name : str
    value : object
    accepted : str
        What the message says is accepted.

    Raises
    ------
    ArgumentError
        When it is anything else.
    """
    if isinstance(value, bool):
        return value
    if getattr(getattr(value, "dtype", None), "kind", None) == "b" and getattr(value, "ndim", 0) == 0:
        return bool(value)
    raise ArgumentError(f"{name} must be {accepted}, got {abbreviate(value)}")


def check_float(name: str, value: object) -> float:
    """Return a finite float from a number of any type.

    Raises
    ------
    ArgumentError
        When it is not a finite number.
    """
    try:
        number = math.nan if isinstance(value, (str, bytes)) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ArgumentError(f"{name} must be a finite number, got {abbreviate(value)}")
    return number


def check_moment(name: str, value: object) -> datetime:
    """Return a time in UTC.

    Raises
    ------
    ArgumentError
        When it is not a datetime with a time zone, or is before the year 1 or after 9999 in UTC.
    """
    try:
        if not isinstance(value, datetime) or value.utcoffset() is None:
            raise TypeError
        return value.astimezone(timezone.utc)
    except OverflowError:
        raise ArgumentError(f"{name} must be a time from year 1 to 9999 in UTC, got {abbreviate(value)}") from None
    except (TypeError, ValueError):  # pandas.NaT is a datetime, and has no offset
        raise ArgumentError(f"{name} must be a datetime with a time zone, got {abbreviate(value)}") from None


def check_path(name: str, value: object) -> str:
    """Return a path as text.

    Raises
    ------
    ArgumentError
        When it is no path.
    """
    try:
        return os.fsdecode(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ArgumentError(f"{name} must be a path, got {abbreviate(value)}") from None


def check_choice(name: str, value: str, accepted: object) -> None:
    """Refuse a value that is not one of a `Literal`.

    Raises
    ------
    ArgumentError
    """
    words = get_args(accepted)
    if value not in words:
        raise ArgumentError(f"{name} must be one of {', '.join(map(repr, words))}, got {abbreviate(value)}")
