"""The clock of the store: the time, and how long ago a stored time was, where clocks may differ or be set back."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

_SKEW = timedelta(seconds=30)  # between the clocks of machines that share a database


def now() -> datetime:
    """Return the time, UTC."""
    return datetime.now(timezone.utc)


def passed(since: datetime, at: datetime) -> timedelta | None:
    """Return how much time passed since a stored time; None when that time lies in the future.

    The clock was then set back by an unknown amount, so the caller restarts its wait, count or retention. A difference
    as small as between the clocks of two machines counts as no time.

    Parameters
    ----------
    since : datetime
        The stored time.
    at : datetime
        The present time.

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
