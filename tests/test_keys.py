"""Encrypted galleries: nothing unencrypted on the disk, altered values are refused, keys can be changed."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from place import Place

from facedex import people
from facedex.config import settings
from facedex.engine import Engine
from facedex.errors import (
    ArgumentError,
    DatabaseDamagedError,
    EncryptionUnavailableError,
    FacedexError,
    IndexFileError,
    KeyMissingError,
    KeyUnusedError,
    TemplateIntegrityError,
    WrongKeyError,
)
from facedex.gallery import Gallery
from facedex.search import LocalSearch, SearchOptions, Snapshots
from facedex.store import Database, Feed, NewFace, PackPin, Store, Vault, key_of, rekey, vault
from facedex.store.checksums import seal
from facedex.store.tables import faces as faces_table
from facedex.store.tables import people as people_table

PIN = PackPin("classic", "ab" * 32, 64)
KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
GALLERY = "0123456789abcdef" * 2

SQLITE = pytest.mark.parametrize("place", ["sqlite"], indirect=True)


def unit(number: int) -> NDArray[np.float32]:
    vector = np.random.default_rng(number).normal(size=PIN.dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def face(number: int) -> NewFace:
    return NewFace((1.5, 2.5, 30.25, 40.75), 0.875, unit(number))


def opened(place: Place, key: bytes | None) -> Store:
    database = Database(place.location)
    try:
        feed = Feed(database, "default")
        feed.bind(PIN, key)
    except FacedexError:
        database.close()
        raise
    return Store(feed)


def search_of(store: Store, place: Place) -> LocalSearch:
    return LocalSearch(store.feed, SearchOptions("exact"))


def finds(store: Store, search: LocalSearch, number: int) -> object:
    """Return the person of that number's vector."""
    search.sync()
    keys, similarities = search.search(unit(number)[None], 1)
    assert similarities[0, 0] > 0.999
    return store.owners([int(keys[0, 0])])[int(keys[0, 0])].person_id


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    store = opened(place, KEY)
    store.register("ayu", [face(1), face(2)])
    store.register("budi", [face(3)])
    yield store
    store.feed.database.close()


def traces(number: int) -> list[bytes]:
    """Pieces of a vector as float32, float16 and int8, which would reveal it."""
    vector = unit(number)
    forms = [vector.tobytes(), vector.astype(np.float16).tobytes(), np.round(127 * vector).astype(np.int8).tobytes()]
    return [form[start : start + 16] for form in forms for start in range(0, len(form) - 15, 16)]


def on_disk(folder: Path) -> bytes:
    return b"".join(file.read_bytes().rstrip(b"\0") for file in sorted(folder.rglob("*")) if file.is_file())


# What is stored.


def test_registered_data_is_read_back_and_nowhere_unencrypted(store: Store, place: Place) -> None:
    _, keys, vectors = store.templates_of("ayu")
    np.testing.assert_array_equal(vectors, [unit(1), unit(2)])
    delta = store.feed.since(0, "")
    assert delta is not None
    np.testing.assert_array_equal(delta.vectors, [unit(1), unit(2), unit(3)])
    stored = [bytes(row[0]) for row in place.rows("SELECT vector FROM templates ORDER BY face_id")]
    assert [len(vector) for vector in stored] == [1 + 12 + 4 * PIN.dimension + 16] * 3
    assert not any(trace in b"".join(stored) for number in (1, 2, 3) for trace in traces(number))
    added = store.register("ayu", [face(4)], on_existing="add")
    np.testing.assert_array_equal(store.templates_of("ayu")[2], [unit(1), unit(2), unit(4)])
    assert added.face_ids[0] not in keys.tolist()


def test_the_same_vector_is_encrypted_to_different_bytes_each_time(store: Store, place: Place) -> None:
    store.register("citra", [face(1), face(1)])
    stored = [bytes(row[0]) for row in place.rows("SELECT vector FROM templates")]
    assert len(set(stored)) == 5
    wrapped = [bytes(row[0]) for row in place.rows("SELECT data_key FROM people")]
    assert len(set(wrapped)) == 3


