"""Give a gallery another key, a first key, or none.

One transaction: a gallery is never partly under one key and partly under another. From key to key only the data keys
of the people are wrapped again, and no template or photo is changed. Processes that have the gallery open are refused
afterwards, because its key check has changed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from ..config import KEY_BYTES
from ..errors import DatabaseDamagedError
from .audit import audit_key
from .feed import Feed
from .photos import check_photo, write_photo
from .rows import PackPin, checksum_of
from .tables import faces, galleries, people, photos, templates
from .vault import PersonCipher, Vault

_BATCH = 1000  # rows in memory at once


def rekey(feed: Feed, key: bytes | None) -> int:
    """Encrypt a gallery with another key, or with none.

    Parameters
    ----------
    feed : Feed
        Open with the present key.
    key : bytes or None
        The new key; None stores templates and photos without encryption.

    Returns
    -------
    int
        How many people's keys were made, wrapped again or removed.

    Raises
    ------
    TemplateIntegrityError, PhotoIntegrityError
        When something that is stored cannot be decrypted with the present key; then nothing is changed.
    """
    old, new = feed.vault, None if key is None else Vault(key, feed.uuid)
    key_check = None if new is None else new.key_check
    with feed.write() as transaction:
        connection = transaction.connection
        ciphers = _people(connection, feed, old, new)
        if (old is None) != (new is None):
            _templates(connection, feed, ciphers, encrypt=old is None)
            _photos(connection, feed, ciphers, encrypt=old is None)
        connection.execute(galleries.update().where(galleries.c.id == feed.gallery_id).values(seal=key_check))
        transaction.audit_key = audit_key(feed.uuid, new)
        transaction.log_event("rekey", encrypted=new is not None)
    feed.use_key(key_check, key)
    return len(ciphers)


def _people(connection: sa.Connection, feed: Feed, old: Vault | None, new: Vault | None) -> dict[int, PersonCipher]:
    query = sa.select(people.c.id, people.c.key, people.c.key_is_int, people.c.data_key)
    wrapped = people.update().where(people.c.id == sa.bindparam("row")).values(data_key=sa.bindparam("wrapped"))
    ciphers: dict[int, PersonCipher] = {}
    after = 0
    while True:
        mine = sa.and_(people.c.gallery_id == feed.gallery_id, people.c.id > after)
        rows = connection.execute(query.where(mine).order_by(people.c.id).limit(_BATCH)).all()
        if not rows:
            return ciphers
        changed = []
        for row in rows:
            data_key = os.urandom(KEY_BYTES) if old is None else old.unwrap(row.data_key, row.key, row.key_is_int)
            ciphers[row.id] = PersonCipher(data_key, feed.uuid)
            again = None if new is None else new.wrap(data_key, row.key, row.key_is_int)
            changed.append({"row": row.id, "wrapped": again})
        connection.execute(wrapped, changed)
        after = rows[-1].id


def _templates(connection: sa.Connection, feed: Feed, ciphers: dict[int, PersonCipher], *, encrypt: bool) -> None:
    """Encrypt or decrypt every template, of this pack and of any other."""
    written = (
        templates.update()
        .where(templates.c.face_id == sa.bindparam("face"), templates.c.pack_digest == sa.bindparam("pack"))
        .values(vector=sa.bindparam("content"), checksum=sa.bindparam("sum"))
    )
    after = (0, "")
    while True:
        rows = _page(connection, feed, *after)
        if not rows:
            return
        changed = []
        for row in rows:
            pin = PackPin("", row.pack_digest, 0)
            cipher = ciphers[row.person_row]
            if encrypt:
                if row.checksum != checksum_of(row.face_id, row.person_row, pin, row.vector):
                    raise DatabaseDamagedError(
                        f"the stored template of face {row.face_id} is damaged; restore the database from a backup"
                    )
                content = cipher.encrypt(row.vector, row.face_id, row.person_row, row.pack_digest)
            else:
                content = cipher.decrypt(row.vector, row.face_id, row.person_row, row.pack_digest)
            check = checksum_of(row.face_id, row.person_row, pin, content)
            changed.append({"face": row.face_id, "pack": row.pack_digest, "content": content, "sum": check})
        connection.execute(written, changed)
        after = (rows[-1].face_id, rows[-1].pack_digest)


def _photos(connection: sa.Connection, feed: Feed, ciphers: dict[int, PersonCipher], *, encrypt: bool) -> None:
    """Encrypt or decrypt every photo, one after the other."""
    columns = (photos.c.id, photos.c.person_row, photos.c.content, photos.c.checksum)
    query = sa.select(*columns).join(people, people.c.id == photos.c.person_row)
    query = query.where(people.c.gallery_id == feed.gallery_id).order_by(photos.c.id).limit(1)
    after = 0
    while (row := connection.execute(query.where(photos.c.id > after)).one_or_none()) is not None:
        after, content, cipher = row.id, bytes(row.content), ciphers[row.person_row]
        check_photo(row.id, row.person_row, content, row.checksum)
        if not encrypt:
            content = cipher.decrypt_photo(content, row.id, row.person_row)
        write_photo(connection, feed, row.id, row.person_row, content, cipher if encrypt else None)


def _page(connection: sa.Connection, feed: Feed, face_id: int, pack: str) -> Sequence[Any]:
    """Read the next templates after that of a face and pack."""
    here = templates.c
    query = (
        sa.select(here.face_id, here.pack_digest, here.vector, here.checksum, faces.c.person_row)
        .join(faces, faces.c.id == here.face_id)
        .join(people, people.c.id == faces.c.person_row)
        .where(people.c.gallery_id == feed.gallery_id)
        .where(sa.or_(here.face_id > face_id, sa.and_(here.face_id == face_id, here.pack_digest > pack)))
        .order_by(here.face_id, here.pack_digest)
        .limit(_BATCH)
    )
    return connection.execute(query).all()
