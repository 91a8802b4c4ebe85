"""Coroutines of blocking functions, which run in a thread so that the event loop is not blocked.

The core releases the interpreter lock while it decodes, infers and searches, so a thread is enough.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


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
        Named as the function, with an ``a`` before.

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

        return await asyncio.to_thread(blocking, *args, **kwargs)

    name = blocking.__name__
    call.__name__ = f"a{name}"
    call.__qualname__ = blocking.__qualname__.removesuffix(name) + f"a{name}"
    call.__doc__ = f"Run `{name}` in a thread: same parameters, result and errors."
    return call
