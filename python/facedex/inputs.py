"""What a picture may be given as, and how one picture is told from several.

The core decodes every kind (`facedex._core`); here are only the type and what is asked and done before that.
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


def is_one(images: object) -> bool:
    """Tell whether this is one picture, and not a collection of pictures.

    Parameters
    ----------
    images : object
        One `ImageInput`, or an iterable of them.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_one("party.jpg"), is_one(["a.jpg", "b.jpg"])
    (True, False)
    """
    if isinstance(images, (str, bytes, bytearray, memoryview, os.PathLike)):
        return True
    if hasattr(images, "read") or hasattr(images, "__array_interface__"):
        return True
    return not isinstance(images, Iterable)


def listed(images: ImageInput | Iterable[ImageInput]) -> list[ImageInput]:
    """Return the pictures as a list, one or several.

    Parameters
    ----------
    images : ImageInput or iterable of ImageInput

    Returns
    -------
    list of ImageInput
    """
    given: Any = images
    return [given] if is_one(given) else list(given)


def replayable(image: ImageInput) -> ImageInput:
    """Read a file object, so that a result can show its picture again; anything else is returned as it is.

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


def described(image: object) -> str:
    """Describe a picture in a short text that tells a reader which picture is meant, never its content.

    Parameters
    ----------
    image : ImageInput

    Returns
    -------
    str

    Examples
    --------
    >>> described("photos/ayu/1.jpg"), described(b"123")
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
