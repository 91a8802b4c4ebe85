"""What the thresholds of a gallery are chosen from; it is filled with the next change of its people."""

from __future__ import annotations

import sqlalchemy as sa

from facedex.store.columns import Text
from facedex.store.steps import add_column

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the column."""
    add_column("galleries", sa.Column("basis", Text()))
