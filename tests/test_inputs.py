"""What counts as a picture: every kind of input, one bad picture among good ones, and bounded messages."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

import facedex
from facedex import Engine, Gallery, errors, people
from facedex.inputs import is_single, probe, read_picture

AYU = people.PICTURES["ayu"]
DATA = AYU[0].read_bytes()
PIXELS = facedex.decode(AYU[0])
URI = "data:image/jpeg;base64," + base64.b64encode(DATA).decode()


@pytest.fixture
def gallery(engine: Engine, tmp_path: Path) -> Iterator[Gallery]:
    with Gallery.open(tmp_path / "people.db", engine=engine) as opened:
        yield opened


class BrokenStream(io.RawIOBase):
    """A stream that breaks while it is read."""

    def read(self, size: int = -1) -> bytes:
        raise ConnectionResetError("the other side closed the connection")


class BrokenArray:
    """A tensor that does not convert."""

    shape = (4, 4, 3)

    def __array__(self, dtype: object = None, copy: object = None) -> Any:
        raise RuntimeError("this tensor is on another device")


class BrokenPath(os.PathLike[str]):
    """A path that cannot be computed."""

    def __fspath__(self) -> str:
        raise LookupError("no such volume")


class Dataset:
    """A data set that is read by index; some of its items cannot be read."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, number: int) -> Any:
        if number == 1:
            raise OSError("the archive is damaged")
        return AYU[number]


def closed_file() -> Any:
    with AYU[0].open("rb") as stream:
        pass
    return stream


def closed_picture() -> Image.Image:
    picture = Image.open(AYU[0])
    picture.close()
    return picture


def text_file() -> Any:
    return io.TextIOWrapper(io.BytesIO(DATA), encoding="utf-8")


BROKEN = {
    "truncated PIL picture": lambda: Image.open(io.BytesIO(DATA[:9000])),
    "closed PIL picture": closed_picture,
    "broken stream": BrokenStream,
    "file opened as text": text_file,
    "text stream": lambda: io.StringIO("text"),
    "closed file": closed_file,
    "broken tensor": BrokenArray,
    "broken path": BrokenPath,
}


@pytest.mark.parametrize("kind", BROKEN)
def test_one_unreadable_picture_does_not_cost_the_others(engine: Engine, gallery: Gallery, kind: str) -> None:
    make: Any = BROKEN[kind]
    before, bad, after = engine.analyze_many([AYU[0], make(), AYU[1]])
    assert isinstance(before, facedex.Analysis)
    assert isinstance(bad, errors.ImageReadError)
    assert bad.__cause__ is not None or "text" in kind
    assert isinstance(after, facedex.Analysis)

    registration = gallery.register("ayu", [AYU[0], make(), AYU[1]])
    assert len(registration.faces) == 2
    assert [(item.source, item.error.code) for item in registration.rejected] == [(1, "image_read")]
    first, second, third = gallery.register_many([("budi", people.PICTURES["budi"]), ("bad", make()), ("eko", AYU[2])])
    assert (type(first), type(second), type(third)) == (
        facedex.Registration,
        errors.ImageReadError,
        facedex.Registration,
    )
    known, unread = gallery.recognize_many([AYU[0], make()])
    assert isinstance(known, facedex.Recognition)
    assert isinstance(unread, errors.ImageReadError)

    calls: list[Any] = [
        engine.analyze,
        gallery.recognize,
        lambda image: gallery.verify("ayu", image),
        lambda image: gallery.register("new", image),
        lambda image: gallery.add_photo("ayu", image, rendition="original"),
        lambda image: engine.compare(AYU[0], image),
        lambda image: engine.crop(image, np.zeros((5, 2), np.float32)),
        facedex.decode,
        lambda image: asyncio.run(gallery.arecognize(image)),
    ]
    for call in calls:
        with pytest.raises(errors.ImageReadError):
            call(make())


