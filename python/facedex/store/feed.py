"""One gallery's row and its feed: the ordered, gapless list of what was added and removed.

An index follows the feed. It holds a position and a token, which together name one state of one history, asks for what
came after, and is told to start over when the database has another history (a backup was put back, for example).
"""

from __future__ import annotations

import re
import secrets
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from ..errors import (
    ArgumentError,
    DatabaseDamagedError,
    DatabaseUnavailableError,
    KeyMissingError,
    KeyUnusedError,
    WrongKeyError,
)
from .audit_seal import AuditKeys, audit_keys
from .changes import Changes, now
from .database import Database
from .failures import CommitUnansweredError
from .journal import Book, Head, Journal
from .refusals import lacking, moved_to, other_pack, rekeyed, replaced
from .rows import Delta, PackPin, checked_text, people_of, pin_of, vectors_of
from .tables import changes, faces, galleries, people, snapshots, templates
from .vault import Vault

NAME_LENGTH = 64
"""Longest name of a gallery, characters."""

CHUNK = 500
"""Ids in one list of a query; SQLite allows 32,766, others more."""

_BATCH = 4096  # templates in memory at once while an index is rebuilt

_PATIENCE_S = 10.0
"""How long a server that went away during a commit is waited for, seconds: about what a restart takes."""

_UUID = re.compile("[0-9a-f]{32}")
_TOKEN_TEXT = re.compile("[0-9a-f]{16}")

_SNAPSHOTS = 64
"""Digests of snapshots that are kept of a gallery: each machine that searches it has one, and the others are past."""

_BOUND = (galleries.c.pack_digest, galleries.c.pack_name)
_HEAD = sa.select(galleries.c.position, galleries.c.token, galleries.c.faces, *_BOUND).where(
    galleries.c.id == sa.bindparam("gallery")
)
_SEAL = sa.select(galleries.c.seal, *_BOUND).where(galleries.c.id == sa.bindparam("gallery"))
_TOKEN = sa.select(changes.c.token).where(
    changes.c.gallery_id == sa.bindparam("gallery"), changes.c.seq == sa.bindparam("position")
)
_AFTER = (
    sa.select(changes.c.face_id, changes.c.kind)
    .where(changes.c.gallery_id == sa.bindparam("gallery"), changes.c.seq > sa.bindparam("position"))
    .order_by(changes.c.seq)
)
_TEMPLATES = (
    sa.select(templates.c.face_id, faces.c.person_row, templates.c.vector, templates.c.checksum)
    .join(faces, templates.c.face_id == faces.c.id)
    .join(people, faces.c.person_row == people.c.id)
    .where(people.c.gallery_id == sa.bindparam("gallery"), templates.c.pack_digest == sa.bindparam("digest"))
    .order_by(templates.c.face_id)
)
"""Face, person, vector and checksum of a gallery's templates of one pack."""

_SEALED = _TEMPLATES.add_columns(people.c.key, people.c.key_is_int, people.c.data_key)
"""The same with what opens them, in a gallery that is encrypted."""


