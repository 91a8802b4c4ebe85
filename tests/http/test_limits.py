"""What a server refuses: overload, large bodies, slow requests, and malicious pictures."""

from __future__ import annotations

import asyncio
import base64
import io
import socket
import struct
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from facedex import people
from facedex.engine import Engine
from facedex.errors import BodyTooLargeError, LateAnswerError, OverloadedError
from facedex.http import Settings, create_app
from facedex.http.limits import Lane, Limits
from facedex.http.pixels import Claim, Pixels, turns

AYU = people.PROBES["ayu"][0].read_bytes()


def test_a_full_lane_refuses_work() -> None:
    async def run() -> None:
        lane, go = Lane("test", 2, 1, 10), threading.Event()
        tasks = [asyncio.create_task(lane.run(go.wait)) for _ in range(3)]
        await asyncio.sleep(0.05)
        with pytest.raises(OverloadedError) as told:
            await lane.run(go.wait)
        assert told.value.retry_after_s >= 1
        assert lane.pending == 3
        go.set()
        assert await asyncio.gather(*tasks) == [True] * 3
        assert lane.pending == 0
        assert await lane.run(lambda: 7) == 7
        lane.close()

    asyncio.run(run())


def test_late_work_is_abandoned_and_holds_its_slot_until_it_ends() -> None:
    async def run() -> None:
        lane, go = Lane("test", 1, 0, 0.1), threading.Event()
        with pytest.raises(LateAnswerError):
            await lane.run(go.wait)
        with pytest.raises(OverloadedError):
            await lane.run(lambda: None)
        go.set()
        await asyncio.sleep(0.05)
        assert await lane.run(lambda: 7) == 7
        lane.close()

    asyncio.run(run())


def test_an_error_of_the_work_is_raised_unchanged() -> None:
    async def run() -> None:
        limits = Limits(1, 1, 10)

        def fail() -> None:
            raise TimeoutError("of the work")

        for ask in (limits.pictures.run, limits.queries.run):
            with pytest.raises(TimeoutError, match="of the work"):
                await ask(fail)
        limits.close()

    asyncio.run(run())


async def _flood(
    engine: Engine, path: Path, clients: int, *, every_s: float, **settings: Any
) -> tuple[list[httpx.Response], list[float]]:
    """Recognise from many clients at once; returns the answers and the delays of the event loop, seconds, sorted."""
    app = create_app(Settings(db=str(path), **settings), engine=engine)
    services = app.state.facedex
    services.galleries.at("default").register("ayu", people.PICTURES["ayu"][0])
    delays: list[float] = []
    ended = asyncio.Event()

    async def watch() -> None:
        while not ended.is_set():
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            delays.append(time.perf_counter() - before - 0.005)

    watcher = asyncio.create_task(watch())
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:

        async def ask(number: int) -> httpx.Response:
            await asyncio.sleep(every_s * number)  # otherwise the loop is busy with the clients themselves
            return await client.post("/v1/recognize", content=AYU, headers={"content-type": "image/jpeg"})

        answers = await asyncio.gather(*(ask(number) for number in range(clients)))
    ended.set()
    await watcher
    services.close()
    return list(answers), sorted(delays)


def test_overload_is_refused_with_a_response(engine: Engine, tmp_path: Path) -> None:
    answers, _ = asyncio.run(_flood(engine, tmp_path / "people.db", 30, every_s=0, concurrency=1, waiting=3))
    refused = [answer for answer in answers if answer.status_code == 503]
    assert len([answer for answer in answers if answer.status_code == 200]) >= 4
    assert len(refused) + len([answer for answer in answers if answer.status_code == 200]) == 30
    assert len(refused) >= 20
    assert {answer.json()["code"] for answer in refused} == {"overloaded"}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)


