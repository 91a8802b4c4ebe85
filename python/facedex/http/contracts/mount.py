"""Which contracts an application answers: none, some, or all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module

from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute

from ..._core import PackInfo
from ...errors import ArgumentError
from ...scales import ARCFACE_R18, ARCFACE_R50, ARCFACE_R100, DLIB, Calibration, ScaleMap
from ..errors import Shape, as_problem
from ..old_names import ALL
from ..services import Services

CONTRACTS: dict[str, Callable[[PackInfo], object]] = {
    "flask-face": lambda pack: ScaleMap(pack, ARCFACE_R50),
    "face-server": lambda pack: ScaleMap(pack, DLIB),
    "face-re": lambda pack: ScaleMap(pack, ARCFACE_R100),
    "face-api": lambda pack: ScaleMap(pack, ARCFACE_R18),
    "mtcnn-facenet": Calibration,
}
"""Each contract, and what it needs of a pack. Where two have a route of one path and method, the first is answered."""


def add_contracts(app: FastAPI, names: Iterable[str]) -> None:
    """Answer contracts.

    Parameters
    ----------
    app : fastapi.FastAPI
        Of `facedex.http.create_app`.
    names : iterable of str
        Of `CONTRACTS`, or "all".

    Raises
    ------
    ArgumentError
        When there is no contract of a name.
    PackScoresError
        When the gallery's pack has no table by which the contract's scale is put on its own.
    """
    wanted = set(names)
    unknown = wanted - CONTRACTS.keys() - {ALL}
    if unknown:
        listed = ", ".join(sorted(unknown))
        raise ArgumentError(f"there is no contract {listed}; contracts are {', '.join(CONTRACTS)}, or {ALL}")
    shapes: dict[str, Shape] = {}
    services: Services = app.state.facedex
    pack = services.galleries.at(services.settings.gallery).pack
    for name, needed in CONTRACTS.items():
        if name in wanted or ALL in wanted:
            needed(pack)
            routes, shapes_of_contract = _contract(name)
            app.router.routes.extend(routes)
            shapes |= shapes_of_contract

    def shape_of(path: str) -> Shape:
        """Return the shape of errors below a path, for what is refused before a route is reached."""
        longest = max((start for start in shapes if path.startswith(start)), key=len, default=None)
        return as_problem if longest is None else shapes[longest]

    app.state.shape_of = shape_of


@cache
def _contract(name: str) -> tuple[list[BaseRoute], dict[str, Shape]]:
    """Import a contract; returns its routes, which are made once a process, and its shapes of errors."""
    contract = import_module(f".{name.replace('-', '_')}", __package__)
    router = APIRouter()
    router.include_router(contract.router())
    return router.routes, dict(contract.SHAPES)
