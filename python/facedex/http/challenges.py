"""The active liveness check over HTTP: who may answer a challenge, and how an answer is checked.

`/v1` and the contracts share it. A challenge is bound to the key or account that asked for it, or else to the address,
and is used up by the first answer, before the frames are analysed.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Request

from ..challenge import FramePose, judge
from ..engine import Engine
from ..errors import ChallengeUnknownError, FacedexError
from ..server import Access
from .admission import before_body
from .security import address_of, principal_of
from .services import services_of

MAX_PER_MINUTE = 20
"""Challenges of one address in a minute."""


@before_body
async def count_challenge(request: Request) -> None:
    """Count a challenge of an address; raises `AttemptsError`."""
    await count_once(request, "challenges", MAX_PER_MINUTE)


async def count_once(request: Request, what: str, limit: int) -> None:
    """Count a request of an address, once although it is a dependency that runs twice; raises `AttemptsError`."""
    services = services_of(request)
    if services.access is None or getattr(request.state, "facedex_tried", False):
        return
    request.state.facedex_tried = True
    bucket = f"{what} {address_of(request)}"
    await services.query_access(lambda access: access.attempts.count_request(bucket, limit))


async def challenged_caller(request: Request) -> str:
    """Return to whom a challenge is issued: the key or account of the request, else its address."""
    principal = await principal_of(request)
    if principal.kind in ("key", "account"):
        return f"{principal.kind} {principal.id}"
    return f"address {address_of(request)}"


def check_answer(
    access: Access, engine: Engine, caller: str, challenge_id: str | None, frames: Sequence[bytes]
) -> tuple[FramePose, ...]:
    """Use up a challenge, and check that frames of one person follow it; blocks.

    Parameters
    ----------
    access : Access
    engine : Engine
    caller : str
        From `challenged_caller`.
    challenge_id : str or None
    frames : sequence of bytes
        Pictures, in the order in which they were taken.

    Raises
    ------
    ChallengeError
        Without a challenge, or when it is not passed.
    ImageError
        When a frame cannot be read.
    """
    if challenge_id is None:
        raise ChallengeUnknownError("an active check is required: ask for a challenge with POST /v1/challenges")
    actions = access.challenges.use(challenge_id, caller)
    found = engine.analyze_many(frames)
    for analysis in found:
        if isinstance(analysis, FacedexError):
            raise analysis
    return judge([one for one in found if not isinstance(one, FacedexError)], actions, threshold=engine.threshold)
