"""The people, faces and photos of one gallery: read, registered, changed, deleted, exported and imported.

Every method is one transaction: it commits, or raises and changes nothing. The entry of the audit
is written in the same transaction. The statements are in facedex.store.people, .faces, .photos and .portable.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from ..checks import abbreviate, check_int
from ..errors import (
    ArgumentError,
    DatabaseDamagedError,
    DuplicatePersonError,
    UnknownFaceError,
    UnknownPersonError,
)
from ..options import OnExisting
from ..records import AuditEvent, AuditReport, Deletion, Person, PersonId, Photo
from .audit import Head, Sighting, Subject, check_chain, delete_subject, export_chain, read_events
from .checksums import check_person
from .faces import FaceLimit, Removed, insert_faces, remove_faces
from .feed import CHUNK, Feed, Transaction
from .people import (
    NewPerson,
    StoredPerson,
    check_owner,
    details_of,
    duplicate_person,
    find_faces,
    find_keys,
    find_owners,
    find_person,
    insert_people,
    owner_of,
    read_faces,
    read_people,
    read_person,
    require_person,
    stored_person,
    touch_person,
    update_person,
)
from .photos import (
    CONTENT,
    describe_photos,
    insert_photo,
    original_content,
    photo_content,
    require_photo,
    select_photos,
    unknown_photo,
)
from .portable import PortablePerson, new_person, read_portable
from .rows import NewFace, NewPhoto, Owner, PersonFaces, Receipt, damaged_owner, is_storable, key_of, person_id_of
from .shadow import drop_others
from .tables import faces, people, photos

_log = logging.getLogger("facedex")

Eraser = Callable[[sa.Connection, str, Any], object]
"""Deletes what is stored about a person beside the gallery, in the transaction that deletes the person.

