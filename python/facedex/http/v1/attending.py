"""Recognitions → attendance records, where a request has ``attend``."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import ArgumentError, PackScoresError
from ...gallery import Gallery
from ...records import PersonId
from ...results import FoundFace, Verification
from ...scales import Calibration
from ...server import Access, AttendanceRecord
from ..services import Services

_CALIBRATIONS: dict[str, Calibration | None] = {}


async def check(
    services: Services, gallery: str | None, threshold: float | str | None, person_id: PersonId | None = None
) -> None:
    """Check before the work that its result can be recorded.

    Raises
    ------
    ArgumentError
        When this server keeps no attendance, or `threshold` is below the gallery's for verifying `person_id`, or
        for recognizing where nobody is claimed.
    """
    if services.access is None:
        raise ArgumentError("attend: this server keeps no attendance")
    if threshold is None:
        return
    least, wanted = await services.query(
        lambda opened: [opened.decide(one, person_id=person_id).threshold for one in (None, threshold)], gallery
    )
    if wanted < least:
        raise ArgumentError(f"threshold must be at least {least:.4f}, the gallery's, to attend; got {threshold}")


async def record_faces(services: Services, gallery: str | None, faces: Sequence[FoundFace]) -> None:
    """Record each face of a picture: the person, or that it is unknown."""
    records = [
        AttendanceRecord(
            person_id=None if face.person_id is None else str(face.person_id),
            name=face.name,
            matched=face.person_id is not None,
            similarity=face.similarity,
            probability=probability,
            liveness=None if face.liveness is None else face.liveness.score,
        )
        for face, probability in zip(faces, await _probabilities(services, gallery, faces), strict=True)
    ]
    await _record(services, gallery, records)


async def record_claim(services: Services, gallery: str | None, found: Verification) -> None:
    """Record whether a claim was confirmed."""
    (probability,) = await _probabilities(services, gallery, [found])
    name = await services.query(lambda opened: opened.person(found.person_id).name, gallery)  # refuses a deleted person
    record = AttendanceRecord(
        claimed=str(found.person_id),
        person_id=str(found.person_id) if found.match else None,
        name=name if found.match else None,
        matched=found.match,
        similarity=found.similarity,
        probability=probability,
        liveness=None if found.liveness is None else found.liveness.score,
    )
    await _record(services, gallery, [record])


async def _record(services: Services, gallery: str | None, records: list[AttendanceRecord]) -> None:
    name = gallery or services.settings.gallery

    def add(access: Access) -> None:
        for record in records:
            access.attendance.add(record, name, claimed_is_registered=True)

    await services.query_access(add)


async def _probabilities(
    services: Services, gallery: str | None, faces: Sequence[FoundFace | Verification]
) -> list[float | None]:
    calibration = await services.query(_calibration, gallery)
    return [None if calibration is None else calibration.probability(face.similarity) for face in faces]


def _calibration(opened: Gallery) -> Calibration | None:
    """Return the calibration of the gallery's pack; None where its scores were not measured."""
    pack = opened.pack
    if pack.digest not in _CALIBRATIONS:
        try:
            _CALIBRATIONS[pack.digest] = Calibration(pack)
        except PackScoresError:
            _CALIBRATIONS[pack.digest] = None
    return _CALIBRATIONS[pack.digest]
