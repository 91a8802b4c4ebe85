"""What the server stores about a person beside the gallery; deleted in the transaction that deletes the person.

These are the person's accounts with their sign-ins, attendance entries of claims to be that person, and the responses
that are stored for repeated requests. Other attendance entries are deleted with the person's row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ..config import settings
from ..store.feed import CHUNK
from ..store.rows import spellings_of
from ..store.tables import galleries, people
from .tables import accounts, attendance, idempotency

UNKEPT = ""
"""Subject of a response that must not be stored: a person whom it may name was deleted while it was made."""


def subject_of(gallery: str, keys: frozenset[str]) -> str | None:
    """Return the subject under which a response that names people of a gallery is stored.

    Parameters
    ----------
    gallery : str
        Its name.
    keys : frozenset of str
        Ids of the people. A response that names several is deleted with any person of the gallery.

    Returns
    -------
    str or None
        A digest; None when the response names nobody.
    """
    if not keys:
        return None
    return _digest(gallery, next(iter(keys)) if len(keys) == 1 else None)


@dataclass(frozen=True, slots=True)
class PersonEraser:
    """Deletes what the server stores about a person who is being deleted; `facedex.Gallery.open` accepts it as eraser.

    Attributes
    ----------
    account_scopes : tuple of str
        Scopes of clients' accounts. An account with broader scopes is not deleted, but no longer names the person.
    gallery : str
        Name of the gallery that accounts belong to; others are considered only when no other has the id.
    """

    account_scopes: tuple[str, ...]
    gallery: str

    def __call__(self, connection: sa.Connection, gallery: str, row: Any) -> None:
        """Delete it.

        Parameters
        ----------
        connection : sqlalchemy.Connection
            Of the transaction that deletes the person.
        gallery : str
            Name of the gallery.
        row : Row
            Of ``people``.
        """
        claims = sa.and_(
            attendance.c.gallery_id == row.gallery_id, attendance.c.claimed.in_(_own_spellings(connection, row))
        )
        connection.execute(attendance.delete().where(claims))
        _delete_responses(connection, gallery, row.key)
        if self._has_accounts(connection, gallery, row):
            self._delete_accounts(connection, _own_spellings(connection, row))

    def _delete_accounts(self, connection: sa.Connection, keys: Sequence[str]) -> None:
        """Delete the accounts of a person, with their tokens.

        An administrator's account, or one with broader scopes than clients have, is not deleted, but no longer names
        the person: the scope "enrol" allows to delete people.
        """
        mine = accounts.c.person_key.in_(keys)
        clients = set(self.account_scopes) - {"admin"}
        found = connection.execute(sa.select(accounts.c.id, accounts.c.scopes).where(mine)).all()
        gone = [row.id for row in found if clients.issuperset(row.scopes.split())]
        connection.execute(accounts.delete().where(accounts.c.id.in_(gone)))
        connection.execute(accounts.update().where(mine).values(person_key=None))

    def _has_accounts(self, connection: sa.Connection, gallery: str, row: Any) -> bool:
        """Return whether accounts of that id belong to this gallery: the server's, or the only one with that id."""
        linked = sa.select(accounts.c.id).where(accounts.c.person_key.in_(_own_spellings(connection, row))).limit(1)
        if connection.execute(linked).first() is None:
            return False
        if gallery == self.gallery:
            return True
        others = sa.select(galleries.c.id).where(galleries.c.id != row.gallery_id)
        namesake = (
            sa.select(people.c.id)
            .where(people.c.gallery_id.in_(others), people.c.key.in_(spellings_of(row.key)))
            .limit(1)
        )
        return connection.execute(namesake).first() is None


def _own_spellings(connection: sa.Connection, row: Any) -> list[str]:
    """Return the spellings of a person's id, without that of another person in an older gallery."""
    spellings = spellings_of(row.key)
    same = people.c.gallery_id == row.gallery_id, people.c.id != row.id, people.c.key.in_(spellings)
    others = set(connection.execute(sa.select(people.c.key).where(*same)).scalars()) if len(spellings) > 1 else set()
    return [spelling for spelling in spellings if spelling not in others]


def erase_person(connection: sa.Connection, gallery: str, row: Any) -> None:
    """Delete what the server stores about a person, with the settings of the environment."""
    environment = settings()
    PersonEraser(environment.account_scopes, environment.gallery)(connection, gallery, row)


def _delete_responses(connection: sa.Connection, gallery: str, key: str) -> None:
    # First the responses in progress: one that is stored meanwhile is then among those that are deleted.
    # The select takes no locks; an update would lock every row that MariaDB scans.
    begun = connection.execute(sa.select(idempotency.c.digest).where(idempotency.c.status.is_(None))).scalars().all()
    for start in range(0, len(begun), CHUNK):
        still = sa.and_(idempotency.c.digest.in_(begun[start : start + CHUNK]), idempotency.c.status.is_(None))
        connection.execute(idempotency.update().where(still).values(subject=UNKEPT))
    about = (_digest(gallery, key), _digest(gallery, None))
    connection.execute(idempotency.delete().where(idempotency.c.subject.in_(about)))


def _digest(gallery: str, key: str | None) -> str:
    return hashlib.sha256(repr((gallery, key)).encode()).hexdigest()
