"""Jobs: list, read, watch and cancel them; the routes of the index start them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Path
from fastapi.responses import StreamingResponse

from ...errors import FacedexError, UnknownJobError
from ...server import Job, Jobs
from ..security import AdminBy
from ..services import Services, ServicesOf
from . import schemas
from .answers import list_of
from .common import part

router = part("jobs", "/jobs")

JobId = Annotated[str, Path(min_length=1, max_length=32)]

_POLL_S = 0.5
_LONGEST_S = 60.0  # then the client reconnects, and is authenticated again


@router.get("", response_model=list_of(schemas.Job))
async def jobs(services: ServicesOf, caller: AdminBy) -> list[Job]:
    """List jobs, the latest first."""
    return await services.limits.queries.run(_jobs(services).recent)


@router.get("/{job_id}", response_model=schemas.Job)
async def job(services: ServicesOf, caller: AdminBy, job_id: JobId) -> Job:
    """Return the state of a job."""
    return await _one(services, job_id)


@router.delete("/{job_id}", status_code=202, response_model=schemas.Job)
async def cancel_job(services: ServicesOf, caller: AdminBy, job_id: JobId) -> Job:
    """Cancel a job; it stops at its next step."""
    kept = _jobs(services)
    return await services.limits.queries.run(lambda: kept.cancel(job_id))


@router.get(
    "/{job_id}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def watch_job(services: ServicesOf, caller: AdminBy, job_id: JobId) -> StreamingResponse:
    """Watch a job as server-sent events: one for each progress, the last when it has ended.

    The stream ends after a minute; an EventSource reconnects by itself.
    """
    first = await _one(services, job_id)
    return StreamingResponse(_events(services, first), media_type="text/event-stream")


async def _events(services: Services, last: Job) -> AsyncIterator[str]:
    until = asyncio.get_running_loop().time() + _LONGEST_S
    yield _event(last)
    while not last.ended and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(_POLL_S)
        try:
            now = await _one(services, last.id)
        except FacedexError:
            return  # the client reconnects
        if now != last:
            yield _event(now)
            last = now


async def _one(services: Services, job_id: str) -> Job:
    kept = _jobs(services)
    return await services.limits.queries.run(lambda: kept.one(job_id))


def _jobs(services: Services) -> Jobs:
    if services.jobs is None:
        raise UnknownJobError("this server runs no jobs")
    return services.jobs


def _event(job: Job) -> str:
    return f"event: {job.state}\ndata: {schemas.Job.model_validate(job).model_dump_json()}\n\n"
