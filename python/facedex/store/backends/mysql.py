"""MariaDB and MySQL, through PyMySQL.

A reader sees one state (``REPEATABLE READ``, which a consistent snapshot needs). A writer first locks its gallery's row
and then reads what the writer before it committed, so it runs at ``READ COMMITTED``, which also locks no gaps. It waits
for the lock as long as the URL says, in whole seconds. What does not fit is refused, not cut (``STRICT_ALL_TABLES``).
Versions before those below count again from the largest stored number after a restart, so that a deleted number would
come back. What a failure means is read from its number (MariaDB's manual, "MariaDB Error Code Reference").
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from ...errors import DatabaseLockedError, DatabaseUnavailableError, StoreError
from .base import CONNECT_TIMEOUT_S, MIGRATION_TIMEOUT_S, POOL, Backend, Kind, Storage

_MARIADB = (10, 3)
_MYSQL = (8, 0, 17)

_BY_KIND = {
    # lock wait timeout, deadlock, record changed since last read, table rebuilt since this view of the database began
    Kind.locked: (1205, 1213, 1020, 1412),
    # disk full, out of disk space for a log, table full
    Kind.full: (1021, 1041, 1114),
    # server or transaction is read-only; commands denied
    Kind.read_only: (1290, 1792, 1836, 1142, 1143, 1227, 1370),
    # tables marked as crashed, or whose index does not fit; a corrupt page
    Kind.damaged: (1034, 1035, 1194, 1195, 1712, 1877),
    # access denied, no such database, too many connections, shutting down, connection killed or broken on either side
    Kind.unavailable: (
        *(0, 1040, 1042, 1043, 1044, 1045, 1049, 1053, 1077, 1079, 1129, 1130, 1152, 1158, 1159, 1160, 1161, 1184),
        *(1203, 1226, 1698, 1927, 2002, 2003, 2005, 2006, 2012, 2013, 2014, 2026, 2055, 4031),
    ),
}
_KINDS = {number: kind for kind, numbers in _BY_KIND.items() for number in numbers}
"""What a failure means by its number; below 2000 the server's, above the client's."""

_OUT_OF_RANGE = (1264, 1690)
"""Errors for a number out of range: for a column, and in an expression."""

_ESCAPED = b"\0\n\r\x1a\"'\\"
"""Bytes before which PyMySQL sends a backslash."""

_STATEMENT = 4096
"""Room for the rest of a statement that stores one value, bytes."""

_FULL = "error 28 "  # the server passes on ENOSPC in words: "Got error 28 from storage engine"


class MysqlBackend(Backend):
    """A MariaDB or MySQL server."""

    reading = ("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",)
    writing = migration = ("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "START TRANSACTION READ WRITE")

    def engine(self) -> sa.Engine:
        """Make the pool."""
        url = self.url.update_query_dict({"charset": "utf8mb4"})
        arguments: dict[str, Any] = {"autocommit": True}
        if "connect_timeout" not in url.query:
            arguments["connect_timeout"] = CONNECT_TIMEOUT_S
        return sa.create_engine(url, connect_args=arguments, hide_parameters=True, **POOL)

    def prepare(self, connection: Any) -> None:
        """Set what each connection must have."""
        wait = max(1, math.ceil(self.timeout_s))
        with connection.cursor() as cursor:
            cursor.execute(
                "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', "
                f"SESSION innodb_lock_wait_timeout = {wait}, SESSION lock_wait_timeout = {wait}"
            )
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")

    def prepare_migration(self, connection: sa.Connection) -> None:
        """Refuse a server that would give a deleted number again."""
        dialect: Any = connection.dialect
        name, oldest = ("MariaDB", _MARIADB) if dialect.is_mariadb else ("MySQL", _MYSQL)
        if dialect.server_version_info[: len(oldest)] < oldest:
            found, needed = (".".join(map(str, version)) for version in (dialect.server_version_info, oldest))
            raise DatabaseUnavailableError(
                f"database {self.place} is on {name} {found}, which may use the number of a deleted face again; "
                f"use {name} {needed} or newer"
            )

    def foreign_objects(self, connection: sa.Connection, ours: frozenset[str]) -> list[str]:
        """Query the information schema; it lists the events and triggers that this user may see."""
        queries = {
            "trigger": "SELECT trigger_name, event_object_table FROM information_schema.triggers "
            "WHERE trigger_schema = DATABASE() ORDER BY 1",
            "event": "SELECT event_name, '' FROM information_schema.events WHERE event_schema = DATABASE() ORDER BY 1",
        }
        found = [
            f"{kind} {name!r}" + (f" on {table!r}" if table else "")
            for kind, query in queries.items()
            for name, table in connection.exec_driver_sql(query)
        ]
        tables = connection.exec_driver_sql(
            "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1"
        )
        for name, kind in tables:
            if kind != "BASE TABLE":
                found.append(f"{str(kind).lower()} {name!r}")
            elif name not in ours:
                found.append(f"table {name!r}")
        return found

    def check_settings(self, connection: sa.Connection) -> str | None:
        """Warn of a server that does not wait for its disk."""
        if connection.exec_driver_sql("SELECT @@innodb_flush_log_at_trx_commit").scalar() == 1:
            return None
        return (
            "its server does not have innodb_flush_log_at_trx_commit=1: a power cut may lose changes that were "
            "acknowledged; set it to 1"
        )

    @contextmanager
    def lock_migration(self, connection: sa.Connection) -> Iterator[None]:
        """Hold a named lock of the server: changing a table here ends the transaction and releases all other locks."""
        name = "CONCAT('facedex ', MD5(DATABASE()))"
        if connection.exec_driver_sql(f"SELECT GET_LOCK({name}, {MIGRATION_TIMEOUT_S})").scalar() != 1:
            raise DatabaseLockedError(
                f"database {self.place} is being migrated by another program; try again when it has finished"
            )
        try:
            yield
        finally:
            if not connection.invalidated:
                connection.exec_driver_sql(f"SELECT RELEASE_LOCK({name})").scalar()

    @contextmanager
    def lock(self, connection: sa.Connection, name: str, wait_s: float) -> Iterator[None]:
        """Hold a named lock of the server; it is released with the connection."""
        if connection.exec_driver_sql(f"SELECT GET_LOCK('{name}', {wait_s})").scalar() != 1:
            raise Kind.locked.error(self.place, f"lock {name!r} was not free for {wait_s:g} seconds")
        try:
            yield
        finally:
            if not connection.invalidated:
                connection.exec_driver_sql(f"SELECT RELEASE_LOCK('{name}')").scalar()

    def packet_limit(self, connection: sa.Connection, value: bytes) -> int | None:
        """Compare with the longest statement that the server accepts; it closes the connection on a longer one.

        Measured on MariaDB 10.11: it does so from half of max_allowed_packet on.
        """
        limit = int(connection.exec_driver_sql("SELECT @@max_allowed_packet").scalar_one()) // 2
        sent = len(value) + sum(value.count(byte) for byte in _ESCAPED) + _STATEMENT
        return limit if sent > limit else None

    def storage(self, connection: sa.Connection) -> Storage:
        """Query whether it accepts changes: a replica does not."""
        return "read_only" if connection.exec_driver_sql("SELECT @@read_only").scalar() else "ok"

    def vacuum(self, connection: sa.Connection) -> bool:
        """Rewrite the tables; returns False, because a client cannot empty the server's logs and backups."""
        connection.exec_driver_sql("OPTIMIZE TABLE people, faces, photos, templates, events, event_subjects").all()
        return False

    def is_out_of_range(self, error: BaseException) -> bool:
        """Decide by the number of the failure."""
        return (bool(error.args) and error.args[0] in _OUT_OF_RANGE) or super().is_out_of_range(error)

    def failure(self, error: BaseException, *, lost: bool) -> StoreError:
        """Translate a failure by its number."""
        number = error.args[0] if error.args and isinstance(error.args[0], int) else None
        message = " ".join(str(part) for part in error.args[1:] if part) or str(error)
        kind = _KINDS.get(number, Kind.other) if number is not None else Kind.other
        if _FULL in message:
            kind = Kind.full
        elif lost and kind is Kind.other:
            kind = Kind.unavailable
        advice = "its user must be allowed to write" if kind is Kind.read_only else ""
        return kind.error(self.place, message.partition("\n")[0] if message else "the connection was lost", advice)
