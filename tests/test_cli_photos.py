"""The commands about photos, as a program sees them."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import facedex
from facedex import people
from facedex.cli import app

runner = CliRunner()
AYU = [str(picture) for picture in people.PICTURES["ayu"]]


def run(*arguments: object) -> Result:
    env: dict[str, str | None] = {"FACEDEX_DB": "", "FACEDEX_KEY": "", "FACEDEX_ACTOR": ""}
    return runner.invoke(app, [str(argument) for argument in arguments], env=env)


def answer(*arguments: object) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    path = tmp_path / "people.db"
    answer("register", "ayu", *AYU[:2], "--photos", "original", "--db", path)
    return path


def test_photos_are_listed_and_saved(db: Path, tmp_path: Path) -> None:
    photos = answer("photos", "list", "ayu", "--db", db)["photos"]
    assert [(photo["filename"], photo["rendition"]) for photo in photos] == [
        ("1.jpg", "original"),
        ("2.jpg", "original"),
    ]
    faces = answer("people", "ayu", "--db", db)["people"][0]["faces"]
    assert [face["photo_id"] for face in faces] == [photo["photo_id"] for photo in photos]
    shown = run("photos", "list", "ayu", "--db", db).stdout
    assert "640 × 480" in shown
    assert shown.endswith("2 photos\n")
    written = answer("photos", "save", "ayu", "--out", tmp_path / "out", "--db", db)["written"]
    assert [Path(name).name for name in written] == ["1.jpg", "2.jpg"]
    for name, given in zip(written, AYU, strict=False):
        assert np.array_equal(facedex.decode(name), facedex.decode(given))


def test_photos_are_added_used_for_a_rebuild_and_deleted(db: Path) -> None:
    (added,) = answer("photos", "add", "ayu", AYU[2], "--db", db)["photos"]
    assert (added["faces"], added["rendition"]) == ([], "original")
    (small,) = answer("photos", "add", "ayu", AYU[2], "--photos", "thumbnail", "--db", db)["photos"]
    assert small["width"] == 224
    rebuilt = answer("photos", "rebuild", "ayu", "--db", db)
    assert (len(rebuilt["faces"]), len(rebuilt["replaced"])) == (3, 2)
    receipt = answer("photos", "delete", added["photo_id"], "--db", db)
    assert (receipt["photos"], receipt["faces"]) == (1, [rebuilt["faces"][2]["face_id"]])
    assert answer("delete", "ayu", "--db", db)["photos"] == 3


def test_a_photo_with_a_wrong_type_is_saved_with_its_detected_type(db: Path, tmp_path: Path) -> None:
    with sqlite3.connect(db) as connection:  # as older versions imported it
        connection.execute("UPDATE photos SET media_type = 'text/html'")
    connection.close()
    written = answer("photos", "save", "ayu", "--out", tmp_path / "out", "--db", db)["written"]
    assert [Path(path).suffix for path in written] == [".jpg", ".jpg"]


def test_impossible_commands_are_errors(db: Path) -> None:
    missing = run("photos", "delete", 99, "--db", db)
    assert missing.exit_code == 3
    assert "unknown_photo" in missing.stderr
    assert run("photos", "add", "ayu", AYU[0], "--photos", "none", "--db", db).exit_code == 2
    assert run("photos", "add", "nobody", AYU[0], "--db", db).exit_code == 3
