"""Coroutine twins: the same verb, run in a thread, so that the event loop goes on meanwhile.

The core releases the interpreter lock while it decodes, infers and searches, so a thread is all that is needed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

_Self = TypeVar("_Self")
_Given = ParamSpec("_Given")
_Answer = TypeVar("_Answer")


def twin(
    verb: Callable[Concatenate[_Self, _Given], _Answer],
) -> Callable[Concatenate[_Self, _Given], Coroutine[Any, Any, _Answer]]:
    """Make the coroutine twin of a method, with its parameters and their types.

    Parameters
    ----------
    verb : callable
        The method, which may block.

    Returns
    -------
    callable
        A coroutine function named as the method with an ``a`` before it.

    Examples
    --------
    >>> import asyncio
    >>> class Greeter:
    ...     def greet(self, name: str) -> str:
    ...         return f"hello {name}"
    ...     agreet = twin(greet)
    >>> asyncio.run(Greeter().agreet("Ayu"))
    'hello Ayu'
    """

    @functools.wraps(verb)
    async def call(self: _Self, /, *args: _Given.args, **kwargs: _Given.kwargs) -> _Answer:
        import asyncio  # here, because importing facedex must stay cheap

        return await asyncio.to_thread(verb, self, *args, **kwargs)

    name = verb.__name__
    call.__name__ = f"a{name}"
    call.__qualname__ = verb.__qualname__.removesuffix(name) + f"a{name}"
    call.__doc__ = f"Run `{name}` in a thread, so that the event loop goes on; parameters, result and errors are its."
    return call
