"""Who is in a picture, and what a picture shows."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field

from ...._core import Quality
from ....options import FacePolicy, LivenessMode
from .base import Answer, Box, Options, PersonId, Similarity, Told
from .people import Id


class Size(Answer):
    """Of the upright picture, pixels."""

    width: int
    height: int


class Liveness(Answer):
    """Whether a face is judged to be live, and not a print or a screen."""

    status: Literal["live", "attack", "unavailable"]
    score: float | None
    threshold: float | None
    reason: str | None


class Attributes(Answer):
    """Age and gender, as a network guesses them."""

    age: float
    gender: Literal["female", "male"]
    gender_score: float


def _figures(value: object) -> object:
    return value.to_dict() if isinstance(value, Quality) else value


class FoundAttributes(Answer):
    """What was asked about a face besides who it is."""

    liveness: Liveness | None = None
    attributes: Attributes | None = None
    quality: Annotated[dict[str, float] | None, BeforeValidator(_figures)] = None


class Candidate(Answer):
    """A person who resembles a face."""

    person_id: PersonId
    name: str | None
    similarity: Similarity
    face_id: int


class FoundFace(FoundAttributes):
    """A face and who it is."""

    bbox: Box
    landmarks: list[tuple[float, float]]
    det_score: float
    person_id: PersonId | None
    name: str | None
    similarity: Similarity
    threshold: float
    margin: float | None
    candidates: list[Candidate]


class Recognition(Answer):
    """Who is in a picture; the largest face first."""

    image_size: Size
    faces: list[FoundFace]
    elapsed_s: float


class BatchItem(BaseModel):
    """The answer for one picture of several: who is in it, or why it was refused."""

    recognition: Recognition | None = None
    error: Told | None = None


class Batch(BaseModel):
    """Who is in each picture, in the order in which they were sent."""

    items: list[BatchItem]


class Asking(Options):
    """What is asked besides."""

    liveness: LivenessMode = "off"
    attributes: bool = False
    quality: bool = False


class Recognising(Asking):
    """How faces are recognised."""

    k: int = Field(default=1, ge=1, le=100, description="Candidates to name for each face.")
    threshold: float | None = Field(default=None, ge=-1, le=1, description="Instead of the gallery's.")
    min_face: int | None = Field(default=None, ge=1, le=100_000, description="Least height of a face, pixels.")
    attend: bool = Field(default=False, description="Note in the attendance who was there.")


class Verifying(Options):
    """How a claim is verified."""

    person_id: Id = Field(description="The person claimed.")
    threshold: float | None = Field(default=None, ge=-1, le=1)
    faces: FacePolicy = "one"
    min_face: int | None = Field(default=None, ge=1, le=100_000)
    liveness: LivenessMode = "off"
    attend: bool = Field(default=False, description="Note in the attendance who was there.")


class Verification(FoundAttributes):
    """Whether a picture shows the person claimed."""

    person_id: PersonId
    match: bool
    similarity: Similarity
    threshold: float
    bbox: Box
    face_id: int


class Comparing(Options):
    """How two pictures are compared."""

    threshold: float | None = Field(default=None, ge=-1, le=1)


class Comparison(Answer):
    """Whether two pictures show the same person."""

    similarity: Similarity
    threshold: float
    match: bool
    bbox_a: Box
    bbox_b: Box


class Detecting(Asking):
    """How faces are detected."""

    min_face: int | None = Field(default=None, ge=1, le=100_000)
    max_faces: int | None = Field(default=None, ge=1, le=10000)


class DetectedFace(FoundAttributes):
    """A face in a picture."""

    bbox: Box
    landmarks: list[tuple[float, float]] | None
    det_score: float


class Detection(Answer):
    """The faces of a picture; the largest first."""

    image_size: Size
    faces: list[DetectedFace]


class EmbeddedFace(DetectedFace):
    """A face with its embedding, which is personal data."""

    embedding: list[float]


class Embedding(Answer):
    """The faces of a picture with their embeddings."""

    pack: str
    pack_digest: str
    image_size: Size
    faces: list[EmbeddedFace]
