"""Whether an object that many threads use is open, closed, or used after a fork.

Every call enters and leaves. Closing admits no new call, waits for the running ones and then releases the resources,
once. One call may ask for exclusive use, in which it changes what all calls use: new calls wait, short ones are waited
for, and long ones pause between two pieces of their work.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import FacedexError, ForkError

Progress = Callable[[int, int], object]
"""Called with the number of items that are done and the number of all."""


class Lifetime:
    """Counts the running calls and releases the resources after the last.

    Parameters
    ----------
    what : str
        Names the object in messages.
    closed : type of FacedexError
        Raised by a call after closing.
    release : callable
        Frees the resources; called once.
    """

    def __init__(self, what: str, closed: type[FacedexError], release: Callable[[], object]) -> None:
        self._what = what
        self._error = closed
        self._release = release
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._running: dict[int, int] = {}  # thread → depth of its calls
        self._paused: set[int] = set()
        self._exclusive: int | None = None
        self._closing = False
        self._released = False

    @contextmanager
    def call(self) -> Iterator[None]:
        """Run a call; raise when the object is closed, or was opened in another process."""
        if os.getpid() != self._pid:
            if self._closing:
                raise self._error(f"{self._what} is closed; open it again")
            raise ForkError(
                f"{self._what} was opened in process {self._pid} and is used in process {os.getpid()}; "
                "open it after the fork"
            )
        thread = threading.get_ident()
        with self._changed:
            paused = thread in self._paused
            if paused or thread not in self._running:
                self._changed.wait_for(lambda: self._exclusive in (None, thread))
            # A call that began before closing may still make calls of its own.
            if self._closing and thread not in self._running:
                raise self._error(f"{self._what} is closed; open it again")
            self._paused.discard(thread)
            self._running[thread] = self._running.get(thread, 0) + 1
        try:
            yield
        finally:
            self._leave(thread, paused)

    def close(self) -> None:
        """Admit no new call, wait for the other threads' calls, release; closing again does nothing.

        Inside a call, as in a progress callback, it does not wait: the resources are released when the last call
        leaves.
        """
        if os.getpid() != self._pid:
            self._closing = True
            return  # the resources belong to the parent
        with self._changed:
            self._closing = True
            if threading.get_ident() not in self._running:
                self._changed.wait_for(lambda: not self._running)
            due = not self._running and not self._released
            self._released = self._released or due
        if due:
            self._release()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Inside a call, wait until no other thread is working, and keep others waiting until the block ends."""
        thread = threading.get_ident()
        try:
            with self._changed:
                self._paused.add(thread)  # of two threads that want this, one waits
                self._changed.notify_all()
                try:
                    self._changed.wait_for(lambda: self._exclusive is None)
                finally:
                    self._paused.discard(thread)
                self._exclusive = thread
                self._changed.wait_for(lambda: self._running.keys() - self._paused <= {thread})
            yield
        finally:
            with self._changed:
                if self._exclusive == thread:
                    self._exclusive = None
                self._changed.notify_all()

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Inside a call, let exclusive use begin without waiting for this thread until the block ends.

        In the block, use the object only in calls of its own.
        """
        thread = threading.get_ident()
        with self._changed:
            self._paused.add(thread)
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._changed.wait_for(lambda: self._exclusive in (None, thread))
                self._paused.discard(thread)

    def yield_progress(self, progress: Progress | None) -> Progress:
        """Return a progress callback that pauses the long call which calls it."""

        def report(done: int, number: int) -> None:
            with self.pause():
                if progress is not None:
                    progress(done, number)

        return report

    @property
    def closing(self) -> bool:
        """Whether the object is being closed: a very long call should end."""
        return self._closing

    def _leave(self, thread: int, paused: bool) -> None:
        with self._changed:
            self._running[thread] -= 1
            if paused:
                self._paused.add(thread)
            if self._running[thread] == 0:
                del self._running[thread]
            self._changed.notify_all()
            due = self._closing and not self._running and not self._released
            self._released = self._released or due
        if due:
            self._release()
