"""``facedex serve`` as processes: workers that agree, keys for others, signals; the command line of accounts."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from typer.testing import CliRunner

from facedex import config, people
from facedex.cli import app
from facedex.engine import Engine
from facedex.errors import ArgumentError, ServeError
from facedex.gallery import Gallery
from facedex.http import Settings, create_app
from facedex.http.contracts.mtcnn_facenet import AttendanceSettings
from facedex.http.serve import check_exposure, run
from facedex.http.workers import Workers

AYU = people.PROBES["ayu"][0].read_bytes()


_OPENSSL = (
    *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"),
    *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
)


def facedex(*arguments: str, **given: Any) -> Any:
    return CliRunner().invoke(app, list(arguments), **given)


@pytest.mark.slow
def test_workers_share_one_gallery_and_agree_at_once(server: Callable[..., Any], tmp_path: Path) -> None:
    at = server("--workers", "2")
    assert len(at.workers()) == 2
    files = [("images", path.read_bytes()) for path in people.PICTURES["ayu"][:2]]
    assert at.post("/v1/people", data={"person_id": "ayu"}, files=files).status_code == 201
    seen = set()
    for _ in range(12):  # a new connection each, which either worker takes
        found = at.post("/v1/recognize", files={"image": AYU})
        assert found.json()["faces"][0]["person_id"] == "ayu", found.text
        seen.add(at.get("/v1/stats").json()["process_memory"])
    assert len(seen) > 1
    assert at.get("/v1/people/ayu").status_code == 200
    text = at.get("/metrics").text
    assert 'facedex_requests_total{method="POST",route="/v1/recognize",status="200"} 12.0' in text
    db = ["--db", str(tmp_path / "served.db")]
    made = json.loads(facedex("keys", "add", "desk", "--scope", "admin", "--json", *db).stdout)
    head = {"X-API-Key": made["key"]}
    assert {at.get("/v1/people").status_code for _ in range(6)} == {401}
    assert {at.get("/v1/people", headers=head).status_code for _ in range(6)} == {200}
    at.post("/v1/keys", json={"name": "other", "scopes": ["admin"]}, headers=head)
    assert facedex("keys", "revoke", str(made["id"]), *db).exit_code == 0
    assert {at.get("/v1/people", headers=head).status_code for _ in range(6)} == {401}


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_loses_nothing(server: Callable[..., Any]) -> None:
    at = server("--workers", "2")
    for number in range(3):
        assert at.post("/v1/people", json={"person_id": number}).status_code == 201
    victim = at.workers()[0].pid
    os.kill(victim, signal.SIGKILL)
    for _ in range(200):
        if len(at.workers()) == 2 and victim not in {worker.pid for worker in at.workers()}:
            break
        time.sleep(0.1)
    else:
        pytest.fail("the worker was not replaced")
    for _ in range(100):
        try:
            if at.get("/v1/health/ready").status_code == 200:
                break
        except httpx.TransportError:
            time.sleep(0.1)
    listed = {tuple(one["person_id"] for one in at.get("/v1/people").json()["items"]) for _ in range(6)}
    assert listed == {(0, 1, 2)}


@pytest.mark.slow
def test_a_head_request_gets_the_response_of_get_without_a_body(server: Callable[..., Any]) -> None:
    at = server()
    for path in ("/v1/health/live", "/v1/people", "/v1/people/nobody", "/", "/v1/recognize", "/metrics"):
        whole, head = at.get(path), at.head(path)
        assert head.status_code == whole.status_code, path
        assert whole.content
        assert head.content == b""
        told = [name for name in whole.headers if name not in ("date", "content-length")]
        assert [name for name in head.headers if name not in ("date", "content-length")] == told
        if path != "/metrics":  # which has grown meanwhile
            assert head.headers["content-length"] == whole.headers["content-length"]
    assert at.head("/v1/recognize").headers["allow"] == "POST"
    assert 'method="HEAD"' in at.get("/metrics").text


def test_a_signal_ends_the_server_and_its_log_has_no_query(server: Callable[..., Any]) -> None:
    at = server(FACEDEX_LOG_FORMAT="json")
    at.get("/v1/people?email=secret@example.org", headers={"X-API-Key": "fdk_nothing"})
    at.process.send_signal(signal.SIGTERM)
    assert at.process.wait(30) in (0, -signal.SIGTERM)
    log = at.log.read_text()
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert {"method": "GET", "path": "/v1/people", "status": 401}.items() <= lines[-1].items()
    assert "secret@" not in log
    assert "fdk_nothing" not in log
    assert "Traceback" not in log


@pytest.mark.parametrize("workers", [1, 2])
def test_the_settings_reach_the_workers_without_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    before = dict(os.environ)
    given = Settings(db=str(tmp_path / "people.db"), port=0, workers=workers, account_scopes=("read",), embed=True)
    apps = []

    def load(config: uvicorn.Config) -> None:
        changed = {name for name in os.environ if os.environ[name] != before.get(name)}
        assert changed <= {"PROMETHEUS_MULTIPROC_DIR"}
        spawned = pickle.loads(pickle.dumps(config))  # as a worker gets it
        spawned.load()
        apps.append(spawned.loaded_app)

    def serve_once(server: uvicorn.Server) -> None:
        load(server.config)
        server.started = True

    monkeypatch.setattr(uvicorn.Server, "run", serve_once)

    def serve_workers(started: Workers) -> None:
        load(started._config)
        started._listening.close()

    monkeypatch.setattr(Workers, "run", serve_workers)
    run(given)
    (served,) = apps
    assert served.state.facedex.settings == given
    served.state.facedex.close()


def test_the_settings_of_library_and_server_are_one_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library = {one.name for one in dataclasses.fields(config.Settings)}
    attendance = {f"attendance_{name}" for name in AttendanceSettings.model_fields}
    assert library | set(config.SERVER_SETTINGS) == library | set(Settings.model_fields) | attendance
    assert not library & set(config.SERVER_SETTINGS)
    monkeypatch.setenv("FACEDEX_PORT", "tcp://10.0.0.1:8000")  # as Kubernetes does for a service called facedex
    for name in ("THRESHOLD", "PHOTOS", "WORKERS", "DB", "ACCOUNT_SCOPES"):
        monkeypatch.setenv(f"FACEDEX_{name}", "")
    empty = Settings()
    assert (empty.threshold, empty.photos, empty.workers, empty.location) == (None, "none", 1, "people.db")
    assert (empty.port, empty.account_scopes) == (8000, ())
    monkeypatch.setenv("FACEDEX_WORKER", "2")
    for entry in (Settings, create_app, Engine, lambda: Gallery.open(tmp_path / "people.db")):
        with pytest.raises(ArgumentError, match=r"has FACEDEX_WORKER, .* did you mean FACEDEX_WORKERS"):
            entry()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [["--host", "0.0.0.0"], ["--host", "::"], ["--trusted-proxy", "10.0.0.1"]])
def test_an_exposed_server_needs_keys(tmp_path: Path, options: list[str]) -> None:
    db = ["--db", str(tmp_path / "people.db")]
    refused = facedex("serve", *options, *db)
    assert refused.exit_code == 3
    assert "error [serve]" in refused.stderr
    assert "facedex keys add" in refused.stderr
    assert "serving at" not in refused.output
    settings = Settings(db=db[1], host="0.0.0.0")
    with pytest.raises(ServeError):
        check_exposure(settings)
    check_exposure(Settings(db=db[1], host="0.0.0.0", insecure=True))
    check_exposure(Settings(db=db[1], host="localhost"))
    facedex("users", "add", "boss@example.org", "--scope", "read", "--password-stdin", *db, input="12345678\n")
    with pytest.raises(ServeError):
        check_exposure(settings)
    facedex("keys", "add", "desk", "--scope", "read", *db)
    check_exposure(settings)


@pytest.mark.parametrize("options", [["--tls-cert", "x.pem"], ["--trusted-proxy", "nonsense"]])
def test_incompatible_settings_are_refused(tmp_path: Path, options: list[str]) -> None:
    refused = facedex("serve", "--db", str(tmp_path / "people.db"), *options)
    assert refused.exit_code == 2


@pytest.mark.slow
def test_forwarded_headers_count_only_from_a_trusted_proxy(server: Callable[..., Any], tmp_path: Path) -> None:
    db = ["--db", str(tmp_path / "served.db")]
    keys = [
        json.loads(facedex("keys", "add", f"desk {number}", "--scope", "admin", "--json", *db).stdout)["key"]
        for number in range(5)
    ]  # one for each request, because a key is counted too
    for options, locked in ((["--trusted-proxy", "127.0.0.1"], False), ([], True)):
        at = server(*options, FACEDEX_RATE_PER_MINUTE="3")
        answers = [
            at.get("/v1/people", headers={"X-API-Key": key, "X-Forwarded-For": f"192.0.2.{number}"}).status_code
            for number, key in enumerate(keys)
        ]
        assert (429 in answers) is locked, answers
        at.process.terminate()
        at.process.wait(20)


@pytest.mark.slow
def test_over_tls(server: Callable[..., Any], tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = subprocess.run(
        [*_OPENSSL, "-keyout", str(key), "-out", str(cert)],
        capture_output=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.skip("needs openssl, to make a certificate: apt install openssl, then make test-all")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "facedex", "serve", "--db", str(tmp_path / "p.db"), "--port", str(port)]
    with subprocess.Popen(
        [*command, "--tls-cert", str(cert), "--tls-key", str(key)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            for _ in range(200):
                try:
                    answer = httpx.get(f"https://127.0.0.1:{port}/v1/session", verify=_trusting(cert))
                    break
                except httpx.TransportError:
                    assert process.poll() is None
                    time.sleep(0.1)
            assert answer.status_code == 200
            assert "max-age" in answer.headers["strict-transport-security"]
        finally:
            process.terminate()


def _trusting(cert: Path) -> Any:
    import ssl

    return ssl.create_default_context(cafile=str(cert))


def test_the_command_line_of_accounts(tmp_path: Path) -> None:
    db = ["--db", str(tmp_path / "people.db")]
    made = facedex("users", "add", "Ayu@Example.org", "-s", "enrol", "--password-stdin", *db, input="correct horse\n")
    assert made.exit_code == 0, made.output
    assert "correct horse" not in made.output
    listed = json.loads(facedex("users", "list", "--json", *db).stdout)["accounts"]
    assert [(one["email"], one["scopes"]) for one in listed] == [("Ayu@Example.org", ["enrol"])]
    assert "password" not in listed[0]
    assert facedex("users", "passwd", "ayu@example.org", "--password-stdin", *db, input="x\n").exit_code == 3
    assert facedex("users", "passwd", "ayu@example.org", "--password-stdin", *db, input="12345678\n").exit_code == 0
    assert facedex("users", "disable", "AYU@example.org", *db).exit_code == 0
    assert "Ayu@Example.org" in facedex("users", "list", *db).stdout
    assert facedex("users", "disable", "nobody", *db).exit_code == 3
    twice = facedex("users", "add", "ayu@example.org", "-s", "read", "--password-stdin", *db, input="12345678\n")
    assert "duplicate_account" in twice.stderr
    shown = facedex("keys", "add", "front door", "-s", "recognise", "--days", "30", *db)
    key = shown.stdout.split()[-1]
    assert key.startswith("fdk_")
    table = facedex("keys", "list", *db).stdout
    assert "front door" in table
    assert key not in table
    assert key[:10] in table


def test_the_documentation_names_every_setting() -> None:
    text = (Path(__file__).parents[2] / "docs" / "server.md").read_text()
    told = set(re.findall(r"^\| `FACEDEX_(\w+)`", text, re.MULTILINE))
    assert told == {name.upper() for name in Settings.model_fields}
