"""The root of the tree, and what any part of facedex may raise."""

from __future__ import annotations

from typing import ClassVar

BBox = tuple[float, float, float, float]


class FacedexError(Exception):
    """Base of everything that facedex raises on purpose.

    Parameters
    ----------
    message : str
        What was wrong and what is accepted.

    Attributes
    ----------
    code : str
        Stable name of the cause, for programs; the message may change.
    """

    code: ClassVar[str] = "facedex"

    def __init__(self, message: str) -> None:
        super().__init__(message)


class ForkError(FacedexError, RuntimeError):
    """An engine or gallery is used in another process than the one that opened it."""

    code = "forked"


class ArgumentError(FacedexError, ValueError):
    """An argument outside its range."""

    code = "argument"
