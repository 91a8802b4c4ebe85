"""Contract `mtcnn-facenet`, a test for each line of its table, and the daily file."""

from __future__ import annotations

import json
import multiprocessing
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import requests

from facedex.errors import ArgumentError
from facedex.http.contracts.mtcnn_facenet import DailyFile
from facedex.server import AttendanceRecord

LINE = re.compile(r"\d\d:\d\d:\d\d - NIK: [^,]*, Name: [^,]*, Accuracy: [01]\.\d{4}, Matched: (True|False)")


def upload(server: Any, *pictures: Path | bytes, nik: str = "12345", nama: str = "DENNIS") -> requests.Response:
    files = [
        ("files", (f"{number}.jpg", one if isinstance(one, bytes) else one.read_bytes()))
        for number, one in enumerate(pictures)
    ]
    answer: requests.Response = server.ask("POST", "/upload/", data={"nik": nik, "nama": nama}, files=files or None)
    return answer


def recognise(server: Any, picture: Path | bytes, nik: str = "12345") -> requests.Response:
    data = picture if isinstance(picture, bytes) else picture.read_bytes()
    answer: requests.Response = server.ask(
        "POST", "/recognize/", data={"nik_input": nik}, files={"file": ("a.jpg", data)}
    )
    return answer


def lines(server: Any) -> list[str]:
    day = datetime.now(ZoneInfo("Asia/Jakarta"))
    return (server.folder / "logging" / f"logging_{day:%d-%m-%Y}.txt").read_text().splitlines()


def test_enrol_and_confirm_with_curl(server: Any, ayu: list[Path], ayu_again: Path) -> None:
    files = [word for picture in ayu for word in ("-F", f"files=@{picture}")]
    said = json.loads(server.curl("-F", "nik=12345", "-F", "nama=DENNIS", *files, "/upload/"))
    assert (said["enrolled"], said["failed"]) == (3, [])
    assert "DENNIS" in said["message"]
    found = json.loads(server.curl("-F", "nik_input=12345", "-F", f"file=@{ayu_again}", "/recognize/"))
    assert found.keys() == {"results", "nik_input", "nik_matched", "face_num", "message"}
    assert (found["message"], found["nik_matched"], found["face_num"]) == ("DENNIS TERDETEKSI", True, 1)
    [result] = found["results"]
    assert (result["nik"], result["name"]) == ("12345", "DENNIS")
    assert 0.7 < result["accuracy"] < 1
    assert LINE.fullmatch(lines(server)[-1])
    assert re.search(r" - NIK: 12345, Name: DENNIS, Accuracy: 0\.\d{4}, Matched: True$", lines(server)[-1])


def test_a_face_of_another_or_an_unknown_person_is_not_confirmed(server: Any, ayu: list[Path], budi: Path) -> None:
    empty = recognise(server, budi).json()
    assert (empty["message"], empty["nik_matched"], empty["results"]) == ("WAJAH TIDAK DIKENALI", False, [])
    upload(server, *ayu)
    stranger = recognise(server, budi).json()
    assert (stranger["message"], stranger["nik_matched"]) == ("WAJAH TIDAK DIKENALI", False)
    assert stranger["results"][0]["name"] == "Unknown"
    assert stranger["results"][0]["accuracy"] <= 0.7
    assert re.search(r" - NIK: 12345, Name: Unknown, Accuracy: 0\.\d{4}, Matched: False$", lines(server)[-1])
    upload(server, budi, nik="777", nama="BUDI")
    other = recognise(server, budi).json()  # known, but not who is claimed
    assert (other["message"], other["nik_matched"]) == ("WAJAH TIDAK DIKENALI", False)
    assert (other["results"][0]["nik"], other["results"][0]["name"]) == ("777", "BUDI")
    assert re.search(r" - NIK: 12345, Name: BUDI, Accuracy: 0\.\d{4}, Matched: False$", lines(server)[-1])


def test_no_face(server: Any, ayu: list[Path], landscape: bytes) -> None:
    upload(server, ayu[0])
    before = len(lines(server)) if (server.folder / "logging").is_dir() else 0
    said = recognise(server, landscape)
    assert said.status_code == 200
    assert (said.json()["face_num"], said.json()["results"]) == (0, [])
    assert said.json()["message"] == "WAJAH TIDAK DIKENALI"
    assert len(lines(server)) == before + 1


def test_a_file_that_is_not_an_image_is_400(server: Any) -> None:
    for content in (b"no picture", b""):
        answer = recognise(server, content)
        assert (answer.status_code, answer.json().keys()) == (400, {"message"})
    assert server.ask("POST", "/recognize/", data={"nik_input": "1"}).status_code == 400
    assert server.ask("POST", "/recognize/", files={"file": b"x"}).status_code == 400


def test_bad_uploads_are_400(server: Any, ayu: list[Path], landscape: bytes) -> None:
    for answer in (
        upload(server, ayu[0], nama="Dennis"),
        upload(server, ayu[0], nama=" "),
        upload(server, ayu[0], nik=" "),
        upload(server),
        upload(server, *[landscape] * 101),
        upload(server, landscape, landscape),
        upload(server, b"no picture"),
    ):
        assert (answer.status_code, answer.json().keys()) == (400, {"message"}), answer.text
    assert server.ask("GET", "/api/users").json() == []


