"""Everybody, read from the database in pages, so that a hundred thousand people are never held at once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi.responses import StreamingResponse

from ...gallery import Gallery
from ...records import Person
from .mask import Mask, masked

if TYPE_CHECKING:
    from ..services import Services

AT_ONCE = 1000
"""People read at a time, who are some 2 MB."""

Entry = Callable[[Gallery, Person], dict[str, Any]]
"""Describes a person in a contract's words."""

_Page = tuple[list[dict[str, Any]], int]  # entries, and the number of the last person among them; 0 at the end


def everybody(gallery: Gallery) -> Iterator[Person]:
    """Go through everybody in the order of registration; blocks."""
    after = 0
    while people := gallery.people_after(after, limit=AT_ONCE):
        yield from people
        after = people[-1].number


class JsonList(StreamingResponse):
    """A list in JSON that is sent page by page.

    Attributes
    ----------
    mask : Mask or None
        What to keep of each item.
    """

    def __init__(self, pages: AsyncIterator[list[dict[str, Any]]]) -> None:
        self.mask: Mask | None = None
        super().__init__(self._text(pages), media_type="application/json")

    async def _text(self, pages: AsyncIterator[list[dict[str, Any]]]) -> AsyncIterator[bytes]:
        between = b"["
        async for page in pages:
            for item in page if self.mask is None else masked(page, self.mask):
                yield between + json.dumps(item, ensure_ascii=False).encode()
                between = b", "
        yield b"]" if between == b", " else b"[]"


async def listed(
    services: Services, entry: Entry, *, at_once: int = AT_ONCE, skip: int = 0, limit: int | None = None
) -> JsonList:
    """Answer a list of people, of which the first page is read before the answer begins.

    Parameters
    ----------
    services : Services
    entry : callable
        Describes a person.
    at_once : int
        People read at a time.
    skip : int
        People to be left out before the first.
    limit : int or None
        Most people; None is all.
    """
    first = await services.ask(partial(_page, entry=entry, after=0, skip=skip, most=_least(at_once, limit)))
    return JsonList(_pages(services, entry, first, at_once, limit))


async def _pages(
    services: Services, entry: Entry, page: _Page, at_once: int, limit: int | None
) -> AsyncIterator[list[dict[str, Any]]]:
    left = limit
    while page[0]:
        yield page[0]
        left = None if left is None else left - len(page[0])
        if left == 0:
            return
        page = await services.ask(partial(_page, entry=entry, after=page[1], skip=0, most=_least(at_once, left)))


def _page(gallery: Gallery, entry: Entry, after: int, skip: int, most: int) -> _Page:
    """Read the next page, leaving out so many people before it; blocks."""
    while skip > 0:
        people = gallery.people_after(after, limit=min(skip, AT_ONCE))
        if not people:
            return [], 0
        skip, after = skip - len(people), people[-1].number
    people = gallery.people_after(after, limit=most)
    return [entry(gallery, person) for person in people], people[-1].number if people else 0


def _least(at_once: int, limit: int | None) -> int:
    return at_once if limit is None else min(limit, at_once)
