"""Who is on a picture: the largest face in the single-face fields, all of them in `faces`."""

from __future__ import annotations

import logging
import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, UploadFile

from ....errors import LivenessError, RoleMissingError
from ....gallery import Gallery
from ....results import Candidate, FoundFace, Recognition
from ....scales import ARCFACE_R18
from ...security import need
from ...services import Services, ServicesOf
from ..faces import on_scale, recognized
from .setup import FaceApiSettings, person_info, upload_of

TOP = 5
UNAVAILABLE = "unavailable"

_log = logging.getLogger("facedex.http")


def add(routes: APIRouter, settings: FaceApiSettings) -> None:
    """Add the routes."""

    async def asked(
        file: Annotated[UploadFile, File()],
        threshold: Annotated[float, Form(ge=-1, le=1, allow_inf_nan=False)] = 0.5,
        include_demographics: Annotated[bool, Form()] = False,
    ) -> Query:
        return Query(settings, await upload_of(file, settings), threshold, include_demographics)

    given = Depends(asked)

    @routes.post("/api/face_query", dependencies=[Depends(need("recognise"))])
    async def face_query(services: ServicesOf, query: Query = given) -> dict[str, Any]:
        """Say who is on a picture."""
        return await query.answer(services, top=1)

    @routes.post("/api/face_query_top5", dependencies=[Depends(need("recognise"))])
    async def face_query_top5(services: ServicesOf, query: Query = given) -> dict[str, Any]:
        """Name up to five people who resemble the face on a picture."""
        return await query.answer(services, top=TOP)


class Query:
    """A question whose face a picture shows.

    Parameters
    ----------
    settings : FaceApiSettings
    picture : bytes
    threshold : float
        Cosine on the contract's scale.
    demographics : bool
        Whether age and gender are told.
    """

    def __init__(self, settings: FaceApiSettings, picture: bytes, threshold: float, demographics: bool) -> None:
        self._settings = settings
        self._picture = picture
        self._threshold = threshold
        self._demographics = demographics

    async def answer(self, services: Services, *, top: int) -> dict[str, Any]:
        """Ask, and answer in the contract's words."""
        started = time.perf_counter()
        said = await services.work(lambda gallery: self._said(services, gallery, top))
        return said | {"processing_time": round(time.perf_counter() - started, 4)}

    def _said(self, services: Services, gallery: Gallery, top: int) -> dict[str, Any]:
        scale = on_scale(gallery, ARCFACE_R18)
        cut = scale.to_pack(self._threshold)
        found, said = self._found(services, gallery, cut, top)
        faces = []
        for face in found or ():
            refused = self._spoofed(face)
            named = [] if refused else [one for one in face.candidates if one.similarity >= cut]
            results = [
                {"similarity": round(scale.from_pack(one.similarity), 4), "person_info": _person_info(gallery, one)}
                for one in named[:top]
            ]
            faces.append({"bbox": [round(value, 1) for value in face.bbox], "results": results, **self._extras(face)})
        first = faces[0] if faces else {"results": []}
        best = first["results"][0] if first["results"] else None
        answer: dict[str, Any] = {"results": first["results"]} if top > 1 else {}
        if top == 1:
            similarity = round(scale.from_pack(found[0].similarity), 4) if found else 0.0
            answer = {"similarity": similarity, "person_info": best["person_info"] if best else None}
        answer |= {key: value for key, value in first.items() if key not in ("bbox", "results")}
        return said | answer | {"success": True, "faces": faces}

    def _found(
        self, services: Services, gallery: Gallery, cut: float, top: int
    ) -> tuple[Recognition | None, dict[str, Any]]:
        """Recognise, without what the packs of this server cannot tell; and say so."""
        said: dict[str, Any] = {}
        wanted: dict[str, Any] = {"k": top, "threshold": cut, "attributes": self._demographics}
        strict = self._settings.anti_spoofing_strict
        if self._settings.enable_anti_spoofing:
            wanted["liveness"] = "required" if strict else "advisory"
        try:
            found = recognized(services, gallery, self._picture, **wanted)
        except RoleMissingError:
            if not self._demographics:
                raise
            said["demographics"] = UNAVAILABLE
            found = recognized(services, gallery, self._picture, **wanted | {"attributes": False})
        if self._settings.enable_anti_spoofing and found and not any(_score(face) is not None for face in found):
            if strict:
                raise LivenessError("anti-spoofing is required, and it cannot judge this picture")
            said["anti_spoofing"] = UNAVAILABLE
            _warn_once(found[0])
        return found, said

    def _spoofed(self, face: FoundFace) -> bool:
        score = _score(face)
        return score is not None and score < self._settings.anti_spoofing_threshold

    def _extras(self, face: FoundFace) -> dict[str, Any]:
        extras: dict[str, Any] = {}
        if face.attributes is not None:
            age = min(100, max(0, round(face.attributes.age)))
            extras |= {"age": age, "gender": face.attributes.gender}
        score = _score(face)
        if score is not None:
            extras |= {"is_real": not self._spoofed(face), "spoof_score": round(1.0 - score, 4)}
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
