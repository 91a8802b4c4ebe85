"""`Gallery.evaluate`: a gallery as it is stored, with probes of people in it and of others."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from facedex import Engine, Gallery, people
from facedex.errors import PackMismatchError, PictureSetError
from facedex.evaluate import EvaluateOptions, PictureSet
from facedex.evaluate.evaluation import evaluate_probes

FEW = EvaluateOptions(replicates=20)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Iterator[Gallery]:
    with Gallery.open(tmp_path_factory.mktemp("gallery") / "people.db", engine=engine) as opened:
        for person in people.IDS[:6]:
            opened.register(person, people.PICTURES[person])
        yield opened


def test_probes_of_registered_and_of_unknown_people(gallery: Gallery) -> None:
    report = gallery.evaluate(people.PROBES, options=FEW)
    probes = sum(len(pictures) for pictures in people.PROBES.values())
    known = sum(len(people.PROBES[person]) for person in people.IDS[:6])
    assert (report.name, report.pictures, report.failures) == ("gallery 'default'", probes, ())
    assert report.at_threshold is not None
    assert report.at_threshold.fnmr.trials == known
    assert report.at_threshold.fmr.trials == probes * 6 - known
    assert (report.at_threshold.fmr.value, report.at_threshold.fnmr.value) == (0.0, 0.0)
    answered = gallery.recognize(people.PROBES[people.IDS[0]][0])[0]
    assert report.at_threshold.threshold == answered.threshold
    searched = [row for row in report.identification if row.wanted_fpir is None]
    assert [(row.people, row.pictures, row.fnir.value) for row in searched] == [(5, None, 0.0)]
    assert report.ranks[0].hits.value == 1.0
    assert "Templates as registered" in report._repr_html_()


def test_the_rates_are_those_of_the_gallerys_own_answers(gallery: Gallery) -> None:
    """At a threshold between the similarities: as many claims match as `verify` accepts."""
    pictures = [(person, path) for person in people.IDS for path in people.PROBES[person]]
    threshold = 0.2
    accepted = {True: 0, False: 0}
    for person, path in pictures:
        for claimed in people.IDS[:6]:
            match = gallery.verify(claimed, path, threshold=threshold, faces="largest").match
            accepted[person == claimed] += match
    report = gallery.evaluate(people.PROBES, threshold=threshold, options=FEW)
    point = report.at_threshold
    assert point is not None
    assert round(point.fmr.value * point.fmr.trials) == accepted[False] > 0
    assert point.fnmr.trials - round(point.fnmr.value * point.fnmr.trials) == accepted[True]


def test_a_folder_and_a_coroutine(gallery: Gallery, tmp_path: Path) -> None:
    for person in people.IDS:
        (tmp_path / "probes" / person).mkdir(parents=True)
        for picture in people.PROBES[person]:
            shutil.copy(picture, tmp_path / "probes" / person)
    seen: list[tuple[int, int]] = []
    report = asyncio.run(
        gallery.aevaluate(
            tmp_path / "probes", cache=tmp_path / "cache", progress=lambda *done: seen.append(done), options=FEW
        )
    )
    assert report.at_threshold is not None
    assert report.at_threshold.fnmr.value == 0
    assert seen[-1] == (report.pictures, report.pictures)
    assert gallery.evaluate(tmp_path / "probes", cache=tmp_path / "cache", options=FEW).ms_per_picture is None


def test_an_encrypted_gallery_is_evaluated(engine: Engine) -> None:
    pytest.importorskip("cryptography")
    with Gallery.open(":memory:", engine=engine, key=bytes(range(32))) as gallery:
        for person in (1, 2, 3):
            gallery.register(person, people.PICTURES[people.IDS[person]])
        probes = {person: people.PROBES[people.IDS[person]] for person in (1, 2, 3)}
        report = gallery.evaluate(probes, options=FEW)
        assert report.at_threshold is not None
        assert report.at_threshold.fnmr.value == 0
        assert any("every probe is of a person in the gallery" in note for note in report.notes)


def test_what_cannot_be_evaluated_is_refused(gallery: Gallery, engine: Engine, tmp_path: Path) -> None:
    with Gallery.open(":memory:", engine=engine) as empty:
        with pytest.raises(PictureSetError, match="gallery 'default' is empty"):
            empty.evaluate(people.PROBES)
        empty.register("ayu", people.PICTURES["ayu"])
        with pytest.raises(PictureSetError, match="has 1 person with a face; search needs at least 2"):
            empty.evaluate(people.PROBES)
    with pytest.raises(PictureSetError, match="there is no probe"):
        gallery.evaluate({})
    black = np.zeros((64, 64, 3), dtype=np.uint8)
    with pytest.raises(PictureSetError, match="no face was found in the first 1 probes"):
        gallery.evaluate({"ayu": black})
    with pytest.raises(PictureSetError, match="none of the 1 probes has a face"):
        gallery.evaluate({"ayu": black}, threshold=0.5)
    report = gallery.evaluate({"zoe": people.PROBES[people.IDS[7]]}, options=FEW)
    assert report.at_threshold is None
    assert any("no probe is of a person in the gallery" in note for note in report.notes)
    probe = PictureSet("probes", (people.PROBES["ayu"][0],), ("a",), ("ayu",))
    templates = [(name, np.eye(192, dtype=np.float32)[:1]) for name in ("ayu", "budi")]
    with pytest.raises(PackMismatchError, match="cannot be compared"):
        evaluate_probes(engine, "x", templates, probe, threshold=0.5, pack_digest=Engine("classic").pack.digest)
