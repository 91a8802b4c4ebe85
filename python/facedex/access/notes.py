"""What is told of accounts and keys in the log ``facedex.access``: who did what to which number, never a secret.

The audit of a gallery is about its people; accounts and keys belong to the whole database.
"""

from __future__ import annotations

import logging

from ..store import who_acts

_log = logging.getLogger("facedex.access")


def noted(what: str, *values: object) -> None:
    """Tell the log what was done, when it is done; `what` is a format of `logging`."""
    _log.info(f"%r: {what}", who_acts() or "this machine", *values)
