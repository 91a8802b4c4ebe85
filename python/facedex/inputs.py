"""What the verbs accept as a picture, and how one picture is distinguished from several.

The core (`facedex._core`) decodes all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

from .errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

ImageInput: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image | NDArray[np.uint8]"
"""A path, encoded bytes, a binary file object, a Pillow image, or a uint8 array (height, width, 3) in RGB."""


def is_single(images: object) -> bool:
    """Return whether this is a single picture, and not a collection of pictures.

    Parameters
    ----------
    images : object
        One `ImageInput`, or an iterable of them.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_single("party.jpg"), is_single(["a.jpg", "b.jpg"])
    (True, False)
    """
    if isinstance(images, (str, bytes, bytearray, memoryview, os.PathLike)):
        return True
    if hasattr(images, "read") or hasattr(images, "__array_interface__"):
        return True
    return not isinstance(images, Iterable)


def list_images(images: ImageInput | Iterable[ImageInput]) -> list[ImageInput]:
    """Return one picture or several as a list.

    Parameters
    ----------
    images : ImageInput or iterable of ImageInput

    Returns
    -------
    list of ImageInput
    """
    given: Any = images
    return [given] if is_single(given) else list(given)


def read_stream(image: ImageInput) -> ImageInput:
    """Read a file object, so that a result can show its picture later; return anything else unchanged.

    Parameters
    ----------
    image : ImageInput

    Returns
    -------
    ImageInput

    Raises
    ------
    ArgumentError
        When the file object is not binary.
    """
    if not hasattr(image, "read"):
        return image
    data = image.read()
    if not isinstance(data, bytes):
        raise ArgumentError(f"image must be a binary file object, got one whose read gives {type(data).__name__}")
    return data


def describe(image: object) -> str:
    """Return a short text that identifies a picture in a message, never its content.

    Parameters
    ----------
    image : ImageInput

    Returns
    -------
    str

    Examples
    --------
    >>> describe("photos/ayu/1.jpg"), describe(b"123")
    ('photos/ayu/1.jpg', '3 bytes')
    """
    if isinstance(image, (str, os.PathLike)):
        return os.fspath(image)
    if isinstance(image, (bytes, bytearray, memoryview)):
        return f"{len(image)} bytes"
    name = getattr(image, "name", None)
    if isinstance(name, str) and name:
        return name
    shape = getattr(image, "shape", None)
    if isinstance(shape, tuple):
        return f"array {shape}"
    return type(image).__name__
