"""The services that the routes share: open galleries, access, limits, jobs, metrics; created once per process.

A route passes a function to `Services.work` (pictures) or `Services.query` (database), which runs it in a thread,
within the limits, with the open gallery. If another process has moved the gallery to another pack, the gallery is
reopened and the function runs again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

from fastapi import Depends, Request

from ..config import settings as of_engine
from ..engine import Engine
from ..errors import GalleryPackError, UnknownGalleryError
from ..gallery import Gallery, fsck
from ..gallery.lifetime import Progress
from ..gallery.policy import Enrolment
from ..packs import default
from ..server import Access, Jobs
from ..server.forgetting import PersonEraser
from ..store import Database, Feed, gallery_names
from .limits import Limits
from .settings import Settings

if TYPE_CHECKING:
    from .metrics import Metrics

_log = logging.getLogger("facedex.http")
_Answer = TypeVar("_Answer")


class Galleries:
    """The galleries of a database, each opened at its first use.

    Parameters
    ----------
    settings : Settings
    database : Database, optional
        That of `settings`; None when `gallery` is given.
    engine : Engine, optional
        Shared, instead of a new one.
    gallery : Gallery, optional
        The only gallery.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        database: Database | None = None,
        engine: Engine | None = None,
        gallery: Gallery | None = None,
    ) -> None:
        self._settings = settings
        self._database = database
        self._open: dict[str, Gallery] = {} if gallery is None else {settings.gallery: gallery}
        self._ours = gallery is None
        self._engines: dict[str, Engine] = {}
        if engine is not None:
            self._engines[engine.pack.name] = engine
        self._given = engine
        self._lock = threading.Lock()

    def at(self, name: str, *, create: bool = False) -> Gallery:
        """Return an open gallery by its name; blocks.

        Raises
        ------
        UnknownGalleryError
            When it does not exist and `create` is False.
        """
        gallery = self._open.get(name)
        if gallery is not None:
            return gallery
        with self._lock:
            if name not in self._open:
                self._open[name] = self._open_gallery(name, create)
            return self._open[name]

    def names(self) -> list[str]:
        """List the galleries of the database, in order of creation."""
        return list(self._open) if self._database is None else gallery_names(self._database)

    def use(self, name: str, function: Callable[[Gallery], _Answer]) -> _Answer:
        """Run a function with a gallery, again if the gallery was moved to another pack; blocks."""
        gallery = self.at(name)
        try:
            return function(gallery)
        except GalleryPackError:
            if not self._ours:
                raise
            return function(self.reopen(name, gallery))

    def reopen(self, name: str, stale: Gallery | None = None) -> Gallery:
        """Reopen a gallery, unless another thread has done so since `stale` was returned; blocks."""
        with self._lock:
            now = self._open.get(name)
            if stale is None or now is stale or now is None:
                fresh = self._open_gallery(name, create=False)
                self._open[name] = fresh
                if now is not None:
                    threading.Thread(target=now.close, name="facedex-closing").start()
                _log.info("gallery %r was reopened with pack %r", name, fresh.status().pack)
            return self._open[name]

    def rebuild(self, name: str, progress: Progress | None = None) -> int:
        """Rebuild the index of a gallery, reopen it, and return the number of faces; blocks."""
        number = fsck.rebuild(self._settings.location, name=name, score=self._settings.score, progress=progress)
        self.reopen(name)
        return number

    def close(self) -> None:
        """Close the galleries that were opened here."""
        with self._lock:
            opened, self._open = (self._open if self._ours else {}), {}
        for gallery in opened.values():
            gallery.close()
        if self._database is not None:
            self._database.close()

    def _open_gallery(self, name: str, create: bool) -> Gallery:
        if self._database is None:
            raise UnknownGalleryError(f"there is no gallery {name!r}")
        stored = Feed(self._database, name).stored_pack
        if stored is None and not create:
            raise UnknownGalleryError(f"there is no gallery {name!r}")
        pack = stored.name if stored is not None else self._settings.pack or default()
        settings = self._settings
        return Gallery.open(
            settings.location,
            engine=self._given if stored is None and self._given is not None else self._engine_of(pack),
            name=name,
            threshold=settings.threshold,
            audit=settings.audit,
            index=settings.index,
            score=settings.score,
            enrolment=Enrolment(max_faces=settings.max_faces),
            photos=settings.photos,
            eraser=PersonEraser(settings.account_scopes, settings.gallery),
        )

    def _engine_of(self, pack: str) -> Engine:
        if pack not in self._engines:
            # Without FACEDEX_THREADS a single worker uses the engine's default.
            threads = self._settings.cores if self._settings.workers > 1 and of_engine().threads is None else None
            self._engines[pack] = Engine(self._place_of(pack), add=self._settings.add_packs, threads=threads)
        return self._engines[pack]

    def _place_of(self, pack: str) -> str:
        """Return the path of a pack that was given as a path, else its name."""
        given = self._settings.pack
        return given if given is not None and Path(given).name == f"{pack}.toml" else pack


