"""The challenges of the active liveness check."""

from __future__ import annotations

import sqlalchemy as sa

from facedex.store.columns import Text
from facedex.store.steps import create_table

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create the table."""
    create_table(
        "challenges",
        sa.Column("digest", Text(64), nullable=False),
        sa.Column("caller", Text(64), nullable=False),
        sa.Column("actions", Text(255), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("digest", name="pk_challenges"),
        sa.Index("ix_challenges_created_at", "created_at"),
    )
