"""How a gallery searches: by person, approximately with the promised recall, and rebuilt from the database."""

from __future__ import annotations

import json
import logging
import math
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from place import Place
from typer.testing import CliRunner

from facedex import packs, people
from facedex._core import Index
from facedex.cli.app import app
from facedex.engine import Engine
from facedex.errors import ArgumentError, FaceNotLiveError, FaceQualityError, LivenessError, RoleMissingError
from facedex.gallery import Gallery
from facedex.gallery.policy import Enrolment
from facedex.search import snapshots
from facedex.search.remote import people_by_widening
from facedex.store import fuse

Floats = NDArray[np.float32]

AYU, BUDI = people.PICTURES["ayu"], people.PICTURES["budi"]
PROBE = people.PROBES["ayu"][0]
DIMENSION = packs.info(packs.default()).info.dimension or 0
SQLITE = pytest.mark.parametrize("place", ["sqlite"], indirect=True)


def unit(vectors: Any) -> Floats:
    found = np.asarray(vectors, np.float64)
    return (found / np.linalg.norm(found, axis=-1, keepdims=True)).astype(np.float32)


def towards(probe: Floats, cosine: float, seed: int) -> Floats:
    """A unit vector at this cosine to a probe."""
    away = np.random.default_rng(seed).standard_normal(len(probe))
    away = unit(away - (away @ probe) * probe)
    return unit(cosine * probe + math.sqrt(1 - cosine**2) * away)


@pytest.fixture
def location(tmp_path: Path) -> str:
    return str(tmp_path / "people.db")


def register_many(gallery: Gallery, count: int, seed: int = 1) -> Floats:
    """Register unknown people, a face each, and return their vectors."""
    vectors = unit(np.random.default_rng(seed).standard_normal((count, DIMENSION)))
    for number, vector in enumerate(vectors):
        gallery.register_templates(f"stranger {number}", vector)
    return vectors


# By person.


def test_a_person_is_as_similar_as_the_mean_of_the_best_faces(
    location: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = engine.analyze(PROBE)[0].embedding
    assert probe is not None
    quiet = Enrolment(duplicates="ignore")
    cosines = {"one": [0.95], "many": [0.97, 0.93, 0.2], "few": [0.94, 0.9]}
    seeds = iter(range(100))
    expected: list[tuple[dict[str, Any], list[tuple[str, float]]]] = [
        ({"score": "closest"}, [("many", 0.97), ("one", 0.95), ("few", 0.94)]),
        ({"score": "mean", "best_of": 1}, [("many", 0.97), ("one", 0.95), ("few", 0.94)]),
        ({"best_of": 2}, [("one", 0.95), ("many", 0.95), ("few", 0.92)]),
        ({"best_of": 3}, [("one", 0.95), ("few", 0.92), ("many", 0.7)]),
        ({"score": "mean"}, [("one", 0.95), ("few", 0.92), ("many", 0.7)]),
    ]
    with Gallery.open(location, engine=engine, enrolment=quiet) as gallery:
        for who, each in cosines.items():
            gallery.register_templates(who, np.stack([towards(probe, cosine, next(seeds)) for cosine in each]))
    for options, order in expected:
        with Gallery.open(location, engine=engine, threshold=0.9, **options) as gallery:
            assert gallery.status().score == options.get("score", "mean")
            face = gallery.recognize(PROBE, k=3)[0]
            assert {candidate.person_id for candidate in face.candidates} == set(cosines)
            found = sorted((-round(one.similarity, 5), str(one.person_id)) for one in face.candidates)
            assert found == sorted((-similarity, who) for who, similarity in order)
            assert face.margin == pytest.approx(order[0][1] - order[1][1], abs=1e-6)
            assert gallery.recognize(PROBE)[0].margin == face.margin
            for who, similarity in order:
                verification = gallery.verify(who, PROBE)
                assert verification.similarity == pytest.approx(similarity, abs=1e-6)
                assert verification.match is (similarity >= 0.9)
                assert verification.face_id == next(one.face_id for one in face.candidates if one.person_id == who)
    for wrong in (0, 1.5, True, "2"):
        with pytest.raises(ArgumentError, match="best_of must be a whole number from 1"):
            Gallery.open(location, engine=engine, best_of=wrong)  # type: ignore[arg-type]
    for score in ("fused", "closest"):
        with pytest.raises(ArgumentError, match=f"best_of=2 averages, which is score='mean', not '{score}'"):
            Gallery.open(location, engine=engine, score=score, best_of=2)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="score must be one of 'fused', 'closest', 'mean', got 'best'"):
        Gallery.open(location, engine=engine, score="best")  # type: ignore[arg-type]
    monkeypatch.setenv("FACEDEX_SCORE", "closest")
    with Gallery.open(location, engine=engine) as gallery:
        assert gallery.status().score == "closest"
    monkeypatch.setenv("FACEDEX_SCORE", "best")
    with pytest.raises(ArgumentError, match="FACEDEX_SCORE must be one of 'fused', 'closest', 'mean', got 'best'"):
        Gallery.open(location, engine=engine)