def test_memory_errors_and_interrupts_pass(engine: Engine) -> None:
    for kind in (MemoryError, KeyboardInterrupt):

        class Stream(io.RawIOBase):
            def read(self, size: int = -1, kind: type[BaseException] = kind) -> bytes:
                raise kind

        with pytest.raises(kind):
            engine.analyze_many([AYU[0], Stream()])  # type: ignore[list-item]


def test_premultiplied_transparency_is_read() -> None:
    grey = Image.new("LA", (20, 10), (0, 0)).convert("La")
    assert (facedex.decode(grey) == 255).all()


def test_a_data_uri_is_decoded(engine: Engine, gallery: Gallery) -> None:
    assert (facedex.decode(URI) == PIXELS).all()
    gallery.register("ayu", URI)
    assert gallery.recognize(URI)[0].person_id == "ayu"
    assert len(gallery.add_photo("ayu", URI, rendition="thumbnail").filename or "") == 0
    assert "data URI of" in repr(engine.analyze(URI))
    assert engine.analyze(URI).draw().size[0] > 0
    for text in ("data:image/jpeg;base64,@@@", "data:image/jpeg;base64,", "data:,hello"):
        with pytest.raises(errors.NotAnImageError):
            engine.analyze(text)


@pytest.mark.parametrize(
    "text",
    [
        URI.partition(",")[2],
        URI.partition(",")[2][:300],
        "https://example.com/" + "a" * 5000,
        "https://example.com/party.jpg",
        "S3://bucket/party.jpg",
        "file:///tmp/party.jpg",
        "no/such/" + "folder/" * 50 + "file.jpg",
        "a\0b.jpg",
        "",
    ],
)
@pytest.mark.parametrize("wrap", [str, Path])
def test_a_text_that_is_no_path_is_refused_in_few_words(engine: Engine, gallery: Gallery, text: str, wrap: Any) -> None:
    for call in (engine.analyze, gallery.recognize, facedex.decode, lambda image: gallery.register("ayu", image)):
        with pytest.raises(errors.ImageReadError) as refused:
            call(wrap(text))
        assert len(str(refused.value)) <= 350 if "://" in text else 200, str(refused.value)
        if ":/" in text:
            assert "address is not fetched" in str(refused.value)


def test_messages_of_all_errors_are_bounded() -> None:
    assert len(str(errors.ArgumentError("x" * 100_000))) < 2100
    with pytest.raises(errors.FacedexError) as refused:
        Engine("x" * 100_000)
    assert len(str(refused.value)) < 2100


def several(kind: str) -> Any:
    """Return two pictures as a collection."""
    paths = [str(path) for path in AYU[:2]]
    match kind:
        case "strings":
            return np.array(paths)
        case "objects":
            return np.array(AYU[:2], dtype=object)
        case "stack":
            return np.stack([facedex.decode(path) for path in AYU[:2]])
        case "series":
            return pytest.importorskip("pandas").Series(paths, index=[7, 9])
        case "generator":
            return (path for path in paths)
    return tuple(paths)


@pytest.mark.parametrize("kind", ["strings", "objects", "stack", "series", "generator", "tuple"])
def test_every_verb_accepts_the_same_collections(engine: Engine, gallery: Gallery, kind: str) -> None:
    assert [len(faces) for faces in engine.analyze_many(several(kind))] == [1, 1]  # type: ignore[arg-type]
    assert len(gallery.register("ayu", several(kind)).faces) == 2
    [again] = gallery.register_many([("again", several(kind))])
    assert isinstance(again, facedex.Registration)
    assert len(again.faces) == 2
    assert len(gallery.recognize_many(several(kind))) == 2
    assert not is_single(several(kind))


def test_the_items_of_a_data_set_are_read_by_index(engine: Engine, gallery: Gallery) -> None:
    data: Any = Dataset()
    first, second, third = engine.analyze_many(data)
    assert isinstance(first, facedex.Analysis)
    assert isinstance(second, errors.ImageReadError)
    assert isinstance(second.__cause__, OSError)
    assert isinstance(third, facedex.Analysis)
    assert [item.source for item in gallery.register("ayu", data).rejected] == [1]
    assert [type(found).__name__ for found in gallery.recognize_many(data)] == [
        "Recognition",
        "ImageReadError",
        "Recognition",
    ]


