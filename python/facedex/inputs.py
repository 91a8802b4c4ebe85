"""What the verbs accept as a picture, and how one picture is distinguished from several.

`read_picture` is the one entry. It turns what a caller gives into what the core (`facedex._core`) decodes, a path,
encoded bytes or RGB pixels. AVIF, HEIC, JPEG 2000 and JPEG XL, which the core does not decode, are decoded here by
Pillow, within the same limit of pixels; on request also a JPEG file that is cut off or over the limit. Whatever goes
wrong while a picture is read is a `FacedexError` with its cause, so that one bad picture of a batch does not cost the
others. Addresses are never fetched.
"""

from __future__ import annotations

import base64
import io
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias
from urllib.parse import unquote_to_bytes

from .errors import (
    ArgumentError,
    BBox,
    DamagedImageError,
    FacedexError,
    ImageArrayError,
    ImageError,
    ImageReadError,
    ImageTooLargeError,
    NotAnImageError,
    TruncatedImageError,
    UnsupportedImageError,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

ImageInput: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image | NDArray[np.uint8]"
"""A path, a data URI, encoded bytes, a binary file object, a Pillow image, or a uint8 array: RGB (height, width, 3),
RGBA (height, width, 4) or grey (height, width). OpenCV's arrays have blue first: give ``image[..., ::-1]``."""

_ACCEPTED = "a path, bytes, a binary file object, a PIL image or a uint8 array of shape (height, width, 3)"
_ADDRESS = re.compile(r"(?:https?|ftps?|s3|gs|file):/", re.IGNORECASE)
_SLASHES = re.compile(r":/+")
_DATA_URI = re.compile(r"data:[^,]{0,200},", re.IGNORECASE)
_SHOWN = 100  # characters of a path, or of another error's message
_END_OF_JPEG = b"\xff\xd9"
_TINY = 48  # pixels of the shorter side
_SURVEYED = (512, 512)  # pixels of the copy in which a hint is looked for
_DARK, _BRIGHT = 16, 225  # grey level of all but the 5 % brightest or darkest pixels
_SHARP = 4  # grey levels of the Laplacian at the sharpest 1 % of the pixels
_HEAD = 64  # bytes of a file that identify its format
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_PACKAGES = {"HEIC": "'facedex[heif]'", "JPEG XL": "pillow-jxl-plugin"}
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}  # width to height, JPEG XL
_BYTES_PER_PIXEL, _BYTES_OF_METADATA = 8, 64 << 20  # limits of a file, as in the core
_LONGEST_PATH = 4096  # bytes, of Linux; other systems allow fewer
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # EXIF: the values that exchange width and height
_LARGEST_JPEG = 65_535**2  # pixels: its sides are numbers of 16 bits
_REDUCTIONS = (2, 4, 8)  # sides of a JPEG file that libjpeg decodes at a half, a quarter or an eighth

MOST_REDUCED = _REDUCTIONS[-1] ** 2
"""How many times the limit of pixels a JPEG file may have to be decoded within it."""


@dataclass(frozen=True, slots=True)
class ReadPicture:
    """A picture in a form that the core decodes.

    Attributes
    ----------
    pixels : str, bytes or numpy.ndarray
        A path, an encoded file, or pixels: uint8, (height, width, 3), RGB.
    source : str, bytes or numpy.ndarray
        The same, or the file from which Pillow decoded the pixels.
    hint : str or None
        That the end of the file is missing, or that it was reduced.
    size : tuple of int or None
        Width and height of the upright original where the pixels are fewer; None where they are the original's.
    """

    pixels: str | bytes | NDArray[np.uint8]
    source: str | bytes | NDArray[np.uint8]
    hint: str | None = None
    size: tuple[int, int] | None = None

    @property
    def factors(self) -> tuple[float, float]:
        """Width and height of the original, as multiples of those of the pixels; each from 1."""
        if self.size is None or isinstance(self.pixels, (str, bytes)):
            return 1.0, 1.0
        height, width = self.pixels.shape[:2]
        return self.size[0] / width, self.size[1] / height

    def scale_box(self, bbox: BBox) -> BBox:
        """Return a box of the original in the coordinates of the pixels."""
        x, y = self.factors
        return bbox[0] / x, bbox[1] / y, bbox[2] / x, bbox[3] / y


