"""The digests of search snapshots, and the keyed digest of the head of the audit."""

from __future__ import annotations

import sqlalchemy as sa

from facedex.store.columns import Number, Text
from facedex.store.steps import add_column, create_table

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the table, and add the column."""
    create_table(
        "snapshots",
        sa.Column("gallery_id", Number, nullable=False),
        sa.Column("digest", Text(64), nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("token", Text(32), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("gallery_id", "digest", name="pk_snapshots"),
        sa.ForeignKeyConstraint(["gallery_id"], ["galleries.id"], name="fk_snapshots_gallery_id", ondelete="CASCADE"),
    )
    add_column("galleries", sa.Column("audit_seal", Text(128)))
