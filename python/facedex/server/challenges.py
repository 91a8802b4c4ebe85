"""Challenges of the active liveness check: issued to one caller, answered once, within half a minute.

A challenge is known by a secret id, of which the database holds the digest. It is used up before its answer is judged,
so that no second answer is accepted, whether the first passed or not.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from ..challenge import ACTIONS, Action, choose_actions
from ..errors import ChallengeTimeError, ChallengeUnknownError, ChallengeUsedError
from ..store import Database
from ..store.clock import now, passed
from .secrets import digest_of
from .tables import challenges

VALID_S = 30
"""How long a challenge can be answered, seconds."""

LEAST_S = 0.5
"""The shortest time for each action, seconds: nobody turns the head faster."""

_KEPT = timedelta(minutes=10)  # after its issue: until then an answer learns that it came too late
_PRUNED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge, as it is shown to its caller.

    Attributes
    ----------
    challenge_id : str
        Secret; the answer names it.
    actions : tuple of {"turn_left", "turn_right", "come_closer"}
        What the person is to do, in this order; left and right are the person's own. Before each action the person
        looks straight ahead.
    expires_at : datetime
        UTC.
    valid_s : int
        How long it can be answered, seconds.
    """

    challenge_id: str
    actions: tuple[Action, ...]
    expires_at: datetime
    valid_s: int = VALID_S

    def __repr__(self) -> str:
        return f"Challenge({', '.join(self.actions)}; until {self.expires_at})"


class Challenges:
    """The challenges of a database.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pruned: datetime | None = None

    def issue(self, caller: str, *, count: int = ACTIONS) -> Challenge:
        """Issue a challenge with actions chosen at random.

        Parameters
        ----------
        caller : str
            Who may answer it: a key, an account or an address.
        count : int
            Number of actions.
        """
        at, challenge_id, actions = now(), secrets.token_urlsafe(24), choose_actions(count)
        self._prune(at)
        values = {
            "digest": digest_of(challenge_id),
            "caller": digest_of(caller),
            "actions": " ".join(actions),
            "created_at": at,
        }
        with self._database.write() as connection:
            connection.execute(challenges.insert().values(values))
        return Challenge(challenge_id, actions, at + timedelta(seconds=VALID_S))

    def use(self, challenge_id: str, caller: str) -> tuple[Action, ...]:
        """Use up a challenge and return its actions.

        Parameters
        ----------
        challenge_id : str
        caller : str
            As for `issue`.

        Raises
        ------
        ChallengeUnknownError
            When it was not issued to this caller.
        ChallengeUsedError
            When it was used before.
        ChallengeTimeError
            When it has expired, or was issued so shortly before that nobody can have followed it.
        """
        at = now()
        mine = sa.and_(challenges.c.digest == digest_of(challenge_id), challenges.c.caller == digest_of(caller))
        with self._database.write() as connection:
            row = connection.execute(sa.select(challenges).where(mine).with_for_update()).one_or_none()
            if row is None:
                raise ChallengeUnknownError("this challenge was not issued to this caller, or is long over")
            if row.used_at is not None:
                raise ChallengeUsedError("this challenge was answered before; ask for a new one")
            connection.execute(challenges.update().where(mine).values(used_at=at))
        actions: tuple[Action, ...] = tuple(row.actions.split())
        age = passed(row.created_at, at)
        if age is None or age > timedelta(seconds=VALID_S):
            raise ChallengeTimeError(f"a challenge must be answered within {VALID_S} s; ask for a new one")
        if age < timedelta(seconds=LEAST_S * len(actions)):
            raise ChallengeTimeError(f"nobody follows {len(actions)} actions so fast; ask for a new challenge")
        return actions

    def _prune(self, at: datetime) -> None:
        since = None if self._pruned is None else passed(self._pruned, at)
        if since is None or since >= _PRUNED_EVERY:
            self._pruned = at
            with self._database.write() as connection:
                connection.execute(challenges.delete().where(challenges.c.created_at < at - _KEPT))
