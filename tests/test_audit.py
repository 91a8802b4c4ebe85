"""The audit: who did what to whom, in a chain in which every alteration is found, and from which people are erased."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
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
from facedex.errors import ArgumentError, DatabaseDamagedError, ExportError
from facedex.gallery import Gallery
from facedex.options import AuditLevel
from facedex.records import AuditEvent
from facedex.store import (
    AuditLog,
    Database,
    Feed,
    Head,
    NewFace,
    PackPin,
    Sighting,
    Store,
    acting_as,
    audit_key,
    check_export,
    rekey,
)

PIN = PackPin("classic", "ab" * 32, 8)
SQLITE = pytest.mark.parametrize("place", ["sqlite"], indirect=True)
EVENTS = sa.table("events", *map(sa.column, ("gallery_id", "seq", "content", "digest")))


def unit(number: int) -> NDArray[np.float32]:
    vector = np.random.default_rng(number).normal(size=PIN.dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def face(number: int) -> NewFace:
    return NewFace((1.5, 2.5, 30.25, 40.75), 0.875, unit(number))


def opened(place: Place, level: AuditLevel = "changes", actor: str | None = "admin", name: str = "default") -> Store:
    feed = Feed(Database(place.location), name, AuditLog(level, actor))
    feed.bind(PIN)
    return Store(feed)


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    store = opened(place)
    yield store
    store.feed.database.close()


def entries(store: Store) -> list[AuditEvent]:
    found: list[AuditEvent] = []
    while page := store.audit(found[-1].seq if found else 0):
        found += page
    return found


def fill(store: Store) -> None:
    """Write 8 entries: 1 ayu, 2 budi, 3 citra, 4 ayu, 5 update of budi, 6 a face of ayu, 7 citra goes, 8 ayu seen."""
    first = store.register("ayu", [face(1), face(2)], {"name": "Secret Name"})
    store.register(7, [face(3)], {"name": "Budi"})
    store.register("citra", [face(4)])
    store.register("ayu", [face(5)], on_existing="add")
    store.update(7, {"email": "b@example.org", "name": None})
    assert first.face_ids[0] is not None
    store.delete_face(first.face_ids[0])
    store.delete("citra")
    store.log_sightings("verify", [Sighting("ayu", 0.75, 0.5)])


# What is written.


def test_a_line_tells_who_did_what_to_whom_and_when(store: Store) -> None:
    before = datetime.now(timezone.utc)
    fill(store)
    found = entries(store)
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
    assert store.check_audit().intact
    assert (store.check_audit().entries, store.check_audit().head) == (8, found[7].digest)


def test_no_vector_and_no_name_is_in_it(store: Store, place: Place) -> None:
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


def test_the_digest_is_what_is_documented(store: Store, place: Place) -> None:
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
    assert [event.kind for event in entries(store)] == kinds
    assert store.check_audit().intact
    store.feed.database.close()


def test_without_an_audit_a_chain_that_was_begun_still_tells_who_was_deleted(store: Store, place: Place) -> None:
    store.register("ayu", [face(1)])
    quiet = opened(place, "none")
    quiet.update("ayu", {"name": "x"})
    quiet.delete("ayu")
    quiet.register("budi", [face(1)])
    assert [event.kind for event in entries(store)] == ["register", "delete"]
    assert store.check_audit().intact
    quiet.feed.database.close()


def test_what_was_undone_is_not_in_it(store: Store) -> None:
    store.register("ayu", [face(1)])

    def refuse() -> None:
        raise ArgumentError("no")

    with pytest.raises(ArgumentError):
        store.register("budi", [face(2)], check=refuse)
    assert [event.person_id for event in entries(store)] == ["ayu"]


def test_galleries_have_chains_of_their_own(store: Store, place: Place) -> None:
    fill(store)
    other = opened(place, name="other")
    other.register("ayu", [face(1)])
    assert [event.seq for event in entries(other)] == [1]
    assert other.check_audit().intact
    assert store.check_audit().intact
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
    assert stores[0].check_audit().intact
    assert len(entries(stores[0])) == 48
    for store in stores:
        store.feed.database.close()


@SQLITE
def test_more_lines_than_a_page_are_read_and_checked(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facedex.store.audit.PAGE", 3)
    fill(store)
    assert [event.seq for event in entries(store)] == list(range(1, 9))
    assert store.check_audit().entries == 8


# Who acts.


def test_the_actor_is_that_of_the_block_in_this_thread_and_task_only(store: Store) -> None:
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
    found = [(event.person_id, event.actor) for event in entries(store)]
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
        AuditLog("changes", actor)


# What was altered is found.


def execute(place: Place, statement: str | sa.Executable) -> None:
    with place.connect() as connection:
        connection.execute(sa.text(statement) if isinstance(statement, str) else statement)


def rewritten(place: Place, store: Store, seq: int, change: dict[str, Any]) -> None:
    """Write a whole new chain from an entry on, as somebody who knows how it is made would."""
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
    "no JSON": (["UPDATE events SET content = 'x' WHERE seq = 5"], 5, "not an entry of an audit"),
    "first gone": (["DELETE FROM events WHERE seq = 1"], 1, "is missing"),
    "one gone": (["DELETE FROM events WHERE seq = 4"], 4, "entry 4 is missing: entry 5 follows entry 3"),
    "last gone": (["DELETE FROM events WHERE seq = 8"], 8, "the gallery has 8 by its row"),
    "gone and counted": (["DELETE FROM events WHERE seq = 8", "UPDATE galleries SET audit_seq = 7"], 7, "was replaced"),
    "closed up": (
        [
            "DELETE FROM events WHERE seq = 3",
            *(f"UPDATE events SET seq = {n - 1} WHERE seq = {n}" for n in range(4, 9)),
        ],
        3,
        "altered or moved: its number is 4",
    ),
    "exchanged": (
        [f"UPDATE events SET seq = {new} WHERE seq = {old}" for old, new in ((4, 99), (5, 4), (99, 5))],
        4,
        "its number is 5",
    ),
    "added": (
        ["INSERT INTO events SELECT gallery_id, 9, content, digest FROM events WHERE seq = 8"],
        9,
        "altered or moved",
    ),
    "head": (["UPDATE galleries SET audit_head = ''"], 8, "not the one in the gallery's row"),
    "fewer counted": (["UPDATE galleries SET audit_seq = 6"], 7, "entry 7 was added"),
    "whom": (
        ["UPDATE event_subjects SET content = REPLACE(content, 'ayu', 'eko') WHERE seq = 4"],
        4,
        "person of entry 4",
    ),
    "salt": (["UPDATE event_subjects SET salt = '00' WHERE seq = 1"], 1, "person of entry 1 was altered"),
    "another's": (["UPDATE event_subjects SET person_row = 2 WHERE seq = 6"], 6, "person of entry 6 was altered"),
    "erased": (["DELETE FROM event_subjects WHERE seq = 4"], 4, "no entry records the deletion of that person"),
}


@pytest.mark.parametrize("how", ALTERED)
def test_the_first_line_that_was_altered_is_named(store: Store, place: Place, how: str) -> None:
    fill(store)
    statements, first, said = ALTERED[how]
    for statement in statements:
        execute(place, statement)
    report = store.check_audit()
    assert not report.intact
    assert (report.first_bad, report.entries) == (first, min(report.entries, 8))
    assert report.reason is not None
    assert said in report.reason


def test_a_chain_that_was_written_anew_differs_from_a_recorded_head(store: Store, place: Place) -> None:
    fill(store)
    recorded = entries(store)[5]
    rewritten(place, store, 4, {"actor": "nobody"})
    assert store.check_audit().intact
    report = store.check_audit(Head(recorded.seq, recorded.digest))
    assert (report.first_bad, report.reason) == (
        6,
        "entry 6 or one before it was replaced: its digest differs from the recorded head",
    )
    assert store.check_audit(Head(9, recorded.digest)).first_bad == 9


@pytest.fixture
def filled(store: Store) -> Store:
    fill(store)
    return store


@SQLITE
@examples(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seq=st.integers(1, 8), at=st.integers(0, 10**6), char=st.characters(codec="ascii", exclude_characters="\0"))
def test_any_character_of_any_line_counts(filled: Store, place: Place, seq: int, at: int, char: str) -> None:
    line = EVENTS.c.seq == seq
    with place.connect() as connection:
        content = connection.execute(sa.select(EVENTS.c.content).where(line)).scalar_one()
        at %= len(content)
        altered = content[:at] + char + content[at + 1 :]
        connection.execute(EVENTS.update().where(line).values(content=altered))
        report = filled.check_audit()
        connection.execute(EVENTS.update().where(line).values(content=content))
    assert (report.first_bad == seq) is (altered != content)
    assert filled.check_audit().first_bad is None


def test_a_line_that_cannot_be_read_is_told(store: Store, place: Place) -> None:
    fill(store)
    execute(place, "UPDATE events SET content = '[]' WHERE seq = 2")
    with pytest.raises(DatabaseDamagedError, match="entry 2 of the audit is damaged"):
        entries(store)


HOSTILE = {
    "person": '{"seq":2,"at":0,"kind":"delete","actor":null,"person":[1],"subject":null,"pack":"x"}',
    "subject": '{"seq":2,"at":0,"kind":"register","actor":null,"person":1,"subject":{},"pack":"x"}',
    "escaped surrogate": '{"seq":2,"at":0,"kind":"\\ud800","actor":null,"person":1,"subject":null,"pack":"x"}',
    "time": '{"seq":2,"at":1e400,"kind":"update","actor":null,"person":1,"subject":null,"pack":"x"}',
    "depth": "[" * 200_000,
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("beside", [False, True])
def test_a_hostile_line_whose_digest_is_correct_is_an_error_with_a_name(
    store: Store, place: Place, tmp_path: Path, content: str, beside: bool
) -> None:
    fill(store)
    before = place.rows("SELECT digest FROM events WHERE seq = 1")[0][0]
    digest = hashlib.sha256(f"{before}\n{content}".encode()).hexdigest()
    with place.connect() as connection:
        connection.execute(EVENTS.update().where(EVENTS.c.seq == 2).values(content=content, digest=digest))
    if not beside:
        place.execute("DELETE FROM event_subjects WHERE seq = 2")
    reason = "entry 2 was altered: it is not an entry of an audit"
    report = store.check_audit()
    assert (report.first_bad, report.reason) == (2, reason)
    with pytest.raises(DatabaseDamagedError, match="entry 2 of the audit is damaged"):
        entries(store)
    exported_to(store, tmp_path / "audit.jsonl")
    assert checked(tmp_path / "audit.jsonl") == (False, None, reason)


@SQLITE
@pytest.mark.parametrize("part", ["content", "digest", "salt", "gallery"])
def test_an_exported_audit_with_a_lone_surrogate_is_damaged(store: Store, tmp_path: Path, part: str) -> None:
    fill(store)
    file = tmp_path / "audit.jsonl"
    first, *contents = exported_to(store, file)
    assert checked(file) == (True, None, None)
    if part == "gallery":
        first["gallery"] = "\ud800" * 32
    else:
        (contents[1]["beside"] if part == "salt" else contents[1])[part] = "\ud800"
    file.write_text("".join(json.dumps(line) + "\n" for line in (first, *contents)))
    assert checked(file)[0] is False


# Erased with the person.


def test_a_deleted_person_is_erased_and_the_chain_stays_intact(store: Store, place: Place) -> None:
    fill(store)
    before = place.rows("SELECT seq, content, digest FROM events ORDER BY seq")
    receipt = store.delete("ayu")
    assert receipt.events == 4
    assert store.check_audit().intact
    assert place.rows("SELECT seq, content, digest FROM events WHERE seq < 9 ORDER BY seq") == before
    found = entries(store)
    assert [event.seq for event in found if event.erased] == [1, 3, 4, 6, 8]
    assert [event.person_id for event in found if event.person_id is not None] == [7, 7]
    everything = str(place.rows("SELECT content FROM events") + place.rows("SELECT content FROM event_subjects"))
    assert "ayu" not in everything
    # Whoever knows the id cannot find the entry by trying: the salt is gone.
    commitment = json.loads(before[0][1])["subject"]
    said = json.dumps({"id": "ayu", "is_int": False}, separators=(",", ":"))
    assert hashlib.sha256(said.encode()).hexdigest() != commitment
    # Whoever has the receipt can show which entry it is.
    assert found[-1].facts["receipt"] == receipt.digest == receipt.computed_digest()
    # The same id again is another person.
    store.register("ayu", [face(1)])
    assert [event.person_id for event in entries(store)][-2:] == [None, "ayu"]
    assert store.check_audit().intact


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
        report = gallery.check_audit(recorded_head=f"3:{found[2].digest}")
        assert (report.intact, report.entries) == (True, 5)
        with pytest.raises(ArgumentError, match="recorded_head must be NUMBER:DIGEST"):
            gallery.check_audit(recorded_head="3")

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


# A head under a key.

AUDIT_KEY = base64.b64encode(bytes(range(32))).decode()
OTHER_KEY = base64.b64encode(bytes(range(1, 33))).decode()


@pytest.fixture
def keyed(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store whose audit is signed from its first entry on."""
    monkeypatch.setenv("FACEDEX_AUDIT_KEY", AUDIT_KEY)
    store = opened(place)
    fill(store)
    yield store
    store.feed.database.close()


