"""API keys: for programs, with scopes, shown once."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import sqlalchemy as sa

from ..errors import ArgumentError, UnknownKeyError
from ..store import Database
from ..store.changes import now
from ..store.rows import checked_text
from ..store.tables import api_keys
from .notes import noted
from .principals import Principal, checked_scopes, scopes_of
from .rows import inserted
from .secrets import KEY_MARK, digest_of, new_secret

_NOTED_EVERY = timedelta(minutes=1)  # how exactly the time of last use is kept

USABLE = sa.exists().where(
    api_keys.c.revoked_at.is_(None),
    sa.or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > sa.bindparam("at")),
)
"""Whether there is a key that is of use `at` a time."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key; the key itself is not part of it.

    Attributes
    ----------
    id : int
    name : str
        What it is for.
    prefix : str
        Its first characters, to tell it from others.
    scopes : tuple of str
    created_at : datetime
        UTC.
    expires_at, revoked_at, used_at : datetime or None
        From when it is of no use, when it was revoked, and when it was last used, to the minute.
    """

    id: int
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None


class ApiKeys:
    """The API keys of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, name: str, scopes: Iterable[str], *, expires_at: datetime | None = None) -> tuple[ApiKey, str]:
        """Make a key; returns it and its secret, which cannot be shown again.

        Raises
        ------
        ArgumentError
        """
        secret = new_secret(KEY_MARK)
        values = {
            "name": checked_text("name", name, longest=255),
            "prefix": secret[: len(KEY_MARK) + 6],
            "digest": digest_of(secret),
            "scopes": " ".join(checked_scopes(scopes)),
            "created_at": now(),
            "expires_at": None if expires_at is None else _to_come(expires_at),
        }
        with self._database.write() as connection:
            number = inserted(connection, api_keys, values)
            row = connection.execute(sa.select(api_keys).where(api_keys.c.id == number)).one()
        noted("API key %d is made, which may %s", number, row.scopes)
        return _key_of(row), secret

    def listed(self) -> list[ApiKey]:
        """List all keys, also those that are of no use any more."""
        with self._database.single() as connection:
            return [_key_of(row) for row in connection.execute(sa.select(api_keys).order_by(api_keys.c.id))]

    def revoke(self, number: int) -> ApiKey:
        """Make a key useless at once, in every process; raises UnknownKeyError."""
        with self._database.write() as connection:
            mine = api_keys.c.id == number
            living = api_keys.update().where(mine, api_keys.c.revoked_at.is_(None))
            revoked = connection.execute(living.values(revoked_at=now())).rowcount
            row = connection.execute(sa.select(api_keys).where(mine)).one_or_none()
        if row is None:
            raise UnknownKeyError(f"there is no API key {number}")
        if revoked:
            noted("API key %d is revoked", number)
        return _key_of(row)

    def principal(self, secret: str) -> Principal | None:
        """Tell whose key this is; None when it is of no use."""
        digest = digest_of(secret)
        if digest is None:
            return None
        with self._database.single() as connection:
            row = connection.execute(sa.select(api_keys).where(api_keys.c.digest == digest)).one_or_none()
        at = now()
        if row is None or row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= at):
            return None
        if row.used_at is None or at - row.used_at >= _NOTED_EVERY:
            with self._database.write() as connection:
                connection.execute(api_keys.update().where(api_keys.c.id == row.id).values(used_at=at))
        return Principal("key", f"key:{row.name}"[:255], frozenset(scopes_of(row.scopes)), row.id, until=row.expires_at)


def _to_come(at: datetime) -> datetime:
    with suppress(OverflowError):  # before the year 1 or after 9999, in UTC
        if at.utcoffset() is not None and (moment := at.astimezone(timezone.utc)) > now():
            return moment
    raise ArgumentError(f"expires_at must be a time to come, with a time zone, until the year 9999 in UTC, got {at!r}")


def _key_of(row: Any) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        prefix=row.prefix,
        scopes=scopes_of(row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        used_at=row.used_at,
    )
