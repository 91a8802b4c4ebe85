"""What `/v1` accepts and answers. A box is x1, y1, x2, y2 in pixels of the upright image; a time is UTC.

A similarity is a cosine in [-1, 1], higher is closer, and no probability. Requests are declared here; an answer is made
from the record or result that it shows, by `facedex.http.v1.answers.answer`.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    model_validator,
)

from ... import _core, challenge, records, results, thresholds
from ..._core import is_plain_name
from ...options import FacePolicy, KeptPhotos, LivenessMode, OnExisting, Rendition, WithoutPhoto
from ...server import ApiKey as StoredKey
from ...server import AttendanceRecord
from ...server import Challenge as IssuedChallenge
from ...server import Job as StoredJob
from ...store import Storage
from ..errors import describe
from .answers import Answer, answer, answers_for

_Item = TypeVar("_Item")

RATE = r"^f(mr|pir)=(0?\.0{0,9}[1-9][0-9]{0,5}|[1-9](\.[0-9]{1,5})?e-0?[1-9])$"
"""A rate between 0 and 1, as `facedex.thresholds.parse_rule` reads it."""

# Requests


class Options(BaseModel):
    """Base of the request models; an unknown name is refused."""

    model_config = ConfigDict(extra="forbid")


def _from_text(value: object) -> object:
    """Parse an object in a form or query, which can hold it only as JSON text."""
    if isinstance(value, str):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _pack_name(pack: str) -> str:
    if not is_plain_name(pack):
        raise ValueError("must be the name of a pack, by the rule of manifests, and no path")
    return pack


Info = Annotated[dict[str, Any] | None, BeforeValidator(_from_text)]
Id = Annotated[StrictStr | StrictInt, Field(union_mode="left_to_right", examples=["ayu"])]
"""The id of a person in a request: neither true nor 1.0 is the number 1."""
MinFace = Annotated[int | None, Field(ge=1, le=100_000, description="Least height of a face, pixels.")]
Threshold = Annotated[
    Annotated[float, Field(ge=-1, le=1)] | Annotated[str, Field(pattern=RATE)] | None,
    Field(description="A similarity, or a rate such as fmr=1e-4 or fpir=0.01; by default the gallery's."),
]
Faces = Annotated[FacePolicy, Field(description="One face, or the largest of several.")]


ChallengeId = Annotated[
    str, Field(min_length=1, max_length=64, description="Of `POST /v1/challenges`.", examples=["Zk3vX0q..."])
]


class NewGallery(Options):
    """A gallery to create."""

    name: str = Field(min_length=1, max_length=64, examples=["visitors"])


class Registering(Options):
    """How a person is registered."""

    faces: Faces = "one"
    min_face: MinFace = None
    strict: bool = Field(default=False, description="Refuse a face that resembles another person.")


class NewPerson(Registering):
    """A person to register."""

    person_id: Id = Field(description="Your own key, 1 to 255 characters without '/'.")
    name: str | None = Field(default=None, examples=["Ayu"])
    email: str | None = None
    info: Info = None
    retain_until: datetime | None = Field(
        default=None, description="When the person is to be deleted, with a time zone."
    )
    on_existing: OnExisting = "error"


class PersonChange(Options):
    """What to change; null clears a field, a field that is left out stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "Ayu Lestari"}]})

    name: str | None = None
    email: str | None = None
    info: dict[str, Any] | None = None
    retain_until: datetime | None = None


class PhotoOptions(Options):
    """How a photo is stored."""

    rendition: Rendition | None = None


class Asking(Options):
    """What is computed of each face besides who it is."""

    liveness: LivenessMode = "off"
    attributes: bool = False
    quality: bool = False


class Attending(Options):
    """Whether the result is recorded."""

    attend: bool = Field(default=False, description="Record the result in the attendance.")


class Recognising(Asking, Attending):
    """How faces are recognised."""

    k: int = Field(default=1, ge=1, le=100, description="Number of candidates for each face.")
    threshold: Threshold = None
    min_face: MinFace = None
    max_faces: int | None = Field(
        default=None, ge=1, le=10_000, description="Maximum number of faces; the largest are returned."
    )


