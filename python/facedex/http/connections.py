"""A connection that says nothing, or whose headers do not end, is closed; uvicorn itself waits for ever.

In: what uvicorn's own protocol takes. Refused: headers that take longer than `HEAD_S` or are larger than `HEAD_BYTES`.
Bodies are the business of `facedex.http.guard`, and an idle connection after an answer that of uvicorn.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.auto import AutoHTTPProtocol

HEAD_S = 20.0
"""How long the headers of a request may take to come, seconds."""

HEAD_BYTES = 64 * 1024
"""Largest headers; nginx takes 32 KiB unless told otherwise, h11 as much as here."""

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Connection(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # whichever of uvicorn's protocols there is
    """One connection of a client."""

    _heading: asyncio.TimerHandle | None = None
    _received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first headers."""
        super().connection_made(transport)
        self._begin()

    def data_received(self, data: bytes) -> None:
        """Take a piece of a request."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._end()  # the headers are whole, and a request is being answered
            return
        self._begin()
        self._received += len(data)
        if self._received > HEAD_BYTES and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._end()
        super().connection_lost(exc)

    def _begin(self) -> None:
        if self._heading is None and not self.transport.is_closing():
            self._heading = asyncio.get_running_loop().call_later(HEAD_S, self._close)

    def _end(self) -> None:
        self._received = 0
        if self._heading is not None:
            self._heading.cancel()
            self._heading = None

    def _close(self) -> None:
        self._end()
        cast(Any, self.transport).close()
