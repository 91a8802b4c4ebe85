"""The commands about deletion, the audit and keys, as a program sees them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from facedex import people
from facedex.cli import app

runner = CliRunner()
AYU, BUDI = (str(people.PICTURES[name][0]) for name in ("ayu", "budi"))


def run(*arguments: object, **variables: str) -> Result:
    env: dict[str, str | None] = {"FACEDEX_DB": "", "FACEDEX_KEY": "", "FACEDEX_ACTOR": ""}
    return runner.invoke(app, [str(argument) for argument in arguments], env=env | variables)


def answer(*arguments: object, code: int = 0, **variables: str) -> Any:
    result = run(*arguments, "--json", **variables)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "people.db"


def test_purge_deletes_people_whose_retention_has_ended(db: Path) -> None:
    answer("register", "ayu", AYU, "--retain-until", "2020-01-01", "--db", db)
    answer("register", "budi", BUDI, "--retain-until", "2999-01-01T12:00:00", "--db", db)
    assert answer("people", "budi", "--db", db)["people"][0]["retain_until"] == "2999-01-01T12:00:00+00:00"
    (receipt,) = answer("purge", "--db", db)["purged"]
    assert (receipt["person_id"], receipt["templates"], receipt["wiped"]) == ("ayu", 1, True)
    assert len(receipt["digest"]) == 64
    assert run("purge", "--db", db).stdout == "0 people purged\n"
    assert answer("vacuum", "--db", db) == {"wiped": True}
    assert [person["person_id"] for person in answer("people", "--db", db)["people"]] == ["budi"]


def test_the_audit_is_printed_and_its_first_altered_entry_named(db: Path) -> None:
    answer("register", "ayu", AYU, "--db", db, FACEDEX_ACTOR="admin")
    answer("register", "budi", BUDI, "--db", db)
    answer("delete", "ayu", "--db", db)
    events = answer("audit", "list", "--db", db)["events"]
    assert [(event["kind"], event["actor"], event["person_id"], event["erased"]) for event in events] == [
        ("register", "admin", None, True),
        ("register", None, "budi", False),
        ("delete", None, None, False),
    ]
    assert [event["seq"] for event in answer("audit", "list", "--person", "budi", "--db", db)["events"]] == [2]
    assert "(deleted)" in run("audit", "list", "--db", db).stdout
    report = answer("audit", "verify", "--db", db)
    assert (report["intact"], report["entries"], report["head"]) == (True, 3, f"3:{events[2]['digest']}")
    assert answer("audit", "verify", "--recorded-head", report["head"], "--db", db)["intact"]
    engine = sa.create_engine(f"sqlite:///{db}")
    with engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE events SET content = REPLACE(content, 'register', 'recognize') WHERE seq = 2")
        )
    engine.dispose()
    report = answer("audit", "verify", "--db", db, code=1)
    assert (report["intact"], report["first_bad"]) == (False, 2)
    result = run("audit", "verify", "--db", db)
    assert (result.exit_code, result.stdout[:30]) == (1, "DAMAGED: entry 2 was altered: ")


def test_a_gallery_is_encrypted_rekeyed_and_decrypted(db: Path, tmp_path: Path) -> None:
    one, two = (run("gallery", "new-key").stdout.strip() for _ in range(2))
    assert one != two
    file = tmp_path / "key"
    answer("register", "ayu", AYU, "--db", db)
    file.write_text(one + "\n")
    assert answer("gallery", "rekey", "--new-key-file", file, "--db", db) == {"encrypted": True, "wiped": True}
    assert answer("people", "--db", db, code=3)["error"]["code"] == "key_missing"
    assert answer("people", "--db", db, code=3, FACEDEX_KEY=two)["error"]["code"] == "key_wrong"
    file.write_text(two)
    answer("gallery", "rekey", "--new-key-file", file, "--db", db, FACEDEX_KEY=one)
    assert answer("people", "--db", db, code=3, FACEDEX_KEY=one)["error"]["code"] == "key_wrong"
    answer("gallery", "rekey", "--plain", "--db", db, FACEDEX_KEY=two)
    assert len(answer("people", "--db", db)["people"]) == 1
    assert answer("people", "--db", db, code=3, FACEDEX_KEY=two)["error"]["code"] == "key_unused"


def test_a_key_that_cannot_be_read_is_wrong_usage_and_not_shown(db: Path, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("c2VjcmV0")
    for arguments in (
        ["--new-key-file", file],
        ["--new-key-file", tmp_path / "missing"],
        [],
        ["--plain", "--new-key-file", file],
    ):
        result = run("gallery", "rekey", *arguments, "--db", db)
        assert result.exit_code == 2
        assert "c2VjcmV0" not in result.output


def test_a_duplicate_gives_a_warning_and_is_refused_when_strict(db: Path) -> None:
    answer("register", "ayu", AYU, "--db", db)
    error = answer("register", "eko", AYU, "--strict", "--db", db, code=3)["error"]
    assert error["code"] == "duplicate_face"
    assert error["measured"] >= error["limit"]
    result = run("register", "eko", AYU, "--db", db)
    assert "resembles 'ayu', who is registered (similarity 1.000" in result.stderr
    assert answer("register", "fay", AYU, "--db", db)["warnings"][0]["person_id"] in ("ayu", "eko")


def test_the_audit_is_signed_exported_and_checked_with_a_key(db: Path, tmp_path: Path) -> None:
    key = {"FACEDEX_AUDIT_KEY": run("gallery", "new-key").stdout.strip()}
    answer("register", "ayu", AYU, "--db", db)
    assert run("audit", "verify", "--key", "--db", db).exit_code == 3
    assert answer("audit", "verify", "--key", "--db", db, code=1, **key)["signed"] is False
    assert "NOT signed with the key" in run("audit", "verify", "--db", db, **key).stdout
    assert ", signed with the key" in run("audit", "sign", "--db", db, **key).stdout
    answer("register", "budi", BUDI, "--db", db, **key)
    report = answer("audit", "verify", "--key", "--db", db, **key)
    assert (report["intact"], report["signed"], report["entries"]) == (True, True, 2)
    file = tmp_path / "audit.jsonl"
    assert answer("audit", "export", file, "--db", db, **key)["signed"]
    assert answer("audit", "verify", "--export", file, "--key", **key)["head"] == report["head"]
    assert "signed: there is no key" in run("audit", "export", tmp_path / "plain.jsonl", "--db", db).stdout
    result = answer("audit", "verify", "--export", tmp_path / "plain.jsonl", "--key", code=1, **key)
    assert "not signed with this key" in result["reason"]
    file.write_text(file.read_text().replace("budi", "dewi"))
    assert "DAMAGED" in run("audit", "verify", "--export", file, **key).stdout
