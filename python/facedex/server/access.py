"""Sign in, and authenticate keys and tokens; authentication is cached until the next commit."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

import sqlalchemy as sa

from ..config import settings
from ..errors import AttemptsError, ForbiddenError, SignInError, UnauthenticatedError, UnknownAccountError
from ..store import Database
from ..store.clock import now
from .accounts import ADMINISTERED, Account, Accounts
from .attempts import Attempts, Lockout, SignInTarget
from .attendance import Attendance
from .challenges import Challenges
from .idempotency import IdempotencyRecords
from .keys import USABLE, ApiKeys
from .principals import ANYBODY, Principal
from .secrets import KEY_MARK, Passwords, digest_of
from .tokens import Token, Tokens
from .writing import acting_from, log_event, log_failed_sign_in

_CREDENTIALS = sa.select(sa.or_(USABLE, ADMINISTERED))  # built once: it runs with every request without a key
_NO_CREDENTIALS = "no credentials"
_CACHED_S = 60.0  # after which the time of a key's last use is due
_MAX_CACHED = 1024
_WRONG = "wrong login or password"


@dataclass(frozen=True, slots=True)
class SignIn:
    """A successful sign-in.

    Attributes
    ----------
    account : Account
    token : Token
    secret : str
        Authenticates the following requests; never shown by ``repr``.
    """

    account: Account
    token: Token
    secret: str

    def __repr__(self) -> str:
        return f"SignIn({self.account!r}, {self.token!r})"


class AuthenticationCache:
    """Principals by question, until the next commit to the database, of whatever process.

    A request with a known key does not wait for the database, and a revoked key is refused at once. Where the database
    cannot report commits at once, nothing is cached.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._entries: dict[str, tuple[int, Principal, float]] = {}

    def data_version(self) -> int | None:
        """Return the state of the database; take it before a query whose result goes to `add`."""
        return self._database.data_version()

    def add(self, version: int | None, question: str, answer: Principal) -> None:
        """Cache an answer until it expires or anybody commits.

        Parameters
        ----------
        version : int or None
        question : str
            Must hold no secret.
        answer : Principal
        """
        if version is None:
            return
        valid_s = _CACHED_S
        if answer.until is not None:
            valid_s = min(valid_s, (answer.until - now()).total_seconds())
        if len(self._entries) >= _MAX_CACHED:
            self._entries.clear()
        self._entries[question] = version, answer, time.monotonic() + valid_s

    def find(self, question: str) -> Principal | None:
        """Return a cached answer that is still valid, without waiting."""
        found = self._entries.get(question)
        if found is None:
            return None
        version, answer, until = found
        return answer if version == self._database.data_version() and time.monotonic() < until else None


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
    idempotency : IdempotencyRecords
    challenges : Challenges
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
        self.idempotency = IdempotencyRecords(database)
        self.challenges = Challenges(database)
        self.attendance = Attendance(database)
        self._cache = AuthenticationCache(database)

    def sign_in(self, login: str, password: str, *, address: str) -> SignIn:
        """Sign in with a password.

        Parameters
        ----------
        login : str
            Login or e-mail address.
        password : str
        address : str
            Of the client.

        Raises
        ------
        SignInError
            With the same message after the same time for an unknown account and for a wrong password, also one that was
            changed meanwhile.
        AttemptsError
            After too many failures.
        """
        known = self.accounts.find(login)
        target: SignInTarget = ("login", login) if known is None else ("account", str(known.id))
        try:
            self.attempts.begin(target, address)
            signed_in = self._check_password(login, password, address)
        except (AttemptsError, SignInError):
            log_failed_sign_in("password", None if known is None else known.id, address)
            raise
        self.attempts.succeed(target, address)
        return signed_in

    def _check_password(self, login: str, password: str, address: str) -> SignIn:
        found = self.accounts.verify(login, password)
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
        """Issue a token to an authenticated account.

        Parameters
        ----------
        account : Account
        method : {"password", "face"}
        within : iterable of str, optional
            Scopes of client accounts, by default those of the environment. A face does not sign in an account that has
            broader scopes or administers: a caller with scope "enrol" could have given the person another face.
        hashed : str, optional
            The hash that the password matched.

        Raises
        ------
        UnauthenticatedError
            When the account was changed or deleted since it was looked up.
        ForbiddenError
            When the account is disabled, or has broader scopes than a face allows.
        """
        if account.disabled_at is not None:
            raise ForbiddenError("this account is disabled")
        clients = settings().account_scopes if within is None else within
        if method == "face" and not account.principal.within(clients):
            raise ForbiddenError("an account with broader scopes than client accounts signs in with its password")
        token, secret = self.tokens.issue(account.id, method, hashed=hashed, scopes=account.scopes)
        log_event("account %d signs in with its %s", account.id, method)
        return SignIn(account, token, secret)

    def principal(self, secret: str) -> Principal | None:
        """Return whose key or token this is; None if it is invalid."""
        version = self._cache.data_version()
        found = self._principal(secret)
        if found is not None:
            self._cache.add(version, _question(secret), found)
        return found

    def cached_principal(self, secret: str) -> Principal | None:
        """Return the cached principal of a key or token; None if the database must be queried."""
        return self._cache.find(_question(secret))

    def has_credentials(self) -> bool:
        """Return whether there is a valid key or an administrator account; without one every caller has all scopes."""
        version = self._cache.data_version()
        with self.database.single() as connection:
            found = bool(connection.execute(_CREDENTIALS, {"at": now()}).scalar())
        if not found:  # only a commit ends this; credentials may also expire, so their existence is not cached
            self._cache.add(version, _NO_CREDENTIALS, ANYBODY)
        return found

    def cached_no_credentials(self) -> bool:
        """Return whether the cache knows that there are no credentials; False if the database must be queried."""
        return self._cache.find(_NO_CREDENTIALS) is not None

    def _principal(self, secret: str) -> Principal | None:
        if secret.startswith(KEY_MARK):
            return self.keys.principal(secret)
        token = self.tokens.one(secret)
        if token is None:
            return None
        try:
            account = self.accounts.one(token.account_id)
        except UnknownAccountError:  # deleted in between
            return None
        return replace(account.principal, until=token.expires_at)

    def close(self) -> None:
        """Store the last uses of keys, and close the connections."""
        self.keys.close()
        self.database.close()


def _question(secret: str) -> str:
    return f"whose is {digest_of(secret)}"
