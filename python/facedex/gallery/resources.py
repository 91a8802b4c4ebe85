"""What an open gallery works with: its engine, database, store and search.

The objects behind the verbs share one `Resources`. A migration replaces engine, store and search in it at once, while
no other call is running.
"""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import PlainSearchError, RoleMissingError, SearchError, StoreError
from ..options import ScoreOptions
from ..search import LOCAL, Search, SearchOptions, drop_tables, open_search
from ..store import (
    AuditLog,
    Basis,
    Database,
    Eraser,
    Feed,
    KeyInput,
    PackPin,
    Store,
    count_registered,
    key_of,
    read_basis,
    rekey,
)
from ..thresholds import Decision, Rule
from .candidates import Candidates
from .decisions import Thresholds
from .outliers import OutlierFinder

if TYPE_CHECKING:
    from .._core import PackInfo
    from ..engine import Engine

_log = logging.getLogger("facedex")

_DECIDED = 64  # decisions kept in memory: callers may name any number of rules


class Resources:
    """Engine, database, store and search of a gallery.

    Parameters
    ----------
    database : Database
    engine : Engine
    name : str
        The gallery's name.
    index : SearchOptions
        How and where faces are searched.
    scoring : ScoreOptions
        How similar a face is to a person.
    key : bytes or None
        The gallery's key.
    journal : AuditLog
        Writes the audit.
    eraser : callable
        Deletes what is stored about a person beside the gallery.
    threshold : float, FMR, FPIR, str or None
        Cut-off on similarity, [-1, 1], inclusive, or a rate; None is the default.
    max_fmr : float
        A rate over all people allows no higher false match rate of a comparison.

    Raises
    ------
    GalleryPackError
        When the gallery was made with another pack.
    GalleryKeyError
        When the key is not the gallery's.
    RoleMissingError
        When the pack has no embedder.
    """

    def __init__(
        self,
        database: Database,
        engine: Engine,
        *,
        name: str,
        index: SearchOptions,
        scoring: ScoreOptions,
        key: bytes | None,
        journal: AuditLog,
        eraser: Eraser,
        threshold: Rule | str | None,
        max_fmr: float,
    ) -> None:
        self.database = database
        self.scoring = scoring
        self._index = replace(index, fused=scoring.score == "fused")
        self._counted: tuple[tuple[int, str], int] = ((0, ""), 0)
        self._eraser = eraser
        pin, thresholds = pin_of(engine), Thresholds(engine.pack, threshold, max_fmr, scoring)
        feed = Feed(database, name, journal)
        feed.bind(pin, key)
        thresholds.check(read_basis(feed))
        self._use(engine, feed, thresholds)

    def _use(self, engine: Engine, feed: Feed, thresholds: Thresholds) -> None:
        self.search: Search = open_search(feed, self._index)
        self.engine, self.pack, self.thresholds = engine, engine.pack, thresholds
        feed.on_change = thresholds.renew
        self._based: tuple[tuple[int, str], Basis | None] | None = None
        self._decided: dict[tuple[tuple[int, str], Rule | None], Decision] = {}
        self.feed, self.store = feed, Store(feed, self._eraser)
        self.candidates = Candidates(self.store, fused=self._index.fused)
        self.outliers = OutlierFinder(engine.pack)

    def count_people(self) -> int:
        """Count the people who can be recognized: those with a template of the pack, in the state of the search."""
        if self._index.fused:
            return len(self.search)
        at, number = self._counted
        if at != self.search.at:
            at = self.search.at
            number = count_registered(self.feed)
            self._counted = (at, number)
        return number

    def decide(self, rule: Rule | None = None) -> Decision:
        """Choose the threshold for recognizing, in the state of the search; it is cached until that changes."""
        at, basis = self._basis()
        decision = self._decided.get((at, rule))
        if decision is None:
            people = self.count_people()
            faces = people if basis is None else round(people * basis.pictures)
            decision = self.thresholds.recognize(rule, people=people, faces=faces, basis=basis)
            kept = {key: one for key, one in self._decided.items() if key[0] == at}
            self._decided = (kept if len(kept) < _DECIDED else {}) | {(at, rule): decision}
        return decision

    def decide_pair(self, rule: Rule | None, faces: int) -> Decision:
        """Choose the threshold for verifying a person who has so many faces."""
        return self.thresholds.verify(rule, faces=faces, basis=self._basis()[1])

    def decide_sign_in(self, faces: int | None) -> Decision:
        """Choose the threshold for signing in as a person who has so many faces; None is whoever is recognized."""
        basis = self._basis()[1]
        if faces is not None:
            return self.thresholds.sign_in(faces=faces, basis=basis)
        mean = 1 if basis is None else math.ceil(basis.pictures)
        # The people are compared with all, and so the threshold is not below that for recognizing either.
        return max(self.decide(), self.thresholds.sign_in(faces=mean, basis=basis), key=lambda one: one.threshold)

    def _basis(self) -> tuple[tuple[int, str], Basis | None]:
        """Return the state of the search, and what the thresholds are chosen from; it is read again after a change."""
        based = self._based
        if based is None or based[0] != self.search.at:
            at = self.search.at
            based = self._based = (at, read_basis(self.feed))
        return based

    def switch_to(self, engine: Engine, pin: PackPin, thresholds: Thresholds) -> None:
        """Use another pack from now on; no other call may be running."""
        try:
            self.search.forget()  # its vectors are of the previous pack
        except SearchError as error:
            _log.warning("%s", error)
        previous = self.search
        self._use(engine, self.feed.with_pack(pin), thresholds)
        previous.close()

    def wipe(self) -> bool:
        """Overwrite what may still hold data whose removal is committed; return whether nothing of it is left."""
        try:
            self.search.sync()
            self.candidates.clear()
            elsewhere = self.search.vacuum()
            return self.database.wipe_log() and elsewhere
        except (SearchError, StoreError) as error:
            _log.warning("removed, but what may still hold it could not be emptied yet: %s", error)
            return False

    def vacuum(self) -> bool:
        """Rewrite the database and the search without deleted data; return whether nothing of it is left."""
        self.database.check_writable()
        self.search.forget()
        if self.search.place != LOCAL:
            self.search.sync()
        elsewhere = self.search.vacuum(full=True)
        return self.database.vacuum() and elsewhere

    def rekey(self, key: KeyInput | None) -> bool:
        """Encrypt the gallery with another key, or none; return whether nothing of the old state is left."""
        given = None if key is None else key_of(key)
        if given is not None and self.search.place != LOCAL:
            raise PlainSearchError(
                f"the search {self.search.place} would hold the templates in the clear; open the gallery with "
                "search='local' to encrypt it"
            )
        self.search.forget()
        rekey(self.feed, given)
        if given is not None:
            drop_tables(self.feed)
        self.search.forget()
        return self.wipe()

    def release(self) -> None:
        """Save and close the search, close the database, and let go of the engine and the index."""
        try:
            self.search.save()
            self.search.close()
        finally:
            self.database.close()
            del self.engine, self.store, self.search


def pin_of(engine: Engine) -> PackPin:
    """Return what identifies the pack of an engine in the database, or raise `RoleMissingError`."""
    pack: PackInfo = engine.pack
    if pack.dimension is None:
        raise RoleMissingError(f"pack {pack.name!r} has no embedder; use a pack that has one")
    return PackPin(pack.name, pack.digest, pack.dimension)