def test_a_signed_audit_is_intact_and_one_written_anew_is_not(
    keyed: Store, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = keyed.check_audit(require_signature=True)
    assert (report.intact, report.signed, report.entries) == (True, True, 8)
    rewritten(place, keyed, 4, {"actor": "nobody"})
    assert keyed.check_audit().intact  # only the key reveals it
    report = keyed.check_audit(require_signature=True)
    assert (report.first_bad, report.signed) == (1, False)
    assert report.reason is not None
    assert "rewritten without the key" in report.reason
    # Nor does the next honest change make it a signed one.
    keyed.register("eka", [face(70)])
    assert keyed.check_audit(require_signature=True).first_bad == 1
    monkeypatch.delenv("FACEDEX_AUDIT_KEY")
    assert keyed.check_audit().signed is None
    with pytest.raises(ArgumentError, match="FACEDEX_AUDIT_KEY"):
        keyed.check_audit(require_signature=True)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE galleries SET audit_seal = NULL",
        "UPDATE galleries SET audit_seal = '8:00'",
        "UPDATE galleries SET audit_seal = '-1:x'",
        "UPDATE galleries SET audit_seal = '99999999999999999999999:x'",
        "UPDATE galleries SET audit_seal = NULL, audit_seq = 0, audit_head = ''",
    ],
)
def test_a_removed_signature_is_not_made_again_by_a_change(keyed: Store, place: Place, statement: str) -> None:
    place.execute(statement)
    if "audit_seq" in statement:
        place.execute("DELETE FROM event_subjects")
        place.execute("DELETE FROM events")
    keyed.register("eka", [face(70)])
    assert keyed.check_audit().intact
    report = keyed.check_audit(require_signature=True)
    assert (report.intact, report.first_bad, report.signed) == (False, 1, False)


