"""Deletion that can be shown: receipts, no trace in any file, retention dates."""

from __future__ import annotations

import dataclasses
import random
import sqlite3
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from numpy.typing import NDArray
from place import Place

from facedex import people
from facedex.engine import Engine
from facedex.errors import ArgumentError, UnknownFaceError, UnknownPersonError, UnknownPhotoError
from facedex.gallery import Gallery
from facedex.gallery.policy import Enrolment
from facedex.search import LocalSearch, SearchOptions
from facedex.server import Access
from facedex.store import Database, Feed, NewFace, PackPin, Store

SQLITE = pytest.mark.parametrize("place", ["sqlite"], indirect=True)
PIN = PackPin("classic", "ab" * 32, 128)
NOW = datetime(2030, 1, 1, tzinfo=timezone.utc)


def traces(vector: NDArray[np.float32]) -> list[bytes]:
    """Every piece of 16 values of a vector, as float32, float16 and int8."""
    small = np.round(127 * vector).astype(np.int8)
    forms = [(vector.tobytes(), 4), (vector.astype(np.float16).tobytes(), 2), (small.tobytes(), 1)]
    return [form[i * size : (i + 16) * size] for form, size in forms for i in range(len(vector) - 15)]


def pieces(content: bytes) -> list[bytes]:
    """A file in pieces of 64 bytes."""
    return [content[at : at + 64] for at in range(len(content) % 64, len(content), 64)]


def on_disk(folder: Path) -> bytes:
    # Without the zeros of the file that keeps space for deletions.
    return b"".join(file.read_bytes().rstrip(b"\0") for file in sorted(folder.rglob("*")) if file.is_file())


def embedding_of(engine: Engine, picture: Path) -> NDArray[np.float32]:
    embedding = engine.analyze(picture)[0].embedding
    assert embedding is not None
    return embedding


# Receipts.


def test_a_receipt_lists_what_was_removed_and_can_be_checked(place: Place, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine) as gallery:
        registered = gallery.register("ayu", list(people.PICTURES["ayu"]), name="Ayu")
        gallery.update("ayu", email="a@example.org")
        one = gallery.delete_face(registered.faces[0].face_id)
        receipt = gallery.delete("ayu")
        again = gallery.register("ayu", people.PICTURES["ayu"][0], name="Ayu")
        second = gallery.delete("ayu")
    assert (one.person_removed, one.faces, one.templates, one.events) == (False, (registered.faces[0].face_id,), 1, 0)
    assert (receipt.person_id, receipt.name, receipt.person_removed) == ("ayu", "Ayu", True)
    assert receipt.faces == tuple(face.face_id for face in registered.faces[1:])
    assert (receipt.templates, receipt.events) == (2, 3)
    assert {one.wiped, receipt.wiped} == {place.kind == "sqlite"}
    assert second.faces == (again.faces[0].face_id,)
    assert len({one.digest, receipt.digest, second.digest}) == len({one.salt, receipt.salt, second.salt}) == 3
    for genuine in (one, receipt, second):
        assert genuine.digest == genuine.computed_digest()
    changes: list[dict[str, Any]] = [
        {"person_id": "budi"},
        {"name": None},
        {"person_removed": False},
        {"faces": ()},
        {"templates": 3},
        {"photos": 1},
        {"events": 0},
        {"deleted_at": receipt.deleted_at + timedelta(microseconds=1)},
        {"salt": "0" * 32},
        {"gallery": "0" * 32},
    ]
    assert {name for change in changes for name in change} == {field.name for field in dataclasses.fields(receipt)} - {
        "digest",
        "wiped",
    }
    for change in changes:
        assert dataclasses.replace(receipt, **change).computed_digest() != receipt.digest


# No trace.


