"""Results → what JSON can hold. Boxes and points are in pixels of the upright original, times in UTC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .output import error_document

if TYPE_CHECKING:
    from .._core import Face
    from ..errors import FacedexError
    from ..gallery.migration import Finish, Migration
    from ..records import AuditEvent, Deletion, Person, Photo, Registration
    from ..results import Analysis, Comparison, FoundFace, Recognition, Verification

Document = dict[str, Any]


def failed_picture(picture: str, error: FacedexError) -> Document:
    """Describe a picture that was refused."""
    return {"picture": picture, "error": error_document(error)}


def analysed_picture(picture: str, analysis: Analysis) -> Document:
    """Describe the faces of a picture."""
    return {"picture": picture, "image_size": _size(analysis), "faces": [_face(face) for face in analysis]}


def recognized_picture(picture: str, recognition: Recognition) -> Document:
    """Describe who is in a picture."""
    return {
        "picture": picture,
        "image_size": _size(recognition),
        "elapsed_s": recognition.elapsed_s,
        "faces": [_found(face) for face in recognition],
    }


def registration(result: Registration) -> Document:
    """Describe what was stored."""
    return {
        "person_id": result.person_id,
        "faces": [
            {"face_id": face.face_id, "source": face.source, "bbox": list(face.bbox), "det_score": face.det_score}
            for face in result.faces
        ],
        "rejected": [
            {"source": rejection.source, "picture": rejection.text, "error": error_document(rejection.error)}
            for rejection in result.rejected
        ],
        "warnings": [
            {
                "source": warning.source,
                "person_id": warning.person_id,
                "name": warning.name,
                "similarity": warning.similarity,
                "threshold": warning.threshold,
            }
            for warning in result.warnings
        ],
        "replaced": list(result.replaced),
    }


def verification(result: Verification) -> Document:
    """Describe the answer to a claim."""
    return {
        "person_id": result.person_id,
        "match": result.match,
        "similarity": result.similarity,
        "threshold": result.threshold,
        "bbox": list(result.bbox),
        "face_id": result.face_id,
    } | _told(result)


def comparison(result: Comparison) -> Document:
    """Describe how two pictures compare."""
    return {
        "match": result.match,
        "similarity": result.similarity,
        "threshold": result.threshold,
        "bbox_a": list(result.bbox_a),
        "bbox_b": list(result.bbox_b),
    }


def person(result: Person) -> Document:
    """Describe a registered person."""
    return {
        "person_id": result.person_id,
        "name": result.name,
        "email": result.email,
        "info": result.info,
        "created_at": result.created_at.isoformat(),
        "updated_at": result.updated_at.isoformat(),
        "retain_until": None if result.retain_until is None else result.retain_until.isoformat(),
        "faces": [
            {
                "face_id": face.face_id,
                "bbox": list(face.bbox),
                "det_score": face.det_score,
                "quality": face.quality,
                "created_at": face.created_at.isoformat(),
                "photo_id": face.photo_id,
            }
            for face in result.faces
        ],
    }


def photo(result: Photo) -> Document:
    """Describe a photo, without its bytes."""
    return {
        "photo_id": result.photo_id,
        "person_id": result.person_id,
        "rendition": result.rendition,
        "media_type": result.media_type,
        "width": result.width,
        "height": result.height,
        "filename": result.filename,
        "faces": list(result.faces),
        "created_at": result.created_at.isoformat(),
    }


def migration(result: Migration) -> Document:
    """Describe how far a gallery has come to another pack."""
    return {
        "pack": result.pack,
        "pack_digest": result.pack_digest,
        "swapped": result.swapped,
        "moved": result.moved,
        "without_photo": list(result.without_photo),
        "without_face": list(result.without_face),
        "refused": [
            {"face_id": one.face_id, "person_id": one.person_id, "error": error_document(one.error)}
            for one in result.refused
        ],
    }


def finish(result: Finish) -> Document:
    """Describe what was removed of other packs."""
    return {
        "templates": result.templates,
        "faces": list(result.faces),
        "photos": result.photos,
        "wiped": result.wiped,
    }


def deletion(result: Deletion) -> Document:
    """Describe what was removed."""
    return {
        "gallery": result.gallery,
        "person_id": result.person_id,
        "name": result.name,
        "person_removed": result.person_removed,
        "faces": list(result.faces),
        "templates": result.templates,
        "photos": result.photos,
        "events": result.events,
        "deleted_at": result.deleted_at.isoformat(),
        "salt": result.salt,
        "digest": result.digest,
        "wiped": result.wiped,
    }


def audit_event(event: AuditEvent) -> Document:
    """Describe a line of the audit."""
    return {
        "seq": event.seq,
        "at": event.at.isoformat(),
        "kind": event.kind,
        "actor": event.actor,
        "person_id": event.person_id,
        "person": event.person,
        "erased": event.erased,
        "pack": event.pack,
        "similarity": event.similarity,
        "threshold": event.threshold,
        "facts": event.facts,
        "digest": event.digest,
    }


def _size(result: Analysis | Recognition) -> Document:
    return {"width": result.image_size.width, "height": result.image_size.height}


def _found(face: FoundFace) -> Document:
    return {
        "bbox": list(face.bbox),
        "landmarks": [list(point) for point in face.landmarks],
        "det_score": face.det_score,
        "person_id": face.person_id,
        "name": face.name,
        "similarity": face.similarity,
        "threshold": face.threshold,
        "margin": face.margin,
        "candidates": [
            {
                "person_id": candidate.person_id,
                "name": candidate.name,
                "similarity": candidate.similarity,
                "face_id": candidate.face_id,
            }
            for candidate in face.candidates
        ],
    } | _told(face)


def _told(found: FoundFace | Verification) -> Document:
    """Describe what else was asked of a face; nothing of what was not."""
    told: Document = {}
    if found.liveness is not None:
        judged = found.liveness
        told["liveness"] = {name: getattr(judged, name) for name in ("status", "score", "threshold", "reason")}
    if found.quality is not None:
        told["quality"] = found.quality.to_dict()
    if found.attributes is not None:
        told["attributes"] = {name: getattr(found.attributes, name) for name in ("age", "gender", "gender_score")}
    return told


def _face(face: Face) -> Document:
    return {
        "bbox": _numbers(face.bbox),
        "landmarks": None if face.landmarks is None else [_numbers(point) for point in face.landmarks],
        "det_score": float(face.det_score),
    }


def _numbers(values: Sequence[float] | Any) -> list[float]:
    return [float(value) for value in values]
