"""The demo: every decision is correct with the built-in pack, and a wrong one is reported."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from facedex import demo, people
from facedex.cli import app
from facedex.demo import Decision, Report
from facedex.packs import find

runner = CliRunner()


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "made" / "on the way"


@pytest.fixture(scope="module")
def report(out: Path) -> Report:
    return demo.run(out)


def of_step(report: Report, step: str) -> list[Decision]:
    return [decision for decision in report.decisions if decision.step == step]


def test_every_decision_is_right(report: Report) -> None:
    assert report.wrong == ()


def test_the_demo_probes_every_person(report: Report) -> None:
    assert [decision.expected for decision in of_step(report, "register")] == ["3 faces"] * 8
    recognized = of_step(report, "recognize")
    assert len(recognized) == 2 * 8 + 2 + 5
    assert [decision.expected for decision in recognized[:16]] == [name for name in people.IDS for _ in range(2)]
    assert [decision.decided for decision in recognized[16:18]] == ["unknown", "unknown"]
    assert [decision.decided for decision in recognized[18:]] == ["dewi", "eko", "ayu", "budi", "unknown"]
    assert [decision.decided for decision in of_step(report, "verify")] == ["match", "no match"]
    assert [decision.decided for decision in of_step(report, "delete")] == ["3 faces"]
    after = [decision.decided for decision in of_step(report, "after")]
    assert after == ["unknown", "unknown", "dewi", "eko", "unknown", "budi", "unknown", "gone"]


def test_a_decision_rests_on_similarity_and_threshold(report: Report) -> None:
    for decision in [*of_step(report, "recognize"), *of_step(report, "verify")]:
        assert decision.similarity is not None
        assert decision.threshold is not None
        known = decision.decided not in ("unknown", "no match")
        assert known == (decision.similarity >= decision.threshold)


def test_times_are_reported_once_per_picture(report: Report) -> None:
    group = [decision.elapsed_ms for decision in report.decisions if decision.subject.startswith("group face")]
    assert [elapsed is not None for elapsed in group] == [True, False, False, False, False] * 2


def test_pictures_are_written(report: Report, out: Path) -> None:
    assert len(report.pictures) == 16 + 2 + 1 + 3
    assert len(set(report.pictures)) == len(report.pictures)
    assert all(picture.is_file() and picture.is_relative_to(out) for picture in report.pictures)


def test_it_is_the_same_every_time(report: Report, tmp_path: Path) -> None:
    def decided(one: Report) -> list[tuple[object, ...]]:
        return [(d.step, d.subject, d.expected, d.decided, d.similarity, d.threshold) for d in one.decisions]

    assert decided(demo.run(tmp_path)) == decided(report)


def test_the_gallery_is_removed_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    demo.run(tmp_path / "out")
    assert list(place.iterdir()) == []
    assert not list((tmp_path / "out").rglob("*.db*"))


def test_the_command_prints_a_table_and_the_folder(tmp_path: Path) -> None:
    result = runner.invoke(app, ["demo", "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    for word in ("expected", "decision", "similarity", "threshold", "ms", "ayu-1", "stranger 2", "group face 5"):
        assert word in result.stdout
    assert str(tmp_path / "out") in result.stdout
    assert "synthetic" in result.stdout
    assert "no accuracy figure" in result.stdout
    assert "WRONG" not in result.stdout


def test_the_command_prints_one_json_document(tmp_path: Path) -> None:
    result = runner.invoke(app, ["demo", "--out", str(tmp_path / "out"), "--json"])
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["wrong"] == 0
    assert content["synthetic"] is True
    assert all(Path(picture).is_file() for picture in content["pictures"])
    assert {decision["right"] for decision in content["decisions"]} == {True}


@pytest.fixture
def too_strict(tmp_path: Path) -> Path:
    """The pack ``classic`` with a threshold that no face reaches."""
    location = find("classic")
    folder = tmp_path / "strict"
    folder.mkdir()
    for file in location.folders[0].glob("*.onnx"):
        (folder / file.name).symlink_to(file)
    stated, *measured = location.manifest.read_text(encoding="utf-8").split("\n[scores]\n")
    assert measured
    manifest = folder / "strict.toml"
    manifest.write_text(re.sub(r"\bthreshold = 0\.\d+", "threshold = 0.9999", stated) + "\n", encoding="utf-8")
    return manifest


def test_a_wrong_decision_is_named_and_fails(too_strict: Path, tmp_path: Path) -> None:
    result = runner.invoke(app, ["demo", "--out", str(tmp_path / "out"), "--pack", str(too_strict)])
    assert result.exit_code == 1, result.output
    assert "WRONG: recognize ayu-1: expected ayu, got unknown" in result.stdout
    assert "WRONG: verify budi-2 as budi: expected match, got no match" in result.stdout


def test_a_folder_that_cannot_be_written_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = runner.invoke(app, ["demo", "--out", str(tmp_path / "file")])
    assert result.exit_code == 2
    assert "--out" in result.stderr
