"""Two pictures → whether they show the same person, with an engine that is made on the first call and kept."""

from __future__ import annotations

import os

from .engine import Engine
from .inputs import ImageInput
from .results import Comparison

_engines: dict[tuple[int, str | None], Engine] = {}


def compare(
    a: ImageInput, b: ImageInput, *, pack: str | os.PathLike[str] | None = None, threshold: float | None = None
) -> Comparison:
    """Compare the largest faces of two pictures; see `Engine.compare`.

    The engine of the pack is made on the first call and kept.
    """
    return _shared_engine(pack).compare(a, b, threshold=threshold)


async def acompare(
    a: ImageInput, b: ImageInput, *, pack: str | os.PathLike[str] | None = None, threshold: float | None = None
) -> Comparison:
    """Run `compare` in a thread, so that the event loop goes on; parameters, result and errors are its."""
    import asyncio  # here, because importing facedex must stay cheap

    return await asyncio.to_thread(compare, a, b, pack=pack, threshold=threshold)


def _shared_engine(pack: str | os.PathLike[str] | None) -> Engine:
    # One a process: after a fork the child makes its own. Two threads may make one each; the later stays.
    key = (os.getpid(), None if pack is None else os.fspath(pack))
    if key not in _engines:
        _engines[key] = Engine(pack)
    return _engines[key]
