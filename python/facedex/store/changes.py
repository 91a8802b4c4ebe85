"""What one transaction changes: for the feed, in order, and for the audit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from .audit_seal import AuditKeys
from .journal import Event, Subject

_SKEW = timedelta(seconds=30)  # between the clocks of machines that share a database


class Changes:
    """What one transaction changes, in order.

    Attributes
    ----------
    at : datetime
        The time of the transaction, UTC.
    rows : list of (str, int or None)
        Kind ("add", "remove", "person", "pack") and face of each change.
    growth : int
        Faces added less faces removed, of those that have a template of the gallery's pack.
    events : list of Event
        What the audit will say.
    audit_keys : AuditKeys or None
        What seals the audit from this transaction on, where it changes the gallery's key.
    overwrites : bool
        Whether it removes or replaces something about a person, so that the old values must not stay in the log.
    """

    def __init__(self, at: datetime) -> None:
        self.at = at
        self.rows: list[tuple[str, int | None]] = []
        self.growth = 0
        self.events: list[Event] = []
        self.audit_keys: AuditKeys | None = None
        self.overwrites = False

    def event(self, kind: str, subject: Subject | None = None, person: int | None = None, **facts: Any) -> None:
        """Note something for the audit, about a person who stays, or one who is known by number only."""
        self.events.append(Event(kind, person, subject, facts))

    def added(self, face_ids: Sequence[int]) -> None:
        """Note faces that were stored."""
        self.rows += [("add", face_id) for face_id in face_ids]
        self.growth += len(face_ids)

    def removed(self, face_ids: Sequence[int], counted: int) -> None:
        """Note faces that were removed, of which so many had a template of the gallery's pack."""
        self.rows += [("remove", face_id) for face_id in face_ids]
        self.growth -= counted
        self.overwrites = self.overwrites or len(face_ids) > 0

    def moved(self, growth: int) -> None:
        """Note that the gallery is bound to another pack, of which it has so many more templates."""
        self.rows.append(("pack", None))
        self.growth += growth


def now() -> datetime:
    """Tell the time, UTC."""
    return datetime.now(timezone.utc)


def passed(since: datetime, at: datetime) -> timedelta | None:
    """Tell how much time passed since a stored time; None when that time lies in the future.

    Then the clock was set back, and nobody knows how much: whoever waits, counts or keeps begins anew. A little, as the
    clocks of two machines differ, counts as no time.

    Examples
    --------
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
    >>> passed(noon, noon + timedelta(seconds=5)), passed(noon, noon - timedelta(seconds=5))
    (datetime.timedelta(seconds=5), datetime.timedelta(0))
    >>> passed(noon, noon - timedelta(days=1)) is None
    True
    """
    found = at - since
    return None if found < -_SKEW else max(found, timedelta(0))
