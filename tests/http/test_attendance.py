"""Attendance is recorded when a request of recognition or verification asks for it, and not otherwise."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from facedex import Gallery, packs, people
from facedex.engine import Engine
from facedex.http import router
from facedex.http.v1.events import csv_of

AYU = people.PROBES["ayu"][0].read_bytes()
BUDI = people.PROBES["budi"][0].read_bytes()
STRANGER = people.STRANGERS[0].read_bytes()


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "text",
    [
        "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1+1", " =1", "\ufeff=1", "＝1+1", "＋1", "－1", "＠x",
        "a;=1+1", "a,=1+1", "a\t=1+1", "a\n=1+1", "a|=1+1", "a; ＝1", 'a";=1+1', "a\r\n=1",
        'a;"=1+1;', 'a,""=1+1,', '"=1+1', "ok", "é, ü",
    ],
)  # fmt: skip
def test_no_cell_of_a_csv_is_a_formula_with_any_separator(text: str, separator: str) -> None:
    written = csv_of(["name", "score", "claimed"], [[text, 0.5, text], [None, 7, None]])
    for line in csv.reader(io.StringIO(written, newline=""), delimiter=separator):
        for cell in line:
            for part in cell.splitlines() or [""]:
                assert part.strip(' \t\ufeff"')[:1] not in tuple("=+-@＝＋－＠"), written
    (_, first, second) = csv.reader(io.StringIO(written, newline=""))
    assert first[0].replace("'", "") == text
    assert first[2] == first[0]
    assert (first[1], second) == ("0.5", ["", "7", ""])


def read_attendance(client: TestClient) -> list[dict[str, Any]]:
    answer = client.get("/v1/attendance")
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.json()
    return found


def test_attendance_is_recorded_only_on_request(peopled: TestClient) -> None:
    peopled.post("/v1/recognize", files={"image": AYU})
    peopled.post("/v1/verify", data={"person_id": "ayu"}, files={"image": AYU})
    assert read_attendance(peopled) == []
    found = peopled.post("/v1/recognize", data={"attend": "true"}, files={"image": AYU}).json()["faces"][0]
    (line,) = read_attendance(peopled)
    assert (line["claimed"], line["person_id"], line["name"], line["matched"]) == (None, "ayu", "Ayu", True)
    assert line["similarity"] == found["similarity"]
    assert line["probability"] > 0.9
    assert (line["liveness"], line["contract"]) == (None, "v1")


def test_a_claim_is_recorded_with_its_decision(peopled: TestClient) -> None:
    for picture in (AYU, BUDI):
        data = {"person_id": "ayu", "attend": "true"}
        assert peopled.post("/v1/verify", data=data, files={"image": picture}).status_code == 200
    right, wrong = read_attendance(peopled)
    assert (right["claimed"], right["person_id"], right["name"], right["matched"]) == ("ayu", "ayu", "Ayu", True)
    assert (wrong["claimed"], wrong["person_id"], wrong["name"], wrong["matched"]) == ("ayu", None, None, False)
    assert wrong["probability"] < 0.1 < 0.9 < right["probability"]


def test_each_face_of_a_batch_is_recorded(peopled: TestClient) -> None:
    sent = [("images", AYU), ("images", b"no picture"), ("images", STRANGER)]
    answer = peopled.post("/v1/recognize/batch", data={"attend": "true"}, files=sent)
    assert answer.status_code == 200
    assert [(line["person_id"], line["matched"]) for line in read_attendance(peopled)] == [("ayu", True), (None, False)]


def test_a_table_has_the_field_names_of_the_document(peopled: TestClient) -> None:
    peopled.post("/v1/verify", data={"person_id": "ayu", "attend": "true"}, files={"image": AYU})
    (line,) = csv.DictReader(io.StringIO(peopled.get("/v1/attendance?format=csv").text))
    (line_of_json,) = read_attendance(peopled)
    assert list(line) == list(line_of_json)
    assert (line["person_id"], line["name"], line["matched"]) == ("ayu", "Ayu", "True")


def test_a_deleted_person_is_removed_from_the_attendance(peopled: TestClient) -> None:
    peopled.post("/v1/verify", data={"person_id": "ayu", "attend": "true"}, files={"image": AYU})
    peopled.delete("/v1/people/ayu")
    assert "ayu" not in peopled.get("/v1/attendance?format=csv").text.lower()


def test_a_router_of_one_gallery_records_no_attendance(engine: Engine, tmp_path: Any) -> None:
    with Gallery.open(tmp_path / "people.db", engine=engine) as gallery:
        gallery.register("ayu", people.PICTURES["ayu"][0])
        app = FastAPI()
        app.include_router(router(gallery))
        client = TestClient(app)
        refused = client.post("/recognize", data={"attend": "true"}, files={"image": AYU})
        assert (refused.status_code, refused.json()["code"]) == (422, "argument")


def test_the_server_reports_its_pack_and_its_speed(peopled: TestClient) -> None:
    stats = peopled.get("/v1/stats").json()
    assert stats["pack"]["name"] == packs.default()
    assert stats["pack"]["licences"] == list(packs.info(packs.default()).info.licences)
    assert stats["pack"]["commercial"] is True
    assert stats["network_s"] > 0  # summed over threads: no part of the other
    assert stats["total_s"] > 0
    assert stats["photos"] == "none"
    assert stats["gallery"]["recall"] == 1
