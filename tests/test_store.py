"""The store alone, with synthetic vectors: round trips, a feed without gaps, no partial changes."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from place import Place

import facedex.server.tables  # noqa: F401 - declares the tables of the server
from facedex.errors import (
    ArgumentError,
    DatabaseDamagedError,
    DatabaseLockedError,
    DuplicatePersonError,
    FacedexError,
    GalleryPackError,
    StoreError,
    UnknownFaceError,
    UnknownPersonError,
)
from facedex.store import Database, Feed, NewFace, PackPin, Store, migrate
from facedex.store.rows import key_of, person_id_of
from facedex.store.tables import METADATA, VERSION_TABLE, people

PIN = PackPin("classic", "ab" * 32, 8)


def unit(number: int) -> NDArray[np.float32]:
    vector = np.random.default_rng(number).normal(size=PIN.dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def face(number: int) -> NewFace:
    return NewFace((1.5, 2.5, 30.25, 40.75), 0.875, unit(number))


def opened(location: str, name: str = "default", pin: PackPin = PIN) -> Store:
    database = Database(location)
    try:
        feed = Feed(database, name)
        feed.bind(pin)
    except FacedexError:
        database.close()
        raise
    return Store(feed)


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    store = opened(place.location)
    yield store
    store.feed.database.close()


def held(feed: Feed) -> dict[int, bytes]:
    """Return the content of an index that follows the feed from the beginning."""
    delta = feed.since(0, "")
    assert delta is not None
    return {int(key): vector.tobytes() for key, vector in zip(delta.added, delta.vectors, strict=True)}


SQLITE = pytest.mark.parametrize("place", ["sqlite"], indirect=True)


# What goes in comes out.


def test_registered_data_is_read_back_after_reopening(place: Place) -> None:
    before = datetime.now(timezone.utc)
    store = opened(place.location)
    receipt = store.register(
        "ayu", [face(1), face(2)], {"name": "Ayu Å", "email": "a@b.c", "info": {"row": [1, None, "ü"]}}
    )
    store.feed.database.close()
    store = opened(place.location)
    person = store.person("ayu")
    owner, keys, vectors = store.templates_of("ayu")
    assert (person.person_id, person.name, person.email, person.info) == (
        "ayu",
        "Ayu Å",
        "a@b.c",
        {"row": [1, None, "ü"]},
    )
    assert [stored.face_id for stored in person.faces] == list(receipt.face_ids) == keys.tolist()
    assert person.faces[0].bbox == (1.5, 2.5, 30.25, 40.75)
    assert person.faces[0].det_score == 0.875
    assert before <= person.created_at <= datetime.now(timezone.utc)
    assert (owner.person_id, owner.name) == ("ayu", "Ayu Å")
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, [unit(1), unit(2)])
    store.feed.database.close()


def test_a_number_and_its_text_are_one_person_and_the_id_stays_as_given(store: Store) -> None:
    assert store.register(7, [face(1)]).person_id == 7
    with pytest.raises(DuplicatePersonError) as refused:
        store.register("7", [face(2)])
    assert refused.value.person_id == 7
    assert store.register("7", [face(2)], on_existing="add").person_id == 7
    assert store.person("7").person_id == 7
    assert len(store.person(7).faces) == 2


@pytest.mark.parametrize(
    "bad", [True, None, 1.5, b"ayu", "", "  ", "x" * 256, "a\0b", "\ud800", 10**255, np.bool_(True)]
)
def test_an_id_that_cannot_be_stored_is_refused(bad: object) -> None:
    with pytest.raises(ArgumentError, match="person_id must"):
        key_of(bad)


@given(st.one_of(st.integers(1 - 10**254, 10**255 - 1), st.text(min_size=1, max_size=255)))
def test_an_id_comes_back_as_given_or_is_refused(person_id: int | str) -> None:
    try:
        key, is_int = key_of(person_id)
    except ArgumentError:
        assert isinstance(person_id, str)
        assert not person_id.strip() or "\0" in person_id or any("\ud800" <= char <= "\udfff" for char in person_id)
    else:
        back = person_id_of(key, is_int)
        assert back == person_id
        assert type(back) is type(person_id)


def test_a_numpy_integer_is_an_integer(store: Store) -> None:
    person_id: Any = np.int64(12)
    assert store.register(person_id, [face(1)]).person_id == 12


@pytest.mark.parametrize(
    "given",
    [
        {"name": 5},
        {"email": "\ud800"},
        {"info": [1]},
        {"info": {1: 2}},
        {"info": {"a": float("nan")}},
        {"info": {"a": {1}}},
    ],
)
def test_details_that_cannot_be_stored_are_refused_and_store_nothing(store: Store, given: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(given))):
        store.register("ayu", [face(1)], given)
    with pytest.raises(ArgumentError):
        store.check_registration("ayu", given, "error")
    assert store.people() == []
    assert store.feed.head() == (0, "")


def test_a_vector_of_a_wrong_length_is_refused(store: Store) -> None:
    with pytest.raises(ArgumentError, match=r"shape \(8,\), got \(9,\)"):
        store.register("ayu", [NewFace((0, 0, 1, 1), 1.0, np.ones(9, dtype=np.float32))])


# Changing and deleting.


def test_on_existing(store: Store) -> None:
    first = store.register("ayu", [face(1)], {"name": "Ayu", "info": {"a": 1}})
    store.register("ayu", [face(2)], {"name": None, "email": "new@x"}, on_existing="add")
    person = store.person("ayu")
    assert (len(person.faces), person.name, person.email, person.info) == (2, "Ayu", "new@x", {"a": 1})
    replaced = store.register("ayu", [face(3)], {"name": "A."}, on_existing="replace")
    person = store.person("ayu")
    assert [stored.face_id for stored in person.faces] == list(replaced.face_ids)
    assert (person.name, person.email) == ("A.", "new@x")
    assert min(replaced.face_ids) > max(first.face_ids)
    assert held(store.feed) == {replaced.face_ids[0]: unit(3).tobytes()}


def test_update_keeps_omitted_details_and_none_clears(store: Store) -> None:
    store.register("ayu", [face(1)], {"name": "Ayu", "email": "a@x", "info": {"a": 1}})
    changed = store.update("ayu", {"name": "B", "email": None})
    assert (changed.name, changed.email, changed.info) == ("B", None, {"a": 1})
    assert changed == store.person("ayu")
    assert changed.updated_at > changed.created_at
    assert store.update("ayu", {"info": None}).info == {}
    with pytest.raises(UnknownPersonError):
        store.update("nobody", {"name": "x"})


def test_delete_returns_what_it_removed_and_leaves_nothing(store: Store, place: Place) -> None:
    kept = store.register("budi", [face(9)])
    receipt = store.register("ayu", [face(1), face(2)], {"name": "Ayu"})
    removed = store.delete("ayu")
    assert (removed.person_id, removed.name, removed.faces, removed.templates) == ("ayu", "Ayu", receipt.face_ids, 2)
    with pytest.raises(UnknownPersonError, match="'ayu'"):
        store.delete("ayu")
    assert store.counts() == (1, 1)
    assert set(held(store.feed)) == set(kept.face_ids)
    assert place.rows(
        "SELECT count(*) FROM people UNION ALL SELECT count(*) FROM faces UNION ALL SELECT count(*) FROM templates",
    ) == [(1,), (1,), (1,)]


@SQLITE
def test_a_deleted_vector_and_name_are_in_no_file(store: Store, tmp_path: Path) -> None:
    store.register("budi", [face(9)])
    store.register("secret-key", [face(1)], {"name": "Hidden Name", "info": {"k": "hidden-info"}})
    wanted = [unit(1).tobytes(), b"secret-key", b"Hidden Name", b"hidden-info"]
    there = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert all(needle in there for needle in wanted)
    store.delete("secret-key")
    store.feed.database.wipe_log()
    left = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert unit(9).tobytes() in left
    assert not any(needle in left for needle in wanted)


def test_delete_face_keeps_the_person(store: Store) -> None:
    receipt = store.register("ayu", [face(1), face(2)])
    removed = store.delete_face(receipt.face_ids[0])
    assert (removed.person_id, removed.faces, removed.templates) == ("ayu", receipt.face_ids[:1], 1)
    assert [stored.face_id for stored in store.person("ayu").faces] == list(receipt.face_ids[1:])
    with pytest.raises(UnknownFaceError) as unknown:
        store.delete_face(receipt.face_ids[0])
    assert unknown.value.face_id == receipt.face_ids[0]


def test_numbers_are_never_used_again(place: Place) -> None:
    store = opened(place.location)
    first = store.register("ayu", [face(1)])
    store.delete("ayu")
    store.feed.database.close()
    if place.server is not None:  # some servers count from the largest stored number after a restart
        place.server.stop()
        place.server.start()
    store = opened(place.location)
    second = store.register("ayu", [face(1)])
    assert second.face_ids[0] > first.face_ids[0]
    store.feed.database.close()


# The feed.


def test_the_feed_brings_every_follower_to_the_same_state(store: Store) -> None:
    states = [store.feed.head()]
    for number in range(4):
        store.register(number, [face(number), face(10 + number)])
        states.append(store.feed.head())
    store.delete(1)
    states.append(store.feed.head())
    store.delete_face(int(store.templates_of(2)[1][0]))
    store.update(3, {"name": "x"})
    states.append(store.feed.head())
    everything = {
        int(key): vector.tobytes()
        for batch in store.feed.templates()
        for key, vector in zip(batch.added, batch.vectors, strict=True)
    }
    assert held(store.feed) == everything
    assert len({position for position, _ in states}) == len(states)
    for position, token in states:
        assert store.feed.holds(position, token)
        delta = store.feed.since(position, token)
        assert delta is not None
        assert (delta.position, delta.token) == states[-1]
        assert not set(delta.added.tolist()) & set(delta.removed.tolist())
        assert set(delta.added.tolist()) <= set(everything)


def test_a_position_of_another_history_is_not_followed(store: Store) -> None:
    store.register("ayu", [face(1)])
    position, token = store.feed.head()
    assert store.feed.since(position, "0" * 16) is None
    assert store.feed.since(position, "") is None
    assert store.feed.since(position + 1, token) is None
    assert store.feed.since(0, token) is None
    assert not store.feed.holds(position, "0" * 16)
    assert store.feed.since(position, token) is not None


def test_galleries_of_one_database_do_not_see_each_other(store: Store, place: Place) -> None:
    other = opened(place.location, "other", PackPin("mobile", "cd" * 32, 8))
    mine, theirs = store.register("ayu", [face(1)]), other.register("ayu", [face(2)])
    assert [person.person_id for person in store.people()] == ["ayu"]
    assert set(held(store.feed)) == set(mine.face_ids)
    assert set(held(other.feed)) == set(theirs.face_ids)
    assert store.owners(theirs.face_ids) == {}
    with pytest.raises(UnknownFaceError):
        store.delete_face(theirs.face_ids[0])
    other.feed.database.close()


def test_the_error_for_another_pack_says_what_to_do(store: Store, place: Place) -> None:
    with pytest.raises(
        GalleryPackError, match=r"'classic'.*'mobile'.*open it with pack='classic'.*register"
    ) as refused:
        opened(place.location, pin=PackPin("mobile", "cd" * 32, 8))
    assert (refused.value.stored, refused.value.opened) == ("classic", "mobile")
    with pytest.raises(GalleryPackError, match="another version of pack 'classic'"):
        opened(place.location, pin=PackPin("classic", "cd" * 32, 8))


@pytest.mark.parametrize("name", ["", " ", "x" * 65, "a\nb", "a\0b"])
def test_a_gallery_name_that_cannot_be_shown_is_refused(place: Place, name: str) -> None:
    with pytest.raises(ArgumentError, match="name"):
        opened(place.location, name)


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["register", "add", "replace", "delete", "delete_face", "update"]), st.integers(0, 3)),
    max_size=25,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=OPERATIONS)
def test_any_order_of_calls_gives_the_result_of_a_dict(place: Place, operations: list[tuple[str, int]]) -> None:
    store = opened(place.location, f"gallery {uuid.uuid4()}")
    model: dict[int, list[int]] = {}
    follower: set[int] = set()
    at = (0, "")
    for number, (verb, key) in enumerate(operations):
        try:
            if verb in ("register", "add", "replace"):
                policy: Any = {"register": "error"}.get(verb, verb)
                ids = list(store.register(key, [face(number)], on_existing=policy).face_ids)
                model[key] = ids if verb == "replace" else model.get(key, []) + ids
            elif verb == "delete":
                assert list(store.delete(key).faces) == model.pop(key)
            elif verb == "update":
                store.update(key, {"name": str(number)})
                assert key in model
            elif model.get(key):
                store.delete_face(model[key][0])
                model[key].pop(0)
        except DuplicatePersonError:
            assert (verb, key in model) == ("register", True)
        except UnknownPersonError:
            assert key not in model
        if number % 3 == 0:
            delta = store.feed.since(*at)
            assert delta is not None
            follower = (follower | set(delta.added.tolist())) - set(delta.removed.tolist())
            at = (delta.position, delta.token)
            assert follower == {face_id for ids in model.values() for face_id in ids}
    assert {person.person_id: [stored.face_id for stored in person.faces] for person in store.people()} == model
    store.feed.database.close()


# Side by side.


def test_of_two_threads_that_register_one_id_one_is_refused(store: Store) -> None:
    outcomes: list[str] = []
    start = threading.Barrier(2)

    def register(number: int) -> None:
        start.wait()
        try:
            store.register("ayu", [face(number)])
            outcomes.append("stored")
        except DuplicatePersonError:
            outcomes.append("refused")

    for _ in range(20):
        outcomes.clear()
        threads = [threading.Thread(target=register, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["refused", "stored"]
        store.delete("ayu")


def test_concurrent_writers_lose_nothing_and_the_feed_has_no_gap(store: Store) -> None:
    failures: list[BaseException] = []

    def write(worker: int) -> None:
        try:
            for number in range(15):
                store.register(f"{worker}-{number}", [face(worker * 100 + number)])
        except FacedexError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert store.counts() == (120, 120)
    assert store.feed.head()[0] == 120
    assert len(held(store.feed)) == 120


def test_concurrent_creation_of_a_database_is_consistent(empty_place: Place) -> None:
    script = (
        "import sys; from facedex.store import *\n"
        "feed = Feed(Database(sys.argv[1]), 'default'); feed.bind(PackPin('classic', 'ab' * 32, 8)); print(feed.uuid)"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", script, empty_place.location], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(4)
    ]
    said = [child.communicate(timeout=60) for child in children]
    assert [child.returncode for child in children] == [0] * 4, said
    assert len({out for out, _ in said}) == 1


def test_a_read_that_fails_during_a_table_rebuild_can_be_retried(place: Place) -> None:
    database = Database(place.location)
    with contextlib.suppress(DatabaseLockedError), database.read() as connection:
        connection.execute(sa.text("SELECT 1")).all()
        if place.kind == "mysql":  # the others do not rebuild a table under a reader
            with contextlib.closing(Database(place.location)) as other:
                other.vacuum()
        connection.execute(sa.text("SELECT count(*) FROM people")).all()
    database.close()


def test_processes_that_save_the_same_snapshot_at_once_record_it_once(place: Place) -> None:
    feed = opened(place.location).feed
    uuid_, digest = feed.uuid, "ab" * 32
    barrier = threading.Barrier(4)

    def record() -> None:
        barrier.wait(30)
        for _ in range(5):
            feed.record_snapshot(0, uuid_, digest)

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(record) for _ in range(4)]:
            future.result(60)
    assert feed.snapshot_digests(0, uuid_) == [digest]
    feed.database.close()


# The tables.


def test_the_migrations_create_the_tables_of_the_code(empty_place: Place) -> None:
    Database(empty_place.location).close()
    with empty_place.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert set(METADATA.tables) | {VERSION_TABLE} == migrate.TABLES
        assert compare_metadata(context, METADATA) == []
        assert context.get_current_revision() == migrate.HEAD


@SQLITE
def test_the_connection_uses_safe_settings(store: Store) -> None:
    with store.feed.database.write() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}


def test_a_failed_transaction_leaves_no_trace(store: Store) -> None:
    store.register("ayu", [face(1)])
    head = store.feed.head()

    def fail_half_way() -> None:
        with store.feed.write() as transaction:
            transaction.connection.execute(sa.text("DELETE FROM people"))
            transaction.remove_faces({1: 1}, 1)
            raise KeyError

    with pytest.raises(KeyError):
        fail_half_way()
    assert store.feed.head() == head
    assert store.counts() == (1, 1)


# What was stored is damaged.


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE templates SET vector = {zeros}",
        "UPDATE templates SET vector = substr(vector, 1, 28)",
        "UPDATE templates SET vector = (SELECT vector FROM (SELECT * FROM templates) t"
        " WHERE t.face_id = 3 - templates.face_id)"
        " WHERE face_id < 3",
        "UPDATE faces SET person_row = 2",
    ],
)
def test_an_altered_vector_is_reported(store: Store, place: Place, statement: str) -> None:
    store.register("ayu", [face(1), face(2)])
    store.register("budi", [face(3)])
    zeros = "00" * 32
    place.execute(statement.format(zeros=f"decode('{zeros}', 'hex')" if place.kind == "postgresql" else f"x'{zeros}'"))
    with pytest.raises(DatabaseDamagedError, match="template of face 1 is damaged"):
        store.feed.since(0, "")
    with pytest.raises(DatabaseDamagedError):
        list(store.feed.templates())
    with pytest.raises(DatabaseDamagedError):
        store.templates_of("budi" if "person_row" in statement else "ayu")


def test_a_missing_template_is_reported(store: Store, place: Place) -> None:
    store.register("ayu", [face(1), face(2)])
    place.execute("DELETE FROM templates WHERE face_id = 1")
    with pytest.raises(DatabaseDamagedError, match="lacks templates"):
        store.feed.since(0, "")


def test_damaged_details_are_reported(store: Store, place: Place) -> None:
    store.register(7, [face(1)])
    place.execute("UPDATE people SET info = '{'")
    for call in (store.people, lambda: store.person(7), lambda: store.update(7, {"name": "Ayu"})):
        with pytest.raises(DatabaseDamagedError, match="row 1 of people is not what was stored"):
            call()
    assert store.owners([1])[1].person_id == 7  # which does not rest on it
    place.execute(people.update().values(info="{}", key="x"))
    with pytest.raises(DatabaseDamagedError, match="row 1 of people is not what was stored"):
        store.people()


def test_a_gallery_replaced_while_open_is_reported(store: Store, place: Place) -> None:
    place.execute("UPDATE galleries SET uuid = 'another'")
    with pytest.raises(StoreError, match="was replaced"):
        store.register("ayu", [face(1)])
