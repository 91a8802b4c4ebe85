"""Lists of all people, read and sent in pages, so that large galleries are never in memory at once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi.responses import StreamingResponse

from ...gallery import Gallery
from ...records import Person
from .mask import Mask, apply_mask

if TYPE_CHECKING:
    from ..services import Services

PAGE_SIZE = 1000
"""People in a page, some 2 MB."""

Entry = Callable[[Gallery, Person], dict[str, Any]]
"""Formats a person as an item of a list."""

_Page = tuple[list[dict[str, Any]], int]  # items, and the number of the last person; 0 at the end


def iter_people(gallery: Gallery) -> Iterator[Person]:
    """Iterate over all people in the order of registration; blocks."""
    after = 0
    while people := gallery.lookup.people_after(after, limit=PAGE_SIZE):
        yield from people
        after = people[-1].number


class JsonList(StreamingResponse):
    """A JSON list that is sent page by page.

    Attributes
    ----------
    mask : Mask or None
        The fields to keep of each item.
    """

    def __init__(self, pages: AsyncIterator[list[dict[str, Any]]]) -> None:
        self.mask: Mask | None = None
        super().__init__(self._text(pages), media_type="application/json")

    async def _text(self, pages: AsyncIterator[list[dict[str, Any]]]) -> AsyncIterator[bytes]:
        separator = b"["
        async for page in pages:
            for item in page if self.mask is None else apply_mask(page, self.mask):
                yield separator + json.dumps(item, ensure_ascii=False).encode()
                separator = b", "
        yield b"]" if separator == b", " else b"[]"


async def list_people(
    services: Services, entry: Entry, *, page_size: int = PAGE_SIZE, skip: int = 0, limit: int | None = None
) -> JsonList:
    """Answer a list of people; the first page is read before the response starts.

    Parameters
    ----------
    services : Services
    entry : callable
        Formats a person.
    page_size : int
        People in a page.
    skip : int
        People to skip.
    limit : int or None
        Maximum number of people; None is all.
    """
    first = await services.query(partial(_page, entry=entry, after=0, skip=skip, count=_count(page_size, limit)))
    return JsonList(_pages(services, entry, first, page_size, limit))


async def _pages(
    services: Services, entry: Entry, page: _Page, page_size: int, limit: int | None
) -> AsyncIterator[list[dict[str, Any]]]:
    left = limit
    while page[0]:
        yield page[0]
        left = None if left is None else left - len(page[0])
        if left == 0:
            return
        page = await services.query(partial(_page, entry=entry, after=page[1], skip=0, count=_count(page_size, left)))


def _page(gallery: Gallery, entry: Entry, after: int, skip: int, count: int) -> _Page:
    """Skip people and read the next page; blocks."""
    while skip > 0:
        people = gallery.lookup.people_after(after, limit=min(skip, PAGE_SIZE))
        if not people:
            return [], 0
        skip, after = skip - len(people), people[-1].number
    people = gallery.lookup.people_after(after, limit=count)
    return [entry(gallery, person) for person in people], people[-1].number if people else 0


def _count(page_size: int, limit: int | None) -> int:
    return page_size if limit is None else min(limit, page_size)
