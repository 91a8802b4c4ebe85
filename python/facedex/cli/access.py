"""Who may use a server: API keys and accounts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Annotated

import typer

from ..config import SCOPE_SPELLINGS, SCOPES
from .documents import to_json
from .opening import check_database, command, location_of, standard_input
from .options import DatabaseOption
from .output import Output, format_time, pluralize, print_line, print_table

if TYPE_CHECKING:
    from ..server import Access, Account

keys = typer.Typer(help="API keys of a server: for programs, with scopes.")
users = typer.Typer(help="Accounts of a server: for people, with a password.")


def _check_scopes(scopes: list[str]) -> list[str]:
    named = [SCOPE_SPELLINGS.get(scope, scope) for scope in scopes]
    for scope in named:
        if scope not in SCOPES:
            raise typer.BadParameter(f"{scope!r} is not one of {', '.join(SCOPES)}")
    return named


ScopeOption = Annotated[
    list[str],
    typer.Option(
        "--scope",
        "-s",
        metavar="|".join(SCOPES),
        callback=_check_scopes,
        help="What is allowed; repeatable. admin allows everything.",
    ),
]
PasswordOption = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input instead of asking for it.")
]
AccountArgument = Annotated[str, typer.Argument(metavar="LOGIN", help="Login or e-mail address.")]


@keys.command("add")
@command
def keys_add(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    scope: ScopeOption,
    days: Annotated[int | None, typer.Option("--days", min=1, help="How long it is valid.")] = None,
    db: DatabaseOption = None,
) -> Output:
    """Create a key. It is shown only once."""
    until = None if days is None else datetime.now(timezone.utc) + timedelta(days=days)
    with _open_access(db, create=True) as access:
        made, secret = access.keys.add(name, scope, expires_at=until)

    def show() -> None:
        print_line(f"key {made.id} for {made.name!r}, allowed to {', '.join(made.scopes)}; it is not shown again:")
        print_line(secret)

    return Output(to_json(made) | {"key": secret}, show)


@keys.command("list")
@command
def keys_list(db: DatabaseOption = None) -> Output:
    """List the keys, without their secrets."""
    with _open_access(db) as access:
        listed = access.keys.all()

    def show() -> None:
        rows = [
            [
                str(key.id),
                key.name,
                f"{key.prefix}…",
                " ".join(key.scopes),
                *map(format_time, (key.created_at, key.used_at, key.expires_at, key.revoked_at)),
            ]
            for key in listed
        ]
        columns = ["key", "name", "begins with", "scopes", "created", "used", "expires", "revoked"]
        print_table(columns, rows, right="key")
        print_line(pluralize(len(rows), "key"))

    return Output({"keys": listed}, show)


@keys.command("revoke")
@command
def keys_revoke(
    number: Annotated[int, typer.Argument(metavar="KEY", help="Its number, as listed.")], db: DatabaseOption = None
) -> Output:
    """Revoke a key at once."""
    with _open_access(db) as access:
        revoked = access.keys.revoke(number)
    return Output(revoked, lambda: print_line(f"key {revoked.id} for {revoked.name!r} is revoked"))


@users.command("add")
@command
def users_add(
    login: AccountArgument,
    scope: ScopeOption,
    name: Annotated[str, typer.Option("--name", help="The person's name.")] = "",
    person: Annotated[
        str | None, typer.Option("--person", metavar="ID", help="The registered person whose face may sign in.")
    ] = None,
    password_stdin: PasswordOption = False,
    db: DatabaseOption = None,
) -> Output:
    """Create an account. A login with '@' is an e-mail address."""
    with _open_access(db, create=True) as access:
        made = access.accounts.add(
            login=None if "@" in login else login,
            email=login if "@" in login else None,
            name=name,
            password=_read_password(password_stdin),
            scopes=scope,
            person_key=person,
        )
    return Output(made, lambda: print_line(f"account {made.id} {login!r} may {', '.join(made.scopes)}"))


@users.command("list")
@command
def users_list(db: DatabaseOption = None) -> Output:
    """List the accounts."""
    listed: list[Account] = []
    with _open_access(db) as access:
        while page := access.accounts.page(listed[-1].id if listed else 0):
            listed += page

    def show() -> None:
        rows = [
            [
                str(one.id),
                one.login or one.email or "",
                one.name,
                " ".join(one.scopes),
                one.person_key or "",
                *map(format_time, (one.created_at, one.disabled_at)),
            ]
            for one in listed
        ]
        print_table(["account", "login", "name", "scopes", "person", "created", "disabled"], rows, right="account")
        print_line(pluralize(len(rows), "account"))

    return Output({"accounts": listed}, show)


@users.command("passwd")
@command
def users_passwd(login: AccountArgument, password_stdin: PasswordOption = False, db: DatabaseOption = None) -> Output:
    """Change the password of an account, and end its sessions."""
    with _open_access(db) as access:
        changed = access.accounts.update(_find(access, login).id, password=_read_password(password_stdin))
    return Output(changed, lambda: print_line(f"account {changed.id} {login!r} has a new password"))


@users.command("disable")
@command
def users_disable(
    login: AccountArgument,
    undo: Annotated[bool, typer.Option("--undo", help="Let it sign in again.")] = False,
    db: DatabaseOption = None,
) -> Output:
    """Disable an account, and end its sessions."""
    with _open_access(db) as access:
        changed = access.accounts.update(_find(access, login).id, disabled=not undo)
    state = "enabled" if undo else "disabled"
    return Output(changed, lambda: print_line(f"account {changed.id} {login!r} is {state}"))


@contextmanager
def _open_access(db: str | None, *, create: bool = False) -> Iterator[Access]:
    """Open the accounts and keys; only adding one creates a database."""
    try:
        from ..server import Access
    except ImportError as error:
        raise typer.BadParameter(f"{error}; install the server with: pip install 'facedex[server]'") from error
    from ..store import Database

    location = location_of(db)
    if not create:
        check_database(location)
    access = Access(Database(location, create=create))
    try:
        yield access
    finally:
        access.close()


def _find(access: Access, login: str) -> Account:
    from ..errors import UnknownAccountError

    found = access.accounts.find(login)
    if found is None:
        raise UnknownAccountError(f"there is no account {login!r}")
    return found


def _read_password(from_stdin: bool) -> str:
    if from_stdin:
        standard_input("--password-stdin")
        return sys.stdin.readline().rstrip("\r\n")
    given: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return given
