"""When a thing that many threads use is open, closed, or carried over a fork.

A call enters and leaves; closing lets no new call in, waits for those inside and then releases what is held, once. One
call may ask to be alone for a moment, in which it changes what all of them use: new ones wait outside, short ones are
waited for, and long ones stand aside between two pieces of their work.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import FacedexError, ForkError


class Lifetime:
    """Counts the calls inside and releases after the last.

    Parameters
    ----------
    what : str
        What to call the thing in messages.
    closed : type of FacedexError
        Raised by a call after closing.
    release : callable
        Frees what is held; called once.
    """

    def __init__(self, what: str, closed: type[FacedexError], release: Callable[[], object]) -> None:
        self._what = what
        self._error = closed
        self._release = release
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._inside: dict[int, int] = {}
        self._aside: set[int] = set()
        self._alone: int | None = None
        self._closing = False
        self._released = False

    @contextmanager
    def call(self) -> Iterator[None]:
        """Be inside; refuse when it is closed, or was opened in another process."""
        if os.getpid() != self._pid:
            raise ForkError(
                f"{self._what} was opened in process {self._pid} and is used in process {os.getpid()}; "
                "open it after the fork"
            )
        thread = threading.get_ident()
        with self._changed:
            aside = thread in self._aside
            if aside or thread not in self._inside:
                self._changed.wait_for(lambda: self._alone in (None, thread))
            # A call that began before closing may still make calls of its own.
            if self._closing and thread not in self._inside:
                raise self._error(f"{self._what} is closed; open it again")
            self._aside.discard(thread)
            self._inside[thread] = self._inside.get(thread, 0) + 1
        try:
            yield
        finally:
            self._leave(thread, aside)

    def close(self) -> None:
        """Let nobody in, wait for the other threads' calls, release; closing again does nothing.

        In a call, as from a progress callback, it does not wait: what is held is released when the last call leaves.
        """
        if os.getpid() != self._pid:
            return  # what is held belongs to the parent
        with self._changed:
            self._closing = True
            if threading.get_ident() not in self._inside:
                self._changed.wait_for(lambda: not self._inside)
            due = not self._inside and not self._released
            self._released = self._released or due
        if due:
            self._release()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """In a call, be the only one: no other thread is in the midst of a piece of work until the block ends."""
        thread = threading.get_ident()
        try:
            with self._changed:
                self._aside.add(thread)  # of two who want this, one waits
                self._changed.notify_all()
                try:
                    self._changed.wait_for(lambda: self._alone is None)
                finally:
                    self._aside.discard(thread)
                self._alone = thread
                self._changed.wait_for(lambda: self._inside.keys() - self._aside <= {thread})
            yield
        finally:
            with self._changed:
                if self._alone == thread:
                    self._alone = None
                self._changed.notify_all()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """In a call, stand back for the length of the block: one who wants to be alone does not wait for this thread.

        What the block does with the thing, it must do in calls of its own.
        """
        thread = threading.get_ident()
        with self._changed:
            self._aside.add(thread)
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._changed.wait_for(lambda: self._alone in (None, thread))
                self._aside.discard(thread)

    @property
    def closing(self) -> bool:
        """Whether somebody has closed it: a very long call should end."""
        return self._closing

    def _leave(self, thread: int, aside: bool) -> None:
        with self._changed:
            self._inside[thread] -= 1
            if aside:
                self._aside.add(thread)
            if self._inside[thread] == 0:
                del self._inside[thread]
            self._changed.notify_all()
            due = self._closing and not self._inside and not self._released
            self._released = self._released or due
        if due:
            self._release()