@pytest.mark.parametrize("one", [str(AYU[0]), AYU[0], DATA, PIXELS, PIXELS[..., 0], {"ayu": AYU[0]}, io.BytesIO(DATA)])
def test_one_picture_is_not_several(engine: Engine, gallery: Gallery, one: Any) -> None:
    for call in (engine.analyze_many, gallery.recognize_many):
        with pytest.raises(errors.ArgumentError, match="several pictures, got one"):
            call(one)


def test_several_pictures_are_not_one(engine: Engine) -> None:
    for images in ([AYU[0], AYU[1]], (Image.fromarray(PIXELS), 3)):
        with pytest.raises(errors.ArgumentError, match=r"of 2 \(.*give one picture of it"):
            engine.analyze(images)  # type: ignore[arg-type]
    for array in (np.array([str(AYU[0])]), PIXELS[None]):
        with pytest.raises(errors.ImageArrayError, match="for several pictures"):
            engine.analyze(array)


def test_grey_and_transparent_arrays(engine: Engine) -> None:
    grey = np.asarray(Image.fromarray(PIXELS).convert("L"))
    expected = np.repeat(grey[..., None], 3, axis=2)
    assert (facedex.decode(grey) == expected).all()
    assert (facedex.decode(grey[..., None]) == expected).all()
    assert len(engine.analyze(grey)) == 1
    clear = np.dstack([PIXELS, np.full(PIXELS.shape[:2], 255, np.uint8)])
    clear[:10, :, 3] = 0
    blended = facedex.decode(clear)
    assert (blended[:10] == 255).all()
    assert (blended[10:] == PIXELS[10:]).all()


class Tensor:
    """The parts of a tensor of PyTorch that matter: not an array, converts to one, here with a gradient."""

    def __init__(self, array: Any, attached: bool = True) -> None:
        self._array, self._attached = array, attached
        self.shape = array.shape

    def detach(self) -> Tensor:
        return Tensor(self._array, attached=False)

    def __array__(self, dtype: object = None, copy: object = None) -> Any:
        if self._attached:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad")
        return self._array


def test_tensors_are_read(engine: Engine) -> None:
    tensor: Any = Tensor(PIXELS)
    assert (facedex.decode(tensor) == PIXELS).all()
    assert is_single(tensor)
    with pytest.raises(errors.ImageArrayError, match="move the channels to the end"):
        engine.analyze(Tensor(PIXELS.transpose(2, 0, 1)))  # type: ignore[arg-type]
    with pytest.raises(errors.ImageArrayError, match=r"float32 .*image \* 255"):
        engine.analyze(Tensor(PIXELS.astype(np.float32) / 255))  # type: ignore[arg-type]


def test_paths_of_all_kinds(engine: Engine) -> None:
    with os.scandir(AYU[0].parent) as entries:
        entry = next(item for item in entries if item.name == AYU[0].name)
    with os.scandir(os.fsencode(AYU[0].parent)) as entries:
        raw: Any = next(item for item in entries if item.name == os.fsencode(AYU[0].name))

    class Mine(type(AYU[0])):  # type: ignore[misc]
        pass

    for path in (entry, raw, Mine(AYU[0]), np.str_(AYU[0])):
        assert read_picture(path, max_pixels=10**6) == str(AYU[0])
        assert len(engine.analyze(path)) == 1
    with pytest.raises(errors.ImageReadError, match="it is a folder"):
        engine.analyze(AYU[0].parent)


JXL_BOXES = "0000000c4a584c200d0a870a00000014667479706a786c20000000006a786c20"
"""The first boxes of a container of JPEG XL, hexadecimal."""


