"""Finds pictures of a person that do not resemble the person's others: probably photos of somebody else.

A face is outlying when its similarity to the fused template of the person's other faces is below what one face in a
hundred of other people reaches (FMR 1e-2), by the tail of the pack. The least similar face is set aside before the
others are looked at, so that one wrong photo does not make the right ones look wrong. Of two faces that do not resemble
each other the newer one is named: which of them is wrong cannot be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import FacedexError
from ..packs import info
from ..records import Outlier
from ..store import PackPin
from ..thresholds import Prior, prior_of

if TYPE_CHECKING:
    from .._core import PackInfo

OUTLYING_FMR = 1e-2
"""A face that is less similar than this share of other people's faces are is outlying."""

_SAME = 1e-6  # cosines nearer than this are equal


class OutlierFinder:
    """Finds outlying faces by the figures of a pack; a pack that states none gives none.

    Parameters
    ----------
    pack : PackInfo or None
    """

    def __init__(self, pack: PackInfo | None) -> None:
        self._prior: Prior | None = None if pack is None else prior_of(pack)

    @classmethod
    def of_pin(cls, pin: PackPin) -> OutlierFinder:
        """Return the finder for the pack of a gallery, whose networks need not be here."""
        try:
            pack = info(pin.name).info
        except FacedexError:
            return cls(None)
        return cls(pack if pack.digest == pin.digest else None)

    def find(self, face_ids: Sequence[int], vectors: NDArray[np.float32]) -> list[Outlier]:
        """Return the outlying faces of a person, the least similar first.

        Parameters
        ----------
        face_ids : sequence of int
            Oldest first.
        vectors : ndarray of float32, shape (n, dimension)
            Unit length.
        """
        found: list[Outlier] = []
        places = list(range(len(face_ids)))
        while self._prior is not None and len(places) > 1:
            similarities = _to_the_others(vectors[places].astype(np.float64))
            lowest = np.flatnonzero(similarities <= similarities.min() + _SAME)[-1]
            similarity = float(similarities[lowest])
            threshold = self._prior.tail(len(places) - 1).threshold(OUTLYING_FMR)
            if similarity >= threshold:
                break
            found.append(Outlier(face_ids[places.pop(lowest)], None, similarity, threshold))
        return found


def _to_the_others(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cosine of each vector with the sum of the others, (n,); 0 where that has no direction."""
    total = vectors.sum(axis=0)
    lengths = np.linalg.norm(total - vectors, axis=1)
    cosines = vectors @ total - np.einsum("ij,ij->i", vectors, vectors)
    found: NDArray[np.float64] = np.divide(cosines, lengths, out=np.zeros(len(vectors)), where=lengths > _SAME)
    return found
