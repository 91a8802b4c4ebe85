"""The pictures of the detection benchmark: photos of one person each, and their treatments.

A photo is an RGB picture that knows where its subject's face is; a treatment makes another photo of it and moves the
face along. Everything is computed from the pixels, without chance, so that two runs see the same pictures.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Transform = Callable[["Photo"], "Photo"]

BACKGROUND = (128, 128, 128)
"""What a grown canvas is filled with."""

CLOTH = (170, 200, 215)
"""The color of a mask."""

ANGLES = (15, 30, 45, 60, 75, 90, 105, 120, 135, 150, 165, 180, 210, 225, 240, 270, 300, 315, 330)
"""Degrees counterclockwise by which photos are turned about their middle."""

EMBEDDED_ANGLES = (45, 90, 135, 180, 270)
"""Of these, the angles at which the embedding is compared with that of the upright photo."""

FILLINGS = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
"""Height and width of the face in a tight close-up, as shares of the frame's."""

FRAMES = (200, 640)
"""Heights of tight close-ups, pixels."""


@dataclass(frozen=True)
class FaceArea:
    """Where a face is: the middle of its box and the box's size when the head is upright, pixels."""

    x: float
    y: float
    width: float
    height: float

    @classmethod
    def of_box(cls, x1: float, y1: float, x2: float, y2: float) -> FaceArea:
        return cls((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)

    @property
    def side(self) -> float:
        """Side of the square with the box's area."""
        return math.sqrt(self.width * self.height)

    @property
    def box(self) -> tuple[float, float, float, float]:
        half = self.width / 2, self.height / 2
        return self.x - half[0], self.y - half[1], self.x + half[0], self.y + half[1]

    def shifted(self, x: float, y: float) -> FaceArea:
        return replace(self, x=self.x + x, y=self.y + y)

    def scaled(self, across: float, down: float) -> FaceArea:
        return FaceArea(self.x * across, self.y * down, self.width * across, self.height * down)


@dataclass(frozen=True)
class Photo:
    """A photo of one person."""

    image: Image.Image
    face: FaceArea

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """(height, width, 3), uint8, RGB."""
        return np.asarray(self.image)


@dataclass(frozen=True)
class Treatment:
    """What is done to a photo and the row of the table to which it counts.

    Where `embedded`, the face is compared with that of the upright photo; `degrees` is how far it is turned.
    """

    row: str
    name: str
    apply: Transform
    embedded: bool = False
    degrees: float = 0


UPRIGHT = Treatment("upright", "", lambda photo: photo, embedded=True)
"""The photo as it is, with which turned ones are compared."""


def resized(photo: Photo, width: int, height: int) -> Photo:
    image = photo.image.resize((width, height), Image.Resampling.BICUBIC)
    return Photo(image, photo.face.scaled(width / photo.image.width, height / photo.image.height))


def scaled(photo: Photo, factor: float) -> Photo:
    return resized(photo, round(photo.image.width * factor), round(photo.image.height * factor))


def cropped(photo: Photo, left: float, top: float, width: float, height: float) -> Photo:
    """Cut a part out; what lies outside the picture is background."""
    edges = [round(edge) for edge in (left, top, left + width, top + height)]
    cut = Image.new("RGB", (edges[2] - edges[0], edges[3] - edges[1]), BACKGROUND)
    cut.paste(photo.image, (-edges[0], -edges[1]))
    return Photo(cut, photo.face.shifted(-edges[0], -edges[1]))


def close_up(photo: Photo, filling: float, height: int) -> Photo:
    """Cut the face out so that its box has this share of the frame in both directions, and scale the frame."""
    face = photo.face
    frame = face.width / filling, face.height / filling
    cut = cropped(photo, face.x - frame[0] / 2, face.y - frame[1] / 2, *frame)
    return resized(cut, round(height * frame[0] / frame[1]), height)


def portrait(photo: Photo) -> Photo:
    """An everyday portrait, 1536 × 1152: the whole width of the photo, as high as 4:3 has it."""
    height = photo.image.width * 3 / 4
    return resized(cropped(photo, 0, photo.face.y - height / 2, photo.image.width, height), 1536, 1152)


def turned(photo: Photo, degrees: float) -> Photo:
    """Turn counterclockwise about the middle on a canvas that holds all of the photo."""
    image = photo.image.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=BACKGROUND)
    return Photo(image, _turned(photo, degrees, image))


