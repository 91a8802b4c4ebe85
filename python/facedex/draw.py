"""Draws boxes and names on a picture. Pillow only.

Known and unknown people differ in the line (solid or dashed) and in the plate under the name (filled or white), not
in the colour alone. Lines and letters scale with the face, up to a share of the picture; a very small picture is
enlarged first. A label covers no other face or label where there is room. Where there is none, that of a known person
is drawn over the others, and that of an unknown one is left out.

The font is Pillow's own (ASCII) or, for other letters, the font of the system that has most of them. Without one, an
accented letter is drawn without its accent, and the id of the person, or "person" and a number, stands for a name.
"""

from __future__ import annotations

import io
import itertools
import logging
import os
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont, features

from .checks import as_int
from .config import MAX_PIXELS
from .errors import ArgumentError
from .inputs import read_jpeg, read_picture

if TYPE_CHECKING:
    from .errors import BBox
    from .inputs import ImageInput

_log = logging.getLogger("facedex")

LEAST_SIDE = 320
"""A picture whose longer side is below this is enlarged by a whole factor, pixels."""

Box = tuple[int, int, int, int]

FONTS = (
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf"),
    *("NotoSansCJK-Regular.ttc", "NotoSansArabic-Regular.ttf", "NotoSansDevanagari-Regular.ttf"),
    *("DroidSansFallbackFull.ttf", "wqy-zenhei.ttc", "wqy-microhei.ttc"),
    *("segoeui.ttf", "arial.ttf", "msyh.ttc", "YuGothM.ttc", "malgun.ttf", "Nirmala.ttf"),
    *("Arial Unicode.ttf", "PingFang.ttc", "Hiragino Sans GB.ttc", "AppleSDGothicNeo.ttc"),
)
"""Fonts of Linux, Windows and macOS that are tried for a label that is not ASCII."""

