"""The command line as a program sees it: exit codes, one JSON document, one line for an error."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner, Result

import facedex
from facedex import _core, people
from facedex.cli import app
from facedex.cli.documents import to_json
from facedex.cli.help import EXAMPLES
from facedex.errors import SeveralFacesError
from facedex.records import Person, RegisteredFace

runner = CliRunner()

COMMANDS = (
    *("demo", "register", "recognize", "verify", "compare", "detect", "people", "delete", "packs"),
    *("import", "export", "backup"),
)
AYU, BUDI, EKO = (str(people.PROBES[name][0]) for name in ("ayu", "budi", "eko"))
GROUP = str(people.GROUP)


def run(*arguments: object, env: dict[str, str] | None = None) -> Result:
    return runner.invoke(app, [str(argument) for argument in arguments], env={"FACEDEX_DB": ""} | (env or {}))


def answer(*arguments: object, code: int = 0) -> Any:
    """The JSON document of a command: it alone is printed."""
    result = run(*arguments, "--json")
    assert result.exit_code == code, result.output
    assert result.stderr == ""
    return json.loads(result.stdout)


def error_line(*arguments: object, code: int = 3) -> str:
    """The one line of an error."""
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery with Ayu and Budi, for reading only."""
    db = tmp_path_factory.mktemp("cli") / "people.db"
    assert run("register", "ayu", *people.PICTURES["ayu"], "--name", "Ayu", "--db", db).exit_code == 0
    budi = run("register", "budi", *people.PICTURES["budi"], "--email", "budi@example.org", "--db", db)
    assert budi.exit_code == 0
    return db


@pytest.fixture
def db(registered: Path, tmp_path: Path) -> Path:
    """A copy of that gallery, to be changed."""
    return Path(shutil.copy(registered, tmp_path / "people.db"))


# Settings.


def test_a_misspelt_setting_is_refused_with_the_nearest_one(db: Path) -> None:
    for variable, near in {
        "FACEDEX_TRESHOLD": "did you mean FACEDEX_THRESHOLD?",
        "FACEDEX_WORKER": "did you mean FACEDEX_WORKERS?",
        "facedex_photos": "did you mean FACEDEX_PHOTOS?",
        "FACEDEX_QQ": "remove it; 'facedex config' lists the settings",
    }.items():
        for arguments in (
            ("recognize", AYU, "--db", db),
            ("register", "ayu", AYU, "--db", db),
            ("import", people.FOLDER / "people", "--db", db),
            ("detect", AYU),
            ("compare", AYU, BUDI),
            ("packs", "list"),
            ("serve", "--db", db, "--port", "0"),
            ("config",),
        ):
            result = run(*arguments, env={variable: "1"})
            assert result.exit_code == 3, (variable, arguments, result.output)
            assert f"the environment has {variable}, which is no setting of facedex: {near}" in (
                result.stderr or result.stdout
            ), arguments


def test_the_variables_of_tests_and_of_kubernetes_are_no_spelling_mistakes(registered: Path) -> None:
    others = {"FACEDEX_SHARED": "x", "FACEDEX_SERVICE_HOST": "10.0.0.1", "FACEDEX_PORT_8000_TCP_ADDR": "10.0.0.1"}
    assert run("people", "--db", registered, env=others | {"FACEDEX_PORT": "tcp://10.0.0.1:8000"}).exit_code == 0


def test_threshold_pack_photos_and_the_others_hold_for_every_command(tmp_path: Path) -> None:
    env = {"FACEDEX_DB": str(tmp_path / "people.db"), "FACEDEX_PACK": "classic", "FACEDEX_PHOTOS": "original"}
    env |= {"FACEDEX_MAX_FACES": "2", "FACEDEX_AUDIT": "all"}

    def result_of(*arguments: object, **variables: str) -> Any:
        return json.loads(run(*arguments, "--json", env=env | variables).stdout)

    assert len(result_of("register", "ayu", *people.PICTURES["ayu"])["faces"]) == 2
    status = result_of("gallery", "status")
    assert (status["pack"], status["faces"]) == ("classic", 2)
    assert [photo["rendition"] for photo in result_of("photos", "list", "ayu")["photos"]] == ["original"] * 2
    (face,) = result_of("recognize", AYU)["pictures"][0]["faces"]
    assert face["person_id"] == "ayu"
    (face,) = result_of("recognize", AYU, FACEDEX_THRESHOLD="0.9999")["pictures"][0]["faces"]
    assert (face["person_id"], face["threshold"]) == (None, 0.9999)
    assert result_of("verify", "ayu", AYU, FACEDEX_THRESHOLD="0.9999")["match"] is False
    assert result_of("compare", AYU, AYU, FACEDEX_THRESHOLD="0.125")["threshold"] == 0.125
    assert [event["kind"] for event in result_of("audit", "list")["events"]] == [
        *("register", "recognize", "recognize", "verify")
    ]
    assert "classic" in result_of("gallery", "status", FACEDEX_PACK="base")["pack"]  # the pack of new galleries
    for name, value in {"THRESHOLD": "2", "PHOTOS": "all", "INDEX": "fast", "AUDIT": "x", "MAX_FACES": "0"}.items():
        message = result_of("recognize", AYU, **{f"FACEDEX_{name}": value})["error"]["message"]
        assert message.startswith(f"FACEDEX_{name} must be"), message


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("postgresql://me:hun/ter@host/db", "postgresql://***@host/db"),
        ("postgresql://me:hun@ter@host/db", "postgresql://***@host/db"),
        ("postgresql://me:hun/t@er@host/db?password=hun@ter", "postgresql://***@host/db?password=***"),
        ("postgresql://host/db?pwd=hunter&timeout=5", "postgresql://host/db?pwd=***&timeout=5"),
        ("sqlite:////srv/a@b.db", "sqlite:////srv/a@b.db"),
        ("/srv//a@b.db", "/srv//a@b.db"),
    ],
)
def test_config_masks_a_password_with_any_letters(location: str, shown: str) -> None:
    result = run("config", "--json", env={"FACEDEX_DB": location})
    assert result.exit_code == 0, result.output
    rows = {row["setting"]: row["value"] for row in json.loads(result.stdout)["settings"]}
    assert rows["FACEDEX_DB"] == shown