def quarter_turned(photo: Photo, degrees: int) -> Photo:
    """Turn counterclockwise by whole quarters: the same pixels in another order."""
    transpose = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}
    image = photo.image.transpose(transpose[degrees])
    return Photo(image, _turned(photo, degrees, image))


def _turned(photo: Photo, degrees: float, image: Image.Image) -> FaceArea:
    radians = math.radians(degrees)
    right, down = photo.face.x - photo.image.width / 2, photo.face.y - photo.image.height / 2
    x = image.width / 2 + right * math.cos(radians) + down * math.sin(radians)
    y = image.height / 2 - right * math.sin(radians) + down * math.cos(radians)
    return replace(photo.face, x=x, y=y)


def lit(photo: Photo, factor: float) -> Photo:
    return replace(photo, image=photo.image.point([min(255, round(level * factor)) for level in range(256)] * 3))


def masked(photo: Photo) -> Photo:
    """Cover the lower half of the face."""
    image = photo.image.copy()
    left, _, right, bottom = photo.face.box
    ImageDraw.Draw(image).rectangle((left, photo.face.y, right, bottom), fill=CLOTH)
    return replace(photo, image=image)


def blurred(photo: Photo, radius: float) -> Photo:
    return replace(photo, image=photo.image.filter(ImageFilter.GaussianBlur(radius)))


def compressed(photo: Photo, quality: int) -> Photo:
    file = io.BytesIO()
    photo.image.save(file, "JPEG", quality=quality)
    return replace(photo, image=Image.open(file).convert("RGB"))


def grey(photo: Photo) -> Photo:
    return replace(photo, image=photo.image.convert("L").convert("RGB"))


def on_canvas(photo: Photo, width: int, height: int) -> Photo:
    """Lay the photo on a background, nearer to the right lower corner."""
    image = Image.new("RGB", (width, height), BACKGROUND)
    corner = (width - photo.image.width) * 3 // 4, (height - photo.image.height) * 3 // 4
    image.paste(photo.image, corner)
    return Photo(image, photo.face.shifted(*corner))


def scales(count: int) -> list[float]:
    """Factors from 0.25 to 6, each the same multiple of the one before."""
    return [0.25 * 24 ** (number / (count - 1)) for number in range(count)]


def treatments(scale_count: int) -> tuple[Treatment, ...]:
    """The treatments of the photos of the subset, in the order of the table."""
    by_scale = [Treatment("scale", f"× {factor:.3g}", partial(scaled, factor=factor)) for factor in scales(scale_count)]
    close_ups = [
        Treatment("close-up", f"{filling:.0%} of {height}", partial(close_up, filling=filling, height=height))
        for filling in FILLINGS
        for height in FRAMES
    ]
    angles = [
        Treatment("turned", f"{angle}°", partial(turned, degrees=angle), angle in EMBEDDED_ANGLES, angle)
        for angle in ANGLES
    ]
    quarters = [
        Treatment("quarter turns", f"{angle}°", partial(quarter_turned, degrees=angle)) for angle in (90, 180, 270)
    ]
    return (
        *by_scale,
        *close_ups,
        *angles,
        *quarters,
        Treatment("light × 0.1", "", partial(lit, factor=0.1)),
        Treatment("light × 2", "", partial(lit, factor=2)),
        Treatment("masked", "", masked),
        Treatment("blur", "2 px", partial(blurred, radius=2)),
        Treatment("blur", "4 px", partial(blurred, radius=4)),
        Treatment("JPEG", "quality 10", partial(compressed, quality=10)),
        Treatment("grey", "", grey),
        Treatment("canvas", "640 × 480", partial(on_canvas, width=640, height=480)),
        Treatment("canvas", "1600 × 1200", partial(on_canvas, width=1600, height=1200)),
    )
