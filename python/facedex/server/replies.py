"""Answers that are given again: a write that is repeated with its Idempotency-Key is done once.

The first request notes its key; its answer is kept for a day. The same key with another request is refused. A request
that was cut off, because its process died, may be done again after a while.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ..errors import RepeatedKeyError, RepeatedNowError
from ..store import Database
from ..store.clock import now, passed
from .rows import inserted_once
from .tables import idempotency

KEPT = timedelta(hours=24)
"""How long an answer is kept."""

_CUT_OFF = timedelta(minutes=5)  # a request that has not been answered by then has died
_PRUNED_EVERY = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer.

    Attributes
    ----------
    status : int
    media_type : str
    body : bytes
    headers : dict of str to str
        What else belongs to it, such as where to find what was made.
    """

    status: int
    media_type: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict, hash=False)


class Replies:
    """The kept answers of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pruned: datetime | None = None

    def begin(self, key: str, request: str) -> Reply | None:
        """Note that a request is being answered.

        Parameters
        ----------
        key : str
            Who asks for what with which Idempotency-Key.
        request : str
            Digest of what was sent.

        Returns
        -------
        Reply or None
            The answer that was given before; None when this is the first.

        Raises
        ------
        RepeatedKeyError
            When the key was used for another request.
        RepeatedNowError
            When the first is being answered now.
        """
        at, digest = now(), digest_of(key)
        self._prune(at)
        fresh = {"request": request, "created_at": at, "status": None, "body": None, "subject": None}
        query = sa.select(idempotency).where(idempotency.c.digest == digest).with_for_update()
        row = None
        while row is None:  # again where it was dropped meanwhile
            if inserted_once(self._database, idempotency, fresh | {"digest": digest}):
                return None
            with self._database.write() as connection:
                row = connection.execute(query).one_or_none()
                kept = KEPT if row is not None and row.status is not None else _CUT_OFF
                age = None if row is None else passed(row.created_at, at)
                if row is not None and (age is None or age >= kept):
                    connection.execute(idempotency.update().where(idempotency.c.digest == digest).values(fresh))
                    return None
        if row.request != request:
            raise RepeatedKeyError("this Idempotency-Key was used for another request; draw a new one")
        if row.status is None:
            raise RepeatedNowError("a request with this Idempotency-Key is being answered; try again later")
        head, _, body = row.body.partition(b"\n")
        return Reply(row.status, row.media_type, body, json.loads(head))

    def keep(self, key: str, reply: Reply, subject: str | None = None) -> None:
        """Keep the answer, unless somebody was deleted while it was made.

        Parameters
        ----------
        key : str
            As for `begin`.
        reply : Reply
        subject : str, optional
            Whom it names, as `facedex.server.forgetting.subject_of` tells: it goes with them.
        """
        stored = json.dumps(reply.headers).encode() + b"\n" + reply.body  # JSON of one line
        values: dict[str, Any] = {"status": reply.status, "media_type": reply.media_type, "body": stored}
        values["subject"] = subject
        mine = idempotency.c.digest == digest_of(key)
        with self._database.write() as connection:
            begun = sa.and_(mine, idempotency.c.subject.is_(None))
            if connection.execute(idempotency.update().where(begun).values(values)).rowcount == 0:
                connection.execute(idempotency.delete().where(mine))

    def drop(self, key: str) -> None:
        """Let the request be done again: it failed for a reason that passes."""
        with self._database.write() as connection:
            connection.execute(idempotency.delete().where(idempotency.c.digest == digest_of(key)))

    def _prune(self, at: datetime) -> None:
        since = None if self._pruned is None else passed(self._pruned, at)
        if since is None or since >= _PRUNED_EVERY:
            self._pruned = at
            with self._database.write() as connection:
                connection.execute(idempotency.delete().where(idempotency.c.created_at < at - KEPT))


def digest_of(text: str) -> str:
    """Return the SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
