"""Every way to delete a person also deletes what the server stores about them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from place import Place
from typer.testing import CliRunner

from facedex import Gallery, people
from facedex.cli import app
from facedex.engine import Engine
from facedex.errors import ArgumentError
from facedex.http.v1 import jobs
from facedex.server import Access, AttendanceRecord, StoredResponse
from facedex.server.forgetting import subject_of
from facedex.store import Database

AYU = people.PROBES["ayu"][0].read_bytes()
BUDI = people.PROBES["budi"][0].read_bytes()
PASSWORD = "correct horse battery"
SINCE, UNTIL = datetime(2020, 1, 1, tzinfo=timezone.utc), datetime(2100, 1, 1, tzinfo=timezone.utc)

Serve = Callable[..., TestClient]


def access_of(client: TestClient) -> Access:
    access: Access = client.app.state.facedex.access  # type: ignore[attr-defined]
    return access


def count_responses(access: Access) -> int:
    """Count the stored responses."""
    with access.database.single() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM idempotency").scalar_one())


# Whoever deletes.


@pytest.fixture
def access(place: Place) -> Iterator[Access]:
    """The server's part of each kind of database."""
    with closing(Access(Database(place.location))) as access:
        yield access


def register_with_records(gallery: Gallery, access: Access, key: str = "ayu") -> None:
    """Register a person with an account, a sign-in, a stored response, and attendance of known and unknown faces."""
    gallery.create(key, name="Ayu", retain_until=datetime(2025, 1, 1, tzinfo=timezone.utc))
    account = access.accounts.add(email=f"{key}@example.org", person_key=key, scopes=("read", "recognise", "enrol"))
    access.tokens.issue(account.id, "password")
    access.idempotency.begin(key, "request")
    access.idempotency.complete(
        key, StoredResponse(201, "application/json", b"{}"), subject_of(gallery.name, frozenset({key}))
    )
    for decided in (key, None):
        access.attendance.add(
            AttendanceRecord(claimed=key, person_id=decided, name=decided, matched=decided is not None), gallery.name
        )


def rows(place: Place) -> list[int]:
    """Count the rows of each table."""
    tables = ("accounts", "tokens", "idempotency", "attendance")
    return [int(place.rows(f"SELECT count(*) FROM {table}")[0][0]) for table in tables]


@pytest.mark.parametrize("way", ["delete", "purge"])
def test_a_deletion_in_the_library_erases_everything(place: Place, engine: Engine, access: Access, way: str) -> None:
    with Gallery.open(place.location, engine=engine) as gallery:
        register_with_records(gallery, access)
        assert rows(place) == [1, 1, 1, 2]
        gallery.create("budi")
        access.accounts.add(login="budi", person_key="budi")
        access.attendance.add(AttendanceRecord(claimed="budi", person_id="budi", name="Budi", matched=True))
        _ = gallery.delete("ayu") if way == "delete" else gallery.purge()
        assert [person.person_id for person in gallery.lookup.people_after()] == ["budi"]
    assert rows(place) == [1, 0, 0, 1]
    assert [account.login for account in access.accounts.page()] == ["budi"]
    assert [one.claimed for one in access.attendance.between(SINCE, UNTIL)] == ["budi"]


@pytest.mark.parametrize("command", [["delete", "ayu"], ["purge"]])
def test_a_deletion_on_the_command_line_erases_everything(tmp_path: Path, engine: Engine, command: list[str]) -> None:
    path = str(tmp_path / "people.db")
    with closing(Access(Database(path))) as access, Gallery.open(path, engine=engine) as gallery:
        register_with_records(gallery, access)
        done = CliRunner().invoke(app, [*command, "--db", path])
        assert done.exit_code == 0, done.output
        assert access.accounts.page() == []
        assert count_responses(access) == 0
        assert list(access.attendance.between(SINCE, UNTIL)) == []


def test_a_purge_on_the_server_erases_everything(client: TestClient) -> None:
    access = access_of(client)
    soon = (datetime.now(timezone.utc) - timedelta(seconds=1)).isoformat()
    asked = {"person_id": "ayu", "name": "Ayu", "retain_until": soon}
    assert client.post("/v1/people", json=asked, headers={"Idempotency-Key": "1"}).status_code == 201
    access.accounts.add(email="ayu@example.org", password=PASSWORD, person_key="ayu")
    login = {"login": "ayu@example.org", "password": PASSWORD}
    assert client.post("/v1/session", json=login).status_code == 200
    job = client.post("/v1/index/purge").json()
    assert '"purged":1' in client.get(f"/v1/jobs/{job['id']}/events").text
    assert client.post("/v1/session", json=login).status_code == 401
    assert count_responses(access) == 0


