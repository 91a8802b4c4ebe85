"""Vectors of other programs → embeddings of the gallery's pack, when it is proven that they are.

Nothing in a vector identifies the network that made it, and comparing vectors of two networks gives meaningless numbers
without an error. So either the caller names the pack that made them, or they come from dlib's ResNet and the pack has
that network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ForeignTemplatesError, ImportFileError
from ..packs import state
from ..records import PersonId

if TYPE_CHECKING:
    from .._core import PackInfo

MAX_FACES = 10_000
"""Maximum number of vectors of one person."""

DLIB_DIMENSION = 128
DLIB_LENGTHS = (1.1, 1.8)
"""Range of lengths of dlib's vectors: 1.43 ± 0.07 over the 7,701 pictures of LFW's pairs, ± 5 deviations."""

DLIB_CONE = 0.8
"""Minimum length of the mean of their directions: different people have a mean cosine of 0.83, which makes it 0.91."""

_DLIB_FILE = ("classic", "dlib_resnet.onnx")
_CHUNK = 4096  # vectors checked at once


@dataclass(frozen=True, slots=True, eq=False)
class PersonVectors:
    """The vectors of one person, as in the file.

    Attributes
    ----------
    person_id : str or int
    vectors : ndarray, shape (n, dimension)
        As in the file, or mapped from it.
    where : str
        Where they are, for messages.
    name : str or None
    rows : ndarray of int, shape (m,), or None
        Which of the vectors are the person's; None is all.
    """

    person_id: PersonId
    vectors: NDArray[Any]
    where: str
    name: str | None = None
    rows: NDArray[np.intp] | None = None

    def __len__(self) -> int:
        return len(self.vectors) if self.rows is None else len(self.rows)

    def unit_vectors(self) -> NDArray[np.float32]:
        """Return the person's vectors, scaled to unit length, float32."""
        return units(self.vectors if self.rows is None else self.vectors[self.rows])


def check_pack(pack: PackInfo, named: str) -> None:
    """Refuse vectors for which the caller names another pack than the gallery's.

    Raises
    ------
    ForeignTemplatesError
    """
    if named not in (pack.name, pack.digest):
        raise ForeignTemplatesError(
            f"same_pack is {named!r} and the gallery is of pack {pack.name!r}: their embeddings cannot be compared; "
            "import the photos instead"
        )


def unproven(pack: PackInfo, where: str) -> ForeignTemplatesError:
    """Make the error for vectors of unknown origin."""
    return ForeignTemplatesError(
        f"nothing in {where} names the network that made the vectors; if you know that it was pack {pack.name!r}, give "
        f"same_pack={pack.name!r}, otherwise import the photos instead"
    )


def check_dlib_pack(pack: PackInfo) -> None:
    """Refuse dlib encodings for a pack that has another embedder.

    Raises
    ------
    ForeignTemplatesError
    """
    name, file = _DLIB_FILE
    wanted = {held.sha256 for held in state(name).info.files if held.name == file}
    if pack.dimension != DLIB_DIMENSION or not wanted & {held.sha256 for held in pack.files}:
        raise ForeignTemplatesError(
            f"dlib encodings cannot be compared with the embeddings of pack {pack.name!r}; import them into a gallery "
            f"of that network (pack={name!r} makes one), or import the photos instead"
        )


