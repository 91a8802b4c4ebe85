"""Parts of every write to accounts and keys: a row's new id, an insert that happens once, and the log of events.

Events go to the logger ``facedex.access``: who did what to which number, never a secret. The audit of a gallery is
about its people; accounts and keys belong to the whole database. A sign-in is logged with its address, since nobody is
signed in yet.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, suppress
from typing import Any

import sqlalchemy as sa

from ..store import Database, acting_as, current_actor

_log = logging.getLogger("facedex.access")


def insert(connection: sa.Connection, table: sa.Table, values: dict[str, Any]) -> int:
    """Insert a row; returns its id."""
    key: Any = connection.execute(table.insert().values(values)).inserted_primary_key
    return int(key[0])


def insert_once(database: Database, table: sa.Table, values: dict[str, Any]) -> bool:
    """Insert a row in a transaction of its own; returns False if there is a row with its key.

    In MariaDB two transactions that look for a row, lock the gap where it is missing and then insert it would wait for
    each other.
    """
    with database.write() as connection, suppress(sa.exc.IntegrityError), connection.begin_nested():
        connection.execute(table.insert().values(values))
        return True
    return False


def log_event(what: str, *values: object) -> None:
    """Log what was done after it is committed; `what` is a format of `logging`."""
    _log.info(f"%r: {what}", current_actor() or "this machine", *values)


def acting_from(address: str) -> AbstractContextManager[None]:
    """Name an address as the actor of the events inside."""
    return acting_as(f"address:{address}"[:255])


def log_failed_sign_in(method: str, account: int | None, address: str) -> None:
    """Log a sign-in that failed: its method, its account where one is known, and its address."""
    with acting_from(address):
        log_event("a sign-in with a %s fails: %s", method, "unknown" if account is None else f"account {account}")
