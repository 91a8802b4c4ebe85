"""Injected faults, for a short while; ``make faults`` runs them at length."""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from archives import flip_archives
from concurrency import call_concurrently
from flipping import Sample, samples
from killing import Kills, Model, Nursery, Upgrades, ViolationError
from old_databases import check_upgraded, write_old_databases
from place import Place
from powercut import File, PowerCuts, compile_layer
from servers import Mariadb, MissingError
from synthetic import Opened, face

from facedex.errors import StorageFullError
from facedex.store import Database, Feed, NewPhoto, Store

pytestmark = pytest.mark.slow

SERVERS = pytest.mark.parametrize("place", ["postgresql", "mysql"], indirect=True)
SQLITE = pytest.mark.parametrize("place", ["sqlite"], indirect=True)
FAULTS = Path(__file__).parent / "faults"


def check_kills(place: Place, number: int) -> None:
    killer = Kills(place.location, 20, {"FACEDEX_HOME": str(place.folder.parent)} if place.server else None)
    try:
        for _ in range(number):
            killer.kill()
    finally:
        killer.close()
    assert killer.done.total() == number
    assert killer.acknowledged > number  # the children did work


@SQLITE
def test_acknowledged_changes_survive_a_kill(place: Place) -> None:
    check_kills(place, 36)


@SERVERS
def test_acknowledged_changes_survive_the_kill_of_a_database_client(place: Place) -> None:
    check_kills(place, 12)


def test_a_killed_upgrade_is_resumed(tmp_path: Path) -> None:
    killer = Upgrades(write_old_databases(tmp_path), check_upgraded, tmp_path, 3)
    try:
        for _ in range(8):
            killer.kill()
    finally:
        killer.close()
    assert killer.done["upgrade"] > 2


def test_a_gallery_with_networks_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    nursery, model = Nursery(), Model()
    try:
        for seed, wanted in ((1, 7), (2, 8), (3, 9)):
            lines: list[list[str]] = []

            def until(
                line: list[str], lines: list[list[str]] = lines, seed: int = seed, wanted: int = wanted
            ) -> float | None:
                lines.append(line)
                return 0.03 * seed if len(lines) > wanted else None

            model.apply_lines(nursery.kill_one(("gallery", seed, path), until))
            database = Database(path)
            stored = Store(Feed(database, "default")).people()
            seen = {str(one.person_id): (one.name, [face.face_id for face in one.faces]) for one in stored}
            model.settle(seen, 0, 0)
            database.close()
    finally:
        nursery.close()
    assert model.people


@pytest.fixture(scope="session")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not sys.platform.startswith("linux"):
        pytest.skip("needs Linux, where a library can stand between a process and its files")
    return compile_layer(tmp_path_factory.mktemp("layer"))


def test_acknowledged_changes_survive_a_power_cut(tmp_path: Path, layer: Path) -> None:
    cutter = PowerCuts(tmp_path, layer)
    for seed in (1, 2):
        cutter.cut(seed, acts=40, cuts=18)
    assert cutter.done == 36
    assert cutter.records > 1000


