"""Coroutines of blocking functions, which run in a thread so that the event loop is not blocked.

The core releases the interpreter lock while it decodes, infers and searches, so a thread is enough. A thread cannot be
stopped from outside: when a coroutine is cancelled, its thread ends at the next `check_cancelled`, which the store
calls before each transaction and before each commit.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


_cancelled: ContextVar[threading.Event | None] = ContextVar("cancelled", default=None)
"""Set when the coroutine was cancelled for which this thread works."""


class CallCancelled(BaseException):
    """Ends the thread of a cancelled coroutine, for which nobody waits; like `asyncio.CancelledError` no Exception."""


def check_cancelled() -> None:
    """Raise `CallCancelled` when this thread works for a coroutine that was cancelled."""
    event = _cancelled.get()
    if event is not None and event.is_set():
        raise CallCancelled


def make_coroutine(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, Coroutine[Any, Any, _Result]]:
    """Return a coroutine function with the same parameters, result and errors as a function or method.

    Parameters
    ----------
    function : callable
        May block. A class method is accepted too, in the body of its class, where it is not callable itself; wrap the
        result in ``classmethod``.

    Returns
    -------
    callable
        Named as the function, with an ``a`` before. When it is cancelled, what was not committed yet leaves no trace;
        a commit that had begun stands.

    Examples
    --------
    >>> import asyncio
    >>> class Greeter:
    ...     def greet(self, name: str) -> str:
    ...         return f"hello {name}"
    ...     agreet = make_coroutine(greet)
    >>> asyncio.run(Greeter().agreet("Ayu"))
    'hello Ayu'
    """
    given: Any = function
    unwrapped: Any = given.__func__ if isinstance(given, classmethod) else given
    blocking: Callable[_Parameters, _Result] = unwrapped

    @functools.wraps(blocking)
    async def call(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        import asyncio  # here, because importing facedex must stay cheap

        cancelled = threading.Event()

        def run() -> _Result:  # in a copy of the context
            _cancelled.set(cancelled)
            check_cancelled()
            return blocking(*args, **kwargs)

        try:
            return await asyncio.to_thread(run)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    name = blocking.__name__
    call.__name__ = f"a{name}"
    call.__qualname__ = blocking.__qualname__.removesuffix(name) + f"a{name}"
    call.__doc__ = (
        f"Run `{name}` in a thread: same parameters, result and errors.\n\n"
        "When it is cancelled, what was not committed yet leaves no trace; a commit that had begun stands."
    )
    return call
