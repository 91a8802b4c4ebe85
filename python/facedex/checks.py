"""Numbers as callers give them → numbers that can be stored and compared.

Others are refused by the name of the argument, and told in few characters whatever their size. The native core checks
its own arguments in the same way.
"""

from __future__ import annotations

import math
import operator
from typing import get_args

import numpy as np

from .errors import ArgumentError

_SHOWN_BITS = 128  # longer numbers are told by their length; Python itself writes none of more than 4300 digits
_SHOWN = 40  # characters of a text or of anything else


def shown(value: object) -> str:
    """Show a value in a message, in few characters."""
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


def check_int(name: str, value: object, *, least: int | None = None) -> int:
    """Return a whole number that every database can keep.

    Parameters
    ----------
    name : str
        Of the argument, for the message.
    value : int
    least : int, optional
        Default the least of 64 bits.

    Raises
    ------
    ArgumentError
        When it is none, is less, or has more than 64 bits.
    """
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or not (-(2**63) if least is None else least) <= number < 2**63:
        accepted = "of 64 bits" if least is None else f"from {least} to 2**63 - 1"
        raise ArgumentError(f"{name} must be a whole number {accepted}, got {shown(value)}")
    return number


def check_threshold(threshold: float) -> float:
    """Return a threshold that a similarity can be compared with.

    Raises
    ------
    ArgumentError
        When it is no number from -1 to 1.
    """
    try:
        value = float(threshold)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not -1.0 <= value <= 1.0:
        raise ArgumentError(f"threshold must be a number from -1 to 1, got {shown(threshold)}")
    return value


def check_choice(name: str, value: str, accepted: object) -> None:
    """Refuse a word that is not one of a `Literal`.

    Raises
    ------
    ArgumentError
    """
    words = get_args(accepted)
    if value not in words:
        raise ArgumentError(f"{name} must be one of {', '.join(map(repr, words))}, got {value!r}")
