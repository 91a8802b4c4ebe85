"""A proxy between a client and a database server that a test can cut at a commit."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass
from typing import Literal


class Wire:
    """Carries bytes between a free port of this machine and a server.

    Attributes
    ----------
    port : int
    cut : {"before", "after"} or None
        Cut the connection of the next commit: before the server hears of it, or after it has answered. Then carry
        on with new ones.
    cuts : int
        How often it was cut.
    """

    def __init__(self, server_port: int) -> None:
        self.cut: Literal["before", "after"] | None = None
        self.cuts = 0
        self._server_port = server_port
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        self._pairs: list[_Pair] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def shut_door(self) -> None:
        """Let no new connection in."""
        with contextlib.suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()

    def close(self) -> None:
        self.shut_door()
        for pair in self._pairs:
            pair.hang_up()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._door.accept()
                pair = _Pair(client, socket.create_connection(("127.0.0.1", self._server_port)))
                self._pairs.append(pair)
                threading.Thread(target=self._ask, args=(pair,), daemon=True).start()
                threading.Thread(target=self._answer, args=(pair,), daemon=True).start()

    def _ask(self, pair: _Pair) -> None:
        with contextlib.suppress(OSError):
            while data := pair.client.recv(1 << 16):
                if self.cut is not None and data.rstrip(b"\0").endswith(b"COMMIT"):
                    how, self.cut = self.cut, None
                    self.cuts += 1
                    if how == "before":
                        break
                    pair.last = True
                pair.server.sendall(data)
        pair.hang_up()

    def _answer(self, pair: _Pair) -> None:
        with contextlib.suppress(OSError):
            while (data := pair.server.recv(1 << 16)) and not pair.last:
                pair.client.sendall(data)
        pair.hang_up()


@dataclass
class _Pair:
    """Both ends of a connection; the next answer is not carried when it is the last."""

    client: socket.socket
    server: socket.socket
    last: bool = False

    def hang_up(self) -> None:
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
