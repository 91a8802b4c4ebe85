"""The active liveness check: issue a challenge, and judge the frames that answer it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path, Request

from ...challenge import MAX_FRAMES
from ...errors import UnknownGalleryError
from ...server import Challenge
from ..challenges import challenged_caller, check_answer, count_challenge
from ..pictures import Submission, read_submission
from ..security import RecogniseBy, limit_rate
from ..services import ServicesOf
from . import schemas
from .common import part, pictures_body

router = part("liveness", "/challenges")

Frames = Annotated[Submission[schemas.Answering], Depends(read_submission(schemas.Answering, most=MAX_FRAMES))]


@router.post(
    "",
    status_code=201,
    response_model=schemas.Challenge,
    openapi_extra={"x-once": False},
    dependencies=[Depends(limit_rate), Depends(count_challenge)],
)
async def issue_challenge(services: ServicesOf, request: Request) -> Challenge:
    """Issue a challenge: what a person is to do before the camera, within half a minute, once.

    The caller who asked for it answers it: the same key or account, or else the same address.
    """
    caller = await challenged_caller(request)
    return await services.query_access(lambda access: access.challenges.issue(caller))


@router.post(
    "/{challenge_id}/answer",
    response_model=schemas.Answered,
    openapi_extra=pictures_body(schemas.Answering, several=True) | {"x-once": False},
)
async def answer_challenge(
    services: ServicesOf,
    request: Request,
    caller: RecogniseBy,
    challenge_id: Annotated[str, Path(min_length=1, max_length=64)],
    given: Frames,
) -> dict[str, Any]:
    """Judge the frames that answer a challenge; one that is not passed is an error with the cause as its code.

    Send the frames in the order in which they were taken, not mirrored, at least four for each action. In the first the
    person looks straight ahead.
    """
    asked, access = await challenged_caller(request), services.access
    if access is None:
        raise UnknownGalleryError("this server has no challenges")
    poses = await services.work(lambda opened: check_answer(access, opened.engine, asked, challenge_id, given.images))
    return {"passed": True, "frames": poses}
