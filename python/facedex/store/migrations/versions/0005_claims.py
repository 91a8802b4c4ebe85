"""An index over what was claimed, so that the claims to be somebody are found when the person is deleted."""

from __future__ import annotations

from facedex.store.steps import create_index

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the index."""
    create_index("ix_attendance_claimed", "attendance", ["gallery_id", "claimed"])