def test_an_administrator_account_outlives_its_person(place: Place, engine: Engine, access: Access) -> None:
    with Gallery.open(place.location, engine=engine) as gallery:
        gallery.create(7)
        made = access.accounts.add(login="root", person_key=7, scopes=("read", "admin"))
        gallery.delete(7)
    assert access.accounts.one(made.id).person_key is None


@pytest.mark.parametrize("scopes", [("read",), ("read", "enrol")])
def test_the_settings_decide_the_scopes_of_client_accounts(serve: Serve, scopes: tuple[str, ...]) -> None:
    """An account with broader scopes than client accounts outlives its person, regardless of the environment."""
    client = serve(account_scopes=scopes)
    access = access_of(client)
    client.post("/v1/people", json={"person_id": "ayu"})
    made = access.accounts.add(login="ayu", person_key="ayu", scopes=("read", "enrol"))
    client.delete("/v1/people/ayu")
    left = access.accounts.find("ayu")
    assert (left and left.id) == (made.id if scopes == ("read",) else None)
    assert left is None or left.person_key is None


def test_a_namesake_in_another_gallery_keeps_the_account(
    place: Place, engine: Engine, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FACEDEX_GALLERY", raising=False)
    with (
        Gallery.open(place.location, engine=engine) as gallery,
        Gallery.open(place.location, engine=engine, name="other") as other,
    ):
        register_with_records(gallery, access)
        other.create("ayu")
        other.delete("ayu")
        assert rows(place) == [1, 1, 1, 2]
        other.create("ayu")
        gallery.delete("ayu")
        assert rows(place) == [0, 0, 0, 0]
        made = access.accounts.add(login="ayu", person_key="ayu")
        other.delete("ayu")
        assert access.accounts.find("ayu") is None, made


# Kept answers.


def test_a_response_that_names_several_people_is_deleted_with_each(
    place: Place, engine: Engine, access: Access
) -> None:
    with Gallery.open(place.location, engine=engine) as gallery:
        for key in ("ayu", "budi", "citra"):
            gallery.create(key)
        for number, named in enumerate((("ayu",), ("ayu", "budi"), ())):
            access.idempotency.begin(str(number), "request")
            reply = StoredResponse(200, "text/plain", b"")
            access.idempotency.complete(str(number), reply, subject_of("default", frozenset(named)))
        gallery.delete("budi")
    assert [access.idempotency.begin(str(number), "request") is None for number in range(3)] == [False, True, False]


def test_a_response_made_during_a_deletion_is_not_stored(place: Place, engine: Engine, access: Access) -> None:
    with Gallery.open(place.location, engine=engine) as gallery:
        gallery.create("ayu")
        assert access.idempotency.begin("key", "request") is None
        gallery.delete("ayu")
        access.idempotency.complete(
            "key", StoredResponse(201, "text/plain", b"ayu"), subject_of("default", frozenset({"ayu"}))
        )
    assert place.rows("SELECT count(*) FROM idempotency") == [(0,)]


def test_a_warning_about_another_person_is_deleted_with_them(peopled: TestClient) -> None:
    once = {"Idempotency-Key": "1"}
    files, data = {"images": people.PICTURES["ayu"][2].read_bytes()}, {"person_id": "double"}
    first = peopled.post("/v1/people", data=data, files=files, headers=once)
    assert [one["person_id"] for one in first.json()["warnings"]] == ["ayu"], first.text
    assert count_responses(access_of(peopled)) == 1
    peopled.delete("/v1/people/ayu")
    assert count_responses(access_of(peopled)) == 0


QUESTIONS: list[tuple[str, dict[str, Any], list[bytes]]] = [
    ("recognize", {}, [AYU]),
    ("recognize/batch", {}, [AYU]),
    ("verify", {"person_id": "ayu"}, [AYU]),
    ("compare", {}, [AYU, BUDI]),
    ("detect", {}, [AYU]),
    ("embed", {}, [AYU]),
]


@pytest.mark.parametrize(("path", "data", "pictures"), QUESTIONS, ids=[path for path, _, _ in QUESTIONS])
def test_responses_to_read_requests_are_not_stored(
    serve: Serve, peopled: TestClient, path: str, data: dict[str, Any], pictures: list[bytes]
) -> None:
    client = serve(embed=True)
    several = "images" if len(pictures) > 1 or "batch" in path else "image"
    for _ in range(2):
        files = [(several, picture) for picture in pictures]
        answer = client.post(f"/v1/{path}", data=data, files=files, headers={"Idempotency-Key": "1"})
        assert answer.status_code == 200, answer.text
        assert "idempotency-replayed" not in answer.headers
    assert count_responses(access_of(client)) == 0


def test_a_refusal_is_not_stored(peopled: TestClient) -> None:
    once = {"Idempotency-Key": "1"}
    assert peopled.post("/v1/people", json={"person_id": "ayu"}, headers=once).status_code == 409
    assert count_responses(access_of(peopled)) == 0
    assert peopled.post("/v1/people", json={"person_id": "citra"}, headers=once).status_code == 201
    assert count_responses(access_of(peopled)) == 1


def test_responses_to_deletions_are_not_stored(peopled: TestClient) -> None:
    for status in (200, 404):
        assert peopled.delete("/v1/people/ayu", headers={"Idempotency-Key": "1"}).status_code == status
    assert count_responses(access_of(peopled)) == 0


def test_responses_to_unauthenticated_requests_are_not_stored(serve: Serve) -> None:
    client = serve(public_scopes=("enrol",))
    _, secret = access_of(client).keys.add("door", ["admin"])
    for headers, number in (({}, 0), ({"X-API-Key": secret}, 1)):
        body = {"person_id": f"ayu {number}"}
        answer = client.post("/v1/people", json=body, headers={**headers, "Idempotency-Key": "1"})
        assert answer.status_code == 201, answer.text
        assert count_responses(access_of(client)) == number


def test_each_sign_out_revokes_its_own_token(client: TestClient) -> None:
    access = access_of(client)
    access.accounts.add(login="ayu", password=PASSWORD, scopes=("admin",))
    for _ in range(2):
        bearer = {"Authorization": f"Bearer {access.sign_in('ayu', PASSWORD, address='here').secret}"}
        assert client.delete("/v1/session", headers={**bearer, "Idempotency-Key": "out"}).status_code == 204
        assert client.get("/v1/people", headers=bearer).status_code == 401


def test_concurrent_requests_leave_no_trace_of_a_deleted_person(place: Place, engine: Engine, access: Access) -> None:
    with (
        closing(Access(Database(place.location))) as second,
        Gallery.open(place.location, engine=engine) as gallery,
    ):
        both = (access, second)

        def come_and_go(number: int) -> None:
            key, mine = f"person-{number}", both[number % 2]
            mine.idempotency.begin(key, "request")
            gallery.create(key)
            mine.idempotency.complete(
                key, StoredResponse(201, "text/plain", b""), subject_of("default", frozenset({key}))
            )
            mine.accounts.add(login=key, person_key=key)
            gone = (
                lambda: gallery.delete(key),
                lambda: mine.attendance.add(AttendanceRecord(claimed=key, person_id=key, name=key, matched=True)),
            )
            with ThreadPoolExecutor(2) as pair:
                for done in [pair.submit(one) for one in gone]:
                    done.result()

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(come_and_go, range(30)))
    assert rows(place)[:3] == [0, 0, 0]
    left = [(one.claimed, one.person_id, one.name) for one in both[0].attendance.between(SINCE, UNTIL)]
    assert set(left) <= {(None, None, None)}


