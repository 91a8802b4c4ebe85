"""Faces as the old backends tell them: the largest of a picture, on a scale of theirs, or as a probability.

These block: they are called within `Services.work`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import EmptyGalleryError
from ...options import FacePolicy
from ...results import choose_face
from ...scales import Calibration, Scale, ScaleMap

if TYPE_CHECKING:
    from ..._core import Face
    from ...gallery import Gallery
    from ...results import FoundFace, Recognition
    from ..services import Services

_MAPS: dict[tuple[str, str], ScaleMap] = {}
_CALIBRATIONS: dict[str, Calibration] = {}


def on_scale(gallery: Gallery, scale: Scale) -> ScaleMap:
    """Map between a contract's scale and that of the gallery's pack, whichever that is now.

    Raises
    ------
    PackScoresError
    """
    known = _MAPS.get((gallery.pack.digest, scale.name))
    if known is None:
        known = _MAPS[gallery.pack.digest, scale.name] = ScaleMap(gallery.pack, scale)
    return known


def calibrated(gallery: Gallery) -> Calibration:
    """Read probabilities from similarities of the gallery's pack.

    Raises
    ------
    PackScoresError
    """
    known = _CALIBRATIONS.get(gallery.pack.digest)
    if known is None:
        known = _CALIBRATIONS[gallery.pack.digest] = Calibration(gallery.pack)
    return known


def the_face(services: Services, picture: bytes, *, faces: FacePolicy = "largest", quality: bool = False) -> Face:
    """Find the face that is meant, without asking whose it is.

    Raises
    ------
    NoFaceError, SeveralFacesError, ImageError
    """
    engine = services.galleries.engine(services.settings.gallery)
    wanted = 1 if faces == "largest" else None
    return choose_face(engine.analyze(picture, embed=False, quality=quality, max_faces=wanted), faces, picture)


def recognized(services: Services, gallery: Gallery, picture: bytes, **questions: Any) -> Recognition | None:
    """Say who is in a picture; None when nobody is registered.

    Raises
    ------
    NoFaceError
        When there is no face, registered people or not.
    ImageError
    """
    try:
        found = gallery.recognize(picture, **questions)
    except EmptyGalleryError:
        found = None
    if not found:
        the_face(services, picture)
    return found or None


def largest(services: Services, gallery: Gallery, picture: bytes, **questions: Any) -> FoundFace | None:
    """Say whose the largest face of a picture is; None when nobody is registered. Raises as `recognized`."""
    found = recognized(services, gallery, picture, max_faces=1, **questions)
    return None if found is None else found[0]
