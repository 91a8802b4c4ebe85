"""A whole gallery in one file: unchanged after an import, encrypted on request, rejected when anything is wrong."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from place import Place

from facedex import _core, packs, people, transfer
from facedex.engine import Engine
from facedex.errors import (
    ArgumentError,
    DatabaseDamagedError,
    DuplicatePersonError,
    ExportError,
    FacedexError,
    GalleryFileError,
    GalleryFileVersionError,
    GalleryPackError,
    ImageError,
    KeyMissingError,
    KeyUnusedError,
    PlainExportError,
    TransferError,
    WrongKeyError,
)
from facedex.gallery import Gallery
from facedex.records import Person
from facedex.store import NewPhoto, PortableFace, PortablePerson, PortablePhoto
from facedex.transfer import archive, export, lines

DIMENSION = packs.info(packs.default()).info.dimension or 0
KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
SQLITE = pytest.mark.parametrize("place", ["sqlite"], indirect=True)
LATER = datetime(2031, 2, 3, 4, 5, 6, 789, tzinfo=timezone.utc)


def fill(gallery: Gallery) -> None:
    gallery.register("ayu", people.PICTURES["ayu"], name="Ayu Léstari", email="a@b", info={"k": [1, None, "é"]})
    gallery.register(7, people.PICTURES["budi"][:2], name="Budi", retain_until=LATER)
    gallery.register("citra", people.PICTURES["citra"][0])
    gallery.register("gone", people.PICTURES["dewi"][0])
    gallery.delete("gone")
    gallery.create("faceless", name="Nobody yet")
    gallery.delete_face(gallery.person("ayu").faces[1].face_id)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Path:
    """A gallery file."""
    folder = tmp_path_factory.mktemp("written")
    with Gallery.open(folder / "people.db", engine=engine, photos="thumbnail") as gallery:
        fill(gallery)
        transfer.export_to(gallery, folder / "people.fdx")
    return folder / "people.fdx"


def describe(gallery: Gallery) -> list[Any]:
    """Return the details of all people, without the numbers that a database assigns."""
    found = []
    for person in gallery.people():
        photos = gallery.photos(person.person_id)
        places = {photo.photo_id: place for place, photo in enumerate(photos)}
        found.append(
            (
                (person.person_id, person.name, person.email, person.info, person.retain_until),
                (person.created_at, person.updated_at),
                [
                    (
                        face.bbox,
                        face.det_score,
                        face.quality,
                        face.created_at,
                        None if face.photo_id is None else places[face.photo_id],
                    )
                    for face in person.faces
                ],
                [
                    (photo.rendition, photo.media_type, photo.width, photo.height, photo.filename, photo.created_at)
                    for photo in photos
                ],
                [gallery.photo_bytes(photo.photo_id) for photo in photos],
            )
        )
    return found


def vectors(gallery: Gallery) -> list[bytes]:
    return [face.embedding.tobytes() for person in gallery.exchange.export_people() for face in person.faces]


@pytest.mark.parametrize("photos", ["none", "original"])
def test_a_gallery_is_the_same_in_another_database(photos: Any, place: Place, engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "people.fdx"
    done: list[tuple[int, int]] = []
    with Gallery.open(place.location, engine=engine, photos=photos) as gallery:
        fill(gallery)
        report = transfer.export_to(gallery, file, progress=lambda *numbers: done.append(numbers))
        before, templates = describe(gallery), vectors(gallery)
    kept = 5 if photos == "original" else 0
    assert (report.people, report.faces, report.photos, report.encrypted) == (4, 5, kept, False)
    assert report.size == file.stat().st_size
    assert done[-1] == (4, 4)
    if os.name == "posix":
        assert file.stat().st_mode & 0o77 == 0
    with Gallery.open(place.location, engine=engine, name="other") as other:
        taken = transfer.import_from(other, file)
        assert (taken.kind, taken.people, taken.faces, taken.photos, taken.rejected) == ("gallery", 4, 5, kept, ())
        assert describe(other) == before
        assert vectors(other) == templates
        assert other.recognize(people.PROBES["budi"][0])[0].person_id == 7
        assert other.check_audit().intact
        assert {event.kind for event in other.audit()} == {"register"}
    with Gallery.open(tmp_path / "third.db", engine=engine) as third:
        transfer.import_from(third, file)
        assert describe(third) == before


def test_people_that_are_already_registered(place: Place, engine: Engine, written: Path) -> None:
    with Gallery.open(place.location, engine=engine, photos="thumbnail") as gallery:
        gallery.register("ayu", people.PICTURES["ayu"][0], name="Other")
        gallery.register("7", people.PICTURES["budi"][0])
        report = transfer.import_from(gallery, written)
        assert (report.people, [type(rejection.error) for rejection in report.rejected]) == (
            2,
            [DuplicatePersonError, DuplicatePersonError],
        )
        assert [rejection.text for rejection in report.rejected] == ["'ayu' in people.fdx", "7 in people.fdx"]
        report = transfer.import_from(gallery, written, on_existing="skip")
        assert (report.people, report.skipped, report.rejected) == (0, ("ayu", 7, "citra", "faceless"), ())
        transfer.import_from(gallery, written, on_existing="add")
        counts = {person.person_id: len(person.faces) for person in gallery.people()}
        assert counts == {"ayu": 3, "7": 3, "citra": 2, "faceless": 0}
        transfer.import_from(gallery, written, on_existing="replace")
        counts = {person.person_id: len(person.faces) for person in gallery.people()}
        assert counts == {"ayu": 2, "7": 2, "citra": 1, "faceless": 0}
        assert len(gallery.photos("ayu")) == 2
        assert gallery.person("ayu").name == "Ayu Léstari"
        assert gallery.recognize(people.PROBES["ayu"][0])[0].person_id == "ayu"
        assert gallery.check_audit().intact


@SQLITE
def test_an_encrypted_gallery_is_exported_unencrypted_only_on_request(
    place: Place, engine: Engine, tmp_path: Path
) -> None:
    file = tmp_path / "people.fdx"
    with Gallery.open(place.location, engine=engine, key=KEY, photos="original") as gallery:
        fill(gallery)
        before, templates = describe(gallery), vectors(gallery)
        with pytest.raises(PlainExportError, match="plain=True"):
            transfer.export_to(gallery, file)
        with pytest.raises(ArgumentError, match="either"):
            transfer.export_to(gallery, file, key=KEY, plain=True)
        assert not file.exists()
        assert transfer.export_to(gallery, file, key=OTHER).encrypted
    content = file.read_bytes()
    for secret in ("Léstari".encode(), b"ayu", b"facedex", base64.b64encode(templates[0])[:20], templates[0][:16]):
        assert secret not in content
    for key, error in ((None, KeyMissingError), (KEY, WrongKeyError)):
        with Gallery.open(tmp_path / "third.db", engine=engine) as third:
            with pytest.raises(error):
                transfer.import_from(third, file, key=key)
            assert third.people() == []
    with Gallery.open(tmp_path / "other.db", engine=engine, key=KEY) as other:
        assert transfer.pack_of(file, key=OTHER) == engine.pack.name
        transfer.import_from(other, file, key=OTHER)
        assert describe(other) == before
        assert vectors(other) == templates
        assert not transfer.export_to(other, file, plain=True).encrypted
        with pytest.raises(KeyUnusedError):
            transfer.import_from(other, file, key=OTHER)
    assert b"ayu" in file.read_bytes()


@SQLITE
def test_the_key_of_the_environment_decrypts_a_file(
    place: Place, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Gallery.open(place.location, engine=engine) as gallery:
        fill(gallery)
        transfer.export_to(gallery, tmp_path / "people.fdx", key=lambda: KEY)
        monkeypatch.setenv("FACEDEX_KEY", base64.b64encode(KEY).decode())
        assert len(transfer.import_from(gallery, tmp_path / "people.fdx", on_existing="skip").skipped) == 4


# What is wrong with a file


@pytest.fixture
def empty(tmp_path: Path, engine: Engine) -> Iterator[Gallery]:
    with Gallery.open(tmp_path / "empty.db", engine=engine) as gallery:
        yield gallery
        assert gallery.people() == []
        assert list(gallery.audit()) == []


def test_every_flipped_bit_and_every_truncation_is_detected(
    written: Path, empty: Gallery, engine: Engine, tmp_path: Path
) -> None:
    with Gallery.open(tmp_path / "from.db", engine=engine) as gallery:
        transfer.import_from(gallery, written)
        transfer.export_to(gallery, tmp_path / "encrypted.fdx", key=KEY)
    path, rng = tmp_path / "damaged.fdx", random.Random(1)
    for whole, key in ((written.read_bytes(), None), ((tmp_path / "encrypted.fdx").read_bytes(), KEY)):
        ends = [*range(100), *range(len(whole) - 200, len(whole))]
        for place in ends + [rng.randrange(len(whole)) for _ in range(300)]:
            damaged = bytearray(whole)
            damaged[place] ^= 1 << rng.randrange(8)
            path.write_bytes(damaged)
            with pytest.raises((GalleryFileError, GalleryFileVersionError, WrongKeyError, KeyUnusedError)):
                transfer.import_from(empty, path, kind="gallery", key=key)
        for length in [
            *range(0, 100, 7),
            *range(len(whole) - 50, len(whole)),
            *(rng.randrange(len(whole)) for _ in range(20)),
        ]:
            path.write_bytes(whole[:length])
            with pytest.raises(GalleryFileError):
                transfer.import_from(empty, path, kind="gallery", key=key)
        path.write_bytes(whole + whole[-100:])
        with pytest.raises(GalleryFileError):
            transfer.import_from(empty, path, kind="gallery", key=key)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("ascii").splitlines()]


def rewritten(path: Path, held: list[dict[str, Any]], to: Path) -> Path:
    """Write lines as a file with correct digest and counts, as an attacker would."""
    body = b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in held[:-1])
    named = [line for line in held[:-1] if isinstance(line, dict)]
    end = held[-1] | {
        "people": sum(line.get("kind") == "person" for line in named),
        "faces": sum(len(line["faces"]) for line in named if isinstance(line.get("faces"), list)),
        "photos": sum(line.get("kind") == "photo" for line in named),
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    to.write_bytes(body + json.dumps(end, separators=(",", ":")).encode() + b"\n")
    return to


PAGE = base64.b64encode(b"<!doctype html><script>alert(1)</script>").decode()

Change = Callable[[list[dict[str, Any]]], object]
CHANGES: dict[str, Change] = {
    "no id": lambda held: held[1].pop("id"),
    "an empty id": lambda held: held[1].update(id=" "),
    "an id of another type": lambda held: held[1].update(id=True),
    "a NUL in a name": lambda held: held[1].update(name="a\0"),
    "half a character": lambda held: held[1].update(name="\ud800"),
    "info that is no object": lambda held: held[1].update(info=[1]),
    "info that is not a number": lambda held: held[1].update(info={"x": float("nan")}),
    "a time without a zone": lambda held: held[1].update(created_at="2026-01-01T00:00:00"),
    "a time that does not exist": lambda held: held[1].update(updated_at="0001-01-01T00:00:00+14:00"),
    "a box of three": lambda held: held[1]["faces"][0].update(bbox=[1, 2, 3]),
    "a box of no numbers": lambda held: held[1]["faces"][0].update(bbox=[1, 2, 3, "4"]),
    "an infinite box": lambda held: held[1]["faces"][0].update(bbox=[1, 2, 3, float("inf")]),
    "a quality above 100": lambda held: held[1]["faces"][0].update(quality=100.5),
    "a quality that is no number": lambda held: held[1]["faces"][0].update(quality="good"),
    "a score above one": lambda held: held[1]["faces"][0].update(det_score=1.5),
    "a template cut short": lambda held: held[1]["faces"][0].update(template="AAAA"),
    "a template that is no base64": lambda held: held[1]["faces"][0].update(template="!"),
    "a template of nothing": lambda held: held[1]["faces"][0].update(template=base64.b64encode(b"\0" * 512).decode()),
    "a template that is not finite": lambda held: held[1]["faces"][0].update(
        template=base64.b64encode(np.full(DIMENSION, np.nan, "<f4").tobytes()).decode()
    ),
    "a photo that is not there": lambda held: held[1]["faces"][0].update(photo=9),
    "photos that are not there": lambda held: held[1].update(photos=9),
    "fewer photos": lambda held: held[1].update(photos=0),
    "a photo of no known kind": lambda held: held[2].update(rendition="x"),
    "a photo without width": lambda held: held[2].update(width=0),
    "a long media type": lambda held: held[2].update(media_type="x" * 33),
    "a page for a photo": lambda held: held[2].update(media_type="text/html", content=PAGE),
    "a type that a browser runs": lambda held: held[2].update(media_type="image/svg+xml"),
    "a type with a header in it": lambda held: held[2].update(media_type="image/jpeg\r\nX-Injected: 1"),
    "a page that is called a photo": lambda held: held[2].update(content=PAGE),
    "a type that is not that of the bytes": lambda held: held[2].update(media_type="image/png"),
    "a pack that is a path": lambda held: held[0].update(pack="../other.toml"),
    "a pack that is a manifest": lambda held: held[0].update(pack="other.toml"),
    "a digest that is none": lambda held: held[0].update(pack_digest="\x1b[2J"),
    "a dimension of none": lambda held: held[0].update(dimension=0),
    "no pack": lambda held: held[0].pop("pack_digest"),
    "format 0": lambda held: held[0].update(format=0),
    "a line of another kind": lambda held: held.insert(1, {"kind": "script"}),
    "a line that is no object": lambda held: held.insert(1, [1]),  # type: ignore[arg-type]
    "two heads": lambda held: held.insert(1, held[0]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_content_that_no_export_contains_is_refused(change: str, written: Path, empty: Gallery, tmp_path: Path) -> None:
    held = lines_of(written)
    CHANGES[change](held)
    with pytest.raises(GalleryFileError):
        transfer.import_from(empty, rewritten(written, held, tmp_path / "x.fdx"))


def test_imported_photos_are_decoded_and_rewritten(written: Path, engine: Engine, tmp_path: Path) -> None:
    picture = people.PICTURES["ayu"][0].read_bytes()
    page = b"<!doctype html><script>alert(1)</script>"
    commented = picture[:2] + b"\xff\xfe" + (len(page) + 2).to_bytes(2, "big") + page + picture[2:] + page
    held = lines_of(written)
    held[2].update(
        content=base64.b64encode(commented).decode(), width=7, height=7, filename="../<b>\r\nX: 1/\u202ea\x1b.jpg"
    )
    with Gallery.open(tmp_path / "x.db", engine=engine) as gallery:
        report = transfer.import_from(gallery, rewritten(written, held, tmp_path / "x.fdx"))
        assert (report.people, report.rejected) == (4, ())
        photo, other = gallery.photos("ayu")
        content = gallery.photo_bytes(photo.photo_id)
        assert page not in content
        image = _core.decode(picture)
        assert np.array_equal(_core.decode(content), image)
        assert (photo.media_type, photo.width, photo.height) == ("image/jpeg", image.shape[1], image.shape[0])
        assert photo.filename == "a.jpg"
        assert other.filename == people.PICTURES["ayu"][2].name


def test_a_photo_that_cannot_be_decoded_rejects_only_its_person(written: Path, engine: Engine, tmp_path: Path) -> None:
    held = lines_of(written)
    held[2]["content"] = base64.b64encode(b"\xff\xd8\xff\xe0 <script>alert(1)</script>").decode()
    with Gallery.open(tmp_path / "x.db", engine=engine) as gallery:
        report = transfer.import_from(gallery, rewritten(written, held, tmp_path / "x.fdx"))
        (rejection,) = report.rejected
        assert isinstance(rejection.error, ImageError)
        assert rejection.text == "'ayu' in people.fdx".replace("people", "x")
        assert (report.people, [person.person_id for person in gallery.people()]) == (3, [7, "citra", "faceless"])
        carried = next(one for one in gallery.exchange.export_people() if one.person.person_id == 7)
        eight, nine = (replace(carried, person=replace(carried.person, person_id=number)) for number in (8, 9))
        script = NewPhoto("original", "text/html", 1, 1, None, b"<script>")
        hostile = replace(eight, photos=(replace(carried.photos[0], photo=script),))
        answers = gallery.exchange.import_people([hostile, nine])
        assert isinstance(answers[0], ImageError)
        assert [person.person_id for person in gallery.people()] == [7, "citra", "faceless", 9]


def test_an_unchanged_file_is_imported_after_rewriting(written: Path, engine: Engine, tmp_path: Path) -> None:
    with Gallery.open(tmp_path / "x.db", engine=engine) as gallery:
        transfer.import_from(gallery, rewritten(written, lines_of(written), tmp_path / "x.fdx"))
        assert len(gallery.people()) == 4


def test_a_newer_format_and_another_pack_are_different_errors(written: Path, empty: Gallery, tmp_path: Path) -> None:
    held = lines_of(written)
    held[0]["format"] = 2
    with pytest.raises(GalleryFileVersionError, match="format 2"):
        transfer.import_from(empty, rewritten(written, held, tmp_path / "x.fdx"))
    held = lines_of(written)
    held[0] |= {"pack": "mobile", "pack_digest": "0" * 64}
    with pytest.raises(GalleryPackError, match="'mobile'") as refused:
        transfer.import_from(empty, rewritten(written, held, tmp_path / "x.fdx"))
    assert (refused.value.stored, refused.value.opened) == (packs.default(), "mobile")


@given(st.binary(max_size=200))
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_arbitrary_bytes_raise_only_our_error(written: Path, empty: Gallery, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.fdx"
    first = written.read_bytes().split(b"\n", 1)[0]
    for before in (b"", b'{"kind":"facedex gallery"', first + b"\n", lines.ENCRYPTED):
        path.write_bytes(before + data)
        with pytest.raises((TransferError, FacedexError)) as refused:
            transfer.import_from(empty, path, kind="gallery", key=KEY if before == lines.ENCRYPTED else None)
        assert isinstance(refused.value, (TransferError, WrongKeyError))


@dataclass(frozen=True, slots=True)
class PersonWithBadge(Person):
    """A person of a version to come, with two fields more."""

    badge: str | None = None
    hired_at: datetime | None = None


def test_a_new_field_of_a_person_needs_no_change_of_the_format(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head, *people_lines = written.read_bytes().splitlines(keepends=True)
    reading = lines.Reading("x")
    reading.head(head)
    remaining = iter(people_lines)
    old = reading.person(next(remaining), remaining)
    fields = {name: getattr(old.person, name) for name in Person.__dataclass_fields__}
    new = PersonWithBadge(**fields, badge="B7", hired_at=datetime(2026, 1, 2, tzinfo=timezone.utc))
    newer_lines = list(lines.lines_of(replace(old, person=new)))
    assert reading.person(newer_lines[0], iter(newer_lines[1:])).person == old.person  # an older version ignores them
    monkeypatch.setattr(lines, "Person", PersonWithBadge)
    found = reading.person(newer_lines[0], iter(newer_lines[1:]))
    assert found.person == new
    assert len(found.faces) == len(old.faces)
    older = reading.person(people_lines[0], iter(people_lines[1:]))
    assert older.person == replace(new, badge=None, hired_at=None)


@SQLITE
def test_a_file_that_changes_during_the_import_is_detected(
    place: Place, engine: Engine, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "BATCH", 1)
    monkeypatch.setattr(archive, "_READ", 64)
    path = tmp_path / "x.fdx"
    path.write_bytes(written.read_bytes())
    held = lines_of(written)
    next(line for line in held if line.get("id") == "citra")["name"] = "Mallory"

    def swap(done: int, number: int) -> None:
        if done == 1:
            rewritten(written, held, path)

    with Gallery.open(place.location, engine=engine) as gallery:
        with pytest.raises(GalleryFileError, match="changed during the import"):
            transfer.import_from(gallery, path, progress=swap)
        assert "Mallory" not in [person.name for person in gallery.people()]
        assert [person.person_id for person in gallery.people()][:1] == ["ayu"]


# What is wrong with the gallery, or the place to write to


@SQLITE
def test_a_failed_write_keeps_the_older_file(
    place: Place, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Gallery.open(place.location, engine=engine) as gallery:
        fill(gallery)
        with pytest.raises(ExportError, match="No such file"):
            transfer.export_to(gallery, tmp_path / "nowhere" / "x.fdx")
        target = tmp_path / "out" / "x.fdx"
        target.parent.mkdir()
        target.write_bytes(b"older")
        place.execute("UPDATE people SET name = 'Mallory' WHERE name = 'Budi'")
        with pytest.raises(DatabaseDamagedError):
            transfer.export_to(gallery, target)
        assert [(path.name, path.read_bytes()) for path in target.parent.iterdir()] == [("x.fdx", b"older")]
        monkeypatch.setattr(export, "MAX_LINE", 100)
        with pytest.raises(ExportError, match="100 bytes"):
            transfer.export_to(gallery, target)
        assert [(path.name, path.read_bytes()) for path in target.parent.iterdir()] == [("x.fdx", b"older")]


@SQLITE
def test_a_missing_template_is_detected(place: Place, engine: Engine, tmp_path: Path) -> None:
    with Gallery.open(place.location, engine=engine) as gallery:
        fill(gallery)
        place.execute("DELETE FROM templates WHERE face_id = (SELECT max(face_id) FROM templates)")
        with pytest.raises(DatabaseDamagedError, match="4 templates"):
            transfer.export_to(gallery, tmp_path / "x.fdx")


@pytest.mark.slow
@SQLITE
def test_memory_does_not_grow_with_the_gallery(
    place: Place, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at, number, size = datetime.now(timezone.utc), 160, 256 << 10
    noise = np.random.default_rng(1)
    monkeypatch.setattr(archive, "_BATCH_BYTES", 1 << 20)

    def png() -> bytes:  # noise, which does not compress
        return _core.encode_png(noise.integers(0, 256, (300, 300, 3), np.uint8))

    def carried(person: int) -> PortablePerson:
        photo = PortablePhoto(NewPhoto("original", "image/png", 1, 1, None, png()), at)
        vector = np.eye(DIMENSION, dtype=np.float32)[person % DIMENSION]
        return PortablePerson(
            Person(person, None, None, {}, at, at, ()), (PortableFace((0, 0, 1, 1), 1, vector, at, 0),), (photo,)
        )

    with Gallery.open(place.location, engine=engine) as gallery:
        for start in range(0, number, 20):
            gallery.exchange.import_people([carried(person) for person in range(start, start + 20)])
        monkeypatch.setattr("facedex.store.portable.PAGE", 4)
        with measured() as exporting:
            transfer.export_to(gallery, tmp_path / "x.fdx", key=KEY)
    assert (tmp_path / "x.fdx").stat().st_size > number * size
    with Gallery.open(tmp_path / "y.db", engine=engine) as other:
        with measured() as importing:
            report = transfer.import_from(other, tmp_path / "x.fdx", key=KEY)
        assert (report.people, report.photos, report.rejected) == (number, number, ())
    # An encrypted file is held by chunks of 4 MiB, two or three at a time; the whole is 53.
    assert exporting[0] < 20 << 20
    assert importing[0] < 24 << 20


IMPORTER = """
import sys
from facedex import Gallery, transfer
with Gallery.open(sys.argv[1]) as gallery:
    print("ready", flush=True)
    transfer.import_from(gallery, sys.argv[2], on_existing="skip", progress=lambda done, of: print(done, flush=True))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs kill -9: Linux or macOS")
