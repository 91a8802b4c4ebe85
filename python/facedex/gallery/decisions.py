"""Which threshold a gallery decides by: the rule, the pack's tail, the gallery's own, and the number of people.

The basis, which is stored with the gallery, says for how many people a threshold is chosen; see facedex.store.basis.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..config import settings
from ..options import ScoreOptions
from ..store import Basis, Feed, Transaction, renew_basis
from ..thresholds import (
    GALLERY_RULE,
    PAIR_RULE,
    SIGN_IN_RULE,
    Decision,
    Origin,
    Rule,
    Tail,
    combine,
    decide,
    pair_rule,
    parse_rule,
    prior_of,
)

if TYPE_CHECKING:
    from .._core import PackInfo

_log = logging.getLogger("facedex")

_MOVED = 5e-4  # a threshold that moves by less is the same in the audit

_BEYOND = 10.0  # the rate, below the pack's least, at which two ids are taken for one person


class Thresholds:
    """Chooses the thresholds of a gallery.

    Parameters
    ----------
    pack : PackInfo
        The pack of the gallery.
    rule : float, FMR, FPIR, str or None
        What the gallery was opened with; None is the setting, else ``FPIR(0.01)`` for recognizing and ``FMR(1e-4)`` for
        verifying.
    max_fmr : float
        `FPIR` allows no higher false match rate of a comparison, however few people.
    scoring : ScoreOptions
        How similar a face is to a person. Only fused templates have a tail of their own; the others are compared by
        that of one picture.

    Raises
    ------
    ArgumentError
        When the rule is none, or none is given and the pack states no measurement.
    RateError
        When the pack's data do not support the rate that is given.
    """

    def __init__(self, pack: PackInfo, rule: Rule | str | None, max_fmr: float, scoring: ScoreOptions) -> None:
        given = settings().threshold if rule is None else rule
        self.rule: Rule | None = None if given is None else parse_rule(given)
        self.max_fmr = max_fmr
        self._pack = pack
        self._prior = prior_of(pack)
        self._scoring = scoring
        self.check(None)

    def check(self, basis: Basis | None) -> None:
        """Refuse a rate that the data do not support for the people who are registered, or a pack without data."""
        known = Basis(1, 1, 0) if basis is None else basis
        people = max(known.people, 1)
        self.recognize(None, people=people, faces=known.faces, basis=known, strict=self.rule is not None)

    def recognize(
        self, rule: Rule | None, *, people: int, faces: int, basis: Basis | None, strict: bool = False
    ) -> Decision:
        """Choose the threshold for a face that is compared with everybody.

        Parameters
        ----------
        rule : float, FMR, FPIR or None
            None is the gallery's.
        people, faces : int
            How many there are.
        basis : Basis or None
            What the gallery has stored.
        strict : bool
            Whether a rate of the gallery that the data do not support is refused. While it is open it must go on
            deciding, by the lowest rate that they do; a rate that is given here is always refused.
        """
        given = self.rule if rule is None else rule
        chosen = GALLERY_RULE if given is None else given
        known = Basis(people, faces, 0) if basis is None else basis
        if self._scoring.score == "closest":  # every stored face is one more chance
            people, known = faces, Basis(known.faces, known.faces, 0)
        tail, origin = self._tail(known.pictures, known.tail)
        return decide(
            chosen,
            tail,
            origin,
            people=people,
            basis=known.people,
            max_fmr=self.max_fmr,
            strict=rule is not None or strict,
        )

    def verify(self, rule: Rule | None, *, faces: int, basis: Basis | None) -> Decision:
        """Choose the threshold for a face that is compared with one person, who has so many faces."""
        given = pair_rule(self.rule) if rule is None else rule
        tail, origin = self._tail(faces, None if basis is None else basis.tail)
        return decide(
            PAIR_RULE if given is None else given,
            tail,
            origin,
            people=1 if self._scoring.score != "closest" else faces,
            max_fmr=self.max_fmr,
            strict=given is not None,
        )

    def sign_in(self, *, faces: int, basis: Basis | None) -> Decision:
        """Choose the threshold for signing in by face as a person who has so many faces.

        It keeps a false match rate of 1e-5, or the lowest that the data support, and is never below that for verifying,
        be it a rate or a similarity.
        """
        verifying = self.verify(None, faces=faces, basis=basis)
        tail, origin = self._tail(faces, None if basis is None else basis.tail)
        if tail is None:
            return verifying
        strict = decide(SIGN_IN_RULE, tail, origin, people=verifying.people, strict=False)
        return max(verifying, strict, key=lambda one: one.threshold)

    def renew(
        self, feed: Feed, transaction: Transaction, position: int, faces: int, previous: Decision | None = None
    ) -> None:
        """Renew the basis in the transaction that changes the people, and write a threshold that moves to the audit.

        `previous` is the decision of the previous pack, in the transaction that switches to this one.
        """
        if feed.pin.digest != self._pack.digest:
            return
        renewed = renew_basis(feed, transaction, position, faces, self._ceiling())
        if renewed is None:
            return
        before, after = renewed
        new = self.recognize(None, people=after.people, faces=after.faces, basis=after)
        old = previous
        if before is not None and self._scoring.score == "fused":
            old = self.recognize(None, people=before.people, faces=before.faces, basis=before)
        if old is not None and abs(new.threshold - old.threshold) >= _MOVED:
            transaction.log_event(
                "threshold",
                people=after.people,
                rule=new.rule,
                origin=new.origin,
                previous=round(old.threshold, 5),
                threshold=round(new.threshold, 5),
            )

    def with_pack(self, pack: PackInfo, rule: Rule | str | None) -> Thresholds:
        """Return the thresholds of another pack, by another rule where one is given."""
        kept = None if isinstance(self.rule, float) else self.rule
        return Thresholds(pack, kept if rule is None else rule, self.max_fmr, self._scoring)

    def _tail(self, pictures: float, own: Tail | None) -> tuple[Tail | None, Origin]:
        if self._scoring.score != "fused":
            pictures, own = 1.0, None
        return combine(None if self._prior is None else self._prior.tail(pictures), own)

    def _ceiling(self) -> float | None:
        """Return the similarity from which two ids are one person: a tenth of the least rate of the pack's tail."""
        if self._prior is None:
            return None
        tail = self._prior.tail()
        rate, cosine = tail.least_rate, tail.threshold(tail.least_rate)
        return min(0.99, 2 * cosine - tail.threshold(_BEYOND * rate))
