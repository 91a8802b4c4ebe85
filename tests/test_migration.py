"""Migration to another pack: templates, results meanwhile, people without photos, rollback, interrupted runs."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from place import Place
from typer.testing import CliRunner

from facedex import packs, people
from facedex.cli.app import app
from facedex.engine import BATCH, Engine
from facedex.errors import (
    ArgumentError,
    DatabaseDamagedError,
    GalleryClosedError,
    GalleryPackError,
    MigrationError,
    NoFaceError,
    PackMismatchError,
    PhotoIntegrityError,
    RoleMissingError,
    UnknownPersonError,
)
from facedex.gallery import Gallery, migration
from facedex.gallery.fsck import fsck
from facedex.gallery.lifetime import Lifetime
from facedex.records import Registration
from facedex.results import Recognition
from facedex.search import LocalSearch, SearchOptions
from facedex.store import Database, Feed, NewFace, NewPhoto, PackPin, PendingFace, Shadow, Store, fuse, previous_pack

SQLITE = pytest.mark.parametrize("place", ["sqlite"], indirect=True)
KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
AYU, BUDI, CITRA = people.PICTURES["ayu"], people.PICTURES["budi"], people.PICTURES["citra"]
PROBE = {person_id: probes[0] for person_id, probes in people.PROBES.items()}
MOVER = Path(__file__).parent / "faults" / "mover.py"
runner = CliRunner()


def variant(folder: Path, name: str, *changes: tuple[str, str]) -> Path:
    """A pack of the classic networks with something changed; returns its manifest."""
    classic = packs.find("classic")
    folder.mkdir(parents=True, exist_ok=True)
    for file in classic.folder.glob("*.onnx"):
        if not (folder / file.name).exists():
            shutil.copy(file, folder / file.name)
    text = classic.manifest.read_text("utf-8")
    for old, new in (('name = "classic"', f'name = "{name}"'), *changes):
        assert text.count(old) >= 1
        text = text.replace(old, new, 1)
    manifest = folder / f"{name}.toml"
    manifest.write_text(text, "utf-8")
    return manifest


@pytest.fixture(scope="session")
def engine() -> Engine:
    """One engine of the pack of the galleries before the migration."""
    return Engine("classic")


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack whose embeddings are not those of the classic one: it adds the mirror image's."""
    return variant(tmp_path_factory.mktemp("packs"), "mirrored", ("mirror = false", "mirror = true"))


@pytest.fixture(scope="session")
def mirrored(manifest: Path) -> Engine:
    return Engine(manifest)


@pytest.fixture(scope="session")
def strict(manifest: Path) -> Engine:
    """A pack that accepts only faces with a very high score."""
    changes = ("mirror = false", "mirror = true"), ("[0.6, 0.7, 0.6]", "[0.6, 0.7, 0.9999]")
    return Engine(variant(manifest.parent, "strict", *changes))


@pytest.fixture
def gallery(place: Place, engine: Engine) -> Iterator[Gallery]:
    with Gallery.open(place.location, engine=engine, photos="original") as gallery:
        yield gallery


def vectors(place: Place, engine: Engine) -> dict[int, NDArray[np.float32]]:
    """Read the stored vectors of a pack without the library: face → vector."""
    rows = place.rows(f"SELECT face_id, vector FROM templates WHERE pack_digest = '{engine.pack.digest}'")
    return {face_id: np.frombuffer(vector, "<f4") for face_id, vector in rows}


def embedded(engine: Engine, picture: Path) -> NDArray[np.float32]:
    embedding = engine.analyze(picture, max_faces=1)[0].embedding
    assert embedding is not None
    return embedding


def named(gallery: Gallery, probe: Path) -> str | int | None:
    return gallery.recognize(probe)[0].person_id


def forget_photos(place: Place, person_id: str) -> None:
    """Remove the photos of a person, as if registered without photos."""
    row = f"(SELECT id FROM people WHERE {'`key`' if place.kind == 'mysql' else 'key'} = '{person_id}')"
    place.execute(f"UPDATE faces SET photo_id = NULL WHERE person_row = {row}")
    place.execute(f"DELETE FROM photos WHERE person_row = {row}")


def register_all(gallery: Gallery) -> dict[int, Path]:
    """Register every person; return face → picture."""
    made: dict[int, Path] = {}
    for person_id in people.IDS:
        pictures = list(people.PICTURES[person_id])
        made |= {face.face_id: pictures[face.source] for face in gallery.register(person_id, pictures).faces}
    return made


class BreakOffError(Exception):
    """Raised in a callback, as an interrupt from the keyboard would be."""


def break_off(done: int, number: int) -> None:
    raise BreakOffError


# The whole way.


