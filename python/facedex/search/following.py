"""What the search asks of the store: the ordered changes of one gallery, and a key for its files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
Vectors = NDArray[np.float32]
_Delta = tuple[int, str, Keys, Vectors, Keys, Keys]

State = tuple[int, str]
"""Number and token of a change: one state of one history; 0 and an empty text before the first."""


class Vault(Protocol):
    """Encrypts files."""

    def encrypt_file(self, content: memoryview, owner: str) -> Iterator[bytes]:
        """Encrypt a file, in pieces."""

    def decrypt_file(self, sealed: memoryview, owner: str, name: str) -> bytearray:
        """Decrypt a file, or raise `IndexFileError`."""


class Feed(Protocol):
    """What the search asks of the store: the ordered changes of one gallery.

    A change has a number and a token. A delta is position, token, keys added, their vectors, keys removed, and
    the rows of the people to whom those added belong.
    """

    @property
    def uuid(self) -> str:
        """Names the gallery in all the world."""

    @property
    def vault(self) -> Vault | None:
        """Encrypts snapshots; None where they stay plain."""

    def head(self) -> tuple[int, str]:
        """Tell number and token of the last change."""

    def holds(self, position: int, token: str) -> bool:
        """Tell whether the change of that number has that token."""

    def snapshot_digests(self, position: int, token: str) -> list[str]:
        """List the digests of the snapshots that were written of a state."""

    def record_snapshot(self, position: int, token: str, digest: str) -> None:
        """Keep the digest of a snapshot that was written of a state."""

    def since(self, position: int, token: str) -> _Delta | None:
        """Return what changed after a position; None when this history has no such position."""

    def templates(self) -> Iterator[_Delta]:
        """Yield everything that is stored, in batches of one state."""
