"""The first tables: galleries, people, faces, templates, changes.

Written out and not taken from facedex.store.tables, so that a later change there leaves this step as it was.
"""

from __future__ import annotations

import sqlalchemy as sa

from facedex.store.columns import Bytes, Number, Real, Text
from facedex.store.steps import create_table

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    create_table(
        "galleries",
        sa.Column("id", Number, nullable=False),
        sa.Column("name", Text(64), nullable=False),
        sa.Column("uuid", Text(32), nullable=False),
        sa.Column("pack_name", Text(255), nullable=False),
        sa.Column("pack_digest", Text(64), nullable=False),
        sa.Column("dimension", sa.Integer, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("token", Text(32), nullable=False),
        sa.Column("faces", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_galleries"),
        sa.UniqueConstraint("name", name="uq_galleries_name"),
    )
    create_table(
        "people",
        sa.Column("id", Number, nullable=False),
        sa.Column("gallery_id", Number, nullable=False),
        sa.Column("key", Text(255), nullable=False),
        sa.Column("key_is_int", sa.Boolean, nullable=False),
        sa.Column("name", Text()),
        sa.Column("email", Text()),
        sa.Column("info", Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_people"),
        sa.ForeignKeyConstraint(["gallery_id"], ["galleries.id"], name="fk_people_gallery_id", ondelete="CASCADE"),
        sa.UniqueConstraint("gallery_id", "key", name="uq_people_gallery_id"),
    )
    create_table(
        "faces",
        sa.Column("id", Number, nullable=False),
        sa.Column("person_row", Number, nullable=False),
        sa.Column("x1", Real, nullable=False),
        sa.Column("y1", Real, nullable=False),
        sa.Column("x2", Real, nullable=False),
        sa.Column("y2", Real, nullable=False),
        sa.Column("det_score", Real, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_faces"),
        sa.ForeignKeyConstraint(["person_row"], ["people.id"], name="fk_faces_person_row", ondelete="CASCADE"),
        sa.Index("ix_faces_person_row", "person_row"),
    )
    create_table(
        "templates",
        sa.Column("face_id", Number, nullable=False, autoincrement=False),
        sa.Column("pack_digest", Text(64), nullable=False),
        sa.Column("vector", Bytes, nullable=False),
        sa.Column("checksum", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("face_id", "pack_digest", name="pk_templates"),
        sa.ForeignKeyConstraint(["face_id"], ["faces.id"], name="fk_templates_face_id", ondelete="CASCADE"),
    )
    create_table(
        "changes",
        sa.Column("gallery_id", Number, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("token", Text(32), nullable=False),
        sa.Column("kind", Text(8), nullable=False),
        sa.Column("face_id", Number),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("gallery_id", "seq", name="pk_changes"),
        sa.ForeignKeyConstraint(["gallery_id"], ["galleries.id"], name="fk_changes_gallery_id", ondelete="CASCADE"),
    )
