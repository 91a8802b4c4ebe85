"""Limits of the load: how many requests run at once, how many wait, and for how long.

Five lanes with threads of their own: pictures, which keep a core busy; database queries; health checks, which wait
behind neither; passwords, whose hashing is slow on purpose; and sign-ins with a face, so that a flood of sign-ins
delays only sign-ins. A full lane refuses at once with `OverloadedError`. Late work is answered `LateAnswerError`; its
thread runs to the end and keeps its place until then, so that late work cannot pile up.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from typing import TypeVar

from ..errors import LateAnswerError, OverloadedError
from .pixels import MOST, Pixels

_Answer = TypeVar("_Answer")

QUERIES = 8
"""Database queries at once: below the 15 connections of a gallery's pool."""

QUERIES_WAITING = 256
"""Queries that may wait; each takes milliseconds."""

HASHING = 2
"""Passwords hashed or checked at once; each takes 64 MiB and much of a core."""

HASHING_WAITING = 64
"""Passwords that may wait."""

MOST_UNREAD = 32 << 20
"""Bytes of responses that one address has not read."""

CHECKS = 1
"""Health checks that query the database at once."""

CHECKS_WAITING = 32
"""Health checks that may wait."""

SIGNING_IN = 1
"""Sign-ins with a face at once: anybody may try them, and the other cores are left to authenticated callers."""

SIGNING_IN_WAITING = 16
"""Sign-ins with a face that may wait."""


ADDRESS: ContextVar[str] = ContextVar("facedex_address", default="")
"""The address of the client, in the context of its request."""


class Unread:
    """Bytes of responses that each address has not read yet.

    Parameters
    ----------
    most : int
        Bytes of one address; a single response may be larger.
    """

    def __init__(self, most: int = MOST_UNREAD) -> None:
        self._most = most
        self._of_one: Counter[str] = Counter()

    def check(self) -> None:
        """Refuse a request before any work if the client has half of its allowance unread.

        The other half is for requests in progress.

        Raises
        ------
        OverloadedError
        """
        if self._of_one[ADDRESS.get()] >= self._most // 2:
            raise self.error()

    def reserve(self, who: str, size: int) -> bool:
        """Reserve the bytes of a response to be sent; returns False if the address has too many unread."""
        if self._of_one[who] and self._of_one[who] + size > self._most:
            return False
        self._of_one[who] += size
        return True

    def release(self, who: str, size: int) -> None:
        """Stop counting a response: it was read, or its client disconnected."""
        self._of_one[who] -= size
        if self._of_one[who] <= 0:
            del self._of_one[who]

    def error(self) -> OverloadedError:
        """Create the error of an address that reads too slowly."""
        return OverloadedError(
            f"this address has not read {self._most >> 20} MiB of responses; read them, then try again", retry_after_s=5
        )


