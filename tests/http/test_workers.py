"""Workers killed under load: acknowledged changes stay stored, and the other workers continue."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import psutil
import pytest
from prometheus_client.mmap_dict import MmapedDict

from facedex import Gallery, people
from facedex.engine import Engine
from facedex.errors import ServeError, UnknownPersonError
from facedex.gallery.fsck import fsck
from facedex.http import Settings
from facedex.http.serve import run

pytestmark = pytest.mark.slow

CLIENTS = 3
KILLS = 3
BETWEEN = 6  # registrations and deletions that are answered before the next worker is killed
FIRST, SECOND = (path.read_bytes() for path in people.PICTURES["ayu"][:2])
PROBE = people.PROBES["ayu"][0].read_bytes()


@dataclass
class Client(threading.Thread):
    """Registers, recognises and deletes its own people, and records the responses."""

    port: int
    number: int
    ended: threading.Event
    stored: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    open: set[str] = field(default_factory=set)
    broken: int = 0
    recognised: int = 0
    odd: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def __hash__(self) -> int:
        return self.number

    def run(self) -> None:
        chance = random.Random(self.number)
        turn = 0
        while not self.ended.is_set():
            turn += 1
            person_id = f"{self.number}-{turn}"
            files = [("images", FIRST), ("images", SECOND)][: chance.choice((1, 2))]
            status = self._ask("POST", "/v1/people", data={"person_id": person_id}, files=files)
            if status == 201:
                self.stored.add(person_id)
            elif status is None:
                self.open.add(person_id)  # done or not: nobody was told
            elif status != 503:
                self.odd.append(f"registering {person_id}: {status}")
            if self.stored and chance.random() < 0.4:
                person_id = chance.choice(sorted(self.stored))
                self.stored.remove(person_id)
                status = self._ask("DELETE", f"/v1/people/{person_id}")
                if status in (None, 503):
                    self.open.add(person_id)
                elif status == 200:
                    self.gone.add(person_id)
                else:
                    self.odd.append(f"deleting {person_id}: {status}")
            status = self._ask("POST", "/v1/recognize", content=PROBE, headers={"content-type": "image/jpeg"})
            self.recognised += status == 200
            if status not in (None, 200, 409, 503):  # 409: nobody is registered at this moment
                self.odd.append(f"recognising: {status}")

    def _ask(self, method: str, path: str, **given: Any) -> int | None:
        """Return the status of the answer; None when there was none."""
        try:
            return httpx.request(method, f"http://127.0.0.1:{self.port}{path}", timeout=30, **given).status_code
        except httpx.TransportError:
            self.broken += 1
            return None


def test_workers_killed_under_load_lose_nothing_that_was_acknowledged(
    server: Callable[..., Any], engine: Engine, tmp_path: Path
) -> None:
    at = server("--workers", "2", FACEDEX_PHOTOS="thumbnail")
    ended = threading.Event()
    clients = [Client(at.port, number, ended) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    victims: set[int] = set()
    until, answered_before = time.monotonic() + 90, 0
    while len(victims) < KILLS:
        assert time.monotonic() < until, at.log.read_text()
        time.sleep(0.3)
        answered = sum(len(client.stored) + len(client.gone) for client in clients)
        alive = at.workers()
        if answered >= answered_before + BETWEEN and len(alive) == 2:
            victim = min(alive, key=lambda worker: worker.create_time()).pid  # the other may still be starting
            os.kill(victim, signal.SIGKILL)
            victims.add(victim)
            answered_before = answered
    ended.set()
    for client in clients:
        client.join(40)
        assert not client.is_alive()
    assert [odd for client in clients for odd in client.odd] == []
    assert sum(client.recognised for client in clients) > 0
    stored, gone, unclear = (
        set().union(*(getattr(client, name) for client in clients)) for name in ("stored", "gone", "open")
    )

    _wait_for_two(at, victims)
    for _ in range(4):  # a new connection each, which either worker takes
        listed = {one["person_id"] for one in at.get("/v1/people?limit=1000").json()["items"]}
        assert stored <= listed <= stored | unclear, (stored - listed, listed & gone)
    at.process.send_signal(signal.SIGTERM)
    at.process.wait(30)
    assert "Traceback" not in at.log.read_text()

    report = fsck(tmp_path / "served.db")
    assert report.ok, report
    with Gallery.open(tmp_path / "served.db", engine=engine) as gallery:
        for person_id in stored:
            faces = gallery.person(person_id).faces
            assert len(faces) in (1, 2)
            assert len(gallery.photos(person_id)) == len(faces)
        for person_id in gone:
            with pytest.raises(UnknownPersonError):
                gallery.person(person_id)
        named = {one.person_id for one in gallery.recognize(PROBE, k=1000).faces[0].candidates}
        assert stored <= named <= stored | unclear


def _wait_for_two(at: Any, victims: set[int]) -> None:
    """Wait until two new workers respond."""
    until = time.monotonic() + 40
    while time.monotonic() < until:
        alive = {worker.pid for worker in at.workers()}
        try:
            if len(alive) == 2 and not alive & victims and at.get("/v1/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(f"a worker was not replaced\n{at.log.read_text()}")


@pytest.mark.skipif(os.name != "posix", reason="needs kill -9: Linux or macOS")
def test_workers_end_with_their_master_and_a_restart_works(server: Callable[..., Any], tmp_path: Path) -> None:
    at = server("--workers", "2", TMPDIR=str(tmp_path))
    workers = at.workers()
    (folder,) = tmp_path.glob("facedex-metrics-*")
    os.kill(at.process.pid, signal.SIGKILL)
    at.process.wait(10)
    again = server("--workers", "2", port=at.port, TMPDIR=str(tmp_path))
    gone, alive = psutil.wait_procs(workers, timeout=20)
    until = time.monotonic() + 60  # the first answers may have been the old workers'
    while True:
        try:
            assert again.get("/v1/health/ready").status_code == 200
            break
        except httpx.TransportError:
            assert time.monotonic() < until
            time.sleep(0.1)
    assert alive == []
    assert len(gone) == 2
    assert "Traceback" not in at.log.read_text()
    assert not folder.exists(), "the folder of a server that was killed is removed"
    assert len(list(tmp_path.glob("facedex-metrics-*"))) == 1


def test_a_port_in_use_is_reported(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        command = [sys.executable, "-m", "facedex", "serve", "--db", str(tmp_path / "people.db"), "--port", port]
        told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode == 3
    assert f"port {port} cannot be used" in told.stderr
    assert "stop the program that uses it" in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize(
    ("host", "port", "advice"),
    [
        ("192.0.2.1", 8000, "choose an address of this machine with --host"),
        ("nowhere.invalid", 8000, "the name is unknown here"),
        ("192.0.2.1", 0, "choose an address of this machine with --host"),
    ],
)
def test_an_unusable_address_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, port: int, advice: str
) -> None:
    def wait(seconds: float) -> None:
        raise AssertionError("it waits for the port")

    monkeypatch.setattr("facedex.http.serve.time", SimpleNamespace(monotonic=time.monotonic, sleep=wait))
    settings = Settings(db=str(tmp_path / "people.db"), host=host, port=port, insecure=True)
    with pytest.raises(ServeError, match=advice) as refused:
        run(settings)
    assert "stop the program" not in str(refused.value)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root: make test-all as root")
def test_a_port_that_needs_privileges_is_refused_at_once() -> None:
    program = (
        "import encodings.idna, os, socket, sys\n"
        "from facedex.http import Settings\n"
        "from facedex.http.serve import _wait_for_port\n"
        "os.setuid(65534)\n"
        "with socket.socket() as tried:\n"
        "    try:\n"
        "        tried.bind(('127.0.0.1', 81))\n"
        "        sys.exit(77)\n"
        "    except PermissionError:\n"
        "        _wait_for_port(Settings(port=81))\n"
    )
    command = [sys.executable, "-c", program]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if told.returncode == 77:
        pytest.skip("needs a system that reserves ports below 1024 for root")
    assert told.returncode == 1
    assert "ServeError" in told.stderr
    assert "choose one above 1023" in told.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.skipif(os.name != "posix", reason="needs signals: Linux or macOS")
def test_a_stopping_server_refuses_new_connections_at_once(server: Callable[..., Any], workers: str) -> None:
    at = server("--workers", workers)
    with socket.create_connection(("127.0.0.1", at.port), timeout=20) as held:  # a request in progress
        held.sendall(b"POST /v1/recognize HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\n")
        held.sendall(b"Content-Length: %d\r\n\r\n" % len(PROBE) + PROBE[:100])
        time.sleep(0.3)
        at.process.send_signal(signal.SIGTERM)
        until = time.monotonic() + 3
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", at.port), timeout=1).close()
            except ConnectionRefusedError:
                break
            time.sleep(0.05)
        else:
            pytest.fail("new connections are accepted")
        assert at.process.poll() is None
        held.sendall(PROBE[100:])
        assert b"HTTP/1.1 " in held.recv(4096), "what was begun is answered"
    at.process.wait(30)
    assert "Traceback" not in at.log.read_text()


@pytest.mark.parametrize("kind", ["image/jpeg", "application/json", "multipart/form-data; boundary=x"])
def test_a_client_that_disconnects_in_its_body_is_not_an_error(server: Callable[..., Any], kind: str) -> None:
    at = server()
    for path in ("/v1/recognize", "/v1/people", "/v1/people/ayu/photos", "/v1/keys", "/v1/index/import"):
        with socket.create_connection(("127.0.0.1", at.port), timeout=20) as leaving:
            head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: 1000\r\n\r\n"
            part = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\nabc'
            leaving.sendall(head.encode() + (part if "boundary" in kind else b'{"person_id"'))
            time.sleep(0.1)
    _expect_left(at, 5)
    metrics = at.get("/metrics").text
    assert 'status="500"' not in metrics
    assert metrics.count('status="499"') >= 5
    log = at.log.read_text()
    assert "Traceback" not in log
    assert "fault" not in log
    assert len([line for line in log.splitlines() if " 499 " in line]) == 5


def test_a_client_that_disconnects_in_the_response_is_not_an_error(server: Callable[..., Any]) -> None:
    at = server()
    for number in range(100):
        assert at.post("/v1/people", json={"person_id": number, "info": {"note": "x" * 60_000}}).status_code == 201
    for _ in range(3):
        with socket.socket() as leaving:
            leaving.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            leaving.connect(("127.0.0.1", at.port))
            leaving.sendall(b"GET /v1/people?limit=1000 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert leaving.recv(100).startswith(b"HTTP/1.1 200 ")
    _expect_left(at, 3)
    assert 'status="500"' not in at.get("/metrics").text
    assert "Traceback" not in at.log.read_text()


def _expect_left(at: Any, number: int) -> None:
    for _ in range(100):
        if f"facedex_clients_left_total {number}.0" in at.get("/metrics").text:
            return
        time.sleep(0.1)
    pytest.fail(at.get("/metrics").text + at.log.read_text())


def test_a_killed_worker_is_removed_from_the_metrics(server: Callable[..., Any]) -> None:
    at = server("--workers", "2", FACEDEX_CONCURRENCY="1")
    assert at.post("/v1/people", data={"person_id": "ayu"}, files={"images": FIRST}).status_code == 201
    folder = Path(at.workers()[0].environ()["PROMETHEUS_MULTIPROC_DIR"])
    ended = threading.Event()
    clients = [threading.Thread(target=_recognise, args=(at, ended), daemon=True) for _ in range(8)]
    for client in clients:
        client.start()
    busy, until = [], time.monotonic() + 60
    while len(busy) < 2:
        assert time.monotonic() < until, at.log.read_text()
        at.get("/metrics")
        busy = [path for path in folder.glob("gauge_livesum_*.db") if _read_metric(path, "work") > 0]
    victim = int(busy[0].stem.rpartition("_")[2])
    os.kill(victim, signal.SIGKILL)
    ended.set()
    for client in clients:
        client.join(40)
    _wait_for_two(at, {victim})
    for path in folder.glob(
        "gauge_livesum_*.db"
    ):  # who still lives has noted that all was answered, without being asked
        assert _read_metric(path, "work") == 0 or path.stem.endswith(f"_{victim}")
    for _ in range(6):  # a new connection each, which either worker takes
        assert 'facedex_inside{lane="work"} 0.0' in at.get("/metrics").text.splitlines()
    assert not list(folder.glob(f"gauge_live*_{victim}.db"))
    assert list(folder.glob(f"counter_{victim}.db"))  # what it answered was answered


def _recognise(at: Any, ended: threading.Event) -> None:
    while not ended.is_set():
        with contextlib.suppress(httpx.TransportError):
            at.post("/v1/recognize", content=PROBE, headers={"content-type": "image/jpeg"})


def _read_metric(path: Path, lane: str) -> float:
    """Read the last metric that a worker wrote for a lane."""
    values = MmapedDict.read_all_values_from_file(str(path))
    return sum(value for key, value, *_ in values if f'"{lane}"' in key)
