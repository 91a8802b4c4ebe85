"""Simulates power cuts: of the writes of a process, those not synced are lost, completely or in part.

The process runs on layer.c, which logs every write, sync, rename and removal in a folder. For a random point of this
log the disk is reconstructed as it may be after a cut: of each file the synced content and a random choice of the
sectors written since; of the folder the state when it was last synced and the first few changes since. Real file
systems guarantee more.
"""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from killing import WORKER, Checker, Model, ViolationError, numbers_in

LAYER = Path(__file__).parent / "layer.c"
REPORT = "acts"
SECTOR = 512

_HEAD = struct.Struct("<6Q")
_OPENED, _WRITTEN, _TRUNCATED, _SYNCED, _RENAMED, _UNLINKED, _FOLDER_SYNCED = range(1, 8)


def compile_layer(folder: Path) -> Path:
    """Compile the layer; raises OSError where there is no compiler."""
    library = folder / "layer.so"
    command = ["cc", "-O1", "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(library), str(LAYER), "-ldl", "-lpthread"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"the layer does not compile: {done.stderr}")
    return library


class File:
    """The synced content of a file, and the writes since."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.since: list[tuple[int, bytes | None]] = []

    def sync(self) -> None:
        for offset, data in self.since:
            _apply(self.content, offset, data)
        self.since.clear()

    def cut(self, rng: random.Random) -> bytes:
        content = bytearray(self.content)
        likely = rng.choice((0.0, 0.3, 0.7, 1.0))
        for offset, data in self.since:
            if data is None:
                if rng.random() < likely:
                    _apply(content, offset, None)
                continue
            start = 0
            while start < len(data):
                end = min(len(data), start + SECTOR - (offset + start) % SECTOR)
                if rng.random() < likely:
                    _apply(content, offset + start, data[start:end])
                start = end
        return bytes(content)


class Disk:
    """A folder, as a process sees it and as a power cut may leave it."""

    def __init__(self) -> None:
        self.report = bytearray()
        self._files: dict[int, File] = {}
        self._seen: dict[str, File] = {}
        self._synced: dict[str, File] = {}
        self._since: list[tuple[str, str | None, File | None]] = []

    def apply(self, kind: int, inode: int, offset: int, data: bytes, path: str, second: str) -> None:
        """Apply a record."""
        name, to = Path(path).name, Path(second).name
        if kind == _OPENED:
            if name not in self._seen:
                self._link(name, File())
            self._files[inode] = self._seen[name]
            if offset:
                self._seen[name].since.append((0, None))
        elif kind == _WRITTEN:
            self._files[inode].since.append((offset, data))
            if self._files[inode] is self._seen.get(REPORT):
                self.report += data
        elif kind == _TRUNCATED:
            self._files[inode].since.append((offset, None))
        elif kind == _SYNCED:
            self._files[inode].sync()
        elif kind == _RENAMED:
            file = self._seen.pop(name)
            self._seen[to] = file
            self._since.append((name, to, file))
        elif kind == _UNLINKED:
            del self._seen[name]
            self._since.append((name, None, None))
        elif kind == _FOLDER_SYNCED:
            self._synced = dict(self._seen)
            self._since.clear()

    def cut(self, folder: Path, rng: random.Random) -> None:
        """Write to a folder what a power cut may leave."""
        there = dict(self._synced)
        for name, to, file in self._since[: rng.randint(0, len(self._since))]:
            if file is None:
                there.pop(name, None)
            else:
                if to is not None:
                    there.pop(name, None)
                there[to or name] = file
        for name, file in there.items():
            if name != REPORT:
                (folder / name).write_bytes(file.cut(rng))

    def _link(self, name: str, file: File) -> None:
        self._seen[name] = file
        self._since.append((name, None, file))


class PowerCuts:
    """Records a working process, and cuts its power at random points.

    Parameters
    ----------
    folder : Path
        Empty; recordings and reconstructed disks are written there.
    library : Path
        The compiled layer.
    """

    def __init__(self, folder: Path, library: Path) -> None:
        self.done = 0
        self.records = 0
        self._folder = folder.resolve()
        self._library = library

    def cut(self, seed: int, acts: int, cuts: int) -> None:
        """Record a process that does a number of acts, and check a number of power cuts."""
        run = self._folder / f"run{seed}"
        (run / "disk").mkdir(parents=True)
        (run / "home").mkdir()
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "LD_PRELOAD": str(self._library)}
        environment |= {"FACEDEX_LAYER_LOG": str(run / "log"), "FACEDEX_LAYER_FOLDER": str(run / "disk")}
        command = [sys.executable, str(WORKER), "record", str(run / "disk" / "people.db"), str(seed), str(acts)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        if done.returncode:
            raise ViolationError(f"the recorded process failed: {done.stderr}")
        records = list(_read_records((run / "log").read_bytes()))
        self.records += len(records)
        rng = random.Random(seed)
        points = sorted(rng.randint(1, len(records)) for _ in range(cuts))
        disk = Disk()
        at = 0
        for number, point in enumerate(points):
            for record in records[at:point]:
                disk.apply(*record)
            at = point
            self._check(disk, run / f"cut{number}", rng)

    def _check(self, disk: Disk, folder: Path, rng: random.Random) -> None:
        folder.mkdir()
        disk.cut(folder, rng)
        lines = [line.split() for line in disk.report.decode().splitlines()]
        model, location = Model(), str(folder / "people.db")
        model.apply_lines(lines)
        checker = Checker()
        try:
            checker.check(location, model, numbers_in(lines))
            checker.check_with_fsck(location, model)
        except Exception as error:
            raise ViolationError(f"after a power cut, see {folder}: {error}") from error
        self.done += 1
        for left in folder.iterdir():
            left.unlink()


def _read_records(log: bytes) -> Iterator[tuple[int, int, int, bytes, str, str]]:
    at = 0
    while at < len(log):
        kind, inode, offset, length, first, second = _HEAD.unpack_from(log, at)
        at += _HEAD.size
        data, at = log[at : at + length], at + length
        path, at = log[at : at + first].decode(), at + first
        to, at = log[at : at + second].decode(), at + second
        yield kind, inode, offset, data, path, to


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    """Write data at an offset; None truncates or extends the file to it."""
    if data is None:
        del content[offset:]
    if len(content) < offset:
        content += bytes(offset - len(content))
    if data is not None:
        content[offset : offset + len(data)] = data
