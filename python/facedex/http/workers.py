"""Worker processes that serve one socket, and the master process that starts, watches and stops them.

A worker that died, or that did not answer the master for `SILENCE_S`, is replaced. A pipe connects the master with each
worker: when the master ends, however it does, the pipe is closed and the worker stops as after a signal. To stop, the
master closes the socket first, so that new connections are refused.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

import uvicorn

SILENCE_S = 10.0
"""How long a worker may take to answer the master, seconds."""

BEGIN_S = 120.0
"""How long a worker may take for its first answer, seconds: it imports everything first."""

GRACE_S = 30.0
"""How long requests in progress may take when a worker stops, seconds."""

_EVERY_S = 0.5
_CLOSING_S = 10.0  # beyond the grace: galleries are closed
_NOT_STARTED = 3  # uvicorn's exit code of a worker that could not start; the next could not either
_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_log = logging.getLogger("facedex.http")


@dataclass(slots=True)
class _Worker:
    process: SpawnProcess
    pipe: Connection
    heard: float = field(default_factory=time.monotonic)
    allowed_s: float = BEGIN_S

    def silent(self) -> bool:
        """Ping the worker; returns True if it has not answered for too long."""
        now = time.monotonic()
        try:
            self.pipe.send(b"?")
            while self.pipe.poll():
                self.pipe.recv()
                self.heard, self.allowed_s = now, SILENCE_S
        except (OSError, EOFError):
            return True
        return now - self.heard > self.allowed_s

    def end(self) -> None:
        if self.process.is_alive():
            self.process.terminate()

    def join(self, until: float) -> None:
        """Wait for the worker to end; kill it if it takes too long."""
        self.process.join(max(until - time.monotonic(), 0))
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()


class Workers:
    """The workers of a server.

    Parameters
    ----------
    config : uvicorn.Config
        Of each worker.
    listening : socket.socket
        Bound; closed at the end.
    number : int
    """

    def __init__(self, config: uvicorn.Config, listening: socket.socket, number: int) -> None:
        self._config = config
        self._listening = listening
        self._number = number
        self._context = multiprocessing.get_context("spawn")
        self._ended = threading.Event()

    def run(self) -> None:
        """Serve until a signal."""
        before = {number: signal.signal(number, self._end) for number in _SIGNALS}
        workers: list[_Worker] = []
        try:
            workers += [self._start() for _ in range(self._number)]
            while not self._ended.wait(_EVERY_S):
                self._replace(workers)
        finally:
            self._listening.close()
            for worker in workers:
                worker.end()
            until = time.monotonic() + GRACE_S + _CLOSING_S
            for worker in workers:
                worker.join(until)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end(self, *_: object) -> None:
        self._ended.set()

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(self._config, self._listening, theirs))
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _replace(self, workers: list[_Worker]) -> None:
        """Replace each worker that died or is silent."""
        for place, worker in enumerate(workers):
            if worker.process.is_alive() and not worker.silent():
                continue
            worker.process.kill()
            worker.join(time.monotonic() + 1)
            if self._ended.is_set():
                return
            if worker.process.exitcode == _NOT_STARTED:
                _log.error("a worker could not start; the server stops")
                self._ended.set()
                return
            _log.warning("worker %s died and is replaced", worker.process.pid)
            workers[place] = self._start()


def _serve(config: uvicorn.Config, listening: socket.socket, pipe: Connection) -> None:
    """Run a worker."""
    config.configure_logging()
    server = uvicorn.Server(config)
    threading.Thread(target=_follow, args=(server, pipe), name="facedex-master", daemon=True).start()
    with suppress(KeyboardInterrupt):  # the master stops the workers
        server.run(sockets=[listening])


def _follow(server: uvicorn.Server, pipe: Connection) -> None:
    """Answer the master's pings, and stop the server when the master is gone."""
    with suppress(OSError, EOFError):
        while True:
            pipe.recv()
            pipe.send(b"!")
    _log.warning("the master is gone; this worker stops")
    server.should_exit = True
    time.sleep(GRACE_S + _CLOSING_S)
    os._exit(1)  # a hanging request must not keep the process
