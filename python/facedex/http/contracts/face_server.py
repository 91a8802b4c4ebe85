"""Contract `face-server`: JSON with base64 photos; the encodings of a user are limited; photos are never stored.

Thresholds and answers are Euclidean distances of dlib's descriptors (docs/scales.md).
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import psutil
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, StrictInt, StrictStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from ... import __version__
from ...errors import EnrolmentError, UnknownFaceError, UnknownPersonError
from ...gallery import Gallery
from ...records import PersonId
from ...scales import DLIB
from ..pictures import decode_picture
from ..security import principal_of, require_scope
from ..services import ServicesOf
from .faces import find_face, recognize_largest, scale_map
from .people import delete_person, now
from .shapes import ErrorFormat

LOG_FILE = "face_server.log"

_log = logging.getLogger("facedex.contracts.face_server")
_QUALITY = 100.0  # facedex gives quality in percent, the contract as a share

ERRORS = ErrorFormat(
    "face-server",
    {"success": False, "message": "Face not found"},
    {
        "no_face": "No face detected in image",
        "several_faces": "More than one face detected in image",
        "not_an_image": "Photo is not base64 of an image",
    },
    {"person_id": "user_id"},
)
SHAPES = tuple((path, ERRORS.respond) for path in ("/register-face", "/recognize", "/status/", "/face/", "/stats"))


class FaceServerSettings(BaseSettings):
    """The old backend's settings: its own names in the environment or in ``.env``."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True)

    face_data_dir: str = "./face_data"
    recognition_tolerance: float = Field(default=0.6, ge=0)
    face_quality_threshold: float = Field(default=0.8, ge=0, le=1)
    max_faces_per_user: int = Field(default=5, ge=1)
    log_level: str = Field(default="INFO", pattern="(?i)^(DEBUG|INFO|WARNING|ERROR|CRITICAL)$")


class RegisterRequest(BaseModel):
    """A photo of a user."""

    user_id: StrictInt | StrictStr = Field(examples=[123])
    photo: str = Field(examples=["data:image/jpeg;base64,/9j/4AAQSk..."])


class RecognizeRequest(BaseModel):
    """A photo of a person."""

    photo: str = Field(examples=["data:image/jpeg;base64,/9j/4AAQSk..."])


SETTINGS = FaceServerSettings


