"""The audit of an open gallery: read page by page, checked, signed and exported."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import ArgumentError, ExportError
from ..files import write_atomically
from ..records import AuditEvent, AuditReport
from ..store import Head
from .resources import Resources


class Audit:
    """Reads and signs the audit of a gallery.

    Parameters
    ----------
    resources : Resources
    """

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    def page(self, after: int) -> list[AuditEvent]:
        """Return the next lines with a higher number."""
        return self._resources.store.audit(after)

    def check(self, noted: str | None, keyed: bool) -> AuditReport:
        """Check the chain, as `facedex.Gallery.check_audit` does."""
        return self._resources.store.check_audit(parse_head(noted), keyed=keyed)

    def seal(self, noted: str | None) -> AuditReport:
        """Sign the head of the chain, as `facedex.Gallery.seal_audit` does."""
        return self._resources.store.seal_audit(parse_head(noted))

    def export(self, path: str | os.PathLike[str]) -> int:
        """Write the audit to a file, as `facedex.Gallery.export_audit` does."""
        try:
            return write_atomically(Path(path), self._resources.store.export_audit())
        except OSError as error:
            raise ExportError(f"the audit cannot be written to {str(path)!r}: {error.strerror}") from error


def parse_head(noted: str | None) -> Head | None:
    """Parse a head of the audit, ``"NUMBER:DIGEST"``; None is None.

    Raises
    ------
    ArgumentError

    Examples
    --------
    >>> parse_head(f"7:{'ab' * 32}").seq
    7
    """
    if noted is None:
        return None
    number, _, digest = noted.partition(":")
    if not (number.isascii() and number.isdigit()) or len(digest) != 64:
        raise ArgumentError(f"noted must be NUMBER:DIGEST, as 'facedex audit verify' prints it, got {noted!r}")
    return Head(int(number), digest.lower())
