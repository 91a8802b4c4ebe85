"""How the server stands: index, audit, attendance, jobs, sessions, health."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BaseModel, Field

from ...._core import is_plain_name
from ....options import KeptPhotos, WithoutPhoto
from .base import Answer, Options, PersonId


def _named(pack: str) -> str:
    if not is_plain_name(pack):
        raise ValueError("must be the name of a pack, by the rule of manifests, and no path")
    return pack


class Status(Answer):
    """How a gallery stands."""

    gallery: str
    pack: str
    pack_digest: str
    people: int
    faces: int
    method: str
    position: int
    rebuilt: str | None
    encrypted: bool
    due: int
    dormant: int = Field(default=0, description="Faces without a template of the pack; they are not recognised.")
    search: str = Field(default="local", description="Where it is searched.")
    why: str = Field(default="", description="Why it searches in this way.")
    recall: float | None = Field(default=None, ge=0, le=1, description="Measured against an exact search, in [0, 1].")


class Event(Answer):
    """A line of the audit."""

    seq: int
    at: datetime
    kind: str
    actor: str | None
    person_id: PersonId | None
    erased: bool
    similarity: float | None
    threshold: float | None
    facts: dict[str, Any]
    digest: str


class AuditReport(Answer):
    """Whether the chain of the audit is whole."""

    lines: int
    head: str
    whole: bool
    first_bad: int | None
    reason: str | None
    sealed: bool | None = Field(
        description="Whether its end is sealed with the audit's key; null where the server has none."
    )


class Migrating(Options):
    """To which pack a gallery is moved."""

    pack: Annotated[str, AfterValidator(_named)] = Field(
        max_length=200, examples=["mobile"], description="Of 'facedex packs': a name, never a path."
    )
    without_photo: WithoutPhoto = Field(
        default="stop", description="Whether people without an original photo keep the gallery where it is."
    )


class Attempt(Answer):
    """An attempt to be recognised."""

    id: int
    at: datetime
    contract: str
    claimed: str | None
    person_id: str | None = Field(validation_alias=AliasChoices("person_key", "person_id"), examples=["ayu"])
    name: str | None
    matched: bool
    similarity: float | None
    probability: float | None
    liveness: float | None


class Job(Answer):
    """A piece of long work."""

    id: str
    kind: str
    gallery: str
    state: Literal["queued", "running", "done", "failed", "cancelled", "lost"]
    done: int
    total: int | None
    answer: dict[str, Any]
    created_at: datetime
    finished_at: datetime | None


class SigningIn(Options):
    """Login or e-mail address, and password."""

    login: str = Field(min_length=1, max_length=255, examples=["ayu@example.org"])
    password: str = Field(min_length=1, max_length=1024, json_schema_extra={"format": "password"})
    cookie: bool = Field(default=False, description="Set a cookie for the page instead of answering the token.")


class Session(BaseModel):
    """Who is signed in."""

    kind: Literal["key", "account", "anybody", "operator"]
    name: str
    scopes: list[str]
    open: bool = Field(description="Whether this server asks for no keys.")


class SignedIn(Session):
    """Somebody has signed in."""

    token: str | None = Field(description="To be sent as 'Authorization: Bearer'; null when a cookie was set.")
    expires_at: datetime


class Health(BaseModel):
    """Whether the server is well."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """Whether the gallery can be asked, and whether changes can be stored."""

    status: Literal["ok", "degraded"]
    storage: Literal["ok", "locked", "full", "read_only"]


class Disk(BaseModel):
    """Space where the gallery is, bytes."""

    total: int
    free: int


class Pack(Answer):
    """The networks that a gallery works with."""

    name: str = Field(examples=["base"])
    summary: str
    dimension: int | None
    threshold: float | None
    licences: list[str]
    commercial: bool = Field(description="Whether the licences allow commercial use.")


class Stats(BaseModel):
    """How the machine and the gallery stand."""

    version: str
    cpu_percent: float
    memory_percent: float
    process_memory: int = Field(description="Of this process, bytes.")
    disk: Disk | None
    inside: dict[str, int] = Field(description="Requests being worked on or waiting, by lane.")
    gallery: Status
    pack: Pack
    photos: KeptPhotos = Field(description="What is kept of the pictures.")
    total_s: float = Field(description="Time of this process for its pictures, seconds.")
    network_s: float = Field(description="The part of it in the networks, seconds.")
    images: int = Field(description="Pictures that this process has analysed.")