@SQLITE
@pytest.mark.parametrize("key", [None, bytes(range(32))], ids=["plain", "encrypted"])
def test_after_a_deletion_and_a_vacuum_no_file_has_a_trace(place: Place, engine: Engine, key: bytes | None) -> None:
    vectors = [embedding_of(engine, picture) for picture in people.PICTURES["ayu"]]
    names = [b"key-of-ayu", b"Name Of Ayu", b"ayu@example.org", b"hidden-info", b"photo-of-ayu.jpg"]
    with Gallery.open(place.location, engine=engine, key=key, audit="all", photos="original") as gallery:
        gallery.register("budi", people.PICTURES["budi"][0], name="Name Of Budi")
        gallery.register(
            "key-of-ayu",
            list(people.PICTURES["ayu"]),
            name="Name Of Ayu",
            email="ayu@example.org",
            info={"k": "hidden-info"},
        )
        gallery.add_photo("key-of-ayu", people.GROUP, filename="photo-of-ayu.jpg")
        gallery.add_photo("key-of-ayu", people.GROUP, rendition="thumbnail")
        kept = [gallery.photo_bytes(photo.photo_id) for photo in gallery.photos("key-of-ayu")]
        assert len(kept) == 5
        other = gallery.photo_bytes(gallery.photos("budi")[0].photo_id)
        tables = other[: len(other) // 8]  # Huffman codes and the like, which many files share
        photos = [piece for data in kept for piece in pieces(data) if piece not in tables]
        assert len(photos) > 500
        other = other[-64:]
        gallery.recognize(people.PROBES["ayu"][0])
    there = on_disk(place.folder)
    assert all(name in there for name in names)
    assert (vectors[0].tobytes() in there) is (key is None)
    assert (photos[len(photos) // 2] in there) is (other in there) is (key is None)
    locked = [bytes(content) for (content,) in place.rows("SELECT content FROM photos WHERE person_row > 1")]
    photos += [piece for content in locked for piece in pieces(content) if piece not in tables]
    with Gallery.open(place.location, engine=engine, key=key, audit="all") as gallery:
        receipt = gallery.delete("key-of-ayu")
        assert (receipt.wiped, receipt.photos) == (True, 5)
        for _ in range(2):
            left = on_disk(place.folder)
            assert b"Name Of Budi" in left
            assert not any(name in left for name in names)
            assert not any(trace in left for vector in vectors for trace in traces(vector))
            assert not any(photo in left for photo in photos)
            assert (other in left) is (key is None)
            assert gallery.vacuum()
    left = on_disk(place.folder)
    assert place.snapshots() != []
    assert not any(trace in left for vector in vectors for trace in traces(vector))


@pytest.mark.slow
@SQLITE
def test_no_trace_of_deleted_people_remains_after_many_changes(place: Place) -> None:
    database = Database(place.location)
    feed = Feed(database, "default")
    feed.bind(PIN)
    store = Store(feed)
    search = LocalSearch(feed, SearchOptions("exact"))
    chance = random.Random(7)
    noise = np.random.default_rng(7)
    vectors: dict[int, NDArray[np.float32]] = {}
    for number in range(150):
        vector = noise.normal(size=PIN.dimension).astype(np.float32)
        vectors[number] = vector / np.linalg.norm(vector)
        details = {"name": f"name-{number}-", "info": {"x": "x" * chance.randrange(0, 3000)}}
        store.register(f"person-{number}-", [NewFace((0, 0, 1, 1), 1.0, vectors[number])], details)
        if number % 40 == 20:
            search.save()
    gone = chance.sample(range(150), 60)
    for number in gone:
        search.forget()
        store.delete(f"person-{number}-")
        search.sync()
    assert database.wipe_log()
    search.save()
    for _ in range(2):
        left = on_disk(place.folder)
        kept = next(number for number in range(150) if number not in gone)
        assert vectors[kept].tobytes() in left
        assert f"person-{kept}-".encode() in left
        for number in gone:
            assert f"name-{number}-".encode() not in left
            assert f"person-{number}-".encode() not in left
            assert not any(trace in left for trace in traces(vectors[number]))
        assert database.vacuum()
    database.close()


@SQLITE
def test_a_receipt_reports_when_a_reader_holds_the_log(place: Place, engine: Engine) -> None:
    location = place.with_options(timeout="0.2")
    with Gallery.open(location, engine=engine) as gallery:
        gallery.register("ayu", people.PICTURES["ayu"][0])
        reader = sqlite3.connect(place.path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM people").fetchall()
        receipt = gallery.delete("ayu")
        assert not receipt.wiped
        assert receipt.digest == receipt.computed_digest()
        reader.close()
        assert gallery.vacuum()


# Retention.


def test_people_whose_retention_ended_are_purged(place: Place, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine) as gallery:
        for number, person_id in enumerate(("ayu", "budi", "citra", "dewi")):
            until = None if person_id == "dewi" else NOW + timedelta(days=number)
            gallery.register(person_id, people.PICTURES[person_id][0], retain_until=until)
        assert gallery.person("budi").retain_until == NOW + timedelta(days=1)
        assert gallery.purge(NOW - timedelta(microseconds=1)) == []
        (receipt,) = gallery.purge(NOW)
        assert (receipt.person_id, receipt.wiped) == ("ayu", place.kind == "sqlite")
        assert [person.person_id for person in gallery.people()] == ["budi", "citra", "dewi"]
        gallery.update("budi", retain_until=None)
        assert gallery.person("budi").retain_until is None
        gallery.update("citra", name="Citra")
        assert [receipt.person_id for receipt in gallery.purge(NOW + timedelta(days=365))] == ["citra"]
        assert [person.person_id for person in gallery.people()] == ["budi", "dewi"]
        with pytest.raises(UnknownPersonError):
            gallery.person("citra")
        reasons = [event.facts["reason"] for event in gallery.audit() if event.kind == "delete"]
        assert reasons == ["retention", "retention"]
        assert gallery.check_audit().intact


def test_purge_uses_the_clock_and_status_counts_overdue_people(place: Place, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine) as gallery:
        now = datetime.now(timezone(timedelta(hours=7)))
        gallery.register("ayu", people.PICTURES["ayu"][0], retain_until=now - timedelta(seconds=1))
        gallery.register("budi", people.PICTURES["budi"][0], retain_until=now + timedelta(hours=1))
        assert gallery.status().due == 1
        assert [receipt.person_id for receipt in gallery.purge()] == ["ayu"]
        assert gallery.status().due == 0


@SQLITE
@pytest.mark.parametrize("until", [datetime(2030, 1, 1), "2030-01-01", 5])
def test_a_date_without_a_time_zone_is_refused(place: Place, engine: Engine, until: Any) -> None:
    with Gallery.open(place.location, engine=engine) as gallery:
        with pytest.raises(ArgumentError, match="retain_until must be a datetime with a time zone"):
            gallery.register("ayu", b"the picture is not looked at", retain_until=until)
        with pytest.raises(ArgumentError, match="now must be a datetime with a time zone"):
            gallery.purge(datetime(2030, 1, 1))


@SQLITE
def test_a_person_whose_date_was_just_extended_is_not_purged(place: Place, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine) as gallery:
        gallery.register("ayu", people.PICTURES["ayu"][0], retain_until=NOW + timedelta(days=1))
        assert gallery._resources.store.purge("ayu", NOW) is None
        assert gallery._resources.store.purge("nobody", NOW) is None
        assert len(gallery.people()) == 1


# What is replaced leaves as little as what is deleted.


@SQLITE
@pytest.mark.parametrize("door", ["update", "register", "import"])
def test_a_replaced_value_is_in_no_file_while_the_gallery_is_open(place: Place, engine: Engine, door: str) -> None:
    with Gallery.open(place.location, engine=engine) as gallery:
        gallery.register(
            "ayu", people.PICTURES["ayu"][0], name="Name Of Old", email="old@example.org", info={"a": "xold"}
        )
        assert b"Name Of Old" in on_disk(place.folder)
        if door == "update":
            gallery.update("ayu", name="Name Of New", email=None, info={"a": "xnew"})
        elif door == "register":
            given = {"name": "Name Of New", "email": "new@example.org", "info": {"a": "xnew"}}
            gallery.register("ayu", people.PICTURES["ayu"][1], on_existing="add", **given)  # type: ignore[arg-type]
        else:
            (old,) = gallery.exchange.export_people()
            new = dataclasses.replace(old.person, name="Name Of New", email="new@example.org", info={"a": "xnew"})
            gallery.exchange.import_people([dataclasses.replace(old, person=new)], on_existing="add")
        left = on_disk(place.folder)
        assert b"Name Of New" in left
        assert not any(old in left for old in (b"Name Of Old", b"old@example.org", b"xold"))


@SQLITE
@pytest.mark.parametrize("door", ["register", "rebuild", "room", "import"])
def test_a_replaced_face_is_in_no_file_while_the_gallery_is_open(place: Place, engine: Engine, door: str) -> None:
    first, second = people.PICTURES["ayu"][:2]
    old = embedding_of(engine, first)
    enrolment = Enrolment(max_faces=1, when_full="oldest")
    with Gallery.open(place.location, engine=engine, photos="original", enrolment=enrolment) as gallery:
        gallery.register("ayu", first)
        if door == "rebuild":  # makes the same template again: what stands there now is the new row's
            gallery.rebuild_person("ayu")
            assert on_disk(place.folder).count(old.tobytes()) == 1
            return
        assert old.tobytes() in on_disk(place.folder)
        if door == "import":
            with Gallery.open(place.location, engine=engine, name="other", photos="original") as other:
                other.register("ayu", second)
                gallery.exchange.import_people(list(other.exchange.export_people()), on_existing="replace")
        else:
            gallery.register("ayu", second, on_existing="replace" if door == "register" else "add")
        left = on_disk(place.folder)
        assert not any(trace in left for trace in traces(old))


@SQLITE
def test_a_changed_or_deleted_account_leaves_no_trace(place: Place) -> None:
    access = Access(Database(place.location))
    account = access.accounts.add(login="ayu", email="old@example.org", name="Name Of Old", scopes=["read"])
    assert b"old@example.org" in on_disk(place.folder)
    access.accounts.update(account.id, email="new@example.org", name="Name Of New")
    left = on_disk(place.folder)
    assert b"new@example.org" in left
    assert b"old@example.org" not in left
    assert b"Name Of Old" not in left
    access.accounts.delete(account.id)
    assert b"new@example.org" not in on_disk(place.folder)
    access.close()


def test_an_eraser_runs_in_the_transaction_of_the_deletion(place: Place, engine: Engine) -> None:
    seen: list[tuple[str, str]] = []

    def erase(connection: sa.Connection, gallery: str, row: Any) -> None:
        stored = connection.execute(sa.text("SELECT count(*) FROM people")).scalar_one()
        assert stored == 2, "the person is still there"
        seen.append((gallery, row.key))
        if row.key == "budi":
            raise RuntimeError("the application cannot delete its part")

    with Gallery.open(place.location, engine=engine, name="door", eraser=erase) as gallery:
        for person_id in ("ayu", "budi"):
            gallery.create(person_id)
        with pytest.raises(RuntimeError, match="cannot delete its part"):
            gallery.delete("budi")
        assert [person.person_id for person in gallery.people()] == ["ayu", "budi"]
        gallery.delete("ayu")
        assert [person.person_id for person in gallery.people()] == ["budi"]
    assert seen == [("door", "budi"), ("door", "ayu")]


def test_a_person_is_deleted_without_the_packages_of_the_server(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules.update(dict.fromkeys(['argon2', 'fastapi', 'starlette', 'pydantic']))\n"
        "from facedex import Gallery\n"
        f"with Gallery.open({str(tmp_path / 'people.db')!r}) as gallery:\n"
        "    gallery.create('ayu'); gallery.delete('ayu'); print(len(gallery.people()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("0\n", "")


@SQLITE
def test_a_refused_deletion_leaves_the_snapshots(place: Place, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine) as gallery:
        gallery.register("ayu", people.PICTURES["ayu"])
        gallery.recognize(people.PROBES["ayu"][0])
    assert (before := place.snapshots()) != []
    with Gallery.open(place.location, engine=engine) as gallery:
        with pytest.raises(UnknownPersonError):
            gallery.delete("budi")
        with pytest.raises(UnknownFaceError):
            gallery.delete_face(999)
        with pytest.raises(UnknownPhotoError):
            gallery.delete_photo(9)
        assert place.snapshots() == before


@SQLITE
def test_a_gallery_is_not_made_with_options_that_are_refused(place: Place, engine: Engine) -> None:
    for options in ({"best_of": 0}, {"photos": "all"}, {"index": "tree"}):
        with pytest.raises(ArgumentError, match=next(iter(options))):
            Gallery.open(place.location, engine=engine, **options)
    assert place.rows("SELECT name FROM galleries") == []
