"""Feeds mutated files to the decoders, the import of gallery files and the search snapshots: ``make fuzz``.

Each kind runs in its own process for its share of the time, because a crash must not end the others. What must hold: a
file is accepted, or refused with an error of its kind; nothing is written to standard error; no decoder panics; no call
takes longer than `SLOW_S`; an accepted gallery file has what was exported, and a refused one stores no person; an
opened index returns finite numbers. The input that violates one of these is stored in the folder that is printed; the
same seed makes it again.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import logging
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path(__file__).parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent / "databases")]

from synthetic import KEYS, unit  # noqa: E402 the folders were not on the path

from facedex import Engine, Gallery, people  # noqa: E402
from facedex._core import Index, decode, thumbnail, without_metadata  # noqa: E402
from facedex.errors import FacedexError, ImageError, IndexFileError  # noqa: E402
from facedex.transfer import export_to, import_from  # noqa: E402

KINDS = ("pictures", "snapshots", "galleries")

SLOW_S = 10.0
"""Longest time for one file of at most `PIXELS` on a busy machine, seconds."""

PIXELS = 1_000_000
_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_CHECKSUM = 16  # bytes, of a checksum of a snapshot


class BrokenError(Exception):
    """An invariant was violated."""


def mutate(seeds: list[bytes], rng: random.Random) -> bytearray:
    """Return one of the seeds, changed in a few places."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(data) + 1)
        # The header of a file describes the rest.
        at = rng.randrange(min(len(data), 200) + 1) if rng.random() < 0.4 else at
        how = rng.randrange(9)
        length = rng.choice((1, 2, 4, 16, 100))
        if how == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif how == 1 and at < len(data):
            data[at] = rng.randrange(256)
        elif how == 2:
            size = rng.choice((1, 2, 4, 8))
            number = rng.choice(_NUMBERS) & ((1 << 8 * size) - 1)
            data[at : at + size] = number.to_bytes(size, rng.choice(("big", "little")))
        elif how == 3:
            data[at:at] = rng.randbytes(length)
        elif how == 4:
            del data[at : at + length]
        elif how == 5:
            data[at:at] = data[at : at + length]
        elif how == 6:
            data[at : at + length] = bytes(length)
        elif how == 7 and rng.random() < 0.3:
            del data[at:]
        else:
            other = rng.choice(seeds)
            start = rng.randrange(len(other))
            data[at : at + length] = other[start : start + length]
    return data


# Pictures.


def pictures(rng: random.Random, folder: Path) -> Iterator[Callable[[], str]]:
    """Decode, strip metadata and make thumbnails."""
    seeds = _make_pictures()
    while True:
        data = mutate(seeds, rng)
        if data[:8] == b"\x89PNG\r\n\x1a\n" and rng.random() < 0.8:
            data = _with_png_checksums(data)
        yield _attempt(folder, bytes(data), _decode)


def _decode(data: bytes) -> str:
    outcome = "refused"
    for function in (decode, without_metadata, thumbnail):
        try:
            answer = function(data, max_pixels=PIXELS)
        except ImageError as error:
            if "the decoder failed" in str(error):
                raise BrokenError(f"{function.__name__}: {error}") from error
            continue
        outcome = "accepted"
        if isinstance(answer, np.ndarray):
            if answer.dtype != np.uint8 or answer.ndim != 3 or answer.shape[2] != 3 or answer.size > 3 * PIXELS:
                raise BrokenError(f"a picture of {answer.dtype} {answer.shape}")
        elif not answer[0]:
            raise BrokenError(f"{function.__name__} made an empty file")
    return outcome


