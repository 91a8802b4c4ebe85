"""Galleries, the status of their index, and their maintenance as jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from fastapi import Path as PathParameter
from fastapi import Request

from ... import transfer
from ...errors import UnknownJobError
from ...gallery import Gallery, fsck
from ...options import OnExisting
from ...records import Status
from ...server import Job, Principal, Progress
from ..building import build_everybody
from ..errors import describe
from ..security import AdminBy, ReadBy
from ..services import Services, ServicesOf
from . import schemas
from .common import GalleryName, part

gallery_routes = part("galleries", "/galleries")
status = part("index", "/index")
router = part("index", "/index")


@gallery_routes.get("")
async def galleries(services: ServicesOf, caller: ReadBy) -> list[schemas.Gallery]:
    """List the galleries of this server."""
    names = await services.limits.queries.run(services.galleries.names)
    return [schemas.Gallery(name=name) for name in names]


@gallery_routes.post("", status_code=201)
async def create_gallery(services: ServicesOf, caller: AdminBy, given: schemas.NewGallery) -> schemas.Gallery:
    """Create a gallery; an existing one stays as it is."""
    await services.limits.queries.run(lambda: services.galleries.at(given.name, create=True))
    return schemas.Gallery(name=given.name)


@gallery_routes.get("/{name}", response_model=schemas.Status)
async def gallery(
    services: ServicesOf, caller: ReadBy, name: Annotated[str, PathParameter(min_length=1, max_length=64)]
) -> Status:
    """Return the status of a gallery."""
    return await services.query(lambda opened: opened.status(), name)


@status.get("", response_model=schemas.Status)
async def index(services: ServicesOf, caller: ReadBy, gallery: GalleryName = None) -> Status:
    """Return the status of the index."""
    return await services.query(lambda opened: opened.status(), gallery)


@router.post("/rebuild", status_code=202, response_model=schemas.Job)
async def rebuild(services: ServicesOf, caller: AdminBy, gallery: GalleryName = None) -> Job:
    """Rebuild the index from the database."""

    def work(progress: Progress) -> dict[str, Any]:
        return {"faces": services.galleries.rebuild(gallery or services.settings.gallery, progress)}

    return await begin(services, caller, "rebuild", gallery, work)


@router.post("/optimise", status_code=202, response_model=schemas.Job)
async def optimise(services: ServicesOf, caller: AdminBy, gallery: GalleryName = None) -> Job:
    """Vacuum the database: rewrite it without deleted data."""

    def work(opened: Gallery, progress: Progress) -> dict[str, Any]:
        return {"wiped": opened.vacuum()}

    return await begin_with(services, caller, "optimise", gallery, work)


@router.post("/check", status_code=202, response_model=schemas.Job)
async def check(services: ServicesOf, caller: AdminBy, gallery: GalleryName = None) -> Job:
    """Check the database and the index for inconsistencies."""

    def work(progress: Progress) -> dict[str, Any]:
        name = gallery or services.settings.gallery
        report = fsck.fsck(services.settings.location, name=name, progress=progress)
        outliers = [{"person_id": person_id} | asdict(outlier) for person_id, outlier in report.outliers]
        findings = [asdict(one) for one in report.findings]
        return {"ok": report.ok, "faces": report.faces, "findings": findings, "outliers": outliers}

    return await begin(services, caller, "check", gallery, work)


@router.post("/purge", status_code=202, response_model=schemas.Job)
async def purge(services: ServicesOf, caller: AdminBy, gallery: GalleryName = None) -> Job:
    """Delete everybody whose retention time is over."""

    def work(opened: Gallery, progress: Progress) -> dict[str, Any]:
        return {"purged": len(opened.purge())}

    return await begin_with(services, caller, "purge", gallery, work)


@router.post("/build", status_code=202, response_model=schemas.Job)
async def build_people(services: ServicesOf, caller: AdminBy, gallery: GalleryName = None) -> Job:
    """Rebuild everybody's faces from the stored original photos."""

    def work(opened: Gallery, progress: Progress) -> dict[str, Any]:
        done = build_everybody(opened, progress=progress)
        return {"faces": done.faces, "people": done.people, "left": done.left}

    return await begin_with(services, caller, "build", gallery, work)


@router.post("/migrate", status_code=202, response_model=schemas.Job)
async def migrate(services: ServicesOf, caller: AdminBy, given: schemas.Migrating, gallery: GalleryName = None) -> Job:
    """Move the gallery to another pack, from the stored original photos; it stays in use meanwhile."""

    def work(opened: Gallery, progress: Progress) -> dict[str, Any]:
        done = opened.migrate(given.pack, without_photo=given.without_photo, progress=progress)
        return {
            "swapped": done.swapped,
            "moved": done.moved,
            "without_photo": list(done.without_photo),
            "without_face": list(done.without_face),
        }

    return await begin_with(services, caller, "migrate", gallery, work)


@router.post(
    "/import",
    status_code=202,
    response_model=schemas.Job,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def import_gallery(
    services: ServicesOf,
    caller: AdminBy,
    request: Request,
    on_existing: OnExisting = "error",
    gallery: GalleryName = None,
) -> Job:
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

    return await begin_with(services, caller, "import", gallery, work)


async def begin_with(
    services: Services,
    caller: Principal,
    kind: str,
    gallery: str | None,
    work: Callable[[Gallery, Progress], dict[str, Any]],
) -> Job:
    """Start a job that uses the open gallery."""
    name = gallery or services.settings.gallery
    return await begin(
        services,
        caller,
        kind,
        gallery,
        lambda progress: services.galleries.use(name, lambda opened: work(opened, progress)),
    )


async def begin(
    services: Services,
    caller: Principal,
    kind: str,
    gallery: str | None,
    work: Callable[[Progress], dict[str, Any]],
) -> Job:
    """Start a job."""
    jobs = services.jobs
    if jobs is None:
        raise UnknownJobError("this server runs no jobs")
    name = gallery or services.settings.gallery

    def start() -> Job:
        services.galleries.at(name)  # an unknown gallery is refused now
        return jobs.begin(kind, name, work, actor=caller.name)

    return await services.limits.queries.run(start)
