"""How many pixels the pictures of a request announce, and those of one client at a time.

Bytes tell little of what decoding costs: a file of 34 bytes may announce 50 megapixels. The headers are read before
anything is decoded. Refused: a request whose pictures announce too many together, and one of a client whose other
requests are still being worked on and have as many. What is no picture counts nothing: it is refused where it would be
decoded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextvars import ContextVar

from .. import _core
from ..config import settings as of_engine
from ..errors import BodyTooLargeError, ImageError, OverloadedError

MOST = 250_000_000
"""Pixels of a request, unless set: twenty photos of a phone."""

_TURN_PIXELS = 8_000_000  # decoded before somebody else has a turn; a photo may have more, and is alone then
_TURN_PICTURES = 8


class Pixels:
    """The pixels that a process works on, by client.

    Parameters
    ----------
    most : int
        Of one request, and of one client at a time.
    """

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._largest = of_engine().max_pixels
        self._of_one: Counter[str] = Counter()

    def count(self, data: bytes) -> int:
        """Tell how many pixels a picture announces; one that is larger than any that is decoded counts nothing."""
        try:
            width, height = _core.probe(data, max_pixels=self._largest)
        except ImageError:
            return 0
        return width * height

    def hold(self, who: str, pixels: int, own: int) -> None:
        """Count pixels of a client, whose request has `own` already; raises OverloadedError."""
        if self._of_one[who] > own and self._of_one[who] + pixels > self.most:
            raise OverloadedError(
                f"{self._of_one[who] / 1e6:.0f} megapixels of this client are being worked on, at most "
                f"{self.most / 1e6:.0f} at a time; try again later",
                retry_after_s=2,
            )
        self._of_one[who] += pixels

    def release(self, who: str, pixels: int) -> None:
        """Count pixels no more."""
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
        """Count the request as one of a key or account from now on."""
        if self._own == 0:
            self._who = who

    def add(self, data: bytes) -> None:
        """Count a picture.

        Raises
        ------
        BodyTooLargeError
            When the pictures of the request announce too many pixels together.
        OverloadedError
            When those of the client do.
        """
        pixels = self._pixels.count(data)
        if self._own + pixels > self._pixels.most:
            raise BodyTooLargeError(
                f"the pictures announce {(self._own + pixels) / 1e6:.0f} megapixels, at most "
                f"{self._pixels.most / 1e6:.0f} are taken in one request",
                limit=self._pixels.most,
            )
        self._pixels.hold(self._who, pixels, self._own)
        self._own += pixels

    def release(self) -> None:
        """Count the request no more."""
        self._pixels.release(self._who, self._own)
        self._own = 0


CLAIM: ContextVar[Claim | None] = ContextVar("facedex_claim", default=None)
"""That of the request, in its context; None in somebody else's application."""


def add(data: bytes) -> None:
    """Count a picture of the request that is being answered; raises as `Claim.add`."""
    claim = CLAIM.get()
    if claim is not None:
        claim.add(data)


def turns(pictures: Sequence[bytes], pixels: Pixels) -> Iterator[list[bytes]]:
    """Divide the pictures of a request into parts, between which other requests have their turn."""
    part: list[bytes] = []
    size = 0
    for picture in pictures:
        announced = pixels.count(picture)
        if part and (size + announced > _TURN_PIXELS or len(part) == _TURN_PICTURES):
            yield part
            part, size = [], 0
        part.append(picture)
        size += announced
    if part:
        yield part
