"""Passwords, API keys and tokens: how they are drawn, hashed and compared.

A password is hashed with Argon2id with the parameters of argon2-cffi, which are RFC 9106's second recommendation: 64
MiB of memory, three passes, four lanes. At most two are hashed at a time, so that a flood of sign-ins fills neither the
memory nor every core. A password is checked in the same time whether or not its account exists.

Keys and tokens are 32 random bytes, of which the database keeps the SHA-256. A fast hash is enough: unlike a password
they cannot be guessed (OWASP Password Storage Cheat Sheet).
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from base64 import b64encode

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import ARGON2_VERSION

from ..errors import ArgumentError

KEY_MARK = "fdk_"
"""Prefix of an API key, by which a scanner for leaked secrets finds it."""

TOKEN_MARK = "fdt_"
"""Prefix of a token."""

SHORTEST = 8
"""Minimum length of a password, characters (NIST SP 800-63B, 5.1.1.2)."""

LONGEST = 1024
"""Maximum length of a password, characters."""

_SECRET_BYTES = 32
_LONGEST_SECRET = 128
_SIDE_BY_SIDE = 2


def new_secret(mark: str) -> str:
    """Draw a key or token."""
    return mark + secrets.token_urlsafe(_SECRET_BYTES)


def digest_of(secret: str) -> str | None:
    """Return the SHA-256 of a key or token in hexadecimal; None if it cannot be one."""
    if len(secret) > _LONGEST_SECRET or not secret.isascii():
        return None
    return hashlib.sha256(secret.encode()).hexdigest()


class Passwords:
    """Hashes and checks passwords.

    Parameters
    ----------
    hasher : argon2.PasswordHasher, optional
        With other parameters than the default.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = PasswordHasher() if hasher is None else hasher
        self._limit = threading.BoundedSemaphore(_SIDE_BY_SIDE)
        self._unknown = _random_hash(self._hasher)

    def hash(self, password: str) -> str:
        """Hash a password.

        Raises
        ------
        ArgumentError
            When it is too short or too long; the message never shows it.
        """
        if not SHORTEST <= len(password) <= LONGEST:
            raise ArgumentError(f"password must have {SHORTEST} to {LONGEST} characters, got {len(password)}")
        with self._limit:
            return self._hasher.hash(_bytes(password))

    def verify(self, hashed: str | None, password: str) -> bool:
        """Return whether a password matches its hash; without a hash this takes as long and returns False."""
        with self._limit:
            try:
                self._hasher.verify(hashed or self._unknown, _bytes(password[:LONGEST]))
            except (VerificationError, InvalidHashError):
                return False
        return hashed is not None and len(password) <= LONGEST

    def needs_rehash(self, hashed: str) -> bool:
        """Return whether a hash was made with weaker parameters than the present ones."""
        return self._hasher.check_needs_rehash(hashed)


def _random_hash(hasher: PasswordHasher) -> str:
    """Write a hash that no password has, in the format of Argon2's reference, without the time of hashing."""
    salt, digest = (
        b64encode(secrets.token_bytes(length)).decode().rstrip("=") for length in (hasher.salt_len, hasher.hash_len)
    )
    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2{hasher.type.name.lower()}$v={ARGON2_VERSION}${costs}${salt}${digest}"


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