def test_what_was_written_without_the_key_is_reported_until_it_is_signed(
    keyed: Store, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FACEDEX_AUDIT_KEY")
    keyed.register("eka", [face(70)])
    monkeypatch.setenv("FACEDEX_AUDIT_KEY", AUDIT_KEY)
    keyed.register("fajar", [face(71)])
    report = keyed.check_audit(require_signature=True)
    assert (report.first_bad, report.reason) == (9, "entry 9 and those after it were written without the key")
    signed = keyed.sign_audit()
    assert (signed.intact, signed.signed, signed.entries) == (True, True, 10)
    keyed.register("gita", [face(72)])
    assert keyed.check_audit(require_signature=True).intact
    monkeypatch.setenv("FACEDEX_AUDIT_KEY", OTHER_KEY)
    assert keyed.check_audit(require_signature=True).first_bad == 1
    # A broken chain is never signed.
    place.execute("UPDATE event_subjects SET salt = '00' WHERE seq = 9")
    assert keyed.sign_audit().first_bad == 9
    monkeypatch.setenv("FACEDEX_AUDIT_KEY", AUDIT_KEY)
    assert keyed.check_audit(require_signature=True).first_bad == 9


def test_an_audit_that_was_begun_without_a_key_is_signed_only_on_request(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    with pytest.raises(ArgumentError, match="signing the audit needs a key"):
        store.sign_audit()
    monkeypatch.setenv("FACEDEX_AUDIT_KEY", AUDIT_KEY)
    store.register("eka", [face(70)])
    assert store.check_audit(require_signature=True).first_bad == 1
    assert store.check_audit().signed is False
    assert store.sign_audit().signed


def test_an_encrypted_gallery_signs_with_its_key_and_continues_with_another(place: Place) -> None:
    feed = Feed(Database(place.location), "secret", AuditLog())
    feed.bind(PIN, bytes(range(32)))
    store = Store(feed)
    store.register("ayu", [face(1)])
    assert store.check_audit(require_signature=True).signed
    for key in (bytes(range(1, 33)), bytes(range(2, 34))):
        rekey(feed, key)
        store.register(str(key[0]), [face(key[0])])
        assert store.check_audit(require_signature=True).signed
    rekey(feed, None)
    assert store.check_audit().signed is None
    feed.database.close()


@SQLITE
def test_the_key_of_a_gallery_does_not_sign_where_the_audit_has_a_key(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    feed = Feed(Database(place.location), "secret", AuditLog())
    feed.bind(PIN, bytes(range(1, 33)))
    store = Store(feed)
    store.register("ayu", [face(1)])
    exported_to(store, tmp_path / "audit.jsonl")
    monkeypatch.setenv("FACEDEX_AUDIT_KEY", AUDIT_KEY)
    report = check_export(tmp_path / "audit.jsonl", lambda gallery: audit_key(gallery, feed.vault))
    assert (report.intact, report.signed) == (True, False)
    store.register("budi", [face(2)])
    assert store.check_audit(require_signature=True).first_bad == 1
    # Signing it is the transition to the new key.
    assert store.sign_audit().signed
    store.register("citra", [face(3)])
    assert store.check_audit(require_signature=True).signed
    monkeypatch.delenv("FACEDEX_AUDIT_KEY")
    assert store.check_audit(require_signature=True).first_bad == 1
    feed.database.close()


def test_galleries_of_one_key_have_signatures_of_their_own(keyed: Store, place: Place) -> None:
    other = opened(place, name="other")
    other.register("ayu", [face(1)])
    place.execute(
        "UPDATE galleries SET audit_seal = (SELECT s FROM (SELECT audit_seal AS s FROM galleries "
        "WHERE name = 'default') AS x) WHERE name = 'other'"
    )
    assert other.check_audit(require_signature=True).first_bad == 1
    other.feed.database.close()


# The audit as a file.


def exported_to(store: Store, path: Path) -> list[dict[str, Any]]:
    path.write_bytes(b"".join(store.export_audit()))
    return [json.loads(line) for line in path.read_text().splitlines()]


def checked(path: Path, recorded_head: Head | None = None) -> tuple[bool, bool | None, str | None]:
    report = check_export(path, lambda gallery: audit_key(gallery, None), recorded_head)
    return report.intact, report.signed, report.reason


def test_an_exported_audit_is_checked_without_the_database(
    keyed: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "audit.jsonl"
    contents = exported_to(keyed, file)
    whole = file.read_bytes()
    assert (contents[0]["gallery"], contents[-1]["lines"], len(contents)) == (keyed.feed.uuid, 8, 10)
    assert checked(file) == (True, True, None)
    assert checked(file, Head(8, contents[-1]["head"])) == (True, True, None)
    monkeypatch.setenv("FACEDEX_AUDIT_KEY", OTHER_KEY)
    assert checked(file) == (True, False, None)
    monkeypatch.delenv("FACEDEX_AUDIT_KEY")
    assert checked(file) == (True, None, None)
    monkeypatch.setenv("FACEDEX_AUDIT_KEY", AUDIT_KEY)
    lines_of = whole.splitlines(keepends=True)
    file.write_bytes(b"".join(lines_of[:4] + lines_of[5:]))
    assert checked(file)[0::2] == (False, "entry 4 is missing: entry 5 follows entry 3")
    file.write_bytes(b"".join(lines_of[:-1]))
    assert checked(file)[2] == "the file ends after entry 8, without its end"
    file.write_bytes(whole.replace(b'"exported_at":"2', b'"exported_at":"1'))
    assert checked(file) == (True, False, None)  # the chain is intact, the signature is over every byte
    for broken in (
        b"",
        b"{}",
        b"[1]\n" + whole,
        b"x" * 100,
        whole + whole,
        b'{"facedex_audit":1,"gallery":"' + b"z" * 32 + b'"}',
    ):
        file.write_bytes(broken)
        with pytest.raises(ArgumentError, match="not an audit written by"):
            checked(file)
    with pytest.raises(ArgumentError, match="cannot be read"):
        checked(tmp_path / "none")


def test_an_exported_audit_names_nobody_who_was_deleted_and_is_for_its_owner_only(
    tmp_path: Path, engine: Engine
) -> None:
    with Gallery.open(tmp_path / "people.db", engine=engine) as gallery:
        gallery.register("key-of-ayu", people.PICTURES["ayu"][0])
        gallery.create("key-of-budi")
        gallery.delete("key-of-ayu")
        file = tmp_path / "audit.jsonl"
        assert gallery.export_audit(file) == file.stat().st_size
        assert file.stat().st_mode & 0o777 == 0o600
        assert "key-of-budi" in file.read_text()
        assert "key-of-ayu" not in file.read_text()
        with pytest.raises(ExportError, match="cannot be written"):
            gallery.export_audit(tmp_path / "none" / "audit.jsonl")
