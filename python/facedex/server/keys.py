"""API keys: for programs, with scopes, shown once. Their last use is kept in memory and stored later."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ..checks import check_moment
from ..errors import ArgumentError, StoreError, UnknownKeyError
from ..plain import record_to_dict
from ..store import Database
from ..store.clock import now
from ..store.rows import checked_text
from .principals import Principal, check_scopes, parse_scopes
from .secrets import KEY_MARK, digest_of, new_secret
from .tables import api_keys
from .writing import insert, log_event

_log = logging.getLogger("facedex")

_RESOLUTION = timedelta(minutes=1)  # of the time of last use
_STORED_AFTER_S = 1.0  # uses of this time are stored together
_RETRY_S = 15.0  # after the database could not be written

USABLE = sa.exists().where(
    api_keys.c.revoked_at.is_(None),
    sa.or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > sa.bindparam("at")),
)
"""Whether there is a key that is valid `at` a time."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key, without the key itself.

    Attributes
    ----------
    id : int
    name : str
        Its purpose.
    prefix : str
        Its first characters, to recognise it.
    scopes : tuple of str
    created_at : datetime
        UTC.
    expires_at, revoked_at, used_at : datetime or None
        When it expires, was revoked, and was last used, to the minute.
    """

    id: int
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None

    to_dict = record_to_dict


class ApiKeys:
    """The API keys of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._uses = LastUses(database)

    def add(self, name: str, scopes: Iterable[str], *, expires_at: datetime | None = None) -> tuple[ApiKey, str]:
        """Create a key; returns it and its secret, which cannot be shown again.

        Raises
        ------
        ArgumentError
        """
        secret = new_secret(KEY_MARK)
        values = {
            "name": checked_text("name", name, longest=255),
            "prefix": secret[: len(KEY_MARK) + 6],
            "digest": digest_of(secret),
            "scopes": " ".join(check_scopes(scopes)),
            "created_at": now(),
            "expires_at": None if expires_at is None else _future(expires_at),
        }
        with self._database.write() as connection:
            number = insert(connection, api_keys, values)
            row = connection.execute(sa.select(api_keys).where(api_keys.c.id == number)).one()
        log_event("API key %d is created with scopes %s", number, row.scopes)
        return _key_of(row, None), secret

    def all(self) -> list[ApiKey]:
        """List all keys, also expired and revoked ones."""
        with self._database.single() as connection:
            rows = connection.execute(sa.select(api_keys).order_by(api_keys.c.id)).all()
        return [_key_of(row, self._uses.latest(row.id, row.used_at)) for row in rows]

    def revoke(self, number: int) -> ApiKey:
        """Revoke a key at once, in every process; raises UnknownKeyError."""
        with self._database.remove() as connection:  # also on a full disk
            mine = api_keys.c.id == number
            living = api_keys.update().where(mine, api_keys.c.revoked_at.is_(None))
            revoked = connection.execute(living.values(revoked_at=now())).rowcount
            row = connection.execute(sa.select(api_keys).where(mine)).one_or_none()
        if row is None:
            raise UnknownKeyError(f"there is no API key {number}")
        if revoked:
            log_event("API key %d is revoked", number)
        return _key_of(row, self._uses.latest(row.id, row.used_at))

    def principal(self, secret: str) -> Principal | None:
        """Return the principal of a key; None if it is invalid."""
        digest = digest_of(secret)
        if digest is None:
            return None
        with self._database.single() as connection:
            row = connection.execute(sa.select(api_keys).where(api_keys.c.digest == digest)).one_or_none()
        at = now()
        if row is None or row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= at):
            return None
        self._uses.record(row.id, row.used_at, at)
        return Principal(
            "key", f"key:{row.name}"[:255], frozenset(parse_scopes(row.scopes)), row.id, until=row.expires_at
        )

    def close(self) -> None:
        """Store the last uses that are not stored yet, if possible."""
        self._uses.close()


class LastUses:
    """Last uses of keys: in memory at once, written to the database a little later by a thread of its own.

    A request with a key waits for no write, and works on a full disk too. A failed write is repeated until the process
    ends.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending: dict[int, datetime] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._writer: threading.Thread | None = None
        self._warned = False

    def record(self, number: int, stored: datetime | None, at: datetime) -> None:
        """Record a use of a key, unless one of the same minute is known."""
        with self._lock:
            last = self._pending.get(number, stored)
            if last is not None and abs(at - last) < _RESOLUTION:
                return
            self._pending[number] = at
            if self._writer is None and not self._closing.is_set():
                self._writer = threading.Thread(target=self._write, name="facedex-key-uses", daemon=True)
                self._writer.start()

    def latest(self, number: int, stored: datetime | None) -> datetime | None:
        """Return the last use of a key, given the stored one."""
        with self._lock:
            return self._pending.get(number, stored)

    def store(self) -> bool:
        """Write the pending uses to the database; returns False if that fails."""
        with self._lock:
            pending = dict(self._pending)
        if not pending:
            return True
        try:
            with self._database.write() as connection:
                for number, at in pending.items():
                    connection.execute(api_keys.update().where(api_keys.c.id == number).values(used_at=at))
        except StoreError as error:
            if not self._warned:  # once until it succeeds: a read-only database stays read-only
                _log.warning("the last use of %d API keys is not stored yet: %s", len(pending), error)
                self._warned = True
            return False
        self._warned = False
        with self._lock:
            for number, at in pending.items():
                if self._pending.get(number) == at:
                    del self._pending[number]
        return True

    def close(self) -> None:
        """End the thread, and store the pending uses if possible."""
        self._closing.set()
        with self._lock:
            writer = self._writer
        if writer is not None:
            writer.join()
        self.store()

    def _write(self) -> None:
        wait_s = _STORED_AFTER_S
        while not self._closing.wait(wait_s):
            wait_s = _STORED_AFTER_S if self.store() else _RETRY_S
            with self._lock:
                if not self._pending:
                    self._writer = None
                    return


def _future(at: datetime) -> datetime:
    with suppress(ArgumentError):
        if (moment := check_moment("expires_at", at)) > now():
            return moment
    raise ArgumentError(f"expires_at must be a future time with a time zone, until the year 9999 in UTC, got {at!r}")


def _key_of(row: Any, used_at: datetime | None) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        prefix=row.prefix,
        scopes=parse_scopes(row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        used_at=used_at,
    )
