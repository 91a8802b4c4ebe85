"""The head of the audit under a key: who may write the database and has no key cannot write another chain in its place.

The seal is the number of the last line and an HMAC-SHA-256 over gallery, number and digest of that line. Its key comes,
by HKDF, from ``FACEDEX_AUDIT_KEY``, else from the gallery's own key. Where that variable is set, its key alone counts:
whoever has only the gallery's key cannot make a seal that an auditor accepts. A line is sealed only when the head
before it was: so whoever wrote the chain anew without the key does not have it sealed by the next honest change. The
seal does not show that the whole database was put back to an earlier state with its seal. A head that was noted
elsewhere shows that.
"""

from __future__ import annotations

import hmac
from typing import NamedTuple

from ..config import settings
from .journal import Head
from .vault import Vault, derive_key


class AuditKeys(NamedTuple):
    """The key that seals an audit.

    Attributes
    ----------
    gallery : str
        The gallery's uuid.
    keys : tuple of bytes
        At most one; none where neither the environment nor the gallery has a key.
    """

    gallery: str
    keys: tuple[bytes, ...]

    def seal(self, head: Head) -> str | None:
        """Seal a head; None without a key."""
        return f"{head.seq}:{self._code(self.keys[0], head)}" if self.keys else None

    def opens(self, seal: str | None, head: Head) -> bool:
        """Tell whether one of the keys made this seal, of this very head."""
        said = (seal or "").encode("utf-8", "replace")
        return any(hmac.compare_digest(said, f"{head.seq}:{self._code(key, head)}".encode()) for key in self.keys)

    def sign(self, content: bytes) -> str | None:
        """Sign the SHA-256 of an exported audit; None without a key."""
        return hmac.digest(derive_key(self.keys[0], b"", b"export"), content, "sha256").hex() if self.keys else None

    def signed(self, signature: str, content: bytes) -> bool:
        """Tell whether one of the keys signed that."""
        made = (hmac.digest(derive_key(key, b"", b"export"), content, "sha256").hex() for key in self.keys)
        return any(hmac.compare_digest(signature.encode("utf-8", "replace"), one.encode()) for one in made)

    def _code(self, key: bytes, head: Head) -> str:
        return hmac.digest(key, f"head|{self.gallery}|{head.seq}|{head.digest}".encode(), "sha256").hex()


def audit_keys(gallery: str, vault: Vault | None) -> AuditKeys:
    """Return the key of a gallery's audit: that of the environment alone, else the one from the gallery's own key.

    An audit that the other key sealed does not pass any more; `Store.seal_audit` moves it to this one.

    Parameters
    ----------
    gallery : str
        The gallery's uuid, in hexadecimal.
    vault : Vault or None
        What its key opens.
    """
    given = settings().audit_key
    if given is not None:
        return AuditKeys(gallery, (derive_key(given, bytes.fromhex(gallery), b"facedex audit"),))
    return AuditKeys(gallery, () if vault is None else (vault.audit_key,))


def number_of(seal: str | None) -> int | None:
    """Read which line is sealed; None when there is no seal, or it reads as none."""
    number = (seal or "").partition(":")[0]
    return int(number) if number.isascii() and number.isdigit() and len(number) < 20 else None
