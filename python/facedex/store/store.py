"""The people, faces and photos of one gallery: read, registered, changed, deleted, exported and imported.

Every method is one transaction: what it returned is committed, what it raised left no trace. The line of the audit is
written in the same transaction.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from ..checks import abbreviate, check_int
from ..errors import (
    ArgumentError,
    DatabaseDamagedError,
    DuplicatePersonError,
    PhotoIntegrityError,
    UnknownFaceError,
    UnknownPersonError,
    UnknownPhotoError,
)
from ..options import OnExisting
from ..records import AuditEvent, AuditReport, Deletion, Person, PersonId, Photo
from .audit_file import exported
from .audit_seal import number_of
from .changes import Changes
from .checksums import agrees, check_person, naming_of, person_damaged, seal_face, seal_person, touch_person
from .database import Database
from .feed import CHUNK, Feed
from .journal import Check, Head, Journal, Sighting, Subject
from .people import (
    EVERYBODY,
    FACES_OF,
    OWNERS,
    PERSON,
    details_of,
    file_under,
    owner_if_sound,
    owner_of,
    person_details,
    person_of,
)
from .photos import (
    ABOUT,
    CONTENT,
    LINKED,
    MEDIA_TYPES,
    UNKNOWN_TYPE,
    Removed,
    keep_photo,
    media_type_of,
    photo_content,
    photos_of,
    remove_faceless,
)
from .portable import PAGE_OF_PEOPLE, PortablePerson, PortablePhoto, portable_details, portable_face
from .room import Room
from .rows import (
    NewFace,
    NewPhoto,
    Owner,
    Receipt,
    bytes_of,
    checksum_of,
    damaged_owner,
    is_storable,
    key_of,
    person_id_of,
    plain_name,
)
from .shadow import drop_others
from .tables import faces, galleries, people, photos, templates
from .vault import PersonCipher

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
        self._database: Database = feed.database

    def owners(self, face_ids: Iterable[int]) -> dict[int, Owner]:
        """Tell whose the faces are; a face that is not stored is left out, one of a damaged row has no sound owner."""
        wanted = list(face_ids)
        found: dict[int, Owner] = {}
        try:
            with self._database.single() as connection:
                for start in range(0, len(wanted), CHUNK):
                    asked = self.feed.keys | {"faces": wanted[start : start + CHUNK]}
                    for row in connection.execute(OWNERS, asked):
                        found[row.id] = owner_if_sound(row)
        except DatabaseDamagedError:
            # A row that cannot even be read must not keep the others from being told.
            if len(wanted) == 1:
                return {wanted[0]: damaged_owner(wanted[0])}
            half = len(wanted) // 2
            return self.owners(wanted[:half]) | self.owners(wanted[half:])
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
            row = self._person(connection, person_id)
            check_person(row)
            rows = connection.execute(self.feed.templates_query.where(people.c.id == row.id), self.feed.keys).all()
            return owner_of(row), *self.feed.vectors(connection, rows)

    def people(self) -> list[Person]:
        """List everybody, in the order of registration."""
        with self._database.read() as connection:
            rows = connection.execute(EVERYBODY, self.feed.keys).all()
            stored: dict[int, list[Any]] = {row.id: [] for row in rows}
            query = (
                sa.select(faces).join(people).where(people.c.gallery_id == sa.bindparam("gallery")).order_by(faces.c.id)
            )
            for face in connection.execute(query, self.feed.keys):
                file_under(stored, face)
        return [person_of(row, stored[row.id]) for row in rows]

    def person(self, person_id: PersonId) -> Person:
        """Return one person.

        Raises
        ------
        UnknownPersonError
        """
        with self._database.read() as connection:
            row = self._person(connection, person_id)
            return person_of(row, connection.execute(FACES_OF, {"person": row.id}).all())

    def person_numbered(self, number: int) -> Person:
        """Return the person of a row.

        Raises
        ------
        UnknownPersonError
        """
        query = sa.select(people).where(people.c.gallery_id == self.feed.keys["gallery"], people.c.id == number)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none() if 0 < number < 2**63 else None
            if row is None:
                raise UnknownPersonError(
                    f"nobody in gallery {self.feed.name!r} has number {abbreviate(number)}", person_id=number
                )
            return person_of(row, connection.execute(FACES_OF, {"person": row.id}).all())

    def people_after(self, number: int, limit: int) -> list[Person]:
        """List people with a higher number, in the order of registration."""
        number, limit = check_int("number", number), check_int("limit", limit, least=0)
        mine = people.c.gallery_id == self.feed.keys["gallery"]
        with self._database.read() as connection:
            query = sa.select(people).where(mine, people.c.id > number).order_by(people.c.id).limit(limit)
            rows = connection.execute(query).all()
            stored: dict[int, list[Any]] = {row.id: [] for row in rows}
            for start in range(0, len(rows), CHUNK):
                asked = [row.id for row in rows[start : start + CHUNK]]
                for face in connection.execute(
                    sa.select(faces).where(faces.c.person_row.in_(asked)).order_by(faces.c.id)
                ):
                    file_under(stored, face)
        return [person_of(row, stored[row.id]) for row in rows]

    def people_with_email(self, email: str) -> list[Person]:
        """List who has an e-mail address, in whatever case, in the order of registration."""
        if not is_storable(email):
            return []
        mine = people.c.gallery_id == self.feed.keys["gallery"]
        with self._database.read() as connection:
            query = sa.select(people).where(mine, sa.func.lower(people.c.email) == email.lower()).order_by(people.c.id)
            found = connection.execute(query).all()
            return [person_of(row, connection.execute(FACES_OF, {"person": row.id}).all()) for row in found]

    def require(self, person_id: PersonId) -> None:
        """Tell that nobody is registered under an id, and nothing else.

        Raises
        ------
        UnknownPersonError
        """
        with self._database.single() as connection:
            self._person(connection, person_id)

    def counts(self) -> tuple[int, int]:
        """Tell how many people and faces are stored."""
        mine = people.c.gallery_id == sa.bindparam("gallery")
        with self._database.read() as connection:
            number = connection.execute(
                sa.select(sa.func.count()).select_from(people).where(mine), self.feed.keys
            ).scalar_one()
            joined = sa.select(sa.func.count()).select_from(faces.join(people)).where(mine)
            return number, connection.execute(joined, self.feed.keys).scalar_one()

    def photo_count(self) -> int:
        """Tell how many photos are kept."""
        mine = people.c.gallery_id == self.feed.keys["gallery"]
        with self._database.single() as connection:
            joined = sa.select(sa.func.count()).select_from(photos.join(people, photos.c.person_row == people.c.id))
            return int(connection.execute(joined.where(mine)).scalar_one())

    def due(self, at: datetime) -> list[PersonId]:
        """List who may be kept no longer at that time, the longest overdue first."""
        query = sa.select(people).where(people.c.gallery_id == self.feed.keys["gallery"], people.c.retain_until <= at)
        with self._database.single() as connection:
            rows = connection.execute(query.order_by(people.c.retain_until, people.c.id)).all()
        found = []
        for row in rows:
            try:
                check_person(row)
                found.append(person_id_of(row.key, row.key_is_int))
            except DatabaseDamagedError as error:  # the others are still deleted on time
                _log.warning("somebody who may be due is not deleted: %s", error)
        return found

    def audit(self, after: int) -> list[AuditEvent]:
        """Return the next lines of the audit, some at a time."""
        after = check_int("after", after)
        with self._database.single() as connection:
            return self.feed.journal.page(connection, self.feed.book.row, after)

    def check_audit(self, noted: Head | None = None, *, keyed: bool = False) -> AuditReport:
        """Follow the whole chain of the audit, and with `keyed` find a fault in one that no key seals to its end."""
        with self._database.read() as connection:
            return self._audit_report(connection, noted, keyed)

    def export_audit(self) -> Iterator[bytes]:
        """Yield the audit as a file, signed where there is a key; the database is read in one view meanwhile."""
        with self._database.read() as connection:
            head = self.feed.audit_head(connection)
            yield from exported(connection, self.feed.book.row, self.feed.name, self.feed.audit_keys, head)

    def _audit_report(self, connection: sa.Connection, noted: Head | None, keyed: bool) -> AuditReport:
        keys = self.feed.audit_keys
        if keyed and not keys.keys:
            raise ArgumentError(
                "the audit can be checked with a key only where there is one; set FACEDEX_AUDIT_KEY, or FACEDEX_KEY of "
                "an encrypted gallery"
            )
        head, seal = self.feed.audit_head(connection), self.feed.audit_seal(connection)
        mark = number_of(seal)
        check = Check(self.feed.uuid, noted, mark)
        fault = check.run(connection, self.feed.book.row, head)
        believed = mark is not None and check.marked is not None and keys.opens(seal, Head(mark, check.marked))
        if keyed and fault is None and not believed:
            fault = (
                1,
                "nothing of the audit is sealed with this key: it was never sealed, or written anew without the key",
            )
        elif keyed and fault is None and mark is not None and mark < head.seq:
            fault = mark + 1, f"line {mark + 1} and those after it were written without the key"
        return check.report(fault, believed and mark == head.seq if keys.keys else None)

    def _find(self, connection: sa.Connection, key: str) -> Any:
        row = connection.execute(PERSON, {"gallery": self.feed.keys["gallery"], "key": key}).one_or_none()
        if row is not None and row.key != key:  # the index over the ids is damaged
            raise person_damaged(row.id)
        return row

    def _person(self, connection: sa.Connection, person_id: PersonId) -> Any:
        row = self._find(connection, key_of(person_id)[0])
        if row is None:
            raise UnknownPersonError(
                f"nobody is registered as {person_id!r} in gallery {self.feed.name!r}", person_id=person_id
            )
        return row

    def photos(self, person_id: PersonId) -> list[Photo]:
        """List the photos of a person, oldest first.

        Raises
        ------
        UnknownPersonError
        """
        with self._database.read() as connection:
            row = self._person(connection, person_id)
            rows = connection.execute(self._photos(photos.c.person_row == row.id)).all()
            return self._described(connection, rows)

    def photo(self, photo_id: int) -> Photo:
        """Return what is known of a photo.

        Raises
        ------
        UnknownPhotoError
        """
        photo_id = check_int("photo_id", photo_id)
        with self._database.read() as connection:
            rows = connection.execute(self._photos(photos.c.id == photo_id)).all()
            if not rows:
                raise self._unknown(photo_id)
            return self._described(connection, rows)[0]

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
            row = connection.execute(self._photos(photos.c.id == photo_id, *CONTENT)).one_or_none()
            if row is None:
                raise self._unknown(photo_id)
            return self.content(row)

    def originals(self, face_ids: Sequence[int]) -> dict[int, bytes]:
        """Return the original pictures from which faces were registered; whose was not kept is left out.

        Parameters
        ----------
        face_ids : sequence of int
            Ask for some at a time: all the pictures are in memory at once.

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
                opened: dict[tuple[int, int], bytes | None] = {}
                for face in connection.execute(linked.where(chosen, faces.c.photo_id.is_not(None))).all():
                    place = (face.photo_id, face.person_row)
                    if place not in opened:
                        opened[place] = self._original(connection, *place)
                    if (content := opened[place]) is not None:
                        found[face.id] = content
        return found

    def content(self, row: Any) -> bytes:
        """Open the content of a row; see `photo_content`."""
        return photo_content(self.feed.vault, row)

    def _original(self, connection: sa.Connection, photo_id: int, person_row: int) -> bytes | None:
        chosen = sa.and_(photos.c.id == photo_id, photos.c.rendition == "original")
        row = connection.execute(self._photos(chosen, *CONTENT)).one_or_none()
        if row is not None and row.person_row != person_row:
            raise PhotoIntegrityError(
                f"a face refers to photo {photo_id}, which is another person's; mend it with 'facedex fsck --repair'",
                photo_id=photo_id,
            )
        return None if row is None else self.content(row)

    def _photos(self, chosen: sa.ColumnElement[bool], *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
        """Select photos of this gallery."""
        query = sa.select(*ABOUT, *columns).join(people, people.c.id == photos.c.person_row)
        return query.where(people.c.gallery_id == self.feed.keys["gallery"], chosen).order_by(photos.c.id)

    def _described(self, connection: sa.Connection, rows: Sequence[Any]) -> list[Photo]:
        for row in rows:
            naming = naming_of(row.person_row, row.gallery_id, row.key, row.key_is_int, row.name)
            if not agrees(row.naming, naming):
                raise person_damaged(row.person_row)
        shown: dict[int, list[int]] = {row.id: [] for row in rows}
        numbers = list(shown)
        for start in range(0, len(numbers), CHUNK):
            chosen = LINKED.where(photos.c.id.in_(numbers[start : start + CHUNK]))
            for face_id, photo_id in connection.execute(chosen.order_by(faces.c.id)):
                shown[photo_id].append(face_id)
        return [
            Photo(
                photo_id=row.id,
                person_id=person_id_of(row.key, row.key_is_int),
                rendition=row.rendition,
                media_type=row.media_type if row.media_type in MEDIA_TYPES else UNKNOWN_TYPE,
                width=row.width,
                height=row.height,
                filename=plain_name(row.filename),
                faces=tuple(shown[row.id]),
                created_at=row.created_at,
            )
            for row in rows
        ]

    def _unknown(self, photo_id: int) -> UnknownPhotoError:
        return UnknownPhotoError(f"no photo {photo_id!r} is stored in gallery {self.feed.name!r}", photo_id=photo_id)

    def check_registration(self, person_id: PersonId, given: dict[str, Any], on_existing: OnExisting) -> None:
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
                number, cipher = self._enter(connection, key, is_int, details, noted)
                stored: Sequence[Any] = []
            else:
                check_person(row)
                number, is_int, cipher = row.id, row.key_is_int, self._cipher(row)
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
                self._keep(connection, number, face, vector, cipher, noted) if keep else None
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
        """Remove a person with all faces and templates, from the audit, and what the eraser deletes.

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

    def finish_migration(self) -> tuple[Removed, list[int]]:
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

    def log_sightings(self, kind: str, seen: Sequence[Sighting]) -> None:
        """Note in the audit who was recognised or verified."""
        with self.feed.witness() as (connection, noted):
            for sighting in seen:
                row = None if sighting.person_id is None else self._find(connection, key_of(sighting.person_id)[0])
                subject = None if row is None else Subject(row.id, row.key, row.key_is_int)
                noted.event(kind, subject, similarity=sighting.similarity, threshold=sighting.threshold)

    def _enter(
        self, connection: sa.Connection, key: str, is_int: bool, details: dict[str, Any], noted: Changes
    ) -> tuple[int, PersonCipher | None]:
        """Make a person; returns the number of the row, and what encrypts the templates."""
        vault = self.feed.vault
        data_key = None if vault is None else vault.new_data_key(key, is_int)
        values = {"gallery_id": self.feed.keys["gallery"], "key": key, "key_is_int": is_int, "info": "{}"}
        values |= details | {"created_at": noted.at, "updated_at": noted.at, "data_key": data_key}
        number = _number(connection.execute(people.insert().values(values)))
        seal_person(connection, number)
        return number, None if vault is None else vault.person_cipher(data_key, key, is_int)

    def _cipher(self, row: Any) -> PersonCipher | None:
        return None if self.feed.vault is None else self.feed.vault.person_cipher(row.data_key, row.key, row.key_is_int)

    def _keep(
        self,
        connection: sa.Connection,
        person_row: int,
        face: NewFace,
        vector: bytes,
        cipher: PersonCipher | None,
        noted: Changes,
    ) -> int:
        """Store a face with its template; returns its number."""
        x1, y1, x2, y2 = face.bbox
        values: dict[str, Any] = {"person_row": person_row, "x1": x1, "y1": y1, "x2": x2, "y2": y2}
        values |= {"det_score": face.det_score, "quality": face.quality, "created_at": noted.at}
        kept = face.photo
        if isinstance(kept, NewPhoto):
            kept = keep_photo(connection, self.feed, kept, person_row, cipher, noted.at)
        values["photo_id"] = kept
        face_id = _number(connection.execute(faces.insert().values(values)))
        seal_face(connection, face_id)
        pin = self.feed.pin
        stored = vector if cipher is None else cipher.encrypt(vector, face_id, person_row, pin.digest)
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
        if self._eraser is not None:
            self._eraser(connection, self.feed.name, row)
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

    def create(self, person_id: PersonId, given: dict[str, Any]) -> Person:
        """Store a person without a face.

        Parameters
        ----------
        person_id : str or int
        given : dict
            Any of name, email, info, retain_until.

        Raises
        ------
        ArgumentError
            When something cannot be stored as given.
        DuplicatePersonError
        """
        key, is_int = key_of(person_id)
        details = details_of(given, clear=False)
        with self.feed.write() as (connection, noted):
            if self._find(connection, key) is not None:
                raise DuplicatePersonError(
                    f"somebody is registered as {person_id!r} in gallery {self.feed.name!r}; choose another id",
                    person_id=person_id,
                )
            number, _ = self._enter(connection, key, is_int, details, noted)
            noted.event("create", Subject(number, key, is_int))
            return person_of(self._person(connection, person_id), [])

    def add_photo(self, person_id: PersonId, photo: NewPhoto) -> Photo:
        """Store a photo of a person, without a face.

        Raises
        ------
        UnknownPersonError
        PhotoTooLargeError
        """
        with self.feed.write() as (connection, noted):
            row = self._person(connection, person_id)
            check_person(row)
            photo_id = keep_photo(connection, self.feed, photo, row.id, self._cipher(row), noted.at)
            touch_person(connection, row.id, noted.at)
            noted.event("add_photo", Subject(row.id, row.key, row.key_is_int), photos=[photo_id])
            stored = connection.execute(self._photos(photos.c.id == photo_id)).all()
            return self._described(connection, stored)[0]

    def delete_photo(self, photo_id: int) -> Deletion:
        """Remove a photo with the faces that were registered from it; the person stays.

        Raises
        ------
        UnknownPhotoError
        """
        photo_id = check_int("photo_id", photo_id)
        with self.feed.write(removing=True) as (connection, noted):
            noted.overwrites = True
            row = connection.execute(self._photos(photos.c.id == photo_id, people.c.name)).one_or_none()
            if row is None:
                raise self._unknown(photo_id)
            mine = sa.and_(faces.c.photo_id == photo_id, faces.c.person_row == row.person_row)
            gone = list(connection.execute(sa.select(faces.c.id).where(mine).order_by(faces.c.id)).scalars())
            removed = self._remove(connection, gone, noted, keep_photos=True)
            connection.execute(photos.delete().where(photos.c.id == photo_id))
            touch_person(connection, row.person_row, noted.at)
            receipt = self._receipt(row, False, gone, Removed(removed.templates, 1), 0, noted)
            subject = Subject(row.person_row, row.key, row.key_is_int)
            noted.event("delete_photo", subject, faces=gone, photos=[photo_id], receipt=receipt.digest)
        return receipt

    def rebuild(
        self,
        person_id: PersonId,
        looked_at: Sequence[int],
        new: Sequence[NewFace],
        *,
        room: Room | None = None,
        admit: Callable[[], object] | None = None,
        forget: Callable[[], object] | None = None,
    ) -> Receipt:
        """Put faces in place of those that were registered from photos; the photos stay.

        Parameters
        ----------
        person_id : str or int
        looked_at : sequence of int
            The photos whose faces are replaced.
        new : sequence of NewFace
            Each with the number of the photo it was found in.
        room : Room, optional
            How many faces the person may have.
        admit : callable, optional
            Asked when nobody else can register any more; what it raises undoes it all.
        forget : callable, optional
            Called before stored faces are removed.

        Raises
        ------
        UnknownPersonError
        UnknownPhotoError
            When one of the photos is not the person's, or was deleted meanwhile.
        PersonFullError
            When there is no room.
        """
        vectors = [bytes_of(face.embedding, self.feed.pin) for face in new]
        with self.feed.write() as (connection, noted):
            row = self._person(connection, person_id)
            check_person(row)
            there = set(connection.execute(self._photos(photos.c.person_row == row.id)).scalars())
            missing = next((photo_id for photo_id in looked_at if photo_id not in there), None)
            if missing is not None:
                raise self._unknown(missing)
            if admit is not None:
                admit()
            stored = connection.execute(FACES_OF, {"person": row.id}).all()
            replaced = [face.id for face in stored if face.photo_id in set(looked_at)]
            gone, kept = list(replaced), [True] * len(new)
            if room is not None:
                more, kept = room.made([face for face in stored if face.id not in set(replaced)], new)
                gone += more
            if forget is not None:
                forget()
            self._remove(connection, gone, noted, keep_photos=True)
            cipher = self._cipher(row)
            added = [
                self._keep(connection, row.id, face, vector, cipher, noted) if keep else None
                for face, vector, keep in zip(new, vectors, kept, strict=True)
            ]
            present = [face_id for face_id in added if face_id is not None]
            noted.added(present)
            touch_person(connection, row.id, noted.at)
            noted.event("rebuild", Subject(row.id, row.key, row.key_is_int), faces=present, removed=gone)
        return Receipt(person_id_of(row.key, row.key_is_int), tuple(added), tuple(gone))

    def export_people(self) -> Iterator[PortablePerson]:
        """Go through everybody, in the order of registration.

        Raises
        ------
        DatabaseDamagedError
            When something is missing or not what was stored.
        """
        with self._database.read() as connection:
            self.feed.check_key(connection)
            mine = galleries.c.id == self.feed.keys["gallery"]
            stored = connection.execute(sa.select(galleries.c.faces).where(mine)).scalar_one()
            after = found = 0
            while rows := connection.execute(
                PAGE_OF_PEOPLE, {"gallery": self.feed.keys["gallery"], "after": after}
            ).all():
                for person in self._page(connection, rows):
                    found += len(person.faces)
                    yield person
                after = rows[-1].id
        if found != stored:
            raise DatabaseDamagedError(
                f"database {self._database.place} has {found} templates of gallery {self.feed.name!r} where {stored} "
                "were stored; restore it from a backup"
            )

    def import_people(
        self,
        batch: Sequence[PortablePerson],
        on_existing: OnExisting,
        forget: Callable[[], object],
    ) -> list[Receipt | DuplicatePersonError]:
        """Store people, in one transaction.

        Parameters
        ----------
        batch : sequence of PortablePerson
        on_existing : {"error", "add", "replace"}
            When a person exists: refuse that one, add faces and photos, or put them in place of the stored ones.
        forget : callable
            Called before stored faces are removed.

        Returns
        -------
        list of Receipt or DuplicatePersonError
            One for each person, in order.
        """
        with self.feed.write() as (connection, noted):
            return [self._import(connection, noted, person, on_existing, forget) for person in batch]

    def _page(self, connection: sa.Connection, rows: Sequence[Any]) -> Iterator[PortablePerson]:
        numbers = [row.id for row in rows]
        query = self.feed.templates_query.where(people.c.id.in_(numbers))
        keys, vectors = self.feed.vectors(connection, connection.execute(query, self.feed.keys).all())
        embeddings = dict(zip(keys.tolist(), vectors, strict=True))
        shown: dict[int, list[Any]] = {number: [] for number in numbers}
        for face in connection.execute(sa.select(faces).where(faces.c.person_row.in_(numbers)).order_by(faces.c.id)):
            file_under(shown, face)
        pictured = set(
            connection.execute(sa.select(photos.c.person_row).where(photos.c.person_row.in_(numbers))).scalars()
        )
        for row in rows:
            details = person_details(row)
            kept = self._kept(connection, row.id) if row.id in pictured else {}
            yield PortablePerson(
                **details,
                faces=tuple(
                    portable_face(face, row.id, embeddings, list(kept))
                    for face in shown[row.id]
                    if face.id in embeddings
                ),
                photos=tuple(kept.values()),
            )

    def _kept(self, connection: sa.Connection, person_row: int) -> dict[int, PortablePhoto]:
        """Read the photos of a person, by number."""
        query = self._photos(photos.c.person_row == person_row, photos.c.content, photos.c.checksum, people.c.data_key)
        return {row.id: self._carried_photo(row) for row in connection.execute(query).all()}

    def _carried_photo(self, row: Any) -> PortablePhoto:
        content = self.content(row)
        media_type = media_type_of(content)
        if media_type == UNKNOWN_TYPE:
            raise PhotoIntegrityError(
                f"photo {row.id} is no JPEG, PNG or WebP, and no gallery would import it; delete it with "
                f"'facedex photos delete {row.id}'",
                photo_id=row.id,
            )
        name = plain_name(row.filename)
        return PortablePhoto(NewPhoto(row.rendition, media_type, row.width, row.height, name, content), row.created_at)

    def _import(
        self,
        connection: sa.Connection,
        noted: Changes,
        person: PortablePerson,
        on_existing: str,
        forget: Callable[[], object],
    ) -> Receipt | DuplicatePersonError:
        key, is_int = key_of(person.person_id)
        vectors = [bytes_of(face.embedding, self.feed.pin) for face in person.faces]
        details = details_of(portable_details(person), clear=False)
        row = self._find(connection, key)
        gone: list[int] = []
        if row is None:
            # Times are those of the gallery that it comes from, so that what is oldest stays oldest.
            number, cipher = self._enter(connection, key, is_int, details, Changes(person.created_at))
            touch_person(connection, number, person.updated_at)
        elif on_existing == "error":
            return DuplicatePersonError(
                f"somebody is registered as {person.person_id!r} in gallery {self.feed.name!r}; choose "
                "on_existing='add', 'replace' or 'skip'",
                person_id=person.person_id,
            )
        else:
            check_person(row)
            number, is_int, cipher = row.id, row.key_is_int, self._cipher(row)
            connection.execute(people.update().where(people.c.id == number).values(details | {"updated_at": noted.at}))
            seal_person(connection, number)
            noted.overwrites = noted.overwrites or bool(details)
            if on_existing == "replace":
                gone = [face.id for face in self._faces_of(connection, number)]
                if gone:
                    forget()
                self._remove(connection, gone, noted)
        kept = [
            keep_photo(connection, self.feed, held.photo, number, cipher, held.created_at) for held in person.photos
        ]
        added = []
        for face, vector in zip(person.faces, vectors, strict=True):
            photo = None if face.photo is None else kept[face.photo]
            new = NewFace(face.bbox, face.det_score, face.embedding, photo, face.quality)
            added.append(self._keep(connection, number, new, vector, cipher, Changes(face.created_at)))
        noted.added(added)
        kind = "register" if row is None else on_existing
        noted.event(kind, Subject(number, key, is_int), faces=added, removed=gone, imported=True)
        return Receipt(person_id_of(key, is_int), tuple(added), tuple(gone))


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
