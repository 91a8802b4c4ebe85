"""Photos, the packs of a migration, the quality of faces, and checksums over who is who.

A gallery of before keeps no photo, has one pack and measured no quality; what it says of people and faces is taken as
it stands.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from facedex.store.checksums import seal
from facedex.store.columns import Bytes, Instant, Number, Real, Text
from facedex.store.steps import add_column, create_index, create_table

revision = "0003"
down_revision = "0002"

_PEOPLE = sa.table(
    "people",
    *(sa.column(name, Number) for name in ("id", "gallery_id", "checksum")),
    *(sa.column(name, Text()) for name in ("key", "name", "email", "info")),
    *(sa.column(name, Instant) for name in ("created_at", "updated_at", "retain_until")),
    sa.column("key_is_int", sa.Boolean),
)
_FACES = sa.table(
    "faces",
    *(sa.column(name, Number) for name in ("id", "person_row", "checksum")),
    *(sa.column(name, Real) for name in ("x1", "y1", "x2", "y2", "det_score", "quality")),
    sa.column("created_at", Instant),
)


def upgrade() -> None:
    """Add the columns and tables."""
    create_table(
        "photos",
        sa.Column("id", Number, nullable=False),
        sa.Column("person_row", Number, nullable=False),
        sa.Column("rendition", Text(16), nullable=False),
        sa.Column("media_type", Text(32), nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("filename", Text()),
        sa.Column("content", Bytes, nullable=False),
        sa.Column("checksum", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_photos"),
        sa.ForeignKeyConstraint(["person_row"], ["people.id"], name="fk_photos_person_row", ondelete="CASCADE"),
        sa.Index("ix_photos_person_row", "person_row"),
    )
    create_table(
        "gallery_packs",
        sa.Column("gallery_id", Number, nullable=False),
        sa.Column("pack_digest", Text(64), nullable=False),
        sa.Column("pack_name", Text(255), nullable=False),
        sa.Column("dimension", sa.Integer, nullable=False),
        sa.Column("state", Text(16), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("gallery_id", "pack_digest", name="pk_gallery_packs"),
        sa.ForeignKeyConstraint(
            ["gallery_id"], ["galleries.id"], name="fk_gallery_packs_gallery_id", ondelete="CASCADE"
        ),
    )
    add_column("faces", sa.Column("photo_id", Number))
    create_index("ix_faces_photo_id", "faces", ["photo_id"])
    add_column("faces", sa.Column("quality", Real))
    add_column("faces", sa.Column("checksum", sa.BigInteger))
    add_column("people", sa.Column("checksum", sa.BigInteger))
    for table in (_PEOPLE, _FACES):
        seal(op.get_bind(), table, table.c.checksum.is_(None))
