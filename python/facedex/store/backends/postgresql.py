"""PostgreSQL, through psycopg 3.

A reader sees one state (``REPEATABLE READ, READ ONLY``). A writer first locks its gallery's row and then reads what the
writer before it committed, so it runs at ``READ COMMITTED``; it waits for the lock as long as the URL says. A server
that acknowledges before its log is on the disk (``synchronous_commit=off``) is set to wait for each of our commits.
What a failure means is read from its SQLSTATE (PostgreSQL's manual, appendix A).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from ...errors import DatabaseUnavailableError, StoreError
from .base import CONNECT_TIMEOUT_S, MIGRATION_TIMEOUT_S, POOL, Backend, Kind, Storage

_MIGRATION_LOCK = 0x66616365646578  # "facedex": the advisory lock of its migrations

_KINDS = {
    "08": Kind.unavailable,  # connection exception
    "25006": Kind.read_only,  # read-only transaction, as on a standby
    "3D000": Kind.unavailable,  # no such database
    "28": Kind.unavailable,  # access denied
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


_SEARCH_TABLE = re.compile(r"search_tables|(search|fused)_[0-9a-f]{32}_[0-9a-f]{12}")
"""The tables of the search inside PostgreSQL (facedex.search.pgvector)."""

_GONE = r"SELECT face_id FROM gone WHERE pack_digest = '[0-9a-f]{{64}}'"

_SEARCH_TRIGGER = (
    r"\s*BEGIN\s+DELETE FROM {table} WHERE face_id IN "
    rf"\(({_GONE}|SELECT person_row FROM faces WHERE id IN \({_GONE}\))\);\s+RETURN NULL;\s+END\s*"
)
"""What the trigger of such a table runs, and nothing else."""

_RELATIONS = """
SELECT c.relname, c.relkind::text FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1"""
"""Tables and views of the schema, but those of an extension."""

_TRIGGERS = """
SELECT t.tgname, c.relname, p.prosrc FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace ORDER BY 1"""

_RULES = """
SELECT 'rule', rulename, tablename FROM pg_rules WHERE schemaname = current_schema()
UNION ALL SELECT 'policy', policyname, tablename FROM pg_policies WHERE schemaname = current_schema() ORDER BY 1, 2"""

_RELATION_KINDS = {"v": "view", "m": "materialized view", "f": "foreign table"}


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

    def prepare(self, connection: Any) -> None:
        """Nothing is set on a connection, only in transactions."""

    def prepare_migration(self, connection: sa.Connection) -> None:
        """Refuse a database that cannot hold every text."""
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
        if encoding != "UTF8":
            raise DatabaseUnavailableError(
                f"database {self.place} has the encoding {encoding}, which cannot hold every name; "
                "create it with ENCODING 'UTF8'"
            )

    def foreign_objects(self, connection: sa.Connection, ours: frozenset[str]) -> list[str]:
        """Query the catalog of the schema; the tables of the search and their triggers are ours too."""
        found = []
        for name, table, source in connection.exec_driver_sql(_TRIGGERS):
            searching = table == "templates" and _SEARCH_TABLE.fullmatch(name)
            if not (searching and re.fullmatch(_SEARCH_TRIGGER.format(table=name), source)):
                found.append(f"trigger {name!r} on {table!r}")
        found += [f"{kind} {name!r} on {table!r}" for kind, name, table in connection.exec_driver_sql(_RULES)]
        for name, kind in connection.exec_driver_sql(_RELATIONS):
            if kind in _RELATION_KINDS:
                found.append(f"{_RELATION_KINDS[kind]} {name!r}")
            elif name not in ours and not _SEARCH_TABLE.fullmatch(name):
                found.append(f"table {name!r}")
        return found

    def check_settings(self, connection: sa.Connection) -> str | None:
        """Warn of a server that does not wait for its disk."""
        if connection.exec_driver_sql("SHOW fsync").scalar() == "on":
            return None
        return "its server has fsync=off: a power cut may damage it; switch fsync on"

    @contextmanager
    def lock(self, connection: sa.Connection, name: str, wait_s: float) -> Iterator[None]:
        """Hold an advisory lock in a transaction, so that it is released with the connection, also behind a pooler."""
        connection.exec_driver_sql(
            f"BEGIN; SET LOCAL lock_timeout = {round(1000 * wait_s)}; SET LOCAL idle_in_transaction_session_timeout = 0"
        )
        try:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock(hashtextextended('{name}', 0))")
            yield
        finally:
            if not connection.invalidated:
                connection.exec_driver_sql("ROLLBACK")

    def storage(self, connection: sa.Connection) -> Storage:
        """Query whether it accepts changes: a standby does not."""
        read_only = connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on"
        return "read_only" if read_only else "ok"

    def vacuum(self, connection: sa.Connection) -> bool:
        """Rewrite the tables; returns False, because a client cannot empty the server's log and backups."""
        connection.exec_driver_sql("VACUUM (FULL) people, faces, photos, templates, events, event_subjects")
        return False

    def is_out_of_range(self, error: BaseException) -> bool:
        """Decide by the SQLSTATE "numeric value out of range"."""
        return getattr(error, "sqlstate", None) == "22003" or super().is_out_of_range(error)

    def failure(self, error: BaseException, *, lost: bool) -> StoreError:
        """Translate a failure by its SQLSTATE; without one the server was not reached, or not as the URL says."""
        from psycopg import OperationalError, ProgrammingError

        state = getattr(error, "sqlstate", None) or ""
        diagnosis = getattr(getattr(error, "diag", None), "message_primary", None)
        message = diagnosis or str(error).partition("\n")[0]
        beginnings = (state[:length] for length in range(len(state), 1, -1))
        kind = next((_KINDS[beginning] for beginning in beginnings if beginning in _KINDS), Kind.other)
        if lost or (not state and isinstance(error, (OperationalError, ProgrammingError))):
            kind = Kind.unavailable
        advice = "its user must be allowed to write" if kind is Kind.read_only else ""
        return kind.error(self.place, message, advice)
