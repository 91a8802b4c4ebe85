"""Who may use a server: API keys and accounts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .opening import location_of
from .options import DatabaseOption, JsonOption
from .output import answering, counted, document, say, table

if TYPE_CHECKING:
    from ..server import Access, Account

keys = typer.Typer(help="API keys of a server: for programs, with scopes.")
users = typer.Typer(help="Accounts of a server: for people, with a password.")


class Scope(Enum):
    """What can be allowed."""

    read = "read"
    recognise = "recognise"
    enrol = "enrol"
    admin = "admin"


ScopeOption = Annotated[
    list[Scope],
    typer.Option("--scope", "-s", help="What is allowed; repeatable. admin allows all."),
]
PasswordOption = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input instead of asking.")
]
AccountArgument = Annotated[str, typer.Argument(metavar="LOGIN", help="Login or e-mail address.")]


@keys.command("add")
def keys_add(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    scope: ScopeOption,
    days: Annotated[int | None, typer.Option("--days", min=1, help="How long it is of use.")] = None,
    db: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key. It is shown this once."""
    with answering(as_json), _access(db) as access:
        until = None if days is None else datetime.now(timezone.utc) + timedelta(days=days)
        made, secret = access.keys.add(name, [one.value for one in scope], expires_at=until)
        if as_json:
            document(_plain(asdict(made)) | {"key": secret})
        else:
            say(f"key {made.id} for {made.name!r}, allowed to {', '.join(made.scopes)}; it is not shown again:")
            say(secret)


@keys.command("list")
def keys_list(db: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """List the keys, without the keys themselves."""
    with answering(as_json), _access(db) as access:
        listed = access.keys.listed()
        if as_json:
            document({"keys": [_plain(asdict(key)) for key in listed]})
            return
        rows = [
            [
                str(key.id),
                key.name,
                f"{key.prefix}…",
                " ".join(key.scopes),
                _day(key.created_at),
                _day(key.used_at),
                _day(key.expires_at),
                _day(key.revoked_at),
            ]
            for key in listed
        ]
        if rows:
            table(["key", "name", "begins with", "scopes", "made", "used", "ends", "revoked"], rows, right="key")
        say(counted(len(rows), "key"))


@keys.command("revoke")
def keys_revoke(
    number: Annotated[int, typer.Argument(metavar="KEY", help="Its number, as listed.")],
    db: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key useless at once."""
    with answering(as_json), _access(db) as access:
        revoked = access.keys.revoke(number)
        if as_json:
            document(_plain(asdict(revoked)))
        else:
            say(f"key {revoked.id} for {revoked.name!r} is revoked")


@users.command("add")
def users_add(
    login: AccountArgument,
    scope: ScopeOption,
    name: Annotated[str, typer.Option("--name", help="The person's name.")] = "",
    person: Annotated[
        str | None, typer.Option("--person", metavar="ID", help="The registered person whose face may sign in.")
    ] = None,
    password_stdin: PasswordOption = False,
    db: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an account. A login with '@' is an e-mail address."""
    with answering(as_json), _access(db) as access:
        made = access.accounts.add(
            login=None if "@" in login else login,
            email=login if "@" in login else None,
            name=name,
            password=_password(password_stdin),
            scopes=[one.value for one in scope],
            person_key=person,
        )
        _told(made, as_json, f"account {made.id} {login!r} may {', '.join(made.scopes)}")


@users.command("list")
def users_list(db: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """List the accounts."""
    with answering(as_json), _access(db) as access:
        listed: list[Account] = []
        while page := access.accounts.page(listed[-1].id if listed else 0):
            listed += page
        if as_json:
            document({"accounts": [_plain(asdict(one)) for one in listed]})
            return
        rows = [
            [
                str(one.id),
                one.login or one.email or "",
                one.name,
                " ".join(one.scopes),
                one.person_key or "",
                _day(one.created_at),
                _day(one.disabled_at),
            ]
            for one in listed
        ]
        if rows:
            table(["account", "login", "name", "scopes", "person", "made", "disabled"], rows, right="account")
        say(counted(len(rows), "account"))


@users.command("passwd")
def users_passwd(
    login: AccountArgument,
    password_stdin: PasswordOption = False,
    db: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give an account another password, and end its sign-ins."""
    with answering(as_json), _access(db) as access:
        changed = access.accounts.update(_found(access, login).id, password=_password(password_stdin))
        _told(changed, as_json, f"account {changed.id} {login!r} has another password")


@users.command("disable")
def users_disable(
    login: AccountArgument,
    undo: Annotated[bool, typer.Option("--undo", help="Let it sign in again.")] = False,
    db: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let nobody sign in with an account, and end its sign-ins."""
    with answering(as_json), _access(db) as access:
        changed = access.accounts.update(_found(access, login).id, disabled=not undo)
        _told(changed, as_json, f"account {changed.id} {login!r} is {'enabled' if undo else 'disabled'}")


@contextmanager
def _access(db: str | None) -> Iterator[Access]:
    try:
        from ..server import Access
    except ImportError as error:
        raise typer.BadParameter(f"{error}; install the server with: pip install 'facedex[server]'") from error
    from ..store import Database

    access = Access(Database(location_of(db)))
    try:
        yield access
    finally:
        access.close()


def _found(access: Access, login: str) -> Account:
    from ..errors import UnknownAccountError

    found = access.accounts.named(login)
    if found is None:
        raise UnknownAccountError(f"there is no account {login!r}")
    return found


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    given: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return given


def _told(account: Account, as_json: bool, sentence: str) -> None:
    if as_json:
        document(_plain(asdict(account)))
    else:
        say(sentence)


def _plain(content: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in content.items()}


def _day(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M}"
