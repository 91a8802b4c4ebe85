"""Judges pictures that are labelled as live or as presentation attacks: APCER and BPCER of ISO/IEC 30107-3.

As where liveness is required, a face that cannot be judged does not pass. Of several faces the largest is judged.
"""

from __future__ import annotations

from ..engine import Engine
from ..errors import FacedexError, RoleMissingError
from . import rates
from .figures import AttackRate
from .picture_set import AttackSet
from .verification import Estimate

ADD_ON = "liveness"
"""The pack that adds liveness to one that has none."""


def judge_attacks(engine: Engine, attacks: AttackSet) -> tuple[AttackRate, ...]:
    """Measure how many attacks of each kind pass as live, and how many live people do not.

    Parameters
    ----------
    engine : Engine
        With a network for liveness, of its own or added.
    attacks : AttackSet

    Returns
    -------
    tuple of AttackRate
        The live people first, then each kind of attack, the worst first. Limits are those of Wilson: presentations are
        taken to be independent.

    Raises
    ------
    RoleMissingError
        The engine has no network for liveness.
    """
    if not any("liveness" in pack.roles for pack in (engine.pack, *engine.added)):
        raise RoleMissingError(
            f"pack {engine.pack.name!r} has no network for liveness; add one: Engine(add=['{ADD_ON}']), on the command "
            f"line --add {ADD_ON}"
        )
    judged: list[bool | None] = []
    for analysis in engine.analyze_many(attacks.pictures, max_faces=1, embed=False, liveness=True):
        liveness = None if isinstance(analysis, FacedexError) or not len(analysis) else analysis[0].liveness
        judged.append(None if liveness is None or liveness.status == "unavailable" else liveness.live)
    found = []
    for kind in dict.fromkeys([None, *sorted({kind for kind in attacks.kinds if kind is not None})]):
        places = [place for place, given in enumerate(attacks.kinds) if given == kind]
        if not places:
            continue
        passed = [place for place in places if judged[place]]
        errors = len(places) - len(passed) if kind is None else len(passed)
        limits = rates.rate_limits(errors, len(places))
        found.append(
            AttackRate(
                kind,
                Estimate(errors / len(places), *limits, len(places)),
                errors,
                sum(judged[place] is None for place in places),
                tuple(attacks.names[place] for place in passed),
            )
        )
    return tuple(sorted(found, key=lambda rate: (rate.kind is not None, -rate.error.value, rate.kind or "")))
