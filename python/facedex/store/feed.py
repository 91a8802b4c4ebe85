"""One gallery's row and its feed: the ordered, gapless list of what was added and removed.

An index follows the feed. It holds a position and a token, which together name one state of one history, asks for what
came after, and is told to start over when the database has another history (a backup was put back, for example).
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

import numpy as np
import sqlalchemy as sa

from ..errors import ArgumentError, DatabaseDamagedError, GalleryPackError, StoreError
from .database import Database
from .rows import Delta, PackPin, checked_text, vectors_of
from .tables import changes, faces, galleries, people, templates

NAME_LENGTH = 64
"""Longest name of a gallery, characters."""

CHUNK = 500
"""Ids in one list of a query; SQLite allows 32,766, others more."""

_BATCH = 4096  # templates in memory at once while an index is rebuilt

_HEAD = sa.select(galleries.c.position, galleries.c.token, galleries.c.faces).where(
    galleries.c.id == sa.bindparam("gallery")
)
_TOKEN = sa.select(changes.c.token).where(
    changes.c.gallery_id == sa.bindparam("gallery"), changes.c.seq == sa.bindparam("position")
)
_AFTER = (
    sa.select(changes.c.face_id, changes.c.kind)
    .where(changes.c.gallery_id == sa.bindparam("gallery"), changes.c.seq > sa.bindparam("position"))
    .order_by(changes.c.seq)
)
TEMPLATES = (
    sa.select(templates.c.face_id, faces.c.person_row, templates.c.vector, templates.c.checksum)
    .join(faces, templates.c.face_id == faces.c.id)
    .join(people, faces.c.person_row == people.c.id)
    .where(people.c.gallery_id == sa.bindparam("gallery"), templates.c.pack_digest == sa.bindparam("digest"))
    .order_by(templates.c.face_id)
)
"""Face, person, vector and checksum of a gallery's templates of one pack."""


