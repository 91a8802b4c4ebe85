"""The tables of the store, and how a time is kept.

``galleries`` holds the head of each gallery's ordered feed of changes: ``position`` is the number of the last change
and ``token`` a random text drawn for its transaction. Position and token together name a history, so that an index
made from another copy of the database is never taken for one made from this. ``faces`` counts, so that a lost row
shows. ``changes`` is the feed itself, numbered without gaps within a gallery, because a writer holds its gallery's row
while it writes. Numbers of people and faces are never used again. A template keeps the digest of the pack that made it
and a checksum over its bytes.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import sqlalchemy as sa

VERSION_TABLE = "facedex_version"
"""Where the migrations note how far they have come; its presence also tells a gallery from a stranger's database."""

Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
"""A number that the database gives out; SQLite counts only its own INTEGER."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Instant(sa.types.TypeDecorator[datetime]):
    """A time in UTC, kept as whole microseconds since 1970, which every database orders and none rounds."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        """From a time to microseconds."""
        return None if value is None else (value - _EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: Any, dialect: Any) -> datetime | None:
        """From microseconds to a time."""
        return None if value is None else _EPOCH + timedelta(microseconds=value)


METADATA = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

galleries = sa.Table(
    "galleries",
    METADATA,
    sa.Column("id", Number, primary_key=True),
    sa.Column("name", sa.String(64), nullable=False, unique=True),
    sa.Column("uuid", sa.String(32), nullable=False),
    sa.Column("pack_name", sa.String(255), nullable=False),
    sa.Column("pack_digest", sa.String(64), nullable=False),
    sa.Column("dimension", sa.Integer, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("token", sa.String(32), nullable=False),
    sa.Column("faces", sa.BigInteger, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sqlite_autoincrement=True,
)

people = sa.Table(
    "people",
    METADATA,
    sa.Column("id", Number, primary_key=True),
    sa.Column("gallery_id", Number, sa.ForeignKey("galleries.id", ondelete="CASCADE"), nullable=False),
    sa.Column("key", sa.String(255), nullable=False),
    sa.Column("key_is_int", sa.Boolean, nullable=False),
    sa.Column("name", sa.Text),
    sa.Column("email", sa.Text),
    sa.Column("info", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.UniqueConstraint("gallery_id", "key"),
    sqlite_autoincrement=True,
)

faces = sa.Table(
    "faces",
    METADATA,
    sa.Column("id", Number, primary_key=True),
    sa.Column("person_row", Number, sa.ForeignKey("people.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("x1", sa.Float, nullable=False),
    sa.Column("y1", sa.Float, nullable=False),
    sa.Column("x2", sa.Float, nullable=False),
    sa.Column("y2", sa.Float, nullable=False),
    sa.Column("det_score", sa.Float, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sqlite_autoincrement=True,
)

templates = sa.Table(
    "templates",
    METADATA,
    sa.Column("face_id", Number, sa.ForeignKey("faces.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    sa.Column("pack_digest", sa.String(64), primary_key=True),
    sa.Column("vector", sa.LargeBinary, nullable=False),
    sa.Column("checksum", sa.BigInteger, nullable=False),
)

changes = sa.Table(
    "changes",
    METADATA,
    sa.Column("gallery_id", Number, sa.ForeignKey("galleries.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("token", sa.String(32), nullable=False),
    sa.Column("kind", sa.String(8), nullable=False),
    sa.Column("face_id", Number),
    sa.Column("created_at", Instant, nullable=False),
)