@SQLITE
def test_nothing_is_unencrypted_in_any_file_while_open_or_closed(place: Place) -> None:
    store = opened(place, KEY)
    search = search_of(store, place)
    for number in range(20):
        store.register(number, [face(number)])
    search.save()
    assert len(place.snapshots()) == 1
    needles = [trace for number in range(20) for trace in traces(number)]
    left = on_disk(place.folder)
    store.feed.database.close()
    left += on_disk(place.folder)
    assert not any(needle in left for needle in needles)
    # The same without a key shows that the search for traces finds them.
    plain = opened(Place("sqlite", str(place.folder / "plain.db"), place.folder, place.folder / "plain.db"), None)
    plain.register("ayu", [face(1)])
    plain.feed.database.close()
    assert unit(1).tobytes()[:16] in on_disk(place.folder)


# Which key.


def test_a_gallery_opens_only_with_its_key(store: Store, place: Place) -> None:
    with pytest.raises(KeyMissingError, match=r"gallery 'default' in .* is encrypted; give its key"):
        opened(place, None)
    with pytest.raises(WrongKeyError, match="encrypted with another key"):
        opened(place, OTHER)
    again = opened(place, KEY)
    assert len(again.people()) == 2
    again.feed.database.close()


def test_a_key_for_a_gallery_without_one_is_refused(place: Place) -> None:
    opened(place, None).feed.database.close()
    with pytest.raises(KeyUnusedError, match="not encrypted and a key was given"):
        opened(place, KEY)


@pytest.mark.parametrize("bad", [b"", b"x" * 31, b"x" * 33, 5, "not base64", base64.b64encode(b"x" * 16).decode()])
def test_a_key_of_a_wrong_length_is_refused_and_not_shown(bad: Any) -> None:
    for given_as in (bad, lambda: bad):
        with pytest.raises(ArgumentError, match="key must be") as refused:
            key_of(given_as)
        assert "xxx" not in str(refused.value)
        assert "not base64" not in str(refused.value)


def test_a_key_comes_from_an_argument_a_callable_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    text = base64.b64encode(OTHER).decode()
    monkeypatch.delenv("FACEDEX_KEY", raising=False)
    assert key_of(None) is None
    monkeypatch.setenv("FACEDEX_KEY", f" {text}\n")
    assert key_of(None) == OTHER
    assert key_of(KEY) == KEY
    assert key_of(lambda: KEY) == KEY
    assert text not in repr(settings())
    assert repr(OTHER) not in repr(settings())
    monkeypatch.setenv("FACEDEX_KEY", "c2hvcnQ=")
    with pytest.raises(ArgumentError, match="FACEDEX_KEY must be base64 of 32 bytes") as refused:
        key_of(None)
    assert "c2hvcnQ" not in str(refused.value)


