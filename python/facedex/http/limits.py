"""How much a server takes on: so many pieces of work at once, so many waiting, and nobody for ever.

Five lanes, each with threads of its own: `Limits.work` for pictures, which keep a core busy; `Limits.ask` for questions
to the database; `Limits.look` for health checks, which wait behind neither; `Limits.hash` for passwords, whose hashing
is slow on purpose, and `Limits.sign_in` for faces in their place, so that a flood of sign-ins holds up sign-ins alone.
What has no room is refused at once with `OverloadedError`. Work that is late is answered `LateAnswerError`; its thread
goes on to its end and keeps its place until then, so that late work cannot pile up.
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

ASKING = 8
"""Questions to the database side by side: below the 15 connections that a gallery's pool has."""

ASKING_WAITING = 256
"""Questions that may wait; each takes milliseconds."""

HASHING = 2
"""Passwords made or checked side by side; each takes 64 MiB and much of a core."""

HASHING_WAITING = 64
"""Passwords that may wait."""

MOST_UNREAD = 32 << 20
"""Bytes of answers that one address has not read."""

LOOKING = 1
"""Health checks that ask the database, side by side."""

LOOKING_WAITING = 32
"""Health checks that may wait."""

SIGNING_IN = 1
"""Sign-ins with a face side by side: strangers may try them, and the other cores are left to those who have a key."""

SIGNING_IN_WAITING = 16
"""Sign-ins with a face that may wait."""


ASKER: ContextVar[str] = ContextVar("facedex_asker", default="")
"""The address that asks, in the context of its request."""


class Unread:
    """The answers that are being sent: how much of them each address has not read yet.

    Parameters
    ----------
    most : int
        Bytes of one address; a single answer may be larger.
    """

    def __init__(self, most: int = MOST_UNREAD) -> None:
        self._most = most
        self._of_one: Counter[str] = Counter()

    def check(self) -> None:
        """Reject a request before any work when the client has left half of its allowance unread.

        The other half is for what is being done already.

        Raises
        ------
        OverloadedError
        """
        if self._of_one[ASKER.get()] >= self._most // 2:
            raise self.refusal()

    def hold(self, who: str, size: int) -> bool:
        """Count an answer that is about to be sent, in bytes; False when the address has too many unread."""
        if self._of_one[who] and self._of_one[who] + size > self._most:
            return False
        self._of_one[who] += size
        return True

    def release(self, who: str, size: int) -> None:
        """Count an answer no more: it was read, or its client left."""
        self._of_one[who] -= size
        if self._of_one[who] <= 0:
            del self._of_one[who]

    def refusal(self) -> OverloadedError:
        """Make the error of an address that reads too little."""
        return OverloadedError(
            f"this address has not read {self._most >> 20} MiB of answers; read them, then ask again", retry_after_s=5
        )


