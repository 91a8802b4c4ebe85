"""Who is in a picture: recognise, verify, compare, detect, embed."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import Depends

from ...errors import FacedexError, ForbiddenError
from ...gallery import Gallery
from ...results import Recognition
from ..errors import describe
from ..pictures import Submission, submitted
from ..pixels import turns
from ..security import AdminBy, RecogniseBy
from ..services import ServicesOf
from . import attending, schemas
from .common import GalleryName, part, pictures_body

router = part("recognition")

Question = Annotated[Submission[schemas.Recognising], Depends(submitted(schemas.Recognising))]
Questions = Annotated[Submission[schemas.Recognising], Depends(submitted(schemas.Recognising, most=0))]
Claim = Annotated[Submission[schemas.Verifying], Depends(submitted(schemas.Verifying))]
Pair = Annotated[Submission[schemas.Comparing], Depends(submitted(schemas.Comparing, least=2, most=2))]
Detect = Annotated[Submission[schemas.Detecting], Depends(submitted(schemas.Detecting))]


@router.post("/recognize", openapi_extra=pictures_body(schemas.Recognising))
async def recognize(
    services: ServicesOf, who: RecogniseBy, given: Question, gallery: GalleryName = None
) -> schemas.Recognition:
    """Say who is in a picture."""
    (image,), options = given.images, given.options
    if options.attend:
        await attending.check(services, gallery, options.threshold)
    found = await services.work(
        lambda opened: opened.recognize(
            image, k=options.k, threshold=options.threshold, min_face=options.min_face, **_asked(options)
        ),
        gallery,
    )
    if options.attend:
        await attending.note_found(services, gallery, found)
    return schemas.Recognition.model_validate(found)


@router.post("/recognize/batch", openapi_extra=pictures_body(schemas.Recognising, several=True))
async def recognize_batch(
    services: ServicesOf, who: RecogniseBy, given: Questions, gallery: GalleryName = None
) -> schemas.Batch:
    """Say who is in each of several pictures; one answer for each, in order."""
    options = given.options
    if options.attend:
        await attending.check(services, gallery, options.threshold)
    asked = {"k": options.k, "threshold": options.threshold, "min_face": options.min_face, **_asked(options)}
    verbs = [
        partial(_recognize_some, images=images, asked=asked) for images in turns(given.images, services.limits.pixels)
    ]
    found = [one for some in await services.work_in_turns(verbs, gallery) for one in some]
    if options.attend:
        faces = [face for one in found if not isinstance(one, FacedexError) for face in one]
        await attending.note_found(services, gallery, faces)
    return schemas.Batch(items=[_item(one) for one in found])


@router.post("/verify", openapi_extra=pictures_body(schemas.Verifying))
async def verify(
    services: ServicesOf, who: RecogniseBy, given: Claim, gallery: GalleryName = None
) -> schemas.Verification:
    """Say whether a picture shows the person it is claimed to show."""
    (image,), options = given.images, given.options
    if options.attend:
        await attending.check(services, gallery, options.threshold)
    found = await services.work(
        lambda opened: opened.verify(
            options.person_id,
            image,
            threshold=options.threshold,
            faces=options.faces,
            min_face=options.min_face,
            liveness=options.liveness,
        ),
        gallery,
    )
    if options.attend:
        await attending.note_claim(services, gallery, found)
    return schemas.Verification.model_validate(found)


@router.post("/compare", openapi_extra=pictures_body(schemas.Comparing, several=True))
async def compare(
    services: ServicesOf, who: RecogniseBy, given: Pair, gallery: GalleryName = None
) -> schemas.Comparison:
    """Say whether the largest faces of two pictures are the same person; nobody need be registered."""
    engine = await services.engine(gallery)
    first, second = given.images
    return schemas.Comparison.model_validate(
        await services.limits.work(partial(engine.compare, first, second, threshold=given.options.threshold))
    )


@router.post("/detect", openapi_extra=pictures_body(schemas.Detecting))
async def detect(
    services: ServicesOf, who: RecogniseBy, given: Detect, gallery: GalleryName = None
) -> schemas.Detection:
    """Find the faces of a picture; with attributes, liveness and quality where they are asked for."""
    (image,), options = given.images, given.options
    engine = await services.engine(gallery)
    found = await services.limits.work(
        partial(
            engine.analyze,
            image,
            min_face=options.min_face,
            max_faces=options.max_faces,
            embed=False,
            **_asked(options),
        )
    )
    return schemas.Detection(
        image_size=schemas.Size.model_validate(found.image_size),
        faces=[schemas.DetectedFace(**_face(face)) for face in found],
    )


@router.post("/embed", openapi_extra=pictures_body(schemas.Detecting) | {"x-once": False})
async def embed(services: ServicesOf, who: AdminBy, given: Detect, gallery: GalleryName = None) -> schemas.Embedding:
    """Give the embeddings of a picture's faces. They are personal data: off unless the server is set up so."""
    if not services.settings.embed:
        raise ForbiddenError("this server gives no embeddings; FACEDEX_EMBED=true turns that on")
    (image,), options = given.images, given.options
    engine = await services.engine(gallery)
    found = await services.limits.work(
        partial(engine.analyze, image, min_face=options.min_face, max_faces=options.max_faces, **_asked(options))
    )
    return schemas.Embedding(
        pack=engine.pack.name,
        pack_digest=engine.pack.digest,
        image_size=schemas.Size.model_validate(found.image_size),
        faces=[
            schemas.EmbeddedFace(**_face(face), embedding=[] if face.embedding is None else face.embedding.tolist())
            for face in found
        ],
    )


def _recognize_some(opened: Gallery, *, images: list[bytes], asked: dict[str, Any]) -> list[Recognition | FacedexError]:
    return opened.recognize_many(images, **asked)


def _asked(options: schemas.Asking) -> dict[str, Any]:
    """Only what is asked: a gallery or engine computes nothing else."""
    asked: dict[str, Any] = {}
    if options.liveness != "off":
        asked["liveness"] = options.liveness
    if options.attributes:
        asked["attributes"] = True
    if options.quality:
        asked["quality"] = True
    return asked


def _item(found: Any) -> schemas.BatchItem:
    if isinstance(found, FacedexError):
        return schemas.BatchItem(error=schemas.Told(**describe(found)))
    return schemas.BatchItem(recognition=schemas.Recognition.model_validate(found))


def _face(face: Any) -> dict[str, Any]:
    landmarks = None if face.landmarks is None else [(float(x), float(y)) for x, y in face.landmarks]
    return {
        "bbox": tuple(float(side) for side in face.bbox),
        "landmarks": landmarks,
        "det_score": float(face.det_score),
        "liveness": face.liveness,
        "attributes": face.attributes,
        "quality": face.quality,
    }
