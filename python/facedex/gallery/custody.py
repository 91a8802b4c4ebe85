"""What a gallery owes the people in it: deletion that can be shown, retention, the audit, and the key.

A deletion is one commit, with the person's data in the audit; it takes with it the search snapshots that hold the
deleted vectors, and the database's log in which they stood. Its receipt says what was removed and whether it is also
overwritten on the disk.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from ..coroutines import make_coroutine
from ..errors import ArgumentError, ExportError, PlainSearchError, SearchError, StoreError
from ..files import write_atomically
from ..records import AuditEvent, AuditReport, Deletion, PersonId
from ..search import LOCAL, drop_tables
from ..store import Head, KeyInput, acting_as, key_of, rekey
from .directory import Directory

_log = logging.getLogger("facedex")


class Custody(Directory):
    """The people of a gallery, and what is owed to them."""

    def delete(self, person_id: PersonId) -> Deletion:
        """Delete a person with all faces, templates, photos and free data, and the search snapshots that hold them.

        What a server keeps goes too: the person's accounts, attendance, and answers that name the person.

        Parameters
        ----------
        person_id : str or int

        Returns
        -------
        Deletion
            What was removed.

        Raises
        ------
        UnknownPersonError
            When nobody of that id is registered.
        """
        with self._life.call():
            self._store.require(person_id)
            self._search.forget()
            return replace(self._store.delete(person_id), wiped=self._wiped())

    def delete_face(self, face_id: int) -> Deletion:
        """Delete one stored face with its photo; the person stays, even without a face.

        Parameters
        ----------
        face_id : int
            As in `Registration.faces` or `Person.faces`.

        Returns
        -------
        Deletion
            What was removed.

        Raises
        ------
        UnknownFaceError
            When no face of that id is stored in this gallery.
        """
        with self._life.call():
            self._search.forget()
            return replace(self._store.delete_face(face_id), wiped=self._wiped())

    def purge(self, now: datetime | None = None) -> list[Deletion]:
        """Delete everybody whose ``retain_until`` has passed. Call it as often as it must be on time.

        Nobody is deleted unless it is called: a clock that is set wrong cannot empty a gallery that is only read.

        Parameters
        ----------
        now : datetime, optional
            The time to compare with, with a time zone; by default the clock's.

        Returns
        -------
        list of Deletion
            A receipt for each, the longest overdue first.
        """
        with self._life.call():
            at = datetime.now(timezone.utc) if now is None else now
            if at.utcoffset() is None:
                raise ArgumentError(f"now must be a datetime with a time zone, got {now!r}")
            due = self._store.due(at)
            if not due:
                return []
            self._search.forget()
            receipts = [receipt for person_id in due if (receipt := self._store.purge(person_id, at)) is not None]
            wiped = self._wiped()
            return [replace(receipt, wiped=wiped) for receipt in receipts]

    def vacuum(self) -> bool:
        """Write the database anew without what was deleted. It takes a while, and writers wait.

        A deletion overwrites what it removes by itself, so this is seldom needed: after a receipt that was not
        ``wiped``, and to give space back to the disk.

        Returns
        -------
        bool
            Whether what was deleted stands in no file now. A database server keeps logs of its own, for which its
            administrator must say this.
        """
        with self._life.call():
            self._search.forget()
            if self._search.place != LOCAL:
                self._search.sync()
            elsewhere = self._search.vacuum(full=True)
            return self._database.vacuum() and elsewhere

    def audit(self, *, after: int = 0) -> Iterator[AuditEvent]:
        """Go through the lines of the audit, oldest first.

        Parameters
        ----------
        after : int
            Only lines with a higher number.

        Yields
        ------
        AuditEvent
        """
        while page := self._page(after):
            yield from page
            after = page[-1].seq

    async def aaudit(self, *, after: int = 0) -> AsyncIterator[AuditEvent]:
        """Read as `audit` does, in a thread, so that the event loop goes on."""
        import asyncio

        while page := await asyncio.to_thread(self._page, after):
            for event in page:
                yield event
            after = page[-1].seq

    def check_audit(self, *, noted: str | None = None, keyed: bool = False) -> AuditReport:
        """Check that no line of the audit was altered, taken out, moved or added.

        Parameters
        ----------
        noted : str, optional
            A head that was noted elsewhere before, as ``"NUMBER:DIGEST"``. It tells also a database that was put back
            to an earlier state.
        keyed : bool
            Whether the last line must be sealed with ``FACEDEX_AUDIT_KEY`` or the gallery's own key, which tells a
            chain from another that somebody without the key wrote in its place.

        Returns
        -------
        AuditReport

        Raises
        ------
        ArgumentError
            When it must be sealed and no key is at hand.
        """
        with self._life.call():
            return self._store.check_audit(None if noted is None else head_of(noted), keyed=keyed)

    def seal_audit(self, *, noted: str | None = None) -> AuditReport:
        """Seal the audit with the key, as it stands: needed where it was begun or continued without.

        Compare the head with one that was noted elsewhere first: what is sealed is believed from then on.

        Parameters
        ----------
        noted : str, optional
            As in `check_audit`.

        Returns
        -------
        AuditReport
            Where it is not whole, it was not sealed.

        Raises
        ------
        ArgumentError
            When no key is at hand.
        """
        with self._life.call():
            return self._store.seal_audit(None if noted is None else head_of(noted))

    def export_audit(self, path: str | os.PathLike[str]) -> int:
        """Write the audit to a file that can be checked without the database, signed where there is a key.

        It names people, as the audit does: those who were deleted it does not, but a file outlives later deletions.

        Parameters
        ----------
        path : str or PathLike
            Of a file that only its owner will be able to read.

        Returns
        -------
        int
            Bytes that were written.

        Raises
        ------
        ExportError
            When it cannot be written.
        """
        with self._life.call():
            try:
                return write_atomically(Path(path), self._store.export_audit())
            except OSError as error:
                raise ExportError(f"the audit cannot be written to {str(path)!r}: {error.strerror}") from error

    def acting_as(self, actor: str) -> AbstractContextManager[None]:
        """Name who does what is done in a ``with`` block, in this thread or task, for the audit.

        Parameters
        ----------
        actor : str
            An account or a role, at most 255 characters. It is not erased with a person.
        """
        return acting_as(actor)

    def rekey(self, key: KeyInput | None) -> bool:
        """Give the gallery another key, a first key, or none. Whoever has it open must open it again.

        Parameters
        ----------
        key : bytes, str, callable or None
            The new key; None stores templates and photos without encryption.

        Returns
        -------
        bool
            Whether the templates as they were stored before stand in no file now; if not, see `vacuum`.

        Raises
        ------
        TemplateIntegrityError
            When something that is stored does not open with the present key; then nothing is changed.
        PlainSearchError
            When the gallery is searched elsewhere, where its templates would stand in the clear.
        """
        with self._life.call():
            given = None if key is None else key_of(key)
            if given is not None and self._search.place != LOCAL:
                raise PlainSearchError(
                    f"the search {self._search.place} would hold the templates in the clear; open the gallery with "
                    "search='local' to encrypt it"
                )
            self._search.forget()
            rekey(self._feed, given)
            if given is not None:
                drop_tables(self._feed)
            self._search.forget()
            return self._wiped()

    adelete = make_coroutine(delete)
    adelete_face = make_coroutine(delete_face)
    apurge = make_coroutine(purge)
    avacuum = make_coroutine(vacuum)
    acheck_audit = make_coroutine(check_audit)
    aseal_audit = make_coroutine(seal_audit)
    aexport_audit = make_coroutine(export_audit)
    arekey = make_coroutine(rekey)

    def _page(self, after: int) -> list[AuditEvent]:
        with self._life.call():
            return self._store.audit(after)

    def _wiped(self) -> bool:
        """Clear what may still hold what was removed; the removal itself is committed."""
        try:
            self._search.sync()
            elsewhere = self._search.vacuum()
            return self._database.wipe_log() and elsewhere
        except (SearchError, StoreError) as error:
            _log.warning("removed, but what may still hold it could not be emptied yet: %s", error)
            return False


def head_of(noted: str) -> Head:
    """Read a head as it was noted, or raise `ArgumentError`."""
    number, _, digest = noted.partition(":")
    if not (number.isascii() and number.isdigit()) or len(digest) != 64:
        raise ArgumentError(f"noted must be NUMBER:DIGEST, as 'facedex audit verify' prints it, got {noted!r}")
    return Head(int(number), digest.lower())
