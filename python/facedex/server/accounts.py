"""Accounts, which sign in with a password or with the face of their person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from types import EllipsisType
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from ..checks import check_int
from ..errors import ArgumentError, DuplicateAccountError, UnknownAccountError, UnknownPersonError
from ..plain import record_to_dict
from ..store import Database
from ..store.clock import now
from ..store.rows import LONGEST, checked_text, info_of, json_of, plain_id, spellings_of, text_within
from ..store.tables import VERSION_TABLE, galleries, people
from .principals import Principal, check_scopes, parse_scopes
from .secrets import Passwords
from .tables import accounts, tokens
from .writing import insert, log_event

NAME_LENGTH = 255
"""Maximum length of a login and an e-mail address, characters."""

ADMINISTERED = sa.exists().where(
    accounts.c.scopes.contains("admin"), accounts.c.disabled_at.is_(None), accounts.c.password.is_not(None)
)
"""Whether an account can sign in and administer."""

_TAKEN = "another account has that login or e-mail address"
_LOCK = sa.select(sa.table(VERSION_TABLE, sa.column("version_num"))).with_for_update()
"""Locks a row that every database has, so that one check for a missing row runs at a time; SQLite locks everything."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account, without the hash of its password.

    Attributes
    ----------
    id : int
        Never reused.
    login : str or None
        In lower case; the e-mail address signs in too.
    email : str or None
    name : str
    scopes : tuple of str
    person_key : str or None
        The person whose face signs in.
    profile : dict
        Custom data.
    created_at : datetime
        UTC.
    disabled_at : datetime or None
        Since when it cannot sign in, UTC.
    has_password : bool
    """

    id: int
    login: str | None
    email: str | None
    name: str
    scopes: tuple[str, ...]
    person_key: str | None
    profile: dict[str, Any] = field(hash=False)
    created_at: datetime
    disabled_at: datetime | None
    has_password: bool

    to_dict = record_to_dict

    @property
    def principal(self) -> Principal:
        """The principal of its sign-ins."""
        name = self.login or self.email or str(self.id)
        return Principal("account", f"account:{name}"[:255], frozenset(self.scopes), self.id, self.person_key)


class Accounts:
    """The accounts of a database.

    Parameters
    ----------
    database : Database
    passwords : Passwords
    """

    def __init__(self, database: Database, passwords: Passwords) -> None:
        self._database = database
        self.passwords = passwords

    def add(
        self,
        *,
        login: str | None = None,
        email: str | None = None,
        name: str = "",
        password: str | None = None,
        scopes: Iterable[str] = ("read",),
        person_key: str | int | None = None,
        expected: bool = False,
        profile: dict[str, Any] | None = None,
    ) -> Account:
        """Create an account.

        An account of a person gets a random login if it has neither login nor e-mail address. The person must be
        registered, unless ``expected``: then the caller registers the person next, under a new id.

        Raises
        ------
        UnknownPersonError
            When no gallery has a person with that id. A deletion and this wait for each other.
        DuplicateAccountError
            When another account has that login or e-mail address, as either of the two.
        ArgumentError
            When a value is invalid.
        """
        if login is None and email is None:
            if person_key is None:
                raise ArgumentError("an account needs a login, an e-mail address or a person, got none of them")
            login = f"account-{uuid4()}"
        values: dict[str, Any] = {
            "login": _key("login", login),
            **_email(email),
            "name": text_within("name", name, LONGEST["name"]),
            "password": None if password is None else self.passwords.hash(password),
            "person_key": _person(person_key),
            "profile": json_of(profile or {}),
            "scopes": " ".join(check_scopes(scopes)),
            "created_at": now(),
        }
        with self._database.write() as connection, _refuse_duplicate(connection):
            if not expected:
                _lock_person(connection, values["person_key"])
            _refuse_crossing(connection, None, values["login"], values["email_key"])
            number = insert(connection, accounts, values)
            created = _row(connection, number)  # here: it may be deleted as soon as this is committed
        log_event("account %d is created with scopes %s", number, values["scopes"])
        return _account_of(created)

    def one(self, number: int) -> Account:
        """Return an account; raises UnknownAccountError."""
        with self._database.single() as connection:
            return _account_of(_row(connection, number))

    def find(self, login: str) -> Account | None:
        """Return the account with that login or e-mail address, in any case; None if there is none."""
        row = self._find(login)
        return None if row is None else _account_of(row)

    def of_person(self, person_key: str | int) -> list[Account]:
        """List the accounts of a person."""
        with self._database.single() as connection:
            query = (
                sa.select(accounts).where(accounts.c.person_key.in_(spellings_of(person_key))).order_by(accounts.c.id)
            )
            return [_account_of(row) for row in connection.execute(query)]

    def page(self, after: int = 0, limit: int = 100) -> list[Account]:
        """List accounts with a higher id, in order."""
        after, limit = check_int("after", after), check_int("limit", limit, minimum=0)
        with self._database.single() as connection:
            query = sa.select(accounts).where(accounts.c.id > after).order_by(accounts.c.id).limit(limit)
            return [_account_of(row) for row in connection.execute(query)]

    def update(
        self,
        number: int,
        *,
        email: str | EllipsisType | None = ...,
        name: str | EllipsisType = ...,
        password: str | EllipsisType | None = ...,
        scopes: Iterable[str] | EllipsisType = ...,
        person_key: str | int | EllipsisType | None = ...,
        profile: dict[str, Any] | EllipsisType = ...,
        disabled: bool | EllipsisType = ...,
    ) -> Account:
        """Change an account. A new password, other scopes or disabling end its sign-ins.

        Raises
        ------
        UnknownAccountError, UnknownPersonError, DuplicateAccountError, ArgumentError
        """
        values: dict[str, Any] = {}
        if email is not ...:
            values |= _email(email)
        if name is not ...:
            values["name"] = text_within("name", name, LONGEST["name"])
        if password is not ...:
            values["password"] = None if password is None else self.passwords.hash(password)
        if scopes is not ...:
            values["scopes"] = " ".join(check_scopes(scopes))
        if person_key is not ...:
            values["person_key"] = _person(person_key)
        if profile is not ...:
            values["profile"] = json_of(profile)
        if disabled is not ...:
            values["disabled_at"] = now() if disabled else None
        if not values:
            return self.one(number)
        ends = disabled is True  # must work on a full disk too
        with self._database.remove() if ends else self._database.write() as connection:
            with _refuse_duplicate(connection):
                _lock_person(connection, values.get("person_key"))
                _refuse_crossing(connection, number, None, values.get("email_key"))
                connection.execute(accounts.update().where(accounts.c.id == number).values(values))
            changed = _row(connection, number)
            if values.keys() & {"password", "disabled_at", "scopes"}:
                connection.execute(
                    tokens.update()
                    .where(tokens.c.account_id == number, tokens.c.revoked_at.is_(None))
                    .values(revoked_at=now())
                )
        self._database.wipe_log_soon()
        log_event("account %d is changed: %s", number, ", ".join(sorted(values.keys() - {"email_key"})))
        return _account_of(changed)

    def delete(self, number: int) -> None:
        """Delete an account with its tokens; raises UnknownAccountError."""
        with self._database.remove() as connection:
            if connection.execute(accounts.delete().where(accounts.c.id == number)).rowcount == 0:
                raise UnknownAccountError(f"there is no account {number}")
        self._database.wipe_log_soon()
        log_event("account %d is deleted", number)

    def verify(self, login: str, password: str) -> tuple[Account, str] | None:
        """Return the account and its hash if the password is right; None otherwise, in the same time.

        The hash shows later whether the password was changed in between.
        """
        row = self._find(login)
        usable = row is not None and row.disabled_at is None
        hashed: str | None = row.password if usable else None
        if not self.passwords.verify(hashed, password) or hashed is None:
            return None
        if self.passwords.needs_rehash(hashed):
            renewed = self.passwords.hash(password)
            with self._database.write() as connection:
                same = sa.and_(accounts.c.id == row.id, accounts.c.password == hashed)
                if connection.execute(accounts.update().where(same).values(password=renewed)).rowcount == 0:
                    return None  # the password was changed in between
            hashed = renewed
        return _account_of(row), hashed

    def _find(self, login: str) -> Any:
        key = login.strip().casefold()
        if not key or len(key) > NAME_LENGTH:
            return None
        with suppress(ArgumentError):
            checked_text("login", key)
            # An address belongs to its owner, even if an older version gave another account that login.
            found = self._rows(sa.or_(accounts.c.login == key, accounts.c.email_key == key))
            return next((row for row in found if row.email_key == key), found[0] if found else None)
        return None

    def _rows(self, which: Any) -> Sequence[Any]:
        with self._database.single() as connection:
            return connection.execute(sa.select(accounts).where(which)).all()


def _row(connection: sa.Connection, number: int) -> Any:
    row = connection.execute(sa.select(accounts).where(accounts.c.id == number)).first()
    if row is None:
        raise UnknownAccountError(f"there is no account {number}")
    return row


@contextmanager
def _refuse_duplicate(connection: sa.Connection) -> Iterator[None]:
    """Refuse a login or address that another account has."""
    try:
        with connection.begin_nested():
            yield
    except sa.exc.IntegrityError:
        raise DuplicateAccountError(_TAKEN) from None


def _lock_person(connection: sa.Connection, person_key: str | None) -> None:
    """Prevent the deletion of a person until the transaction ends; raises UnknownPersonError."""
    if person_key is None:
        return
    every = sa.select(galleries.c.id)
    known = sa.select(people.c.gallery_id).where(
        people.c.gallery_id.in_(every), people.c.key.in_(spellings_of(person_key))
    )
    held = sorted(connection.execute(known).scalars())
    for number in held:  # in order, by the primary key, as the store locks them
        connection.execute(every.where(galleries.c.id == number).with_for_update(read=True))
    still = known.where(people.c.gallery_id.in_(held)).limit(1)
    if connection.execute(still).first() is None:
        raise UnknownPersonError(f"nobody is registered as {person_key!r}", person_id=person_key)


def _refuse_crossing(connection: sa.Connection, number: int | None, login: str | None, email_key: str | None) -> None:
    """Refuse a login that is another account's e-mail address, and the other way round."""
    wanted = ((accounts.c.email_key, login), (accounts.c.login, email_key))
    conflicts = [column == key for column, key in wanted if key is not None]
    if not conflicts:
        return
    connection.execute(_LOCK).all()
    others = sa.select(accounts.c.id).where(sa.or_(*conflicts))
    if any(found != number for found in connection.execute(others).scalars()):
        raise DuplicateAccountError(_TAKEN)


def _person(person_key: str | int | None) -> str | None:
    return None if person_key is None else checked_text("person_key", plain_id(person_key), longest=255)


def _key(what: str, text: str | None) -> str | None:
    if text is None:
        return None
    key = checked_text(what, text, longest=NAME_LENGTH).strip().casefold()
    if not key or len(key) > NAME_LENGTH or not key.isprintable():
        raise ArgumentError(f"{what} must be 1 to {NAME_LENGTH} printable characters, got {text!r}")
    return key


def _email(email: str | None) -> dict[str, str | None]:
    if email is None:
        return {"email": None, "email_key": None}
    key = _key("email", email)
    name, _, domain = email.strip().rpartition("@")
    if not name or not domain or any(char.isspace() for char in email.strip()):
        raise ArgumentError(f"email must be an e-mail address such as ayu@example.org, got {email!r}")
    return {"email": email.strip(), "email_key": key}


def _account_of(row: Any) -> Account:
    return Account(
        id=row.id,
        login=row.login,
        email=row.email,
        name=row.name,
        scopes=parse_scopes(row.scopes),
        person_key=row.person_key,
        profile=info_of(row.profile),
        created_at=row.created_at,
        disabled_at=row.disabled_at,
        has_password=row.password is not None,
    )
