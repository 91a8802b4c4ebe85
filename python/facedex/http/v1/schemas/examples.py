"""An example of every schema of `/v1` in the OpenAPI document, by the schema's name there; a test checks each."""

from __future__ import annotations

from typing import Any

_MADE, _LATER = "2026-03-02T08:15:30Z", "2026-03-02T20:15:30Z"
_DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_BOX = [120.0, 80.0, 360.0, 380.0]
_POINTS = [[178.5, 190.0], [298.0, 188.5], [240.0, 250.5], [190.5, 310.0], [288.0, 308.5]]
_AYU: dict[str, Any] = {"person_id": "ayu", "name": "Ayu"}
_SIZE = {"width": 640, "height": 480}
_LIVENESS = {"status": "live", "score": 0.97, "threshold": 0.5, "reason": None}
_ATTRIBUTES = {"age": 31.0, "gender": "female", "gender_score": 0.98}
_ASKED: dict[str, Any] = {
    "liveness": _LIVENESS,
    "attributes": _ATTRIBUTES,
    "quality": {"score": 81.0, "sharpness": 64.0, "brightness": 52.0},
}
_NOT_ASKED: dict[str, Any] = {"liveness": None, "attributes": None, "quality": None}

_FACE = {"face_id": 7, "bbox": _BOX, "det_score": 0.998, "quality": 81.0, "created_at": _MADE, "photo_id": 3}
_PERSON = _AYU | {
    "email": "ayu@example.org",
    "info": {"department": "archive"},
    "created_at": _MADE,
    "updated_at": _MADE,
    "retain_until": "2027-03-02T00:00:00Z",
    "faces": [_FACE],
}
_STORED_FACE = {"face_id": 7, "source": 0, "bbox": _BOX, "det_score": 0.998, "quality": 81.0}
_REJECTION = {"source": 1, "code": "no_face", "message": "no face was found in the picture"}
_DUPLICATE = {"source": 0, "person_id": "budi", "name": "Budi", "similarity": 0.955, "threshold": 0.54}
_CANDIDATE = _AYU | {"similarity": 0.965, "face_id": 7}
_FOUND_FACE = _ASKED | {
    "bbox": _BOX,
    "landmarks": _POINTS,
    "det_score": 0.998,
    **_AYU,
    "similarity": 0.965,
    "threshold": 0.54,
    "margin": 0.08,
    "candidates": [_CANDIDATE],
}
_RECOGNITION = {"image_size": _SIZE, "faces": [_FOUND_FACE], "elapsed_s": 0.041}
_TOLD = {"code": "no_face", "message": "no face was found in the picture"}
_BATCH_ITEM = {"recognition": _RECOGNITION, "error": None}
_DETECTED = _NOT_ASKED | {"bbox": _BOX, "landmarks": _POINTS, "det_score": 0.998}
_EMBEDDED = _DETECTED | {"embedding": [0.031, -0.102, 0.087]}

_STATUS = {
    "gallery": "default",
    "pack": "base",
    "pack_digest": _DIGEST,
    "people": 120,
    "faces": 344,
    "method": "exact",
    "position": 512,
    "rebuilt": None,
    "encrypted": False,
    "due": 0,
    "dormant": 0,
    "search": "local",
    "why": "344 faces are searched one by one",
    "recall": 1.0,
}
_EVENT = {
    "seq": 41,
    "at": _MADE,
    "kind": "register",
    "actor": "front desk",
    "person_id": "ayu",
    "erased": False,
    "similarity": None,
    "threshold": None,
    "facts": {"faces": 1},
    "digest": _DIGEST,
}
_PACK = {
    "name": "base",
    "summary": "BlazeFace, O-Net and MobileFaceNet",
    "dimension": 192,
    "threshold": 0.54,
    "licences": ["Apache-2.0", "MIT"],
    "commercial": True,
}
_DISK = {"total": 512_000_000_000, "free": 310_000_000_000}
_SESSION = {"kind": "account", "name": "ayu@example.org", "scopes": ["read", "recognise"], "open": False}
_KEY = {
    "id": 1,
    "name": "front door",
    "prefix": "fdk_4mT2",
    "scopes": ["recognise"],
    "created_at": _MADE,
    "expires_at": None,
    "revoked_at": None,
    "used_at": _LATER,
}

