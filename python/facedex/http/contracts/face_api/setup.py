"""The old backend's settings and words, and who may change something."""

from __future__ import annotations

from typing import Any

from fastapi import Request, UploadFile
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ....errors import BodyTooLargeError, UnauthenticatedError
from ....server import Principal
from ...admission import before_body
from ...security import principal_of
from ..pictures import read
from ..shapes import Words, shape

NAME = "face-api"
WORDS = Words(
    {
        "unknown_person": "there is no such class_id",
        "unknown_face": "there is no such image_id",
        "sign_in": "wrong username or password",
        "duplicate_account": "the username or e-mail address is taken",
    },
    {"person_id": "class_id", "login": "username"},
)
SHAPE = shape(lambda message: {"success": False, "message": message}, WORDS)


class FaceApiSettings(BaseSettings):
    """The old backend's settings that still say something: its own names in the environment or in ``.env``."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True)

    model_name: str = "facedex"
    max_vectors: int = Field(default=1_000_000, ge=1)
    max_file_size: int = Field(default=10 * 1024 * 1024, ge=1)
    enable_anti_spoofing: bool = False
    anti_spoofing_threshold: float = Field(default=0.7, ge=0, le=1)
    anti_spoofing_strict: bool = False


async def upload_of(file: UploadFile, settings: FaceApiSettings) -> bytes:
    """Read an upload; raises BodyTooLargeError above ``MAX_FILE_SIZE``."""
    data = await read(file)
    if len(data) > settings.max_file_size:
        raise BodyTooLargeError(
            f"the file has {len(data)} bytes, at most {settings.max_file_size} are taken", limit=settings.max_file_size
        )
    return data


@before_body
async def signed_in(request: Request) -> Principal:
    """Return who asks, who must have shown a token or a key, however open the server is.

    Raises
    ------
    UnauthenticatedError
    """
    principal = await principal_of(request)
    if principal.kind == "anybody" or (principal.kind == "operator" and principal.name == "operator"):
        raise UnauthenticatedError("a bearer token is needed; sign in at /api/login")
    return principal


def info_text(info: dict[str, Any]) -> str | None:
    """Take the free text of a person from the free data."""
    text = info.get("info")
    return text if isinstance(text, str) else None


def person_info(class_id: Any, name: str | None, info: dict[str, Any]) -> dict[str, Any]:
    """Describe a person in the contract's words."""
    return {"class_id": str(class_id), "name": name, "info": info_text(info)}
