"""Whether the photos of a gallery are what was stored, and belong to who they should.

A damaged photo cannot be mended: it is removed, and the faces that were registered from it stay. A face that refers to
a photo that is not there, or is another person's, stays without a photo.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa

from ..errors import DatabaseDamagedError
from .checksums import agrees, naming_of
from .feed import CHUNK, Feed
from .photos import photo_content
from .tables import faces, people, photos

_WHOSE = (people.c.gallery_id, people.c.key, people.c.key_is_int, people.c.name, people.c.data_key)


def photo_faults(connection: sa.Connection, feed: Feed) -> dict[int, str]:
    """Tell which photos are not what was stored, one after the other."""
    columns = (photos.c.id, photos.c.person_row, photos.c.content, photos.c.checksum, *_WHOSE)
    query = sa.select(*columns, people.c.checksum.label("named")).join(people, people.c.id == photos.c.person_row)
    query = query.where(people.c.gallery_id == feed.book.row).order_by(photos.c.id).limit(1)
    faults: dict[int, str] = {}
    for row in _each(connection, query):
        try:
            photo_content(feed.vault, row)
        except DatabaseDamagedError:
            named = agrees(row.named, naming_of(row.person_row, row.gallery_id, row.key, row.key_is_int, row.name))
            whose = repr(row.key) if named else "a person who cannot be told"
            faults[row.id] = f"photo {row.id} of {whose} is not what was stored"
    return faults


def link_faults(connection: sa.Connection, feed: Feed) -> dict[int, str]:
    """Tell which faces refer to a photo that is not there or is another person's."""
    query = sa.select(faces.c.id, faces.c.photo_id, photos.c.person_row).join(people, people.c.id == faces.c.person_row)
    query = query.outerjoin(photos, photos.c.id == faces.c.photo_id).where(
        people.c.gallery_id == feed.book.row,
        faces.c.photo_id.is_not(None),
        sa.or_(photos.c.id.is_(None), photos.c.person_row != faces.c.person_row),
    )
    return {
        row.id: f"face {row.id} refers to photo {row.photo_id}, which "
        + ("is not there" if row.person_row is None else "is another person's")
        for row in connection.execute(query.order_by(faces.c.id))
    }


def mend_photos(connection: sa.Connection, damaged: Iterable[int], unlinked: Iterable[int]) -> None:
    """Remove photos, and what refers to them or to a wrong one."""
    gone, loose = sorted(damaged), sorted(unlinked)
    for start in range(0, len(gone), CHUNK):
        chunk = gone[start : start + CHUNK]
        connection.execute(faces.update().where(faces.c.photo_id.in_(chunk)).values(photo_id=None))
        connection.execute(photos.delete().where(photos.c.id.in_(chunk)))
    for start in range(0, len(loose), CHUNK):
        connection.execute(faces.update().where(faces.c.id.in_(loose[start : start + CHUNK])).values(photo_id=None))


def _each(connection: sa.Connection, query: sa.Select[Any]) -> Iterator[Any]:
    """Yield rows of photos, with one in memory at a time."""
    after = 0
    while (row := connection.execute(query.where(photos.c.id > after)).one_or_none()) is not None:
        yield row
        after = row.id
