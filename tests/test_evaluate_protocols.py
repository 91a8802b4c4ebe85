"""Standard protocols from files generated here: .bin, IJB-style templates, SCface-style cameras, LFW pairs."""

from __future__ import annotations

import io
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from facedex import Engine, people
from facedex.cli import app
from facedex.errors import LabelsError, PictureSetError, UnsafePickleError
from facedex.evaluate import (
    EvaluateOptions,
    PairSet,
    evaluate_pairs,
    evaluate_templates,
    read_bin,
    read_ijb,
    read_scface,
)
from facedex.evaluate.samples import sample_pictures

FEW = EvaluateOptions(replicates=20)
RUN = CliRunner()


def crops(engine: Engine) -> dict[str, list[bytes]]:
    """The crops of the bundled people, as PNG files of 112 × 112 pixels."""
    made: dict[str, list[bytes]] = {}
    for name, pictures in people.PICTURES.items():
        for picture in pictures:
            face = engine.analyze(picture, max_faces=1, embed=False)[0]
            assert face.landmarks is not None
            data = io.BytesIO()
            Image.fromarray(engine.crop(picture, face.landmarks)).save(data, "PNG")
            made.setdefault(name, []).append(data.getvalue())
    return made


def listed_pairs(made: dict[str, list[bytes]]) -> tuple[list[bytes], list[bool]]:
    """Twenty pairs: each person with himself twice, and with the next person."""
    bins, same = [], []
    names = list(made)
    for place, name in enumerate(names):
        for second, flag in ((made[name][1], True), (made[names[(place + 1) % len(names)]][0], False)):
            bins += [made[name][0], second]
            same.append(flag)
    return bins, same


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_bin_file_is_evaluated_without_looking_for_faces(tmp_path: Path, engine: Engine, protocol: int) -> None:
    bins, same = listed_pairs(crops(engine))
    path = tmp_path / "made.bin"
    path.write_bytes(pickle.dumps((bins, same), protocol))
    pairs = read_bin(path)
    assert pairs.same.tolist() == same
    assert list(pairs.pictures) == bins
    report = evaluate_pairs(engine, pairs, options=FEW)
    assert report.correct is not None
    assert report.correct.value == 1.0
    assert report.failures == ()
    first, second = (
        engine.embed(np.stack([np.asarray(Image.open(io.BytesIO(b))) for b in bins[i::2]])) for i in (0, 1)
    )
    scores = np.einsum("ij,ij->i", first, second)
    assert report.at_threshold is not None
    assert report.at_threshold.fnmr.value == np.mean(scores[same] < engine.threshold)
    assert report.at_threshold.fnmr.trials == 8
    assert any("the people are unknown" in note for note in report.notes)
    assert "correct decisions" in report.to_html()


def test_a_bin_file_of_python_2_and_of_arrays_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.bin"
    # the opcodes of Python 2: two lists, of byte strings and of flags
    path.write_bytes(b"\x80\x02]q\x00(U\x02abq\x01U\x02cdq\x02e]q\x03\x88a\x86q\x04.")
    assert read_bin(path).pictures == (b"ab", b"cd")
    arrays = [np.frombuffer(data, dtype=np.uint8) for data in (b"ab", b"cd")]
    path.write_bytes(pickle.dumps((arrays, np.array([True]))))
    assert read_bin(path).pictures == (b"ab", b"cd")
    assert read_bin(path).same.tolist() == [True]


class Dangerous:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("ran",)


def test_a_bin_file_runs_no_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.bin"
    path.write_bytes(pickle.dumps(([b"", Dangerous()], [True])))
    with pytest.raises(UnsafePickleError, match="print"):
        read_bin(path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(([b"a"], [True])), "1 pictures and 1 flags"),
        (pickle.dumps(([b"a", "b"], [True])), "a picture must be bytes, got str"),
        (pickle.dumps(([b"a", b"b"], [2])), "its flags must be true or false"),
        (pickle.dumps(([], [])), "0 pictures and 0 flags"),
        (pickle.dumps([1]), "must hold a list of pictures and a list of flags"),
        (pickle.dumps((5, [True])), "must hold a list of pictures and a list of flags"),
        (pickle.dumps(([b"a", b"b"], [[1], [1, 0]])), "its flags must be true or false"),
        (b"no pickle", "is no verification set"),
        (pickle.dumps(([b"a"] * 200, [True] * 100))[:60], "is no verification set"),
    ],
)
def test_other_bin_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(content)
    with pytest.raises(PictureSetError, match=message):
        read_bin(path)


