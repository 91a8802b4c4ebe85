"""Long work: begun by one process, watched and cancelled from any, because its row in the database says how it stands.

A job runs in a thread of the process that took it. It notes its progress at most twice a second and reads there whether
it is to stop; after its last step it does not stop any more. A job whose process has died is told as lost.
"""

from __future__ import annotations

import json
import logging
import math
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ..errors import FacedexError, UnknownJobError
from ..server.tables import jobs
from ..store import Database, acting_as
from ..store.clock import now, passed
from ..store.rows import is_storable
from .errors import describe
from .limits import Lane

_log = logging.getLogger("facedex.http")

Progress = Callable[[int, int], object]
"""Called with the number that is done and the number of all."""

ENDED = frozenset({"done", "failed", "cancelled", "lost"})
"""States in which nothing more happens."""

_BEAT_S = 5.0
_LOST = timedelta(seconds=4 * _BEAT_S)
_NOTED_EVERY_S = 0.5
_KEPT = timedelta(days=7)


class CancelledJob(Exception):  # noqa: N818 - no error: somebody asked for it
    """The job was asked to stop; raised by its progress."""


@dataclass(frozen=True, slots=True)
class Job:
    """How a piece of long work stands.

    Attributes
    ----------
    id : str
    kind, gallery : str
    state : {"queued", "running", "done", "failed", "cancelled", "lost"}
    done : int
    total : int or None
    answer : dict
        What it gave, or code and message of its error.
    created_at : datetime
    finished_at : datetime or None
    """

    id: str
    kind: str
    gallery: str
    state: str
    done: int
    total: int | None
    answer: dict[str, Any] = field(hash=False)
    created_at: datetime
    finished_at: datetime | None

    @property
    def ended(self) -> bool:
        """Whether nothing more happens."""
        return self.state in ENDED


class Jobs:
    """The jobs of a database, and the thread in which this process runs its own, one after the other."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lane = Lane("jobs", 1, 16, float("inf"))
        self._running: set[str] = set()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._beat: threading.Thread | None = None

    def begin(self, kind: str, gallery: str, work: Callable[[Progress], dict[str, Any]], *, actor: str) -> Job:
        """Take a job; it runs when those before it have ended.

        Parameters
        ----------
        kind, gallery : str
        work : callable
            Given a function to tell its progress, which raises when the job is to stop.
        actor : str
            Who asked for it, for the audit.

        Raises
        ------
        OverloadedError
            When too many wait.
        """
        number, at = secrets.token_hex(16), now()
        values = {"id": number, "kind": kind, "gallery": gallery, "actor": actor[:255], "state": "queued", "done": 0}
        values |= {"total": None, "cancel": False, "answer": "{}", "created_at": at, "alive_at": at}
        with self._database.write() as connection:
            connection.execute(jobs.delete().where(jobs.c.created_at < at - _KEPT))
            connection.execute(jobs.insert().values(values))
        with self._lock:
            self._running.add(number)
            if self._beat is None:
                self._beat = threading.Thread(target=self._beats, name="facedex-jobs-beat", daemon=True)
                self._beat.start()
        try:
            self._lane.submit(lambda: self._run(number, work, actor))
        except FacedexError as error:
            self._end(number, "failed", describe(error))
            raise
        return self.one(number)

    def one(self, number: str) -> Job:
        """Tell how a job stands; raises UnknownJobError."""
        row = None
        if is_storable(number):
            with self._database.single() as connection:
                row = connection.execute(sa.select(jobs).where(jobs.c.id == number)).one_or_none()
        if row is None:
            raise UnknownJobError(f"there is no job {number!r}")
        return _job_of(row)

    def recent(self, limit: int = 50) -> list[Job]:
        """List jobs, the latest first."""
        query = sa.select(jobs).order_by(jobs.c.created_at.desc(), jobs.c.id).limit(limit)
        with self._database.single() as connection:
            return [_job_of(row) for row in connection.execute(query)]

    def cancel(self, number: str) -> Job:
        """Ask a job to stop; raises UnknownJobError."""
        self.one(number)
        with self._database.write() as connection:
            connection.execute(jobs.update().where(jobs.c.id == number).values(cancel=True))
        return self.one(number)

    def close(self) -> None:
        """Ask the jobs of this process to stop, and wait for them."""
        self._closing.set()
        self._lane.close()

    def _run(self, number: str, work: Callable[[Progress], dict[str, Any]], actor: str) -> None:
        noted = [-math.inf]

        def progress(done: int, total: int) -> None:
            at, whole = time.monotonic(), done >= total > 0
            if self._closing.is_set() and not whole:
                raise CancelledJob
            if at - noted[0] < _NOTED_EVERY_S and done != total:
                return
            noted[0] = at
            mine = jobs.c.id == number
            with self._database.write() as connection:
                connection.execute(jobs.update().where(mine).values(state="running", done=done, total=total))
                stop = connection.execute(sa.select(jobs.c.cancel).where(mine)).scalar()
            if stop and not whole:  # where all is done, that is what is told
                raise CancelledJob

        try:
            progress(0, 0)
            with acting_as(actor):
                answer = work(progress)
            self._end(number, "done", answer)
        except CancelledJob:
            self._end(number, "cancelled", {})
        except FacedexError as error:  # for an administrator, who may know all of it
            self._end(number, "failed", {"code": error.code, "message": str(error)})
        except Exception as error:  # noqa: BLE001 - describe logs what is a fault
            self._end(number, "failed", dict(describe(error)))

    def _end(self, number: str, state: str, answer: dict[str, Any]) -> None:
        values = {"state": state, "answer": json.dumps(answer), "finished_at": now()}
        try:
            with self._database.write() as connection:
                connection.execute(jobs.update().where(jobs.c.id == number).values(values))
        except FacedexError as error:
            _log.error("job %s ended as %s, which could not be noted: %s", number, state, error)
        with self._lock:
            self._running.discard(number)

    def _beats(self) -> None:
        while not self._closing.wait(_BEAT_S):
            with self._lock:
                running = sorted(self._running)
            if not running:
                continue
            try:
                with self._database.write() as connection:
                    connection.execute(jobs.update().where(jobs.c.id.in_(running)).values(alive_at=now()))
            except FacedexError as error:
                _log.warning("the jobs of this process could not say that they run: %s", error)


def _job_of(row: Any) -> Job:
    silent = passed(row.alive_at, now())
    lost = row.finished_at is None and (silent is None or silent > _LOST)
    return Job(
        id=row.id,
        kind=row.kind,
        gallery=row.gallery,
        state="lost" if lost else row.state,
        done=row.done,
        total=row.total or None,
        answer=json.loads(row.answer),
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