def _make_pictures() -> list[bytes]:
    """Make small files of every format, in many variants."""
    image = Image.open(people.PICTURES["ayu"][0]).convert("RGB").resize((37, 29))
    few = image.quantize(8)
    made: list[tuple[Image.Image, str, dict[str, object]]] = [
        (image, "JPEG", {}),
        (image, "JPEG", {"progressive": True, "quality": 40}),
        (image, "JPEG", {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"}),
        (image.convert("L"), "JPEG", {}),
        (image.convert("CMYK"), "JPEG", {}),
        (image, "PNG", {}),
        (image.convert("RGBA"), "PNG", {}),
        (image.convert("LA"), "PNG", {}),
        (image.convert("I;16") if hasattr(image, "im") else image, "PNG", {}),
        (few, "PNG", {"bits": 4, "transparency": 1}),
        (image.quantize(4), "PNG", {"bits": 2}),
        (image.convert("1"), "PNG", {}),
        (image.quantize(2), "PNG", {"bits": 1}),
        (few, "GIF", {}),
        (image, "BMP", {}),
        (few, "BMP", {}),
        (image, "WEBP", {}),
        (image, "WEBP", {"lossless": True}),
        (image.convert("RGBA"), "WEBP", {}),
        (image, "TIFF", {}),
        (image, "TIFF", {"compression": "tiff_lzw"}),
        (image, "TIFF", {"compression": "tiff_adobe_deflate"}),
        (image.convert("1"), "TIFF", {"compression": "group4"}),
    ]
    files = []
    for picture, form, options in made:
        file = io.BytesIO()
        picture.save(file, form, **options)
        files.append(file.getvalue())
    return files


def _with_png_checksums(data: bytearray) -> bytearray:
    """Give the chunks of a PNG correct checksums, so that their content is decoded."""
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            break
        struct.pack_into(">I", data, end, zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return data


# Snapshots.


def snapshots(rng: random.Random, folder: Path) -> Iterator[Callable[[], str]]:
    """Open index files, most of them with correct checksums, so that their content is read, and search them."""
    path = folder / "fuzz.index"
    seeds = []
    for method in ("exact", "hnsw", "ivf"):
        index = Index(32, "ab" * 32, method=method)
        vectors = np.stack([unit(number, 32) for number in range(60)])
        index.add(np.arange(60, dtype=np.uint64), vectors, people=np.arange(60, dtype=np.uint64) // 2)
        index.maintain()
        index.save(str(path), "gallery:token", 7)
        seeds.append(path.read_bytes())

    def read(data: bytes) -> str:
        path.write_bytes(data)
        outcome = "refused"
        for resident in (0, 1 << 20):
            try:
                index, _ = Index.load(str(path), "ab" * 32, "gallery:token", resident_bytes=resident)
                _, similarities = index.search(unit(3, 32)[None], 5)
                _, means, _, _ = index.search_people(unit(3, 32)[None], 5, faces=2)
            except IndexFileError:
                continue
            outcome = "accepted"
            if not (np.isfinite(similarities).all() and np.isfinite(means).all()):
                raise BrokenError("a similarity is not finite")
        return outcome

    while True:
        data = mutate(seeds, rng)
        yield _attempt(folder, bytes(_with_checksums(data) if rng.random() < 0.8 else data), read)


def _with_checksums(data: bytearray) -> bytearray:
    """Give a snapshot the correct length and checksums for its header; see src/index/file.rs."""
    if len(data) < 72 + _CHECKSUM:
        return data
    struct.pack_into("<Q", data, 64, len(data))
    dimension, lists = struct.unpack_from("<2I", data, 16)
    blocks, pack, gallery = struct.unpack_from("<3I", data, 28)
    (count,) = struct.unpack_from("<Q", data, 40)
    names = -(-(pack + gallery) // 8) * 8
    table = 72 + names + 4 * dimension * (1 + lists)
    start = table + 8 * blocks + 16 * count
    end = start + 4 * dimension * count
    if max(blocks, count) > 1000 or end + _CHECKSUM * (blocks + 1) != len(data):
        return data
    at = start
    for number in range(blocks):
        (rows,) = struct.unpack_from("<I", data, table + 8 * number)
        size = 4 * dimension * min(rows, 1000)
        sum_at = end + _CHECKSUM * number
        data[sum_at : sum_at + _CHECKSUM] = hashlib.sha256(data[at : at + size]).digest()[:_CHECKSUM]
        at += size
    frame = data[:start] + data[end:-_CHECKSUM]
    data[-_CHECKSUM:] = hashlib.sha256(frame).digest()[:_CHECKSUM]
    return data


# Gallery files.


def galleries(rng: random.Random, folder: Path) -> Iterator[Callable[[], str]]:
    """Import exported galleries, plain and encrypted."""
    engine = Engine()
    with Gallery.open(folder / "from.db", engine=engine, photos="thumbnail") as gallery:
        for person in people.IDS[:2]:
            gallery.register(person, people.PICTURES[person][0], name=person.title(), info={"n": 1})
        expected = _describe(gallery)
        export_to(gallery, folder / "plain.facedex")
        export_to(gallery, folder / "encrypted.facedex", key=KEYS[1])
    seeds = {
        key: (folder / name).read_bytes() for key, name in ((None, "plain.facedex"), (KEYS[1], "encrypted.facedex"))
    }
    file = folder / "mutated.facedex"
    with Gallery.open(folder / "into.db", engine=engine) as into:

        def read(data: bytes, key: bytes | None) -> str:
            file.write_bytes(data)
            try:
                import_from(into, file, key=key)
            except FacedexError:
                if into.people():
                    raise BrokenError("it was refused, and people were stored") from None
                return "refused"
            stored = _describe(into)
            for person, *_ in stored:
                into.delete(person)
            if stored != expected:
                raise BrokenError(f"it was imported as {stored}")
            return "accepted"

        while True:
            key = rng.choice(list(seeds))
            data = bytes(mutate([seeds[key]], rng))
            yield _attempt(folder, data, lambda data, key=key: read(data, key))  # type: ignore[misc]


def _describe(gallery: Gallery) -> list[tuple[str | int, str | None, dict[str, object], int]]:
    return [(one.person_id, one.name, one.info, len(one.faces)) for one in gallery.people()]


# Running.


def _attempt(folder: Path, data: bytes, read: Callable[[bytes], str]) -> Callable[[], str]:
    """Return a call that stores an input, in case it ends the process, and tries it."""

    def run() -> str:
        (folder / "input").write_bytes(data)
        return read(data)

    return run


def run(kind: str, seconds: float, seed: int, folder: Path) -> Counter[str]:
    """Try one kind for some seconds; raises BrokenError."""
    logging.getLogger("facedex").setLevel(logging.CRITICAL)
    outcomes: Counter[str] = Counter()
    source = {"pictures": pictures, "snapshots": snapshots, "galleries": galleries}[kind](random.Random(seed), folder)
    until = time.monotonic() + seconds
    for attempt in source:
        began = time.monotonic()
        outcomes[attempt()] += 1
        if time.monotonic() - began > SLOW_S:
            raise BrokenError(f"it took {time.monotonic() - began:.1f} s")
        if time.monotonic() > until:
            break
    return outcomes


def run_apart(kind: str, seconds: float, seed: int) -> tuple[Counter[str], str | None]:
    """Try one kind in its own process; return the outcomes and the failure."""
    folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{kind}-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    command = [sys.executable, str(Path(__file__)), "--kind", kind, "--seconds", str(seconds), "--seed", str(seed)]
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "FACEDEX_HOME": str(folder / "home")}
    done = subprocess.run([*command, "--folder", str(folder)], capture_output=True, text=True, env=variables)
    if done.returncode == 0 and not done.stderr:
        for left in sorted(folder.rglob("*"), reverse=True):
            left.rmdir() if left.is_dir() else left.unlink()
        folder.rmdir()
        return Counter(json.loads(done.stdout)), None
    said = done.stderr[-1500:] or f"it ended with {done.returncode}"
    return Counter(), f"{kind}, seed {seed}: {said}; the input is {folder / 'input'}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="on all kinds together, or on the one")
    parser.add_argument("--seed", type=int, default=None, help="by default a random one; it is printed")
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--folder", type=Path, help="folder for the files of a kind that runs in this process")
    options = parser.parse_args()
    seed = random.randrange(1 << 32) if options.seed is None else options.seed
    if options.folder is not None:
        sys.stdout.write(json.dumps(run(options.kind, options.seconds, seed, options.folder)) + "\n")
        return 0
    broken = []
    kinds = KINDS if options.kind is None else (options.kind,)
    for kind in kinds:
        outcomes, wrong = run_apart(kind, options.seconds / len(kinds), seed)
        shown = ", ".join(f"{word} {number}" for word, number in outcomes.most_common())
        sys.stdout.write(
            f"{kind:<10} seed {seed}: {outcomes.total():>8}  {shown}\n" if wrong is None else f"WRONG {wrong}\n"
        )
        sys.stdout.flush()
        broken += [] if wrong is None else [wrong]
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
