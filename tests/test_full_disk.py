"""A database that is locked or on a full disk: reads continue, and people can be deleted.

The disk is a file system of its own in memory, which needs the right to mount; without it those tests skip and say so.
"""

from __future__ import annotations

import contextlib
import linecache
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from facedex import people
from facedex.engine import Engine
from facedex.errors import StorageFullError
from facedex.gallery import Gallery
from facedex.http import Settings, create_app
from facedex.server import Access
from facedex.server.keys import ApiKeys, LastUses
from facedex.store import Database

pytestmark = pytest.mark.slow

SIZE = 24 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk."""
    place = tmp_path / "disk"
    place.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    try:
        subprocess.run(["mount", *options], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the right to mount a disk: make test-all as root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Fill the disk to the last byte."""
    file = disk / "filling"
    with file.open("ab", buffering=0) as filling, contextlib.suppress(OSError):
        while True:
            filling.write(bytes(1 << 16))
    with file.open("ab", buffering=0) as filling, contextlib.suppress(OSError):
        while True:
            filling.write(b"0")
    return file


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the write lock, as another program may."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


# A full disk.


@pytest.mark.parametrize("photos", ["none", "original"])
def test_on_a_full_disk_people_are_recognised_and_deleted(
    disk: Path, engine: Engine, photos: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facedex.store.database._STORAGE_CACHED_S", 0)
    path = disk / "people.db"
    gallery = Gallery.open(path, engine=engine, photos=photos)  # type: ignore[arg-type]
    for person in ("ayu", "budi"):
        gallery.register(person, list(people.PICTURES[person]), name=f"Name Of {person.title()}")
    assert gallery.storage() == "ok"
    fill(disk)

    def register_many() -> None:
        for number in range(50):  # the log may have a little room within its last page
            gallery.register(number, people.PICTURES["ayu"][0])

    with pytest.raises(StorageFullError, match="no space is left"):
        register_many()
    assert gallery.storage() == "full"
    assert gallery.recognize(people.PROBES["ayu"][0])[0].person_id == "ayu"
    receipt = gallery.delete("ayu")
    assert receipt.wiped
    assert b"Name Of Ayu" not in path.read_bytes() + path.with_name("people.db-wal").read_bytes()
    assert gallery.recognize(people.PROBES["budi"][0])[0].person_id == "budi"
    face = gallery.person("budi").faces[0].face_id
    assert gallery.delete_face(face).templates == 1
    gallery.close()
    # A program that opens it now finds the log and its index gone, for which there is no room but the reserve's.
    with Gallery.open(path, engine=engine) as again:
        assert [person.person_id for person in again.people() if person.person_id in ("ayu", "budi")] == ["budi"]
        again.delete("budi")
    (disk / "filling").unlink()
    with Gallery.open(path, engine=engine) as again:
        again.register("ayu", people.PICTURES["ayu"][0])
    assert (disk / "people.db.reserve").stat().st_size == 4 << 20


def test_a_deletion_larger_than_the_reserve_says_what_to_do(disk: Path, engine: Engine) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), dtype=np.uint8)
    path = disk / "people.db"
    with Gallery.open(path, engine=engine, photos="original") as gallery:
        gallery.create("ayu")
        gallery.add_photo("ayu", noise)  # 6.75 MB that do not compress
        gallery.vacuum()  # which leaves no room in the log
        filling = fill(disk)
        with pytest.raises(StorageFullError, match=r"make room on the disk of .*disk'.*then delete again"):
            gallery.delete("ayu")
        assert [person.person_id for person in gallery.people()] == ["ayu"]
        assert len(gallery.photo_bytes(gallery.photos("ayu")[0].photo_id)) > 6 << 20
        filling.unlink()
        assert gallery.delete("ayu").photos == 1


def test_on_a_full_disk_keys_are_accepted_and_revoked(disk: Path) -> None:
    access = Access(Database(disk / "people.db"))
    key, secret = access.keys.add("door", ["read"])
    account = access.accounts.add(login="ayu", password="a long password", scopes=["read"])
    token = access.sign_in("ayu", "a long password", address="here").secret
    fill(disk)
    assert access.principal(secret) is not None
    assert access.tokens.revoke(token)
    assert access.keys.revoke(key.id).revoked_at is not None
    assert access.accounts.update(account.id, disabled=True).disabled_at is not None
    access.accounts.delete(account.id)
    assert access.principal(secret) is None
    access.close()


def test_on_a_full_disk_a_deletion_with_an_idempotency_key_is_done(disk: Path, engine: Engine) -> None:
    app = create_app(Settings(db=str(disk / "people.db")), engine=engine)
    with TestClient(app, "http://localhost", raise_server_exceptions=False) as client:
        _, secret = app.state.facedex.access.keys.add("desk", ["enrol"])
        head = {"X-API-Key": secret}
        for person in ("ayu", "budi"):
            app.state.facedex.galleries.at("default").create(person)
        app.state.facedex.galleries.at("default").vacuum()  # which leaves no room in the log
        fill(disk)
        change = {"json": {"name": "Ayu"}, "headers": {**head, "Idempotency-Key": "0"}}
        created = client.patch("/v1/people/ayu", **change)
        assert created.status_code == 507
        for number, person in enumerate(("ayu", "budi")):
            answer = client.delete(f"/v1/people/{person}", headers={**head, "Idempotency-Key": str(number + 1)})
            assert answer.status_code == 200, answer.text
        assert list(app.state.facedex.galleries.at("default").people()) == []


# The reserve.


