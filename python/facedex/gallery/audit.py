"""Heads of the audit as text, and the audit as a file."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import ArgumentError, ExportError
from ..files import write_atomically
from ..store import Head, Store


def write_audit(store: Store, path: str | os.PathLike[str]) -> int:
    """Write the audit to a file and return the number of bytes, or raise `ExportError`."""
    try:
        return write_atomically(Path(path), store.export_audit())
    except OSError as error:
        raise ExportError(f"the audit cannot be written to {str(path)!r}: {error.strerror}") from error


def parse_head(text: str | None) -> Head | None:
    """Parse a head of the audit, ``"NUMBER:DIGEST"``; None is None.

    Raises
    ------
    ArgumentError

    Examples
    --------
    >>> parse_head(f"7:{'ab' * 32}").seq
    7
    """
    if text is None:
        return None
    number, _, digest = text.partition(":")
    if not (number.isascii() and number.isdigit()) or len(digest) != 64:
        raise ArgumentError(f"recorded_head must be NUMBER:DIGEST, as 'facedex audit verify' prints it, got {text!r}")
    return Head(int(number), digest.lower())
