"""PostgreSQL, through psycopg 3.

A reader sees one state (``REPEATABLE READ, READ ONLY``). A writer first locks its gallery's row and then reads what the
writer before it committed, so it runs at ``READ COMMITTED``; it waits for the lock as long as the URL says. A server
that acknowledges before its log is on the disk (``synchronous_commit=off``) is told to wait for each of our commits.
What a failure means is read from its SQLSTATE (PostgreSQL's manual, appendix A).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from ...errors import DatabaseUnavailableError, StoreError
from .base import CONNECT_TIMEOUT_S, MIGRATION_TIMEOUT_S, POOL, Backend, Kind

_MIGRATION_LOCK = 0x66616365646578  # "facedex": the advisory lock of its migrations

_KINDS = {
    "08": Kind.unavailable,  # connection exception
    "25006": Kind.read_only,  # read-only transaction, as on a standby
    "3D000": Kind.unavailable,  # no such database
    "28": Kind.unavailable,  # not let in
    "40001": Kind.locked,  # serialization failure
    "40P01": Kind.locked,  # deadlock
    "42501": Kind.read_only,  # insufficient privilege
    "53100": Kind.full,  # disk full
    "53": Kind.unavailable,  # out of memory, too many connections
    "55P03": Kind.locked,  # lock not available
    "57P": Kind.unavailable,  # shut down, crashed, not yet up
    "58": Kind.unavailable,  # the server's own system fails
    "XX001": Kind.damaged,
    "XX002": Kind.damaged,
}
"""What a failure means by its SQLSTATE, or by the longest beginning of it that is listed."""


class PostgresqlBackend(Backend):
    """A PostgreSQL server."""

    reading = ("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",)

    def __init__(self, url: sa.URL, timeout_s: float) -> None:
        super().__init__(url, timeout_s)
        # Several statements in one text travel together; `LOCAL` ends with the transaction, also behind a pooler.
        begin = (
            "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE; SET LOCAL lock_timeout = {}; "
            "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"
        )
        self.writing = (begin.format(round(1000 * timeout_s)),)
        lock = f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"
        self.migration = (begin.format(1000 * MIGRATION_TIMEOUT_S), lock)

    def engine(self) -> sa.Engine:
        """Make the pool."""
        given = {"autocommit": True, "client_encoding": "utf8", "application_name": "facedex"}
        given |= {"connect_timeout": CONNECT_TIMEOUT_S}
        arguments = given | dict(self.url.query) | {"autocommit": True, "client_encoding": "utf8"}
        return sa.create_engine(
            self.url.set(query={}), connect_args=arguments, use_native_hstore=False, hide_parameters=True, **POOL
        )

    def connected(self, connection: Any) -> None:
        """Nothing is set on a connection, only in transactions."""

    def before_tables(self, connection: sa.Connection) -> None:
        """Refuse a database that cannot hold every text."""
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
        if encoding != "UTF8":
            raise DatabaseUnavailableError(
                f"database {self.place} has the encoding {encoding}, which cannot hold every name; "
                "create it with ENCODING 'UTF8'"
            )

    def check(self, connection: sa.Connection) -> str | None:
        """Warn of a server that does not wait for its disk."""
        if connection.exec_driver_sql("SHOW fsync").scalar() == "on":
            return None
        return "its server has fsync=off: a power cut may damage it; switch fsync on"

    @contextmanager
    def locked(self, connection: sa.Connection, name: str, wait_s: float) -> Iterator[None]:
        """Hold an advisory lock in a transaction, so that it is let go with the connection, also behind a pooler."""
        connection.exec_driver_sql(
            f"BEGIN; SET LOCAL lock_timeout = {round(1000 * wait_s)}; SET LOCAL idle_in_transaction_session_timeout = 0"
        )
        try:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock(hashtextextended('{name}', 0))")
            yield
        finally:
            if not connection.invalidated:
                connection.exec_driver_sql("ROLLBACK")

    def vacuum(self, connection: sa.Connection) -> bool:
        """Write the tables anew; False, because the server's log and its backups are not a client's to empty."""
        connection.exec_driver_sql("VACUUM (FULL) people, faces, photos, templates, events, event_subjects")
        return False

    def is_beyond(self, error: BaseException) -> bool:
        """Tell by the SQLSTATE "numeric value out of range"."""
        return getattr(error, "sqlstate", None) == "22003" or super().is_beyond(error)

    def failure(self, error: BaseException, *, lost: bool) -> StoreError:
        """Name a failure by its SQLSTATE; without one it was not reached, or not as the URL says."""
        from psycopg import OperationalError, ProgrammingError

        state = getattr(error, "sqlstate", None) or ""
        diagnosis = getattr(getattr(error, "diag", None), "message_primary", None)
        said = diagnosis or str(error).partition("\n")[0]
        beginnings = (state[:length] for length in range(len(state), 1, -1))
        kind = next((_KINDS[beginning] for beginning in beginnings if beginning in _KINDS), Kind.other)
        if lost or (not state and isinstance(error, (OperationalError, ProgrammingError))):
            kind = Kind.unavailable
        advice = "its user must be allowed to write" if kind is Kind.read_only else ""
        return kind.error(self.place, said, advice)
