"""Rows that are stored: with a number that the database gives out, or once however many do so at the same time."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import sqlalchemy as sa

from ..store import Database


def inserted(connection: sa.Connection, table: sa.Table, values: dict[str, Any]) -> int:
    """Store a row; returns its number."""
    key: Any = connection.execute(table.insert().values(values)).inserted_primary_key
    return int(key[0])


def inserted_once(database: Database, table: sa.Table, values: dict[str, Any]) -> bool:
    """Store a row in a transaction of its own; False where one of its key is there.

    A transaction that looks for a row, locks the place where it is missing and then stores it waits in MariaDB for
    another that does the same, and that one for it.
    """
    with database.write() as connection, suppress(sa.exc.IntegrityError), connection.begin_nested():
        connection.execute(table.insert().values(values))
        return True
    return False
