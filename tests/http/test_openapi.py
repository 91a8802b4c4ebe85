"""The OpenAPI document: complete, with examples, and correct for the requests that schemathesis generates."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from argon2 import PasswordHasher
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, seed, settings
from hypothesis.strategies import booleans, one_of
from jsonschema import Draft202012Validator
from pydantic import BaseModel
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from facedex import Gallery, people
from facedex.engine import Engine
from facedex.errors import FacedexError
from facedex.http import Settings, create_app, router
from facedex.http.errors import STATUS
from facedex.http.v1 import answers, schemas
from facedex.http.v1.examples import example_of
from facedex.records import Person
from facedex.server import Passwords

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = int(os.environ.get("FACEDEX_SCHEMA_EXAMPLES", "8"))


@pytest.fixture(scope="module")
def application(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    path = tmp_path_factory.mktemp("openapi") / "people.db"
    cheap = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    chosen = Settings(
        db=str(path), photos="original", embed=True, access_log=False, lockout_after=10**6, contracts=("all",)
    )
    app = create_app(chosen, engine=engine, passwords=cheap)
    services = app.state.facedex
    services.galleries.at("default").register("ayu", people.PICTURES["ayu"])
    app.state.key = services.access.keys.add("schemathesis", ["admin"])[1]
    yield app
    services.close()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_responses_match_the_document(application: Any) -> None:
    """Send valid and invalid requests generated from the document to each operation."""
    document = schemathesis.openapi.from_asgi("/api/openapi.json", application)
    document = document.exclude(path_regex="^/v1/jobs/.*/events$|^/v1/keys/")
    wrong: dict[str, str] = {}
    seen: Counter[int] = Counter()
    for result in document.get_all_operations():
        operation = result.ok()

        @seed(20260101)
        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(case=one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode)), known=booleans())
        def answered(case: Any, known: bool) -> None:
            for name, there in (("person_id", "ayu"), ("photo_id", 2), ("face_id", 2), ("name", "default")):
                if known and name in (case.path_parameters or {}):
                    case.path_parameters[name] = there
            answer = case.call(headers={"Authorization": f"Bearer {application.state.key}"})
            case.validate_response(answer, checks=CHECKS)
            seen[answer.status_code] += 1

        try:
            answered()
        except (Exception, FailureGroup) as error:  # noqa: BLE001 - every operation is asked before any is told
            wrong[operation.label] = str(error)
    assert seen.total() > 200
    assert seen[200] > 50, seen
    assert seen[401] < seen.total() // 10, seen  # signing in with what is drawn
    assert not wrong, "\n\n".join(f"{name}: {said}" for name, said in wrong.items())


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_the_document_is_complete(client: TestClient) -> None:
    document = client.get("/api/openapi.json").json()
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["description"], name
        assert operation["tags"], name
        for status, answer in operation["responses"].items():
            if status.startswith("2") and status != "204":
                assert answer["content"], f"{name} {status}"
            elif status != "204":
                assert answer == {"$ref": f"#/components/responses/Problem{status}"}, f"{name} {status}"
        bodies = operation.get("requestBody", {}).get("content", {})
        assert all(kind.get("schema") for kind in bodies.values()), name
    guarded = [name for name, operation in operations(document) if operation.get("security")]
    assert len(guarded) > 35
    assert set(document["components"]["securitySchemes"]) == {"token", "key", "session"}
    text = json.dumps(document)
    assert text.count('"example') > 20
    for problem in document["components"]["responses"].values():
        assert list(problem["content"]) == ["application/problem+json"]


def test_operation_ids_are_short_names(client: TestClient, engine: Engine) -> None:
    document = client.get("/api/openapi.json").json()
    ids = [operation["operationId"] for name, operation in operations(document) if " /v1/" in name]
    assert len(ids) == len(set(ids)) > 40
    assert {"recognize", "verify", "register", "delete_person", "delete_photo", "add_key"} <= set(ids)
    assert max(map(len, ids)) < 20
    app = FastAPI()
    with Gallery.open(":memory:", engine=engine) as staff, Gallery.open(":memory:", engine=engine) as guests:
        app.include_router(router(staff), prefix="/staff")
        app.include_router(router(guests), prefix="/the/guests")
        paths = app.openapi()["paths"]
    assert paths["/staff/recognize"]["post"]["operationId"] == "staff_recognize"
    assert paths["/the/guests/people/{person_id}"]["get"]["operationId"] == "the_guests_person"


def test_raw_pictures_have_a_media_type_that_generators_know(client: TestClient) -> None:
    document = client.get("/api/openapi.json").json()
    raw = [
        name
        for name, operation in operations(document)
        if "image/*" in operation.get("requestBody", {}).get("content", {})
    ]
    assert raw == ["POST /v1/recognize", "POST /v1/detect", "POST /v1/embed", "POST /v1/people/{person_id}/photos"]
    for path in (name.removeprefix("POST ") for name in raw):
        assert "application/octet-stream" in document["paths"][path]["post"]["requestBody"]["content"]
    sent = client.post(
        "/v1/detect", content=people.GROUP.read_bytes(), headers={"Content-Type": "application/octet-stream"}
    )
    assert len(sent.json()["faces"]) == 5


def models(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for model in base.__subclasses__():
        generic: tuple[type, ...] = model.__pydantic_generic_metadata__[
            "args"
        ]  # a page of records is only an annotation
        if model.__module__.startswith("facedex.http.v1") and all(issubclass(one, BaseModel) for one in generic):
            yield model
        yield from models(model)


def test_every_schema_has_a_valid_example(client: TestClient) -> None:
    document = client.get("/api/openapi.json").json()
    components = document["components"]["schemas"]
    by_name = {model.__name__.replace("[", "_").replace("]", "_"): model for model in models(BaseModel)}
    assert len(components) > 40
    assert [name for name, schema in components.items() if not schema.get("description")] == []
    for name, schema in components.items():
        assert schema["examples"], name
        for example in schema["examples"]:
            Draft202012Validator({"$ref": f"#/components/schemas/{name}"} | document).validate(example)
            read = by_name[name].model_validate(example)
            assert set(example) <= set(type(read).model_fields), name
            unsaid = read.model_fields_set ^ set(type(read).model_fields)
            assert name.endswith("Change") or not unsaid, f"{name} says nothing of {unsaid}"
    bodies = [
        (name, kind)
        for name, operation in operations(document)
        for media_type, kind in operation.get("requestBody", {}).get("content", {}).items()
        if media_type == "application/json" and "$ref" not in kind["schema"]
    ]
    assert len(bodies) > 5
    for name, kind in bodies:
        schema = {**kind["schema"], "components": document["components"]}
        assert kind["example"], name
        Draft202012Validator(schema).validate(kind["example"])


def test_each_code_of_an_error_has_an_example_of_its_own(client: TestClient) -> None:
    responses = client.get("/api/openapi.json").json()["components"]["responses"]
    seen: dict[str, str] = {}
    kinds = {kind.code: kind for kind in subclasses(FacedexError)}
    for name, response in responses.items():
        examples = response["content"]["application/problem+json"]["examples"]
        assert examples, name
        for code, example in examples.items():
            value = example["value"]
            assert value["code"] == code
            assert f"Problem{value['status']}" == name
            assert value["status"] == next(STATUS[kind] for kind in kinds[code].__mro__ if kind in STATUS), code
            schemas.Problem.model_validate(value)
            text = json.dumps(value)
            assert text not in seen, (code, seen.get(text))
            seen[text] = code
    assert {"no_face", "several_faces", "unknown_person", "overloaded", "challenge_order"} <= set(seen.values())
    assert not {"serve", "evaluation"} & set(seen.values())
    assert len(seen) > 60


def subclasses(kind: type[FacedexError]) -> Iterator[type[FacedexError]]:
    yield kind
    for one in kind.__subclasses__():
        if one.__module__ == kind.__module__:
            yield from subclasses(one)


def key_tree(value: Any, example: Any, path: str = "") -> Iterator[str]:
    """Find keys that only a real answer or only its example has; people's own data are left out."""
    if isinstance(value, dict) and isinstance(example, dict) and not path.endswith((".info", ".facts", ".answer")):
        yield from (f"{path}.{key}" for key in set(value) ^ set(example))
        for key in set(value) & set(example):
            yield from key_tree(value[key], example[key], f"{path}.{key}")
    elif isinstance(value, list) and isinstance(example, list) and value and example:
        yield from key_tree(value[0], example[0], f"{path}[]")