def check_dlib(people: Sequence[PersonVectors], where: str) -> None:
    """Refuse vectors that dlib's ResNet cannot have made.

    Raises
    ------
    ForeignTemplatesError
        When their dimension, lengths or directions differ from those of the network.
    """
    total, number = np.zeros(DLIB_DIMENSION), 0
    for person, vectors in _chunks(people, DLIB_DIMENSION):
        lengths = np.linalg.norm(vectors, axis=1)
        odd = np.flatnonzero((lengths < DLIB_LENGTHS[0]) | (lengths > DLIB_LENGTHS[1]))
        if len(odd):
            raise ForeignTemplatesError(
                f"{person.where} contains a vector of length {lengths[odd[0]]:.3f}; those of dlib's ResNet are "
                f"from {DLIB_LENGTHS[0]} to {DLIB_LENGTHS[1]}"
            )
        total += (vectors / lengths[:, None]).sum(axis=0)
        number += len(vectors)
    cone = float(np.linalg.norm(total)) / max(number, 1)
    if number > 1 and cone < DLIB_CONE:
        raise ForeignTemplatesError(
            f"the mean direction of the vectors in {where} has a length of {cone:.2f}; dlib's ResNet gives at least "
            f"{DLIB_CONE}"
        )


def check_sound(people: Sequence[PersonVectors], dimension: int) -> None:
    """Refuse vectors of another dimension, not finite or all zeros, and too many vectors of one person.

    Raises
    ------
    ForeignTemplatesError, ImportFileError
    """
    for person, vectors in _chunks(people, dimension):
        if not (np.linalg.norm(vectors, axis=1) > 1e-6).all():
            raise ImportFileError(f"{person.where} contains a vector of all zeros")


def units(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Scale vectors to unit length, as float32.

    Examples
    --------
    >>> units(np.array([[3.0, 4.0]])).round(3).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    wide = np.asarray(vectors, dtype=np.float64)
    return np.asarray(wide / np.linalg.norm(wide, axis=1, keepdims=True), dtype=np.float32)


def grouped(
    ids: Sequence[PersonId], names: Sequence[object] | None, vectors: NDArray[Any], where: str
) -> list[PersonVectors]:
    """Group rows by the id of the person; the first name of a row is the person's."""
    rows: dict[PersonId, list[int]] = {}
    for row, person_id in enumerate(ids):
        rows.setdefault(person_id, []).append(row)
    people = []
    for person_id, mine in rows.items():
        name = next((str(names[row]) for row in mine if names[row] not in (None, "")), None) if names else None
        people.append(PersonVectors(person_id, vectors, where, name, np.array(mine, dtype=np.intp)))
    return people


def _chunks(people: Sequence[PersonVectors], dimension: int) -> Iterator[tuple[PersonVectors, NDArray[np.float64]]]:
    """Yield all vectors in chunks, checked."""
    for person in people:
        if person.vectors.ndim != 2 or person.vectors.shape[1] != dimension:
            raise ForeignTemplatesError(
                f"{person.where} contains vectors of shape {person.vectors.shape[1:]}, those of the gallery's pack "
                f"have shape ({dimension},); import the photos instead"
            )
        if person.vectors.dtype.kind != "f":
            raise ImportFileError(f"{person.where} contains {person.vectors.dtype}; vectors are floating-point numbers")
        if len(person) > MAX_FACES:
            raise ImportFileError(
                f"{person.where} contains {len(person)} vectors of {person.person_id!r}; the limit is {MAX_FACES}"
            )
        for start in range(0, len(person), _CHUNK):
            part = slice(start, start + _CHUNK)
            vectors = np.asarray(person.vectors[part if person.rows is None else person.rows[part]], np.float64)
            if not np.isfinite(vectors).all():
                raise ImportFileError(f"{person.where} contains a vector of {person.person_id!r} that is not finite")
            yield person, vectors


def person_key(value: object, where: str) -> PersonId:
    """Return an id from a file, which must be a text or an integer.

    Raises
    ------
    ImportFileError
    """
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ImportFileError(f"{where} has an id of type {type(value).__name__}; ids are texts or whole numbers")
    return value


def same_length(ids: Sequence[object], vectors: NDArray[Any], where: str) -> None:
    """Check that there are as many ids as vectors.

    Raises
    ------
    ImportFileError
    """
    if vectors.ndim != 2 or len(ids) != len(vectors):
        raise ImportFileError(f"{where} has {len(ids)} ids for vectors of shape {vectors.shape}")