class Feed:
    """A gallery in a database and what changes in it.

    Parameters
    ----------
    database : Database
    name : str
        The gallery's name.
    journal : Journal, optional
        Writes the audit.

    Attributes
    ----------
    uuid : str
        Names this gallery in all the world; empty while it does not exist.
    vault : Vault or None
        What its key opens; None when the gallery is not encrypted.
    """

    def __init__(self, database: Database, name: str, journal: Journal | None = None) -> None:
        if not name.strip() or len(name) > NAME_LENGTH or not checked_text("name", name).isprintable():
            raise ArgumentError(f"name of a gallery must be 1 to {NAME_LENGTH} printable characters, got {name!r}")
        self.database = database
        self.name = name
        self.uuid = ""
        self.journal = Journal() if journal is None else journal
        self.vault: Vault | None = None
        # Writers of this process wait here, not each with a connection of its own: whoever writes may need a second.
        self._turn = threading.Lock()
        self._id = 0
        self._seal: bytes | None = None
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

    @property
    def book(self) -> Book:
        """Whose chain the audit is."""
        return Book(self._id, self.uuid, self.pin.digest)

    @property
    def templates_query(self) -> sa.Select[Any]:
        """Select the templates of the pack; `vectors` reads the rows."""
        return _TEMPLATES if self.vault is None else _SEALED

    def vectors(self, connection: sa.Connection, rows: Sequence[Any]) -> tuple[NDArray[np.uint64], NDArray[np.float32]]:
        """Read the rows of `templates_query`; `connection` must see the state that they are of.

        Raises
        ------
        DatabaseDamagedError
            When a vector is not what was stored.
        WrongKeyError
            When the gallery has another key now.
        """
        self.check_key(connection)
        return vectors_of(rows, self.pin, self.vault)

    def check_key(self, connection: sa.Connection) -> None:
        """Refuse to read templates and photos when the gallery has another key or pack now.

        Raises
        ------
        WrongKeyError, GalleryPackError
        """
        row = connection.execute(_SEAL, {"gallery": self._id}).one_or_none()
        self._check_seal(None if row is None else row.seal)
        if row is not None:
            self._check_pack(row)

    def bind(self, pin: PackPin, key: bytes | None = None) -> None:
        """Bind the gallery to a pack, making it when it does not exist.

        Parameters
        ----------
        pin : PackPin
        key : bytes, optional
            The key of an encrypted gallery; a gallery that is made is encrypted with it.

        Raises
        ------
        GalleryPackError
            When it is bound to another.
        KeyMissingError, WrongKeyError, KeyUnusedError
            When the key is not the gallery's.
        """
        if self._pin is None:
            with self.database.write() as connection:
                row: dict[str, Any] = {"name": self.name, "uuid": uuid.uuid4().hex, "created_at": now()}
                vault = None if key is None else Vault(key, row["uuid"])
                row["seal"] = None if vault is None else vault.key_check
                row["audit_seal"] = audit_keys(row["uuid"], vault).seal(Head(0, ""))
                row |= {"position": 0, "token": "", "faces": 0}
                row |= {"pack_name": pin.name, "pack_digest": pin.digest, "dimension": pin.dimension}
                with suppress(sa.exc.IntegrityError), connection.begin_nested():
                    connection.execute(galleries.insert().values(row))
                self._look(connection)  # another process may have made it meanwhile
        bound = self.pin
        if (bound.digest, bound.dimension) != (pin.digest, pin.dimension):
            raise other_pack(self.name, self.database.place, bound, pin)
        self.use_key(self._seal, key)

    def with_pack(self, pin: PackPin) -> Feed:
        """Return the same gallery bound to the pack to which it was moved."""
        other = copy(self)
        other._pin = pin
        return other

    def use_key(self, seal: bytes | None, key: bytes | None) -> None:
        """Take the key of the gallery, whose seal is this.

        Raises
        ------
        KeyMissingError, WrongKeyError, KeyUnusedError
        """
        called = f"gallery {self.name!r} in {self.database.place}"
        try:
            vault = None if key is None else Vault(key, self.uuid)
        except ValueError as error:
            raise DatabaseDamagedError(
                f"the number of {called} is damaged; restore the database from a backup"
            ) from error
        if vault is None and seal is not None:
            raise KeyMissingError(f"{called} is encrypted; give its key (key=...) or set FACEDEX_KEY")
        if vault is not None and seal is None:
            raise KeyUnusedError(
                f"{called} is not encrypted and a key was given; open it without, or encrypt it with "
                "'facedex gallery rekey'"
            )
        if vault is not None and seal is not None and not vault.matches(seal):
            raise WrongKeyError(f"{called} is encrypted with another key than the one given")
        self.vault, self._seal = vault, seal

    def head(self) -> tuple[int, str]:
        """Tell number and token of the last change.

        Raises
        ------
        GalleryPackError
            When the gallery was moved to another pack.
        """
        with self.database.single() as connection:
            row = self._head(connection)
        return row.position, row.token

    def holds(self, position: int, token: str) -> bool:
        """Tell whether the change of that number has that token: whether it belongs to this very history."""
        with self.database.single() as connection:
            return self._holds(connection, position, token)

    def snapshot_digests(self, position: int, token: str) -> list[str]:
        """List the digests of the search snapshots that were written of a state; no other file is one."""
        mine = snapshots.c.gallery_id == self._id
        query = sa.select(snapshots.c.digest).where(mine, snapshots.c.position == position, snapshots.c.token == token)
        with self.database.single() as connection:
            return list(connection.execute(query).scalars())

    def record_snapshot(self, position: int, token: str, digest: str) -> None:
        """Keep the digest of a search snapshot that was written of a state.

        Raises
        ------
        StoreError
        """
        mine = snapshots.c.gallery_id == self._id
        row = {"gallery_id": self._id, "digest": digest, "position": position, "token": token, "created_at": now()}
        with self.database.write() as connection:
            connection.execute(snapshots.delete().where(mine, snapshots.c.digest == digest))
            connection.execute(snapshots.insert().values(row))
            newest = sa.select(snapshots.c.digest).where(mine).order_by(snapshots.c.created_at.desc())
            past = connection.execute(newest.offset(_SNAPSHOTS)).scalars().all()
            if past:
                connection.execute(snapshots.delete().where(mine, snapshots.c.digest.in_(past)))

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
            None when this history has no such position, or the gallery was moved to another pack since: one must
            start over.

        Raises
        ------
        DatabaseDamagedError
            When a template is missing or not what was stored.
        """
        with self.database.read() as connection:
            head = self._head(connection)
            if not self._holds(connection, position, token):
                return None
            rows = connection.execute(_AFTER, {"gallery": self._id, "position": position}).all()
            if len(rows) != head.position - position or any(row.kind == "pack" for row in rows):
                return None
            last = {row.face_id: row.kind for row in rows if row.face_id is not None}
            added = [face_id for face_id, kind in last.items() if kind == "add"]
            found: list[Any] = []
            for start in range(0, len(added), CHUNK):
                chunk = templates.c.face_id.in_(added[start : start + CHUNK])
                found += connection.execute(self.templates_query.where(chunk), self.keys).all()
            if len(found) != len(added):
                raise lacking(self.database.place)
            keys, vectors = self.vectors(connection, found)
        removed = np.array([face_id for face_id, kind in last.items() if kind == "remove"], dtype=np.uint64)
        return Delta(head.position, head.token, keys, vectors, removed, people_of(found))

    def templates(self) -> Iterator[Delta]:
        """Yield everything that is stored, in batches that belong to one state; at least one, which may be empty."""
        nothing = np.empty(0, dtype=np.uint64)
        with self.database.read() as connection:
            head = self._head(connection)
            yield Delta(head.position, head.token, *self.vectors(connection, []), nothing, nothing)
            found = 0
            query = self.templates_query.execution_options(yield_per=_BATCH)
            with connection.execute(query, self.keys) as stored:
                for batch in stored.partitions():
                    keys, vectors = vectors_of(batch, self.pin, self.vault)
                    yield Delta(head.position, head.token, keys, vectors, nothing, people_of(batch))
                    found += len(batch)
        if found != head.faces:
            raise lacking(self.database.place)

    @contextmanager
    def write(self, *, removing: bool = False) -> Iterator[tuple[sa.Connection, Changes]]:
        """Run a transaction that holds the gallery, and lend the list in which it notes what it changes.

        What it overwrites is afterwards wiped from the log too. One that is only `removing` may use the space that is
        kept for it on a full disk.

        One writer at a time: the numbers of the feed have no gaps and are committed in their order. When the connection
        was lost during the commit, the server is asked what became of it as soon as it answers again.
        """
        seq, token = 0, secrets.token_hex(8)
        noted = Changes(now())
        lend = self.database.remove if removing else self.database.write
        try:
            with self._turn, lend() as connection:
                row = self._locked(connection)
                noted.at = now()  # after the wait for others
                yield connection, noted
                rows = noted.rows or [("person", None)]
                common = {"gallery_id": self._id, "token": token, "created_at": noted.at}
                numbered = []
                for seq, (kind, face_id) in enumerate(rows, row.position + 1):
                    numbered.append(common | {"seq": seq, "kind": kind, "face_id": face_id})
                connection.execute(changes.insert(), numbered)
                last = {"position": seq, "token": token, "faces": row.faces + noted.growth}
                last |= self._chained(connection, row, noted)
                connection.execute(galleries.update().where(self._mine()).values(last))
        except CommitUnansweredError as error:
            if not self._committed(seq, token, error):
                raise DatabaseUnavailableError(
                    f"database {self.database.place} was lost while it was committing; nothing was stored"
                ) from error
        if noted.overwrites and not removing:  # a removal does so by itself
            self.database.wipe_log_soon()

    @contextmanager
    def witness(self) -> Iterator[tuple[sa.Connection, Changes]]:
        """Run a transaction that only adds to the audit: the feed stays where it is."""
        with self._turn, self.database.write() as connection:
            row = self._locked(connection)
            noted = Changes(now())
            yield connection, noted
            connection.execute(galleries.update().where(self._mine()).values(self._chained(connection, row, noted)))
        if noted.overwrites:
            self.database.wipe_log_soon()

    def audit_head(self, connection: sa.Connection) -> Head:
        """Tell number and digest of the last line of the audit."""
        row = connection.execute(sa.select(galleries.c.audit_seq, galleries.c.audit_head).where(self._mine())).one()
        return Head(row.audit_seq, row.audit_head)

    @property
    def audit_keys(self) -> AuditKeys:
        """What seals the audit."""
        return audit_keys(self.uuid, self.vault)

    def audit_seal(self, connection: sa.Connection) -> str | None:
        """Return the seal of the audit's head."""
        found: str | None = connection.execute(sa.select(galleries.c.audit_seal).where(self._mine())).scalar_one()
        return found

    def seal_audit(self, connection: sa.Connection) -> None:
        """Seal the head of the audit as it stands, inside the caller's transaction."""
        seal = self.audit_keys.seal(self.audit_head(connection))
        connection.execute(galleries.update().where(self._mine()).values(audit_seal=seal))

    def _chained(self, connection: sa.Connection, row: Any, noted: Changes) -> dict[str, Any]:
        before = Head(row.audit_seq, row.audit_head)
        head = self.journal.append(connection, self.book, before, noted.at, noted.events)
        values: dict[str, Any] = {"audit_seq": head.seq, "audit_head": head.digest}
        keys = self.audit_keys
        # A head that is not sealed is not continued as if it were: whoever has no key may have written it.
        if head != before and keys.opens(row.audit_seal, before):
            values["audit_seal"] = (noted.audit_keys or keys).seal(head)
        return values

    def _check_seal(self, seal: bytes | None) -> None:
        if seal != self._seal:
            raise rekeyed(self.name, self.database.place)

    def _check_pack(self, row: Any) -> None:
        if row.pack_digest != self.pin.digest:
            raise moved_to(self.name, self.database.place, row.pack_name, row.pack_digest, self.pin)

    def _head(self, connection: sa.Connection) -> Any:
        row = connection.execute(_HEAD, {"gallery": self._id}).one()
        self._check_pack(row)
        if row.token and not _TOKEN_TEXT.fullmatch(row.token):  # it names files
            raise DatabaseDamagedError(
                f"the feed of gallery {self.name!r} in {self.database.place} is damaged; restore the database from a "
                "backup"
            )
        return row

    def _mine(self) -> sa.ColumnElement[bool]:
        return sa.and_(galleries.c.id == self._id, galleries.c.uuid == self.uuid)

    def _locked(self, connection: sa.Connection) -> Any:
        """Lock the gallery's row for a change; refuses when it is bound to another pack now."""
        self._check_pack(row := self._lock(connection))
        return row

    def _lock(self, connection: sa.Connection) -> Any:
        """Lock the gallery's row, and return what it says."""
        columns = (galleries.c.position, galleries.c.faces, galleries.c.audit_seq, galleries.c.audit_head, *_BOUND)
        query = sa.select(*columns, galleries.c.audit_seal, galleries.c.seal).where(self._mine()).with_for_update()
        row = connection.execute(query).one_or_none()
        if row is None:
            raise replaced(self.name, self.database.place)
        self._check_seal(row.seal)
        return row

    def _committed(self, position: int, token: str, error: CommitUnansweredError) -> bool:
        """Tell whether a commit whose answer was lost took place; raises the error when that cannot be found out."""
        until = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until:
            with suppress(DatabaseUnavailableError), self.database.write() as connection:
                self._lock(connection)  # waits for the end of a commit that is still under way
                return self._holds(connection, position, token)
            time.sleep(0.1)
        raise error

    def _look(self, connection: sa.Connection) -> None:
        row = connection.execute(sa.select(galleries).where(galleries.c.name == self.name)).one_or_none()
        if row is not None:
            if not _UUID.fullmatch(row.uuid):  # it names files and tables
                raise DatabaseDamagedError(
                    f"the number of gallery {self.name!r} in {self.database.place} is damaged; restore the database "
                    "from a backup"
                )
            self._id, self.uuid, self._seal = row.id, row.uuid, row.seal
            self._pin = pin_of(row)

    def _holds(self, connection: sa.Connection, position: int, token: str) -> bool:
        if position == 0:
            return not token
        found = connection.execute(_TOKEN, {"gallery": self._id, "position": position}).scalar_one_or_none()
        return bool(token) and found == token
