"""Where liveness is required and cannot be judged, the answer is no: every door, with a pack that cannot judge it.

Sign-in with a face and the contracts are in test_challenges, test_sign_in and contracts/test_liveness; what networks
that judge it let pass is in ../parity/test_liveness.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from facedex import Enrolment, Gallery, people
from facedex.cli.app import app
from facedex.engine import Engine
from facedex.errors import FaceNotLiveError, LivenessError, RegistrationError
from facedex.server import Access

AYU, PROBE = people.PICTURES["ayu"], people.PROBES["ayu"][0]


@pytest.fixture
def gallery(engine: Engine, tmp_path: Path) -> Iterator[Gallery]:
    """Ayu is registered, with photos."""
    with Gallery.open(tmp_path / "lib.db", engine=engine, photos="original") as opened:
        opened.register("ayu", AYU[:2])
        yield opened


ANSWERS: dict[str, Callable[[Gallery], Any]] = {
    "analyze": lambda gallery: gallery.engine.analyze(PROBE, liveness="required"),
    "detect": lambda gallery: gallery.engine.analyze(PROBE, liveness="required", embed=False),
    "recognize": lambda gallery: gallery.recognize(PROBE, liveness="required"),
    "verify": lambda gallery: gallery.verify("ayu", PROBE, liveness="required"),
    "verify the largest": lambda gallery: gallery.verify("ayu", PROBE, liveness="required", faces="largest"),
    "arecognize": lambda gallery: asyncio.run(gallery.arecognize(PROBE, liveness="required")),
    "averify": lambda gallery: asyncio.run(gallery.averify("ayu", PROBE, liveness="required")),
}


@pytest.mark.parametrize("door", ANSWERS)
def test_a_call_that_requires_liveness_has_no_result(gallery: Gallery, door: str) -> None:
    with pytest.raises(LivenessError, match="liveness cannot be judged"):
        ANSWERS[door](gallery)


def test_a_batch_that_requires_liveness_recognizes_nobody(gallery: Gallery) -> None:
    found = gallery.recognize_many([PROBE, PROBE], liveness="required")
    assert [type(one) for one in found] == [LivenessError] * 2


def test_a_gallery_that_requires_liveness_stores_nothing(gallery: Gallery, engine: Engine, tmp_path: Path) -> None:
    stored = gallery.person("ayu").faces
    rules = Enrolment(require_liveness=True)
    with Gallery.open(tmp_path / "lib.db", engine=engine, enrolment=rules, photos="original") as strict:
        with pytest.raises(FaceNotLiveError):
            strict.register("budi", people.PICTURES["budi"][0])
        with pytest.raises(FaceNotLiveError):
            strict.register("ayu", AYU[2], on_existing="add")
        with pytest.raises(FaceNotLiveError):
            asyncio.run(strict.aregister("budi", people.PICTURES["budi"][0]))
        with pytest.raises(RegistrationError) as refused:
            strict.register("budi", people.PICTURES["budi"])
        assert {type(one.error) for one in refused.value.rejected} == {FaceNotLiveError}
        (many,) = strict.register_many({"budi": people.PICTURES["budi"]})
        assert isinstance(many, RegistrationError)
        with pytest.raises(RegistrationError):  # a stored photo is no way round
            strict.rebuild_person("ayu")
        assert [person.person_id for person in strict.people()] == ["ayu"]
        assert strict.person("ayu").faces == stored


@pytest.mark.parametrize("path", ["recognize", "recognize/batch", "verify", "detect"])
def test_a_request_that_requires_liveness_has_no_result(peopled: TestClient, path: str) -> None:
    data = {"liveness": "required"} | ({"person_id": "ayu"} if path == "verify" else {})
    if path in ("recognize", "verify"):
        data["attend"] = "true"
    answer = peopled.post(f"/v1/{path}", data=data, files={"image": PROBE.read_bytes()})
    if answer.status_code == 200:
        assert [one["error"]["code"] for one in answer.json()["items"]] == ["liveness_unavailable"]
    else:
        assert (answer.status_code, answer.json()["code"]) == (422, "liveness_unavailable")
    access: Access = peopled.app.state.facedex.access  # type: ignore[attr-defined]
    with access.database.single() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM attendance").scalar() == 0


@pytest.mark.parametrize("command", [["recognize"], ["verify", "ayu"]])
def test_a_command_that_requires_liveness_fails(gallery: Gallery, tmp_path: Path, command: list[str]) -> None:
    where = ["--db", str(tmp_path / "lib.db"), "--liveness", "required", "--json"]
    done = CliRunner().invoke(app, [*command, str(PROBE), *where])
    assert done.exit_code != 0
    assert "liveness_unavailable" in done.output
    assert '"match": true' not in done.output
