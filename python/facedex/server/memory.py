"""What the database has said of keys and tokens, remembered for as long as nobody has committed anything since.

So a request with a key need not wait for the database, and a key that is revoked is of no use at once all the same, in
every process. Where the database cannot tell at once whether somebody has committed, nothing is remembered.
"""

from __future__ import annotations

import time

from ..store import Database
from ..store.clock import now
from .principals import Principal

_LONGEST_S = 60.0  # after which the time of a key's last use is due
_MOST = 1024


class Memory:
    """Answers of a database.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, tuple[int, Principal, float]] = {}

    def stamp(self) -> int | None:
        """Take this before the question is put to the database, and give it to `keep`."""
        return self._database.data_version()

    def keep(self, stamp: int | None, question: str, answer: Principal) -> None:
        """Remember an answer, until it ends by itself or anybody commits.

        Parameters
        ----------
        stamp : int or None
        question : str
            No secret.
        answer : Principal
        """
        if stamp is None:
            return
        holds_s = _LONGEST_S
        if answer.until is not None:
            holds_s = min(holds_s, (answer.until - now()).total_seconds())
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[question] = stamp, answer, time.monotonic() + holds_s

    def recall(self, question: str) -> Principal | None:
        """Return an answer that still holds; waits for nothing."""
        found = self._known.get(question)
        if found is None:
            return None
        stamp, answer, until = found
        return answer if stamp == self._database.data_version() and time.monotonic() < until else None
