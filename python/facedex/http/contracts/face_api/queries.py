"""Recognition: the largest face in the single-face fields, all faces in `faces`."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, UploadFile

from ....errors import LivenessError, RoleMissingError
from ....gallery import Gallery
from ....results import Candidate, FoundFace, Recognition
from ....scales import ARCFACE_R18
from ...security import require_scope
from ...services import Services, ServicesOf
from ..faces import recognize, scale_map
from .setup import FaceApiSettings, person_info, read_file

TOP = 5
UNAVAILABLE = "unavailable"

_log = logging.getLogger("facedex.http")


def add(routes: APIRouter, settings: FaceApiSettings) -> None:
    """Add the routes."""

    async def query_of(
        file: Annotated[UploadFile, File()],
        threshold: Annotated[float, Form(ge=-1, le=1, allow_inf_nan=False)] = 0.5,
        include_demographics: Annotated[bool, Form()] = False,
    ) -> FaceQuery:
        return FaceQuery(settings, await read_file(file, settings), threshold, include_demographics)

    from_request = Depends(query_of)

    @routes.post("/api/face_query", dependencies=[Depends(require_scope("recognise"))])
    async def face_query(services: ServicesOf, query: FaceQuery = from_request) -> dict[str, Any]:
        """Recognize the person on a picture."""
        return await query.run(services, top=1)

    @routes.post("/api/face_query_top5", dependencies=[Depends(require_scope("recognise"))])
    async def face_query_top5(services: ServicesOf, query: FaceQuery = from_request) -> dict[str, Any]:
        """List up to five people who resemble the face on a picture."""
        return await query.run(services, top=TOP)


@dataclass(frozen=True, slots=True)
class FaceQuery:
    """Recognizes the faces of a picture.

    Attributes
    ----------
    settings : FaceApiSettings
    picture : bytes
    threshold : float
        Cosine on the contract's scale.
    demographics : bool
        Whether age and gender are estimated.
    """

    settings: FaceApiSettings
    picture: bytes
    threshold: float
    demographics: bool

    async def run(self, services: Services, *, top: int) -> dict[str, Any]:
        """Recognize the faces and format the answer."""
        started = time.perf_counter()
        answer = await services.work(lambda gallery: self._answer(gallery, top))
        return answer | {"processing_time": round(time.perf_counter() - started, 4)}

    def _answer(self, gallery: Gallery, top: int) -> dict[str, Any]:
        scale = scale_map(gallery, ARCFACE_R18)
        threshold = scale.to_pack(self.threshold)
        found, unavailable = self._recognize(gallery, threshold, top)
        faces = []
        for face in found or ():
            spoofed = self._is_spoof(face)
            matches = [] if spoofed else [one for one in face.candidates if one.similarity >= threshold]
            results = [
                {"similarity": round(scale.from_pack(one.similarity), 4), "person_info": _person_info(gallery, one)}
                for one in matches[:top]
            ]
            faces.append({"bbox": [round(value, 1) for value in face.bbox], "results": results, **self._extras(face)})
        first = faces[0] if faces else {"results": []}
        best = first["results"][0] if first["results"] else None
        answer: dict[str, Any] = {"results": first["results"]} if top > 1 else {}
        if top == 1:
            similarity = round(scale.from_pack(found[0].similarity), 4) if found else 0.0
            answer = {"similarity": similarity, "person_info": best["person_info"] if best else None}
        answer |= {key: value for key, value in first.items() if key not in ("bbox", "results")}
        return unavailable | answer | {"success": True, "faces": faces}

    def _recognize(self, gallery: Gallery, threshold: float, top: int) -> tuple[Recognition | None, dict[str, Any]]:
        """Recognize the faces; return also the fields that name what the packs of this server cannot judge."""
        unavailable: dict[str, Any] = {}
        options: dict[str, Any] = {"k": top, "threshold": threshold, "attributes": self.demographics}
        strict = self.settings.anti_spoofing_strict
        if self.settings.enable_anti_spoofing:
            options["liveness"] = "required" if strict else "advisory"
        try:
            found = recognize(gallery, self.picture, **options)
        except RoleMissingError:
            if not self.demographics:
                raise
            unavailable["demographics"] = UNAVAILABLE
            found = recognize(gallery, self.picture, **options | {"attributes": False})
        if self.settings.enable_anti_spoofing and found and not any(_score(face) is not None for face in found):
            if strict:
                raise LivenessError("anti-spoofing is required, and it cannot judge this picture")
            unavailable["anti_spoofing"] = UNAVAILABLE
            _warn_once(found[0])
        return found, unavailable

    def _is_spoof(self, face: FoundFace) -> bool:
        score = _score(face)
        return score is not None and score < self.settings.anti_spoofing_threshold

    def _extras(self, face: FoundFace) -> dict[str, Any]:
        extras: dict[str, Any] = {}
        if face.attributes is not None:
            age = min(100, max(0, round(face.attributes.age)))
            extras |= {"age": age, "gender": face.attributes.gender}
        score = _score(face)
        if score is not None:
            extras |= {"is_real": not self._is_spoof(face), "spoof_score": round(1.0 - score, 4)}
        return extras


def _person_info(gallery: Gallery, candidate: Candidate) -> dict[str, Any]:
    person = gallery.person(candidate.person_id)
    return person_info(person.person_id, person.name, person.info)


def _score(face: FoundFace) -> float | None:
    return None if face.liveness is None else face.liveness.score


_warned: set[str] = set()


def _warn_once(face: FoundFace) -> None:
    reason = (face.liveness.reason if face.liveness is not None else None) or "no network judges liveness"
    if reason not in _warned:
        _warned.add(reason)
        _log.warning("anti-spoofing is unavailable: %s", reason)