@dataclass(frozen=True)
class Services:
    """The services of one server.

    Attributes
    ----------
    settings : Settings
    galleries : Galleries
    limits : Limits
    metrics : Metrics
    access : Access or None
        None in a router within another application, which authenticates by itself.
    jobs : Jobs or None
    """

    settings: Settings
    galleries: Galleries
    limits: Limits
    metrics: Metrics
    access: Access | None = None
    jobs: Jobs | None = None

    def __post_init__(self) -> None:
        self.metrics.watch(self.limits.pending)

    async def work(self, function: Callable[[Gallery], _Answer], gallery: str | None = None) -> _Answer:
        """Run a function that analyses pictures, in a thread and within the limits.

        Parameters
        ----------
        function : callable
            Given the open gallery.
        gallery : str, optional
            Its name; by default that of the settings.

        Raises
        ------
        OverloadedError, LateAnswerError, UnknownGalleryError
        """
        return await self.limits.pictures.run(self._with(gallery, function))

    async def work_in_turns(
        self, functions: Sequence[Callable[[Gallery], _Answer]], gallery: str | None = None
    ) -> list[_Answer]:
        """Run the parts of a request with many pictures; see `Lane.run_in_turns`."""
        return await self.limits.pictures.run_in_turns([self._with(gallery, function) for function in functions])

    async def sign_in(self, function: Callable[[Gallery], _Answer]) -> _Answer:
        """Run a sign-in with a face."""
        return await self.limits.faces.run(self._with(None, function))

    async def query(
        self, function: Callable[[Gallery], _Answer], gallery: str | None = None, *, password: bool = False
    ) -> _Answer:
        """Run a function that queries the database and not the networks; with `password` it hashes or checks one."""
        lane = self.limits.passwords if password else self.limits.queries
        return await lane.run(self._with(gallery, function))

    async def check(self, function: Callable[[Gallery], _Answer]) -> _Answer:
        """Run a health check."""
        return await self.limits.checks.run(self._with(None, function))

    async def query_access(self, function: Callable[[Access], _Answer], *, password: bool = False) -> _Answer:
        """Run a function with the accounts, keys or tokens; with `password` it hashes or checks one."""
        access = self.access
        if access is None:
            raise UnknownGalleryError("this server has no accounts")
        lane = self.limits.passwords if password else self.limits.queries
        return await lane.run(lambda: function(access))

    def _with(self, gallery: str | None, function: Callable[[Gallery], _Answer]) -> Callable[[], _Answer]:
        return partial(self.galleries.use, gallery or self.settings.gallery, function)

    def close(self) -> None:
        """Wait for the running work, and close."""
        if self.jobs is not None:
            self.jobs.close()
        self.limits.close()
        self.galleries.close()
        if self.access is not None:
            self.access.close()


def services_of(request: Request) -> Services:
    """Return the services of the router or the application."""
    found: Services = getattr(request.state, "facedex", None) or request.app.state.facedex
    return found


async def _services(request: Request) -> Services:
    return services_of(request)  # a coroutine, because FastAPI runs a plain function in a thread


ServicesOf = Annotated[Services, Depends(_services)]
"""A parameter of a route for the services."""
