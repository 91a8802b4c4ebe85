"""The audit: who did what to whom and when, as a chain of entries; signed where there is a key, and exported.

An entry is a JSON text without picture or vector. Its digest is the SHA-256 of the previous digest and the text; the
gallery's row keeps number and digest of the last entry. So an entry that was altered, removed, moved or added shows,
and so does a chain that was cut short. Whoever can write the database can write a whole new chain, unless its head is
signed with a key that they do not have. A database that was put back to an earlier state keeps its signature: only a
head recorded elsewhere shows that, so record the head from time to time and give it to the check.

The person of an entry is stored beside the chain, with a random salt; the entry holds the SHA-256 of both, and the
number of the person's row, which is never used again. Deleting a person deletes what is stored beside the chain, in the
same commit: the chain stays whole, and without the salt the digest identifies nobody, not even to somebody who guesses.
An entry whose person is missing is valid only when a later entry records that person's deletion. That entry names
nobody; it holds the digest of the receipt, so that the owner of the receipt can show which entry it is. The actor is
part of the chain and is not deleted: use the name of an account or a role.

The signature of the head is the number of the last entry and an HMAC-SHA-256 over gallery, number and digest of that
entry. The key is derived from ``FACEDEX_AUDIT_KEY``, else from the gallery's key. Where that variable is set, only that
key is valid: the gallery's key alone does not suffice to sign for an auditor. A head is signed only when the head
before it was, so a chain that was rewritten without the key is not signed by the next honest change.

An export is a file of JSON lines. The first line names the gallery, each further one is an entry of the chain with its
person, and the last has the number of entries, the head and, where there is a key, an HMAC-SHA-256 over the SHA-256 of
everything before. The file names people, as the database does: protect it likewise.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import NoneType, SimpleNamespace
from typing import Any, NamedTuple

import sqlalchemy as sa

from ..config import settings
from ..errors import ArgumentError, DatabaseDamagedError
from ..options import AuditLevel
from ..records import AuditEvent, AuditReport, PersonId
from .rows import checked_text, person_id_of
from .tables import event_subjects, events
from .vault import Vault, derive_key

ACTOR_LENGTH = 255
"""Longest name of an actor, characters."""

PAGE = 1000
"""Lines in memory at once while the chain is read."""

_TYPES: dict[str, tuple[type, ...]] = {
    "seq": (int,),
    "at": (int,),
    "kind": (str,),
    "actor": (str, NoneType),
    "person": (int, NoneType),
    "subject": (str, NoneType),
    "pack": (str,),
    "similarity": (float, int, NoneType),
    "threshold": (float, int, NoneType),
}
_OPTIONAL = ("similarity", "threshold")
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_ACTOR: ContextVar[str | None] = ContextVar("facedex_actor", default=None)

_EXPORT_FORMAT = 1
_LONGEST_LINE = 1 << 20  # bytes of a line of an export


class Subject(NamedTuple):
    """The person of an event: number of the row, text of the id, whether the id is an integer."""

    row: int
    key: str
    is_int: bool


class Event(NamedTuple):
    """An event to be logged; `facts` are what JSON can hold, without anything about a person."""

    kind: str
    person: int | None
    subject: Subject | None
    facts: dict[str, Any]


class Sighting(NamedTuple):
    """A recognised or verified person; None is an unknown face."""

    person_id: PersonId | None
    similarity: float
    threshold: float


class Chain(NamedTuple):
    """The gallery of a chain: number of its row, its uuid, and digest of its pack."""

    row: int
    uuid: str
    pack: str


class Head(NamedTuple):
    """Number and digest of the last entry of a chain; 0 and an empty text before the first."""

    seq: int
    digest: str

    @classmethod
    def parse(cls, text: str | None) -> Head | None:
        """Parse ``"NUMBER:DIGEST"``; None is None.

        Raises
        ------
        ArgumentError

        Examples
        --------
        >>> Head.parse(f"7:{'ab' * 32}").seq
        7
        """
        if text is None:
            return None
        number, _, digest = text.partition(":")
        if not (number.isascii() and number.isdigit()) or len(digest) != 64:
            raise ArgumentError(
                f"recorded_head must be NUMBER:DIGEST, as 'facedex audit verify' prints it, got {text!r}"
            )
        return cls(int(number), digest.lower())


@contextmanager
def acting_as(actor: str) -> Iterator[None]:
    """Set the actor of what is done inside, in this thread or task.

    Parameters
    ----------
    actor : str
        At most 255 characters.

    Raises
    ------
    ArgumentError
    """
    token = _ACTOR.set(_check_actor(actor))
    try:
        yield
    finally:
        _ACTOR.reset(token)


def current_actor() -> str | None:
    """Return the actor that `acting_as` has set, in this thread or task."""
    return _ACTOR.get()


def _check_actor(actor: str | None) -> str | None:
    return None if actor is None else checked_text("actor", actor, longest=ACTOR_LENGTH)


class AuditLog:
    """Writes the chain of one gallery.

    Parameters
    ----------
    level : {"changes", "all", "none"}
        With "none" a chain that was begun before still records deletions, without which it could not be checked.
    actor : str or None
        The actor where `acting_as` sets none.
    """

    def __init__(self, level: AuditLevel = "changes", actor: str | None = None) -> None:
        self.level = level
        self._actor = _check_actor(actor)

    def append(self, connection: sa.Connection, chain: Chain, head: Head, at: datetime, new: Sequence[Event]) -> Head:
        """Write entries at the end of the chain; the caller holds the gallery's row and stores the new head.

        Parameters
        ----------
        connection : sqlalchemy.Connection
        chain : Chain
        head : Head
        at : datetime
            UTC.
        new : sequence of Event
        """
        if self.level == "none":  # a deletion explains the entries that lost their person, so a chain needs it
            new = [event for event in new if event.kind == "delete" and head.seq > 0]
        actor = _ACTOR.get() or self._actor
        entries, subjects = [], []
        for event in new:
            seq = head.seq + 1
            content: dict[str, Any] = {"seq": seq, "at": _microseconds(at), "kind": event.kind, "actor": actor}
            content |= {"person": event.person, "subject": None, "pack": chain.pack} | event.facts
            if event.subject is not None:
                salt, identity = secrets.token_hex(16), _json({"id": event.subject.key, "is_int": event.subject.is_int})
                content |= {"person": event.subject.row, "subject": _commitment(salt, identity)}
                subjects.append(
                    {"gallery_id": chain.row, "seq": seq, "person_row": event.subject.row}
                    | {"salt": salt, "content": identity}
                )
            text = _json(content)
            head = Head(seq, _line_digest(head.digest or _origin(chain.uuid), text))
            entries.append({"gallery_id": chain.row, "seq": seq, "content": text, "digest": head.digest})
        if entries:
            connection.execute(events.insert(), entries)
        if subjects:
            connection.execute(event_subjects.insert(), subjects)
        return head


def delete_subject(connection: sa.Connection, gallery: int, person_row: int) -> int:
    """Delete what is stored beside the chain about a person; returns the number of entries it belonged to."""
    mine = sa.and_(event_subjects.c.gallery_id == gallery, event_subjects.c.person_row == person_row)
    return connection.execute(event_subjects.delete().where(mine)).rowcount


def read_events(connection: sa.Connection, gallery: int, after: int) -> list[AuditEvent]:
    """Read the entries after a number, at most `PAGE`."""
    return [_event_of(row) for row in _rows_after(connection, gallery, after)]


class AuditKey(NamedTuple):
    """The key that signs an audit.

    Attributes
    ----------
    gallery : str
        The gallery's uuid.
    key : bytes or None
        None where neither the environment nor the gallery has a key.
    """

    gallery: str
    key: bytes | None

    def sign_head(self, head: Head) -> str | None:
        """Sign a head; None without a key."""
        if self.key is None:
            return None
        text = f"head|{self.gallery}|{head.seq}|{head.digest}".encode()
        return f"{head.seq}:{hmac.digest(self.key, text, 'sha256').hex()}"

    def verify_head(self, signature: str | None, head: Head) -> bool:
        """Return whether the key made this signature, of this very head."""
        return _same(signature, self.sign_head(head))

    def sign_export(self, digest: bytes) -> str | None:
        """Sign the SHA-256 of an export; None without a key."""
        if self.key is None:
            return None
        return hmac.digest(derive_key(self.key, b"", b"export"), digest, "sha256").hex()

    def verify_export(self, signature: str | None, digest: bytes) -> bool:
        """Return whether the key signed that."""
        return _same(signature, self.sign_export(digest))


def _same(given: str | None, made: str | None) -> bool:
    return made is not None and hmac.compare_digest((given or "").encode("utf-8", "replace"), made.encode())


def audit_key(gallery: str, vault: Vault | None) -> AuditKey:
    """Return the key of a gallery's audit: that of the environment alone, else one derived from the gallery's key.

    An audit that was signed with the other key fails the check until `Store.sign_audit` signs it with this one.

    Parameters
    ----------
    gallery : str
        The gallery's uuid, in hexadecimal.
    vault : Vault or None
        Has the gallery's key.
    """
    given = settings().audit_key
    if given is not None:
        return AuditKey(gallery, derive_key(given, bytes.fromhex(gallery), b"facedex audit"))
    return AuditKey(gallery, None if vault is None else vault.audit_key)


def check_chain(
    connection: sa.Connection,
    chain: Chain,
    head: Head,
    signature: str | None,
    key: AuditKey,
    recorded_head: Head | None,
    *,
    require_signature: bool,
) -> AuditReport:
    """Check the whole chain of a gallery.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        Of one view of the database.
    chain : Chain
    head : Head
        The last entry by the gallery's row.
    signature : str or None
        Of the head, in the gallery's row.
    key : AuditKey
    recorded_head : Head or None
        A head that was recorded elsewhere.
    require_signature : bool
        Whether a chain whose last entry is not signed is a fault.

    Raises
    ------
    ArgumentError
        When `require_signature` is set and there is no key.
    """
    if require_signature and key.key is None:
        raise ArgumentError(
            "checking the signature of the audit needs a key; set FACEDEX_AUDIT_KEY, or FACEDEX_KEY of an encrypted "
            "gallery"
        )
    signed = _signed_entry(signature)
    check = _ChainCheck(chain.uuid, recorded_head, signed)
    fault = None
    while fault is None and (rows := _rows_after(connection, chain.row, check.at.seq)):
        fault = next((found for row in rows if (found := check.follow(row)) is not None), None)
    fault = fault or check.end(head)
    valid = signed is not None and check.marked is not None and key.verify_head(signature, Head(signed, check.marked))
    if require_signature and fault is None and not valid:
        fault = (
            1,
            "the audit is not signed with this key: it was never signed, or was rewritten without the key",
        )
    elif require_signature and fault is None and signed is not None and signed < head.seq:
        fault = signed + 1, f"entry {signed + 1} and those after it were written without the key"
    return check.report(fault, None if key.key is None else valid and signed == head.seq)


class _ChainCheck:
    """Follows a chain entry by entry and keeps the first fault.

    Parameters
    ----------
    gallery : str
        The gallery's uuid.
    recorded_head : Head or None
        A head that was recorded elsewhere.
    mark : int, optional
        Number of an entry whose digest is kept.

    Attributes
    ----------
    at : Head
        The last entry that is valid.
    marked : str or None
        Digest of entry `mark`, once it was followed; empty for entry 0.
    """

    def __init__(self, gallery: str, recorded_head: Head | None, mark: int | None = None) -> None:
        self.at = Head(0, _origin(gallery))
        self.marked = "" if mark == 0 else None
        self._mark = mark
        self._recorded_head = recorded_head
        self._missing: dict[int, int] = {}

    def report(self, fault: tuple[int, str] | None, signed: bool | None) -> AuditReport:
        """Return the result."""
        entry, reason = (None, None) if fault is None else fault
        return AuditReport(self.at.seq, self.at.digest if self.at.seq else "", entry, reason, signed)

    def follow(self, row: Any) -> tuple[int, str] | None:
        """Check the next entry; returns what is wrong with it."""
        seq, recorded = self.at.seq + 1, self._recorded_head
        if row.seq != seq:
            return seq, f"entry {seq} is missing: entry {row.seq} follows entry {self.at.seq}"
        try:
            digest = _line_digest(self.at.digest, row.content)
            content = _parse_line(row.content)
            number, kind, person, subject = (content[name] for name in ("seq", "kind", "person", "subject"))
        except _UNREADABLE:
            return seq, f"entry {seq} was altered: it is not an entry of an audit"
        if number != seq:
            return seq, f"entry {seq} was altered or moved: its number is {number}"
        if digest != row.digest:
            return seq, f"entry {seq} was altered: its digest is not that of its content and of the entries before"
        if recorded is not None and recorded.seq == seq and recorded.digest != digest:
            return seq, f"entry {seq} or one before it was replaced: its digest differs from the recorded head"
        self.at = Head(seq, digest)
        if seq == self._mark:
            self.marked = digest
        if row.salt is not None:
            if person != row.person_row or subject != _commitment(row.salt, row.identity):
                return seq, f"the person of entry {seq} was altered"
        elif subject is not None and person is not None:
            self._missing.setdefault(person, seq)
        elif kind == "delete" and person is not None:
            self._missing.pop(person, None)
        return None

    def end(self, head: Head) -> tuple[int, str] | None:
        """Compare with the expected head; returns what is wrong."""
        seq, digest = self.at.seq, self.at.digest if self.at.seq else ""
        recorded = self._recorded_head
        if seq < head.seq:
            return seq + 1, f"entry {seq + 1} is missing: the gallery has {head.seq} by its row"
        if seq > head.seq:
            return head.seq + 1, f"entry {head.seq + 1} was added: the gallery has {head.seq} by its row"
        if digest != head.digest:
            return seq, f"entry {seq} or one before it was replaced: its digest is not the one in the gallery's row"
        if recorded is not None and recorded.seq > seq:
            return seq + 1, f"entry {seq + 1} is missing: the recorded head is entry {recorded.seq}"
        if self._missing:
            entry = min(self._missing.values())
            return entry, f"the person of entry {entry} was erased, and no entry records the deletion of that person"
        return None


def export_chain(connection: sa.Connection, row: int, name: str, key: AuditKey, head: Head) -> Iterator[bytes]:
    """Yield an export, line by line.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        Of one view of the database.
    row : int
        Number of the gallery's row.
    name : str
        The gallery's name.
    key : AuditKey
    head : Head
        The last entry by the gallery's row.
    """
    sha = hashlib.sha256()

    def line(content: dict[str, Any]) -> bytes:
        text = _json(content, allow_nan=True).encode() + b"\n"
        sha.update(text)
        return text

    at = datetime.now(timezone.utc).isoformat()
    yield line({"facedex_audit": _EXPORT_FORMAT, "gallery": key.gallery, "name": name, "exported_at": at})
    after = 0
    while stored := _rows_after(connection, row, after):
        for one in stored:
            beside = None if one.salt is None else {"person": one.person_row, "salt": one.salt, "content": one.identity}
            yield line({"seq": one.seq, "content": one.content, "digest": one.digest, "beside": beside})
        after = stored[-1].seq
    end = {"lines": head.seq, "head": head.digest}
    yield line(end | {"hmac": key.sign_export(sha.digest())})


def check_export(path: Path, key_for: Callable[[str], AuditKey], recorded_head: Head | None = None) -> AuditReport:
    """Check the chain in an export, and its signature.

    Parameters
    ----------
    path : Path
    key_for : callable
        Returns the key for a gallery's uuid.
    recorded_head : Head, optional
        A head that was recorded elsewhere.

    Returns
    -------
    AuditReport
        ``signed`` is whether the signature is that of the key; None without a key.

    Raises
    ------
    ArgumentError
        When the file cannot be read, or is not an export.
    """
    try:
        with path.open("rb") as file:
            return _check_lines(_read_lines(file, path), path, key_for, recorded_head)
    except OSError as error:
        raise ArgumentError(f"the audit {str(path)!r} cannot be read: {error.strerror}") from error


def _check_lines(
    lines: Iterator[tuple[dict[str, Any], bytes]],
    path: Path,
    key_for: Callable[[str], AuditKey],
    recorded_head: Head | None,
) -> AuditReport:
    first, _ = next(lines, ({}, b""))
    gallery = first.get("gallery")
    if first.get("facedex_audit") != _EXPORT_FORMAT or not isinstance(gallery, str) or len(gallery) != 32:
        raise _no_export(path)
    try:
        key = key_for(gallery)
    except ValueError as error:
        raise _no_export(path) from error
    check = _ChainCheck(gallery, recorded_head)
    fault = None
    for content, digest in lines:
        if "hmac" in content:
            if next(lines, None) is not None:
                raise _no_export(path)
            signature = _check_type(content["hmac"], (str, NoneType), path)
            head = Head(_check_type(content.get("lines"), (int,), path), _check_type(content.get("head"), (str,), path))
            signed = None if key.key is None else key.verify_export(signature, digest)
            return check.report(fault or check.end(head), signed)
        fault = fault or check.follow(_row(content, path))
    return check.report(fault or (check.at.seq + 1, f"the file ends after entry {check.at.seq}, without its end"), None)


def _read_lines(file: Any, path: Path) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield each line, and the SHA-256 of all before it."""
    sha = hashlib.sha256()
    while line := file.readline(_LONGEST_LINE):
        try:
            content = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _no_export(path) from error
        if not isinstance(content, dict):
            raise _no_export(path)
        yield content, sha.digest()
        sha.update(line)


