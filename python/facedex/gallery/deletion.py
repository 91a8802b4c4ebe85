"""Deletions that can be shown: each is one commit and returns a receipt.

A deletion removes the person's data from the audit too, the search snapshots that hold the deleted vectors, and the
database's log. Data about a person that others store beside the gallery is deleted in the same transaction, by an
eraser.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from importlib import import_module
from typing import Any

from ..checks import check_moment
from ..records import Deletion, PersonId
from ..store import Eraser
from .resources import Resources

DEFAULT_ERASER = "facedex.server.forgetting", "erase_person"
"""Module and name of the eraser that is used unless another is given; the HTTP server gives its own.

The server keeps accounts, attendance and replies in the same database. They must be deleted with the person by every
program, also by one that never runs a server. The late import is deliberate: facedex.server is a higher layer, so it is
imported by name, when the first person is deleted.
"""


def default_eraser(connection: Any, gallery: str, person: Any) -> None:
    """Delete what the server stores about a person, with the settings of the environment."""
    module, name = DEFAULT_ERASER
    erase: Eraser = getattr(import_module(module), name)
    erase(connection, gallery, person)


class Deleter:
    """Deletes people, faces and photos.

    Parameters
    ----------
    resources : Resources
    """

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    def delete(self, person_id: PersonId) -> Deletion:
        """Delete a person, as `facedex.Gallery.delete` does."""
        return self._wiped(self._resources.store.delete(person_id, self._resources.search.forget))

    def delete_face(self, face_id: int) -> Deletion:
        """Delete a face, as `facedex.Gallery.delete_face` does."""
        return self._wiped(self._resources.store.delete_face(face_id, self._resources.search.forget))

    def delete_photo(self, photo_id: int) -> Deletion:
        """Delete a photo, as `facedex.Gallery.delete_photo` does."""
        return self._wiped(self._resources.store.delete_photo(photo_id, self._resources.search.forget))

    def purge(self, now: datetime | None) -> list[Deletion]:
        """Delete everybody whose time has passed, as `facedex.Gallery.purge` does."""
        at = datetime.now(timezone.utc) if now is None else check_moment("now", now)
        store = self._resources.store
        overdue = store.overdue(at)
        if not overdue:
            return []
        self._resources.search.forget()
        receipts = [receipt for person_id in overdue if (receipt := store.purge(person_id, at)) is not None]
        wiped = self._resources.wipe()
        return [replace(receipt, wiped=wiped) for receipt in receipts]

    def _wiped(self, receipt: Deletion) -> Deletion:
        return replace(receipt, wiped=self._resources.wipe())
