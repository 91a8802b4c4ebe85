"""Boxes and names on pictures: seen without colours, at every size, wherever the face is."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from facedex import draw, people
from facedex.draw import LEAST_SIDE, Mark, annotate, png
from facedex.errors import ArgumentError, ImageReadError, NotAnImageError
from facedex.results import Analysis, FoundFace, ImageSize, Recognition

Picture = NDArray[np.uint8]


def grey(width: int, height: int) -> Picture:
    return np.full((height, width, 3), 128, dtype=np.uint8)


def changed(before: Picture, after: Image.Image) -> tuple[int, int, int, int]:
    """The box of the pixels that differ: left, top, right, bottom."""
    ys, xs = np.nonzero((np.asarray(after) != before).any(axis=2))
    return int(xs.min()), int(ys.min()), int(xs.max()), int(ys.max())


def luminance_along_top(picture: Image.Image, bbox: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    left, top, right, _ = bbox
    return np.asarray(picture.convert("L"))[top, left : right + 1]


def test_the_input_picture_is_not_changed() -> None:
    image = grey(640, 480)
    drawn = annotate(image, [Mark((100, 100, 300, 300), "Ayu", True)])
    assert (image == 128).all()
    assert drawn.mode == "RGB"
    assert drawn.size == (640, 480)


def test_known_and_unknown_differ_without_colour() -> None:
    bbox = (100, 100, 500, 400)
    known = luminance_along_top(annotate(grey(640, 480), [Mark(bbox, "", True)]), bbox)
    unknown = luminance_along_top(annotate(grey(640, 480), [Mark(bbox, "", False)]), bbox)
    assert len(set(known.tolist())) == 1
    changes = np.count_nonzero(np.diff(unknown.astype(int)))
    assert changes >= 10
    assert int(unknown.max()) - int(unknown.min()) > 100


def test_the_plates_differ_without_colour() -> None:
    def ground(known: bool) -> int:
        image = grey(640, 480)
        without = np.asarray(annotate(image, [Mark((100, 200, 500, 400), "", known)]))
        with_label = annotate(image, [Mark((100, 200, 500, 400), "name", known)])
        left, top, right, bottom = changed(without, with_label)
        plate = np.asarray(with_label.convert("L"))[top : bottom + 1, left : right + 1]
        return int(np.median(plate))

    assert ground(False) - ground(True) > 100


@pytest.mark.parametrize(("width", "height"), [(400, 300), (1280, 720), (3000, 4000), (6000, 4000)])
def test_names_grow_with_the_picture(width: int, height: int) -> None:
    image = grey(width, height)
    bbox = (width * 0.3, height * 0.4, width * 0.5, height * 0.8)
    without = np.asarray(annotate(image, [Mark(bbox, "", True)]))
    _, top, _, bottom = changed(without, annotate(image, [Mark(bbox, "Ayu", True)]))
    assert 0.02 <= (bottom - top) / max(width, height) <= 0.08
    assert bottom - top >= 12


def test_a_small_picture_is_enlarged_by_a_whole_factor() -> None:
    drawn = annotate(grey(80, 100), [Mark((10, 10, 60, 80), "unknown 0.84", False)])
    assert max(drawn.size) >= LEAST_SIDE
    assert drawn.size == (320, 400)
    left, _, right, bottom = changed(np.asarray(annotate(grey(80, 100), [])), drawn)
    assert (left, right, bottom) == pytest.approx((40, 240, 320), abs=4)


def test_a_large_picture_is_reduced_where_asked() -> None:
    image = grey(2000, 1000)
    drawn = annotate(image, [Mark((1000, 500, 1500, 900), "", True)], longest_side=500)
    assert drawn.size == (500, 250)
    assert changed(np.asarray(annotate(image, [], longest_side=500)), drawn) == pytest.approx(
        (250, 125, 375, 225), abs=4
    )


@pytest.mark.parametrize("size", [(1, 1), (1, 30_000), (30_000, 1), (2, 3)])
def test_any_shape_of_picture_can_be_drawn_on(size: tuple[int, int]) -> None:
    marks = [Mark((0, 0, 1, 1), "unknown 0.84", False), Mark((0, 0, *size), "somebody", True)]
    drawn = annotate(grey(*size), marks)
    assert drawn.width * size[1] == drawn.height * size[0]


_side = st.floats(-2_000, 2_000)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(_side, _side, _side, _side), max_size=4),
    st.text(max_size=30),
    st.sampled_from([True, False, None]),
)
def test_any_box_and_any_name_can_be_drawn(boxes: list[tuple[float, ...]], label: str, known: bool | None) -> None:
    marks = [Mark((x1, y1, x2, y2), label, known) for x1, y1, x2, y2 in boxes]
    assert annotate(grey(320, 240), marks).size == (320, 240)


def test_a_name_at_the_edge_stays_inside() -> None:
    image = grey(640, 480)
    for bbox in [(0, 0, 60, 60), (600, 0, 640, 40), (590, 430, 640, 480), (0, 440, 40, 480), (0, 0, 640, 480)]:
        bare = np.asarray(annotate(image, [Mark(bbox, "", True)]))
        left, top, right, bottom = changed(bare, annotate(image, [Mark(bbox, "somebody 0.97", True)]))
        assert right - left > 60, bbox
        assert bottom - top > 10, bbox


def test_a_name_covers_no_other_face_and_no_other_name() -> None:
    image = grey(640, 480)
    upper, lower = (200, 60, 320, 200), (200, 206, 320, 360)
    plates = []
    for number, bbox in enumerate((upper, lower)):
        labels = ["", ""]
        labels[number] = "somebody"
        both = annotate(image, [Mark(upper, labels[0], True), Mark(lower, labels[1], True)])
        bare = annotate(image, [Mark(upper, "", True), Mark(lower, "", True)])
        plates.append(changed(np.asarray(bare), both))
        other = lower if bbox is upper else upper
        left, top, right, bottom = plates[-1]
        assert bottom < other[1] or top > other[3] or right < other[0] or left > other[2]
    assert plates[0][3] < plates[1][1]


def labelled(label: str, font: Path | None = None, person_id: str | int | None = None) -> bytes:
    return annotate(grey(640, 480), [Mark((100, 100, 300, 300), label, True, person_id)], font=font).tobytes()


def test_a_word_that_no_font_has_gives_way_to_the_id_or_a_number(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    draw._warn_missing.cache_clear()
    assert labelled("\U0003fffd\n") == labelled("person 1")
    assert labelled("Zoe") != labelled("Zo?")
    monkeypatch.setattr(draw, "FONTS", ())
    assert labelled("Zoë") == labelled("Zoe")
    assert labelled("李小龙 0.93") == labelled("person 1 0.93")
    assert labelled("李小龙 0.93", person_id="bruce") == labelled("bruce 0.93")
    assert labelled("李 小龙", person_id=0) == labelled("0")
    assert labelled("李小龙", person_id="李") == labelled("person 1")
    assert labelled("ayu\u202e\n") == labelled("ayu")
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2  # once a script
    assert "CJK" in said[1]
    assert "fonts-noto-cjk" in said[1]
    assert "font=" in said[1]


def test_a_chosen_font_without_the_letters_draws_the_id() -> None:
    if not draw._letters_of("DejaVuSans.ttf", frozenset("Д")):
        pytest.skip("needs DejaVu Sans: apt-get install fonts-dejavu-core")
    dejavu = Path("DejaVuSans.ttf")
    assert labelled("李小龙", dejavu, "bruce") == labelled("bruce", dejavu)
    assert labelled("Дарья", dejavu, "daria") != labelled("daria", dejavu)


def test_right_to_left_names_are_drawn_joined_and_in_order_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    if not (draw._HAS_RAQM and draw._letters_of("DejaVuSans.ttf", frozenset("ع"))):
        pytest.skip("needs Raqm and a font with Arabic letters: apt-get install fonts-dejavu-core")
    font = draw._system_font("DejaVuSans.ttf")
    assert font is not None
    apart = sum(font.getlength(letter) for letter in "عربي")
    assert font.getlength("عربي") < 0.95 * apart  # joined forms are narrower
    assert labelled("عربي", person_id="arabi") != labelled("arabi")
    monkeypatch.setattr(draw, "_HAS_RAQM", False)
    draw._letters_of.cache_clear()
    assert labelled("عربي", person_id="arabi") == labelled("arabi")
    draw._letters_of.cache_clear()


def test_a_result_draws_the_id_for_a_name_that_no_font_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draw, "FONTS", ())
    picture = people.PROBES["ayu"][0]
    recognition = _recognition(picture)
    named = replace(recognition.faces[0], person_id="bruce", name="李小龙")
    marks = [Mark((10.0, 10.0, 300.0, 300.0), f"bruce {named.similarity:.2f}", True)]
    assert replace(recognition, faces=(named,)).draw().tobytes() == annotate(picture, marks).tobytes()


@pytest.mark.parametrize("name", ["Zoë", "Łukasz", "Дарья", "محمد"])
def test_names_are_drawn_in_a_font_of_the_system_that_has_their_letters(name: str) -> None:
    if not any(draw._letters_of(font, frozenset(name)) >= set(name) for font in draw.FONTS):
        pytest.skip("needs a font such as DejaVu Sans: apt-get install fonts-dejavu-core")
    assert labelled(name) not in (labelled("person 1"), labelled(name[::-1]))


def test_a_font_can_be_chosen(tmp_path: Path) -> None:
    (tmp_path / "no.ttf").write_bytes(b"no font")
    for font in (tmp_path / "no.ttf", tmp_path / "gone.ttf"):
        with pytest.raises(ArgumentError, match="TrueType"):
            labelled("Ayu", font)


def crowd(known: bool | None) -> list[Mark]:
    """Rows of small faces, side by side; the middle one is that of Ayu."""
    places = [(x, y) for y in range(20, 900, 60) for x in range(20, 1230, 50)]
    marks = [Mark((x, y, x + 40, y + 50), "unknown 0.31", known) for x, y in places]
    marks[len(marks) // 2] = Mark(marks[len(marks) // 2].bbox, "Ayu 0.93", True)
    return marks


def test_labels_of_a_crowd_scale_with_the_faces_and_leave_the_known_person_visible() -> None:
    marks, image = crowd(False), grey(1280, 960)
    drawn = np.asarray(annotate(image, marks))
    alone = [mark for mark in marks if mark.known]
    _, top, _, bottom = changed(np.asarray(annotate(image, [Mark(alone[0].bbox, "", True)])), annotate(image, alone))
    assert bottom - top < 22  # of a face that is 50 pixels high
    left, top, right, bottom = changed(np.asarray(annotate(image, [])), annotate(image, alone))
    blue = (drawn[top : bottom + 1, left : right + 1] == (0, 114, 178)).all(axis=2)
    expected = (np.asarray(annotate(image, alone))[top : bottom + 1, left : right + 1] == (0, 114, 178)).all(axis=2)
    assert blue.sum() > 0.9 * expected.sum()
    covered = 0
    for mark in marks:
        x1, y1, x2, y2 = (round(side) for side in mark.bbox)
        covered += int((drawn[y1 + 10 : y2 - 10, x1 + 8 : x2 - 8] != 128).any())
    assert covered <= 1


def test_lines_of_unknown_people_are_thinner_and_can_be_hidden() -> None:
    def drawn(known: bool) -> int:
        return int((np.asarray(annotate(grey(640, 480), [Mark((100, 100, 500, 400), "", known)])) != 128).sum())

    assert drawn(False) < 0.8 * drawn(True)
    recognition = _recognition(people.PROBES["ayu"][0])
    plain = np.asarray(annotate(people.PROBES["ayu"][0], []))
    assert (np.asarray(recognition.draw(unknown=False)) == plain).all()
    assert (np.asarray(recognition.draw()) != plain).any()


def test_labels_can_be_chosen() -> None:
    picture = people.PROBES["ayu"][0]
    marks = [Mark((10.0, 10.0, 300.0, 300.0), "0.93", False)]
    chosen = _recognition(picture).draw(labels=lambda face: f"{face.threshold:.2f}")
    assert chosen.tobytes() == annotate(picture, marks).tobytes()


def test_every_kind_of_picture_is_accepted() -> None:
    path = people.PROBES["ayu"][0]
    data = path.read_bytes()
    marks = [Mark((10, 10, 100, 100), "x", True)]
    expected = annotate(path, marks).tobytes()
    assert annotate(str(path), marks).tobytes() == expected
    assert annotate(data, marks).tobytes() == expected
    assert annotate(io.BytesIO(data), marks).tobytes() == expected
    lossless = Image.fromarray(np.asarray(annotate(path, [])))
    assert annotate(lossless, marks).tobytes() == expected
    assert annotate(np.asarray(lossless), marks).tobytes() == expected


def test_a_rotated_photo_is_drawn_upright(tmp_path: Path) -> None:
    path = tmp_path / "rotated.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to show it upright
    Image.fromarray(grey(640, 480)).save(path, exif=exif)
    assert annotate(path, []).size == (480, 640)


def test_a_value_that_is_not_a_picture_is_refused() -> None:
    with pytest.raises(NotAnImageError):
        annotate(b"no picture at all", [])


def test_png_keeps_every_pixel() -> None:
    drawn = annotate(people.GROUP, [Mark((10, 10, 100, 100), "x", False)])
    again = Image.open(io.BytesIO(png(drawn)))
    assert again.format == "PNG"
    assert again.tobytes() == drawn.tobytes()


def _recognition(source: object) -> Recognition:
    points = ((20.0, 20.0), (30.0, 20.0), (25.0, 25.0), (20.0, 30.0), (30.0, 30.0))
    face = FoundFace((10.0, 10.0, 300.0, 300.0), points, 0.99, None, None, 0.85, 0.93, None, ())
    return Recognition((face,), ImageSize(640, 480), source)  # type: ignore[arg-type]


def test_a_result_shows_its_picture_in_a_notebook() -> None:
    shown = _recognition(people.PROBES["ayu"][0])._repr_png_()
    assert shown is not None
    plain = np.asarray(annotate(people.PROBES["ayu"][0], []))
    left, top, right, bottom = changed(plain, Image.open(io.BytesIO(shown)))
    assert (left, top, right) == pytest.approx((10, 10, 300), abs=4)
    assert 320 < bottom < 345  # the name stands below, because there is no room above


def test_a_result_without_its_picture_shows_no_picture(tmp_path: Path) -> None:
    gone = tmp_path / "gone.jpg"
    assert _recognition(gone)._repr_png_() is None
    assert _recognition(None)._repr_png_() is None
    assert Analysis((), ImageSize(1, 1))._repr_png_() is None
    with pytest.raises(ImageReadError):
        _recognition(None).draw()
