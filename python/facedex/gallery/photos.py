"""The photos that a gallery stores: none, a thumbnail of the face, or the picture without its metadata.

A path is read once, so that the stored photo shows what was analysed, even when the file is replaced meanwhile. A
picture of too many bytes is refused.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath

from .. import _core
from ..checks import abbreviate, check_choice
from ..errors import ArgumentError, BBox, ImageError
from ..inputs import MOST_REDUCED, ImageInput, path_of
from ..options import KeptPhotos, Rendition
from ..records import PersonId, Photo
from ..store import LONGEST_NAME, NewPhoto, PortablePerson, check_size, plain_name
from .resources import Resources


class Photos:
    """Makes and stores the photos of a gallery.

    Parameters
    ----------
    resources : Resources
    kept : {"none", "thumbnail", "original"}
        Which photos of the registered pictures are stored.
    """

    def __init__(self, resources: Resources, kept: KeptPhotos) -> None:
        self._resources = resources
        self._kept = kept
        self._max_pixels = resources.engine.max_pixels

    def load(self, picture: ImageInput) -> ImageInput:
        """Read the file of a path if a photo of it is to be stored; an unreadable file is left to the engine."""
        if self._kept == "none":
            return picture
        try:
            path = path_of(picture)
            return picture if path is None else _core.load(path, max_pixels=self._max_pixels)
        except (ImageError, ValueError):
            return picture

    def make(self, picture: ImageInput, bbox: BBox, filename: str | None) -> NewPhoto | None:
        """Make the photo of a picture in which a face was found; None when none is stored.

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
        return None if self._kept == "none" else self._make(picture, self._kept, bbox, filename)

    def add(self, person_id: PersonId, picture: ImageInput, rendition: Rendition | None, filename: str | None) -> Photo:
        """Store a photo without looking for faces, as `facedex.Gallery.add_photo` does."""
        self._resources.store.check_exists(person_id)
        kept = self._kept if rendition is None else rendition
        check_choice("rendition", kept, KeptPhotos)
        if kept == "none":
            raise ArgumentError(
                "rendition must be 'thumbnail' or 'original', got 'none'; this gallery keeps no photos unless it is "
                "opened with photos=... or a rendition is given here"
            )
        name = filename_of(picture) if filename is None else _check_filename(filename)
        return self._resources.store.add_photo(person_id, self._make(picture, kept, None, name))

    def clean(self, person: PortablePerson) -> PortablePerson:
        """Decode the photos of a person from elsewhere as a check, and remove their metadata.

        The compressed data of a valid JPEG, PNG or WebP is not changed; type and size are found from the bytes.

        Raises
        ------
        ImageError
            When one is not a picture.
        PhotoTooLargeError
        """
        return replace(person, photos=tuple(replace(held, photo=self._clean(held.photo)) for held in person.photos))

    def _clean(self, photo: NewPhoto) -> NewPhoto:
        check_choice("rendition", photo.rendition, Rendition)
        return self._rewrite(photo.content, photo.rendition, plain_name(photo.filename))

    def _make(self, picture: ImageInput, rendition: str, bbox: BBox | None, filename: str | None) -> NewPhoto:
        if rendition == "original":
            return self._rewrite(picture, rendition, filename)
        read = self._resources.engine.read(picture)
        box = None if bbox is None else read.scale_box(bbox)
        content, (width, height) = _core.thumbnail(read.pixels, box, max_pixels=self._max_pixels)
        return NewPhoto(rendition, "image/jpeg", width, height, filename, content)

    def _rewrite(self, picture: ImageInput, rendition: str, filename: str | None) -> NewPhoto:
        read = self._resources.engine.read(picture)
        # An original over the limit of pixels is stored as it is: its faces are in pixels of it.
        stored, limit = (read.pixels, 1) if read.size is None else (read.source, MOST_REDUCED)
        most = self._max_pixels * limit
        content, media_type, (width, height) = _core.without_metadata(stored, max_pixels=most)
        check_size(len(content))
        return NewPhoto(rendition, media_type, width, height, filename, content)


def filename_of(picture: object) -> str | None:
    """Return the last part of a picture's path; None when it is not a path, or not a plain name.

    Examples
    --------
    >>> filename_of("photos/ayu/1.jpg"), filename_of(b"...")
    ('1.jpg', None)
    """
    path = path_of(picture)
    if path is None:
        return None
    name = PurePath(path).name
    return name if plain_name(name) == name else None


def _check_filename(filename: object) -> str:
    """Return a file name without folders and control characters, or raise `ArgumentError`."""
    if not isinstance(filename, str) or plain_name(filename) != filename:
        raise ArgumentError(
            f"filename must be a text of 1 to {LONGEST_NAME} characters without folders and control characters, got "
            f"{abbreviate(filename)}"
        )
    return filename