def encoded(kind: str, **options: Any) -> bytes:
    """Return the portrait in another format, or skip."""
    stream = io.BytesIO()
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").from_pillow(Image.fromarray(PIXELS)).save(stream, quality=90, **options)
    else:
        if kind == "JXL":
            pytest.importorskip("pillow_jxl", exc_type=ImportError)
        Image.fromarray(PIXELS).save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["HEIF", "AVIF", "JPEG2000", "JXL"])
def test_formats_of_phones_and_archives_are_read_by_pillow(
    engine: Engine, gallery: Gallery, tmp_path: Path, kind: str
) -> None:
    data = encoded(kind)
    (tmp_path / "picture.bin").write_bytes(data)
    assert np.abs(facedex.decode(data).astype(int) - PIXELS).mean() < 4
    expected = engine.analyze(PIXELS)[0].embedding
    for image in (data, tmp_path / "picture.bin", str(tmp_path / "picture.bin"), io.BytesIO(data)):
        [face] = engine.analyze(image)
        assert face.embedding is not None
        assert expected is not None
        assert float(face.embedding @ expected) > 0.9
    gallery.register("ayu", [data, tmp_path / "picture.bin"])
    assert gallery.recognize(data)[0].person_id == "ayu"
    for rendition in ("thumbnail", "original"):
        photo = gallery.add_photo("ayu", data, rendition=rendition)  # type: ignore[arg-type]
        assert len(engine.analyze(gallery.photo_bytes(photo.photo_id))) == 1
    height, width, _ = PIXELS.shape
    assert probe(data, max_pixels=10**6) == (width, height)


