"""`/v1` as its clients use it: pictures in each form, people, paging, problem details, repeated writes, jobs."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from facedex import Gallery, packs, people
from facedex.engine import Engine
from facedex.errors import GalleryPackError
from facedex.gallery.lookup import Lookup
from facedex.http import Settings, router
from facedex.http.pixels import Pixels
from facedex.records import Deletion
from facedex.transfer import export_to

AYU = people.PROBES["ayu"][0].read_bytes()
BUDI = people.PROBES["budi"][0].read_bytes()
TEXT = base64.b64encode(AYU).decode()


@pytest.mark.parametrize(
    "sent",
    [
        {"files": {"image": ("ayu.jpg", AYU, "image/jpeg")}},
        {"files": {"file": ("../../x", AYU)}},
        {"content": AYU, "headers": {"content-type": "image/jpeg"}},
        {"content": AYU, "headers": {"content-type": "application/octet-stream"}},
        {"json": {"image": TEXT}},
        {"json": {"image": f"data:image/jpeg;base64,{TEXT}"}},
    ],
    ids=["multipart", "other name", "raw", "octets", "base64", "data url"],
)
def test_a_picture_is_accepted_in_each_encoding(peopled: TestClient, sent: dict[str, Any]) -> None:
    answer = peopled.post("/v1/recognize", **sent)
    assert answer.status_code == 200, answer.text
    (face,) = answer.json()["faces"]
    assert face["person_id"] == "ayu"
    assert face["similarity"] > face["threshold"]
    assert answer.json()["image_size"] == {"width": 640, "height": 480}


def test_options_apply_in_query_form_and_json(peopled: TestClient) -> None:
    for sent in (
        {"content": AYU, "headers": {"content-type": "image/jpeg"}, "params": {"k": 2}},
        {"files": {"image": AYU}, "data": {"k": "2"}},
        {"json": {"image": TEXT, "k": 2}},
    ):
        (face,) = peopled.post("/v1/recognize", **sent).json()["faces"]
        assert [one["person_id"] for one in face["candidates"]] == ["ayu", "budi"]
    refused = peopled.post("/v1/recognize", json={"image": TEXT, "k": 0})
    assert refused.status_code == 422
    assert refused.json()["code"] == "malformed_request"
    assert refused.json()["errors"] == ["k: Input should be greater than or equal to 1"]


def test_an_empty_field_of_a_form_is_not_given(client: TestClient) -> None:
    files = [("images", people.PICTURES["ayu"][0].read_bytes())]
    given = {"person_id": "ayu", "name": "", "info": "", "retain_until": "", "min_face": "", "faces": ""}
    assert client.post("/v1/people", data=given, files=files).status_code == 201
    assert client.get("/v1/people/ayu").json()["name"] is None
    probe = {"image": people.GROUP.read_bytes()}
    empty = client.post("/v1/recognize", data={"threshold": "", "min_face": "", "max_faces": "", "k": ""}, files=probe)
    plain = client.post("/v1/recognize", files=probe)
    assert empty.json()["faces"] == plain.json()["faces"]
    assert client.post("/v1/verify", data={"person_id": ""}, files=probe).status_code == 422


def test_recognise_verify_compare_detect(peopled: TestClient) -> None:
    verified = peopled.post("/v1/verify", data={"person_id": "ayu"}, files={"image": AYU}).json()
    assert verified["match"] is True
    assert verified["person_id"] == "ayu"
    assert not peopled.post("/v1/verify", data={"person_id": "ayu"}, files={"image": BUDI}).json()["match"]
    same = peopled.post("/v1/compare", files=[("images", AYU), ("images", people.PROBES["ayu"][1].read_bytes())])
    other = peopled.post("/v1/compare", json={"images": [TEXT, base64.b64encode(BUDI).decode()]})
    assert (same.json()["match"], other.json()["match"]) == (True, False)
    asked = {"quality": "true", "liveness": "advisory", "max_faces": "3"}
    group = peopled.post("/v1/detect", data=asked, files={"image": people.GROUP.read_bytes()}).json()
    assert len(group["faces"]) == 3
    assert all(0 <= face["quality"]["unified_score"] <= 100 for face in group["faces"])
    assert {face["liveness"]["status"] for face in group["faces"]} == {"unavailable"}


def without_null(value: Any) -> Any:
    """Leave out what is null: HTTP answers null for what was not requested, `to_dict` leaves it out."""
    if isinstance(value, dict):
        return {name: without_null(item) for name, item in value.items() if item is not None}
    return [without_null(item) for item in value] if isinstance(value, list) else value


def test_answers_are_those_of_to_dict(peopled: TestClient, engine: Engine, tmp_path: Path) -> None:
    picture = {"image": people.GROUP.read_bytes()}
    recognized = peopled.post("/v1/recognize", data={"quality": "true"}, files=picture).json()
    verified = peopled.post("/v1/verify", data={"person_id": "ayu"}, files={"image": AYU}).json()
    person = peopled.get("/v1/people/ayu").json()
    with Gallery.open(tmp_path / "people.db", engine=engine) as gallery:
        expected = gallery.recognize(people.GROUP, quality=True).to_dict()
        assert without_null(recognized) == without_null(expected | {"elapsed_s": recognized["elapsed_s"]})
        assert without_null(verified) == gallery.verify("ayu", AYU).to_dict()
        stored = gallery.person("ayu").to_dict()
    for values in (person, stored):
        for name in ("created_at", "updated_at"):
            values[name] = datetime.fromisoformat(values[name].replace("Z", "+00:00"))
        for face in values["faces"]:
            face["created_at"] = datetime.fromisoformat(face["created_at"].replace("Z", "+00:00"))
    assert person.items() <= stored.items()


def test_avif_is_recognized_and_its_pixels_are_counted(peopled: TestClient) -> None:
    picture, stream = Image.open(io.BytesIO(AYU)), io.BytesIO()
    picture.save(stream, "AVIF")
    (face,) = peopled.post("/v1/recognize", files={"image": stream.getvalue()}).json()["faces"]
    assert face["person_id"] == "ayu"
    assert Pixels().count(stream.getvalue()) == picture.width * picture.height
    refused = peopled.post("/v1/compare", files=[("images", AYU), ("images", stream.getvalue()[:-900])])
    assert refused.json()["code"] == "image_damaged"
    assert "the second picture" in refused.json()["detail"]


def test_the_pixels_of_a_reduced_picture_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    png = io.BytesIO()
    Image.open(io.BytesIO(AYU)).save(png, "PNG")
    monkeypatch.setenv("FACEDEX_MAX_PIXELS", "100000")
    assert [Pixels().count(data) for data in (AYU, png.getvalue())] == [0, 0]  # nothing of them is decoded
    monkeypatch.setenv("FACEDEX_OVERSIZE", "reduce")
    assert [Pixels().count(data) for data in (AYU, png.getvalue())] == [640 * 480, 0]


def test_a_picture_without_a_face_says_why(peopled: TestClient) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (320, 240), (3, 3, 3)).save(stream, "PNG")
    for route in ("detect", "recognize"):
        answer = peopled.post(f"/v1/{route}", files={"image": stream.getvalue()}).json()
        assert answer["faces"] == []
        assert "very dark" in answer["hint"]
        assert peopled.post(f"/v1/{route}", files={"image": AYU}).json()["hint"] is None
    refused = peopled.post("/v1/verify", data={"person_id": "ayu"}, files={"image": stream.getvalue()}).json()
    assert refused["code"] == "no_face"
    assert "very dark" in refused["detail"]


def test_two_spellings_of_an_id_are_one_person(client: TestClient) -> None:
    made = client.post("/v1/people", json={"person_id": "Jose\u0301"})
    assert (made.status_code, made.json()["person_id"]) == (201, "Jos\u00e9")
    assert client.post("/v1/people", json={"person_id": "Jos\u00e9"}).json()["code"] == "duplicate_person"
    for spelling in ("Jose\u0301", "Jos\u00e9"):
        assert client.get(f"/v1/people/{spelling}").json()["person_id"] == "Jos\u00e9"
    assert client.delete("/v1/people/Jose\u0301").status_code == 200


def test_in_an_empty_gallery_every_face_is_unknown(client: TestClient) -> None:
    answer = client.post("/v1/recognize", files={"image": AYU})
    assert answer.status_code == 200, answer.text
    batch = client.post("/v1/recognize/batch", files={"images": AYU}).json()["items"][0]["recognition"]
    for (face,) in (answer.json()["faces"], batch["faces"]):
        assert (face["person_id"], face["similarity"], face["candidates"]) == (None, -1.0, [])
    refused = client.post("/v1/verify", data={"person_id": "ayu"}, files={"image": AYU})
    assert (refused.status_code, refused.json()["code"]) == (404, "unknown_person")


@pytest.mark.parametrize("route", ["detect", "verify", "recognize"])
def test_quality_attributes_and_liveness_are_returned_on_request(serve: Any, route: str) -> None:
    """A pack that brings attributes is needed for those; without one the request says so."""
    client = serve()
    client.post("/v1/people", data={"person_id": "ayu"}, files={"image": people.PICTURES["ayu"][0].read_bytes()})
    beside = {"person_id": "ayu"} if route == "verify" else {}

    def face_of(**options: Any) -> dict[str, Any]:
        answer = client.post(f"/v1/{route}", data=beside | options, files={"image": AYU})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json() if route == "verify" else answer.json()["faces"][0]
        return found

    assert (face_of()["quality"], face_of()["liveness"]) == (None, None)
    assert 0 < face_of(quality="true")["quality"]["unified_score"] <= 100
    assert face_of(liveness="advisory")["liveness"]["status"] in ("live", "attack", "unavailable")
    asked = client.post(f"/v1/{route}", data=beside | {"attributes": "true"}, files={"image": AYU})
    assert (asked.status_code, asked.json()["code"]) == (422, "role_missing")


def test_a_receipt_verifies(serve: Any) -> None:
    """The HTTP response of a deletion has every field that the digest of the receipt covers."""
    client = serve(photos="original")
    for person_id in ("ayu", "budi"):
        picture = people.PICTURES[person_id][0].read_bytes()
        client.post("/v1/people", data={"person_id": person_id}, files={"image": picture})
    face_id = client.get("/v1/people/budi").json()["faces"][0]["face_id"]
    for path in ("/v1/people/ayu", f"/v1/faces/{face_id}"):
        receipt = client.delete(path).json()
        assert receipt["photos"] == 1
        at = datetime.fromisoformat(receipt["deleted_at"].replace("Z", "+00:00"))
        read = Deletion(**receipt | {"faces": tuple(receipt["faces"]), "deleted_at": at})
        assert read.computed_digest() == receipt["digest"]
        assert replace(read, photos=0).computed_digest() != receipt["digest"]


def test_the_number_of_faces_is_limited_on_request(peopled: TestClient) -> None:
    group = people.GROUP.read_bytes()
    for route in ("recognize", "detect"):
        assert len(peopled.post(f"/v1/{route}", files={"image": group}).json()["faces"]) > 1
        answer = peopled.post(f"/v1/{route}", files={"image": group}, data={"max_faces": "1"})
        assert len(answer.json()["faces"]) == 1


def test_a_batch_returns_a_result_for_each_picture(peopled: TestClient) -> None:
    sent = [("images", AYU), ("images", b"no picture"), ("images", BUDI)]
    items = peopled.post("/v1/recognize/batch", files=sent).json()["items"]
    assert [item["recognition"] and item["recognition"]["faces"][0]["person_id"] for item in items] == [
        "ayu",
        None,
        "budi",
    ]
    assert items[1]["error"]["code"] == "not_an_image"


def test_embeddings_are_off_by_default(peopled: TestClient, serve: Any) -> None:
    refused = peopled.post("/v1/embed", files={"image": AYU})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    given = serve(embed=True).post("/v1/embed", files={"image": AYU}).json()
    assert given["pack"] == packs.default()
    assert sum(value * value for value in given["faces"][0]["embedding"]) == pytest.approx(1, abs=1e-4)


def test_no_response_contains_an_embedding(peopled: TestClient) -> None:
    for path in ("/v1/people", "/v1/people/ayu", "/v1/events", "/v1/index", "/v1/stats", "/metrics"):
        text = peopled.get(path).text
        assert "embedding" not in text
        assert "vector" not in text


def test_people_are_changed_and_deleted(peopled: TestClient) -> None:
    assert peopled.get("/v1/people/ayu").json()["name"] == "Ayu"
    changed = peopled.patch("/v1/people/ayu", json={"email": "ayu@example.org", "info": {"badge": 7}}).json()
    assert (changed["name"], changed["email"], changed["info"]) == ("Ayu", "ayu@example.org", {"badge": 7})
    found = peopled.get("/v1/people", params={"email": "ayu@example.org"}).json()["items"]
    assert [person["person_id"] for person in found] == ["ayu"]
    stored = peopled.get("/v1/people/ayu/faces").json()
    added = peopled.post("/v1/people/ayu/faces", files={"image": people.PICTURES["ayu"][2].read_bytes()})
    assert added.status_code == 201
    assert len(peopled.get("/v1/people/ayu/faces").json()) == len(stored) + 1
    face_id = added.json()["faces"][0]["face_id"]
    assert peopled.delete(f"/v1/faces/{face_id}").json()["faces"] == [face_id]
    assert peopled.delete(f"/v1/faces/{face_id}").json()["code"] == "unknown_face"
    replaced = peopled.put("/v1/people/ayu/faces", files={"image": people.PICTURES["ayu"][2].read_bytes()}).json()
    assert replaced["replaced"] == [face["face_id"] for face in stored]
    receipt = peopled.delete("/v1/people/ayu").json()
    assert (receipt["person_removed"], receipt["name"]) == (True, "Ayu")
    assert peopled.get("/v1/people/ayu").status_code == 404
    (face,) = peopled.post("/v1/recognize", files={"image": AYU}).json()["faces"]
    assert face["person_id"] is None


def test_the_quality_of_each_face_is_returned(peopled: TestClient) -> None:
    faces = peopled.get("/v1/people/ayu").json()["faces"]
    assert faces
    assert all(0 < face["quality"] <= 100 for face in faces)
    (added,) = peopled.post("/v1/people/ayu/faces", files={"image": AYU}).json()["faces"]
    (stored,) = [face for face in peopled.get("/v1/people/ayu/faces").json() if face["face_id"] == added["face_id"]]
    assert added["quality"] == stored["quality"]


def test_a_person_may_be_created_without_a_picture(client: TestClient) -> None:
    made = client.post("/v1/people", json={"person_id": 7, "name": "Seven", "retain_until": "2099-01-01T00:00:00Z"})
    assert made.status_code == 201
    assert made.json()["person_id"] == 7
    assert made.headers["location"] == "/v1/people/7"
    assert client.get("/v1/people/7").json()["retain_until"] == "2099-01-01T00:00:00Z"
    assert client.post("/v1/people", json={"person_id": "a/b"}).json()["code"] == "argument"
    again = client.post("/v1/people", json={"person_id": "7"})
    assert (again.status_code, again.json()["code"]) == (409, "duplicate_person")
    for pictures in ({}, {"image": TEXT}):
        skipped = client.post("/v1/people", json={"person_id": 7, "name": "Else", "on_existing": "skip"} | pictures)
        assert (skipped.status_code, skipped.json()["skipped"], skipped.json()["faces"]) == (201, True, [])


@pytest.mark.parametrize("person_id", [".", "..", "a/b"])
def test_an_id_that_no_url_can_contain_is_refused(client: TestClient, person_id: str) -> None:
    refused = client.post("/v1/people", json={"person_id": person_id})
    assert (refused.status_code, refused.json()["code"]) == (422, "argument")
    assert client.get("/v1/people").json()["items"] == []


@pytest.mark.parametrize("person_id", [True, 1.0, None, [1], {"a": 1}])
def test_an_id_that_is_neither_text_nor_integer_is_refused(client: TestClient, person_id: object) -> None:
    assert client.post("/v1/people", json={"person_id": 1}).status_code == 201
    for path, body in (
        ("people", {}),
        ("people", {"on_existing": "replace", "name": "X"}),
        ("verify", {"image": TEXT}),
    ):
        refused = client.post(f"/v1/{path}", json={"person_id": person_id} | body)
        assert (refused.status_code, refused.json()["code"]) == (422, "malformed_request"), refused.text
        assert any("person_id" in error for error in refused.json()["errors"])
    assert [person["name"] for person in client.get("/v1/people").json()["items"]] == [None]


def test_pages_are_consecutive(client: TestClient) -> None:
    for number in range(5):
        client.post("/v1/people", json={"person_id": number})
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        page = client.get("/v1/people", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [person["person_id"] for person in page["items"]]
        cursor, pages = page["next_cursor"], pages + 1
        if pages == 1:
            client.delete("/v1/people/1")  # what goes meanwhile does not move the others
    assert (seen, pages) == ([0, 1, 2, 3, 4], 3)
    assert client.get("/v1/people", params={"cursor": "nonsense"}).json()["code"] == "malformed_request"
    events = client.get("/v1/events", params={"limit": 4}).json()
    rest = client.get("/v1/events", params={"cursor": events["next_cursor"]}).json()
    assert [event["seq"] for event in events["items"] + rest["items"]] == [1, 2, 3, 4, 5, 6]
    assert rest["next_cursor"] is None


def test_errors_are_problem_details(client: TestClient) -> None:
    answer = client.get("/v1/people/nobody")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "nobody is registered as 'nobody' in gallery 'default'",
        "instance": "/v1/people/nobody",
        "code": "unknown_person",
    }
    for answer, status, code in (
        (client.get("/v1/nowhere"), 404, "not_found"),
        (client.put("/v1/recognize"), 405, "method_not_allowed"),
        (client.post("/v1/recognize"), 422, "malformed_request"),
        (
            client.post("/v1/people", content=b"{", headers={"content-type": "application/json"}),
            422,
            "malformed_request",
        ),
        (
            client.patch("/v1/people/x", content=b"{", headers={"content-type": "application/json"}),
            422,
            "malformed_request",
        ),
        (client.get("/v1/people", params={"gallery": "other"}), 404, "unknown_gallery"),
        (client.get("/v1/jobs/none"), 404, "unknown_job"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_picture_of_no_face_or_several_is_refused_with_value_and_limit(peopled: TestClient) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (120, 90)).save(picture, "PNG")
    for content, code, measured in (
        (picture.getvalue(), "no_face", 0),
        (people.GROUP.read_bytes(), "several_faces", 5),
    ):
        refused = peopled.post("/v1/verify", data={"person_id": "ayu"}, files={"image": content})
        told = refused.json()
        assert (refused.status_code, told["code"], told["measured"], told["limit"]) == (422, code, measured, 1)
        assert len(told.get("bboxes", [])) == measured


def test_an_internal_error_is_logged_and_not_revealed(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the secret inside")

    monkeypatch.setattr(Lookup, "people_after", broken)
    answer = client.get("/v1/people")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text
    assert "the secret inside" in caplog.text


def test_an_error_outside_the_routes_of_facedex_counts_as_500(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_: Request) -> Response:
        raise RuntimeError("foreign")

    client.app.router.routes.insert(0, Route("/foreign", broken))  # type: ignore[attr-defined]
    caplog.set_level("INFO", "facedex.http.access")
    assert client.get("/foreign").status_code == 500
    (line,) = [record.getMessage() for record in caplog.records if record.name == "facedex.http.access"]
    assert "/foreign 500 " in line
    metrics = client.get("/metrics").text
    assert 'status="500"' in metrics
    assert 'status="499"' not in metrics


def test_a_repeated_write_is_done_once(client: TestClient) -> None:
    once = {"Idempotency-Key": "a-1"}
    files = {"images": ("a.jpg", people.PICTURES["ayu"][0].read_bytes())}
    first = client.post("/v1/people", data={"person_id": "ayu"}, files=files, headers=once)
    again = client.post("/v1/people", data={"person_id": "ayu"}, files=files, headers=once)
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (None, "true")
    for name in ("location", "content-type", "content-length"):
        assert first.headers[name] == again.headers[name]
    assert len(client.get("/v1/people/ayu/faces").json()) == 1
    other = client.post("/v1/people", data={"person_id": "budi"}, files=files, headers=once)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    without = client.post("/v1/people", data={"person_id": "ayu"}, files=files)
    assert without.status_code == 409
    client.delete("/v1/people/ayu")  # takes the kept answer about the person with it
    assert client.post("/v1/people", data={"person_id": "ayu"}, files=files, headers=once).status_code == 201
    assert client.get("/v1/people/ayu").status_code == 200


def test_a_job_is_followed_to_its_end(peopled: TestClient) -> None:
    galleries = peopled.app.state.facedex.galleries  # type: ignore[attr-defined]
    before = galleries.at("default")
    begun = peopled.post("/v1/index/rebuild")
    assert begun.status_code == 202
    events = [line for line in peopled.get(f"/v1/jobs/{begun.json()['id']}/events").text.split("\n\n") if line]
    assert events[-1].startswith("event: done\ndata: ")
    last = json.loads(events[-1].split("data: ")[1])
    assert last["answer"] == {"faces": 4}
    assert galleries.at("default") is not before  # it was reopened with the new index
    assert (last["done"], last["total"]) == (2, 2)  # people: the index has a row for each
    assert peopled.get("/v1/jobs").json()[0]["id"] == last["id"]
    assert peopled.post("/v1/recognize", files={"image": AYU}).json()["faces"][0]["person_id"] == "ayu"
    for kind in ("check", "optimise", "purge"):
        job = peopled.post(f"/v1/index/{kind}").json()
        assert "event: done" in peopled.get(f"/v1/jobs/{job['id']}/events").text


def test_a_job_is_cancelled_from_another_process(serve: Any) -> None:
    one, other = serve(), serve()
    begun: list[int] = []

    def endless(progress: Any) -> dict[str, Any]:
        while True:
            begun.append(1)
            progress(len(begun), 1_000_000)
            time.sleep(0.01)

    job = one.app.state.facedex.jobs.begin("test", "default", endless, actor="test")
    asked = other.delete(f"/v1/jobs/{job.id}")
    assert asked.status_code == 202
    assert "event: cancelled" in other.get(f"/v1/jobs/{job.id}/events").text
    assert begun


@pytest.mark.parametrize(("steps", "state"), [(1, "cancelled"), (2, "done")])
def test_a_job_cancelled_at_its_last_step_is_complete(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, steps: int, state: str
) -> None:
    monkeypatch.setattr("facedex.server.jobs._WRITE_EVERY_S", 0)  # it looks at every step whether it is to stop
    jobs = client.app.state.facedex.jobs  # type: ignore[attr-defined]
    asked = threading.Event()

    def work(progress: Any) -> dict[str, Any]:
        assert asked.wait(20)
        progress(steps, 2)
        return {"faces": 2}

    job = jobs.begin("test", "default", work, actor="test")
    assert client.delete(f"/v1/jobs/{job.id}").status_code == 202
    asked.set()
    client.get(f"/v1/jobs/{job.id}/events")
    ended = client.get(f"/v1/jobs/{job.id}").json()
    assert (ended["state"], ended["answer"]) == (state, {"faces": 2} if state == "done" else {})


def test_galleries_are_separate(peopled: TestClient) -> None:
    assert peopled.post("/v1/galleries", json={"name": "visitors"}).status_code == 201
    assert [one["name"] for one in peopled.get("/v1/galleries").json()] == ["default", "visitors"]
    assert peopled.get("/v1/people", params={"gallery": "visitors"}).json()["items"] == []
    assert peopled.get("/v1/galleries/visitors").json()["people"] == 0
    assert peopled.get("/v1/galleries/default").json()["people"] == 2
    there, image = {"gallery": "visitors"}, {"image": people.PICTURES["citra"][0].read_bytes()}
    made = peopled.post("/v1/people", params=there | {"name": "Citra"}, data={"person_id": "citra"}, files=image)
    assert made.status_code == 201, made.text
    added = peopled.post(
        "/v1/people/citra/faces", params=there, files={"image": people.PICTURES["citra"][1].read_bytes()}
    )
    assert added.status_code == 201, added.text
    probe = {"image": people.PROBES["citra"][0].read_bytes()}
    for path in ("recognize", "recognize/batch", "verify", "detect"):
        found = peopled.post(
            f"/v1/{path}", params=there, data={"person_id": "citra"} if path == "verify" else {}, files=probe
        )
        assert found.status_code == 200, found.text
        assert path == "detect" or '"citra"' in found.text
    assert peopled.post("/v1/recognize", files=probe).json()["faces"][0]["person_id"] is None


def test_pages_for_operators(peopled: TestClient) -> None:
    assert peopled.get("/v1/health/live").json() == {"status": "ok"}
    assert peopled.get("/v1/health/ready").json() == {"status": "ok", "storage": "ok"}
    stats = peopled.get("/v1/stats").json()
    assert stats["gallery"]["people"] == 2
    assert stats["images"] >= 4
    assert stats["disk"]["free"] > 0
    text = peopled.get("/metrics").text
    assert 'facedex_people{gallery="default"} 2.0' in text
    assert 'facedex_requests_total{method="POST",route="/v1/people",status="201"} 2.0' in text
    assert "/v1/people/{person_id}" not in text
    peopled.get("/v1/people/ayu")
    text = peopled.get("/metrics").text
    assert 'route="/v1/people/{person_id}"' in text
    assert "ayu" not in text


def test_a_pack_other_than_that_of_the_gallery_is_refused(serve: Any) -> None:
    serve(pack=packs.default())
    with pytest.raises(GalleryPackError, match=f"made with pack '{packs.default()}', not 'mobile'"):
        serve(pack="mobile")


def test_photos_are_stored_where_the_settings_say_so(serve: Any) -> None:
    client = serve(photos="original")
    data = people.PICTURES["ayu"][0].read_bytes()
    client.post("/v1/people", data={"person_id": "ayu"}, files={"images": ("C:\\me\\a.jpg", data)})
    (photo,) = client.get("/v1/people/ayu/photos").json()
    assert (photo["rendition"], photo["media_type"], photo["person_id"]) == ("original", "image/jpeg", "ayu")
    shown = client.get(f"/v1/photos/{photo['photo_id']}/image")
    assert shown.headers["content-type"] == "image/jpeg"
    assert shown.content[:2] == b"\xff\xd8"
    added = client.post("/v1/people/ayu/photos", files={"image": ("../b.jpg", people.PICTURES["ayu"][1].read_bytes())})
    assert (added.status_code, added.json()["filename"]) == (201, "b.jpg")
    built = client.post("/v1/people/ayu/build")
    assert len(built.json()["faces"]) == 2
    job = client.post("/v1/index/build").json()
    assert '"faces":2' in client.get(f"/v1/jobs/{job['id']}/events").text.replace(" ", "")
    assert client.delete(f"/v1/photos/{photo['photo_id']}").status_code == 200
    assert client.get(f"/v1/photos/{photo['photo_id']}/image").json()["code"] == "unknown_photo"


def test_the_routes_of_one_gallery_in_an_application_of_your_own(tmp_path: Path, engine: Engine) -> None:
    with Gallery.open(tmp_path / "people.db", engine=engine) as gallery:
        gallery.register("ayu", people.PICTURES["ayu"])
        app = FastAPI()
        app.include_router(router(gallery), prefix="/faces")
        with TestClient(app) as client:
            found = client.post("/faces/recognize", files={"image": AYU}).json()
            assert found["faces"][0]["person_id"] == "ayu"
            problem = client.get("/faces/people/nobody")
            assert (problem.status_code, problem.json()["code"]) == (404, "unknown_person")
            assert client.get("/faces/keys").status_code == 404
            assert "/faces/recognize" in client.get("/openapi.json").json()["paths"]
            large = b"x" * (Settings().max_upload_bytes + 1)
            for body in (large, iter([large])):  # the second does not tell its length
                refused = client.post("/faces/recognize", content=body, headers={"Content-Type": "image/jpeg"})
                assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
            made = client.post("/faces/people", json={"person_id": "budi"}, headers={"Idempotency-Key": "1"})
            assert made.headers["location"] == "/faces/people/budi"
            assert client.get(made.headers["location"]).status_code == 200
        assert gallery.people()  # it stays open


def test_the_routes_of_a_gallery_use_its_engine(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also routes without a gallery: a second engine would ignore its providers and options."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a second engine was opened")

    with Gallery.open(tmp_path / "people.db", engine=engine) as gallery:
        gallery.register("ayu", people.PICTURES["ayu"])
        app = FastAPI()
        app.include_router(router(gallery, settings=Settings(embed=True)))
        monkeypatch.setattr(Engine, "__init__", refuse)
        before = engine.stats()["images"]
        with TestClient(app) as client:
            for path, files in (("detect", 1), ("compare", 2), ("embed", 1)):
                answer = client.post(f"/{path}", files=[("images", AYU)] * files)
                assert answer.status_code == 200, answer.text
        assert engine.stats()["images"] - before == 4


def test_people_are_imported_from_a_gallery_file(client: TestClient, engine: Engine, tmp_path: Path) -> None:
    with Gallery.open(tmp_path / "old.db", engine=engine) as gallery:
        gallery.register("ayu", people.PICTURES["ayu"], name="Ayu")
        export_to(gallery, tmp_path / "old.fdx")
    job = client.post("/v1/index/import", content=(tmp_path / "old.fdx").read_bytes()).json()
    ended = client.get(f"/v1/jobs/{job['id']}/events").text
    assert '"people":1,"faces":3' in ended
    assert client.post("/v1/recognize", files={"image": AYU}).json()["faces"][0]["name"] == "Ayu"
    job = client.post("/v1/index/import", content=b"\x80\x04 no gallery file").json()
    ended = client.get(f"/v1/jobs/{job['id']}/events").text
    assert "event: failed" in ended
    assert '"code":"gallery_file"' in ended


def test_a_gallery_that_was_migrated_is_reopened(client: TestClient, tmp_path: Path) -> None:
    for given in ({"pack": "../x"}, {"pack": "x.toml"}, {"pack": "classic", "without_photo": "x"}):
        assert client.post("/v1/index/migrate", json=given).status_code == 422
    job = client.post("/v1/index/migrate", json={"pack": "nosuch"}).json()
    assert '"code":"pack_not_found"' in client.get(f"/v1/jobs/{job['id']}/events").text
    galleries = client.app.state.facedex.galleries  # type: ignore[attr-defined]
    before = galleries.at("default")
    asked: list[Gallery] = []

    def verb(opened: Gallery) -> str:
        asked.append(opened)
        if opened is before:
            raise GalleryPackError("the gallery was moved")
        return opened.person("ayu").name or ""

    client.post("/v1/people", json={"person_id": "ayu", "name": "Ayu"})
    assert galleries.use("default", verb) == "Ayu"
    assert len(asked) == 2
    assert client.get("/v1/people/ayu").json()["name"] == "Ayu"
    assert galleries.at("default") is asked[1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork: Linux or macOS")
def test_an_application_loaded_before_a_fork_answers_in_the_child(tmp_path: Path) -> None:
    """As gunicorn does with --preload: the application, its gallery and its accounts are opened in the parent."""
    program = """
import os, sys
from fastapi.testclient import TestClient
from facedex import people
from facedex.http import Settings, create_app
app = create_app(Settings(db=sys.argv[1]))
picture = people.PICTURES["ayu"][0].read_bytes()
for number in range(2):
    child = os.fork()
    if child == 0:
        with TestClient(app, "http://localhost") as client:
            made = client.post("/v1/people", data={"person_id": str(number)}, files={"images": picture})
            found = client.post("/v1/recognize", files={"image": picture})
            key = client.get("/v1/people")
        sys.stdout.write(f"{made.status_code} {found.status_code} {key.status_code} ")
        sys.stdout.flush()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
with TestClient(app, "http://localhost") as client:
    print(client.post("/v1/recognize", files={"image": picture}).json()["faces"][0]["person_id"] in ("0", "1"))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(tmp_path / "people.db")], capture_output=True, text=True
    )
    assert done.stdout == "201 200 200 201 200 200 True\n", done.stdout + done.stderr
