"""Uploaded pictures and the faces in them, with similarities on the scale of an older backend or as probabilities.

All but `read_upload` block: they are called within `Services.work`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastapi import UploadFile

from ...errors import ArgumentError, UnsupportedImageError
from ...options import FacePolicy
from ...results import choose_face
from ...scales import Calibration, Scale, ScaleMap
from ...store import plain_name
from .. import pixels

if TYPE_CHECKING:
    from ..._core import Face
    from ...gallery import Gallery
    from ...results import FoundFace, Recognition

MAX_FILES = 100
"""Pictures of one request."""

_SIGNATURES = {b"\xff\xd8\xff": "JPG", b"\x89PNG\r\n\x1a\n": "PNG", b"GIF87a": "GIF", b"GIF89a": "GIF"}

_MAPS: dict[tuple[str, str], ScaleMap] = {}
_CALIBRATIONS: dict[str, Calibration] = {}


async def read_upload(upload: UploadFile, *, accepted: tuple[str, ...] = ()) -> bytes:
    """Read an uploaded picture.

    Parameters
    ----------
    upload : UploadFile
    accepted : tuple of str
        Formats, of "JPG", "PNG", "GIF"; empty is all that facedex reads.

    Raises
    ------
    ArgumentError
        When it is empty.
    UnsupportedImageError
        When it has another format.
    BodyTooLargeError, OverloadedError
        When it has too many pixels.
    """
    data = await upload.read()
    name = plain_name(upload.filename) or "the file"
    if not data:
        raise ArgumentError(f"{name} is empty; send a picture")
    if accepted and format_of(data) not in accepted:
        raise UnsupportedImageError(f"{name} is of a type that is not supported; accepted are {', '.join(accepted)}")
    pixels.add(data)
    return data


def format_of(data: bytes) -> str | None:
    """Return the format of a picture by its first bytes: JPG, PNG, GIF or None.

    Examples
    --------
    >>> format_of(b"GIF89a..."), format_of(b"%PDF-1.7")
    ('GIF', None)
    """
    return next((name for signature, name in _SIGNATURES.items() if data.startswith(signature)), None)


def check_count(files: Sequence[object], name: str) -> None:
    """Check the number of uploads in the field `name`, or raise `ArgumentError`."""
    if not 1 <= len(files) <= MAX_FILES:
        raise ArgumentError(f"{name} must be 1 to {MAX_FILES} pictures, got {len(files)}")


def scale_map(gallery: Gallery, scale: Scale) -> ScaleMap:
    """Return the map between a contract's scale and that of the gallery's present pack.

    Raises
    ------
    PackScoresError
    """
    known = _MAPS.get((gallery.pack.digest, scale.name))
    if known is None:
        known = _MAPS[gallery.pack.digest, scale.name] = ScaleMap(gallery.pack, scale)
    return known


def calibration(gallery: Gallery) -> Calibration:
    """Return the probabilities of similarities of the gallery's present pack.

    Raises
    ------
    PackScoresError
    """
    known = _CALIBRATIONS.get(gallery.pack.digest)
    if known is None:
        known = _CALIBRATIONS[gallery.pack.digest] = Calibration(gallery.pack)
    return known


def find_face(gallery: Gallery, picture: bytes, *, faces: FacePolicy = "largest", quality: bool = False) -> Face:
    """Find the only or the largest face of a picture, without recognition.

    Raises
    ------
    NoFaceError, SeveralFacesError, ImageError
    """
    max_faces = 1 if faces == "largest" else None
    analysis = gallery.engine.analyze(picture, embed=False, quality=quality, max_faces=max_faces)
    return choose_face(analysis, faces, picture)


def recognize(gallery: Gallery, picture: bytes, **options: Any) -> Recognition | None:
    """Recognize the faces of a picture; None when nobody is registered.

    Raises
    ------
    NoFaceError
        When there is no face, whether or not anybody is registered.
    ImageError
    """
    found = gallery.recognize(picture, **options)
    if not found:
        find_face(gallery, picture)
    return found if found and found[0].candidates else None


def recognize_largest(gallery: Gallery, picture: bytes, **options: Any) -> FoundFace | None:
    """Recognize the largest face of a picture; None when nobody is registered. Raises as `recognize`."""
    found = recognize(gallery, picture, max_faces=1, **options)
    return None if found is None else found[0]
