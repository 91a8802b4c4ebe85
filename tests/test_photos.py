"""Photos in the gallery: what is stored of a picture, no metadata, and no photo without its person."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin
from place import Place

import facedex
from facedex import _core, people
from facedex.config import MAX_PIXELS
from facedex.engine import Engine
from facedex.errors import (
    ArgumentError,
    DuplicateFaceError,
    DuplicatePersonError,
    FacedexError,
    ImageError,
    PhotoIntegrityError,
    PhotoTooLargeError,
    RegistrationError,
    UnknownPersonError,
    UnknownPhotoError,
)
from facedex.gallery import Gallery
from facedex.gallery.fsck import fsck
from facedex.gallery.photos import filename_of
from facedex.gallery.policy import Enrolment
from facedex.inputs import ImageInput, read_picture
from facedex.results import bbox_of
from facedex.store import Database, Feed, NewFace, NewPhoto, PackPin, Store
from facedex.store import photos as store_photos

SQLITE = pytest.mark.parametrize("place", ["sqlite"], indirect=True)
MYSQL = pytest.mark.parametrize("place", ["mysql"], indirect=True)
KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
KEYS = pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
PIN = PackPin("classic", "ab" * 32, 64)
SECRET = b"51 deg 28' 40\" N, owner Ayu"
AYU, BUDI = people.PICTURES["ayu"], people.PICTURES["budi"]


def changed(place: Place, query: str, **values: object) -> None:
    """Change the database without the store."""
    place.execute(sa.text(query).bindparams(**values))


def counts(place: Place) -> list[int]:
    """Count the rows of photos, faces and templates."""
    return [place.rows(f"SELECT count(*) FROM {table}")[0][0] for table in ("photos", "faces", "templates")]


def same(left: bytes, picture: Any) -> bool:
    return np.array_equal(facedex.decode(left), facedex.decode(picture))


# What is kept of a file.


def smooth(width: int = 40, height: int = 24) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([5 * x, 9 * y, x + y], axis=2).astype(np.uint8))


def exif(orientation: int = 1) -> Image.Exif:
    block = Image.Exif()
    block[0x0112] = orientation
    block[0x010E] = SECRET.decode()
    block.get_ifd(0x8825)[1] = "N"
    return block


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def with_text() -> PngImagePlugin.PngInfo:
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", SECRET.decode())
    text.add_itxt("XML:com.adobe.xmp", SECRET.decode())
    return text


MADE = {
    "jpeg": lambda: saved(smooth(), "JPEG", exif=exif(6), comment=SECRET, icc_profile=SECRET * 9) + SECRET,
    "progressive": lambda: saved(smooth(), "JPEG", exif=exif(3), progressive=True, comment=SECRET),
    "subsampled": lambda: saved(smooth(), "JPEG", exif=exif(8), subsampling="4:2:0", quality=70),
    "grey": lambda: saved(smooth().convert("L"), "JPEG", comment=SECRET),
    "cmyk": lambda: saved(smooth().convert("CMYK"), "JPEG", comment=SECRET),
    "rgb": lambda: saved(smooth(), "JPEG", keep_rgb=True, comment=SECRET),
    "restarts": lambda: saved(smooth(), "JPEG", restart_marker_blocks=2, comment=SECRET),
    "png": lambda: saved(smooth(), "PNG", exif=exif(5), pnginfo=with_text()) + SECRET,
    "palette": lambda: saved(smooth().quantize(9), "PNG", transparency=3, pnginfo=with_text()),
    "alpha": lambda: saved(smooth().convert("RGBA"), "PNG", pnginfo=with_text()),
    "sixteen": lambda: saved(Image.fromarray(np.arange(9999, 10959, dtype=np.uint16).reshape(24, 40)), "PNG"),
    "apng": lambda: saved(smooth(), "PNG", save_all=True, append_images=[smooth().rotate(180)], pnginfo=with_text()),
    "webp": lambda: saved(smooth(), "WEBP", exif=exif(7), xmp=SECRET, icc_profile=SECRET * 9),
    "webp lossless": lambda: saved(smooth(), "WEBP", lossless=True, exif=exif(2), xmp=SECRET),
    "webp alpha": lambda: saved(smooth().convert("RGBA").resize((33, 21)), "WEBP", exif=exif(4), xmp=SECRET),
    "webp moving": lambda: saved(smooth(), "WEBP", save_all=True, append_images=[smooth().rotate(180)], xmp=SECRET),
    "bmp": lambda: saved(smooth(), "BMP") + SECRET,
    "gif": lambda: saved(smooth(), "GIF", save_all=True, append_images=[smooth().rotate(180)], comment=SECRET),
    "tiff": lambda: saved(smooth(), "TIFF", exif=exif(6), description=SECRET.decode()),
}


@pytest.mark.parametrize("kind", MADE)
def test_an_original_has_the_same_pixels_and_no_metadata(kind: str) -> None:
    file = MADE[kind]()
    left, media_type, size = _core.without_metadata(file)
    assert same(left, file)
    assert size == facedex.decode(file).shape[1::-1]
    assert not any(SECRET[at : at + 8] in left for at in range(len(SECRET) - 7))
    opened = Image.open(io.BytesIO(left))
    assert f"image/{opened.format}".lower() == media_type
    assert set(opened.getexif()) <= {0x0112}
    assert getattr(opened, "n_frames", 1) == 1
    assert not opened.info.keys() - {
        "exif",
        "adobe",
        "adobe_transform",
        "transparency",
        "loop",
        "background",
        "dpi",
        "progressive",
        "progression",
    }
    kept = kind.split()[0] if kind.split()[0] in ("png", "webp") else "png"
    if kind in ("jpeg", "progressive", "subsampled", "grey", "cmyk", "rgb", "restarts"):
        kept = "jpeg"
        assert len(left) <= len(file)
    assert media_type == "image/" + ("png" if kind == "webp moving" else kept)
    assert _core.without_metadata(left) == (left, media_type, size)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_other_programs_turn_an_original_as_they_turn_the_file(kind: str, orientation: int) -> None:
    from PIL import ImageOps

    file = saved(smooth(), kind, exif=exif(orientation))
    left, _, size = _core.without_metadata(file)
    before, after = (ImageOps.exif_transpose(Image.open(io.BytesIO(data))) for data in (file, left))
    assert after.size == size
    assert np.array_equal(np.asarray(before.convert("RGB")), np.asarray(after.convert("RGB")))


def test_pixels_become_png() -> None:
    pixels = np.asarray(smooth())
    for given in (pixels, smooth(), np.ascontiguousarray(pixels[::-1])[::-1]):
        left, media_type, size = _core.without_metadata(read_picture(given, max_pixels=MAX_PIXELS))
        assert (media_type, size) == ("image/png", (40, 24))
        assert np.array_equal(facedex.decode(left), pixels)


def outcome(call: Any, path: Path) -> Any:
    try:
        return call(path)
    except ImageError as refusal:
        return refusal


@pytest.mark.shared
@pytest.mark.parametrize("folder", ["faces/exif", "faces/hostile", "faces/group"])
def test_every_sample_is_stored_as_decoded_or_refused(shared: Path, folder: str) -> None:
    kept = 0

    def strip(path: Path) -> Any:
        return _core.without_metadata(read_picture(path, max_pixels=MAX_PIXELS))

    for path in sorted((shared / folder).iterdir()):
        image, left = outcome(facedex.decode, path), outcome(strip, path)
        if isinstance(image, ImageError):
            assert type(left) is type(image), path.name
            continue
        assert np.array_equal(facedex.decode(left[0]), image), path.name
        assert left[2] == image.shape[1::-1]
        kept += 1
    assert kept >= 10


def test_a_thumbnail_shows_mainly_the_face(engine: Engine) -> None:
    (one,) = engine.analyze(AYU[0])
    x1, y1, x2, y2 = (float(value) for value in one.bbox)
    data, (width, height) = _core.thumbnail(AYU[0], (x1, y1, x2, y2))
    assert data[:2] == b"\xff\xd8"
    assert width == height == min(224, round(2 * max(x2 - x1, y2 - y1)))
    (again,) = engine.analyze(data)
    assert again.embedding is not None
    assert one.embedding is not None
    assert float(again.embedding @ one.embedding) > engine.threshold
    middle = (again.bbox[:2] + again.bbox[2:]) / 2
    assert np.abs(middle - width / 2).max() < 0.1 * width
    faces = engine.analyze(people.GROUP)
    for face in faces:
        shown = engine.analyze(_core.thumbnail(people.GROUP, bbox_of(face.bbox))[0])
        assert 1 <= len(shown) < len(faces)
    whole, size = _core.thumbnail(people.GROUP)
    assert max(size) == 224
    assert len(whole) < 32_000
    with pytest.raises(ArgumentError, match="bbox"):
        _core.thumbnail(AYU[0], (0, 0, float("nan"), 1))
    with pytest.raises(ImageError):
        _core.thumbnail(AYU[0], max_pixels=100)


def test_only_the_start_of_a_picture_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"no picture" * 100)
    assert _core.load(AYU[0]) == Path(AYU[0]).read_bytes()
    with pytest.raises(ImageError, match="unknown format"):
        _core.load(tmp_path / "a.txt")
    with pytest.raises(ImageError, match="cannot read"):
        _core.load(tmp_path / "none.jpg")


@pytest.mark.parametrize(
    ("given", "name"),
    [("a/b/c.jpg", "c.jpg"), (Path("ö.png"), "ö.png"), (b"a/b.jpg", None), ("a\udcff.jpg", None), ("x" * 256, None)],
)
def test_the_file_name_is_the_last_part_of_a_path(given: Any, name: str | None) -> None:
    assert filename_of(given) == name


# In the gallery.


@KEYS
def test_the_photo_of_each_accepted_picture_is_stored(place: Place, engine: Engine, key: bytes | None) -> None:
    with Gallery.open(place.location, engine=engine, photos="original", key=key) as gallery:
        given: list[ImageInput] = [AYU[0], people.GROUP, Path(AYU[1]).read_bytes()]
        registered = gallery.register("ayu", given)
        assert [face.source for face in registered.faces] == [0, 2]
        photos = gallery.photos("ayu")
        assert [(photo.filename, photo.faces) for photo in photos] == [
            (Path(AYU[0]).name, (registered.faces[0].face_id,)),
            (None, (registered.faces[1].face_id,)),
        ]
        for photo, picture in zip(photos, (AYU[0], AYU[1]), strict=True):
            data = gallery.photo_bytes(photo.photo_id)
            assert same(data, picture)
            assert facedex.decode(data).shape[1::-1] == (photo.width, photo.height)
            assert (photo.person_id, photo.rendition, photo.media_type) == ("ayu", "original", "image/jpeg")
            assert gallery.photo(photo.photo_id) == photo
        assert [face.photo_id for face in gallery.person("ayu").faces] == [photo.photo_id for photo in photos]
        assert gallery.recognize(people.PROBES["ayu"][0])[0].person_id == "ayu"
    stored = place.rows("SELECT content FROM photos ORDER BY id")
    assert (bytes(stored[0][0])[:2] == b"\xff\xd8") is (key is None)


def test_photos_are_not_stored_by_default(place: Place, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine) as gallery:
        gallery.register("ayu", AYU[0])
        assert gallery.photos("ayu") == []
        with pytest.raises(ArgumentError, match="rendition must be 'thumbnail' or 'original', got 'none'"):
            gallery.add_photo("ayu", AYU[0])
        added = gallery.add_photo("ayu", AYU[0], rendition="thumbnail", filename="x.jpg")
        assert (added.filename, added.width, added.height, added.faces) == ("x.jpg", 224, 168, ())
    with pytest.raises(ArgumentError, match="photos must be one of"):
        Gallery.open(place.location, engine=engine, photos="all")  # type: ignore[arg-type]


def test_thumbnails_are_small_and_one_per_face(place: Place, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine, photos="thumbnail") as gallery:
        registered = gallery.register("ayu", list(AYU))
        photos = gallery.photos("ayu")
        assert [photo.faces for photo in photos] == [(face.face_id,) for face in registered.faces]
        for photo in photos:
            data = gallery.photo_bytes(photo.photo_id)
            assert facedex.decode(data).shape == (photo.height, photo.width, 3)
            assert max(photo.width, photo.height) <= 224
            assert (photo.rendition, photo.media_type) == ("thumbnail", "image/jpeg")
        with pytest.raises(RegistrationError, match="no original photo of 'ayu' is kept"):
            gallery.rebuild_person("ayu")


def test_many_people_have_their_own_photos(place: Place, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine, photos="original") as gallery:
        gallery.register_many([("ayu", AYU[0]), ("group", people.GROUP), ("budi", list(BUDI))])
        for person_id, pictures in (("ayu", AYU[:1]), ("budi", BUDI)):
            kept = [gallery.photo_bytes(photo.photo_id) for photo in gallery.photos(person_id)]
            assert len(kept) == len(pictures)
            assert all(same(data, picture) for data, picture in zip(kept, pictures, strict=True))
        with pytest.raises(UnknownPersonError):
            gallery.photos("group")


@SQLITE
def test_the_stored_photo_is_the_analyzed_picture(place: Place, engine: Engine, tmp_path: Path) -> None:
    """A camera that writes its one file again and again must not put another person's photo in the gallery."""
    latest = tmp_path / "latest.jpg"
    latest.write_bytes(Path(AYU[0]).read_bytes())

    class Camera(Engine):
        def __init__(self) -> None:
            self.__dict__ = engine.__dict__

        def analyze(self, image: Any, **asked: Any) -> Any:
            analysis = super().analyze(image, **asked)
            latest.write_bytes(Path(BUDI[0]).read_bytes())
            return analysis

    with Gallery.open(place.location, engine=Camera(), photos="original") as gallery:
        gallery.register("ayu", latest)
        (photo,) = gallery.photos("ayu")
        assert photo.filename == "latest.jpg"
        assert same(gallery.photo_bytes(photo.photo_id), AYU[0])


