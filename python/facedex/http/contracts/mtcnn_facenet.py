"""Contract `mtcnn-facenet`: attendance. The client claims an employee number (NIK), the face must confirm it.

`accuracy` is the probability that both are the same person (docs/scales.md); more than 0.7 is a match. Every attempt is
recorded in the database and in the file of the day.
"""

from __future__ import annotations

import logging
import os
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, File, Form, UploadFile
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ...errors import ArgumentError, FacedexError, NoFaceError, RegistrationError
from ...gallery import Gallery
from ...results import FoundFace
from ...server import AttendanceRecord
from ...store import plain_name
from ..security import require_scope
from ..services import Services, ServicesOf
from .faces import calibration, check_count, read_upload, recognize
from .shapes import ErrorFormat

ZONE = "Asia/Jakarta"
"""The old backend's time zone."""

UNKNOWN = "Unknown"
"""In place of a name when nobody was recognised."""

MATCH_ABOVE = 0.7
"""Probability above which a face matches."""

DETECTED = "TERDETEKSI"
NOT_RECOGNISED = "WAJAH TIDAK DIKENALI"

_log = logging.getLogger("facedex.http")
ERRORS = ErrorFormat(
    "mtcnn-facenet", {"message": "nama must be in UPPER CASE"}, fields={"person_id": "nik", "name": "nama"}
)
SHAPES = (("/upload/", ERRORS.respond), ("/recognize/", ERRORS.respond))


class AttendanceSettings(BaseSettings):
    """The daily files: ``FACEDEX_ATTENDANCE_FOLDER``, ``FACEDEX_ATTENDANCE_ZONE``."""

    model_config = SettingsConfigDict(env_prefix="FACEDEX_ATTENDANCE_", env_file=".env", extra="ignore", frozen=True)

    folder: Path = Field(default=Path("logging"), description="Where the daily files are written.")
    zone: str = Field(default=ZONE, description="The time zone of the daily files.")


class DailyFile:
    """Writes attendance records to ``logging_dd-mm-yyyy.txt`` of the day, a line each.

    A line is one write to a file opened for appending, under a lock: the lines of workers and threads do not mix. At
    midnight of the time zone the next line starts the next file. A name cannot end a line or start a field of it.

    Parameters
    ----------
    folder : pathlib.Path
        Created with the first line.
    zone : str
        Name of the time zone of the hour and the day.

    Raises
    ------
    ArgumentError
        When the time zone is unknown.
    """

    def __init__(self, folder: Path, zone: str = ZONE) -> None:
        try:
            self.zone = ZoneInfo(zone)
        except (KeyError, ValueError, OSError) as error:
            raise ArgumentError(f"the time zone must be a name such as {ZONE!r}, got {zone!r}") from error
        self._folder = folder
        self._lock = threading.Lock()

    def path(self, at: datetime) -> Path:
        """Return the file for a time with a time zone."""
        return self._folder / f"logging_{at.astimezone(self.zone):%d-%m-%Y}.txt"

    def line(self, record: AttendanceRecord, at: datetime) -> str:
        """Format the line of a record, without its end."""
        claimed, name = _one_line(record.claimed or ""), _one_line(UNKNOWN if record.name is None else record.name)
        return (
            f"{at.astimezone(self.zone):%H:%M:%S} - NIK: {claimed}, Name: {name}, "
            f"Accuracy: {record.probability or 0.0:.4f}, Matched: {record.matched}"
        )

    def append(self, record: AttendanceRecord, at: datetime) -> None:
        """Append the line of a record to the file of its day.

        Raises
        ------
        OSError
            When the folder cannot be written.
        """
        content = (self.line(record, at) + "\n").encode()
        with self._lock:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path(at), os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o640)
            try:
                _lock_file(handle)
                written = 0
                while written < len(content):
                    written += os.write(handle, content[written:])
            finally:
                os.close(handle)  # releases the lock


SETTINGS = AttendanceSettings


