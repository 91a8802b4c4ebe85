"""Draws boxes and names on a picture. Pillow only.

Known and unknown people differ in the line (solid or dashed) and in the plate under the name (filled or white), not
in the colour alone. Lines and letters scale with the picture; a very small picture is enlarged first.

The font is Pillow's own (ASCII). An accented letter is drawn without its accent, any other as "?".
"""

from __future__ import annotations

import io
import itertools
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from .errors import BBox
    from .inputs import ImageInput

LEAST_SIDE = 320
"""A picture whose longer side is below this is enlarged by a whole factor, pixels."""

Box = tuple[int, int, int, int]

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Two colours that all common kinds of colour blindness tell apart: Okabe and Ito, "Color Universal Design", 2008.
_BLUE = (0, 114, 178)
_VERMILION = (213, 94, 0)
_DARK = (24, 24, 24)
_WHITE = (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Mark:
    """A box to draw, and what to write beside it.

    Attributes
    ----------
    bbox : tuple of float
        x1, y1, x2, y2, pixels of the upright original.
    label : str
        A few words; empty for a box without a label.
    known : bool or None
        True: a known person, a solid line. False: an unknown one, a dashed line. None: not compared.
    """

    bbox: BBox
    label: str
    known: bool | None = None


@dataclass(frozen=True, slots=True)
class _Style:
    line: tuple[int, int, int]
    plate: tuple[int, int, int]
    letters: tuple[int, int, int]
    dashed: bool


_STYLES = {
    True: _Style(line=_BLUE, plate=_BLUE, letters=_WHITE, dashed=False),
    False: _Style(line=_VERMILION, plate=_WHITE, letters=_DARK, dashed=True),
    None: _Style(line=_DARK, plate=_DARK, letters=_WHITE, dashed=False),
}


def annotate(
    image: ImageInput, marks: Iterable[Mark], *, longest_side: int | None = None, max_pixels: int | None = None
) -> Image.Image:
    """Draw boxes and names on a copy of a picture.

    Parameters
    ----------
    image : ImageInput
        A path, encoded bytes, a binary file object, a Pillow image, or a uint8 array (height, width, 3) in RGB.
    marks : iterable of Mark
        Boxes in pixels of the upright original; a box that reaches over the edge is drawn along the edge.
    longest_side : int, optional
        A larger picture is reduced to this, pixels.
    max_pixels : int, optional
        A picture of more pixels is refused; default 50 million.

    Returns
    -------
    PIL.Image.Image
        RGB and upright; enlarged by a whole factor when its longer side is below `LEAST_SIDE`.

    Raises
    ------
    ImageError
        When the picture cannot be decoded.

    Examples
    --------
    >>> import numpy as np
    >>> grey = np.full((240, 320, 3), 128, dtype=np.uint8)
    >>> annotate(grey, [Mark((80, 60, 160, 160), "Ayu 0.97", True)]).size
    (320, 240)
    """
    from ._core import decode  # here, so that a mark can be made without the native core

    picture = Image.fromarray(decode(image, max_pixels=max_pixels))
    picture, factor = _resize(picture, longest_side)
    letters = max(12, min(round(max(picture.size) / 42), min(picture.size) // 6))
    width = max(2, round(max(picture.size) / 320))
    font = ImageFont.load_default(size=letters)
    canvas = ImageDraw.Draw(picture)
    drawn = [(mark, _clip(mark.bbox, factor, picture.size)) for mark in marks]
    for mark, box in drawn:
        _draw_box(canvas, box, _STYLES[mark.known], width)
    labels: list[Box] = []
    for mark, box in drawn:  # after all lines, so that no line crosses a name
        if mark.label:
            label = _to_ascii(mark.label)
            wide, high = (extent + 4 * width for extent in _measure(label, font))
            others = [*labels, *(other for _, other in drawn if other is not box)]
            labels.append(_place_label(wide, high, box, others, 2 * width, picture.size))
            _draw_label(canvas, label, labels[-1], _STYLES[mark.known], font, width)
    return picture


def png(picture: Image.Image) -> bytes:
    """Encode a picture as PNG.

    Parameters
    ----------
    picture : PIL.Image.Image

    Returns
    -------
    bytes
    """
    stream = io.BytesIO()
    picture.save(stream, format="PNG")
    return stream.getvalue()


def _resize(picture: Image.Image, longest_side: int | None) -> tuple[Image.Image, float]:
    """Resize a picture for drawing; return it and the factor."""
    longest = max(picture.size)
    if longest_side is not None and longest > longest_side:
        factor = longest_side / longest
        size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
        return picture.resize(size, Image.Resampling.BOX), factor
    if longest < LEAST_SIDE:
        times = -(-LEAST_SIDE // longest)
        return picture.resize((picture.width * times, picture.height * times), Image.Resampling.BICUBIC), float(times)
    return picture, 1.0


def _clip(bbox: BBox, factor: float, size: tuple[int, int]) -> Box:
    """Round a box to pixels and clip it to the picture."""
    x1, y1, x2, y2 = (round(value * factor) for value in bbox)
    right, bottom = size[0] - 1, size[1] - 1
    left, top = min(max(x1, 0), right), min(max(y1, 0), bottom)
    return left, top, max(left, min(x2, right)), max(top, min(y2, bottom))


def _draw_box(canvas: ImageDraw.ImageDraw, box: Box, style: _Style, width: int) -> None:
    """Draw a box; a white edge on both sides of the line keeps it visible on any background."""
    left, top, right, bottom = box
    edge = max(1, width // 2)
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    strokes = list(itertools.pairwise(corners))
    for colour, thickness in ((_WHITE, width + 2 * edge), (style.line, width)):
        for start, end in strokes:
            for piece in _dashes(start, end, 4 * width if style.dashed and colour is not _WHITE else 0):
                canvas.rectangle(_thicken(piece, thickness), fill=colour)


def _dashes(start: tuple[int, int], end: tuple[int, int], dash: int) -> list[Box]:
    """Split a horizontal or vertical line into dashes with gaps of the same length; 0 leaves it solid."""
    (x1, y1), (x2, y2) = start, end
    length = abs(x2 - x1) + abs(y2 - y1)
    if not dash or length <= dash:
        return [(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))]
    count = 2 * (length // (2 * dash)) + 1  # odd, so that a dash stands in each corner
    pieces = []
    for number in range(0, count, 2):
        ends = [length * at / count for at in (number, number + 1)]
        xs = sorted(round(x1 + (x2 - x1) * at / length) for at in ends)
        ys = sorted(round(y1 + (y2 - y1) * at / length) for at in ends)
        pieces.append((xs[0], ys[0], xs[1], ys[1]))
    return pieces


def _thicken(piece: Box, thickness: int) -> Box:
    """Return the rectangle of a line one pixel wide, drawn with a thickness."""
    before = (thickness - 1) // 2
    after = thickness - 1 - before
    return piece[0] - before, piece[1] - before, piece[2] + after, piece[3] + after


def _draw_label(canvas: ImageDraw.ImageDraw, label: str, place: Box, style: _Style, font: _Font, width: int) -> None:
    """Draw a label on its plate."""
    canvas.rectangle(place, fill=style.plate, outline=style.line, width=max(1, width // 2))
    canvas.text((place[0] + 2 * width, place[1] + 2 * width), label, fill=style.letters, font=font)


def _place_label(wide: int, high: int, box: Box, others: Sequence[Box], gap: int, size: tuple[int, int]) -> Box:
    """Return the place of a label: above its box, below, or inside, the first that is free."""
    left = max(0, min(box[0], size[0] - wide))
    tops = (box[1] - gap - high, box[3] + gap, box[1] + gap, box[3] - gap - high)
    clipped = (max(0, min(top, size[1] - high)) for top in tops)
    places = [(left, top, left + wide, top + high) for top in clipped]
    free = [place for place in places if not any(_overlap(place, other) for other in others)]
    outside = [place for place in free if not _overlap(place, box)]
    return (outside or free or places)[0]


def _measure(text: str, font: _Font) -> tuple[int, int]:
    """Measure the width of a text and the height of any line, pixels."""
    return round(font.getbbox(text)[2]), round(font.getbbox("Ag")[3])


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _to_ascii(label: str) -> str:
    """Return a label in the characters of the built-in font, on one line."""
    plain = (char for char in unicodedata.normalize("NFKD", label) if not unicodedata.combining(char))
    return "".join(char if " " <= char <= "~" else "?" for char in plain)