def router(settings: FaceServerSettings) -> APIRouter:
    """Make the routes of the contract."""
    _write_log(settings.log_level.upper())
    routes = ERRORS.router()

    @routes.post("/register-face", dependencies=[Depends(require_scope("enrol"))])
    async def register_face(services: ServicesOf, body: RegisterRequest) -> dict[str, Any]:
        """Add a face to a user; the first one creates the user."""
        photo = decode_picture(body.photo).data
        await services.work(lambda gallery: _register(gallery, body.user_id, photo, settings))
        _log.info("registered a face of a user")
        return {
            "success": True,
            "message": "Face registered successfully",
            "user_id": body.user_id,
            "registered_at": now(),
        }

    @routes.post("/recognize", dependencies=[Depends(require_scope("recognise"))])
    async def recognize(services: ServicesOf, body: RecognizeRequest) -> dict[str, Any]:
        """Recognize the person on a photo."""
        photo = decode_picture(body.photo).data
        found = await services.work(lambda gallery: _recognize(gallery, photo, settings.recognition_tolerance))
        if found is None:
            return {"success": False, "message": "Face not recognized", "user_id": "unknown", "confidence": 0.0}
        user_id, confidence = found
        return {
            "success": True,
            "message": "Face recognized successfully",
            "user_id": user_id,
            "confidence": confidence,
            "recognized_at": now(),
        }

    @routes.get("/status/{user_id:path}", dependencies=[Depends(require_scope("read"))])
    async def status(services: ServicesOf, user_id: str) -> dict[str, Any]:
        """Return whether a user is registered, and the number of encodings."""
        try:
            person = await services.query(lambda gallery: gallery.person(user_id))
        except UnknownPersonError:
            known: dict[str, Any] = {"registered": False, "last_updated": None, "encoding_count": 0}
            return {"success": True, "user_id": user_id, **known}
        known = {"registered": bool(person.faces), "last_updated": person.updated_at.isoformat()}
        return {"success": True, "user_id": person.person_id, **known, "encoding_count": len(person.faces)}

    @routes.delete("/face/{user_id:path}", dependencies=[Depends(require_scope("enrol"))])
    async def delete_face(services: ServicesOf, user_id: str) -> Any:
        """Delete a user with all data."""
        try:
            deleted = await services.work(lambda gallery: delete_person(gallery, gallery.person(user_id)))
        except UnknownPersonError:
            return JSONResponse({"success": False, "message": "User not found"}, 404)
        return {"success": True, "message": "Face data deleted successfully", "user_id": deleted.person_id}

    @routes.get("/health")
    async def health(services: ServicesOf, request: Request) -> dict[str, Any]:
        """Return that the server is up, and with the scope `read` what it holds."""
        online = {"status": "online", "service": "facedex", "timestamp": now()}
        if not (await principal_of(request)).has_scope("read"):
            return online
        _, faces = await services.query(lambda gallery: gallery.lookup.counts())
        return online | {
            "version": __version__,
            "registered_faces": faces,
            "face_data_dir": settings.face_data_dir,
            "recognition_tolerance": settings.recognition_tolerance,
        }

    @routes.get("/stats", dependencies=[Depends(require_scope("read"))])
    async def stats(services: ServicesOf) -> dict[str, Any]:
        """Return counts and the load of the machine."""
        people, faces = await services.query(lambda gallery: gallery.lookup.counts())
        machine = await services.limits.queries.run(_machine)
        counts = {"registered_users": people, "total_encodings": faces}
        server = {
            "recognition_tolerance": settings.recognition_tolerance,
            "data_directory": settings.face_data_dir,
            "server_info": machine,
        }
        return {"success": True, "stats": counts | server}

    return routes


def _register(gallery: Gallery, user_id: PersonId, photo: bytes, settings: FaceServerSettings) -> None:
    face = find_face(gallery, photo, faces="one", quality=True)
    quality = 0.0 if face.quality is None else face.quality.unified_score / _QUALITY
    threshold = settings.face_quality_threshold
    if quality < threshold:
        raise EnrolmentError(
            f"Face quality {quality:.2f} is below the threshold of {threshold:g}", measured=quality, limit=threshold
        )
    gallery.register(user_id, photo, on_existing="add")
    for surplus in gallery.person(user_id).faces[: -settings.max_faces_per_user]:
        try:
            gallery.delete_face(surplus.face_id)
        except UnknownFaceError:
            continue  # another worker has deleted it


def _recognize(gallery: Gallery, photo: bytes, tolerance: float) -> tuple[PersonId, float] | None:
    scale = scale_map(gallery, DLIB)
    face = recognize_largest(gallery, photo, threshold=scale.to_pack(tolerance))
    if face is None or face.person_id is None:
        return None
    return face.person_id, round(max(0.0, 1.0 - scale.from_pack(face.similarity)), 4)


def _machine() -> dict[str, float]:
    return {
        "cpu_percent": psutil.cpu_percent(),
        "memory_percent": psutil.virtual_memory().percent,
        "disk_usage": psutil.disk_usage(str(Path.cwd())).percent,
    }


def _write_log(level: str) -> None:
    """Log to the console and, once a process, to the file of the old backend."""
    _log.setLevel(level)
    if not any(isinstance(handler, logging.FileHandler) for handler in _log.handlers):
        handler = logging.FileHandler(LOG_FILE, encoding="utf-8", delay=True)
        handler.setFormatter(logging.Formatter("%(asctime)s - %(levelname)s - %(message)s"))
        _log.addHandler(handler)
