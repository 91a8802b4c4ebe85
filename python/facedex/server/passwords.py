"""Passwords: Argon2id, and the same time for an account that does not exist.

The parameters are those of the package argon2-cffi, which are RFC 9106's second recommendation: 64 MiB of memory, three
passes, four lanes. Hashing takes turns, so that a flood of sign-ins takes neither the memory nor every core.
"""

from __future__ import annotations

import secrets
import threading
from base64 import b64encode

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import ARGON2_VERSION

from ..errors import ArgumentError

SHORTEST = 8
"""Least length of a password, characters (NIST SP 800-63B, 5.1.1.2)."""

LONGEST = 1024
"""Longest password, characters."""

_SIDE_BY_SIDE = 2


class Passwords:
    """Makes and checks the hashes of passwords.

    Parameters
    ----------
    hasher : argon2.PasswordHasher, optional
        With other parameters than the usual.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = PasswordHasher() if hasher is None else hasher
        self._turn = threading.BoundedSemaphore(_SIDE_BY_SIDE)
        self._nobodys = _random_hash(self._hasher)

    def hash(self, password: str) -> str:
        """Hash a password.

        Raises
        ------
        ArgumentError
            When it is too short or too long; the message never shows it.
        """
        if not SHORTEST <= len(password) <= LONGEST:
            raise ArgumentError(f"password must have {SHORTEST} to {LONGEST} characters, got {len(password)}")
        with self._turn:
            return self._hasher.hash(_bytes(password))

    def agrees(self, hashed: str | None, password: str) -> bool:
        """Tell whether this is the password; without a hash it takes as long and the answer is no."""
        with self._turn:
            try:
                self._hasher.verify(hashed or self._nobodys, _bytes(password[:LONGEST]))
            except (VerificationError, InvalidHashError):
                return False
        return hashed is not None and len(password) <= LONGEST

    def outdated(self, hashed: str) -> bool:
        """Tell whether a hash was made with weaker parameters than today's."""
        return self._hasher.check_needs_rehash(hashed)


def _random_hash(hasher: PasswordHasher) -> str:
    """Write the hash of a password that nobody knows, as Argon2's reference does, without the time of hashing."""
    salt, digest = (
        b64encode(secrets.token_bytes(length)).decode().rstrip("=") for length in (hasher.salt_len, hasher.hash_len)
    )
    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2{hasher.type.name.lower()}$v={ARGON2_VERSION}${costs}${salt}${digest}"


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
