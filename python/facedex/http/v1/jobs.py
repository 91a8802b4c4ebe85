"""Long work: how it stands, watched as it goes on, and cancelled; the routes of the index begin it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Path
from fastapi.responses import StreamingResponse

from ...errors import FacedexError, UnknownJobError
from ..jobs import Job, Jobs
from ..security import AdminBy
from ..services import Services, ServicesOf
from . import schemas
from .common import part

router = part("jobs", "/jobs")

JobId = Annotated[str, Path(min_length=1, max_length=32)]

_LOOKED_S = 0.5
_LONGEST_S = 60.0  # then the client asks again, and must still be allowed to


@router.get("")
async def jobs(services: ServicesOf, who: AdminBy) -> list[schemas.Job]:
    """List jobs, the latest first."""
    kept = _jobs(services)
    return [schemas.Job.model_validate(job) for job in await services.limits.ask(kept.recent)]


@router.get("/{job_id}")
async def job(services: ServicesOf, who: AdminBy, job_id: JobId) -> schemas.Job:
    """Tell how a job stands."""
    return schemas.Job.model_validate(await _one(services, job_id))


@router.delete("/{job_id}", status_code=202)
async def cancel(services: ServicesOf, who: AdminBy, job_id: JobId) -> schemas.Job:
    """Ask a job to stop; it does so at its next step."""
    kept = _jobs(services)
    return schemas.Job.model_validate(await services.limits.ask(lambda: kept.cancel(job_id)))


@router.get(
    "/{job_id}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def watch(services: ServicesOf, who: AdminBy, job_id: JobId) -> StreamingResponse:
    """Watch a job as server-sent events: one whenever it has come further, the last when it has ended.

    After a minute the answer ends without that, and is asked for again, as an EventSource does by itself.
    """
    first = await _one(services, job_id)
    return StreamingResponse(_events(services, first), media_type="text/event-stream")


async def _events(services: Services, last: Job) -> AsyncIterator[str]:
    until = asyncio.get_running_loop().time() + _LONGEST_S
    yield _event(last)
    while not last.ended and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(_LOOKED_S)
        try:
            now = await _one(services, last.id)
        except FacedexError:
            return  # the client asks again
        if now != last:
            yield _event(now)
            last = now


async def _one(services: Services, job_id: str) -> Job:
    kept = _jobs(services)
    return await services.limits.ask(lambda: kept.one(job_id))


def _jobs(services: Services) -> Jobs:
    if services.jobs is None:
        raise UnknownJobError("this server runs no jobs")
    return services.jobs


def _event(job: Job) -> str:
    return f"event: {job.state}\ndata: {schemas.Job.model_validate(job).model_dump_json()}\n\n"
