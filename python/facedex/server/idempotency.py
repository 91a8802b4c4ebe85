"""Idempotency records: a write that is repeated with its Idempotency-Key is done once.

The first request records its key; its response is kept for a day. The same key with another request is refused. A
request without a response, because its process died, can be repeated after five minutes.
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
from .tables import idempotency
from .writing import insert_once

KEPT = timedelta(hours=24)
"""How long a response is kept."""

_CUT_OFF = timedelta(minutes=5)  # a request without a response by then has died
_PRUNED_EVERY = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response that is sent again.

    Attributes
    ----------
    status : int
    media_type : str
    body : bytes
    headers : dict of str to str
        Further headers, such as Location.
    """

    status: int
    media_type: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict, hash=False)


class IdempotencyRecords:
    """The idempotency records of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pruned: datetime | None = None

    def begin(self, key: str, request: str) -> StoredResponse | None:
        """Record that a request is being processed.

        Parameters
        ----------
        key : str
            Caller, route and Idempotency-Key.
        request : str
            Digest of the body.

        Returns
        -------
        StoredResponse or None
            The response to the first request; None if this is the first.

        Raises
        ------
        RepeatedKeyError
            When the key was used for another request.
        RepeatedNowError
            When the first is still being processed.
        """
        at, digest = now(), _digest(key)
        self._prune(at)
        fresh = {"request": request, "created_at": at, "status": None, "body": None, "subject": None}
        query = sa.select(idempotency).where(idempotency.c.digest == digest).with_for_update()
        row = None
        while row is None:  # again if it was dropped in between
            if insert_once(self._database, idempotency, fresh | {"digest": digest}):
                return None
            with self._database.write() as connection:
                row = connection.execute(query).one_or_none()
                kept = KEPT if row is not None and row.status is not None else _CUT_OFF
                age = None if row is None else passed(row.created_at, at)
                if row is not None and (age is None or age >= kept):
                    connection.execute(idempotency.update().where(idempotency.c.digest == digest).values(fresh))
                    return None
        if row.request != request:
            raise RepeatedKeyError("this Idempotency-Key was used for another request; use a new one")
        if row.status is None:
            raise RepeatedNowError("a request with this Idempotency-Key is being processed; try again later")
        head, _, body = row.body.partition(b"\n")
        return StoredResponse(row.status, row.media_type, body, json.loads(head))

    def complete(self, key: str, response: StoredResponse, subject: str | None = None) -> None:
        """Store the response, unless a person was deleted while it was made.

        Parameters
        ----------
        key : str
            As for `begin`.
        response : StoredResponse
        subject : str, optional
            The people whom it names, from `facedex.server.forgetting.subject_of`: it is deleted with them.
        """
        stored = json.dumps(response.headers).encode() + b"\n" + response.body  # JSON of one line
        values: dict[str, Any] = {"status": response.status, "media_type": response.media_type, "body": stored}
        values["subject"] = subject
        mine = idempotency.c.digest == _digest(key)
        with self._database.write() as connection:
            begun = sa.and_(mine, idempotency.c.subject.is_(None))
            if connection.execute(idempotency.update().where(begun).values(values)).rowcount == 0:
                connection.execute(idempotency.delete().where(mine))

    def drop(self, key: str) -> None:
        """Delete the record of a request that failed for a passing reason and can be repeated."""
        with self._database.write() as connection:
            connection.execute(idempotency.delete().where(idempotency.c.digest == _digest(key)))

    def _prune(self, at: datetime) -> None:
        since = None if self._pruned is None else passed(self._pruned, at)
        if since is None or since >= _PRUNED_EVERY:
            self._pruned = at
            with self._database.write() as connection:
                connection.execute(idempotency.delete().where(idempotency.c.created_at < at - KEPT))


def _digest(text: str) -> str:
    """Return the SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