_HAS_RAQM = bool(features.check("raqm"))
_JOINERS = frozenset("\u200c\u200d" if _HAS_RAQM else "")
_ASCII = frozenset(map(chr, range(ord(" "), ord("~") + 1)))
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
    person_id : str or int or None
        Drawn for the words of the label that no font has the letters of; without it, "person" and the place of the
        mark among the marks, from 1.
    """

    bbox: BBox
    label: str
    known: bool | None = None
    person_id: str | int | None = None


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
    image: ImageInput,
    marks: Iterable[Mark],
    *,
    longest_side: int | None = None,
    max_pixels: int | None = None,
    font: str | os.PathLike[str] | None = None,
) -> Image.Image:
    """Draw boxes and names on a copy of a picture, also of a JPEG file that is cut off.

    Parameters
    ----------
    image : ImageInput
        A path, encoded bytes, a binary file object, a Pillow image, or a uint8 array (height, width, 3) in RGB.
    marks : iterable of Mark
        Boxes in pixels of the upright original; a box that reaches over the edge is drawn along the edge.
    longest_side : int, optional
        A larger picture is reduced to this, pixels.
    max_pixels : int, optional
        A picture of more pixels is refused, or reduced if it is a JPEG file; default 50 million.
    font : path, optional
        A TrueType or OpenType font for all labels; by default Pillow's, or one of the system where that lacks a letter.

    Returns
    -------
    PIL.Image.Image
        RGB and upright; enlarged by a whole factor when its longer side is below `LEAST_SIDE`.

    Raises
    ------
    ImageError
        When the picture cannot be decoded.
    ArgumentError
        When the font cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> grey = np.full((240, 320, 3), 128, dtype=np.uint8)
    >>> annotate(grey, [Mark((80, 60, 160, 160), "Ayu 0.97", True)]).size
    (320, 240)
    """
    from . import _core  # here, so that a mark can be made without the native core

    if longest_side is not None:
        longest_side = as_int("longest_side", longest_side)
    limit = MAX_PIXELS if max_pixels is None else as_int("max_pixels", max_pixels)
    found = read_picture(image, max_pixels=limit)
    decoded = None
    if isinstance(found, (str, bytes)):
        decoded = read_jpeg(found, max_pixels=limit, strict=False, reduce=True)
    picture = Image.fromarray(_core.decode(found if decoded is None else decoded.pixels, max_pixels=limit))
    if decoded is not None:
        marks = [replace(mark, bbox=decoded.scale_box(mark.bbox)) for mark in marks]
    picture, factor = _resize(picture, longest_side)
    canvas = ImageDraw.Draw(picture)
    drawn = [(mark, _clip(mark.bbox, factor, picture.size)) for mark in marks]
    for mark, box in drawn:
        _draw_box(canvas, box, _STYLES[mark.known], _line_width(mark, box, picture.size))
    labels: list[_Label] = []
    numbered = list(enumerate(drawn, 1))
    for number, (mark, box) in sorted(numbered, key=lambda one: one[1][0].known is False):  # unknown people last
        if mark.label:
            width = _line_width(mark, box, picture.size)
            text, letters = _choose_font(mark, number, _letter_height(box, picture.size), font)
            wide, high = (extent + 4 * width for extent in _measure(text, letters))
            others = [*(label.place for label in labels), *(other for _, other in drawn if other is not box)]
            place, is_free = _place_label(wide, high, box, others, 2 * width, picture.size)
            if is_free or mark.known is not False:
                labels.append(_Label(text, place, _STYLES[mark.known], letters, width))
    for label in reversed(labels):  # after all lines, so that no line crosses a name; known people last
        _draw_label(canvas, label)
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


@dataclass(frozen=True, slots=True)
class _Label:
    text: str
    place: Box
    style: _Style
    font: _Font
    width: int


def _draw_label(canvas: ImageDraw.ImageDraw, label: _Label) -> None:
    """Draw a label on its plate."""
    left, top, gap = label.place[0], label.place[1], 2 * label.width
    canvas.rectangle(label.place, fill=label.style.plate, outline=label.style.line, width=max(1, label.width // 2))
    canvas.text((left + gap, top + gap), label.text, fill=label.style.letters, font=label.font)


def _line_width(mark: Mark, box: Box, size: tuple[int, int]) -> int:
    """Return the width of a box's line: by the face, up to a share of the picture; thin for an unknown person."""
    width = min(max(2, round(max(size) / 320)), max(1, _side(box) // 20))
    return max(1, width // 2) if mark.known is False else width


def _letter_height(box: Box, size: tuple[int, int]) -> int:
    """Return the height of letters: a quarter of the face, at least 10 pixels, up to a share of the picture."""
    return min(max(12, min(round(max(size) / 42), min(size) // 6)), max(10, _side(box) // 4))


def _side(box: Box) -> int:
    return min(box[2] - box[0], box[3] - box[1])


def _place_label(
    wide: int, high: int, box: Box, others: Sequence[Box], gap: int, size: tuple[int, int]
) -> tuple[Box, bool]:
    """Return the place of a label and whether it is free: above its box, below, or inside, the first that is free."""
    left = max(0, min(box[0], size[0] - wide))
    tops = (box[1] - gap - high, box[3] + gap, box[1] + gap, box[3] - gap - high)
    clipped = (max(0, min(top, size[1] - high)) for top in tops)
    places = [(left, top, left + wide, top + high) for top in clipped]
    free = [place for place in places if not any(_overlap(place, other) for other in others)]
    outside = [place for place in free if not _overlap(place, box)]
    inside = free if 3 * wide * high <= (box[2] - box[0]) * (box[3] - box[1]) else []  # not over most of the face
    return (outside or inside or places)[0], bool(outside or inside)


def _measure(text: str, font: _Font) -> tuple[int, int]:
    """Measure the width of a text and the height of any line, pixels."""
    return round(font.getbbox(text)[2]), round(max(font.getbbox("Ag")[3], font.getbbox(text)[3]))


def _choose_font(mark: Mark, number: int, size: int, chosen: str | os.PathLike[str] | None) -> tuple[str, _Font]:
    """Return the label of a mark on one line, and a font that has all its letters."""
    text = _one_line(mark.label)
    name = _best_font(text) if chosen is None else _check_font(chosen)
    words = [_drawable(word, name) for word in text.split()]
    if not words or "" in words:
        _warn_missing(next((_script(char) for char in text if not _letters_of(name, frozenset(char))), "such"))
        own_id = "" if mark.person_id is None else _one_line(str(mark.person_id))
        stands = [_drawable(word, name) for word in own_id.split()]
        first = words.index("") if words else 0
        words = [*words[:first], *(stands if all(stands) else []), *words[first:]]
        if not stands or not all(stands):
            words.insert(first, f"person {number}")
    line = " ".join(filter(None, words))
    if name and _letters_of(name, frozenset(line)) >= set(line):
        return line, ImageFont.truetype(name, size)
    plain = " ".join(filter(None, (_drawable(word, "") for word in line.split())))
    return plain or f"person {number}", ImageFont.load_default(size=size)


def _one_line(text: str) -> str:
    """Return a text without line breaks and control characters; joiners stay where letters are joined."""
    kept = (char for char in text if char in _JOINERS or unicodedata.category(char) != "Cf")
    return "".join(" " if char.isspace() or unicodedata.category(char) == "Cc" else char for char in kept)


def _check_font(chosen: str | os.PathLike[str]) -> str:
    try:
        name = os.fspath(chosen)
        ImageFont.truetype(name, 16)
    except (OSError, TypeError, ValueError) as error:
        raise ArgumentError(f"font must be the path of a TrueType or OpenType font, got {chosen!r}") from error
    return name


def _best_font(text: str) -> str:
    """Return the font that has most letters of a text that are not ASCII, "" for Pillow's own."""
    foreign = frozenset(char for char in text if not char.isascii())
    ascii_too = foreign | _ASCII
    having = {name: letters for name in FONTS if foreign and (letters := _letters_of(name, ascii_too)) >= _ASCII}
    best = max(having, key=lambda name: len(having[name]), default="")
    return best if best and having[best] > _ASCII else ""


def _drawable(word: str, name: str) -> str:
    """Return a word in letters that a font has, accents left out where it lacks them; "" where that is no word."""
    known = _letters_of(name, frozenset(word))
    letters = [char if char in known else _to_ascii(char) for char in word]
    return "" if None in letters else "".join(filter(None, letters))


def _to_ascii(char: str) -> str | None:
    """Return a character without accents in the letters of Pillow's own font, None where it has none."""
    plain = "".join(one for one in unicodedata.normalize("NFKD", char) if not unicodedata.combining(one))
    return plain if all(" " <= one <= "~" for one in plain) else None


def _script(char: str) -> str:
    """Return the script of a letter, by the first word of its name: "CJK", "ARABIC"."""
    return unicodedata.name(char, "such").split()[0].split("-")[0]


@lru_cache
def _warn_missing(script: str) -> None:
    """Log, once a script, that there is no font for it and what to do."""
    package = "fonts-noto-cjk" if script in ("CJK", "HIRAGANA", "KATAKANA", "HANGUL") else "fonts-noto-core"
    _log.warning(
        "no font has the %s letters of a label, so an id or a number is drawn for them; install one (Debian: "
        "apt-get install %s) or give font=",
        script,
        package,
    )


@lru_cache(maxsize=1024)
def _letters_of(name: str, letters: frozenset[str]) -> frozenset[str]:
    """Return those of the letters that a font of the system has; none where there is no such font."""
    font = _system_font(name) if name and letters else None
    if font is None:
        return frozenset()
    absent = bytes(font.getmask("\U0010ffff"))  # no letter: drawn as what stands for a missing one
    return frozenset(
        letter
        for letter in letters
        if letter in _JOINERS or (letter.isprintable() and _can_order(letter) and bytes(font.getmask(letter)) != absent)
    )


def _can_order(letter: str) -> bool:
    """Return whether a letter is drawn in its place: right-to-left scripts need Raqm, which also joins letters."""
    return _HAS_RAQM or unicodedata.bidirectional(letter) not in ("R", "AL")


@lru_cache
def _system_font(name: str) -> ImageFont.FreeTypeFont | None:
    try:
        return ImageFont.truetype(name, 16)
    except OSError:
        return None


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
