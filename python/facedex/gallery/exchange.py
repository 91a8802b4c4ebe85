"""People with all their data, read from a gallery and stored in another of the same pack.

`facedex.transfer` reaches it as ``gallery.exchange``; it is not part of the public interface.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..checks import check_choice
from ..coroutines import make_coroutine
from ..errors import (
    ArgumentError,
    EmbeddingError,
    FacedexError,
    ImageError,
    PackMismatchError,
    PhotoTooLargeError,
)
from ..options import OnExisting
from ..store import PackPin, PortablePerson, Receipt
from .lifetime import Lifetime
from .photos import Photos
from .resources import Resources

UNIT_TOLERANCE = 1e-3
"""How far the length of an embedding may be from 1."""


class Exchange:
    """Exports and imports the people of an open gallery.

    Parameters
    ----------
    life : Lifetime
    resources : Resources
    photos : Photos
    """

    def __init__(self, life: Lifetime, resources: Resources, photos: Photos) -> None:
        self._life = life
        self._resources = resources
        self._photos = photos

    def export_people(self, *, pack: str | None = None) -> Generator[PortablePerson, None, None]:
        """Yield everybody with faces, embeddings and photos, as they are at this moment.

        Close the iterator when it is not followed to its end: a view of the database is open meanwhile, and belongs to
        the thread that began. Therefore there is no coroutine.

        Parameters
        ----------
        pack : str, optional
            Digest of the pack that the caller expects: a migration may have changed it.

        Yields
        ------
        PortablePerson

        Raises
        ------
        PackMismatchError
            When the gallery is of another pack now.
        DatabaseDamagedError
            When something is missing or not what was stored.
        """
        with self._life.call():
            check_pack(self._resources.feed.pin, pack)
            store = self._resources.store
            with self._life.pause():  # it reads one view of the database, whatever happens to the gallery
                yield from store.export_people()

    def import_people(
        self, batch: Sequence[PortablePerson], *, on_existing: OnExisting = "error", pack: str | None = None
    ) -> list[Receipt | FacedexError]:
        """Store people that `export_people` of a gallery of the same pack gave, in one transaction.

        Each photo is decoded as a check and rewritten without its metadata; the compressed data of a valid JPEG, PNG or
        WebP is not changed. Its type is found from its bytes.

        Parameters
        ----------
        batch : sequence of PortablePerson
        on_existing : {"error", "add", "replace", "skip"}
            When a person is registered: refuse that one, add faces and photos, or replace the stored ones. To skip is
            to refuse, and the caller does without the error.
        pack : str, optional
            As in `export_people`.

        Returns
        -------
        list of Receipt or FacedexError
            One for each person, in order. A person with a photo that is not a picture is refused.

        Raises
        ------
        PackMismatchError
            When the gallery is of another pack now.
        EmbeddingError
            When an embedding has another length than the pack's, is not finite or not of unit length.
        """
        check_choice("on_existing", on_existing, OnExisting)
        with self._life.call():
            pin = self._resources.feed.pin
            check_pack(pin, pack)
            for person in batch:
                for face in person.faces:
                    check_embeddings(face.embedding, pin.dimension)
            cleaned = [self._clean(person) for person in batch]
            accepted = [person for person in cleaned if isinstance(person, PortablePerson)]
            before_removal = self._resources.search.forget
            stored = iter(self._resources.store.import_people(accepted, on_existing, before_removal))
            return [next(stored) if isinstance(person, PortablePerson) else person for person in cleaned]

    aimport_people = make_coroutine(import_people)

    def _clean(self, person: PortablePerson) -> PortablePerson | FacedexError:
        try:
            return self._photos.clean(person)
        except (ImageError, PhotoTooLargeError) as error:
            return error


def check_pack(pin: PackPin, digest: str | None) -> None:
    """Raise `PackMismatchError` when a digest is given and is not that of the gallery's pack."""
    if digest is not None and digest != pin.digest:
        raise PackMismatchError(
            f"the embeddings are of pack {digest[:12]}, and the gallery was moved to {pin.name!r} ({pin.digest[:12]}) "
            "meanwhile; begin again"
        )


def check_embeddings(embeddings: object, dimension: int) -> NDArray[np.float32]:
    """Return embeddings as float32 of shape (n, dimension), or raise `ArgumentError` or `EmbeddingError`."""
    if not isinstance(embeddings, np.ndarray) or embeddings.dtype.kind != "f":
        found = embeddings.dtype if isinstance(embeddings, np.ndarray) else type(embeddings).__name__
        raise ArgumentError(f"embeddings must be an array of floating-point numbers, got {found}")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused below
        vectors = np.atleast_2d(embeddings).astype(np.float32)
    if vectors.ndim != 2 or vectors.shape[1] != dimension or len(vectors) == 0:
        raise EmbeddingError(f"embeddings must have shape (n, {dimension}) with n from 1, got {embeddings.shape}")
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    odd = np.flatnonzero(~(np.abs(lengths - 1.0) <= UNIT_TOLERANCE))
    if len(odd):
        raise EmbeddingError(
            f"embeddings must be finite and of length 1 within {UNIT_TOLERANCE}, number {odd[0]} has length "
            f"{lengths[odd[0]]}"
        )
    return vectors
