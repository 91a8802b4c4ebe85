"""Fetching packs from a server, with every fault of network and server."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import resource
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from facedex import packs
from facedex.errors import (
    ArchiveError,
    ArgumentError,
    DownloadError,
    PackFolderError,
    WeightsDigestError,
    WeightsUnverifiedError,
)
from facedex.packs.download import RetryPolicy, download

CONTENT = hashlib.sha256(b"weights").digest() * 10_000  # 320,000 bytes
HASTY = RetryPolicy(attempts=3, wait_s=0.01, timeout_s=0.5)

Fault = Callable[[http.server.BaseHTTPRequestHandler, bytes], None]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Site:
    """A server on this machine: its files, and what goes wrong with the next requests for each."""

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    pause_s: float = 0.0


def answer(
    handler: http.server.BaseHTTPRequestHandler, data: bytes, *, begun: int = 0, told: int | None = None
) -> None:
    handler.send_response(206 if begun else 200)
    if begun:
        handler.send_header("Content-Range", f"bytes {begun}-{len(data) - 1}/{len(data)}")
    handler.send_header("Content-Length", str(len(data) - begun if told is None else told))
    handler.end_headers()
    handler.wfile.write(data[begun:])


def cut(after: int) -> Fault:
    def fault(handler: http.server.BaseHTTPRequestHandler, data: bytes) -> None:
        begun = int((handler.headers["Range"] or "bytes=0-")[6:-1])
        handler.send_response(206 if begun else 200)
        if begun:
            handler.send_header("Content-Range", f"bytes {begun}-{len(data) - 1}/{len(data)}")
        handler.send_header("Content-Length", str(len(data) - begun))
        handler.end_headers()
        handler.wfile.write(data[begun : begun + after])
        handler.close_connection = True

    return fault


def status(code: int, **headers: str) -> Fault:
    def fault(handler: http.server.BaseHTTPRequestHandler, data: bytes) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return fault


def silent(seconds: float) -> Fault:
    def fault(handler: http.server.BaseHTTPRequestHandler, data: bytes) -> None:
        time.sleep(seconds)
        handler.close_connection = True

    return fault


def wrong(handler: http.server.BaseHTTPRequestHandler, data: bytes) -> None:
    answer(handler, bytes(len(data)))


def without_range(handler: http.server.BaseHTTPRequestHandler, data: bytes) -> None:
    answer(handler, data)


def at_another_place(handler: http.server.BaseHTTPRequestHandler, data: bytes) -> None:
    handler.send_response(206)
    handler.send_header("Content-Range", f"bytes 5-{len(data) - 1}/{len(data)}")
    handler.send_header("Content-Length", str(len(data) - 5))
    handler.end_headers()
    handler.wfile.write(data[5:])


def says_longer(handler: http.server.BaseHTTPRequestHandler, data: bytes) -> None:
    answer(handler, data, told=len(data) + 1000)
    handler.close_connection = True


def endless(handler: http.server.BaseHTTPRequestHandler, data: bytes) -> None:
    handler.send_response(200)
    handler.end_headers()  # without a length: it ends where the line does
    try:
        while True:
            handler.wfile.write(bytes(1 << 16))
    except OSError:
        handler.close_connection = True


@pytest.fixture
def site() -> Iterator[Site]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            here.asked.append((self.path, self.headers["Range"]))
            time.sleep(here.pause_s)
            data = here.files.get(self.path)
            faults = here.faults.get(self.path, [])
            if faults:
                faults.pop(0)(self, data or b"")
            elif data is None:
                status(404)(self, b"")
            else:
                begun = int((self.headers["Range"] or "bytes=0-")[6:-1])
                if begun >= len(data):
                    status(416)(self, b"")
                else:
                    answer(self, data, begun=begun)

        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass  # a client that goes away is part of the tests

    server = Server(("127.0.0.1", 0), Handler)
    here = Site(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield here
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("FACEDEX_MIRROR", "FACEDEX_ACCEPT_LICENSE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FACEDEX_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys.modules["facedex.packs.get"], "_RETRIES", HASTY)
    return tmp_path / "home"


def manifest(folder: Path, body: str, *, name: str = "tiny") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(f'format = 1\nname = "{name}"\nsummary = "for a test"\n{body}')
    return path


def file_table(data: bytes, *, name: str = "net.onnx", more: str = "") -> str:
    return (
        f'[[file]]\nname = "{name}"\nsize = {len(data)}\nsha256 = "{digest(data)}"\n'
        'licence = "MIT"\ncommercial = true\n'
        f'licence_source = "a test"\nsource = "a test"\ntrained_on = "nothing"\n{more}\n'
    )


@pytest.fixture
def pack(tmp_path: Path, site: Site) -> Path:
    """A pack of one file that the site serves."""
    site.files["/tiny/net.onnx"] = CONTENT
    return manifest(tmp_path / "own", file_table(CONTENT))


def fetched(pack: Path) -> Path:
    return packs.find(pack).cache / "net.onnx"


def leftovers(pack: Path) -> list[str]:
    folder = packs.find(pack).cache
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


# What goes well.


def test_a_pack_is_fetched_verified_and_stored(pack: Path, site: Site) -> None:
    told: list[packs.Progress] = []
    state = packs.get(pack, mirror=site.address, progress=told.append)
    assert state.ready
    assert [file.condition for file in state.files] == ["good"]
    assert fetched(pack).read_bytes() == CONTENT
    assert leftovers(pack) == [".facedex.json", "net.onnx"]
    assert told[-1] == packs.Progress("net.onnx", len(CONTENT), len(CONTENT))
    assert [progress.done for progress in told] == sorted(progress.done for progress in told)
    again = len(site.asked)
    assert packs.get(pack, mirror=site.address).ready
    assert len(site.asked) == again


def test_listing_fetches_nothing(pack: Path, site: Site, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("FACEDEX_MIRROR", site.address)
    assert [file.condition for file in packs.state(pack).files] == ["missing"]
    assert [file.condition for file in packs.verify(pack).files] == ["missing"]
    packs.list()
    assert site.asked == []
    assert not home.exists()


def test_the_mirror_of_the_environment_is_used(
    pack: Path, tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "usb" / "tiny").mkdir(parents=True)
    (tmp_path / "usb" / "tiny" / "net.onnx").write_bytes(CONTENT)
    monkeypatch.setenv("FACEDEX_MIRROR", (tmp_path / "usb").as_uri())
    assert packs.get(pack).ready
    assert site.asked == []


@pytest.mark.parametrize(
    "mirror", ["http://example.org/x", "ftp://127.0.0.1", "file://elsewhere/x", "https://", "/tmp"]
)
def test_an_unsafe_mirror_is_refused(pack: Path, mirror: str) -> None:
    with pytest.raises(ArgumentError, match="must begin with https://"):
        packs.get(pack, mirror=mirror)


# What goes wrong on the way, and is overcome.


@pytest.mark.parametrize(
    "faults",
    [
        [cut(100_000)],
        [cut(100_000), cut(100_000), cut(70_000)],
        [cut(0), cut(0)],
        [status(500)],
        [status(503, Retry_After="0"), status(429)],
        [silent(1.0)],
        [cut(319_999)],
        [cut(1000), status(416)],
        [cut(1000), at_another_place],
    ],
    ids=["cut", "cut often", "cut at once", "500", "503 and 429", "silent", "last byte", "416", "another place"],
)
def test_a_transient_error_is_retried(pack: Path, site: Site, faults: list[Fault]) -> None:
    site.faults["/tiny/net.onnx"] = list(faults)
    assert packs.get(pack, mirror=site.address).ready
    assert site.faults["/tiny/net.onnx"] == []
    assert fetched(pack).read_bytes() == CONTENT


def test_an_interrupted_download_is_resumed(pack: Path, site: Site) -> None:
    site.faults["/tiny/net.onnx"] = [cut(100_000)]
    packs.get(pack, mirror=site.address)
    assert [asked for _, asked in site.asked] == [None, "bytes=100000-"]


def test_a_later_call_resumes_a_download(pack: Path, site: Site) -> None:
    site.faults["/tiny/net.onnx"] = [cut(100_000), cut(0), cut(0)]
    with pytest.raises(DownloadError, match="try again to continue it"):
        packs.get(pack, mirror=site.address)
    site.asked.clear()
    assert packs.get(pack, mirror=site.address).ready
    assert site.asked == [("/tiny/net.onnx", "bytes=100000-")]


def test_a_server_without_ranges_sends_all_again(pack: Path, site: Site) -> None:
    site.faults["/tiny/net.onnx"] = [cut(100_000), without_range]
    assert packs.get(pack, mirror=site.address).ready
    assert len(site.asked) == 2


def test_a_resumed_download_with_a_wrong_digest_is_restarted(pack: Path, site: Site) -> None:
    site.files["/tiny/net.onnx"] = bytes(len(CONTENT))
    site.faults["/tiny/net.onnx"] = [cut(100_000), cut(0), cut(0)]
    with pytest.raises(DownloadError):
        packs.get(pack, mirror=site.address)
    site.files["/tiny/net.onnx"] = CONTENT  # the beginning that is kept is of another file
    assert packs.get(pack, mirror=site.address).ready


def test_a_redirection_is_followed(pack: Path, site: Site) -> None:
    site.files["/elsewhere"] = CONTENT
    site.faults["/tiny/net.onnx"] = [status(302, Location="/elsewhere")]
    assert packs.get(pack, mirror=site.address).ready
    assert [path for path, _ in site.asked] == ["/tiny/net.onnx", "/elsewhere"]


# What goes wrong and stays so: nothing is left that could be taken for the file.


def refused(pack: Path, site: Site, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        packs.get(pack, mirror=site.address)
    assert not fetched(pack).exists()
    assert not packs.state(pack).ready


def test_wrong_bytes(pack: Path, site: Site) -> None:
    site.files["/tiny/net.onnx"] = bytes(len(CONTENT))
    refused(pack, site, WeightsDigestError, f"expected SHA-256 {digest(CONTENT)}, found ")
    assert leftovers(pack) == []


def test_not_found(pack: Path, site: Site) -> None:
    del site.files["/tiny/net.onnx"]
    refused(pack, site, DownloadError, "answered 404")
    assert len(site.asked) == 1
    with pytest.raises(DownloadError) as caught:
        packs.get(pack, mirror=site.address)
    assert (caught.value.status, caught.value.url) == (404, f"{site.address}/tiny/net.onnx")


def test_a_server_that_stays_broken(pack: Path, site: Site) -> None:
    site.faults["/tiny/net.onnx"] = [status(500)] * 3
    refused(pack, site, DownloadError, r"answered 500 \(3 attempts\)")


def test_a_server_that_stays_silent(pack: Path, site: Site) -> None:
    site.faults["/tiny/net.onnx"] = [silent(1.0)] * 3
    refused(pack, site, DownloadError, "did not answer in time")


def test_an_unreachable_server(pack: Path, site: Site) -> None:
    site.address = "http://127.0.0.1:9"  # the discard port: nobody listens
    refused(pack, site, DownloadError, "the server cannot be reached")


def test_each_new_attempt_is_announced_with_its_reason(
    pack: Path, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.address = "http://127.0.0.1:9"
    refused(pack, site, DownloadError, "the server cannot be reached")
    said = [record.getMessage() for record in caplog.records if "attempt" in record.getMessage()]
    assert [text.rpartition("; ")[2] for text in said] == ["attempt 2 of 3 in 0.0 s", "attempt 3 of 3 in 0.0 s"]
    assert all("cannot be reached" in text for text in said)


def test_another_size_is_refused_before_it_is_fetched(pack: Path, site: Site) -> None:
    site.files["/tiny/net.onnx"] = CONTENT + b"more"
    refused(pack, site, DownloadError, "has 320004 bytes, the manifest says 320000")


def test_a_length_that_the_server_does_not_keep(pack: Path, site: Site) -> None:
    site.faults["/tiny/net.onnx"] = [says_longer]
    refused(pack, site, DownloadError, "has 321000 bytes")


def test_an_endless_response_is_cut_off(pack: Path, site: Site) -> None:
    site.faults["/tiny/net.onnx"] = [endless]
    refused(pack, site, DownloadError, "more than the 320000 bytes")


@pytest.mark.parametrize(
    ("place", "words"),
    [("http://example.org/x", "not https"), ("/tiny/net.onnx", "too many times"), ("ftp://x", "not https")],
)
def test_a_redirection_that_is_not_followed(pack: Path, site: Site, place: str, words: str) -> None:
    site.faults["/tiny/net.onnx"] = [status(302, Location=place)] * 20
    refused(pack, site, DownloadError, words)


def test_a_mirror_without_the_file(pack: Path, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="cannot be read"):
        packs.get(pack, mirror=(tmp_path / "nowhere").as_uri())


def test_no_address_is_published(pack: Path, site: Site) -> None:
    with pytest.raises(DownloadError, match=r"no address of 'net\.onnx' is published"):
        packs.get(pack)


# The disk.


def test_a_download_larger_than_the_free_disk_is_not_started(tmp_path: Path, site: Site) -> None:
    body = file_table(CONTENT).replace(f"size = {len(CONTENT)}", f"size = {10**16}")
    pack = manifest(tmp_path / "own", body)
    site.files["/tiny/net.onnx"] = CONTENT
    refused(pack, site, PackFolderError, "too full")
    assert site.asked == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, where every write finds the disk full")
def test_a_disk_that_fills_up(pack: Path, site: Site) -> None:
    part = packs.find(pack).cache / f".net.onnx.{digest(CONTENT)[:16]}.part"
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")
    refused(pack, site, PackFolderError, "the disk is full; make room or choose another folder with FACEDEX_HOME")


def test_a_limit_on_the_size_of_files(pack: Path, site: Site, home: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = subprocess.run(
        [sys.executable, "-m", "facedex", "packs", "get", str(pack)],
        env={**os.environ, "FACEDEX_MIRROR": site.address},
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert done.stderr.startswith("error [pack_folder]: cannot write to ")
    assert not fetched(pack).exists()


def test_a_folder_that_is_a_file(pack: Path, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FACEDEX_HOME", str(tmp_path / "file"))
    with pytest.raises(PackFolderError, match="choose another folder with FACEDEX_HOME"):
        packs.get(pack, mirror=site.address)


# Several at once, and one that is killed.


def command(pack: Path, site: Site) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "facedex", "packs", "get", str(pack), "--json"],
        env={**os.environ, "FACEDEX_MIRROR": site.address},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_fetch_a_pack_once(pack: Path, site: Site) -> None:
    site.pause_s = 0.5
    both = [command(pack, site), command(pack, site)]
    for process in both:
        out, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert json.loads(out)["ready"] is True
    assert len(site.asked) == 1


def test_two_threads_fetch_a_pack_once(pack: Path, site: Site) -> None:
    site.pause_s = 0.2
    ready: list[bool] = []
    threads = [
        threading.Thread(target=lambda: ready.append(packs.get(pack, mirror=site.address).ready)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ready == [True, True]
    assert len(site.asked) == 1


def test_a_killed_download_leaves_nothing_that_is_mistaken_for_the_file(pack: Path, site: Site) -> None:
    release = threading.Event()

    def stuck(handler: http.server.BaseHTTPRequestHandler, data: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[:300_000])
        release.wait(30)
        handler.close_connection = True

    site.faults["/tiny/net.onnx"] = [stuck]
    process = command(pack, site)
    part = packs.find(pack).cache / f".net.onnx.{digest(CONTENT)[:16]}.part"
    deadline = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size > 0):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate()
    release.set()
    assert not fetched(pack).exists()
    begun = part.stat().st_size
    assert packs.get(pack, mirror=site.address).ready
    assert site.asked[-1] == ("/tiny/net.onnx", f"bytes={begun}-")


# The user's own files.


def test_a_wrong_file_of_the_user_is_reported_and_not_changed(pack: Path, site: Site) -> None:
    fetched(pack).parent.mkdir(parents=True)
    fetched(pack).write_bytes(b"mine")
    with pytest.raises(WeightsDigestError, match="facedex did not write it and leaves it as it is: move it away"):
        packs.get(pack, mirror=site.address)
    assert fetched(pack).read_bytes() == b"mine"
    assert site.asked == []
    assert packs.remove(pack) == packs.Removal((), (fetched(pack),), None)
    assert fetched(pack).read_bytes() == b"mine"


def test_a_correct_file_of_the_user_is_used_and_never_removed(pack: Path, site: Site) -> None:
    fetched(pack).parent.mkdir(parents=True)
    fetched(pack).write_bytes(CONTENT)
    assert packs.get(pack, mirror=site.address).ready
    assert site.asked == []
    assert packs.remove(pack).removed == ()
    assert fetched(pack).read_bytes() == CONTENT


def test_a_file_next_to_the_manifest_is_used_in_place(pack: Path, site: Site) -> None:
    beside = pack.parent / "net.onnx"
    beside.write_bytes(CONTENT)
    assert packs.get(pack, mirror=site.address).files[0].path == beside
    beside.write_bytes(b"mine")
    with pytest.raises(WeightsDigestError, match="leaves it as it is"):
        packs.get(pack, mirror=site.address)
    assert beside.read_bytes() == b"mine"


def test_a_file_created_by_the_user_during_a_download_is_not_changed(pack: Path, site: Site) -> None:
    def meanwhile(handler: http.server.BaseHTTPRequestHandler, data: bytes) -> None:
        fetched(pack).write_bytes(b"mine")
        answer(handler, data)

    site.faults["/tiny/net.onnx"] = [meanwhile]
    with pytest.raises(PackFolderError, match="was created by another program and is not overwritten"):
        packs.get(pack, mirror=site.address)
    assert fetched(pack).read_bytes() == b"mine"
    assert packs.remove(pack).removed == ()
    assert fetched(pack).read_bytes() == b"mine"


def test_a_fetched_file_that_was_changed_belongs_to_the_user(pack: Path, site: Site) -> None:
    packs.get(pack, mirror=site.address)
    fetched(pack).write_bytes(b"mine")
    with pytest.raises(WeightsDigestError, match="leaves it as it is"):
        packs.get(pack, mirror=site.address)
    assert packs.remove(pack).kept == (fetched(pack),)
    assert fetched(pack).read_bytes() == b"mine"


def test_a_fetched_file_of_an_older_manifest_is_replaced(pack: Path, site: Site) -> None:
    packs.get(pack, mirror=site.address)
    newer = CONTENT[::-1]
    pack.write_text(pack.read_text().replace(digest(CONTENT), digest(newer)))
    site.files["/tiny/net.onnx"] = newer
    assert packs.get(pack, mirror=site.address).ready
    assert fetched(pack).read_bytes() == newer


def test_fetched_files_are_removed(pack: Path, site: Site) -> None:
    packs.get(pack, mirror=site.address)
    assert packs.remove(pack) == packs.Removal((fetched(pack),), (), None)
    assert not fetched(pack).parent.exists()
    assert packs.remove(pack) == packs.Removal((), (), None)


def test_an_unfinished_download_is_removed(pack: Path, site: Site) -> None:
    site.faults["/tiny/net.onnx"] = [cut(100_000), cut(0), cut(0)]
    with pytest.raises(DownloadError):
        packs.get(pack, mirror=site.address)
    assert any(name.endswith(".part") for name in leftovers(pack))
    packs.remove(pack)
    assert leftovers(pack) == []


# Unverified files.


@pytest.fixture
def unverified(tmp_path: Path, site: Site) -> Path:
    site.files["/tiny/net.onnx"] = CONTENT
    body = file_table(CONTENT).replace(digest(CONTENT), "unverified").replace(f"size = {len(CONTENT)}\n", "")
    return manifest(tmp_path / "own", body)


def test_an_unverified_file_needs_consent(unverified: Path, site: Site) -> None:
    with pytest.raises(WeightsUnverifiedError, match="--accept-unverified"):
        packs.get(unverified, mirror=site.address)
    assert site.asked == []


def test_an_unverified_file_is_accepted_once_and_pinned(unverified: Path, site: Site) -> None:
    state = packs.get(unverified, mirror=site.address, accept_unverified=True)
    assert state.ready
    assert state.info.files[0].sha256 == digest(CONTENT)
    fetched(unverified).unlink()
    site.files["/tiny/net.onnx"] = CONTENT[::-1]
    with pytest.raises(WeightsDigestError, match=digest(CONTENT)):
        packs.get(unverified, mirror=site.address, accept_unverified=True)
    site.files["/tiny/net.onnx"] = CONTENT
    assert packs.get(unverified, mirror=site.address).ready


def test_an_existing_unverified_file_is_pinned_by_verify(unverified: Path) -> None:
    beside = unverified.parent / "net.onnx"
    beside.write_bytes(CONTENT)
    assert [file.condition for file in packs.verify(unverified).files] == ["unverified"]
    assert [file.condition for file in packs.verify(unverified, accept_unverified=True).files] == ["good"]
    assert packs.require_ready(unverified).pins == {"net.onnx": digest(CONTENT)}
    beside.write_bytes(b"another")
    assert [file.condition for file in packs.verify(unverified, accept_unverified=True).files] == ["wrong"]


# Archives.


def zipped(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members:
            file.writestr(name, data)
    return buffer.getvalue()


def archive_pack(folder: Path, archive: bytes, *files: str) -> Path:
    table = (
        f'[[archive]]\nname = "all.zip"\nsize = {len(archive)}\nsha256 = "{digest(archive)}"\n'
        'urls = ["https://example.invalid/all.zip"]\n'
    )
    return manifest(folder, table + "".join(files))


def member(data: bytes, name: str, path: str) -> str:
    return file_table(data, name=name, more=f'archive = "all.zip"\nmember = "{path}"')


def test_two_files_come_out_of_one_archive(tmp_path: Path, site: Site) -> None:
    other = CONTENT[::-1]
    archive = zipped(("d/net.onnx", CONTENT), ("other.onnx", other), ("../evil.onnx", b"evil"), ("/etc/x", b"evil"))
    pack = archive_pack(
        tmp_path / "own", archive, member(CONTENT, "net.onnx", "d/net.onnx"), member(other, "other.onnx", "other.onnx")
    )
    site.files["/tiny/all.zip"] = archive
    assert packs.get(pack, mirror=site.address).ready
    assert leftovers(pack) == [".facedex.json", "net.onnx", "other.onnx"]
    assert [path for path, _ in site.asked] == ["/tiny/net.onnx", "/tiny/all.zip"]
    assert list(tmp_path.rglob("evil*")) == []


def test_a_mirror_may_have_the_files_instead_of_the_archive(tmp_path: Path, site: Site) -> None:
    pack = archive_pack(tmp_path / "own", zipped(("net.onnx", CONTENT)), member(CONTENT, "net.onnx", "net.onnx"))
    site.files["/tiny/net.onnx"] = CONTENT
    assert packs.get(pack, mirror=site.address).ready


def test_a_member_with_a_path_outside_stays_in_its_folder(tmp_path: Path, site: Site) -> None:
    archive = zipped(("../../net.onnx", CONTENT))
    pack = archive_pack(tmp_path / "own", archive, member(CONTENT, "net.onnx", "../../net.onnx"))
    site.files["/tiny/all.zip"] = archive
    assert packs.get(pack, mirror=site.address).ready
    assert list(tmp_path.rglob("*.onnx")) == [fetched(pack)]


def _encrypted() -> bytes:
    data = bytearray(zipped(("net.onnx", CONTENT)))
    data[6] |= 1  # the flag in the member's own header
    data[data.index(b"PK\x01\x02") + 8] |= 1  # and in the directory
    return bytes(data)


def _damaged() -> bytes:
    data = bytearray(zipped(("net.onnx", CONTENT)))
    data[60:80] = bytes(20)
    return bytes(data)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("archive", "words"),
    [
        (b"no zip archive at all", "not a zip archive"),
        (_damaged(), "damaged"),
        (_encrypted(), "encrypted"),
        (zipped(("another.onnx", CONTENT)), "0 times"),
        (zipped(("net.onnx", bytes(50_000_000))), "has 50000000 bytes, 320000 are declared"),
    ],
    ids=["no zip", "damaged", "encrypted", "without it", "a bomb"],
)
def test_invalid_archives_are_refused(tmp_path: Path, site: Site, archive: bytes, words: str) -> None:
    pack = archive_pack(tmp_path / "own", archive, member(CONTENT, "net.onnx", "net.onnx"))
    site.files["/tiny/all.zip"] = archive
    refused(pack, site, ArchiveError, words)
    assert [name for name in leftovers(pack) if name.endswith(".zip")] == []


def test_a_duplicate_name_in_an_archive(tmp_path: Path, site: Site) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive = zipped(("net.onnx", CONTENT), ("net.onnx", CONTENT))
    pack = archive_pack(tmp_path / "own", archive, member(CONTENT, "net.onnx", "net.onnx"))
    site.files["/tiny/all.zip"] = archive
    refused(pack, site, ArchiveError, "2 times")


def test_an_archive_other_than_declared(tmp_path: Path, site: Site) -> None:
    archive = zipped(("net.onnx", CONTENT))
    pack = archive_pack(tmp_path / "own", archive, member(CONTENT, "net.onnx", "net.onnx"))
    site.files["/tiny/all.zip"] = archive[:-1] + b"!"
    refused(pack, site, WeightsDigestError, "'all.zip' was fetched, but is not the file of the manifest")


# One file, without a pack.


def test_attempts_that_make_progress_do_not_count(tmp_path: Path, site: Site) -> None:
    data = bytes(1_000_000)
    site.files["/x"] = data
    site.faults["/x"] = [cut(70_000)] * 10
    done: list[int] = []
    download(
        f"{site.address}/x", tmp_path / "x", size=len(data), max_size=len(data), progress=done.append, retries=HASTY
    )
    assert (tmp_path / "x").read_bytes() == data
    assert len(site.asked) == 11


def test_an_unknown_size_is_limited(tmp_path: Path, site: Site) -> None:
    site.faults["/x"] = [endless]
    with pytest.raises(DownloadError, match="more than the 1000000 bytes"):
        download(
            f"{site.address}/x", tmp_path / "x", size=None, max_size=1_000_000, progress=lambda _: None, retries=HASTY
        )
    assert (tmp_path / "x").stat().st_size <= 1_000_000
