"""Tasks of minutes, which the older backends ran within one request: each process runs one at a time."""

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

MAX_TASKS = 8
"""Tasks that may run or wait."""

RETRY_AFTER_S = 30

_executor = ThreadPoolExecutor(1, thread_name_prefix="facedex-long")
_tasks = 0


async def run_long(services: Services, task: Callable[[Gallery], _Answer]) -> _Answer:
    """Run a task in the thread for long tasks, without the time limit of other requests.

    Parameters
    ----------
    services : Services
    task : callable
        Called with the open gallery.

    Raises
    ------
    OverloadedError
        When too many tasks are waiting.
    """
    global _tasks
    if _tasks >= MAX_TASKS:
        raise OverloadedError("the gallery is being built already; try again later", retry_after_s=RETRY_AFTER_S)
    _tasks += 1
    try:
        work = partial(services.galleries.use, services.settings.gallery, task)
        return await asyncio.get_running_loop().run_in_executor(_executor, contextvars.copy_context().run, work)
    finally:
        _tasks -= 1