def is_single(images: object) -> bool:
    """Return whether this is a single picture, and not a collection of pictures.

    A collection is an array (n, height, width, channels), an array or column of paths or objects, or anything else that
    can be iterated or indexed.

    Parameters
    ----------
    images : object
        One `ImageInput`, or a collection of them.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_single("party.jpg"), is_single(["a.jpg", "b.jpg"])
    (True, False)
    """
    if isinstance(images, (str, bytes, bytearray, memoryview, os.PathLike, Mapping)):
        return True
    if hasattr(images, "read") or _is_pil_image(images):
        return True
    shape = getattr(images, "shape", None)
    if hasattr(images, "__array__") and isinstance(shape, tuple):
        if len(shape) == 1:
            kind = getattr(getattr(images, "dtype", None), "kind", "O")
            return shape != (0,) and kind in "biufc"  # numbers are refused as one picture, not one by one
        return len(shape) < 4
    return not isinstance(images, Iterable) and not _is_indexed(images)


def list_images(images: ImageInput | Iterable[ImageInput]) -> list[Any]:
    """Return one picture or several as a list.

    Parameters
    ----------
    images : ImageInput or collection of ImageInput

    Returns
    -------
    list of ImageInput or ImageReadError
        The error of an item that the collection could not give; `read_picture` raises it.
    """
    return [images] if is_single(images) else list(iterate_images(images))


def iterate_images(images: Any) -> Iterator[Any]:
    """Iterate over a collection of pictures.

    Parameters
    ----------
    images : collection of ImageInput

    Returns
    -------
    iterator of ImageInput or ImageReadError
        As in `list_images`.

    Raises
    ------
    ArgumentError
        When it is a single picture.
    """
    if is_single(images):
        raise ArgumentError(f"images must be several pictures, got one {type(images).__name__}")
    return _items(images) if not isinstance(images, Iterable) else iter(images)


def read_picture(image: ImageInput | FacedexError, *, max_pixels: int) -> str | bytes | NDArray[np.uint8]:
    """Read a picture into a form that the core decodes.

    Parameters
    ----------
    image : ImageInput
        Or the error that `list_images` returned in the place of a picture, which is raised.
    max_pixels : int
        A larger picture that is decoded here is refused; the core checks all others.

    Returns
    -------
    str, bytes or numpy.ndarray
        A path, an encoded file, or pixels: uint8, (height, width, 3), RGB.

    Raises
    ------
    ArgumentError
        When it is nothing that can be a picture.
    ImageReadError
        When it cannot be read; the cause is chained.
    ImageArrayError
        When an array has the wrong type or shape.
    UnsupportedImageError
        When the format needs a package that is not installed.
    """
    if isinstance(image, FacedexError):
        raise image
    try:
        return _read(image, max_pixels)
    except (FacedexError, MemoryError):
        raise
    except Exception as error:
        raise ImageReadError(f"cannot read {describe(image)}: {_reason(error)}") from error


def probe(data: bytes, *, max_pixels: int) -> tuple[int, int]:
    """Read the size in the header of an encoded picture, without decoding it.

    Parameters
    ----------
    data : bytes
    max_pixels : int
        A larger picture is refused.

    Returns
    -------
    tuple of int
        Width and height, pixels, before the EXIF orientation is applied.

    Raises
    ------
    ImageError
    """
    family = _family_of(data)
    if family is None:
        from . import _core  # here, so that a picture can be described without the native core

        return _core.probe(data, max_pixels=max_pixels)
    with _open_by_pillow(data, family, max_pixels) as picture:
        return picture.size


def is_jpeg(data: bytes) -> bool:
    """Return whether an encoded picture starts as a JPEG file does."""
    return data.startswith(b"\xff\xd8")


