"""Who did what, and who was there: the audit, and attendance as JSON or CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import Annotated, Literal

from fastapi import Query, Response

from ...errors import ArgumentError
from ..security import AdminBy, ReadBy
from ..services import ServicesOf
from . import schemas
from .common import Cursor, GalleryName, Limit, cursor_of, part, place_of

router = part("events")
attendance = part("attendance")

_MOST = 100_000  # attempts in one answer
_FORMULA = re.compile(r'((?:^|[;,|\t\r\n])[\s\x00-\x1f\u200b\ufeff"]*)([=+\-@\uff1d\uff0b\uff0d\uff20])')
"""Where a spreadsheet may begin a formula (OWASP, "CSV injection"); some take full-width signs for theirs.

A quote after a separator begins a quoted cell for a program that divides there, so the sign after it counts too.
"""


@router.get("/events")
async def events(
    services: ServicesOf, who: AdminBy, cursor: Cursor = None, limit: Limit = 100, gallery: GalleryName = None
) -> schemas.Page[schemas.Event]:
    """List the lines of the audit, oldest first. Who was deleted is not named."""
    after = place_of(cursor)
    found = await services.ask(lambda opened: list(islice(opened.audit(after=after), limit + 1)), gallery)
    more = cursor_of(found[limit - 1].seq) if len(found) > limit else None
    return schemas.Page(items=[schemas.Event.model_validate(one) for one in found[:limit]], next_cursor=more)


@router.get("/audit")
async def audit(
    services: ServicesOf,
    who: AdminBy,
    noted: Annotated[str | None, Query(max_length=100, description="A head noted before, NUMBER:DIGEST.")] = None,
    keyed: Annotated[bool, Query(description="Its end must be sealed with the audit's key.")] = False,
    gallery: GalleryName = None,
) -> schemas.AuditReport:
    """Check that no line of the audit was altered, taken out, moved or added."""
    return schemas.AuditReport.model_validate(
        await services.ask(lambda opened: opened.check_audit(noted=noted, keyed=keyed), gallery)
    )


@attendance.get(
    "/attendance",
    response_model=list[schemas.Attempt],
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def attended(
    services: ServicesOf,
    who: ReadBy,
    start: Annotated[
        datetime | None, Query(description="From when on, with a time zone; by default today, UTC.")
    ] = None,
    end: Annotated[datetime | None, Query(description="Before when, with a time zone; by default a day later.")] = None,
    form: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
    gallery: GalleryName = None,
) -> list[schemas.Attempt] | Response:
    """List who tried to be recognised, and what was decided."""
    first = start or datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    for name, value in (("start", first), ("end", end)):
        if value is not None and value.utcoffset() is None:
            raise ArgumentError(f"{name} must have a time zone, such as 2026-01-31T08:00:00+07:00")
    try:
        last = end or first + timedelta(days=1)
    except OverflowError:
        raise ArgumentError("start is too late") from None
    name = gallery or services.settings.gallery
    found = await services.ask_access(lambda access: list(islice(access.attendance.between(first, last, name), _MOST)))
    attempts = [schemas.Attempt.model_validate(one) for one in found]
    if form == "csv":
        names = list(schemas.Attempt.model_fields)
        rows = ([getattr(attempt, name) for name in names] for attempt in attempts)
        return Response(csv_of(names, rows), media_type="text/csv; charset=utf-8")
    return attempts


def csv_of(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    r"""Write CSV that no spreadsheet takes for formulas.

    Every cell is quoted. A text gets an apostrophe where a formula could begin: at its start, and after a separator of
    any country, because a spreadsheet that divides at semicolons does so inside our quotes.

    Examples
    --------
    >>> print(csv_of(["name"], [["=1+1"], ["a;=1+1"], [0.5]]), end="")
    "name"\r
    "'=1+1"\r
    "a;'=1+1"\r
    "0.5"\r
    """
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(names)
    writer.writerows([_harmless(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return text.getvalue()


def _harmless(text: str) -> str:
    return _FORMULA.sub(r"\1'\2", text)
