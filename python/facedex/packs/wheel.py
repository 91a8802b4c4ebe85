"""Makes a wheel of a pack, for machines and images that only install packages.

The wheel has the manifest, the files that do not come with facedex, a record of their digests, a notice of their
licences, and the entry point that `find` reads. Each file is compared with its digest while it is added. The
same pack gives the same bytes. A licence that forbids commercial use must be accepted on each machine.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tempfile
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ..errors import ArgumentError, PackFolderError, PackNameError, WeightsDigestError
from .find import GROUP, built_in
from .licenses import cautions
from .records import RECORD, translate_write_errors
from .state import FileState, PackState, require_ready, state_of

if TYPE_CHECKING:
    from .._core import PackFile, PackInfo

_BLOCK = 1 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time of a zip entry
_VERSION = re.compile(r"\d+(?:\.\d+)*(?:(?:a|b|rc)\d+)?(?:\.post\d+)?(?:\.dev\d+)?", re.ASCII)
_SPDX = ("Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0", "CC0-1.0", "ISC", "MIT", "MPL-2.0", "Unlicense")
_TEXTS = Path(__file__).parent / "texts"


def wheel(pack: str | os.PathLike[str], out: str | os.PathLike[str] = ".", *, version: str | None = None) -> Path:
    """Make a wheel of a pack that is ready here.

    It is called ``facedex-pack-<name>``; a machine that installs it beside facedex has the pack. It does not hold files
    that come with facedex. Digests of unverified files that were accepted here are accepted there.

    Parameters
    ----------
    pack : str or path
        Name of a pack, or path of a manifest.
    out : path, default "."
        Folder for the wheel; created when it does not exist.
    version : str, optional
        Version of the wheel, such as "1.2"; default that of facedex.

    Returns
    -------
    pathlib.Path
        The wheel.

    Raises
    ------
    PackNotFoundError, ManifestError, WeightsMissingError, WeightsUnverifiedError, LicenseError
        The pack cannot be opened here; see `require_ready`.
    WeightsDigestError
        A file is not the one that the manifest declares.
    ArgumentError
        The pack comes with facedex, its name cannot be that of a package, or the version is not valid.
    PackNameError
        The user's own manifest has the name of a pack of facedex, which would be found instead.
    PackFolderError
        The wheel cannot be written.
    """
    from .. import __version__

    version = __version__ if version is None else version
    if not _VERSION.fullmatch(version):
        raise ArgumentError(f"version must be numbers with dots, such as 1.2, got {version!r}")
    state = state_of(require_ready(pack).location)
    if state.location.bundled:
        raise ArgumentError(f"pack {state.name!r} comes with facedex and needs no wheel of its own")
    if state.name in built_in() and state.location.key != state.name:
        raise PackNameError(
            f"pack name {state.name!r} is already used by a pack of facedex; choose another in {str(pack)!r}"
        )
    label = re.sub(r"[-_.]+", "_", state.name).lower().strip("_")
    if not label or "+" in label:
        raise ArgumentError(f"a package cannot be named after pack {state.name!r}; give the pack another name")
    return _write(state, Path(out), f"facedex_pack_{label}", version)


def _write(pack: PackState, out: Path, package: str, version: str) -> Path:
    target = out / f"{package}-{version}-py3-none-any.whl"
    with translate_write_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{package}.", dir=out)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                _write_entries(_Archive(archive), pack, package, version)
            temporary.chmod(0o644)  # mkstemp's files are for their owner only
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    return target


def _write_entries(archive: _Archive, pack: PackState, package: str, version: str) -> None:
    info, own = pack.info, [state for state in pack.files if state.file.pack is None]
    title = f"The pack {info.name!r} of facedex"
    archive.add_text(f"{package}/__init__.py", f'"""{title}: its manifest and its files."""\n')
    archive.add_file(f"{package}/{info.name}.toml", pack.location.manifest)
    digests = {}
    for state in own:
        digests[state.file.name] = _add_weights(archive, f"{package}/{state.file.name}", state)
    pins = {name: digest for name, digest in digests.items() if name in _files_without_digest(pack)}
    archive.add_text(f"{package}/{RECORD}", json.dumps({"files": digests, "pins": pins}, indent=2, sort_keys=True))
    dist_info = f"{package}-{version}.dist-info"
    notice = _notice(info, [state.file for state in own])
    licences = {"NOTICE.txt": notice.encode(), **_licence_texts(pack, own)}
    for name, text in licences.items():
        archive.add(f"{dist_info}/licenses/{name}", io.BytesIO(text), len(text))
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {package.replace('_', '-')}",
        f"Version: {version}",
        f"Summary: {title}: {info.summary}",
        f"License-Expression: {_license_expression([state.file for state in own])}",
        *(f"License-File: {name}" for name in licences),
        "Requires-Python: >=3.10",
        "Description-Content-Type: text/plain",
    ]
    archive.add_text(f"{dist_info}/METADATA", "\n".join([*lines, "", notice]))
    tags = ["Wheel-Version: 1.0", "Generator: facedex", "Root-Is-Purelib: true", "Tag: py3-none-any", ""]
    archive.add_text(f"{dist_info}/WHEEL", "\n".join(tags))
    archive.add_text(f"{dist_info}/entry_points.txt", f"[{GROUP}]\n{info.name} = {package}\n")
    archive.add_record(f"{dist_info}/RECORD")


def _files_without_digest(pack: PackState) -> set[str]:
    """Return the names of the files whose digest is not in the manifest itself."""
    from .._core import read_manifest

    return {file.name for file in read_manifest(pack.location.manifest).files if file.sha256 is None}


def _add_weights(archive: _Archive, name: str, state: FileState) -> str:
    assert state.path is not None  # the pack is ready
    digest = archive.add_file(name, state.path)
    if digest != state.file.sha256:
        raise WeightsDigestError(
            f"{str(state.path)!r} is not the file of the manifest: expected SHA-256 {state.file.sha256}, found {digest}"
        )
    return digest


def _notice(info: PackInfo, files: Sequence[PackFile]) -> str:
    lines = [f"The pack {info.name!r} of facedex: {info.summary}"]
    for file in files:
        lines += [
            "",
            file.name,
            f"  SHA-256: {file.sha256}",
            f"  source: {file.source}",
            f"  licence: {file.licence}, {file.licence_source}",
            f"  commercial use: {'allowed by the licence' if file.commercial else 'forbidden by the licence'}",
            f"  trained on: {file.trained_on}",
        ]
        if file.terms is not None:
            lines.append(f"  terms: {file.terms}")
        lines += [f"  note: {caution}" for caution in cautions(file.trained_on)]
    return "\n".join([*lines, ""])


def _licence_texts(pack: PackState, own: Sequence[FileState]) -> dict[str, bytes]:
    """Collect the licence texts that come with facedex, and those beside the manifest or the files."""
    texts = {}
    for licence in sorted({state.file.licence for state in own}):
        text = _TEXTS / f"{licence}.txt"
        if text.parent == _TEXTS and text.is_file():
            texts[text.name] = text.read_bytes()
    folders = {pack.location.manifest.parent} if pack.location.key != pack.name else set()
    folders |= {state.path.parent for state in own if state.path is not None}
    for path in sorted(path for folder in folders for path in folder.glob("LICEN[CS]E*")):
        if path.is_file():
            texts[path.name] = path.read_bytes()
    return texts


def _license_expression(files: Sequence[PackFile]) -> str:
    """Format the licences as an SPDX expression; one that is not in the SPDX list refers to the notice."""
    names = dict.fromkeys(file.licence for file in files)
    known = [name if name in _SPDX else f"LicenseRef-{re.sub('[^A-Za-z0-9.-]+', '-', name)}" for name in names]
    return " AND ".join(known) or "LicenseRef-none"


class _Archive:
    """A zip archive that records the digests of its entries.

    Parameters
    ----------
    archive : zipfile.ZipFile
        Open for writing.
    """

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._record: list[str] = []

    def add_text(self, name: str, text: str) -> None:
        data = text.encode()
        self.add(name, io.BytesIO(data), len(data))

    def add_file(self, name: str, path: Path) -> str:
        """Add a file; return its SHA-256."""
        try:
            source = path.open("rb")
        except OSError as error:
            raise PackFolderError(f"cannot read {str(path)!r}: {error.strerror}") from error
        with source:
            return self.add(name, source, os.fstat(source.fileno()).st_size)

    def add(self, name: str, source: IO[bytes], size: int) -> str:
        """Add the content of `source`; return its SHA-256, 64 hexadecimal digits."""
        entry = zipfile.ZipInfo(name, _EPOCH)
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = 0o644 << 16
        entry.file_size = size  # files over 2 GiB then get the zip64 format
        digest, done = hashlib.sha256(), 0
        with self._archive.open(entry, "w") as target:
            while block := source.read(_BLOCK):
                digest.update(block)
                target.write(block)
                done += len(block)
        self._record.append(f"{name},sha256={urlsafe_b64encode(digest.digest()).rstrip(b'=').decode()},{done}")
        return digest.hexdigest()

    def add_record(self, name: str) -> None:
        """Add the list of all entries and their digests in the format of wheels."""
        text = "\n".join([*self._record, f"{name},,", ""])
        self.add_text(name, text)
