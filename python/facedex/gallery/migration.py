"""A gallery moved to another pack: its faces embedded again from the photos that were kept, and the way back.

The gallery answers with its present pack until every face that has a photo has a template of the other one; then one
commit binds it to that. A run that was broken off, however hard, is gone on with by the next.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import Literal

from ..checks import check_choice, check_threshold
from ..coroutines import make_coroutine
from ..engine import Engine
from ..errors import (
    ArgumentError,
    GalleryClosedError,
    GalleryPackError,
    MigrationError,
    RoleMissingError,
    SearchError,
)
from ..options import WithoutPhoto
from ..records import PersonId
from ..store import LostPerson, PackPin, Shadow, previous_pack
from .album import Album
from .recognition import Identifier
from .reembedding import Mover, Refusal
from .registration import Progress

_log = logging.getLogger("facedex")


@dataclass(frozen=True, slots=True)
class Migration:
    """How far a gallery has come on its way to another pack, or back.

    Attributes
    ----------
    pack, pack_digest : str
        The pack to which it goes.
    swapped : bool
        Whether the gallery is of that pack now. If not, nothing that it answers has changed, and what was made is kept
        for the next try.
    moved : int
        How many faces this call embedded.
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

    def __repr__(self) -> str:
        lost = len(self.without_photo) + len(self.without_face)
        tail = f", {lost} without a template" if lost else ""
        done = "swapped" if self.swapped else "not swapped"
        return f"Migration(to {self.pack!r}, {self.moved} faces moved{tail}, {done})"


