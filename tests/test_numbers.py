"""Numbers out of range, of any size: each is an ArgumentError that names its argument, never a bare OverflowError."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from place import Place

from facedex import Engine, Enrolment, Gallery, compare, people
from facedex import decode as public_decode
from facedex._core import Index, decode, load, thumbnail, without_metadata
from facedex.checks import abbreviate
from facedex.errors import (
    ArgumentError,
    FacedexError,
    PackNotFoundError,
    UnknownAccountError,
    UnknownFaceError,
    UnknownKeyError,
    UnknownPhotoError,
)
from facedex.server import Access
from facedex.store import Database

PACK = "ab" * 32
PICTURE = np.zeros((48, 48, 3), np.uint8)
PROBE = np.array([[1.0, 0.0]], np.float32)
LANDMARKS = np.array([(10, 10), (20, 10), (15, 15), (11, 20), (19, 20)], np.float32)
WORDS = 2**64
"""The core's whole numbers are below."""

Call = Callable[[int], object]


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> dict[str, Call]:
    """Every integer argument of the core, by the name that its error must contain."""
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
    """An integer that cannot be compared with any other."""

    def __init__(self, sign: int = 1) -> None:
        self.sign = sign

    def __index__(self) -> int:
        return 40 * self.sign


def out_of_range() -> st.SearchStrategy[int]:
    return st.one_of(st.integers(max_value=-1), st.integers(min_value=WORDS))


@given(number=out_of_range())
@example(number=-1)
@example(number=WORDS)
@example(number=10**5000)  # more digits than Python writes
@example(number=-(10**5000))
@settings(max_examples=40)
def test_an_integer_that_the_core_cannot_hold_is_refused_by_name(core: dict[str, Call], number: int) -> None:
    for name, call in core.items():
        bound = "at least [01]" if number < 0 else "at most [0-9]+"
        with pytest.raises(ArgumentError, match=rf"^{name.split()[0]} must be {bound}, got ") as refused:
            call(number)
        assert len(str(refused.value)) < 150


def test_the_largest_valid_number_is_accepted_and_the_next_is_not(engine: Engine) -> None:
    assert len(engine.analyze(PICTURE, min_face=2**32 - 1, max_faces=WORDS - 1)) == 0
    with pytest.raises(ArgumentError, match="min_face must be at most 4294967295, got 4294967296"):
        engine.analyze(PICTURE, min_face=2**32)
    with pytest.raises(ArgumentError, match=r"min_face must be at most 4294967295, got an integer of 16610 bits"):
        engine.analyze(PICTURE, min_face=10**5000)
    with pytest.raises(ArgumentError, match="min_face must be at least 1, got -1"):
        engine.analyze(PICTURE, min_face=np.int8(-1))  # type: ignore[arg-type]
    assert len(engine.analyze(PICTURE, min_face=Forty())) == 0  # type: ignore[arg-type]
    for number, found in ((Forty(-1), "-40"), (np.int64(-40), "-40")):
        with pytest.raises(ArgumentError, match=f"^min_face must be at least 1, got {found}$"):
            engine.analyze(PICTURE, min_face=number)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="min_face must be a whole number"):
        engine.analyze(PICTURE, min_face="40")  # type: ignore[arg-type]


def test_numbers_that_no_float_can_hold_are_refused(engine: Engine) -> None:
    for sign in (1, -1):
        with pytest.raises(ArgumentError, match="budget_ms"):
            Index(2, PACK, budget_ms=sign * 10**400)
        with pytest.raises(ArgumentError, match="promised_recall"):
            Index(2, PACK, promised_recall=sign * 10**400)
        for beyond in (1e39, float("inf"), float("nan")):  # of 32 bits
            with pytest.raises(ArgumentError, match=r"budget_ms must be between -3.4e38 and 3.4e38, got "):
                Index(2, PACK, budget_ms=sign * beyond)
        with pytest.raises(ArgumentError, match="bbox"):
            engine.liveness_crops(PICTURE, (sign * 10**400, 0, 1, 1))
        with pytest.raises(ArgumentError, match="bbox"):
            engine.attributes_crop(PICTURE, (0, 0, 1, sign * 10**400), LANDMARKS)


@given(key=out_of_range())
@example(key=10**5000)
def test_invalid_keys_are_in_no_index(key: int) -> None:
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
def test_a_gallery_refuses_numbers_that_its_columns_and_search_cannot_hold(gallery: Gallery, number: int) -> None:
    calls: dict[str, Call] = {
        "photo_id": gallery.photo,
        "photo_id of bytes": gallery.photo_bytes,
        "photo_id to delete": gallery.delete_photo,
        "face_id": gallery.delete_face,
        "after": lambda n: list(gallery.audit(after=n)),
        "k": lambda n: gallery.recognize(PICTURE, k=n),
        "threshold": lambda n: gallery.recognize(PICTURE, threshold=n),
        "min_face": lambda n: gallery.recognize(PICTURE, min_face=n),
    }
    for name, call in calls.items():
        with pytest.raises(ArgumentError, match=rf"^{name.split()[0]} must be "):
            call(number)


