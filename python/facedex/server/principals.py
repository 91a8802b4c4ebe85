"""Who asks, and what that allows.

``read``: who is registered, and how the gallery stands. ``recognise``: ask who is in a picture. ``enrol``: register,
change and delete people. ``admin``: all of that, keys, accounts, audit and upkeep.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ..config import SCOPES
from ..errors import ArgumentError

__all__ = ["ANYBODY", "SCOPES", "Principal", "checked_scopes", "scopes_of"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks.

    Attributes
    ----------
    kind : {"key", "account", "anybody", "operator"}
        An API key, an account, nobody that is known, or whoever sits at a server that needs no key.
    name : str
        For the audit.
    scopes : frozenset of str
        What is allowed.
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
        """Tell whether no more is allowed than that; of ``admin`` it never is.

        Examples
        --------
        >>> Principal("account", "ayu", frozenset({"read"})).within(["read", "enrol"])
        True
        """
        return "admin" not in self.scopes and self.scopes <= set(scopes)

    def may(self, scope: str) -> bool:
        """Tell whether something is allowed; ``admin`` allows all.

        Examples
        --------
        >>> Principal("key", "door", frozenset({"recognise"})).may("enrol")
        False
        """
        return scope in self.scopes or "admin" in self.scopes


ANYBODY = Principal("anybody", "anybody", frozenset())
"""Somebody who has shown nothing."""


def checked_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Order scopes, and refuse what is none.

    Raises
    ------
    ArgumentError

    Examples
    --------
    >>> checked_scopes(["recognise", "read"])
    ('read', 'recognise')
    """
    given = set(scopes)
    if not given or not given <= set(SCOPES):
        raise ArgumentError(f"scopes must be one or several of {', '.join(SCOPES)}, got {', '.join(sorted(given))!r}")
    return tuple(scope for scope in SCOPES if scope in given)


def scopes_of(text: str) -> tuple[str, ...]:
    """Read the scopes of a row; a word that is no scope allows nothing."""
    return tuple(scope for scope in SCOPES if scope in text.split())