@pytest.mark.parametrize("kind", ["HEIF", "AVIF", "JPEG2000", "JXL"])
def test_formats_of_pillow_keep_the_limits(tmp_path: Path, kind: str) -> None:
    data = encoded(kind)
    (tmp_path / "picture.bin").write_bytes(data)
    small = Engine(threads=1, max_pixels=100_000)
    for image in (data, tmp_path / "picture.bin"):
        with pytest.raises(errors.ImageTooLargeError, match="over the limit of 100000 pixels; FACEDEX_MAX_PIXELS"):
            small.analyze(image)
    for cut in (data[:40], data[: len(data) // 2]):
        with pytest.raises(errors.ImageError):
            facedex.decode(cut)


def test_the_orientation_of_avif_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    height, width, _ = PIXELS.shape
    assert facedex.decode(encoded("AVIF", exif=exif)).shape == (width, height, 3)


@pytest.mark.parametrize(
    ("module", "data", "remedy"),
    [
        ("pillow_heif", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100), r"pip install 'facedex\[heif\]'"),
        ("pillow_jxl", b"\xff\x0a" + bytes(100), "pip install pillow-jxl-plugin"),
        ("pillow_jxl", b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\0jxlc\xff\x0a" + bytes(100), "pillow-jxl-plugin"),
    ],
)
def test_a_format_without_its_package_names_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, module: str, data: bytes, remedy: str
) -> None:
    for name in (module, "pillow_jxl.JpegXLImagePlugin"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(errors.UnsupportedImageError, match=remedy):
        engine.analyze(data)
    [refused] = engine.analyze_many([data])
    assert isinstance(refused, errors.UnsupportedImageError)


@pytest.mark.parametrize(
    ("header", "size"),
    [  # written by libjxl for pictures of these sizes: bare, in a container, made of a JPEG file
        ("ff0af8be010013080100ccc1030c00000000", (640, 480)),
        ("ff0a30800ee700130801006c4007744006b4", (5000, 7)),
        ("ff0a0090010013080100b400671328010050", (1, 1)),
        (f"{JXL_BOXES}{'000000596a786c63'}ff0a1803000e0013080100b840030c000000", (257, 100)),
        (f"{JXL_BOXES}{'000000ce6a786c63'}ff0afa1f1e00130801006c40196400000000", (1280, 1024)),
        (f"{JXL_BOXES}{'000000116a786c7000000000'}ff0a314124000001e06a627264c06d030882", (300, 200)),
    ],
)
def test_the_size_of_a_jpeg_xl_file_is_checked_before_its_plugin_decodes_it(
    header: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    monkeypatch.setitem(sys.modules, "pillow_jxl.JpegXLImagePlugin", None)
    data, (width, height) = bytes.fromhex(header), size
    with pytest.raises(errors.ImageTooLargeError, match=f"image of {width} x {height} = {width * height} pixels"):
        probe(data, max_pixels=width * height - 1)
    with pytest.raises(errors.UnsupportedImageError):
        probe(data, max_pixels=width * height)


@pytest.mark.parametrize("data", [b"\0\0\0\x0cJXL " + bytes(40), b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\1jxlc" + bytes(40)])
def test_a_jpeg_xl_file_without_a_picture_is_damaged(data: bytes) -> None:
    with pytest.raises(errors.DamagedImageError):
        probe(data, max_pixels=1000)


def ruin(way: str) -> Any:
    """Return the portrait so that no face is found in it."""
    portrait = Image.fromarray(PIXELS)
    match way:
        case "very dark":
            return (PIXELS * 0.02).round().astype(np.uint8)
        case "very bright":
            return (255 - (255 - PIXELS.astype(np.float32)) * 0.05).round().astype(np.uint8)
        case "blurred":
            return np.asarray(portrait.filter(ImageFilter.GaussianBlur(32)))
    return np.full((20, 30, 3), 128, np.uint8)


@pytest.mark.parametrize("way", ["very dark", "very bright", "blurred", "tiny"])
def test_a_picture_without_a_face_says_why(engine: Engine, gallery: Gallery, way: str) -> None:
    gallery.register("ayu", AYU[0])
    stream = io.BytesIO()
    Image.fromarray(ruin(way)).save(stream, "PNG")
    for image in (ruin(way), stream.getvalue(), io.BytesIO(stream.getvalue())):
        analysis = engine.analyze(image)
        assert len(analysis) == 0
        assert way in (analysis.hint or "")
    recognition = gallery.recognize(ruin(way))
    [many] = gallery.recognize_many([ruin(way)])
    assert isinstance(many, facedex.Recognition)
    assert recognition.hint == many.hint == analysis.hint
    for call in (lambda image: gallery.register("new", image), lambda image: engine.compare(AYU[0], image)):
        with pytest.raises(errors.NoFaceError, match=way):
            call(ruin(way))


def test_an_ordinary_picture_gives_no_hint(engine: Engine) -> None:
    assert engine.analyze(AYU[0]).hint is None
    pattern = np.random.default_rng(7).integers(0, 255, (240, 320, 3)).astype(np.uint8)
    assert (len(engine.analyze(pattern)), engine.analyze(pattern).hint) == (0, None)


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_pictures_of_16_bits_are_stretched_by_their_own_range(engine: Engine, tmp_path: Path, bits: int) -> None:
    grey = np.asarray(Image.fromarray(PIXELS).convert("L")).astype(np.uint16)
    deep = (grey.astype(np.float64) * ((2**bits - 1) / 255)).astype(np.uint16)
    low, high = int(grey.min()), int(grey.max())
    expected = (grey.astype(int) - low) * 255 / (high - low)
    picture = Image.fromarray(deep)
    files = [tmp_path / "deep.png", tmp_path / "deep.tiff"]
    for file in files:
        picture.save(file)
    for image in (*files, files[0].read_bytes(), files[1].read_bytes(), picture, deep, deep[..., None]):
        found = facedex.decode(image).astype(int)
        assert np.abs(found - expected[..., None]).max() <= 2
        assert len(engine.analyze(image)) == 1
    color = (PIXELS.astype(np.uint16) << 4) if bits == 12 else PIXELS.astype(np.uint16) * 257
    assert len(engine.analyze(color)) == 1


def test_damaged_and_large_pictures_of_16_bits_are_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.arange(10_000, dtype=np.uint16).reshape(100, 100)).save(stream, "PNG")
    data = stream.getvalue()
    with pytest.raises(errors.ImageTooLargeError):
        facedex.decode(data, max_pixels=9999)
    with pytest.raises(errors.TruncatedImageError):
        facedex.decode(data[:-20])
    with pytest.raises(errors.DamagedImageError):
        facedex.decode(data[:60] + bytes(20) + data[80:])


def test_a_cut_jpeg_is_decoded_on_request(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut, path, whole = DATA[:-600], tmp_path / "cut.jpg", tmp_path / "whole.jpg"
    path.write_bytes(cut)
    whole.write_bytes(DATA + b"trailing bytes")
    with pytest.raises(errors.TruncatedImageError):
        engine.analyze(cut)
    monkeypatch.setenv("FACEDEX_STRICT", "0")
    for lenient in (Engine(strict=False, threads=1), Engine(threads=1)):
        for image in (cut, path, io.BytesIO(cut)):
            analysis = lenient.analyze(image)
            assert len(analysis) == 1
            assert "cut off" in (analysis.hint or "")
            assert analysis.draw().size == (PIXELS.shape[1], PIXELS.shape[0])
        first, second = lenient.analyze_many([path, whole])
        assert isinstance(first, facedex.Analysis)
        assert isinstance(second, facedex.Analysis)
        assert "cut off" in (first.hint or "")
        assert (len(second), second.hint) == (1, None)
        for bad in (DATA[:20], b"\xff\xd8\xff", b"no picture"):
            with pytest.raises(errors.ImageError):
                lenient.analyze(bad)
        for photos in ("thumbnail", "original"):
            location = tmp_path / f"{photos}-{id(lenient)}.db"
            with Gallery.open(location, engine=lenient, photos=photos) as opened:  # type: ignore[arg-type]
                opened.register("ayu", [path, io.BytesIO(cut)])
                assert len(opened.photos("ayu")) == 2
                assert "cut off" in (opened.recognize(path).hint or "")
    with pytest.raises(errors.TruncatedImageError):
        Engine(strict=True, threads=1).analyze(cut)
    monkeypatch.setenv("FACEDEX_STRICT", "no")
    with pytest.raises(errors.ArgumentError, match="FACEDEX_STRICT must be 0 or 1"):
        Engine(threads=1)


def large_jpeg(times: int = 4, **options: Any) -> bytes:
    """Return a portrait, enlarged, as a JPEG file."""
    height, width, _ = PIXELS.shape
    stream = io.BytesIO()
    Image.fromarray(PIXELS).resize((times * width - 3, times * height - 1)).save(stream, "JPEG", **options)
    return stream.getvalue()


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_jpeg_over_the_limit_is_reduced_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = Image.open(io.BytesIO(large_jpeg()))
    back = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    stored = upright if back[orientation] is None else upright.transpose(back[orientation])  # type: ignore[arg-type]
    stream = io.BytesIO()
    stored.save(stream, "JPEG", quality=95, exif=exif)
    data, path = stream.getvalue(), tmp_path / "large.jpg"
    path.write_bytes(data)
    limit = upright.width * upright.height // 5
    [expected] = Engine(threads=1).analyze(data)
    monkeypatch.setenv("FACEDEX_OVERSIZE", "reduce")
    for small in (Engine(threads=1, max_pixels=limit, oversize="reduce"), Engine(threads=1, max_pixels=limit)):
        for image in (data, path, io.BytesIO(data)):
            found = small.analyze(image)
            assert found.image_size == upright.size
            assert "1/4 of its sides" in (found.hint or "")
            assert found.draw().size == upright.size  # under the limit of the setting, not of this engine
            [face] = found
            assert np.abs(face.bbox - expected.bbox).max() < 0.03 * (expected.bbox[2] - expected.bbox[0])
            assert face.landmarks is not None
            assert expected.landmarks is not None
            assert np.abs(face.landmarks - expected.landmarks).max() < 0.03 * (expected.bbox[2] - expected.bbox[0])
            assert face.embedding is not None
            assert expected.embedding is not None
            assert float(face.embedding @ expected.embedding) > 0.9
        assert face.landmarks is not None
        crop = small.crop(data, face.landmarks).astype(int)
        assert np.abs(crop - Engine(threads=1).crop(data, face.landmarks)).mean() < 8
        assert len(small.analyze(data, min_face=round(0.8 * (face.bbox[3] - face.bbox[1])))) == 1
        assert len(small.analyze(data, min_face=round(2 * (face.bbox[3] - face.bbox[1])))) == 0
        whole, reduced = small.analyze_many([AYU[1], data])
        assert isinstance(whole, facedex.Analysis)
        assert isinstance(reduced, facedex.Analysis)
        assert reduced == found
        for photos, width in (("thumbnail", 224), ("original", stored.width)):
            location = tmp_path / f"{photos}-{id(small)}.db"
            with Gallery.open(location, engine=small, photos=photos) as opened:  # type: ignore[arg-type]
                opened.register("ayu", [path, io.BytesIO(data)])
                first, _ = opened.photos("ayu")
                assert first.width in (width, stored.height)
                assert opened.recognize(path)[0].person_id == "ayu"
                if photos == "thumbnail":
                    assert len(Engine(threads=1).analyze(opened.photo_bytes(first.photo_id))) == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in kibibytes on Linux")
@pytest.mark.parametrize("progressive", [False, True])
def test_a_reduced_jpeg_is_never_decoded_in_full(tmp_path: Path, progressive: bool) -> None:
    """A picture of 108 megapixels is 309 MB of pixels; a 1/4 of its sides are 19 MB."""
    path = tmp_path / "large.jpg"
    Image.fromarray(PIXELS).resize((12_000, 9_000)).save(path, "JPEG", progressive=progressive)
    program = """
import resource, sys
from facedex import Engine, errors, people

engine = Engine(threads=1, max_pixels=12_000_000, oversize="reduce")
engine.analyze(people.PROBES["ayu"][0])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    print(len(engine.analyze(sys.argv[1])), end=" ")
except errors.ImageTooLargeError:
    print("refused", end=" ")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    answer, grown = done.stdout.split()
    assert answer == ("refused" if progressive else "1")
    assert int(grown) < 150, f"{grown} MB"


def test_what_cannot_be_reduced_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, height, width = large_jpeg(2), 2 * PIXELS.shape[0] - 1, 2 * PIXELS.shape[1] - 3
    small = Engine(threads=1, max_pixels=width * height // 2, oversize="reduce")
    png = io.BytesIO()
    Image.open(io.BytesIO(data)).save(png, "PNG")
    for image, reason in (
        (large_jpeg(2, progressive=True), "progressive"),
        (png.getvalue(), "over the limit"),
    ):
        with pytest.raises(errors.ImageTooLargeError, match=reason) as refused:
            small.analyze(image)
        assert f"{width} x {height} = {width * height} pixels is over the limit of {small.max_pixels}" in str(
            refused.value
        )
        assert str(refused.value).count("FACEDEX_MAX_PIXELS") == 1
    with pytest.raises(errors.ImageTooLargeError, match="at an eighth of its sides too"):
        Engine(threads=1, max_pixels=width * height // 63 // 2, oversize="reduce").analyze(data)
    for strict in (True, False):
        with pytest.raises(errors.TruncatedImageError):
            Engine(threads=1, max_pixels=small.max_pixels, oversize="reduce", strict=strict).analyze(data[:-300])
    with pytest.raises(errors.ImageTooLargeError):
        Engine(threads=1, max_pixels=small.max_pixels).analyze(data)
    for wrong in ("shrink", 1):
        with pytest.raises(errors.ArgumentError, match="oversize must be"):
            Engine(threads=1, oversize=wrong)  # type: ignore[arg-type]
    monkeypatch.setenv("FACEDEX_OVERSIZE", "shrink")
    with pytest.raises(errors.ArgumentError, match="FACEDEX_OVERSIZE must be refuse or reduce"):
        Engine(threads=1)
