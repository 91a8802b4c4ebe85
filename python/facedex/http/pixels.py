"""Limits of pixels: of the pictures of one request, and of all requests of one client at a time.

The size of a file says little about the cost of decoding: 34 bytes may declare 50 megapixels. The headers are read
before anything is decoded. A file that is no picture counts nothing; the decoder refuses it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextvars import ContextVar

from ..config import settings as of_engine
from ..errors import BodyTooLargeError, ImageError, OverloadedError
from ..inputs import MOST_REDUCED, is_jpeg, probe

MOST = 250_000_000
"""Default maximum of a request: twenty photos of a phone."""

_TURN_PIXELS = 8_000_000  # decoded before another request has its turn; a larger photo is a part of its own
_TURN_PICTURES = 8


class Pixels:
    """The pixels in progress, by client.

    Parameters
    ----------
    most : int
        Of one request, and of one client at a time.
    """

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        engine = of_engine()
        self._decoded = engine.max_pixels
        self._reduced = engine.max_pixels * (MOST_REDUCED if engine.oversize == "reduce" else 1)
        self._of_one: Counter[str] = Counter()

    def count(self, data: bytes) -> int:
        """Return the number of pixels that a picture declares; 0 for one that is too large to be decoded."""
        try:
            width, height = probe(data, max_pixels=self._reduced)
        except ImageError:
            return 0
        pixels = width * height
        return pixels if pixels <= self._decoded or is_jpeg(data) else 0

    def hold(self, who: str, pixels: int, own: int) -> None:
        """Count pixels of a client, whose request already has `own`; raises OverloadedError."""
        if self._of_one[who] > own and self._of_one[who] + pixels > self.most:
            raise OverloadedError(
                f"{self._of_one[who] / 1e6:.0f} megapixels of this client are in progress, at most "
                f"{self.most / 1e6:.0f} at a time; try again later",
                retry_after_s=2,
            )
        self._of_one[who] += pixels

    def release(self, who: str, pixels: int) -> None:
        """Stop counting pixels."""
        self._of_one[who] -= pixels
        if self._of_one[who] <= 0:
            del self._of_one[who]


class Claim:
    """The pixels of one request.

    Parameters
    ----------
    pixels : Pixels
    who : str
        The client: its address, until a key or an account is known.
    """

    def __init__(self, pixels: Pixels, who: str) -> None:
        self._pixels = pixels
        self._who = who
        self._own = 0

    def charge(self, who: str) -> None:
        """Count the request under a key or account from now on."""
        if self._own == 0:
            self._who = who

    def add(self, data: bytes) -> None:
        """Count a picture.

        Raises
        ------
        BodyTooLargeError
            When the pictures of the request have too many pixels in total.
        OverloadedError
            When the requests of the client do.
        """
        pixels = self._pixels.count(data)
        if self._own + pixels > self._pixels.most:
            raise BodyTooLargeError(
                f"the pictures have {(self._own + pixels) / 1e6:.0f} megapixels, at most "
                f"{self._pixels.most / 1e6:.0f} are allowed in one request",
                limit=self._pixels.most,
            )
        self._pixels.hold(self._who, pixels, self._own)
        self._own += pixels

    def release(self) -> None:
        """Stop counting the request."""
        self._pixels.release(self._who, self._own)
        self._own = 0


CLAIM: ContextVar[Claim | None] = ContextVar("facedex_claim", default=None)
"""The claim of the request, in its context; None in another application."""


def add(data: bytes) -> None:
    """Count a picture of the current request; raises as `Claim.add`."""
    claim = CLAIM.get()
    if claim is not None:
        claim.add(data)


def turns(pictures: Sequence[bytes], pixels: Pixels) -> Iterator[list[bytes]]:
    """Split the pictures of a request into parts, between which other requests run."""
    part: list[bytes] = []
    size = 0
    for picture in pictures:
        declared = pixels.count(picture)
        if part and (size + declared > _TURN_PIXELS or len(part) == _TURN_PICTURES):
            yield part
            part, size = [], 0
        part.append(picture)
        size += declared
    if part:
        yield part
