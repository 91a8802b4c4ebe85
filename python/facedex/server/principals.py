"""Principals: the authenticated callers, and their scopes.

``read``: list people and read the status of the gallery. ``recognise``: recognise the people in a picture. ``enrol``:
register, change and delete people. ``admin``: all of that, and keys, accounts, audit and maintenance.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ..config import SCOPE_SPELLINGS, SCOPES
from ..errors import ArgumentError

__all__ = ["ANYBODY", "SCOPES", "Principal", "check_scopes", "parse_scopes"]


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller.

    Attributes
    ----------
    kind : {"key", "account", "anybody", "operator"}
        An API key, an account, an unknown caller, or any caller of a server without keys.
    name : str
        For the audit.
    scopes : frozenset of str
        What the caller is allowed to do.
    id : int or None
        Of the key or account.
    person_key : str or None
        The person that an account is linked with.
    until : datetime or None
        When the key or token expires, UTC.
    """

    kind: Literal["key", "account", "anybody", "operator"]
    name: str
    scopes: frozenset[str]
    id: int | None = None
    person_key: str | None = None
    until: datetime | None = None

    def within(self, scopes: Iterable[str]) -> bool:
        """Return whether the scopes are no broader than the given ones; ``admin`` always is.

        Examples
        --------
        >>> Principal("account", "ayu", frozenset({"read"})).within(["read", "enrol"])
        True
        """
        return "admin" not in self.scopes and self.scopes <= set(scopes)

    def has_scope(self, scope: str) -> bool:
        """Return whether a scope is granted; ``admin`` includes all.

        Examples
        --------
        >>> Principal("key", "door", frozenset({"recognise"})).has_scope("enrol")
        False
        """
        return scope in self.scopes or "admin" in self.scopes


ANYBODY = Principal("anybody", "anybody", frozenset())
"""A caller without key or token."""


def check_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Sort scopes, and refuse unknown ones; both spellings are accepted.

    Raises
    ------
    ArgumentError

    Examples
    --------
    >>> check_scopes(["recognize", "read"])
    ('read', 'recognise')
    """
    given = {SCOPE_SPELLINGS.get(scope, scope) for scope in scopes}
    if not given or not given <= set(SCOPES):
        raise ArgumentError(f"scopes must be one or several of {', '.join(SCOPES)}, got {', '.join(sorted(given))!r}")
    return tuple(scope for scope in SCOPES if scope in given)


def parse_scopes(text: str) -> tuple[str, ...]:
    """Parse the scopes of a row; an unknown word is ignored."""
    return tuple(scope for scope in SCOPES if scope in text.split())
