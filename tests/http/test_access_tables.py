"""The server's tables in each kind of database: concurrent accounts, attempts and responses; attendance, jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

import pytest
from argon2 import PasswordHasher

from facedex import Gallery
from facedex.engine import Engine
from facedex.errors import (
    ArgumentError,
    AttemptsError,
    ChallengeUnknownError,
    ChallengeUsedError,
    DuplicateAccountError,
    RepeatedKeyError,
    RepeatedNowError,
    SignInError,
    UnknownGalleryError,
    UnknownJobError,
)
from facedex.server import Access, AttendanceRecord, IdempotencyRecords, Lockout, Passwords, StoredResponse, challenges
from facedex.server.jobs import Jobs
from facedex.server.tables import accounts as accounts_table
from facedex.server.tables import attempts, idempotency, jobs
from facedex.store import Database

PASSWORD = "correct horse"
CHEAP = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


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


def test_concurrent_attempts_are_counted_separately(place: Any, connect: Callable[[], Database]) -> None:
    processes = [Access(connect(), lockout=Lockout(after=3, first_s=60)) for _ in range(2)]

    def attempt(number: int) -> str:
        try:
            processes[number % 2].attempts.begin(("login", "ayu"), f"192.0.2.{number}")
        except AttemptsError:
            return "locked"
        return "let in"

    with ThreadPoolExecutor(8) as pool:
        assert Counter(pool.map(attempt, range(24))) == {"let in": 3, "locked": 21}
    processes[0].attempts.succeed(("login", "AYU "), "192.0.2.1")
    assert attempt(1) == "let in"
    assert "ayu" not in str(place.rows("SELECT bucket FROM attempts"))


def test_a_challenge_is_answered_once_however_many_processes_try(
    place: Any, connect: Callable[[], Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(challenges, "LEAST_S", 0)
    processes = [Access(connect()) for _ in range(2)]
    issued = processes[0].challenges.issue("key 1")

    def answer(number: int) -> object:
        try:
            return processes[number % 2].challenges.use(issued.challenge_id, "key 1")
        except ChallengeUsedError:
            return "used"

    with ThreadPoolExecutor(8) as pool:
        assert Counter(pool.map(answer, range(16))) == {issued.actions: 1, "used": 15}
    with pytest.raises(ChallengeUnknownError):
        processes[1].challenges.use(issued.challenge_id, "key 2")
    assert issued.challenge_id not in str(place.rows("SELECT digest, caller FROM challenges"))


def test_failed_attempts_of_an_address_expire(place: Any, connect: Callable[[], Database]) -> None:
    access = Access(connect(), lockout=Lockout(after=1, first_s=0.001))  # four failures; one is forgiven in 225 s

    def attempt(number: int, *, right: bool = False) -> int:
        """Return the wait before the next attempt, 0 for none."""
        try:
            access.attempts.begin(("login", f"user{number}"), "192.0.2.1")
        except AttemptsError as error:
            return error.retry_after_s
        if right:
            access.attempts.succeed(("login", f"user{number}"), "192.0.2.1")
        return 0

    def pass_by(seconds: int) -> None:
        place.execute(f"UPDATE attempts SET since = since - {seconds}000000, last_at = last_at - {seconds}000000")

    assert [attempt(number) for number in range(4)] == [0, 0, 0, 0]
    assert 200 < attempt(4) <= 225
    pass_by(120)
    assert 80 < attempt(4) <= 105  # to ask again does not lengthen it
    pass_by(106)
    assert [attempt(number, right=True) for number in range(10, 15)] == [0, 0, 0, 0, 0]  # honest people, one by one
    assert attempt(5) == 0
    assert 200 < attempt(6) <= 225
    pass_by(23 * 3600)
    assert [attempt(number) for number in range(20, 24)] == [0, 0, 0, 0]
    assert attempt(24) > 200


def test_a_refused_sign_in_of_an_address_stores_nothing(place: Any, connect: Callable[[], Database]) -> None:
    access = Access(connect(), lockout=Lockout(after=1, first_s=60))

    def attempt(login: str) -> str:
        try:
            access.attempts.begin(("login", login), "192.0.2.1")
        except AttemptsError:
            return "locked"
        return "let in"

    assert [attempt(f"user{number}") for number in range(4)] == ["let in"] * 4
    kept = place.rows("SELECT count(*) FROM attempts")
    assert kept == [(5,)]
    assert [attempt(f"other{number}") for number in range(6)] == ["locked"] * 6
    assert place.rows("SELECT count(*) FROM attempts") == kept


def test_concurrent_sign_ins_do_not_deadlock(place: Any, connect: Callable[[], Database]) -> None:
    processes = [Access(connect(), lockout=Lockout(after=10_000, longest_s=1e9)) for _ in range(2)]

    def attempt(number: int) -> None:
        who: tuple[Literal["login"], str] = ("login", f"user{number % 3}")
        address = f"192.0.2.{number % 2}"
        count = processes[number // 2 % 2].attempts
        count.begin(None if number % 5 == 0 else who, address)
        if number % 4 == 0:
            count.succeed(who, address)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(attempt, range(96))) == [None] * 96
    assert place.rows("SELECT max(number) FROM attempts") == [(48,)]  # of the address where nobody succeeded


def test_a_login_cannot_be_the_address_of_another_account(place: Any, connect: Callable[[], Database]) -> None:
    accounts = Access(connect(), passwords=CHEAP).accounts
    late = accounts.add(login="Late@x.org", password=PASSWORD)
    ayu = accounts.add(email="ayu@x.org", password="another one")
    for refused in ({"email": "late@X.org"}, {"login": "AYU@x.org"}, {"login": "new", "email": "late@x.org"}):
        with pytest.raises(DuplicateAccountError):
            accounts.add(**refused)
    with pytest.raises(DuplicateAccountError):
        accounts.update(ayu.id, email="late@x.org")
    assert [one.id for one in accounts.page()] == [late.id, ayu.id]
    assert accounts.update(late.id, email="late@x.org").email == "late@x.org"  # the own login is no hindrance
    assert accounts.add(login="both@x.org", email="Both@x.org").email == "Both@x.org"


def test_an_address_identifies_its_owner_despite_a_login_from_an_older_version(
    place: Any, connect: Callable[[], Database]
) -> None:
    accounts = Access(connect(), passwords=CHEAP).accounts
    first = accounts.add(login="first", password="another one")
    owner = accounts.add(email="late@x.org", password=PASSWORD)
    place.execute(accounts_table.update().where(accounts_table.c.id == first.id).values(login="late@x.org"))
    assert accounts.find("late@x.org") == owner
    verified = accounts.verify("late@x.org", PASSWORD)
    assert verified is not None
    assert verified[0] == owner
    assert accounts.verify("late@x.org", "another one") is None


def test_a_login_and_an_equal_address_cannot_be_added_concurrently(place: Any, connect: Callable[[], Database]) -> None:
    processes = [Access(connect(), passwords=CHEAP).accounts for _ in range(2)]

    def add(number: int) -> str:
        try:
            processes[number % 2].add(**{"login" if number % 2 else "email": f"user{number // 2}@x.org"})
        except DuplicateAccountError:
            return "taken"
        return "made"

    with ThreadPoolExecutor(8) as pool:
        assert Counter(pool.map(add, range(32))) == {"made": 16, "taken": 16}
    assert len({one.login or one.email for one in processes[0].page()}) == 16


def test_attempts_are_counted_per_account_by_any_name(place: Any, connect: Callable[[], Database]) -> None:
    access = Access(connect(), lockout=Lockout(after=2, first_s=60), passwords=CHEAP)
    access.accounts.add(login="ayu", email="ayu@x.org", password=PASSWORD)

    def sign_in(login: str, password: str = "wrong") -> str:
        try:
            access.sign_in(login, password, address=login)
        except (SignInError, AttemptsError) as error:
            return type(error).__name__
        return "in"

    assert [sign_in(login) for login in ("ayu", " AYU@x.org")] == ["SignInError", "SignInError"]
    assert [sign_in(login, PASSWORD) for login in ("ayu", "ayu@x.org")] == ["AttemptsError", "AttemptsError"]
    assert [sign_in(login) for login in ("1", "account 1", "face of 1")] == ["SignInError"] * 3
    place.execute(attempts.delete())
    assert [sign_in(login) for login in ("1", "1", "account 1", "account 1")] == ["SignInError"] * 4
    assert sign_in("ayu", PASSWORD) == "in"


def test_accounts_with_broader_scopes_outlive_the_person(
    place: Any, connect: Callable[[], Database], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = Access(connect(), passwords=CHEAP).accounts
    with Gallery.open(place.location, engine=engine) as gallery:
        for narrowed, survivors in ((None, {"chief"}), ("recognise", {"chief", "desk"})):
            if narrowed is not None:
                monkeypatch.setenv("FACEDEX_ACCOUNT_SCOPES", narrowed)
            gallery.create("ayu")
            for login, scopes in (("client", ["recognise"]), ("desk", ["read", "enrol"]), ("chief", ["admin"])):
                accounts.add(login=login, scopes=scopes, person_key="ayu")
            gallery.delete("ayu")
            left = accounts.page()
            assert {one.login for one in left} == survivors
            assert {one.person_key for one in left} == {None}
            for one in left:
                accounts.delete(one.id)


def test_a_key_expires_in_a_valid_year(place: Any, connect: Callable[[], Database]) -> None:
    keys = Access(connect()).keys
    west, east = (timezone(timedelta(hours=hours)) for hours in (-14, 14))
    for refused in (datetime(9999, 12, 31, 23, 59, tzinfo=west), datetime(1, 1, 1, tzinfo=east), datetime(9999, 1, 1)):
        with pytest.raises(ArgumentError, match="expires_at"):
            keys.add("door", ["read"], expires_at=refused)
    assert keys.all() == []
    last = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=timezone.utc)
    made, _ = keys.add("door", ["read"], expires_at=last.astimezone(timezone(timedelta(hours=-1))))
    assert (made.expires_at, keys.all()) == (last, [made])


def test_concurrent_repeated_requests_run_once(place: Any, connect: Callable[[], Database]) -> None:
    processes = [IdempotencyRecords(connect()) for _ in range(2)]

    def begin(number: int) -> str:
        try:
            return "first" if processes[number % 2].begin("who POST /x key", "request") is None else "again"
        except RepeatedNowError:
            return "now"

    with ThreadPoolExecutor(8) as pool:
        assert Counter(pool.map(begin, range(16))) == {"first": 1, "now": 15}
    reply = StoredResponse(201, "application/json", b'{"a":\n1}\n', {"Location": "/x/\u00e9\n"})
    processes[0].complete("who POST /x key", reply)
    assert processes[1].begin("who POST /x key", "request") == reply
    with pytest.raises(RepeatedKeyError):
        processes[1].begin("who POST /x key", "another request")
    processes[1].drop("who POST /x key")
    assert place.rows("SELECT count(*) FROM idempotency") == [(0,)]
    assert processes[0].begin("who POST /x key", "another request") is None
    processes[0].drop("who POST /x key")
    assert processes[0].begin("who POST /x key", "request") is None


def test_a_response_is_stored_for_a_day_and_a_pending_request_for_minutes(
    place: Any, connect: Callable[[], Database]
) -> None:
    records = IdempotencyRecords(connect())
    records.begin("cut off", "request")
    records.begin("answered", "request")
    records.complete("answered", StoredResponse(200, "text/plain", b""))
    place.execute(idempotency.update().values(created_at=datetime.now(timezone.utc) - timedelta(minutes=6)))
    assert records.begin("cut off", "request") is None
    assert records.begin("answered", "request") is not None
    place.execute(idempotency.update().values(created_at=datetime.now(timezone.utc) - timedelta(hours=25)))
    assert records.begin("answered", "another request") is None


def test_attendance_is_deleted_with_the_person(place: Any, connect: Callable[[], Database], engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine) as gallery:
        gallery.create("ayu", name="Ayu")
        attendance = Access(connect()).attendance
        start = datetime(2026, 1, 31, 17, 0, tzinfo=timezone.utc)
        for minutes, claimed, key in ((0, "ayu", "ayu"), (1, "ayu", None), (1, "x\0" * 300, None), (60, "ayu", "ayu")):
            at = start + timedelta(minutes=minutes)
            seen = AttendanceRecord(
                claimed=claimed,
                person_id=key,
                name="Ayu" if key else None,
                matched=key is not None,
                similarity=0.95,
                probability=0.99,
                contract="test",
                at=at,
            )
            kept = attendance.add(seen)
            assert (kept.id > 0, kept.at) == (True, at)
        listed = list(attendance.between(start, start + timedelta(minutes=60)))
        assert [(one.claimed or "")[:3] for one in listed] == ["ayu", "ayu", "xxx"]
        assert [one.matched for one in listed] == [True, False, False]
        assert (listed[0].similarity, listed[0].probability, listed[0].liveness) == (0.95, 0.99, None)
        gallery.delete("ayu")
        assert [one.claimed for one in attendance.between(start, start + timedelta(days=1))] == ["x" * 255]
        with pytest.raises(UnknownGalleryError):
            attendance.add(AttendanceRecord(claimed="x", matched=False), "other")


def test_attendance_does_not_name_a_person_who_was_deleted_before(
    place: Any, connect: Callable[[], Database], engine: Engine
) -> None:
    attendance = Access(connect()).attendance
    with Gallery.open(place.location, engine=engine) as gallery:
        gallery.create("ayu")
        refused = AttendanceRecord(claimed="ayu", matched=False)
        assert attendance.add(refused, claimed_is_registered=True).claimed == "ayu"
        gallery.delete("ayu")
        assert attendance.add(refused, claimed_is_registered=True).claimed is None
        assert attendance.add(refused).claimed == "ayu"  # as an older backend writes what was typed
        confirmed = AttendanceRecord(claimed="ayu", person_id="ayu", name="Ayu", matched=True)
        stored = attendance.add(confirmed)
        assert (stored.claimed, stored.person_id, stored.name) == (None, None, None)


def test_jobs_of_a_dead_process_are_reported_as_lost(place: Any, connect: Callable[[], Database]) -> None:
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


def test_a_failed_job_reports_its_error_and_hides_an_internal_one(place: Any, connect: Callable[[], Database]) -> None:
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
