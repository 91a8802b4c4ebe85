"""Adds the contracts to an application: none, some or all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from types import ModuleType

from fastapi import APIRouter, FastAPI
from pydantic_settings import BaseSettings
from starlette.routing import BaseRoute

from ..._core import PackInfo
from ...errors import ArgumentError
from ...scales import ARCFACE_R18, ARCFACE_R50, ARCFACE_R100, DLIB, Calibration, ScaleMap
from ..errors import ErrorFormatter, format_problem
from ..old_names import ALL
from ..services import Services

CONTRACTS: dict[str, Callable[[PackInfo], object]] = {
    "flask-face": lambda pack: ScaleMap(pack, ARCFACE_R50),
    "face-server": lambda pack: ScaleMap(pack, DLIB),
    "face-re": lambda pack: ScaleMap(pack, ARCFACE_R100),
    "face-api": lambda pack: ScaleMap(pack, ARCFACE_R18),
    "mtcnn-facenet": Calibration,
}
"""Each contract and the scale that it needs of a pack. Of two routes with one path and method the first one answers."""


def add_contracts(app: FastAPI, names: Iterable[str]) -> None:
    """Add the routes of contracts to an application.

    Parameters
    ----------
    app : fastapi.FastAPI
        An application of `facedex.http.create_app`.
    names : iterable of str
        Names in `CONTRACTS`, or "all".

    Raises
    ------
    ArgumentError
        When a name is unknown.
    PackScoresError
        When the gallery's pack has no table of scores for the scale of a contract.
    """
    chosen = set(names)
    unknown = chosen - CONTRACTS.keys() - {ALL}
    if unknown:
        listed = ", ".join(sorted(unknown))
        raise ArgumentError(f"there is no contract {listed}; contracts are {', '.join(CONTRACTS)}, or {ALL}")
    formatters: dict[str, ErrorFormatter] = {}
    services: Services = app.state.facedex
    pack = services.galleries.at(services.settings.gallery).pack
    for name, make_scale in CONTRACTS.items():
        if name in chosen or ALL in chosen:
            make_scale(pack)
            contract = import_module(f".{name.replace('-', '_')}", __package__)
            settings = [contract.SETTINGS()] if hasattr(contract, "SETTINGS") else []
            app.router.routes.extend(_routes(contract, *settings))
            formatters |= dict(contract.SHAPES)

    def error_formatter_of(path: str) -> ErrorFormatter:
        """Return the format of errors below a path, for requests that are refused before they reach a route."""
        longest = max((start for start in formatters if path.startswith(start)), key=len, default=None)
        return format_problem if longest is None else formatters[longest]

    app.state.error_formatter_of = error_formatter_of


@cache
def _routes(contract: ModuleType, *settings: BaseSettings) -> list[BaseRoute]:
    """Make the routes of a contract, once a process for the same settings."""
    router = APIRouter()
    router.include_router(contract.router(*settings))
    return router.routes
