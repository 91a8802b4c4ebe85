"""Objects that are used after a fork: the child opens them again, and never touches what the parent opened.

What was opened before the fork, such as sessions and connections, has no threads in the child, and closing it there
could take its locks and files from the parent. So the child keeps it, unused, until it ends.
"""

from __future__ import annotations

import os
import threading

_inherited: list[object] = []

_locks: dict[tuple[int, int], threading.Lock] = {}


def inherit(opened: object) -> None:
    """Keep what the parent opened, so that it is neither used nor closed in this process."""
    _inherited.append(opened)


def lock_of(owner: object) -> threading.Lock:
    """Return the lock under which an object is opened again in this process.

    It is made after the fork: another thread of the parent may hold one that was made before.
    """
    return _locks.setdefault((os.getpid(), id(owner)), threading.Lock())
