"""Every way in: Python, its coroutines, the command line, HTTP and import.

Each reads the same pictures, follows the settings of the environment, and answers the good pictures of a batch whatever
is wrong with the others.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from typer.testing import CliRunner

from facedex import Engine, Gallery, people
from facedex.cli.app import app
from facedex.errors import FacedexError
from facedex.http import Settings, create_app
from facedex.transfer import import_from

AYU, BUDI = people.PICTURES["ayu"], people.PICTURES["budi"]
PROBE = people.PROBES["ayu"][0]

LIMITS = {"FACEDEX_MAX_PIXELS": "60000"}
"""Less than the bundled portraits have."""


def encoded(kind: str, picture: Path) -> bytes:
    """Return a picture in another format or state, or skip."""
    data, stream = picture.read_bytes(), io.BytesIO()
    if kind == "cut JPEG":
        return data[:-600]
    if kind == "large JPEG":
        return data
    image = Image.open(picture).copy()  # without its file, which a JPEG XL would hold whole
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").from_pillow(image).save(stream, quality=90)
    elif kind == "JXL":
        pytest.importorskip("pillow_jxl", exc_type=ImportError)
        image.save(stream, "JXL", quality=90)
    else:
        image.save(stream, kind)
    return stream.getvalue()


KINDS = {
    "cut JPEG": {"FACEDEX_STRICT": "0"},
    "large JPEG": LIMITS | {"FACEDEX_OVERSIZE": "reduce"},
    "AVIF": {},
    "HEIF": {},
    "JPEG2000": {},
    "JXL": {},
}
"""Pictures, and the settings with which they are read."""


def run(*arguments: object) -> Any:
    """Run a command; returns its JSON document with its exit code."""
    result = CliRunner().invoke(app, [*(str(argument) for argument in arguments), "--json"])
    assert result.stdout, result.stderr
    return json.loads(result.stdout) | {"exit_code": result.exit_code}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("photos", ["thumbnail", "original"])
def test_every_way_in_reads_the_same_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, photos: Any
) -> None:
    for name, value in KINDS[kind].items():
        monkeypatch.setenv(name, value)
    folder, probe, db = tmp_path / "people", tmp_path / "probe.bin", tmp_path / "people.db"
    for person, picture in (("ayu", AYU[0]), ("budi", BUDI[0])):
        (folder / person).mkdir(parents=True)
        (folder / person / "1.bin").write_bytes(encoded(kind, picture))
    probe.write_bytes(encoded(kind, PROBE))
    done = run("import", folder, "--db", db, "--photos", photos)
    assert (done["people"], done["rejected"]) == (2, [])
    [found] = run("recognize", probe, "--db", db)["pictures"]
    assert [face["person_id"] for face in found["faces"]] == ["ayu"]
    assert run("verify", "ayu", probe, "--db", db)["match"]
    assert len(run("detect", probe)["pictures"][0]["faces"]) == 1
    assert run("compare", folder / "ayu" / "1.bin", probe)["match"]
    with Gallery.open(db, engine=Engine(threads=1), photos=photos) as gallery:
        assert gallery.recognize(probe)[0].person_id == "ayu"
        assert asyncio.run(gallery.arecognize(probe.read_bytes()))[0].person_id == "ayu"
        [photo] = gallery.photos("ayu")
        assert photo.rendition == photos
        assert len(gallery.engine.analyze(gallery.photo_bytes(photo.photo_id), embed=False)) == 1
        with TestClient(
            create_app(Settings(db=str(db), photos=photos), engine=gallery.engine), "http://localhost"
        ) as client:
            for given in ({"files": {"image": probe.read_bytes()}}, {"content": probe.read_bytes()}):
                answer = client.post("/v1/recognize", **given)  # type: ignore[arg-type]
                assert [face["person_id"] for face in answer.json()["faces"]] == ["ayu"], answer.text
            files = [("images", (folder / "ayu" / "1.bin").read_bytes())]
            assert client.post("/v1/people", data={"person_id": "citra"}, files=files).status_code == 201


@pytest.mark.parametrize("kind", ["cut JPEG", "large JPEG"])
def test_every_way_in_refuses_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    for name, value in LIMITS.items() if kind == "large JPEG" else ():
        monkeypatch.setenv(name, value)
    code = "image_too_large" if kind == "large JPEG" else "image_truncated"
    probe, db = tmp_path / "people" / "ayu" / "1.bin", tmp_path / "people.db"
    probe.parent.mkdir(parents=True)
    probe.write_bytes(encoded(kind, PROBE))
    assert [one["error"]["code"] for one in run("import", tmp_path / "people", "--db", db)["rejected"]] == [code]
    assert run("recognize", probe, "--db", db)["pictures"][0]["error"]["code"] == code
    with TestClient(create_app(Settings(db=str(db)), engine=Engine(threads=1)), "http://localhost") as client:
        answer = client.post("/v1/recognize", files={"image": probe.read_bytes()})
        assert answer.json()["code"] == code
        if kind == "large JPEG":
            assert "FACEDEX_MAX_PIXELS" in answer.json()["detail"]


BAD = {
    "no picture": b"not a picture",
    "empty": b"",
    "cut": AYU[0].read_bytes()[:-600],
    "cut AVIF": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(40),
    "cut HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100),
    "cut JPEG XL": b"\xff\x0a" + bytes(40),
    "a bomb": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\1\0\0\0\1\0\0\x08\2\0\0\0" + bytes(4),
}

Batch = Callable[[Gallery, Path, list[Path]], list[str | None]]
"""Recognizes or registers pictures; returns for each the name that was found or stored, or None for an error."""


def names_of(results: list[Any]) -> list[str | None]:
    return [None if isinstance(result, FacedexError) else result[0].person_id for result in results]


def with_python(gallery: Gallery, db: Path, pictures: list[Path]) -> list[str | None]:
    return names_of(gallery.recognize_many(pictures))


def with_streams(gallery: Gallery, db: Path, pictures: list[Path]) -> list[str | None]:
    return names_of(gallery.recognize_many(io.BytesIO(picture.read_bytes()) for picture in pictures))


def with_coroutines(gallery: Gallery, db: Path, pictures: list[Path]) -> list[str | None]:
    return names_of(asyncio.run(gallery.arecognize_many(pictures)))


def with_the_engine(gallery: Gallery, db: Path, pictures: list[Path]) -> list[str | None]:
    results = gallery.engine.analyze_many(pictures)
    assert len(asyncio.run(gallery.engine.aanalyze_many(pictures, embed=False))) == len(pictures)
    return [None if isinstance(result, FacedexError) else "ayu" for result in results]


def with_register_many(gallery: Gallery, db: Path, pictures: list[Path]) -> list[str | None]:
    results = gallery.register_many([(f"ayu {number}", picture) for number, picture in enumerate(pictures)])
    return [None if isinstance(result, FacedexError) else "ayu" for result in results]


def with_register(gallery: Gallery, db: Path, pictures: list[Path]) -> list[str | None]:
    refused = {one.source for one in gallery.register("new", pictures).rejected}
    return [None if number in refused else "ayu" for number in range(len(pictures))]


def with_the_command_line(gallery: Gallery, db: Path, pictures: list[Path]) -> list[str | None]:
    done = run("recognize", *pictures, "--db", db)
    assert done["exit_code"] == 3
    return [None if "error" in one else one["faces"][0]["person_id"] for one in done["pictures"]]


def with_the_command_register(gallery: Gallery, db: Path, pictures: list[Path]) -> list[str | None]:
    refused = {one["picture"] for one in run("register", "new", *pictures, "--db", db)["rejected"]}
    return [None if str(picture) in refused else "ayu" for picture in pictures]


def with_the_command_photos(gallery: Gallery, db: Path, pictures: list[Path]) -> list[str | None]:
    done = run("photos", "add", "ayu", *pictures, "--db", db)
    assert done["exit_code"] == 3
    assert len(gallery.photos("ayu")) == len(done["photos"]) == 2
    refused = {one["picture"] for one in done["rejected"]}
    return [None if str(picture) in refused else "ayu" for picture in pictures]


def with_http(gallery: Gallery, db: Path, pictures: list[Path]) -> list[str | None]:
    with TestClient(create_app(Settings(db=str(db)), engine=gallery.engine), "http://localhost") as client:
        files = [("images", picture.read_bytes()) for picture in pictures]
        results = client.post("/v1/recognize/batch", files=files).json()["items"]
        stored = client.post("/v1/people", data={"person_id": "new"}, files=files)
        assert stored.status_code == 201, stored.text
        assert len(stored.json()["faces"]) == 2
    return [None if one.get("error") else one["recognition"]["faces"][0]["person_id"] for one in results]


def with_import(gallery: Gallery, db: Path, pictures: list[Path]) -> list[str | None]:
    folder = db.parent / "folder"
    for number, picture in enumerate(pictures):
        (folder / str(number)).mkdir(parents=True)
        (folder / str(number) / "1.jpg").write_bytes(picture.read_bytes())
    report = import_from(gallery, folder)
    assert report.people == 2
    return [None if str(folder / str(n)) in str(report.rejected) else "ayu" for n in range(len(pictures))]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize(
    "batch",
    [
        with_python,
        with_streams,
        with_coroutines,
        with_the_engine,
        with_register_many,
        with_register,
        with_the_command_line,
        with_the_command_register,
        with_the_command_photos,
        with_http,
        with_import,
    ],
)
def test_a_bad_picture_in_a_batch_loses_no_other(tmp_path: Path, engine: Engine, batch: Batch, bad: str) -> None:
    db, picture = tmp_path / "people.db", tmp_path / "bad.bin"
    picture.write_bytes(BAD[bad])
    with Gallery.open(db, engine=engine) as gallery:
        gallery.register("ayu", AYU[0])
        assert batch(gallery, db, [PROBE, picture, AYU[1]]) == ["ayu", None, "ayu"]