def _row(content: dict[str, Any], path: Path) -> Any:
    beside = content.get("beside")
    beside = {"person": None, "salt": None, "content": None} if beside is None else beside
    if not isinstance(beside, dict):
        raise _no_export(path)
    return SimpleNamespace(
        seq=_check_type(content.get("seq"), (int,), path),
        content=_check_type(content.get("content"), (str,), path),
        digest=_check_type(content.get("digest"), (str,), path),
        person_row=_check_type(beside.get("person"), (int, NoneType), path),
        salt=_check_type(beside.get("salt"), (str, NoneType), path),
        identity=_check_type(beside.get("content"), (str, NoneType), path),
    )


def _check_type(value: Any, kinds: tuple[type, ...], path: Path) -> Any:
    if not isinstance(value, kinds):
        raise _no_export(path)
    return value


def _no_export(path: Path) -> ArgumentError:
    return ArgumentError(f"{str(path)!r} is not an audit written by 'facedex audit export'")


def _rows_after(connection: sa.Connection, gallery: int, after: int) -> Sequence[Any]:
    """Read the next entries after a number with their people, at most `PAGE`."""
    joined = sa.and_(event_subjects.c.gallery_id == events.c.gallery_id, event_subjects.c.seq == events.c.seq)
    query = (
        sa.select(events.c.seq, events.c.content, events.c.digest, event_subjects.c.person_row, event_subjects.c.salt)
        .add_columns(event_subjects.c.content.label("identity"))
        .select_from(events.outerjoin(event_subjects, joined))
        .where(events.c.gallery_id == gallery, events.c.seq > after)
        .order_by(events.c.seq)
        .limit(PAGE)
    )
    return connection.execute(query).all()