# Attendance.


def test_a_person_deleted_during_a_request_is_not_named(place: Place, engine: Engine, access: Access) -> None:
    with Gallery.open(place.location, engine=engine) as gallery:
        gallery.create("budi")
        told = access.attendance.add(AttendanceRecord(claimed="ayu", person_id="ayu", name="Ayu", matched=True))
        other = access.attendance.add(AttendanceRecord(claimed="budi", person_id="ayu", name="Ayu", matched=False))
    assert (told.claimed, told.person_id, told.name, told.matched) == (None, None, None, True)
    assert (other.claimed, other.person_id, other.name) == ("budi", None, None)
    assert list(access.attendance.between(SINCE, UNTIL)) == [told, other]


def test_a_claim_is_deleted_with_the_claimed_person(peopled: TestClient) -> None:
    data = {"person_id": "ayu", "attend": "true"}
    assert peopled.post("/v1/verify", data=data, files={"image": BUDI}).json()["match"] is False
    assert "ayu" in peopled.get("/v1/attendance").text
    peopled.delete("/v1/people/ayu")
    assert peopled.get("/v1/attendance").json() == []


@pytest.mark.parametrize(
    ("path", "claim"), [("recognize", {}), ("recognize/batch", {}), ("verify", {"person_id": "ayu"})]
)
def test_no_attendance_below_the_threshold_of_the_gallery(
    peopled: TestClient, path: str, claim: dict[str, str]
) -> None:
    files = [("images" if "batch" in path else "image", BUDI)]
    refused = peopled.post(f"/v1/{path}", data={**claim, "attend": "true", "threshold": "-1"}, files=files)
    assert (refused.status_code, refused.json()["code"]) == (422, "argument")
    assert "at least 0." in refused.json()["detail"]
    assert peopled.get("/v1/attendance").json() == []
    assert peopled.post(f"/v1/{path}", data={**claim, "threshold": "-1"}, files=files).status_code == 200
    stricter = peopled.post(f"/v1/{path}", data={**claim, "attend": "true", "threshold": "0.99"}, files=files)
    assert stricter.status_code == 200
    assert [line["matched"] for line in peopled.get("/v1/attendance").json()] == [False]