class Verifying(Asking, Attending):
    """How a claim is verified."""

    person_id: Id = Field(description="The person claimed.")
    threshold: Threshold = None
    faces: Faces = "one"
    min_face: MinFace = None


class Comparing(Options):
    """How two pictures are compared."""

    threshold: Threshold = None


class Detecting(Asking):
    """How faces are detected."""

    min_face: MinFace = None
    max_faces: int | None = Field(
        default=None, ge=1, le=10_000, description="Maximum number of faces; the largest are returned."
    )


class Migrating(Options):
    """To which pack a gallery is moved."""

    pack: Annotated[str, AfterValidator(_pack_name)] = Field(
        max_length=200, examples=["mobile"], description="One of 'facedex packs': a name, never a path."
    )
    without_photo: WithoutPhoto = Field(
        default="stop", description="Whether people without an original photo stop the migration or are left behind."
    )


class Answering(Options):
    """The frames that answer a challenge have no options."""


class NewKey(Options):
    """An API key to create."""

    name: str = Field(min_length=1, max_length=255, examples=["front door"])
    scopes: list[str] = Field(min_length=1, max_length=4, examples=[["recognise"]])
    expires_at: datetime | None = None


class SigningIn(Options):
    """Login or e-mail address, and password."""

    login: str = Field(min_length=1, max_length=255, examples=["ayu@example.org"])
    password: str = Field(min_length=1, max_length=1024, json_schema_extra={"format": "password"})
    cookie: bool = Field(default=False, description="Set a cookie for the page instead of answering the token.")


class FaceSigningIn(Options):
    """Login or e-mail address, and the challenge that the frames answer."""

    login: str = Field(min_length=1, max_length=255, examples=["ayu@example.org"])
    challenge_id: ChallengeId
    cookie: bool = Field(default=False, description="Set a cookie for the page instead of answering the token.")


# Answers that are native objects, or exist only here