def test_a_person_without_a_face(place: Place, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine) as gallery:
        created = gallery.create(7, name="Tujuh", email="t@example.org", info={"a": [1]})
        assert created == gallery.person("7")
        assert (created.person_id, created.name, created.info, created.faces) == (7, "Tujuh", {"a": [1]}, ())
        with pytest.raises(DuplicatePersonError, match="somebody is registered as '7'"):
            gallery.create("7")
        gallery.register(7, AYU[0], on_existing="add")
        assert gallery.recognize(people.PROBES["ayu"][0])[0].person_id == 7
        with pytest.raises(ArgumentError, match="info must be a dict"):
            gallery.create("8", info="text")  # type: ignore[arg-type]
        assert [event.kind for event in gallery.audit()] == ["create", "add"]
        gallery.delete(7)
        assert gallery.check_audit().intact


# Taken out again.


def test_a_deletion_removes_the_photos(place: Place, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine, photos="original") as gallery:
        gallery.register("budi", BUDI[0])
        registered = gallery.register("ayu", list(AYU))
        gallery.add_photo("ayu", people.GROUP)
        one = gallery.delete_face(registered.faces[0].face_id)
        assert (one.templates, one.photos) == (1, 1)
        assert counts(place) == [4, 3, 3]
        receipt = gallery.delete("ayu")
        assert (receipt.templates, receipt.photos) == (2, 3)
        assert receipt.digest == receipt.computed_digest()
        assert counts(place) == [1, 1, 1]
        assert same(gallery.photo_bytes(gallery.photos("budi")[0].photo_id), BUDI[0])