def test_without_the_library_a_key_is_refused_and_a_gallery_without_one_opens(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(EncryptionUnavailableError, match=r"pip install 'facedex\[crypto\]'"):
        opened(place, KEY)
    opened(place, None).feed.database.close()


# Altered and exchanged.


def swap(table: str, column: str, key: str, one: object, two: object) -> Callable[[Place], None]:
    """Exchange a column of two rows, as an attacker with write access would."""

    def change(place: Place) -> None:
        shown = f"SELECT {key}, {column} FROM {table} WHERE {key} IN ({one}, {two})"
        values = {row[0]: row[1] for row in place.rows(shown)}
        for here, there in ((one, two), (two, one)):
            statement = sa.text(f"UPDATE {table} SET {column} = :value WHERE {key} = :key")
            place.execute(statement.bindparams(value=values[there], key=here))

    return change


def exchange_names(place: Place) -> None:
    for old, new in (("ayu", "x"), ("budi", "ayu"), ("x", "budi")):
        table = sa.table("people", sa.column("key"))  # a word of SQL, which is quoted so
        place.execute(table.update().where(table.c.key == old).values(key=new))


def edit(table: str, column: str, at: int) -> Callable[[Place], None]:
    """Flip a bit of a stored value."""

    def change(place: Place) -> None:
        (value,) = place.rows(f"SELECT {column} FROM {table} ORDER BY 1 LIMIT 1")[0]
        new = bytearray(bytes(value))
        new[at] ^= 1
        here = sa.table(table, sa.column(column))
        place.execute(here.update().where(here.c[column] == bytes(value)).values({column: bytes(new)}))

    return change


def repair_checksums(place: Place) -> None:
    """Correct the checksum of every row; anyone with write access to the database can do this."""
    with place.connect() as connection:
        for table in (people_table, faces_table):
            seal(connection, table, sa.true())


TAMPERED = {
    "two templates of one person": swap("templates", "vector", "face_id", 1, 2),
    "templates of two people": swap("templates", "vector", "face_id", 1, 3),
    "keys of two people": swap("people", "data_key", "id", 1, 2),
    "ids of two people": exchange_names,
    "faces of two people": swap("faces", "person_row", "id", 1, 3),
    "a bit of a nonce": edit("templates", "vector", 3),
    "a bit of a vector": edit("templates", "vector", 40),
    "a bit of a tag": edit("templates", "vector", -1),
    "the format of a template": edit("templates", "vector", 0),
    "a bit of a data key": edit("people", "data_key", 20),
    "no data key": lambda place: place.execute("UPDATE people SET data_key = NULL"),
    "a short template": lambda place: place.execute("UPDATE templates SET vector = SUBSTR(vector, 1, 9)"),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_altered_or_exchanged_values_do_not_decrypt(store: Store, place: Place, how: str) -> None:
    TAMPERED[how](place)
    repair_checksums(place)
    with pytest.raises(TemplateIntegrityError, match="was altered or is another"):
        store.feed.since(0, "")
    with pytest.raises(DatabaseDamagedError):
        list(store.feed.templates())
    told = []
    for person_id in ("ayu", "budi"):
        try:
            store.templates_of(person_id)
        except TemplateIntegrityError as error:
            told.append(error)
    assert told
    before = place.rows("SELECT data_key FROM people ORDER BY id")
    with pytest.raises(TemplateIntegrityError):
        rekey(store.feed, None)  # which opens everything
    assert place.rows("SELECT data_key FROM people ORDER BY id") == before


@SQLITE
def test_a_template_of_another_gallery_or_pack_does_not_decrypt(store: Store, place: Place) -> None:
    sealed = Vault(KEY, GALLERY)
    wrapped = sealed.new_data_key("ayu", False)
    locked = sealed.person_cipher(wrapped, "ayu", False).encrypt(b"vector", 1, 2, "pack")
    assert sealed.person_cipher(wrapped, "ayu", False).decrypt(locked, 1, 2, "pack") == b"vector"
    for face_id, row, pack in ((2, 2, "pack"), (1, 3, "pack"), (1, 2, "other")):
        with pytest.raises(TemplateIntegrityError) as told:
            sealed.person_cipher(wrapped, "ayu", False).decrypt(locked, face_id, row, pack)
        assert told.value.face_id == face_id
    with pytest.raises(TemplateIntegrityError):
        Vault(KEY, GALLERY[::-1]).person_cipher(wrapped, "ayu", False)
    for key, is_int in (("budi", False), ("ayu", True)):
        with pytest.raises(TemplateIntegrityError, match="is another person's"):
            sealed.person_cipher(wrapped, key, is_int)
    assert not Vault(OTHER, GALLERY).matches(sealed.key_check)
    assert sealed.matches(sealed.key_check)


# Another key.


def test_changing_the_key_rewrites_no_template(store: Store, place: Place) -> None:
    before = place.rows("SELECT face_id, vector FROM templates ORDER BY face_id")
    assert rekey(store.feed, OTHER) == 2
    assert place.rows("SELECT face_id, vector FROM templates ORDER BY face_id") == before
    np.testing.assert_array_equal(store.templates_of("ayu")[2], [unit(1), unit(2)])
    store.register("citra", [face(5)])
    store.feed.database.close()
    with pytest.raises(WrongKeyError):
        opened(place, KEY)
    again = opened(place, OTHER)
    np.testing.assert_array_equal(again.templates_of("citra")[2], [unit(5)])
    again.feed.database.close()


def test_a_gallery_is_encrypted_and_decrypted_completely(place: Place) -> None:
    store = opened(place, None)
    for number in range(5):
        store.register(number, [face(number), face(number + 100)])
    store.delete(3)
    plain = place.rows("SELECT face_id, vector, checksum FROM templates ORDER BY face_id")
    rekey(store.feed, KEY)
    stored = b"".join(bytes(row[0]) for row in place.rows("SELECT vector FROM templates"))
    assert not any(trace in stored for trace in traces(1))
    np.testing.assert_array_equal(store.templates_of(1)[2], [unit(1), unit(101)])
    rekey(store.feed, None)
    assert place.rows("SELECT face_id, vector, checksum FROM templates ORDER BY face_id") == plain
    assert place.rows("SELECT data_key FROM people WHERE data_key IS NOT NULL") == []
    store.feed.database.close()
    opened(place, None).feed.database.close()


def test_an_open_gallery_is_refused_after_the_key_was_changed(store: Store, place: Place) -> None:
    other = opened(place, KEY)
    search = search_of(other, place)
    rekey(store.feed, OTHER)
    for attempt in (
        lambda: other.register("citra", [face(5)]),
        lambda: other.templates_of("ayu"),
        search.sync,
        lambda: other.delete("ayu"),
    ):
        with pytest.raises(WrongKeyError, match="was changed while it was open; open it again"):
            attempt()
    search.save()
    assert place.snapshots() == []
    other.feed.database.close()
    assert len(store.people()) == 2


@SQLITE
def test_encrypting_a_gallery_removes_the_unencrypted_snapshot(place: Place, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine) as first:
        first.register("ayu", people.PICTURES["ayu"][0])
    assert len(place.snapshots()) == 1
    with Gallery.open(place.location, engine=engine) as bystander:
        bystander.register("budi", people.PICTURES["budi"][0])
        with Gallery.open(place.location, engine=engine) as gallery:
            assert gallery.rekey(KEY)
            assert place.snapshots() == []
            assert gallery.status().encrypted
    assert place.snapshots() != []  # that of the gallery which has the key
    assert all(file.read_bytes().startswith(b"fdxsealed") for file in place.snapshots())
    embedding = engine.analyze(people.PICTURES["ayu"][0])[0].embedding
    assert embedding is not None
    assert embedding.tobytes()[:64] not in on_disk(place.folder)


# The snapshot.


def test_an_encrypted_snapshot_is_used(store: Store, place: Place) -> None:
    search = search_of(store, place)
    search.save()
    (snapshot,) = place.snapshots()
    assert snapshot.stat().st_mode & 0o777 == 0o600
    # What nobody reads from the database any more shows that the vectors came from the snapshot.
    place.execute("DELETE FROM templates")
    again = search_of(store, place)
    assert again.rebuilt is None
    assert [finds(store, again, number) for number in (1, 2, 3)] == ["ayu", "ayu", "budi"]
    assert not any(trace in snapshot.read_bytes() for number in (1, 2, 3) for trace in traces(number))


@SQLITE
@pytest.mark.parametrize("how", ["flip", "truncate", "empty", "plain", "other key"])
def test_an_altered_encrypted_snapshot_is_rebuilt_and_reported(
    store: Store, place: Place, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    search = search_of(store, place)
    search.save()
    (snapshot,) = place.snapshots()
    content = bytearray(snapshot.read_bytes())
    if how == "flip":
        content[len(content) // 2] ^= 1
    elif how == "truncate":
        content = content[:-1]
    elif how == "empty":
        content.clear()
    elif how == "plain":
        position, token = search.at
        content = bytearray(search._index.to_bytes(f"{store.feed.uuid}:{token}", position).tobytes())
    else:
        position, token = search.at
        owner = f"{store.feed.uuid}:{token}"
        inside = search._index.to_bytes(owner, position).data
        content = bytearray(b"".join(Vault(OTHER, store.feed.uuid).encrypt_file(inside, owner)))
    snapshot.write_bytes(content)
    again = search_of(store, place)
    assert again.rebuilt is not None
    assert snapshot.name in again.rebuilt
    assert "rebuilt from the database" in caplog.text
    assert [finds(store, again, number) for number in (1, 2, 3)] == ["ayu", "ayu", "budi"]


def test_a_snapshot_that_cannot_be_written_leaves_no_file(store: Store, place: Place) -> None:
    search = search_of(store, place)
    search.sync()
    target = Snapshots(store.feed).path(search.at)
    target.mkdir()
    search.save()
    assert [file.name for file in target.parent.iterdir() if ".index" in file.name] == [target.name]


@given(size=st.integers(0, 200), cut=st.integers(0, 300), owner=st.sampled_from(["", "a:b"]))
def test_a_file_of_many_blocks_decrypts_completely_or_not_at_all(size: int, cut: int, owner: str) -> None:
    sealed = Vault(KEY, GALLERY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vault, "_CHUNK", 32)
        content = os.urandom(size)
        whole = b"".join(sealed.encrypt_file(memoryview(content), owner))
        assert bytes(sealed.decrypt_file(memoryview(whole), owner, "file")) == content
        head, piece = 26, 32 + 16
        broken = [whole[:cut], whole + b"x", whole[:head] + whole[head + piece :]]
        if size > 64:
            second = whole[head + piece : head + 2 * piece]
            broken.append(whole[:head] + second + whole[head : head + piece] + whole[head + 2 * piece :])
            broken.append(whole[: head + piece])
        for damaged in broken:
            if damaged != whole:
                with pytest.raises(IndexFileError, match="file"):
                    sealed.decrypt_file(memoryview(damaged), owner, "file")
        with pytest.raises(IndexFileError):
            sealed.decrypt_file(memoryview(whole), owner + "x", "file")


def test_keys_are_derived_according_to_rfc_5869() -> None:
    for salt in (b"s" * 16, bytes(16)):
        theirs = HKDF(hashes.SHA256(), length=32, salt=salt, info=b"purpose").derive(KEY)
        assert vault.derive_key(KEY, salt, b"purpose") == theirs


# The whole gallery.


def test_an_encrypted_gallery_supports_every_operation(place: Place, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine, key=KEY) as gallery:
        for person_id in ("ayu", "budi"):
            gallery.register(person_id, list(people.PICTURES[person_id]))
        assert gallery.status().encrypted
    with Gallery.open(place.location, engine=engine, key=lambda: KEY) as gallery:
        assert gallery.status().rebuilt is None
        assert gallery.recognize(people.PROBES["ayu"][0])[0].person_id == "ayu"
        assert gallery.verify("budi", people.PROBES["budi"][0]).match
        assert gallery.rekey(OTHER) == (place.kind == "sqlite")
        assert gallery.recognize(people.PROBES["ayu"][0])[0].person_id == "ayu"
        assert gallery.delete("ayu").templates == 3
        assert gallery.recognize(people.PROBES["ayu"][0])[0].person_id is None
    with pytest.raises(WrongKeyError):
        Gallery.open(place.location, engine=engine, key=KEY)
