"""Work that may take minutes, which the old backends did within one request: one at a time in each process."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from ...errors import OverloadedError
from ...gallery import Gallery
from ..services import Services

_Answer = TypeVar("_Answer")

MOST = 8
"""Pieces of such work that may wait for their turn or run."""

RETRY_AFTER_S = 30

_turns = ThreadPoolExecutor(1, thread_name_prefix="facedex-long")
_inside = 0


async def at_leisure(services: Services, verb: Callable[[Gallery], _Answer]) -> _Answer:
    """Run something with the gallery in a thread of its own, without the time limit of other requests.

    Parameters
    ----------
    services : Services
    verb : callable
        Given the open gallery.

    Raises
    ------
    OverloadedError
        When too much such work is waiting.
    """
    global _inside
    if _inside >= MOST:
        raise OverloadedError("the gallery is being built already; try again later", retry_after_s=RETRY_AFTER_S)
    _inside += 1
    try:
        work = partial(services.galleries.use, services.settings.gallery, verb)
        return await asyncio.get_running_loop().run_in_executor(_turns, contextvars.copy_context().run, work)
    finally:
        _inside -= 1
