"""The audit: who did what to whom and when, as a chain of lines.

A line is a JSON text without picture or vector. Its digest is the SHA-256 of the digest before and the text, letter
for letter; the gallery's row keeps the number and digest of the last line. So a line that was altered, taken out, moved
or added shows, and so does a chain that was cut short. Whoever may write the database may write a whole new chain,
unless its head is sealed with a key that they do not have (facedex.store.audit_seal). Note the head elsewhere from time
to time all the same, and give that to the check: it tells a database that was put back to an earlier state.

Whom a line is about stands beside the chain, with a random salt; the line holds the SHA-256 of both, and the number of
the person's row, which is never used again. Deleting a person erases what stands beside, in the same commit: the chain
stays whole, and without the salt the digest does not tell whom it meant, not even to one who guesses. A line whose
person is missing is in order only when a later line says that the person was deleted. That line names nobody; it holds
the digest of the receipt, so that whoever has the receipt can show which line it is. The actor is part of the chain and
is not erased: use the name of an account or a role.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta, timezone
from types import NoneType
from typing import Any, NamedTuple

import sqlalchemy as sa

from ..errors import DatabaseDamagedError
from ..options import AuditLevel
from ..records import AuditEvent, AuditReport, PersonId
from .rows import checked_text, person_id_of
from .tables import event_subjects, events

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


class Subject(NamedTuple):
    """Whom an event is about: number of the row, text of the id, whether the id is a whole number."""

    row: int
    key: str
    is_int: bool


class Event(NamedTuple):
    """Something to be noted; `facts` are what JSON can hold, without anything about a person."""

    kind: str
    person: int | None
    subject: Subject | None
    facts: dict[str, Any]


class Sighting(NamedTuple):
    """Somebody who was recognised or verified; None is nobody of the gallery."""

    person_id: PersonId | None
    similarity: float
    threshold: float


class Book(NamedTuple):
    """Whose chain it is: number of the gallery's row, its uuid, and digest of its pack."""

    row: int
    uuid: str
    pack: str


class Head(NamedTuple):
    """Number and digest of the last line of a chain; 0 and an empty text before the first."""

    seq: int
    digest: str


@contextmanager
def acting_as(actor: str) -> Iterator[None]:
    """Name who does what is done inside, in this thread or task.

    Parameters
    ----------
    actor : str
        At most 255 characters.

    Raises
    ------
    ArgumentError
    """
    token = _ACTOR.set(checked_actor(actor))
    try:
        yield
    finally:
        _ACTOR.reset(token)


def current_actor() -> str | None:
    """Tell whom `acting_as` names, in this thread or task."""
    return _ACTOR.get()


def checked_actor(actor: str | None) -> str | None:
    """Refuse a name of an actor that cannot be kept."""
    return None if actor is None else checked_text("actor", actor, longest=ACTOR_LENGTH)


class Journal:
    """Writes and reads the chain of one gallery.

    Parameters
    ----------
    level : {"changes", "all", "none"}
    actor : str or None
        Who acts, where `acting_as` does not say.
    """

    def __init__(self, level: AuditLevel = "changes", actor: str | None = None) -> None:
        self.level = level
        self._actor = checked_actor(actor)

    def append(self, connection: sa.Connection, book: Book, head: Head, at: datetime, noted: Sequence[Event]) -> Head:
        """Write lines at the end of the chain; the caller holds the gallery's row and stores the new head.

        Parameters
        ----------
        connection : sqlalchemy.Connection
        book : Book
        head : Head
        at : datetime
            UTC.
        noted : sequence of Event
        """
        if self.level == "none":  # a deletion explains the lines that lost their person, so a chain needs it
            noted = [event for event in noted if event.kind == "delete" and head.seq > 0]
        actor = _ACTOR.get() or self._actor
        lines, beside = [], []
        for event in noted:
            seq = head.seq + 1
            content: dict[str, Any] = {"seq": seq, "at": _stamp(at), "kind": event.kind, "actor": actor}
            content |= {"person": event.person, "subject": None, "pack": book.pack} | event.facts
            if event.subject is not None:
                salt, said = secrets.token_hex(16), _text({"id": event.subject.key, "is_int": event.subject.is_int})
                content |= {"person": event.subject.row, "subject": _commitment(salt, said)}
                beside.append(
                    {"gallery_id": book.row, "seq": seq, "person_row": event.subject.row}
                    | {"salt": salt, "content": said}
                )
            text = _text(content)
            head = Head(seq, _digest(head.digest or _origin(book.uuid), text))
            lines.append({"gallery_id": book.row, "seq": seq, "content": text, "digest": head.digest})
        if lines:
            connection.execute(events.insert(), lines)
        if beside:
            connection.execute(event_subjects.insert(), beside)
        return head

    @staticmethod
    def erase(connection: sa.Connection, gallery: int, person_row: int) -> int:
        """Erase what stands beside the chain about a person; returns the number of lines it stood beside."""
        mine = sa.and_(event_subjects.c.gallery_id == gallery, event_subjects.c.person_row == person_row)
        return connection.execute(event_subjects.delete().where(mine)).rowcount

    @staticmethod
    def page(connection: sa.Connection, gallery: int, after: int) -> list[AuditEvent]:
        """Read lines after a number, at most `PAGE`."""
        return [_event_of(row) for row in rows_after(connection, gallery, after)]


