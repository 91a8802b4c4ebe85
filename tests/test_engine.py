"""The engine as users see it: every kind of picture, threads, the interpreter lock, forks, and refusals."""

from __future__ import annotations

import asyncio
import io
import os
import pickle
import shutil
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import facedex
from facedex import Analysis, Engine, errors, people
from facedex._core import decode
from facedex.engine import BATCH
from facedex.packs import find

PORTRAIT = people.PICTURES["ayu"][0]


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


def bits(analysis: facedex.Analysis) -> bytes:
    """Return all values of an analysis, bit for bit."""
    parts = []
    for face in analysis:
        assert face.embedding is not None
        parts += [face.bbox.tobytes(), face.landmarks.tobytes(), face.embedding.tobytes(), str(face.det_score).encode()]
    return b"".join(parts)


def test_faces_come_largest_first_with_all_their_parts(engine: Engine) -> None:
    faces = engine.analyze(people.GROUP)
    areas = [(f.bbox[2] - f.bbox[0]) * (f.bbox[3] - f.bbox[1]) for f in faces]
    assert len(faces) == 5
    assert areas == sorted(areas, reverse=True)
    for face in faces:
        assert face.embedding is not None
        assert face.landmarks[0, 0] < face.landmarks[1, 0], "the subject's right eye comes first"
        assert face.embedding.shape == (engine.dimension,)
        assert np.linalg.norm(face.embedding) == pytest.approx(1, abs=1e-5)
        assert 0.8 < face.det_score <= 1
        with pytest.raises(ValueError, match="read-only"):
            face.embedding[0] = 0


def test_a_face_that_fills_the_picture_is_found(engine: Engine) -> None:
    x1, y1, x2, y2 = (int(v) for v in engine.analyze(PORTRAIT, embed=False)[0].bbox)
    close_up = Image.open(PORTRAIT).crop((x1, y1, x2, y2)).resize((1500, 1800))
    found = engine.analyze(np.asarray(close_up), embed=False)
    assert len(found) == 1
    assert found[0].bbox[3] - found[0].bbox[1] > 1200


def test_every_kind_of_picture_gives_the_same_answer(engine: Engine) -> None:
    data = PORTRAIT.read_bytes()
    expected = bits(engine.analyze(PORTRAIT))
    pixels = facedex.decode(PORTRAIT)
    for image in (
        str(PORTRAIT),
        data,
        bytearray(data),
        memoryview(data),
        io.BytesIO(data),
        pixels,
        np.asfortranarray(pixels),
    ):
        assert bits(engine.analyze(image)) == expected, type(image)
    assert bits(engine.analyze(Image.fromarray(pixels))) == expected


