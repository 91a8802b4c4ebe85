"""Uploads → the bytes of pictures of the kinds that a contract takes, or an error that says which these are."""

from __future__ import annotations

from fastapi import UploadFile

from ...errors import ArgumentError, UnsupportedImageError
from ...store import plain_name
from .. import pixels

_SIGNATURES = {b"\xff\xd8\xff": "JPG", b"\x89PNG\r\n\x1a\n": "PNG", b"GIF87a": "GIF", b"GIF89a": "GIF"}


async def read(upload: UploadFile, *, accepted: tuple[str, ...] = ()) -> bytes:
    """Read an upload.

    Parameters
    ----------
    upload : UploadFile
    accepted : tuple of str
        Kinds of pictures, of "JPG", "PNG", "GIF"; empty is all that facedex reads.

    Raises
    ------
    ArgumentError
        When it is empty.
    UnsupportedImageError
        When it is of another kind.
    BodyTooLargeError, OverloadedError
        When it announces too many pixels.
    """
    data = await upload.read()
    name = plain_name(upload.filename) or "the file"
    if not data:
        raise ArgumentError(f"{name} is empty; send a picture")
    if accepted and kind_of(data) not in accepted:
        raise UnsupportedImageError(f"{name} is of a type that is not supported; accepted are {', '.join(accepted)}")
    pixels.add(data)
    return data


def kind_of(data: bytes) -> str | None:
    """Tell by its first bytes whether a file is a JPG, PNG or GIF; None when it is neither.

    Examples
    --------
    >>> kind_of(b"GIF89a..."), kind_of(b"%PDF-1.7")
    ('GIF', None)
    """
    return next((kind for signature, kind in _SIGNATURES.items() if data.startswith(signature)), None)