def test_the_default_score_is_the_similarity_to_the_fused_template(location: str, engine: Engine) -> None:
    probe = engine.analyze(PROBE)[0].embedding
    assert probe is not None
    registered = {
        "one": np.stack([towards(probe, 0.95, 1)]),
        "few": np.stack([towards(probe, cosine, seed) for cosine, seed in ((0.9, 2), (0.94, 3))]),
        "many": np.stack([towards(probe, cosine, seed) for cosine, seed in ((0.8, 4), (0.7, 5), (0.6, 6))]),
    }
    means = {who: vectors.mean(0, dtype=np.float64) for who, vectors in registered.items()}
    expected = {who: float(mean @ probe / np.linalg.norm(mean)) for who, mean in means.items()}
    with Gallery.open(location, engine=engine, enrolment=Enrolment(duplicates="ignore"), threshold=0.9) as gallery:
        stored = {who: gallery.register_templates(who, vectors) for who, vectors in registered.items()}
        face = gallery.recognize(PROBE, k=3)[0]
        order = sorted(expected, key=lambda who: -expected[who])
        assert [one.person_id for one in face.candidates] == order
        closest = {who: int(np.argmax(vectors @ probe)) for who, vectors in registered.items()}
        for one in face.candidates:
            who = str(one.person_id)
            assert one.similarity == pytest.approx(expected[who], abs=1e-6)
            assert one.face_id == stored[who].faces[closest[who]].face_id
            verified = gallery.verify(who, PROBE)
            assert (verified.similarity, verified.face_id) == (pytest.approx(one.similarity, abs=1e-6), one.face_id)
        assert gallery.status().score == "fused"
        assert len(gallery._resources.search) == gallery._resources.count_people() == 3
        # A face is removed: the others are fused anew; the person whose last face is removed is found no more.
        gallery.delete_face(stored["few"].faces[0].face_id)
        again = {one.person_id: one for one in gallery.recognize(PROBE, k=3)[0].candidates}
        assert again["few"].similarity == pytest.approx(0.94, abs=1e-6)
        assert again["few"].face_id == stored["few"].faces[1].face_id
        gallery.delete_face(stored["few"].faces[1].face_id)
        assert "few" not in {one.person_id for one in gallery.recognize(PROBE, k=3)[0].candidates}
    with Gallery.open(location, engine=engine, score="closest") as gallery:
        assert gallery._resources.count_people() == 2
        assert gallery.recognize(PROBE)[0].similarity == pytest.approx(0.95, abs=1e-6)


def test_the_command_line_chooses_the_score(location: str, engine: Engine) -> None:
    with Gallery.open(location, engine=engine) as gallery:
        gallery.register("ayu", AYU)
    for command in (["recognize"], ["verify", "ayu"]):
        found = {}
        for score in ("fused", "closest", "mean"):
            arguments = [*command, str(PROBE), "--score", score, "--db", location, "--json"]
            content = json.loads(CliRunner().invoke(app, arguments).output)
            face = content["pictures"][0]["faces"][0] if "pictures" in content else content
            found[score] = face["similarity"]
        assert found["mean"] < found["closest"] < 1
        assert len(set(found.values())) == 3


def test_a_person_with_many_faces_hides_nobody(location: str, engine: Engine) -> None:
    probe = engine.analyze(PROBE)[0].embedding
    assert probe is not None
    with Gallery.open(location, engine=engine, score="closest") as gallery:
        near = np.stack([towards(probe, 0.97, seed) for seed in range(150)])
        gallery.register_templates("ayu", near)
        gallery.register_templates("double", towards(probe, 0.96, 1000), strict=False)
        face = gallery.recognize(PROBE, k=2)[0]
        assert [one.person_id for one in face.candidates] == ["ayu", "double"]
        assert face.margin == pytest.approx(0.01, abs=1e-5)
        # Who is registered anew is compared with the others, not with the own faces.
        again = gallery.register_templates("ayu", towards(probe, 0.999, 2000), on_existing="add")
        assert [warning.person_id for warning in again.warnings] == ["double"]


