"""How often somebody has tried: lockout after failed sign-ins, and requests a minute; the same in every process.

A row counts what one account or one address did; instead of its name the row has a digest. An attempt is counted before
it is judged, so that many at once are not judged as one. The failures of an account are forgotten when it signs in;
those of an address, behind which many people may be, one by one with time. A time in the future was written before the
clock was set back: such a count begins anew at the present time, so that no wait is longer than it is said to be.

A sign-in locks the row of its address first and then that of the account, everywhere, so that no two of them wait for
each other.
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
from .rows import inserted_once
from .tables import attempts

_KEPT = timedelta(hours=24)
_PRUNED_EVERY = timedelta(minutes=10)
_NO_TIME = timedelta(0)
_TRIED_AGAIN_S = 30.0  # after a write failed, requests are counted in memory so long
_MOST_NOTED = 100_000  # counts in memory


@dataclass(frozen=True, slots=True)
class Lockout:
    """When failed sign-ins make one wait.

    Attributes
    ----------
    after : int
        Failures of an account before it must wait; of an address four times as many.
    first_s, longest_s : float
        The first wait of an account, which doubles with each failure, and the longest, seconds. In the longest an
        address that must wait is forgiven all of its failures, one after the other.
    """

    after: int = 5
    first_s: float = 1.0
    longest_s: float = 900.0

    def wait_s(self, failures: int) -> float:
        """Tell how long an account must wait after the last of so many failures, seconds.

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
        """Failures of an address before it must wait."""
        return 4 * self.after

    @property
    def forgiven_each(self) -> timedelta:
        """The time in which an address is forgiven one failure."""
        return timedelta(seconds=self.longest_s / self.most_of_address)