def test_an_id_of_more_digits_than_python_formats_is_refused(gallery: Gallery) -> None:
    for call in (gallery.person, gallery.delete, gallery.photos):
        with pytest.raises(ArgumentError, match="person_id must have at most"):
            call(10**5000)


@pytest.mark.parametrize(
    "wrong", ["7", None, 1e300, 7.5, True, np.True_, [10**5000]], ids=lambda wrong: type(wrong).__name__
)
def test_a_value_that_is_not_an_integer_is_refused_by_name(gallery: Gallery, wrong: Any) -> None:
    calls: dict[str, Callable[[Any], object]] = {
        "photo_id": gallery.photo,
        "photo_id of bytes": gallery.photo_bytes,
        "photo_id to delete": gallery.delete_photo,
        "face_id": gallery.delete_face,
        "after": lambda number: list(gallery.audit(after=number)),
        "k": lambda number: gallery.recognize(PICTURE, k=number),
    }
    for name, call in calls.items():
        with pytest.raises(ArgumentError, match=rf"^{name.split()[0]} must be a whole number .*, got ") as refused:
            call(wrong)
        assert len(str(refused.value)) < 150
    with pytest.raises(UnknownPhotoError):
        gallery.photo(np.int64(7))  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [2**70, -(2**70), 2**63, 10**5000], ids=["2**70", "-2**70", "2**63", "10**5000"])
def test_no_number_is_mistaken_for_damage(place: Place, number: int) -> None:
    """A server may compare a column with any number; no row matches."""
    with contextlib.closing(Access(Database(place.location))) as access:
        calls: dict[Call, type[FacedexError]] = {
            access.keys.revoke: UnknownKeyError,
            access.accounts.one: UnknownAccountError,
        }
        for call, unknown in calls.items():
            taken = (ArgumentError,) if place.kind == "sqlite" else (ArgumentError, unknown)
            with pytest.raises(taken):
                call(number)
        for page in (lambda n: access.accounts.page(after=n), lambda n: access.accounts.page(limit=n)):
            with pytest.raises(ArgumentError, match=r"^(after|limit) must be a whole number "):
                page(number)
        assert access.accounts.page(after=2**63 - 1) == []


def test_no_number_is_mistaken_for_damage_in_a_gallery(place: Place, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine) as gallery:
        store = gallery._resources.store
        for number in (2**63, 2**70, -(2**70), 10**5000):
            for call in (store.people_after, lambda n: store.people_after(limit=n), store.delete_face):
                with pytest.raises(ArgumentError, match=r"^(number|limit|face_id) must be a whole number "):
                    call(number)
        assert store.people_after(2**63 - 1, limit=2**63 - 1) == []
        with pytest.raises(UnknownFaceError):
            store.delete_face(2**63 - 1)


@pytest.mark.parametrize("number", [10**400, -(10**400), 10**5000, -(10**5000)], ids=["400", "-400", "5000", "-5000"])
def test_a_number_of_any_length_is_abbreviated(gallery: Gallery, engine: Engine, number: int) -> None:
    picture = people.PICTURES["ayu"][0]
    calls: dict[str, Call] = {
        "threshold": lambda n: gallery.recognize(PICTURE, threshold=n),
        "threshold of a claim": lambda n: gallery.verify("ayu", PICTURE, threshold=n),
        "threshold of two": lambda n: engine.compare(picture, picture, threshold=n),
        "threshold of two in a call": lambda n: compare(picture, picture, threshold=n),
        "k": lambda n: gallery.recognize(PICTURE, k=n),
        "max_faces": lambda n: Enrolment(max_faces=n),
        "min_quality": lambda n: Enrolment(min_quality=n),
        "min_face_px": lambda n: Enrolment(min_face_px=n),
    }
    sign = "negative " if number < 0 else ""
    for name, call in calls.items():
        with pytest.raises(
            ArgumentError, match=rf"^{name.split()[0]} must be a .*, got a {sign}whole number of (1329|16610) bits$"
        ):
            call(number)


@pytest.mark.parametrize("threshold", ["x", 5, -1.01, float("nan"), None])
def test_compare_accepts_the_thresholds_that_a_gallery_accepts(engine: Engine, threshold: Any) -> None:
    picture = people.PICTURES["ayu"][0]
    if threshold is None:
        assert engine.compare(picture, picture).threshold == engine.decide().threshold
        assert engine.compare(picture, picture, threshold=np.float32(0.5)).threshold == 0.5  # type: ignore[arg-type]
        return
    with pytest.raises(ArgumentError, match=r"^threshold must be a number from -1 to 1, or a rate such as .*, got "):
        engine.compare(picture, picture, threshold=threshold)


@given(
    st.recursive(
        st.one_of(
            st.integers(), st.floats(), st.text(), st.none(), st.none().map(lambda _: 10**5000), st.just("a" * 10**4)
        ),
        st.lists,
    )
)
def test_any_value_is_abbreviated(value: object) -> None:
    assert 0 < len(abbreviate(value)) < 450


