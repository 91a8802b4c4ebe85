"""The search index: how it stands, and the long work that looks after a gallery, as jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fastapi import Request

from ... import transfer
from ...errors import UnknownJobError
from ...gallery import Gallery, fsck
from ...options import OnExistingImport
from ...server import Principal
from ..building import build_everybody
from ..errors import describe
from ..jobs import Job, Progress
from ..security import AdminBy, ReadBy
from ..services import Services, ServicesOf
from . import schemas
from .common import GalleryName, part

status = part("index", "/index")
router = part("index", "/index")


@status.get("")
async def index(services: ServicesOf, who: ReadBy, gallery: GalleryName = None) -> schemas.Status:
    """Tell how the index stands."""
    return schemas.Status.model_validate(await services.ask(lambda opened: opened.status(), gallery))


@router.post("/rebuild", status_code=202)
async def rebuild(services: ServicesOf, who: AdminBy, gallery: GalleryName = None) -> schemas.Job:
    """Start the index over from the database."""

    def work(progress: Progress) -> dict[str, Any]:
        name = gallery or services.settings.gallery
        number = fsck.rebuild(services.settings.location, name=name, progress=progress)
        services.galleries.reopened(name)
        return {"faces": number}

    return await begin(services, who, "rebuild", gallery, work)


@router.post("/optimise", status_code=202)
async def optimise(services: ServicesOf, who: AdminBy, gallery: GalleryName = None) -> schemas.Job:
    """Write the database anew without what was deleted."""

    def work(opened: Gallery, progress: Progress) -> dict[str, Any]:
        return {"wiped": opened.vacuum()}

    return await begin_with(services, who, "optimise", gallery, work)


@router.post("/check", status_code=202)
async def check(services: ServicesOf, who: AdminBy, gallery: GalleryName = None) -> schemas.Job:
    """Compare the database with itself and with the index, and say what differs."""

    def work(progress: Progress) -> dict[str, Any]:
        name = gallery or services.settings.gallery
        report = fsck.fsck(services.settings.location, name=name, progress=progress)
        return {"ok": report.ok, "faces": report.faces, "findings": [asdict(one) for one in report.findings]}

    return await begin(services, who, "check", gallery, work)


@router.post("/purge", status_code=202)
async def purge(services: ServicesOf, who: AdminBy, gallery: GalleryName = None) -> schemas.Job:
    """Delete everybody who may be kept no longer."""

    def work(opened: Gallery, progress: Progress) -> dict[str, Any]:
        return {"purged": len(opened.purge())}

    return await begin_with(services, who, "purge", gallery, work)


@router.post("/build", status_code=202)
async def build(services: ServicesOf, who: AdminBy, gallery: GalleryName = None) -> schemas.Job:
    """Make everybody's faces anew from the original photos that are kept."""

    def work(opened: Gallery, progress: Progress) -> dict[str, Any]:
        done = build_everybody(opened, progress=progress)
        return {"faces": done.faces, "people": done.people, "left": done.left}

    return await begin_with(services, who, "build", gallery, work)


@router.post("/migrate", status_code=202)
async def migrate(
    services: ServicesOf, who: AdminBy, given: schemas.Migrating, gallery: GalleryName = None
) -> schemas.Job:
    """Move the gallery to another pack, from the original photos that are kept; until the end it answers as before."""

    def work(opened: Gallery, progress: Progress) -> dict[str, Any]:
        done = opened.migrate(given.pack, without_photo=given.without_photo, progress=progress)
        return {
            "swapped": done.swapped,
            "moved": done.moved,
            "without_photo": list(done.without_photo),
            "without_face": list(done.without_face),
        }

    return await begin_with(services, who, "migrate", gallery, work)


@router.post(
    "/import",
    status_code=202,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def bring(
    services: ServicesOf,
    who: AdminBy,
    request: Request,
    on_existing: OnExistingImport = "error",
    gallery: GalleryName = None,
) -> schemas.Job:
    """Import the people of a gallery file that 'facedex export' wrote; the file is the body."""
    data = await request.body()

    def work(opened: Gallery, progress: Progress) -> dict[str, Any]:
        with TemporaryDirectory(prefix="facedex-import-") as folder:
            path = Path(folder) / "gallery.fdx"
            path.write_bytes(data)
            done = transfer.import_from(opened, path, kind="gallery", on_existing=on_existing, progress=progress)
        return {
            "people": done.people,
            "faces": done.faces,
            "photos": done.photos,
            "skipped": len(done.skipped),
            "rejected": [describe(one.error) for one in done.rejected],
        }

    return await begin_with(services, who, "import", gallery, work)


async def begin_with(
    services: Services,
    who: Principal,
    kind: str,
    gallery: str | None,
    work: Callable[[Gallery, Progress], dict[str, Any]],
) -> schemas.Job:
    """Begin a job that works with the open gallery."""
    name = gallery or services.settings.gallery
    return await begin(
        services,
        who,
        kind,
        gallery,
        lambda progress: services.galleries.use(name, lambda opened: work(opened, progress)),
    )


async def begin(
    services: Services,
    who: Principal,
    kind: str,
    gallery: str | None,
    work: Callable[[Progress], dict[str, Any]],
) -> schemas.Job:
    """Begin a job."""
    jobs = services.jobs
    if jobs is None:
        raise UnknownJobError("this server runs no jobs")
    name = gallery or services.settings.gallery

    def start() -> Job:
        services.galleries.at(name)  # one that is not there is told now
        return jobs.begin(kind, name, work, actor=who.name)

    return schemas.Job.model_validate(await services.limits.ask(start))
