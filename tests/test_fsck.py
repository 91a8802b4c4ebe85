"""What fsck finds and repairs, and rebuilt indexes, in every database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from place import Place
from typer.testing import CliRunner, Result

from facedex._core import Index
from facedex.cli.app import app
from facedex.errors import ArgumentError, DatabaseDamagedError, DatabaseUnavailableError, KeyMissingError
from facedex.gallery.fsck import FsckReport, fsck, rebuild
from facedex.search import LocalSearch, SearchOptions
from facedex.store import Database, Feed, NewFace, PackPin, Store

PIN = PackPin("synthetic", "ab" * 32, 32)
KEY = bytes(range(32))
SQLITE = pytest.mark.parametrize("place", ["sqlite"], indirect=True)


def unit(number: int) -> NDArray[np.float32]:
    vector = np.random.default_rng(number).normal(size=PIN.dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def face(number: int) -> NewFace:
    return NewFace((0.0, 0.0, 1.0, 1.0), 1.0, unit(number))


class Opened:
    """A store and its search, as a gallery uses them."""

    def __init__(self, place: Place, key: bytes | None = None) -> None:
        self.feed = Feed(Database(place.location), "default")
        self.feed.bind(PIN, key)
        self.store = Store(self.feed)
        self.search = LocalSearch(self.feed, SearchOptions("exact"))

    def finds(self, number: int) -> str | int | None:
        """Return the person of that number's vector; None when it is unknown."""
        self.search.sync()
        keys, similarities = self.search.search(unit(number)[None], 1)
        if not keys.size or similarities[0, 0] < 0.999:
            return None
        return self.store.owners([int(keys[0, 0])])[int(keys[0, 0])].person_id

    def close(self) -> None:
        self.search.save()
        self.feed.database.close()


@pytest.fixture
def filled(place: Place) -> Place:
    """A gallery in which person n has vector n, faces 1 to 4, and its snapshot."""
    opened = Opened(place)
    for number in range(1, 5):
        opened.store.register(number, [face(number)], {"info": {"n": number}})
    opened.close()
    assert len(place.snapshots()) == 1
    return place


def wheres(report: FsckReport) -> list[tuple[str, bool]]:
    return [(finding.where, finding.mended) for finding in report.findings]


def check_all_found(place: Place, expected: dict[int, Any]) -> None:
    opened = Opened(place)
    assert opened.search.rebuilt is None
    assert {number: opened.finds(number) for number in expected} == expected
    opened.close()


def test_an_intact_gallery_has_no_findings_and_is_not_changed(filled: Place) -> None:
    before = filled.rows("SELECT * FROM galleries")
    steps: list[tuple[int, int]] = []
    for repair in (False, True):
        report = fsck(filled.location, repair=repair, progress=lambda done, number: steps.append((done, number)))
        assert report.ok
        assert (report.findings, report.faces, report.snapshots, report.gallery) == ((), 4, 1, "default")
    assert steps[-1] == (4, 4)
    assert filled.rows("SELECT * FROM galleries") == before
    assert len(filled.snapshots()) == 1


