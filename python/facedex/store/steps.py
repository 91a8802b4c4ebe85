"""The steps of a migration; a step that was done before does nothing.

MySQL commits at every change of a table, so a migration that was killed there has done some of its steps; it runs again
from its beginning. The other databases roll it back as a whole.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op


def create_table(name: str, *parts: Any) -> None:
    """Create a table, unless it exists.

    Parameters
    ----------
    name : str
    *parts : Column, Constraint or Index
        An index is given here, so that it is made with its table.
    """
    if name not in _inspector().get_table_names():
        op.create_table(name, *parts, sqlite_autoincrement=True, mysql_engine="InnoDB")


def add_column(table: str, column: sa.Column[Any]) -> None:
    """Add a column, unless the table has it."""
    if column.name not in {there["name"] for there in _inspector().get_columns(table)}:
        op.add_column(table, column)


def create_index(name: str, table: str, columns: list[str]) -> None:
    """Add an index, unless the table has it."""
    if name not in {there["name"] for there in _inspector().get_indexes(table)}:
        op.create_index(name, table, columns)


def _inspector() -> sa.Inspector:
    return sa.inspect(op.get_bind())
