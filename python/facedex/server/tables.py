"""The tables of a server, in the gallery's database; the store's migrations create them.

Of a password there is an Argon2id hash, of a key, a token or the id of a challenge its SHA-256.
"""

from __future__ import annotations

import sqlalchemy as sa

from ..store.columns import Bytes, Instant, Number, Real, Text
from ..store.tables import METADATA

accounts = sa.Table(
    "accounts",
    METADATA,
    sa.Column("id", Number, primary_key=True),
    sa.Column("login", Text(255), unique=True),
    sa.Column("email", Text(255)),
    sa.Column("email_key", Text(255), unique=True),
    sa.Column("name", Text(), nullable=False),
    sa.Column("password", Text(255)),
    sa.Column("person_key", Text(255), index=True),
    sa.Column("profile", Text(), nullable=False),
    sa.Column("scopes", Text(64), nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("disabled_at", Instant),
    sqlite_autoincrement=True,
)

api_keys = sa.Table(
    "api_keys",
    METADATA,
    sa.Column("id", Number, primary_key=True),
    sa.Column("name", Text(255), nullable=False),
    sa.Column("prefix", Text(16), nullable=False),
    sa.Column("digest", Text(64), nullable=False, unique=True),
    sa.Column("scopes", Text(64), nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant),
    sa.Column("revoked_at", Instant),
    sa.Column("used_at", Instant),
    sqlite_autoincrement=True,
)

tokens = sa.Table(
    "tokens",
    METADATA,
    sa.Column("id", Number, primary_key=True),
    sa.Column("digest", Text(64), nullable=False, unique=True),
    sa.Column("ending", Text(8), nullable=False),
    sa.Column("account_id", Number, sa.ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("method", Text(16), nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False, index=True),
    sa.Column("revoked_at", Instant),
    sqlite_autoincrement=True,
)

attempts = sa.Table(
    "attempts",
    METADATA,
    sa.Column("bucket", Text(64), primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("since", Instant, nullable=False),
    sa.Column("last_at", Instant, nullable=False, index=True),
)

idempotency = sa.Table(
    "idempotency",
    METADATA,
    sa.Column("digest", Text(64), primary_key=True),
    sa.Column("request", Text(64), nullable=False),
    sa.Column("subject", Text(64), index=True),
    sa.Column("status", sa.Integer),
    sa.Column("media_type", Text(128)),
    sa.Column("body", Bytes),
    sa.Column("created_at", Instant, nullable=False, index=True),
)

challenges = sa.Table(
    "challenges",
    METADATA,
    sa.Column("digest", Text(64), primary_key=True),
    sa.Column("caller", Text(64), nullable=False),
    sa.Column("actions", Text(255), nullable=False),
    sa.Column("created_at", Instant, nullable=False, index=True),
    sa.Column("used_at", Instant),
)

attendance = sa.Table(
    "attendance",
    METADATA,
    sa.Column("id", Number, primary_key=True),
    sa.Column("gallery_id", Number, sa.ForeignKey("galleries.id", ondelete="CASCADE"), nullable=False),
    sa.Column("contract", Text(32), nullable=False),
    sa.Column("claimed", Text(255)),
    sa.Column("person_row", Number, sa.ForeignKey("people.id", ondelete="CASCADE"), index=True),
    sa.Column("person_key", Text(255)),
    sa.Column("name", Text()),
    sa.Column("similarity", Real),
    sa.Column("probability", Real),
    sa.Column("matched", sa.Boolean, nullable=False),
    sa.Column("liveness", Real),
    sa.Column("at", Instant, nullable=False),
    sa.Index("ix_attendance_at", "gallery_id", "at"),
    sa.Index("ix_attendance_claimed", "gallery_id", "claimed"),
    sqlite_autoincrement=True,
)

jobs = sa.Table(
    "jobs",
    METADATA,
    sa.Column("id", Text(32), primary_key=True),
    sa.Column("kind", Text(32), nullable=False),
    sa.Column("gallery", Text(64), nullable=False),
    sa.Column("actor", Text(255)),
    sa.Column("state", Text(16), nullable=False),
    sa.Column("done", sa.BigInteger, nullable=False),
    sa.Column("total", sa.BigInteger),
    sa.Column("cancel", sa.Boolean, nullable=False),
    sa.Column("answer", Text(), nullable=False),
    sa.Column("created_at", Instant, nullable=False, index=True),
    sa.Column("alive_at", Instant, nullable=False),
    sa.Column("finished_at", Instant),
)
