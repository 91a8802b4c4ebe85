"""What a gallery refuses."""

from __future__ import annotations

from typing import Any

from .base import FacedexError


class GalleryError(FacedexError):
    """A gallery cannot do what was asked."""

    code = "gallery"


class UnknownPersonError(GalleryError, LookupError):
    """Nobody of that id is registered.

    Attributes
    ----------
    person_id : str or int or None
        The id that was asked for.
    """

    code = "unknown_person"

    def __init__(self, message: str, *, person_id: str | int | None = None) -> None:
        super().__init__(message)
        self.person_id = person_id


class UnknownFaceError(GalleryError, LookupError):
    """No face of that id is stored in this gallery.

    Attributes
    ----------
    face_id : int or None
        The id that was asked for.
    """

    code = "unknown_face"

    def __init__(self, message: str, *, face_id: int | None = None) -> None:
        super().__init__(message)
        self.face_id = face_id


class UnknownPhotoError(GalleryError, LookupError):
    """No photo of that id is stored in this gallery.

    Attributes
    ----------
    photo_id : int or None
        The id that was asked for.
    """

    code = "unknown_photo"

    def __init__(self, message: str, *, photo_id: int | None = None) -> None:
        super().__init__(message)
        self.photo_id = photo_id


class PhotoTooLargeError(GalleryError, ValueError):
    """A photo has more bytes than a gallery or its database keeps.

    Attributes
    ----------
    measured, limit : int
        Its bytes, and the most that are kept.
    """

    code = "photo_too_large"

    def __init__(self, message: str, *, measured: int = 0, limit: int = 0) -> None:
        super().__init__(message)
        self.measured = measured
        self.limit = limit


class DuplicatePersonError(GalleryError, ValueError):
    """Somebody of that id is registered already.

    Attributes
    ----------
    person_id : str or int or None
        The id that is taken.
    """

    code = "duplicate_person"

    def __init__(self, message: str, *, person_id: str | int | None = None) -> None:
        super().__init__(message)
        self.person_id = person_id


class EmptyGalleryError(GalleryError):
    """Nobody is registered, so nobody can be recognised."""

    code = "empty_gallery"


class GalleryClosedError(GalleryError):
    """The gallery was closed."""

    code = "gallery_closed"


class GalleryPackError(GalleryError):
    """The gallery was made with another pack; the message says what to do.

    Attributes
    ----------
    stored : str
        Name of the pack that made the gallery.
    opened : str
        Name of the pack it was opened with.
    """

    code = "gallery_pack"

    def __init__(self, message: str, *, stored: str = "", opened: str = "") -> None:
        super().__init__(message)
        self.stored = stored
        self.opened = opened


class MigrationError(GalleryError):
    """A gallery cannot be moved to a pack or back, because there is none to go back to or somebody else ended it."""

    code = "migration"


class RegistrationError(GalleryError, ValueError):
    """Several pictures were given to register and none was accepted.

    Attributes
    ----------
    rejected : tuple of facedex.Rejection
        Which picture was refused, and the error of each.
    """

    code = "registration"

    def __init__(self, message: str, *, rejected: tuple[Any, ...] = ()) -> None:
        super().__init__(message)
        self.rejected = rejected


class DuplicateFaceError(GalleryError, ValueError):
    """A face resembles somebody who is registered under another id, and the gallery refuses that.

    Attributes
    ----------
    person_id : str or int or None
        The other person.
    measured, limit : float
        The similarity to that person, and the threshold that it reaches.
    """

    code = "duplicate_face"

    def __init__(
        self, message: str, *, person_id: str | int | None = None, measured: float = 0.0, limit: float = 0.0
    ) -> None:
        super().__init__(message)
        self.person_id = person_id
        self.measured = measured
        self.limit = limit


class PersonFullError(GalleryError, ValueError):
    """A person has as many faces as the gallery allows, and this one does not take the place of another.

    Attributes
    ----------
    measured, limit : int
        How many faces there would be, and the most that is allowed.
    """

    code = "person_full"

    def __init__(self, message: str, *, measured: int = 0, limit: int = 0) -> None:
        super().__init__(message)
        self.measured = measured
        self.limit = limit


class GalleryKeyError(GalleryError):
    """The key of an encrypted gallery."""

    code = "key"


class KeyMissingError(GalleryKeyError):
    """The gallery is encrypted and no key was given."""

    code = "key_missing"


class WrongKeyError(GalleryKeyError):
    """The key that was given is another than the gallery's."""

    code = "key_wrong"


class KeyUnusedError(GalleryKeyError):
    """A key was given and the gallery is not encrypted."""

    code = "key_unused"


class EncryptionUnavailableError(GalleryKeyError):
    """A key was given and the package that encrypts is not installed."""

    code = "encryption_unavailable"


class PlainSearchError(GalleryKeyError):
    """The gallery is encrypted, and the search that was chosen would hold its templates in the clear."""

    code = "search_plain"
