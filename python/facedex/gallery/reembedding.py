"""Stored faces embedded again by another pack, from the photos that were kept.

A face is found again in its photo by the place of its box; another face in the same photo is never taken for it. What
cannot be embedded is noted with the reason, and the rest goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import FacedexError, NoFaceError, PhotoIntegrityError
from ..records import PersonId
from ..results import Analysis, bbox_of, embedding_of
from ..store import PendingFace, Shadow, Store

if TYPE_CHECKING:
    from ..engine import Engine
    from ..errors import BBox

BATCH = 16
"""Photos in memory at once, and faces that one commit keeps."""

OVERLAP = 0.3
"""Least overlap (intersection over union) of a face's stored box and the one that another pack finds."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A stored face that could not be embedded by another pack.

    Attributes
    ----------
    face_id : int
    person_id : str or int
        Whose it is.
    error : Exception
        Why; a `FacedexError`.
    """

    face_id: int
    person_id: PersonId
    error: Exception

    def __repr__(self) -> str:
        return f"Refusal({self.person_id!r}, face {self.face_id}: {self.error})"


@dataclass(slots=True)
class Mover:
    """Embeds the faces of a gallery that have no template of another pack.

    Attributes
    ----------
    after : int
        The last face that was looked at.
    moved : int
        How many templates were made.
    refused : dict of int to Refusal
        Face → why it has none.
    """

    engine: Engine
    store: Store
    shadow: Shadow
    progress: Callable[[int, int], object]
    after: int = 0
    moved: int = 0
    refused: dict[int, Refusal] = field(default_factory=dict)

    def run(self, go_on: Callable[[], None]) -> None:
        """Embed every face with a photo, `BATCH` at a time; what a batch gave is committed, then `go_on` may end it."""
        number = self.moved + len(self.refused) + self.shadow.count_pending()
        while batch := self.shadow.pending(self.after, BATCH):
            self.moved += self.shadow.insert(self.embed(batch))
            self.after = batch[-1].face_id
            done = self.moved + len(self.refused)
            self.progress(done, max(done, number))
            go_on()

    def embed(self, batch: Sequence[PendingFace]) -> dict[int, NDArray[np.float32]]:
        """Embed faces from their photos; those that cannot be are noted."""
        photos = self._photos(batch)
        there = [bare for bare in batch if bare.face_id in photos]  # the others were deleted meanwhile
        answers = self.engine.analyze_many([photos[bare.face_id] for bare in there]) if there else []
        made = {}
        for bare, answer in zip(there, answers, strict=True):
            try:
                if isinstance(answer, FacedexError):
                    raise answer
                made[bare.face_id] = self._found_again(bare, answer, photos[bare.face_id])
            except FacedexError as error:
                self._refuse(bare, error)
        return made

    def _photos(self, batch: Sequence[PendingFace]) -> Mapping[int, bytes]:
        try:
            return self.store.originals([bare.face_id for bare in batch])
        except FacedexError as error:
            if len(batch) > 1:
                half = len(batch) // 2
                return {**self._photos(batch[:half]), **self._photos(batch[half:])}
            if not isinstance(error, PhotoIntegrityError):
                raise
            self._refuse(batch[0], error)
            return {}

    def _refuse(self, bare: PendingFace, error: FacedexError) -> None:
        self.refused[bare.face_id] = Refusal(bare.face_id, bare.person_id, error)

    def _found_again(self, bare: PendingFace, analysis: Analysis, photo: bytes) -> NDArray[np.float32]:
        vector = _at(bare.bbox, analysis)
        if vector is None:  # it may have been registered with a smaller least face than the pack's own
            height = int(bare.bbox[3] - bare.bbox[1])
            vector = _at(bare.bbox, self.engine.analyze(photo, min_face=max(1, height // 2)))
        if vector is None:
            raise NoFaceError(
                f"pack {self.engine.pack.name!r} finds no face where face {bare.face_id} of {bare.person_id!r} is in "
                "its photo; register the person again from another picture"
            )
        return vector


def _at(bbox: BBox, analysis: Analysis) -> NDArray[np.float32] | None:
    """Take the embedding of the face whose box overlaps most with a given one; None when there is none."""
    overlaps = [_overlap(bbox, bbox_of(face.bbox)) for face in analysis]
    best = int(np.argmax(overlaps)) if overlaps else 0
    return embedding_of(analysis[best]) if overlaps and overlaps[best] >= OVERLAP else None


def _overlap(a: BBox, b: BBox) -> float:
    """Compute the intersection of two boxes over their union, [0, 1]."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