@pytest.mark.parametrize("faces", [1, 2, 4])
def test_widening_finds_the_people_that_a_full_scan_finds(faces: int) -> None:
    generator = np.random.default_rng(faces)
    owners = generator.integers(0, 60, 900).astype(np.uint64)
    owners[:400] = 7  # one has nearly half of all
    centres = unit(generator.standard_normal((60, 32)))
    vectors = unit(centres[owners] + 0.8 * generator.standard_normal((900, 32)) / math.sqrt(32))
    probes = vectors[::50]
    index = Index(32, "ab" * 32)
    index.add(np.arange(900, dtype=np.uint64), vectors, people=owners)
    asked: list[int] = []

    def nearest(some: Floats, k: int) -> tuple[Any, Any, Any]:
        asked.append(k)
        keys, similarities = index.search(some, k)
        return keys, similarities, owners[keys]

    def scores(probe: Floats, wanted: Any) -> dict[int, list[float]]:
        return {person: (vectors[owners == person] @ probe).tolist() for person in wanted}

    for k in (1, 3, 100):
        found = people_by_widening(nearest, scores, 900, probes, k, faces)
        native = index.search_people(probes, k, faces=faces)
        assert found.people.shape == native[0].shape == (18, min(k, 60))
        assert np.array_equal(found.people, native[0])
        assert np.array_equal(found.keys, native[2])
        np.testing.assert_allclose(found.similarities, native[1], atol=1e-6)
    assert max(asked) == 900
    nothing = people_by_widening(nearest, scores, 0, probes, 3)
    assert nothing.people.shape == (18, 0)


# Approximately.


@pytest.mark.parametrize("index", ["auto", "exact", "ivf", "hnsw"])
def test_every_method_finds_known_people_and_reports_recall(location: str, engine: Engine, index: Any) -> None:
    with Gallery.open(location, engine=engine, index=index) as gallery:
        gallery.register("ayu", AYU)
        register_many(gallery, 60)
        assert gallery.recognize(PROBE)[0].person_id == "ayu"
        status = gallery.status()
        assert status.method == ("hnsw" if index == "hnsw" else "exact")
        assert status.recall == 1.0
        words = {"auto": "an exact search takes", "exact": "asked for", "hnsw": "asked for", "ivf": "too few"}
        assert words[index] in status.why
        gallery.delete("ayu")
        assert gallery.recognize(PROBE)[0].person_id != "ayu"
        assert gallery.status().position == status.position + 3