DAMAGE = {
    "vector": ("UPDATE templates SET checksum = 7 WHERE face_id = 2", "face", "face 2 of 2: its template is not what"),
    "template": ("DELETE FROM templates WHERE face_id = 3", "face", "face 3 of 3: it has no template"),
    "count": ("UPDATE galleries SET faces = 9", "count", "4 faces are stored, the gallery records 9"),
    "gap": ("DELETE FROM changes WHERE seq = 2", "feed", "3 changes up to number 4, the gallery's row has 4"),
    "token": ("UPDATE changes SET token = 'x' WHERE seq = 4", "feed", "its last change is not the one"),
    "lost": ("UPDATE changes SET face_id = 99 WHERE seq = 1", "feed", "does not list face 1"),
    "removed": ("UPDATE changes SET kind = 'remove' WHERE seq = 1", "feed", "does not list face 1"),
    "info": ("UPDATE people SET info = '{' WHERE id = 1", "person", "the stored info of a person is damaged"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_reported_and_repaired(filled: Place, what: str) -> None:
    statement, where, said = DAMAGE[what]
    filled.execute(statement)
    report = fsck(filled.location)
    assert not report.ok
    assert (where, False) in wheres(report)
    assert any(said in finding.text for finding in report.findings)
    again = fsck(filled.location)
    assert again == report  # nothing was changed

    mended = fsck(filled.location, repair=True)
    assert mended.ok
    assert (where, True) in wheres(mended)
    assert [finding.where for finding in mended.findings if finding.text.endswith("; the face was removed")] == (
        ["face"] if where == "face" else []
    )
    assert fsck(filled.location).findings == ()
    expected: dict[int, Any] = {number: number for number in range(1, 5)}
    if where == "face":
        expected[2 if what == "vector" else 3] = None
    assert mended.faces == (3 if where == "face" else 4)
    check_all_found(filled, expected)
    opened = Opened(filled)
    assert [person.person_id for person in opened.store.people()] == [1, 2, 3, 4]
    assert opened.store.person(1).info == ({} if what == "info" else {"n": 1})
    assert opened.store.register("new", [face(9)]).face_ids[0] > 4
    assert opened.finds(9) == "new"
    opened.close()


def test_a_missing_face_is_reported(filled: Place) -> None:
    filled.execute("DELETE FROM templates WHERE face_id = 4")
    filled.execute("DELETE FROM faces WHERE id = 4")
    report = fsck(filled.location, repair=True)
    assert {finding.where for finding in report.findings} == {"count", "feed"}
    assert any("it lists face 4, which is not stored" in finding.text for finding in report.findings)
    assert fsck(filled.location).findings == ()
    check_all_found(filled, {1: 1, 2: 2, 3: 3, 4: None})


def test_an_open_gallery_follows_a_repair(filled: Place) -> None:
    opened = Opened(filled)
    filled.execute("DELETE FROM templates WHERE face_id = 4")
    assert fsck(filled.location, repair=True).ok
    assert [opened.finds(number) for number in (1, 2, 3, 4)] == [1, 2, 3, None]
    opened.store.register(5, [face(5)])
    assert opened.finds(5) == 5
    opened.close()


# Snapshots.


def forged(place: Place, keys: list[int], numbers: list[int], *, noted: bool = True) -> None:
    """Replace the snapshot with a valid one of other vectors, and register its digest in the database."""
    (path,) = place.snapshots()
    position, token = path.name.split(".")[-2].split("-")
    (uuid,) = place.rows("SELECT uuid FROM galleries")[0]
    index = Index(32, PIN.digest)
    index.add(np.array(keys, dtype=np.uint64), np.stack([unit(number) for number in numbers]))
    digest = index.save(str(path), f"{uuid}:{token}", int(position))
    if noted:
        place.execute(f"UPDATE snapshots SET digest = '{digest}' WHERE position = {position}")


@pytest.mark.parametrize(
    ("keys", "numbers", "said"),
    [
        ([1, 2, 3], [1, 2, 3], "it lacks face 4"),
        ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5], "it holds 5 faces, the database 4"),
        ([1, 2, 3, 4], [1, 3, 2, 4], "its vector of face 2 differs from the database"),
    ],
)
def test_a_snapshot_with_a_correct_checksum_and_wrong_vectors_is_reported(
    filled: Place, keys: list[int], numbers: list[int], said: str
) -> None:
    forged(filled, keys, numbers)
    report = fsck(filled.location)
    assert [(finding.where, finding.mended) for finding in report.findings] == [("snapshot", False)]
    assert said in report.findings[0].text
    assert filled.snapshots()[0].name in report.findings[0].text
    assert wheres(fsck(filled.location, repair=True)) == [("snapshot", True)]
    assert fsck(filled.location).findings == ()
    check_all_found(filled, {number: number for number in range(1, 5)})


def test_a_foreign_snapshot_is_reported_and_never_used(filled: Place, caplog: pytest.LogCaptureFixture) -> None:
    forged(filled, [1, 2, 3, 4], [1, 3, 2, 4], noted=False)  # person 2 would be recognised as person 3
    (finding,) = fsck(filled.location).findings
    assert (finding.where, finding.mended) == ("snapshot", False)
    assert "its digest is not a known one" in finding.text
    opened = Opened(filled)
    assert opened.search.rebuilt is not None
    assert "its digest is not a known one" in opened.search.rebuilt
    assert "rebuilt from the database" in caplog.text
    assert [opened.finds(number) for number in range(1, 5)] == [1, 2, 3, 4]
    opened.close()
    assert fsck(filled.location).findings == ()
    check_all_found(filled, {number: number for number in range(1, 5)})


