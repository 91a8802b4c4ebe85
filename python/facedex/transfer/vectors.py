"""Vectors of other programs → embeddings of the gallery's pack, when it is proven that they are such.

A vector does not tell which network made it, and two networks' vectors compare to nonsense without an error. So either
the caller says which pack made them, or they come from dlib's ResNet and the pack has that very network.
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
"""Most vectors of one person."""

DLIB_DIMENSION = 128
DLIB_LENGTHS = (1.1, 1.8)
"""Lengths that vectors of dlib's ResNet have: 1.43 ± 0.07 over the 7,701 pictures of LFW's pairs, taken five-fold."""

DLIB_CONE = 0.8
"""Least length of the mean of their directions: strangers have a mean cosine of 0.83, so it is about 0.91."""

_DLIB_FILE = ("classic", "dlib_resnet.onnx")
_CHUNK = 4096  # vectors looked at together


@dataclass(frozen=True, slots=True, eq=False)
class PersonVectors:
    """The vectors of one person, as they were found.

    Attributes
    ----------
    person_id : str or int
    vectors : ndarray, shape (n, dimension)
        As in the file, or mapped from it.
    where : str
        What to call them in a message.
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

    def taken(self) -> NDArray[np.float32]:
        """Return the person's own as unit vectors, float32."""
        return units(self.vectors if self.rows is None else self.vectors[self.rows])


def check_pack(pack: PackInfo, said: str) -> None:
    """Refuse vectors of which the caller says another pack than the gallery's.

    Raises
    ------
    ForeignTemplatesError
    """
    if said not in (pack.name, pack.digest):
        raise ForeignTemplatesError(
            f"the vectors are said to be of pack {said!r} and the gallery is of pack {pack.name!r}: their embeddings "
            "cannot be compared; import the photos instead"
        )


def unproven(pack: PackInfo, where: str) -> ForeignTemplatesError:
    """Make the refusal of vectors of which nothing says what made them."""
    return ForeignTemplatesError(
        f"nothing in {where} says which network made the vectors; when you know that it was pack {pack.name!r}, say so "
        f"(same_pack={pack.name!r}), else import the photos instead"
    )


def check_dlib_pack(pack: PackInfo) -> None:
    """Refuse encodings of dlib's ResNet for a pack that has another embedder.

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
        When they have another number of values, other lengths, or other directions.
    """
    total, number = np.zeros(DLIB_DIMENSION), 0
    for person, vectors in _chunks(people, DLIB_DIMENSION):
        lengths = np.linalg.norm(vectors, axis=1)
        odd = np.flatnonzero((lengths < DLIB_LENGTHS[0]) | (lengths > DLIB_LENGTHS[1]))
        if len(odd):
            raise ForeignTemplatesError(
                f"{person.where} holds a vector of length {lengths[odd[0]]:.3f}; those of dlib's ResNet have lengths "
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
    """Refuse vectors of another dimension, not finite or without a direction, and too many of one person.

    Raises
    ------
    ForeignTemplatesError, ImportFileError
    """
    for person, vectors in _chunks(people, dimension):
        if not (np.linalg.norm(vectors, axis=1) > 1e-6).all():
            raise ImportFileError(f"{person.where} holds a vector without a direction: all zeros")


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
    """Group rows by the id of the person; the first name that is told is the person's."""
    rows: dict[PersonId, list[int]] = {}
    for row, person_id in enumerate(ids):
        rows.setdefault(person_id, []).append(row)
    people = []
    for person_id, mine in rows.items():
        told = next((str(names[row]) for row in mine if names[row] not in (None, "")), None) if names else None
        people.append(PersonVectors(person_id, vectors, where, told, np.array(mine, dtype=np.intp)))
    return people


def _chunks(people: Sequence[PersonVectors], dimension: int) -> Iterator[tuple[PersonVectors, NDArray[np.float64]]]:
    """Go through all vectors, some at a time; refuses what no vectors are."""
    for person in people:
        if person.vectors.ndim != 2 or person.vectors.shape[1] != dimension:
            raise ForeignTemplatesError(
                f"{person.where} holds vectors of shape {person.vectors.shape[1:]}, those of the gallery's pack are of "
                f"shape ({dimension},); import the photos instead"
            )
        if person.vectors.dtype.kind != "f":
            raise ImportFileError(f"{person.where} holds {person.vectors.dtype}; vectors are floating-point numbers")
        if len(person) > MAX_FACES:
            raise ImportFileError(
                f"{person.where} holds {len(person)} vectors of {person.person_id!r}, at most {MAX_FACES} are read"
            )
        for start in range(0, len(person), _CHUNK):
            part = slice(start, start + _CHUNK)
            vectors = np.asarray(person.vectors[part if person.rows is None else person.rows[part]], np.float64)
            if not np.isfinite(vectors).all():
                raise ImportFileError(f"{person.where} holds a vector of {person.person_id!r} that is not finite")
            yield person, vectors


def person_key(value: object, where: str) -> PersonId:
    """Take an id as it stands in a file: a text or a whole number.

    Raises
    ------
    ImportFileError
    """
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ImportFileError(f"{where} names a person by {type(value).__name__}; ids are texts or whole numbers")
    return value


def same_length(ids: Sequence[object], vectors: NDArray[Any], where: str) -> None:
    """Refuse ids that are more or fewer than the vectors.

    Raises
    ------
    ImportFileError
    """
    if vectors.ndim != 2 or len(ids) != len(vectors):
        raise ImportFileError(f"{where} has {len(ids)} ids for vectors of shape {vectors.shape}")
