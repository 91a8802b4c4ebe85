"""A server in this process, with the built-in pack and cheap passwords, and people to ask it about."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient
from place import Servers

from facedex import people
from facedex.engine import Engine
from facedex.http import Settings, create_app
from facedex.server import Access, Passwords

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)

Serve = Callable[..., TestClient]


@pytest.fixture
def serve(engine: Engine, servers: Servers, tmp_path: Path) -> Iterator[Serve]:
    """Make servers that share one database, each as a process of its own would be."""
    database = tmp_path / "people.db"
    with ExitStack() as stack:

        def make(**settings: Any) -> TestClient:
            chosen = Settings(**{"db": str(database), **settings})
            if not database.exists():
                database.write_bytes(servers.sqlite_with_tables)
            app = create_app(chosen, engine=engine, passwords=Passwords(CHEAP))
            return stack.enter_context(TestClient(app, "http://localhost", raise_server_exceptions=False))

        yield make


@pytest.fixture
def client(serve: Serve) -> TestClient:
    """A server that asks for no keys."""
    return serve()


@pytest.fixture
def peopled(client: TestClient) -> TestClient:
    """The same with two people."""
    for person_id in ("ayu", "budi"):
        files = [("images", path.read_bytes()) for path in people.PICTURES[person_id][:2]]
        answer = client.post("/v1/people", data={"person_id": person_id, "name": person_id.title()}, files=files)
        assert answer.status_code == 201, answer.text
    return client


def access_of(client: TestClient) -> Access:
    access: Access = client.app.state.facedex.access  # type: ignore[attr-defined]
    return access


@pytest.fixture
def keys(client: TestClient) -> dict[str, dict[str, str]]:
    """The headers of a key for each scope; from then on keys are on."""
    made = {}
    for scope in ("read", "recognise", "enrol", "admin"):
        _, secret = access_of(client).keys.add(scope, [scope])
        made[scope] = {"X-API-Key": secret}
    return made


@dataclass
class Server:
    """A server in processes of its own."""

    process: subprocess.Popen[str]
    port: int
    log: Path

    def get(self, path: str, **given: Any) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=20, **given)

    def head(self, path: str) -> httpx.Response:
        return httpx.head(f"http://127.0.0.1:{self.port}{path}", timeout=20)

    def post(self, path: str, **given: Any) -> httpx.Response:
        return httpx.post(f"http://127.0.0.1:{self.port}{path}", timeout=30, **given)

    def workers(self) -> list[psutil.Process]:
        return [
            child
            for child in psutil.Process(self.process.pid).children()
            if child.status() != psutil.STATUS_ZOMBIE and "resource_tracker" not in " ".join(child.cmdline())
        ]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start ``facedex serve`` with options and variables."""
    running: list[subprocess.Popen[str]] = []

    def start(*options: str, port: int = 0, **variables: str) -> Server:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = port or free.getsockname()[1]
        log = tmp_path / f"server-{port}.log"
        command = [sys.executable, "-m", "facedex", "serve", "--db", str(tmp_path / "served.db"), "--port", str(port)]
        with log.open("a") as file:
            process = subprocess.Popen(
                [*command, *options], stdout=file, stderr=file, text=True, env=os.environ | variables, cwd=tmp_path
            )
        running.append(process)
        started = Server(process, port, log)
        for _ in range(400):
            assert process.poll() is None, log.read_text()
            try:
                if started.get("/v1/health/ready").status_code == 200:
                    return started
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError(log.read_text())

    yield start
    for process in running:
        process.terminate()
    for process in running:
        process.wait(20)
