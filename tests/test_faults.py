"""Faults: locked, full, read-only, damaged and newer databases; damaged and foreign snapshots."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facedex import people
from facedex.errors import (
    ArgumentError,
    DatabaseDamagedError,
    DatabaseLockedError,
    DatabaseReadOnlyError,
    DatabaseUnavailableError,
    DatabaseVersionError,
    FacedexError,
    StorageFullError,
    StoreError,
)
from facedex.search import LocalSearch, SearchOptions
from facedex.store import Database, Feed, NewFace, PackPin, Store, migrate

PIN = PackPin("synthetic", "ab" * 32, 32)


def unit(number: int) -> NDArray[np.float32]:
    vector = np.random.default_rng(number).normal(size=PIN.dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def face(number: int) -> NewFace:
    return NewFace((0.0, 0.0, 1.0, 1.0), 1.0, unit(number))


class Opened:
    """A store and its search, as a gallery uses them."""

    def __init__(self, path: Path | str, name: str = "default") -> None:
        self.database = Database(path)
        try:
            self.feed = Feed(self.database, name)
            self.feed.bind(PIN)
            self.store = Store(self.feed)
            self.search = LocalSearch(self.feed, SearchOptions("exact"))
        except FacedexError:
            self.database.close()
            raise

    def finds(self, number: int) -> str | None:
        """Return the person of that number's vector; None when it is unknown."""
        self.search.sync()
        if len(self.search) == 0:
            return None
        keys, similarities = self.search.search(unit(number)[None], 1)
        if similarities[0, 0] < 0.999:
            return None
        return str(self.store.owners([int(keys[0, 0])])[int(keys[0, 0])].person_id)

    def close(self) -> None:
        self.search.save()
        self.database.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "people.db"


def snapshots(path: Path) -> list[Path]:
    return sorted(file for file in path.parent.iterdir() if ".index" in file.name)


# The place.


