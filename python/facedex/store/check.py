"""Whether what a database stores of a gallery is consistent, and how it is repaired.

Checked: the file (of SQLite), every template and photo, the number of faces, the feed of changes, people and faces.
What cannot be restored is removed, so that the rest can be used: a face without template cannot be recognised. The feed
then starts over, so that every index is rebuilt. A face that has a template of another pack only was left behind when
the gallery was moved to its pack: that is consistent.

A person whose id or name is not what was stored is reported and left as it is, because nobody can know who it was:
others are recognised as before, and this person's faces give an error instead of a name. Damage to other data (e-mail,
info, times, boxes) is reported and not changed.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from ..errors import DatabaseDamagedError, TemplateIntegrityError
from .checksums import agrees, face_checksum, name_checksum, person_checksum, write_checksums
from .clock import now
from .feed import CHUNK, Feed
from .photos import photo_content
from .rows import info_of, person_id_of, plain_id
from .shadow import Shadow, count_templates, other_packs
from .tables import changes, faces, galleries, people, photos, templates

_BATCH = 1000  # faces in memory at once
_NO_TEMPLATE = "it has no template"
_WHOSE = (people.c.gallery_id, people.c.key, people.c.key_is_int, people.c.name, people.c.data_key)


@dataclass(slots=True)
class Problems:
    """What is inconsistent.

    Attributes
    ----------
    file : list of str
        What SQLite reports of its file; only a backup helps.
    faces : dict of int to str
        Face → what is wrong with its template.
    people : dict of int to str
        Row of a person → what is wrong with it.
    rows : dict of int to str
        Face with a good template → what is wrong with its row.
    names : dict of int to str
        Row of a person → that the id or name is not what was stored; only a backup or a deletion helps.
    photos : dict of int to str
        Photo → that it is not what was stored.
    links : dict of int to str
        Face → what is wrong with the photo that it refers to.
    other_packs : dict of (int, str) to str
        Face and digest of another pack → that its template of that pack is not what was stored.
    count : tuple of int or None
        Templates of the gallery's pack by its row and as stored, when these differ.
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
        """Whether there is something that `repair_gallery` can repair."""
        rows = self.faces or self.rows or self.people or self.photos or self.links or self.other_packs
        return bool(rows or self.count or self.feed)


def check_gallery(feed: Feed, progress: Callable[[int], object] | None = None) -> Problems:
    """Check all that a database stores of a gallery.

    Parameters
    ----------
    feed : Feed
        Bound.
    progress : callable, optional
        Called with the number of faces checked.
    """
    with feed.database.read() as connection:
        return _check(connection, feed, progress)


def repair_gallery(feed: Feed, known: Problems) -> None:
    """Repair what can be, in one transaction that holds the gallery.

    Parameters
    ----------
    feed : Feed
        Bound.
    known : Problems
        What `check_gallery` found; a face that was repaired or removed meanwhile is left alone.

    Raises
    ------
    StoreError
        When the database cannot be changed; then nothing is.
    """
    with feed.write(listed=False) as transaction:
        connection = transaction.connection
        problems = _check(connection, feed, None)
        gone = sorted((problems.faces.keys() & known.faces.keys()) | _remove_templates(connection, problems, known))
        for start in range(0, len(gone), CHUNK):
            chunk = gone[start : start + CHUNK]
            connection.execute(templates.delete().where(templates.c.face_id.in_(chunk)))
            connection.execute(faces.delete().where(faces.c.id.in_(chunk)))
        intact = list(problems.rows.keys() & known.rows.keys())  # their templates confirm whose they are
        for start in range(0, len(intact), CHUNK):
            write_checksums(connection, faces, faces.c.id.in_(intact[start : start + CHUNK]))
        for person in problems.people.keys() & known.people.keys():
            _repair_person(connection, person)
        damaged = problems.photos.keys() & known.photos.keys()
        _repair_photos(connection, damaged, problems.links.keys() & known.links.keys())
        _restart_feed(connection, feed)
        transaction.overwrites = True
        transaction.log_event("repair", faces=len(gone), photos=len(damaged))


def _remove_templates(connection: sa.Connection, problems: Problems, known: Problems) -> set[int]:
    """Remove damaged templates of other packs; returns the faces that have no template of any pack left."""
    damaged = problems.other_packs.keys() & known.other_packs.keys()
    for face_id, digest in damaged:
        mine = templates.c.face_id == face_id, templates.c.pack_digest == digest
        connection.execute(templates.delete().where(*mine))
    has = sa.select(templates.c.face_id)
    return {
        face_id
        for face_id, _ in damaged
        if connection.execute(has.where(templates.c.face_id == face_id).limit(1)).first() is None
    }


