"""Recognise, verify, compare, detect, embed."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import Depends

from ...engine import Engine
from ...errors import FacedexError, ForbiddenError
from ...gallery import Gallery
from ...results import Analysis, Comparison, Recognition, Verification
from ..errors import describe
from ..pictures import Submission, read_submission
from ..pixels import turns
from ..security import AdminBy, RecogniseBy
from ..services import ServicesOf
from . import attending, schemas
from .common import GalleryName, part, pictures_body

router = part("recognition")

Question = Annotated[Submission[schemas.Recognising], Depends(read_submission(schemas.Recognising))]
Questions = Annotated[Submission[schemas.Recognising], Depends(read_submission(schemas.Recognising, most=0))]
Claim = Annotated[Submission[schemas.Verifying], Depends(read_submission(schemas.Verifying))]
Pair = Annotated[Submission[schemas.Comparing], Depends(read_submission(schemas.Comparing, least=2, most=2))]
Detect = Annotated[Submission[schemas.Detecting], Depends(read_submission(schemas.Detecting))]


@router.post("/recognize", response_model=schemas.Recognition, openapi_extra=pictures_body(schemas.Recognising))
async def recognize(
    services: ServicesOf, caller: RecogniseBy, given: Question, gallery: GalleryName = None
) -> Recognition:
    """Recognise the faces in a picture."""
    (image,), options = given.images, given.options
    if options.attend:
        await attending.check(services, gallery, options.threshold)
    chosen = options.model_dump(exclude={"attend"})
    found = await services.work(lambda opened: opened.recognize(image, **chosen), gallery)
    if options.attend:
        await attending.record_faces(services, gallery, found)
    return found


@router.post(
    "/recognize/batch",
    response_model=schemas.Batch,
    openapi_extra=pictures_body(schemas.Recognising, several=True),
)
async def recognize_batch(
    services: ServicesOf, caller: RecogniseBy, given: Questions, gallery: GalleryName = None
) -> dict[str, Any]:
    """Recognise the faces in each of several pictures; one answer for each, in order."""
    options = given.options
    if options.attend:
        await attending.check(services, gallery, options.threshold)
    verbs = [
        partial(_recognize_many, images=images, options=options.model_dump(exclude={"attend"}))
        for images in turns(given.images, services.limits.pixels)
    ]
    found = [one for part in await services.work_in_turns(verbs, gallery) for one in part]
    if options.attend:
        faces = [face for one in found if not isinstance(one, FacedexError) for face in one]
        await attending.record_faces(services, gallery, faces)
    return {
        "items": [{"error": describe(one)} if isinstance(one, FacedexError) else {"recognition": one} for one in found]
    }


@router.post("/verify", response_model=schemas.Verification, openapi_extra=pictures_body(schemas.Verifying))
async def verify(services: ServicesOf, caller: RecogniseBy, given: Claim, gallery: GalleryName = None) -> Verification:
    """Verify that a picture shows the person claimed."""
    (image,), options = given.images, given.options
    if options.attend:
        await attending.check(services, gallery, options.threshold, options.person_id)
    chosen = options.model_dump(exclude={"person_id", "attend"})
    found = await services.work(lambda opened: opened.verify(options.person_id, image, **chosen), gallery)
    if options.attend:
        await attending.record_claim(services, gallery, found)
    return found


@router.post(
    "/compare", response_model=schemas.Comparison, openapi_extra=pictures_body(schemas.Comparing, several=True)
)
async def compare(services: ServicesOf, caller: RecogniseBy, given: Pair, gallery: GalleryName = None) -> Comparison:
    """Compare the largest faces of two pictures; nobody needs to be registered."""
    first, second = given.images
    return await services.work(
        lambda opened: opened.engine.compare(first, second, threshold=given.options.threshold), gallery
    )


@router.post("/detect", response_model=schemas.Detection, openapi_extra=pictures_body(schemas.Detecting))
async def detect(services: ServicesOf, caller: RecogniseBy, given: Detect, gallery: GalleryName = None) -> Analysis:
    """Detect the faces in a picture; with attributes, liveness and quality if requested."""
    return await services.work(lambda opened: _analyze(opened.engine, given, embed=False), gallery)


@router.post(
    "/embed",
    response_model=schemas.Embedding,
    openapi_extra=pictures_body(schemas.Detecting) | {"x-once": False},
)
async def embed(services: ServicesOf, caller: AdminBy, given: Detect, gallery: GalleryName = None) -> dict[str, Any]:
    """Return the embeddings of the faces in a picture. They are personal data: off unless the server allows it."""
    if not services.settings.embed:
        raise ForbiddenError("this server does not return embeddings; FACEDEX_EMBED=true allows it")

    def analyze(opened: Gallery) -> dict[str, Any]:
        found, pack = _analyze(opened.engine, given, embed=True), opened.engine.pack
        return {"pack": pack.name, "pack_digest": pack.digest, "image_size": found.image_size, "faces": found.faces}

    return await services.work(analyze, gallery)


def _analyze(engine: Engine, given: Submission[schemas.Detecting], *, embed: bool) -> Analysis:
    (image,) = given.images
    return engine.analyze(image, embed=embed, **given.options.model_dump())


def _recognize_many(
    opened: Gallery, *, images: list[bytes], options: dict[str, Any]
) -> list[Recognition | FacedexError]:
    return opened.recognize_many(images, **options)
