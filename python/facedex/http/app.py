"""The application: services, routes, middleware and the page.

`create_app` is the whole server; `router` is the part of `/v1` for one gallery, for an application of your own, which
authenticates the callers.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from .. import __version__
from ..engine import Engine
from ..errors import GalleryPackError
from ..gallery import Gallery
from ..server import Access, Jobs, Lockout, Passwords
from ..store import Database
from ..thresholds import SIGN_IN_RULE
from . import v1
from .connections import CONNECTION_LIMITER, ConnectionLimiter
from .docs import add_docs, complete_openapi
from .errors import CLIENT_CLOSED, error_formatter_for, is_disconnect, problem_of
from .guard import Guard
from .limits import Limits
from .metrics import Metrics
from .services import Galleries, Services
from .settings import Settings

_log = logging.getLogger("facedex")


def create_app(
    settings: Settings | None = None, *, engine: Engine | None = None, passwords: Passwords | None = None
) -> FastAPI:
    """Create the server's application, with its gallery open.

    Parameters
    ----------
    settings : Settings, optional
        By default from the environment.
    engine : Engine, optional
        An engine to share; by default that of the gallery's pack.
    passwords : Passwords, optional
        With other parameters than the default.

    Returns
    -------
    fastapi.FastAPI

    Raises
    ------
    FacedexError
        When the gallery cannot be opened.
    """
    chosen = Settings() if settings is None else settings
    services = _make_services(chosen, engine, passwords)
    _log_sign_in_rule(services)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        yield {CONNECTION_LIMITER: _make_connection_limiter(chosen, services.metrics)}
        services.close()

    app = FastAPI(
        title="facedex",
        version=__version__,
        summary="Register people from pictures and recognise them.",
        openapi_url="/api/openapi.json" if chosen.docs else None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.facedex = services
    for kind in (HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, _handle_error)
    if chosen.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(chosen.cors_origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "X-API-Key", "Idempotency-Key", "Content-Type", "X-Fields"],
            expose_headers=["Location", "Retry-After"],
        )
    app.add_middleware(Guard, settings=chosen, metrics=services.metrics, limits=services.limits)
    app.router.routes.extend(v1.server_routes())
    if chosen.contracts:
        from .contracts import add_contracts

        add_contracts(app, chosen.contracts)
    complete_openapi(app)
    if chosen.docs:
        add_docs(app)
    _add_page(app)
    return app


def router(gallery: Gallery, *, settings: Settings | None = None) -> APIRouter:
    """Create the routes of one gallery, for your own FastAPI application.

    They require no key: your application authenticates the callers, for example with
    ``app.include_router(router(gallery), prefix="/faces", dependencies=[Depends(signed_in)])``.

    Parameters
    ----------
    gallery : Gallery
        Open; you close it.
    settings : Settings, optional
        Limits.

    Returns
    -------
    fastapi.APIRouter
    """
    chosen = Settings() if settings is None else settings
    services = Services(
        settings=chosen,
        galleries=Galleries(chosen, gallery=gallery),
        limits=_make_limits(chosen),
        metrics=Metrics(),
    )

    async def provide(request: Request) -> None:
        request.state.facedex = services

    routes = APIRouter(dependencies=[Depends(provide)])
    routes.include_router(v1.gallery_routes())
    return routes


class _PageFiles(StaticFiles):
    """The files of the page; a browser revalidates them each time, so that it never runs an old script."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        if str(args[0]).endswith(".js"):  # some systems have an outdated type
            response.headers["Content-Type"] = "text/javascript; charset=utf-8"
        return response


def _add_page(app: FastAPI) -> None:
    """Serve the page at ``/``, and its files; there is no build step."""
    files = _PageFiles(directory=Path(__file__).parent / "web")

    @app.get("/", include_in_schema=False)
    async def index(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    @app.get("/web/{name}", include_in_schema=False)
    async def file(request: Request, name: str) -> Response:
        return await files.get_response(name, request.scope)


def _make_services(settings: Settings, engine: Engine | None, passwords: Passwords | None) -> Services:
    access = Access(
        Database(settings.location),
        ttl_s=settings.token_ttl_s,
        lockout=Lockout(after=settings.lockout_after),
        passwords=passwords,
    )
    galleries = Galleries(settings, database=Database(settings.location), engine=engine)
    try:
        _check_pack(galleries.at(settings.gallery, create=True), settings.pack)
    except BaseException:
        galleries.close()
        access.close()
        raise
    return Services(
        settings=settings,
        galleries=galleries,
        limits=_make_limits(settings),
        metrics=Metrics(),
        access=access,
        jobs=Jobs(access.database),
    )


def _log_sign_in_rule(services: Services) -> None:
    """Log by which rule faces sign in, where they do; a rate over that of `SIGN_IN_RULE` is a warning."""
    settings = services.settings
    if "flask-face" not in settings.contracts and settings.face_login_challenge != "required":
        return
    gallery = services.galleries.at(settings.gallery)
    prior, decision = gallery.engine.prior, gallery.decide_sign_in()
    text = "faces sign in from a similarity of %.4f on (%s), false match rate %s"
    if prior is None:
        _log.warning(text + ": the pack states no measurement", decision.threshold, decision.rule, "unknown")
        return
    rate = prior.tail().rate(decision.threshold)
    if rate > SIGN_IN_RULE.rate * (1 + 1e-6):
        text += "; the data of pack %r support none as low as %.2g"
        _log.warning(text, decision.threshold, decision.rule, f"{rate:.2g}", gallery.pack.name, SIGN_IN_RULE.rate)
    else:
        _log.info(text, decision.threshold, decision.rule, f"{rate:.2g}")


def _check_pack(gallery: Gallery, wanted: str | None) -> None:
    """Refuse a pack other than the gallery's: it would not be used."""
    if wanted is not None and Path(wanted).name.removesuffix(".toml") != gallery.pack.name:
        raise GalleryPackError(
            f"gallery {gallery.name!r} was made with pack {gallery.pack.name!r}, not {wanted!r}; leave the pack out, "
            "or move the gallery with 'facedex gallery migrate'",
            stored=gallery.pack.name,
            opened=wanted,
        )


def _make_connection_limiter(settings: Settings, metrics: Metrics) -> ConnectionLimiter:
    return ConnectionLimiter(
        max_per_address=settings.connections_per_address,
        trusted=settings.trusted_proxies,
        on_drop=metrics.count_drop,
        on_leave=metrics.count_leave,
    )


def _make_limits(settings: Settings) -> Limits:
    return Limits(
        settings.concurrency or settings.cores,
        settings.waiting,
        settings.request_timeout_s,
        most_pixels=settings.max_request_pixels,
    )


async def _handle_error(request: Request, error: Exception) -> Response:
    """Answer errors outside a route: an unknown path, a wrong method, a fault of a middleware."""
    return CLIENT_CLOSED if is_disconnect(error) else error_formatter_for(request)(request, problem_of(error))