def test_a_disk_that_does_not_sync_is_detected(tmp_path: Path, layer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(File, "sync", lambda self: None)
    with pytest.raises(ViolationError):
        PowerCuts(tmp_path, layer).cut(1, acts=40, cuts=12)


@pytest.fixture(scope="module")
def flippable(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    return samples(tmp_path_factory.mktemp("samples"))


def test_flipped_bits_in_any_file_are_reported_or_harmless(flippable: list[Sample], tmp_path: Path) -> None:
    rng = random.Random(6)
    outcomes = [sample.flip(rng, tmp_path) for _ in range(14) for sample in flippable]
    assert not [one for one in outcomes if one.partition(":")[0] in ("wrong", "lost", "untyped")]
    assert {"harmless", "reported"} <= set(outcomes)


def test_flipped_bits_in_exported_files_are_refused_or_harmless(tmp_path: Path) -> None:
    for kind, outcomes, wrong in flip_archives(8, 1, tmp_path):
        assert wrong == [], kind
        assert outcomes.total() == 8


@pytest.mark.timeout(240)
def test_many_threads_and_processes_give_the_results_of_one(place: Place, tmp_path: Path) -> None:
    patient = place.with_options(timeout="120") if place.kind == "sqlite" else place.location
    checked, problems = call_concurrently(patient, tmp_path, processes=4, threads=32, seconds=5)
    assert problems == []
    assert checked.total() > 300
    assert len(checked) == 10


CLOCK = """
import mmap, struct, sys, json
from datetime import datetime, timedelta, timezone
sys.path.insert(0, sys.argv[1])
from synthetic import Opened, face
clock = open(sys.argv[3], "r+b")
def set_clock(days):
    clock.seek(0)
    clock.write(struct.pack("=q", days * 86_400 * 10**9))
    clock.flush()
opened = Opened(sys.argv[2])
store, seen = opened.store, {}
soon = datetime.now(timezone.utc) + timedelta(days=1)
store.register("ayu", [face(1)], {"retain_until": soon})
store.register("budi", [face(2)])
first = datetime.now(timezone.utc)
set_clock(-3650)
seen["back"] = (first - datetime.now(timezone.utc)).days
store.register("citra", [face(3), face(4)])
store.delete("budi")
store.register("budi", [face(5)])
store.update("ayu", {"name": "Ayu"})
seen["due long ago"] = [str(one) for one in store.overdue(datetime.now(timezone.utc))]
seen["found"] = opened.find([1, 2, 3, 4, 5])
seen["people"] = [[str(one.person_id), [face.face_id for face in one.faces]] for one in store.people()]
seen["times"] = [one.created_at < first for one in store.people()]
seen["position"] = store.feed.head()[0]
seen["audit"] = [store.check_audit().intact, [one.kind for one in store.audit(0)]]
set_clock(3650)
seen["due"] = [str(one) for one in store.overdue(datetime.now(timezone.utc))]
seen["purged"] = store.purge("ayu", datetime.now(timezone.utc)) is not None
seen["last"] = opened.find([1, 5])
opened.close()
again = Opened(sys.argv[2])
seen["kept"] = again.search.rebuilt is None and again.find([1, 3, 5]) == {1: None, 3: "citra", 5: "budi"}
again.close()
print(json.dumps(seen))
"""


def test_a_clock_that_is_set_back_changes_no_order_and_deletes_nobody(tmp_path: Path, layer: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_bytes(struct.pack("=q", 0))
    script = tmp_path / "clock.py"
    script.write_text(CLOCK)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "LD_PRELOAD": str(layer)}
    done = subprocess.run(
        [sys.executable, str(script), str(FAULTS), str(tmp_path / "people.db"), str(clock)],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment | {"FACEDEX_LAYER_CLOCK": str(clock)},
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["back"] in (3649, 3650)
    assert seen["people"] == [["ayu", [1]], ["citra", [3, 4]], ["budi", [5]]]
    assert seen["found"] == {"1": "ayu", "2": None, "3": "citra", "4": "citra", "5": "budi"}
    assert seen["times"] == [True, True, True]
    assert seen["position"] == 7
    assert seen["audit"] == [True, ["register", "register", "register", "delete", "register", "update"]]
    assert (seen["due long ago"], seen["due"], seen["purged"]) == ([], ["ayu"], True)
    assert seen["last"] == {"1": None, "5": "budi"}
    assert seen["kept"]


class SmallMariadb(Mariadb):
    """A server whose disk is soon full: one file for all tables, with a low maximum size."""

    def command(self) -> list[str]:
        return [
            *super().command(),
            "--innodb-file-per-table=OFF",
            "--innodb-data-file-path=ibdata1:12M:autoextend:max:24M",
        ]


def test_a_full_disk_of_a_server_is_reported_and_the_change_not_stored(tmp_path: Path) -> None:
    try:
        server = SmallMariadb()
    except MissingError as missing:
        if os.environ.get("FACEDEX_REQUIRE_SERVERS") == "1":
            pytest.fail(f"FACEDEX_REQUIRE_SERVERS is 1: {missing}")
        pytest.skip(str(missing))
    try:
        opened = Opened(server.url(server.new_database(tables=False)))
        large = NewPhoto("original", "image/jpeg", 1, 1, None, bytes(250_000))
        stored = 0

        def fill() -> None:
            nonlocal stored
            while stored < 500:
                opened.store.register(str(stored), [replace(face(stored), photo=large)])
                stored += 1

        with pytest.raises(StorageFullError, match="nothing of this change was stored"):
            fill()
        assert stored > 5
        assert opened.store.counts() == (stored, stored)
        assert [len(opened.store.photos(person.person_id)) for person in opened.store.people()] == [1] * stored
        assert opened.find([0, stored]) == {0: "0", stored: None}
        opened.database.close()
    finally:
        server.close()