def test_a_snapshot_whose_digest_cannot_be_stored_is_removed(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened = Opened(place)
    opened.store.register(1, [face(1)])

    def refuse(*args: object) -> None:
        raise DatabaseUnavailableError("gone")

    monkeypatch.setattr(opened.feed, "record_snapshot", refuse)
    opened.close()
    assert place.snapshots() == []
    assert "was not saved" in caplog.text


def test_the_digests_of_many_machines_are_stored_up_to_a_limit(place: Place) -> None:
    opened = Opened(place)
    opened.store.register(1, [face(1)])
    position, token = opened.feed.head()
    for number in range(70):
        opened.feed.record_snapshot(position, token, f"{number:064x}")
    kept = opened.feed.snapshot_digests(position, token)
    assert len(kept) == 64
    assert {f"{number:064x}" for number in range(6, 70)} == set(kept)
    opened.close()


def test_damaged_foreign_and_left_over_snapshots_are_reported(filled: Place) -> None:
    (path,) = filled.snapshots()
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    foreign = path.with_name(path.name.replace(path.name.split("-")[-1], "0123456789abcdef.index"))
    foreign.write_bytes(whole)
    left = path.with_name(path.name + ".1-2.tmp")
    left.write_bytes(b"half")
    report = fsck(filled.location)
    assert len(report.findings) == 3
    assert {finding.text.partition(":")[0] for finding in report.findings} == {path.name, foreign.name, left.name}
    assert len(fsck(filled.location, repair=True).findings) == 3
    assert not left.exists()
    assert not foreign.exists()
    assert fsck(filled.location) == FsckReport("default", report.location, 4, 1, ())


def test_an_older_snapshot_is_updated_before_it_is_compared(filled: Place) -> None:
    (path,) = filled.snapshots()
    kept = path.read_bytes()
    opened = Opened(filled)
    opened.store.register(5, [face(5)])
    opened.store.delete(1)
    opened.close()
    for snapshot in filled.snapshots():
        snapshot.unlink()
    path.write_bytes(kept)
    assert fsck(filled.location).findings == ()
    forged(filled, [1, 2, 3, 4], [1, 2, 4, 3])
    assert not fsck(filled.location).ok


def test_many_equal_faces_find_themselves(place: Place) -> None:
    opened = Opened(place)
    opened.store.register("ayu", [face(1)] * 30)
    opened.close()
    assert fsck(place.location).findings == ()


def test_an_encrypted_gallery_is_compared_with_its_key(place: Place) -> None:
    opened = Opened(place, KEY)
    for number in (1, 2, 3):
        opened.store.register(number, [face(number)])
    opened.close()
    with pytest.raises(KeyMissingError):
        fsck(place.location)
    assert fsck(place.location, key=KEY).findings == ()
    third = "SELECT vector FROM (SELECT * FROM templates) t WHERE face_id = 3"
    place.execute(f"UPDATE templates SET vector = ({third}) WHERE face_id = 2")
    assert wheres(fsck(place.location, key=KEY)) == [("face", False)]
    assert fsck(place.location, key=KEY, repair=True).ok
    assert rebuild(place.location, key=KEY) == 2
    assert fsck(place.location, key=KEY).findings == ()


# Rebuilding.


def test_rebuild_starts_over_and_reports_progress(filled: Place) -> None:
    forged(filled, [1, 2, 3, 4], [4, 3, 2, 1])
    steps: list[tuple[int, int]] = []
    assert rebuild(filled.location, progress=lambda done, number: steps.append((done, number))) == 4
    assert steps[-1] == (4, 4)
    assert fsck(filled.location).findings == ()
    check_all_found(filled, {number: number for number in range(1, 5)})


@SQLITE
def test_a_damaged_file_is_reported(filled: Place) -> None:
    content = bytearray(filled.path.read_bytes())
    (root,) = filled.rows("SELECT rootpage FROM sqlite_master WHERE name = 'ix_faces_person_row'")[0]
    start = (root - 1) * 4096
    content[start + 4096 - 2] ^= 1  # an entry of an index over nothing but row numbers
    filled.path.write_bytes(content)
    try:
        report = fsck(filled.location, repair=True)
    except DatabaseDamagedError:
        return
    assert not report.ok
    assert ("file", False) in wheres(report)


@SQLITE
def test_a_missing_database_is_reported_and_not_created(place: Place, tmp_path: Path) -> None:
    missing = tmp_path / "missing.db"
    for verb in (fsck, rebuild):
        with pytest.raises(DatabaseUnavailableError, match="there is no database"):
            verb(missing)
        with pytest.raises(ArgumentError, match="there is no gallery 'nobody'"):
            verb(place.location, name="nobody")
    assert not missing.exists()


# The command line.


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@SQLITE
def test_the_commands(filled: Place) -> None:
    assert {command.callback.__name__ for command in app.registered_commands if command.callback} >= {"fsck", "rebuild"}
    whole = run("fsck", "--db", filled.location)
    assert (whole.exit_code, whole.stdout, whole.stderr) == (0, "4 faces, 1 snapshot: all is consistent\n", "")
    forged(filled, [1, 2, 3], [1, 2, 3])
    wrong = run("fsck", "--db", filled.location, "--json")
    assert wrong.exit_code == 1
    told = json.loads(wrong.stdout)
    assert (told["ok"], [finding["where"] for finding in told["findings"]]) == (False, ["snapshot"])
    mended = run("fsck", "--db", filled.location, "--repair")
    assert mended.exit_code == 0
    assert mended.stdout.startswith("repaired: people.db.default.")
    assert run("rebuild", "--db", filled.location).stdout == "indexed 4 faces\n"
    failed = run("fsck", "--db", filled.location, "--gallery", "nobody")
    assert failed.exit_code == 3
    assert "there is no gallery 'nobody'" in failed.stderr