def test_exif_orientation_and_transparency_of_a_pil_image(engine: Engine) -> None:
    upright = Image.fromarray(facedex.decode(PORTRAIT))
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    upright.rotate(90, expand=True).save(stream, "PNG", exif=exif)
    turned = Image.open(io.BytesIO(stream.getvalue()))
    assert bits(engine.analyze(turned)) == bits(engine.analyze(upright))
    assert bits(engine.analyze(stream.getvalue())) == bits(engine.analyze(upright))
    clear = Image.new("RGBA", (20, 10), (255, 0, 0, 0))
    assert (facedex.decode(clear) == 255).all()


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        (
            np.zeros((480, 640)),
            errors.ImageArrayError,
            r"uint8 of shape \(height, width, 3\), got float64 \(480, 640\)",
        ),
        (np.zeros((4, 4, 5), np.uint8), errors.ImageArrayError, r"got uint8 \(4, 4, 5\)"),
        (np.zeros((0, 4, 3), np.uint8), errors.ImageArrayError, r"got uint8 \(0, 4, 3\)"),
        (7, errors.ArgumentError, "got int"),
        (None, errors.ArgumentError, "a path, bytes"),
        (io.StringIO("text"), errors.ImageReadError, "read gives str"),
        (Image.new("F", (8, 8)), errors.ArgumentError, "mode 'F'"),
        (b"", errors.NotAnImageError, "accepted are JPEG"),
        (b"hello", errors.NotAnImageError, "accepted are JPEG"),
        ("no/such/file.jpg", errors.ImageReadError, "no/such/file.jpg"),
        (PORTRAIT.read_bytes()[:9000], errors.TruncatedImageError, "truncated"),
    ],
)
def test_errors_of_bad_pictures_say_what_is_wrong(
    engine: Engine, image: object, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        engine.analyze(image)  # type: ignore[arg-type]


def test_a_picture_over_the_limit_is_refused() -> None:
    small = Engine(threads=1, max_pixels=100_000)
    with pytest.raises(errors.ImageTooLargeError, match="640 x 480 = 307200 pixels is over the limit of 100000"):
        small.analyze(PORTRAIT)
    for call in (small.analyze, lambda image: small.analyze_many([image])[0], small.acompare):
        text = _message(call)
        assert "640 x 480" in text
        assert text.count("FACEDEX_MAX_PIXELS") == 1


def _message(call: Callable[..., Any]) -> str:
    """Return the message of the error that a call raises or returns."""
    try:
        found = call(PORTRAIT, PORTRAIT) if asyncio.iscoroutinefunction(call) else call(PORTRAIT)
        return str(asyncio.run(found) if asyncio.iscoroutine(found) else found)
    except errors.ImageTooLargeError as error:
        return str(error)


def test_a_batch_returns_a_result_for_each_picture_in_order(engine: Engine) -> None:
    told: list[tuple[int, int]] = []
    blank = np.full((200, 200, 3), 128, np.uint8)
    pictures = [PORTRAIT, b"no picture", blank, None, people.GROUP] * 5
    answers = engine.analyze_many(pictures, progress=lambda *numbers: told.append(numbers))  # type: ignore[list-item]
    assert told[-1] == (len(pictures), len(answers)) == (25, 25)
    assert [done for done, _ in told[:-1]] == list(range(engine.threads * BATCH, 25, engine.threads * BATCH))
    for i in range(0, len(answers), 5):
        one, broken, empty, wrong, group = answers[i : i + 5]
        assert isinstance(one, facedex.Analysis)
        assert bits(one) == bits(engine.analyze(PORTRAIT))
        assert isinstance(broken, errors.NotAnImageError)
        assert isinstance(empty, facedex.Analysis)
        assert len(empty) == 0
        assert isinstance(wrong, errors.ArgumentError)
        assert isinstance(group, facedex.Analysis)
        assert len(group) == 5


def test_an_exception_from_progress_ends_the_batch(engine: Engine) -> None:
    def stop(done: int, total: int) -> None:
        raise RuntimeError(f"stopped at {done} of {total}")

    with pytest.raises(RuntimeError, match="stopped at 3 of 3"):
        engine.analyze_many(iter([PORTRAIT] * 3), progress=stop)


def test_threads_get_the_same_bits_as_one_thread() -> None:
    pictures = [people.GROUP, PORTRAIT, *people.STRANGERS]
    single = Engine(threads=1)
    expected = [bits(single.analyze(picture)) for picture in pictures]
    many = Engine(threads=3)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: (i % 4, bits(many.analyze(pictures[i % 4]))), range(48)))
    assert all(answer == expected[i] for i, answer in answers)
    batch = many.analyze_many(pictures * 4)
    assert [bits(one) for one in batch if isinstance(one, facedex.Analysis)] == expected * 4


def test_other_threads_run_while_the_engine_works(engine: Engine) -> None:
    counted = 0
    done = threading.Event()

    def count() -> None:
        nonlocal counted
        while not done.is_set():
            counted += 1
            time.sleep(0)

    counter = threading.Thread(target=count)
    counter.start()
    before = counted
    engine.analyze_many([people.GROUP] * 16)
    during = counted - before
    done.set()
    counter.join()
    # A held lock lets a counter on two cores make a handful of steps between calls; a released one, thousands.
    assert during > 1000


def test_a_coroutine_does_not_block_the_event_loop(engine: Engine) -> None:
    async def scene() -> tuple[int, facedex.Comparison]:
        ticks = 0
        work = asyncio.create_task(engine.aanalyze_many([people.GROUP] * 8))
        while not work.done():
            await asyncio.sleep(0.001)
            ticks += 1
        assert len(work.result()) == 8
        return ticks, await facedex.acompare(PORTRAIT, people.PROBES["ayu"][0])

    ticks, comparison = asyncio.run(scene())
    assert ticks > 20
    assert comparison.match


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork: Linux or macOS")
def test_after_a_fork_the_child_opens_the_networks_again() -> None:
    code = """
import os, facedex
from facedex import people
engine = facedex.Engine(threads=2)
engine.analyze(people.GROUP)
child = os.fork()
if child == 0:
    found = engine.analyze(people.GROUP)
    os._exit(0 if len(found) == 5 and engine.threads == 2 else 3)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_import_loads_nothing_heavy_and_changes_nothing() -> None:
    code = """