def test_the_event_loop_is_not_blocked_under_load(engine: Engine, tmp_path: Path) -> None:
    answers, delays = asyncio.run(_flood(engine, tmp_path / "people.db", 24, every_s=0.01, concurrency=2, waiting=64))
    assert {answer.status_code for answer in answers} == {200}
    assert len(delays) > 24
    # a loop that waited for the pictures would be late by one of them, tens of milliseconds, nearly every time
    assert delays[len(delays) // 2] < 0.01
    assert delays[len(delays) * 9 // 10] < 0.05


def test_a_late_response_is_reported(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from facedex import Gallery

    client = serve(request_timeout_s=0.2)
    monkeypatch.setattr(Gallery, "recognize", lambda *_, **__: time.sleep(0.5))
    answer = client.post("/v1/recognize", files={"image": AYU})
    assert (answer.status_code, answer.json()["code"]) == (504, "timeout")


def test_a_late_write_is_not_repeated(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from facedex import Gallery

    client, add = serve(request_timeout_s=0.3), Gallery.register
    monkeypatch.setattr(Gallery, "register", lambda *given, **named: (time.sleep(0.6), add(*given, **named))[1])
    once = {"headers": {"Idempotency-Key": "a"}, "data": {"person_id": "ayu"}, "files": {"images": AYU}}
    assert client.post("/v1/people", **once).status_code == 504
    until = time.monotonic() + 20
    while client.get("/v1/people/ayu").status_code != 200 and time.monotonic() < until:
        time.sleep(0.05)
    again = client.post("/v1/people", **once)
    assert (again.status_code, again.json()["code"]) == (409, "idempotency_in_progress")
    assert "retry-after" in again.headers


def test_a_body_that_is_too_large(serve: Any) -> None:
    client = serve(max_upload_bytes=50_000)
    told = client.post("/v1/recognize", content=b"x" * 50_001, headers={"content-type": "image/jpeg"})

    def pieces() -> Any:
        for _ in range(20):
            yield b"x" * 10_000

    untold = client.post("/v1/recognize", content=pieces(), headers={"content-type": "image/jpeg"})
    form = client.post("/v1/recognize", files={"image": b"x" * 60_000})
    text = client.post("/v1/recognize", json={"image": "A" * 60_000})
    untold_text = client.post("/v1/recognize", content=pieces(), headers={"content-type": "application/json"})
    untold_form = client.post(
        "/v1/recognize", content=pieces(), headers={"content-type": "multipart/form-data; boundary=x"}
    )
    for answer in (told, untold, form, text, untold_text, untold_form):
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert client.post("/v1/recognize", content=b"x" * 49_000, headers={"content-type": "image/x"}).status_code == 400


def test_more_pictures_than_allowed(serve: Any) -> None:
    client = serve(max_pictures=2)
    files = [("images", b"x")] * 3
    assert client.post("/v1/recognize/batch", files=files).status_code in (413, 422)
    assert client.post("/v1/recognize", files=files[:2]).status_code in (413, 422)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1_000_000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def lossless(width: int, height: int) -> bytes:
    """A WebP of one colour: a few bytes, whatever size it announces."""
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "WEBP", lossless=True)
    return file.getvalue()


def test_a_batch_is_refused_by_the_sum_of_its_headers(serve: Any) -> None:
    client = serve(max_request_pixels=10_000_000, contracts="flask-face,mtcnn-facenet", public_scopes="")
    small, large = lossless(100, 100), lossless(3000, 1100)
    assert len(large) < 3000
    services = client.app.state.facedex
    before = services.galleries.at("default").engine.stats()["images"]
    files = [("images", large)] * 4
    answer = client.post("/v1/recognize/batch", files=files)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert "13 megapixels" in answer.json()["detail"]
    encoded = [base64.b64encode(picture).decode() for picture in [large] * 4]
    assert client.post("/v1/recognize/batch", json={"images": encoded}).status_code == 413
    files = [("images", large)] * 4
    assert client.post("/v1/people", data={"person_id": "ayu"}, files=files).status_code == 413
    upload = client.post("/upload/", data={"nik": "1", "nama": "AYU"}, files=[("files", large)] * 4)
    assert "13 megapixels" in upload.text
    assert services.galleries.at("default").engine.stats()["images"] - before <= 3
    files = [("images", large)] * 3 + [("images", small)]
    found = client.post("/v1/recognize/batch", files=[*files, ("images", b"none"), ("images", bomb(100_000, 100_000))])
    assert found.status_code in (200, 409), "nobody is registered" if found.status_code == 409 else found.text
    assert services.limits.pixels._of_one == {}, "what was answered counts no more"


def test_a_batch_lets_other_requests_run(serve: Any) -> None:
    client = serve(concurrency=1)
    services = client.app.state.facedex
    client.post("/v1/people", data={"person_id": "ayu"}, files={"images": people.PICTURES["ayu"][0].read_bytes()})
    large = lossless(4000, 2500)
    ended: list[str] = []

    def batch() -> None:
        answer = client.post("/v1/recognize/batch", files=[("images", large)] * 12)
        assert len(answer.json()["items"]) == 12, answer.text
        ended.append("batch")

    thread = threading.Thread(target=batch)
    thread.start()
    while services.limits.pending()["work"] == 0 and not ended:
        time.sleep(0.005)
    assert client.post("/v1/recognize", files={"image": AYU}).status_code == 200
    ended.append("one")
    thread.join()
    assert ended == ["one", "batch"]


def test_the_pixels_in_progress_of_a_client_are_bounded() -> None:
    pixels = Pixels(most=2_000_000)
    picture = lossless(1000, 1000)
    first, second, other = (Claim(pixels, who) for who in ("key 1", "192.0.2.1", "key 2"))
    second.charge("key 1")
    first.add(picture)
    first.add(picture)
    with pytest.raises(BodyTooLargeError, match="3 megapixels"):
        first.add(picture)
    with pytest.raises(OverloadedError, match="2 megapixels of this client"):
        second.add(picture)
    other.add(picture)
    first.add(b"no picture")
    first.release()
    second.add(picture)
    for claim in (second, other, first):
        claim.release()
    assert pixels._of_one == {}


def test_pictures_are_divided_into_batches() -> None:
    small, large = lossless(10, 10), lossless(3000, 3000)
    assert [len(part) for part in turns([small] * 20, Pixels())] == [8, 8, 4]
    assert [len(part) for part in turns([large, large, small, small, large], Pixels())] == [1, 1, 2, 1]
    assert list(turns([], Pixels())) == []


def polyglots() -> dict[str, bytes]:
    """Pictures that are something else too."""
    page = b"<!doctype html><script>alert(1)</script>"
    made = io.BytesIO()
    Image.new("RGB", (64, 64)).save(made, "GIF")
    return {
        "jpeg and zip": AYU + b"PK\x05\x06" + b"\0" * 18,
        "jpeg and page": AYU + page,
        "page": page,
        "gif and script": b"GIF89a/*" + made.getvalue()[6:] + b"*/=1;alert(1)",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
        "xml": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>',
        "pickle": b"\x80\x04\x95\x1b\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
        "nothing": b"",
        "zeros": bytes(1000),
        "cut": AYU[: len(AYU) // 2],
        "bomb": bomb(100_000, 100_000),
        "wide bomb": bomb(2**31 - 1, 1),
    }


@pytest.mark.parametrize("what", list(polyglots()))
def test_malicious_pictures(client: TestClient, what: str) -> None:
    data = polyglots()[what]
    client.post("/v1/people", json={"person_id": "nobody"})
    for sent in (
        {"files": {"image": ("a.jpg", data, "image/jpeg")}},
        {"content": data, "headers": {"content-type": "image/png"}},
        {"json": {"image": base64.b64encode(data).decode()}},
    ):
        answer = client.post("/v1/detect", **sent)  # type: ignore[arg-type]
        assert answer.status_code in (200, 400, 413, 415, 422), answer.text
        assert answer.headers["content-type"] in ("application/json", "application/problem+json")
    assert client.get("/v1/health/ready").status_code == 200


@pytest.mark.shared
def test_the_hostile_pictures(client: TestClient, shared: Path) -> None:
    pictures = [path for path in sorted((shared / "faces" / "hostile").rglob("*")) if path.is_file()]
    assert len(pictures) > 5
    for path in pictures:
        answer = client.post("/v1/detect", files={"image": (path.name, path.read_bytes())})
        assert answer.status_code in (200, 400, 413, 415, 422), f"{path.name}: {answer.text}"


@pytest.mark.parametrize("name", ["../../etc/passwd", "C:\\x\\y.jpg", "\0", "a" * 5000, "..", "", "é\u202e.jpg"])
def test_a_file_name_is_never_a_path(serve: Any, name: str, tmp_path: Path) -> None:
    client = serve(photos="thumbnail")
    files = {"images": (name, people.PICTURES["ayu"][0].read_bytes())}
    before = sorted(tmp_path.iterdir())
    answer = client.post("/v1/people", data={"person_id": "ayu"}, files=files)
    if answer.status_code == 201:
        (photo,) = client.get("/v1/people/ayu/photos").json()
        kept = photo["filename"] or ""
        assert "/" not in kept
        assert "\\" not in kept
        assert len(kept) <= 255
    else:
        assert answer.status_code == 422, answer.text
    assert {path.name for path in tmp_path.iterdir()} <= {path.name for path in before} | {"people.db-wal"}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data; boundary=x", b"--x\r\nbroken"),
        ("multipart/form-data", b"--x\r\n"),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data\r\n\r\nx\r\n--x--\r\n"),
        ("multipart/form-data; boundary=" + "x" * 5000, b"--x\r\n"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="k"\r\n\r\n' + b"9" * 2_000_000,
        ),
        ("application/json", b"[1]"),
        ("application/json", b"[" * 100_000),
        ("application/json", b'{"image": 7}'),
        ("application/json", b'{"image": "%%%"}'),
        ("application/json", b'{"image": null}'),
        ("application/json", b'{"images": {"a": 1}}'),
        ("application/json", b"\xff\xfe"),
        ("application/json", b'{"image": "\\ud800"}'),
        ("text/plain", b"x"),
        ("application/x-www-form-urlencoded", b"image=x"),
        ("image/jpeg; \xff", b"x"),
    ],
)
def test_an_invalid_body(client: TestClient, kind: str, body: bytes) -> None:
    answer = client.post("/v1/recognize", content=body, headers={"content-type": kind.encode("latin-1")})  # type: ignore[dict-item]
    assert answer.status_code in (400, 413, 415, 422), answer.text
    assert answer.json()["code"]


@pytest.mark.slow
def test_a_body_that_never_ends(server: Any) -> None:
    at = server(FACEDEX_BODY_TIMEOUT_S="1")
    for length in (100_000, 10):
        with socket.create_connection(("127.0.0.1", at.port), timeout=15) as connection:
            head = "POST /v1/recognize HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg"
            connection.sendall(f"{head}\r\nContent-Length: {length}\r\n\r\nabc".encode())
            started = time.monotonic()
            answer = connection.recv(4096)
            assert b" 408 " in answer.split(b"\r\n")[0], answer
            assert b"body_too_slow" in answer + connection.recv(4096)
            assert time.monotonic() - started < 10
    assert at.get("/v1/health/ready").status_code == 200
