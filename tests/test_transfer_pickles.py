"""Pickled encodings: read as values, never executed; imported only when dlib's network made them."""

from __future__ import annotations

import builtins
import collections
import contextlib
import datetime
import os
import pickle
import pickletools
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facedex import packs, people, pickles, transfer
from facedex.engine import Engine
from facedex.errors import (
    ArgumentError,
    FacedexError,
    ForeignTemplatesError,
    ImportFileError,
    TransferError,
    UnsafePickleError,
)
from facedex.gallery import Gallery
from facedex.transfer import encodings
from facedex.transfer.vectors import check_dlib_pack

DLIB_LENGTH = 1.43  # the mean length of what dlib's network gives, before it is brought to 1


@pytest.fixture(scope="session")
def engine() -> Engine:
    """One engine of the pack whose embeddings these tests are about."""
    return Engine("classic")


@pytest.fixture(scope="module")
def templates(engine: Engine) -> dict[str, list[NDArray[np.float64]]]:
    """Encodings of the bundled people as ``face_recognition`` keeps them: float64, of dlib's lengths."""
    found = {}
    for person_id in ("ayu", "budi", "citra"):
        faces = [engine.analyze(picture)[0].embedding for picture in people.PICTURES[person_id]]
        found[person_id] = [np.asarray(face, dtype=np.float64) * DLIB_LENGTH for face in faces if face is not None]
    return found


@pytest.fixture
def gallery(tmp_path: Path, engine: Engine) -> Iterator[Gallery]:
    with Gallery.open(tmp_path / "people.db", engine=engine) as gallery:
        yield gallery


def same(left: Any, right: Any) -> bool:
    """Whether a value that was read is the one that was pickled; sets are read as lists."""
    if isinstance(left, np.ndarray):
        return isinstance(right, np.ndarray) and left.dtype == right.dtype and np.array_equal(left, right)
    if isinstance(right, (set, frozenset)):
        return isinstance(left, list) and set(left) == right
    if isinstance(right, (list, tuple)):
        return type(left) is type(right) and len(left) == len(right) and all(map(same, left, right))
    if isinstance(right, dict):
        return (
            isinstance(left, dict) and left.keys() == right.keys() and all(same(left[key], right[key]) for key in right)
        )
    return type(left) is type(right) and bool(left == right)