def router(settings: AttendanceSettings) -> APIRouter:
    """Make the routes of the contract."""
    daily = DailyFile(settings.folder, settings.zone)
    routes = ERRORS.router()

    @routes.post("/upload/", dependencies=[Depends(require_scope("enrol"))])
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
        check_count(files, "files")
        names = [plain_name(file.filename) or f"file {place}" for place, file in enumerate(files, 1)]
        pictures, failed = await _read_all(files, names)
        return await services.work(lambda gallery: _enrol(gallery, nik.strip(), nama.strip(), pictures, failed))

    @routes.post("/recognize/", dependencies=[Depends(require_scope("recognise"))])
    async def recognize(
        services: ServicesOf,
        nik_input: Annotated[str, Form(min_length=1, max_length=255)],
        file: Annotated[UploadFile, File()],
    ) -> dict[str, Any]:
        """Verify that the face is that of the claimed employee."""
        picture = await read_upload(file)
        claimed = nik_input.strip()
        answer, record = await services.work(lambda gallery: _recognize(gallery, claimed, picture))
        await _record(services, daily, record)
        return answer

    return routes


Named = tuple[str, bytes]


async def _read_all(files: list[UploadFile], names: list[str]) -> tuple[list[Named], list[dict[str, str]]]:
    pictures: list[Named] = []
    failed = []
    for file, name in zip(files, names, strict=True):
        try:
            pictures.append((name, await read_upload(file)))
        except FacedexError as error:
            failed.append({"file": name, "reason": ERRORS.message(error)})
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
        details = "; ".join(f"{one['file']}: {one['reason']}" for one in reasons[:5])
        raise NoFaceError(f"no picture shows a face that can be enrolled: {details}")
    message = f"{enrolled} of {enrolled + len(reasons)} pictures of {nama} enrolled"
    return {"message": message, "nik": nik, "nama": nama, "enrolled": enrolled, "failed": reasons}


def _reason(error: Exception) -> str:
    return "no face was found" if isinstance(error, NoFaceError) else ERRORS.message(error)


def _recognize(gallery: Gallery, claimed: str, picture: bytes) -> tuple[dict[str, Any], AttendanceRecord]:
    faces: list[FoundFace] = []
    number = 0
    try:
        found = recognize(gallery, picture, threshold=-1.0)
        faces, number = ([], 1) if found is None else (list(found), len(found))
    except NoFaceError:
        number = 0
    probability = calibration(gallery).probability
    judged = [(probability(face.similarity), face) for face in faces]
    accuracy, best = max(judged, key=lambda one: one[0], default=(0.0, None))
    known = best is not None and accuracy > MATCH_ABOVE
    matched = best is not None and known and str(best.person_id) == claimed
    name = _name(best) if best is not None and known else None
    answer = {
        "results": [_result(accuracy, face) for accuracy, face in judged],
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
        contract=ERRORS.contract,
        at=datetime.now(timezone.utc),
    )


def _result(accuracy: float, face: FoundFace) -> dict[str, Any]:
    known = (
        {"nik": str(face.person_id), "name": _name(face)}
        if accuracy > MATCH_ABOVE
        else {"nik": UNKNOWN, "name": UNKNOWN}
    )
    return known | {"accuracy": round(accuracy, 4)}


def _name(face: FoundFace) -> str:
    return (face.name or str(face.person_id)).upper()


async def _record(services: Services, daily: DailyFile, record: AttendanceRecord) -> None:
    """Record an attempt in the database and in the file of the day; an error of the file is only logged."""
    await services.query_access(lambda access: access.attendance.add(record, services.settings.gallery))
    at = record.at or datetime.now(timezone.utc)
    try:
        await services.limits.queries.run(lambda: daily.append(record, at))
    except OSError as error:
        _log.error("the attendance file %s cannot be written: %s", daily.path(at), error)


def _lock_file(handle: int) -> None:
    """Lock out other processes, where the platform has such locks; one write is one line without it too."""
    try:
        import fcntl
    except ImportError:
        return
    fcntl.flock(handle, fcntl.LOCK_EX)


def _one_line(text: str) -> str:
    return " ".join(
        "".join(character if character.isprintable() and character != "," else " " for character in text).split()
    )
