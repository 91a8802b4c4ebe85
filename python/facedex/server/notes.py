"""What is told of accounts and keys in the log ``facedex.access``: who did what to which number, never a secret.

Who signs in is nobody yet: what is told of a sign-in names the address it comes from.

The audit of a gallery is about its people; accounts and keys belong to the whole database.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager

from ..store import acting_as, current_actor

_log = logging.getLogger("facedex.access")


def noted(what: str, *values: object) -> None:
    """Tell the log what was done, when it is done; `what` is a format of `logging`."""
    _log.info(f"%r: {what}", current_actor() or "this machine", *values)


def acting_from(address: str) -> AbstractContextManager[None]:
    """Name an address as who acts inside."""
    return acting_as(f"address:{address}"[:255])


def note_failed(method: str, account: int | None, address: str) -> None:
    """Tell the log of a sign-in that failed: with what, as which account where one is meant, and from where."""
    with acting_from(address):
        noted("a sign-in with a %s fails: %s", method, "unknown" if account is None else f"account {account}")