ARRAYS = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
    np.arange(4, dtype=">f8"),
    np.arange(4, dtype=np.float16),
    np.array([True, False]),
    np.array([1, 2, 3], dtype=np.int64),
    np.zeros((0, 128)),
    np.array(2.5),
    np.arange(24.0).reshape(2, 3, 4)[:, ::2],
]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
def test_an_array_is_read_as_it_was_pickled(array: NDArray[Any], protocol: int) -> None:
    both = {"a": [array, array], 7: (array.copy(),)}
    assert same(pickles.read(pickle.dumps(both, protocol), "x"), both)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 200), 1 << 200)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=300)
    | st.frozensets(st.integers(), max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=5) | st.integers() | st.binary(max_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(VALUES, st.sampled_from([2, 3, 4, 5]))
@settings(deadline=None)
def test_plain_values_are_read_as_they_were_pickled(value: Any, protocol: int) -> None:
    assert same(pickles.read(pickle.dumps(value, protocol), "x"), value)


@given(st.binary(max_size=400), st.sampled_from([b"", b"\x80\x02", b"\x80\x04", b"\x80\x05"]))
@settings(deadline=None, max_examples=500)
def test_arbitrary_bytes_raise_only_our_error(data: bytes, before: bytes) -> None:
    with contextlib.suppress(TransferError):
        pickles.read(before + data, "x")


CODES = [code.code.encode("latin-1") for code in pickletools.opcodes]
SEED = pickle.dumps({"ayu": [np.arange(4.0), np.float32(2)], "n": (1, 2.5, None, True, b"x", {1: []})}, 2)


@given(st.lists(st.sampled_from(CODES) | st.binary(max_size=4), max_size=60))
@settings(deadline=None, max_examples=500)
def test_arbitrary_opcodes_raise_only_our_error(parts: list[bytes]) -> None:
    with contextlib.suppress(TransferError):
        pickles.read(b"\x80\x04" + b"".join(parts), "x")


@given(st.integers(0, len(SEED) - 1), st.integers(0, 255), st.booleans())
@settings(deadline=None, max_examples=500)
def test_a_damaged_pickle_raises_only_our_error(place: int, value: int, cut: bool) -> None:
    damaged = bytearray(SEED)
    damaged[place] = value
    with contextlib.suppress(TransferError):
        pickles.read(bytes(damaged[: place if cut else None]), "x")


class Runs:
    """An object whose pickle calls something when it is loaded."""

    def __init__(self, what: Callable[..., Any], *given: Any) -> None:
        self.what, self.given = what, given

    def __reduce__(self) -> tuple[Any, ...]:
        return self.what, self.given


def called(module: str, name: str, given: bytes) -> bytes:
    """A pickle that calls a name with arguments, which are opcodes for a tuple."""
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + given + b"R."


HOSTILE = {
    "os.system": pickle.dumps(Runs(os.system, "touch MARK")),
    "eval": pickle.dumps(Runs(builtins.eval, "open('MARK', 'w')")),
    "exec in a dict": pickle.dumps({"ayu": [Runs(exec, "open('MARK', 'w')")]}, 2),
    "getattr": pickle.dumps(Runs(getattr, "x", "upper")),
    "bytes of any size": called("builtins", "bytes", b"J\xff\xff\xff\x7f\x85"),
    "bytearray": pickle.dumps(bytearray(b"x"), 3),
    "an object": pickle.dumps(Path("x")),
    "a date": pickle.dumps(datetime.datetime(2026, 1, 1)),
    "an ordered dict": pickle.dumps(collections.OrderedDict(a=1)),
    "a defaultdict": pickle.dumps(collections.defaultdict(list)),
    "an array of objects": pickle.dumps(np.array([None, "x"], dtype=object)),
    "an array of texts": pickle.dumps(np.array(["x"])),
    "an array of records": pickle.dumps(np.zeros(2, dtype=[("a", "f4")])),
    "numpy.load": called("numpy", "load", b"X\x01\x00\x00\x00x\x85"),
    "numpy's exec": called("numpy.testing._private.utils", "runstring", b"X\x01\x00\x00\x00x}\x86"),
    "numpy.ndarray of any shape": called("numpy", "ndarray", b"(\x8a\x05\x00\x00\x00\x00\x7ft\x85"),
    "an instance": b"\x80\x02cnumpy\nndarray\n)\x81.",
    "an instance of another": b"\x80\x02(ios\nsystem\n.",
    "a persistent id": b"\x80\x02K\x01Q.",
    "an extension": b"\x80\x02\x82\x01.",
    "state of a list": b"\x80\x02])b.",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_pickle_is_refused_and_no_code_runs(
    data: bytes, tmp_path: Path, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "encodings.pkl"
    path.write_bytes(data)
    with pytest.raises(UnsafePickleError) as refused:
        transfer.import_from(gallery, path)
    assert refused.value.refused
    assert refused.value.refused in str(refused.value)
    assert not (tmp_path / "MARK").exists()
    assert gallery.people() == []


def test_pickle_itself_runs_the_hostile_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(HOSTILE["eval"]).close()
    assert (tmp_path / "MARK").exists()


@pytest.mark.parametrize(
    "refused",
    [pickle.dumps(Runs(os.system, "x")), b"\x80\x02cposix\nsystem\n."],
    ids=["called", "only named"],
)
def test_the_error_names_the_refused_global(refused: bytes) -> None:
    with pytest.raises(UnsafePickleError, match=r"contains posix\.system") as error:
        pickles.read(refused, "x")
    assert error.value.refused == "posix.system"


MEMORY = {
    "a shape larger than its bytes": b"\x80\x02cnumpy._core.numeric\n_frombuffer\n(B\x04\x00\x00\x00abcd"
    b"cnumpy\ndtype\nX\x02\x00\x00\x00f4\x85R(J\xff\xff\xff\x7fJ\xff\xff\xff\x7ftX\x01\x00\x00\x00CtR.",
    "bytes that are not there": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b".",
    "a bytearray that is not there": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".",
    "a memo far away": b"\x80\x02]r\xff\xff\xff\x7f" + b"j\xff\xff\xff\x6f.",
    "a number of many digits": b"\x80\x02\x8b" + struct.pack("<i", 1 << 20) + b"\xff" * (1 << 20) + b".",
    "one text encoded again and again": b"\x80\x02c_codecs\nencode\nq\x00X"
    + struct.pack("<I", 1000)
    + b"a" * 1000
    + b"X\x06\x00\x00\x00latin1\x86q\x01R]"
    + b"h\x00h\x01Ra" * 1000
    + b".",
    "depth": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999,
    "a mark instead of a value": b"\x80\x02(.",
    "something left over": b"\x80\x02KKKK.",
}


@pytest.mark.parametrize("data", MEMORY.values(), ids=MEMORY.keys())
def test_a_bomb_is_refused_before_it_takes_memory(data: bytes) -> None:
    with pytest.raises(ImportFileError):
        pickles.read(data, "x")


def test_a_deeply_nested_pickle_is_read() -> None:
    depth = 100_000
    value = pickles.read(b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b".", "x")
    with pytest.raises(ImportFileError):
        encodings.people_in(value, "x", "ayu")


def test_exponential_references_are_refused() -> None:
    value: Any = [0.0] * 128
    for _ in range(60):
        value = [value, value]
    with pytest.raises(ImportFileError):
        encodings.people_in(pickles.read(pickle.dumps({"ayu": value}), "x"), "x")


def test_too_many_opcodes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "MAX_STEPS", 50)
    with pytest.raises(ImportFileError, match="more than 50 steps"):
        pickles.read(pickle.dumps(list(range(100))), "x")


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path, gallery: Gallery) -> None:
    path = tmp_path / "encodings.pkl"
    with path.open("wb") as file:
        file.write(b"\x80\x04")
        file.truncate(pickles.MAX_BYTES + 1)
    with pytest.raises(ImportFileError, match="the limit for a pickle is 268435456"):
        transfer.import_from(gallery, path)


@pytest.mark.parametrize("protocol", [0, 1])
def test_an_old_protocol_says_what_to_do(protocol: int) -> None:
    with pytest.raises(ImportFileError, match="save it again"):
        pickles.read(pickle.dumps([1], protocol), "x")


# The layouts that are left behind.


Made = Callable[[dict[str, list[NDArray[np.float64]]]], Any]
LAYOUTS: dict[str, Made] = {
    "dict of lists": lambda held: held,
    "dict of arrays": lambda held: {key: np.stack(vectors) for key, vectors in held.items()},
    "dict of lists of numbers": lambda held: {key: [v.tolist() for v in vectors] for key, vectors in held.items()},
    "dict of dicts": lambda held: {key: {"encodings": vectors, "name": key.title()} for key, vectors in held.items()},
    "encodings and names": lambda held: {
        "encodings": [vector for vectors in held.values() for vector in vectors],
        "names": [key for key, vectors in held.items() for _ in vectors],
    },
    "ids and names": lambda held: {
        "known_face_encodings": [vector for vectors in held.values() for vector in vectors],
        "user_ids": [key for key, vectors in held.items() for _ in vectors],
        "names": [key.title() for key, vectors in held.items() for _ in vectors],
    },
    "a pair of lists": lambda held: (
        [vector for vectors in held.values() for vector in vectors],
        [key for key, vectors in held.items() for _ in vectors],
    ),
}


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_people_are_recognised_after_the_import(
    layout: str, protocol: int, templates: dict[str, list[NDArray[np.float64]]], tmp_path: Path, gallery: Gallery
) -> None:
    path = tmp_path / "encodings.pickle"
    path.write_bytes(pickle.dumps(LAYOUTS[layout](templates), protocol))
    done: list[tuple[int, int]] = []
    report = transfer.import_from(gallery, path, progress=lambda *numbers: done.append(numbers))
    assert (report.kind, report.people, report.faces, report.rejected) == ("pickles", 3, 9, ())
    assert done == [(1, 3), (2, 3), (3, 3)]
    for person_id in templates:
        found = gallery.recognize(people.PROBES[person_id][0])[0]
        assert found.person_id == person_id
        assert gallery.person(person_id).name == (
            person_id.title() if layout in ("dict of dicts", "ids and names") else None
        )
    face = gallery.person("ayu").faces[0]
    assert (face.bbox, face.det_score) == ((0.0, 0.0, 0.0, 0.0), 0.0)


def test_a_folder_has_a_file_for_each_user(
    templates: dict[str, list[NDArray[np.float64]]], tmp_path: Path, gallery: Gallery
) -> None:
    folder = tmp_path / "face_data"
    (folder / "citra").mkdir(parents=True)
    (folder / "123.pkl").write_bytes(pickle.dumps(templates["ayu"]))
    (folder / "b.pkl").write_bytes(pickle.dumps({"user_id": 7, "encodings": templates["budi"], "last_updated": "now"}))
    (folder / "citra" / "encodings.pkl").write_bytes(pickle.dumps(np.stack(templates["citra"])))
    (folder / "bad.pkl").write_bytes(HOSTILE["os.system"])
    (folder / "face_server.log").write_text("not a pickle")
    report = transfer.import_from(gallery, folder)
    assert [person.person_id for person in gallery.people()] == ["123", 7, "citra"]
    assert (report.people, report.faces) == (3, 9)
    assert [(Path(rejection.text).name, type(rejection.error)) for rejection in report.rejected] == [
        ("bad.pkl", UnsafePickleError)
    ]
    assert gallery.recognize(people.PROBES["budi"][0])[0].person_id == 7


def test_people_that_are_already_registered(
    templates: dict[str, list[NDArray[np.float64]]], tmp_path: Path, gallery: Gallery
) -> None:
    path = tmp_path / "encodings.pkl"
    path.write_bytes(pickle.dumps(templates))
    gallery.register("ayu", people.PICTURES["ayu"][0], name="Ayu")
    report = transfer.import_from(gallery, path)
    assert (report.people, [rejection.error.code for rejection in report.rejected]) == (2, ["duplicate_person"])
    assert "'ayu'" in report.rejected[0].text
    report = transfer.import_from(gallery, path, on_existing="skip")
    assert (report.people, report.skipped, report.rejected) == (0, ("ayu", "budi", "citra"), ())
    transfer.import_from(gallery, path, on_existing="add")
    assert [len(person.faces) for person in gallery.people()] == [4, 6, 6]
    transfer.import_from(gallery, path, on_existing="replace")
    assert [len(person.faces) for person in gallery.people()] == [3, 3, 3]
    assert gallery.person("ayu").name == "Ayu"
    with pytest.raises(ArgumentError, match="on_existing"):
        transfer.import_from(gallery, path, on_existing="overwrite")  # type: ignore[arg-type]


def stretched(vectors: list[NDArray[np.float64]], length: float) -> list[NDArray[np.float64]]:
    return [vector / np.linalg.norm(vector) * length for vector in vectors]


def test_vectors_of_another_network_are_refused(
    templates: dict[str, list[NDArray[np.float64]]], tmp_path: Path, gallery: Gallery
) -> None:
    path = tmp_path / "encodings.pkl"
    noise = np.random.default_rng(1).normal(size=(5, 128))
    refused: list[tuple[Any, type[FacedexError], str]] = [
        ({"ayu": stretched(templates["ayu"], 1.0)}, ForeignTemplatesError, "length 1.000"),
        ({"ayu": stretched(templates["ayu"], 2.0)}, ForeignTemplatesError, "length 2.000"),
        ({"ayu": stretched(list(noise), 1.4)}, ForeignTemplatesError, "mean direction"),
        ({"ayu": [np.ones(512)]}, ForeignTemplatesError, r"\(512,\)"),
        ({"ayu": [np.full(128, np.nan)]}, ImportFileError, "not finite"),
        ({"ayu": [np.zeros(128)]}, ImportFileError, "all zeros"),
        ({"ayu": [np.zeros(128, dtype=np.int64)]}, ImportFileError, "floating-point"),
        ({"ayu": ["text"]}, ImportFileError, "something else"),
        ({"ayu": []}, ImportFileError, "vectors are needed"),
        ({"ayu": [np.ones(128), np.ones(64)]}, ImportFileError, "several lengths"),
        ({(1, 2): [np.ones(128)]}, ImportFileError, "damaged"),
        ({None: [np.ones(128)]}, ImportFileError, "NoneType"),
        ({"encodings": [np.ones(128)], "names": ["a", "b"]}, ImportFileError, "2 ids for 1"),
    ]
    for value, error, match in refused:
        path.write_bytes(pickle.dumps(value))
        with pytest.raises(error, match=match):
            transfer.import_from(gallery, path)
    assert gallery.people() == []


def test_the_caller_can_name_the_pack(
    templates: dict[str, list[NDArray[np.float64]]], tmp_path: Path, gallery: Gallery
) -> None:
    path = tmp_path / "encodings.pkl"
    path.write_bytes(pickle.dumps({"ayu": stretched(templates["ayu"], 1.0)}))
    with pytest.raises(ForeignTemplatesError, match="'buffalo_l' and the gallery is of pack 'classic'"):
        transfer.import_from(gallery, path, same_pack="buffalo_l")
    assert transfer.import_from(gallery, path, same_pack=gallery.pack.digest).people == 1


def test_dlib_encodings_need_a_pack_with_dlibs_network(engine: Engine) -> None:
    check_dlib_pack(engine.pack)
    others = [packs.state(name).info for name in packs.built_in() if name != "classic"]
    embedding = [info for info in others if info.dimension is not None]
    assert {info.name for info in embedding} >= {"mobile", "buffalo_l", "facenet"}
    for info in embedding:
        with pytest.raises(ForeignTemplatesError, match="import the photos instead"):
            check_dlib_pack(info)


def test_templates_are_checked_before_they_are_stored(
    templates: dict[str, list[NDArray[np.float64]]], gallery: Gallery
) -> None:
    unit = np.stack(stretched(templates["ayu"], 1.0))
    result = gallery.register_templates("ayu", unit, name="Ayu", info={"k": 1})
    assert len(result.faces) == 3
    assert gallery.person("ayu").info == {"k": 1}
    assert gallery.verify("ayu", people.PROBES["ayu"][0]).match
    one = gallery.register_templates("ayu2", unit[0].astype(np.float32))
    assert one.warnings[0].person_id == "ayu"
    for wrong in (unit[:, :64], unit * 1.1, np.full((1, 128), np.nan), np.zeros((0, 128)), unit[None]):
        with pytest.raises(FacedexError) as refused:
            gallery.register_templates("x", wrong)
        assert refused.value.code == "embedding"
    with pytest.raises(ArgumentError, match="floating-point"):
        gallery.register_templates("x", unit.tolist())
    assert [person.person_id for person in gallery.people()] == ["ayu", "ayu2"]
