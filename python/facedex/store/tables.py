"""The tables of the store; facedex.store.columns has their kinds of column.

``galleries`` holds the head of each gallery's ordered feed of changes: ``position`` is the number of the last change
and ``token`` a random text drawn for its transaction. Position and token together name a history, so that an index
made from another copy of the database is never used for this one. ``faces`` counts, so that a lost row is detected.
``changes`` is the feed itself, numbered without gaps within a gallery, because a writer holds its gallery's row while
it writes. Numbers of people and faces are never used again. A template has the digest of the pack that made it and a
checksum over its bytes. The quality for recognition is stored with the face, because it is measured in the picture and
is the same for every pack; it is NULL without a picture, and in rows stored before it was measured.

``photos`` are stored when the gallery is opened with that option: a thumbnail or the original without metadata, beside
the faces that were found in it. ``gallery_packs`` names the packs, other than the one the gallery is bound to, of which
it has templates: the one it is being migrated to, and the one it was migrated from. People and faces carry a checksum
over what names them, so that a flipped bit never gives a face another name. The longest text of a column of ``people``,
in characters, is in its ``info``.

``snapshots`` has the digests of the files in which searches store their index: no other file is trusted.

``events`` is the audit: a chain of entries; ``galleries`` has the last number and digest, and under a key their
signature, ``audit_seal``. The person of an entry is stored beside it in ``event_subjects``, so that it can be deleted
with the person and leave the chain whole; see facedex.store.audit. ``seal``, the key check, and ``data_key`` are set
when the templates are encrypted; see facedex.store.vault. ``basis`` is a JSON text: see facedex.store.basis.

The server's tables, in the same database, are in facedex.server.tables.
"""

from __future__ import annotations

import sqlalchemy as sa

from .columns import Bytes, Instant, Number, Real, Text

VERSION_TABLE = "facedex_version"
"""Has the revision of the tables; its presence also identifies a database of facedex."""

METADATA = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

galleries = sa.Table(
    "galleries",
    METADATA,
    sa.Column("id", Number, primary_key=True),
    sa.Column("name", Text(64), nullable=False, unique=True),
    sa.Column("uuid", Text(32), nullable=False),
    sa.Column("pack_name", Text(255), nullable=False),
    sa.Column("pack_digest", Text(64), nullable=False),
    sa.Column("dimension", sa.Integer, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("token", Text(32), nullable=False),
    sa.Column("faces", sa.BigInteger, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("audit_seq", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("audit_head", Text(64), nullable=False, server_default=""),
    sa.Column("seal", Bytes),
    sa.Column("audit_seal", Text(128)),
    sa.Column("basis", Text()),
    sqlite_autoincrement=True,
)

people = sa.Table(
    "people",
    METADATA,
    sa.Column("id", Number, primary_key=True),
    sa.Column("gallery_id", Number, sa.ForeignKey("galleries.id", ondelete="CASCADE"), nullable=False),
    sa.Column("key", Text(255), nullable=False),
    sa.Column("key_is_int", sa.Boolean, nullable=False),
    sa.Column("name", Text(), info={"longest": 1000}),
    sa.Column("email", Text(), info={"longest": 255}),
    sa.Column("info", Text(), nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Column("retain_until", Instant),
    sa.Column("data_key", Bytes),
    sa.Column("checksum", sa.BigInteger),
    sa.UniqueConstraint("gallery_id", "key"),
    sqlite_autoincrement=True,
)

faces = sa.Table(
    "faces",
    METADATA,
    sa.Column("id", Number, primary_key=True),
    sa.Column("person_row", Number, sa.ForeignKey("people.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("x1", Real, nullable=False),
    sa.Column("y1", Real, nullable=False),
    sa.Column("x2", Real, nullable=False),
    sa.Column("y2", Real, nullable=False),
    sa.Column("det_score", Real, nullable=False),
    sa.Column("quality", Real),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("photo_id", Number, index=True),
    sa.Column("checksum", sa.BigInteger),
    sqlite_autoincrement=True,
)

photos = sa.Table(
    "photos",
    METADATA,
    sa.Column("id", Number, primary_key=True),
    sa.Column("person_row", Number, sa.ForeignKey("people.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("rendition", Text(16), nullable=False),
    sa.Column("media_type", Text(32), nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("filename", Text()),
    sa.Column("content", Bytes, nullable=False),
    sa.Column("checksum", sa.BigInteger, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sqlite_autoincrement=True,
)

gallery_packs = sa.Table(
    "gallery_packs",
    METADATA,
    sa.Column("gallery_id", Number, sa.ForeignKey("galleries.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("pack_digest", Text(64), primary_key=True),
    sa.Column("pack_name", Text(255), nullable=False),
    sa.Column("dimension", sa.Integer, nullable=False),
    sa.Column("state", Text(16), nullable=False),
    sa.Column("created_at", Instant, nullable=False),
)

templates = sa.Table(
    "templates",
    METADATA,
    sa.Column("face_id", Number, sa.ForeignKey("faces.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    sa.Column("pack_digest", Text(64), primary_key=True),
    sa.Column("vector", Bytes, nullable=False),
    sa.Column("checksum", sa.BigInteger, nullable=False),
)

changes = sa.Table(
    "changes",
    METADATA,
    sa.Column("gallery_id", Number, sa.ForeignKey("galleries.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("token", Text(32), nullable=False),
    sa.Column("kind", Text(8), nullable=False),
    sa.Column("face_id", Number),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("person_row", sa.BigInteger),
)

snapshots = sa.Table(
    "snapshots",
    METADATA,
    sa.Column("gallery_id", Number, sa.ForeignKey("galleries.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("digest", Text(64), primary_key=True),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("token", Text(32), nullable=False),
    sa.Column("created_at", Instant, nullable=False),
)

events = sa.Table(
    "events",
    METADATA,
    sa.Column("gallery_id", Number, sa.ForeignKey("galleries.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("content", Text(), nullable=False),
    sa.Column("digest", Text(64), nullable=False),
)

event_subjects = sa.Table(
    "event_subjects",
    METADATA,
    sa.Column("gallery_id", Number, sa.ForeignKey("galleries.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("person_row", Number, sa.ForeignKey("people.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("salt", Text(32), nullable=False),
    sa.Column("content", Text(), nullable=False),
)