def _event_of(row: Any) -> AuditEvent:
    try:
        content = _parse_line(row.content)
        subject = None if row.identity is None else json.loads(row.identity)
        return AuditEvent(
            seq=content.pop("seq"),
            at=_EPOCH + timedelta(microseconds=content.pop("at")),
            kind=content.pop("kind"),
            actor=content.pop("actor"),
            person_id=None if subject is None else person_id_of(subject["id"], subject["is_int"]),
            person=content.pop("person"),
            erased=content.pop("subject") is not None and subject is None,
            pack=content.pop("pack"),
            similarity=content.pop("similarity", None),
            threshold=content.pop("threshold", None),
            facts=content,
            digest=row.digest,
        )
    except _UNREADABLE as error:
        raise DatabaseDamagedError(
            f"entry {row.seq} of the audit is damaged: {error}; run 'facedex audit verify'"
        ) from error


def _parse_line(text: str) -> dict[str, Any]:
    """Read the JSON text of an entry.

    Raises
    ------
    ValueError, TypeError, KeyError, RecursionError
        When it is not an entry of an audit. Text and numbers that UTF-8 and JSON cannot hold are refused too: no
        response of a server could contain them.
    """
    content = json.loads(text)
    if not isinstance(content, dict):
        raise TypeError("it is no object")
    json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
    for key, kinds in _TYPES.items():
        value = content.get(key) if key in _OPTIONAL else content[key]
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise TypeError(f"{key!r} is of another type")
    return content


def _signed_entry(signature: str | None) -> int | None:
    """Read which entry is signed; None when there is no signature, or it cannot be read."""
    number = (signature or "").partition(":")[0]
    return int(number) if number.isascii() and number.isdigit() and len(number) < 20 else None


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def _json(content: dict[str, Any], *, allow_nan: bool = False) -> str:
    return json.dumps(content, ensure_ascii=True, allow_nan=allow_nan, separators=(",", ":"))


def _commitment(salt: str, identity: str) -> str:
    return _sha256(f"{salt}{identity}")


def _line_digest(before: str, text: str) -> str:
    return _sha256(f"{before}\n{text}")


def _origin(gallery: str) -> str:
    """Return the digest before the first entry: another in each gallery, so that chains cannot be exchanged."""
    return _sha256(f"facedex audit of gallery {gallery}")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