@pytest.mark.parametrize(
    "wrong", [{"index": "flat"}, {"budget_ms": -1.0}, {"promised_recall": 1.5}, {"promised_recall": -0.1}]
)
def test_an_unknown_search_method_is_refused(location: str, engine: Engine, wrong: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        Gallery.open(location, engine=engine, **wrong)


# From the database, when the snapshot fails.


@pytest.fixture
def filed(location: str, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Path]:
    """A gallery whose vectors stay in its snapshot, and the snapshot."""
    monkeypatch.setattr(snapshots, "RESIDENT_BYTES", 0)
    with Gallery.open(location, engine=engine) as gallery:
        gallery.register("ayu", AYU)
        gallery.register("budi", BUDI)
        register_many(gallery, 30)
    (path,) = Path(location).parent.glob("*.index")
    return location, path


@pytest.mark.parametrize("damage", ["bit", "zeros", "cut"])
def test_a_snapshot_that_fails_during_a_search_is_rebuilt(
    filed: tuple[str, Path], engine: Engine, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    location, path = filed
    with Gallery.open(location, engine=engine) as gallery:
        before = gallery.recognize(PROBE)[0]
        assert (before.person_id, gallery.status().rebuilt) == ("ayu", None)
        content = path.read_bytes()
        blocks = 1
        start = len(content) - 16 * (blocks + 1) - 36 * 512
        with path.open("r+b") as file:
            if damage == "cut":
                file.truncate(start)
            else:
                for row in range(36):
                    file.seek(start + 512 * row + 5)
                    byte = content[start + 512 * row + 5]
                    file.write(bytes([byte ^ 1 if damage == "bit" else 0]))
        with caplog.at_level(logging.WARNING, "facedex"):
            after = gallery.recognize(PROBE)[0]
        assert after == before
        rebuilt = gallery.status().rebuilt
        assert rebuilt is not None
        assert path.name in rebuilt
        assert "rebuilt from the database" in caplog.text
        assert not path.exists()
    with Gallery.open(location, engine=engine) as gallery:
        assert (gallery.recognize(PROBE)[0], gallery.status().rebuilt) == (before, None)


def test_no_open_snapshot_contains_a_deleted_vector(filed: tuple[str, Path], engine: Engine) -> None:
    location, path = filed
    held = path.open("rb")
    with Gallery.open(location, engine=engine) as other, Gallery.open(location, engine=engine) as gallery, held:
        vectors = {who: [fuse(gallery._resources.store.templates_of(who)[2])] for who in ("ayu", "budi")}
        assert all(row.tobytes() in held.read() for row in [vectors["ayu"][0]])
        assert other.recognize(PROBE)[0].person_id == "ayu"
        gallery.delete("ayu")
        assert gallery.recognize(PROBE)[0].person_id != "ayu"
        held.seek(0)
        left = held.read()
        assert not any(row.tobytes() in left for row in vectors["ayu"])
        assert all(row.tobytes() in left for row in vectors["budi"])
        # Another reader of that very file has its rows overwritten under its feet, and answers all the same.
        assert other.recognize(PROBE)[0].person_id != "ayu"
        assert other.status().rebuilt is None
        assert other.recognize(people.PROBES["budi"][0])[0].person_id == "budi"


def test_searches_during_deletions_never_fail_or_name_deleted_people(filed: tuple[str, Path], engine: Engine) -> None:
    location, _ = filed
    wrong: list[object] = []
    ended = threading.Event()
    faces = engine.analyze(PROBE).faces
    probes = np.stack([face.embedding for face in faces if face.embedding is not None])
    with Gallery.open(location, engine=engine) as reading, Gallery.open(location, engine=engine) as writing:

        def read() -> None:
            while not ended.is_set():
                try:
                    candidates = reading._recognizer._closest(probes, 40)[0]
                    if len({one.person_id for one in candidates}) != len(candidates):
                        wrong.append(candidates)
                except Exception as error:  # noqa: BLE001
                    wrong.append(error)

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for number in range(30):
            writing.delete(f"stranger {number}")
        ended.set()
        for reader in readers:
            reader.join()
        assert wrong == []
        assert [one.person_id for one in reading._recognizer._closest(probes, 40)[0]] == ["ayu", "budi"]


# What else is asked of a face.


@SQLITE
def test_quality_is_reported_and_limits_registration(place: Place, engine: Engine) -> None:
    quality = engine.analyze(AYU[0], quality=True)[0].quality
    assert quality is not None
    score = quality.unified_score
    with Gallery.open(place.location, engine=engine, enrolment=Enrolment(min_quality=score + 0.5)) as gallery:
        with pytest.raises(FaceQualityError, match=r"has a quality of \d+, at least .* of 100 is needed") as refused:
            gallery.register("ayu", AYU[0])
        assert refused.value.code == "face_quality"
        assert (refused.value.measured, refused.value.limit) == (pytest.approx(score), score + 0.5)
        (several,) = gallery.register_many([("ayu", AYU[:1])])
        assert isinstance(several, FaceQualityError) or "quality" in str(several)
    with Gallery.open(place.location, engine=engine, enrolment=Enrolment(min_quality=score)) as gallery:
        gallery.register("ayu", AYU[0])
        plain, asked = gallery.recognize(PROBE)[0], gallery.recognize(PROBE, quality=True)[0]
        assert (plain.quality, plain.liveness, plain.attributes) == (None, None, None)
        assert asked.quality == engine.analyze(PROBE, quality=True)[0].quality
        (many,) = gallery.recognize_many([PROBE], quality=True)
        assert many[0].quality == asked.quality  # type: ignore[index]
        assert gallery.verify("ayu", PROBE, quality=True).quality == asked.quality
    with pytest.raises(ArgumentError, match="min_quality must be a number from 0 to 100"):
        Enrolment(min_quality=101)


@SQLITE
def test_estimates_without_a_network_are_reported_or_refused(place: Place, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine, enrolment=Enrolment(require_liveness=True)) as gallery:
        with pytest.raises(FaceNotLiveError, match=r"is unknown: pack .* has no liveness network") as refused:
            gallery.register("ayu", AYU[0])
        assert refused.value.code == "face_not_live"
        assert gallery.people() == []
    with Gallery.open(place.location, engine=engine) as gallery:
        gallery.register("ayu", AYU)
        advised = gallery.recognize(PROBE, liveness=True)[0]
        assert advised.liveness is not None
        assert (advised.person_id, advised.liveness.status) == ("ayu", "unavailable")
        assert gallery.verify("ayu", PROBE, liveness="advisory").match
        for call in (
            lambda: gallery.recognize(PROBE, liveness="required"),
            lambda: gallery.verify("ayu", PROBE, liveness="required"),
        ):
            with pytest.raises(LivenessError):
                call()
        with pytest.raises(RoleMissingError):
            gallery.recognize(PROBE, attributes=True)