class Feed:
    """A gallery in a database and what changes in it.

    Parameters
    ----------
    database : Database
    name : str
        The gallery's name.

    Attributes
    ----------
    uuid : str
        Names this gallery in all the world; empty while it does not exist.
    """

    def __init__(self, database: Database, name: str) -> None:
        if not name.strip() or len(name) > NAME_LENGTH or not checked_text("name", name).isprintable():
            raise ArgumentError(f"name of a gallery must be 1 to {NAME_LENGTH} printable characters, got {name!r}")
        self.database = database
        self.name = name
        self.uuid = ""
        self._id = 0
        self._pin: PackPin | None = None
        with database.read() as connection:
            self._look(connection)

    @property
    def stored_pack(self) -> PackPin | None:
        """The pack that the gallery is bound to; None while the gallery does not exist."""
        return self._pin

    @property
    def pin(self) -> PackPin:
        """The pack that the gallery is bound to."""
        if self._pin is None:
            raise ArgumentError(f"gallery {self.name!r} is not bound to a pack; call bind first")
        return self._pin

    @property
    def keys(self) -> dict[str, Any]:
        """What the queries of this gallery are bound to."""
        return {"gallery": self._id, "digest": self.pin.digest}

    def bind(self, pin: PackPin) -> None:
        """Bind the gallery to a pack, making it when it does not exist.

        Parameters
        ----------
        pin : PackPin

        Raises
        ------
        GalleryPackError
            When it is bound to another.
        """
        if self._pin is None:
            with self.database.write() as connection:
                self._look(connection)  # another process may have made it meanwhile
                if self._pin is None:
                    row = {"name": self.name, "uuid": uuid.uuid4().hex, "created_at": now()}
                    row |= {"position": 0, "token": "", "faces": 0}
                    row |= {"pack_name": pin.name, "pack_digest": pin.digest, "dimension": pin.dimension}
                    connection.execute(galleries.insert().values(row))
                    self._look(connection)
        bound = self.pin
        if (bound.digest, bound.dimension) != (pin.digest, pin.dimension):
            raise GalleryPackError(
                _other_pack(self.name, self.database.place, bound, pin), stored=bound.name, opened=pin.name
            )

    def head(self) -> tuple[int, str]:
        """Tell number and token of the last change."""
        with self.database.single() as connection:
            row = connection.execute(_HEAD, {"gallery": self._id}).one()
        return row.position, row.token

    def holds(self, position: int, token: str) -> bool:
        """Tell whether the change of that number has that token: whether it belongs to this very history."""
        with self.database.single() as connection:
            return self._holds(connection, position, token)

    def since(self, position: int, token: str) -> Delta | None:
        """Return what changed after a position.

        Parameters
        ----------
        position : int
            From 0, the empty gallery.
        token : str
            That of the position; empty at 0.

        Returns
        -------
        Delta or None
            None when this history has no such position, and one must start over.

        Raises
        ------
        DatabaseDamagedError
            When a template is missing or not what was stored.
        """
        with self.database.read() as connection:
            head = connection.execute(_HEAD, {"gallery": self._id}).one()
            if not self._holds(connection, position, token):
                return None
            rows = connection.execute(_AFTER, {"gallery": self._id, "position": position}).all()
            if len(rows) != head.position - position:
                return None
            last = {row.face_id: row.kind for row in rows if row.face_id is not None}
            added = [face_id for face_id, kind in last.items() if kind == "add"]
            found: list[Any] = []
            for start in range(0, len(added), CHUNK):
                chunk = templates.c.face_id.in_(added[start : start + CHUNK])
                found += connection.execute(TEMPLATES.where(chunk), self.keys).all()
        if len(found) != len(added):
            raise self._lacking()
        removed = np.array([face_id for face_id, kind in last.items() if kind == "remove"], dtype=np.uint64)
        return Delta(head.position, head.token, *vectors_of(found, self.pin), removed)

    def templates(self) -> Iterator[Delta]:
        """Yield everything that is stored, in batches that belong to one state; at least one, which may be empty."""
        nothing = np.empty(0, dtype=np.uint64)
        with self.database.read() as connection:
            head = connection.execute(_HEAD, {"gallery": self._id}).one()
            yield Delta(head.position, head.token, *vectors_of([], self.pin), nothing)
            found = 0
            for batch in connection.execute(TEMPLATES.execution_options(yield_per=_BATCH), self.keys).partitions():
                yield Delta(head.position, head.token, *vectors_of(batch, self.pin), nothing)
                found += len(batch)
        if found != head.faces:
            raise self._lacking()

    @contextmanager
    def write(self) -> Iterator[tuple[sa.Connection, Changes]]:
        """Run a transaction that holds the gallery, and lend the list in which it notes what it changes.

        One writer at a time: the numbers of the feed have no gaps and are committed in their order.
        """
        with self.database.write() as connection:
            mine = sa.and_(galleries.c.id == self._id, galleries.c.uuid == self.uuid)
            query = sa.select(galleries.c.position, galleries.c.faces).where(mine).with_for_update()
            row = connection.execute(query).one_or_none()
            if row is None:
                raise StoreError(
                    f"gallery {self.name!r} in {self.database.place} was replaced while it was open; open it again"
                )
            noted = Changes(now())
            yield connection, noted
            rows = noted.rows or [("person", None)]
            token = secrets.token_hex(8)
            common = {"gallery_id": self._id, "token": token, "created_at": noted.at}
            numbered = [
                common | {"seq": seq, "kind": kind, "face_id": face_id}
                for seq, (kind, face_id) in enumerate(rows, row.position + 1)
            ]
            connection.execute(changes.insert(), numbered)
            last = {"position": row.position + len(rows), "token": token, "faces": row.faces + noted.growth}
            connection.execute(galleries.update().where(mine).values(last))

    def _lacking(self) -> DatabaseDamagedError:
        place = self.database.place
        return DatabaseDamagedError(f"database {place} lacks templates that it should have; restore it from a backup")

    def _look(self, connection: sa.Connection) -> None:
        row = connection.execute(sa.select(galleries).where(galleries.c.name == self.name)).one_or_none()
        if row is not None:
            self._id, self.uuid = row.id, row.uuid
            self._pin = PackPin(row.pack_name, row.pack_digest, row.dimension)

    def _holds(self, connection: sa.Connection, position: int, token: str) -> bool:
        if position == 0:
            return not token
        found = connection.execute(_TOKEN, {"gallery": self._id, "position": position}).scalar_one_or_none()
        return bool(token) and found == token


class Changes:
    """What one transaction changes, in order.

    Attributes
    ----------
    at : datetime
        The time of the transaction, UTC.
    rows : list of (str, int or None)
        Kind ("add", "remove", "person") and face of each change.
    growth : int
        Faces added less faces removed.
    """

    def __init__(self, at: datetime) -> None:
        self.at = at
        self.rows: list[tuple[str, int | None]] = []
        self.growth = 0

    def added(self, face_ids: Sequence[int]) -> None:
        """Note faces that were stored."""
        self.rows += [("add", face_id) for face_id in face_ids]
        self.growth += len(face_ids)

    def removed(self, face_ids: Sequence[int]) -> None:
        """Note faces that were removed."""
        self.rows += [("remove", face_id) for face_id in face_ids]
        self.growth -= len(face_ids)


def now() -> datetime:
    """Tell the time, UTC."""
    return datetime.now(timezone.utc)


def _other_pack(name: str, place: str, bound: PackPin, pin: PackPin) -> str:
    if bound.name == pin.name:
        stored, opened = (
            f"another version of pack {bound.name!r} ({bound.digest[:12]})",
            f"this one ({pin.digest[:12]})",
        )
        remedy = "install the version of facedex that has it"
    else:
        stored, opened = f"pack {bound.name!r}", f"{pin.name!r}"
        remedy = f"open it with pack={bound.name!r}"
    return (
        f"gallery {name!r} in {place} was made with {stored} and cannot be opened with {opened}, because their "
        f"embeddings cannot be compared; {remedy}, or register the people again in a new gallery (name=...)"
    )
