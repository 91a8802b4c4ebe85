"""The routes of the contract: 1:N prediction and the description of the networks here, the others in their files."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, UploadFile

from ....errors import UnknownPersonError
from ....gallery import Gallery
from ....results import Candidate
from ....scales import ARCFACE_R50
from ...security import require_scope
from ...services import Services, ServicesOf
from ..faces import read_upload, recognize_largest, scale_map
from . import auth, photos, training, users
from .answers import FORMATS, PLAIN, STATUS, format_user_data, scores

CANDIDATES = 5
"""Number of people in a prediction."""


def router() -> APIRouter:
    """Make the routes of the contract."""
    routes = APIRouter(prefix="/api", tags=[PLAIN.contract])
    for part in (users.router(), photos.router(), training.router(), _faces(), auth.router()):
        routes.include_router(part)
    return routes


def _faces() -> APIRouter:
    routes = STATUS.router("/face", maskable=True)

    @routes.post("/predict", dependencies=[Depends(require_scope("recognise"))])
    async def predict(services: ServicesOf, file: Annotated[UploadFile, File()]) -> dict[str, Any]:
        """Recognize the person on a picture, and list the people who resemble the face."""
        picture = await read_upload(file, accepted=FORMATS)
        return await services.work(lambda gallery: _predict(services, gallery, picture))

    @routes.get("/model-info", dependencies=[Depends(require_scope("read"))])
    async def model_info(services: ServicesOf) -> dict[str, Any]:
        """Describe the pack: dimension, licence and threshold."""
        engine = await services.query(lambda gallery: gallery.engine)
        pack = engine.pack
        threshold = await services.query(lambda gallery: gallery.decide().threshold)
        scale = await services.query(lambda gallery: scale_map(gallery, ARCFACE_R50))
        data = {
            "pack": pack.name,
            "summary": pack.summary,
            "embedding_dim": pack.dimension,
            "licence": ", ".join(pack.licences),
            "commercial": pack.commercial,
            "threshold": round(scale.from_pack(threshold), 4),
            "threshold_scale": scale.scale.name,
            "pack_threshold": threshold,
        }
        return {"status": "success", "message": "Model information", "data": data}

    return routes


def _predict(services: Services, gallery: Gallery, picture: bytes) -> dict[str, Any]:
    face = recognize_largest(gallery, picture, k=CANDIDATES)
    nobody: dict[str, Any] = {"user_id": None, "name": None, "email": None}
    if face is None:
        data = nobody | {"confidence": 0.0, "similarity": 0.0, "all_predictions": []}
        return {"status": "unknown", "data": data}
    predictions = [one for candidate in face.candidates if (one := _prediction(gallery, candidate)) is not None]
    answer = scores(gallery, face.similarity) | {"all_predictions": predictions}
    if face.person_id is None:
        return {"status": "unknown", "data": nobody | answer}
    return {"status": "success", "data": format_user_data(gallery.person(face.person_id)) | answer}


def _prediction(gallery: Gallery, candidate: Candidate) -> dict[str, Any] | None:
    """Format a candidate; None when the person was deleted meanwhile."""
    try:
        person = gallery.person(candidate.person_id)
    except UnknownPersonError:
        return None
    user = format_user_data(person)
    return {"user_id": user["user_id"], "name": user["name"]} | scores(gallery, candidate.similarity)
