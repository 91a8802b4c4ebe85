"""Clients of the soak: honest ones, which record the responses, and malicious ones."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx

from facedex import people

AYU = people.PROBES["ayu"][0].read_bytes()
HONEST, HOSTILE, WATCHING = "127.0.0.2", "127.0.0.3", "127.0.0.4"
"""Their addresses, all of this machine."""

ACCEPTED = frozenset({200, 201, 204})
REFUSED = frozenset({408, 413, 429, 503, 504, 507})
"""Statuses that say what to do: retry later, or make room."""


@dataclass
class Account:
    """The outcomes of the requests of a phase.

    Attributes
    ----------
    answers : Counter
        By status; 0 is a broken connection.
    waits : list of float
        Seconds of each.
    """

    answers: Counter[int] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)

    def record(self, status: int, seconds: float) -> None:
        self.answers[status] += 1
        self.waits.append(seconds)

    @property
    def faults(self) -> int:
        """Responses that are neither successful nor a documented refusal."""
        return sum(number for status, number in self.answers.items() if status and status not in ACCEPTED | REFUSED)


class Client(threading.Thread):
    """Sends requests until it is stopped; the caller may replace `account`."""

    def __init__(self, turn: Callable[[httpx.Client], httpx.Response], port: int, address: str, pause_s: float) -> None:
        super().__init__(daemon=True)
        self.account = Account()
        self.ended = threading.Event()
        self._turn = turn
        self._pause_s = pause_s
        self._base = f"http://127.0.0.1:{port}"
        self._address = address

    def run(self) -> None:
        transport = httpx.HTTPTransport(local_address=self._address, limits=httpx.Limits(max_keepalive_connections=1))
        with httpx.Client(base_url=self._base, transport=transport, timeout=40) as client:
            while not self.ended.wait(self._pause_s):
                account, started = self.account, time.monotonic()
                try:
                    status = self._turn(client).status_code
                except httpx.TransportError:
                    status = 0
                account.record(status, time.monotonic() - started)


def honest(number: int) -> Callable[[httpx.Client], httpx.Response]:
    """Make the requests of an honest client: recognise, register, list, delete."""
    chance, turn, begun = random.Random(number), [0], time.time_ns()

    def once(client: httpx.Client) -> httpx.Response:
        turn[0] += 1
        what = chance.random()
        if what < 0.6:
            return client.post("/v1/recognize", content=AYU, headers={"content-type": "image/jpeg"})
        if what < 0.8:
            return client.get("/v1/people?limit=5")
        person = f"{number}-{turn[0]}-{begun}"  # who was not deleted in an earlier phase is not registered again
        answer = client.post("/v1/people", json={"person_id": person})
        return client.delete(f"/v1/people/{person}") if answer.status_code == 201 else answer

    return once


def health(path: str) -> Callable[[httpx.Client], httpx.Response]:
    """Make the request of a health check."""
    return lambda client: client.get(path)


def connected(port: int, said: bytes = b"") -> socket.socket | None:
    """Connect as a malicious client; None when that is refused."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(5)
    try:
        connection.bind((HOSTILE, 0))
        connection.connect(("127.0.0.1", port))
        connection.sendall(said)
    except OSError:
        connection.close()
        return None
    return connection


def overload(port: int, ended: threading.Event) -> None:
    """Send more requests than the machine can handle."""
    threads = [threading.Thread(target=_flood, args=(port, ended), daemon=True) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _flood(port: int, ended: threading.Event) -> None:
    transport = httpx.HTTPTransport(local_address=HOSTILE)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=transport, timeout=40) as client:
        while not ended.is_set():
            with contextlib.suppress(httpx.TransportError):
                client.post("/v1/recognize", content=AYU, headers={"content-type": "image/jpeg"})


def read_nothing(port: int, ended: threading.Event) -> None:
    """Request a large response on hundreds of connections, and read none."""
    ask = b"GET /v1/people?limit=1000 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    held: list[socket.socket] = []
    while not ended.wait(0.005):
        connection = connected(port, ask)
        if connection is not None:
            held.append(connection)
        if len(held) > 1000:
            held.pop(0).close()
    for connection in held:
        connection.close()


def leave(port: int, ended: threading.Event) -> None:
    """Disconnect in the middle of a body, and of a response."""
    head = b"POST /v1/recognize HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\nContent-Length: 9999\r\n\r\n"
    ask = b"GET /v1/people?limit=1000 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    for turn in _turns(ended, 0.01):
        connection = connected(port, head + AYU[:100] if turn % 2 else ask)
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.recv(1) if turn % 2 == 0 else None
            connection.close()


def send_slowly(port: int, ended: threading.Event) -> None:
    """Send headers and bodies a byte at a time, on a hundred connections."""
    head = b"POST /v1/recognize HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\nContent-Length: 9999\r\n\r\n"
    sending: list[tuple[socket.socket, int]] = []
    for turn in _turns(ended, 0.2):
        while len(sending) < 100 and (connection := connected(port)) is not None:
            sending.append((connection, 0))
        kept = []
        for connection, place in sending:
            try:
                piece = head if place == 0 and turn % 2 else head[place : place + 1] or b"x"
                connection.sendall(piece)
                kept.append((connection, place + len(piece)))
            except OSError:
                connection.close()
        sending = kept
    for connection, _ in sending:
        connection.close()


def _turns(ended: threading.Event, pause_s: float) -> Iterator[int]:
    """Count until the end, with a pause before each."""
    turn = 0
    while not ended.wait(pause_s):
        turn += 1
        yield turn
