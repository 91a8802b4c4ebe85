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
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from facedex import people
from facedex.engine import Engine
from facedex.errors import ExportError, StorageFullError
from facedex.gallery import Gallery
from facedex.gallery.fsck import fsck
from facedex.http import Settings, create_app
from facedex.server import Access
from facedex.server.keys import ApiKeys, LastUses
from facedex.store import Database
from facedex.transfer import export_to, import_from

pytestmark = pytest.mark.slow

SIZE = 24 << 20
KEY = bytes(range(32))


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


# Every verb on a full disk.


CHANGES: dict[str, Callable[[Gallery, Path], object]] = {
    "register": lambda gallery, folder: gallery.register("citra", people.PICTURES["citra"]),
    "register_many": lambda gallery, folder: raise_first(
        gallery.register_many([("citra", picture) for picture in people.PICTURES["citra"]])
    ),
    "register_templates": lambda gallery, folder: gallery.register_templates(
        "citra", gallery.engine.analyze(people.PICTURES["citra"][0])[0].embedding[None]
    ),
    "create": lambda gallery, folder: gallery.create("citra", info={"notes": "n" * 9000}),
    "update": lambda gallery, folder: gallery.update("ayu", name="n" * 200, info={"notes": "n" * 9000}),
    "add_photo": lambda gallery, folder: gallery.add_photo("ayu", people.PICTURES["ayu"][0]),
    "import a folder": lambda gallery, folder: import_from(gallery, folder / "people", kind="folder"),
    "import a gallery file": lambda gallery, folder: import_from(gallery, folder / "citra.fdx"),
    "migrate": lambda gallery, folder: gallery.migrate("classic"),
    "vacuum": lambda gallery, folder: gallery.vacuum(),
    "rekey": lambda gallery, folder: gallery.rekey(KEY),
    "open another": lambda gallery, folder: Gallery.open(
        folder / "disk" / "people.db", name="other", engine=gallery.engine
    ),
}


def raise_first(answers: Sequence[object]) -> None:
    raise next(answer for answer in answers if isinstance(answer, Exception))


@pytest.fixture
def full(disk: Path, tmp_path: Path, engine: Engine) -> Iterator[Gallery]:
    """A gallery of two people on a full disk; people to import beside it."""
    for number, picture in enumerate(people.PICTURES["citra"]):
        (tmp_path / "people" / "citra").mkdir(parents=True, exist_ok=True)
        (tmp_path / "people" / "citra" / f"{number}.jpg").write_bytes(picture.read_bytes())
    with Gallery.open(tmp_path / "other.db", engine=engine, photos="original") as other:
        other.register("citra", people.PICTURES["citra"])
        export_to(other, tmp_path / "citra.fdx")
    path = disk / "people.db"
    with Gallery.open(path, engine=engine, photos="original") as gallery:
        for person in ("ayu", "budi"):
            gallery.register(person, people.PICTURES[person])
        gallery.vacuum()  # which leaves no room in the log
        fill(disk)
        yield gallery


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_names_a_full_disk(full: Gallery, tmp_path: Path, change: str) -> None:
    with pytest.raises(StorageFullError, match=r"no space is left .*nothing of this change was stored"):
        CHANGES[change](full, tmp_path)
    assert [person.person_id for person in full.people()] == ["ayu", "budi"]
    assert full.recognize(people.PROBES["budi"][0])[0].person_id == "budi"


def test_a_repair_names_a_full_disk(disk: Path, engine: Engine) -> None:
    path = disk / "people.db"
    with Gallery.open(path, engine=engine) as gallery:
        gallery.register("ayu", people.PICTURES["ayu"])
        with contextlib.closing(sqlite3.connect(path)) as other:
            other.execute("UPDATE galleries SET faces = 99")
            other.commit()
        gallery.vacuum()  # which leaves no room in the log
        filling = fill(disk)
        with pytest.raises(StorageFullError, match="no space is left"):
            fsck(path, repair=True)
        filling.unlink()
        assert not fsck(path).ok
        assert fsck(path, repair=True).ok


FILES: dict[str, Callable[[Gallery, Path], object]] = {
    "export": lambda gallery, disk: export_to(gallery, disk / "people.fdx"),
    "encrypted export": lambda gallery, disk: export_to(gallery, disk / "people.fdx", key=KEY),
    "audit": lambda gallery, disk: gallery.export_audit(disk / "audit"),
    "backup": lambda gallery, disk: gallery.backup(disk / "copy.db"),
}


