"""What the server keeps, in each kind of database: attempts and answers under many hands, attendance, jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from facedex import Gallery
from facedex.access import Access, Lockout, Replies, Reply, Sighted
from facedex.engine import Engine
from facedex.errors import AttemptsError, RepeatedKeyError, RepeatedNowError, UnknownGalleryError, UnknownJobError
from facedex.http.jobs import Jobs
from facedex.store import Database
from facedex.store.tables import idempotency, jobs


@pytest.fixture
def connect(place: Any) -> Iterator[Callable[[], Database]]:
    """Open the database as one more process would."""
    opened: list[Database] = []

    def once_more() -> Database:
        opened.append(Database(place.location))
        return opened[-1]

    yield once_more
    for database in opened:
        database.close()


def test_attempts_at_once_are_not_judged_as_one(place: Any, connect: Callable[[], Database]) -> None:
    processes = [Access(connect(), lockout=Lockout(after=3, first_s=60)) for _ in range(2)]

    def attempt(number: int) -> str:
        try:
            processes[number % 2].attempts.begin("ayu", f"192.0.2.{number}")
        except AttemptsError:
            return "locked"
        return "let in"

    with ThreadPoolExecutor(8) as pool:
        assert Counter(pool.map(attempt, range(24))) == {"let in": 3, "locked": 21}
    processes[0].attempts.succeed("AYU ", "192.0.2.1")
    assert attempt(1) == "let in"
    assert "ayu" not in str(place.rows("SELECT bucket FROM attempts"))


def test_a_request_is_begun_once_by_many(place: Any, connect: Callable[[], Database]) -> None:
    processes = [Replies(connect()) for _ in range(2)]

    def begin(number: int) -> str:
        try:
            return "first" if processes[number % 2].begin("who POST /x key", "request") is None else "again"
        except RepeatedNowError:
            return "now"

    with ThreadPoolExecutor(8) as pool:
        assert Counter(pool.map(begin, range(16))) == {"first": 1, "now": 15}
    reply = Reply(201, "application/json", b'{"a": 1}')
    processes[0].keep("who POST /x key", reply, "default/ayu")
    assert processes[1].begin("who POST /x key", "request") == reply
    with pytest.raises(RepeatedKeyError):
        processes[1].begin("who POST /x key", "another request")
    processes[1].forget("default/ayu")
    assert place.rows("SELECT count(*) FROM idempotency") == [(0,)]
    assert processes[0].begin("who POST /x key", "another request") is None
    processes[0].drop("who POST /x key")
    assert processes[0].begin("who POST /x key", "request") is None


def test_an_answer_is_kept_for_a_day_and_a_request_for_minutes(place: Any, connect: Callable[[], Database]) -> None:
    replies = Replies(connect())
    replies.begin("cut off", "request")
    replies.begin("answered", "request")
    replies.keep("answered", Reply(200, "text/plain", b""))
    place.execute(idempotency.update().values(created_at=datetime.now(timezone.utc) - timedelta(minutes=6)))
    assert replies.begin("cut off", "request") is None
    assert replies.begin("answered", "request") is not None
    place.execute(idempotency.update().values(created_at=datetime.now(timezone.utc) - timedelta(hours=25)))
    assert replies.begin("answered", "another request") is None


def test_attendance_goes_with_the_person(place: Any, connect: Callable[[], Database], engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine) as gallery:
        gallery.create("ayu", name="Ayu")
        attendance = Access(connect()).attendance
        start = datetime(2026, 1, 31, 17, 0, tzinfo=timezone.utc)
        for minutes, claimed, key in ((0, "ayu", "ayu"), (1, "ayu", None), (1, "x\0" * 300, None), (60, "ayu", "ayu")):
            at = start + timedelta(minutes=minutes)
            seen = Sighted(claimed, key, "Ayu" if key else None, key is not None, 0.95, 0.99, None, "test", at)
            kept = attendance.note(seen)
            assert (kept.id > 0, kept.at) == (True, at)
        listed = list(attendance.between(start, start + timedelta(minutes=60)))
        assert [(one.claimed or "")[:3] for one in listed] == ["ayu", "ayu", "xxx"]
        assert [one.matched for one in listed] == [True, False, False]
        assert (listed[0].similarity, listed[0].probability, listed[0].liveness) == (0.95, 0.99, None)
        gallery.delete("ayu")
        assert [one.person_key for one in attendance.between(start, start + timedelta(days=1))] == [None, None]
        with pytest.raises(UnknownGalleryError):
            attendance.note(Sighted("x", None, None, False), "other")


def test_jobs_of_a_process_that_died_are_told_as_lost(place: Any, connect: Callable[[], Database]) -> None:
    kept = Jobs(connect())
    job = kept.begin("test", "default", lambda progress: {"said": "ü"}, actor="key:x")
    kept.close()
    assert (kept.one(job.id).state, kept.one(job.id).answer) == ("done", {"said": "ü"})
    died = {"id": "died", "kind": "test", "gallery": "default", "actor": None, "state": "running", "done": 7}
    died |= {"total": 9, "cancel": False, "answer": "{}", "finished_at": None}
    at = datetime.now(timezone.utc)
    place.execute(jobs.insert().values(died | {"created_at": at, "alive_at": at - timedelta(minutes=1)}))
    assert [(one.id, one.state) for one in kept.recent()] == [("died", "lost"), (job.id, "done")]
    with pytest.raises(UnknownJobError):
        kept.cancel("nothing")


def test_a_job_that_fails_says_why_and_hides_a_fault(place: Any, connect: Callable[[], Database]) -> None:
    kept = Jobs(connect())

    def refused(progress: Any) -> dict[str, Any]:
        raise UnknownGalleryError("there is no gallery 'x'")

    def broken(progress: Any) -> dict[str, Any]:
        raise RuntimeError("secret")

    told = [kept.begin("test", "default", work, actor="x") for work in (refused, broken)]
    for job in told:
        while not kept.one(job.id).ended:
            pass
    first, second = (kept.one(job.id) for job in told)
    assert first.answer == {"code": "unknown_gallery", "message": "there is no gallery 'x'"}
    assert (second.state, second.answer["code"]) == ("failed", "internal")
    assert "secret" not in str(second)
    kept.close()
