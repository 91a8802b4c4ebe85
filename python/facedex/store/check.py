"""Whether what a database holds of a gallery agrees with itself, and how it is made to agree again.

Looked at: the file (of SQLite), every template and photo, the number of faces, the feed of changes, people and faces.
What a mending cannot bring back is removed, so that the rest can be used: a face whose template is gone is of no use to
anybody. The feed then starts anew, so that every index is rebuilt. A face that has a template of another pack only was
left behind when the gallery was moved to its pack: that is in order.

A person whose id or name is not what was stored is told and left as it is, for nobody can say who it was: the others
are recognised as before, and this person's faces give an error instead of a name. What does not name anybody (e-mail,
info, times, boxes) is kept as it reads, and told, so that somebody can look at it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from ..errors import DatabaseDamagedError, TemplateIntegrityError
from .changes import now
from .check_photos import link_faults, mend_photos, photo_faults
from .checksums import agrees, face_checksum, naming_of, person_checksum, seal_face, seal_person
from .feed import CHUNK, Feed
from .rows import info_of, person_id_of
from .shadow import Shadow, packs_beside
from .tables import changes, faces, galleries, people, templates

_BATCH = 1000  # faces in memory at once
_BARE = "it has no template"


@dataclass(slots=True)
class Problems:
    """What does not agree.

    Attributes
    ----------
    file : list of str
        What SQLite says of its file; only a backup helps.
    faces : dict of int to str
        Face → what is wrong with its template.
    people : dict of int to str
        Row of a person → what is wrong with it.
    rows : dict of int to str
        Face with a good template → what is wrong with its row.
    names : dict of int to str
        Row of a person → that its id or name is not what was stored; only a backup or a deletion helps.
    photos : dict of int to str
        Photo → that it is not what was stored.
    links : dict of int to str
        Face → what is wrong with the photo that it refers to.
    other_packs : dict of (int, str) to str
        Face and digest of another pack → that its template of that pack is not what was stored.
    count : tuple of int or None
        Templates of the gallery's pack as counted in its row and as stored, when these differ.
    feed : str or None
        What is wrong with the feed of changes.
    """

    file: list[str] = field(default_factory=list)
    faces: dict[int, str] = field(default_factory=dict)
    people: dict[int, str] = field(default_factory=dict)
    rows: dict[int, str] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    photos: dict[int, str] = field(default_factory=dict)
    links: dict[int, str] = field(default_factory=dict)
    other_packs: dict[tuple[int, str], str] = field(default_factory=dict)
    count: tuple[int, int] | None = None
    feed: str | None = None

    @property
    def repairable(self) -> bool:
        """Whether there is something that `repair` can put right."""
        rows = self.faces or self.rows or self.people or self.photos or self.links or self.other_packs
        return bool(rows or self.count or self.feed)


def check_gallery(feed: Feed, progress: Callable[[int], object] | None = None) -> Problems:
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


def repair_gallery(feed: Feed, known: Problems) -> None:
    """Put right what can be, in one transaction that holds the gallery.

    Parameters
    ----------
    feed : Feed
        Bound.
    known : Problems
        What `check` found; a face that was put right or removed meanwhile is left alone.

    Raises
    ------
    StoreError
        When the database cannot be changed; then nothing is.
    """
    with feed.witness() as (connection, noted):
        problems = _checked(connection, feed, None)
        gone = sorted((problems.faces.keys() & known.faces.keys()) | _mend_beside(connection, problems, known))
        for start in range(0, len(gone), CHUNK):
            chunk = gone[start : start + CHUNK]
            connection.execute(templates.delete().where(templates.c.face_id.in_(chunk)))
            connection.execute(faces.delete().where(faces.c.id.in_(chunk)))
        for face_id in problems.rows.keys() & known.rows.keys():
            seal_face(connection, face_id)  # its template is good, and says whose it is
        for person in problems.people.keys() & known.people.keys():
            _mend_person(connection, person)
        spoilt = problems.photos.keys() & known.photos.keys()
        mend_photos(connection, spoilt, problems.links.keys() & known.links.keys())
        _start_feed_anew(connection, feed)
        noted.overwrites = True
        noted.event("repair", faces=len(gone), photos=len(spoilt))


def _mend_beside(connection: sa.Connection, problems: Problems, known: Problems) -> set[int]:
    """Remove damaged templates of other packs; returns the faces that have none of any pack now."""
    spoilt = problems.other_packs.keys() & known.other_packs.keys()
    for face_id, digest in spoilt:
        mine = templates.c.face_id == face_id, templates.c.pack_digest == digest
        connection.execute(templates.delete().where(*mine))
    has = sa.select(templates.c.face_id)
    return {
        face_id
        for face_id, _ in spoilt
        if connection.execute(has.where(templates.c.face_id == face_id).limit(1)).first() is None
    }


def _checked(connection: sa.Connection, feed: Feed, progress: Callable[[int], object] | None) -> Problems:
    problems = Problems(file=feed.database.check_file(connection))
    seen = 0
    for batch in _faces(connection, feed):
        faulty = _faulty(connection, feed, batch)
        problems.faces |= faulty
        problems.rows |= _unlike(connection, [face_id for face_id in batch if face_id not in faulty])
        seen += len(batch)
        if progress is not None:
            progress(seen)
    for row in connection.execute(sa.select(people).where(people.c.gallery_id == feed.book.row)).all():
        if not agrees(row.checksum, naming_of(row.id, row.gallery_id, row.key, row.key_is_int, row.name)):
            problems.names[row.id] = (
                f"row {row.id} of people, which reads {row.key!r} now: its id or name is not what was stored; restore "
                "the database from a backup, or delete the person and register again"
            )
        elif (fault := _person_fault(row)) is not None:
            problems.people[row.id] = fault
    head = connection.execute(sa.select(galleries).where(galleries.c.id == feed.book.row)).one()
    lost = sum(what == _BARE for what in problems.faces.values())  # told already
    stored = count_templates(connection, feed)
    if head.faces != stored + lost:
        problems.count = (head.faces, stored)
    problems.feed = _feed_fault(connection, head)
    for pin in packs_beside(connection, feed):
        for face_id in Shadow(feed, pin).damaged(connection):
            what = (
                f"face {face_id}: its template of pack {pin.name!r}, to or from which the gallery is moved, is not what"
            )
            problems.other_packs[face_id, pin.digest] = f"{what} was stored"
    problems.photos, problems.links = photo_faults(connection, feed), link_faults(connection, feed)
    return problems


def count_templates(connection: sa.Connection, feed: Feed) -> int:
    """Count the stored templates of the pack that the gallery is bound to."""
    query = sa.select(sa.func.count()).select_from(feed.templates_query.subquery())
    return connection.execute(query, feed.keys).scalar_one()


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
    if len(there) < len(batch):
        there |= set(connection.execute(sa.select(templates.c.face_id).where(chosen)).scalars())  # of other packs
    faulty = {face_id: _BARE for face_id in batch if face_id not in there}
    try:
        feed.vectors(connection, rows)
    except (DatabaseDamagedError, TemplateIntegrityError):
        for row in rows:
            try:
                feed.vectors(connection, [row])
            except (DatabaseDamagedError, TemplateIntegrityError):
                faulty[row.face_id] = "its template is not what was stored"
    return faulty


def _unlike(connection: sa.Connection, batch: list[int]) -> dict[int, str]:
    """Find the faces whose rows are not what was stored, among those whose templates are good."""
    if not batch:
        return {}
    chosen = sa.and_(faces.c.id >= batch[0], faces.c.id <= batch[-1])
    looked_at = set(batch)
    rows = [row for row in connection.execute(sa.select(faces).where(chosen)) if row.id in looked_at]
    fault = "its box, score, quality or time is not what was stored"
    return {row.id: fault for row in rows if row.checksum != face_checksum(row)}


def _person_fault(row: Any) -> str | None:
    try:
        person_id_of(row.key, row.key_is_int)
        info_of(row.info)
    except DatabaseDamagedError as error:
        return str(error).partition(";")[0]
    if row.checksum != person_checksum(row):
        return f"the e-mail address, info or times of {row.key!r} are not what was stored; look at them"
    return None


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
    seal_person(connection, number)


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
    stored = count_templates(connection, feed)
    if stored < seq:  # the feed tells of faces without a template of this pack: an index must not begin at the start
        seq += 1
        row = {"gallery_id": gallery, "seq": seq, "token": token, "kind": "pack", "face_id": None, "created_at": at}
        connection.execute(changes.insert(), [row])
    last = {"position": seq, "token": token if seq else "", "faces": stored}
    connection.execute(galleries.update().where(galleries.c.id == gallery).values(last))