def read_jpeg(picture: str | bytes, *, max_pixels: int, strict: bool, reduce: bool) -> ReadPicture | None:
    """Decode a JPEG file that the core refuses: one whose end is cut off, or one that is over the limit of pixels.

    Parameters
    ----------
    picture : str or bytes
        As `read_picture` returns it.
    max_pixels : int
    strict : bool
        False decodes what a cut file holds; the rest becomes grey.
    reduce : bool
        Whether to decode a file over the limit at a half, a quarter or an eighth of its sides, never in full. A
        progressive file is refused, because its decoder would hold all of it, and so is a cut one.

    Returns
    -------
    ReadPicture or None
        None for any other file; the core decodes it or says what is wrong with it.

    Raises
    ------
    ImageError
        When a file over the limit cannot be reduced.
    """
    from . import _core  # here, so that a picture can be described without the native core

    within = _LARGEST_JPEG if reduce else max_pixels
    try:
        data = _core.load(picture, max_pixels=max_pixels) if isinstance(picture, str) else picture
        if not is_jpeg(data):
            return None
        width, height = _core.probe(data, max_pixels=within)
    except ImageError:
        return None
    if width * height > max_pixels:
        return _reduce_jpeg(data, picture, max_pixels)
    return None if strict or not _is_cut(data, max_pixels) else _mend_jpeg(data, picture)


def _is_cut(data: bytes, max_pixels: int) -> bool:
    """Return whether a JPEG file ends before its last marker."""
    from . import _core

    if data.rstrip(b"\0").endswith(_END_OF_JPEG):
        return False
    try:
        _core.without_metadata(data, max_pixels=max_pixels)
    except TruncatedImageError:
        return True
    except ImageError:
        pass
    return False


def _mend_jpeg(data: bytes, source: str | bytes) -> ReadPicture | None:
    from PIL.JpegImagePlugin import JpegImageFile

    try:
        with JpegImageFile(io.BytesIO(data + _END_OF_JPEG)) as opened:
            hint = "the file is cut off; what it holds was decoded, and the rest is grey"
            return ReadPicture(_pixels_of(opened), source, hint)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - the core says what is wrong with the file
        return None


