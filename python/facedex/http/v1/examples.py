"""Examples of the OpenAPI document: of each schema, made from examples of its fields, and of each code of an error."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from ... import errors as e
from ...errors import FacedexError
from ...records import Rejection
from ..errors import details_of, problem_of_ours

_MADE, _LATER = "2026-03-02T08:15:30Z", "2026-03-02T20:15:30Z"
_DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_BOX = [120.0, 80.0, 360.0, 380.0]
_QUALITY = {
    **{"unified_score": 94.4, "head_size": 100.0, "inter_eye_distance": 100.0, "head_pose": 92.7, "sharpness": 95.0},
    **{"exposure": 86.8, "dynamic_range": 90.7, "face_occlusion_prevention": 100.0},
    **{"yaw": 0.7, "pitch": 15.7, "roll": 0.3},
}

VALUES: dict[str, Any] = {
    "actor": "front desk",
    "age": 31.0,
    "answer": {},
    "bbox": _BOX,
    "bbox_a": _BOX,
    "bbox_b": _BOX,
    "claimed": "ayu",
    "code": "no_face",
    "commercial": True,
    "contract": "v1",
    "challenge_id": "Zk3vX0q...",
    "actions": ["turn_left", "come_closer", "turn_right"],
    "cpu_percent": 12.5,
    "deleted_at": _LATER,
    "det_score": 0.998,
    "digest": _DIGEST,
    "dimension": 192,
    "done": 40,
    "elapsed_s": 0.041,
    "email": "ayu@example.org",
    "embedding": [0.031, -0.102, 0.087],
    "entries": 41,
    "expires_at": _LATER,
    "face_id": 7,
    "faces": [7],
    "facts": {"faces": 1},
    "filename": "ayu.jpg",
    "free": 310_000_000_000,
    "gallery": "default",
    "gender_score": 0.98,
    "head": _DIGEST,
    "height": 480,
    "images": 740,
    "info": {"department": "archive"},
    "inside": {"work": 1, "ask": 0, "look": 0, "face": 0, "hash": 0},
    "intact": True,
    "key": "fdk_4mT2...",
    "kind": "register",
    "landmarks": [[178.5, 190.0], [298.0, 188.5], [240.0, 250.5], [190.5, 310.0], [288.0, 308.5]],
    "licences": ["Apache-2.0", "MIT"],
    "liveness": 0.97,
    "margin": 0.08,
    "match": True,
    "matched": True,
    "media_type": "image/jpeg",
    "memory_percent": 41.0,
    "message": "no face was found in the picture",
    "method": "exact",
    "name": "Ayu",
    "network_s": 24.9,
    "next_cursor": "YzQx",
    "pack": "base",
    "pack_digest": _DIGEST,
    "password": "correct horse battery",
    "people": 120,
    "person_id": "ayu",
    "person_removed": True,
    "photo_id": 3,
    "photos": 1,
    "position": 512,
    "prefix": "fdk_4mT2",
    "probability": 0.999,
    "process_memory": 268_435_456,
    "quality": 81.0,
    "recall": 1.0,
    "rendition": "original",
    "retain_until": "2027-03-02T00:00:00Z",
    "salt": "5feceb66ffc86f38",
    "scopes": ["recognise"],
    "score": 0.97,
    "search": "local",
    "similarity": 0.965,
    "source": 0,
    "summary": "BlazeFace, O-Net and MobileFaceNet",
    "templates": 1,
    "threshold": 0.54,
    "token": "kV8sQ1...",
    "total": 120,
    "total_s": 31.4,
    "used_at": _LATER,
    "version": "0.1.0",
    "why": "344 faces are searched one by one",
    "width": 640,
    "wiped": True,
    # of one schema
    "ApiKey.name": "front door",
    "Decision.expected": 0.0099,
    "Decision.high": 0.021,
    "Decision.low": 0.004,
    "Decision.rule": "fpir=0.01",
    "DetectedFace.quality": _QUALITY,
    "Disk.total": 512_000_000_000,
    "Duplicate.person_id": "budi",
    "Duplicate.name": "Budi",
    "EmbeddedFace.quality": _QUALITY,
    "FoundFace.quality": _QUALITY,
    "Gallery.name": "default",
    "Job.id": "0d9c5f0e7f3b4a52",
    "Job.kind": "rebuild",
    "Job.state": "running",
    "Liveness.threshold": 0.5,
    "Pack.name": "base",
    "Problem.code": "unknown_person",
    "Problem.detail": "nobody is registered as 'ayu' in gallery 'default'",
    "Problem.instance": "/v1/people/ayu",
    "Problem.status": 404,
    "Problem.title": "Not Found",
    "Session.kind": "account",
    "Session.name": "ayu@example.org",
    "ShownKey.name": "front door",
    "ShownKey.used_at": None,
    "SignedIn.kind": "account",
    "SignedIn.name": "ayu@example.org",
    "Stats.photos": "original",
    "Status.faces": 344,
    "Status.score": "fused",
    "Verification.quality": _QUALITY,
}
"""Examples by the name of a field; a field without one gets the simplest value of its type."""

_SIMPLEST: dict[str, Any] = {"string": "text", "integer": 1, "number": 0.5, "boolean": False, "array": [], "object": {}}


def example_of(name: str, schemas: dict[str, Any]) -> Any:
    """Make an example of a schema of the document, by its name there."""
    schema = schemas[name]
    if "examples" in schema:
        return schema["examples"][0]
    return {field: _value(name, field, one, schemas) for field, one in schema.get("properties", {}).items()}


def _value(owner: str, field: str, schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    own = f"{owner}.{field}"
    if own in VALUES:
        return VALUES[own]
    variants = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    for one in variants:
        referred = one.get("$ref") or one.get("items", {}).get("$ref")
        if referred is not None:
            example = example_of(referred.rpartition("/")[2], schemas)
            return example if "$ref" in one else [example]
    if "examples" in schema:
        return schema["examples"][0]
    if field in VALUES:
        return VALUES[field]
    if "default" in schema or len(variants) < len(schema.get("anyOf", variants)):
        return schema.get("default")
    first = variants[0]
    if "enum" in first or "const" in first:
        return first.get("const", first.get("enum", [None])[0])
    return _MADE if first.get("format") == "date-time" else _SIMPLEST[first["type"]]


@lru_cache
def problem_examples() -> dict[str, dict[str, Any]]:
    """Make an example of each error that `/v1` may answer, by its code, from the error classes and their statuses."""
    return {
        kind.code: {"summary": _summary(kind), "value": details_of(problem_of_ours(_sample(kind)), _INSTANCE)}
        for kind in _answered(FacedexError)
    }


def _answered(kind: type[FacedexError]) -> Iterator[type[FacedexError]]:
    if kind not in _ELSEWHERE:
        if kind not in _ONLY_BASES:
            yield kind
        for one in kind.__subclasses__():
            if one.__module__ == e.__name__:  # not those of an application
                yield from _answered(one)


def _sample(kind: type[FacedexError]) -> FacedexError:
    summary = _summary(kind)
    return kind(summary[0].lower() + summary[1:], **_DATA.get(kind, {}))


def _summary(kind: type[FacedexError]) -> str:
    return inspect.getdoc(kind).partition("\n\n")[0].replace("\n", " ").rstrip(".")  # type: ignore[union-attr]  # all have one


_INSTANCE = "/v1/people/ayu/photos"

_ELSEWHERE = {e.EvaluationError, e.ServeError}
"""Errors of the command line and of Python, which no route answers."""

_ONLY_BASES = {
    *(e.FacedexError, e.PackError, e.AccessError, e.RequestError, e.ChallengeError, e.TransferError, e.GalleryKeyError),
}
"""Classes that are never raised themselves."""

_DATA: dict[type[FacedexError], dict[str, Any]] = {
    e.SeveralFacesError: {"bboxes": ((120.0, 80.0, 360.0, 380.0), (420.0, 90.0, 540.0, 260.0))},
    e.EnrolmentError: {"measured": 0.31, "limit": 0.5},
    e.FaceTooSmallError: {"measured": 31.0, "limit": 40.0},
    e.FaceScoreError: {"measured": 0.41, "limit": 0.6},
    e.FaceQualityError: {"measured": 22.0, "limit": 30.0},
    e.FaceNotLiveError: {"measured": 0.2, "limit": 0.5},
    e.DuplicateFaceError: {"person_id": "budi", "measured": 0.81, "limit": 0.54},
    e.PersonFullError: {"measured": 101, "limit": 100},
    e.RegistrationError: {
        "rejected": (Rejection(source=0, text="ayu.jpg", error=e.NoFaceError("no face was found in the picture")),)
    },
    e.MalformedRequestError: {"problems": ("threshold: Input should be less than or equal to 1",)},
}
"""Data of the errors that answer some."""
