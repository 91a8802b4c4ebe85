"""Rate limits: lockout after failed sign-ins, and requests a minute; shared by all processes.

A row counts what one account or one address did, under a digest of its name. An attempt is counted before it is
checked, so that many at once are not checked as one. A sign-in clears the failures of its account; those of an address,
which many people may share, expire one by one. A time in the future was written before the clock was set back: that
count starts over at the present time, so that no wait is longer than announced.

A sign-in locks the row of its address first and then that of the account, so that no two sign-ins deadlock.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa

from ..errors import AttemptsError, DatabaseLockedError, StorageFullError
from ..store import Database
from ..store.clock import now, passed
from .tables import attempts
from .writing import insert_once

_KEPT = timedelta(hours=24)
_PRUNED_EVERY = timedelta(minutes=10)
_NO_TIME = timedelta(0)
_RETRY_S = 30.0  # after a failed write, requests are counted in memory
_MAX_COUNTS = 100_000  # in memory


@dataclass(frozen=True, slots=True)
class Lockout:
    """How failed sign-ins delay the next one.

    Attributes
    ----------
    after : int
        Failures of an account before the first delay; of an address four times as many.
    first_s, longest_s : float
        The first delay of an account, which doubles with each failure, and the longest, seconds. All failures of an
        address expire in the longest, one after the other.
    """

    after: int = 5
    first_s: float = 1.0
    longest_s: float = 900.0

    def wait_s(self, failures: int) -> float:
        """Return the delay of an account after a number of failures, seconds.

        Examples
        --------
        >>> [Lockout().wait_s(failures) for failures in (4, 5, 6, 30)]
        [0.0, 1.0, 2.0, 900.0]
        """
        if failures < self.after:
            return 0.0
        return min(self.longest_s, self.first_s * 2.0 ** min(failures - self.after, 32))

    @property
    def most_of_address(self) -> int:
        """Failures of an address before it is delayed."""
        return 4 * self.after

    @property
    def expiry(self) -> timedelta:
        """The time in which one failure of an address expires."""
        return timedelta(seconds=self.longest_s / self.most_of_address)


SignInTarget = tuple[Literal["account", "login", "face"], str]
"""What a sign-in claims to be: the id of an account, a login that no account has, or a person whose face it shows."""


class Attempts:
    """The counts of a database.

    Parameters
    ----------
    database : Database
    lockout : Lockout
    """

    def __init__(self, database: Database, lockout: Lockout) -> None:
        self._database = database
        self._lockout = lockout
        self._pruned: datetime | None = None
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[int, float]] = {}
        self._retry_at = 0.0

    def begin(self, target: SignInTarget | None, address: str) -> None:
        """Count a sign-in as failed until `succeed` is called; of the address alone without a target.

        Raises
        ------
        AttemptsError
            When the account or the address must wait; the same for an account that does not exist.
        """
        at = now()
        self._prune(at)
        own, shared = _buckets_of(target, address)
        self._rebase([bucket for bucket in (own, shared) if bucket is not None], at)
        while not self._count_sign_in(own, shared, at):
            insert_once(self._database, attempts, _fresh(str(own), at))

    def _count_sign_in(self, own: str | None, shared: str, at: datetime) -> bool:
        """Count a sign-in; returns False if it is allowed and the account has no row yet: a refused one gets none."""
        with self._lock_row(shared, at) as (connection, row):
            number, since = self._unexpired(row, at)
            full = number >= self._lockout.most_of_address
            wait = self._lockout.expiry - _elapsed(since, at) if full else _NO_TIME
            mine = None if own is None else connection.execute(_row_of(own)).one_or_none()
            whole = timedelta(seconds=self._lockout.wait_s(0 if mine is None else mine.number))
            if mine is not None and whole:
                wait = max(wait, whole - _elapsed(mine.last_at, at))
            if wait > _NO_TIME:
                wait_s = math.ceil(wait.total_seconds())
                raise AttemptsError(f"too many failed sign-ins; try again in {wait_s} s", retry_after_s=wait_s)
            if own is not None and mine is None:
                return False
            one_more = attempts.update().values(
                number=sa.bindparam("new_number"), since=sa.bindparam("start"), last_at=at
            )
            rows = [{"row": shared, "new_number": number + 1, "start": since}]
            if mine is not None:
                rows.append({"row": mine.bucket, "new_number": mine.number + 1, "start": mine.since})
            for values in rows:
                connection.execute(one_more.where(attempts.c.bucket == sa.bindparam("row")), values)
            return True

    def succeed(self, target: SignInTarget | None, address: str) -> None:
        """Clear the failures of an account, and the attempt of the address."""
        own, shared = _buckets_of(target, address)
        with self._database.write() as connection:
            mine = sa.and_(attempts.c.bucket == shared, attempts.c.number > 0)
            connection.execute(attempts.update().where(mine).values(number=attempts.c.number - 1))
            if own is not None:
                connection.execute(attempts.delete().where(attempts.c.bucket == own))

    def _rebase(self, buckets: list[str], at: datetime) -> None:
        """Start counts of the future over at the present time."""
        mine = attempts.c.bucket.in_(buckets)
        with self._database.single() as connection:
            rows = connection.execute(sa.select(attempts).where(mine)).all()
        ahead = [row.bucket for row in rows if passed(row.since, at) is None or passed(row.last_at, at) is None]
        if ahead:
            with self._database.write() as connection:
                future = sa.and_(attempts.c.bucket.in_(ahead), sa.or_(attempts.c.since > at, attempts.c.last_at > at))
                connection.execute(attempts.update().where(future).values(since=at, last_at=at))

    def _unexpired(self, row: Any, at: datetime) -> tuple[int, datetime]:
        """Return how many failures of an address still count, and since when the next one is expiring."""
        each = self._lockout.expiry
        expired = _elapsed(row.since, at) // each
        return (0, at) if expired >= row.number else (row.number - expired, row.since + expired * each)

    def count_request(self, what: str, limit: int, window_s: float = 60.0) -> None:
        """Count a request; in the memory of this process while the database cannot be written.

        Parameters
        ----------
        what : str
            The caller, such as an address.
        limit : int
            Maximum number of requests in a window.
        window_s : float
            Its length, seconds.

        Raises
        ------
        AttemptsError
            When there are more.
        """
        if time.monotonic() >= self._retry_at:
            try:
                self._count_stored(what, limit, window_s)
                return
            except (DatabaseLockedError, StorageFullError):
                self._retry_at = time.monotonic() + _RETRY_S
        self._count_in_memory(what, limit, window_s)

    def _count_in_memory(self, what: str, limit: int, window_s: float) -> None:
        """Count a request in memory."""
        at, bucket = time.monotonic(), _bucket("rate", what)
        with self._lock:
            number, since = self._counts.get(bucket, (0, at))
            if at - since >= window_s:
                number, since = 0, at
            if number >= limit:
                raise _too_many(limit, window_s, window_s - (at - since))
            if bucket not in self._counts and len(self._counts) >= _MAX_COUNTS:
                self._counts.clear()
            self._counts[bucket] = (number + 1, since)

    def _count_stored(self, what: str, limit: int, window_s: float) -> None:
        at, bucket = now(), _bucket("rate", what)
        self._prune(at)
        with self._lock_row(bucket, at) as (connection, row):
            done = passed(row.since, at)
            over = done is None or done >= timedelta(seconds=window_s)
            number, since = (1, at) if over else (row.number + 1, row.since)
            if number > limit:
                raise _too_many(limit, window_s, window_s - _elapsed(since, at).total_seconds())
            mine = attempts.c.bucket == bucket
            connection.execute(attempts.update().where(mine).values(number=number, since=since, last_at=at))

    @contextmanager
    def _lock_row(self, bucket: str, at: datetime) -> Iterator[tuple[sa.Connection, Any]]:
        """Begin a transaction that locks the row of a bucket."""
        while True:
            with self._database.write() as connection:
                row = connection.execute(_row_of(bucket)).one_or_none()
                if row is not None:
                    yield connection, row
                    return
            insert_once(self._database, attempts, _fresh(bucket, at))

    def _prune(self, at: datetime) -> None:
        since = None if self._pruned is None else passed(self._pruned, at)
        if since is None or since >= _PRUNED_EVERY:
            self._pruned = at
            with self._database.write() as connection:
                connection.execute(attempts.delete().where(attempts.c.last_at < at - _KEPT))


def _too_many(limit: int, window_s: float, wait_s: float) -> AttemptsError:
    return AttemptsError(f"more than {limit} requests in {window_s:g} s", retry_after_s=max(1, math.ceil(wait_s)))


def _elapsed(since: datetime, at: datetime) -> timedelta:
    """Return the time since a stored time; zero if that is in the future."""
    return passed(since, at) or _NO_TIME


def _buckets_of(target: SignInTarget | None, address: str) -> tuple[str | None, str]:
    own = None if target is None else _bucket(f"sign-in of {target[0]}", target[1].strip().casefold())
    return own, _bucket("sign-in from", address)


def _row_of(bucket: str) -> sa.Select[Any]:
    return sa.select(attempts).where(attempts.c.bucket == bucket).with_for_update()


def _fresh(bucket: str, at: datetime) -> dict[str, Any]:
    return {"bucket": bucket, "number": 0, "since": at, "last_at": at}


def _bucket(kind: str, what: str) -> str:
    """Return the digest that names a count; no kind holds a NUL, so a client cannot choose a name of another kind."""
    return hashlib.sha256(f"{kind}\0{what}".encode("utf-8", "surrogatepass")).hexdigest()
