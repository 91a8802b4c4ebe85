"""The audit, and the attendance as JSON or CSV."""

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
from ...records import AuditEvent, AuditReport
from ...server import AttendanceRecord
from ..security import AdminBy, ReadBy
from ..services import ServicesOf
from . import schemas
from .answers import list_of
from .common import Cursor, GalleryName, Limit, page, part, place_of

router = part("events")
attendance = part("attendance")

_MOST = 100_000  # records in one response
_FORMULA = re.compile(r'((?:^|[;,|\t\r\n])[\s\x00-\x1f\u200b\ufeff"]*)([=+\-@\uff1d\uff0b\uff0d\uff20])')
"""Where a spreadsheet may see the start of a formula (OWASP, "CSV injection"); some accept full-width signs.

A quote after a separator begins a quoted cell for a program that splits there, so the sign after it counts too.
"""


@router.get("/events", response_model=schemas.page_of(schemas.Event))
async def events(
    services: ServicesOf, caller: AdminBy, cursor: Cursor = None, limit: Limit = 100, gallery: GalleryName = None
) -> schemas.Page[AuditEvent]:
    """List the entries of the audit, oldest first. Deleted people are not named."""
    after = place_of(cursor)
    found = await services.query(lambda opened: list(islice(opened.audit(after=after), limit + 1)), gallery)
    return page(found, limit, lambda event: event.seq)


@router.get("/audit", response_model=schemas.AuditReport)
async def audit(
    services: ServicesOf,
    caller: AdminBy,
    recorded_head: Annotated[
        str | None, Query(max_length=100, description="A head recorded earlier, NUMBER:DIGEST.")
    ] = None,
    require_signature: Annotated[
        bool, Query(description="Require that the last entry is signed with the audit key.")
    ] = False,
    gallery: GalleryName = None,
) -> AuditReport:
    """Check that no entry of the audit was altered, removed, moved or added."""
    return await services.query(
        lambda opened: opened.check_audit(recorded_head=recorded_head, require_signature=require_signature), gallery
    )


@attendance.get(
    "/attendance",
    response_model=list_of(schemas.Attempt),
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def list_attendance(
    services: ServicesOf,
    caller: ReadBy,
    start: Annotated[
        datetime | None, Query(description="Start, inclusive, with a time zone; by default today, UTC.")
    ] = None,
    end: Annotated[
        datetime | None, Query(description="End, exclusive, with a time zone; by default a day later.")
    ] = None,
    form: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
    gallery: GalleryName = None,
) -> list[AttendanceRecord] | Response:
    """List attempts to be recognised, with their results."""
    first = start or datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    for name, value in (("start", first), ("end", end)):
        if value is not None and value.utcoffset() is None:
            raise ArgumentError(f"{name} must have a time zone, such as 2026-01-31T08:00:00+07:00")
    try:
        last = end or first + timedelta(days=1)
    except OverflowError:
        raise ArgumentError("start is too late") from None
    name = gallery or services.settings.gallery
    found = await services.query_access(
        lambda access: list(islice(access.attendance.between(first, last, name), _MOST))
    )
    if form == "csv":
        names = list(schemas.Attempt.model_fields)
        rows = ([getattr(record, name) for name in names] for record in found)
        return Response(csv_of(names, rows), media_type="text/csv; charset=utf-8")
    return found


def csv_of(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    r"""Write CSV in which no spreadsheet sees a formula.

    Every cell is quoted. A text gets an apostrophe where a formula could begin: at its start, and after any country's
    separator, because a spreadsheet that splits at semicolons does so inside our quotes.

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
    writer.writerows([_escape(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return text.getvalue()


def _escape(text: str) -> str:
    return _FORMULA.sub(r"\1'\2", text)
