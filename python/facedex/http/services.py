"""What the routes share: the open galleries, access, limits, jobs, metrics. Made once for each process.

A route never calls a gallery itself: it hands a function to `Services.work` (pictures) or `Services.ask` (questions to
the database), which run it in a thread, within the limits, with the gallery it needs. When another process has moved
the gallery to another pack, it is opened anew and the function runs again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import sqlalchemy as sa
from fastapi import Depends, Request

from ..engine import Engine
from ..errors import GalleryPackError, UnknownGalleryError
from ..gallery import Gallery
from ..gallery.policy import Enrolment
from ..packs import default
from ..server import Access
from ..server.forgetting import PersonEraser
from ..store import Database, Feed
from ..store.tables import galleries as galleries_table
from .limits import Limits
from .settings import Settings

if TYPE_CHECKING:
    from .jobs import Jobs
    from .metrics import Metrics

_log = logging.getLogger("facedex.http")
_Answer = TypeVar("_Answer")


class Galleries:
    """The galleries of a database, each opened when it is first needed.

    Parameters
    ----------
    settings : Settings
    database : Database, optional
        That of `settings`; None when the one gallery is given.
    engine : Engine, optional
        Shared instead of a new one.
    gallery : Gallery, optional
        The one gallery there is.
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
        """Return the gallery of a name, opened; blocks.

        Raises
        ------
        UnknownGalleryError
            When there is none and `create` is False.
        """
        gallery = self._open.get(name)
        if gallery is not None:
            return gallery
        with self._lock:
            if name not in self._open:
                self._open[name] = self._opened(name, create)
            return self._open[name]

    def engine(self, name: str) -> Engine:
        """Return the engine that a gallery works with; blocks."""
        return self.at(name).engine

    def names(self) -> list[str]:
        """List the galleries of the database, in the order in which they were made."""
        if self._database is None:
            return list(self._open)
        with self._database.single() as connection:
            return [row.name for row in connection.execute(sa.select(galleries_table).order_by(galleries_table.c.id))]

    def use(self, name: str, verb: Callable[[Gallery], _Answer]) -> _Answer:
        """Run something with a gallery, again with a new one when the gallery has another pack meanwhile; blocks."""
        gallery = self.at(name)
        try:
            return verb(gallery)
        except GalleryPackError:
            if not self._ours:
                raise
            return verb(self.reopened(name, gallery))

    def reopened(self, name: str, stale: Gallery | None = None) -> Gallery:
        """Open a gallery anew, unless somebody has done so since `stale` was returned; blocks."""
        with self._lock:
            now = self._open.get(name)
            if stale is None or now is stale or now is None:
                fresh = self._opened(name, create=False)
                self._open[name] = fresh
                if now is not None:
                    threading.Thread(target=now.close, name="facedex-closing").start()
                _log.info("gallery %r was opened anew with pack %r", name, fresh.status().pack)
            return self._open[name]

    def close(self) -> None:
        """Close what was opened here."""
        with self._lock:
            opened, self._open = (self._open if self._ours else {}), {}
        for gallery in opened.values():
            gallery.close()
        if self._database is not None:
            self._database.close()

    def _opened(self, name: str, create: bool) -> Gallery:
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
            enrolment=Enrolment(max_faces=settings.max_faces),
            photos=settings.photos,
            eraser=PersonEraser(settings.account_scopes, settings.gallery),
        )

    def _engine_of(self, pack: str) -> Engine:
        if pack not in self._engines:
            self._engines[pack] = Engine(self._place_of(pack), add=self._settings.add_packs)
        return self._engines[pack]

    def _place_of(self, pack: str) -> str:
        """Tell where a pack is: one that was given as a path is found there."""
        given = self._settings.pack
        return given if given is not None and Path(given).name == f"{pack}.toml" else pack


@dataclass(frozen=True)
class Services:
    """What the routes of one server share.

    Attributes
    ----------
    settings : Settings
    galleries : Galleries
    limits : Limits
    metrics : Metrics
    access : Access or None
        None in a router that somebody else's application guards.
    jobs : Jobs or None
    """

    settings: Settings
    galleries: Galleries
    limits: Limits
    metrics: Metrics
    access: Access | None = None
    jobs: Jobs | None = None

    def __post_init__(self) -> None:
        self.metrics.watch(self.limits.inside)

    async def work(self, verb: Callable[[Gallery], _Answer], gallery: str | None = None) -> _Answer:
        """Run something that works on pictures, in a thread and within the limits.

        Parameters
        ----------
        verb : callable
            Given the open gallery.
        gallery : str, optional
            Its name; by default that of the settings.

        Raises
        ------
        OverloadedError, LateAnswerError, UnknownGalleryError
        """
        name = gallery or self.settings.gallery
        return await self.limits.work(partial(self.galleries.use, name, verb))

    async def work_in_turns(
        self, verbs: Sequence[Callable[[Gallery], _Answer]], gallery: str | None = None
    ) -> list[_Answer]:
        """Run the parts of a request that works on many pictures; see `Limits.work_in_turns`."""
        name = gallery or self.settings.gallery
        return await self.limits.work_in_turns([partial(self.galleries.use, name, verb) for verb in verbs])

    async def sign_in(self, verb: Callable[[Gallery], _Answer]) -> _Answer:
        """Run a sign-in with a face, in the lane of these."""
        return await self.limits.sign_in(partial(self.galleries.use, self.settings.gallery, verb))

    async def ask(
        self, verb: Callable[[Gallery], _Answer], gallery: str | None = None, *, password: bool = False
    ) -> _Answer:
        """Run something that asks the database and not the networks, in a thread of the lane for questions.

        With `password` it makes or checks one on the way, and has the lane for passwords.
        """
        name = gallery or self.settings.gallery
        lane = self.limits.hash if password else self.limits.ask
        return await lane(partial(self.galleries.use, name, verb))

    async def look(self, verb: Callable[[Gallery], _Answer]) -> _Answer:
        """Run a health check, in the lane of these."""
        return await self.limits.look(partial(self.galleries.use, self.settings.gallery, verb))

    async def ask_access(self, verb: Callable[[Access], _Answer], *, password: bool = False) -> _Answer:
        """Run something with accounts, keys or tokens, in a thread of the lane for questions or for passwords."""
        access = self.access
        if access is None:
            raise UnknownGalleryError("this server keeps no accounts")
        lane = self.limits.hash if password else self.limits.ask
        return await lane(lambda: verb(access))

    async def engine(self, gallery: str | None = None) -> Engine:
        """Return the engine of a gallery."""
        name = gallery or self.settings.gallery
        return await self.limits.ask(lambda: self.galleries.engine(name))

    def close(self) -> None:
        """Let what runs end, and close."""
        if self.jobs is not None:
            self.jobs.close()
        self.limits.close()
        self.galleries.close()
        if self.access is not None:
            self.access.close()


def services_of(request: Request) -> Services:
    """Return what the routes share: of the router, or of the application."""
    found: Services = getattr(request.state, "facedex", None) or request.app.state.facedex
    return found


async def _services(request: Request) -> Services:
    return services_of(request)  # FastAPI would run a plain function in a thread


ServicesOf = Annotated[Services, Depends(_services)]
"""A parameter of a route that wants the services."""
