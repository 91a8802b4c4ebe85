"""What the server keeps about somebody beside the gallery; it goes in the transaction that deletes the person.

The person's accounts with their sign-ins, what the attendance says of claims to be that person, and the answers that
are kept for requests that are sent again. What the attendance says of the person otherwise goes with the person's row.
"""

from __future__ import annotations

import hashlib
from typing import Any

import sqlalchemy as sa

from ..config import settings
from .feed import CHUNK
from .tables import accounts, attendance, galleries, idempotency, people

UNKEPT = ""
"""Subject of an answer that is not to be kept: somebody was deleted while it was made, whom it may name."""


def subject_of(gallery: str, keys: frozenset[str]) -> str | None:
    """Tell under what an answer is kept that names people of a gallery.

    Parameters
    ----------
    gallery : str
        Its name.
    keys : frozenset of str
        Ids of the people. An answer that names several goes when anybody of the gallery is deleted.

    Returns
    -------
    str or None
        A digest; None when it names nobody.
    """
    if not keys:
        return None
    return _digest(gallery, next(iter(keys)) if len(keys) == 1 else None)


def forget_person(connection: sa.Connection, gallery: str, row: Any) -> None:
    """Delete what is kept about a person who is being deleted.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        Of the transaction that deletes the person.
    gallery : str
        Name of the gallery.
    row : Row
        Of ``people``.
    """
    claims = sa.and_(attendance.c.gallery_id == row.gallery_id, attendance.c.claimed == row.key)
    connection.execute(attendance.delete().where(claims))
    _forget_answers(connection, gallery, row.key)
    if _are_of(connection, gallery, row):
        _forget_accounts(connection, row.key)


def _forget_accounts(connection: sa.Connection, key: str) -> None:
    """Delete the accounts of a person, with their tokens.

    One that administers, or may more than accounts of clients do, stays, without the person: whoever may enrol may
    delete people.
    """
    mine = accounts.c.person_key == key
    clients = set(settings().account_scopes) - {"admin"}
    found = connection.execute(sa.select(accounts.c.id, accounts.c.scopes).where(mine)).all()
    gone = [row.id for row in found if clients.issuperset(row.scopes.split())]
    connection.execute(accounts.delete().where(accounts.c.id.in_(gone)))
    connection.execute(accounts.update().where(mine).values(person_key=None))


def _forget_answers(connection: sa.Connection, gallery: str, key: str) -> None:
    # First those that are being made: one that is kept meanwhile is then among those that are deleted.
    # Looked for without locks: an update would take one on every row that MariaDB passes on its way.
    begun = connection.execute(sa.select(idempotency.c.digest).where(idempotency.c.status.is_(None))).scalars().all()
    for start in range(0, len(begun), CHUNK):
        still = sa.and_(idempotency.c.digest.in_(begun[start : start + CHUNK]), idempotency.c.status.is_(None))
        connection.execute(idempotency.update().where(still).values(subject=UNKEPT))
    about = (_digest(gallery, key), _digest(gallery, None))
    connection.execute(idempotency.delete().where(idempotency.c.subject.in_(about)))


def _are_of(connection: sa.Connection, gallery: str, row: Any) -> bool:
    """Tell whether accounts of that id are of this gallery: the server's, or the only one that has somebody of it."""
    linked = sa.select(accounts.c.id).where(accounts.c.person_key == row.key).limit(1)
    if connection.execute(linked).first() is None:
        return False
    if gallery == settings().gallery:
        return True
    others = sa.select(galleries.c.id).where(galleries.c.id != row.gallery_id)
    namesake = sa.select(people.c.id).where(people.c.gallery_id.in_(others), people.c.key == row.key).limit(1)
    return connection.execute(namesake).first() is None


def _digest(gallery: str, key: str | None) -> str:
    return hashlib.sha256(repr((gallery, key)).encode()).hexdigest()
