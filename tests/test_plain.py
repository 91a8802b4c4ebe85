"""Results, records and errors as plain Python: what JSON and tables can hold, the same for every interface."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from dataclasses import is_dataclass
from datetime import datetime, timedelta, timezone
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import facedex
from facedex import Engine, Gallery, people
from facedex.cli.documents import to_json
from facedex.errors import RegistrationError
from facedex.plain import to_plain

SHOWN = ("records", "results", "transfer.report", "transfer.export", "gallery.fsck", "gallery.migration")


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine("classic")


@pytest.fixture
def gallery(engine: Engine, tmp_path: Path) -> Iterator[Gallery]:
    with Gallery.open(tmp_path / "people.db", engine=engine, photos="thumbnail") as opened:
        opened.register("ayu", people.PICTURES["ayu"], name="Ayu", info={"desk": [1, 2]})
        yield opened


def test_every_result_and_record_has_the_method() -> None:
    for name in SHOWN:
        module = import_module(f"facedex.{name}")
        shown = [one for _, one in inspect.getmembers(module, is_dataclass) if one.__module__ == module.__name__]
        lacking = [one.__name__ for one in shown if not one.__name__.startswith("_") and not hasattr(one, "to_dict")]
        assert not lacking, name


def test_json_writes_whatever_a_gallery_returns(gallery: Gallery) -> None:
    gallery.update("ayu", retain_until=datetime.now(timezone.utc) + timedelta(days=1))
    probe = people.PROBES["ayu"][0]
    answers: list[Any] = [
        gallery.register("budi", [*people.PICTURES["budi"], b"no picture"]),
        gallery.recognize(probe, quality=True),
        *gallery.recognize_many([probe, b"no picture"]),
        gallery.verify("ayu", probe, quality=True),
        gallery.person("ayu"),
        *gallery.photos("ayu"),
        *gallery.audit(),
        gallery.check_audit(),
        gallery.status(),
        gallery.delete("budi"),
        facedex.compare(probe, probe),
        gallery.engine.analyze(probe),
        gallery.engine.analyze(probe)[0],
    ]
    for answer in answers:
        values = answer.to_dict()
        assert json.loads(json.dumps(values, allow_nan=False)) == values
        assert "source" not in values or isinstance(values["source"], int)


def test_the_values_are_those_of_the_fields(gallery: Gallery) -> None:
    person = gallery.person("ayu")
    values = person.to_dict()
    assert list(values) == [*person.__slots__]
    assert values["info"] == {"desk": [1, 2]}
    assert datetime.fromisoformat(values["created_at"]) == person.created_at
    assert values["faces"][0] == person.faces[0].to_dict()
    found = gallery.recognize(people.PROBES["ayu"][0])
    face = found.to_dict()["faces"][0]
    assert face["person_id"] == "ayu"
    assert tuple(face["bbox"]) == found[0].bbox
    assert found.to_dict()["image_size"] == found.image_size._asdict()
    assert "quality" not in face


def test_embeddings_are_included_only_on_request(engine: Engine) -> None:
    analysis = engine.analyze(people.PROBES["ayu"][0], quality=True)
    assert analysis[0].embedding is not None
    assert "embedding" not in analysis.to_dict()["faces"][0]
    (face,) = analysis.to_dict(embeddings=True)["faces"]
    assert np.array_equal(np.float32(face["embedding"]), analysis[0].embedding)
    assert face == analysis[0].to_dict(embeddings=True)
    assert analysis.to_dict()["faces"] == [analysis[0].to_dict()]
    assert analysis[0].quality is not None
    assert face["quality"] == analysis[0].quality.to_dict()


def test_an_error_describes_itself_and_what_it_holds(gallery: Gallery) -> None:
    with pytest.raises(RegistrationError) as raised:
        gallery.register("citra", [b"no picture", people.GROUP])
    values = raised.value.to_dict()
    assert json.loads(json.dumps(values)) == values == to_plain(raised.value)
    assert [one["error"]["code"] for one in values["rejected"]] == ["not_an_image", "several_faces"]
    assert len(values["rejected"][1]["error"]["bboxes"]) == 5


def test_the_command_line_writes_the_same(gallery: Gallery) -> None:
    for answer in (gallery.person("ayu"), gallery.recognize(people.GROUP), gallery.status()):
        assert to_json(answer) == answer.to_dict()
