"""Who was recognised → the attendance, where a request asks for that."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import ArgumentError, PackScoresError
from ...gallery import Gallery
from ...results import FoundFace, Verification
from ...scales import Calibration
from ...server import Access, Sighted
from ..services import Services

_CALIBRATIONS: dict[str, Calibration | None] = {}


async def check(services: Services, gallery: str | None, threshold: float | None) -> None:
    """Refuse before the work what cannot be noted after it.

    Raises
    ------
    ArgumentError
        When no attendance is kept, or `threshold` would note somebody whom the gallery would not recognise.
    """
    if services.access is None:
        raise ArgumentError("attend: no attendance is kept here")
    if threshold is None:
        return
    own = services.settings.threshold
    least = (await services.engine(gallery)).threshold if own is None else own
    if threshold < least:
        raise ArgumentError(f"threshold must be at least {least:.4f}, the gallery's, to attend; got {threshold}")


async def note_found(services: Services, gallery: str | None, faces: Sequence[FoundFace]) -> None:
    """Note each face of a picture: who it is, or that it is nobody known."""
    await _note(
        services,
        gallery,
        [
            Sighted(
                claimed=None,
                person_key=None if face.person_id is None else str(face.person_id),
                name=face.name,
                matched=face.person_id is not None,
                similarity=face.similarity,
                probability=probability,
                liveness=None if face.liveness is None else face.liveness.score,
            )
            for face, probability in zip(faces, await _probabilities(services, gallery, faces), strict=True)
        ],
    )


async def note_claim(services: Services, gallery: str | None, found: Verification) -> None:
    """Note whether a claim was confirmed."""
    (probability,) = await _probabilities(services, gallery, [found])
    name = await services.ask(lambda opened: opened.person(found.person_id).name, gallery)  # who is still there
    seen = Sighted(
        claimed=str(found.person_id),
        person_key=str(found.person_id) if found.match else None,
        name=name if found.match else None,
        matched=found.match,
        similarity=found.similarity,
        probability=probability,
        liveness=None if found.liveness is None else found.liveness.score,
    )
    await _note(services, gallery, [seen])


async def _note(services: Services, gallery: str | None, seen: list[Sighted]) -> None:
    name = gallery or services.settings.gallery

    def note(access: Access) -> None:
        for one in seen:
            access.attendance.note(one, name)

    await services.ask_access(note)


async def _probabilities(
    services: Services, gallery: str | None, faces: Sequence[FoundFace | Verification]
) -> list[float | None]:
    calibration = await services.ask(_calibration, gallery)
    return [None if calibration is None else calibration.probability(face.similarity) for face in faces]


def _calibration(opened: Gallery) -> Calibration | None:
    """Return what reads probabilities from similarities of the gallery's pack; None where that was not measured."""
    pack = opened.pack
    if pack.digest not in _CALIBRATIONS:
        try:
            _CALIBRATIONS[pack.digest] = Calibration(pack)
        except PackScoresError:
            _CALIBRATIONS[pack.digest] = None
    return _CALIBRATIONS[pack.digest]
