"""Keys and tokens: 32 random bytes, of which the database keeps the SHA-256.

A fast hash is enough here: unlike a password, the secret cannot be guessed (OWASP Password Storage Cheat Sheet treats
only secrets that people choose).
"""

from __future__ import annotations

import hashlib
import secrets

KEY_MARK = "fdk_"
"""What an API key begins with, so that a scanner for leaked secrets finds it."""

TOKEN_MARK = "fdt_"
"""What a token begins with."""

_BYTES = 32
_LONGEST = 128


def new_secret(mark: str) -> str:
    """Draw a secret."""
    return mark + secrets.token_urlsafe(_BYTES)


def digest_of(secret: str) -> str | None:
    """Return the SHA-256 in hexadecimal; None of what cannot be one of ours."""
    if len(secret) > _LONGEST or not secret.isascii():
        return None
    return hashlib.sha256(secret.encode()).hexdigest()
