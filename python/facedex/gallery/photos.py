"""What is kept of a picture: nothing, a small picture of the face, or the picture itself without metadata.

In goes a picture as the verbs take it, out comes what the store keeps. A path is read once, so that the photo that is
kept shows what was analysed, even when the file is replaced meanwhile. Refused: a picture of too many bytes.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import PurePath

from .. import _core
from ..checks import abbreviate, check_choice
from ..errors import ArgumentError, BBox, ImageError
from ..inputs import ImageInput
from ..options import KeptPhotos, Rendition
from ..store import LONGEST_NAME, NewPhoto, PortablePerson, check_size, plain_name


class Renditions:
    """Makes what a gallery keeps of pictures.

    Parameters
    ----------
    kept : {"none", "thumbnail", "original"}
    max_pixels : int
        Larger pictures are refused.
    """

    def __init__(self, kept: KeptPhotos, max_pixels: int) -> None:
        check_choice("photos", kept, KeptPhotos)
        self.kept: KeptPhotos = kept
        self._max_pixels = max_pixels

    def taken(self, picture: ImageInput) -> ImageInput:
        """Read the file of a path when a photo of it is to be kept; what cannot be read is refused by the engine."""
        if self.kept == "none" or not isinstance(picture, (str, os.PathLike)):
            return picture
        try:
            return _core.load(picture, max_pixels=self._max_pixels)
        except ImageError:
            return picture

    def of_face(self, picture: ImageInput, bbox: BBox, filename: str | None) -> NewPhoto | None:
        """Make what is kept of a picture in which a face was found; None when nothing is kept.

        Parameters
        ----------
        picture : ImageInput
        bbox : tuple of float
            x1, y1, x2, y2 of the face, pixels.
        filename : str or None

        Raises
        ------
        PhotoTooLargeError
        """
        return None if self.kept == "none" else self._made(picture, self.kept, bbox, filename)

    def whole(self, picture: ImageInput, rendition: Rendition | None, filename: str | None) -> NewPhoto:
        """Make what is kept of a picture without looking for a face.

        Parameters
        ----------
        picture : ImageInput
        rendition : {"thumbnail", "original"}, optional
            By default what the gallery keeps.
        filename : str or None
            By default that of the path.

        Raises
        ------
        ArgumentError
            When nothing is to be kept.
        ImageError, PhotoTooLargeError
        """
        kept = self.kept if rendition is None else rendition
        check_choice("rendition", kept, KeptPhotos)
        if kept == "none":
            raise ArgumentError(
                "rendition must be 'thumbnail' or 'original', got 'none'; this gallery keeps no photos unless it is "
                "opened with photos=... or told so here"
            )
        name = filename_of(picture) if filename is None else _named(filename)
        return self._made(picture, kept, None, name)

    def rewritten(self, person: PortablePerson) -> PortablePerson:
        """Decode the photos of a person from elsewhere as a check, and rewrite them without their metadata.

        The compressed data of a valid JPEG, PNG or WebP is kept; type and size are found from the bytes.

        Raises
        ------
        ImageError
            When one is no picture.
        PhotoTooLargeError
        """
        return replace(person, photos=tuple(replace(held, photo=self._anew(held.photo)) for held in person.photos))

    def _anew(self, photo: NewPhoto) -> NewPhoto:
        check_choice("rendition", photo.rendition, Rendition)
        content, media_type, (width, height) = _core.without_metadata(photo.content, max_pixels=self._max_pixels)
        check_size(len(content))
        return NewPhoto(photo.rendition, media_type, width, height, plain_name(photo.filename), content)

    def _made(self, picture: ImageInput, kept: str, bbox: BBox | None, filename: str | None) -> NewPhoto:
        if kept == "thumbnail":
            content, (width, height) = _core.thumbnail(picture, bbox, max_pixels=self._max_pixels)
            media_type = "image/jpeg"
        else:
            content, media_type, (width, height) = _core.without_metadata(picture, max_pixels=self._max_pixels)
            check_size(len(content))
        return NewPhoto(kept, media_type, width, height, filename, content)


def filename_of(picture: object) -> str | None:
    """Tell the last part of a picture's path; None when it is no path, or no plain name.

    Examples
    --------
    >>> filename_of("photos/ayu/1.jpg"), filename_of(b"...")
    ('1.jpg', None)
    """
    if not isinstance(picture, (str, os.PathLike)):
        return None
    name = PurePath(os.fsdecode(picture)).name
    return name if plain_name(name) == name else None


def _named(filename: object) -> str:
    """Refuse a file name with folders or control characters, or one that is too long."""
    if not isinstance(filename, str) or plain_name(filename) != filename:
        raise ArgumentError(
            f"filename must be a text of 1 to {LONGEST_NAME} characters without folders and control characters, got "
            f"{abbreviate(filename)}"
        )
    return filename
