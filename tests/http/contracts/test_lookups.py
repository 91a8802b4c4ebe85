"""Lookups of the contracts in every kind of database: numbers, pages, addresses, photos, templates, accounts."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timezone

import numpy as np
import pytest
from place import Place

from facedex import Gallery, people
from facedex.engine import Engine
from facedex.errors import ArgumentError, UnknownFaceError, UnknownGalleryError, UnknownJobError, UnknownPersonError
from facedex.http.contracts.people import by_uuid, number_of, parse_uuid, uuid_of
from facedex.server import Access
from facedex.server.jobs import Jobs
from facedex.store import Database


def test_numbers_pages_addresses_and_photos(place: Place, engine: Engine) -> None:
    with (
        Gallery.open(place.location, engine=engine) as gallery,
        Gallery.open(place.location, engine=engine, name="other") as other,
    ):
        elsewhere = other.create("zoe", email="ayu@example.org")
        ayu = gallery.create("ayu", name="Ayu", email="Ayu@Example.org")
        budi = gallery.create(7, email="budi@example.org")
        assert elsewhere.number < ayu.number < budi.number
        assert gallery.lookup.person_by_number(budi.number) == budi
        for number in (elsewhere.number, 0, -1, budi.number + 1, 1 << 70):
            with pytest.raises(UnknownPersonError):
                gallery.lookup.person_by_number(number)
        assert [person.person_id for person in gallery.lookup.people_after()] == ["ayu", 7]
        assert [person.person_id for person in gallery.lookup.people_after(ayu.number, limit=5)] == [7]
        assert gallery.lookup.people_after(budi.number) == []
        with pytest.raises(ArgumentError, match="limit"):
            gallery.lookup.people_after(limit=0)
        assert [person.person_id for person in gallery.lookup.people_with_email("ayu@example.ORG")] == ["ayu"]
        for nobody in ("nobody@example.org", "ayu\0@example.org", "\ud800@example.org"):
            assert gallery.lookup.people_with_email(nobody) == []
        gallery.add_photo("ayu", people.PICTURES["ayu"][0], rendition="original")
        other.add_photo("zoe", people.PICTURES["budi"][0], rendition="thumbnail")
        assert gallery.lookup.photo_count() == 1


def test_a_template_is_found_by_its_face(place: Place, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine) as gallery:
        vector = np.zeros(engine.dimension, np.float32)
        vector[3] = 1
        face_id = gallery.register_templates(7, vector).faces[0].face_id
        owner, stored = gallery.lookup.template(face_id)
        assert owner == 7
        np.testing.assert_array_equal(stored, vector)
        for unknown in (face_id + 1, 0, -1, 1 << 70):
            with pytest.raises(UnknownFaceError):
                gallery.lookup.template(unknown)


def test_the_uuid_of_a_person_is_the_same_in_every_lookup(place: Place, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine) as gallery:
        keys = ["ayu", 7, "3fa85f64-5717-4562-b3fc-2c963f66afa6", "3FA85F64-5717-4562-B3FC-2C963F66AFA7"]
        uuids = [uuid_of(gallery.create(key)) for key in keys]
        assert len(set(uuids)) == len(keys)
        assert str(uuids[2]) == keys[2]
        for key, uuid in zip(keys, uuids, strict=True):
            assert uuid.version == 4
            assert parse_uuid(str(uuid)) == uuid
            assert by_uuid(gallery, uuid).person_id == key
        assert number_of(uuids[2]) is None
        gallery.delete("ayu")
        with pytest.raises(UnknownPersonError):
            by_uuid(gallery, uuids[0])


def test_deleting_a_person_deletes_client_accounts_and_keeps_administrators(place: Place, engine: Engine) -> None:
    with Gallery.open(place.location, engine=engine) as gallery, closing(Access(Database(place.location))) as access:
        gallery.create(7)
        gallery.create(8)
        one = access.accounts.add(email="ayu@example.org", person_key=7)
        admin = access.accounts.add(login="root", person_key=7, scopes=("admin",))
        other = access.accounts.add(login="budi", person_key=8)
        gallery.delete(7)
        assert access.accounts.find("ayu@example.org") is None
        assert [account.id for account in access.accounts.page()] == [admin.id, other.id]
        assert access.accounts.one(admin.id).person_key is None
        assert one.id not in (admin.id, other.id)


@pytest.mark.parametrize("name", ["nothing", "no\0thing", "\ud800"])
def test_values_that_no_database_can_hold_are_not_found(place: Place, engine: Engine, name: str) -> None:
    Gallery.open(place.location, engine=engine).close()
    at = datetime(2026, 1, 1, tzinfo=timezone.utc)
    with closing(Access(Database(place.location))) as access:
        jobs = Jobs(access.database)
        for ask in (jobs.one, jobs.cancel):
            with pytest.raises(UnknownJobError):
                ask(name)
        with pytest.raises(UnknownGalleryError):
            list(access.attendance.between(at, at, name))
        jobs.close()