def test_the_reserve_is_private_and_comes_back(tmp_path: Path, engine: Engine) -> None:
    path = tmp_path / "people.db"
    with Gallery.open(path, engine=engine) as gallery:
        gallery.create("ayu")
        reserve = tmp_path / "people.db.reserve"
        assert reserve.stat().st_size == 4 << 20
        assert reserve.stat().st_mode & 0o777 == 0o600
        gallery.delete("ayu")
        assert reserve.stat().st_size == 4 << 20
        reserve.unlink()
    with Gallery.open(path, engine=engine):
        assert reserve.exists()


@pytest.mark.parametrize("size", [0, (4 << 20) - 1])
def test_a_short_reserve_is_filled_again(tmp_path: Path, size: int) -> None:
    path, reserve = tmp_path / "people.db", tmp_path / "people.db.reserve"
    Database(path).close()
    os.truncate(reserve, size)
    Database(path).close()
    found = reserve.stat()
    assert found.st_size == 4 << 20
    assert found.st_blocks * 512 >= 4 << 20  # its space is taken, not only its length
    assert found.st_mode & 0o777 == 0o600


def test_a_file_that_is_not_a_database_gets_no_reserve(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE notes (id)")
    with pytest.raises(Exception, match="not a database of facedex"):
        Database(path)
    assert not (tmp_path / "other.db.reserve").exists()


# A lock that somebody else holds.


def test_while_another_program_writes_a_key_is_accepted_at_once_and_its_use_stored_later(tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    access = Access(Database(path))
    key, secret = access.keys.add("door", ["read"])
    with held(path):
        began = time.monotonic()
        assert access.principal(secret) is not None
        assert access.keys.all()[0].used_at is not None
        assert time.monotonic() - began < 1
        assert used(path) == [None]
    stored(path)
    noted = access.keys.all()[0].used_at
    access.principal(secret)
    assert access.keys.all()[0].used_at == noted  # to the minute
    access.close()
    assert key.used_at is None


def used(path: Path) -> list[int | None]:
    with contextlib.closing(sqlite3.connect(path)) as look:
        return [at for (at,) in look.execute("SELECT used_at FROM api_keys")]


def stored(path: Path) -> None:
    until = time.monotonic() + 30
    while used(path) == [None]:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_use_that_is_not_stored_yet_is_stored_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    access = Access(Database(path))
    _, secret = access.keys.add("door", ["read"])
    access.principal(secret)
    access.close()
    assert used(path) != [None]


def test_uses_that_cannot_be_stored_give_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "people.db"
    database = Database(f"sqlite:///{path}?timeout=0.1")
    number = ApiKeys(database).add("door", ["read"])[0].id
    uses = LastUses(database)
    at = datetime.now(timezone.utc)
    with held(path):
        uses.record(number, None, at)
        assert [uses.store() for _ in range(3)] == [False] * 3
        assert caplog.text.count("is not stored yet") == 1
    assert uses.store()
    assert used(path) != [None]
    with held(path):
        uses.record(number, None, at + timedelta(minutes=2))
        assert not uses.store()
    assert caplog.text.count("is not stored yet") == 2
    uses.close()
    database.close()


def test_closing_while_the_thread_of_the_uses_ends_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facedex.server.keys._STORED_AFTER_S", 0)
    path = tmp_path / "people.db"
    database = Database(path)
    number = ApiKeys(database).add("door", ["read"])[0].id
    uses = LastUses(database)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        storing, store = threading.Event(), uses.store
        monkeypatch.setattr(uses, "store", lambda: (storing.set(), store())[1])
        uses.record(number, None, datetime.now(timezone.utc))
        assert storing.wait(20)  # now the thread waits for the lock

        def let_the_thread_end(frame: FrameType, event: str, _: object) -> Any:
            """Let the thread end just before `close` waits for it, as the system may."""
            if frame.f_code is not LastUses.close.__code__:
                return None
            if event == "line" and ".join" in linecache.getline(frame.f_code.co_filename, frame.f_lineno):
                other.execute("ROLLBACK")
                until = time.monotonic() + 10
                while any(thread.name == "facedex-key-uses" for thread in threading.enumerate()):
                    assert time.monotonic() < until
                    time.sleep(0.01)
            return let_the_thread_end

        before = sys.gettrace()
        sys.settrace(let_the_thread_end)
        try:
            uses.close()
        finally:
            sys.settrace(before)
    assert used(path) != [None]
    database.close()


def test_storage_reports_a_lock_and_a_read_only_file(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "people.db"
    looked_s = "facedex.store.database._STORAGE_CACHED_S"
    with Gallery.open(path, engine=engine) as gallery:
        assert gallery.storage() == "ok"
        with held(path):
            monkeypatch.setattr(looked_s, 0)
            assert gallery.storage() == "locked"
        monkeypatch.setattr(looked_s, 60)
        assert [gallery.storage() for _ in range(5)] == ["locked"] * 5  # one look for all who ask
        monkeypatch.setattr(looked_s, 0)
        assert gallery.storage() == "ok"
    if os.geteuid() != 0:
        path.chmod(0o400)
        with Gallery.open(path, engine=engine) as gallery:
            assert gallery.storage() == "read_only"


def test_an_open_gallery_without_changes_ends_while_the_lock_is_held(tmp_path: Path) -> None:
    """Pending writes in memory never keep a program from ending."""
    path = tmp_path / "people.db"
    access = Access(Database(path))
    _, secret = access.keys.add("door", ["read"])
    access.close()
    program = (
        "import sys; from facedex.server import Access; from facedex.store import Database\n"
        f"access = Access(Database('sqlite:///{path}?timeout=0.5'))\n"
        "assert access.principal(sys.argv[1]) is not None\naccess.close()"
    )
    with held(path):
        done = subprocess.run([sys.executable, "-c", program, secret], timeout=60, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert used(path) == [None]