class Lane:
    """A thread pool with a queue of bounded length.

    Parameters
    ----------
    name : str
    threads : int
        Pieces of work at once, from 1.
    waiting : int
        How many more may wait.
    timeout_s : float
        Time limit of one, with its waiting, seconds.
    unread : Unread, optional
        Checked before a piece of work begins.
    """

    def __init__(self, name: str, threads: int, waiting: int, timeout_s: float, unread: Unread | None = None) -> None:
        self._unread = unread
        self.name = name
        self.threads = threads
        self._room = threads + waiting
        self._timeout_s = timeout_s
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"facedex-{name}")
        self._pending = 0
        self._lock = threading.Lock()
        self._usual_s = 0.1

    @property
    def pending(self) -> int:
        """Number of functions that run or wait."""
        return self._pending

    async def run(self, function: Callable[[], _Answer], *, within_s: float | None = None) -> _Answer:
        """Run a blocking function in a thread, with the context of the caller.

        Parameters
        ----------
        function : callable
        within_s : float, optional
            Time limit, seconds, if lower than the lane's.

        Raises
        ------
        OverloadedError
            When the lane is full.
        LateAnswerError
            When it takes too long.
        """
        future = self.submit(function)
        waiting = asyncio.wrap_future(future)
        try:
            return await asyncio.wait_for(waiting, self._timeout_s if within_s is None else within_s)
        except asyncio.TimeoutError:
            if future.done() and not future.cancelled():
                return future.result()  # the work itself raised a TimeoutError
            raise LateAnswerError(
                f"the request took longer than {self._timeout_s:g} s; send a smaller picture or try again later"
            ) from None

    async def run_in_turns(self, functions: Sequence[Callable[[], _Answer]]) -> list[_Answer]:
        """Run the parts of one request one after the other; other requests run in between.

        Raises
        ------
        OverloadedError
            When there is no room for the first.
        LateAnswerError
            When all of them together take too long.
        """
        answers: list[_Answer] = []
        until = time.monotonic() + self._timeout_s
        while len(answers) < len(functions):
            try:
                left_s = max(until - time.monotonic(), 0.0)
                answers.append(await self.run(functions[len(answers)], within_s=left_s))
            except OverloadedError:
                if not answers or time.monotonic() > until:
                    raise
                await asyncio.sleep(0.05)  # a request in progress waits for room and keeps its results
        return answers

    def submit(self, function: Callable[[], _Answer]) -> Future[_Answer]:
        """Start a function in a thread; raises OverloadedError."""
        with self._lock:
            if self._pending >= self._room:
                raise OverloadedError(
                    f"the server is busy: {self._pending} requests are ahead of this one; try again later",
                    retry_after_s=max(1, round(self._pending * self._usual_s / self.threads)),
                )
            self._pending += 1
        try:
            future = self._pool.submit(contextvars.copy_context().run, self._run_timed, function)
        except BaseException:
            self._release()
            raise
        future.add_done_callback(lambda _: self._release())
        return future

    def close(self) -> None:
        """Wait for the running work, and accept no more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run_timed(self, function: Callable[[], _Answer]) -> _Answer:
        started = time.perf_counter()
        try:
            if self._unread is not None:
                self._unread.check()
            return function()
        finally:
            self._usual_s += 0.1 * (time.perf_counter() - started - self._usual_s)

    def _release(self) -> None:
        with self._lock:
            self._pending -= 1


class Limits:
    """The lanes of a server.

    Parameters
    ----------
    concurrency : int
        Pictures at once; 0 is one per core.
    waiting : int
        How many more may wait.
    timeout_s : float
        Time limit of a request, seconds.
    most_pixels : int
        Pixels of one request, and of one client at a time.

    Attributes
    ----------
    pictures, queries, checks, passwords, faces : Lane
        For pictures, database queries, health checks, passwords, and sign-ins with a face.
    unread : Unread
    pixels : Pixels
    """

    def __init__(
        self, concurrency: int = 0, waiting: int = 64, timeout_s: float = 30.0, *, most_pixels: int = MOST
    ) -> None:
        self.unread = Unread()
        self.pixels = Pixels(most_pixels)
        self.pictures = Lane("work", concurrency or cores(), waiting, timeout_s, self.unread)
        self.queries = Lane("ask", QUERIES, QUERIES_WAITING, timeout_s, self.unread)
        self.checks = Lane("look", CHECKS, CHECKS_WAITING, timeout_s)
        self.passwords = Lane("hash", HASHING, HASHING_WAITING, timeout_s)
        self.faces = Lane("face", SIGNING_IN, SIGNING_IN_WAITING, timeout_s)
        self._lanes = (self.pictures, self.queries, self.checks, self.passwords, self.faces)

    def pending(self) -> dict[str, int]:
        """Return how many requests are in each lane."""
        return {lane.name: lane.pending for lane in self._lanes}

    def close(self) -> None:
        """Wait for the running work, and accept no more."""
        for lane in self._lanes:
            lane.close()


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
