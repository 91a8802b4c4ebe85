"""Numbers out of range, of any size: each is an ArgumentError that names its argument, never a bare OverflowError."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from facedex import Engine, Gallery, people
from facedex._core import Index, decode, load, thumbnail, without_metadata
from facedex.errors import ArgumentError

PACK = "ab" * 32
PICTURE = np.zeros((48, 48, 3), np.uint8)
PROBE = np.array([[1.0, 0.0]], np.float32)
LANDMARKS = np.array([(10, 10), (20, 10), (15, 15), (11, 20), (19, 20)], np.float32)
WORDS = 2**64
"""The core's whole numbers are below."""

Call = Callable[[int], object]


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> dict[str, Call]:
    """Everything that takes a whole number into the core, by the name that its error must tell."""
    index = Index(2, PACK)
    index.add(np.array([1], np.uint64), PROBE)
    path = tmp_path_factory.mktemp("numbers") / "an.index"
    index.save(path, "door", 1)
    return {
        "min_face": lambda n: engine.analyze(PICTURE, min_face=n),
        "min_face of many": lambda n: engine.analyze_many([PICTURE], min_face=n),
        "max_faces": lambda n: engine.analyze(PICTURE, max_faces=n),
        "max_faces of many": lambda n: engine.analyze_many([PICTURE], max_faces=n),
        "threads": lambda n: Engine(threads=n),
        "max_pixels": lambda n: Engine(max_pixels=n),
        "max_pixels of a picture": lambda n: decode(PICTURE, max_pixels=n),
        "max_pixels of bytes": lambda n: without_metadata(PICTURE, max_pixels=n),
        "max_pixels of a thumbnail": lambda n: thumbnail(PICTURE, max_pixels=n),
        "max_pixels of a file": lambda n: load(people.GROUP, max_pixels=n),
        "dimension": lambda n: Index(n, PACK),
        "k": lambda n: index.search(PROBE, n),
        "k of people": lambda n: index.search_people(PROBE, n),
        "faces": lambda n: index.search_people(PROBE, 1, faces=n),
        "n": lambda n: index.sample_recall(n),
        "position": lambda n: index.save(path, "door", n),
        "position in memory": lambda n: index.to_bytes("door", n),
        "resident_bytes": lambda n: Index.load(path, PACK, "door", resident_bytes=n),
    }


class Forty:
    """A whole number that cannot be compared with any other."""

    def __index__(self) -> int:
        return 40


def out_of_range() -> st.SearchStrategy[int]:
    return st.one_of(st.integers(max_value=-1), st.integers(min_value=WORDS))


@given(number=out_of_range())
@example(number=-1)
@example(number=WORDS)
@example(number=10**5000)  # more digits than Python writes
@example(number=-(10**5000))
@settings(max_examples=40)
def test_a_whole_number_that_the_core_cannot_hold_is_refused_by_name(core: dict[str, Call], number: int) -> None:
    for name, call in core.items():
        bound = "at least [01]" if number < 0 else "at most [0-9]+"
        with pytest.raises(ArgumentError, match=rf"^{name.split()[0]} must be {bound}, got ") as refused:
            call(number)
        assert len(str(refused.value)) < 150


def test_the_last_number_that_fits_is_taken_and_the_next_is_not(engine: Engine) -> None:
    assert len(engine.analyze(PICTURE, min_face=2**32 - 1, max_faces=WORDS - 1)) == 0
    with pytest.raises(ArgumentError, match="min_face must be at most 4294967295, got 4294967296"):
        engine.analyze(PICTURE, min_face=2**32)
    with pytest.raises(ArgumentError, match=r"min_face must be at most 4294967295, got an integer of 16610 bits"):
        engine.analyze(PICTURE, min_face=10**5000)
    with pytest.raises(ArgumentError, match="min_face must be at least 1, got -1"):
        engine.analyze(PICTURE, min_face=np.int8(-1))  # type: ignore[arg-type]
    assert len(engine.analyze(PICTURE, min_face=Forty())) == 0  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="argument 'min_face'"):
        engine.analyze(PICTURE, min_face="40")  # type: ignore[arg-type]


def test_what_no_float_holds_is_refused(engine: Engine) -> None:
    for sign in (1, -1):
        with pytest.raises(ArgumentError, match="budget_ms"):
            Index(2, PACK, budget_ms=sign * 10**400)
        with pytest.raises(ArgumentError, match="promised_recall"):
            Index(2, PACK, promised_recall=sign * 10**400)
        with pytest.raises(ArgumentError, match="bbox"):
            engine.liveness_crops(PICTURE, (sign * 10**400, 0, 1, 1))
        with pytest.raises(ArgumentError, match="bbox"):
            engine.attributes_crop(PICTURE, (0, 0, 1, sign * 10**400), LANDMARKS)


@given(key=out_of_range())
@example(key=10**5000)
def test_no_index_has_a_key_that_cannot_be_one(key: int) -> None:
    index = Index(2, PACK)
    index.add(np.array([WORDS - 2], np.uint64), PROBE)
    assert key not in index
    assert WORDS - 2 in index


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Iterator[Gallery]:
    home = tmp_path_factory.mktemp("numbers-gallery")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEDEX_HOME", str(home))
        with Gallery.open(home / "people.db", engine=engine) as gallery:
            gallery.register("ayu", people.PICTURES["ayu"][0])
            yield gallery


@given(number=st.one_of(st.integers(max_value=-(2**63) - 1), st.integers(min_value=2**63)))
@example(number=2**63)
@example(number=WORDS)
@settings(max_examples=25)
def test_a_gallery_refuses_what_its_columns_and_its_search_cannot_hold(gallery: Gallery, number: int) -> None:
    calls: dict[str, Call] = {
        "photo_id": gallery.photo,
        "photo_id of bytes": gallery.photo_bytes,
        "photo_id to delete": gallery.delete_photo,
        "after": lambda n: list(gallery.audit(after=n)),
        "k": lambda n: gallery.recognize(PICTURE, k=n),
        "threshold": lambda n: gallery.recognize(PICTURE, threshold=n),
        "min_face": lambda n: gallery.recognize(PICTURE, min_face=n),
    }
    for name, call in calls.items():
        with pytest.raises(ArgumentError, match=rf"^{name.split()[0]} must be "):
            call(number)


def test_an_id_of_more_digits_than_python_writes_is_refused(gallery: Gallery) -> None:
    for call in (gallery.person, gallery.delete, gallery.photos):
        with pytest.raises(ArgumentError, match="person_id must have at most"):
            call(10**5000)
