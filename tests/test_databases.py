"""Equal behavior in SQLite, PostgreSQL and MariaDB, and faults of database servers."""

from __future__ import annotations

import logging
import os
import random
import stat
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import sqlalchemy as sa
from numpy.typing import NDArray
from place import Place
from servers import PASSWORD
from wire import Wire

from facedex.config import settings
from facedex.errors import (
    ArgumentError,
    DatabaseDamagedError,
    DatabaseLockedError,
    DatabaseReadOnlyError,
    DatabaseUnavailableError,
    DatabaseVersionError,
    FacedexError,
)
from facedex.store import Database, Feed, NewFace, PackPin, Store, migrate
from facedex.store.database import CommitUnansweredError
from facedex.store.rows import LARGEST_INFO, LONGEST

PIN = PackPin("synthetic", "ab" * 32, 32)
WORKER = Path(__file__).parent / "databases" / "worker.py"
SERVERS = pytest.mark.parametrize("place", ["postgresql", "mysql"], indirect=True)


def unit(number: int) -> NDArray[np.float32]:
    vector = np.random.default_rng(number).normal(size=PIN.dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def face(number: int) -> NewFace:
    return NewFace((0.1, 1 / 3, 1e-9, 40000.7), 0.1, unit(number), None, 100 / 3)


def opened(location: str, name: str = "default") -> Store:
    feed = Feed(Database(location), name)
    feed.bind(PIN)
    return Store(feed)


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    store = opened(place.location)
    yield store
    store.feed.database.close()


# What goes in comes out.


ALIKE = [
    "ayu",
    "Ayu",
    "ayu ",
    " ayu",
    "ayü",
    "AYU",
    "ayu\t",
    "a" * 255,
    "a" * 254 + "A",
    "😀",
    "😁",
    "7",
    "07",
]


def test_similar_ids_are_different_people(store: Store) -> None:
    for number, person_id in enumerate(ALIKE):
        store.register(person_id, [face(number)], {"name": person_id})
    assert [(person.person_id, person.name) for person in store.people()] == [(one, one) for one in ALIKE]
    for number, person_id in enumerate(ALIKE):
        _, keys, vectors = store.templates_of(person_id)
        assert len(keys) == 1
        np.testing.assert_array_equal(vectors[0], unit(number))
    store.delete("ayu")
    assert [person.person_id for person in store.people()] == ALIKE[1:]


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX: Linux or macOS")
def test_a_new_file_is_private_and_an_existing_one_keeps_its_mode(tmp_path: Path) -> None:
    new, there, target = tmp_path / "new.db", tmp_path / "there.db", tmp_path / "target.db"
    (tmp_path / "link.db").symlink_to(target)
    opened(str(there)).feed.database.close()
    there.chmod(0o640)
    before = os.umask(0)
    try:
        for path, opens, mode in ((new, new, 0o600), (there, there, 0o640), (target, tmp_path / "link.db", 0o600)):
            store = opened(str(opens))
            store.register("ayu", [face(1)])
            files = [path.with_name(path.name + ending) for ending in ("", "-wal", "-shm")]
            assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [mode] * 3
            store.feed.database.close()
    finally:
        os.umask(before)


def test_similar_names_are_different_galleries(place: Place) -> None:
    stores = [opened(place.location, name) for name in ("one", "One", "one ", "öne")]
    assert len({store.feed.uuid for store in stores}) == 4
    for store in stores:
        store.feed.database.close()


def test_numbers_and_times_are_stored_exactly(store: Store) -> None:
    before = datetime.now(timezone.utc)
    store.register("ayu", [face(1)])
    person = store.person("ayu")
    assert person.faces[0].bbox == (0.1, 1 / 3, 1e-9, 40000.7)
    assert (person.faces[0].det_score, person.faces[0].quality) == (0.1, 100 / 3)
    assert before <= person.created_at <= datetime.now(timezone.utc)
    assert person.created_at.utcoffset() == timedelta(0)
    microseconds = {store.update("ayu", {"name": str(number)}).updated_at.microsecond % 1000 for number in range(8)}
    assert microseconds != {0}


def test_long_texts_are_not_truncated(store: Store) -> None:
    room = LARGEST_INFO - len('{"notes": "", "tail": "😀"}'.encode())
    info = {"notes": "ü" * (room // 2) + "n" * (room % 2), "tail": "😀"}
    name, email = "😀" * LONGEST["name"], "é" * LONGEST["email"]
    store.register("ayu", [face(1)], {"name": name, "email": email, "info": info})
    person = store.person("ayu")
    assert (person.name, person.email, person.info) == (name, email, info)
    for more in ({"name": name + "n"}, {"email": email + "n"}, {"info": info | {"notes": info["notes"] + "n"}}):
        for refused in (lambda given: store.update("ayu", given), lambda given: store.register("b", [face(2)], given)):
            with pytest.raises(ArgumentError, match="at most"):
                refused(more)
    assert store.person("ayu") == person


# Side by side.


def test_a_reader_sees_one_state_while_others_write(store: Store, place: Place) -> None:
    writer = opened(place.location)
    writer.register("ayu", [face(1)])
    count = sa.text("SELECT count(*) FROM people")
    with store.feed.database.read() as connection:
        assert connection.execute(count).scalar() == 1
        writer.register("budi", [face(2)])
        assert connection.execute(count).scalar() == 1
    assert store.counts() == (2, 2)
    writer.feed.database.close()


def test_writers_of_two_galleries_in_many_threads_lose_nothing(place: Place) -> None:
    stores = [opened(place.location, name) for name in ("one", "two")]
    problems: list[BaseException] = []

    def work(worker: int) -> None:
        store = stores[worker % 2]
        try:
            for number in range(6):
                store.register(f"{worker}-{number}", [face(worker * 100 + number)])
                store.feed.head()
            store.delete(f"{worker}-0")
        except FacedexError as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(20)]  # more than the pool has
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    for store in stores:
        assert store.counts() == (50, 50)
        position, token = store.feed.head()
        assert position == 70
        assert store.feed.since(0, "") is not None
        assert store.feed.holds(position, token)
        store.feed.database.close()
    numbers = place.rows("SELECT gallery_id, seq FROM changes ORDER BY gallery_id, seq")
    assert [seq for _, seq in numbers] == [*range(1, 71), *range(1, 71)]


class Worker:
    """A process of `worker.py`."""

    def __init__(self, location: str) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, str(WORKER), location]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1, env=environment)

    def ask(self, verb: str, number: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{verb} {number}\n")

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        assert self.process.wait(30) == 0
        self.process.stdout.close()


@pytest.mark.slow
def test_four_processes_see_each_others_changes_at_the_next_search(place: Place) -> None:
    rounds = 700 if place.kind == "sqlite" else 100  # three searches each, or six
    workers = [Worker(place.location) for _ in range(4)]
    assert [worker.answer() for worker in workers] == ["ready"] * 4
    chance = random.Random(4)
    known: list[int] = []
    searches = 0

    def change(verb: str, number: int, expected: str) -> None:
        nonlocal searches
        changer = chance.choice(workers)
        changer.ask(verb, number)
        assert changer.answer() == "done"
        others = [worker for worker in workers if worker is not changer]
        for worker in others:
            worker.ask("find", number)
        assert [worker.answer() for worker in others] == [expected] * 3
        searches += 3

    for number in range(rounds):
        change("register", number, str(number))
        known.append(number)
        if number % 3 == 2:
            change("delete", known.pop(chance.randrange(len(known))), "nobody")
    for worker in workers:
        worker.close()
    assert searches >= (2000 if place.kind == "sqlite" else 300)


# Versions.


AT_0001 = [
    "INSERT INTO galleries (id, name, uuid, pack_name, pack_digest, dimension, position, token, faces, created_at)"
    " VALUES (3, 'default', '{uuid}', 'synthetic', '{digest}', 32, 3, '0123456789abcdef', 2, 1600000000000001)",
    "INSERT INTO people (id, gallery_id, {key}, key_is_int, name, email, info, created_at, updated_at)"
    " VALUES (5, 3, '7', {true}, 'Ayü', NULL, '{{\"a\": 1}}', 1600000000000002, 1600000000000003)",
    "INSERT INTO faces (id, person_row, x1, y1, x2, y2, det_score, created_at)"
    " VALUES (11, 5, 1.5, 2, 3, 4, 0.5, 1600000000000004), (12, 5, 1, 2, 3, 4, 0.25, 1600000000000005)",
    "INSERT INTO changes (gallery_id, seq, token, kind, face_id, created_at)"
    " VALUES (3, 1, 'x', 'add', 10, 1), (3, 2, 'x', 'remove', 10, 1), (3, 3, '0123456789abcdef', 'add', 12, 1)",
]
"""What the first version wrote, in its own tables."""


def fill_as_0001(place: Place) -> None:
    from facedex.store.rows import checksum_of

    words = {"uuid": "cd" * 16, "digest": PIN.digest, "key": "`key`" if place.kind == "mysql" else '"key"'}
    words["true"] = "1" if place.kind == "sqlite" else "true"
    for statement in AT_0001:
        place.execute(sa.text(statement.format(**words).replace(":", r"\:")))
    insert = sa.text("INSERT INTO templates (face_id, pack_digest, vector, checksum) VALUES (:f, :p, :v, :c)")
    for face_id in (11, 12):
        vector = unit(face_id).tobytes()
        check = checksum_of(face_id, 5, PIN, vector)
        place.execute(insert.bindparams(f=face_id, p=PIN.digest, v=vector, c=check))


def upgrade(place: Place, version: str) -> None:
    """Run the migrations up to one, as that version did."""
    url = sa.URL.create("sqlite", database=place.location) if place.kind == "sqlite" else sa.make_url(place.location)
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        migrate.upgrade(connection, version)


@pytest.mark.parametrize("version", ["0001", "0002"])
def test_a_database_of_an_older_version_is_upgraded_without_losing_a_row(empty_place: Place, version: str) -> None:
    upgrade(empty_place, "0001")
    fill_as_0001(empty_place)
    upgrade(empty_place, version)
    store = opened(empty_place.location)
    assert empty_place.rows("SELECT version_num FROM facedex_version") == [(migrate.HEAD,)]
    (person,) = store.people()
    assert (person.person_id, person.name, person.email, person.info) == (7, "Ayü", None, {"a": 1})
    assert person.created_at == datetime(2020, 9, 13, 12, 26, 40, 2, tzinfo=timezone.utc)
    assert [(one.face_id, one.bbox, one.det_score) for one in person.faces] == [
        (11, (1.5, 2.0, 3.0, 4.0), 0.5),
        (12, (1.0, 2.0, 3.0, 4.0), 0.25),
    ]
    assert [one.quality for one in person.faces] == [None, None]
    np.testing.assert_array_equal(store.templates_of(7)[2], [unit(11), unit(12)])
    assert store.feed.uuid == "cd" * 16
    assert store.feed.head() == (3, "0123456789abcdef")
    assert len(empty_place.rows("SELECT * FROM changes")) == 3
    assert store.delete(7).faces == (11, 12)
    store.feed.database.close()


def test_an_interrupted_migration_is_undone_or_resumed(empty_place: Place) -> None:
    upgrade(empty_place, "0001")
    fill_as_0001(empty_place)
    steps = 0

    def break_off(_: Any, __: Any, statement: str, *___: Any) -> None:
        nonlocal steps
        if statement.lstrip().upper().startswith(("ALTER", "CREATE")):
            steps += 1
            if steps == last:
                raise KeyboardInterrupt

    for last in range(1, 200):  # noqa: B007 the function above reads it
        steps = 0
        sa.event.listen(sa.Engine, "before_cursor_execute", break_off)
        try:
            Database(empty_place.location).close()
            break
        except KeyboardInterrupt:
            pass
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", break_off)
    else:
        pytest.fail("it never came to an end")
    assert last > (2 if empty_place.kind == "mysql" else 5)
    store = opened(empty_place.location)
    assert store.counts() == (1, 2)
    np.testing.assert_array_equal(store.templates_of(7)[2], [unit(11), unit(12)])
    store.register("budi", [face(1)])
    store.feed.database.close()


def test_a_newer_database_is_refused_and_not_changed(place: Place) -> None:
    opened(place.location).feed.database.close()
    place.execute("UPDATE facedex_version SET version_num = '0099'")
    with pytest.raises(DatabaseVersionError, match=r"version '0099', this facedex knows up to"):
        Database(place.location)
    assert place.rows("SELECT version_num FROM facedex_version") == [("0099",)]


def test_a_database_of_another_program_is_refused_and_not_changed(empty_place: Place) -> None:
    empty_place.execute("CREATE TABLE bookmarks (url INTEGER)")
    with pytest.raises(DatabaseDamagedError, match="not a database of facedex: it has the tables bookmarks"):
        Database(empty_place.location)
    with empty_place.connect() as connection:
        assert sa.inspect(connection).get_table_names() == ["bookmarks"]


# A server that goes away.


@SERVERS
@pytest.mark.parametrize("how", ["stop", "crash"])
def test_a_restarted_server_is_used_again(store: Store, place: Place, how: str) -> None:
    store.register("ayu", [face(1)])
    assert place.server is not None
    getattr(place.server, how)()
    for call in (store.people, store.feed.head, lambda: store.register("budi", [face(2)])):
        with pytest.raises(DatabaseUnavailableError, match="cannot be used"):
            call()
    with pytest.raises(DatabaseUnavailableError):
        Database(place.location)
    place.server.start()
    assert [person.person_id for person in store.people()] == ["ayu"]
    store.register("budi", [face(2)])
    assert store.counts() == (2, 2)


@SERVERS
@pytest.mark.parametrize("how", ["stop", "crash"])
def test_a_restart_during_a_transaction_leaves_no_trace_of_it(store: Store, place: Place, how: str) -> None:
    assert place.server is not None
    store.register("ayu", [face(1)])
    before = store.feed.head()

    def restart_half_way() -> None:
        assert place.server is not None
        with store.feed.write() as transaction:
            transaction.connection.execute(sa.text("DELETE FROM templates"))
            transaction.remove_faces({1: 1}, 1)
            getattr(place.server, how)()
            place.server.start()
            transaction.connection.execute(sa.text("DELETE FROM faces"))

    with pytest.raises(DatabaseUnavailableError) as refused:
        restart_half_way()
    assert not isinstance(refused.value, CommitUnansweredError)
    assert store.feed.head() == before
    assert store.counts() == (1, 1)
    np.testing.assert_array_equal(store.templates_of("ayu")[2], [unit(1)])
    store.register("budi", [face(2)])
    assert store.feed.head()[0] == before[0] + 1


@pytest.fixture
def wire(place: Place) -> Iterator[Wire]:
    assert place.server is not None
    wire = Wire(place.server.port)
    yield wire
    wire.close()


@pytest.fixture
def wired(place: Place, wire: Wire) -> Iterator[Store]:
    """A store whose connections run over the wire."""
    assert place.server is not None
    store = opened(sa.make_url(place.location).set(port=wire.port).render_as_string(hide_password=False))
    yield store
    store.feed.database.close()


@SERVERS
def test_a_commit_that_never_reached_the_server_is_reported_as_not_stored(wired: Store, wire: Wire) -> None:
    wired.register("ayu", [face(1)])
    wire.cut = "before"
    with pytest.raises(DatabaseUnavailableError, match="nothing was stored") as refused:
        wired.register("budi", [face(2)])
    assert not isinstance(refused.value, CommitUnansweredError)
    assert wire.cuts == 1
    assert [person.person_id for person in wired.people()] == ["ayu"]
    wired.register("budi", [face(2)])


@SERVERS
def test_a_commit_whose_response_was_lost_is_verified(wired: Store, wire: Wire) -> None:
    wired.register("ayu", [face(1)])
    wire.cut = "after"
    receipt = wired.register("budi", [face(2)])
    assert wire.cuts == 1
    assert [one.face_id for one in wired.person("budi").faces] == list(receipt.face_ids)
    assert wired.feed.head()[0] == 2


@SERVERS
def test_a_commit_that_cannot_be_verified_is_reported_as_unknown(
    wired: Store, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facedex.store.feed._PATIENCE_S", 0.5)
    wired.register("ayu", [face(1)])

    def cut_for_good() -> None:
        with wired.feed.write():
            wire.cut = "before"
            wire.shut_door()

    with pytest.raises(CommitUnansweredError, match="is not known; look before you try again"):
        cut_for_good()


# Locked, not allowed, not safe.


@SERVERS
def test_a_locked_gallery_is_reported_after_the_timeout_of_the_url(place: Place) -> None:
    store = opened(place.with_options(timeout="1"))
    store.register("ayu", [face(1)])
    engine = sa.create_engine(place.location, poolclass=sa.NullPool)
    with engine.begin() as other:
        other.execute(sa.text("SELECT * FROM galleries FOR UPDATE")).all()
        started = time.monotonic()
        with pytest.raises(DatabaseLockedError, match="held by another program"):
            store.register("budi", [face(2)])
        assert 0.8 < time.monotonic() - started < 10
        assert store.counts() == (1, 1)
    store.register("budi", [face(2)])
    store.feed.database.close()


@SERVERS
def test_a_read_only_user_is_reported(place: Place) -> None:
    assert place.server is not None
    store = opened(place.location)
    store.register("ayu", [face(1)])
    store.feed.database.close()
    if place.kind == "postgresql":
        place.server.admin(f"CREATE USER reader PASSWORD '{PASSWORD}'")
        place.server.admin("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader", place.database)
    else:
        place.server.admin(f"CREATE USER reader@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'")
        place.server.admin(f"GRANT SELECT ON {place.database}.* TO reader@'127.0.0.1'")
    try:
        reader = opened(sa.make_url(place.location).set(username="reader").render_as_string(hide_password=False))
        assert [person.person_id for person in reader.people()] == ["ayu"]
        with pytest.raises(DatabaseReadOnlyError, match=r"may not be written: .*; its user must be allowed to write"):
            reader.delete("ayu")
        reader.feed.database.close()
    finally:
        if place.kind == "postgresql":
            place.server.admin("DROP OWNED BY reader", place.database)
            place.server.admin("DROP USER reader")
        else:
            place.server.admin("DROP USER reader@'127.0.0.1'")


def test_a_server_without_synchronous_commits_gives_a_warning(
    servers: Any, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    Database(place.location).close()
    assert caplog.records == []
    if place.kind == "sqlite":
        return
    assert place.server is not None
    if place.kind == "mysql":
        place.server.admin("SET GLOBAL innodb_flush_log_at_trx_commit = 2")
        try:
            Database(place.location).close()
        finally:
            place.server.admin("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
    else:
        place.server.admin("ALTER SYSTEM SET fsync = off")
        place.server.admin("SELECT pg_reload_conf()")
        until = time.monotonic() + 10
        try:
            while not caplog.records and time.monotonic() < until:
                Database(place.location).close()
        finally:
            place.server.admin("ALTER SYSTEM RESET fsync")
            place.server.admin("SELECT pg_reload_conf()")
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "a power cut may" in caplog.text


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
def test_a_commit_waits_for_the_log_although_the_server_would_not(place: Place) -> None:
    assert place.server is not None
    place.server.admin(f"ALTER DATABASE {place.database} SET synchronous_commit = off")
    database = Database(place.location)
    with database.single() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "off"
    with database.write() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
        assert connection.exec_driver_sql("SHOW transaction_isolation").scalar() == "read committed"
    with database.read() as connection:
        assert connection.exec_driver_sql("SHOW transaction_isolation").scalar() == "repeatable read"
        assert connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on"
    database.close()


@pytest.mark.parametrize("empty_place", ["postgresql"], indirect=True)
def test_a_database_that_cannot_hold_every_name_is_refused(empty_place: Place) -> None:
    assert empty_place.server is not None
    empty_place.server.admin("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(DatabaseUnavailableError, match=r"encoding LATIN1, .* ENCODING 'UTF8'"):
        Database(empty_place.server.url("latin"))
    empty_place.server.drop("latin")


# Secrets.


def format_error(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


@SERVERS
def test_no_message_contains_the_password(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    database = Database(place.location)
    shown = [repr(database), database.location, database.place, repr(settings({"FACEDEX_DB": place.location}))]
    database.close()
    url = sa.make_url(place.location)
    wrong = "wrong/secret"
    bad = {
        "wrong password": url.set(password=wrong),
        "no such database": url.set(database="nowhere"),
        "no such server": url.set(port=1),
        "no such host": url.set(host="host.invalid"),
        "unknown option": url.update_query_dict({"no_such_option": "1"}),
    }
    for what, one in bad.items():
        with pytest.raises((DatabaseUnavailableError, ArgumentError)) as refused:
            Database(one.render_as_string(hide_password=False))
        shown.append(format_error(refused.value))
        assert place.server is not None, what
    text = "\n".join([*shown, caplog.text])
    assert not any(secret in text for secret in (PASSWORD, quote(PASSWORD, safe=""), wrong, quote(wrong, safe="")))


@pytest.mark.parametrize(
    "location",
    [
        "postgresql://me:s3cret@host:port/db",
        "postgresql://me:s3cret@host",
        "postgresql+asyncpg://me:s3cret@host/db",
        "postgres://me:s3cret@host/db",
        "oracle://me:s3cret@host/db",
        "mysql+mysqldb://me:s3cret@host/db",
        "mysql+pymysql://me:s3cret@host/",
        "mysql+pymysql://me:s3cret@host/db?timeout=soon",
        "mysql+pymysql://me:s3cret@host/db?timeout=-1",
    ],
)
def test_a_refused_location_shows_no_password(location: str) -> None:
    with pytest.raises(ArgumentError, match="location must be a path, ':memory:', or a URL") as refused:
        Database(location)
    assert "s3cret" not in format_error(refused.value)


@pytest.mark.slow
def test_a_password_in_the_query_is_not_shown() -> None:
    pytest.importorskip("psycopg", reason="needs psycopg: make EXTRAS=test,servers test-all")
    location = "postgresql+psycopg:///db?host=127.0.0.1&port=1&user=me&password=s3cret&sslpassword=s3cret"
    with pytest.raises(DatabaseUnavailableError) as refused:
        Database(location)
    assert "host=127.0.0.1" in str(refused.value)
    assert "s3cret" not in format_error(refused.value)


def test_a_driver_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facedex.store.backends.choose.find_spec", lambda name: None)
    for url, extra in (("postgresql://h/d", "postgres"), ("mysql://h/d", "mysql"), ("mariadb://h/d", "mysql")):
        with pytest.raises(DatabaseUnavailableError, match=rf"pip install 'facedex\[{extra}\]'"):
            Database(url)
