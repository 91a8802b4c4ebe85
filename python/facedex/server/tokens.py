"""Tokens: they authenticate an account after its sign-in until they expire or are revoked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ..errors import UnauthenticatedError
from ..store import Database
from ..store.clock import now
from .principals import parse_scopes
from .secrets import TOKEN_MARK, digest_of, new_secret
from .tables import accounts, tokens
from .writing import insert

_SKEW = timedelta(minutes=5)  # between the clocks of machines that share a database
_KEPT = timedelta(days=7)  # after their expiry


@dataclass(frozen=True, slots=True)
class Token:
    """A token, without its secret.

    Attributes
    ----------
    id, account_id : int
    ending : str
        Its last characters, to recognise it.
    method : str
        Of the sign-in: "password" or "face".
    created_at, expires_at : datetime
        UTC.
    revoked_at : datetime or None
    """

    id: int
    account_id: int
    ending: str
    method: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


class Tokens:
    """The tokens of a database. A revoked token is refused at once in every process.

    Parameters
    ----------
    database : Database
    ttl_s : int
        How long a token lasts, seconds.
    """

    def __init__(self, database: Database, ttl_s: int) -> None:
        self._database = database
        self._ttl = timedelta(seconds=ttl_s)

    def issue(
        self, account_id: int, method: str, *, hashed: str | None = None, scopes: tuple[str, ...] | None = None
    ) -> tuple[Token, str]:
        """Issue a token; returns it and its secret, which cannot be shown again.

        Parameters
        ----------
        account_id : int
        method : {"password", "face"}
        hashed : str, optional
            The hash that the password matched.
        scopes : tuple of str, optional
            The account's scopes when they were checked.

        Raises
        ------
        UnauthenticatedError
            When the account is deleted or disabled, or has another password or other scopes by now. A change of it and
            this wait for each other, so a change that ends sign-ins also ends the one in progress.
        """
        secret, at = new_secret(TOKEN_MARK), now()
        values: dict[str, Any] = {"digest": digest_of(secret), "ending": secret[-4:], "account_id": account_id}
        values |= {"method": method, "created_at": at, "expires_at": at + self._ttl}
        mine = sa.select(accounts.c.password, accounts.c.scopes).where(
            accounts.c.id == account_id, accounts.c.disabled_at.is_(None)
        )
        with self._database.write() as connection:
            row = connection.execute(mine.with_for_update()).one_or_none()
            if row is None or hashed not in (None, row.password) or scopes not in (None, parse_scopes(row.scopes)):
                raise UnauthenticatedError("the account was changed or deleted during the sign-in")
            connection.execute(tokens.delete().where(tokens.c.expires_at < at - _KEPT))
            number = insert(connection, tokens, values)
        return Token(number, account_id, secret[-4:], method, at, at + self._ttl, None), secret

    def one(self, secret: str) -> Token | None:
        """Return a valid token of an enabled account; None otherwise."""
        digest = digest_of(secret)
        if digest is None:
            return None
        query = (
            sa.select(tokens)
            .join(accounts, tokens.c.account_id == accounts.c.id)
            .where(tokens.c.digest == digest, _valid())
            .where(accounts.c.disabled_at.is_(None))
        )
        with self._database.single() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _token_of(row)

    def revoke(self, secret: str) -> bool:
        """Revoke a token at once, in every process; returns whether it was valid."""
        digest = digest_of(secret)
        mine = sa.and_(tokens.c.digest == digest, _valid())
        with self._database.remove() as connection:
            return connection.execute(tokens.update().where(mine).values(revoked_at=now())).rowcount > 0

    def revoke_all(self, account_id: int) -> int:
        """Revoke all tokens of an account; returns how many were valid."""
        mine = sa.and_(tokens.c.account_id == account_id, _valid())
        with self._database.remove() as connection:
            return int(connection.execute(tokens.update().where(mine).values(revoked_at=now())).rowcount)

    def active(self, account_id: int) -> list[Token]:
        """List the valid tokens of an account."""
        mine = sa.and_(tokens.c.account_id == account_id, _valid())
        with self._database.single() as connection:
            rows = connection.execute(sa.select(tokens).where(mine).order_by(tokens.c.id)).all()
        return [_token_of(row) for row in rows]


def _valid() -> sa.ColumnElement[bool]:
    """Select valid tokens. One from the future is invalid: the clock was set back, and it would be valid too long."""
    at = now()
    return sa.and_(tokens.c.revoked_at.is_(None), tokens.c.expires_at > at, tokens.c.created_at <= at + _SKEW)


def _token_of(row: Any) -> Token:
    return Token(row.id, row.account_id, row.ending, row.method, row.created_at, row.expires_at, row.revoked_at)
