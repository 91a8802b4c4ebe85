"""Calibrating a pack on one's own people, and packs side by side."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from facedex import Engine, Gallery, people
from facedex.cli import app
from facedex.errors import ArgumentError, PackNotFoundError, RateError
from facedex.evaluate import PackCalibration, calibrate, compare_packs, rates
from facedex.evaluate.samples import sample_pictures

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = people.FOLDER / "people"
RUN = CliRunner()


@pytest.fixture(scope="module")
def found(engine: Engine) -> PackCalibration:
    return calibrate(FOLDER, engine=engine, fmr=0.02)


def test_the_sections_are_what_the_pictures_show(found: PackCalibration, engine: Engine) -> None:
    sections = tomllib.loads(found.toml())
    assert set(sections) == {"recognition", "scores"}, "eight people make no prior"
    names = [name for name in people.IDS for _ in range(3)]
    pictures = [path for name in people.IDS for path in people.PICTURES[name]]
    embeddings = np.stack([s.embedding for s in sample_pictures(engine, pictures).samples if s.embedding is not None])
    numbers = np.array([people.IDS.index(name) for name in names])
    _, impostors = rates.all_pairs(embeddings, numbers)
    recognition = sections["recognition"]
    assert recognition["fmr"] == 0.02
    assert np.mean(impostors >= recognition["threshold"]) <= 0.02
    assert np.mean(impostors >= recognition["threshold"] - 0.05) > 0.02
    assert recognition["impostor_mean"] == pytest.approx(impostors.mean(), abs=1e-4)
    assert recognition["impostor_pairs"] == sections["scores"]["impostor_pairs"] == 252
    assert sections["scores"]["genuine_pairs"] == 24
    assert sections["scores"]["data"] == "people: 8 people, 24 pictures; facedex calibrate"


@pytest.mark.parametrize("pack", ["base", "classic"])
def test_the_manifest_opens_galleries_of_the_pack(pack: str, tmp_path: Path) -> None:
    with Gallery.open(tmp_path / "people.db", pack=pack) as gallery:
        gallery.register("ayu", people.PICTURES["ayu"])
    path = calibrate(FOLDER, pack=pack, fmr=0.02).save(tmp_path / "mine.toml")
    calibrated = Engine(path)
    assert calibrated.pack.name == "mine"
    assert calibrated.pack.digest == Engine(pack).pack.digest
    assert calibrated.pack.fmr == 0.02
    assert calibrated.pack.threshold == tomllib.loads(path.read_text(encoding="utf-8"))["recognition"]["threshold"]
    with Gallery.open(tmp_path / "people.db", engine=calibrated) as gallery:
        (face,) = gallery.recognize(people.PROBES["ayu"][0], threshold=calibrated.threshold)
        assert (face.person_id, face.threshold) == ("ayu", calibrated.threshold)


def test_what_cannot_be_calibrated_is_refused(found: PackCalibration, engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(RateError, match="about 9 people in place of 8"):
        calibrate(FOLDER, engine=engine)
    with pytest.raises(ArgumentError, match="fmr must lie between 0 and 1, got 3"):
        calibrate(FOLDER, engine=engine, fmr=3)
    with pytest.raises(ArgumentError, match=r"ends in \.toml"):
        found.save(tmp_path / "mine.txt")
    with pytest.raises(ArgumentError, match="letters, digits"):
        found.manifest("../mine")


def test_the_command_prints_sections_or_writes_a_manifest(tmp_path: Path) -> None:
    done = RUN.invoke(app, ["calibrate", str(FOLDER), "--fmr", "0.02"])
    assert done.exit_code == 0, done.output
    assert set(tomllib.loads(done.stdout)) == {"recognition", "scores"}
    out = tmp_path / "door.toml"
    done = RUN.invoke(app, ["calibrate", str(FOLDER), "--fmr", "0.02", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert f"facedex packs add {out}" in done.stdout.replace("\n", "")
    assert Engine(out).pack.name == "door"
    done = RUN.invoke(app, ["calibrate", str(FOLDER), "--out", "x.txt"])
    assert done.exit_code == 2


@pytest.mark.slow
def test_packs_are_put_side_by_side(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    found = compare_packs(["base", "classic"], FOLDER, cache=cache)
    assert [report.pack for report in found.reports] == ["base", "classic"]
    for report, cost in zip(found.reports, found.costs, strict=True):
        assert report.people == 8
        assert 1 < cost.ms_per_picture < 5_000
        assert cost.memory_mb is None or 50 < cost.memory_mb < 4_000
        assert cost.weights_mb == sum(file.size or 0 for file in Engine(report.pack).pack.files) / 1e6
        assert cost.commercial
    assert found.to_dict()["costs"][0]["licences"] == list(found.costs[0].licences)
    done = RUN.invoke(app, ["packs", "compare", "base", "classic", "--on", str(FOLDER), "--resume", str(cache)])
    assert done.exit_code == 0, done.output
    for words in ("base", "classic", "ms a picture", "memory, MB", "Apache-2.0", "own threshold"):
        assert words in done.output
    done = RUN.invoke(app, ["packs", "compare", "base", "--on", str(FOLDER), "--json"])
    assert done.exit_code == 3
    assert json.loads(done.stdout)["error"]["code"] == "argument"
    with pytest.raises(ArgumentError, match="two or more different ones, got base, base"):
        compare_packs(["base", "base"], FOLDER)
    with pytest.raises(PackNotFoundError, match=re.escape("no pack is called 'none'")):
        compare_packs(["base", "none"], FOLDER)
