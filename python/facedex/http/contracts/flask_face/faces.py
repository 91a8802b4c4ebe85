"""1:N prediction, and what the networks are."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, UploadFile

from ....errors import UnknownPersonError
from ....gallery import Gallery
from ....results import Candidate
from ....scales import ARCFACE_R50
from ...security import need
from ...services import Services, ServicesOf
from ..faces import largest, on_scale
from ..pictures import read
from ..shapes import masked_route
from .answers import KINDS, NAME, STATUS, STATUS_ERRORS, scores, user_data

CANDIDATES = 5
"""How many people a prediction names."""


def router() -> APIRouter:
    """Make the routes."""
    routes = APIRouter(prefix="/face", route_class=masked_route(STATUS, NAME), tags=[NAME], responses=STATUS_ERRORS)

    @routes.post("/predict", dependencies=[Depends(need("recognise"))])
    async def predict(services: ServicesOf, file: Annotated[UploadFile, File()]) -> dict[str, Any]:
        """Say who is on a picture, and who resembles the face."""
        picture = await read(file, accepted=KINDS)
        return await services.work(lambda gallery: _predict(services, gallery, picture))

    @routes.get("/model-info", dependencies=[Depends(need("read"))])
    async def model_info(services: ServicesOf) -> dict[str, Any]:
        """Tell pack, dimension, licence and threshold."""
        engine = await services.engine()
        pack = engine.pack
        cut = engine.threshold if services.settings.threshold is None else services.settings.threshold
        scale = await services.ask(lambda gallery: on_scale(gallery, ARCFACE_R50))
        data = {
            "pack": pack.name,
            "summary": pack.summary,
            "embedding_dim": pack.dimension,
            "licence": ", ".join(pack.licences),
            "commercial": pack.commercial,
            "threshold": round(scale.from_pack(cut), 4),
            "threshold_scale": scale.scale.name,
            "pack_threshold": cut,
        }
        return {"status": "success", "message": "Model information", "data": data}

    return routes


def _predict(services: Services, gallery: Gallery, picture: bytes) -> dict[str, Any]:
    face = largest(services, gallery, picture, k=CANDIDATES)
    nobody: dict[str, Any] = {"user_id": None, "name": None, "email": None}
    if face is None:
        data = nobody | {"confidence": 0.0, "similarity": 0.0, "all_predictions": []}
        return {"status": "unknown", "data": data}
    predictions = [one for candidate in face.candidates if (one := _prediction(gallery, candidate)) is not None]
    said = scores(gallery, face.similarity) | {"all_predictions": predictions}
    if face.person_id is None:
        return {"status": "unknown", "data": nobody | said}
    return {"status": "success", "data": user_data(gallery.person(face.person_id)) | said}


def _prediction(gallery: Gallery, candidate: Candidate) -> dict[str, Any] | None:
    """Describe a candidate; None when the person was deleted meanwhile."""
    try:
        person = gallery.person(candidate.person_id)
    except UnknownPersonError:
        return None
    known = user_data(person)
    return {"user_id": known["user_id"], "name": known["name"]} | scores(gallery, candidate.similarity)