def test_failed_pictures_are_reported_and_the_others_enrolled(server: Any, ayu: list[Path], landscape: bytes) -> None:
    said = upload(server, ayu[0], landscape, b"", b"no picture")
    assert said.status_code == 200, said.text
    assert said.json()["enrolled"] == 1
    assert sorted(one["file"] for one in said.json()["failed"]) == ["1.jpg", "2.jpg", "3.jpg"]
    assert all(one["reason"] for one in said.json()["failed"])


def test_the_two_recognise_paths_differ(server: Any, ayu: list[Path]) -> None:
    with_slash = server.ask("POST", "/recognize/")
    without = server.ask("POST", "/recognize")
    assert with_slash.json().keys() == {"message"}
    assert without.json().keys() == {"success", "message"}
    assert server.ask("POST", "/upload").status_code == 404


def test_every_attempt_is_exported_as_json_and_csv(server: Any, ayu: list[Path], ayu_again: Path) -> None:
    upload(server, *ayu, nik="4711")
    recognise(server, ayu_again, nik="4711")
    day = datetime.now(timezone.utc)
    given = {"start": (day - timedelta(hours=1)).isoformat(), "end": (day + timedelta(hours=1)).isoformat()}
    attempts = server.ask("GET", "/v1/attendance", params=given, headers=server.admin).json()
    attempts = attempts["items"] if isinstance(attempts, dict) else attempts
    last = attempts[-1]
    assert (last["claimed"], last["name"], last["matched"]) == ("4711", "DENNIS", True)
    assert 0.7 < last["probability"] < 1
    assert last["similarity"] > 0.9


# The daily file ------------------------------------------------------------------------------------------------------

AT = datetime(2026, 3, 1, 1, 30, 1, tzinfo=timezone.utc)


def test_the_line_has_the_format_of_the_old_backend(tmp_path: Path) -> None:
    daily = DailyFile(tmp_path / "logging")
    daily.append(AttendanceRecord(claimed="12345", name="DENNIS", probability=0.98234, matched=True), AT)
    daily.append(
        AttendanceRecord(claimed="99999", name=None, probability=0.4211, matched=False),
        AT + timedelta(minutes=5, seconds=11),
    )
    assert (tmp_path / "logging" / "logging_01-03-2026.txt").read_text() == (
        "08:30:01 - NIK: 12345, Name: DENNIS, Accuracy: 0.9823, Matched: True\n"
        "08:35:12 - NIK: 99999, Name: Unknown, Accuracy: 0.4211, Matched: False\n"
    )


def test_a_day_begins_at_midnight_of_the_time_zone(tmp_path: Path) -> None:
    before = datetime(2026, 3, 1, 16, 59, 59, tzinfo=timezone.utc)
    daily, utc = DailyFile(tmp_path), DailyFile(tmp_path / "utc", "UTC")
    for second in (0, 1):
        daily.append(
            AttendanceRecord(claimed="1", name="A", probability=1.0, matched=True), before + timedelta(seconds=second)
        )
        utc.append(
            AttendanceRecord(claimed="1", name="A", probability=1.0, matched=True), before + timedelta(seconds=second)
        )
    assert (tmp_path / "logging_01-03-2026.txt").read_text().startswith("23:59:59 ")
    assert (tmp_path / "logging_02-03-2026.txt").read_text().startswith("00:00:00 ")
    assert [path.name for path in (tmp_path / "utc").iterdir()] == ["logging_01-03-2026.txt"]


def test_a_name_cannot_end_a_line_or_start_a_field(tmp_path: Path) -> None:
    daily = DailyFile(tmp_path)
    daily.append(
        AttendanceRecord(
            claimed="1\n2", name="A\r\n00:00:00 - NIK: 1, Name: B, Matched: True\u2028", probability=0.1, matched=False
        ),
        AT,
    )
    [line] = daily.path(AT).read_text().splitlines()
    assert LINE.fullmatch(line)
    assert line.endswith("Accuracy: 0.1000, Matched: False")


def test_an_unknown_time_zone_is_refused(tmp_path: Path) -> None:
    for zone in ("Nowhere/Nothing", "", "../etc/passwd"):
        with pytest.raises(ArgumentError, match="Asia/Jakarta"):
            DailyFile(tmp_path, zone)


def write_some(folder: Path, worker: int) -> None:
    daily = DailyFile(folder)
    with ThreadPoolExecutor(4) as pool:
        for number in range(200):
            at = datetime(2026, 3, 1, 16, 59, 59, tzinfo=timezone.utc) + timedelta(milliseconds=10 * number)
            pool.submit(
                daily.append,
                AttendanceRecord(claimed=f"{worker}-{number}", name="N" * 200, probability=0.5, matched=True),
                at,
            )


@pytest.mark.slow
def test_lines_of_workers_and_threads_are_not_mixed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=write_some, args=(tmp_path, worker)) for worker in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    written = [line for path in sorted(tmp_path.iterdir()) for line in path.read_text().splitlines()]
    assert len(list(tmp_path.iterdir())) == 2
    assert len(written) == 600
    assert all(LINE.fullmatch(line) for line in written)
    said = {match[1] for line in written if (match := re.search(r"NIK: (\S+),", line))}
    assert said == {f"{worker}-{number}" for worker in range(3) for number in range(200)}