def test_deleting_a_photo_deletes_its_faces(place: Place, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine, photos="original") as gallery:
        registered = gallery.register("ayu", list(AYU[:2]))
        first, second = gallery.photos("ayu")
        receipt = gallery.delete_photo(first.photo_id)
        assert (receipt.faces, receipt.templates, receipt.photos) == ((registered.faces[0].face_id,), 1, 1)
        assert (receipt.person_removed, receipt.wiped) == (False, place.kind == "sqlite")
        assert receipt.digest == receipt.computed_digest()
        assert gallery.photos("ayu") == [second]
        assert [face.photo_id for face in gallery.person("ayu").faces] == [second.photo_id]
        assert gallery.status().faces == 1
        for gone in (first.photo_id, 10**9):
            with pytest.raises(UnknownPhotoError) as unknown:
                gallery.delete_photo(gone)
            assert unknown.value.photo_id == gone
            with pytest.raises(UnknownPhotoError):
                gallery.photo_bytes(gone)
            with pytest.raises(UnknownPhotoError):
                gallery.photo(gone)
        gallery.delete_photo(second.photo_id)
        assert gallery.person("ayu").faces == ()
        third = gallery.add_photo("ayu", AYU[2])
        assert third.photo_id > second.photo_id
        kinds = [event.kind for event in gallery.audit() if event.kind != "threshold"]
        assert kinds == ["register", "delete_photo", "delete_photo", "add_photo"]
        assert gallery.check_audit().intact


