"""What only HTTP and transfer ask of a gallery: pages of people, people by number or e-mail address, counts.

They reach it as ``gallery.lookup``; it is not part of the public interface.
"""

from __future__ import annotations

from datetime import datetime, timezone

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, UnknownFaceError, UnknownPersonError
from ..records import Person, PersonId, Status
from ..store import packs_of
from .lifetime import Lifetime
from .resources import Resources


class Lookup:
    """Reads people, faces and counts of an open gallery.

    Parameters
    ----------
    life : Lifetime
    resources : Resources
    """

    def __init__(self, life: Lifetime, resources: Resources) -> None:
        self._life = life
        self._resources = resources

    def person_numbered(self, number: int) -> Person:
        """Return the person with a `Person.number`, or raise `UnknownPersonError`."""
        with self._life.call():
            return self._resources.store.person_numbered(number)

    def people_after(self, number: int = 0, *, limit: int = 100) -> list[Person]:
        """Return at most `limit` people whose `Person.number` is higher, in the order of registration."""
        with self._life.call():
            if limit < 1:
                raise ArgumentError(f"limit must be at least 1, got {limit}")
            return self._resources.store.people_after(number, limit)

    def people_with_email(self, email: str) -> list[Person]:
        """Return the people with an e-mail address, ignoring case."""
        with self._life.call():
            return self._resources.store.people_with_email(email)

    def counts(self) -> tuple[int, int]:
        """Return the number of people and of faces; unlike `status`, without waiting for the search."""
        with self._life.call():
            return self._resources.store.counts()

    def photo_count(self) -> int:
        """Return the number of photos of all people."""
        with self._life.call():
            return self._resources.store.photo_count()

    def template(self, face_id: int) -> tuple[PersonId, NDArray[np.float32]]:
        """Return whose a stored face is, and its embedding.

        Parameters
        ----------
        face_id : int

        Returns
        -------
        person_id : str or int
        embedding : ndarray of float32, shape (dimension,)
            Unit length.

        Raises
        ------
        UnknownFaceError
            When no such face is stored in this gallery.
        """
        with self._life.call():
            store, name = self._resources.store, self._resources.feed.name
            unknown = UnknownFaceError(f"no face {face_id!r} is stored in gallery {name!r}", face_id=face_id)
            owner = store.owners([face_id]).get(face_id) if 0 < face_id < 1 << 63 else None
            if owner is None:
                raise unknown
            try:
                _, keys, vectors = store.templates_of(owner.person_id)
            except UnknownPersonError:
                raise unknown from None
            place = np.flatnonzero(keys == face_id)
            if len(place) == 0:
                raise unknown
            return owner.person_id, vectors[int(place[0])]

    def status(self) -> Status:
        """Return what `Gallery.status` returns."""
        with self._life.call():
            feed, store, search = self._resources.feed, self._resources.store, self._resources.search
            position, _ = search.sync()
            people, faces = store.counts()
            stored, beside = packs_of(feed)
            found = search.status()
            return Status(
                gallery=feed.name,
                location=self._resources.database.location,
                pack=feed.pin.name,
                pack_digest=feed.pin.digest,
                people=people,
                faces=faces,
                search=search.place,
                method=found.method,
                why=found.why,
                recall=found.recall,
                position=position,
                rebuilt=search.rebuilt,
                encrypted=feed.vault is not None,
                due=len(store.due(datetime.now(timezone.utc))),
                dormant=faces - stored,
                beside=beside,
            )
