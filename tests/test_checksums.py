"""Flipped bits in a row: no face gets another name, others are recognised, and fsck names the row."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from place import Place
from synthetic import Opened, face

from facedex import Gallery, people
from facedex.engine import Engine
from facedex.errors import DatabaseDamagedError, FacedexError
from facedex.gallery.fsck import fsck
from facedex.store import Database, checksums
from facedex.store.tables import faces as faces_table
from facedex.store.tables import people as people_table

SQLITE = pytest.mark.parametrize("place", ["sqlite"], indirect=True)


@pytest.fixture
def opened(place: Place) -> Iterator[Opened]:
    """Person n is called "Name n" and has vector n, for 1, 2 and 3."""
    opened = Opened(place.location)
    for number in (1, 2, 3):
        opened.store.register(str(number), [face(number)], {"name": f"Name {number}", "email": f"{number}@example"})
    yield opened
    opened.close()


AT = datetime(2026, 1, 2, 3, 4, 5, 678901, timezone.utc)
ROW = {"id": 7, "gallery_id": 1, "key": "ayu", "key_is_int": False, "name": "Ayu", "email": "ayu@example"}
ROW |= {"info": '{"a": 1}', "created_at": AT, "updated_at": AT, "retain_until": AT}


def checksum(**values: Any) -> int:
    return checksums.person_checksum(SimpleNamespace(**(ROW | values)))


def test_checksums_of_released_databases_are_valid() -> None:
    assert checksum() == 4633204604054214962
    assert checksum(name=None, email=None, info="{}", retain_until=None) == 675587321233105353


def test_every_column_of_a_person_but_two_changes_the_checksum() -> None:
    changed = {column.name for column in people_table.c if checksum(**{column.name: "other"}) != checksum()}
    assert {column.name for column in people_table.c} - changed == {"data_key", "checksum"}


def test_a_later_column_keeps_the_checksums_of_older_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "_LATER", ("badge", "team"))
    assert checksum() == checksum(badge=None, team=None) == 4633204604054214962
    sums = {
        checksum(**values) for values in ({}, {"badge": ""}, {"badge": "x"}, {"team": "x"}, {"badge": "x", "team": "x"})
    }
    assert len(sums) == 5
    assert len({number & 0xFFFFFFFF for number in sums}) == 1  # the sum over what names the person


def damage(place: Place, **values: Any) -> None:
    place.execute(people_table.update().where(people_table.c.id == 2).values(**values))


NAMING: list[dict[str, Any]] = [
    {"key": "5"},
    {"key_is_int": True},
    {"name": "Name 3"},
    {"name": None},
    {"checksum": None},
]
BESIDE: list[dict[str, Any]] = [{"email": "3@example"}, {"info": '{"a": 1}'}, {"info": "{"}]


@pytest.mark.parametrize("values", NAMING, ids=str)
def test_a_damaged_id_or_name_names_nobody_and_the_others_are_recognised(
    opened: Opened, place: Place, values: dict[str, Any]
) -> None:
    damage(place, **values)
    assert [opened.name_of(number) for number in (1, 3)] == [("1", "Name 1"), ("3", "Name 3")]
    with pytest.raises(DatabaseDamagedError):
        opened.name_of(2)
    key = values.get("key", "2")
    store = opened.store
    for call in (
        store.people,
        lambda: store.person(key),
        lambda: store.templates_of(key),
        lambda: store.update(key, {"name": "Other"}),
        lambda: store.register(key, [face(9)], on_existing="add"),
        lambda: store.photos(key),
    ):
        with pytest.raises(DatabaseDamagedError, match=r"row 2 of people is not what was stored"):
            call()
    assert store.person("1").name == "Name 1"


@pytest.mark.parametrize("values", NAMING, ids=str)
def test_fsck_reports_a_damaged_name_and_a_deletion_repairs_it(
    opened: Opened, place: Place, values: dict[str, Any]
) -> None:
    damage(place, **values)
    for repair in (False, True):
        report = fsck(place.location, repair=repair)
        assert [(one.where, one.mended) for one in report.findings] == [("person", False)]
        assert f"row 2 of people, now '{values.get('key', '2')}'" in report.findings[0].text
    assert opened.store.delete(values.get("key", "2")).faces == (2,)
    assert fsck(place.location, repair=True).ok
    assert [str(one.person_id) for one in opened.store.people()] == ["1", "3"]


@SQLITE
@pytest.mark.parametrize("values", BESIDE, ids=str)
def test_a_repair_keeps_and_reports_rows_without_a_person(opened: Opened, place: Place, values: dict[str, Any]) -> None:
    damage(place, **values)
    assert opened.name_of(2) == ("2", "Name 2")  # which does not rest on it
    with pytest.raises(DatabaseDamagedError):
        opened.store.person("2")
    report = fsck(place.location, repair=True)
    assert [(one.where, one.mended) for one in report.findings] == [("person", True)]
    assert fsck(place.location).findings == ()
    person = opened.store.person("2")
    assert person.email == values.get("email", "2@example")
    assert person.info == ({"a": 1} if values.get("info") == '{"a": 1}' else {})


def test_a_face_moved_to_another_person_names_nobody(opened: Opened, place: Place) -> None:
    assert opened.name_of(2) == ("2", "Name 2")
    place.execute(faces_table.update().where(faces_table.c.id == 2).values(person_row=3))
    assert opened.name_of(1) == ("1", "Name 1")
    with pytest.raises(DatabaseDamagedError):
        opened.name_of(2)
    with pytest.raises(DatabaseDamagedError):
        opened.store.person("3")
    assert fsck(place.location, repair=True).ok  # without the face, whose template does not say that it is theirs
    assert [opened.name_of(number) for number in (1, 2, 3)] == [("1", "Name 1"), None, ("3", "Name 3")]


@SQLITE
@pytest.mark.parametrize("column", ["x1", "y2", "det_score", "quality", "created_at"])
def test_a_repair_reports_a_damaged_box_and_keeps_its_values(opened: Opened, place: Place, column: str) -> None:
    place.execute(sa.text(f"UPDATE faces SET {column} = 3 WHERE id = 2"))
    assert opened.name_of(2) == ("2", "Name 2")
    with pytest.raises(DatabaseDamagedError, match="row 2 of faces is not what was stored"):
        opened.store.person("2")
    assert [(one.where, one.mended) for one in fsck(place.location, repair=True).findings] == [("face", True)]
    assert fsck(place.location).findings == ()
    assert opened.store.person("2").name == "Name 2"


def test_damaged_rows_can_be_deleted_and_are_reported(opened: Opened, place: Place) -> None:
    damage(place, name="Name 3")
    assert opened.store.delete_face(2).faces == (2,)
    with pytest.raises(DatabaseDamagedError):  # that it was changed beside has not made the row valid
        opened.store.person("2")
    opened.store.delete("2")
    assert opened.find([1, 2, 3]) == {1: "1", 2: None, 3: "3"}


def test_every_change_leaves_valid_checksums(opened: Opened, place: Place) -> None:
    store = opened.store
    store.register("1", [face(11), face(12)], {"name": "Other"}, on_existing="add")
    store.register("2", [face(13)], on_existing="replace")
    store.update("3", {"email": None, "info": {"ü": [1, 2.5, None]}, "name": "Å\u0308 😀"})
    store.delete_face(1)
    store.create("4", {"name": ""})
    assert fsck(place.location).findings == ()
    assert [one.name for one in store.people()] == ["Other", "Name 2", "Å\u0308 😀", ""]


def test_fsck_reports_a_flipped_line_of_the_audit(opened: Opened, place: Place) -> None:
    place.execute("UPDATE events SET content = REPLACE(content, 'register', 'registes') WHERE seq = 2")
    report = fsck(place.location, repair=True)
    assert [(one.where, one.mended) for one in report.findings] == [("audit", False)]
    assert "entry 2 was altered" in report.findings[0].text


@SQLITE
def test_a_damaged_person_does_not_affect_others_in_a_picture(place: Place, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine) as gallery:
        for person in ("ayu", "budi"):
            gallery.register(person, people.PICTURES[person])
        place.execute(people_table.update().where(people_table.c.key == "budi").values(name="Ayu"))
        found = gallery.recognize(people.PROBES["ayu"][0], k=3)[0]
        assert found.person_id == "ayu"
        assert [one.person_id for one in found.candidates] == ["ayu"]
        with pytest.raises(DatabaseDamagedError, match="is unknown"):
            gallery.recognize(people.PROBES["budi"][0])
        answers = gallery.recognize_many([people.PROBES["budi"][0], people.PROBES["ayu"][0]])
        assert isinstance(answers[0], FacedexError)
        assert not isinstance(answers[1], FacedexError)
        assert answers[1][0].person_id == "ayu"
        with pytest.raises(DatabaseDamagedError):
            gallery.verify("budi", people.PROBES["budi"][0])
        gallery.delete("budi")
        assert [one.person_id for one in gallery.people()] == ["ayu"]


# The log of SQLite.


@pytest.mark.parametrize(("commits", "told"), [(12, True), (1, False)])
def test_a_flipped_bit_in_the_log_that_hides_commits_is_reported(
    tmp_path: Path, commits: int, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "live").mkdir()
    (tmp_path / "copy").mkdir()
    opened = Opened(tmp_path / "live" / "people.db")
    opened.store.register("1", [face(1)])
    opened.database.wipe_log()
    for number in range(commits):
        opened.store.register(str(10 + number), [face(10 + number)])
    for name in ("people.db", "people.db-wal"):
        (tmp_path / "copy" / name).write_bytes((tmp_path / "live" / name).read_bytes())
    opened.close()
    log = tmp_path / "copy" / "people.db-wal"
    whole = log.read_bytes()

    Database(tmp_path / "copy" / "people.db").close()
    assert caplog.records == []

    # As it was before that opening, with one bit flipped in the first frame.
    (tmp_path / "copy" / "people.db").write_bytes((tmp_path / "live" / "people.db").read_bytes())
    damaged = bytearray(whole)
    damaged[32 + 24 + 100] ^= 4
    log.write_bytes(damaged)
    Database(tmp_path / "copy" / "people.db").close()
    assert [record.levelno for record in caplog.records] == ([logging.WARNING] if told else [])
    if told:
        assert "its log is damaged: about 12 commits in it cannot be read" in caplog.text


def test_checking_the_log_releases_no_lock(tmp_path: Path) -> None:
    """POSIX releases the locks of a process on a file when it closes any descriptor of the file."""
    path = tmp_path / "people.db"
    opened = Opened(path)
    for number in (1, 2, 3):
        opened.store.register(str(number), [face(number)])
    with opened.database.write() as connection:
        connection.exec_driver_sql("UPDATE people SET email = 'x'")
        Database(path).close()  # looks at the log while a writer of this process holds its lock
        script = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
        assert "database is locked" in _run(script, path)
    opened.close()


def _run(script: str, path: Path) -> str:
    return subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=30).stderr
