"""One gallery's row and its feed: the ordered, gapless list of what was added and removed.

An index follows the feed. It keeps a position and a token, which together name one state of one history, and reads what
came after. It starts over when the database has another history, for example because a backup was restored.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
import unicodedata
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from ..errors import (
    ArgumentError,
    DatabaseDamagedError,
    DatabaseUnavailableError,
    GalleryPackError,
    KeyMissingError,
    KeyUnusedError,
    StoreError,
    WrongKeyError,
)
from .audit import AuditKey, AuditLog, Chain, Event, Head, Subject, audit_key
from .clock import now
from .database import CommitUnansweredError, Database
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
"""Number of stored digests of a gallery's snapshots: one for each machine that searches it, and earlier ones."""

_OF_FACES = ("add", "remove")

_BOUND = (galleries.c.pack_digest, galleries.c.pack_name)
_HEAD = sa.select(galleries.c.position, galleries.c.token, galleries.c.faces, *_BOUND).where(
    galleries.c.id == sa.bindparam("gallery")
)
_KEY_CHECK = sa.select(galleries.c.seal, *_BOUND).where(galleries.c.id == sa.bindparam("gallery"))
_TOKEN = sa.select(changes.c.token).where(
    changes.c.gallery_id == sa.bindparam("gallery"), changes.c.seq == sa.bindparam("position")
)
_AFTER = (
    sa.select(changes.c.face_id, changes.c.kind, changes.c.person_row)
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

_ENCRYPTED_TEMPLATES = _TEMPLATES.add_columns(people.c.key, people.c.key_is_int, people.c.data_key)
"""The same with the keys of their people, in an encrypted gallery."""


def gallery_names(database: Database) -> list[str]:
    """List the galleries of a database, in order of creation."""
    with database.single() as connection:
        return list(connection.execute(sa.select(galleries.c.name).order_by(galleries.c.id)).scalars())


@dataclass(slots=True)
class Transaction:
    """A transaction that holds a gallery, and what it changes, in order.

    Attributes
    ----------
    connection : sqlalchemy.Connection
    at : datetime
        The time of the transaction, UTC.
    changes : list of (str, int or None, int or None)
        Kind ("add", "remove", "person", "pack"), face and row of the person of each change, for the feed.
    growth : int
        Faces added less faces removed, of those that have a template of the gallery's pack.
    events : list of Event
        What is appended to the audit.
    audit_key : AuditKey or None
        Signs the audit from this transaction on, where it changes the gallery's key.
    overwrites : bool
        Whether it removes or replaces something about a person, so that the old values must not stay in the log.
    """

    connection: sa.Connection
    at: datetime
    changes: list[tuple[str, int | None, int | None]] = field(default_factory=list)
    growth: int = 0
    events: list[Event] = field(default_factory=list)
    audit_key: AuditKey | None = None
    overwrites: bool = False

    def log_event(self, kind: str, subject: Subject | None = None, person: int | None = None, **facts: Any) -> None:
        """Append an event to the audit, about a person who stays, or one who is known by number only."""
        self.events.append(Event(kind, person, subject, facts))

    def add_faces(self, face_ids: Sequence[int], person_rows: Sequence[int]) -> None:
        """Record faces that were stored, with the rows of their people."""
        self.changes += [("add", *change) for change in zip(face_ids, person_rows, strict=True)]
        self.growth += len(face_ids)

    def remove_faces(self, owners: Mapping[int, int | None], templates: int) -> None:
        """Record faces that were removed with the rows of their people, and how many templates of the pack they had."""
        self.changes += [("remove", *change) for change in owners.items()]
        self.growth -= templates
        self.overwrites = self.overwrites or len(owners) > 0

    def switch_pack(self, growth: int) -> None:
        """Record that the gallery is bound to another pack, of which it has `growth` more templates."""
        self.changes.append(("pack", None, None))
        self.growth += growth


class Feed:
    """A gallery in a database and its feed of changes.

    Parameters
    ----------
    database : Database
    name : str
        The gallery's name.
    audit_log : AuditLog, optional

    Attributes
    ----------
    uuid : str
        Globally unique; empty while the gallery does not exist.
    on_change : callable or None
        Called at the end of a transaction that adds or removes faces, with this feed, the transaction, the number of
        its last change and the number of faces then.
    vault : Vault or None
        Encrypts and decrypts with the gallery's key; None when the gallery is not encrypted.
    """

    def __init__(self, database: Database, name: str, audit_log: AuditLog | None = None) -> None:
        name = unicodedata.normalize("NFC", checked_text("name", name))
        if not name.strip() or len(name) > NAME_LENGTH or not name.isprintable():
            raise ArgumentError(f"name of a gallery must be 1 to {NAME_LENGTH} printable characters, got {name!r}")
        self.database = database
        self.name = name
        self.uuid = ""
        self.audit_log = AuditLog() if audit_log is None else audit_log
        self.vault: Vault | None = None
        # Writers of this process wait here, not each with a connection of its own: a writer may need a second one.
        self._turn = threading.Lock()
        self._id = 0
        self._key_check: bytes | None = None
        self._pin: PackPin | None = None
        self.on_change: Callable[[Feed, Transaction, int, int], object] | None = None
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
    def gallery_id(self) -> int:
        """Number of the gallery's row."""
        return self._id

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of the gallery's queries: its row and the digest of its pack."""
        return {"gallery": self._id, "digest": self.pin.digest}

    @property
    def templates_query(self) -> sa.Select[Any]:
        """Select the templates of the pack; `vectors` reads the rows."""
        return _TEMPLATES if self.vault is None else _ENCRYPTED_TEMPLATES

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
        row = connection.execute(_KEY_CHECK, {"gallery": self._id}).one_or_none()
        self._verify_key(None if row is None else row.seal)
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
                row["audit_seal"] = audit_key(row["uuid"], vault).sign_head(Head(0, ""))
                row |= {"position": 0, "token": "", "faces": 0}
                row |= {"pack_name": pin.name, "pack_digest": pin.digest, "dimension": pin.dimension}
                with suppress(sa.exc.IntegrityError), connection.begin_nested():
                    connection.execute(galleries.insert().values(row))
                self._look(connection)  # another process may have made it meanwhile
        bound = self.pin
        if (bound.digest, bound.dimension) != (pin.digest, pin.dimension):
            raise self._other_pack(pin)
        self.use_key(self._key_check, key)

    def with_pack(self, pin: PackPin) -> Feed:
        """Return the same gallery bound to another pack."""
        other = copy(self)
        other._pin = pin
        return other

    def use_key(self, key_check: bytes | None, key: bytes | None) -> None:
        """Use a key, which must be the one that made the check value.

        Raises
        ------
        KeyMissingError, WrongKeyError, KeyUnusedError
        """
        place = f"gallery {self.name!r} in {self.database.place}"
        try:
            vault = None if key is None else Vault(key, self.uuid)
        except ValueError as error:
            raise DatabaseDamagedError(
                f"the number of {place} is damaged; restore the database from a backup"
            ) from error
        if vault is None and key_check is not None:
            raise KeyMissingError(f"{place} is encrypted; give its key (key=...) or set FACEDEX_KEY")
        if vault is not None and key_check is None:
            raise KeyUnusedError(
                f"{place} is not encrypted and a key was given; open it without, or encrypt it with "
                "'facedex gallery rekey'"
            )
        if vault is not None and key_check is not None and not vault.matches(key_check):
            raise WrongKeyError(f"{place} is encrypted with another key than the one given")
        self.vault, self._key_check = vault, key_check

    def head(self) -> tuple[int, str]:
        """Return number and token of the last change.

        Raises
        ------
        GalleryPackError
            When the gallery was moved to another pack.
        """
        with self.database.single() as connection:
            row = self.read_head(connection)
        return row.position, row.token

    def holds(self, position: int, token: str) -> bool:
        """Return whether the change of that number has that token: whether it belongs to this very history."""
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
            self._lock_row(connection)  # another process may be storing the same snapshot
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
            None when this history has no such position, or the gallery was moved to another pack since: then start
            over.

        Raises
        ------
        DatabaseDamagedError
            When a template is missing or not what was stored.
        """
        with self.database.read() as connection:
            head = self.read_head(connection)
            rows = self.changes_after(connection, head, position, token)
            if rows is None:
                return None
            last = {row.face_id: row.kind for row in rows}
            added = [face_id for face_id, kind in last.items() if kind == "add"]
            found: list[Any] = []
            for start in range(0, len(added), CHUNK):
                chunk = templates.c.face_id.in_(added[start : start + CHUNK])
                found += connection.execute(self.templates_query.where(chunk), self.parameters).all()
            if len(found) != len(added):
                raise self.lacks_templates()
            keys, vectors = self.vectors(connection, found)
        removed = np.array([face_id for face_id, kind in last.items() if kind == "remove"], dtype=np.uint64)
        return Delta(head.position, head.token, keys, vectors, removed, people_of(found), len(removed) > 0)

    def changes_after(self, connection: sa.Connection, head: Any, position: int, token: str) -> list[Any] | None:
        """Return the changes of faces after a position: kind, face and row of the person.

        None when this history has no such position, or the gallery was moved to another pack since.
        """
        if not self._holds(connection, position, token):
            return None
        rows = connection.execute(_AFTER, {"gallery": self._id, "position": position}).all()
        if len(rows) != head.position - position or any(row.kind == "pack" for row in rows):
            return None
        return [row for row in rows if row.face_id is not None]

    def templates(self) -> Iterator[Delta]:
        """Yield everything that is stored, in batches that belong to one state; at least one, which may be empty."""
        nothing = np.empty(0, dtype=np.uint64)
        with self.database.read() as connection:
            head = self.read_head(connection)
            yield Delta(head.position, head.token, *self.vectors(connection, []), nothing, nothing)
            found = 0
            query = self.templates_query.execution_options(yield_per=_BATCH)
            with connection.execute(query, self.parameters) as stored:
                for batch in stored.partitions():
                    keys, vectors = vectors_of(batch, self.pin, self.vault)
                    yield Delta(head.position, head.token, keys, vectors, nothing, people_of(batch))
                    found += len(batch)
        if found != head.faces:
            raise self.lacks_templates()

    @contextmanager
    def write(self, *, listed: bool = True, removing: bool = False) -> Iterator[Transaction]:
        """Run a transaction that holds the gallery.

        One writer at a time: the numbers of the feed have no gaps and are committed in their order. When the connection
        is lost during the commit, the server is asked for the outcome as soon as it answers again. What the transaction
        overwrites is afterwards wiped from the log too.

        Parameters
        ----------
        listed : bool
            Whether the feed lists the change; False for one that followers need not see.
        removing : bool
            Whether it only removes, so that it may use the space that is reserved for that on a full disk.
        """
        seq, token = 0, secrets.token_hex(8)
        begin = self.database.remove if removing else self.database.write
        try:
            with self._turn, begin() as connection:
                row = self._lock_gallery(connection)
                transaction = Transaction(connection, now())  # after the wait for others
                yield transaction
                if listed and self.on_change is not None and any(kind in _OF_FACES for kind, *_ in transaction.changes):
                    position, stored = row.position + len(transaction.changes), row.faces + transaction.growth
                    self.on_change(self, transaction, position, stored)
                values = self._append_events(transaction, row)
                if listed:
                    seq = self._append_changes(transaction, row.position, token)
                    values |= {"position": seq, "token": token, "faces": row.faces + transaction.growth}
                if values:
                    connection.execute(galleries.update().where(self._mine()).values(values))
        except CommitUnansweredError as error:
            if not listed:
                raise
            if not self._was_committed(seq, token, error):
                raise DatabaseUnavailableError(
                    f"database {self.database.place} was lost while it was committing; nothing was stored"
                ) from error
        if transaction.overwrites and not removing:  # a removal does so by itself
            self.database.wipe_log_soon()

    def audit_head(self, connection: sa.Connection) -> tuple[Head, str | None]:
        """Return number and digest of the last entry of the audit, and its signature."""
        columns = sa.select(galleries.c.audit_seq, galleries.c.audit_head, galleries.c.audit_seal)
        row = connection.execute(columns.where(self._mine())).one()
        return Head(row.audit_seq, row.audit_head), row.audit_seal

    @property
    def chain(self) -> Chain:
        """The gallery as its audit names it."""
        return Chain(self._id, self.uuid, self.pin.digest)

    @property
    def audit_key(self) -> AuditKey:
        """Signs the audit."""
        return audit_key(self.uuid, self.vault)

    def sign_audit(self, connection: sa.Connection) -> None:
        """Sign the head of the audit as it stands, inside the caller's transaction."""
        head, _ = self.audit_head(connection)
        signature = self.audit_key.sign_head(head)
        connection.execute(galleries.update().where(self._mine()).values(audit_seal=signature))

    def _append_changes(self, transaction: Transaction, position: int, token: str) -> int:
        common = {"gallery_id": self._id, "token": token, "created_at": transaction.at}
        rows = [
            common | {"seq": seq, "kind": kind, "face_id": face_id, "person_row": person_row}
            for seq, (kind, face_id, person_row) in enumerate(
                transaction.changes or [("person", None, None)], position + 1
            )
        ]
        transaction.connection.execute(changes.insert(), rows)
        return position + len(rows)

    def _append_events(self, transaction: Transaction, row: Any) -> dict[str, Any]:
        before = Head(row.audit_seq, row.audit_head)
        head = self.audit_log.append(transaction.connection, self.chain, before, transaction.at, transaction.events)
        if head == before:
            return {}
        values: dict[str, Any] = {"audit_seq": head.seq, "audit_head": head.digest}
        key = self.audit_key
        # A head without a valid signature is not continued with one: somebody without the key may have written it.
        if key.verify_head(row.audit_seal, before):
            values["audit_seal"] = (transaction.audit_key or key).sign_head(head)
        return values

    def _verify_key(self, key_check: bytes | None) -> None:
        if key_check != self._key_check:
            raise WrongKeyError(
                f"the key of gallery {self.name!r} in {self.database.place} was changed while it was open; open it "
                "again with the new one"
            )

    def _check_pack(self, row: Any) -> None:
        if row.pack_digest != self.pin.digest:
            raise GalleryPackError(
                f"gallery {self.name!r} in {self.database.place} was moved to pack {row.pack_name!r} "
                f"({row.pack_digest[:12]}) while it was open with {self.pin.name!r}; open it again with that pack",
                stored=row.pack_name,
                opened=self.pin.name,
            )

    def read_head(self, connection: sa.Connection) -> Any:
        """Read position, token and number of faces of the gallery, or raise when it was moved to another pack."""
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

    def _lock_gallery(self, connection: sa.Connection) -> Any:
        """Lock the gallery's row for a change; refuses when it is bound to another pack now."""
        self._check_pack(row := self._lock_row(connection))
        return row

    def _lock_row(self, connection: sa.Connection) -> Any:
        columns = (galleries.c.position, galleries.c.faces, galleries.c.audit_seq, galleries.c.audit_head, *_BOUND)
        query = sa.select(*columns, galleries.c.audit_seal, galleries.c.seal).where(self._mine()).with_for_update()
        row = connection.execute(query).one_or_none()
        if row is None:
            raise StoreError(
                f"gallery {self.name!r} in {self.database.place} was replaced while it was open; open it again"
            )
        self._verify_key(row.seal)
        return row

    def _was_committed(self, position: int, token: str, error: CommitUnansweredError) -> bool:
        """Return whether a commit without an answer took place; raises the error when that cannot be found out."""
        until = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until:
            with suppress(DatabaseUnavailableError), self.database.write() as connection:
                self._lock_row(connection)  # waits for the end of a commit that is still under way
                return self._holds(connection, position, token)
            time.sleep(0.1)
        raise error

    def _other_pack(self, pin: PackPin) -> GalleryPackError:
        bound = self.pin
        if bound.name == pin.name:
            stored = f"another version of pack {bound.name!r} ({bound.digest[:12]})"
            opened, remedy = f"this one ({pin.digest[:12]})", "install the version of facedex that has it"
        else:
            stored, opened, remedy = f"pack {bound.name!r}", f"{pin.name!r}", f"open it with pack={bound.name!r}"
        return GalleryPackError(
            f"gallery {self.name!r} in {self.database.place} was made with {stored} and cannot be opened with "
            f"{opened}, because their embeddings cannot be compared; {remedy}, or register the people again in a new "
            "gallery (name=...)",
            stored=bound.name,
            opened=pin.name,
        )

    def lacks_templates(self) -> DatabaseDamagedError:
        """Return the error for a face without its template."""
        return DatabaseDamagedError(
            f"database {self.database.place} lacks templates that it should have; restore it from a backup"
        )

    def _look(self, connection: sa.Connection) -> None:
        row = connection.execute(sa.select(galleries).where(galleries.c.name == self.name)).one_or_none()
        if row is not None:
            if not _UUID.fullmatch(row.uuid):  # it names files and tables
                raise DatabaseDamagedError(
                    f"the number of gallery {self.name!r} in {self.database.place} is damaged; restore the database "
                    "from a backup"
                )
            self._id, self.uuid, self._key_check = row.id, row.uuid, row.seal
            self._pin = pin_of(row)

    def _holds(self, connection: sa.Connection, position: int, token: str) -> bool:
        if position == 0:
            return not token
        found = connection.execute(_TOKEN, {"gallery": self._id, "position": position}).scalar_one_or_none()
        return bool(token) and found == token