Tried = tuple[Literal["account", "login", "face"], str]
"""Whom a sign-in tries: the number of an account, a login that no account has, or the person whose face it shall be."""


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
        self._noting = threading.Lock()
        self._noted: dict[str, tuple[int, float]] = {}
        self._written_from = 0.0

    def begin(self, who: Tried | None, address: str) -> None:
        """Count a sign-in as failed, until `succeed` says otherwise; of the address alone when nobody is claimed.

        Raises
        ------
        AttemptsError
            When the account or the address must wait; it is the same for an account that does not exist.
        """
        at = now()
        self._prune(at)
        own, shared = _of_sign_in(who, address)
        self._rebase([bucket for bucket in (own, shared) if bucket is not None], at)
        while not self._counted(own, shared, at):
            inserted_once(self._database, attempts, _fresh(str(own), at))

    def _counted(self, own: str | None, shared: str, at: datetime) -> bool:
        """Count a sign-in; False when it is let in and the account has no row yet, which a refused one never gets."""
        with self._locked(shared, at) as (connection, row):
            number, since = self._forgiven(row, at)
            full = number >= self._lockout.most_of_address
            wait = self._lockout.forgiven_each - _elapsed(since, at) if full else _NO_TIME
            mine = None if own is None else connection.execute(_row_of(own)).one_or_none()
            whole = timedelta(seconds=self._lockout.wait_s(0 if mine is None else mine.number))
            if mine is not None and whole:
                wait = max(wait, whole - _elapsed(mine.last_at, at))
            if wait > _NO_TIME:
                wait_s = math.ceil(wait.total_seconds())
                raise AttemptsError(f"too many failed sign-ins; try again in {wait_s} s", retry_after_s=wait_s)
            if own is not None and mine is None:
                return False
            one_more = attempts.update().values(number=sa.bindparam("counted"), since=sa.bindparam("start"), last_at=at)
            rows = [{"row": shared, "counted": number + 1, "start": since}]
            if mine is not None:
                rows.append({"row": mine.bucket, "counted": mine.number + 1, "start": mine.since})
            for values in rows:
                connection.execute(one_more.where(attempts.c.bucket == sa.bindparam("row")), values)
            return True

    def succeed(self, who: Tried | None, address: str) -> None:
        """Forget the failures of an account, and the attempt of the address."""
        own, shared = _of_sign_in(who, address)
        with self._database.write() as connection:
            mine = sa.and_(attempts.c.bucket == shared, attempts.c.number > 0)
            connection.execute(attempts.update().where(mine).values(number=attempts.c.number - 1))
            if own is not None:
                connection.execute(attempts.delete().where(attempts.c.bucket == own))

    def _rebase(self, buckets: list[str], at: datetime) -> None:
        """Let counts of the future begin at the present time."""
        mine = attempts.c.bucket.in_(buckets)
        with self._database.single() as connection:
            rows = connection.execute(sa.select(attempts).where(mine)).all()
        ahead = [row.bucket for row in rows if passed(row.since, at) is None or passed(row.last_at, at) is None]
        if ahead:
            with self._database.write() as connection:
                future = sa.and_(attempts.c.bucket.in_(ahead), sa.or_(attempts.c.since > at, attempts.c.last_at > at))
                connection.execute(attempts.update().where(future).values(since=at, last_at=at))

    def _forgiven(self, row: Any, at: datetime) -> tuple[int, datetime]:
        """Tell how many failures of an address still count, and since when the next of them is being forgiven."""
        each = self._lockout.forgiven_each
        forgiven = _elapsed(row.since, at) // each
        return (0, at) if forgiven >= row.number else (row.number - forgiven, row.since + forgiven * each)

    def take(self, what: str, limit: int, window_s: float = 60.0) -> None:
        """Count one request of somebody; in memory, for this process alone, while the database takes no write.

        Parameters
        ----------
        what : str
            What is counted, such as an address.
        limit : int
            Most requests in a window.
        window_s : float
            Its length, seconds.

        Raises
        ------
        AttemptsError
            When there were too many.
        """
        if time.monotonic() >= self._written_from:
            try:
                self._take_stored(what, limit, window_s)
                return
            except (DatabaseLockedError, StorageFullError):
                self._written_from = time.monotonic() + _TRIED_AGAIN_S
        self._take_noted(what, limit, window_s)

    def _take_noted(self, what: str, limit: int, window_s: float) -> None:
        """Count a request in memory."""
        at, bucket = time.monotonic(), _bucket("rate", what)
        with self._noting:
            number, since = self._noted.get(bucket, (0, at))
            if at - since >= window_s:
                number, since = 0, at
            if number >= limit:
                raise _too_many(limit, window_s, window_s - (at - since))
            if bucket not in self._noted and len(self._noted) >= _MOST_NOTED:
                self._noted.clear()
            self._noted[bucket] = (number + 1, since)

    def _take_stored(self, what: str, limit: int, window_s: float) -> None:
        at, bucket = now(), _bucket("rate", what)
        self._prune(at)
        with self._locked(bucket, at) as (connection, row):
            done = passed(row.since, at)
            over = done is None or done >= timedelta(seconds=window_s)
            number, since = (1, at) if over else (row.number + 1, row.since)
            if number > limit:
                raise _too_many(limit, window_s, window_s - _elapsed(since, at).total_seconds())
            mine = attempts.c.bucket == bucket
            connection.execute(attempts.update().where(mine).values(number=number, since=since, last_at=at))

    @contextmanager
    def _locked(self, bucket: str, at: datetime) -> Iterator[tuple[sa.Connection, Any]]:
        """Begin a transaction with the row of a bucket, which nobody else can change meanwhile."""
        while True:
            with self._database.write() as connection:
                row = connection.execute(_row_of(bucket)).one_or_none()
                if row is not None:
                    yield connection, row
                    return
            inserted_once(self._database, attempts, _fresh(bucket, at))

    def _prune(self, at: datetime) -> None:
        since = None if self._pruned is None else passed(self._pruned, at)
        if since is None or since >= _PRUNED_EVERY:
            self._pruned = at
            with self._database.write() as connection:
                connection.execute(attempts.delete().where(attempts.c.last_at < at - _KEPT))


def _too_many(limit: int, window_s: float, wait_s: float) -> AttemptsError:
    return AttemptsError(f"more than {limit} requests in {window_s:g} s", retry_after_s=max(1, math.ceil(wait_s)))


def _elapsed(since: datetime, at: datetime) -> timedelta:
    """Tell how much time passed since a stored time, never less than none."""
    return passed(since, at) or _NO_TIME


def _of_sign_in(who: Tried | None, address: str) -> tuple[str | None, str]:
    own = None if who is None else _bucket(f"sign-in of {who[0]}", who[1].strip().casefold())
    return own, _bucket("sign-in from", address)


def _row_of(bucket: str) -> sa.Select[Any]:
    return sa.select(attempts).where(attempts.c.bucket == bucket).with_for_update()


def _fresh(bucket: str, at: datetime) -> dict[str, Any]:
    return {"bucket": bucket, "number": 0, "since": at, "last_at": at}


def _bucket(kind: str, what: str) -> str:
    """Name a count; no text of a client can make a name of another kind, because no kind holds a NUL."""
    return hashlib.sha256(f"{kind}\0{what}".encode("utf-8", "surrogatepass")).hexdigest()
