"""The kinds of column, alike in every database.

A text is stored exactly and compared by its bytes: upper case, accents and spaces at the end count. A time is
whole microseconds since 1970, UTC, which every database orders and none rounds. A real number has 64 bits. Texts and
bytes without a length are as long as the database allows.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
"""A number that the database assigns; SQLite assigns only its own INTEGER."""

Real = sa.Double
"""A floating-point number of 64 bits."""

Bytes = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
"""Bytes; MySQL's BLOB ends at 64 KiB."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Text(sa.types.TypeDecorator[str]):
    """A text, compared by its bytes.

    Parameters
    ----------
    length : int, optional
        Longest text, characters. Only a text with a length can be part of a key.
    """

    impl = sa.Text
    cache_ok = True

    def __init__(self, length: int | None = None) -> None:
        self.length = length
        super().__init__(length)

    def load_dialect_impl(self, dialect: Any) -> sa.types.TypeEngine[Any]:
        """Choose the type of this database."""
        if dialect.name not in ("mysql", "mariadb"):
            return sa.Text() if self.length is None else sa.String(self.length)
        # The usual binary collations ignore spaces at the end; these do not, and each program knows only its own.
        collation = "utf8mb4_nopad_bin" if dialect.is_mariadb else "utf8mb4_0900_bin"
        if self.length is None:
            return mysql.LONGTEXT(charset="utf8mb4", collation=collation)
        return mysql.VARCHAR(self.length, charset="utf8mb4", collation=collation)


class Instant(sa.types.TypeDecorator[datetime]):
    """A time in UTC, kept as whole microseconds since 1970."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        """From a time to microseconds."""
        return None if value is None else (value - _EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: Any, dialect: Any) -> datetime | None:
        """From microseconds to a time."""
        return None if value is None else _EPOCH + timedelta(microseconds=value)
