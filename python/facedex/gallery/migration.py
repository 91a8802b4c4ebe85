"""A gallery moved to another pack: its faces are embedded again from the stored photos, and the way back.

The gallery answers with its present pack until every face that has a photo has a template of the other one; then one
commit switches it. The next run resumes one that was interrupted. A face is found again in its photo by the place of
its box; another face in the same photo is never used for it. Faces that cannot be embedded are reported.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..checks import check_choice
from ..engine import Engine
from ..errors import (
    ArgumentError,
    BBox,
    FacedexError,
    GalleryClosedError,
    GalleryPackError,
    MigrationError,
    NoFaceError,
    PhotoIntegrityError,
)
from ..options import WithoutPhoto
from ..plain import record_to_dict
from ..records import PersonId
from ..results import Analysis, bbox_of, embedding_of
from ..store import LostPerson, PendingFace, Shadow, Store, previous_pack
from ..thresholds import Rule
from .lifetime import Lifetime, Progress
from .resources import Resources, pin_of

BATCH = 16
"""Photos in memory at once, and faces in one commit."""

OVERLAP = 0.3
"""Smallest overlap (intersection over union) of a face's stored box and the box that another pack finds."""


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

    to_dict = record_to_dict

    def __repr__(self) -> str:
        return f"Refusal({self.person_id!r}, face {self.face_id}: {self.error})"


@dataclass(frozen=True, slots=True)
class Migration:
    """The state of a migration to another pack, or back.

    Attributes
    ----------
    pack, pack_digest : str
        The pack to switch to.
    swapped : bool
        Whether the gallery uses that pack now. If not, its results have not changed, and the next run resumes this one.
    moved : int
        Number of faces that this call embedded.
    without_photo : tuple of str or int
        People who have no template of that pack, and no photo from which one could be made.
    without_face : tuple of str or int
        People who have none either, because the pack does not find their face in their photos.
    refused : tuple of Refusal
        Each face that was not found in its photo, or whose photo cannot be read.
    """

    pack: str
    pack_digest: str
    swapped: bool
    moved: int
    without_photo: tuple[PersonId, ...] = ()
    without_face: tuple[PersonId, ...] = ()
    refused: tuple[Refusal, ...] = ()

    to_dict = record_to_dict

    def __repr__(self) -> str:
        lost = len(self.without_photo) + len(self.without_face)
        tail = f", {lost} without a template" if lost else ""
        done = "swapped" if self.swapped else "not swapped"
        return f"Migration(to {self.pack!r}, {self.moved} faces moved{tail}, {done})"


@dataclass(frozen=True, slots=True)
class Finish:
    """What was removed when a migration was made final, or given up.

    Attributes
    ----------
    templates : int
        Embeddings of other packs than the gallery's.
    faces : tuple of int
        Faces that had no other embedding.
    photos : int
        Photos that showed no other face.
    wiped : bool
        As of `Deletion`.
    """

    templates: int
    faces: tuple[int, ...]
    photos: int
    wiped: bool

    to_dict = record_to_dict


class Migrator:
    """Moves a gallery to another pack.

    Parameters
    ----------
    life : Lifetime
    resources : Resources
    """

    def __init__(self, life: Lifetime, resources: Resources) -> None:
        self._life = life
        self._resources = resources

    def migrate(
        self,
        pack: str | os.PathLike[str] | None,
        engine: Engine | None,
        threshold: Rule | str | None,
        without_photo: WithoutPhoto,
        progress: Progress | None,
    ) -> Migration:
        """Move to another pack, as `facedex.Gallery.migrate` does."""
        check_choice("without_photo", without_photo, WithoutPhoto)
        if engine is None and pack is None:
            raise ArgumentError("name the pack to move to: migrate(pack)")
        target = engine if engine is not None else Engine(pack if pack is not None else "")
        return self._move("migrate", target, threshold, without_photo == "leave", progress)

    def rollback(
        self,
        engine: Engine | None,
        threshold: Rule | str | None,
        without_photo: WithoutPhoto,
        progress: Progress | None,
    ) -> Migration:
        """Move back to the previous pack, as `facedex.Gallery.rollback` does."""
        check_choice("without_photo", without_photo, WithoutPhoto)
        feed = self._resources.feed
        previous = previous_pack(feed)
        if previous is None:
            raise MigrationError(
                f"gallery {feed.name!r} was not moved from another pack, or that was finished: there is no way back"
            )
        target = Engine(previous.name) if engine is None else engine
        if target.pack.digest != previous.digest:
            raise GalleryPackError(
                f"the gallery was of pack {previous.name!r} ({previous.digest[:12]}) before, and the engine is of "
                f"{target.pack.name!r} ({target.pack.digest[:12]}); give an engine of that pack (engine=...)",
                stored=previous.name,
                opened=target.pack.name,
            )
        return self._move("rollback", target, threshold, without_photo == "leave", progress)

    def finish(self) -> Finish:
        """Remove the templates of other packs, as `facedex.Gallery.finish_migration` does."""
        self._resources.search.forget()
        removed, faces = self._resources.store.finish_migration()
        return Finish(removed.templates, tuple(faces), removed.photos, self._resources.wipe())

    def _move(
        self,
        kind: Literal["migrate", "rollback"],
        engine: Engine,
        threshold: Rule | str | None,
        leave: bool,
        progress: Progress | None,
    ) -> Migration:
        pin, thresholds = pin_of(engine), self._resources.thresholds.with_pack(engine.pack, threshold)
        feed = self._resources.feed
        shadow = Shadow(feed, pin)
        lost: list[LostPerson] = []
        embedder = _Embedder(engine, self._resources.store, shadow, self._life.yield_progress(progress))
        try:
            swapped = pin.digest == feed.pin.digest
            if not swapped:
                shadow.begin()
                shadow.remove_damaged()
            while not swapped:
                embedder.run(self._check_open)
                lost = shadow.lost_people()
                if lost and not leave:
                    if shadow.pending(embedder.after, 1):
                        continue  # somebody was registered just now
                    break
                with self._life.exclusive():
                    renew = partial(thresholds.renew, previous=self._resources.decide())
                    swapped, late = shadow.switch(kind, embedder.embed, after=embedder.after, leave=leave, renew=renew)
                    embedder.moved += late
                    if swapped:
                        self._resources.switch_to(engine, pin, thresholds)
        except GalleryPackError:
            if self._resources.feed is feed:
                raise
            return self._move(kind, engine, threshold, leave, progress)  # another thread moved it meanwhile
        if swapped:
            lost = shadow.lost_people()
        return Migration(
            pack=pin.name,
            pack_digest=pin.digest,
            swapped=swapped,
            moved=embedder.moved,
            without_photo=tuple(person.person_id for person in lost if not person.has_photo),
            without_face=tuple(person.person_id for person in lost if person.has_photo),
            refused=tuple(embedder.refused.values()),
        )

    def _check_open(self) -> None:
        """End the work when the gallery is being closed, which waits for it."""
        if self._life.closing:
            raise GalleryClosedError(f"gallery {self._resources.feed.name!r} was closed; migrate again to resume")


