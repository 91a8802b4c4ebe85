"""A picture, or the faces in it, was refused."""

from __future__ import annotations

from .base import BBox, FacedexError


class ImageError(FacedexError, ValueError):
    """A picture was refused."""

    code = "image"


class ImageReadError(ImageError):
    """The file or stream of a picture cannot be read."""

    code = "image_read"


class NotAnImageError(ImageError):
    """The bytes are no picture of a known format."""

    code = "not_an_image"


class UnsupportedImageError(ImageError):
    """A picture of a known format in a variant that is not decoded."""

    code = "image_unsupported"


class DamagedImageError(ImageError):
    """A picture whose data are damaged."""

    code = "image_damaged"


class TruncatedImageError(ImageError):
    """A picture that ends before its last row."""

    code = "image_truncated"


class ImageTooLargeError(ImageError):
    """A picture with more pixels than the limit."""

    code = "image_too_large"


class ImageArrayError(ImageError, TypeError):
    """A pixel array that is not uint8 of shape (height, width, 3)."""

    code = "image_array"


class FaceError(FacedexError, ValueError):
    """A picture was decoded, and its faces are not what was needed."""

    code = "face"


class NoFaceError(FaceError):
    """A face was needed and none was found.

    Attributes
    ----------
    measured, limit : int
        How many were found, and how many are needed.
    """

    code = "no_face"
    measured = 0
    limit = 1


class SeveralFacesError(FaceError):
    """Exactly one face was needed and several were found.

    Attributes
    ----------
    bboxes : tuple of (float, float, float, float)
        The faces found, largest first: x1, y1, x2, y2 in pixels of the upright original.
    measured, limit : int
        How many were found, and how many are needed.
    """

    code = "several_faces"
    limit = 1

    def __init__(self, message: str, *, bboxes: tuple[BBox, ...] = ()) -> None:
        super().__init__(message)
        self.bboxes = bboxes

    @property
    def measured(self) -> int:  # noqa: D102 - described with the class
        return len(self.bboxes)


class LandmarksError(FaceError):
    """Five points from which no crop can be cut, because they coincide or are not finite."""

    code = "landmarks"


class LivenessError(FaceError):
    """Liveness was required and cannot be judged: no network for it, or a face too small, cut off or too near."""

    code = "liveness_unavailable"


class EnrolmentError(FaceError):
    """A face is not good enough to be registered.

    Attributes
    ----------
    measured, limit : float
        What was measured, and the least that the gallery accepts.
    """

    code = "enrolment"

    def __init__(self, message: str, *, measured: float = 0.0, limit: float = 0.0) -> None:
        super().__init__(message)
        self.measured = measured
        self.limit = limit


class FaceTooSmallError(EnrolmentError):
    """The shorter side of a face's box is below the gallery's least, pixels."""

    code = "face_too_small"


class FaceScoreError(EnrolmentError):
    """The detector's certainty of a face is below the gallery's least."""

    code = "face_score"


class FaceQualityError(EnrolmentError):
    """The quality of a face for recognition is below the gallery's least, [0, 100]."""

    code = "face_quality"


class FaceNotLiveError(EnrolmentError):
    """A face is an attack on the camera, or whether it is cannot be told: then nothing was measured."""

    code = "face_not_live"
