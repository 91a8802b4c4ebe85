"""Queries that the HTTP server and facedex.transfer need: pages of people, people by number or e-mail address, counts.

They reach it as ``gallery.lookup``; it is not part of the public interface.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import UnknownFaceError, UnknownPersonError
from ..records import PersonId, Status
from ..store import Store, packs_of
from .lifetime import Lifetime
from .resources import Resources

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def _of_store(
    query: Callable[Concatenate[Store, _Parameters], _Result],
) -> Callable[Concatenate[Lookup, _Parameters], _Result]:
    """Return a method of `Lookup` that runs a query of the store as a call of the gallery."""

    @functools.wraps(query)
    def call(lookup: Lookup, /, *args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        with lookup.life.call():
            return query(lookup.resources.store, *args, **kwargs)

    return call


class Lookup:
    """Reads people, faces and counts of an open gallery.

    Parameters
    ----------
    life : Lifetime
    resources : Resources
    """

    def __init__(self, life: Lifetime, resources: Resources) -> None:
        self.life = life
        self.resources = resources

    person_by_number = _of_store(Store.person_by_number)
    people_after = _of_store(Store.people_after)
    people_with_email = _of_store(Store.people_with_email)
    counts = _of_store(Store.counts)
    photo_count = _of_store(Store.photo_count)

    def template(self, face_id: int) -> tuple[PersonId, NDArray[np.float32]]:
        """Return the owner of a stored face, and its embedding.

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
        with self.life.call():
            store, name = self.resources.store, self.resources.feed.name
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
        with self.life.call():
            feed, store, search = self.resources.feed, self.resources.store, self.resources.search
            position, _ = search.sync()
            people, faces = store.counts()
            stored, other_packs = packs_of(feed)
            found = search.status()
            return Status(
                gallery=feed.name,
                location=self.resources.database.location,
                pack=feed.pin.name,
                pack_digest=feed.pin.digest,
                people=people,
                faces=faces,
                search=search.place,
                method=found.method,
                why=found.why if stored else "the gallery is empty: no face is registered",
                recall=found.recall,
                position=position,
                rebuilt=search.rebuilt,
                encrypted=feed.vault is not None,
                due=len(store.overdue(datetime.now(timezone.utc))),
                dormant=faces - stored,
                other_packs=other_packs,
                score=self.resources.scoring.score,
            )
