"""Arrays with JSON and flat faiss indexes with .npz: read exactly, checked completely, imported when verified."""

from __future__ import annotations

import contextlib
import json
import pickle
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from facedex import people, transfer
from facedex.engine import Engine
from facedex.errors import ForeignTemplatesError, ImportFileError, TransferError
from facedex.gallery import Gallery
from facedex.transfer import arrays, faiss_file, tables

IDS = ("ayu", "budi", "ayu", "citra")


@pytest.fixture(scope="session")
def engine() -> Engine:
    """One engine of the pack whose embeddings these tests are about."""
    return Engine("classic")


@pytest.fixture(scope="module")
def vectors(engine: Engine) -> NDArray[np.float32]:
    """Embeddings of `IDS`, of lengths that other programs may keep."""
    pictures = [people.PICTURES[person_id][place] for place, person_id in enumerate(IDS[:2])]
    pictures += [people.PICTURES["ayu"][2], people.PICTURES["citra"][0]]
    found = [engine.analyze(picture)[0].embedding for picture in pictures]
    return np.stack([embedding * 3 for embedding in found if embedding is not None]).astype(np.float32)


@pytest.fixture
def gallery(tmp_path: Path, engine: Engine) -> Iterator[Gallery]:
    with Gallery.open(tmp_path / "people.db", engine=engine) as gallery:
        yield gallery


def check_people(gallery: Gallery, report: transfer.ImportReport) -> None:
    assert (report.people, report.faces, report.rejected) == (3, 4, ())
    assert {person.person_id: len(person.faces) for person in gallery.people()} == {"ayu": 2, "budi": 1, "citra": 1}
    for person_id in set(IDS):
        assert gallery.recognize(people.PROBES[person_id][0])[0].person_id == person_id


# face_db.npy and its JSON


JSON: dict[str, Any] = {
    "a list": list(IDS),
    "a list of dicts": [{"id": person_id, "name": person_id.title(), "image": "x.jpg"} for person_id in IDS],
    "a dict of rows": {str(row): person_id for row, person_id in enumerate(IDS)},
    "a dict of rows to dicts": {str(row): {"user_id": person_id} for row, person_id in enumerate(IDS)},
    "a list under a name": {"model": "x", "names": list(IDS)},
}


@pytest.mark.parametrize("layout", JSON)
@pytest.mark.parametrize("dtype", ["<f4", "<f8", ">f4"])
def test_an_array_with_its_json(
    layout: str, dtype: str, vectors: NDArray[np.float32], tmp_path: Path, gallery: Gallery
) -> None:
    np.save(tmp_path / "face_db.npy", vectors.astype(dtype))
    (tmp_path / "face_db.json").write_text(json.dumps(JSON[layout]), "utf-8")
    report = transfer.import_from(gallery, tmp_path / "face_db.npy", same_pack="classic")
    assert report.kind == "array"
    check_people(gallery, report)
    assert gallery.person("ayu").name == ("Ayu" if layout == "a list of dicts" else None)


def test_the_json_may_have_another_name(vectors: NDArray[np.float32], tmp_path: Path, gallery: Gallery) -> None:
    path = tmp_path / "data" / "face_db.npy"
    path.parent.mkdir()
    np.save(path, np.asfortranarray(vectors))
    with pytest.raises(ImportFileError, match="there is none"):
        transfer.import_from(gallery, path, same_pack="classic")
    (path.parent / "names.json").write_text(json.dumps(IDS), "utf-8")
    (tmp_path / "other.json").write_text(json.dumps(IDS[:2]), "utf-8")
    with pytest.raises(ImportFileError, match="2 ids for vectors of shape"):
        transfer.import_from(gallery, path, same_pack="classic", names=tmp_path / "other.json")
    check_people(gallery, transfer.import_from(gallery, path, same_pack="classic"))
    (path.parent / "more.json").write_text("[]", "utf-8")
    with pytest.raises(ImportFileError, match=r"there are more\.json, names\.json"):
        transfer.import_from(gallery, path, same_pack="classic")


@pytest.mark.parametrize("said", [None, "buffalo_l", "0" * 64])
def test_vectors_of_unknown_origin_are_refused(
    said: str | None, vectors: NDArray[np.float32], tmp_path: Path, gallery: Gallery
) -> None:
    np.save(tmp_path / "face_db.npy", vectors)
    (tmp_path / "face_db.json").write_text(json.dumps(IDS), "utf-8")
    with pytest.raises(ForeignTemplatesError, match="import the photos instead"):
        transfer.import_from(gallery, tmp_path / "face_db.npy", same_pack=said)
    assert gallery.people() == []