@dataclass(slots=True)
class _Embedder:
    """Embeds the faces of a gallery that have no template of another pack.

    Attributes
    ----------
    after : int
        The last face that was processed.
    moved : int
        Number of templates that were made.
    refused : dict of int to Refusal
        Face → why it has none.
    """

    engine: Engine
    store: Store
    shadow: Shadow
    progress: Progress
    after: int = 0
    moved: int = 0
    refused: dict[int, Refusal] = field(default_factory=dict)

    def run(self, check_open: Callable[[], None]) -> None:
        """Embed every face with a photo, `BATCH` in a commit; after each, `check_open` may end the run."""
        number = self.moved + len(self.refused) + self.shadow.count_pending()
        while batch := self.shadow.pending(self.after, BATCH):
            self.moved += self.shadow.insert(self.embed(batch))
            self.after = batch[-1].face_id
            done = self.moved + len(self.refused)
            self.progress(done, max(done, number))
            check_open()

    def embed(self, batch: Sequence[PendingFace]) -> dict[int, NDArray[np.float32]]:
        """Embed faces from their photos; add those that cannot be to `refused`."""
        photos = self._photos(batch)
        stored = [face for face in batch if face.face_id in photos]  # the others were deleted meanwhile
        analyses = self.engine.analyze_many([photos[face.face_id] for face in stored]) if stored else []
        embeddings = {}
        for face, analysis in zip(stored, analyses, strict=True):
            try:
                if isinstance(analysis, FacedexError):
                    raise analysis
                embeddings[face.face_id] = self._embed_face(face, analysis, photos[face.face_id])
            except FacedexError as error:
                self._refuse(face, error)
        return embeddings

    def _photos(self, batch: Sequence[PendingFace]) -> Mapping[int, bytes]:
        try:
            return self.store.originals([face.face_id for face in batch])
        except FacedexError as error:
            if len(batch) > 1:
                half = len(batch) // 2
                return {**self._photos(batch[:half]), **self._photos(batch[half:])}
            if not isinstance(error, PhotoIntegrityError):
                raise
            self._refuse(batch[0], error)
            return {}

    def _refuse(self, face: PendingFace, error: FacedexError) -> None:
        self.refused[face.face_id] = Refusal(face.face_id, face.person_id, error)

    def _embed_face(self, face: PendingFace, analysis: Analysis, photo: bytes) -> NDArray[np.float32]:
        embedding = _embedding_at(face.bbox, analysis)
        if embedding is None:  # it may have been registered with a smaller least face than the pack's own
            height = int(face.bbox[3] - face.bbox[1])
            embedding = _embedding_at(face.bbox, self.engine.analyze(photo, min_face=max(1, height // 2)))
        if embedding is None:
            raise NoFaceError(
                f"pack {self.engine.pack.name!r} finds no face where face {face.face_id} of {face.person_id!r} is in "
                "its photo; register the person again from another picture"
            )
        return embedding


def _embedding_at(bbox: BBox, analysis: Analysis) -> NDArray[np.float32] | None:
    """Return the embedding of the face whose box overlaps most with a given one; None when none overlaps enough."""
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
