"""Contract `mtcnn-facenet`: attendance. The client claims an employee number (NIK), the face must confirm it.

`accuracy` is the probability that both are the same person (docs/scales.md), of which more than 0.7 is a match. Every
attempt is kept in the database and in the file of the day.
"""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, UploadFile
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ...errors import ArgumentError, FacedexError, NoFaceError, RegistrationError
from ...gallery import Gallery
from ...results import FoundFace
from ...server import AttendanceRecord
from ...store import plain_name
from ..security import need
from ..services import Services, ServicesOf
from .daily import UNKNOWN, ZONE, Attempt, DailyFile
from .faces import calibrated, recognized
from .pictures import read
from .shapes import Words, contract_route, shape, told

NAME = "mtcnn-facenet"
MOST_FILES = 100
NEEDED = 0.7
"""A match needs a higher probability."""

DETECTED = "TERDETEKSI"
NOT_RECOGNISED = "WAJAH TIDAK DIKENALI"

_log = logging.getLogger("facedex.http")
WORDS = Words(fields={"person_id": "nik", "name": "nama"})
SHAPE = shape(lambda message: {"message": message}, WORDS)
SHAPES = (("/upload/", SHAPE), ("/recognize/", SHAPE))


class AttendanceSettings(BaseSettings):
    """Where and when: ``FACEDEX_ATTENDANCE_FOLDER``, ``FACEDEX_ATTENDANCE_ZONE``."""

    model_config = SettingsConfigDict(env_prefix="FACEDEX_ATTENDANCE_", env_file=".env", extra="ignore", frozen=True)

    folder: Path = Field(default=Path("logging"), description="Where the daily files are written.")
    zone: str = Field(default=ZONE, description="The time zone of the daily files.")


def router() -> APIRouter:
    """Make the routes of the contract, with its settings as they are now."""
    settings = AttendanceSettings()
    daily = DailyFile(settings.folder, settings.zone)
    routes = APIRouter(
        route_class=contract_route(SHAPE, NAME), tags=[NAME], responses=told(message="nama must be in UPPER CASE")
    )

    @routes.post("/upload/", dependencies=[Depends(need("enrol"))])
    async def upload(
        services: ServicesOf,
        nik: Annotated[str, Form(min_length=1, max_length=255)],
        nama: Annotated[str, Form(min_length=1, max_length=255)],
        files: Annotated[list[UploadFile], File()],
    ) -> dict[str, Any]:
        """Enrol an employee from 1 to 100 pictures; recognised as soon as this returns."""
        if nama != nama.upper() or not nama.strip():
            raise ArgumentError(f"nama must be in UPPER CASE, got {nama!r}")
        if not nik.strip():
            raise ArgumentError("nik must not be empty")
        if not 1 <= len(files) <= MOST_FILES:
            raise ArgumentError(f"files must be 1 to {MOST_FILES} pictures, got {len(files)}")
        names = [plain_name(file.filename) or f"file {place}" for place, file in enumerate(files, 1)]
        pictures, failed = await _pictures(files, names)
        return await services.work(lambda gallery: _enrol(gallery, nik.strip(), nama.strip(), pictures, failed))

    @routes.post("/recognize/", dependencies=[Depends(need("recognise"))])
    async def recognize(
        services: ServicesOf,
        nik_input: Annotated[str, Form(min_length=1, max_length=255)],
        file: Annotated[UploadFile, File()],
    ) -> dict[str, Any]:
        """Say whether the face is that of the employee who is claimed."""
        picture = await read(file)
        claimed = nik_input.strip()
        answer, seen = await services.work(lambda gallery: _recognize(services, gallery, claimed, picture))
        await _note(services, daily, seen)
        return answer

    return routes


Named = tuple[str, bytes]


async def _pictures(files: list[UploadFile], names: list[str]) -> tuple[list[Named], list[dict[str, str]]]:
    pictures: list[Named] = []
    failed = []
    for file, name in zip(files, names, strict=True):
        try:
            pictures.append((name, await read(file)))
        except FacedexError as error:
            failed.append({"file": name, "reason": WORDS.about(error)})
    return pictures, failed


def _enrol(
    gallery: Gallery, nik: str, nama: str, pictures: list[Named], failed: list[dict[str, str]]
) -> dict[str, Any]:
    """Register the pictures that show a face."""
    reasons = list(failed)
    enrolled = 0
    if pictures:
        try:
            done = gallery.register(nik, [data for _, data in pictures], name=nama, on_existing="add", faces="largest")
            enrolled, rejected = len(done.faces), done.rejected
        except RegistrationError as error:
            rejected = error.rejected
        reasons += [{"file": pictures[one.source][0], "reason": _reason(one.error)} for one in rejected]
    if not enrolled:
        told = "; ".join(f"{one['file']}: {one['reason']}" for one in reasons[:5])
        raise NoFaceError(f"no picture shows a face that can be enrolled: {told}")
    message = f"{enrolled} of {enrolled + len(reasons)} pictures of {nama} enrolled"
    return {"message": message, "nik": nik, "nama": nama, "enrolled": enrolled, "failed": reasons}


def _reason(error: Exception) -> str:
    return "no face was found" if isinstance(error, NoFaceError) else WORDS.about(error)


def _recognize(
    services: Services, gallery: Gallery, claimed: str, picture: bytes
) -> tuple[dict[str, Any], AttendanceRecord]:
    faces: list[FoundFace] = []
    number = 0
    try:
        found = recognized(services, gallery, picture, threshold=-1.0)
        faces, number = ([], 1) if found is None else (list(found), len(found))
    except NoFaceError:
        number = 0
    calibration = calibrated(gallery)
    judged = [(calibration.probability(face.similarity), face) for face in faces]
    accuracy, best = max(judged, key=lambda one: one[0], default=(0.0, None))
    known = best is not None and accuracy > NEEDED
    matched = best is not None and known and str(best.person_id) == claimed
    name = _name(best) if best is not None and known else None
    answer = {
        "results": [_result(probability, face) for probability, face in judged],
        "nik_input": claimed,
        "nik_matched": matched,
        "face_num": number,
        "message": f"{name} {DETECTED}" if matched else NOT_RECOGNISED,
    }
    return answer, AttendanceRecord(
        claimed=claimed,
        person_id=str(best.person_id) if best is not None and known else None,
        name=name,
        matched=matched,
        similarity=None if best is None else best.similarity,
        probability=accuracy,
        contract=NAME,
        at=datetime.now(timezone.utc),
    )


def _result(accuracy: float, face: FoundFace) -> dict[str, Any]:
    known = (
        {"nik": str(face.person_id), "name": _name(face)} if accuracy > NEEDED else {"nik": UNKNOWN, "name": UNKNOWN}
    )
    return known | {"accuracy": round(accuracy, 4)}


def _name(face: FoundFace) -> str:
    return (face.name or str(face.person_id)).upper()


async def _note(services: Services, daily: DailyFile, seen: AttendanceRecord) -> None:
    """Keep an attempt in the database, and in the file of the day; a full disk does not keep people out."""
    await services.ask_access(lambda access: access.attendance.add(seen, services.settings.gallery))
    attempt = Attempt(seen.claimed or "", seen.name, seen.probability or 0.0, seen.matched)
    at = seen.at or datetime.now(timezone.utc)
    try:
        await services.limits.ask(lambda: daily.append(attempt, at))
    except OSError as error:
        _log.error("the attendance file %s cannot be written: %s", daily.path(at), error)