class Lane:
    """Threads that work side by side, and a queue of bounded length before them.

    Parameters
    ----------
    name : str
    threads : int
        Pieces of work side by side, from 1.
    waiting : int
        How many more may wait.
    timeout_s : float
        How long one may take, with its waiting, seconds.
    unread : Unread, optional
        Looked at before a piece of work begins.
    """

    def __init__(self, name: str, threads: int, waiting: int, timeout_s: float, unread: Unread | None = None) -> None:
        self._unread = unread
        self.name = name
        self.threads = threads
        self._room = threads + waiting
        self._timeout_s = timeout_s
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"facedex-{name}")
        self._inside = 0
        self._lock = threading.Lock()
        self._usual_s = 0.1

    @property
    def inside(self) -> int:
        """How many are being worked on or wait."""
        return self._inside

    async def run(self, verb: Callable[[], _Answer], *, within_s: float | None = None) -> _Answer:
        """Run something that may block in a thread, with the context of the caller.

        Parameters
        ----------
        verb : callable
        within_s : float, optional
            How long it may take, seconds, when that is less than the lane allows.

        Raises
        ------
        OverloadedError
            When there is no room.
        LateAnswerError
            When it takes too long.
        """
        future = self.submit(verb)
        waiting = asyncio.wrap_future(future)
        try:
            return await asyncio.wait_for(waiting, self._timeout_s if within_s is None else within_s)
        except asyncio.TimeoutError:
            if future.done() and not future.cancelled():
                return future.result()  # an error of the work itself that is a TimeoutError
            raise LateAnswerError(
                f"the answer took longer than {self._timeout_s:g} s; send a smaller picture or try again later"
            ) from None

    def submit(self, verb: Callable[[], _Answer]) -> Future[_Answer]:
        """Run something in a thread and do not wait for it; raises OverloadedError."""
        with self._lock:
            if self._inside >= self._room:
                raise OverloadedError(
                    f"the server is busy: {self._inside} requests are before this one; try again later",
                    retry_after_s=max(1, round(self._inside * self._usual_s / self.threads)),
                )
            self._inside += 1
        try:
            future = self._pool.submit(contextvars.copy_context().run, self._timed, verb)
        except BaseException:
            self._left()
            raise
        future.add_done_callback(lambda _: self._left())
        return future

    def close(self) -> None:
        """Let what runs end, and take nothing more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _timed(self, verb: Callable[[], _Answer]) -> _Answer:
        started = time.perf_counter()
        try:
            if self._unread is not None:
                self._unread.check()
            return verb()
        finally:
            self._usual_s += 0.1 * (time.perf_counter() - started - self._usual_s)

    def _left(self) -> None:
        with self._lock:
            self._inside -= 1


class Limits:
    """The lanes of a server.

    Parameters
    ----------
    concurrency : int
        Pictures worked on side by side; 0 is one a core.
    waiting : int
        How many more may wait.
    timeout_s : float
        How long an answer may take, seconds.
    most_pixels : int
        Pixels of one request, and of one client at a time.
    """

    def __init__(
        self, concurrency: int = 0, waiting: int = 64, timeout_s: float = 30.0, *, most_pixels: int = MOST
    ) -> None:
        self.unread = Unread()
        self.pixels = Pixels(most_pixels)
        self.timeout_s = timeout_s
        self.pictures = Lane("work", concurrency or cores(), waiting, timeout_s, self.unread)
        self.questions = Lane("ask", ASKING, ASKING_WAITING, timeout_s, self.unread)
        self.checks = Lane("look", LOOKING, LOOKING_WAITING, timeout_s)
        self.passwords = Lane("hash", HASHING, HASHING_WAITING, timeout_s)
        self.faces = Lane("face", SIGNING_IN, SIGNING_IN_WAITING, timeout_s)
        self._lanes = (self.pictures, self.questions, self.checks, self.passwords, self.faces)

    async def work(self, verb: Callable[[], _Answer]) -> _Answer:
        """Run what works on pictures; see `Lane.run`."""
        return await self.pictures.run(verb)

    async def work_in_turns(self, verbs: Sequence[Callable[[], _Answer]]) -> list[_Answer]:
        """Run parts of one request one after the other; between two of them others have their turn.

        Raises
        ------
        OverloadedError
            When there is no room for the first.
        LateAnswerError
            When all of them together take too long.
        """
        answers: list[_Answer] = []
        until = time.monotonic() + self.timeout_s
        while len(answers) < len(verbs):
            try:
                left_s = max(until - time.monotonic(), 0.0)
                answers.append(await self.pictures.run(verbs[len(answers)], within_s=left_s))
            except OverloadedError:
                if not answers or time.monotonic() > until:
                    raise
                await asyncio.sleep(0.05)  # what was begun waits for room, and does not lose what is done
        return answers

    async def ask(self, verb: Callable[[], _Answer]) -> _Answer:
        """Run what asks the database; see `Lane.run`."""
        return await self.questions.run(verb)

    async def look(self, verb: Callable[[], _Answer]) -> _Answer:
        """Run what looks whether the database answers; see `Lane.run`."""
        return await self.checks.run(verb)

    async def hash(self, verb: Callable[[], _Answer]) -> _Answer:
        """Run what makes or checks a password; see `Lane.run`."""
        return await self.passwords.run(verb)

    async def sign_in(self, verb: Callable[[], _Answer]) -> _Answer:
        """Run what lets somebody in by a face; see `Lane.run`."""
        return await self.faces.run(verb)

    def inside(self) -> dict[str, int]:
        """Tell how many are in each lane."""
        return {lane.name: lane.inside for lane in self._lanes}

    def close(self) -> None:
        """Let what runs end, and take nothing more."""
        for lane in self._lanes:
            lane.close()


def cores() -> int:
    """Tell how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
