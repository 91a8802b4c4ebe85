"""Test sets → figures: both readers, the engine, the printed report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facedex import Engine, evaluate, people
from facedex.errors import ArgumentError
from facedex.evaluate import Measurement, Protocol, measure, read_lfw, read_subset
from facedex.evaluate.__main__ import FAILED, _measure_variants, main
from facedex.evaluate.measure import central_face
from facedex.evaluate.templates import compare_scores
from facedex.store import fuse

NAMES = people.IDS[:4]
# Two folds of two pairs of one person and two of two.
PAIRS = """\
2\t2
ayu\t1\t2
budi\t1\t3
ayu\t1\tbudi\t2
ayu\t2\tbudi\t3
citra\t1\t2
dewi\t2\t3
citra\t3\tdewi\t1
citra\t2\tdewi\t1
"""


def lfw_folder(root: Path, below: str = "", pairs: str = PAIRS) -> Path:
    """The bundled people as LFW lays out its own."""
    for name in NAMES:
        folder = root / below / name
        folder.mkdir(parents=True)
        for number, picture in enumerate(people.PICTURES[name], start=1):
            shutil.copy(picture, folder / f"{name}_{number:04d}.jpg")
    (root / "pairs.txt").write_text(pairs, encoding="utf-8")
    return root


def subset_folder(root: Path) -> Path:
    """The same pairs as the shared subset lays out its own."""
    lfw_folder(root)
    rows = ["fold,same,path_a,path_b"]
    for place, line in enumerate(PAIRS.splitlines()[1:]):
        words = line.split("\t")
        same = len(words) == 3
        first, second = (words[0], words[1]), (words[0] if same else words[2], words[-1])
        paths = [f"{name}/{name}_{int(number):04d}.jpg" for name, number in (first, second)]
        rows.append(f"{1 + place // 4},{int(same)},{paths[0]},{paths[1]}")
    (root / "pairs.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root


@pytest.mark.parametrize("below", ["", "lfw-deepfunneled"])
def test_lfw_is_read_in_both_layouts(tmp_path: Path, below: str) -> None:
    protocol = read_lfw(lfw_folder(tmp_path, below))
    assert protocol.name == "LFW, standard protocol"
    assert protocol.fold.tolist() == [1] * 4 + [2] * 4
    assert protocol.same.tolist() == [True, True, False, False] * 2
    names = [picture.name for picture in protocol.pictures]
    assert len(names) == len(set(names)) == 11  # one of the twelve occurs in no pair
    assert [names[i] for i in protocol.first[:3]] == ["ayu_0001.jpg", "budi_0001.jpg", "ayu_0001.jpg"]
    assert [names[i] for i in protocol.second[:3]] == ["ayu_0002.jpg", "budi_0003.jpg", "budi_0002.jpg"]
    for first, second, same in zip(protocol.first, protocol.second, protocol.same, strict=True):
        assert (protocol.people[first] == protocol.people[second]) == same


def test_the_subset_has_the_same_pairs_and_every_picture(tmp_path: Path) -> None:
    lfw, subset = read_lfw(lfw_folder(tmp_path / "a")), read_subset(subset_folder(tmp_path / "b"))
    assert subset.name == "shared subset, not the LFW protocol"
    assert len(subset.pictures) == 12
    for own, other in ((lfw.first, subset.first), (lfw.second, subset.second)):
        assert [lfw.pictures[i].name for i in own] == [subset.pictures[i].name for i in other]
    assert subset.same.tolist() == lfw.same.tolist()
    assert subset.fold.tolist() == lfw.fold.tolist()


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ("", "must begin with the number of folds and of pairs"),
        ("10 300 1\n", "must begin with the number of folds and of pairs"),
        (PAIRS + "ayu\t1\t3\n", r"announces 2 folds of 2 × 2 pairs and has 9 lines"),
        (PAIRS.replace("budi\t1\t3", "budi\t1\tayu\t3"), r"line 3: expected a name and two numbers, got"),
        (PAIRS.replace("ayu\t1\tbudi\t2", "ayu\tone\tbudi\t2"), r"line 4: expected a name and a number, twice"),
        (PAIRS.replace("ayu\t1\t2", "ayu\t1\t9"), r"1 of 12 pictures are missing: .*ayu_0009\.jpg"),
        (PAIRS.replace("ayu\t1\t2", "nobody\t1\t2"), r"no pictures in .*: neither nobody/ nor <folder>/nobody/"),
    ],
)
def test_missing_files_of_lfw_are_reported(tmp_path: Path, pairs: str, message: str) -> None:
    lfw_folder(tmp_path, pairs=pairs)
    with pytest.raises(ArgumentError, match=message):
        read_lfw(tmp_path)


def test_missing_files_of_the_subset_are_reported(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"pairs\.csv is missing"):
        read_subset(tmp_path)
    with pytest.raises(ArgumentError, match=r"pairs\.txt is missing"):
        read_lfw(tmp_path)
    (tmp_path / "pairs.csv").write_text("fold,same,path_a\n", encoding="utf-8")
    with pytest.raises(ArgumentError, match="has no column path_b"):
        read_subset(tmp_path)
    (tmp_path / "pairs.csv").write_text("fold,same,path_a,path_b\n1,yes,a/1.jpg,a/2.jpg\n", encoding="utf-8")
    with pytest.raises(ArgumentError, match="line 2: fold must be a number and same 0 or 1"):
        read_subset(tmp_path)


def test_the_bundled_people_are_distinguished(tmp_path: Path, engine: Engine) -> None:
    counts: list[tuple[int, int]] = []
    measured = measure(engine, read_subset(subset_folder(tmp_path)), progress=lambda *numbers: counts.append(numbers))
    assert (measured.pictures, measured.people, measured.failures) == (12, 4, ())
    assert measured.by_folds.mean == 1.0
    assert measured.by_folds.correct.trials == 8
    for point in (*measured.pairs, *measured.crossed):
        assert (point.fmr.errors, point.fnmr.errors) == (0, 0)
    assert {point.fnmr.trials for point in measured.crossed} == {12}
    assert {point.fmr.trials for point in measured.crossed} == {54} == {measured.impostor_pairs}
    assert abs(measured.impostor_mean) < 0.3
    assert measured.seconds > 0
    assert counts[-1] == (12, 12)


def test_a_picture_without_a_face_is_a_failure_to_enrol_and_matches_nobody(tmp_path: Path, engine: Engine) -> None:
    subset_folder(tmp_path)
    blank, broken = tmp_path / "ayu" / "ayu_0001.jpg", tmp_path / "dewi" / "dewi_0001.jpg"
    Image.new("RGB", (200, 200), (128, 128, 128)).save(blank)
    broken.write_bytes(b"no picture")
    measured = measure(engine, read_subset(tmp_path))
    assert [path for path, _ in measured.failures] == [blank, broken]
    assert measured.failures[0][1] == "no face"
    assert "unknown format" in measured.failures[1][1]
    # ayu 1-2 is a pair of one person in fold 1; all of fold 2 are still decided rightly
    assert measured.by_folds.folds[0] < 1
    assert measured.by_folds.folds[1] == 1.0
    assert [point.fnmr.errors for point in measured.crossed] == [4, 4, 4]
    assert measured.impostor_pairs == 54 - 9 - 9 + 1


def test_a_set_without_faces_or_without_impostors_is_refused(tmp_path: Path, engine: Engine) -> None:
    protocol = read_subset(subset_folder(tmp_path))
    only = Protocol(**{name: getattr(protocol, name) for name in Protocol.__slots__} | {"same": protocol.same | True})
    with pytest.raises(ArgumentError, match="pairs of one person and pairs of two"):
        measure(engine, only)
    for picture in protocol.pictures:
        Image.new("RGB", (64, 64)).save(picture)
    with pytest.raises(ArgumentError, match="none of the 12 pictures has a face"):
        measure(engine, protocol)


def test_of_several_faces_the_one_nearest_the_middle_counts(engine: Engine) -> None:
    group = engine.analyze(people.GROUP)
    assert len(group) == 5
    middle = group.image_size.width / 2
    assert abs(float(group[0].bbox[[0, 2]].mean()) - middle) > 100, "the largest face would do as well"
    nearest = min(group, key=lambda face: abs(float(face.bbox[[0, 2]].mean()) - middle))
    chosen = central_face(group)
    assert chosen is not None
    assert np.array_equal(chosen.bbox, nearest.bbox)


def test_the_report_names_its_pictures_and_pack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subset_folder(tmp_path / "subset")
    assert main(["--subset", str(tmp_path / "subset")]) == 0
    printed = capsys.readouterr().out
    assert "shared subset, not the LFW protocol" in printed
    assert "LFW, standard" not in printed
    for words in ("crop and mirror image", "2 folds", "TAR at FAR 1e-03", "FNMR at FMR 1e-04", "failures to enrol"):
        assert words in printed
    assert "0.00% (0.00% to 24.96%), 0 of 12" in printed  # three in twelve, by the rule of three

    lfw_folder(tmp_path / "lfw", "lfw")
    assert main(["--lfw", str(tmp_path / "lfw"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["protocol"] == "LFW, standard protocol"
    assert document["pairs"] == {"mated": 4, "impostor": 4}
    one, both = document["variants"].values()
    assert one["accuracy"]["mean"] == both["accuracy"]["mean"] == 1.0
    assert one["impostor_mean"] != both["impostor_mean"]
    assert [point["wanted_fmr"] for point in one["all_pairs"]] == [1e-2, 1e-3, 1e-4]
    assert one["all_pairs"][0]["fnmr"] == {
        "rate": 0.0,
        "errors": 0,
        "trials": 10,
        "limits_95": [0.0, pytest.approx(0.2996, abs=1e-4)],
    }


def test_failures_are_named_in_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subset_folder(tmp_path)
    Image.new("RGB", (200, 200), (128, 128, 128)).save(tmp_path / "ayu" / "ayu_0001.jpg")
    assert main(["--subset", str(tmp_path)]) == 0
    assert "one crop, not enrolled: ayu/ayu_0001.jpg: no face" in capsys.readouterr().out


def test_a_missing_set_is_one_line_on_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--lfw", str(tmp_path)]) == FAILED
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        f"error [argument]: {tmp_path / 'pairs.txt'} is missing: the list of pairs belongs beside the pictures"
    ]


def test_a_set_must_be_named_and_no_path_of_a_checkout_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == FAILED
    printed = capsys.readouterr().err
    assert "give a test set with --subset or --lfw" in printed
    assert "facedex evaluate FOLDER" in printed
    package = Path(evaluate.__path__[0])
    assert [path.name for path in package.glob("*.py") if 'Path("..' in path.read_text(encoding="utf-8")] == []


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_figures_of_the_packs_are_reproduced(shared: Path) -> None:
    """What stands in the manifest, and what the README says of one crop and of the mirror image averaged in."""
    measured: dict[str, Measurement] = _measure_variants("classic", read_subset(shared / "faces" / "lfw-subset"))
    one, both = measured["one crop"], measured["crop and mirror image"]
    assert len(one.failures) == len(both.failures) <= 1, "the detector's last threshold costs at most one face here"
    assert one.by_folds.mean >= 0.988
    assert both.by_folds.mean >= 0.991
    pack = Engine("classic").pack
    assert pack.threshold is not None
    assert 0 <= pack.threshold - one.crossed[1].threshold < 0.003
    for (rate, threshold, missed), point in zip(pack.operating_points, one.crossed, strict=True):
        assert rate == pytest.approx(point.wanted)
        assert threshold == pytest.approx(point.threshold, abs=0.002)
        assert missed == pytest.approx(point.fnmr.value, abs=0.02)
        assert point.fmr.value <= rate
    assert both.crossed[2].fnmr.value < one.crossed[2].fnmr.value


def test_the_comparison_of_scores_counts_what_a_plain_search_counts() -> None:
    """Two people with opposite pictures: the mean direction finds them where no single picture does."""
    chance = np.random.default_rng(1)
    people = np.repeat(np.arange(60), 5)
    centres = chance.standard_normal((60, 24))
    vectors = centres[people] + 1.6 * chance.standard_normal((300, 24))
    strangers = chance.standard_normal((400, 24))
    embeddings = np.concatenate([vectors, strangers]).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    everybody = np.concatenate([people, 60 + np.arange(400)])
    rows = compare_scores(embeddings, everybody, draws=10)
    assert [(row.pictures, row.people, row.probes) for row in rows] == [(g, 60, 60) for g in (1, 2, 3, 4)]
    assert rows[0].unknown == 400
    assert len(set(rows[0].fnir.values())) == 1  # with one picture all ways are one
    assert [row.fnir["fused"] for row in rows] == sorted((row.fnir["fused"] for row in rows), reverse=True)
    assert rows[3].fnir["fused"] < rows[3].fnir["closest"]
    # One gallery, by hand.
    (row,) = [row for row in compare_scores(embeddings, everybody, draws=1) if row.pictures == 2]
    random = np.random.default_rng(0)
    registered = random.permutation(np.arange(60))[:60]
    places = [random.permutation(np.flatnonzero(everybody == one)) for one in registered]
    templates = np.stack([fuse(embeddings[chosen[1:3]]) for chosen in places])
    best = sorted(max(float(probe @ template) for template in templates) for probe in embeddings[300:])
    threshold = best[-1 - 400 // 100]
    missed = 0
    for number, chosen in enumerate(places):
        scores = templates @ embeddings[chosen[0]]
        missed += not (scores[number] > threshold and scores.argmax() == number)
    assert row.fnir["fused"] == pytest.approx(missed / 60)
    with pytest.raises(ArgumentError, match="needs 40 people with two pictures or more"):
        compare_scores(embeddings[300:], everybody[300:])
