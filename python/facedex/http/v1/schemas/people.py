"""Galleries, people, faces and photos."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, StrictInt, StrictStr

from ....options import FacePolicy, OnExisting, Rendition
from .base import Answer, Box, Options, PersonId, Similarity


class Gallery(Answer):
    """A gallery."""

    name: str = Field(examples=["default"])


class NewGallery(Options):
    """A gallery to be made."""

    name: str = Field(min_length=1, max_length=64, examples=["visitors"])


class Face(Answer):
    """A stored face."""

    face_id: int
    bbox: Box
    det_score: float = Field(ge=0, le=1)
    quality: float | None = Field(None, ge=0, le=100, description="For recognition; null where it was not measured.")
    created_at: datetime
    photo_id: int | None = None


class Person(Answer):
    """A registered person."""

    person_id: PersonId
    name: str | None = Field(examples=["Ayu"])
    email: str | None
    info: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    retain_until: datetime | None
    faces: list[Face]


def _from_text(value: object) -> object:
    """Read an object that stands in a form or query, which can hold it only as JSON text."""
    if isinstance(value, str):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


Info = Annotated[dict[str, Any] | None, BeforeValidator(_from_text)]
Id = Annotated[StrictStr | StrictInt, Field(union_mode="left_to_right", examples=["ayu"])]
"""A person's id as it is given: neither true nor 1.0 is somebody's number 1."""


class Registering(Options):
    """How a person is registered."""

    faces: FacePolicy = Field(default="one", description="One face, or the largest of several.")
    min_face: int | None = Field(default=None, ge=1, le=100_000, description="Least height of a face, pixels.")
    strict: bool = Field(default=False, description="Refuse a face that resembles another person.")


class NewPerson(Registering):
    """A person to be registered."""

    person_id: Id = Field(description="Your own key, 1 to 255 characters without '/'.")
    name: str | None = Field(default=None, examples=["Ayu"])
    email: str | None = None
    info: Info = None
    retain_until: datetime | None = Field(
        default=None, description="When the person is to be deleted, with a time zone."
    )
    on_existing: OnExisting = "error"


class PersonChange(Options):
    """What is to be changed; null clears, what is not given stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "Ayu Lestari"}]})

    name: str | None = None
    email: str | None = None
    info: dict[str, Any] | None = None
    retain_until: datetime | None = None


class RegisteredFace(Answer):
    """A face that was stored."""

    face_id: int
    source: int = Field(description="Place of its picture among those sent, from 0.")
    bbox: Box
    det_score: float = Field(ge=0, le=1)
    quality: float | None = Field(None, ge=0, le=100, description="For recognition; null where it was not measured.")


class Rejection(Answer):
    """A picture that was refused."""

    source: int
    code: str
    message: str


class Duplicate(Answer):
    """A face that resembles another person."""

    source: int
    person_id: PersonId
    name: str | None
    similarity: Similarity
    threshold: float


class Registration(Answer):
    """What was stored."""

    person_id: PersonId
    faces: list[RegisteredFace]
    rejected: list[Rejection]
    warnings: list[Duplicate]
    replaced: list[int]


class Deletion(Answer):
    """The receipt of a deletion."""

    gallery: str
    person_id: PersonId
    name: str | None
    person_removed: bool
    faces: list[int]
    templates: int
    events: int
    deleted_at: datetime
    salt: str
    digest: str
    wiped: bool


class Photo(Answer):
    """A stored photo; its picture is at `/v1/photos/{photo_id}/image`."""

    photo_id: int
    person_id: PersonId
    rendition: str
    media_type: str
    width: int
    height: int
    filename: str | None
    faces: list[int]
    created_at: datetime


class PhotoOptions(Options):
    """How a photo is kept."""

    rendition: Rendition | None = None
