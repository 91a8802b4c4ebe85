"""How often somebody has tried: lockout after failed sign-ins, and requests a minute; the same in every process.

A row counts what one account or one address did; instead of its name the row has a digest. An attempt is counted before
it is judged, so that many at once are not judged as one.
"""

from __future__ import annotations

import hashlib
import math
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ..errors import AttemptsError
from ..store import Database
from ..store.changes import now
from ..store.tables import attempts

_KEPT = timedelta(hours=24)
_PRUNED_EVERY = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Lockout:
    """When failed sign-ins make one wait.

    Attributes
    ----------
    after : int
        Failures of an account before it must wait; of an address four times as many.
    first_s, longest_s : float
        The first wait, which doubles with each failure, and the longest, seconds.
    """

    after: int = 5
    first_s: float = 1.0
    longest_s: float = 900.0

    def wait_s(self, failures: int, tolerated: int) -> float:
        """Tell how long one must wait after the last of so many failures, seconds.

        Examples
        --------
        >>> [Lockout().wait_s(failures, 5) for failures in (4, 5, 6, 30)]
        [0.0, 1.0, 2.0, 900.0]
        """
        if failures < tolerated:
            return 0.0
        return min(self.longest_s, self.first_s * 2.0 ** min(failures - tolerated, 32))


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

    def begin(self, login: str, address: str) -> None:
        """Count a sign-in as failed, until `succeed` says otherwise.

        Raises
        ------
        AttemptsError
            When the account or the address must wait; it is the same for an account that does not exist.
        """
        at = now()
        self._prune(at)
        with self._database.write() as connection:
            for bucket, tolerated in self._buckets(login, address):
                row = _locked(connection, bucket, at)
                whole = self._lockout.wait_s(row.number, tolerated)
                wait = whole - (at - row.last_at).total_seconds()  # one that was counted meanwhile may be later than us
                if whole > 0 and wait > 0:
                    raise AttemptsError(
                        f"too many failed sign-ins; try again in {math.ceil(wait)} s", retry_after_s=math.ceil(wait)
                    )
            for bucket, _ in self._buckets(login, address):
                mine = attempts.c.bucket == bucket
                connection.execute(attempts.update().where(mine).values(number=attempts.c.number + 1, last_at=at))

    def succeed(self, login: str, address: str) -> None:
        """Forget the failures of an account, and the attempt of the address."""
        account, by_address = (bucket for bucket, _ in self._buckets(login, address))
        with self._database.write() as connection:
            connection.execute(attempts.delete().where(attempts.c.bucket == account))
            mine = sa.and_(attempts.c.bucket == by_address, attempts.c.number > 0)
            connection.execute(attempts.update().where(mine).values(number=attempts.c.number - 1))

    def take(self, what: str, limit: int, window_s: float = 60.0) -> None:
        """Count one request of somebody.

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
        at, bucket = now(), _bucket("rate", what)
        self._prune(at)
        with self._database.write() as connection:
            row = _locked(connection, bucket, at)
            over = at - row.since >= timedelta(seconds=window_s)
            number, since = (1, at) if over else (row.number + 1, row.since)
            if number > limit:
                wait = math.ceil(window_s - (at - since).total_seconds())
                raise AttemptsError(f"more than {limit} requests in {window_s:g} s", retry_after_s=max(1, wait))
            mine = attempts.c.bucket == bucket
            connection.execute(attempts.update().where(mine).values(number=number, since=since, last_at=at))

    def _buckets(self, login: str, address: str) -> list[tuple[str, int]]:
        account = _bucket("sign-in of", login.strip().casefold())
        return [(account, self._lockout.after), (_bucket("sign-in from", address), 4 * self._lockout.after)]

    def _prune(self, at: datetime) -> None:
        if self._pruned is None or at - self._pruned >= _PRUNED_EVERY:
            self._pruned = at
            with self._database.write() as connection:
                connection.execute(attempts.delete().where(attempts.c.last_at < at - _KEPT))


def _bucket(kind: str, what: str) -> str:
    return hashlib.sha256(f"{kind} {what}".encode("utf-8", "surrogatepass")).hexdigest()


def _locked(connection: sa.Connection, bucket: str, at: datetime) -> Any:
    """Return the row of a bucket, made where it is missing, which nobody else can change meanwhile."""
    query = sa.select(attempts).where(attempts.c.bucket == bucket).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None:
        with suppress(sa.exc.IntegrityError), connection.begin_nested():
            connection.execute(attempts.insert().values(bucket=bucket, number=0, since=at, last_at=at))
        row = connection.execute(query).one()
    return row