def test_crops_of_another_size_are_searched_for_faces(tmp_path: Path) -> None:
    pictures = [path.read_bytes() for name in people.IDS[:2] for path in people.PICTURES[name]]
    path = tmp_path / "large.bin"
    order = [0, 1, 3, 4, 0, 3, 1, 4]
    path.write_bytes(pickle.dumps(([pictures[place] for place in order], [True, True, False, False])))
    report = evaluate_pairs(Engine(), read_bin(path), options=FEW)
    assert report.correct is not None
    assert report.failures == ()
    assert any("are not of the pack's size" in note for note in report.notes)


def ijb_folder(root: Path) -> Path:
    """Templates of two pictures a person, with the box of the face, and probes of one."""
    (root / "img").mkdir(parents=True)
    enrolled, probes = ["TEMPLATE_ID,SUBJECT_ID,FILENAME,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT"], []
    for place, (name, pictures) in enumerate(people.PICTURES.items()):
        for number, picture in enumerate(pictures):
            target = root / "img" / f"{name}{number}.jpg"
            shutil.copy(picture, target)
            face = BOXES[name][number]
            line = f"{place if number < 2 else 100 + place},{name},img/{target.name},{face}"
            (enrolled if number < 2 else probes).append(line)
    (root / "gallery.csv").write_text("\n".join(enrolled) + "\n")
    (root / "probe.csv").write_text("\n".join([enrolled[0], *probes]) + "\n")
    pairs = [f"{a} {100 + b} {int(a == b)}" for a in range(8) for b in range(8)]
    (root / "pairs.txt").write_text("\n".join(pairs) + "\n")
    return root


BOXES: dict[str, list[str]] = {}


@pytest.fixture(scope="module", autouse=True)
def boxes(engine: Engine) -> None:
    for name, pictures in people.PICTURES.items():
        for picture in pictures:
            x1, y1, x2, y2 = engine.analyze(picture, max_faces=1, embed=False)[0].bbox.tolist()
            BOXES.setdefault(name, []).append(f"{x1:.1f},{y1:.1f},{x2 - x1:.1f},{y2 - y1:.1f}")


def test_ijb_templates_are_compared_and_searched(tmp_path: Path, engine: Engine) -> None:
    root = ijb_folder(tmp_path / "ijb")
    read = read_ijb(root, [root / "probe.csv"], pairs=root / "pairs.txt", gallery=[root / "gallery.csv"])
    assert (len(read.pictures), len(read.ids), len(read.pairs)) == (24, 16, 64)
    assert [len(members) for members in read.members] == [2] * 8 + [1] * 8
    report = evaluate_templates(engine, read, options=FEW)
    assert report.at_threshold is not None
    assert (report.at_threshold.fmr.trials, report.at_threshold.fnmr.trials) == (56, 8)
    assert (report.at_threshold.fmr.value, report.at_threshold.fnmr.value) == (0.0, 0.0)
    assert report.ranks[0].hits.value == 1.0
    assert {row.people for row in report.identification} == {7}
    # the scores are those of the fused templates
    samples = sample_pictures(engine, read.pictures).samples
    vectors = [np.stack([s for m in members if (s := samples[m].embedding) is not None]) for members in read.members]
    fused = [v.mean(axis=0) / np.linalg.norm(v.mean(axis=0)) for v in vectors]
    lowest = min(float(fused[a] @ fused[b]) for a, b in read.pairs if read.people[a] == read.people[b])
    assert report.histogram[-1][0] < 1
    assert lowest > report.at_threshold.threshold
    only = evaluate_templates(engine, read_ijb(root, [root / "probe.csv"], gallery=[root / "gallery.csv"]), options=FEW)
    assert only.at_threshold is not None
    assert only.at_threshold.fmr.trials == 56


def test_the_box_says_which_face_is_meant(engine: Engine) -> None:
    group = engine.analyze(people.GROUP)
    for face in group:
        x1, y1, x2, y2 = (float(edge) for edge in face.bbox)
        (sample,) = sample_pictures(engine, [people.GROUP], bboxes=[(x1 - 5, y1 - 5, x2 + 5, y2 + 5)]).samples
        assert sample.embedding is not None
        assert np.array_equal(sample.embedding, face.embedding)
    (sample,) = sample_pictures(engine, [people.GROUP], bboxes=[(0.0, 0.0, 2.0, 2.0)]).samples
    assert sample.failure == "no face"


