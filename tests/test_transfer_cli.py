"""facedex import and facedex export: what they print, and how they end."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pickle
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from facedex import people
from facedex.cli.app import app

KEY = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "people.db"


def run(*arguments: object, **env: str) -> Result:
    given = [str(argument) for argument in arguments]
    return CliRunner().invoke(app, given, env={"FACEDEX_DB": "", "FACEDEX_KEY": ""} | env)


def answer(*arguments: object, code: int = 0, **env: str) -> Any:
    """The JSON document of a command: it alone is printed."""
    result = run(*arguments, "--json", **env)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def test_a_folder_is_imported_and_a_file_moved_to_another_gallery(database: Path, tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_text("id;name\nayu;Ayu\n", "utf-8")
    result = run("import", people.FOLDER / "people", "--names", tmp_path / "names.csv", "--db", database)
    assert result.exit_code == 0, result.output
    assert "imported 8 people with 24 faces; 0 items rejected" in result.stdout
    assert "without a line in the file of names: budi, citra" in result.stdout
    result = run("export", tmp_path / "people.fdx", "--db", database)
    assert result.exit_code == 0, result.output
    assert " ".join(result.stdout.split()).startswith("wrote 8 people with 24 faces to ")
    assert result.stdout.rstrip().endswith("not encrypted")
    other = tmp_path / "other.db"
    assert answer("import", tmp_path / "people.fdx", "--db", other) == {
        "kind": "gallery",
        "people": 8,
        "faces": 24,
        "photos": 0,
        "skipped": [],
        "rejected": [],
        "unnamed": [],
        "warnings": [],
        "outliers": [],
    }
    found = answer("recognize", people.PROBES["ayu"][0], "--db", other)
    assert found["pictures"][0]["faces"][0]["name"] == "Ayu"
    assert answer("import", tmp_path / "people.fdx", "--db", other, "--on-existing", "skip")["skipped"][0] == "ayu"


def test_photos_of_a_folder_are_stored_on_request(database: Path) -> None:
    assert answer("import", people.FOLDER / "people", "--photos", "original", "--db", database)["people"] == 8
    kept = answer("photos", "list", "ayu", "--db", database)["photos"]
    assert [(photo["rendition"], photo["filename"]) for photo in kept] == [
        ("original", "1.jpg"),
        ("original", "2.jpg"),
        ("original", "3.jpg"),
    ]


def test_rejected_items_are_printed_with_exit_code_1(database: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "ayu"
    folder.mkdir(parents=True)
    shutil.copy(people.PICTURES["ayu"][0], folder)
    (folder / "x.txt").write_text("x")
    result = run("import", tmp_path / "data", "--db", database)
    assert result.exit_code == 1
    assert "error [not_an_image]" in result.stderr
    assert "x.txt" in result.stderr
    assert "imported 1 person with 1 face; 1 item rejected" in result.stdout
    rejected = answer("import", tmp_path / "data", "--db", database, code=1)["rejected"]
    assert [(Path(item["item"]).name, item["error"]["code"]) for item in rejected] == [("ayu", "duplicate_person")]


def test_rejected_items_are_summed_up_by_reason(database: Path, tmp_path: Path) -> None:
    for person_id in ("ayu", "budi"):
        folder = tmp_path / "data" / person_id
        folder.mkdir(parents=True)
        shutil.copy(people.PICTURES["ayu"][0], folder / "1.jpg")
        (folder / "x.txt").write_text("x")
        (folder / "gone.jpg").symlink_to("nowhere")
    written = tmp_path / "report.json"
    result = run("import", tmp_path / "data", "--db", database, "--report", written)
    assert result.exit_code == 1
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert f"not_an_image 2 {tmp_path / 'data' / 'ayu' / 'x.txt'}" in lines
    assert "resembles" in result.stderr
    assert "resembles" not in result.stdout
    for line in result.stderr.splitlines():
        assert line.count(str(tmp_path / "data")) <= 1
    report = json.loads(written.read_text("utf-8"))
    assert report["people"] == 2
    assert [one["error"]["code"] for one in report["rejected"]].count("not_an_image") == 2
    assert run("import", tmp_path / "data", "--report", tmp_path / "no" / "x.json", "--db", database).exit_code == 2


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_an_interrupted_import_says_how_to_go_on(database: Path, tmp_path: Path) -> None:
    for number in range(400):
        folder = tmp_path / "data" / f"{number:03}"
        folder.mkdir(parents=True)
        shutil.copy(people.PICTURES["ayu"][number % 3], folder)
    command = [sys.executable, "-m", "facedex", "import", str(tmp_path / "data"), "--db", str(database)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not _count_people(database):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted" in err
    assert "--on-existing skip" in err
    assert 0 < _count_people(database) < 400


def _count_people(database: Path) -> int:
    if not database.exists():
        return 0
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        try:
            return int(connection.execute("SELECT COUNT(*) FROM people").fetchone()[0])
        except sqlite3.OperationalError:  # the tables are being created
            return 0


def test_somebody_who_is_stored_is_rejected_with_all_choices(database: Path) -> None:
    run("import", people.FOLDER / "people", "--db", database)
    rejected = answer("import", people.FOLDER / "people", "--db", database, code=1)["rejected"]
    assert len(rejected) == 8
    assert all("--on-existing skip, add or replace" in one["error"]["message"] for one in rejected)


def test_an_encrypted_file_needs_its_key(database: Path, tmp_path: Path) -> None:
    run("register", "ayu", people.PICTURES["ayu"][0], "--db", database, FACEDEX_KEY=KEY)
    refused = answer("export", tmp_path / "x.fdx", "--db", database, code=3, FACEDEX_KEY=KEY)
    assert refused["error"]["code"] == "plain_export"
    key = tmp_path / "key"
    key.write_text(run("gallery", "new-key").stdout, "ascii")
    assert run("export", tmp_path / "x.fdx", "--plain", "--key-file", key).exit_code == 2
    done = answer("export", tmp_path / "x.fdx", "--key-file", key, "--db", database, FACEDEX_KEY=KEY)
    assert (done["people"], done["encrypted"]) == (1, True)
    other = tmp_path / "other.db"
    assert answer("import", tmp_path / "x.fdx", "--db", other, code=3)["error"]["code"] == "key_missing"
    assert not other.exists()
    assert answer("import", tmp_path / "x.fdx", "--db", other, code=3, FACEDEX_KEY=KEY)["error"]["code"] == "key_wrong"
    assert answer("import", tmp_path / "x.fdx", "--db", other, "--key-file", key)["people"] == 1
    assert answer("export", tmp_path / "y.fdx", "--plain", "--db", database, FACEDEX_KEY=KEY)["encrypted"] is False


def test_a_failed_import_makes_no_gallery(database: Path, tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(b"\x80\x04cos\nsystem\n.")
    assert answer("import", tmp_path / "nowhere", "--db", database, code=3)["error"]["code"] == "import_file"
    assert not database.exists()
    refused = answer("import", tmp_path / "x.pkl", "--pack", "classic", "--db", database, code=3)
    assert refused["error"]["code"] == "unsafe_pickle"
    np.save(tmp_path / "face_db.npy", np.ones((1, 128), np.float32))
    (tmp_path / "face_db.json").write_text('["ayu"]', "utf-8")
    classic = ("--same-pack", "classic", "--pack", "classic")
    refused = answer("import", tmp_path / "face_db.npy", "--pack", "classic", "--db", database, code=3)
    assert refused["error"]["code"] == "foreign_templates"
    assert answer("import", tmp_path / "face_db.npy", *classic, "--db", database)["people"] == 1
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"budi": [np.ones(128)]}))
    done = answer("import", tmp_path / "x.pkl", "--kind", "pickles", *classic, "--db", database)
    assert done["kind"] == "pickles"
