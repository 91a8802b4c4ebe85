"""The fused template of each person, derived from the stored ones: the normalised mean of the person's embeddings.

Faces stay stored one by one. `FusedFeed` gives the change feed of a gallery in terms of people: what an index of one
row a person follows. It has no state of its own: a change names its person, whose template is made anew from all that
is stored. One stored face is its own fused template, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from .feed import CHUNK, Feed
from .rows import Delta, people_of
from .tables import faces, people, templates

_OPPOSITE = 1e-6
"""A mean shorter than this has no direction: its embeddings point to opposite sides."""

_NOTHING = np.empty(0, dtype=np.uint64)

_REGISTERED = sa.select(people.c.id).where(
    people.c.gallery_id == sa.bindparam("gallery"),
    sa.exists(
        sa.select(templates.c.face_id)
        .join(faces, templates.c.face_id == faces.c.id)
        .where(faces.c.person_row == people.c.id, templates.c.pack_digest == sa.bindparam("digest"))
    ),
)
"""The people of a gallery who have a template of one pack."""


class FusedTemplates(NamedTuple):
    """The fused templates of n people.

    Attributes
    ----------
    people : ndarray of uint64, shape (n,)
        The people's rows in the database, ascending.
    vectors : ndarray of float32, shape (n, dimension)
        Unit length.
    faces : ndarray of int64, shape (n,)
        Number of stored faces that each is made of, from 1.
    """

    people: NDArray[np.uint64]
    vectors: NDArray[np.float32]
    faces: NDArray[np.int64]


def fuse(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the normalised mean of a person's embeddings.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, dimension)
        Unit length; n from 1, oldest first.

    Returns
    -------
    ndarray of float32, shape (dimension,)
        Unit length. Of a single embedding it is that embedding. Embeddings whose mean has no direction, which no two
        pictures of a face have, give the oldest.

    Examples
    --------
    >>> fuse(np.array([[1, 0], [0, 1]], np.float32))
    array([0.70710677, 0.70710677], dtype=float32)
    """
    fused: NDArray[np.float32] = _fuse_groups(vectors, np.zeros(1, dtype=np.intp))[0]
    return fused


def fused_templates(feed: Feed) -> FusedTemplates:
    """Read the fused templates of everybody in a gallery, all of one state.

    Raises
    ------
    DatabaseDamagedError
        When a template is not what was stored.
    """
    with feed.database.read() as connection:
        parts = list(_all_people(connection, feed))
    empty = FusedTemplates(_NOTHING, np.empty((0, feed.pin.dimension), np.float32), np.empty(0, np.int64))
    columns = zip(*(parts or [empty]), strict=True)
    return FusedTemplates(*map(np.concatenate, columns))


class Sample(NamedTuple):
    """One face and the fused template of n people, drawn at random.

    Attributes
    ----------
    faces, fused : ndarray of float32, shape (n, dimension)
        Unit length.
    """

    faces: NDArray[np.float32]
    fused: NDArray[np.float32]


def count_registered(feed: Feed) -> int:
    """Count the people who have a template of the gallery's pack."""
    with feed.database.single() as connection:
        return count_registered_in(connection, feed)


def count_registered_in(connection: sa.Connection, feed: Feed) -> int:
    """Count them in the caller's transaction."""
    query = sa.select(sa.func.count()).select_from(_REGISTERED.subquery())
    return int(connection.execute(query, feed.parameters).scalar_one())


def read_sample(connection: sa.Connection, feed: Feed, most: int) -> Sample:
    """Read the oldest face and the fused template of at most so many people, always the same of the same people.

    Raises
    ------
    DatabaseDamagedError
        When a template is not what was stored.
    """
    rows = np.array(sorted(connection.execute(_REGISTERED, feed.parameters).scalars()), dtype=np.int64)
    chosen = np.sort(np.random.default_rng(0).permutation(rows)[:most])
    faces, fused = [], []
    for start in range(0, len(chosen), CHUNK):
        owners, _, vectors = _read_faces(connection, feed, chosen[start : start + CHUNK].tolist())
        starts = np.unique(owners, return_index=True)[1]
        faces.append(vectors[starts])
        fused.append(_fuse_groups(vectors, starts))
    return Sample(np.concatenate(faces), np.concatenate(fused))


