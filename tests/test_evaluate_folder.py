"""A folder of people → a report: the bundled people, labels, failures, the cache, attacks, HTML, the command line."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import shutil
import stat
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from facedex import Engine, people
from facedex.cli import app
from facedex.errors import (
    ArgumentError,
    LabelsError,
    PictureSetError,
    PlotsUnavailableError,
    RateError,
    RoleMissingError,
)
from facedex.evaluate import EvaluateOptions, PictureSet, Report, evaluate_folder, evaluate_pictures, plots, read_folder
from facedex.evaluate import evaluation as evaluation_module
from facedex.evaluate.inspection import Subject, find_suspects, quality_range, slice_by, worst_pairs
from facedex.evaluate.samples import sample_pictures
from facedex.evaluate.verification import Comparisons, score_pairs
from facedex.packs import find

RUN = CliRunner()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled people: eight with three pictures each."""
    target = tmp_path_factory.mktemp("evaluate") / "bundled"
    for name, pictures in people.PICTURES.items():
        (target / name).mkdir(parents=True)
        for picture in pictures:
            shutil.copy(picture, target / name)
    return target


@pytest.fixture(scope="module")
def report(folder: Path, engine: Engine) -> Report:
    return evaluate_folder(folder, engine=engine)


def test_the_bundled_people_are_told_apart(report: Report) -> None:
    assert (report.people, report.pictures, report.failures) == (8, 24, ())
    assert report.at_threshold is not None
    assert (report.at_threshold.fmr.value, report.at_threshold.fnmr.value) == (0.0, 0.0)
    assert (report.at_threshold.fmr.trials, report.at_threshold.fnmr.trials) == (24 * 21 // 2, 24)
    assert report.gfrr == 0.0
    assert {row.people for row in report.identification if not row.extrapolated} == {7}
    assert {row.people for row in report.identification if row.extrapolated} == {10, 30}
    assert all(row.fnir.value == 0 for row in report.identification if not row.extrapolated)
    assert [(rank.rank, rank.hits.value) for rank in report.ranks] == [(1, 1.0), (5, 1.0)]
    assert report.points == ()
    assert report.suspects == ()
    assert len(report.confusions) == 12
    assert len(report.misses) == 8
    similarities = [pair.similarity for pair in report.confusions]
    assert similarities == sorted(similarities, reverse=True)
    assert all(pair.first_person != pair.second_person for pair in report.confusions)
    assert all(pair.first_person == pair.second_person for pair in report.misses)
    notes = " ".join(report.notes)
    assert "0.01 needs 300 comparisons of different people, and there are 252" in notes
    assert "galleries of 10 and 30 people are extrapolated from 8" in notes
    with pytest.raises(FrozenInstanceError):
        report.name = "other"  # type: ignore[misc]


def test_a_report_is_json_csv_and_html(report: Report, tmp_path: Path) -> None:
    document = json.loads(report.to_json())
    assert document == report.to_dict()
    assert document["at_threshold"]["fnmr"]["value"] == 0.0
    assert "first_jpeg" not in document["confusions"][0]
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    used = [row for row in rows if row["table"] == "verification" and row["measure"] == "fnmr"]
    assert [(row["item"], float(row["value"]), int(row["trials"])) for row in used] == [("threshold in use", 0.0, 24)]
    assert {"identification", "ranks", "failures"} <= {row["table"] for row in rows}
    for ending in (".json", ".csv", ".html"):
        path = report.save(tmp_path / f"report{ending}")
        assert path.stat().st_size > 500
        if os.name == "posix":
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, "it shows faces"
    with pytest.raises(ArgumentError, match=r"\.html, \.json or \.csv, got 'report\.pdf'"):
        report.save(tmp_path / "report.pdf")


def test_the_html_is_self_contained(report: Report) -> None:
    text = report.to_html()
    assert text.startswith("<!doctype html>")
    assert text.count("data:image/svg+xml;base64,") == 4, "without search at an FPIR, which too few show"
    assert text.count("data:image/jpeg;base64,") == 2 * (12 + 8)
    assert not re.search(r"(?:src|href)=\"(?!data:)", text)
    assert "<script" not in text
    fragment = report._repr_html_()
    assert fragment.startswith('<div class="facedex-report">')
    assert "Worst confusions" in fragment


def test_names_are_escaped(report: Report) -> None:
    from dataclasses import replace

    hostile = replace(report, name="<script>alert(1)</script>")
    assert "<script" not in hostile.to_html()
    assert "<script" not in hostile._repr_html_()


def test_without_matplotlib_the_error_says_what_to_install(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(PlotsUnavailableError, match=r"pip install 'facedex\[plots\]'"):
        report.to_html()
    monkeypatch.setattr(plots, "find_spec", lambda name: None)
    assert "Worst confusions" in report._repr_html_(), "a notebook shows the tables"


def test_failures_count_and_are_named(folder: Path, tmp_path: Path, engine: Engine) -> None:
    copy = shutil.copytree(folder, tmp_path / "people")
    (copy / "ayu" / "broken.jpg").write_bytes(b"no picture")
    (copy / "zoe").mkdir()
    Image.new("RGB", (64, 64)).save(copy / "zoe" / "black.png")
    report = evaluate_folder(copy, engine=engine)
    assert [failure.picture for failure in report.failures] == ["ayu/broken.jpg", "zoe/black.png"]
    assert "unknown format" in report.failures[0].reason
    assert report.failures[1].reason.startswith("no face: ")
    assert report.fta is not None
    assert report.fte is not None
    assert (report.fta.value, report.fte.value) == (2 / 26, 1 / 9)
    assert report.at_threshold is not None
    assert report.at_threshold.fnmr.value == 0
    assert report.gfrr == pytest.approx(3 / 27), "three comparisons with the broken picture"


def test_what_cannot_be_evaluated_is_refused(folder: Path, tmp_path: Path, engine: Engine) -> None:
    with pytest.raises(PictureSetError, match="No such file"):
        evaluate_folder(tmp_path / "none", engine=engine)
    (tmp_path / "empty").mkdir()
    with pytest.raises(PictureSetError, match="has no pictures; it needs a folder for each person"):
        evaluate_folder(tmp_path / "empty", engine=engine)
    shutil.copytree(folder / "ayu", tmp_path / "one" / "ayu")
    with pytest.raises(PictureSetError, match="pictures of 1 person; error rates need at least 2 people"):
        evaluate_folder(tmp_path / "one", engine=engine)
    for name in ("ayu", "budi"):
        (tmp_path / "single" / name).mkdir(parents=True)
        shutil.copy(people.PICTURES[name][0], tmp_path / "single" / name)
        (tmp_path / "blank" / name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (64, 64)).save(tmp_path / "blank" / name / f"{number}.png")
    with pytest.raises(PictureSetError, match="one picture of each of 2 people"):
        evaluate_folder(tmp_path / "single", engine=engine)
    with pytest.raises(PictureSetError, match="a face was found in 0 of 4 pictures"):
        evaluate_folder(tmp_path / "blank", engine=engine)
    with pytest.raises(RateError, match="about 9 people in place of 8") as refused:
        evaluate_folder(folder, engine=engine, options=EvaluateOptions(fmrs=(0.01,)))
    assert refused.value.people == 9
    with pytest.raises(RateError, match="needs 300 probes, and there are 24"):
        evaluate_folder(folder, engine=engine, options=EvaluateOptions(fpirs=(0.01,)))
    with pytest.raises(ArgumentError, match="fmrs must lie between 0 and 1, got 2"):
        EvaluateOptions(fmrs=(2,))


def test_labels_divide_the_people_into_groups(folder: Path, tmp_path: Path, engine: Engine) -> None:
    labels = tmp_path / "labels.csv"
    lines = ["person;team;badge"] + [f"{name};{'ab'[place % 2]};{place}" for place, name in enumerate(people.IDS)]
    labels.write_text("\n".join([*lines, "nobody;a;99"]), encoding="utf-8-sig")
    pictures = read_folder(folder, labels=labels)
    assert set(pictures.groups) == {"team", "badge"}
    assert pictures.groups["team"] == tuple("ab"[people.IDS.index(person) % 2] for person in pictures.people)
    assert pictures.notes == ("1 of 9 lines of labels.csv name nothing in the folder: 'nobody'",)
    report = evaluate_folder(folder, engine=engine, labels=labels)
    teams = [part for part in report.slices if part.column == "team"]
    assert [(part.value, part.people, part.pictures) for part in teams] == [("a", 4, 12), ("b", 4, 12)]
    assert all(part.fnmr is None and "too few to say: misses of 4 people" in str(part.note) for part in teams)
    by_file = tmp_path / "files.csv"
    by_file.write_text("file,light\nayu/1.jpg,dark\n", encoding="utf-8")
    first = read_folder(folder).names[0]
    by_file.write_text(f"file,light\n{first},dark\n{read_folder(folder).names[1]},bright\n", encoding="utf-8")
    assert read_folder(folder, labels=by_file).groups["light"][:3] == ("dark", "bright", None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("person,team\nnobody,a\n", r"names no picture and no person of .*: 'nobody'; a file is given as '\w+/"),
        ("team,badge\na,1\n", r"has the columns team, badge; one must be called file"),
        ("person,team\n", "has no line below"),
        ('person,team\n"ayu,a\n', "is not a CSV"),
        ("person,label\nayu,perhaps\n", "'perhaps'; a label is 'real' for a live face or 'spoof'"),
    ],
)
def test_wrong_labels_are_refused(folder: Path, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
    with pytest.raises(LabelsError, match=message):
        read_folder(folder, labels=tmp_path / "labels.csv")
    (tmp_path / "latin.csv").write_bytes("person,team\najé,a".encode("latin-1"))
    with pytest.raises(LabelsError, match="is not in UTF-8"):
        read_folder(folder, labels=tmp_path / "latin.csv")


def test_an_interrupted_evaluation_resumes(
    folder: Path, tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facedex.evaluate.samples._BATCH", 5)
    cache = tmp_path / "embeddings"
    pictures = read_folder(folder).pictures

    def interrupt(done: int, number: int) -> None:
        assert number == 24
        if done == 10:
            raise KeyboardInterrupt

    cache.touch()
    cache.chmod(0o644)  # as another program makes it
    with pytest.raises(KeyboardInterrupt):
        sample_pictures(engine, pictures, cache=cache, progress=interrupt)
    if os.name == "posix":
        assert stat.S_IMODE(cache.stat().st_mode) == 0o600
    with cache.open("a", encoding="utf-8") as file:
        file.write("[" * 100_000 + '\n{"picture": "cut')
    second = sample_pictures(engine, pictures, cache=cache)
    assert second.analysed == 14
    third = sample_pictures(engine, pictures, cache=cache)
    assert third.analysed == 0
    fresh = sample_pictures(engine, pictures)
    for mine, other in zip(third.samples, fresh.samples, strict=True):
        assert mine.embedding is not None
        assert np.array_equal(mine.embedding, other.embedding)
        assert (mine.bbox, mine.quality, mine.failure) == (other.bbox, other.quality, other.failure)
    assert sample_pictures(Engine("classic"), pictures[:1], cache=cache).analysed == 1, "of another pack"
    (tmp_path / "text").write_text("notes", encoding="utf-8")
    with pytest.raises(PictureSetError, match="is no cache of embeddings"):
        sample_pictures(engine, pictures, cache=tmp_path / "text")
    with pytest.raises(PictureSetError, match="is no cache of embeddings"):
        sample_pictures(engine, pictures, cache=Path(people.PICTURES["ayu"][0]))
    with pytest.raises(PictureSetError, match="cannot be opened"):
        sample_pictures(engine, pictures, cache=tmp_path)


def crowd(seed: int, count: int = 60, each: int = 4, noise: float = 0.5) -> Subject:
    """Embeddings of made-up people, without pictures."""
    random = np.random.default_rng(seed)
    centers = random.normal(size=(count, 32))
    vectors = np.repeat(centers, each, axis=0) + random.normal(scale=noise, size=(count * each, 32))
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    numbers = np.repeat(np.arange(count), each).astype(np.int64)
    names = tuple(f"p{number}/{place}.jpg" for place, number in enumerate(numbers))
    gone: tuple[str, ...] = tuple(f"/nowhere/{name}" for name in names)
    return Subject(gone, names, (None,) * len(names), unit, numbers, tuple(f"p{number}" for number in range(count)))


def test_a_wrong_label_and_a_duplicate_are_suspected() -> None:
    subject = crowd(0)
    comparisons = Comparisons(score_pairs(subject.embeddings, subject.people), 60, replicates=1, seed=0)
    low, high = evaluation_module._suspicious(comparisons, None)
    assert find_suspects(subject, low=low, high=high, most=9) == []
    embeddings = subject.embeddings.copy()
    embeddings[5] = crowd(0, noise=0.6).embeddings[40]  # a picture of p10 under p1
    embeddings[80:84] = crowd(0, noise=0.4).embeddings[120:124]  # p20 is p30 again
    subject.embeddings[:] = embeddings
    found = find_suspects(subject, low=low, high=high, most=9)
    assert [(suspect.kind, suspect.people) for suspect in found] == [
        ("wrong label", ("p1", "p10")),
        ("duplicate people", ("p20", "p30")),
    ]
    assert found[0].pictures == ("p1/5.jpg",)
    two = crowd(1, each=2)
    two.embeddings[1] = -two.embeddings[0]
    assert [suspect.kind for suspect in find_suspects(two, low=low, high=high, most=9)] == ["one of two"]


def test_parts_of_the_data_are_counted_as_a_whole_is() -> None:
    """Rates of a part are those of its own comparisons, one by one."""
    subject = crowd(2, count=80, noise=1.2)
    pairs = score_pairs(subject.embeddings, subject.people)
    values = ["ab"[number % 2] if number < 78 else None for number in subject.people]
    found = slice_by("group", values, subject, pairs, threshold=0.5, wanted_fmr=1e-3, replicates=20, seed=0)
    assert [part.value for part in found] == ["a", "b"]
    for part in found:
        rows = [place for place, value in enumerate(values) if value == part.value]
        mated, impostors = [], []
        for place, first in enumerate(rows):
            for second in rows[place + 1 :]:
                score = float(subject.embeddings[first] @ subject.embeddings[second])
                (mated if subject.people[first] == subject.people[second] else impostors).append(score)
        assert part.fnmr is not None
        assert part.fmr is not None
        assert part.fnmr.value == pytest.approx(np.mean([score < 0.5 for score in mated]), abs=1e-12)
        assert part.fmr.value == pytest.approx(np.mean([score >= 0.5 for score in impostors]), abs=1e-12)
        assert (part.fnmr.trials, part.fmr.trials) == (len(mated), len(impostors))
        assert part.fnmr.low < part.fnmr.value < part.fnmr.high
    quality = [quality_range(float(place % 100)) for place in range(len(subject.people))]
    lowest = slice_by(
        "quality", quality, subject, pairs, threshold=0.5, wanted_fmr=0.1, lowest=True, replicates=5, seed=0
    )
    assert [part.value for part in lowest] == ["0 to 20", "20 to 40", "40 to 60", "60 to 80", "80 to 100"]
    assert sum(part.fmr.trials for part in lowest if part.fmr) == np.count_nonzero(~pairs.same), "each is in one part"
    assert all(part.fnmr is None and "misses of" in str(part.note) for part in lowest)


def test_more_pictures_a_person_miss_fewer(engine: Engine) -> None:
    subject = crowd(3, count=90, each=5, noise=1.3)
    searching = evaluation_module._Searching(subject, EvaluateOptions(replicates=20))
    rows, notes = searching.by_pictures((0.1,), 0.5)
    assert notes == []
    wanted = [row for row in rows if row.wanted_fpir is not None]
    assert [row.pictures for row in wanted] == [1, 2, 3, 4]
    assert {row.fnir.trials for row in wanted} == {90}, "the same probes in every row"
    assert wanted[0].fnir.value > 2 * wanted[3].fnir.value > 0
    assert all(row.fpir.value <= 0.1 for row in wanted)


def test_pairs_are_the_worst_ones() -> None:
    subject = crowd(4, count=10, each=3, noise=0.8)
    comparisons = Comparisons(score_pairs(subject.embeddings, subject.people), 10, replicates=1, seed=0)
    confusions, misses = worst_pairs(subject, comparisons, 4)
    assert confusions[0].similarity == pytest.approx(comparisons.impostors.max())
    assert misses[0].similarity == pytest.approx(comparisons.mated.min())
    assert len({pair.first_person for pair in misses}) == 4
    assert confusions[0].first_jpeg is None, "the picture is gone"


def test_a_set_in_memory_is_evaluated(engine: Engine) -> None:
    pictures = tuple(path.read_bytes() for name in people.IDS[:3] for path in people.PICTURES[name])
    names = tuple(f"{place}" for place in range(9))
    owners = tuple(name for name in people.IDS[:3] for _ in range(3))
    report = evaluate_pictures(engine, PictureSet("memory", pictures, names, owners))
    assert (report.people, report.pictures) == (3, 9)
    assert report.confusions[0].first_jpeg is not None


def test_attacks_need_a_network(folder: Path, tmp_path: Path, engine: Engine) -> None:
    copy = shutil.copytree(folder, tmp_path / "people")
    (copy / "labels.csv").write_text("person,label,attack_kind\nayu,spoof,print (by eye)\nbudi,real,\n")
    pictures = read_folder(copy)
    assert pictures.attacks is not None
    assert pictures.attacks.kinds == ("print",) * 3 + (None,) * 3
    assert "ayu" not in pictures.people, "an attack is no picture of the person"
    assert "budi" in pictures.people
    with pytest.raises(RoleMissingError, match="--add liveness"):
        evaluate_folder(copy, engine=engine)


@pytest.mark.shared
@pytest.mark.slow
def test_liveness_of_the_shared_photos(shared: Path, tmp_path: Path) -> None:
    """Each kind of attack has its rate; what the manifest's README says of the whole stays true."""
    manifest = find("liveness").manifest.read_text()
    networks = {
        "MiniFASNetV2.onnx": "minifasnet_v2_2.7_80x80.onnx",
        "MiniFASNetV1SE.onnx": "minifasnet_v1se_4.0_80x80.onnx",
    }
    for ours, theirs in networks.items():  # the shared data have conversions by others
        content = (shared / "models" / "liveness" / theirs).read_bytes()
        (tmp_path / ours).write_bytes(content)
        declared = re.compile(rf'(name = "{re.escape(ours)}"\nsize = )\d+(\nsha256 = ")\w+')
        manifest = declared.sub(rf"\g<1>{len(content)}\g<2>{hashlib.sha256(content).hexdigest()}", manifest)
    (tmp_path / "liveness.toml").write_text(manifest.replace('outputs = ["output"]', 'outputs = ["logits"]'))
    report = evaluate_folder(shared / "faces" / "spoof", engine=Engine(add=[tmp_path / "liveness.toml"]))
    live, *attacks = report.attacks
    assert live.kind is None
    assert live.error.trials == 5
    assert sum(attack.error.trials for attack in attacks) == 17
    passed = {name for attack in attacks for name in attack.passed}
    assert live.errors <= 1
    assert 6 <= len(passed) <= 10
    assert {"minai_fake_mask.jpg", "doubango_disguise.jpg"} <= passed
    kinds = {attack.kind: attack.error.value for attack in attacks}
    assert set(kinds) == {"deepfake", "disguise", "mask", "not stated", "paper cut-out", "paper mask", "print"} | {
        "replay",
        "replay or print",
    }
    assert kinds["deepfake"] == kinds["paper cut-out"] == 1.0
    assert kinds["print"] == 0.0
    assert 0 < kinds["replay"] < 0.5
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert [row["measure"] for row in rows] == ["bpcer"] + ["apcer"] * len(attacks)
    assert "Liveness" in report.to_html()


def test_the_command_prints_and_writes(folder: Path, tmp_path: Path) -> None:
    out, resume = tmp_path / "report.html", tmp_path / "cache"
    done = RUN.invoke(app, ["evaluate", str(folder), "--out", str(out), "--resume", str(resume)])
    assert done.exit_code == 0, done.output
    assert "bundled: 8 people, 24 pictures, pack base" in done.output
    assert "threshold in use" in done.output
    assert "note: galleries of 10 and 30 people are extrapolated" in done.output
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    done = RUN.invoke(app, ["evaluate", str(folder), "--json", "--resume", str(resume)])
    document = json.loads(done.stdout)
    assert document["ms_per_picture"] is None, "all were in the cache"
    assert document["people"] == 8
    done = RUN.invoke(app, ["evaluate", str(folder), "--fmr", "1e-4", "--resume", str(resume)])
    assert done.exit_code == 3
    assert "error [rate]" in done.output
    done = RUN.invoke(app, ["evaluate", str(folder), "--out", "report.pdf"])
    assert done.exit_code == 2
    assert "must end with .html, .json or .csv" in re.sub(r"[\s│]+", " ", done.output)


def test_ctrl_c_says_how_to_go_on(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(engine: Engine, *arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Engine, "analyze_many", interrupt)
    for options, words in (
        ([], "--resume FILE keeps"),
        (["--resume", str(tmp_path / "c")], "the same command goes on"),
    ):
        done = RUN.invoke(app, ["evaluate", str(folder), *options])
        assert done.exit_code == 130
        assert "interrupted" in done.stderr
        assert words in done.stderr
