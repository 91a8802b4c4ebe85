"""The settings and errors of the contract, and what its routes share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Request, UploadFile
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ....errors import BodyTooLargeError, UnauthenticatedError
from ....server import Principal
from ...admission import before_body
from ...pictures import form_of, json_of
from ...security import principal_of
from ..faces import read_upload
from ..shapes import ErrorFormat

ERRORS = ErrorFormat(
    "face-api",
    {"success": False, "message": "a bearer token is needed"},
    {
        "unknown_person": "there is no such class_id",
        "unknown_face": "there is no such image_id",
        "sign_in": "wrong username or password",
        "duplicate_account": "the username or e-mail address is taken",
    },
    {"person_id": "class_id", "login": "username"},
)


class FaceApiSettings(BaseSettings):
    """The settings of the old backend that still apply, by its names in the environment or in ``.env``."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True)

    model_name: str = "facedex"
    max_vectors: int = Field(default=1_000_000, ge=1)
    max_file_size: int = Field(default=10 * 1024 * 1024, ge=1)
    enable_anti_spoofing: bool = False
    anti_spoofing_threshold: float = Field(default=0.7, ge=0, le=1)
    anti_spoofing_strict: bool = False


async def read_file(file: UploadFile, settings: FaceApiSettings) -> bytes:
    """Read an upload; raises BodyTooLargeError above ``MAX_FILE_SIZE``."""
    data = await read_upload(file)
    if len(data) > settings.max_file_size:
        raise BodyTooLargeError(
            f"the file has {len(data)} bytes, at most {settings.max_file_size} are taken", limit=settings.max_file_size
        )
    return data


@before_body
async def require_sign_in(request: Request) -> Principal:
    """Return the caller, who needs a token or a key even on an open server.

    Raises
    ------
    UnauthenticatedError
    """
    principal = await principal_of(request)
    if principal.kind == "anybody" or (principal.kind == "operator" and principal.name == "operator"):
        raise UnauthenticatedError("a bearer token is needed; sign in at /api/login")
    return principal


def free_text(info: dict[str, Any]) -> str | None:
    """Return the free text of a person from the free data."""
    text = info.get("info")
    return text if isinstance(text, str) else None


def person_info(class_id: Any, name: str | None, info: dict[str, Any]) -> dict[str, Any]:
    """Format a person."""
    return {"class_id": str(class_id), "name": name, "info": free_text(info)}


async def fields_of(request: Request) -> Mapping[str, Any]:
    """Read the fields of a body in JSON or of a form."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return await json_of(request) if kind == "application/json" else await form_of(request, 1)
