"""Results and records as response models of a FastAPI application of one's own, and as fields of pydantic models."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator
from pydantic import BaseModel, TypeAdapter, ValidationError

import facedex
from facedex import (
    Analysis,
    Comparison,
    Deletion,
    Gallery,
    Person,
    Photo,
    Recognition,
    Registration,
    Verification,
    people,
    plain,
    records,
    results,
)
from facedex.engine import Engine

PROBE = people.PROBES["ayu"][0]


class Visit(BaseModel):
    """A model with a result in it."""

    door: str
    found: Recognition


@pytest.fixture
def answers(engine: Engine) -> Iterator[dict[str, Any]]:
    """A result of each kind."""
    with Gallery.open(":memory:", engine=engine, photos="original") as gallery:
        registration = gallery.register("ayu", [people.PICTURES["ayu"][0], b"no picture"], info={"door": 1})
        gallery.register(7, people.PICTURES["budi"][0])
        found = gallery.recognize(people.GROUP, quality=True, liveness=True, k=2)
        yield {
            "Registration": registration,
            "Recognition": found,
            "FoundFace": found[0],
            "Verification": gallery.verify("ayu", PROBE),
            "Analysis": engine.analyze(PROBE, quality=True),
            "Comparison": engine.compare(PROBE, people.PICTURES["ayu"][0]),
            "Person": gallery.person("ayu"),
            "Photo": gallery.photos("ayu")[0],
            "Status": gallery.status(),
            "AuditEvent": next(iter(gallery.audit())),
            "Deletion": gallery.delete("ayu"),
        }


def constant(value: Any) -> Callable[[], Any]:
    return lambda: value


def test_an_application_answers_results(answers: dict[str, Any]) -> None:
    app = FastAPI()
    models = [Recognition, Analysis, Registration, Verification, Comparison, Person, Photo, Deletion]
    for model in models:
        app.get(f"/{model.__name__}", response_model=model)(constant(answers[model.__name__]))
    app.get("/many", response_model=list[Recognition])(lambda: [answers["Recognition"]])
    app.get("/visit", response_model=Visit)(lambda: Visit(door="front", found=answers["Recognition"]))
    client = TestClient(app)
    document = client.get("/openapi.json").json()
    for model in models:
        name = model.__name__
        assert client.get(f"/{name}").json() == answers[name].to_dict(), name
        content = document["paths"][f"/{name}"]["get"]["responses"]["200"]["content"]["application/json"]
        assert content["schema"] == {"$ref": f"#/components/schemas/{name}"}
        Draft202012Validator(content["schema"] | document).validate(answers[name].to_dict())
    assert client.get("/many").json() == [answers["Recognition"].to_dict()]
    assert client.get("/visit").json() == {"door": "front", "found": answers["Recognition"].to_dict()}
    assert document["components"]["schemas"]["FoundFace"]["description"] == "A face in a picture and who it is."


def test_each_kind_has_a_schema_that_its_values_fit(answers: dict[str, Any]) -> None:
    for name, answer in answers.items():
        adapter: TypeAdapter[Any] = TypeAdapter(type(answer))
        assert adapter.validate_python(answer) is answer
        for mode in ("serialization", "validation"):
            schema = adapter.json_schema(mode=mode)  # type: ignore[arg-type]
            Draft202012Validator(schema).validate(adapter.dump_python(answer))
        assert adapter.dump_python(answer) == answer.to_dict(), name
    kinds = [kind for module in (records, results) for kind in vars(module).values() if is_dataclass(kind)]
    assert len(kinds) > 14
    for kind in kinds:
        assert TypeAdapter(kind).json_schema()["properties"], kind


def test_the_types_of_native_objects_are_complete(answers: dict[str, Any]) -> None:
    assert plain._NATIVE["Quality"].keys() <= answers["FoundFace"].to_dict()["quality"].keys()
    for name in ("Face", "Liveness", "Attributes"):
        public = {one for one in vars(getattr(facedex, name)) if not one.startswith("_")}
        assert plain._NATIVE[name].keys() == public - {"to_dict", "embedding"}


def test_a_result_is_never_made_from_json() -> None:
    with pytest.raises(ValidationError, match="instance of Recognition"):
        Visit.model_validate({"door": "front", "found": {}})
    with pytest.raises(ValidationError):
        Visit.model_validate_json('{"door": "front", "found": {}}')


def test_results_do_not_import_pydantic() -> None:
    code = "import sys, facedex.results, facedex.gallery; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