def test_every_person_is_embedded_again_and_recognised_with_the_other_pack(
    gallery: Gallery, place: Place, engine: Engine, mirrored: Engine
) -> None:
    made = register_all(gallery)
    steps: list[tuple[int, int]] = []
    result = gallery.migrate(engine=mirrored, progress=lambda done, number: steps.append((done, number)))
    assert (result.swapped, result.moved, result.refused) == (True, len(made), ())
    assert (result.without_photo, result.without_face) == ((), ())
    assert (result.pack, result.pack_digest) == ("mirrored", mirrored.pack.digest)
    assert steps[-1] == (len(made), len(made))
    stored = vectors(place, mirrored)
    assert stored.keys() == made.keys()
    for face_id, picture in made.items():
        assert float(stored[face_id] @ embedded(mirrored, picture)) > 0.99999
        assert float(stored[face_id] @ embedded(engine, picture)) < 0.9999
    for person_id, probe in PROBE.items():
        found = gallery.recognize(probe)[0]
        assert found.person_id == person_id
        mine = np.stack([stored[face.face_id] for face in gallery.person(person_id).faces])
        assert found.similarity == pytest.approx(float(fuse(mine) @ embedded(mirrored, probe)), abs=1e-5)
    assert gallery.verify("ayu", PROBE["ayu"]).match
    status = gallery.status()
    assert (status.pack, status.pack_digest) == ("mirrored", mirrored.pack.digest)
    assert (status.faces, status.dormant, status.other_packs) == (len(made), 0, ("classic",))
    gallery.close()
    with pytest.raises(GalleryPackError, match="'mirrored'"):
        Gallery.open(place.location, engine=engine)
    with Gallery.open(place.location, engine=mirrored) as again:
        assert again.status().rebuilt is None
        assert named(again, PROBE["budi"]) == "budi"
    assert fsck(place.location).ok


def test_later_registrations_use_the_new_pack(gallery: Gallery, place: Place, mirrored: Engine) -> None:
    gallery.register("ayu", list(AYU))
    gallery.migrate(engine=mirrored)
    late = gallery.register("budi", BUDI[0]).faces[0].face_id
    assert float(vectors(place, mirrored)[late] @ embedded(mirrored, BUDI[0])) > 0.99999
    assert named(gallery, PROBE["budi"]) == "budi"


def test_a_rollback_embeds_later_registrations(
    gallery: Gallery, place: Place, engine: Engine, mirrored: Engine
) -> None:
    gallery.register("ayu", list(AYU))
    before = vectors(place, engine)
    gallery.migrate(engine=mirrored)
    late = gallery.register("budi", BUDI[0]).faces[0].face_id
    result = gallery.rollback()
    assert (result.swapped, result.moved, result.pack) == (True, 1, "classic")
    after = vectors(place, engine)
    assert after.keys() == before.keys() | {late}
    assert all(np.array_equal(after[face_id], before[face_id]) for face_id in before)
    assert (named(gallery, PROBE["ayu"]), named(gallery, PROBE["budi"])) == ("ayu", "budi")
    assert gallery.status().other_packs == ("mirrored",)
    forth = gallery.rollback(engine=mirrored)  # and forth again: nothing is left to be done
    assert (forth.swapped, forth.moved, forth.pack) == (True, 0, "mirrored")
    assert fsck(place.location).ok


def test_a_finished_migration_cannot_be_rolled_back(
    gallery: Gallery, place: Place, engine: Engine, mirrored: Engine
) -> None:
    gallery.register("ayu", list(AYU))
    gallery.migrate(engine=mirrored)
    finish = gallery.finish_migration()
    assert (finish.templates, finish.faces, finish.photos) == (3, (), 0)
    assert finish.wiped == (place.kind == "sqlite")
    assert vectors(place, engine) == {}
    assert gallery.status().other_packs == ()
    with pytest.raises(MigrationError, match="no way back"):
        gallery.rollback()
    assert gallery.finish_migration().templates == 0
    assert [event.kind for event in gallery.audit()].count("finish") == 1
    assert named(gallery, PROBE["ayu"]) == "ayu"
    assert fsck(place.location).ok


@SQLITE
def test_migrating_to_the_current_pack_does_nothing(gallery: Gallery, engine: Engine) -> None:
    gallery.register("ayu", list(AYU))
    position = gallery.status().position
    result = gallery.migrate("classic")
    assert (result.swapped, result.moved) == (True, 0)
    assert gallery.status().position == position


@SQLITE
def test_an_unusable_target_pack_is_refused(gallery: Gallery, mirrored: Engine, manifest: Path) -> None:
    gallery.register("ayu", list(AYU))
    with pytest.raises(MigrationError, match="no way back"):
        gallery.rollback()
    with pytest.raises(ArgumentError, match="name the pack"):
        gallery.migrate()
    with pytest.raises(ArgumentError, match="without_photo"):
        gallery.migrate(engine=mirrored, without_photo="drop")  # type: ignore[arg-type]
    gallery.migrate(engine=mirrored)
    with pytest.raises(GalleryPackError, match="classic"):
        gallery.rollback(engine=mirrored)
    text = manifest.read_text("utf-8")
    detecting = manifest.with_name("detecting.toml")
    network = text.index('[[file]]\nname = "dlib_resnet.onnx"'), text.index("[detector]")
    detecting.write_text(text[: network[0]] + text[network[1] : text.index("[embedder]")], "utf-8")
    with pytest.raises(RoleMissingError, match="no embedder"):
        gallery.migrate(detecting)
    assert gallery.status().other_packs == ("classic",)


@SQLITE
def test_coroutines_do_the_same(gallery: Gallery, mirrored: Engine) -> None:
    async def there_and_back() -> tuple[bool, bool, int]:
        await gallery.aregister("ayu", AYU[0])
        there = await gallery.amigrate(engine=mirrored)
        back = await gallery.arollback()
        return there.swapped, back.swapped, (await gallery.afinish_migration()).templates

    assert asyncio.run(there_and_back()) == (True, True, 1)


# While it goes on.