class Check:
    """Follows a chain line by line and keeps the first fault.

    Parameters
    ----------
    gallery : str
        The gallery's uuid.
    noted : Head or None
        Number and digest of a line, as they were noted elsewhere.

    Attributes
    ----------
    at : Head
        The last line that was in order.
    marked : str or None
        Digest of the line whose number is `mark`, once it was followed; empty for line 0.
    """

    def __init__(self, gallery: str, noted: Head | None, mark: int | None = None) -> None:
        self.at = Head(0, _origin(gallery))
        self.marked = "" if mark == 0 else None
        self._mark = mark
        self._noted = noted
        self._missing: dict[int, int] = {}

    def run(self, connection: sa.Connection, gallery: int, head: Head) -> tuple[int, str] | None:
        """Read the whole chain up to the head that the gallery's row tells; returns the first line that is wrong."""
        fault = None
        while fault is None and (rows := rows_after(connection, gallery, self.at.seq)):
            fault = next((said for row in rows if (said := self.follow(row)) is not None), None)
        return fault or self.end(head)

    def report(self, fault: tuple[int, str] | None, sealed: bool | None) -> AuditReport:
        """Tell what was found."""
        line, reason = (None, None) if fault is None else fault
        return AuditReport(self.at.seq, self.at.digest if self.at.seq else "", line, reason, sealed)

    def follow(self, row: Any) -> tuple[int, str] | None:
        """Take the next line; returns what is wrong with it."""
        seq = self.at.seq + 1
        if row.seq != seq:
            return seq, f"line {seq} is missing: line {row.seq} follows line {self.at.seq}"
        try:
            digest = _digest(self.at.digest, row.content)
            content = _content_of(row.content)
            said = content["seq"], content["kind"], content["person"], content["subject"]
        except _UNREADABLE:
            return seq, f"line {seq} was altered: it is no line of an audit"
        if said[0] != seq:
            return seq, f"line {seq} was altered or moved: it says that it is line {said[0]}"
        if digest != row.digest:
            return seq, f"line {seq} was altered: its digest is not that of its content and of the lines before"
        if self._noted is not None and self._noted.seq == seq and self._noted.digest != digest:
            return seq, f"line {seq} or one before it was replaced: its digest is not the one that was noted"
        self.at = Head(seq, digest)
        if seq == self._mark:
            self.marked = digest
        return self._follow_subject(row, *said[1:])

    def _follow_subject(self, row: Any, kind: str, person: int | None, subject: str | None) -> tuple[int, str] | None:
        if row.salt is not None:
            if person != row.person_row or subject != _commitment(row.salt, row.said):
                return row.seq, f"the person of line {row.seq} was altered"
        elif subject is not None and person is not None:
            self._missing.setdefault(person, row.seq)
        elif kind == "delete" and person is not None:
            self._missing.pop(person, None)
        return None

    def end(self, head: Head) -> tuple[int, str] | None:
        """Compare with the head that is told of the chain; returns what is wrong."""
        seq, digest = self.at.seq, self.at.digest if self.at.seq else ""
        if seq < head.seq:
            return seq + 1, f"line {seq + 1} is missing: the gallery says that there are {head.seq}"
        if seq > head.seq:
            return head.seq + 1, f"line {head.seq + 1} was added: the gallery says that there are {head.seq}"
        if digest != head.digest:
            return seq, f"line {seq} or one before it was replaced: its digest is not the one that the gallery tells"
        if self._noted is not None and self._noted.seq > seq:
            return seq + 1, f"line {seq + 1} is missing: line {self._noted.seq} was noted"
        if self._missing:
            line = min(self._missing.values())
            return line, f"the person of line {line} was erased, and no line says that the person was deleted"
        return None


def rows_after(connection: sa.Connection, gallery: int, after: int) -> Sequence[Any]:
    """Read the next lines after a number with what stands beside them, at most `PAGE`."""
    beside = sa.and_(event_subjects.c.gallery_id == events.c.gallery_id, event_subjects.c.seq == events.c.seq)
    query = (
        sa.select(events.c.seq, events.c.content, events.c.digest, event_subjects.c.person_row, event_subjects.c.salt)
        .add_columns(event_subjects.c.content.label("said"))
        .select_from(events.outerjoin(event_subjects, beside))
        .where(events.c.gallery_id == gallery, events.c.seq > after)
        .order_by(events.c.seq)
        .limit(PAGE)
    )
    return connection.execute(query).all()


def _event_of(row: Any) -> AuditEvent:
    try:
        content = _content_of(row.content)
        subject = None if row.said is None else json.loads(row.said)
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
            f"line {row.seq} of the audit is damaged: {error}; 'facedex audit verify' tells more"
        ) from error


def _content_of(text: str) -> dict[str, Any]:
    """Read the JSON text of a line.

    Raises
    ------
    ValueError, TypeError, KeyError, RecursionError
        When it is no line of an audit. Text and numbers that UTF-8 and JSON cannot hold are refused too: no answer of a
        server could contain them.
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


def _stamp(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def _text(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def _commitment(salt: str, said: str) -> str:
    return _sha256(f"{salt}{said}")


def _digest(before: str, text: str) -> str:
    return _sha256(f"{before}\n{text}")


def _origin(gallery: str) -> str:
    """Return what stands before the first line: another in each gallery, so that chains cannot be exchanged."""
    return _sha256(f"facedex audit of gallery {gallery}")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