@pytest.mark.parametrize(
    ("array", "error"),
    [
        (np.ones((4, 512), np.float32), ForeignTemplatesError),
        (np.full((4, 128), np.inf, np.float32), ImportFileError),
        (np.zeros((4, 128), np.float32), ImportFileError),
        (np.ones((4, 128), np.int32), ImportFileError),
        (np.ones((2, 2, 128), np.float32), ImportFileError),
        (np.ones(4, np.float32), ImportFileError),
        (np.float32(1), ImportFileError),
        (np.array([None] * 4), ImportFileError),
        (np.zeros(4, dtype=[("a", "f4")]), ImportFileError),
    ],
    ids=lambda value: f"{value.dtype}{value.shape}" if isinstance(value, (np.ndarray, np.generic)) else None,
)
def test_an_array_of_other_data_is_refused(
    array: NDArray[Any], error: type[Exception], tmp_path: Path, gallery: Gallery
) -> None:
    np.save(tmp_path / "face_db.npy", array, allow_pickle=True)
    (tmp_path / "face_db.json").write_text(json.dumps(IDS), "utf-8")
    with pytest.raises(error):
        transfer.import_from(gallery, tmp_path / "face_db.npy", same_pack="classic")
    assert gallery.people() == []


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1, 2, 3, null]", "[[], [], [], []]", '"ayu"', '{"a": 1}', "[{}, {}, {}, {}]", "[" * 100_000, "\xff"],
)
def test_a_json_of_other_data_is_refused(
    text: str, vectors: NDArray[np.float32], tmp_path: Path, gallery: Gallery
) -> None:
    np.save(tmp_path / "face_db.npy", vectors)
    (tmp_path / "face_db.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ImportFileError):
        transfer.import_from(gallery, tmp_path / "face_db.npy", same_pack="classic")
    assert gallery.people() == []


def npy(header: str, content: bytes = b"") -> bytes:
    text = header.encode("latin-1") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content


@pytest.mark.parametrize(
    "data",
    [
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 128), }"),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 128), }"),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", pickle.dumps([1])),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }", b"x" * 15),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }", b"x" * 17),
        npy("__import__('os').system('x')"),
        b"\x93NUMPY\x09\x00",
        b"\x93NUMPY",
    ],
)
def test_a_hostile_array_is_refused_before_it_takes_memory(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(data)
    with pytest.raises(ImportFileError):
        arrays.map_npy(path)


# faiss


@pytest.fixture(scope="module")
def faiss() -> Any:
    return pytest.importorskip("faiss", reason="needs faiss-cpu, which writes the indexes: pip install faiss-cpu")


def write_index(faiss: Any, kind: str, vectors: NDArray[np.float32], path: Path) -> None:
    metric = faiss.METRIC_L2 if "L2" in kind else faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexFlatL2(vectors.shape[1]) if metric == faiss.METRIC_L2 else faiss.IndexFlatIP(vectors.shape[1])
    if "Map" in kind:
        index = faiss.IndexIDMap2(index) if "Map2" in kind else faiss.IndexIDMap(index)
        index.add_with_ids(vectors, np.array([40, 10, 30, 20][: len(vectors)], dtype=np.int64))
    elif len(vectors):
        index.add(vectors)
    faiss.write_index(index, str(path))


KINDS = ["IP", "L2", "IP Map", "L2 Map", "IP Map2", "L2 Map2"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_flat_index_with_its_npz(
    kind: str, faiss: Any, vectors: NDArray[np.float32], tmp_path: Path, gallery: Gallery
) -> None:
    path = tmp_path / "faces.index"
    write_index(faiss, kind, vectors, path)
    read = faiss_file.read(path)
    assert np.array_equal(read.vectors, vectors)
    held: dict[str, Any] = {"class_ids": np.array(IDS), "names": np.array([name.title() for name in IDS])}
    if "Map" in kind:  # the entries in another order, told by the ids of the index
        order = [3, 1, 0, 2]
        held = {key: array[order] for key, array in held.items()}
        held["image_ids"] = np.array([40, 10, 30, 20])[order]
    np.savez(tmp_path / "meta.npz", **held)
    report = transfer.import_from(gallery, path, same_pack="classic")
    assert report.kind == "faiss"
    check_people(gallery, report)
    assert gallery.person("budi").name == "Budi"


def test_an_npz_may_be_compressed_have_integer_ids_and_be_in_another_folder(
    faiss: Any, vectors: NDArray[np.float32], tmp_path: Path, gallery: Gallery
) -> None:
    path = tmp_path / "faces.index"
    write_index(faiss, "IP Map", vectors, path)
    labels = tmp_path / "elsewhere" / "labels.npz"
    labels.parent.mkdir()
    np.savez_compressed(labels, labels=np.array([1, 2, 1, 3]), names=np.array([b"a", b"b", b"a", b"c"]))
    transfer.import_from(gallery, path, same_pack="classic", names=labels)
    assert [(person.person_id, person.name) for person in gallery.people()] == [(1, "a"), (2, "b"), (3, "c")]


@pytest.mark.parametrize(
    ("held", "match"),
    [
        ({"x": np.array(IDS)}, "no array of ids"),
        ({"ids": np.array(IDS[:3])}, "3 ids"),
        ({"ids": np.array(IDS), "names": np.array(IDS[:2])}, "4 ids and 2 names"),
        ({"ids": np.array([IDS])}, "one axis"),
        ({"ids": np.array([1.5] * 4)}, "whole numbers"),
        ({"class_ids": np.array(IDS), "image_ids": np.array([40, 10, 30, 99])}, "lacks 20"),
        ({"class_ids": np.array(IDS), "image_ids": np.array([40, 10, 30, 30])}, "3 different ids"),
        ({"ids": np.array([None] * 4)}, "only numbers and texts"),
    ],
)
def test_an_npz_that_does_not_fit_is_refused(
    held: dict[str, Any], match: str, faiss: Any, vectors: NDArray[np.float32], tmp_path: Path, gallery: Gallery
) -> None:
    path = tmp_path / "faces.index"
    write_index(faiss, "IP Map", vectors, path)
    np.savez(tmp_path / "faces.npz", **held)
    with pytest.raises(ImportFileError, match=match):
        transfer.import_from(gallery, path, same_pack="classic")
    assert gallery.people() == []


def test_a_zip_bomb_is_refused_by_its_uncompressed_size(
    faiss: Any, vectors: NDArray[np.float32], tmp_path: Path, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "faces.index"
    write_index(faiss, "IP", vectors, path)
    monkeypatch.setattr(arrays, "MAX_BYTES", 1 << 20)
    with zipfile.ZipFile(tmp_path / "faces.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ids.npy", b"\0" * (2 << 20))
    with pytest.raises(ImportFileError, match="the limit is 1048576"):
        transfer.import_from(gallery, path, same_pack="classic")
    with zipfile.ZipFile(tmp_path / "faces.npz", "w") as archive:
        for number in range(100):
            archive.writestr(f"../../{number}", b"x")
    with pytest.raises(ImportFileError, match="100 arrays"):
        transfer.import_from(gallery, path, same_pack="classic")


@pytest.mark.parametrize("description", ["HNSW16", "IVF1,Flat", "SQ8", "PQ4x4", "LSH"])
def test_the_error_for_an_unsupported_index_lists_the_supported_ones(
    description: str, faiss: Any, tmp_path: Path, gallery: Gallery
) -> None:
    index = faiss.index_factory(16, description)
    path = tmp_path / "faces.index"
    if not index.is_trained:
        index.train(np.random.default_rng(1).normal(size=(1000, 16)).astype(np.float32))
    faiss.write_index(index, str(path))
    with pytest.raises(ImportFileError, match="IxFI, IxF2, IxMp, IxM2"):
        transfer.import_from(gallery, path, kind="faiss", same_pack="classic")


@pytest.mark.parametrize("kind", ["IP", "L2 Map2"])
def test_every_truncation_and_every_altered_header_is_detected(kind: str, faiss: Any, tmp_path: Path) -> None:
    path = tmp_path / "faces.index"
    vectors = np.random.default_rng(1).normal(size=(4, 8)).astype(np.float32)
    write_index(faiss, kind, vectors, path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ImportFileError):
            faiss_file.read(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(ImportFileError):
        faiss_file.read(path)
    for place in range(len(whole)):
        for bit in range(8):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << bit
            path.write_bytes(flipped)
            with contextlib.suppress(ImportFileError):  # a flipped bit of a vector or of an unused field stays unseen
                read = faiss_file.read(path)
                assert read.vectors.shape == vectors.shape


def test_overflowing_numbers_in_the_header_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "faces.index"
    for dimension, number in ((128, 1 << 62), (1 << 30, 1), (-1, 1), (0, 4), (128, -1), (4, 1 << 40)):
        head = struct.pack("<4siqqqBi", b"IxFI", dimension, number, 0, 0, 1, 0)
        count = (dimension * number) & ((1 << 64) - 1)
        path.write_bytes(head + struct.pack("<Q", count) + b"\0" * 64)
        with pytest.raises(ImportFileError):
            faiss_file.read(path)


@given(st.binary(max_size=300), st.sampled_from([b"", b"IxFI", b"IxM2", b"\x93NUMPY\x01\x00", b"PK\x03\x04"]))
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_arbitrary_bytes_raise_only_our_error(tmp_path: Path, data: bytes, before: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(before + data)
    for read in (faiss_file.read, arrays.map_npy, arrays.read_npz, transfer.kind_of, transfer.pack_of):
        with contextlib.suppress(TransferError):
            read(path)


def test_an_empty_index_has_no_people(faiss: Any, tmp_path: Path) -> None:
    path = tmp_path / "faces.index"
    write_index(faiss, "IP Map", np.zeros((0, 16), np.float32), path)
    assert faiss_file.read(path).vectors.shape == (0, 16)
    np.savez(tmp_path / "faces.npz", ids=np.array([], dtype=np.int64))
    assert tables.from_faiss(path, None) == []