def _check(connection: sa.Connection, feed: Feed, progress: Callable[[int], object] | None) -> Problems:
    problems = Problems(file=feed.database.check_file(connection))
    seen = 0
    for batch in _faces(connection, feed):
        damaged = _damaged_templates(connection, feed, batch)
        problems.faces |= damaged
        problems.rows |= _damaged_faces(connection, [face_id for face_id in batch if face_id not in damaged])
        seen += len(batch)
        if progress is not None:
            progress(seen)
    spelled: dict[str, str] = {}
    for row in connection.execute(sa.select(people).where(people.c.gallery_id == feed.gallery_id)).all():
        other = spelled.setdefault(plain_id(row.key), row.key)
        if not agrees(row.checksum, name_checksum(row.id, row.gallery_id, row.key, row.key_is_int, row.name)):
            problems.names[row.id] = (
                f"row {row.id} of people, now {row.key!r}: its id or name is not what was stored; restore "
                "the database from a backup, or delete the person and register again"
            )
        elif other != row.key:
            problems.names[row.id] = (
                f"two people whose ids {other!a} and {row.key!a} differ only in their Unicode spelling; if it is one "
                "person, delete one of them under its own spelling"
            )
        elif (problem := _person_problem(row)) is not None:
            problems.people[row.id] = problem
    head = connection.execute(sa.select(galleries).where(galleries.c.id == feed.gallery_id)).one()
    lost = sum(what == _NO_TEMPLATE for what in problems.faces.values())  # counted above
    stored = count_templates(connection, feed, feed.pin)
    if head.faces != stored + lost:
        problems.count = (head.faces, stored)
    problems.feed = _feed_problem(connection, head)
    for pin in other_packs(connection, feed):
        for face_id in Shadow(feed, pin).damaged(connection):
            what = (
                f"face {face_id}: its template of pack {pin.name!r}, to or from which the gallery is moved, is not what"
            )
            problems.other_packs[face_id, pin.digest] = f"{what} was stored"
    problems.photos, problems.links = _photo_problems(connection, feed), _link_problems(connection, feed)
    return problems


def _faces(connection: sa.Connection, feed: Feed) -> Iterator[list[int]]:
    """Yield the ids of the gallery's faces, in batches."""
    mine = sa.select(faces.c.id).join(people).where(people.c.gallery_id == feed.gallery_id).order_by(faces.c.id)
    after = 0
    while batch := list(connection.execute(mine.where(faces.c.id > after).limit(_BATCH)).scalars()):
        yield batch
        after = batch[-1]


def _damaged_templates(connection: sa.Connection, feed: Feed, batch: list[int]) -> dict[int, str]:
    chosen = sa.and_(templates.c.face_id >= batch[0], templates.c.face_id <= batch[-1])
    rows = connection.execute(feed.templates_query.where(chosen), feed.parameters).all()
    found = {row.face_id for row in rows}
    if len(found) < len(batch):
        found |= set(connection.execute(sa.select(templates.c.face_id).where(chosen)).scalars())  # of other packs
    damaged = {face_id: _NO_TEMPLATE for face_id in batch if face_id not in found}
    try:
        feed.vectors(connection, rows)
    except (DatabaseDamagedError, TemplateIntegrityError):
        for row in rows:
            try:
                feed.vectors(connection, [row])
            except (DatabaseDamagedError, TemplateIntegrityError):
                damaged[row.face_id] = "its template is not what was stored"
    return damaged


def _damaged_faces(connection: sa.Connection, batch: list[int]) -> dict[int, str]:
    """Return the faces whose rows are not what was stored, among those with a valid template."""
    if not batch:
        return {}
    chosen = sa.and_(faces.c.id >= batch[0], faces.c.id <= batch[-1])
    wanted = set(batch)
    rows = [row for row in connection.execute(sa.select(faces).where(chosen)) if row.id in wanted]
    problem = "its box, score, quality or time is not what was stored"
    return {row.id: problem for row in rows if row.checksum != face_checksum(row)}


def _person_problem(row: Any) -> str | None:
    try:
        person_id_of(row.key, row.key_is_int)
        info_of(row.info)
    except DatabaseDamagedError as error:
        return str(error).partition(";")[0]
    if row.checksum != person_checksum(row):
        return f"the details or times of {row.key!r} are not what was stored; check them"
    return None