import os, sys, signal, warnings, locale, threading
def state():
    return (dict(os.environ), signal.getsignal(signal.SIGINT), list(warnings.filters), locale.setlocale(locale.LC_ALL),
            threading.active_count(), sys.excepthook, sys.getrecursionlimit())
before = state()
import facedex
assert state() == before
heavy = {"numpy", "onnxruntime", "sqlalchemy", "alembic", "PIL", "typer", "rich", "asyncio"} & set(sys.modules)
assert not heavy, heavy
assert "Gallery" in dir(facedex)
"""
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_public_names_exist_and_unknown_ones_do_not() -> None:
    for name in facedex.__all__:
        assert getattr(facedex, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'find'"):
        facedex.find  # noqa: B018


def test_missing_and_foreign_runtimes_are_reported_with_the_remedy(tmp_path: Path) -> None:
    code = (
        "import facedex\ntry:\n    facedex.Engine()\nexcept facedex.errors.RuntimeUnavailableError as e:\n    print(e)"
    )
    missing = python(code, FACEDEX_ONNXRUNTIME=str(tmp_path / "libonnxruntime.so"))
    assert "there is no library at" in missing.stdout
    assert "onnxruntime>=1.20.1" in missing.stdout
    (tmp_path / "libonnxruntime.so").write_bytes(b"not a library")
    foreign = python(code, FACEDEX_ONNXRUNTIME=str(tmp_path / "libonnxruntime.so"))
    assert "ONNX Runtime cannot be used" in foreign.stdout
    gone = python("import sys\nsys.modules['onnxruntime'] = None\n" + code.replace("Error as e", "Error as e"))
    assert "onnxruntime" in gone.stdout, gone.stderr


def test_a_runtime_that_is_too_old_is_refused(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler, to make an old ONNX Runtime: apt install gcc, then make test")
    source = tmp_path / "old.c"
    source.write_text(
        'static const char *version(void) { return "1.18.1"; }\n'
        "static const void *api(unsigned v) { (void)v; return 0; }\n"
        "struct base { const void *(*api)(unsigned); const char *(*version)(void); };\n"
        "static const struct base base = { api, version };\n"
        "const struct base *OrtGetApiBase(void) { return &base; }\n"
    )
    library = tmp_path / "libonnxruntime.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    code = (
        "import facedex\ntry:\n    facedex.Engine()\nexcept facedex.errors.RuntimeUnavailableError as e:\n    print(e)"
    )
    old = python(code, FACEDEX_ONNXRUNTIME=str(library))
    assert "1.18.1" in old.stdout, old.stderr
    assert "onnxruntime>=1.20.1" in old.stdout


def test_an_unavailable_provider_is_an_error() -> None:
    with pytest.raises(errors.ProviderError, match="CUDAExecutionProvider"):
        Engine(providers=["CUDAExecutionProvider"])
    with pytest.raises(errors.ProviderError, match="supported are"):
        Engine(providers=["TurboExecutionProvider"])
    assert Engine(providers=["CPUExecutionProvider"], threads=1).threads == 1
    with pytest.raises(errors.ProviderError, match="CUDAExecutionProvider"):
        Engine(providers="cuda")
    assert Engine(providers="cpu", threads=1).threads == 1
    with pytest.raises(errors.ArgumentError, match="providers must be names such as 'cuda', got \\[1\\]"):
        Engine(providers=[1])  # type: ignore[list-item]


def test_tampered_and_missing_weights_are_refused(tmp_path: Path) -> None:
    location = find("classic")
    for file in [location.manifest, *location.folders[0].glob("*.onnx")]:
        shutil.copy(file, tmp_path / file.name)
    manifest = tmp_path / "classic.toml"
    assert len(Engine(manifest, threads=1).analyze(people.GROUP)) == 5
    weights = tmp_path / "dlib_resnet.onnx"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    with pytest.raises(errors.WeightsDigestError, match=r"expected SHA-256 .*found"):
        Engine(manifest, threads=1)
    weights.unlink()
    with pytest.raises(errors.WeightsMissingError, match=r"dlib_resnet\.onnx"):
        Engine(manifest, threads=1)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name = "classic"', 'name = "classic"\ncolour = "red"', "unknown field `colour`"),
        ("dimension = 128", "", "missing field `dimension`"),
        ("dimension = 128", "dimension = 64", r"expected 64, found \[128\]"),
        ('outputs = ["embedding"]', 'outputs = ["vector"]', "output: expected vector, found embedding"),
        ("width = 150, height = 150", "width = 112, height = 112", r"input shape: expected \(any, 3, 112, 112\)"),
        ('file = "dlib_resnet.onnx"', 'file = "other.onnx"', r"no \[\[file\]\] declares"),
        ("format = 1", "format = 9", "this version reads 1"),
    ],
)
def test_an_inconsistent_manifest_is_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    location = find("classic")
    for file in location.folders[0].glob("*.onnx"):
        shutil.copy(file, tmp_path / file.name)
    text = location.manifest.read_text()
    assert old in text
    (tmp_path / "changed.toml").write_text(text.replace(old, new))
    with pytest.raises((errors.ManifestError, errors.NetworkError), match=words):
        Engine(tmp_path / "changed.toml", threads=1).analyze(PORTRAIT)


def test_unknown_packs_and_bad_arguments_are_refused(engine: Engine) -> None:
    with pytest.raises(errors.PackNotFoundError, match=r"'clasic'; known are .*classic"):
        Engine("clasic")
    with pytest.raises(errors.PackNotFoundError, match="there is no manifest"):
        Engine("no/such.toml")
    with pytest.raises(errors.ArgumentError, match="threads must be at least 1"):
        Engine(threads=0)
    with pytest.raises(errors.ArgumentError, match="min_face must be at least 1"):
        engine.analyze(PORTRAIT, min_face=0)
    with pytest.raises(errors.LandmarksError, match="coincide"):
        engine.crop(PORTRAIT, np.zeros((5, 2), np.float32))
    with pytest.raises(errors.ArgumentError, match="five points"):
        engine.crop(PORTRAIT, np.zeros((4, 2), np.float32))
    with pytest.raises(errors.ArgumentError, match=r"crop must be (150 x 150|112 x 112) pixels, got 10 x 10"):
        engine.embed(np.zeros((1, 10, 10, 3), np.uint8))


def test_a_pack_without_a_threshold_needs_one_named(tmp_path: Path) -> None:
    location = find("classic")
    for file in location.folders[0].glob("*.onnx"):
        shutil.copy(file, tmp_path / file.name)
    text = location.manifest.read_text(encoding="utf-8")
    (tmp_path / "bare.toml").write_text(text[: text.index("[recognition]")], encoding="utf-8")
    bare = Engine(tmp_path / "bare.toml", threads=1)
    probe = people.PROBES["ayu"][0]
    with pytest.raises(errors.ArgumentError, match="states no measured threshold; name one"):
        bare.compare(PORTRAIT, probe)
    assert bare.compare(PORTRAIT, probe, threshold=0.95).match
    with pytest.raises(errors.ArgumentError, match="states no measured threshold"):
        facedex.Gallery.open(tmp_path / "people.db", engine=bare)
    with facedex.Gallery.open(tmp_path / "people.db", engine=bare, threshold=0.95) as gallery:
        assert gallery.status().people == 0


def test_compare_needs_a_face_in_both() -> None:
    assert not facedex.compare(PORTRAIT, people.STRANGERS[0]).match
    with pytest.raises(errors.NoFaceError, match="second picture"):
        facedex.compare(PORTRAIT, np.zeros((100, 100, 3), np.uint8))


def test_compare_says_which_picture_is_refused(engine: Engine) -> None:
    cut: bytes = PORTRAIT.read_bytes()[:9000]
    bad: list[tuple[object, type[errors.FacedexError]]] = [
        (cut, errors.TruncatedImageError),
        (b"no picture", errors.NotAnImageError),
        ("no/such/file.jpg", errors.ImageReadError),
        (np.zeros((8, 8), np.float32), errors.ImageArrayError),
        (7, errors.ArgumentError),
    ]
    for image, kind in bad:
        with pytest.raises(kind, match=r"^the first picture: "):
            engine.compare(image, PORTRAIT)  # type: ignore[arg-type]
        with pytest.raises(kind, match=r"^the second picture: "):
            facedex.compare(PORTRAIT, image)  # type: ignore[arg-type]
    with pytest.raises(errors.TruncatedImageError, match=r"^the second picture: "):
        asyncio.run(facedex.acompare(PORTRAIT, cut))


def test_faces_and_analyses_pickle_and_do_not_show_vectors(engine: Engine) -> None:
    found = engine.analyze(PORTRAIT)
    assert pickle.loads(pickle.dumps(found[0])) == found[0]
    assert pickle.loads(pickle.dumps(found)) == found
    assert "embedding" not in repr(found[0])


def test_mirror_is_another_kind_of_embedding(engine: Engine) -> None:
    mirrored = Engine(threads=1, mirror=True)
    assert mirrored.pack.digest != engine.pack.digest
    plain, averaged = (e.analyze(PORTRAIT)[0].embedding for e in (engine, mirrored))
    assert plain is not None
    assert averaged is not None
    assert 0.98 < float(plain @ averaged) < 0.99999
    flipped = mirrored.analyze(np.ascontiguousarray(facedex.decode(PORTRAIT)[:, ::-1]))[0].embedding
    assert flipped is not None
    assert float(averaged @ flipped) > float(plain @ engine.analyze(facedex.decode(PORTRAIT)[:, ::-1])[0].embedding)  # type: ignore[operator]


@pytest.mark.shared
def test_all_eight_orientations_give_the_same_face(engine: Engine, shared: Path) -> None:
    found = [engine.analyze(shared / "faces" / "exif" / f"face_orientation_{k}.jpg")[0] for k in range(1, 9)]
    for face in found[1:]:
        assert np.abs(face.landmarks - found[0].landmarks).max() < 3
        assert float(face.embedding @ found[0].embedding) > 0.98


@pytest.mark.shared
def test_every_face_of_the_small_groups_and_none_in_cats(engine: Engine, shared: Path) -> None:
    for name, count in (("t1.jpg", 6), ("multiface.jpg", 6), ("six_people_party.jpg", 6)):
        assert len(engine.analyze(shared / "faces" / "group" / name, embed=False)) == count, name
    for name in ("no_face_cat.png", "no_face_coffee.jpg"):
        assert len(engine.analyze(shared / "faces" / "group" / name, embed=False)) == 0, name


@pytest.mark.shared
def test_large_pictures_and_close_ups(engine: Engine, shared: Path) -> None:
    for path in sorted((shared / "faces" / "large").glob("*.jpg")):
        assert len(engine.analyze(path, embed=False)) >= 1, path.name


# A decoder that breaks off says nothing on the terminal.


def palette_png(depth: int, palette: int) -> bytes:
    """A PNG of eight pixels whose palette has so many bytes; png 0.18.1 panicked where these are no whole colours."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">2I5B", 8, 1, depth, 3, 0, 0, 0)
    parts = (b"IHDR", header), (b"PLTE", bytes(palette)), (b"IDAT", zlib.compress(bytes(1 + depth))), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize("palette", [4, 5, 7])
