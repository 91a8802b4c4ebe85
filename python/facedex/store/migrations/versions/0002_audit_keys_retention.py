"""The audit, the keys of an encrypted gallery, and how long a person is stored.

Existing galleries are not encrypted, have an empty audit, and store everybody until deleted.
"""

from __future__ import annotations

import sqlalchemy as sa

from facedex.store.columns import Bytes, Number, Text
from facedex.store.steps import add_column, create_table

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns and tables."""
    add_column("galleries", sa.Column("audit_seq", sa.BigInteger, nullable=False, server_default="0"))
    add_column("galleries", sa.Column("audit_head", Text(64), nullable=False, server_default=""))
    add_column("galleries", sa.Column("seal", Bytes))
    add_column("people", sa.Column("retain_until", sa.BigInteger))
    add_column("people", sa.Column("data_key", Bytes))
    create_table(
        "events",
        sa.Column("gallery_id", Number, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("content", Text(), nullable=False),
        sa.Column("digest", Text(64), nullable=False),
        sa.PrimaryKeyConstraint("gallery_id", "seq", name="pk_events"),
        sa.ForeignKeyConstraint(["gallery_id"], ["galleries.id"], name="fk_events_gallery_id", ondelete="CASCADE"),
    )
    create_table(
        "event_subjects",
        sa.Column("gallery_id", Number, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("person_row", Number, nullable=False),
        sa.Column("salt", Text(32), nullable=False),
        sa.Column("content", Text(), nullable=False),
        sa.PrimaryKeyConstraint("gallery_id", "seq", name="pk_event_subjects"),
        sa.ForeignKeyConstraint(
            ["gallery_id"], ["galleries.id"], name="fk_event_subjects_gallery_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["person_row"], ["people.id"], name="fk_event_subjects_person_row", ondelete="CASCADE"),
        sa.Index("ix_event_subjects_person_row", "person_row"),
    )
