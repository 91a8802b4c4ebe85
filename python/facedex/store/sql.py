"""The people of one gallery, changed: registered, updated, deleted.

Every method that changes something is one transaction: what it returned is committed, what it raised left no trace. In
the same transaction stands the line of the audit that tells it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa

from ..checks import check_int
from ..errors import ArgumentError, DuplicatePersonError, UnknownFaceError
from ..options import OnExisting
from ..records import AuditReport, Deletion, Person, PersonId
from .changes import Changes
from .checksums import check_person, person_damaged, seal_face, seal_person, touch_person
from .feed import CHUNK
from .forgetting import forget_person
from .journal import Head, Journal, Sighting, Subject
from .lookup import FACES_OF, OWNERS, owner_of, person_of
from .photos import PhotoLookup, Removed, keep_photo, photos_of, remove_faceless
from .room import Room
from .rows import (
    LONGEST,
    NewFace,
    NewPhoto,
    Receipt,
    bytes_of,
    checksum_of,
    json_of,
    key_of,
    person_id_of,
    text_within,
)
from .shadow import drop_others
from .tables import faces, people, photos, templates
from .vault import Cabinet


class SqlStore(PhotoLookup):
    """The people of a gallery.

    Parameters
    ----------
    feed : Feed
        The gallery, bound to its pack.
    """

    def check(self, person_id: PersonId, given: dict[str, Any], on_existing: OnExisting) -> None:
        """Refuse a registration that `register` would refuse, before anybody has looked at pictures for it.

        Raises
        ------
        ArgumentError
        DuplicatePersonError
        """
        key, _ = key_of(person_id)
        details_of(given, clear=False)
        if on_existing == "error":
            with self._database.single() as connection:
                if self._find(connection, key) is not None:
                    raise _duplicate(person_id, self.feed.name)

    def register(
        self,
        person_id: PersonId,
        new: Sequence[NewFace],
        given: dict[str, Any] | None = None,
        *,
        on_existing: OnExisting = "error",
        room: Room | None = None,
        admit: Callable[[], object] | None = None,
        forget: Callable[[], object] | None = None,
    ) -> Receipt:
        """Store faces under a person's id.

        Parameters
        ----------
        person_id : str or int
        new : sequence of NewFace
        given : dict, optional
            Any of name, email, info, retain_until; None leaves what is stored.
        on_existing : {"error", "add", "replace"}
            When the person exists: refuse, add the faces, or put them in place of the stored ones.
        room : Room, optional
            How many faces the person may have.
        admit : callable, optional
            Asked when nobody else can register any more; what it raises undoes the registration.
        forget : callable, optional
            Called before stored faces are removed.

        Returns
        -------
        Receipt

        Raises
        ------
        ArgumentError
            When something cannot be stored as given.
        DuplicatePersonError
            When the person exists and `on_existing` is "error".
        PersonFullError
            When there is no room.
        """
        key, is_int = key_of(person_id)
        vectors = [bytes_of(face.embedding, self.feed.pin) for face in new]
        details = details_of(given or {}, clear=False)
        with self.feed.write() as (connection, noted):
            row = self._find(connection, key)
            if row is not None and on_existing == "error":
                raise _duplicate(person_id, self.feed.name)
            if admit is not None:
                admit()
            if row is None:
                number, cabinet = self._enter(connection, key, is_int, details, noted)
                stored: Sequence[Any] = []
            else:
                check_person(row)
                number, is_int, cabinet = row.id, row.key_is_int, self._cabinet(row)
                connection.execute(
                    people.update().where(people.c.id == number).values(details | {"updated_at": noted.at})
                )
                seal_person(connection, number)
                noted.overwrites = bool(details)
                stored = self._faces_of(connection, number)
            replaced = on_existing == "replace"
            gone, kept = [face.id for face in stored] if replaced else [], [True] * len(new)
            if room is not None:
                more, kept = room.made([] if replaced else stored, new)
                gone += more
            if gone and forget is not None:
                forget()
            self._remove(connection, gone, noted)
            added = [
                self._keep(connection, number, face, vector, cabinet, noted) if keep else None
                for face, vector, keep in zip(new, vectors, kept, strict=True)
            ]
            there = [face_id for face_id in added if face_id is not None]
            noted.added(there)
            kind = "register" if row is None else "replace" if replaced else "add"
            noted.event(kind, Subject(number, key, is_int), faces=there, removed=gone)
        return Receipt(person_id_of(key, is_int), tuple(added), tuple(gone))

    def update(self, person_id: PersonId, given: dict[str, Any]) -> Person:
        """Change what is known of a person.

        Parameters
        ----------
        person_id : str or int
        given : dict
            Any of name, email, info, retain_until; None clears.

        Returns
        -------
        Person

        Raises
        ------
        ArgumentError
            When something cannot be stored as given.
        UnknownPersonError
        """
        details = details_of(given, clear=True)
        with self.feed.write() as (connection, noted):
            row = self._person(connection, person_id)
            check_person(row)
            connection.execute(people.update().where(people.c.id == row.id).values(details | {"updated_at": noted.at}))
            seal_person(connection, row.id)
            noted.overwrites = True
            changed = self._person(connection, person_id)
            noted.event("update", Subject(row.id, row.key, row.key_is_int), fields=sorted(details))
            return person_of(changed, connection.execute(FACES_OF, {"person": row.id}).all())

    def delete(self, person_id: PersonId) -> Deletion:
        """Remove a person with all faces and templates, also from the audit and from what the server keeps.

        Raises
        ------
        UnknownPersonError
        """
        with self.feed.write(removing=True) as (connection, noted):
            return self._delete(connection, noted, self._person(connection, person_id), "asked")

    def purge(self, person_id: PersonId, at: datetime) -> Deletion | None:
        """Remove a person who may be kept no longer at that time; None when that has changed meanwhile."""
        with self.feed.write(removing=True) as (connection, noted):
            row = self._find(connection, key_of(person_id)[0])
            if row is None or row.retain_until is None or row.retain_until > at:
                return None
            check_person(row)
            return self._delete(connection, noted, row, "retention")

    def delete_face(self, face_id: int) -> Deletion:
        """Remove one face with its template; the person stays.

        Raises
        ------
        UnknownFaceError
        """
        face_id = check_int("face_id", face_id)
        with self.feed.write(removing=True) as (connection, noted):
            row = connection.execute(OWNERS, self.feed.keys | {"faces": [face_id]}).one_or_none()
            if row is None:
                raise UnknownFaceError(f"no face {face_id!r} is stored in gallery {self.feed.name!r}", face_id=face_id)
            removed = self._remove(connection, [face_id], noted)
            touch_person(connection, row.person_row, noted.at)
            receipt = self._receipt(row, False, [face_id], removed, 0, noted)
            subject = Subject(row.person_row, row.key, row.key_is_int)
            noted.event("delete_face", subject, faces=[face_id], receipt=receipt.digest)
        return receipt

    def finish(self) -> tuple[Removed, list[int]]:
        """Remove the templates of every pack but the gallery's, and the faces that have none of that; tells these."""
        with self.feed.write(removing=True) as (connection, noted):
            number, asleep = drop_others(connection, self.feed)
            removed = self._remove(connection, asleep, noted)
            noted.overwrites = bool(number or asleep)
            if number or asleep:
                noted.event("finish", templates=number, faces=asleep)
        return Removed(number, removed.photos), asleep

    def seal_audit(self, noted: Head | None = None) -> AuditReport:
        """Seal the audit as it stands, unless its chain is not whole; tells what was found.

        Raises
        ------
        ArgumentError
            When there is no key.
        """
        with self.feed.witness() as (connection, _):
            report = self._audit_report(connection, noted, keyed=False)
            if report.sealed is None:
                raise ArgumentError("the audit can be sealed only with a key; set FACEDEX_AUDIT_KEY")
            if not report.whole:
                return report
            self.feed.seal_audit(connection)
            return self._audit_report(connection, noted, keyed=True)

    def witness(self, kind: str, seen: Sequence[Sighting]) -> None:
        """Note in the audit who was recognised or verified."""
        with self.feed.witness() as (connection, noted):
            for sighting in seen:
                row = None if sighting.person_id is None else self._find(connection, key_of(sighting.person_id)[0])
                subject = None if row is None else Subject(row.id, row.key, row.key_is_int)
                noted.event(kind, subject, similarity=sighting.similarity, threshold=sighting.threshold)

    def _enter(
        self, connection: sa.Connection, key: str, is_int: bool, details: dict[str, Any], noted: Changes
    ) -> tuple[int, Cabinet | None]:
        """Make a person; returns the number of the row, and what encrypts the templates."""
        vault = self.feed.vault
        data_key = None if vault is None else vault.new_person(key, is_int)
        values = {"gallery_id": self.feed.keys["gallery"], "key": key, "key_is_int": is_int, "info": "{}"}
        values |= details | {"created_at": noted.at, "updated_at": noted.at, "data_key": data_key}
        number = _number(connection.execute(people.insert().values(values)))
        seal_person(connection, number)
        return number, None if vault is None else vault.cabinet(data_key, key, is_int)

    def _cabinet(self, row: Any) -> Cabinet | None:
        return None if self.feed.vault is None else self.feed.vault.cabinet(row.data_key, row.key, row.key_is_int)

    def _keep(
        self,
        connection: sa.Connection,
        person_row: int,
        face: NewFace,
        vector: bytes,
        cabinet: Cabinet | None,
        noted: Changes,
    ) -> int:
        """Store a face with its template; returns its number."""
        x1, y1, x2, y2 = face.bbox
        values: dict[str, Any] = {"person_row": person_row, "x1": x1, "y1": y1, "x2": x2, "y2": y2}
        values |= {"det_score": face.det_score, "quality": face.quality, "created_at": noted.at}
        kept = face.photo
        if isinstance(kept, NewPhoto):
            kept = keep_photo(connection, self.feed, kept, person_row, cabinet, noted.at)
        values["photo_id"] = kept
        face_id = _number(connection.execute(faces.insert().values(values)))
        seal_face(connection, face_id)
        pin = self.feed.pin
        stored = vector if cabinet is None else cabinet.locked(vector, face_id, person_row, pin.digest)
        check = checksum_of(face_id, person_row, pin, stored)
        values = {"face_id": face_id, "pack_digest": pin.digest, "vector": stored, "checksum": check}
        connection.execute(templates.insert().values(values))
        return face_id

    @staticmethod
    def _faces_of(connection: sa.Connection, person_row: int) -> Sequence[Any]:
        """Read the faces of a person, who must really be theirs."""
        rows = connection.execute(FACES_OF, {"person": person_row}).all()
        if any(face.person_row != person_row for face in rows):  # the index over the faces is damaged
            raise person_damaged(person_row)
        return rows

    def _delete(self, connection: sa.Connection, noted: Changes, row: Any, reason: str) -> Deletion:
        gone = [face.id for face in self._faces_of(connection, row.id)]
        removed = self._remove(connection, gone, noted)
        others = connection.execute(photos.delete().where(photos.c.person_row == row.id)).rowcount
        noted.overwrites = True
        erased = Journal.erase(connection, self.feed.keys["gallery"], row.id)
        forget_person(connection, self.feed.name, row)
        connection.execute(people.delete().where(people.c.id == row.id))
        receipt = self._receipt(row, True, gone, Removed(removed.templates, removed.photos + others), erased, noted)
        # The line names nobody: who has the receipt can show which line it is.
        noted.event("delete", None, row.id, faces=gone, receipt=receipt.digest, reason=reason)
        return receipt

    def _receipt(
        self, row: Any, person_removed: bool, gone: Sequence[int], removed: Removed, erased: int, noted: Changes
    ) -> Deletion:
        owner = owner_of(row)
        receipt = Deletion(
            gallery=self.feed.uuid,
            person_id=owner.person_id,
            name=owner.name,
            person_removed=person_removed,
            faces=tuple(gone),
            templates=removed.templates,
            photos=removed.photos,
            events=erased,
            deleted_at=noted.at,
            salt=secrets.token_hex(16),
        )
        return replace(receipt, digest=receipt.computed_digest())

    def _remove(
        self, connection: sa.Connection, face_ids: Sequence[int], noted: Changes, *, keep_photos: bool = False
    ) -> Removed:
        """Remove faces with their templates, and the photos that show no other stored face."""
        number = counted = 0
        shown = [] if keep_photos else photos_of(connection, face_ids)
        for start in range(0, len(face_ids), CHUNK):
            chunk = face_ids[start : start + CHUNK]
            theirs = templates.c.face_id.in_(chunk)
            bound = sa.and_(theirs, templates.c.pack_digest == self.feed.pin.digest)
            counted += connection.execute(templates.delete().where(bound)).rowcount
            number += connection.execute(templates.delete().where(theirs)).rowcount
            connection.execute(faces.delete().where(faces.c.id.in_(chunk)))
        noted.removed(face_ids, counted)
        return Removed(number + counted, remove_faceless(connection, shown))