def test_the_gallery_can_be_used_and_changed_during_a_migration(
    gallery: Gallery, place: Place, engine: Engine, mirrored: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "BATCH", 2)
    register_all(gallery)
    gone = {face.face_id for face in gallery.person("citra").faces}
    done = 0

    def meanwhile(step: int, number: int) -> None:
        nonlocal done
        done += 1
        found = gallery.recognize(PROBE["ayu"])[0]
        assert found.person_id == "ayu"
        stored = vectors(place, engine)
        mine = np.stack([stored[face.face_id] for face in gallery.person("ayu").faces])
        assert found.similarity == pytest.approx(float(fuse(mine) @ embedded(engine, PROBE["ayu"])), abs=1e-5)
        if done == 2:
            gallery.delete("citra")
        if done == 3:
            gallery.register("late", BUDI[0])
            gallery.register("dewi", people.PICTURES["dewi"][0], on_existing="replace")

    result = gallery.migrate(engine=mirrored, progress=meanwhile)
    assert done > 3
    assert result.swapped
    listed = {person.person_id: [face.face_id for face in person.faces] for person in gallery.people()}
    assert all(face.quality is not None for person in gallery.people() for face in person.faces)
    assert listed.keys() == set(people.IDS) - {"citra"} | {"late"}
    stored = vectors(place, mirrored)
    assert stored.keys() == {face_id for mine in listed.values() for face_id in mine}
    assert not stored.keys() & gone
    assert float(stored[listed["late"][0]] @ embedded(mirrored, BUDI[0])) > 0.99999
    assert named(gallery, PROBE["citra"]) is None
    assert fsck(place.location).ok