class Problem(BaseModel):
    """Problem details as RFC 9457 has them, with the stable code of facedex."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    instance: str
    code: str


class ErrorDetail(BaseModel):
    """An error that is one of several."""

    code: str
    message: str


class Page(Answer, Generic[_Item]):
    """A page of a list."""

    items: list[_Item]
    next_cursor: str | None = Field(default=None, description="Give it as `cursor` for the next page; null at the end.")


class Gallery(Answer):
    """A gallery."""

    name: str


@answers_for(_core.Liveness)
class Liveness(Answer):
    """Whether a face is live, and not a print or a screen."""

    status: Literal["live", "attack", "unavailable"]
    score: float | None = Field(description="[0, 1], higher is more likely live; null when it cannot be judged.")
    threshold: float | None = Field(description="Least score of a live face, inclusive.")
    reason: str | None = Field(description="Why it cannot be judged.")


@answers_for(_core.Attributes)
class Attributes(Answer):
    """Age and gender, as a network guesses them."""

    age: float = Field(description="Years.")
    gender: Literal["female", "male"]
    gender_score: float = Field(description="[0.5, 1]; not calibrated.")


Quality = answers_for(_core.Quality)(
    Annotated[
        dict[str, float],
        BeforeValidator(lambda value: value.to_dict() if isinstance(value, _core.Quality) else value),
    ]
)
_Numbers = BeforeValidator(lambda value: value.tolist() if hasattr(value, "tolist") else value)


@answers_for(results.ImageSize)
class Size(Answer):
    """Size of the upright picture, pixels."""

    width: int
    height: int


@answers_for(_core.Face)
class DetectedFace(Answer):
    """A face in a picture."""

    bbox: Annotated[tuple[float, float, float, float], _Numbers] = Field(description="x1, y1, x2, y2, pixels.")
    landmarks: Annotated[list[tuple[float, float]] | None, _Numbers] = Field(
        description="Right eye, left eye, nose, right and left mouth corner of the subject; x, y in pixels."
    )
    det_score: float = Field(description="The detector's certainty, [0, 1].")
    liveness: Liveness | None
    attributes: Attributes | None
    quality: Quality | None  # type: ignore[valid-type]  # made above


class EmbeddedFace(DetectedFace):
    """A face with its embedding, which is personal data."""

    embedding: Annotated[list[float], _Numbers] = Field(description="Unit length.")


class Embedding(Answer):
    """The faces of a picture with their embeddings."""

    pack: str
    pack_digest: str
    image_size: Size
    faces: list[EmbeddedFace]


@answers_for(records.Rejection)
class Rejection(Answer):
    """A picture that was refused."""

    source: int = Field(description="Its place among those sent, from 0.")
    code: str
    message: str

    @model_validator(mode="before")
    @classmethod
    def _from_record(cls, value: Any) -> Any:
        return {"source": value.source, **describe(value.error)} if isinstance(value, records.Rejection) else value


# Answers that are records and results of the library

Challenge = answer(IssuedChallenge, name="Challenge")
FramePose = answer(challenge.FramePose)
Face = answer(records.StoredFace, name="Face")
Person = answer(records.Person, omit=("number",))
RegisteredFace = answer(records.RegisteredFace)
Duplicate = answer(records.Duplicate)
Outlier = answer(records.Outlier)
Registration = answer(records.Registration)
Deletion = answer(records.Deletion)
Photo = answer(records.Photo)
Candidate = answer(results.Candidate)
Decision = answer(thresholds.Decision)
FoundFace = answer(results.FoundFace, omit=("source",))
Recognition = answer(results.Recognition, omit=("source",))
Verification = answer(results.Verification)
Comparison = answer(results.Comparison)
Detection = answer(results.Analysis, name="Detection", omit=("source",))
Status = answer(records.Status, omit=("location",))
Event = answer(records.AuditEvent, name="Event", omit=("person", "pack"))
AuditReport = answer(records.AuditReport, properties=("intact",))
Attempt = answer(AttendanceRecord, name="Attempt")
Job = answer(StoredJob)
ApiKey = answer(StoredKey)
ShownKey = answer(StoredKey, name="ShownKey", extra={"key": (str, "The key itself; it is shown this once.")})


def page_of(item: Any) -> Any:
    """Make the response model of a page of a list."""
    page = Page[item]
    page.__doc__ = Page.__doc__
    return page


# Answers that hold others


class BatchItem(Answer):
    """The answer for one picture of several: who is in it, or why it was refused."""

    recognition: Recognition | None = None  # type: ignore[valid-type]
    error: ErrorDetail | None = None


class Batch(Answer):
    """Who is in each picture, in the order in which they were sent."""

    items: list[BatchItem]


class Answered(Answer):
    """A challenge was followed by one person, in all frames."""

    passed: Literal[True]
    frames: list[FramePose]  # type: ignore[valid-type]


class Session(BaseModel):
    """Who is signed in."""

    kind: Literal["key", "account", "anybody", "operator"]
    name: str
    scopes: list[str]
    open: bool = Field(description="Whether this server works without keys.")
    face_sign_in: bool = Field(default=False, description="Whether a face can sign in with `POST /v1/session/face`.")


class SignedIn(Session):
    """Somebody has signed in."""

    token: str | None = Field(description="Send it as 'Authorization: Bearer'; null when a cookie was set.")
    expires_at: datetime


class Health(BaseModel):
    """Whether the process answers."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """Whether the gallery can be read, and whether changes can be stored."""

    status: Literal["ok", "degraded"]
    storage: Storage


class Disk(BaseModel):
    """Space where the gallery is, bytes."""

    total: int
    free: int


class Pack(Answer):
    """The networks that a gallery works with."""

    name: str
    summary: str
    dimension: int | None
    threshold: float | None
    licences: list[str]
    commercial: bool = Field(description="Whether the licences allow commercial use.")


class Stats(Answer):
    """State of the machine and of the gallery."""

    version: str
    cpu_percent: float
    memory_percent: float
    process_memory: int = Field(description="Of this process, bytes.")
    disk: Disk | None
    inside: dict[str, int] = Field(description="Requests that are being answered or wait, by lane.")
    gallery: Status  # type: ignore[valid-type]
    pack: Pack
    photos: KeptPhotos = Field(description="Which photos are stored.")
    total_s: float = Field(description="Time of this process for its pictures, seconds.")
    network_s: float = Field(description="Time in the networks, summed over threads, seconds; it may exceed `total_s`.")
    images: int = Field(description="Pictures that this process has analysed.")