def test_a_claim_is_attended_from_the_threshold_of_verifying_on(peopled: TestClient) -> None:
    data = {"person_id": "ayu", "attend": "true"}
    files = {"image": BUDI}
    verifying = peopled.post("/v1/verify", data={"person_id": "ayu"}, files=files).json()["threshold"]
    recognizing = peopled.post("/v1/recognize", files=files).json()["decision"]["threshold"]
    assert recognizing < verifying
    for threshold, status in (((recognizing + verifying) / 2, 422), (verifying + 1e-6, 200), ("fmr=1e-4", 200)):
        answer = peopled.post("/v1/verify", data=data | {"threshold": str(threshold)}, files=files)
        assert answer.status_code == status, answer.text
        assert (
            threshold == "fmr=1e-4"
            or peopled.post(
                "/v1/recognize", data={"attend": "true", "threshold": str(threshold)}, files=files
            ).is_success
        )


def test_the_threshold_of_the_settings_is_the_minimum(serve: Serve, peopled: TestClient) -> None:
    client = serve(threshold=0.9)
    for threshold, status in ((0.89, 422), (0.9, 200)):
        data = {"attend": "true", "threshold": str(threshold)}
        assert client.post("/v1/recognize", data=data, files={"image": AYU}).status_code == status


# Sizes.


@pytest.mark.parametrize(
    "details", [{"name": "n" * 1001}, {"email": f"{'e' * 250}@x.org"}, {"info": {"a": "x" * 65_536}}], ids=str
)
def test_details_that_are_too_long_are_refused(
    client: TestClient, engine: Engine, tmp_path: Path, details: dict[str, Any]
) -> None:
    refused = client.post("/v1/people", json={"person_id": "ayu", **details})
    assert refused.status_code == 422, refused.text
    assert len(refused.text) < 2000
    with Gallery.open(tmp_path / "own.db", engine=engine) as gallery:
        gallery.create("ayu")
        for change in (lambda: gallery.update("ayu", **details), lambda: gallery.create("budi", **details)):
            with pytest.raises(ArgumentError, match="at most"):
                change()


# Watching, health, signing out.


def test_a_running_job_can_be_polled_again(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert jobs._LONGEST_S <= 60
    monkeypatch.setattr(jobs, "_LONGEST_S", 1.0)
    kept = client.app.state.facedex.jobs  # type: ignore[attr-defined]
    go_on = [True]

    def work(progress: Any) -> dict[str, Any]:
        while go_on[0]:
            time.sleep(0.05)
        return {}

    job = kept.begin("test", "default", work, actor="test")
    try:
        told = client.get(f"/v1/jobs/{job.id}/events").text
        assert "running" in told
        assert "event: done" not in told
    finally:
        go_on[0] = False
    assert "event: done" in client.get(f"/v1/jobs/{job.id}/events").text


@pytest.mark.parametrize(
    ("contract", "path", "words"),
    [
        ("face-server", "/health", {"status", "service", "timestamp"}),
        ("face-api", "/health/live", {"status", "service"}),
        ("face-api", "/health/detailed", {"status"}),
    ],
)
def test_an_unauthenticated_client_sees_only_that_the_server_is_up(
    serve: Serve, contract: str, path: str, words: set[str]
) -> None:
    client = serve(contracts=(contract,))
    _, secret = access_of(client).keys.add("read", ["read"])
    told = client.get(path)
    assert (told.status_code, set(told.json())) == (200, words)
    more = set(client.get(path, headers={"X-API-Key": secret}).json())
    assert more > words or path == "/health/live"


def test_a_cookie_is_invalid_after_the_logout_of_a_contract(serve: Serve) -> None:
    client = serve(contracts=("face-api",))
    access_of(client).accounts.add(login="root", password=PASSWORD, scopes=("admin",))
    signed = client.post("/v1/session", json={"login": "root", "password": PASSWORD, "cookie": True})
    (cookie,) = client.cookies.items()
    assert signed.status_code == 200
    assert client.post("/api/logout").status_code == 200
    assert dict(client.cookies) == {}
    client.cookies.set(*cookie)
    assert client.get("/v1/people").status_code == 401
    assert json.loads(client.post("/api/logout").text)["success"] is False
