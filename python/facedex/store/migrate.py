"""Upgrade a database to this version's tables, once, in one transaction.

Opening a current database costs one query; Alembic is loaded only for an upgrade.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from ..errors import DatabaseDamagedError, DatabaseVersionError
from .tables import VERSION_TABLE

TABLES = frozenset(
    {VERSION_TABLE, "galleries", "people", "faces", "photos", "gallery_packs", "templates", "changes", "snapshots"}
    | {"events", "event_subjects", "accounts", "api_keys", "tokens", "attempts", "idempotency", "challenges"}
    | {"attendance", "jobs"}
)
"""The tables that the migrations create; those of the server are declared in facedex.server.tables."""

_FOLDER = Path(__file__).parent / "migrations"
_KNOWN = frozenset(path.name.split("_")[0] for path in (_FOLDER / "versions").glob("0*.py"))

HEAD = max(_KNOWN)
"""The newest revision in ``migrations/versions``."""


def is_current(connection: sa.Connection, place: str) -> bool:
    """Return whether the database has this version's tables.

    Parameters
    ----------
    connection : sqlalchemy.Connection
    place : str
        The database's name in messages.

    Returns
    -------
    bool
        False when it is new or of an older version.

    Raises
    ------
    DatabaseVersionError
        When a newer version wrote it.
    DatabaseDamagedError
        When it is another program's.
    """
    tables = sa.inspect(connection).get_table_names()
    if VERSION_TABLE not in tables:
        if tables:
            found = ", ".join(sorted(tables)[:3])
            raise DatabaseDamagedError(
                f"{place} is not a database of facedex: it has the tables {found}; give the gallery a place of its own"
            )
        return False
    version = connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
    if version is not None and version not in _KNOWN:
        raise DatabaseVersionError(
            f"database {place} has version {version!r}, this facedex knows up to {HEAD!r}; open it with a newer facedex"
        )
    return bool(version == HEAD)


def upgrade(connection: sa.Connection, to: str = "head") -> None:
    """Run the missing migrations, inside the caller's transaction.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        No other process may migrate meanwhile.
    to : str
        The last revision to run.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, to)