def faces_by_person(feed: Feed) -> Iterator[tuple[int, list[int], NDArray[np.float32]]]:
    """Yield each person who has several templates: row, ids of the faces, oldest first, and vectors (n, dimension).

    Raises
    ------
    DatabaseDamagedError
        When a template is not what was stored.
    """
    with feed.database.read() as connection:
        rows = sorted(connection.execute(_REGISTERED, feed.parameters).scalars())
        for start in range(0, len(rows), CHUNK):
            owners, keys, vectors = _read_faces(connection, feed, rows[start : start + CHUNK])
            starts = np.flatnonzero(np.diff(owners, prepend=0))
            for begin, end in zip(starts.tolist(), [*starts[1:].tolist(), len(owners)], strict=True):
                if end - begin > 1:
                    yield int(owners[begin]), keys[begin:end].tolist(), vectors[begin:end]


class FusedFeed:
    """The feed of a gallery with one row a person: its key is the row of the person, its vector the fused template.

    Parameters
    ----------
    feed : Feed
        The gallery, bound to its pack.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def since(self, position: int, token: str) -> Delta | None:
        """Return what changed after a position, as `Feed.since` does.

        Everybody of whom a face was added or removed is removed, and added again with the faces that are stored now.
        """
        feed = self._feed
        with feed.database.read() as connection:
            head = feed.read_head(connection)
            rows = feed.changes_after(connection, head, position, token)
            if rows is None or any(row.person_row is None for row in rows):
                return None
            changed = sorted({row.person_row for row in rows})
            last = {row.face_id: row.kind for row in rows}
            added = {face_id for face_id, kind in last.items() if kind == "add"}
            parts = []
            for start in range(0, len(changed), CHUNK):
                found, part = _read_people(connection, feed, changed[start : start + CHUNK])
                added.difference_update(found)
                parts.append(part)
            if added:
                raise feed.lacks_templates()
        keys = np.concatenate([part.people for part in parts]) if parts else _NOTHING
        vectors = np.concatenate([part.vectors for part in parts]) if parts else self._no_vectors()
        removed = np.array(changed, dtype=np.uint64)
        return Delta(head.position, head.token, keys, vectors, removed, keys, any(row.kind == "remove" for row in rows))

    def templates(self) -> Iterator[Delta]:
        """Yield everybody, in batches that belong to one state; at least one, which may be empty."""
        feed = self._feed
        with feed.database.read() as connection:
            head = feed.read_head(connection)
            feed.check_key(connection)
            yield Delta(head.position, head.token, _NOTHING, self._no_vectors(), _NOTHING, _NOTHING)
            found = 0
            for part in _all_people(connection, feed):
                yield Delta(head.position, head.token, part.people, part.vectors, _NOTHING, part.people)
                found += int(part.faces.sum())
        if found != head.faces:
            raise feed.lacks_templates()

    def _no_vectors(self) -> NDArray[np.float32]:
        return np.empty((0, self._feed.pin.dimension), dtype=np.float32)


def _all_people(connection: sa.Connection, feed: Feed) -> Iterator[FusedTemplates]:
    """Yield everybody who has a template, in batches in the order of their rows."""
    rows = sorted(connection.execute(_REGISTERED, feed.parameters).scalars())
    for start in range(0, len(rows), CHUNK):
        yield _read_people(connection, feed, rows[start : start + CHUNK])[1]


def _read_people(connection: sa.Connection, feed: Feed, person_rows: Sequence[int]) -> tuple[list[int], FusedTemplates]:
    """Read the ids of all faces of these people, and the fused templates of those who have any."""
    owners, keys, vectors = _read_faces(connection, feed, person_rows)
    people_found, starts, numbers = np.unique(owners, return_index=True, return_counts=True)
    return keys.tolist(), FusedTemplates(people_found, _fuse_groups(vectors, starts), numbers.astype(np.int64))


def _read_faces(
    connection: sa.Connection, feed: Feed, person_rows: Sequence[int]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.float32]]:
    """Read person, id and vector of all faces of these people, by person and then oldest first."""
    chosen = feed.templates_query.where(people.c.id.in_(person_rows)).order_by(None)
    rows: list[Any] = sorted(
        connection.execute(chosen, feed.parameters).all(), key=lambda row: (row.person_row, row.face_id)
    )
    keys, vectors = feed.vectors(connection, rows)
    return people_of(rows), keys, vectors


def _fuse_groups(vectors: NDArray[np.float32], starts: NDArray[np.intp]) -> NDArray[np.float32]:
    """Fuse consecutive vectors, of which each group begins at one of `starts`."""
    fused = vectors[starts]
    numbers = np.diff(starts, append=len(vectors))
    several = np.flatnonzero(numbers > 1)
    if len(several):
        sums = np.add.reduceat(vectors.astype(np.float64), starts, axis=0)[several]
        lengths = np.linalg.norm(sums, axis=1)
        directed = lengths > _OPPOSITE * numbers[several]
        fused[several[directed]] = sums[directed] / lengths[directed, None]
    return fused