def _reduce_jpeg(data: bytes, source: str | bytes, max_pixels: int) -> ReadPicture:
    from PIL.JpegImagePlugin import JpegImageFile

    try:
        with JpegImageFile(io.BytesIO(data)) as opened:
            width, height = opened.size
            excess = (
                f"image of {width} x {height} = {width * height} pixels is over the limit of {max_pixels} pixels; "
                "FACEDEX_MAX_PIXELS or max_pixels raises it"
            )
            if opened.info.get("progressive") or _has_scans(data):
                raise ImageTooLargeError(f"{excess}; a progressive JPEG file cannot be reduced while it is decoded")
            for times in _REDUCTIONS:
                if -(-width // times) * -(-height // times) <= max_pixels:
                    break
            else:
                raise ImageTooLargeError(f"{excess}; it is over the limit at an eighth of its sides too")
            opened.draft(None, (max(1, width // times), max(1, height // times)))
            turned = opened.getexif().get(_ORIENTATION) in _TURNED
            pixels = _pixels_of(opened)
    except (FacedexError, MemoryError):
        raise
    except Exception as error:
        if "truncated" in str(error):
            raise TruncatedImageError(f"truncated JPEG image: {_reason(error)}") from error
        raise DamagedImageError(f"damaged JPEG image: {_reason(error)}") from error
    size = (height, width) if turned else (width, height)
    return ReadPicture(
        pixels, source, f"the picture of {size[0]} x {size[1]} pixels was decoded at 1/{times} of its sides", size
    )


def _has_scans(data: bytes) -> bool:
    """Return whether the first scan of a JPEG file lacks a component, so that its decoder would hold all scans."""
    position, components = 2, 0
    while position + 9 < len(data) and data[position] == 0xFF:
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker in (0xC0, 0xC1):
            components = data[position + 9]
        if marker == 0xDA:
            return data[position + 4] < components
        position += 2 + length
    return True


def find_hint(picture: str | bytes | NDArray[np.uint8], *, width: int, height: int) -> str | None:
    """Return why no face may have been found in a picture; None when nothing about it is unusual.

    The limits are those at which the bundled people are no longer found when their pictures are darkened, brightened,
    blurred or reduced.

    Parameters
    ----------
    picture : str, bytes or numpy.ndarray
        As `read_picture` returns it.
    width, height : int
        Its size, pixels.
    """
    if min(width, height) < _TINY:
        return f"the picture is tiny ({width} x {height} pixels); a face needs about {_TINY} pixels"
    import numpy as np
    from PIL import Image

    try:
        if isinstance(picture, np.ndarray):
            image = Image.fromarray(picture)
        else:
            image = Image.open(picture if isinstance(picture, str) else io.BytesIO(picture))
        with image:
            image.draft("L", _SURVEYED)  # JPEG: decodes no more than is needed
            grey = image.convert("L")
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - the core has decoded it; that Pillow cannot costs no more than the hint
        return None
    grey.thumbnail(_SURVEYED, Image.Resampling.BOX)
    values = np.asarray(grey, np.float32)
    if np.percentile(values, 95) < _DARK:
        return "the picture is very dark; use more light or a longer exposure"
    if np.percentile(values, 5) > _BRIGHT:
        return "the picture is very bright; use less light or a shorter exposure"
    edges = 4 * values[1:-1, 1:-1] - values[:-2, 1:-1] - values[2:, 1:-1] - values[1:-1, :-2] - values[1:-1, 2:]
    if edges.size and np.percentile(np.abs(edges), 99) < _SHARP:
        return "the picture is blurred or shows nothing; focus the camera or hold it still"
    return None


def path_of(image: object) -> str | None:
    """Return the path of a picture; None when it is given otherwise, or the path cannot be computed.

    Examples
    --------
    >>> path_of("photos/ayu/1.jpg"), path_of("data:image/png;base64,AAEC"), path_of(b"123")
    ('photos/ayu/1.jpg', None, None)
    """
    if isinstance(image, str):
        return None if _DATA_URI.match(image) else image
    try:
        return os.fsdecode(image) if isinstance(image, os.PathLike) else None
    except Exception:  # noqa: BLE001 - of a foreign class; `read_picture` raises it as an error of the picture
        return None


def keep_source(image: ImageInput, read: str | bytes | NDArray[np.uint8]) -> ImageInput:
    """Return what a result keeps of its picture to show it later: the bytes of a stream, else the picture as given."""
    return read if hasattr(image, "read") else image


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
    >>> describe("photos/ayu/1.jpg"), describe(b"123"), describe("data:image/png;base64,AAEC")
    ('photos/ayu/1.jpg', 'a picture of 3 bytes', 'a data URI of 26 characters')
    """
    if isinstance(image, str):
        return f"a data URI of {len(image)} characters" if _DATA_URI.match(image) else _shorten_path(image)
    if isinstance(image, (bytes, bytearray, memoryview)):
        return f"a picture of {len(image)} bytes"
    try:
        if isinstance(image, os.PathLike):
            return _shorten_path(os.fsdecode(image))
        name = getattr(image, "name", None)
        if isinstance(name, str) and name:
            return _shorten_path(name)
        shape = getattr(image, "shape", None)
    except Exception:  # noqa: BLE001 - a property or __fspath__ of a foreign class
        shape = None
    if isinstance(shape, tuple):
        return f"array {shape}"[:_SHOWN]
    return type(image).__name__[:_SHOWN]


def _read(image: Any, max_pixels: int) -> str | bytes | NDArray[np.uint8]:
    if isinstance(image, str):
        if _DATA_URI.match(image):
            return _decode_bytes(_decode_data_uri(image), max_pixels)
        return _check_path(image, max_pixels)
    if isinstance(image, os.PathLike):
        return _check_path(os.fsdecode(image), max_pixels)
    if isinstance(image, (bytes, bytearray, memoryview)):
        return _decode_bytes(bytes(image), max_pixels)
    if _is_pil_image(image):
        return _pixels_of(image)
    if hasattr(image, "read"):
        return _decode_bytes(_read_stream(image), max_pixels)
    if hasattr(image, "__array__"):
        return _check_array(image)
    raise ArgumentError(f"image must be {_ACCEPTED}, got {_describe_type(image)}")


def _check_path(path: str, max_pixels: int) -> str | NDArray[np.uint8]:
    """Return a path of a file that exists, or its pixels; raise what is wrong with another text in few words."""
    if _ADDRESS.match(path):
        address = _SLASHES.sub("://", path, count=1)  # a path type has joined the slashes
        raise ImageReadError(f"cannot read {_shorten_path(address)!r}: an address is not fetched; give {_ACCEPTED}")
    if "\0" in path or len(path) > _LONGEST_PATH:
        raise ImageReadError(
            f"image must be {_ACCEPTED}, got a text of {len(path)} characters that is no path; decode base64 first"
        )
    try:
        mode = Path(path).stat().st_mode
    except OSError as error:
        raise ImageReadError(f"cannot read image {_shorten_path(path)!r}: {error.strerror or error}") from error
    if stat.S_ISDIR(mode):
        raise ImageReadError(f"cannot read image {_shorten_path(path)!r}: it is a folder; give its pictures")
    if not stat.S_ISREG(mode):
        return path  # a pipe gives its bytes only once
    try:
        with Path(path).open("rb") as file:
            head = file.read(_HEAD)
            if _family_of(head) is None and not _may_have_16_bits(head):
                return path
            most = max_pixels * _BYTES_PER_PIXEL + _BYTES_OF_METADATA
            data = head + file.read(most)
    except OSError as error:
        raise ImageReadError(f"cannot read image {_shorten_path(path)!r}: {error.strerror or error}") from error
    if len(data) > most:
        raise ImageReadError(f"cannot read image {_shorten_path(path)!r}: the file is larger than {most} bytes")
    pixels = _decode_bytes(data, max_pixels)
    return path if isinstance(pixels, bytes) else pixels


def _family_of(data: bytes) -> str | None:
    """Return the name of the format of an encoded picture that Pillow decodes; None for all others.

    The signatures are those of ISO/IEC 23008-12 (HEIF), the AVIF specification, ISO/IEC 15444-1 (JPEG 2000)
    and ISO/IEC 18181-2 (JPEG XL).
    """
    if data[4:8] == b"ftyp":
        brands = {data[8:12]} | {data[at : at + 4] for at in range(16, min(int.from_bytes(data[:4], "big"), _HEAD), 4)}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        return "HEIC" if brands & _HEIC_BRANDS else None
    if data.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        return "JPEG XL"
    return "JPEG 2000" if data.startswith((b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")) else None


def _decode_bytes(data: bytes, max_pixels: int) -> bytes | NDArray[np.uint8]:
    """Return the pixels of a file that Pillow decodes, and other files unchanged."""
    family = _family_of(data)
    if family is None:
        grey = _read_16_bits(data, max_pixels) if _may_have_16_bits(data) else None
        return data if grey is None else grey
    with _open_by_pillow(data, family, max_pixels) as picture:
        try:
            return _pixels_of(picture)
        except (FacedexError, MemoryError):
            raise
        except Exception as error:
            raise DamagedImageError(f"damaged {family} image: {_reason(error)}") from error


def _may_have_16_bits(head: bytes) -> bool:
    """Return whether a file may be a grey picture of 16 bits, which the core would only shorten: PNG or TIFF."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return head[24:26] == b"\x10\0"  # bit depth and colour type
    return head.startswith((b"II*\0", b"MM\0*"))


def _read_16_bits(data: bytes, max_pixels: int) -> NDArray[np.uint8] | None:
    """Return the pixels of a grey picture of 16 bits; None for any other, and for what the core is to refuse."""
    from PIL.PngImagePlugin import PngImageFile
    from PIL.TiffImagePlugin import TiffImageFile

    from . import _core  # here, so that a picture can be described without the native core

    kind = PngImageFile if data.startswith(b"\x89PNG") else TiffImageFile
    try:
        with kind(io.BytesIO(data)) as picture:
            if not picture.mode.startswith("I"):
                return None
            _core.decode(data, max_pixels=max_pixels)  # refuses what is damaged or too large, as Pillow does not
            return _pixels_of(picture)
    except (FacedexError, MemoryError):
        raise
    except Exception:  # noqa: BLE001 - the core says what is wrong with the file
        return None


def _open_by_pillow(data: bytes, family: str, max_pixels: int) -> Image:
    """Read the header of a picture with the class of its format, which registers nothing in Pillow."""
    stream = io.BytesIO(data)
    opened: Image
    if family == "JPEG XL":  # its plugin decodes the picture when it is opened
        _check_pixels(_size_of_jpeg_xl(data), max_pixels)
    try:
        if family == "HEIC":
            import pillow_heif

            kind: Any = pillow_heif.HeifImageFile  # without types
            opened = kind(stream)
        elif family == "AVIF":
            from PIL.AvifImagePlugin import AvifImageFile

            opened = AvifImageFile(stream)
        elif family == "JPEG XL":
            from pillow_jxl.JpegXLImagePlugin import JXLImageFile

            opened = JXLImageFile(stream)
        else:
            from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

            opened = Jpeg2KImageFile(stream)
    except ImportError as error:
        remedy = _PACKAGES.get(family, "'pillow>=11.3'")
        raise UnsupportedImageError(
            f"unsupported {family} image: a package is missing: pip install {remedy}"
        ) from error
    except MemoryError:
        raise
    except Exception as error:
        raise DamagedImageError(f"damaged {family} image: {_reason(error)}") from error
    _check_pixels(opened.size, max_pixels)
    return opened


def _check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise ImageTooLargeError(
            f"image of {width} x {height} = {width * height} pixels is over the limit of {max_pixels} pixels"
        )


def _size_of_jpeg_xl(data: bytes) -> tuple[int, int]:
    """Read the size in the header of a JPEG XL file: ISO/IEC 18181-1, SizeHeader; in a container, 18181-2, boxes."""
    start = 0
    while data[start : start + 2] != b"\xff\x0a":
        length, kind = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8]
        head = 16 if length == 1 else 8
        if length == 1:
            length = int.from_bytes(data[start + 8 : start + 16], "big")
        if kind in (b"jxlc", b"jxlp"):
            start += head + (4 if kind == b"jxlp" else 0)  # a part begins with its number
            if data[start : start + 2] == b"\xff\x0a":
                break
            length = 0
        if length < head:
            raise DamagedImageError("damaged JPEG XL image: it has no header of a picture")
        start += length
    bits, at = int.from_bytes(data[start + 2 : start + 18].ljust(16, b"\0"), "little"), 0

    def read(count: int) -> int:
        nonlocal at
        value = bits >> at & ((1 << count) - 1)
        at += count
        return value

    def side(small: int) -> int:
        return 8 * (read(5) + 1) if small else 1 + read((9, 13, 18, 30)[read(2)])

    small = read(1)
    height = side(small)
    ratio = read(3)
    width = side(small) if ratio == 0 else height * _RATIOS[ratio][0] // _RATIOS[ratio][1]
    return width, height


def _decode_data_uri(text: str) -> bytes:
    head, _, body = text.partition(",")
    if not head.lower().endswith(";base64"):
        return unquote_to_bytes(body)
    try:
        return base64.b64decode("".join(unquote_to_bytes(body).decode("ascii").split()), validate=True)
    except ValueError as error:
        raise NotAnImageError(f"not an image: the data URI of {len(text)} characters is not valid base64") from error


def _read_stream(stream: Any) -> bytes:
    data = stream.read()
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise ImageReadError(
        f"cannot read {describe(stream)}: image must be a binary file object, got one whose read gives "
        f"{type(data).__name__}; open files with mode 'rb'"
    )


def _check_array(image: Any) -> NDArray[np.uint8]:
    """Return RGB pixels of an array, or of what converts to one, such as a tensor."""
    import numpy as np

    for step in ("detach", "cpu"):  # a tensor of PyTorch with a gradient, or on a GPU
        if callable(getattr(image, step, None)):
            image = getattr(image, step)()
    array = np.asarray(image)
    if array.dtype.kind == "u" and array.dtype.itemsize == 2 and array.ndim in (2, 3):
        array = _reduce_to_8_bits(array)
    grey = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1)
    if array.dtype != np.uint8 or not (grey or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise ImageArrayError(
            f"image must be uint8 of shape (height, width, 3), got {array.dtype} {array.shape}{_advice(array)}"
        )
    if array.size and (grey or array.shape[2] == 4):
        from PIL import Image

        return _pixels_of(Image.fromarray(array[..., 0] if grey and array.ndim == 3 else array))
    return array


def _reduce_to_8_bits(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return an array of 16 bits as 8 bits; alpha, whose range is fixed, is not stretched."""
    import numpy as np

    if array.ndim == 2 or array.shape[2] != 4:
        return _stretch(array)
    alpha = (array[..., 3:] >> 8).astype(np.uint8)
    return np.concatenate([_stretch(array[..., :3]), alpha], axis=2)


def _stretch(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return values of 16 bits as 8 bits, stretched by their own range, as sensors of 12 bits leave the top empty."""
    import numpy as np

    if not values.size:
        return values.astype(np.uint8)
    low, high = int(values.min()), int(values.max())
    scaled = (values.astype(np.float32) - low) * (255 / max(1, high - low))
    return scaled.round().astype(np.uint8)


def _advice(array: NDArray[Any]) -> str:
    """Return how to make a picture from an array that is none."""
    if array.dtype.kind == "f" and array.ndim in (2, 3):
        return "; make values from 0 to 1 uint8 with (image * 255).round().astype('uint8')"
    if array.dtype.kind in "OUST" or array.ndim == 4:
        return "; for several pictures use a verb that accepts several"
    if array.ndim == 3 and array.shape[0] in (1, 3, 4):
        return "; move the channels to the end with image.transpose(1, 2, 0)"
    if array.ndim == 1:
        return "; give an encoded file as bytes: image.tobytes()"
    return "; grey (height, width) and RGBA (height, width, 4) are accepted too"


def _is_pil_image(value: object) -> bool:
    """Return whether a value is a Pillow image, without importing Pillow: if it is not loaded, nothing is one."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(value, module.Image)


def _pixels_of(image: Image) -> NDArray[np.uint8]:
    """Return upright RGB pixels of a Pillow image; transparent ones are blended with white, as in files."""
    import numpy as np
    from PIL import Image, ImageOps

    mode = image.mode
    if mode == "F":
        raise ArgumentError(
            f"image must be {_ACCEPTED}, got a PIL image of mode {mode!r}, whose value range is unknown; convert it to "
            "'RGB'"
        )
    upright = ImageOps.exif_transpose(image)
    if mode.startswith("I"):
        return np.repeat(_stretch(np.asarray(upright))[..., None], 3, axis=2)
    if mode == "La":
        upright = upright.convert("LA")  # Pillow converts it to nothing else
    if mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in upright.info:
        layer = upright.convert("RGBA")
        upright = Image.new("RGBA", layer.size, "white")
        upright.alpha_composite(layer)
    return np.asarray(upright.convert("RGB"))


def _is_indexed(value: object) -> bool:
    """Return whether a value is a collection that is read by index, such as a data set of PyTorch."""
    return hasattr(value, "__getitem__") and hasattr(value, "__len__")


def _items(images: Any) -> Iterator[Any]:
    """Iterate by index; the error of one item takes its place."""
    for number in range(len(images)):
        try:
            yield images[number]
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - it becomes the error of the item
            refused = ImageReadError(f"cannot read picture {number}: {_reason(error)}")
            refused.__cause__ = error
            yield refused


def _describe_type(value: object) -> str:
    """Return the type of a value that is no picture, with advice where it holds one."""
    name = type(value).__name__[:_SHOWN]
    if isinstance(value, (list, tuple)):
        inside = ", ".join(type(item).__name__[:20] for item in value[:3])
        return f"{name} of {len(value)} ({inside}); give one picture of it, or use a verb that accepts several"
    return name


def _shorten_path(path: str) -> str:
    """Return a path, or the end of a long one."""
    return path if len(path) <= _SHOWN else f"...{path[-_SHOWN:]} ({len(path)} characters)"


def _reason(error: Exception) -> str:
    """Return the type and message of a foreign error, bounded."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - of a foreign class
        text = ""
    return f"{type(error).__name__}: {text[:_SHOWN]}" if text else type(error).__name__
