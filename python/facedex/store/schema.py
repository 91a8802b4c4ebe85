"""What stands in a database beside the tables of facedex: refused, and named.

A trigger, view or rule of somebody else can change what is stored or hide it, and nothing that facedex reads or writes
would show it. So a database is opened only when it has none, and no table that is not ours.
"""

from __future__ import annotations

import sqlalchemy as sa

from ..errors import DatabaseSchemaError
from .backends import Backend
from .tables import METADATA, VERSION_TABLE

_OURS = frozenset(METADATA.tables) | {VERSION_TABLE}
_MOST = 5  # that are named


def check_schema(connection: sa.Connection, backend: Backend) -> None:
    """Refuse a database that holds what facedex did not make.

    Raises
    ------
    DatabaseSchemaError
        It names what was found.
    """
    found = backend.foreign_objects(connection, _OURS)
    if not found:
        return
    named = ", ".join(found[:_MOST]) + (f" and {len(found) - _MOST} more" if len(found) > _MOST else "")
    raise DatabaseSchemaError(
        f"database {backend.place} holds what facedex did not make: {named}; that can change or hide what is stored. "
        "Find out who made it, then drop it, or give the gallery a database of its own",
        found=tuple(found),
    )