def test_config_shows_each_setting_and_where_it_comes_from(tmp_path: Path) -> None:
    key = "a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2U="
    env = {
        "FACEDEX_DB": "postgresql+psycopg://me:hunter2@host/db?sslpassword=hunter3&timeout=5",
        "FACEDEX_KEY": key,
        "FACEDEX_MIRROR": "https://me:hunter4@host/packs",
        "FACEDEX_THRESHOLD": "0.6",
        "FACEDEX_WORKERS": "3",
    }
    result = run("config", "--json", env=env)
    assert result.exit_code == 0, result.output
    rows = {row["setting"]: (row["value"], row["from"]) for row in json.loads(result.stdout)["settings"]}
    assert rows["FACEDEX_DB"] == ("postgresql+psycopg://***@host/db?sslpassword=***&timeout=5", "environment")
    assert rows["FACEDEX_KEY"] == ("***", "environment")
    assert rows["FACEDEX_AUDIT_KEY"] == (None, "default")
    assert rows["FACEDEX_THRESHOLD"] == (0.6, "environment")
    assert rows["FACEDEX_PHOTOS"] == ("none", "default")
    assert (rows["FACEDEX_WORKERS"], rows["FACEDEX_PORT"]) == ((3, "environment"), (8000, "default"))
    table = run("config", env=env).stdout
    assert all(name in table for name in rows)
    for secret in ("hunter", key):
        assert secret not in table + result.stdout
    wrong = run("config", env={"FACEDEX_PORT": "x"})
    assert (wrong.exit_code, "port: Input should be a valid integer" in wrong.stderr) == (2, True)


# Help and usage.


def test_help_names_every_command_and_exit_code() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for command in COMMANDS:
        assert f" {command} " in result.stdout
    text = " ".join(result.stdout.split())
    for meaning in ("0 done", "1 the answer is no", "2 wrong usage", "3 facedex could not do it"):
        assert meaning in text


def _commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, (*path, name))
        elif not command.hidden:
            yield (*path, name), command


def test_every_command_has_an_example_that_its_parser_accepts() -> None:
    commands = dict(_commands(get_command(app)))
    assert {" ".join(path) for path in commands} == set(EXAMPLES)
    for path, command in commands.items():
        text = " ".join(run(*path, "--help").stdout.split())
        example = EXAMPLES[" ".join(path)]
        assert f"Example: {example}" in text
        assert "Exit codes:" not in text
        words = shlex.split(example.partition(" && ")[0].partition(" > ")[0].rpartition(" | ")[2])
        words = words[words.index("facedex") + 1 :]
        assert tuple(words[: len(path)]) == path
        command.make_context(path[-1], words[len(path) :])  # raises for a wrong option or argument


def test_flags_do_not_look_as_if_they_took_a_value() -> None:
    for path in ((), ("recognize",), ("packs",), ("packs", "get"), ("users", "add")):
        assert "bool" not in run(*path, "--help").stdout, path


