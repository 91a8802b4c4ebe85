"""Which faces a gallery accepts: size, score, number, and faces of other people."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from place import Place
from typer.testing import CliRunner

from facedex import packs, people
from facedex.cli.app import app
from facedex.engine import Engine
from facedex.errors import (
    ArgumentError,
    DuplicateFaceError,
    FacedexError,
    FaceScoreError,
    FaceTooSmallError,
    PersonFullError,
    RegistrationError,
)
from facedex.gallery import Gallery
from facedex.gallery.fsck import fsck
from facedex.gallery.outliers import OutlierFinder
from facedex.gallery.policy import Enrolment
from facedex.options import WhenFull
from facedex.records import Registration
from facedex.store import FaceLimit, NewFace, fuse
from facedex.thresholds import prior_of

AYU, BUDI = people.PICTURES["ayu"], people.PICTURES["budi"]
SQLITE = pytest.mark.parametrize("place", ["sqlite"], indirect=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_face_px": -1},
        {"min_face_px": float("nan")},
        {"min_score": 1.1},
        {"min_score": "high"},
        {"max_faces": 0},
        {"max_faces": 1.5},
        {"max_faces": True},
        {"when_full": "newest"},
        {"duplicates": "allow"},
    ],
)
def test_a_rule_out_of_range_is_refused(wrong: Any) -> None:
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        Enrolment(**wrong)


# Quality.


@SQLITE
def test_a_face_that_is_too_small_is_refused_with_value_and_limit(place: Place, engine: Engine) -> None:
    x1, y1, x2, y2 = engine.analyze(AYU[0])[0].bbox.tolist()
    side = min(x2 - x1, y2 - y1)
    with Gallery.open(place.location, engine=engine, enrolment=Enrolment(min_face_px=side + 0.5)) as gallery:
        with pytest.raises(FaceTooSmallError, match=r"shorter side, at least .* are needed") as refused:
            gallery.register("ayu", AYU[0])
        assert refused.value.code == "face_too_small"
        assert (refused.value.measured, refused.value.limit) == (pytest.approx(side), side + 0.5)
        assert gallery.people() == []
    with Gallery.open(place.location, engine=engine, enrolment=Enrolment(min_face_px=side)) as gallery:
        gallery.register("ayu", AYU[0])


@SQLITE
def test_a_face_of_a_low_score_is_refused_and_listed_among_several(place: Place, engine: Engine) -> None:
    scores = [float(engine.analyze(picture)[0].det_score) for picture in AYU]
    best = max(scores)
    assert len(set(scores)) == 3
    with Gallery.open(place.location, engine=engine, enrolment=Enrolment(min_score=best)) as gallery:
        registration = gallery.register("ayu", list(AYU))
        assert [face.source for face in registration.faces] == [scores.index(best)]
        assert {type(rejection.error) for rejection in registration.rejected} == {FaceScoreError}
        for rejection in registration.rejected:
            assert isinstance(rejection.error, FaceScoreError)
            assert rejection.error.measured == pytest.approx(scores[rejection.source])
            assert (rejection.error.limit, rejection.error.code) == (best, "face_score")
        worse = [picture for picture, score in zip(AYU, scores, strict=True) if score < best]
        with pytest.raises(RegistrationError):
            gallery.register("budi", worse)


# How many.


def rows(*scores: float) -> list[Any]:
    return [SimpleNamespace(id=number, det_score=score, quality=None) for number, score in enumerate(scores, 1)]


def faces(*scores: float) -> list[NewFace]:
    return [NewFace((0, 0, 1, 1), score, np.zeros(2, np.float32)) for score in scores]


@pytest.mark.parametrize(
    ("when_full", "stored", "new", "gone", "kept"),
    [
        ("oldest", (0.9, 0.8), (0.1,), [], [True]),
        ("oldest", (0.9, 0.8, 0.7), (0.1,), [1], [True]),
        ("oldest", (0.9, 0.8, 0.7), (0.1, 0.2, 0.3, 0.4), [1, 2, 3], [False, True, True, True]),
        ("worst", (0.9, 0.7, 0.8), (0.75,), [2], [True]),
        ("worst", (0.9, 0.7, 0.8), (0.7,), [2], [True]),
        ("worst", (0.9, 0.7, 0.8), (0.1, 0.95), [2], [False, True]),
        ("refuse", (0.9,), (0.1, 0.2), [], [True, True]),
    ],
)
def test_which_face_is_replaced(
    when_full: WhenFull, stored: tuple[float, ...], new: tuple[float, ...], gone: list[int], kept: list[bool]
) -> None:
    assert FaceLimit(3, when_full).choose(rows(*stored), faces(*new)) == (gone, kept)


@pytest.mark.parametrize(
    ("stored", "new", "gone", "kept"),
    [
        ((50.0, 40.0, 60.0), (45.0,), [2], [True]),
        ((50.0, 40.0, 60.0), (40.0,), [2], [True]),  # of equals the oldest
        ((50.0, 0.0, 60.0), (45.0,), [2], [True]),  # none at all is the lowest, not an unknown one
        ((50.0, None, 60.0), (45.0,), [1], [True]),  # one is not known: by the score
        ((50.0, 40.0, 60.0), (None,), [1], [True]),
    ],
)
def test_the_worst_face_has_the_lowest_quality_if_known_for_all(
    stored: tuple[float | None, ...], new: tuple[float | None, ...], gone: list[int], kept: list[bool]
) -> None:
    known = [
        SimpleNamespace(id=number, det_score=number / 10, quality=quality) for number, quality in enumerate(stored, 1)
    ]
    added = [NewFace((0, 0, 1, 1), 0.9, np.zeros(2, np.float32), None, quality) for quality in new]
    assert FaceLimit(3, "worst").choose(known, added) == (gone, kept)


def test_the_quality_of_a_face_is_stored_and_measured_again_on_a_rebuild(place: Place, engine: Engine) -> None:
    measured = [engine.analyze(picture, quality=True)[0].quality for picture in AYU]
    expected = [quality.unified_score for quality in measured if quality is not None]
    assert len(expected) == 3
    vector = np.eye(1, engine.dimension, dtype=np.float32)
    with Gallery.open(place.location, engine=engine, photos="original") as gallery:
        gallery.register("ayu", list(AYU))
        gallery.register_templates("ayu", vector, on_existing="add")
        gallery.register_many([("many", AYU[0])])
        assert [face.quality for face in gallery.person("ayu").faces] == [*expected, None]
        assert [face.quality for face in gallery.person("many").faces] == expected[:1]
        gallery.rebuild_person("ayu")
        assert [face.quality for face in gallery.person("ayu").faces] == [None, *expected]
    with Gallery.open(place.location, engine=engine) as gallery:
        assert [face.quality for face in gallery.person("ayu").faces] == [None, *expected]


@pytest.mark.parametrize(
    ("when_full", "stored", "new"), [("worst", (0.9, 0.8, 0.7), (0.1,)), ("refuse", (0.9, 0.8, 0.7), (0.99,))]
)
def test_a_full_gallery_is_an_error_with_value_and_limit(
    when_full: WhenFull, stored: tuple[float, ...], new: tuple[float, ...]
) -> None:
    with pytest.raises(PersonFullError, match="would have 4 faces, at most 3 are kept") as full:
        FaceLimit(3, when_full).choose(rows(*stored), faces(*new))
    assert (full.value.measured, full.value.limit, full.value.code) == (4, 3, "person_full")
    assert ("is better" in str(full.value)) == (when_full == "worst")


def test_a_person_keeps_the_newest_faces(place: Place, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine, enrolment=Enrolment(max_faces=2)) as gallery:
        first = gallery.register("ayu", list(AYU))
        assert [face.source for face in first.faces] == [1, 2]
        ((source, error),) = [(rejection.source, rejection.error) for rejection in first.rejected]
        assert source == 0
        assert isinstance(error, PersonFullError)
        assert (error.measured, error.limit) == (3, 2)
        assert str(error).endswith("at most 2 are kept, the newest; give fewer pictures at once")
        gallery.close()
    assert len(place.snapshots()) == 1
    with Gallery.open(place.location, engine=engine, enrolment=Enrolment(max_faces=2)) as gallery:
        more = gallery.register("ayu", AYU[0], on_existing="add")
        assert more.replaced == (first.faces[0].face_id,)
        assert place.snapshots() == []  # it held the face that was replaced
        stored = [face.face_id for face in gallery.person("ayu").faces]
        assert stored == [first.faces[1].face_id, more.faces[0].face_id]
        assert [event.facts["removed"] for event in gallery.audit()] == [[], [first.faces[0].face_id]]
        assert gallery.status().faces == 2
        assert gallery.recognize(AYU[0])[0].candidates[0].face_id == more.faces[0].face_id
    with Gallery.open(place.location, engine=engine, enrolment=Enrolment(max_faces=2, when_full="refuse")) as gallery:
        with pytest.raises(PersonFullError):
            gallery.register("ayu", AYU[1], on_existing="add")
        assert [face.face_id for face in gallery.person("ayu").faces] == stored
        gallery.register("ayu", AYU[1], on_existing="replace")


# Somebody else's.


def test_a_face_of_another_person_gives_a_warning(place: Place, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine) as gallery:
        assert gallery.register("ayu", AYU, name="Ayu").warnings == ()
        threshold = gallery.decide().threshold  # of those who are registered before
        registration = gallery.register("eko", [BUDI[0], AYU[0]])
        (warning,) = registration.warnings
        assert (warning.source, warning.person_id, warning.name) == (1, "ayu", "Ayu")
        vectors = np.stack([engine.analyze(picture)[0].embedding for picture in AYU])
        assert warning.similarity == pytest.approx(float(fuse(vectors) @ vectors[0]), abs=1e-5)
        assert warning.similarity >= warning.threshold == threshold
        assert "1 warning" in repr(registration)
        assert gallery.register("ayu", AYU[1], on_existing="add").warnings[0].person_id == "eko"


def test_a_face_of_another_person_is_refused_when_strict_and_nothing_is_stored(place: Place, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine) as gallery:
        gallery.register(7, AYU)
        with pytest.raises(DuplicateFaceError, match=r"resembles 7 with a similarity of 0\.989") as refused:
            gallery.register("eko", [BUDI[0], AYU[0]], strict=True)
        assert (refused.value.person_id, refused.value.code) == (7, "duplicate_face")
        assert refused.value.measured >= refused.value.limit == gallery.decide().threshold
        assert [person.person_id for person in gallery.people()] == [7]
        assert [event.kind for event in gallery.audit()] == ["register"]
        # A person's own faces are no reason, however many there are, and whichever way the id is written.
        for _ in range(3):
            assert gallery.register("7", AYU, on_existing="add", strict=True).warnings == ()
        assert gallery.register("7", AYU[0], on_existing="replace", strict=True).warnings == ()
    with Gallery.open(place.location, engine=engine, enrolment=Enrolment(duplicates="refuse")) as gallery:
        (answer,) = gallery.register_many([("eko", AYU[0])])
        assert isinstance(answer, DuplicateFaceError)
    with Gallery.open(place.location, engine=engine, enrolment=Enrolment(duplicates="ignore")) as gallery:
        assert gallery.register("eko", AYU[0]).warnings == ()
        assert isinstance(gallery.register_many([("fay", AYU[0])], strict=True)[0], DuplicateFaceError)


@SQLITE
def test_another_person_is_found_behind_many_own_faces(place: Place, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine, enrolment=Enrolment(duplicates="ignore")) as gallery:
        gallery.register("other", AYU[1])
        for _ in range(12):
            gallery.register("ayu", AYU[0], on_existing="add")
    similarity = engine.compare(AYU[0], AYU[1]).similarity
    assert similarity >= engine.threshold
    with Gallery.open(place.location, engine=engine) as gallery:
        (warning,) = gallery.register("ayu", AYU[0], on_existing="add").warnings
        assert warning.person_id == "other"
        assert warning.similarity == pytest.approx(similarity, abs=1e-4)


def test_of_two_concurrent_strict_registrations_of_one_face_one_is_refused(place: Place, engine: Engine) -> None:
    galleries = [Gallery.open(place.location, engine=engine) for _ in range(2)]
    for turn in range(5):
        answers: list[object] = []
        start = threading.Barrier(4)

        def register(number: int) -> None:
            start.wait()  # noqa: B023
            try:
                answers.append(galleries[number % 2].register(f"person {number}", AYU[0], strict=True))  # noqa: B023
            except FacedexError as error:
                answers.append(error)  # noqa: B023

        threads = [threading.Thread(target=register, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(type(answer).__name__ for answer in answers) == ["DuplicateFaceError"] * 3 + ["Registration"], (
            turn
        )
        (registered,) = [answer for answer in answers if isinstance(answer, Registration)]
        galleries[0].delete(registered.person_id)
    for gallery in galleries:
        gallery.close()


# A wrong photo.


def test_a_photo_of_somebody_else_is_reported_as_outlying(tmp_path: Path, engine: Engine) -> None:
    quiet = Enrolment(duplicates="ignore")
    ayu, budi = people.PICTURES["ayu"], people.PICTURES["budi"]
    with Gallery.open(tmp_path / "people.db", engine=engine, enrolment=quiet) as gallery:
        assert gallery.register("budi", budi).outliers == ()
        result = gallery.register("ayu", [ayu[0], budi[0], ayu[1], ayu[2]])
        (outlier,) = result.outliers
        assert (outlier.face_id, outlier.source) == (result.faces[1].face_id, 1)
        assert outlier.similarity < outlier.threshold < 0.5
        assert "1 outlier" in repr(result)
        # What was stored before is reported too, and no more once it is deleted.
        again = gallery.register("ayu", ayu[0], on_existing="add")
        assert [(one.face_id, one.source) for one in again.outliers] == [(outlier.face_id, None)]
        report = fsck(tmp_path / "people.db")
        assert report.ok
        assert [(who, one.face_id) for who, one in report.outliers] == [("ayu", outlier.face_id)]
        ran = CliRunner().invoke(app, ["fsck", "--db", str(tmp_path / "people.db")])
        assert ran.exit_code == 0
        assert f"face {outlier.face_id} does not resemble the other faces of 'ayu'" in ran.output
        gallery.delete_face(outlier.face_id)
        assert gallery.register("ayu", ayu[0], on_existing="add").outliers == ()
        # Of two faces that do not resemble each other the newer one is named.
        two = gallery.register("two", [ayu[0], budi[0]])
        assert [one.source for one in two.outliers] == [1]
    assert fsck(tmp_path / "people.db").outliers[0][0] == "two"


def test_the_command_line_names_the_outlying_picture(tmp_path: Path) -> None:
    ayu, budi = people.PICTURES["ayu"], people.PICTURES["budi"]
    pictures = list(map(str, (*ayu, budi[0])))
    ran = CliRunner().invoke(app, ["register", "ayu", *pictures, "--db", str(tmp_path / "people.db")])
    assert ran.exit_code == 0
    assert f"{pictures[-1]} does not resemble the other faces of 'ayu'" in ran.output.replace("\n", " ")
    answer = CliRunner().invoke(app, ["fsck", "--json", "--db", str(tmp_path / "people.db")])
    assert json.loads(answer.output)["outliers"][0][0] == "ayu"


def test_outliers_are_those_of_a_plain_computation() -> None:
    finder = OutlierFinder(packs.info("base").info)
    prior = prior_of(packs.info("base").info)
    assert prior is not None
    chance = np.random.default_rng(3)
    centre = chance.standard_normal(64)
    own = centre + 0.7 * chance.standard_normal((6, 64))
    vectors = np.concatenate([own, chance.standard_normal((2, 64))]).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    left, expected = list(range(8)), []
    while True:
        scores = {
            place: float(vectors[place] @ fuse(vectors[[other for other in left if other != place]])) for place in left
        }
        worst = min(left, key=lambda place: scores[place])
        if scores[worst] >= prior.tail(len(left) - 1).threshold(0.01):
            break
        expected.append((10 + worst, pytest.approx(scores[worst], abs=1e-5)))
        left.remove(worst)
    found = [(one.face_id, one.similarity) for one in finder.find(range(10, 18), vectors)]
    assert found == expected
    assert {face_id for face_id, _ in found} == {16, 17}
    assert finder.find([1], vectors[:1]) == OutlierFinder(None).find(range(8), vectors) == []
    opposite = np.array([[1, 0], [-1, 0], [0, 1]], np.float32)
    assert len(finder.find([1, 2, 3], opposite)) == 2