def test_a_killed_import_leaves_complete_people_and_can_be_resumed(engine: Engine, tmp_path: Path) -> None:
    at, rng, vectors = datetime.now(timezone.utc), random.Random(1), np.eye(DIMENSION, dtype=np.float32)
    photo = PortablePhoto(NewPhoto("original", "image/jpeg", 1, 1, "x.jpg", people.PICTURES["ayu"][0].read_bytes()), at)
    everybody = [
        PortablePerson(
            Person(f"p{person}", None, None, {}, at, at, ()),
            tuple(PortableFace((0, 0, 1, 1), 1, vectors[(person + place) % DIMENSION], at, 0) for place in range(3)),
            (photo,),
        )
        for person in range(640)
    ]  # fmt: skip
    with Gallery.open(tmp_path / "from.db", engine=engine) as gallery:
        gallery.exchange.import_people(everybody)
        transfer.export_to(gallery, tmp_path / "x.fdx")
    killed = 0
    for _ in range(8):
        command = [sys.executable, "-c", IMPORTER, str(tmp_path / "to.db"), str(tmp_path / "x.fdx")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            time.sleep(rng.uniform(0, 0.6))
            child.kill()
            acknowledged = [int(line) for line in child.stdout if line.strip().isdigit()]
        killed += child.returncode == -signal.SIGKILL
        with Gallery.open(tmp_path / "to.db", engine=engine) as gallery:
            there = gallery.people()
            assert [person.person_id for person in there] == [f"p{number}" for number in range(len(there))]
            assert len(there) >= max(acknowledged, default=0)
            assert len(there) % archive.BATCH == 0
            assert {len(person.faces) for person in there} <= {3}
            assert all(len(gallery.photos(person.person_id)) == 1 for person in there[-3:])
    assert killed > 0
    with Gallery.open(tmp_path / "to.db", engine=engine) as gallery:
        report = transfer.import_from(gallery, tmp_path / "x.fdx", on_existing="skip")
        assert report.people + len(report.skipped) == 640
        assert gallery.lookup.counts() == (640, 1920)
        assert gallery.check_audit().intact


@contextlib.contextmanager
def measured() -> Iterator[list[int]]:
    """Measure the peak memory of the block, bytes."""
    peak: list[int] = []
    tracemalloc.start()
    try:
        yield peak
        peak.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


# The format as docs/gallery-file.md has it


def derive_key(key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt, info).derive(key)


@SQLITE
def test_an_encrypted_file_is_as_documented(place: Place, engine: Engine, written: Path, tmp_path: Path) -> None:
    encrypted = tmp_path / "x.fdx"
    with Gallery.open(place.location, engine=engine) as gallery:
        transfer.import_from(gallery, written)
        transfer.export_to(gallery, encrypted, key=KEY)
    whole = encrypted.read_bytes()
    assert whole[:17] == b"fdxgallery\x01sealed"
    salt, seal, second, rest = whole[17:33], whole[33:62], whole[62:88], whole[88:]
    assert (len(seal), second[:10]) == (29, b"fdxsealed\x01")
    opened = AESGCM(derive_key(KEY, salt, b"facedex seal")).decrypt(seal[1:13], seal[13:], salt.hex().encode())
    assert opened == b""
    cipher = AESGCM(derive_key(derive_key(KEY, salt, b"facedex files"), second[10:], b"file"))
    text = cipher.decrypt(bytes(11) + b"\x01", rest, b"gallery file")
    kinds = [json.loads(line)["kind"] for line in text.splitlines()]
    assert (kinds[0], kinds[-1], kinds.count("person")) == ("facedex gallery", "end", 4)


def test_a_file_written_by_hand_is_as_documented(empty: Gallery, engine: Engine, tmp_path: Path) -> None:
    vector = np.zeros(DIMENSION, "<f4")
    vector[3] = 1
    body = [
        {"kind": "facedex gallery", "format": 1, "pack": empty.pack.name, "pack_digest": empty.pack.digest}
        | {"dimension": DIMENSION}
        | {"gallery": "0" * 32, "name": "x", "created_at": "2026-01-01T00:00:00+00:00", "facedex": "0", "more": None},
        {"kind": "person", "id": 7, "name": None, "email": None, "info": {}, "retain_until": None, "photos": 0}
        | {"created_at": "2026-01-01T07:00:00+07:00", "updated_at": "2026-01-02T00:00:00+00:00"}
        | {
            "faces": [
                {"bbox": [1, 2, 3.5, 4], "det_score": 1, "created_at": "2026-01-01T00:00:00+00:00", "photo": None}
                | {"template": base64.b64encode(vector.tobytes()).decode()}
            ]
        },
    ]
    text = "".join(json.dumps(line).replace('"kind": "facedex', '"kind":"facedex') + "\n" for line in body).encode()
    digest = hashlib.sha256(text).hexdigest()
    end = f'{{"kind":"end","people":1,"faces":1,"photos":0,"sha256":"{digest}"}}\n'
    (tmp_path / "x.fdx").write_bytes(text + end.encode())
    with Gallery.open(tmp_path / "x.db", engine=engine) as gallery:
        transfer.import_from(gallery, tmp_path / "x.fdx")
        person = gallery.person(7)
        assert person.created_at == datetime(2026, 1, 1, tzinfo=timezone.utc)
        assert person.updated_at == datetime(2026, 1, 2, tzinfo=timezone.utc)
        assert person.faces[0].bbox == (1.0, 2.0, 3.5, 4.0)
        assert person.faces[0].quality is None


def test_photos_that_would_not_fit_in_memory_are_refused(
    written: Path, empty: Gallery, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MAX_PHOTOS", 100)
    monkeypatch.setattr(export, "MAX_PHOTOS", 100)
    with pytest.raises(GalleryFileError, match="more than 100 bytes"):
        transfer.import_from(empty, written)
    with Gallery.open(tmp_path / "x.db", engine=engine, photos="thumbnail") as gallery:
        fill(gallery)
        with pytest.raises(ExportError, match="the data of 'ayu' take more than 100 bytes"):
            transfer.export_to(gallery, tmp_path / "y.fdx")