def test_a_registration_at_the_last_moment_is_migrated_too(
    gallery: Gallery, place: Place, engine: Engine, mirrored: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process registers between the last look for pending faces and the commit."""
    gallery.register("ayu", list(AYU))
    with Gallery.open(place.location, engine=engine, photos="original") as other:
        exclusive = Lifetime.exclusive
        late: list[Registration] = []

        def slow(life: Lifetime) -> Any:
            if not late:
                late.append(other.register("budi", list(BUDI)))
            return exclusive(life)

        monkeypatch.setattr(Lifetime, "exclusive", slow)
        result = gallery.migrate(engine=mirrored)
        assert (result.swapped, result.moved) == (True, 6)
        assert {face.face_id for face in late[0].faces} <= vectors(place, mirrored).keys()
        assert named(gallery, PROBE["budi"]) == "budi"


def test_another_process_learns_that_the_gallery_was_migrated(
    gallery: Gallery, place: Place, engine: Engine, mirrored: Engine
) -> None:
    gallery.register("ayu", list(AYU))
    stale = Gallery.open(place.location, engine=engine)
    assert named(stale, PROBE["ayu"]) == "ayu"
    gallery.migrate(engine=mirrored)
    position = gallery.status().position
    calls: list[Callable[[], object]] = [
        lambda: stale.recognize(PROBE["ayu"]),
        lambda: stale.register("budi", BUDI[0]),
        lambda: stale.verify("ayu", PROBE["ayu"]),
        lambda: stale.delete("ayu"),
        lambda: stale.update("ayu", name="Ayu"),
        stale.status,
        lambda: stale.migrate("classic"),
    ]
    for call in calls[:-1]:
        with pytest.raises(GalleryPackError, match="moved to pack 'mirrored'"):
            call()
    stale.close()
    assert gallery.status().position == position
    assert named(gallery, PROBE["ayu"]) == "ayu"
    with Gallery.open(place.location, engine=mirrored) as again:
        assert named(again, PROBE["ayu"]) == "ayu"


@pytest.mark.slow
@SQLITE
def test_a_long_call_continues_with_the_other_pack(gallery: Gallery, engine: Engine, mirrored: Engine) -> None:
    register_all(gallery)
    before = gallery.decide().threshold
    thresholds: list[float] = []

    def move(done: int, number: int) -> None:
        if done < number:
            assert gallery.migrate(engine=mirrored, threshold=0.5).swapped

    batch = engine.threads * BATCH
    for answer in gallery.recognize_many([PROBE["ayu"]] * (batch + 1), progress=move):
        assert isinstance(answer, Recognition)
        assert answer[0].person_id == "ayu"
        thresholds.append(answer[0].threshold)
    assert thresholds == [before] * batch + [0.5]

    def back(done: int, number: int) -> None:
        if done < number:
            assert gallery.rollback().swapped

    entries = [(f"new {number}", AYU[0]) for number in range(mirrored.threads * BATCH + 1)]
    made = gallery.register_many(entries, progress=back)
    assert all(isinstance(one, Registration) for one in made)
    assert gallery.status().dormant == 0
    assert fsck(gallery.status().location).ok


@pytest.mark.slow
@SQLITE
def test_threads_recognize_and_register_during_the_switch(
    gallery: Gallery, place: Place, engine: Engine, mirrored: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "BATCH", 4)
    register_all(gallery)
    stop = threading.Event()
    answers: list[bool] = []
    registered: list[int] = []

    def ask(person_id: str) -> None:
        while not stop.is_set():
            found = gallery.recognize(PROBE[person_id])[0]
            answers.append(found.person_id == person_id)
            answers.append(gallery.verify(person_id, PROBE[person_id]).match)

    def enrol() -> None:
        while not stop.is_set():
            number = len(registered)
            registered.extend(face.face_id for face in gallery.register(f"new {number}", CITRA[0]).faces)

    with ThreadPoolExecutor() as pool:
        work = [pool.submit(ask, "ayu"), pool.submit(ask, "budi"), pool.submit(enrol)]
        try:
            for _ in range(2):
                assert gallery.migrate(engine=mirrored).swapped
                assert gallery.rollback().swapped
            assert gallery.migrate(engine=mirrored).swapped
            time.sleep(0.2)
        finally:
            stop.set()
        for one in work:
            one.result()
    assert len(answers) > 10
    assert all(answers)
    stored = vectors(place, mirrored)
    assert registered
    assert all(float(stored[face_id] @ embedded(mirrored, CITRA[0])) > 0.99999 for face_id in registered)
    assert fsck(place.location).ok


@pytest.mark.slow
def test_two_concurrent_migrations_both_succeed(
    gallery: Gallery, place: Place, engine: Engine, mirrored: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "BATCH", 1)
    made = register_all(gallery)
    with ThreadPoolExecutor() as pool:
        moves = [pool.submit(gallery.migrate, engine=mirrored) for _ in range(3)]
        results = [move.result().swapped for move in moves]
    assert results == [True, True, True]
    assert vectors(place, mirrored).keys() == made.keys()
    assert [event.kind for event in gallery.audit()].count("migrate") == 1


# People without a photo.


def test_people_without_a_photo_are_listed_and_nothing_is_changed(
    gallery: Gallery, place: Place, engine: Engine, mirrored: Engine
) -> None:
    gallery.register("ayu", list(AYU))
    gallery.register(7, list(BUDI))
    forget_photos(place, "7")
    gallery.register("nobody's face", CITRA[0])
    gallery.delete_face(gallery.person("nobody's face").faces[0].face_id)  # a person without a face is not lost by it
    position = gallery.status().position
    result = gallery.migrate(engine=mirrored)
    assert (result.swapped, result.moved) == (False, 3)
    assert (result.without_photo, result.without_face) == ((7,), ())
    status = gallery.status()
    assert (status.pack, status.position, status.dormant) == ("classic", position, 0)
    assert status.other_packs == ("mirrored",)
    assert (named(gallery, PROBE["ayu"]), named(gallery, PROBE["budi"])) == ("ayu", 7)
    assert fsck(place.location).ok
    gallery.register(7, BUDI[0], on_existing="replace")
    again = gallery.migrate(engine=mirrored)
    assert (again.swapped, again.moved, again.without_photo) == (True, 1, ())
    assert (named(gallery, PROBE["ayu"]), named(gallery, PROBE["budi"])) == ("ayu", 7)


def test_people_left_behind_are_dormant_until_registered_or_rolled_back(
    gallery: Gallery, place: Place, engine: Engine, mirrored: Engine
) -> None:
    gallery.register("ayu", list(AYU))
    gallery.register("budi", list(BUDI))
    gallery.register("citra", list(CITRA))
    forget_photos(place, "budi")
    forget_photos(place, "citra")
    result = gallery.migrate(engine=mirrored, without_photo="leave")
    assert (result.swapped, result.without_photo) == (True, ("budi", "citra"))
    status = gallery.status()
    assert (status.people, status.faces, status.dormant) == (3, 9, 6)
    assert fsck(place.location).ok
    assert (named(gallery, PROBE["ayu"]), named(gallery, PROBE["budi"])) == ("ayu", None)
    with pytest.raises(UnknownPersonError, match="no face of 'budi' is stored"):
        gallery.verify("budi", PROBE["budi"])
    gallery.close()
    with Gallery.open(place.location, engine=mirrored, photos="original") as again:  # as another process sees it
        assert again.status().dormant == 6
        again.register("budi", BUDI[0], on_existing="add")
        assert named(again, PROBE["budi"]) == "budi"
        again.delete_face(again.person("citra").faces[0].face_id)  # one that sleeps
        assert (again.status().faces, again.status().dormant) == (9, 5)
        assert again.delete("citra").templates == 2
        assert (again.status().faces, again.status().dormant) == (7, 3)
        assert fsck(place.location).ok
        back = again.rollback(engine=engine)
        assert (back.swapped, back.moved) == (True, 1)
        assert again.status().dormant == 0
        assert fsck(place.location).ok
    with Gallery.open(place.location, engine=engine) as last:
        assert (named(last, PROBE["ayu"]), named(last, PROBE["budi"])) == ("ayu", "budi")
        assert len(vectors(place, engine)) == 7


def test_faces_left_behind_are_removed_when_the_migration_is_finished(
    gallery: Gallery, place: Place, mirrored: Engine
) -> None:
    gallery.register("ayu", list(AYU))
    gallery.register("budi", list(BUDI))
    asleep = tuple(face.face_id for face in gallery.person("budi").faces)
    forget_photos(place, "budi")
    gallery.migrate(engine=mirrored, without_photo="leave")
    assert gallery.finish_migration().faces == asleep
    assert gallery.person("budi").faces == ()
    status = gallery.status()
    assert (status.people, status.faces, status.dormant, status.other_packs) == (2, 3, 0, ())
    assert fsck(place.location).ok
    gallery.register("budi", BUDI[0], on_existing="add")
    assert named(gallery, PROBE["budi"]) == "budi"


def test_a_repair_keeps_dormant_people(gallery: Gallery, place: Place, engine: Engine, mirrored: Engine) -> None:
    gallery.register("ayu", list(AYU))
    gallery.register("budi", list(BUDI))
    forget_photos(place, "budi")
    gallery.migrate(engine=mirrored, without_photo="leave")
    place.execute("UPDATE galleries SET faces = faces + 2")
    gallery.close()
    report = fsck(place.location, repair=True)
    assert [finding.where for finding in report.findings] == ["count"]
    assert report.ok
    assert fsck(place.location).findings == ()
    with Gallery.open(place.location, engine=mirrored, photos="original") as again:
        assert (again.status().faces, again.status().dormant) == (6, 3)
        assert named(again, PROBE["ayu"]) == "ayu"
        assert again.rollback(engine=engine).swapped
        assert named(again, PROBE["budi"]) == "budi"
    assert fsck(place.location).ok


def test_damaged_templates_of_another_pack_are_found_and_repaired(
    gallery: Gallery, place: Place, mirrored: Engine, engine: Engine
) -> None:
    awake = gallery.register("ayu", AYU[0]).faces[0].face_id
    asleep = gallery.register("budi", BUDI[0]).faces[0].face_id
    forget_photos(place, "budi")
    gallery.migrate(engine=mirrored, without_photo="leave")
    gallery.close()
    place.execute(f"UPDATE templates SET checksum = checksum + 1 WHERE pack_digest = '{engine.pack.digest}'")
    found = fsck(place.location)
    assert [(finding.where, finding.mended) for finding in found.findings] == [("face", False), ("face", False)]
    assert all("its template of pack 'classic'" in finding.text for finding in found.findings)
    assert fsck(place.location, repair=True).ok
    assert fsck(place.location).findings == ()
    with Gallery.open(place.location, engine=mirrored, photos="original") as again:
        assert [face.face_id for face in again.person("ayu").faces] == [awake]
        assert again.person("budi").faces == ()  # no template of it was left
        assert asleep not in vectors(place, engine)
        assert named(again, PROBE["ayu"]) == "ayu"
        assert again.rollback(engine=engine).swapped


@SQLITE
def test_faces_that_the_pack_does_not_find_are_reported(
    gallery: Gallery, place: Place, engine: Engine, strict: Engine
) -> None:
    sure = [path for paths in people.PICTURES.values() for path in paths if len(strict.analyze(path)) == 1]
    heights = {path: int(engine.analyze(path)[0].bbox[3] - engine.analyze(path)[0].bbox[1]) for path in AYU}
    unsure = [
        path for path in AYU if not strict.analyze(path) and not strict.analyze(path, min_face=heights[path] // 2)
    ]
    assert sure
    assert unsure
    found = gallery.register("found", sure[0]).faces[0].face_id
    lost = gallery.register("lost", unsure[0]).faces[0].face_id
    gallery.register("both", [sure[0], unsure[0]])
    result = gallery.migrate(engine=strict)
    assert (result.swapped, result.moved, result.without_photo) == (False, 2, ())
    assert result.without_face == ("lost",)
    assert [(refusal.face_id, refusal.person_id) for refusal in result.refused] == [
        (lost, "lost"),
        (gallery.person("both").faces[1].face_id, "both"),
    ]
    assert all(isinstance(refusal.error, NoFaceError) for refusal in result.refused)
    gallery.delete("lost")
    again = gallery.migrate(engine=strict)  # one of two faces of somebody is enough
    assert (again.swapped, again.moved) == (True, 0)
    assert len(again.refused) == 1
    assert found in vectors(place, strict)
    assert gallery.status().dormant == 1


@SQLITE
def test_the_same_face_is_chosen_among_several(
    gallery: Gallery, place: Place, engine: Engine, mirrored: Engine
) -> None:
    faces = engine.analyze(people.GROUP)
    assert len(faces) > 3
    gallery.register("largest", people.GROUP, faces="largest")
    smallest = mirrored.analyze(people.GROUP)[len(faces) - 1]
    x1, y1, x2, y2 = (float(side) for side in faces[len(faces) - 1].bbox)
    gallery.migrate(engine=mirrored)
    largest = mirrored.analyze(people.GROUP)[0].embedding
    assert largest is not None
    [stored] = vectors(place, mirrored).values()
    assert float(stored @ largest) > 0.99999
    # The same for a small face, found by the box that is stored.
    bare = PendingFace(1, "x", (x1 + 3, y1 - 3, x2, y2))
    found = migration._embedding_at(bare.bbox, mirrored.analyze(people.GROUP))
    assert found is not None
    assert smallest.embedding is not None
    assert float(found @ smallest.embedding) > 0.99999
    assert migration._embedding_at((x2 + 1, y1, x2 + 2, y2), engine.analyze(AYU[0])) is None


# Broken off.


def test_an_interrupted_run_is_resumed(
    gallery: Gallery, place: Place, engine: Engine, mirrored: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "BATCH", 5)
    made = register_all(gallery)
    with pytest.raises(BreakOffError):
        gallery.migrate(engine=mirrored, progress=break_off)
    first = vectors(place, mirrored)
    assert len(first) == 5
    assert gallery.status().other_packs == ("mirrored",)
    assert named(gallery, PROBE["ayu"]) == "ayu"
    assert fsck(place.location).ok
    gallery.close()
    with Gallery.open(place.location, engine=engine, photos="original") as again:
        result = again.migrate(engine=mirrored)
        assert (result.swapped, result.moved) == (True, len(made) - 5)
        stored = vectors(place, mirrored)
        assert all(np.array_equal(stored[face_id], first[face_id]) for face_id in first)
        assert stored.keys() == made.keys()


@SQLITE
def test_damaged_results_of_an_interrupted_run_are_made_again(
    gallery: Gallery, place: Place, engine: Engine, mirrored: Engine
) -> None:
    made = gallery.register("ayu", list(AYU)).faces
    gallery.migrate(engine=mirrored)
    gallery.rollback()
    bad = made[1].face_id
    place.execute(
        f"UPDATE templates SET checksum = checksum + 1 WHERE face_id = {bad} AND pack_digest = '{mirrored.pack.digest}'"
    )
    result = gallery.migrate(engine=mirrored)
    assert (result.swapped, result.moved) == (True, 1)
    assert fsck(place.location).ok


@SQLITE
def test_a_damaged_photo_or_one_of_another_person_gives_no_template(
    gallery: Gallery, place: Place, mirrored: Engine
) -> None:
    gallery.register("ayu", AYU[0])
    gallery.register("budi", BUDI[0])
    gallery.register("citra", CITRA[0])
    of_budi = place.rows("SELECT photo_id FROM faces ORDER BY id")[1][0]
    place.execute(f"UPDATE faces SET photo_id = {of_budi} WHERE id = 1")
    place.execute("UPDATE photos SET content = zeroblob(length(content)) WHERE id = 3")
    result = gallery.migrate(engine=mirrored)
    assert not result.swapped
    assert (result.without_photo, result.without_face) == (("ayu",), ("citra",))
    assert isinstance(result.refused[0].error, PhotoIntegrityError)
    assert vectors(place, mirrored).keys() == {2}


@SQLITE
def test_a_damaged_row_stops_the_migration(gallery: Gallery, place: Place, mirrored: Engine) -> None:
    gallery.register("ayu", AYU[0])
    place.execute("UPDATE faces SET x1 = x1 + 100")
    with pytest.raises(DatabaseDamagedError, match="row 1 of faces"):
        gallery.migrate(engine=mirrored)
    assert vectors(place, mirrored) == {}


def test_ending_a_migration_stops_a_running_one(
    gallery: Gallery, place: Place, engine: Engine, mirrored: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "BATCH", 1)
    gallery.register("ayu", list(AYU))
    with Gallery.open(place.location, engine=engine) as other:

        def end(done: int, number: int) -> None:
            if done == 2:
                assert other.finish_migration().templates == 2

        with pytest.raises(MigrationError, match="ended by another process"):
            gallery.migrate(engine=mirrored, progress=end)
    assert vectors(place, mirrored) == {}
    assert gallery.status().other_packs == ()
    assert named(gallery, PROBE["ayu"]) == "ayu"


@SQLITE
def test_closing_ends_a_migration_that_can_be_resumed(
    gallery: Gallery, place: Place, engine: Engine, mirrored: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "BATCH", 1)
    register_all(gallery)
    began = threading.Event()

    def close() -> None:
        began.wait()
        gallery.close()

    def begin(done: int, number: int) -> None:
        began.set()
        time.sleep(0.05)

    closer = threading.Thread(target=close)
    closer.start()
    with pytest.raises(GalleryClosedError, match="migrate again to resume"):
        gallery.migrate(engine=mirrored, progress=begin)
    closer.join()
    with Gallery.open(place.location, engine=engine) as again:
        assert again.migrate(engine=mirrored).swapped


@pytest.mark.slow
def test_a_repeatedly_killed_migration_completes(
    gallery: Gallery, place: Place, engine: Engine, mirrored: Engine, manifest: Path
) -> None:
    made = register_all(gallery)
    gallery.close()
    chance = random.Random(int(os.environ.get("FACEDEX_SEED", "0")))
    kills, done = 0, False
    while not done:
        child = subprocess.Popen(
            [sys.executable, str(MOVER), place.location, str(manifest)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        line = child.stdout.readline()
        assert line == "begin\n"
        if kills < 5:
            for _ in range(chance.randrange(8)):
                line = child.stdout.readline()
            time.sleep(chance.random() * 0.02)
            child.kill()
            kills += 1
        done = child.stdout.read().endswith("done\n")
        child.wait()
        child.stdout.close()
        stored = vectors(place, mirrored)
        assert stored.keys() <= made.keys()
        assert fsck(place.location).ok
    with Gallery.open(place.location, engine=mirrored) as again:
        assert all(named(again, probe) == person_id for person_id, probe in PROBE.items())
        stored = vectors(place, mirrored)
        assert stored.keys() == made.keys()
        assert all(float(stored[face_id] @ embedded(mirrored, picture)) > 0.99999 for face_id, picture in made.items())
        assert again.rollback(engine=engine).swapped


# What the people of it are owed.


def pieces(vector: NDArray[np.float32]) -> list[bytes]:
    """Every piece of 16 values of a vector, as float32, float16 and int8."""
    small = np.round(127 * vector).astype(np.int8)
    forms = [(vector.tobytes(), 4), (vector.astype(np.float16).tobytes(), 2), (small.tobytes(), 1)]
    return [form[i * size : (i + 16) * size] for form, size in forms for i in range(len(vector) - 15)]


def on_disk(folder: Path) -> bytes:
    return b"".join(file.read_bytes().rstrip(b"\0") for file in sorted(folder.rglob("*")) if file.is_file())


@SQLITE
@pytest.mark.parametrize("when", ["shadow", "past"])
def test_a_deletion_removes_the_templates_of_every_pack(
    gallery: Gallery, place: Place, engine: Engine, mirrored: Engine, when: str
) -> None:
    register_all(gallery)
    if when == "shadow":
        with pytest.raises(BreakOffError):
            gallery.migrate(engine=mirrored, progress=break_off)
    else:
        gallery.migrate(engine=mirrored)
    mine = [face.face_id for face in gallery.person("ayu").faces]
    theirs = [vectors(place, one)[face_id] for one in (engine, mirrored) for face_id in mine]
    there = on_disk(place.folder)
    assert all(pieces(vector)[0] in there for vector in theirs)
    receipt = gallery.delete("ayu")
    assert (receipt.templates, receipt.wiped) == (6, True)
    gallery.close()
    left = on_disk(place.folder)
    assert not any(piece in left for vector in theirs for piece in pieces(vector))


@SQLITE
def test_nothing_of_the_previous_pack_remains_when_the_migration_is_finished(
    gallery: Gallery, place: Place, engine: Engine, mirrored: Engine
) -> None:
    register_all(gallery)
    named(gallery, PROBE["ayu"])
    gallery.close()
    assert len(place.snapshots()) == 1
    with Gallery.open(place.location, engine=engine) as again:
        before = list(vectors(place, engine).values())
        again.migrate(engine=mirrored)
        assert place.snapshots() == []
        assert again.finish_migration().wiped
    assert len(place.snapshots()) == 1
    left = on_disk(place.folder)
    assert not any(piece in left for vector in before for piece in pieces(vector))


def test_templates_of_every_pack_are_encrypted_and_rekeyed(place: Place, engine: Engine, mirrored: Engine) -> None:
    pytest.importorskip("cryptography", reason="needs cryptography: pip install 'facedex[crypto]'")
    with Gallery.open(place.location, engine=engine, photos="original", key=KEY) as gallery:
        made = register_all(gallery)
        with pytest.raises(BreakOffError):
            gallery.migrate(engine=mirrored, progress=break_off)
        gallery.rekey(OTHER_KEY)
    with Gallery.open(place.location, engine=engine, photos="original", key=OTHER_KEY) as gallery:
        assert gallery.migrate(engine=mirrored).moved == len(made) - migration.BATCH
        assert named(gallery, PROBE["ayu"]) == "ayu"
        lengths = place.rows("SELECT length(vector) FROM templates")
        assert {int(row[0]) for row in lengths} == {1 + 12 + 4 * 128 + 16}
        gallery.rekey(None)
    plain = vectors(place, mirrored)
    assert all(float(plain[face_id] @ embedded(mirrored, picture)) > 0.99999 for face_id, picture in made.items())
    with Gallery.open(place.location, engine=mirrored, photos="original") as gallery:
        gallery.rekey(KEY)
    with Gallery.open(place.location, engine=mirrored, photos="original", key=KEY) as gallery:
        assert gallery.rollback(engine=engine).swapped
        assert named(gallery, PROBE["budi"]) == "budi"
    assert fsck(place.location, key=KEY).ok


def test_the_audit_records_the_migration(gallery: Gallery, place: Place, mirrored: Engine) -> None:
    gallery.register("ayu", list(AYU))
    gallery.register("budi", BUDI[0])
    forget_photos(place, "budi")
    with gallery.acting_as("operator"):
        gallery.migrate(engine=mirrored, without_photo="leave")
        gallery.rollback()
        gallery.finish_migration()
    there, back, finish = [event for event in gallery.audit() if event.kind != "threshold"][-3:]
    assert (there.kind, there.actor, there.person) == ("migrate", "operator", None)
    assert there.facts == {"to": mirrored.pack.digest, "faces": 3, "left": 1}
    assert (back.kind, back.facts["faces"], back.facts["left"]) == ("rollback", 4, 0)
    assert back.pack == mirrored.pack.digest
    assert (finish.kind, finish.facts) == ("finish", {"templates": 3, "faces": []})
    assert gallery.check_audit().intact


# Exclusive use.


def test_exclusive_use_waits_for_running_calls_and_delays_new_ones() -> None:
    life = Lifetime("it", GalleryClosedError, lambda: None)
    inside, go_on, told = threading.Event(), threading.Event(), []

    def other() -> None:
        with life.call():
            inside.set()
            go_on.wait()
            told.append("other left")

    def late() -> None:
        with life.call():
            told.append("late entered")

    first, second = threading.Thread(target=other), threading.Thread(target=late)
    first.start()
    inside.wait()
    with life.call():
        threading.Timer(0.05, go_on.set).start()
        with life.exclusive():
            told.append("exclusive")
            second.start()
            with life.call():  # a call of its own
                time.sleep(0.05)
            told.append("shared")
        second.join()
    first.join()
    assert told == ["other left", "exclusive", "shared", "late entered"]


def test_exclusive_uses_do_not_overlap() -> None:
    life = Lifetime("it", GalleryClosedError, lambda: None)
    together, most = 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal together, most
        for _ in range(20):
            with life.call(), life.exclusive():
                with lock:
                    together += 1
                    most = max(most, together)
                time.sleep(0.001)
                with lock:
                    together -= 1
            with life.call(), life.pause():
                time.sleep(0.001)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert most == 1


def test_exclusive_use_does_not_wait_for_a_paused_call() -> None:
    life = Lifetime("it", GalleryClosedError, lambda: None)
    standing, go_on = threading.Event(), threading.Event()
    told: list[str] = []

    def other() -> None:
        with life.call():
            with life.pause():
                standing.set()
                go_on.wait()
                with life.call():  # waits like any other
                    told.append("a call of its own")
            told.append("went on")

    thread = threading.Thread(target=other)
    thread.start()
    standing.wait()
    with life.call(), life.exclusive():
        go_on.set()
        time.sleep(0.05)
        told.append("exclusive")
    thread.join()
    assert told == ["exclusive", "a call of its own", "went on"]


@SQLITE
def test_templates_of_the_previous_pack_are_not_imported(gallery: Gallery, engine: Engine, mirrored: Engine) -> None:
    gallery.register("ayu", AYU[0])
    digest = gallery.pack.digest
    carried = list(gallery.exchange.export_people(pack=digest))
    unfinished = gallery.exchange.export_people()
    next(unfinished)
    gallery.migrate(engine=mirrored)  # does not wait for the export, which reads the gallery as it was
    unfinished.close()
    for call in (
        lambda: gallery.register_templates("x", embedded(engine, AYU[0]), pack=digest),
        lambda: gallery.exchange.import_people(carried, on_existing="add", pack=digest),
        lambda: list(gallery.exchange.export_people(pack=digest)),
    ):
        with pytest.raises(PackMismatchError, match="moved to 'mirrored'"):
            call()
    assert [person.person_id for person in gallery.people()] == ["ayu"]
    gallery.register_templates("x", embedded(mirrored, AYU[0]), pack=mirrored.pack.digest)


# The command line.


@SQLITE
def test_the_command_line_migrates_a_gallery_and_rolls_it_back(
    gallery: Gallery, place: Place, manifest: Path, engine: Engine, mirrored: Engine
) -> None:
    gallery.register("ayu", list(AYU))
    gallery.register("budi", BUDI[0])
    forget_photos(place, "budi")
    gallery.close()
    db = ["--db", place.location]
    stopped = runner.invoke(app, ["gallery", "migrate", str(manifest), *db])
    assert stopped.exit_code == 1
    assert "no photo is stored of 1 person: budi" in stopped.output
    assert "the gallery was left as it is" in stopped.output
    moved = runner.invoke(app, ["gallery", "migrate", str(manifest), "--leave-without-photo", "--json", *db])
    assert moved.exit_code == 0, moved.output
    told = json.loads(moved.stdout)
    assert (told["swapped"], told["moved"], told["without_photo"]) == (True, 0, ["budi"])
    own = ["--pack", str(manifest), *db]
    back = runner.invoke(app, ["gallery", "rollback", *own])
    assert back.exit_code == 0, back.output
    assert "the gallery uses pack 'classic' now" in back.output
    done = runner.invoke(app, ["gallery", "finish", *db])
    assert done.exit_code == 0, done.output
    assert "removed 3 templates of other packs" in done.output
    again = runner.invoke(app, ["gallery", "rollback", *db])
    assert again.exit_code == 3
    assert "error [migration]" in again.output


# Packs of other networks, and of another length.


@pytest.mark.shared
@SQLITE
def test_a_gallery_is_migrated_to_other_networks(gallery: Gallery, place: Place, shared: Path) -> None:
    folder = place.folder / "home" / "packs" / "mobile"
    folder.mkdir(parents=True)
    for network in ("yunet/yunet_n_dynamic.onnx", "mobilefacenet/mobilefacenet_foamliu_128d.onnx"):
        shutil.copy(shared / "models" / network, folder)
    made = register_all(gallery)
    result = gallery.migrate("mobile")
    assert (result.swapped, result.moved, result.refused) == (True, len(made), ())
    assert all(named(gallery, probe) == person_id for person_id, probe in PROBE.items())
    gallery.register("new", AYU[0])
    assert gallery.rollback().moved == 1
    assert all(named(gallery, probe) == person_id for person_id, probe in PROBE.items() if person_id != "ayu")
    assert fsck(place.location).ok


def unit(number: int, dimension: int) -> NDArray[np.float32]:
    vector = np.random.default_rng(number).normal(size=dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def test_a_gallery_is_migrated_to_a_pack_of_another_dimension(place: Place) -> None:
    long, short = PackPin("long", "ab" * 32, 32), PackPin("short", "cd" * 32, 16)
    feed = Feed(Database(place.location), "default")
    feed.bind(long)
    store = Store(feed)
    photo = NewPhoto("original", "image/png", 8, 8, None, b"a picture")
    new = [NewFace((0.0, 0.0, 8.0, 8.0), 1.0, unit(number, 32), photo) for number in range(3)]
    ids = [face_id for face_id in store.register("ayu", new).face_ids if face_id is not None]
    shadow = Shadow(feed, short)
    shadow.begin()
    shadow.begin()
    assert shadow.count_pending() == 3
    assert [bare.face_id for bare in shadow.pending(ids[0], 10)] == ids[1:]
    assert shadow.insert({ids[0]: unit(100, 16)}) == 1
    assert shadow.insert({ids[0]: unit(101, 16), 999: unit(102, 16)}) == 0  # there is one, and nobody
    assert shadow.lost_people() == []
    asked: list[int] = []

    def embed(late: Sequence[PendingFace]) -> dict[int, NDArray[np.float32]]:
        asked.extend(bare.face_id for bare in late)
        return {bare.face_id: unit(100 + bare.face_id, 16) for bare in late}

    assert shadow.switch("migrate", embed, after=0, leave=False) == (True, 2)
    assert asked == ids[1:]
    with pytest.raises(GalleryPackError, match="'short'"):
        feed.head()
    moved = feed.with_pack(short)
    search = LocalSearch(moved, SearchOptions("exact"))
    search.sync()
    keys, similarities = search.search(unit(100, 16)[None], 1)
    assert (int(keys[0, 0]), round(float(similarities[0, 0]), 4)) == (ids[0], 1.0)
    assert previous_pack(moved) == long
    feed.database.close()
