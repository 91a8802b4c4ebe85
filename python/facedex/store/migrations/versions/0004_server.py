"""What the server keeps beside a gallery: accounts, API keys, tokens, attempts, answers to repeat, attendance, jobs."""

from __future__ import annotations

import sqlalchemy as sa

from facedex.store.columns import Bytes, Number, Real, Text
from facedex.store.steps import create_table

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the tables."""
    create_table(
        "accounts",
        sa.Column("id", Number, nullable=False),
        sa.Column("login", Text(255)),
        sa.Column("email", Text(255)),
        sa.Column("email_key", Text(255)),
        sa.Column("name", Text(), nullable=False),
        sa.Column("password", Text(255)),
        sa.Column("person_key", Text(255)),
        sa.Column("profile", Text(), nullable=False),
        sa.Column("scopes", Text(64), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("disabled_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_accounts"),
        sa.UniqueConstraint("login", name="uq_accounts_login"),
        sa.UniqueConstraint("email_key", name="uq_accounts_email_key"),
        sa.Index("ix_accounts_person_key", "person_key"),
    )
    create_table(
        "api_keys",
        sa.Column("id", Number, nullable=False),
        sa.Column("name", Text(255), nullable=False),
        sa.Column("prefix", Text(16), nullable=False),
        sa.Column("digest", Text(64), nullable=False),
        sa.Column("scopes", Text(64), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("revoked_at", sa.BigInteger),
        sa.Column("used_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("digest", name="uq_api_keys_digest"),
    )
    create_table(
        "tokens",
        sa.Column("id", Number, nullable=False),
        sa.Column("digest", Text(64), nullable=False),
        sa.Column("ending", Text(8), nullable=False),
        sa.Column("account_id", Number, nullable=False),
        sa.Column("method", Text(16), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("digest", name="uq_tokens_digest"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_tokens_account_id", ondelete="CASCADE"),
        sa.Index("ix_tokens_account_id", "account_id"),
        sa.Index("ix_tokens_expires_at", "expires_at"),
    )
    create_table(
        "attempts",
        sa.Column("bucket", Text(64), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("bucket", name="pk_attempts"),
        sa.Index("ix_attempts_last_at", "last_at"),
    )
    create_table(
        "idempotency",
        sa.Column("digest", Text(64), nullable=False),
        sa.Column("request", Text(64), nullable=False),
        sa.Column("subject", Text(64)),
        sa.Column("status", sa.Integer),
        sa.Column("media_type", Text(128)),
        sa.Column("body", Bytes),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_idempotency"),
        sa.Index("ix_idempotency_subject", "subject"),
        sa.Index("ix_idempotency_created_at", "created_at"),
    )
    create_table(
        "attendance",
        sa.Column("id", Number, nullable=False),
        sa.Column("gallery_id", Number, nullable=False),
        sa.Column("contract", Text(32), nullable=False),
        sa.Column("claimed", Text(255)),
        sa.Column("person_row", Number),
        sa.Column("person_key", Text(255)),
        sa.Column("name", Text()),
        sa.Column("similarity", Real),
        sa.Column("probability", Real),
        sa.Column("matched", sa.Boolean, nullable=False),
        sa.Column("liveness", Real),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_attendance"),
        sa.ForeignKeyConstraint(["gallery_id"], ["galleries.id"], name="fk_attendance_gallery_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["person_row"], ["people.id"], name="fk_attendance_person_row", ondelete="CASCADE"),
        sa.Index("ix_attendance_at", "gallery_id", "at"),
        sa.Index("ix_attendance_person_row", "person_row"),
    )
    create_table(
        "jobs",
        sa.Column("id", Text(32), nullable=False),
        sa.Column("kind", Text(32), nullable=False),
        sa.Column("gallery", Text(64), nullable=False),
        sa.Column("actor", Text(255)),
        sa.Column("state", Text(16), nullable=False),
        sa.Column("done", sa.BigInteger, nullable=False),
        sa.Column("total", sa.BigInteger),
        sa.Column("cancel", sa.Boolean, nullable=False),
        sa.Column("answer", Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("alive_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.Index("ix_jobs_created_at", "created_at"),
    )
