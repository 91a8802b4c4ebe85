"""What goes in and out of an open gallery without pictures: templates, and people with all that belongs to them.

`facedex.transfer` builds on it: import from other programs, export and import of a whole gallery.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

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
    UnknownFaceError,
    UnknownPersonError,
)
from ..options import OnExisting
from ..records import PersonId, Registration
from ..store import PortablePerson, Receipt, Store
from .album import Album
from .registration import Enrolee, Registrar, Rules

if TYPE_CHECKING:
    from .._core import PackInfo

UNIT = 1e-3
"""How far the length of an embedding may be from 1."""


class Portable(Album):
    """The people of a gallery, and what is carried in and out."""

    _registrar: Registrar

    @property
    def pack(self) -> PackInfo:
        """The pack that makes the embeddings."""
        return self._pack

    @property
    def name(self) -> str:
        """The gallery's name within its database."""
        return self._feed.name

    @property
    def uuid(self) -> str:
        """Names this gallery in all the world, hexadecimal."""
        return self._feed.uuid

    @property
    def encrypted(self) -> bool:
        """Whether templates and photos are encrypted."""
        return self._feed.vault is not None

    def counts(self) -> tuple[int, int]:
        """Tell how many people and faces are stored; unlike `status` it does not wait for the search."""
        with self._life.call():
            return self._store.counts()

    def template(self, face_id: int) -> tuple[PersonId, NDArray[np.float32]]:
        """Return whose a stored face is, and its embedding: personal data.

        Parameters
        ----------
        face_id : int
            As in `Person.faces`.

        Returns
        -------
        person_id : str or int
        embedding : ndarray of float32, shape (dimension,)
            Unit length.

        Raises
        ------
        UnknownFaceError
            When no face of that id is stored in this gallery.
        """
        with self._life.call():
            unknown = UnknownFaceError(f"no face {face_id!r} is stored in gallery {self.name!r}", face_id=face_id)
            owner = self._store.owners([face_id]).get(face_id) if 0 < face_id < 1 << 63 else None
            if owner is None:
                raise unknown
            try:
                _, keys, vectors = self._store.templates_of(owner.person_id)
            except UnknownPersonError:
                raise unknown from None
            place = np.flatnonzero(keys == face_id)
            if len(place) == 0:
                raise unknown
            return owner.person_id, vectors[int(place[0])]

    def register_templates(
        self,
        person_id: PersonId,
        embeddings: NDArray[np.float32],
        *,
        name: str | None = None,
        email: str | None = None,
        info: dict[str, Any] | None = None,
        retain_until: datetime | None = None,
        on_existing: OnExisting = "error",
        strict: bool = False,
        pack: str | None = None,
    ) -> Registration:
        """Register a person from embeddings, without pictures.

        They must have been made by this very pack: nothing in a vector tells, and two packs' vectors compare to
        nonsense without an error. As there is no picture, the faces have the box (0, 0, 0, 0) and a score of 0.

        Parameters
        ----------
        person_id : str or int
            As in `Gallery.register`.
        embeddings : ndarray of float, shape (n, dimension) or (dimension,)
            Unit length, at least one.
        name, email, info, retain_until, on_existing, strict
            As in `Gallery.register`.
        pack : str, optional
            Digest of the pack that made them, when it was looked up before: the gallery may have been moved since.

        Returns
        -------
        Registration

        Raises
        ------
        PackMismatchError
            When the gallery is not of that pack now.
        EmbeddingError
            When one has another length than the pack's, is not finite or not of unit length.
        DuplicatePersonError, DuplicateFaceError, PersonFullError
            As in `Gallery.register`.
        """
        with self._life.call():
            self._check_pack(pack)
            vectors = _checked(embeddings, self._feed.pin.dimension)
            details = {"name": name, "email": email, "info": info, "retain_until": retain_until}
            texts: list[Any] = [f"embedding {number}" for number in range(len(vectors))]
            who = Enrolee(person_id, texts, len(vectors) == 1, details)
            return self._registrar.register_vectors(who, vectors, Rules(on_existing, "one", None, strict))

    def export_people(self, *, pack: str | None = None) -> Generator[PortablePerson, None, None]:
        """Go through everybody with faces, embeddings and kept photos, all as they are at this moment.

        Close the iterator when it is not followed to its end: a view of the database is open meanwhile, and belongs to
        the thread that began. So there is no coroutine twin.

        Parameters
        ----------
        pack : str, optional
            As in `register_templates`.

        Yields
        ------
        PortablePerson

        Raises
        ------
        PackMismatchError
            When the gallery is not of that pack now.
        DatabaseDamagedError
            When something is missing or not what was stored.
        """
        with self._life.call():
            self._check_pack(pack)
            store = Store(self._feed)
            with self._life.aside():  # it reads one view of the database, whatever becomes of the gallery
                yield from store.export_people()

    def import_people(
        self,
        batch: Sequence[PortablePerson],
        *,
        on_existing: OnExisting = "error",
        pack: str | None = None,
    ) -> list[Receipt | FacedexError]:
        """Store people that `export_people` of a gallery of the same pack gave, in one transaction.

        Each photo is decoded as a check and rewritten without its metadata; the compressed data of a valid JPEG, PNG or
        WebP is kept. Its type is found from its bytes.

        Parameters
        ----------
        batch : sequence of PortablePerson
        on_existing : {"error", "add", "replace"}
            When a person is registered: refuse that one, add faces and photos, or put them in place of the stored ones.
        pack : str, optional
            As in `register_templates`.

        Returns
        -------
        list of Receipt or FacedexError
            One for each person, in order. A person with a photo that is no picture is refused.

        Raises
        ------
        PackMismatchError
            When the gallery is not of that pack now.
        EmbeddingError
            When an embedding has another length than the pack's, is not finite or not of unit length.
        """
        check_choice("on_existing", on_existing, OnExisting)
        with self._life.call():
            self._check_pack(pack)
            for person in batch:
                if person.faces:
                    _checked(np.stack([face.embedding for face in person.faces]), self._feed.pin.dimension)
            cleaned = [self._cleaned(person) for person in batch]
            accepted = [person for person in cleaned if isinstance(person, PortablePerson)]
            stored = iter(Store(self._feed).import_people(accepted, on_existing, self._search.forget))
            return [next(stored) if isinstance(person, PortablePerson) else person for person in cleaned]

    def _cleaned(self, person: PortablePerson) -> PortablePerson | FacedexError:
        try:
            return self._renditions.rewritten(person)
        except (ImageError, PhotoTooLargeError) as error:
            return error

    def _check_pack(self, digest: str | None) -> None:
        if digest is not None and digest != self._feed.pin.digest:
            raise PackMismatchError(
                f"the embeddings are of pack {digest[:12]}, and the gallery was moved to {self._feed.pin.name!r} "
                f"({self._feed.pin.digest[:12]}) meanwhile; begin again"
            )

    acounts = make_coroutine(counts)
    atemplate = make_coroutine(template)
    aregister_templates = make_coroutine(register_templates)
    aimport_people = make_coroutine(import_people)


def _checked(embeddings: object, dimension: int) -> NDArray[np.float32]:
    """Refuse what no embeddings of the pack are; returns them as float32, shape (n, dimension)."""
    if not isinstance(embeddings, np.ndarray) or embeddings.dtype.kind != "f":
        found = embeddings.dtype if isinstance(embeddings, np.ndarray) else type(embeddings).__name__
        raise ArgumentError(f"embeddings must be an array of floating-point numbers, got {found}")
    vectors = np.atleast_2d(embeddings).astype(np.float32)
    if vectors.ndim != 2 or vectors.shape[1] != dimension or len(vectors) == 0:
        raise EmbeddingError(f"embeddings must have shape (n, {dimension}) with n from 1, got {embeddings.shape}")
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    odd = np.flatnonzero(~(np.abs(lengths - 1.0) <= UNIT))
    if len(odd):
        raise EmbeddingError(
            f"embeddings must be finite and of length 1 within {UNIT}, number {odd[0]} has length {lengths[odd[0]]}"
        )
    return vectors
