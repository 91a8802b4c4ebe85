"""Whether what a database holds of a gallery agrees with itself, and how it is made to agree again.

Looked at: the file (of SQLite), every template, the number of faces, the feed of changes, free data and ids. What a
mending cannot bring back is removed, so that the rest can be used: a face whose template is gone is of no use to
anybody. The feed then starts anew, so that every index is rebuilt.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from ..errors import DatabaseDamagedError, TemplateIntegrityError
from .changes import now
from .feed import CHUNK, Feed
from .rows import info_of, person_id_of
from .tables import changes, faces, galleries, people, templates

_BATCH = 1000  # faces in memory at once


@dataclass(slots=True)
class Faults:
    """What does not agree.

    Attributes
    ----------
    file : list of str
        What SQLite says of its file; only a backup helps.
    faces : dict of int to str
        Face → what is wrong with its template.
    people : dict of int to str
        Row of a person → what is wrong with it.
    counted : tuple of int or None
        Faces as counted in the gallery's row and as stored, when these differ.
    feed : str or None
        What is wrong with the feed of changes.
    """

    file: list[str] = field(default_factory=list)
    faces: dict[int, str] = field(default_factory=dict)
    people: dict[int, str] = field(default_factory=dict)
    counted: tuple[int, int] | None = None
    feed: str | None = None

    @property
    def mendable(self) -> bool:
        """Whether there is something that `mend` can put right."""
        return bool(self.faces or self.people or self.counted or self.feed)


def check(feed: Feed, progress: Callable[[int], object] | None = None) -> Faults:
    """Look at all that a database holds of a gallery.

    Parameters
    ----------
    feed : Feed
        Bound.
    progress : callable, optional
        Called with the number of faces looked at.
    """
    with feed.database.read() as connection:
        return _checked(connection, feed, progress)


def mend(feed: Feed, known: Faults) -> None:
    """Put right what can be, in one transaction that holds the gallery.

    Parameters
    ----------
    feed : Feed
        Bound.
    known : Faults
        What `check` found; a face that was put right or removed meanwhile is left alone.

    Raises
    ------
    StoreError
        When the database cannot be changed; then nothing is.
    """
    with feed.witness() as (connection, noted):
        faults = _checked(connection, feed, None)
        gone = sorted(faults.faces.keys() & known.faces.keys())
        for start in range(0, len(gone), CHUNK):
            chunk = gone[start : start + CHUNK]
            connection.execute(templates.delete().where(templates.c.face_id.in_(chunk)))
            connection.execute(faces.delete().where(faces.c.id.in_(chunk)))
        for person in faults.people.keys() & known.people.keys():
            _mend_person(connection, person)
        _start_feed_anew(connection, feed)
        noted.event("repair", faces=len(gone))


def _checked(connection: sa.Connection, feed: Feed, progress: Callable[[int], object] | None) -> Faults:
    faults = Faults(file=feed.database.faults(connection))
    stored = 0
    for batch in _faces(connection, feed):
        faults.faces |= _faulty(connection, feed, batch)
        stored += len(batch)
        if progress is not None:
            progress(stored)
    for row in connection.execute(sa.select(people).where(people.c.gallery_id == feed.book.row)).all():
        try:
            person_id_of(row.key, row.key_is_int)
            info_of(row.info)
        except DatabaseDamagedError as error:
            faults.people[row.id] = str(error).partition(";")[0]
    head = connection.execute(sa.select(galleries).where(galleries.c.id == feed.book.row)).one()
    if head.faces != stored:
        faults.counted = (head.faces, stored)
    faults.feed = _feed_fault(connection, head)
    return faults


def _faces(connection: sa.Connection, feed: Feed) -> Iterator[list[int]]:
    """Yield the ids of the gallery's faces, in batches."""
    mine = sa.select(faces.c.id).join(people).where(people.c.gallery_id == feed.book.row).order_by(faces.c.id)
    after = 0
    while batch := list(connection.execute(mine.where(faces.c.id > after).limit(_BATCH)).scalars()):
        yield batch
        after = batch[-1]


def _faulty(connection: sa.Connection, feed: Feed, batch: list[int]) -> dict[int, str]:
    chosen = sa.and_(templates.c.face_id >= batch[0], templates.c.face_id <= batch[-1])
    rows = connection.execute(feed.templates_query.where(chosen), feed.keys).all()
    there = {row.face_id for row in rows}
    faulty = {face_id: "it has no template" for face_id in batch if face_id not in there}
    try:
        feed.vectors(connection, rows)
    except (DatabaseDamagedError, TemplateIntegrityError):
        for row in rows:
            try:
                feed.vectors(connection, [row])
            except (DatabaseDamagedError, TemplateIntegrityError):
                faulty[row.face_id] = "its template is not what was stored"
    return faulty


def _feed_fault(connection: sa.Connection, head: Any) -> str | None:
    mine = changes.c.gallery_id == head.id
    query = sa.select(sa.func.count(), sa.func.min(changes.c.seq), sa.func.max(changes.c.seq)).where(mine)
    number, first, last = connection.execute(query).one()
    if (number, first or 1, last or 0) != (head.position, 1, head.position):
        return f"it has {number} changes up to number {last or 0}, the gallery says {head.position}"
    token = connection.execute(sa.select(changes.c.token).where(mine, changes.c.seq == head.position)).scalar()
    if (token or "") != head.token:
        return "its last change is another than the gallery says"
    newest = sa.select(sa.func.max(changes.c.seq)).where(mine, changes.c.face_id.is_not(None))
    added = sa.select(changes.c.face_id).where(
        mine, changes.c.seq.in_(newest.group_by(changes.c.face_id)), changes.c.kind == "add"
    )
    stored = sa.select(faces.c.id).join(people).where(people.c.gallery_id == head.id)
    untold = connection.execute(stored.where(faces.c.id.not_in(added)).order_by(faces.c.id)).scalars().first()
    if untold is not None:
        return f"it does not tell of face {untold}, which is stored"
    lost = connection.execute(added.where(changes.c.face_id.not_in(stored))).scalars().first()
    return None if lost is None else f"it tells of face {lost}, which is not stored"


def _mend_person(connection: sa.Connection, number: int) -> None:
    row = connection.execute(sa.select(people).where(people.c.id == number)).one()
    values: dict[str, Any] = {"updated_at": now()}
    try:
        info_of(row.info)
    except DatabaseDamagedError:
        values["info"] = "{}"
    try:
        person_id_of(row.key, row.key_is_int)
    except DatabaseDamagedError:
        values["key_is_int"] = False
    connection.execute(people.update().where(people.c.id == number).values(values))


def _start_feed_anew(connection: sa.Connection, feed: Feed) -> None:
    gallery = feed.book.row
    connection.execute(changes.delete().where(changes.c.gallery_id == gallery))
    token, at, seq = secrets.token_hex(8), now(), 0
    for batch in _faces(connection, feed):
        rows = [
            {"gallery_id": gallery, "seq": seq + place, "token": token, "kind": "add", "face_id": face_id}
            | {"created_at": at}
            for place, face_id in enumerate(batch, 1)
        ]
        connection.execute(changes.insert(), rows)
        seq += len(batch)
    last = {"position": seq, "token": token if seq else "", "faces": seq}
    connection.execute(galleries.update().where(galleries.c.id == gallery).values(last))