def test_short_values_are_shown_as_they_are() -> None:
    for value in (7, -1.5, "seven", None, True, 2**128 - 1, [1, 2]):
        assert abbreviate(value) == repr(value)
    assert abbreviate(2**128) == "a whole number of 129 bits"
    assert abbreviate("a" * 41) == repr("a" * 40) + "... (41 characters)"


@pytest.fixture(scope="module")
def verbs(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Iterator[dict[str, Callable[[Any], object]]]:
    """Every verb with a number or flag, by the name of the argument."""
    picture = people.PICTURES["ayu"][0]
    path = tmp_path_factory.mktemp("verbs") / "people.db"
    with Gallery.open(path, engine=engine) as gallery:
        gallery.register("ayu", picture)
        yield {
            "min_face": lambda n: engine.analyze(picture, min_face=n),
            "min_face of many": lambda n: engine.analyze_many([picture], min_face=n),
            "max_faces": lambda n: engine.analyze(picture, max_faces=n),
            "max_pixels": lambda n: public_decode(PICTURE, max_pixels=n),
            "threads": lambda n: Engine(threads=n),
            "min_face of recognize": lambda n: gallery.recognize(picture, min_face=n),
            "min_face of verify": lambda n: gallery.verify("ayu", picture, min_face=n),
            "min_face of register": lambda n: gallery.register("ayu", picture, on_existing="add", min_face=n),
            "k": lambda n: gallery.recognize(picture, k=n),
            "max_faces of Enrolment": lambda n: Enrolment(max_faces=n),
            "best_of": lambda n: Gallery.open(path, engine=engine, best_of=n).close(),
            "longest_side": lambda n: engine.analyze(picture).draw(longest_side=n * 100),
        }


@pytest.mark.parametrize(
    "number", [2.0, np.float32(2), np.float64(2), np.int64(2), np.uint8(2), np.array(2), Fraction(2)]
)
def test_a_number_counts_for_its_value_whatever_its_type(
    verbs: dict[str, Callable[[Any], object]], number: object
) -> None:
    for call in verbs.values():
        call(number)


@pytest.mark.parametrize(
    "value", [2.5, math.nan, math.inf, np.float32("nan"), "2", b"2", True, np.True_, np.array([2, 3]), object()]
)
def test_what_is_no_whole_number_is_an_argument_error(verbs: dict[str, Callable[[Any], object]], value: Any) -> None:
    for name in verbs.keys() - {"longest_side"}:  # it multiplies
        with pytest.raises(ArgumentError, match=name.split()[0]):
            verbs[name](value)


def test_flags_are_bools_of_python_or_numpy(engine: Engine, tmp_path: Path) -> None:
    picture = people.PICTURES["ayu"][0]
    face = engine.analyze(picture, embed=np.False_, quality=np.True_, liveness=np.True_)[0]  # type: ignore[arg-type]
    assert (face.embedding, face.quality is None, face.liveness is None) == (None, False, False)
    for value in (1, "yes", np.array([True, False]), 1.0):
        wrong: Any = value
        for call in (
            lambda: engine.analyze(picture, embed=wrong),  # noqa: B023
            lambda: engine.analyze_many([picture], quality=wrong),  # noqa: B023
            lambda: engine.analyze(picture, attributes=wrong),  # noqa: B023
            lambda: Enrolment(require_liveness=wrong),  # noqa: B023
        ):
            with pytest.raises(ArgumentError, match="must be True or False"):
                call()


def test_a_time_is_a_datetime_with_a_zone(engine: Engine, tmp_path: Path) -> None:
    picture = people.PICTURES["ayu"][0]
    noon = datetime(2030, 1, 1, 12, tzinfo=timezone.utc)
    naive, extreme = datetime(2030, 1, 1), datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))
    wrong: list[Any] = [naive, extreme, noon.date(), "2030-01-01", 7, np.datetime64("NaT"), NotATime(2030, 1, 1)]
    with Gallery.open(tmp_path / "people.db", engine=engine) as gallery:
        gallery.register("ayu", picture, retain_until=noon)
        for value in wrong:
            for call in (
                lambda value: gallery.register("new", picture, retain_until=value),
                lambda value: gallery.create("new", retain_until=value),
                lambda value: gallery.update("ayu", retain_until=value),
                gallery.purge,
            ):
                with pytest.raises(ArgumentError, match=r"datetime with a time zone|time from year 1"):
                    call(value)
        assert gallery.person("ayu").retain_until == noon
        assert len(gallery.purge(noon + timedelta(hours=1))) == 1


class NotATime(datetime):
    """A datetime that has no time, as pandas' NaT."""

    def utcoffset(self) -> timedelta:
        raise ValueError("NaTType does not support utcoffset")


@pytest.mark.parametrize("value", [7, object(), "a\0b"])
def test_a_pack_is_named_by_a_path(value: Any) -> None:
    with pytest.raises((ArgumentError, PackNotFoundError)):
        Engine(value)
    with pytest.raises(PackNotFoundError):
        Engine(b"no/such.toml")  # type: ignore[arg-type]
