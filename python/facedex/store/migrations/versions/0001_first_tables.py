"""The first tables: galleries, people, faces, templates, changes.

Written out and not taken from facedex.store.tables, so that a later change there leaves this step as it was.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_number = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "galleries",
        sa.Column("id", _number, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("uuid", sa.String(32), nullable=False),
        sa.Column("pack_name", sa.String(255), nullable=False),
        sa.Column("pack_digest", sa.String(64), nullable=False),
        sa.Column("dimension", sa.Integer, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("token", sa.String(32), nullable=False),
        sa.Column("faces", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_galleries"),
        sa.UniqueConstraint("name", name="uq_galleries_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "people",
        sa.Column("id", _number, nullable=False),
        sa.Column("gallery_id", _number, nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("key_is_int", sa.Boolean, nullable=False),
        sa.Column("name", sa.Text),
        sa.Column("email", sa.Text),
        sa.Column("info", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_people"),
        sa.ForeignKeyConstraint(["gallery_id"], ["galleries.id"], name="fk_people_gallery_id", ondelete="CASCADE"),
        sa.UniqueConstraint("gallery_id", "key", name="uq_people_gallery_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "faces",
        sa.Column("id", _number, nullable=False),
        sa.Column("person_row", _number, nullable=False),
        sa.Column("x1", sa.Float, nullable=False),
        sa.Column("y1", sa.Float, nullable=False),
        sa.Column("x2", sa.Float, nullable=False),
        sa.Column("y2", sa.Float, nullable=False),
        sa.Column("det_score", sa.Float, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_faces"),
        sa.ForeignKeyConstraint(["person_row"], ["people.id"], name="fk_faces_person_row", ondelete="CASCADE"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_faces_person_row", "faces", ["person_row"])
    op.create_table(
        "templates",
        sa.Column("face_id", _number, nullable=False, autoincrement=False),
        sa.Column("pack_digest", sa.String(64), nullable=False),
        sa.Column("vector", sa.LargeBinary, nullable=False),
        sa.Column("checksum", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("face_id", "pack_digest", name="pk_templates"),
        sa.ForeignKeyConstraint(["face_id"], ["faces.id"], name="fk_templates_face_id", ondelete="CASCADE"),
    )
    op.create_table(
        "changes",
        sa.Column("gallery_id", _number, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("token", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("face_id", _number),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("gallery_id", "seq", name="pk_changes"),
        sa.ForeignKeyConstraint(["gallery_id"], ["galleries.id"], name="fk_changes_gallery_id", ondelete="CASCADE"),
    )
