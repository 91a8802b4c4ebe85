"""The audit: who did what to whom, in a chain in which every alteration is found, and from which people are erased."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from numpy.typing import NDArray
from place import Place

from facedex import people
from facedex.engine import Engine
from facedex.errors import ArgumentError, DatabaseDamagedError
from facedex.gallery import Gallery
from facedex.records import AuditEvent
from facedex.store import AuditLevel, Database, Feed, Head, Journal, NewFace, PackPin, Sighting, SqlStore, acting_as

PIN = PackPin("classic", "ab" * 32, 8)
SQLITE = pytest.mark.parametrize("place", ["sqlite"], indirect=True)
EVENTS = sa.table("events", *map(sa.column, ("gallery_id", "seq", "content", "digest")))


def unit(number: int) -> NDArray[np.float32]:
    vector = np.random.default_rng(number).normal(size=PIN.dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def face(number: int) -> NewFace:
    return NewFace((1.5, 2.5, 30.25, 40.75), 0.875, unit(number))


def opened(place: Place, level: AuditLevel = "changes", actor: str | None = "admin", name: str = "default") -> SqlStore:
    feed = Feed(Database(place.location), name, Journal(level, actor))
    feed.bind(PIN)
    return SqlStore(feed)


@pytest.fixture
def store(place: Place) -> Iterator[SqlStore]:
    store = opened(place)
    yield store
    store.feed.database.close()


def lines(store: SqlStore) -> list[AuditEvent]:
    found: list[AuditEvent] = []
    while page := store.audit(found[-1].seq if found else 0):
        found += page
    return found


def fill(store: SqlStore) -> None:
    """Eight lines: 1 ayu, 2 budi, 3 citra, 4 ayu again, 5 update of budi, 6 a face of ayu, 7 citra goes, 8 ayu seen."""
    first = store.register("ayu", [face(1), face(2)], {"name": "Secret Name"})
    store.register(7, [face(3)], {"name": "Budi"})
    store.register("citra", [face(4)])
    store.register("ayu", [face(5)], on_existing="add")
    store.update(7, {"email": "b@example.org", "name": None})
    assert first.face_ids[0] is not None
    store.delete_face(first.face_ids[0])
    store.delete("citra")
    store.witness("verify", [Sighting("ayu", 0.75, 0.5)])


# What is written.


def test_a_line_tells_who_did_what_to_whom_and_when(store: SqlStore) -> None:
    before = datetime.now(timezone.utc)
    fill(store)
    found = lines(store)
    assert [(event.seq, event.kind, event.person_id) for event in found] == [
        (1, "register", "ayu"),
        (2, "register", 7),
        (3, "register", None),
        (4, "add", "ayu"),
        (5, "update", 7),
        (6, "delete_face", "ayu"),
        (7, "delete", None),
        (8, "verify", "ayu"),
    ]
    assert {event.actor for event in found} == {"admin"}
    assert {event.pack for event in found} == {PIN.digest}
    assert [event.erased for event in found] == [event.seq == 3 for event in found]
    assert all(before <= event.at <= datetime.now(timezone.utc) for event in found)
    assert (found[7].similarity, found[7].threshold) == (0.75, 0.5)
    assert found[4].facts == {"fields": ["email", "name"]}
    assert found[0].facts == {"faces": [1, 2], "removed": []}
    assert found[2].person == found[6].person is not None
    assert store.audit(7) == found[7:]
    assert store.check_audit() == store.check_audit(Head(5, found[4].digest))
    assert store.check_audit().whole
    assert (store.check_audit().lines, store.check_audit().head) == (8, found[7].digest)


def test_no_vector_and_no_name_is_in_it(store: SqlStore, place: Place) -> None:
    fill(store)
    content = " ".join(str(value) for row in place.rows("SELECT content FROM events") for value in row) + " ".join(
        str(row[0]) for row in place.rows("SELECT content FROM event_subjects")
    )
    assert "Secret" not in content
    assert "example.org" not in content
    numbers = [float(value) for number in (1, 3) for value in unit(number)]
    assert not any(f"{value:.4f}".rstrip("0") in content for value in numbers)
    # The chain itself, which is never erased, has no id either.
    chain = [json.loads(row[0]) for row in place.rows("SELECT content FROM events")]
    assert not any("ayu" in json.dumps(line) for line in chain)


def test_the_digest_is_what_is_documented(store: SqlStore, place: Place) -> None:
    fill(store)
    digest = hashlib.sha256(f"facedex audit of gallery {store.feed.uuid}".encode()).hexdigest()
    for content, stored in place.rows("SELECT content, digest FROM events ORDER BY seq"):
        digest = hashlib.sha256(f"{digest}\n{content}".encode()).hexdigest()
        assert digest == stored
    assert digest == store.check_audit().head


@pytest.mark.parametrize(("level", "kinds"), [("none", []), ("changes", ["register"]), ("all", ["register"])])
def test_what_is_written_is_chosen(place: Place, level: AuditLevel, kinds: list[str]) -> None:
    store = opened(place, level)
    store.register("ayu", [face(1)])
    assert [event.kind for event in lines(store)] == kinds
    assert store.check_audit().whole
    store.feed.database.close()


def test_without_an_audit_a_chain_that_was_begun_still_tells_who_was_deleted(store: SqlStore, place: Place) -> None:
    store.register("ayu", [face(1)])
    quiet = opened(place, "none")
    quiet.update("ayu", {"name": "x"})
    quiet.delete("ayu")
    quiet.register("budi", [face(1)])
    assert [event.kind for event in lines(store)] == ["register", "delete"]
    assert store.check_audit().whole
    quiet.feed.database.close()


def test_what_was_undone_is_not_in_it(store: SqlStore) -> None:
    store.register("ayu", [face(1)])

    def refuse() -> None:
        raise ArgumentError("no")

    with pytest.raises(ArgumentError):
        store.register("budi", [face(2)], admit=refuse)
    assert [event.person_id for event in lines(store)] == ["ayu"]


def test_galleries_have_chains_of_their_own(store: SqlStore, place: Place) -> None:
    fill(store)
    other = opened(place, name="other")
    other.register("ayu", [face(1)])
    assert [event.seq for event in lines(other)] == [1]
    assert other.check_audit().whole
    assert store.check_audit().whole
    other.feed.database.close()


def test_many_writers_make_one_chain(place: Place) -> None:
    stores = [opened(place, actor=f"worker {number}") for number in range(3)]
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(8):
                stores[number % 3].register(f"{number}-{turn}", [face(100 * number + turn)])
        except BaseException as error:  # noqa: BLE001 - told below
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert stores[0].check_audit().whole
    assert len(lines(stores[0])) == 48
    for store in stores:
        store.feed.database.close()


@SQLITE
def test_more_lines_than_a_page_are_read_and_checked(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facedex.store.journal.PAGE", 3)
    fill(store)
    assert [event.seq for event in lines(store)] == list(range(1, 9))
    assert store.check_audit().lines == 8


# Who acts.


def test_the_actor_is_that_of_the_block_in_this_thread_and_task_only(store: SqlStore) -> None:
    def elsewhere() -> None:
        store.register("elsewhere", [face(9)])

    with acting_as("outer"):
        store.register("outer", [face(1)])
        with acting_as("inner"):
            store.register("inner", [face(2)])
            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()
        store.update("outer", {"name": "x"})
    store.register("after", [face(3)])
    found = [(event.person_id, event.actor) for event in lines(store)]
    assert found == [
        ("outer", "outer"),
        ("inner", "inner"),
        ("elsewhere", "admin"),
        ("outer", "outer"),
        ("after", "admin"),
    ]


@pytest.mark.parametrize("actor", ["", " ", "x" * 256, "a\0b", 5])
def test_an_actor_that_cannot_be_kept_is_refused(actor: Any) -> None:
    with pytest.raises(ArgumentError, match="actor must be"), acting_as(actor):
        pass
    with pytest.raises(ArgumentError, match="actor must be"):
        Journal("changes", actor)


# What was altered is found.


def execute(place: Place, statement: str | sa.Executable) -> None:
    with place.connect() as connection:
        connection.execute(sa.text(statement) if isinstance(statement, str) else statement)


def rewritten(place: Place, store: SqlStore, seq: int, change: dict[str, Any]) -> None:
    """Write a whole new chain from a line on, as somebody who knows how it is made would."""
    rows = place.rows("SELECT seq, content, digest FROM events ORDER BY seq")
    digest = rows[seq - 2][2]
    for number, content, _ in rows[seq - 1 :]:
        if number == seq:
            content = json.dumps(json.loads(content) | change, separators=(",", ":"))
        digest = hashlib.sha256(f"{digest}\n{content}".encode()).hexdigest()
        execute(place, EVENTS.update().where(EVENTS.c.seq == number).values(content=content, digest=digest))
    execute(place, f"UPDATE galleries SET audit_head = '{digest}'")


CLOSE_UP = [f"UPDATE events SET seq = {number - 1} WHERE seq = {number}" for number in range(4, 9)]
WHOM = "UPDATE event_subjects SET content = REPLACE(content, 'ayu', 'eko') WHERE seq = 4"
ALTERED: dict[str, tuple[list[str], int, str]] = {
    "content": (["UPDATE events SET content = REPLACE(content, 'admin', 'nobody') WHERE seq = 4"], 4, "was altered"),
    "digest": (
        ["UPDATE events SET digest = REPLACE(digest, SUBSTR(digest, 1, 4), '0000') WHERE seq = 2"],
        2,
        "altered",
    ),
    "no JSON": (["UPDATE events SET content = 'x' WHERE seq = 5"], 5, "no line of an audit"),
    "first gone": (["DELETE FROM events WHERE seq = 1"], 1, "is missing"),
    "one gone": (["DELETE FROM events WHERE seq = 4"], 4, "line 4 is missing: line 5 follows line 3"),
    "last gone": (["DELETE FROM events WHERE seq = 8"], 8, "the gallery says that there are 8"),
    "gone and counted": (["DELETE FROM events WHERE seq = 8", "UPDATE galleries SET audit_seq = 7"], 7, "was replaced"),
    "closed up": (
        [
            "DELETE FROM events WHERE seq = 3",
            *(f"UPDATE events SET seq = {n - 1} WHERE seq = {n}" for n in range(4, 9)),
        ],
        3,
        "altered or moved: it says that it is line 4",
    ),
    "exchanged": (
        [f"UPDATE events SET seq = {new} WHERE seq = {old}" for old, new in ((4, 99), (5, 4), (99, 5))],
        4,
        "it says that it is line 5",
    ),
    "added": (
        ["INSERT INTO events SELECT gallery_id, 9, content, digest FROM events WHERE seq = 8"],
        9,
        "altered or moved",
    ),
    "head": (["UPDATE galleries SET audit_head = ''"], 8, "not the one that the gallery tells"),
    "fewer counted": (["UPDATE galleries SET audit_seq = 6"], 7, "line 7 was added"),
    "whom": (
        ["UPDATE event_subjects SET content = REPLACE(content, 'ayu', 'eko') WHERE seq = 4"],
        4,
        "person of line 4",
    ),
    "salt": (["UPDATE event_subjects SET salt = '00' WHERE seq = 1"], 1, "person of line 1 was altered"),
    "another's": (["UPDATE event_subjects SET person_row = 2 WHERE seq = 6"], 6, "person of line 6 was altered"),
    "erased": (["DELETE FROM event_subjects WHERE seq = 4"], 4, "no line says that the person was deleted"),
}


@pytest.mark.parametrize("how", ALTERED)
def test_the_first_line_that_was_altered_is_named(store: SqlStore, place: Place, how: str) -> None:
    fill(store)
    statements, first, said = ALTERED[how]
    for statement in statements:
        execute(place, statement)
    report = store.check_audit()
    assert not report.whole
    assert (report.first_bad, report.lines) == (first, min(report.lines, 8))
    assert report.reason is not None
    assert said in report.reason


def test_a_chain_that_was_written_anew_is_told_by_a_head_that_was_noted(store: SqlStore, place: Place) -> None:
    fill(store)
    noted = lines(store)[5]
    rewritten(place, store, 4, {"actor": "nobody"})
    assert store.check_audit().whole
    report = store.check_audit(Head(noted.seq, noted.digest))
    assert (report.first_bad, report.reason) == (
        6,
        "line 6 or one before it was replaced: its digest is not the one that was noted",
    )
    assert store.check_audit(Head(9, noted.digest)).first_bad == 9


@SQLITE
@examples(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seq=st.integers(1, 8), at=st.integers(0, 10**6), char=st.characters(codec="ascii", exclude_characters="\0"))
def test_any_character_of_any_line_counts(place: Place, seq: int, at: int, char: str) -> None:
    name = f"g{np.random.default_rng().integers(2**62)}"
    store = opened(place, name=name)
    fill(store)
    mine = sa.and_(EVENTS.c.seq == seq, EVENTS.c.gallery_id == store.feed.book.row)
    with place.connect() as connection:
        content = connection.execute(sa.select(EVENTS.c.content).where(mine)).scalar_one()
        at %= len(content)
        altered = content[:at] + char + content[at + 1 :]
        connection.execute(EVENTS.update().where(mine).values(content=altered))
    report = store.check_audit()
    assert (report.first_bad == seq) is (altered != content)
    store.feed.database.close()


def test_a_line_that_cannot_be_read_is_told(store: SqlStore, place: Place) -> None:
    fill(store)
    execute(place, "UPDATE events SET content = '[]' WHERE seq = 2")
    with pytest.raises(DatabaseDamagedError, match="line 2 of the audit is damaged"):
        lines(store)


# Erased with the person.


def test_a_deleted_person_is_erased_and_the_chain_stays_whole(store: SqlStore, place: Place) -> None:
    fill(store)
    before = place.rows("SELECT seq, content, digest FROM events ORDER BY seq")
    receipt = store.delete("ayu")
    assert receipt.events == 4
    assert store.check_audit().whole
    assert place.rows("SELECT seq, content, digest FROM events WHERE seq < 9 ORDER BY seq") == before
    found = lines(store)
    assert [event.seq for event in found if event.erased] == [1, 3, 4, 6, 8]
    assert [event.person_id for event in found if event.person_id is not None] == [7, 7]
    everything = str(place.rows("SELECT content FROM events") + place.rows("SELECT content FROM event_subjects"))
    assert "ayu" not in everything
    # Whoever knows the id cannot find the line by trying: the salt is gone.
    commitment = json.loads(before[0][1])["subject"]
    said = json.dumps({"id": "ayu", "is_int": False}, separators=(",", ":"))
    assert hashlib.sha256(said.encode()).hexdigest() != commitment
    # Whoever has the receipt can show which line it is.
    assert found[-1].facts["receipt"] == receipt.digest == receipt.computed_digest()
    # The same id again is another person.
    store.register("ayu", [face(1)])
    assert [event.person_id for event in lines(store)][-2:] == [None, "ayu"]
    assert store.check_audit().whole


# The whole gallery.


def test_a_gallery_tells_all_when_asked_to(place: Place, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine, audit="all", actor="door") as gallery:
        gallery.register("ayu", people.PICTURES["ayu"][0])
        (seen,) = gallery.recognize(people.PROBES["ayu"][0])
        gallery.recognize(people.STRANGERS[0])
        with gallery.acting_as("admin"):
            verified = gallery.verify("ayu", people.PROBES["ayu"][0])
        gallery.recognize_many([people.PROBES["ayu"][0], b"no picture"])
        gallery.recognize(np.full((240, 320, 3), 128, np.uint8))
        found = list(gallery.audit())
        assert [(event.kind, event.actor, event.person_id) for event in found] == [
            ("register", "door", "ayu"),
            ("recognize", "door", "ayu"),
            ("recognize", "door", None),
            ("verify", "admin", "ayu"),
            ("recognize", "door", "ayu"),
        ]
        assert (found[1].similarity, found[1].threshold) == (seen.similarity, seen.threshold)
        assert found[3].similarity == verified.similarity
        report = gallery.check_audit(noted=f"3:{found[2].digest}")
        assert (report.whole, report.lines) == (True, 5)
        with pytest.raises(ArgumentError, match="noted must be NUMBER:DIGEST"):
            gallery.check_audit(noted="3")

        async def read() -> list[AuditEvent]:
            return [event async for event in gallery.aaudit(after=2)]

        assert asyncio.run(read()) == found[2:]


def test_by_default_who_was_recognised_is_not_written(place: Place, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine) as gallery:
        gallery.register("ayu", people.PICTURES["ayu"][0])
        gallery.recognize(people.PROBES["ayu"][0])
        gallery.verify("ayu", people.PROBES["ayu"][0])
        assert [event.kind for event in gallery.audit()] == ["register"]
    with pytest.raises(ArgumentError, match="audit must be one of"):
        Gallery.open(place.location, engine=engine, audit="some")  # type: ignore[arg-type]