def test_wrong_ijb_lists_are_refused(tmp_path: Path) -> None:
    root = ijb_folder(tmp_path / "ijb")
    (root / "bad.txt").write_text("1 999\n")
    with pytest.raises(LabelsError, match=r"bad\.txt, line 1: expected the ids of two templates"):
        read_ijb(root, [root / "probe.csv"], pairs=root / "bad.txt")
    (root / "bad.csv").write_text("TEMPLATE_ID,FILENAME\n1,img/ayu0.jpg\n")
    with pytest.raises(LabelsError, match=r"line 2: expected TEMPLATE_ID, SUBJECT_ID, FILENAME"):
        read_ijb(root, [root / "bad.csv"], pairs=root / "pairs.txt")
    with pytest.raises(LabelsError, match="give the file of pairs"):
        read_ijb(root, [root / "probe.csv"])
    (root / "two.csv").write_text("TEMPLATE_ID,SUBJECT_ID,FILENAME\n1,ayu,img/ayu0.jpg\n1,budi,img/budi0.jpg\n")
    with pytest.raises(LabelsError, match="template 1 is of 'ayu' in one line and of 'budi' in another"):
        read_ijb(root, [root / "two.csv"], pairs=root / "pairs.txt")
    (root / "img" / "ayu0.jpg").unlink()
    with pytest.raises(PictureSetError, match=r"1 of 24 pictures are missing, such as .*ayu0\.jpg"):
        read_ijb(root, [root / "probe.csv"], gallery=[root / "gallery.csv"])


def scface_folder(root: Path, *, listed: bool) -> Path:
    root.mkdir()
    rows = ["file;person;camera;distance"]
    for place, pictures in enumerate(people.PICTURES.values(), start=1):
        names = (f"{place:03d}_frontal.jpg", f"{place:03d}_cam1_1.jpg", f"{place:03d}_cam2_3.jpg")
        for number, (picture, name) in enumerate(zip(pictures, names, strict=True)):
            name = f"p{place}-{number}.jpg" if listed else name
            shutil.copy(picture, root / name)
            rows.append(f"{name};{place};{('mugshot', 'cam1', 'cam2')[number]};{('', '1', '3')[number]}")
    if listed:
        (root / "cameras.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.mark.parametrize("listed", [False, True])
def test_scface_cameras_are_told_apart(tmp_path: Path, engine: Engine, listed: bool) -> None:
    root = scface_folder(tmp_path / "scface", listed=listed)
    # the second camera of the first person sees nothing
    Image.new("RGB", (64, 64)).save(root / ("p1-2.jpg" if listed else "001_cam2_3.jpg"))
    read = read_scface(root, cameras=root / "cameras.csv" if listed else None)
    assert (len(read.gallery), len(read.probes)) == (8, 16)
    report = evaluate_templates(engine, read, options=FEW)
    assert [(part.value, part.people) for part in report.slices] == [("cam1, distance 1", 8), ("cam2, distance 3", 7)]
    assert all(part.fmr is not None and part.fmr.value == 0 for part in report.slices)
    assert {rank.group: rank.hits.trials for rank in report.ranks if rank.group} == {
        "cam1, distance 1": 8,
        "cam2, distance 3": 7,
    }
    assert len(report.failures) == 1
    assert "1 template without a face left out" in report.notes
    (tmp_path / "empty").mkdir()
    with pytest.raises(PictureSetError, match="0 mug shots and 0 pictures of cameras"):
        read_scface(tmp_path / "empty")


def test_lfw_pairs_are_a_report_too(tmp_path: Path, engine: Engine) -> None:
    from facedex.evaluate import read_lfw

    for name in ("ayu", "budi"):
        (tmp_path / name).mkdir()
        for number, picture in enumerate(people.PICTURES[name], start=1):
            shutil.copy(picture, tmp_path / name / f"{name}_{number:04d}.jpg")
    (tmp_path / "pairs.txt").write_text("2\t1\nayu\t1\t2\nayu\t1\tbudi\t1\nbudi\t1\t2\nayu\t2\tbudi\t3\n")
    report = evaluate_pairs(engine, PairSet.of(read_lfw(tmp_path)), options=FEW)
    assert report.correct is not None
    assert (report.correct.value, report.correct.trials, report.people) == (1.0, 4, 2)
    done = RUN.invoke(app, ["evaluate", str(tmp_path), "--protocol", "lfw", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["correct"]["value"] == 1.0


def test_the_command_runs_each_protocol(tmp_path: Path) -> None:
    root = ijb_folder(tmp_path / "ijb")
    given = ["--templates", str(root / "probe.csv"), "--enrolled", str(root / "gallery.csv")]
    done = RUN.invoke(app, ["evaluate", str(root), "--protocol", "ijb", *given, "--pairs", str(root / "pairs.txt")])
    assert done.exit_code == 0, done.output
    assert "ijb: 8 people, 24 pictures" in done.output
    scface = scface_folder(tmp_path / "scface", listed=True)
    cameras = ["--cameras", str(scface / "cameras.csv")]
    done = RUN.invoke(app, ["evaluate", str(scface), "--protocol", "scface", *cameras])
    assert done.exit_code == 0, done.output
    assert "camera: cam1, distance 1" in done.output
    done = RUN.invoke(app, ["evaluate", str(root), *cameras])
    assert done.exit_code == 2
    assert "--cameras belongs to --protocol scface" in " ".join(done.output.split())
