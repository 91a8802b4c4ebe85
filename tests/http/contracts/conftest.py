"""One real server for all contracts, called with `requests` and curl like the old clients.

Keys are on: what the old backends left open is open by ``FACEDEX_PUBLIC_SCOPES``, the rest needs a token or a key.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from facedex import people
from facedex.server import Access
from facedex.server.tables import attempts
from facedex.store import Database

STARTS_WITHIN_S = 60


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes
    ----------
    url : str
        Its base address.
    folder : Path
        Where it was started.
    admin : dict of str to str
        Headers with a key that has every scope.
    """

    url: str
    folder: Path
    admin: dict[str, str]

    def ask(self, method: str, path: str, **given: object) -> requests.Response:
        """Send a request as an old client does: no redirect is followed."""
        return requests.request(method, self.url + path, timeout=60, allow_redirects=False, **given)  # type: ignore[arg-type]

    def empty(self) -> None:
        """Delete all people, and the counts of sign-in attempts."""
        database = Database(str(self.folder / "people.db"))
        with database.write() as connection:
            connection.execute(attempts.delete())
        database.close()
        users = self.ask("GET", "/api/users")
        assert users.ok, users.text
        for user in users.json():
            assert self.ask("DELETE", f"/api/users/{user['id']}").ok

    def curl(self, *arguments: str) -> str:
        """Run curl; the last argument is the path."""
        *options, path = arguments
        done = subprocess.run(
            ["curl", "--silent", "--show-error", "--max-time", "60", *options, self.url + path],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout


@contextmanager
def started(folder: Path, **variables: str) -> Iterator[Server]:
    """Start a server of all contracts in a folder, with variables besides."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("FACEDEX_")}
    environ |= {
        "FACEDEX_DB": str(folder / "people.db"),
        "FACEDEX_HOME": str(folder / "home"),
        "FACEDEX_CONTRACTS": "all",
        "FACEDEX_PUBLIC_SCOPES": "read,recognise,enrol",
        "FACEDEX_FACE_LOGIN_LIVENESS": "off",
        "FACEDEX_LOCKOUT_AFTER": "50",
    }
    (folder / ".env").write_text("MAX_FACES_PER_USER=3\nMAX_FILE_SIZE=2000000\nENABLE_ANTI_SPOOFING=true\n")
    command = [sys.executable, "-m", "uvicorn", "--factory", "facedex.http:create_app", "--port", str(port)]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environ | variables, stdout=log, stderr=subprocess.STDOUT)
        url = f"http://127.0.0.1:{port}"
        try:
            deadline = time.monotonic() + STARTS_WITHIN_S
            while not answers(url):
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail((folder / "server.log").read_text())
                time.sleep(0.2)
            access = Access(Database(str(folder / "people.db")))
            _, secret = access.keys.add("tests", ["admin"])
            access.close()
            yield Server(url, folder, {"X-API-Key": secret})
        finally:
            process.terminate()
            process.wait(timeout=30)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server."""
    with started(tmp_path_factory.mktemp("contracts")) as server:
        yield server


@pytest.fixture(scope="module")
def mobile(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Iterator[Server]:
    """Another server, whose gallery works with the pack `mobile`; for tests marked ``shared``."""
    folder = tmp_path_factory.mktemp("mobile")
    networks = folder / "home" / "packs" / "mobile"
    networks.mkdir(parents=True)
    for network in ("yunet/yunet_n_dynamic.onnx", "mobilefacenet/mobilefacenet_foamliu_128d.onnx"):
        shutil.copy(shared / "models" / network, networks)
    with started(folder, FACEDEX_PACK="mobile") as server:
        yield server


def answers(url: str) -> bool:
    """Whether the server is there."""
    try:
        return requests.get(f"{url}/health/live", timeout=5).ok
    except requests.ConnectionError:
        return False


@pytest.fixture
def server(running: Server) -> Server:
    """The server, with no people."""
    running.empty()
    return running


@pytest.fixture
def ayu() -> list[Path]:
    """Pictures of one person to be registered."""
    return list(people.PICTURES["ayu"])


@pytest.fixture
def ayu_again() -> Path:
    """Another picture of that person."""
    return people.PROBES["ayu"][0]


@pytest.fixture
def budi() -> Path:
    """A picture of another person."""
    return people.PROBES["budi"][0]


@pytest.fixture
def group() -> Path:
    """A picture of several people."""
    return people.FOLDER / "group.jpg"


@pytest.fixture
def landscape() -> bytes:
    """A picture without a face: a PNG of one colour."""
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (320, 240), (90, 140, 90)).save(out, "PNG")
    return out.getvalue()