@pytest.mark.skipif(os.name != "posix", reason="completes for bash")
def test_a_shell_completes_commands_and_choices() -> None:
    for words, expected in {"facedex reco": "recognize", "facedex recognize --index h": "hnsw"}.items():
        env = {"_FACEDEX_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        program = [sys.executable, "-c", "from facedex.cli import main; main()"]
        done = subprocess.run(program, env=os.environ | env, capture_output=True, text=True, check=False)
        assert done.stdout.split() == [expected], done


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    result = run(command, "-h")
    assert result.exit_code == 0
    assert "--json" in result.stdout


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from facedex.cli import app\n"
        "for arguments in (['--help'], ['recognize', '--help'], ['packs', 'info', '--help']):\n"
        "    try:\n        app(arguments)\n    except SystemExit:\n        pass\n"
        "heavy = {'numpy', 'PIL', 'sqlalchemy', 'alembic', 'onnxruntime', 'facedex._core'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_it_runs_as_a_module_and_prints_its_version() -> None:
    command = [sys.executable, "-m", "facedex", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"facedex {facedex.__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify", "ayu"],
        ["recognize"],
        ["recognise", "a.jpg"],
        ["verify", "ayu", "a.jpg", "--threshold", "1.5"],
        ["detect", "a.jpg", "--min-face", "0"],
        ["register", "ayu", "a.jpg", "--faces", "all"],
        ["delete"],
        ["delete", "ayu", "--face", "1"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert result.stdout == ""


# Registering, listing, deleting.


def test_register_prints_what_was_stored(tmp_path: Path) -> None:
    db = tmp_path / "people.db"
    content = answer("register", "eko", *people.PICTURES["eko"], "--db", db)
    assert content["person_id"] == "eko"
    assert all(0 < face["quality"] <= 100 for face in content["faces"])
    assert [face["source"] for face in content["faces"]] == [0, 1, 2]
    assert content["rejected"] == []
    assert answer("people", "--db", db)["people"][0]["faces"][0]["face_id"] == content["faces"][0]["face_id"]


def test_a_refused_picture_does_not_stop_a_registration(tmp_path: Path) -> None:
    pictures = [people.PICTURES["eko"][0], GROUP, "missing.jpg"]
    result = run("register", "eko", *pictures, "--db", tmp_path / "people.db")
    assert result.exit_code == 0
    assert result.stdout == "registered 'eko' with 1 face\n"
    several, missing = result.stderr.splitlines()
    assert several.startswith("error [several_faces]: ")
    assert missing.startswith("error [image_read]: ")
    assert missing.count("missing.jpg") == 1


def test_a_registration_without_a_good_picture_fails(tmp_path: Path) -> None:
    error = answer("register", "eko", GROUP, "missing.jpg", "--db", tmp_path / "people.db", code=3)["error"]
    assert error["code"] == "registration"
    assert [rejected["error"]["code"] for rejected in error["rejected"]] == ["several_faces", "image_read"]
    assert len(error["rejected"][0]["error"]["bboxes"]) == 5
    assert (error["rejected"][0]["error"]["measured"], error["rejected"][0]["error"]["limit"]) == (5, 1)


def test_pictures_that_are_missing_are_named_once(tmp_path: Path) -> None:
    said = error_line("register", "eko", "one.jpg", "two.jpg", "--db", tmp_path / "people.db")
    reasons = (f"cannot read image '{name}': No such file or directory" for name in ("one.jpg", "two.jpg"))
    assert said.strip() == f"error [registration]: none of 2 pictures of 'eko' was accepted: {'; '.join(reasons)}"


def test_advice_names_the_options_of_the_command_line(registered: Path) -> None:
    taken = error_line("register", "ayu", AYU, "--db", registered)
    assert "choose --on-existing skip, add or replace, or another id" in taken
    message = answer("register", "ayu", AYU, "--db", registered, code=3)["error"]["message"]
    assert "--on-existing skip, add or replace" in message
    assert run("register", "ayu", AYU, "--on-existing", "skip", "--db", registered).stdout == "left 'ayu' as stored\n"
    assert answer("register", "ayu", AYU, "--on-existing", "skip", "--db", registered)["skipped"] is True
    assert "or choose --faces largest" in error_line("register", "new", GROUP, "--db", registered)


def test_a_picture_without_a_face_is_refused_with_the_number_that_is_needed(tmp_path: Path) -> None:
    Image.new("RGB", (120, 90)).save(tmp_path / "black.png")
    error = answer("register", "eko", tmp_path / "black.png", "--db", tmp_path / "people.db", code=3)["error"]
    assert (error["code"], error["measured"], error["limit"]) == ("no_face", 0, 1)


def test_a_database_has_several_galleries_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db, picture = tmp_path / "people.db", people.PICTURES["eko"][0]
    assert run("register", "eko", picture, "--db", db, "--gallery", "staff").exit_code == 0
    assert "there is no gallery 'default'" in error_line("people", "--db", db)
    assert [person["person_id"] for person in answer("people", "--db", db, "-g", "staff")["people"]] == ["eko"]
    assert "which has 'staff'" in error_line("verify", "eko", picture, "--db", db)
    assert run("verify", "eko", picture, "--db", db, "--gallery", "staff").exit_code == 0
    assert answer("fsck", "--db", db, "--gallery", "staff")["faces"] == 1
    monkeypatch.setenv("FACEDEX_GALLERY", "staff")
    assert answer("gallery", "status", "--db", db)["gallery"] == "staff"
    assert answer("rebuild", "--db", db) == {"faces": 1}


def test_the_status_of_a_gallery_is_a_table_without_headings(registered: Path) -> None:
    lines = run("gallery", "status", "--db", registered).stdout.splitlines()
    assert lines[0].startswith("gallery    default in ")
    assert [line.split()[0] for line in lines[:4]] == ["gallery", "pack", "people", "faces"]


def test_the_largest_face_is_used_on_request(tmp_path: Path) -> None:
    content = answer("register", "eko", GROUP, "--faces", "largest", "--db", tmp_path / "people.db")
    assert len(content["faces"]) == 1


def test_an_id_that_is_in_use(db: Path) -> None:
    picture = people.PICTURES["ayu"][0]
    assert "[duplicate_person]" in error_line("register", "ayu", picture, "--db", db)
    assert run("register", "ayu", picture, "--on-existing", "add", "--db", db).exit_code == 0
    assert len(answer("people", "ayu", "--db", db)["people"][0]["faces"]) == 4
    assert run("register", "ayu", picture, "--on-existing", "replace", "--db", db).exit_code == 0
    assert len(answer("people", "ayu", "--db", db)["people"][0]["faces"]) == 1


def test_people_are_listed(registered: Path) -> None:
    listed = answer("people", "--db", registered)["people"]
    assert [(person["person_id"], person["name"], person["email"], len(person["faces"])) for person in listed] == [
        ("ayu", "Ayu", None, 3),
        ("budi", None, "budi@example.org", 3),
    ]
    text = run("people", "--db", registered).stdout
    assert "2 people registered" in text
    assert "budi@example.org" in text
    assert "Ayu" in run("people", "ayu", "--db", registered).stdout
    assert "[unknown_person]" in error_line("people", "nobody", "--db", registered)


def test_a_deleted_person_is_unknown(db: Path) -> None:
    assert answer("recognize", AYU, "--db", db)["pictures"][0]["faces"][0]["person_id"] == "ayu"
    deletion = answer("delete", "ayu", "--db", db)
    assert (deletion["person_id"], deletion["person_removed"], deletion["templates"]) == ("ayu", True, 3)
    assert answer("recognize", AYU, "--db", db)["pictures"][0]["faces"][0]["person_id"] is None
    assert "[unknown_person]" in error_line("verify", "ayu", AYU, "--db", db)
    assert "[unknown_person]" in error_line("delete", "ayu", "--db", db)


def test_one_face_is_deleted(db: Path) -> None:
    face_id = answer("people", "budi", "--db", db)["people"][0]["faces"][1]["face_id"]
    assert answer("delete", "--face", face_id, "--db", db)["faces"] == [face_id]
    other = answer("people", "ayu", "--db", db)["people"][0]["faces"][0]["face_id"]
    said = run("delete", "--face", other, "--db", db).stdout
    receipt = f"deleted face {other} of 'ayu', receipt "
    assert said.startswith(receipt)
    assert len(bytes.fromhex(said.removeprefix(receipt))) == 32
    remaining = [face["face_id"] for face in answer("people", "budi", "--db", db)["people"][0]["faces"]]
    assert len(remaining) == 2
    assert face_id not in remaining
    assert "[unknown_face]" in error_line("delete", "--face", face_id, "--db", db)


# Looking at pictures.


@pytest.mark.parametrize("location", [":memory:", "sqlite://", "sqlite:///?timeout=1"])
def test_a_command_has_no_gallery_in_memory(location: str) -> None:
    for command in (("register", "ayu", AYU), ("people",), ("keys", "list"), ("serve",)):
        result = run(*command, "--db", location)
        assert result.exit_code == 2, result.output
        assert "a database in memory would end with the command" in result.stderr


@pytest.mark.parametrize("location", ["x" * 300, "\ud800.db"])
def test_a_database_that_no_path_names_is_one_line(location: str) -> None:
    assert len(error_line("people", "--db", location)) < 600


def test_a_backup_is_a_whole_database(db: Path, tmp_path: Path) -> None:
    copy = tmp_path / "backup.db"
    size = answer("backup", copy, "--db", db)["bytes"]
    assert copy.stat().st_size == size
    assert copy.stat().st_mode & 0o77 == 0
    assert [one["person_id"] for one in answer("people", "--db", copy)["people"]] == ["ayu", "budi"]
    assert error_line("backup", copy, "--db", db).startswith("error [export]: the backup cannot be written")
    assert error_line("backup", db, "--db", db).startswith("error [export]: the backup cannot be written")
    assert error_line("backup", tmp_path / "no" / "b.db", "--db", db).startswith("error [export]: ")
    assert error_line("backup", tmp_path / "b.db", "--db", tmp_path / "no.db").startswith(
        "error [database_unavailable]"
    )
    assert not list(tmp_path.glob("*.tmp*"))


def test_recognize_says_that_the_gallery_is_empty(tmp_path: Path) -> None:
    db = tmp_path / "empty.db"
    facedex.Gallery.open(db).close()
    result = run("recognize", AYU, "--db", db)
    assert result.exit_code == 0
    assert "unknown" in result.stdout
    assert result.stderr.startswith("Gallery('default' in ")
    assert result.stderr.endswith("is empty: no face is registered, so every face is unknown\n")
    (face,) = answer("recognize", AYU, "--db", db)["pictures"][0]["faces"]
    assert (face["person_id"], face["similarity"], face["candidates"]) == (None, -1.0, [])
    assert "the gallery is empty: no face is registered" in run("gallery", "status", "--db", db).stdout


def test_recognize_names_the_people(registered: Path) -> None:
    (picture,) = answer("recognize", GROUP, "-k", 2, "--db", registered)["pictures"]
    assert picture["picture"] == GROUP
    assert picture["image_size"] == {"width": 1280, "height": 720}
    left_to_right = sorted(picture["faces"], key=lambda face: face["bbox"][0])
    assert [face["person_id"] for face in left_to_right] == [None, None, "ayu", "budi", None]
    for face in left_to_right:
        assert (face["person_id"] is not None) == (face["similarity"] >= face["threshold"])
        closest, second = (candidate["similarity"] for candidate in face["candidates"])
        assert closest == face["similarity"]
        assert closest - second == pytest.approx(face["margin"])
    text = run("recognize", GROUP, "--db", registered).stdout
    assert text.count("unknown") == 3
    assert "Ayu" in text


def test_one_bad_picture_does_not_stop_the_others(registered: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(people.GROUP.read_bytes()[:5000])
    first, second, third = answer("recognize", AYU, broken, BUDI, "--db", registered, code=3)["pictures"]
    assert (first["faces"][0]["person_id"], third["faces"][0]["person_id"]) == ("ayu", "budi")
    assert second["error"]["code"] == "image_truncated"
    result = run("recognize", AYU, broken, "--db", registered)
    assert result.exit_code == 3
    assert "ayu" in result.stdout
    assert result.stderr.startswith(f"error [image_truncated]: {broken}: ")


def test_the_threshold_decides(registered: Path) -> None:
    def known(threshold: float) -> bool:
        (picture,) = answer("recognize", EKO, "--threshold", threshold, "--db", registered)["pictures"]
        return picture["faces"][0]["person_id"] is not None

    assert known(0.1)
    assert not known(0.99)


def test_verify_answers_yes_and_no(registered: Path) -> None:
    yes = answer("verify", "ayu", AYU, "--db", registered)
    no = answer("verify", "ayu", EKO, "--db", registered, code=1)
    assert (yes["match"], no["match"]) == (True, False)
    assert yes["similarity"] >= yes["threshold"] > no["similarity"]
    assert run("verify", "ayu", AYU, "--db", registered).stdout.startswith("match: similarity 0.")
    assert run("verify", "ayu", EKO, "--db", registered).stdout.startswith("no match: similarity 0.")
    assert "[several_faces]" in error_line("verify", "ayu", GROUP, "--db", registered)


def test_a_picture_that_pillow_decodes_is_detected_and_annotated(tmp_path: Path) -> None:
    picture = tmp_path / "ayu.avif"
    with Image.open(AYU) as portrait:
        portrait.save(picture)
    found = answer("detect", picture, "--out", tmp_path / "out")["pictures"][0]
    assert len(found["faces"]) == 1
    with Image.open(found["annotated"]) as annotated:
        assert annotated.size == portrait.size


def test_compare_answers_yes_and_no() -> None:
    first, second = people.PROBES["gita"]
    assert answer("compare", first, second)["match"] is True
    assert answer("compare", first, EKO, code=1)["match"] is False
    assert answer("compare", first, EKO, "--threshold", -1)["match"] is True


def test_detect_finds_faces_without_a_gallery(tmp_path: Path) -> None:
    first, second = answer("detect", GROUP, AYU)["pictures"]
    assert (len(first["faces"]), len(second["faces"])) == (5, 1)
    face = second["faces"][0]
    assert len(face["landmarks"]) == 5
    x1, y1, x2, y2 = face["bbox"]
    assert all(x1 < x < x2 and y1 < y < y2 for x, y in face["landmarks"])
    assert "no face" in run("detect", _plain(tmp_path)).stdout


def test_quality_is_measured_on_request(registered: Path) -> None:
    commands = {
        "detect": lambda *options: answer("detect", AYU, *options)["pictures"][0]["faces"][0],
        "recognize": lambda *options: answer("recognize", AYU, "--db", registered, *options)["pictures"][0]["faces"][0],
        "verify": lambda *options: answer("verify", "ayu", AYU, "--db", registered, *options),
    }
    for command, face_of in commands.items():
        assert not {"quality", "liveness", "attributes"} & face_of().keys(), command
        assert 0 < face_of("--quality")["quality"]["unified_score"] <= 100, command
    for arguments in (
        ["detect", AYU],
        ["recognize", AYU, "--db", registered],
        ["verify", "ayu", AYU, "--db", registered],
    ):
        assert "quality " in run(*arguments, "--quality").stdout
        assert "[role_missing]" in run(*arguments, "--attributes").stderr


@dataclass(frozen=True, slots=True)
class PersonWithBadge(Person):
    """A person of a version to come, with two fields more."""

    badge: str | None = None
    hired_at: datetime | None = None


def test_a_new_field_needs_no_change_of_the_serializer() -> None:
    at = datetime(2026, 1, 2, tzinfo=timezone.utc)
    face = RegisteredFace(3, 0, (1.0, 2.0, 3.0, 4.0), 0.9)
    person = PersonWithBadge(7, None, None, {"n": np.float32(1)}, at, at, (), badge="B7", hired_at=at)
    described = to_json(
        {"person": person, "face": face, "path": Path("a"), "error": SeveralFacesError("two", bboxes=())}
    )
    assert (described["person"]["badge"], described["person"]["hired_at"]) == ("B7", "2026-01-02T00:00:00+00:00")
    assert (described["person"]["person_id"], described["person"]["info"]) == (7, {"n": 1.0})
    assert described["face"]["bbox"] == [1.0, 2.0, 3.0, 4.0]
    assert described["error"] == {"code": "several_faces", "message": "two", "bboxes": [], "measured": 0, "limit": 1}
    embedded = _core.Face((0.0, 0.0, 9.0, 9.0), None, 0.5, embedding=np.ones(4, np.float32))
    assert "embedding" not in to_json(embedded)
    assert json.loads(json.dumps(described)) == described


def test_pictures_with_boxes_are_written(registered: Path, tmp_path: Path) -> None:
    other = tmp_path / "ayu-1.jpg"
    shutil.copy(BUDI, other)
    content = answer("recognize", AYU, other, "--out", tmp_path / "out", "--db", registered)
    written = [picture["annotated"] for picture in content["pictures"]]
    assert written == [str(tmp_path / "out" / name) for name in ("ayu-1.png", "ayu-1-2.png")]
    assert all(Path(path).read_bytes().startswith(b"\x89PNG") for path in written)
    assert run("detect", AYU, "--out", other).exit_code == 2


# What is never printed, and where the gallery is.


def test_no_embedding_is_ever_printed(registered: Path) -> None:
    def longest(value: Any) -> int:
        if isinstance(value, dict):
            return max((longest(item) for item in value.values()), default=0)
        if isinstance(value, list):
            return max([len(value), *(longest(item) for item in value)])
        return 0

    for arguments in (["recognize", GROUP, "--db", registered], ["detect", GROUP], ["people", "--db", registered]):
        content = answer(*arguments)
        assert longest(content) <= 5
        assert "embedding" not in json.dumps(content)


def test_a_mistyped_path_makes_no_gallery(tmp_path: Path) -> None:
    for arguments in (["recognize", AYU], ["verify", "ayu", AYU], ["people"], ["delete", "ayu"]):
        line = error_line(*arguments, "--db", tmp_path / "mistyped.db")
        assert line.startswith("error [database_unavailable]: there is no database at ")
        assert "mistyped.db" in line
    assert list(tmp_path.iterdir()) == []


def test_a_bad_setting_is_an_error_and_not_a_mismatch(registered: Path) -> None:
    result = run("verify", "ayu", AYU, "--db", registered, "--json", env={"FACEDEX_THREADS": "abc"})
    assert (result.exit_code, json.loads(result.stdout)["error"]["code"]) == (3, "argument")


def test_the_gallery_can_be_named_in_the_environment(registered: Path) -> None:
    result = run("people", env={"FACEDEX_DB": str(registered)})
    assert result.exit_code == 0
    assert "2 people registered" in result.stdout


def test_the_gallery_is_people_db_in_this_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("register", "ayu", AYU).exit_code == 0
    assert (tmp_path / "people.db").is_file()
    assert "1 person registered" in run("people").stdout


def test_an_error_is_one_line_that_a_terminal_does_not_obey(tmp_path: Path) -> None:
    line = error_line("register", "a\x1b[2J\nb", "missing\x1b[31m.jpg", "--db", tmp_path / "people.db")
    assert line.startswith("error [image_read]: ")
    assert line.isprintable()
    register = run("register", "a\x1b[2J", AYU, "--name", "[red]x[/red]", "--db", tmp_path / "people.db")
    assert register.exit_code == 0
    text = run("people", "--db", tmp_path / "people.db").stdout
    assert "a\\x1b[2J" in text
    assert "[red]x[/red]" in text
    assert "\x1b" not in text


def _drawn(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_picture_is_read_from_standard_input(db: Path, tmp_path: Path) -> None:
    def piped(*arguments: object, content: bytes = Path(AYU).read_bytes()) -> Result:
        return runner.invoke(app, [str(argument) for argument in arguments], input=content)

    out = tmp_path / "out"
    found = json.loads(piped("recognize", BUDI, "-", "--db", db, "--out", out, "--json").stdout)["pictures"]
    assert [(one["picture"], one["faces"][0]["person_id"]) for one in found] == [(BUDI, "budi"), ("-", "ayu")]
    assert _drawn(out) == [f"{Path(BUDI).stem}.png", "stdin.png"]
    assert len(json.loads(piped("detect", "-", "--json").stdout)["pictures"][0]["faces"]) == 1
    assert piped("verify", "ayu", "-", "--db", db).exit_code == 0
    assert piped("compare", "-", AYU).stdout.startswith("match: similarity 1.000")
    assert piped("register", "new", "-", "--db", db, "--photos", "original").stdout == "registered 'new' with 1 face\n"
    assert piped("photos", "add", "new", "-", "--db", db).stdout == "added 1 photo of 'new'\n"
    for arguments, content in ((("detect", "-", "-"), b"x"), (("detect", "-"), b"")):
        refused = piped(*arguments, content=content)
        assert (refused.exit_code, "standard input" in refused.stderr) == (2, True)
    assert "[not_an_image]" in piped("detect", "-", content=b"no picture").stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="closes standard input as a shell does")
@pytest.mark.parametrize(
    "arguments",
    [
        ("detect", "-"),
        ("gallery", "rekey", "--new-key-file", "-"),
        ("users", "add", "ayu", "--scope", "read", "--password-stdin"),
    ],
)
def test_a_closed_standard_input_is_wrong_usage(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    words = shlex.join([sys.executable, "-m", "facedex", *arguments])
    env = os.environ | {"FACEDEX_DB": str(tmp_path / "people.db"), "COLUMNS": "300"}
    done = subprocess.run(["sh", "-c", f"{words} <&-"], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "standard input is closed" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_reads_creates_neither_a_database_nor_a_gallery(registered: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing.db"
    reading: tuple[tuple[object, ...], ...] = (
        *(("recognize", AYU), ("verify", "ayu", AYU), ("people",), ("delete", "ayu"), ("purge",), ("vacuum",)),
        *(("export", tmp_path / "x.fdx"), ("backup", tmp_path / "x.db"), ("fsck",), ("rebuild",)),
        *(("gallery", "status"), ("gallery", "migrate", "classic"), ("photos", "list", "ayu"), ("audit", "list")),
        *(("keys", "list"), ("keys", "revoke", 1), ("users", "list"), ("users", "disable", "ayu")),
    )
    for arguments in reading:
        for location in (missing, f"sqlite:///{missing}"):
            line = error_line(*arguments, "--db", location)
            assert line.startswith("error [database_unavailable]: there is no database at "), (arguments, line)
    assert not list(tmp_path.iterdir())
    for arguments in (("recognize", AYU), ("people",), ("export", tmp_path / "x.fdx"), ("gallery", "status")):
        line = error_line(*arguments, "--db", registered, "--gallery", "typo")
        assert "there is no gallery 'typo' in" in line
        assert "which has 'default'; give the name of one (--gallery NAME)" in line
    with contextlib.closing(sqlite3.connect(registered)) as connection:
        assert connection.execute("SELECT name FROM galleries").fetchall() == [("default",)]


def test_advice_about_keys_and_thresholds_names_what_the_command_line_has(tmp_path: Path) -> None:
    key = {"FACEDEX_KEY": run("gallery", "new-key").stdout.strip(), "FACEDEX_DB": str(tmp_path / "people.db")}
    assert run("register", "ayu", AYU, env=key).exit_code == 0
    said = [run("people", env={"FACEDEX_DB": key["FACEDEX_DB"]}).stderr]
    assert "is encrypted; set FACEDEX_KEY to its key" in said[0]
    said.append(run("export", tmp_path / "x.fdx", env=key).stderr)
    assert "give a key to encrypt it (--key-file FILE), or --plain" in said[1]
    (tmp_path / "key").write_text(key["FACEDEX_KEY"], "ascii")
    assert run("export", tmp_path / "x.fdx", "--key-file", tmp_path / "key", env=key).exit_code == 0
    said.append(run("import", tmp_path / "x.fdx", "--db", tmp_path / "new.db").stderr)
    assert "give the key of the file (--key-file FILE) or set FACEDEX_KEY" in said[2]
    said.append(run("photos", "rebuild", "ayu", env=key).stderr)
    assert "register with --photos original, or use 'facedex photos add'" in said[3]
    assert not [line for line in said if re.search(r"\w=[.'T]", line)]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_an_interrupted_registration_says_how_to_go_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "facedex", "register", "ayu", "-", "--db", str(tmp_path / "people.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(bytes(1 << 20))  # more than a pipe holds: the command is reading
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.decode() == (
        "interrupted; 'ayu' is stored completely or not at all: run it again with --on-existing skip\n"
    )


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_an_interrupted_migration_says_how_to_go_on(tmp_path: Path) -> None:
    database = tmp_path / "people.db"
    pictures = [picture for several in people.PICTURES.values() for picture in several]
    with facedex.Gallery.open(database, photos="original") as gallery:
        for number in range(40):
            gallery.register(number, pictures, faces="largest", on_existing="skip")
    command = [sys.executable, "-m", "facedex", "gallery", "migrate", "classic", "--db", str(database)]

    def packs_in_use() -> int:
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT COUNT(DISTINCT pack_digest) FROM templates").fetchone()[0])

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and packs_in_use() < 2:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert re.search(r"^interrupted at \d+ of \d+; .*the same command goes on from here", err, re.MULTILINE), err
    assert answer("gallery", "status", "--db", database)["pack"] != "classic"


# Packs.


def test_packs_are_listed_and_described() -> None:
    listed = answer("packs")
    (classic,) = [pack for pack in listed["packs"] if pack["name"] == "classic"]
    assert classic == answer("packs", "info", "classic")
    assert listed == answer("packs", "list")
    assert listed["packs"][0]["name"] == listed["default"]
    assert classic["ready"] is True
    assert classic["commercial"] is True
    assert len(classic["digest"]) == 64
    assert "classic" in run("packs").stdout
    text = run("packs", "info", "classic").stdout
    assert classic["digest"] in text
    assert "pnet.onnx" in text
    assert "[pack_not_found]" in error_line("packs", "info", "no-such-pack")
    assert "[pack_not_found]" in error_line("detect", AYU, "--pack", "no-such-pack")


def _plain(folder: Path) -> Path:
    from PIL import Image

    path = folder / "plain.png"
    Image.new("RGB", (200, 200), (128, 128, 128)).save(path)
    return path


# Output in an encoding that lacks a letter.


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "encoding", ["cp1252", *(pytest.param(name, marks=SLOW) for name in ("ascii", "cp932", "utf-8"))]
)
def test_output_escapes_letters_that_its_encoding_lacks(encoding: str, tmp_path: Path) -> None:
    picture = shutil.copy(people.PICTURES["ayu"][0], tmp_path / "Łukasz 李.jpg")

    def shell(*arguments: object) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "facedex", *map(str, arguments)],
            env={**os.environ, "PYTHONIOENCODING": encoding, "FACEDEX_DB": str(tmp_path / "people.db")},
            capture_output=True,
        )
        return done.returncode, done.stdout.decode(encoding), done.stderr.decode(encoding)

    def escaped(text: str) -> str:
        return text.encode(encoding, "backslashreplace").decode(encoding)

    (tmp_path / "photos" / "Łukasz").mkdir(parents=True)
    (tmp_path / "photos" / "Łukasz" / "Ł.jpg").write_bytes(b"no picture")
    code, out, _ = shell("register", "李", picture, "--name", "Łukasz")
    assert (code, out) == (0, escaped("registered '李' with 1 face\n"))
    code, out, _ = shell("people")
    heading, _, row, _ = out.splitlines()
    assert code == 0
    assert row.startswith(escaped("李"))
    assert escaped("Łukasz") in row
    if encoding in ("cp1252", "ascii"):  # elsewhere a letter is wider than a column
        assert row.index(escaped("Łukasz")) == heading.index("name")
    code, out, _ = shell("recognize", picture)
    assert code == 0
    assert escaped("Łukasz 李.jpg") in out
    code, out, err = shell("detect", tmp_path / "Ł.jpg")
    assert (code, out) == (3, "")
    assert err.startswith("error [image_read]")
    assert escaped("Ł.jpg") in err
    code, out, err = shell("import", tmp_path / "photos")
    assert code == 1
    assert "Traceback" not in err
    assert escaped("Ł.jpg") in out + err


def test_a_bug_does_not_end_like_an_answer() -> None:
    program = "from facedex.cli import app, main; app.command('bug')(lambda: 1 / 0); main()"
    done = subprocess.run([sys.executable, "-c", program, "bug"], capture_output=True, text=True)
    assert done.returncode == 3
    assert "ZeroDivisionError" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full: Linux")
@pytest.mark.parametrize("command", ["--help", "packs list", "packs list --json", "gallery new-key"])
def test_output_to_a_full_disk_is_named(command: str) -> None:
    with Path("/dev/full").open("w") as full:
        program = [sys.executable, "-m", "facedex", *command.split()]
        done = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 3
    assert done.stderr == "error [storage_full]: the output cannot be written: [Errno 28] No space left on device\n"