def test_replaced_and_displaced_faces_lose_their_photos(place: Place, engine: Engine) -> None:
    enrolment = Enrolment(max_faces=2, when_full="oldest")
    with Gallery.open(place.location, engine=engine, photos="original", enrolment=enrolment) as gallery:
        gallery.register("ayu", list(AYU[:2]))
        gallery.register("ayu", AYU[2], on_existing="add")
        assert [photo.filename for photo in gallery.photos("ayu")] == [Path(name).name for name in AYU[1:3]]
        gallery.register("ayu", AYU[0], on_existing="replace")
        assert [photo.filename for photo in gallery.photos("ayu")] == [Path(AYU[0]).name]
        assert counts(place) == [1, 1, 1]


def test_ids_of_photos_are_never_used_again(place: Place, engine: Engine) -> None:
    seen: list[int] = []
    for _ in range(3):
        with Gallery.open(place.location, engine=engine, photos="thumbnail") as gallery:
            gallery.register("ayu", AYU[0])
            seen += [photo.photo_id for photo in gallery.photos("ayu")]
            gallery.delete("ayu")
    assert seen == sorted(set(seen))
    assert counts(place) == [0, 0, 0]


# One transaction.


def unit(number: int) -> NDArray[np.float32]:
    vector = np.random.default_rng(number).normal(size=PIN.dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def face(number: int, photo: NewPhoto | int | None = None) -> NewFace:
    return NewFace((0, 0, 1, 1), 1.0, unit(number), photo)


def photo_of(content: bytes, rendition: str = "original") -> NewPhoto:
    return NewPhoto(rendition, "image/png", 1, 1, None, content)


def opened(place: Place, name: str = "default", key: bytes | None = None) -> Store:
    feed = Feed(Database(place.location), name)
    feed.bind(PIN, key)
    return Store(feed)


def test_a_photo_that_cannot_be_stored_leaves_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(place)
    monkeypatch.setattr(store_photos, "LARGEST", 1000)
    with pytest.raises(PhotoTooLargeError) as refused:
        store.register("ayu", [face(1, photo_of(b"1" * 1000)), face(2, photo_of(b"2" * 1001))])
    assert (refused.value.measured, refused.value.limit) == (1001, 1000)
    assert counts(place) == [0, 0, 0]
    with pytest.raises(UnknownPersonError):
        store.add_photo("ayu", photo_of(b"1"))
    store.register("ayu", [face(1, photo_of(b"1" * 1000))])
    assert counts(place) == [1, 1, 1]

    def refuse() -> None:
        raise DuplicateFaceError("somebody else")

    with pytest.raises(DuplicateFaceError):
        store.register("ayu", [face(2, photo_of(b"2"))], on_existing="replace", check=refuse)
    (kept,) = store.photos("ayu")
    assert store.photo_bytes(kept.photo_id) == b"1" * 1000
    with pytest.raises(DuplicateFaceError):
        store.rebuild("ayu", [kept.photo_id], [face(3, kept.photo_id)], check=refuse)
    assert store.photos("ayu") == [kept]
    assert counts(place) == [1, 1, 1]
    store.feed.database.close()


def test_a_single_large_picture_is_refused(place: Place, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_photos, "LARGEST", 1000)
    with Gallery.open(place.location, engine=engine, photos="original") as gallery:
        with pytest.raises(PhotoTooLargeError, match="at most 1000 are kept"):
            gallery.register("ayu", AYU[0])
        with pytest.raises(RegistrationError, match="at most 1000 are kept"):
            gallery.register("ayu", list(AYU))
        assert gallery.people() == []
        gallery.create("ayu")
        with pytest.raises(PhotoTooLargeError):
            gallery.add_photo("ayu", AYU[0])
    assert counts(place) == [0, 0, 0]


@MYSQL
def test_photos_that_the_server_cannot_store_are_refused_by_name(place: Place) -> None:
    limit = place.rows("SELECT @@max_allowed_packet")[0][0] // 2
    store = opened(place)
    store.create("ayu", {})
    for content in (bytes(limit // 2), bytes([1]) * limit):  # a zero is sent as two bytes
        assert len(content) < store_photos.LARGEST
        with pytest.raises(PhotoTooLargeError, match="max_allowed_packet") as refused:
            store.add_photo("ayu", photo_of(content))
        assert (refused.value.measured, refused.value.limit) == (len(content), limit)
    for content in (bytes(limit // 2 - 4096), bytes([200]) * (limit - 8192)):
        kept = store.add_photo("ayu", photo_of(content))
        assert store.photo_bytes(kept.photo_id) == content
    assert counts(place)[0] == 2
    store.feed.database.close()


@pytest.mark.parametrize("place", ["sqlite", "postgresql"], indirect=True)
def test_a_photo_of_the_maximum_size_is_stored(place: Place) -> None:
    content = np.random.default_rng(1).bytes(32 << 20)
    store = opened(place)
    store.register("ayu", [face(1, photo_of(content))])
    assert store.photo_bytes(store.photos("ayu")[0].photo_id) == content
    store.feed.database.close()


# Built anew.


def test_a_person_is_rebuilt_from_the_stored_photos(place: Place, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine, photos="original") as gallery:
        gallery.register("budi", BUDI[0])
        budi = gallery.person("budi")
        registered = gallery.register("ayu", AYU[0])
        gallery.add_photo("ayu", people.GROUP, filename="all.jpg")
        gallery.add_photo("ayu", AYU[1])
        photos = [photo.photo_id for photo in gallery.photos("ayu")]
        rebuilt = gallery.rebuild_person("ayu")
        assert [face.source for face in rebuilt.faces] == [0, 2]
        assert rebuilt.replaced == (registered.faces[0].face_id,)
        assert [(rejection.source, rejection.text) for rejection in rebuilt.rejected] == [(1, "all.jpg")]
        assert "5 faces" in str(rebuilt.rejected[0].error)
        assert [photo.photo_id for photo in gallery.photos("ayu")] == photos
        assert [photo.faces for photo in gallery.photos("ayu")] == [
            (rebuilt.faces[0].face_id,),
            (),
            (rebuilt.faces[1].face_id,),
        ]
        assert gallery.person("budi") == budi
        assert gallery.recognize(people.PROBES["ayu"][0])[0].person_id == "ayu"
        assert gallery.recognize(people.PROBES["budi"][0])[0].person_id == "budi"
        kinds = [event.kind for event in gallery.audit() if event.kind != "threshold"]
        assert kinds == ["register", "register", "add_photo", "add_photo", "rebuild"]
        assert gallery.check_audit().intact
        faces = gallery.person("ayu").faces
        gallery.delete_photo(photos[0])
        gallery.delete_photo(photos[2])
        with pytest.raises(RegistrationError) as refused:
            gallery.rebuild_person("ayu")
        assert [rejection.text for rejection in refused.value.rejected] == ["all.jpg"]
        assert len(faces) == 2
        with pytest.raises(UnknownPersonError):
            gallery.rebuild_person("nobody")


def test_faces_without_a_photo_stay_when_a_person_is_rebuilt(place: Place, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine) as gallery:
        first = gallery.register("ayu", AYU[0]).faces[0].face_id
        gallery.add_photo("ayu", AYU[1], rendition="original")
        rebuilt = gallery.rebuild_person("ayu")
        assert rebuilt.replaced == ()
        assert [face.face_id for face in gallery.person("ayu").faces] == [first, rebuilt.faces[0].face_id]


def test_a_photo_deleted_during_a_rebuild_stops_it(place: Place) -> None:
    store = opened(place)
    store.register("ayu", [face(1, photo_of(b"1"))])
    store.register("budi", [face(2, photo_of(b"2"))])
    (mine,), (other,) = store.photos("ayu"), store.photos("budi")
    for wrong in (other.photo_id, 10**9):
        with pytest.raises(UnknownPhotoError):
            store.rebuild("ayu", [mine.photo_id, wrong], [face(3, mine.photo_id)])
    assert store.photos("ayu") == [mine]
    store.feed.database.close()


# For a migration.


@KEYS
def test_the_originals_of_faces_are_returned(place: Place, key: bytes | None) -> None:
    store = opened(place, key=key)
    kept = store.register("ayu", [face(1, photo_of(b"one")), face(2), face(3, photo_of(b"small", "thumbnail"))])
    first, second, third = (face_id for face_id in kept.face_ids if face_id is not None)
    photo_id = store.photos("ayu")[0].photo_id
    more = store.register("ayu", [face(4, photo_id)], on_existing="add").face_ids[0]
    assert more is not None
    assert store.originals([first, second, third, more, 10**9]) == {first: b"one", more: b"one"}
    assert store.originals([]) == {}
    elsewhere = opened(place, "elsewhere")
    assert elsewhere.originals([first]) == {}
    with pytest.raises(UnknownPhotoError):
        elsewhere.photo_bytes(photo_id)
    elsewhere.feed.database.close()
    store.delete_face(first)
    assert [photo.faces for photo in store.photos("ayu")] == [(more,), (third,)]
    budi = store.register("budi", [face(5, photo_of(b"two"))]).face_ids[0]
    assert budi is not None
    changed(place, "UPDATE faces SET photo_id = :photo WHERE id = :face", photo=photo_id, face=budi)
    with pytest.raises(PhotoIntegrityError, match="another person's"):
        store.originals([budi])
    assert [photo.faces for photo in store.photos("ayu")] == [(more,), (third,)]
    store.feed.database.close()


# Under a key, and damaged.


def content_of(place: Place, photo_id: int) -> tuple[bytes, int]:
    ((content, checksum),) = place.rows(f"SELECT content, checksum FROM photos WHERE id = {photo_id}")
    return bytes(content), checksum


def put(place: Place, photo_id: int, content: bytes) -> None:
    """Write content with a correct checksum, as an attacker with write access can."""
    ((row,),) = place.rows(f"SELECT person_row FROM photos WHERE id = {photo_id}")
    check = store_photos.photo_checksum(photo_id, row, content)
    query = "UPDATE photos SET content = :content, checksum = :check WHERE id = :id"
    changed(place, query, content=content, check=check, id=photo_id)


def test_edited_or_exchanged_photos_are_refused(place: Place) -> None:
    store = opened(place, key=KEY)
    store.register("ayu", [face(1, photo_of(b"first photo")), face(2, photo_of(b"second photo"))])
    store.register("budi", [face(3, photo_of(b"other photo"))])
    first, second = (photo.photo_id for photo in store.photos("ayu"))
    other = store.photos("budi")[0].photo_id
    stored = {number: content_of(place, number)[0] for number in (first, second, other)}
    assert not any(b"photo" in content for content in stored.values())
    edited = bytearray(stored[first])
    edited[20] ^= 1
    for content in (stored[second], stored[other], bytes(edited), stored[first][:-1], b"first photo", b""):
        put(place, first, content)
        with pytest.raises(PhotoIntegrityError) as refused:
            store.photo_bytes(first)
        assert refused.value.photo_id == first
        with pytest.raises(PhotoIntegrityError):
            store.originals([store.photo(first).faces[0]])
        assert store.photo_bytes(other) == b"other photo"
    put(place, first, stored[first])
    assert store.photo_bytes(first) == b"first photo"
    store.feed.database.close()


@KEYS
def test_a_flipped_bit_is_detected(place: Place, key: bytes | None) -> None:
    store = opened(place, key=key)
    store.register("ayu", [face(1, photo_of(bytes(range(100))))])
    (photo,) = store.photos("ayu")
    content, checksum = content_of(place, photo.photo_id)
    for bit in range(0, 8 * len(content), 37):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        changed(place, "UPDATE photos SET content = :content", content=bytes(flipped))
        with pytest.raises(PhotoIntegrityError):
            store.photo_bytes(photo.photo_id)
    changed(place, "UPDATE photos SET content = :content, checksum = :sum", content=content, sum=checksum ^ 4)
    with pytest.raises(PhotoIntegrityError):
        store.photo_bytes(photo.photo_id)
    store.feed.database.close()


def test_a_new_key_applies_to_photos_too(place: Place, engine: Engine) -> None:
    data = Path(AYU[0]).read_bytes()
    trace = data[len(data) // 2 :][:64]

    def plain() -> bool:
        return any(trace in bytes(content) for (content,) in place.rows("SELECT content FROM photos"))

    with Gallery.open(place.location, engine=engine, photos="original") as gallery:
        gallery.register("ayu", data)
        gallery.add_photo("ayu", AYU[1])
        numbers = [photo.photo_id for photo in gallery.photos("ayu")]
        before = [gallery.photo_bytes(number) for number in numbers]
        assert plain()
        for key in (KEY, OTHER, None):
            old = [content_of(place, number)[0] for number in numbers]
            gallery.rekey(key)
            assert plain() is (key is None)
            assert ([content_of(place, number)[0] for number in numbers] == old) is (key == OTHER)
            assert [gallery.photo_bytes(number) for number in numbers] == before
            assert fsck(place.location, key=key).ok
        changed(place, "UPDATE photos SET checksum = checksum + 1 WHERE id = :id", id=numbers[1])
        with pytest.raises(PhotoIntegrityError):
            gallery.rekey(KEY)
        assert plain()
        assert gallery.photo_bytes(numbers[0]) == before[0]


@KEYS
def test_fsck_reports_and_removes_damaged_photos(place: Place, engine: Engine, key: bytes | None) -> None:
    with Gallery.open(place.location, engine=engine, photos="original", key=key) as gallery:
        gallery.register("ayu", list(AYU))
        gallery.register("budi", BUDI[0])
        first, second, third = (photo.photo_id for photo in gallery.photos("ayu"))
        ayu, (budi,) = gallery.person("ayu").faces, gallery.person("budi").faces
    assert fsck(place.location, key=key).ok
    if key is None:
        changed(place, "UPDATE photos SET content = :content WHERE id = :id", content=b"x", id=first)
    else:
        put(place, first, content_of(place, second)[0])
    changed(place, "DELETE FROM photos WHERE id = :id", id=second)
    changed(place, "UPDATE faces SET photo_id = :photo WHERE id = :face", photo=third, face=budi.face_id)
    expected = {
        ("photo", f"photo {first} of 'ayu' is not what was stored"),
        ("photo", f"face {ayu[1].face_id} refers to photo {second}, which is missing"),
        ("photo", f"face {budi.face_id} refers to photo {third}, which is another person's"),
    }
    report = fsck(place.location, key=key)
    assert {(finding.where, finding.text) for finding in report.findings} == expected
    assert not report.ok
    report = fsck(place.location, key=key, repair=True)
    assert {(finding.where, finding.text) for finding in report.findings} == expected
    assert report.ok
    assert fsck(place.location, key=key).findings == ()
    with Gallery.open(place.location, engine=engine, key=key) as gallery:
        assert [photo.photo_id for photo in gallery.photos("ayu")] == [third]
        assert [face.photo_id for face in gallery.person("ayu").faces] == [None, None, third]
        assert len(gallery.photos("budi")) == 1
        for person_id in ("ayu", "budi"):
            assert gallery.recognize(people.PROBES[person_id][0])[0].person_id == person_id


# The other ways in.


@SQLITE
def test_coroutines_do_the_same(place: Place, engine: Engine) -> None:
    async def run() -> None:
        async with await Gallery.aopen(place.location, engine=engine, photos="thumbnail") as gallery:
            await gallery.acreate("ayu")
            added = await gallery.aadd_photo("ayu", AYU[0], rendition="original")
            assert await gallery.aphotos("ayu") == [added] == [await gallery.aphoto(added.photo_id)]
            assert same(await gallery.aphoto_bytes(added.photo_id), AYU[0])
            assert len((await gallery.arebuild_person("ayu")).faces) == 1
            assert (await gallery.adelete_photo(added.photo_id)).photos == 1

    asyncio.run(run())


@SQLITE
def test_the_audit_contains_no_picture_and_no_file_name(place: Place, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine, photos="original") as gallery:
        gallery.register("ayu", AYU[0])
        added = gallery.add_photo("ayu", AYU[1], filename="passport of ayu.jpg")
        gallery.delete_photo(added.photo_id)
        assert [event.facts.get("photos") for event in gallery.audit()] == [None, [added.photo_id], [added.photo_id]]
    said = "".join(content for (content,) in place.rows("SELECT content FROM events"))
    assert "passport" not in said
    assert max(map(len, said.split('"'))) <= 64


def test_errors_keep_their_data_in_another_process() -> None:
    import pickle

    for error in (
        UnknownPhotoError("a", photo_id=3),
        PhotoTooLargeError("b", measured=2, limit=1),
        PhotoIntegrityError("c", photo_id=4),
    ):
        again: FacedexError = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_the_checksum_follows_the_png_specification() -> None:
    left, _, _ = _core.without_metadata(saved(smooth(), "PNG", exif=exif(6)))
    at = left.index(b"eXIf")
    (length,) = struct.unpack(">I", left[at - 4 : at])
    assert struct.unpack(">I", left[at + 4 + length :][:4])[0] == zlib.crc32(left[at : at + 4 + length])