EXAMPLES: dict[str, Any] = {
    "ApiKey": _KEY,
    "Attempt": {
        "id": 12,
        "at": _MADE,
        "contract": "v1",
        "claimed": "ayu",
        "person_id": "ayu",
        "name": "Ayu",
        "matched": True,
        "similarity": 0.965,
        "probability": 0.999,
        "liveness": 0.97,
    },
    "Attributes": _ATTRIBUTES,
    "AuditReport": {"lines": 41, "head": _DIGEST, "whole": True, "first_bad": None, "reason": None, "sealed": None},
    "Batch": {"items": [_BATCH_ITEM, {"recognition": None, "error": _TOLD}]},
    "BatchItem": _BATCH_ITEM,
    "Candidate": _CANDIDATE,
    "Comparison": {"similarity": 0.965, "threshold": 0.54, "match": True, "bbox_a": _BOX, "bbox_b": _BOX},
    "Deletion": {
        "gallery": "default",
        **_AYU,
        "person_removed": True,
        "faces": [7],
        "templates": 1,
        "events": 2,
        "deleted_at": _LATER,
        "salt": "5feceb66ffc86f38",
        "digest": _DIGEST,
        "wiped": True,
    },
    "DetectedFace": _DETECTED,
    "Detection": {"image_size": _SIZE, "faces": [_DETECTED]},
    "Disk": _DISK,
    "Duplicate": _DUPLICATE,
    "EmbeddedFace": _EMBEDDED,
    "Embedding": {"pack": "base", "pack_digest": _DIGEST, "image_size": _SIZE, "faces": [_EMBEDDED]},
    "Event": _EVENT,
    "Face": _FACE,
    "FoundFace": _FOUND_FACE,
    "Gallery": {"name": "default"},
    "Health": {"status": "ok"},
    "Ready": {"status": "ok", "storage": "ok"},
    "Job": {
        "id": "0d9c5f0e7f3b4a52",
        "kind": "rebuild",
        "gallery": "default",
        "state": "running",
        "done": 40,
        "total": 120,
        "answer": {},
        "created_at": _MADE,
        "finished_at": None,
    },
    "Liveness": _LIVENESS,
    "Migrating": {"pack": "mobile", "without_photo": "stop"},
    "NewGallery": {"name": "visitors"},
    "NewKey": {"name": "front door", "scopes": ["recognise"], "expires_at": "2027-03-02T00:00:00Z"},
    "Pack": _PACK,
    "Page_Event_": {"items": [_EVENT], "next_cursor": "YzQx"},
    "Page_Person_": {"items": [_PERSON], "next_cursor": None},
    "Person": _PERSON,
    "PersonChange": {"name": "Ayu Lestari"},
    "Photo": {
        "photo_id": 3,
        "person_id": "ayu",
        "rendition": "original",
        "media_type": "image/jpeg",
        "width": 640,
        "height": 480,
        "filename": "ayu.jpg",
        "faces": [7],
        "created_at": _MADE,
    },
    "Problem": {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "nobody is registered as 'ayu' in gallery 'default'",
        "instance": "/v1/people/ayu",
        "code": "unknown_person",
    },
    "Recognition": _RECOGNITION,
    "RegisteredFace": _STORED_FACE,
    "Registration": {
        "person_id": "ayu",
        "faces": [_STORED_FACE],
        "rejected": [_REJECTION],
        "warnings": [_DUPLICATE],
        "replaced": [],
    },
    "Rejection": _REJECTION,
    "Session": _SESSION,
    "ShownKey": _KEY | {"used_at": None, "key": "fdk_4mT2..."},
    "SignedIn": _SESSION | {"token": "kV8sQ1...", "expires_at": _LATER},
    "SigningIn": {"login": "ayu@example.org", "password": "correct horse battery", "cookie": False},
    "Size": _SIZE,
    "Stats": {
        "version": "0.1.0",
        "cpu_percent": 12.5,
        "memory_percent": 41.0,
        "process_memory": 268_435_456,
        "disk": _DISK,
        "inside": {"work": 1, "ask": 0, "hash": 0},
        "gallery": _STATUS,
        "pack": _PACK,
        "photos": "original",
        "total_s": 31.4,
        "network_s": 24.9,
        "images": 740,
    },
    "Status": _STATUS,
    "Told": _TOLD,
    "Verification": _ASKED
    | {"person_id": "ayu", "match": True, "similarity": 0.965, "threshold": 0.54, "bbox": _BOX, "face_id": 7},
}
