"""Templates of a second pack, stored beside those of the pack that a gallery is bound to, and switched to.

The stored templates are the progress: an interrupted run is resumed with the faces that have none yet. They are not
used before the gallery is bound to their pack, which is one commit. The pack that it was bound to is then the second
one, so that a rollback works like a migration. Templates of an earlier run that are no longer what it stored are
removed and made again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from ..errors import BBox, DatabaseDamagedError, MigrationError
from ..records import PersonId
from .checksums import check_face
from .faces import template_row
from .feed import CHUNK, Feed, Transaction
from .rows import PackPin, bytes_of, person_id_of, pin_of, vectors_of
from .tables import faces, galleries, gallery_packs, people, photos, templates

LATE = 64
"""Most faces, registered since the last pass, that are embedded while every other writer waits."""

_BATCH = 1000  # templates in memory at once

Vectors = Mapping[int, NDArray[np.float32]]
"""Face → embedding by the second pack."""

Kind = Literal["migrate", "rollback"]
"""Kind of the event in the audit."""


class PendingFace(NamedTuple):
    """A stored face without a template of the second pack: number, id of the person, box in its picture."""

    face_id: int
    person_id: PersonId
    bbox: BBox


class LostPerson(NamedTuple):
    """A person without any template of the second pack, and whether a photo of a face is stored."""

    person_id: PersonId
    has_photo: bool


class _NotNowError(Exception):
    """Undoes a transaction that must not be committed."""


class Shadow:
    """The templates of a second pack in a gallery.

    Parameters
    ----------
    feed : Feed
        The gallery, bound to its pack.
    pin : PackPin
        The second pack.
    """

    def __init__(self, feed: Feed, pin: PackPin) -> None:
        self.feed = feed
        self.pin = pin
        self._parameters = {"gallery": feed.gallery_id, "digest": pin.digest}

    def begin(self) -> None:
        """Record the second pack, unless it is recorded."""
        with self.feed.write(listed=False) as transaction:
            if not self._is_recorded(transaction.connection):
                row = {"gallery_id": self.feed.gallery_id, "pack_digest": self.pin.digest, "state": "shadow"}
                row |= {"pack_name": self.pin.name, "dimension": self.pin.dimension, "created_at": transaction.at}
                transaction.connection.execute(gallery_packs.insert().values(row))

    def remove_damaged(self) -> int:
        """Remove templates that are not what an earlier run stored; returns their number."""
        with self.feed.database.read() as connection:
            gone = self.damaged(connection)
        for start in range(0, len(gone), CHUNK):
            with self.feed.write(listed=False) as transaction:
                transaction.overwrites = True
                mine = templates.c.face_id.in_(gone[start : start + CHUNK])
                damaged = templates.delete().where(mine, templates.c.pack_digest == self.pin.digest)
                transaction.connection.execute(damaged)
        return len(gone)

    def damaged(self, connection: sa.Connection) -> list[int]:
        """List the faces whose template is not what was stored."""
        self.feed.check_key(connection)
        found: list[int] = []
        after = 0
        query = self.feed.templates_query.limit(_BATCH)
        while rows := connection.execute(query.where(templates.c.face_id > after), self._parameters).all():
            found += self._damaged(rows)
            after = rows[-1].face_id
        return found

    def count_pending(self) -> int:
        """Count the faces with a photo and without a template."""
        with self.feed.database.read() as connection:
            query = sa.select(sa.func.count()).select_from(self._pending().subquery())
            return connection.execute(query).scalar_one()

    def pending(self, after: int, most: int) -> list[PendingFace]:
        """List the next faces after a number that have a photo and no template.

        Raises
        ------
        DatabaseDamagedError
            When a row is not what was stored: its face would get another person's template.
        """
        with self.feed.database.read() as connection:
            return self._next(connection, after, most)

    def insert(self, vectors: Vectors) -> int:
        """Store templates of faces that are still stored and have none; returns their number.

        Raises
        ------
        MigrationError
            When somebody has ended this migration meanwhile.
        """
        with self.feed.write(listed=False) as transaction:
            return self._insert(transaction.connection, vectors)

    def lost_people(self) -> list[LostPerson]:
        """List the people who could no longer be recognised."""
        with self.feed.database.read() as connection:
            return [
                LostPerson(person_id_of(row.key, row.key_is_int), bool(row.has_photo))
                for row in connection.execute(self._lost()).all()
            ]

    def switch(
        self,
        kind: Kind,
        embed: Callable[[Sequence[PendingFace]], Vectors],
        *,
        after: int,
        leave: bool,
        renew: Callable[[Feed, Transaction, int, int], object] | None = None,
    ) -> tuple[bool, int]:
        """Bind the gallery to the second pack, in one commit, unless people would be lost or many faces are pending.

        Parameters
        ----------
        kind : {"migrate", "rollback"}
        embed : callable
            Makes the templates of the last faces.
        after : int
            The last face that was embedded before. A face that is registered later has a higher number.
        leave : bool
            Whether people may lose their last template.
        renew : callable, optional
            Called at the end as `Feed.on_change` is, with the feed bound to the second pack.

        Returns
        -------
        bool
            False when too many faces were registered meanwhile, or people would be lost; then nothing is changed.
        int
            How many templates were made meanwhile.
        """
        gallery, old, inserted = self.feed.gallery_id, self.feed.pin, 0
        try:
            with self.feed.write() as transaction:
                connection = transaction.connection
                late = self._next(connection, after, LATE + 1)
                if len(late) > LATE:
                    raise _NotNowError
                inserted = self._insert(connection, embed(late))
                if not leave and connection.execute(self._lost().limit(1)).first() is not None:
                    raise _NotNowError
                mine = galleries.c.id == gallery
                row = connection.execute(sa.select(galleries.c.faces, galleries.c.position).where(mine)).one()
                stored = count_templates(connection, self.feed, self.pin)
                transaction.switch_pack(stored - row.faces)
                bound = {"pack_name": self.pin.name, "pack_digest": self.pin.digest, "dimension": self.pin.dimension}
                connection.execute(galleries.update().where(mine).values(bound))
                either = gallery_packs.c.pack_digest.in_([self.pin.digest, old.digest])
                connection.execute(gallery_packs.delete().where(gallery_packs.c.gallery_id == gallery, either))
                past = {"gallery_id": gallery, "pack_digest": old.digest, "pack_name": old.name, "state": "past"}
                past |= {"dimension": old.dimension, "created_at": transaction.at}
                connection.execute(gallery_packs.insert().values(past))
                dormant = sa.select(sa.func.count()).select_from(_dormant_faces(gallery, self.pin))
                left = connection.execute(dormant).scalar_one()
                transaction.log_event(kind, to=self.pin.digest, faces=stored, left=left)
                if renew is not None:
                    renew(self.feed.with_pack(self.pin), transaction, row.position + len(transaction.changes), stored)
        except _NotNowError:
            return False, 0
        return True, inserted

    def _pending(self) -> sa.Select[Any]:
        theirs = templates.alias("theirs")
        has = sa.exists().where(theirs.c.face_id == faces.c.id, theirs.c.pack_digest == self.pin.digest)
        # A photo of somebody else would give the face another person's template, so such a link is ignored.
        shown = sa.and_(photos.c.id == faces.c.photo_id, photos.c.person_row == faces.c.person_row)
        query = sa.select(faces, people.c.key, people.c.key_is_int)
        query = query.join(people, people.c.id == faces.c.person_row).join(photos, shown)
        return query.where(people.c.gallery_id == self.feed.gallery_id, photos.c.rendition == "original", ~has)

    def _next(self, connection: sa.Connection, after: int, most: int) -> list[PendingFace]:
        rows = connection.execute(self._pending().where(faces.c.id > after).order_by(faces.c.id).limit(most)).all()
        for row in rows:
            check_face(row, row.person_row)
        return [
            PendingFace(row.id, person_id_of(row.key, row.key_is_int), (row.x1, row.y1, row.x2, row.y2)) for row in rows
        ]

    def _insert(self, connection: sa.Connection, vectors: Vectors) -> int:
        if not self._is_recorded(connection):
            raise MigrationError(
                f"the migration of gallery {self.feed.name!r} to pack {self.pin.name!r} was ended by another process"
            )
        wanted = self._pending().where(faces.c.id.in_(list(vectors))).add_columns(people.c.data_key)
        rows = []
        for row in connection.execute(wanted).all() if vectors else []:
            check_face(row, row.person_row)
            vault = self.feed.vault
            cipher = None if vault is None else vault.person_cipher(row.data_key, row.key, row.key_is_int)
            rows.append(template_row(self.pin, row.id, row.person_row, bytes_of(vectors[row.id], self.pin), cipher))
        if rows:
            connection.execute(templates.insert(), rows)
        return len(rows)

    def _lost(self) -> sa.Select[Any]:
        theirs = faces.join(templates, templates.c.face_id == faces.c.id)
        mine = faces.c.person_row == people.c.id
        found = sa.exists().select_from(theirs).where(mine, templates.c.pack_digest == self.pin.digest)
        shown = faces.join(photos, photos.c.id == faces.c.photo_id)
        own = photos.c.person_row == faces.c.person_row, photos.c.rendition == "original"
        has_photo = sa.exists().select_from(shown).where(mine, *own)
        query = sa.select(people.c.key, people.c.key_is_int, has_photo.label("has_photo"))
        return query.where(people.c.gallery_id == self.feed.gallery_id, sa.exists().where(mine), ~found).order_by(
            people.c.id
        )

    def _damaged(self, rows: Sequence[Any]) -> list[int]:
        try:
            vectors_of(rows, self.pin, self.feed.vault)
        except DatabaseDamagedError:
            if len(rows) == 1:
                return [rows[0].face_id]
            half = len(rows) // 2
            return self._damaged(rows[:half]) + self._damaged(rows[half:])
        return []

    def _is_recorded(self, connection: sa.Connection) -> bool:
        mine = gallery_packs.c.gallery_id == self.feed.gallery_id, gallery_packs.c.pack_digest == self.pin.digest
        return connection.execute(sa.select(gallery_packs.c.state).where(*mine)).first() is not None


def previous_pack(feed: Feed) -> PackPin | None:
    """Return the pack to which the gallery was bound before; None when it was not moved, or that is finished."""
    query = sa.select(gallery_packs).where(
        gallery_packs.c.gallery_id == feed.gallery_id, gallery_packs.c.state == "past"
    )
    with feed.database.single() as connection:
        row = connection.execute(query.order_by(gallery_packs.c.created_at.desc())).first()
    return None if row is None else pin_of(row)


def other_packs(connection: sa.Connection, feed: Feed) -> list[PackPin]:
    """List the packs, other than its own, of which a gallery has templates."""
    query = sa.select(gallery_packs).where(gallery_packs.c.gallery_id == feed.gallery_id)
    rows = connection.execute(query.order_by(gallery_packs.c.created_at)).all()
    return [pin_of(row) for row in rows]


def packs_of(feed: Feed) -> tuple[int, tuple[str, ...]]:
    """Return how many templates of its pack a gallery has, and the names of the other packs of its templates."""
    gallery = feed.gallery_id
    count = sa.select(galleries.c.faces).where(galleries.c.id == gallery)
    with feed.database.read() as connection:
        others = tuple(pin.name for pin in other_packs(connection, feed))
        return connection.execute(count).scalar_one(), others


def drop_others(connection: sa.Connection, feed: Feed) -> tuple[int, list[int]]:
    """Remove the templates of every pack but the gallery's.

    Returns
    -------
    int
        How many were removed.
    list of int
        The faces that have no template left; the caller removes them.
    """
    gallery = feed.gallery_id
    dormant = sorted(connection.execute(sa.select(_dormant_faces(gallery, feed.pin).c.id)).scalars())
    mine = sa.select(faces.c.id).join(people, people.c.id == faces.c.person_row).where(people.c.gallery_id == gallery)
    number = after = 0
    while chunk := connection.execute(mine.where(faces.c.id > after).order_by(faces.c.id).limit(CHUNK)).scalars().all():
        others = templates.c.face_id.in_(chunk), templates.c.pack_digest != feed.pin.digest
        number += connection.execute(templates.delete().where(*others)).rowcount
        after = chunk[-1]
    connection.execute(gallery_packs.delete().where(gallery_packs.c.gallery_id == gallery))
    return number, dormant


def _dormant_faces(gallery: int, pin: PackPin) -> sa.Subquery:
    """Select the faces of a gallery that have no template of a pack."""
    has = sa.exists().where(templates.c.face_id == faces.c.id, templates.c.pack_digest == pin.digest)
    query = sa.select(faces.c.id).join(people, people.c.id == faces.c.person_row)
    return query.where(people.c.gallery_id == gallery, ~has).subquery()


def count_templates(connection: sa.Connection, feed: Feed, pin: PackPin) -> int:
    """Count the templates of a pack in a gallery."""
    query = sa.select(sa.func.count()).select_from(templates)
    query = query.join(faces, faces.c.id == templates.c.face_id).join(people, people.c.id == faces.c.person_row)
    mine = people.c.gallery_id == feed.gallery_id, templates.c.pack_digest == pin.digest
    return connection.execute(query.where(*mine)).scalar_one()
