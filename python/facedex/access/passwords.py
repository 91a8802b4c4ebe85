"""Passwords: Argon2id, and the same time for an account that does not exist.

The parameters are those of the package argon2-cffi, which are RFC 9106's second recommendation: 64 MiB of memory, three
passes, four lanes. Hashing takes turns, so that a flood of sign-ins takes neither the memory nor every core.
"""

from __future__ import annotations

import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

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
        self._nobodys: str | None = None

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
            if self._nobodys is None:
                self._nobodys = self._hasher.hash(b"nobody's password")
            try:
                self._hasher.verify(hashed or self._nobodys, _bytes(password[:LONGEST]))
            except (VerificationError, InvalidHashError):
                return False
        return hashed is not None and len(password) <= LONGEST

    def outdated(self, hashed: str) -> bool:
        """Tell whether a hash was made with weaker parameters than today's."""
        return self._hasher.check_needs_rehash(hashed)


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