@dataclass(frozen=True, slots=True)
class Finish:
    """What was removed when a move to another pack was made final, or given up.

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


class Moving(Album):
    """The people of a gallery, what is owed to them, and its pack."""

    _identifier: Identifier

    def migrate(
        self,
        pack: str | os.PathLike[str] | None = None,
        *,
        engine: Engine | None = None,
        threshold: float | None = None,
        without_photo: WithoutPhoto = "stop",
        progress: Progress | None = None,
    ) -> Migration:
        """Move the gallery to another pack, by embedding its faces again from the original photos that it kept.

        Until the end the gallery goes on answering, registering and deleting with its present pack. It can be broken
        off at any moment; called again it goes on. At the end it is bound to the other pack in one commit, and so is
        this object; whoever else has it open is told by a `GalleryPackError` to open it again.

        Parameters
        ----------
        pack : str or PathLike, optional
            The pack to move to.
        engine : Engine, optional
            An engine to use; its pack is moved to, and `pack` is not read.
        threshold : float, optional
            Cut-off on similarity from then on, [-1, 1], inclusive; without it that of the other pack.
        without_photo : {"stop", "leave"}
            What is done when people would be left without a template, because no original photo of them was kept or
            their faces are not found in it again: leave the gallery as it is, or move it without them. Then they stay
            registered, and are not recognised until they are registered again or the gallery is rolled back.
        progress : callable, optional
            Called with the number of faces done and of all.

        Returns
        -------
        Migration
            Whom it would leave behind, and whether the gallery was moved.

        Raises
        ------
        MigrationError
            When somebody else ended it meanwhile.
        ArgumentError
            When the pack states no threshold and none is given.
        GalleryClosedError
            When the gallery is closed meanwhile.
        StoreError
        """
        with self._life.call():
            check_choice("without_photo", without_photo, WithoutPhoto)
            if engine is None and pack is None:
                raise ArgumentError("name the pack to move to: migrate(pack)")
            to = engine if engine is not None else Engine(pack if pack is not None else "")
            return self._move("migrate", to, threshold, without_photo == "leave", progress)

    def rollback(
        self,
        *,
        engine: Engine | None = None,
        threshold: float | None = None,
        without_photo: WithoutPhoto = "stop",
        progress: Progress | None = None,
    ) -> Migration:
        """Move the gallery back to the pack that it was of before, until `finish_migration`.

        Templates of that pack are still there; faces that were registered since are embedded from their photos.

        Parameters
        ----------
        engine : Engine, optional
            An engine of that pack, where it is none that facedex knows by name.
        threshold, without_photo, progress
            As in `migrate`.

        Returns
        -------
        Migration

        Raises
        ------
        MigrationError
            When there is no pack to go back to.
        GalleryPackError
            When the engine is of another pack.
        """
        with self._life.call():
            check_choice("without_photo", without_photo, WithoutPhoto)
            past = previous_pack(self._feed)
            if past is None:
                raise MigrationError(
                    f"gallery {self._feed.name!r} was not moved from another pack, or that was finished: there is no "
                    "way back"
                )
            to = Engine(past.name) if engine is None else engine
            if to.pack.digest != past.digest:
                raise GalleryPackError(
                    f"the gallery was of pack {past.name!r} ({past.digest[:12]}) before, and the engine is of "
                    f"{to.pack.name!r} ({to.pack.digest[:12]}); give an engine of that pack (engine=...)",
                    stored=past.name,
                    opened=to.pack.name,
                )
            return self._move("rollback", to, threshold, without_photo == "leave", progress)

    def finish_migration(self) -> Finish:
        """Remove the templates of every other pack: of the one before, and of a migration that is given up.

        After it there is no way back. Faces that were left behind, because they have no template of the gallery's
        pack, are removed with the photos that show no other face; the people stay.

        Returns
        -------
        Finish
        """
        with self._life.call():
            self._search.forget()
            removed, gone = self._store.finish_migration()
            return Finish(removed.templates, tuple(gone), removed.photos, self._wiped())

    amigrate = make_coroutine(migrate)
    arollback = make_coroutine(rollback)
    afinish_migration = make_coroutine(finish_migration)

    def _move(
        self,
        kind: Literal["migrate", "rollback"],
        engine: Engine,
        threshold: float | None,
        leave: bool,
        progress: Progress | None,
    ) -> Migration:
        if engine.pack.dimension is None:
            raise RoleMissingError(f"pack {engine.pack.name!r} has no embedder; move to a pack that has one")
        pin = PackPin(engine.pack.name, engine.pack.digest, engine.pack.dimension)
        cut = check_threshold(engine.threshold if threshold is None else threshold)
        shadow = Shadow(self._feed, pin)
        lost: list[LostPerson] = []
        mover = Mover(engine, self._store, shadow, self._giving_way(progress))
        try:
            swapped = pin.digest == self._feed.pin.digest
            if not swapped:
                shadow.begin()
                shadow.remove_damaged()
            while not swapped:
                mover.run(self._unless_closing)
                lost = shadow.lost_people()
                if lost and not leave:
                    if shadow.pending(mover.after, 1):
                        continue  # somebody was registered just now
                    break
                with self._life.alone():
                    swapped, late = shadow.switch(kind, mover.embed, after=mover.after, leave=leave)
                    mover.moved += late
                    if swapped:
                        self._adopt(engine, pin, cut)
        except GalleryPackError:
            if shadow.feed is self._feed:
                raise
            return self._move(kind, engine, threshold, leave, progress)  # another thread moved it meanwhile
        if swapped:
            lost = shadow.lost_people()
        return Migration(
            pack=pin.name,
            pack_digest=pin.digest,
            swapped=swapped,
            moved=mover.moved,
            without_photo=tuple(one.person_id for one in lost if not one.has_photo),
            without_face=tuple(one.person_id for one in lost if one.has_photo),
            refused=tuple(mover.refused.values()),
        )

    def _adopt(self, engine: Engine, pin: PackPin, cut: float) -> None:
        """Answer with another pack from now on; nobody else is in the midst of a call."""
        try:
            self._search.forget()  # what it holds is of the pack before
        except SearchError as error:
            _log.warning("%s", error)
        feed, store, search = self._on(self._feed.with_pack(pin))
        self._search.close()
        self._registrar.take(engine, store, search, cut)
        self._identifier.take(engine, store, search, cut)
        self._feed, self._store, self._search, self._pack = feed, store, search, engine.pack

    def _unless_closing(self) -> None:
        """End the work when somebody has closed the gallery, who waits for it."""
        if self._life.closing:
            raise GalleryClosedError(f"gallery {self._feed.name!r} was closed; migrate again to go on with it")
