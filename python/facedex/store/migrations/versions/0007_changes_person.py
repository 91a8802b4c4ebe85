"""The person of each change, by which an index of one template a person follows the feed; older changes have none."""

from __future__ import annotations

import sqlalchemy as sa

from facedex.store.steps import add_column

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the column."""
    add_column("changes", sa.Column("person_row", sa.BigInteger))