def _number(inserted: sa.CursorResult[Any]) -> int:
    """Tell the number that the database gave to the row that was inserted."""
    key: Any = inserted.inserted_primary_key
    return int(key[0])


def _duplicate(person_id: PersonId, gallery: str) -> DuplicatePersonError:
    """Make the refusal of an id that is taken."""
    return DuplicatePersonError(
        f"somebody is registered as {person_id!r} in gallery {gallery!r}; "
        "choose on_existing='add' or 'replace', or another id",
        person_id=person_id,
    )


def details_of(given: dict[str, Any], *, clear: bool) -> dict[str, Any]:
    """Columns from name, email, info and retain_until; None clears a column, or leaves it."""
    details: dict[str, Any] = {}
    for field, value in given.items():
        if value is None:
            if clear:
                details[field] = "{}" if field == "info" else None
        elif field == "retain_until":
            details[field] = _moment(value)
        else:
            details[field] = json_of(value) if field == "info" else text_within(field, value, LONGEST[field])
    return details


def _moment(value: object) -> datetime:
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise ArgumentError(f"retain_until must be a datetime with a time zone, got {value!r}")
    try:
        return value.astimezone(timezone.utc)
    except OverflowError:
        raise ArgumentError(f"retain_until must be a time from year 1 to 9999 in UTC, got {value!r}") from None