@pytest.mark.parametrize("file", FILES)
def test_every_file_names_a_full_disk_and_is_removed(disk: Path, tmp_path: Path, engine: Engine, file: str) -> None:
    with Gallery.open(tmp_path / "people.db", engine=engine, photos="original") as gallery:
        gallery.register("ayu", people.PICTURES["ayu"])
        fill(disk)
        with pytest.raises(ExportError, match=r"cannot be written.*(No space left on device|disk is full)"):
            FILES[file](gallery, disk)
    assert [path.name for path in disk.iterdir()] == ["filling"]


def test_a_snapshot_without_room_is_a_warning(
    disk: Path, engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Gallery.open(disk / "people.db", engine=engine) as gallery:
        gallery.register("ayu", people.PICTURES["ayu"])
        fill(disk)
    assert "No space left on device" in caplog.text
    (disk / "filling").unlink()
    with Gallery.open(disk / "people.db", engine=engine) as gallery:
        assert gallery.recognize(people.PROBES["ayu"][0])[0].person_id == "ayu"


def test_commands_name_a_full_disk(disk: Path, tmp_path: Path, engine: Engine) -> None:
    path = tmp_path / "people.db"
    with Gallery.open(path, engine=engine, photos="original") as gallery:
        gallery.register("ayu", people.PICTURES["ayu"])
        export_to(gallery, tmp_path / "people.fdx")
    fill(disk)

    def run(*arguments: object, **variables: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "facedex", *map(str, arguments)]
        environment = os.environ | {"FACEDEX_DB": str(path), "COLUMNS": "400"} | variables
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stderr

    for code, words, *command in (
        (3, "No space left on device", "export", disk / "people.fdx"),
        (3, "disk is full", "backup", disk / "copy.db"),
        (3, "No space left on device", "audit", "export", disk / "audit"),
        (2, "No space left on device", "photos", "save", "ayu", "--out", disk),
        (2, "No space left on device", "recognize", people.GROUP, "--out", disk),
        (
            *(3, "the import is done, but", "import", tmp_path / "people.fdx", "--on-existing", "replace"),
            *("--report", disk / "report.json"),
        ),
        (
            *(3, "error [storage_full]: no space is left", "register", "budi", people.PICTURES["budi"][0]),
            *("--db", disk / "new.db"),
        ),
    ):  # fmt: skip
        assert (found := run(*command))[0] == code, found
        assert words in found[1], found
    code, said = run("packs", "get", "mobile", FACEDEX_HOME=str(disk / "home"))
    assert code == 3
    assert "is too full" in said


def test_a_server_names_a_full_disk(
    disk: Path, tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uploads wait in the folder for temporary files, and so does a gallery file that is imported."""
    monkeypatch.setattr("tempfile.tempdir", str(disk))
    picture = people.GROUP.read_bytes()
    with Gallery.open(tmp_path / "other.db", engine=engine, photos="original") as gallery:
        gallery.register("ayu", people.PICTURES["ayu"])
        export_to(gallery, tmp_path / "people.fdx")
    fill(disk)
    app = create_app(Settings(db=str(tmp_path / "people.db")), engine=engine)
    with TestClient(app, "http://localhost", raise_server_exceptions=False) as client:
        answer = client.post("/v1/recognize", files={"image": picture + bytes(2 << 20)})
        assert (answer.status_code, answer.json()["code"]) == (507, "storage_full")
        assert answer.json()["detail"] == "no space is left on the server's disk"
        begun = client.post("/v1/index/import", content=(tmp_path / "people.fdx").read_bytes())
        assert begun.status_code == 202, begun.text
        until = time.monotonic() + 30
        while (job := client.get(f"/v1/jobs/{begun.json()['id']}").json())["state"] in ("queued", "running"):
            assert time.monotonic() < until
            time.sleep(0.1)
        assert (job["state"], job["answer"]["code"]) == ("failed", "storage_full")
        assert client.post("/v1/recognize", files={"image": picture}).status_code == 200


def test_a_server_whose_database_is_on_a_full_disk_starts_no_job(full: Gallery, tmp_path: Path, engine: Engine) -> None:
    full.close()
    with TestClient(
        create_app(Settings(db=str(tmp_path / "disk" / "people.db"), photos="original"), engine=engine),
        "http://localhost",
        raise_server_exceptions=False,
    ) as client:
        picture = {"image": people.PICTURES["citra"][0].read_bytes()}
        for answer in (
            *(client.post(f"/v1/index/{kind}") for kind in ("rebuild", "purge", "check")),
            client.post("/v1/index/migrate", json={"pack": "classic"}),
            client.post("/v1/index/import", content=b"{}"),
            client.post("/v1/people", data={"person_id": "citra"}, files=picture),
            client.post("/v1/people/ayu/photos", files=picture),
        ):
            assert (answer.status_code, answer.json()["code"]) == (507, "storage_full"), answer.text


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
