"""Rows with a number that the database gives out."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa


def inserted(connection: sa.Connection, table: sa.Table, values: dict[str, Any]) -> int:
    """Store a row; returns its number."""
    key: Any = connection.execute(table.insert().values(values)).inserted_primary_key
    return int(key[0])