def _feed_problem(connection: sa.Connection, head: Any) -> str | None:
    mine = changes.c.gallery_id == head.id
    query = sa.select(sa.func.count(), sa.func.min(changes.c.seq), sa.func.max(changes.c.seq)).where(mine)
    number, first, last = connection.execute(query).one()
    if (number, first or 1, last or 0) != (head.position, 1, head.position):
        return f"it has {number} changes up to number {last or 0}, the gallery's row has {head.position}"
    token = connection.execute(sa.select(changes.c.token).where(mine, changes.c.seq == head.position)).scalar()
    if (token or "") != head.token:
        return "its last change is not the one in the gallery's row"
    newest = sa.select(sa.func.max(changes.c.seq)).where(mine, changes.c.face_id.is_not(None))
    added = sa.select(changes.c.face_id).where(
        mine, changes.c.seq.in_(newest.group_by(changes.c.face_id)), changes.c.kind == "add"
    )
    stored = sa.select(faces.c.id).join(people).where(people.c.gallery_id == head.id)
    unlisted = connection.execute(stored.where(faces.c.id.not_in(added)).order_by(faces.c.id)).scalars().first()
    if unlisted is not None:
        return f"it does not list face {unlisted}, which is stored"
    lost = connection.execute(added.where(changes.c.face_id.not_in(stored))).scalars().first()
    return None if lost is None else f"it lists face {lost}, which is not stored"


def _repair_person(connection: sa.Connection, number: int) -> None:
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
    write_checksums(connection, people, people.c.id == number)


def _restart_feed(connection: sa.Connection, feed: Feed) -> None:
    gallery = feed.gallery_id
    connection.execute(changes.delete().where(changes.c.gallery_id == gallery))
    token, at, seq = secrets.token_hex(8), now(), 0
    for batch in _faces(connection, feed):
        chosen = sa.and_(faces.c.id >= batch[0], faces.c.id <= batch[-1])
        owners = {
            row.id: row.person_row
            for row in connection.execute(sa.select(faces.c.id, faces.c.person_row).where(chosen))
        }
        rows = [
            {"gallery_id": gallery, "seq": seq + place, "token": token, "kind": "add", "face_id": face_id}
            | {"person_row": owners[face_id], "created_at": at}
            for place, face_id in enumerate(batch, 1)
        ]
        connection.execute(changes.insert(), rows)
        seq += len(batch)
    stored = count_templates(connection, feed, feed.pin)
    if stored < seq:  # the feed lists faces without a template of this pack: an index must not begin at its start
        seq += 1
        row = {"gallery_id": gallery, "seq": seq, "token": token, "kind": "pack", "face_id": None, "created_at": at}
        connection.execute(changes.insert(), [row])
    last = {"position": seq, "token": token if seq else "", "faces": stored}
    connection.execute(galleries.update().where(galleries.c.id == gallery).values(last))


def _photo_problems(connection: sa.Connection, feed: Feed) -> dict[int, str]:
    """Return the photos that are not what was stored; one is in memory at a time."""
    columns = (photos.c.id, photos.c.person_row, photos.c.content, photos.c.checksum, *_WHOSE)
    query = sa.select(*columns, people.c.checksum.label("named")).join(people, people.c.id == photos.c.person_row)
    query = query.where(people.c.gallery_id == feed.gallery_id).order_by(photos.c.id).limit(1)
    problems: dict[int, str] = {}
    for row in _each(connection, query):
        try:
            photo_content(feed.vault, row)
        except DatabaseDamagedError:
            named = agrees(row.named, name_checksum(row.person_row, row.gallery_id, row.key, row.key_is_int, row.name))
            owner = repr(row.key) if named else "an unknown person"
            problems[row.id] = f"photo {row.id} of {owner} is not what was stored"
    return problems


def _link_problems(connection: sa.Connection, feed: Feed) -> dict[int, str]:
    """Return the faces that refer to a photo that is missing or another person's."""
    query = sa.select(faces.c.id, faces.c.photo_id, photos.c.person_row).join(people, people.c.id == faces.c.person_row)
    query = query.outerjoin(photos, photos.c.id == faces.c.photo_id).where(
        people.c.gallery_id == feed.gallery_id,
        faces.c.photo_id.is_not(None),
        sa.or_(photos.c.id.is_(None), photos.c.person_row != faces.c.person_row),
    )
    return {
        row.id: f"face {row.id} refers to photo {row.photo_id}, which "
        + ("is missing" if row.person_row is None else "is another person's")
        for row in connection.execute(query.order_by(faces.c.id))
    }


def _repair_photos(connection: sa.Connection, damaged: Iterable[int], unlinked: Iterable[int]) -> None:
    """Remove photos, and references to them or to a wrong one."""
    gone, loose = sorted(damaged), sorted(unlinked)
    for start in range(0, len(gone), CHUNK):
        chunk = gone[start : start + CHUNK]
        connection.execute(faces.update().where(faces.c.photo_id.in_(chunk)).values(photo_id=None))
        connection.execute(photos.delete().where(photos.c.id.in_(chunk)))
    for start in range(0, len(loose), CHUNK):
        connection.execute(faces.update().where(faces.c.id.in_(loose[start : start + CHUNK])).values(photo_id=None))


def _each(connection: sa.Connection, query: sa.Select[Any]) -> Iterator[Any]:
    """Yield rows of photos, one in memory at a time."""
    after = 0
    while (row := connection.execute(query.where(photos.c.id > after)).one_or_none()) is not None:
        yield row
        after = row.id