def test_a_palette_of_half_a_color_is_refused_without_a_trace(tmp_path: Path, palette: int) -> None:
    file = tmp_path / "palette.png"
    file.write_bytes(palette_png(1, palette))
    program = (
        "import sys; from facedex._core import decode, without_metadata, thumbnail\n"
        "from facedex.errors import DamagedImageError\n"
        "for door in (decode, without_metadata, thumbnail):\n"
        "    try: door(sys.argv[1])\n"
        "    except DamagedImageError as error: assert 'palette has' in str(error), error\n"
        "    else: raise SystemExit('it was taken')\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    file.write_bytes(palette_png(1, 6))
    assert decode(file).shape == (1, 8, 3)


def test_a_large_batch_lets_other_calls_run(engine: Engine) -> None:
    """A picture that arrives while eighty are in progress is analyzed before they end."""
    many = [people.GROUP] * 80
    with ThreadPoolExecutor(2) as callers:
        all_of_them = callers.submit(engine.analyze_many, many)
        before = engine.stats()["images"]
        while engine.stats()["images"] < before + 2:  # they have begun
            time.sleep(0.001)
        assert len(engine.analyze(people.GROUP)) == 5
        assert engine.stats()["images"] - before < 24
        answers = all_of_them.result()
    assert [len(answer) for answer in answers if isinstance(answer, Analysis)] == [5] * 80
