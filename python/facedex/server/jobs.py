"""Jobs: long work that one process runs and any process watches and cancels through its row in the database.

A process runs its jobs one after the other in a thread. A job writes its progress at most twice a second and reads
there whether it was cancelled; after its last step it cannot be cancelled. A job whose process died is "lost".
"""

from __future__ import annotations

import json
import logging
import math
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa

from ..errors import FacedexError, OverloadedError, StorageFullError, UnknownJobError
from ..files import is_disk_full
from ..plain import record_to_dict
from ..store import Database, acting_as
from ..store.clock import now, passed
from ..store.rows import is_storable
from .tables import jobs

_log = logging.getLogger("facedex.http")

Progress = Callable[[int, int], object]
"""Called with the number of steps done and of all; raises when the job was cancelled."""

ENDED = frozenset({"done", "failed", "cancelled", "lost"})
"""States of a job that does not run any more."""

MAX_JOBS = 17
"""Jobs of a process that run or wait."""

_BEAT_S = 5.0
_LOST = timedelta(seconds=4 * _BEAT_S)
_WRITE_EVERY_S = 0.5
_KEPT = timedelta(days=7)


class CancelledJob(Exception):  # noqa: N818 - not an error: it was requested
    """The job was cancelled; raised by its progress."""


@dataclass(frozen=True, slots=True)
class Job:
    """State of a job.

    Attributes
    ----------
    id : str
    kind, gallery : str
    state : {"queued", "running", "done", "failed", "cancelled", "lost"}
    done : int
        Steps done.
    total : int or None
        Of all steps.
    answer : dict
        Its result, or code and message of its error.
    created_at : datetime
        UTC.
    finished_at : datetime or None
    """

    id: str
    kind: str
    gallery: str
    state: Literal["queued", "running", "done", "failed", "cancelled", "lost"]
    done: int
    total: int | None
    answer: dict[str, Any] = field(hash=False)
    created_at: datetime
    finished_at: datetime | None

    to_dict = record_to_dict

    @property
    def ended(self) -> bool:
        """Whether it does not run any more."""
        return self.state in ENDED


class Jobs:
    """The jobs of a database, and the thread in which this process runs its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="facedex-jobs")
        self._running: set[str] = set()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._beat: threading.Thread | None = None

    def begin(self, kind: str, gallery: str, work: Callable[[Progress], dict[str, Any]], *, actor: str) -> Job:
        """Queue a job.

        Parameters
        ----------
        kind, gallery : str
        work : callable
            Given a function to call with its progress.
        actor : str
            Name of the caller, for the audit.

        Raises
        ------
        OverloadedError
            When too many jobs wait.
        """
        number, at = secrets.token_hex(16), now()
        values = {"id": number, "kind": kind, "gallery": gallery, "actor": actor[:255], "state": "queued", "done": 0}
        values |= {"total": None, "cancel": False, "answer": "{}", "created_at": at, "alive_at": at}
        with self._lock:
            if len(self._running) >= MAX_JOBS:
                raise OverloadedError(f"the server is busy: {MAX_JOBS} jobs run or wait; try again later")
            self._running.add(number)
            if self._beat is None:
                self._beat = threading.Thread(target=self._beats, name="facedex-jobs-beat", daemon=True)
                self._beat.start()
        try:
            with self._database.write() as connection:
                connection.execute(jobs.delete().where(jobs.c.created_at < at - _KEPT))
                connection.execute(jobs.insert().values(values))
            self._pool.submit(self._run, number, work, actor)
        except BaseException:
            self._forget(number)
            raise
        return self.one(number)

    def one(self, number: str) -> Job:
        """Return the state of a job; raises UnknownJobError."""
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
        """Cancel a job; it stops at its next step. Raises UnknownJobError."""
        self.one(number)
        with self._database.write() as connection:
            connection.execute(jobs.update().where(jobs.c.id == number).values(cancel=True))
        return self.one(number)

    def close(self) -> None:
        """Cancel the jobs of this process, and wait for them."""
        self._closing.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, number: str, work: Callable[[Progress], dict[str, Any]], actor: str) -> None:
        written_at = -math.inf

        def progress(done: int, total: int) -> None:
            nonlocal written_at
            at, complete = time.monotonic(), done >= total > 0
            if self._closing.is_set() and not complete:
                raise CancelledJob
            if at - written_at < _WRITE_EVERY_S and done != total:
                return
            written_at = at
            mine = jobs.c.id == number
            with self._database.write() as connection:
                connection.execute(jobs.update().where(mine).values(state="running", done=done, total=total))
                stop = connection.execute(sa.select(jobs.c.cancel).where(mine)).scalar()
            if stop and not complete:
                raise CancelledJob

        try:
            progress(0, 0)
            with acting_as(actor):
                answer = work(progress)
            self._end(number, "done", answer)
        except CancelledJob:
            self._end(number, "cancelled", {})
        except FacedexError as error:  # in full, because only administrators read it
            self._end(number, "failed", {"code": error.code, "message": str(error)})
        except Exception as error:  # noqa: BLE001 - a job must end whatever its work raises
            if is_disk_full(error):
                message = f"no space is left on the server's disk: {error}"
                self._end(number, "failed", {"code": StorageFullError.code, "message": message})
                return
            _log.exception("job %s failed", number)
            message = "internal server error; the server's log has the details"
            self._end(number, "failed", {"code": "internal", "message": message})

    def _end(self, number: str, state: str, answer: dict[str, Any]) -> None:
        values = {"state": state, "answer": json.dumps(answer), "finished_at": now()}
        try:
            with self._database.write() as connection:
                connection.execute(jobs.update().where(jobs.c.id == number).values(values))
        except FacedexError as error:
            _log.error("job %s ended as %s, which could not be stored: %s", number, state, error)
        self._forget(number)

    def _forget(self, number: str) -> None:
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
                _log.warning("the heartbeat of this process's jobs could not be stored: %s", error)


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