It is called with the connection, the gallery's name and the person's row of ``people``.
"""


class Store:
    """The people, faces and photos of a gallery.

    Parameters
    ----------
    feed : Feed
        The gallery, bound to its pack.
    eraser : callable, optional
        Called when a person is deleted.
    """

    def __init__(self, feed: Feed, eraser: Eraser | None = None) -> None:
        self.feed = feed
        self._eraser = eraser
        self._database = feed.database

    def owners(self, face_ids: Iterable[int]) -> dict[int, Owner]:
        """Return the owner of each stored face; the owner of a damaged row is not intact."""
        wanted = list(face_ids)
        if not wanted:
            return {}
        try:
            with self._database.single() as connection:
                return {row.id: check_owner(row) for row in find_owners(connection, self.feed, wanted)}
        except DatabaseDamagedError:
            # A row that cannot even be read must not hide the others.
            if len(wanted) == 1:
                return {wanted[0]: damaged_owner(wanted[0])}
            half = len(wanted) // 2
            return self.owners(wanted[:half]) | self.owners(wanted[half:])

    def faces_of_people(self, person_rows: Sequence[int]) -> dict[int, PersonFaces]:
        """Return people by their rows, with their faces; the owner is not intact where a row is damaged.

        A person without a template of the gallery's pack is missing. Damaged vectors of a person are not compared.
        """
        found: dict[int, PersonFaces] = {}
        try:
            with self._database.read() as connection:
                for start in range(0, len(person_rows), CHUNK):
                    found |= self._read_faces(connection, person_rows[start : start + CHUNK])
        except DatabaseDamagedError:
            # A row that cannot even be read must not hide the others.
            if len(person_rows) == 1:
                return self._damaged_faces(person_rows[0])
            half = len(person_rows) // 2
            return self.faces_of_people(person_rows[:half]) | self.faces_of_people(person_rows[half:])
        return found

    def templates_of(self, person_id: PersonId) -> tuple[Owner, NDArray[np.uint64], NDArray[np.float32]]:
        """Return a person with faces and vectors.

        Returns
        -------
        owner : Owner
        keys : ndarray of uint64, shape (n,)
        vectors : ndarray of float32, shape (n, dimension)

        Raises
        ------
        UnknownPersonError
        """
        with self._database.read() as connection:
            row = require_person(connection, self.feed, person_id)
            check_person(row)
            query = self.feed.templates_query.where(people.c.id == row.id)
            rows = connection.execute(query, self.feed.parameters).all()
            return owner_of(row), *self.feed.vectors(connection, rows)

    def people(self) -> list[Person]:
        """List everybody, in the order of registration."""
        with self._database.read() as connection:
            return read_people(connection, self._people())

    def person(self, person_id: PersonId) -> Person:
        """Return one person.

        Raises
        ------
        UnknownPersonError
        """
        with self._database.read() as connection:
            return read_person(connection, require_person(connection, self.feed, person_id))

    def person_by_number(self, number: int) -> Person:
        """Return the person with a `Person.number`.

        Raises
        ------
        UnknownPersonError
        """
        with self._database.read() as connection:
            query = self._people(people.c.id == number)
            row = connection.execute(query).one_or_none() if 0 < number < 2**63 else None
            if row is None:
                raise UnknownPersonError(
                    f"gallery {self.feed.name!r} has no person with number {abbreviate(number)}", person_id=number
                )
            return read_person(connection, row)

    def people_after(self, number: int = 0, *, limit: int = 100) -> list[Person]:
        """List at most `limit` people whose `Person.number` is higher, in the order of registration."""
        number, limit = check_int("number", number), check_int("limit", limit, minimum=1)
        with self._database.read() as connection:
            return read_people(connection, self._people(people.c.id > number).limit(limit))

    def people_with_email(self, email: str) -> list[Person]:
        """List the people with an e-mail address, ignoring case, in the order of registration."""
        if not is_storable(email):
            return []
        with self._database.read() as connection:
            return read_people(connection, self._people(sa.func.lower(people.c.email) == email.lower()))

    def check_exists(self, person_id: PersonId) -> None:
        """Check that a person has an id.

        Raises
        ------
        UnknownPersonError
        """
        with self._database.single() as connection:
            require_person(connection, self.feed, person_id)

    def counts(self) -> tuple[int, int]:
        """Return the number of people and of faces; unlike `Gallery.status`, without waiting for the search."""
        with self._database.read() as connection:
            number = self._count(people)
            joined = self._count(faces.join(people))
            return connection.execute(number).scalar_one(), connection.execute(joined).scalar_one()

    def photo_count(self) -> int:
        """Return the number of photos of all people."""
        with self._database.single() as connection:
            joined = photos.join(people, photos.c.person_row == people.c.id)
            return int(connection.execute(self._count(joined)).scalar_one())

    def overdue(self, at: datetime) -> list[PersonId]:
        """List the people whose retention has ended at that time, the longest overdue first."""
        query = self._people(people.c.retain_until <= at).order_by(None)
        with self._database.single() as connection:
            rows = connection.execute(query.order_by(people.c.retain_until, people.c.id)).all()
        found = []
        for row in rows:
            try:
                check_person(row)
                found.append(person_id_of(row.key, row.key_is_int))
            except DatabaseDamagedError as error:  # the others are still deleted on time
                _log.warning("a person whose retention may have ended is not deleted: %s", error)
        return found

    def photos(self, person_id: PersonId) -> list[Photo]:
        """List the photos of a person, oldest first.

        Raises
        ------
        UnknownPersonError
        """
        with self._database.read() as connection:
            row = require_person(connection, self.feed, person_id)
            chosen = select_photos(self.feed, photos.c.person_row == row.id)
            return describe_photos(connection, connection.execute(chosen).all())

    def photo(self, photo_id: int) -> Photo:
        """Return a photo without its file.

        Raises
        ------
        UnknownPhotoError
        """
        photo_id = check_int("photo_id", photo_id)
        with self._database.read() as connection:
            return describe_photos(connection, [require_photo(connection, self.feed, photo_id)])[0]

    def photo_bytes(self, photo_id: int) -> bytes:
        """Return the file of a photo.

        Raises
        ------
        UnknownPhotoError
        PhotoIntegrityError
            When it is not what was stored.
        """
        photo_id = check_int("photo_id", photo_id)
        with self._database.read() as connection:
            self.feed.check_key(connection)
            return photo_content(self.feed.vault, require_photo(connection, self.feed, photo_id, *CONTENT))

    def originals(self, face_ids: Sequence[int]) -> dict[int, bytes]:
        """Return the original pictures from which faces were registered, for the faces whose picture is stored.

        Parameters
        ----------
        face_ids : sequence of int
            Only some at a time: all the pictures are in memory at once.

        Returns
        -------
        dict of int to bytes
            Face → file.

        Raises
        ------
        PhotoIntegrityError
            When a picture is not what was stored.
        """
        found: dict[int, bytes] = {}
        with self._database.read() as connection:
            self.feed.check_key(connection)
            for start in range(0, len(face_ids), CHUNK):
                chosen = faces.c.id.in_(face_ids[start : start + CHUNK])
                linked = sa.select(faces.c.id, faces.c.person_row, faces.c.photo_id)
                read: dict[tuple[int, int], bytes | None] = {}
                for face in connection.execute(linked.where(chosen, faces.c.photo_id.is_not(None))).all():
                    place = (face.photo_id, face.person_row)
                    if place not in read:
                        read[place] = original_content(connection, self.feed, *place)
                    if (content := read[place]) is not None:
                        found[face.id] = content
        return found

    def check_registration(self, person_id: PersonId, details: dict[str, Any], on_existing: OnExisting) -> None:
        """Refuse what `register` would refuse, before pictures are analysed for it.

        Raises
        ------
        ArgumentError
        DuplicatePersonError
        """
        key_of(person_id)
        details_of(details, clear=False)
        if on_existing in ("error", "skip"):
            with self._database.single() as connection:
                row = find_person(connection, self.feed, person_id)
            if row is not None:
                raise self._duplicate(row)

    def create(self, person_id: PersonId, details: dict[str, Any]) -> Person:
        """Store a person without a face.

        Parameters
        ----------
        person_id : str or int
        details : dict
            Any of name, email, info, retain_until.

        Raises
        ------
        ArgumentError
            When something cannot be stored as given.
        DuplicatePersonError
        """
        key_of(person_id)
        details = details_of(details, clear=False)
        with self.feed.write() as transaction:
            connection = transaction.connection
            if find_person(connection, self.feed, person_id) is not None:
                raise duplicate_person(person_id, self.feed.name, "another id")
            new = NewPerson(person_id, details, transaction.at, transaction.at)
            transaction.log_event("create", insert_people(connection, self.feed, [new])[0].subject)
            return read_person(connection, require_person(connection, self.feed, person_id))

    def register(
        self,
        person_id: PersonId,
        new: Sequence[NewFace],
        details: dict[str, Any] | None = None,
        *,
        on_existing: OnExisting = "error",
        limit: FaceLimit | None = None,
        check: Callable[[], object] | None = None,
        before_removal: Callable[[], object] | None = None,
    ) -> Receipt:
        """Store faces under a person's id.

        Parameters
        ----------
        person_id : str or int
        new : sequence of NewFace
        details : dict, optional
            Any of name, email, info, retain_until; None leaves what is stored.
        on_existing : {"error", "add", "replace", "skip"}
            When the person exists: refuse, add the faces, or replace the stored ones. To skip is to refuse, and the
            caller does without the error.
        limit : FaceLimit, optional
            How many faces the person may have.
        check : callable, optional
            Called while no other registration can run; an exception undoes the registration.
        before_removal : callable, optional
            Called before stored faces are removed.

        Returns
        -------
        Receipt

        Raises
        ------
        ArgumentError
            When something cannot be stored as given.
        DuplicatePersonError
            When the person exists and `on_existing` is "error" or "skip".
        PersonFullError
            When the limit leaves no place for a new face.
        """
        key_of(person_id)
        details = details_of(details or {}, clear=False)
        with self.feed.write() as transaction:
            row = find_person(transaction.connection, self.feed, person_id)
            if row is not None and on_existing in ("error", "skip"):
                raise self._duplicate(row)
            if check is not None:
                check()
            person = self._upsert(transaction, row, NewPerson(person_id, details, transaction.at, transaction.at))
            stored = [] if row is None else read_faces(transaction.connection, person.row)
            replaced = [face.id for face in stored] if on_existing == "replace" else []
            receipt = self._replace_faces(
                transaction, person, stored, replaced, new, limit=limit, before_removal=before_removal
            )
            kind = "register" if row is None else on_existing
            transaction.log_event(kind, person.subject, faces=receipt.stored, removed=list(receipt.replaced))
        return receipt

    def rebuild(
        self,
        person_id: PersonId,
        photo_ids: Sequence[int],
        new: Sequence[NewFace],
        *,
        limit: FaceLimit | None = None,
        check: Callable[[], object] | None = None,
        before_removal: Callable[[], object] | None = None,
    ) -> Receipt:
        """Replace the faces that were registered from photos; the photos stay.

        Parameters
        ----------
        person_id : str or int
        photo_ids : sequence of int
            The photos whose faces are replaced.
        new : sequence of NewFace
            Each with the number of the photo it was found in.
        limit, check, before_removal
            As in `register`.

        Raises
        ------
        UnknownPersonError
        UnknownPhotoError
            When one of the photos is not the person's, or was deleted meanwhile.
        PersonFullError
            When the limit leaves no place for a new face.
        """
        with self.feed.write() as transaction:
            connection = transaction.connection
            row = require_person(connection, self.feed, person_id)
            person = stored_person(self.feed, row)
            kept = set(connection.execute(select_photos(self.feed, photos.c.person_row == person.row)).scalars())
            missing = next((photo_id for photo_id in photo_ids if photo_id not in kept), None)
            if missing is not None:
                raise unknown_photo(self.feed, missing)
            if check is not None:
                check()
            stored = read_faces(connection, person.row)
            replaced = [face.id for face in stored if face.photo_id in set(photo_ids)]
            receipt = self._replace_faces(
                transaction, person, stored, replaced, new, limit=limit, before_removal=before_removal, keep_photos=True
            )
            update_person(connection, row, {}, transaction.at)
            transaction.log_event("rebuild", person.subject, faces=receipt.stored, removed=list(receipt.replaced))
        return receipt

    def update(self, person_id: PersonId, details: dict[str, Any]) -> Person:
        """Change the details of a person.

        Parameters
        ----------
        person_id : str or int
        details : dict
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
        details = details_of(details, clear=True)
        with self.feed.write() as transaction:
            connection = transaction.connection
            row = require_person(connection, self.feed, person_id)
            check_person(row)
            changed = update_person(connection, row, details, transaction.at)
            transaction.overwrites = True
            transaction.log_event("update", Subject(row.id, row.key, row.key_is_int), fields=sorted(details))
            return read_person(connection, changed)

    def add_photo(self, person_id: PersonId, photo: NewPhoto) -> Photo:
        """Store a photo of a person, without a face.

        Raises
        ------
        UnknownPersonError
        PhotoTooLargeError
        """
        with self.feed.write() as transaction:
            connection = transaction.connection
            row = require_person(connection, self.feed, person_id)
            person = stored_person(self.feed, row)
            photo_id = insert_photo(connection, self.feed, photo, person.row, person.cipher, transaction.at)
            update_person(connection, row, {}, transaction.at)
            transaction.log_event("add_photo", person.subject, photos=[photo_id])
            return describe_photos(connection, [require_photo(connection, self.feed, photo_id)])[0]

    def delete(self, person_id: PersonId, before_removal: Callable[[], object] | None = None) -> Deletion:
        """Remove a person with all faces and templates, from the audit, and what the eraser deletes.

        Parameters
        ----------
        person_id : str or int
        before_removal : callable, optional
            Called when the person is found, before anything is removed.

        Raises
        ------
        UnknownPersonError
        """
        with self.feed.write(removing=True) as transaction:
            row = require_person(transaction.connection, self.feed, person_id)
            _call(before_removal)
            return self._delete(transaction, row, "asked")

    def purge(self, person_id: PersonId, at: datetime) -> Deletion | None:
        """Remove a person whose retention has ended at that time; None when that has changed meanwhile."""
        with self.feed.write(removing=True) as transaction:
            row = find_person(transaction.connection, self.feed, person_id)
            if row is None or row.retain_until is None or row.retain_until > at:
                return None
            check_person(row)
            return self._delete(transaction, row, "retention")

    def delete_face(self, face_id: int, before_removal: Callable[[], object] | None = None) -> Deletion:
        """Remove one face with its template; the person stays. `before_removal` is called as in `delete`.

        Raises
        ------
        UnknownFaceError
        """
        face_id = check_int("face_id", face_id)
        with self.feed.write(removing=True) as transaction:
            rows = find_owners(transaction.connection, self.feed, [face_id])
            if not rows:
                raise UnknownFaceError(f"no face {face_id!r} is stored in gallery {self.feed.name!r}", face_id=face_id)
            _call(before_removal)
            removed = remove_faces(transaction, self.feed, [face_id])
            return self._log_removal(transaction, "delete_face", rows[0], [face_id], removed)

    def delete_photo(self, photo_id: int, before_removal: Callable[[], object] | None = None) -> Deletion:
        """Remove a photo with the faces registered from it; the person stays. `before_removal` is as in `delete`.

        Raises
        ------
        UnknownPhotoError
        """
        photo_id = check_int("photo_id", photo_id)
        with self.feed.write(removing=True) as transaction:
            connection = transaction.connection
            transaction.overwrites = True
            row = require_photo(connection, self.feed, photo_id)
            _call(before_removal)
            mine = sa.and_(faces.c.photo_id == photo_id, faces.c.person_row == row.person_row)
            removed_ids = list(connection.execute(sa.select(faces.c.id).where(mine).order_by(faces.c.id)).scalars())
            removed = remove_faces(transaction, self.feed, removed_ids, keep_photos=True)
            connection.execute(photos.delete().where(photos.c.id == photo_id))
            removed = removed._replace(photos=1)
            return self._log_removal(transaction, "delete_photo", row, removed_ids, removed, photos=[photo_id])

    def finish_migration(self) -> tuple[Removed, list[int]]:
        """Remove the templates of every pack but the gallery's, and the faces without one of that; returns both."""
        with self.feed.write(removing=True) as transaction:
            number, dormant = drop_others(transaction.connection, self.feed)
            removed = remove_faces(transaction, self.feed, dormant)
            if number or dormant:
                transaction.overwrites = True
                transaction.log_event("finish", templates=number, faces=dormant)
        return Removed(number, removed.photos), dormant

    def export_people(self) -> Iterator[PortablePerson]:
        """Yield everybody with faces and photos, in the order of registration.

        Raises
        ------
        DatabaseDamagedError
            When something is missing or not what was stored.
        """
        with self._database.read() as connection:
            yield from read_portable(connection, self.feed)

    def import_people(
        self, batch: Sequence[PortablePerson], on_existing: OnExisting, before_removal: Callable[[], object]
    ) -> list[Receipt | DuplicatePersonError]:
        """Store people, in one transaction.

        Parameters
        ----------
        batch : sequence of PortablePerson
        on_existing : {"error", "add", "replace", "skip"}
            When a person exists: refuse that one, add faces and photos, or replace the stored ones. To skip is to
            refuse, and the caller does without the error.
        before_removal : callable
            Called before stored faces are removed.

        Returns
        -------
        list of Receipt or DuplicatePersonError
            One for each person, in order.
        """
        prepared = [new_person(portable.person) for portable in batch]
        keys = [key_of(new.person_id)[0] for new in prepared]
        with self.feed.write() as transaction:
            connection = transaction.connection
            known = find_keys(connection, self.feed, keys)
            first = {key: place for place, key in reversed(list(enumerate(keys))) if key not in known}
            places = sorted(first.values())
            # New people together, in a few statements; then, one by one, those who exist.
            stored = insert_people(connection, self.feed, [prepared[place] for place in places])
            added = self._add_portable(transaction, stored, [batch[place] for place in places])
            results: dict[int, Receipt | DuplicatePersonError] = {}
            for place, person, numbers in zip(places, stored, added, strict=True):
                results[place] = _log_import(transaction, "register", person, numbers, [])
            for place in range(len(batch)):
                if place not in results:
                    results[place] = self._import_existing(
                        transaction, prepared[place], batch[place], on_existing, before_removal
                    )
        return [results[place] for place in range(len(batch))]

    def log_sightings(self, kind: str, seen: Sequence[Sighting]) -> None:
        """Log in the audit who was recognised or verified."""
        with self.feed.write(listed=False) as transaction:
            for sighting in seen:
                person_id = sighting.person_id
                row = None if person_id is None else find_person(transaction.connection, self.feed, person_id)
                subject = None if row is None else Subject(row.id, row.key, row.key_is_int)
                transaction.log_event(kind, subject, similarity=sighting.similarity, threshold=sighting.threshold)

    def audit(self, after: int) -> list[AuditEvent]:
        """Return the next entries of the audit after a number, at most `facedex.store.audit.PAGE`."""
        after = check_int("after", after)
        with self._database.single() as connection:
            return read_events(connection, self.feed.gallery_id, after)

    def check_audit(self, recorded_head: Head | None = None, *, require_signature: bool = False) -> AuditReport:
        """Check the whole audit; with `require_signature`, an unsigned last entry is a fault."""
        with self._database.read() as connection:
            return self._check_audit(connection, recorded_head, require_signature=require_signature)

    def sign_audit(self, recorded_head: Head | None = None) -> AuditReport:
        """Sign the audit with the key, unless its chain is broken; returns the result of the check.

        Raises
        ------
        ArgumentError
            When there is no key.
        """
        with self.feed.write(listed=False) as transaction:
            report = self._check_audit(transaction.connection, recorded_head, require_signature=False)
            if report.signed is None:
                raise ArgumentError("signing the audit needs a key; set FACEDEX_AUDIT_KEY")
            if not report.intact:
                return report
            self.feed.sign_audit(transaction.connection)
            return self._check_audit(transaction.connection, recorded_head, require_signature=True)

    def export_audit(self) -> Iterator[bytes]:
        """Yield the audit as a file, signed where there is a key; it is read in one view of the database."""
        with self._database.read() as connection:
            head, _ = self.feed.audit_head(connection)
            yield from export_chain(connection, self.feed.gallery_id, self.feed.name, self.feed.audit_key, head)

    def _read_faces(self, connection: sa.Connection, person_rows: Sequence[int]) -> dict[int, PersonFaces]:
        stored: dict[int, list[Any]] = {}
        for row in find_faces(connection, self.feed, person_rows):
            stored.setdefault(row.person_row, []).append(row)
        compared = [_template_of(row) for rows in stored.values() if len(rows) > 1 for row in rows]
        vectors = self.feed.vectors(connection, compared)[1] if compared else None
        found, start = {}, 0
        for number, rows in stored.items():
            owners = [check_owner(row) for row in rows]
            owner = next((owner for owner in owners if not owner.intact), owners[0])
            theirs = None
            if vectors is not None and len(rows) > 1:
                theirs = vectors[start : start + len(rows)]
                start += len(rows)
            found[number] = PersonFaces(owner, tuple(row.id for row in rows), theirs)
        return found

    def _damaged_faces(self, person_row: int) -> dict[int, PersonFaces]:
        """Return a person of whom a row cannot be read, with the owner of the oldest face whose owner is damaged."""
        with self._database.single() as connection:
            query = sa.select(faces.c.id).where(faces.c.person_row == person_row).order_by(faces.c.id)
            face_ids = tuple(connection.execute(query).scalars())
        owners = self.owners(face_ids)
        if not owners:
            return {}
        owner = next((owner for owner in owners.values() if not owner.intact), next(iter(owners.values())))
        return {person_row: PersonFaces(owner, face_ids)}

    def _people(self, *chosen: sa.ColumnElement[bool]) -> sa.Select[Any]:
        return sa.select(people).where(people.c.gallery_id == self.feed.gallery_id, *chosen).order_by(people.c.id)

    def _count(self, rows: sa.FromClause) -> sa.Select[Any]:
        return sa.select(sa.func.count()).select_from(rows).where(people.c.gallery_id == self.feed.gallery_id)

    def _check_audit(
        self, connection: sa.Connection, recorded_head: Head | None, *, require_signature: bool
    ) -> AuditReport:
        head, signature = self.feed.audit_head(connection)
        return check_chain(
            connection,
            self.feed.chain,
            head,
            signature,
            self.feed.audit_key,
            recorded_head,
            require_signature=require_signature,
        )

    def _duplicate(self, row: Any) -> DuplicatePersonError:
        return duplicate_person(
            person_id_of(row.key, row.key_is_int),
            self.feed.name,
            "on_existing='skip', 'add' or 'replace', or another id",
        )

    def _upsert(self, transaction: Transaction, row: Any, new: NewPerson) -> StoredPerson:
        """Insert a person, or change the details of the person of a row."""
        if row is None:
            return insert_people(transaction.connection, self.feed, [new])[0]
        person = stored_person(self.feed, row)
        update_person(transaction.connection, row, new.details, transaction.at)
        transaction.overwrites = transaction.overwrites or bool(new.details)
        return person

    def _replace_faces(
        self,
        transaction: Transaction,
        person: StoredPerson,
        stored: Sequence[Any],
        replaced: list[int],
        new: Sequence[NewFace],
        *,
        limit: FaceLimit | None,
        before_removal: Callable[[], object] | None,
        keep_photos: bool = False,
    ) -> Receipt:
        """Store new faces of a person and remove those that are replaced or exceed the limit."""
        removed_ids, kept = replaced, [True] * len(new)
        if limit is not None:
            more, kept = limit.choose([face for face in stored if face.id not in set(replaced)], new)
            removed_ids = replaced + more
        if removed_ids:
            _call(before_removal)
        remove_faces(transaction, self.feed, removed_ids, keep_photos=keep_photos)
        entries = [(person, face, transaction.at) for face, keep in zip(new, kept, strict=True) if keep]
        numbers = insert_faces(transaction.connection, self.feed, entries)
        transaction.add_faces(numbers, [person.row] * len(numbers))
        remaining = iter(numbers)
        return Receipt(
            person_id_of(person.key, person.is_int),
            tuple(next(remaining) if keep else None for keep in kept),
            tuple(removed_ids),
        )

    def _add_portable(
        self, transaction: Transaction, stored: Sequence[StoredPerson], batch: Sequence[PortablePerson]
    ) -> list[list[int]]:
        """Store the photos and faces of people in the database; returns the numbers of the faces of each."""
        entries = []
        for person, portable in zip(stored, batch, strict=True):
            photo_ids = [
                insert_photo(transaction.connection, self.feed, one.photo, person.row, person.cipher, one.created_at)
                for one in portable.photos
            ]
            for face in portable.faces:
                photo = None if face.photo is None else photo_ids[face.photo]
                new = NewFace(face.bbox, face.det_score, face.embedding, photo, face.quality)
                entries.append((person, new, face.created_at))
        numbers = insert_faces(transaction.connection, self.feed, entries)
        transaction.add_faces(numbers, [person.row for person, _, _ in entries])
        remaining = iter(numbers)
        return [[next(remaining) for _ in portable.faces] for portable in batch]

    def _import_existing(
        self,
        transaction: Transaction,
        new: NewPerson,
        portable: PortablePerson,
        on_existing: OnExisting,
        before_removal: Callable[[], object],
    ) -> Receipt | DuplicatePersonError:
        if on_existing in ("error", "skip"):
            return duplicate_person(new.person_id, self.feed.name, "on_existing='skip', 'add' or 'replace'")
        row = find_person(transaction.connection, self.feed, new.person_id)
        person = self._upsert(transaction, row, new)
        removed_ids = []
        if on_existing == "replace":
            removed_ids = [face.id for face in read_faces(transaction.connection, person.row)]
            if removed_ids:
                before_removal()
            remove_faces(transaction, self.feed, removed_ids)
        [added] = self._add_portable(transaction, [person], [portable])
        return _log_import(transaction, on_existing, person, added, removed_ids)

    def _delete(self, transaction: Transaction, row: Any, reason: str) -> Deletion:
        connection = transaction.connection
        removed_ids = [face.id for face in read_faces(connection, row.id)]
        removed = remove_faces(transaction, self.feed, removed_ids)
        others = connection.execute(photos.delete().where(photos.c.person_row == row.id)).rowcount
        transaction.overwrites = True
        erased = delete_subject(connection, self.feed.gallery_id, row.id)
        if self._eraser is not None:
            self._eraser(connection, self.feed.name, row)
        connection.execute(people.delete().where(people.c.id == row.id))
        removed = removed._replace(photos=removed.photos + others)
        receipt = self._receipt(row, removed_ids, removed, transaction.at, person_removed=True, events=erased)
        # The entry does not identify the person; the owner of the receipt can show which entry it is.
        transaction.log_event("delete", None, row.id, faces=removed_ids, receipt=receipt.digest, reason=reason)
        return receipt

    def _log_removal(
        self, transaction: Transaction, kind: str, row: Any, removed_ids: list[int], removed: Removed, **facts: Any
    ) -> Deletion:
        """Log a partial deletion: the person stays."""
        touch_person(transaction.connection, row.person_row, transaction.at)
        receipt = self._receipt(row, removed_ids, removed, transaction.at)
        subject = Subject(row.person_row, row.key, row.key_is_int)
        transaction.log_event(kind, subject, faces=removed_ids, **facts, receipt=receipt.digest)
        return receipt

    def _receipt(
        self,
        row: Any,
        removed_ids: Sequence[int],
        removed: Removed,
        at: datetime,
        *,
        person_removed: bool = False,
        events: int = 0,
    ) -> Deletion:
        owner = owner_of(row)
        receipt = Deletion(
            gallery=self.feed.uuid,
            person_id=owner.person_id,
            name=owner.name,
            person_removed=person_removed,
            faces=tuple(removed_ids),
            templates=removed.templates,
            photos=removed.photos,
            events=events,
            deleted_at=at,
            salt=secrets.token_hex(16),
        )
        return replace(receipt, digest=receipt.computed_digest())


class _Template(NamedTuple):
    """A row as `Feed.vectors` reads it."""

    face_id: int
    person_row: int
    vector: bytes
    checksum: int
    key: str
    key_is_int: bool
    data_key: bytes | None


def _template_of(row: Any) -> _Template:
    return _Template(row.id, row.person_row, row.vector, row.of_vector, row.key, row.key_is_int, row.data_key)


def _log_import(
    transaction: Transaction, kind: str, person: StoredPerson, added: Sequence[int], removed_ids: Sequence[int]
) -> Receipt:
    transaction.log_event(kind, person.subject, faces=list(added), removed=list(removed_ids), imported=True)
    return Receipt(person_id_of(person.key, person.is_int), tuple(added), tuple(removed_ids))


def _call(function: Callable[[], object] | None) -> None:
    if function is not None:
        function()
