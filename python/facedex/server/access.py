"""All about access in one place: sign in, sign out, whose key or token this is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import sqlalchemy as sa

from ..config import settings
from ..errors import AttemptsError, ForbiddenError, SignInError, UnauthenticatedError, UnknownAccountError
from ..store import Database
from ..store.clock import now
from .accounts import ADMINISTERED, Account, Accounts
from .attempts import Attempts, Lockout, Tried
from .attendance import Attendance
from .keys import USABLE, ApiKeys
from .memory import Memory
from .notes import acting_from, note_failed, noted
from .passwords import Passwords
from .principals import ANYBODY, Principal
from .replies import Replies
from .secrets import KEY_MARK, digest_of
from .tokens import Token, Tokens

_GUARDED = sa.select(sa.or_(USABLE, ADMINISTERED))  # made once, because it is asked with every request without a key
_UNGUARDED = "keys are off"
_WRONG = "wrong login or password"


@dataclass(frozen=True, slots=True)
class SignIn:
    """Somebody has signed in.

    Attributes
    ----------
    account : Account
    token : Token
    secret : str
        What to show from now on; never shown by ``repr``.
    """

    account: Account
    token: Token
    secret: str

    def __repr__(self) -> str:
        return f"SignIn({self.account!r}, {self.token!r})"


class Access:
    """Accounts, keys, tokens and attempts of a database.

    Parameters
    ----------
    database : Database
    ttl_s : int
        How long a sign-in lasts, seconds.
    lockout : Lockout
    passwords : Passwords, optional

    Attributes
    ----------
    accounts : Accounts
    keys : ApiKeys
    tokens : Tokens
    attempts : Attempts
    replies : Replies
    attendance : Attendance
    """

    def __init__(
        self,
        database: Database,
        *,
        ttl_s: int = 12 * 3600,
        lockout: Lockout | None = None,
        passwords: Passwords | None = None,
    ) -> None:
        self.database = database
        self.accounts = Accounts(database, Passwords() if passwords is None else passwords)
        self.keys = ApiKeys(database)
        self.tokens = Tokens(database, ttl_s)
        self.attempts = Attempts(database, Lockout() if lockout is None else lockout)
        self.replies = Replies(database)
        self.attendance = Attendance(database)
        self._memory = Memory(database)

    def sign_in(self, login: str, password: str, *, address: str) -> SignIn:
        """Sign in with a password.

        Parameters
        ----------
        login : str
            Login or e-mail address.
        password : str
        address : str
            Where it comes from.

        Raises
        ------
        SignInError
            One message, after one time, for an account that does not exist and for another password, be it one that was
            set while this one was checked.
        AttemptsError
            After too many failures.
        """
        known = self.accounts.named(login)
        who: Tried = ("login", login) if known is None else ("account", str(known.id))
        try:
            self.attempts.begin(who, address)
            signed = self._signed_in(login, password, address)
        except (AttemptsError, SignInError):
            note_failed("password", None if known is None else known.id, address)
            raise
        self.attempts.succeed(who, address)
        return signed

    def _signed_in(self, login: str, password: str, address: str) -> SignIn:
        found = self.accounts.verified(login, password)
        if found is None:
            raise SignInError(_WRONG)
        account, hashed = found
        try:
            with acting_from(address):
                return self.admit(account, "password", hashed=hashed)
        except UnauthenticatedError:
            raise SignInError(_WRONG) from None

    def admit(
        self, account: Account, method: str, *, within: Iterable[str] | None = None, hashed: str | None = None
    ) -> SignIn:
        """Give a token to an account that has shown who it is.

        Parameters
        ----------
        account : Account
        method : {"password", "face"}
        within : iterable of str, optional
            What accounts of clients may do, where the environment does not say it. A face signs in no account that may
            more, and none that administers: whoever may enrol could have given the person another face.
        hashed : str, optional
            The hash with which the password was found to agree.

        Raises
        ------
        UnauthenticatedError
            When the account was changed or deleted since it was looked up.
        ForbiddenError
            When the account is disabled, or may more than a face allows.
        """
        if account.disabled_at is not None:
            raise ForbiddenError("this account is disabled")
        clients = settings().account_scopes if within is None else within
        if method == "face" and not account.principal.within(clients):
            raise ForbiddenError("an account that may more than accounts of clients signs in with its password")
        token, secret = self.tokens.issue(account.id, method, hashed=hashed, scopes=account.scopes)
        noted("account %d signs in with its %s", account.id, method)
        return SignIn(account, token, secret)

    def principal(self, secret: str) -> Principal | None:
        """Tell who shows this key or token; None when it is of no use."""
        stamp = self._memory.stamp()
        found = self._principal(secret)
        if found is not None:
            self._memory.keep(stamp, _question(secret), found)
        return found

    def recalled(self, secret: str) -> Principal | None:
        """Tell the same without waiting for the database; None when it must be asked."""
        return self._memory.recall(_question(secret))

    def guarded(self) -> bool:
        """Tell whether keys are on: there is a key that is of use, or an account that may administer."""
        stamp = self._memory.stamp()
        with self.database.single() as connection:
            guarded = bool(connection.execute(_GUARDED, {"at": now()}).scalar())
        if not guarded:  # which only a commit changes; that keys are on may end with the time of the last one
            self._memory.keep(stamp, _UNGUARDED, ANYBODY)
        return guarded

    def recalled_unguarded(self) -> bool:
        """Tell without waiting for the database that keys are off; False when it must be asked."""
        return self._memory.recall(_UNGUARDED) is not None

    def _principal(self, secret: str) -> Principal | None:
        if secret.startswith(KEY_MARK):
            return self.keys.principal(secret)
        token = self.tokens.one(secret)
        if token is None:
            return None
        try:
            account = self.accounts.one(token.account_id)
        except UnknownAccountError:  # deleted meanwhile
            return None
        return replace(account.principal, until=token.expires_at)

    def close(self) -> None:
        """Store what is noted in memory, and close the connections."""
        self.keys.close()
        self.database.close()


def _question(secret: str) -> str:
    return f"whose is {digest_of(secret)}"
