"""A gallery without networks: store and search as a gallery uses them, with vectors made from numbers.

The photo of a face contains the number that its vector is made from, so that a migration can "embed" it again.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facedex.errors import DatabaseDamagedError, FacedexError
from facedex.search import LocalSearch, SearchOptions
from facedex.store import Database, Feed, NewFace, NewPhoto, PackPin, PendingFace, Shadow, Store, rekey

PINS = (PackPin("synthetic", "ab" * 32, 32), PackPin("successor", "cd" * 32, 48))
"""The packs between which a gallery is migrated."""

KEYS = (None, bytes(range(32)), bytes(range(32, 64)))
"""The keys between which a gallery is rekeyed; None is no key."""

SURE = 0.999
"""A similarity that only the same vector reaches."""

_FILLING = 400  # bytes of a photo


@functools.cache
def unit(number: int, dimension: int) -> NDArray[np.float32]:
    """Make the vector of a number."""
    vector = np.random.default_rng(number).normal(size=dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def photo(number: int) -> bytes:
    """Make the photo of a number."""
    return b"photo %d " % number + np.random.default_rng(number).bytes(_FILLING)


def face(number: int, pin: PackPin = PINS[0]) -> NewFace:
    """Make the face of a number, with its photo."""
    stored = NewPhoto("original", "image/jpeg", 1, 1, None, photo(number))
    return NewFace((0.0, 0.0, 1.0, 1.0), 1.0, unit(number, pin.dimension), stored)


class Opened:
    """A store and its search, as a gallery uses them.

    Parameters
    ----------
    location : str or Path
    pin : PackPin, optional
        The pack; by default that of the gallery, or the first of PINS.
    key : bytes, optional
    """

    def __init__(self, location: str | Path, pin: PackPin | None = None, key: bytes | None = None) -> None:
        self.database = Database(location)
        try:
            feed = Feed(self.database, "default")
            feed.bind(pin or feed.stored_pack or PINS[0], key)
            self._open(feed)
        except FacedexError:
            self.database.close()
            raise

    def _open(self, feed: Feed, *, fresh: bool = False) -> None:
        self.feed = feed
        self.store = Store(feed)
        self.search = LocalSearch(feed, SearchOptions("exact"), fresh=fresh)

    def rebuild(self) -> None:
        """Build the index again and save it."""
        self._open(self.feed, fresh=True)
        self.search.save()

    def rekey(self, key: bytes | None) -> None:
        """Change the key of the gallery, as facedex.gallery.resources does."""
        self.search.forget()
        rekey(self.feed, key)
        self.search.forget()

    def move(self) -> None:
        """Migrate the gallery to the other pack, as facedex.gallery.migration does."""
        shadow = Shadow(self.feed, PINS[1 - PINS.index(self.feed.pin)])

        def embed(batch: Sequence[PendingFace]) -> dict[int, NDArray[np.float32]]:
            photos = self.store.originals([bare.face_id for bare in batch])
            return {face_id: unit(int(content.split()[1]), shadow.pin.dimension) for face_id, content in photos.items()}

        shadow.begin()
        shadow.remove_damaged()
        after = 0
        while batch := shadow.pending(after, 4):
            shadow.insert(embed(batch))
            after = batch[-1].face_id
        swapped, _ = shadow.switch("migrate", embed, after=after, leave=True)
        if swapped:
            self.search.forget()
            self._open(self.feed.with_pack(shadow.pin))

    def finish(self) -> None:
        """Remove the templates of all other packs."""
        self.search.forget()
        self.store.finish_migration()

    def find(self, numbers: Iterable[int]) -> dict[int, str | None]:
        """Return the person of each number's vector; None for an unknown one."""
        wanted = list(numbers)
        self.search.sync()
        if not wanted or len(self.search) == 0:
            return dict.fromkeys(wanted)
        keys, similarities = self.search.search(np.stack([unit(one, self.feed.pin.dimension) for one in wanted]), 1)
        owners = self.store.owners(keys[:, 0].tolist())
        return {
            number: str(owners[int(key)].person_id) if similarity >= SURE else None
            for number, key, similarity in zip(wanted, keys[:, 0], similarities[:, 0], strict=True)
        }

    def name_of(self, number: int) -> tuple[str, str | None] | None:
        """Return id and name of the person of a number's vector, as a recognition does; None when it is unknown.

        Raises
        ------
        DatabaseDamagedError
            When the row of the person is damaged.
        """
        state = self.search.sync()
        if len(self.search) == 0:
            return None
        keys, similarities = self.search.search(unit(number, self.feed.pin.dimension)[None], 1)
        if similarities[0, 0] < SURE:
            return None
        owner = self.store.owners([int(keys[0, 0])]).get(int(keys[0, 0]))
        if owner is None and self.feed.head() != state:
            return None  # deleted since the search
        if owner is None or not owner.intact:
            raise DatabaseDamagedError(f"the person of face {keys[0, 0]} cannot be read")
        return str(owner.person_id), owner.name

    def close(self) -> None:
        """Save and close, as a gallery does."""
        self.search.save()
        self.database.close()