def test_examples_have_the_keys_of_real_answers(peopled: TestClient) -> None:
    document = peopled.get("/api/openapi.json").json()
    picture = people.PROBES["ayu"][0].read_bytes()
    face = {"quality": "true", "liveness": "advisory"}
    real = {
        path: peopled.get(path.format(person_id="ayu", face_id=1, photo_id=1, job_id="0"))
        for path, methods in document["paths"].items()
        if path.startswith("/v1/") and "get" in methods and "events" not in path and "{name}" not in path
    }
    for path, data in (("/v1/recognize", face), ("/v1/verify", {"person_id": "ayu"} | face), ("/v1/detect", face)):
        real[path] = peopled.post(path, data=data, files={"image": picture})
        assert real[path].status_code == 200, real[path].text
    real["/v1/compare"] = peopled.post("/v1/compare", files=[("images", picture), ("images", picture)])
    real["/v1/recognize/batch"] = peopled.post("/v1/recognize/batch", files=[("images", picture)])
    real["/v1/people"] = peopled.post("/v1/people", data={"person_id": "dewi"}, files={"images": picture})
    no_face = {"image": people.PICTURES["ayu"][0].read_bytes()[:100]}
    problem = peopled.post("/v1/recognize", files=no_face).json()
    assert set(problem) == set(
        document["components"]["responses"]["Problem400"]["content"]["application/problem+json"]["examples"][
            problem["code"]
        ]["value"]
    )
    compared = 0
    for path, answer in real.items():
        if not answer.is_success or "json" not in answer.headers["content-type"]:
            continue
        method = answer.request.method.lower()
        response = document["paths"][path][method]["responses"][str(answer.status_code)]
        schema = response["content"]["application/json"]["schema"]
        is_list = "items" in schema
        name = (schema["items"] if is_list else schema)["$ref"].rpartition("/")[2]
        example = document["components"]["schemas"][name]["examples"][0]
        assert list(key_tree(answer.json(), [example] if is_list else example, path)) == []
        compared += 1
    assert compared > 15
    assert set(document["components"]["schemas"]["Verification"]["examples"][0]["quality"]) == set(
        real["/v1/verify"].json()["quality"]
    )


@dataclass(frozen=True)
class Badge:
    """A badge, with a field that no list of the server names.

    Attributes
    ----------
    name : str
        Of its owner.
    colour, ink : str or None
        None is white.
    """

    name: str
    colour: str | None
    ink: str | None
    worn_at: datetime | None = None


def test_a_new_field_of_a_record_is_answered_described_and_has_an_example() -> None:
    schema = answers.answer(Badge, omit=("ink",)).model_json_schema()
    assert schema["required"] == ["name", "colour", "worn_at"]
    assert schema["properties"]["colour"]["description"] == "null is white."
    assert example_of("Badge", {"Badge": schema}) == {"name": "Ayu", "colour": None, "worn_at": None}
    assert set(schemas.Person.model_fields) == {one.name for one in fields(Person)} - {"number"}


def test_the_page_loads_everything_from_this_server(client: TestClient, tmp_path: Path) -> None:
    page = client.get("/api/docs")
    assert page.status_code == 200
    assert "http" not in page.text.replace("https-equiv", "")
    for file in ("docs/files/swagger-ui.css", "docs/files/swagger-ui-bundle.js", "docs/start.js"):
        assert file in page.text
        assert client.get(f"/api/{file}").status_code == 200
    assert "<script>" not in page.text