def test_an_empty_file_becomes_a_gallery(path: Path) -> None:
    path.touch()
    opened = Opened(path)
    opened.store.register("ayu", [face(1)])
    assert opened.finds(1) == "ayu"
    opened.close()


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailableError, match="is a folder; give the path of a file"):
        Database(tmp_path)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailableError, match="does not exist; create it"):
        Database(tmp_path / "no" / "people.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [people.GROUP.read_bytes(), b"not a database", b"SQLite format 3\0" + b"\0" * 200])
def test_a_file_that_is_no_database_is_refused_and_not_changed(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(DatabaseDamagedError):
        Database(path)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused_and_not_changed(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(DatabaseDamagedError, match="not a database of facedex: it has the tables bookmarks"):
        Database(path)
    assert path.read_bytes() == before


def test_a_newer_database_is_refused(path: Path) -> None:
    Database(path).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE facedex_version SET version_num = '0099'")
    connection.commit()
    connection.close()
    with pytest.raises(
        DatabaseVersionError, match=rf"version '0099', this facedex knows up to '{migrate.HEAD}'; open it with a newer"
    ):
        Database(path)


@pytest.mark.parametrize(
    "location",
    [
        "",
        "oracle://host/db",
        "postgresql://host",
        "://",
        "sqlite:///x.db?timeout=soon",
    ],
)
def test_a_location_that_is_no_file_is_refused(location: str) -> None:
    with pytest.raises(ArgumentError, match="location must be a path, ':memory:', or a URL"):
        Database(location)


def test_a_password_in_a_refused_location_is_not_shown() -> None:
    with pytest.raises(ArgumentError) as refused:
        Database("oracle://me:secret@host/db")
    assert "secret" not in str(refused.value)


def test_a_path_may_hold_any_characters(tmp_path: Path) -> None:
    path = tmp_path / "100% of Å? #1.db"
    opened = Opened(path, "a/b [x].*")
    opened.store.register("ayu", [face(1)])
    opened.close()
    assert path.exists()
    assert len(snapshots(path)) == 1
    opened = Opened(path, "a/b [x].*")
    assert opened.finds(1) == "ayu"
    opened.close()


# Locked, full, read-only.


@contextlib.contextmanager
def held(path: Path, how: str) -> Iterator[None]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA locking_mode=NORMAL")
    connection.execute(how)
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def test_a_locked_database_is_reported_after_the_timeout_and_still_read(path: Path) -> None:
    opened = Opened(f"sqlite:///{path}?timeout=0.2")
    opened.store.register("ayu", [face(1)])
    with held(path, "BEGIN IMMEDIATE"):
        started = time.monotonic()
        with pytest.raises(DatabaseLockedError, match="held by another program"):
            opened.store.register("budi", [face(2)])
        assert 0.15 < time.monotonic() - started < 3
        with pytest.raises(DatabaseLockedError):
            opened.store.delete("ayu")
        assert opened.finds(1) == "ayu"
    opened.store.register("budi", [face(2)])
    assert opened.store.counts() == (2, 2)
    opened.close()


def test_a_database_with_an_exclusive_lock_cannot_be_opened(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DatabaseLockedError):
        Database(f"sqlite:///{path}?timeout=0.1")
    connection.close()
    Database(path).close()


FULL_DISK = """
import os, sys
from facedex.errors import FacedexError
sys.path.insert(0, sys.argv[1])
from test_faults import Opened, face
opened = Opened(sys.argv[2])
ballast = sys.argv[2] + ".ballast"
open(ballast, "wb").write(bytes(300_000))
number = 0
try:
    while number < 2000:
        opened.store.register(number, [face(number) for _ in range(20)])
        number += 1
except FacedexError as error:
    print(type(error).__name__, "nothing of this change was stored" in str(error))
people = opened.store.people()
print(len(people) == number and all(len(person.faces) == 20 for person in people))
os.unlink(ballast)
opened.store.delete(0)
print(opened.finds(0))
print(opened.finds(1))
"""


def test_a_full_disk_is_reported_and_the_gallery_continues(tmp_path: Path) -> None:
    script = tmp_path / "full.py"
    script.write_text(FULL_DISK)
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=2m tmpfs '{disk}'"
    if (
        shutil.which("unshare") is None
        or subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True).returncode
    ):
        pytest.skip("needs the right to mount a disk: make test-all as root")
    run = f"{mount} && exec '{sys.executable}' '{script}' '{Path(__file__).parent}' '{disk / 'people.db'}'"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.run(
        ["unshare", "-rm", "sh", "-c", run], capture_output=True, text=True, timeout=60, env=environment
    )
    assert child.stdout.split("\n") == ["StorageFullError True", "True", "None", "1", ""], child.stderr


def test_a_database_that_may_not_grow_is_reported(path: Path) -> None:
    opened = Opened(path)
    opened.store.register("ayu", [face(1)])
    with opened.database.single() as connection:  # the pool lends this connection to the next call
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}").all()
    with pytest.raises(StorageFullError, match="no space is left"):
        opened.store.register("budi", [face(number) for number in range(200)])
    assert opened.store.counts() == (1, 1)
    assert opened.finds(1) == "ayu"
    opened.close()


READ_ONLY = """
import os, sys
from facedex.errors import FacedexError
sys.path.insert(0, sys.argv[1])
from test_faults import Opened, face
import alembic.command
Opened(sys.argv[2]).close()  # everything is loaded now
if os.getuid() == 0:
    os.setresuid(65534, 65534, 65534)
def tried(act):
    try:
        return act()
    except FacedexError as error:
        return type(error).__name__
for place in sys.argv[3:]:
    opened = tried(lambda: Opened(place))
    print(opened if isinstance(opened, str) else opened.finds(1))
    if not isinstance(opened, str):
        print(tried(lambda: opened.store.register("budi", [face(2)])))
        print(tried(lambda: opened.store.delete("ayu")))
        print(opened.finds(1))
        opened.close()
"""


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX: Linux or macOS")
def test_a_read_only_file_is_read_also_in_a_read_only_folder() -> None:
    folder = Path(tempfile.mkdtemp())  # not below tmp_path, which another user may not enter
    try:
        folder.chmod(0o777)
        for name in ("file", "folder", "warm"):
            (folder / name).mkdir()
            (folder / name).chmod(0o777)
        for name in ("file", "folder"):
            opened = Opened(folder / name / "people.db")
            opened.store.register("ayu", [face(1)])
            opened.close()
            (folder / name / "people.db").chmod(0o444)
        (folder / "folder").chmod(0o555)
        script = folder / "read_only.py"
        script.write_text(READ_ONLY)
        places = [str(folder / name / "people.db") for name in ("warm", "file", "folder")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        child = subprocess.run(
            [sys.executable, str(script), str(Path(__file__).parent), *places],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment,
        )
        read_only = DatabaseReadOnlyError.__name__
        assert child.stdout.split("\n")[:-1] == ["ayu", read_only, read_only, "ayu"] * 2, child.stderr
    finally:
        (folder / "folder").chmod(0o777)
        shutil.rmtree(folder)


READ_ONLY_GALLERY = """
import os, sys
from fastapi.testclient import TestClient
from facedex import Engine, Gallery, people
from facedex.errors import DatabaseReadOnlyError
from facedex.gallery.fsck import fsck
from facedex.http import Settings, create_app
from facedex.transfer import export_to
path, folder = sys.argv[1:]
engine, other = Engine(), Engine("classic")

def use(path):
    with Gallery.open(path, engine=engine) as gallery:
        assert gallery.recognize(people.PROBES["ayu"][0])[0].person_id == "ayu"
        assert gallery.verify("ayu", people.PROBES["ayu"][0]).match
        assert [person.person_id for person in gallery.people()] == ["ayu"]
        assert gallery.photo_bytes(gallery.photos("ayu")[0].photo_id)
        assert gallery.check_audit().entries
        assert gallery.status().people == 1
        export_to(gallery, f"{folder}/{os.getuid()}.fdx")
        gallery.backup(f"{folder}/{os.getuid()}.db")
    assert fsck(path).ok
    assert not fsck(f"{folder}/{os.getuid()}.db").findings
    with TestClient(create_app(Settings(db=path), engine=engine), "http://localhost") as client:
        picture = people.PROBES["ayu"][0].read_bytes()
        assert client.post("/v1/recognize", files={"image": picture}).json()["faces"][0]["person_id"] == "ayu"
        return client.delete("/v1/people/ayu").json()

with Gallery.open(path, engine=engine, photos="thumbnail") as gallery:
    gallery.register("ayu", people.PICTURES["ayu"])
folder_of = os.path.dirname(path)
os.chmod(folder, 0o777)
with Gallery.open(f"{folder}/warm.db", engine=engine, photos="thumbnail") as gallery:
    gallery.register("ayu", people.PICTURES["ayu"])
assert "code" not in use(f"{folder}/warm.db")  # everything is loaded now
for name in os.listdir(folder_of):
    os.chmod(f"{folder_of}/{name}", 0o444)
os.chmod(folder_of, 0o555)
if os.getuid() == 0:
    os.setresuid(65534, 65534, 65534)
assert use(path)["code"] == "database_read_only", use(path)
with Gallery.open(path, engine=engine) as gallery:
    for change in (
        lambda: gallery.register("budi", people.PICTURES["budi"]),
        lambda: gallery.create("budi"),
        lambda: gallery.update("ayu", name="Ayu"),
        lambda: gallery.add_photo("ayu", people.PICTURES["ayu"][0], rendition="original"),
        lambda: gallery.delete("ayu"),
        lambda: gallery.vacuum(),
        lambda: gallery.rekey(None),
        lambda: gallery.migrate(engine=other),
        lambda: gallery.finish_migration(),
        lambda: gallery.sign_audit(),
    ):
        try:
            change()
        except DatabaseReadOnlyError as error:
            assert "may not be written: its file and folder were read-only" in str(error)
        else:
            raise SystemExit("a change was accepted")
    try:
        Gallery.open(path, engine=engine, name="other")
    except DatabaseReadOnlyError:
        pass
    print("all is refused and read")
"""


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX: Linux or macOS")
def test_a_gallery_on_a_read_only_mount_is_read_and_refuses_changes() -> None:
    pytest.importorskip("fastapi")
    with contextlib.ExitStack() as stack:
        folders = [Path(tempfile.mkdtemp()) for _ in range(2)]
        for folder in folders:
            stack.callback(shutil.rmtree, folder)
            stack.callback(folder.chmod, 0o777)
            folder.chmod(0o777)
        child = subprocess.run(
            [sys.executable, "-c", READ_ONLY_GALLERY, str(folders[0] / "people.db"), str(folders[1])],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert child.stdout == "all is refused and read\n", child.stderr


# Damaged.


def test_flipped_bytes_in_the_database_are_reported_or_harmless(path: Path) -> None:
    opened = Opened(path)
    for number in range(40):
        opened.store.register(number, [face(number)])
    opened.database.wipe_log()
    opened.database.close()
    whole = path.read_bytes()
    chance = random.Random(3)
    told = 0
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(chance.choice((1, 8, 64))):
            damaged[chance.randrange(100, len(damaged))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        for leftover in path.parent.glob("people.db-*"):
            leftover.unlink()
        try:
            opened = Opened(path)
            try:
                for number in range(40):
                    keys, similarities = opened.search.search(unit(number)[None], 1)
                    assert similarities[0, 0] > 0.999
                    assert int(keys[0, 0]) == number + 1
            finally:
                opened.database.close()
        except FacedexError:  # a flipped digest of the pack is told as another pack
            told += 1
    assert told > 10


def test_a_zeroed_page_is_reported(path: Path) -> None:
    opened = Opened(path)
    for number in range(40):
        opened.store.register(number, [face(number)])
    opened.database.wipe_log()
    opened.database.close()
    whole = path.read_bytes()
    for page in range(len(whole) // 4096):
        damaged = whole[: page * 4096] + b"\0" * 4096 + whole[(page + 1) * 4096 :]
        path.write_bytes(damaged)
        try:
            opened = Opened(path)
            with contextlib.closing(opened.database):
                assert len(opened.search) in (0, 40)
                opened.store.people()
        except StoreError:
            continue


# The snapshot.


def saved(path: Path, *numbers: int) -> Path:
    """A gallery in which person n has vector n; its snapshot."""
    opened = Opened(path)
    for number in numbers:
        opened.store.register(number, [face(number)], on_existing="replace")
    opened.close()
    (snapshot,) = snapshots(path)
    return snapshot


def test_an_intact_snapshot_is_used(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    snapshot = saved(path, 1, 2, 3)
    # What the database does not check while nobody reads it shows that the vectors came from the snapshot.
    connection = sqlite3.connect(path)
    connection.execute("UPDATE templates SET checksum = 0")
    connection.commit()
    connection.close()
    opened = Opened(path)
    assert opened.search.rebuilt is None
    assert [opened.finds(number) for number in (1, 2, 3)] == ["1", "2", "3"]
    opened.close()
    assert snapshots(path) == [snapshot]
    assert caplog.records == []


@pytest.mark.parametrize("how", ["flip", "truncate", "empty", "jpeg", "renamed"])
def test_a_damaged_snapshot_is_rebuilt_and_reported(path: Path, how: str, caplog: pytest.LogCaptureFixture) -> None:
    snapshot = saved(path, 1, 2, 3)
    content = bytearray(snapshot.read_bytes())
    if how == "flip":
        content[len(content) // 2] ^= 1
    elif how == "truncate":
        content = content[:-5]
    elif how == "jpeg":
        content = bytearray(people.GROUP.read_bytes())
    elif how == "empty":
        content.clear()
    snapshot.write_bytes(content)
    if how == "renamed":  # to the state before, of the same history
        connection = sqlite3.connect(path)
        token = connection.execute("SELECT token FROM changes WHERE seq = 2").fetchone()[0]
        connection.close()
        snapshot = snapshot.rename(snapshot.with_name(f"people.db.default.2-{token}.index"))
    opened = Opened(path)
    assert opened.search.rebuilt is not None
    assert snapshot.name in opened.search.rebuilt
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "rebuilt from the database" in caplog.text
    assert [opened.finds(number) for number in (1, 2, 3)] == ["1", "2", "3"]
    opened.close()
    opened = Opened(path)
    assert opened.search.rebuilt is None
    opened.close()


def test_random_damage_to_a_snapshot_never_gives_a_wrong_answer(path: Path) -> None:
    snapshot = saved(path, 1, 2, 3)
    whole = snapshot.read_bytes()
    chance = random.Random(5)
    for _ in range(40):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        for file in snapshots(path):
            file.unlink()
        snapshot.write_bytes(damaged)
        opened = Opened(path)
        assert opened.search.rebuilt is not None
        assert [opened.finds(number) for number in (1, 2, 3)] == ["1", "2", "3"]
        opened.database.close()


def test_an_older_snapshot_of_the_same_history_is_brought_up_to_date(path: Path, tmp_path: Path) -> None:
    snapshot = saved(path, 1, 2, 3)
    kept = shutil.copy(snapshot, tmp_path / "kept")
    opened = Opened(path)
    opened.store.delete(2)
    opened.store.register(4, [face(4)])
    opened.close()
    for file in snapshots(path):
        file.unlink()
    shutil.copy(kept, snapshot)
    opened = Opened(path)
    assert opened.search.rebuilt is None
    assert [opened.finds(number) for number in (1, 2, 3, 4)] == ["1", None, "3", "4"]
    assert snapshots(path) == []  # it held the deleted vector
    opened.close()


def test_a_snapshot_of_another_copy_of_the_database_is_not_trusted(path: Path, tmp_path: Path) -> None:
    saved(path, 1, 2)
    backup = tmp_path / "backup"
    shutil.copy(path, backup)
    theirs = saved(path, 3)  # the first copy goes on and registers 3 ...
    shutil.copy(theirs, tmp_path / "theirs")
    shutil.copy(backup, path)
    for file in snapshots(path):
        file.unlink()
    mine = saved(path, 4)  # ... the second registers 4: the same number of changes, another history
    assert mine.name.split("-")[0] == theirs.name.split("-")[0]
    mine.unlink()
    shutil.copy(tmp_path / "theirs", theirs)
    opened = Opened(path)
    assert opened.search.rebuilt == f"{theirs.name} belongs to another history of the database"
    assert [opened.finds(number) for number in (1, 2, 3, 4)] == ["1", "2", None, "4"]
    # Under the name that this history would give it, the file itself says whose it is.
    theirs.rename(mine)
    again = Opened(path)
    assert again.search.rebuilt is not None
    assert [again.finds(number) for number in (1, 2, 3, 4)] == ["1", "2", None, "4"]
    again.database.close()
    opened.close()


def test_a_newer_snapshot_beside_a_restored_database_is_not_trusted(path: Path, tmp_path: Path) -> None:
    saved(path, 1, 2)
    shutil.copy(path, tmp_path / "backup")
    newer = saved(path, 3)
    shutil.copy(tmp_path / "backup", path)
    opened = Opened(path)
    assert opened.search.rebuilt == f"{newer.name} belongs to another history of the database"
    assert [opened.finds(number) for number in (1, 2, 3)] == ["1", "2", None]
    opened.close()


def test_a_database_restored_under_an_open_gallery_is_followed(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened = Opened(path)
    opened.store.register(1, [face(1)])
    backup = sqlite3.connect(tmp_path / "backup")
    with contextlib.closing(sqlite3.connect(path)) as live:
        live.backup(backup)
    opened.store.register(2, [face(2)])
    assert opened.finds(2) == "2"
    with contextlib.closing(sqlite3.connect(path)) as live:
        backup.backup(live)
    backup.close()
    assert [opened.finds(number) for number in (1, 2)] == ["1", None]
    assert opened.search.rebuilt == "the database was put back to another history"
    assert "rebuilt" in caplog.text
    opened.close()


def test_a_snapshot_that_cannot_be_written_is_reported_and_harmless(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened = Opened(path)
    opened.store.register(1, [face(1)])
    opened.search.sync()
    position, token = opened.search.at
    (path.parent / f"people.db.default.{position}-{token}.index").mkdir()
    opened.close()
    assert "the search index was not saved" in caplog.text
    (path.parent / f"people.db.default.{position}-{token}.index").rmdir()
    opened = Opened(path)
    assert opened.finds(1) == "1"
    opened.close()


def test_a_snapshot_written_during_a_deletion_is_removed(path: Path) -> None:
    writer, deleter = Opened(path), Opened(path)
    writer.store.register(1, [face(1)])
    writer.store.register(2, [face(2)])
    writer.search.sync()
    deleter.search.forget()
    deleter.store.delete(1)
    # the writer stood before the deletion when it began
    assert not writer.search._snapshots.save(writer.search._index, writer.search.at)
    assert snapshots(path) == []
    writer.close()
    deleter.close()
