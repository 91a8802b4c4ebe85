"""The audit as a file that stands for itself: JSON lines, of which the last signs all before it.

The first line says whose audit it is, each further one is a line of the chain with what stands beside it about a
person, and the last has the number of lines, the head and, where there is a key, an HMAC-SHA-256 over the SHA-256 of
everything before. The file names people, as the database does: keep it as safely.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import NoneType, SimpleNamespace
from typing import Any

import sqlalchemy as sa

from ..errors import ArgumentError
from ..records import AuditReport
from .audit_seal import AuditKeys
from .journal import Check, Head, rows_after

_FORMAT = 1
_LONGEST = 1 << 20  # bytes of a line


def exported(connection: sa.Connection, row: int, name: str, keys: AuditKeys, head: Head) -> Iterator[bytes]:
    """Yield the file, line by line.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        Of one view of the database.
    row : int
        Number of the gallery's row.
    name : str
        The gallery's name.
    keys : AuditKeys
    head : Head
        The last line, as the gallery tells it.
    """
    sha = hashlib.sha256()

    def line(content: dict[str, Any]) -> bytes:
        text = json.dumps(content, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
        sha.update(text)
        return text

    at = datetime.now(timezone.utc).isoformat()
    yield line({"facedex_audit": _FORMAT, "gallery": keys.gallery, "name": name, "exported_at": at})
    after = 0
    while stored := rows_after(connection, row, after):
        for one in stored:
            beside = None if one.salt is None else {"person": one.person_row, "salt": one.salt, "content": one.said}
            yield line({"seq": one.seq, "content": one.content, "digest": one.digest, "beside": beside})
        after = stored[-1].seq
    end = {"lines": head.seq, "head": head.digest}
    yield line(end | {"hmac": keys.sign(sha.digest())})


def check_exported(path: Path, keys_of: Callable[[str], AuditKeys], noted: Head | None = None) -> AuditReport:
    """Follow the chain in a file, and check its signature.

    Parameters
    ----------
    path : Path
    keys_of : callable
        The keys for a gallery's uuid.
    noted : Head, optional
        Number and digest of a line, as they were noted elsewhere.

    Returns
    -------
    AuditReport
        ``sealed`` is whether the signature is that of a key; None without a key.

    Raises
    ------
    ArgumentError
        When the file cannot be read, or is none of these.
    """
    try:
        with path.open("rb") as file:
            return _checked(_contents(file, path), path, keys_of, noted)
    except OSError as error:
        raise ArgumentError(f"the audit {str(path)!r} cannot be read: {error.strerror}") from error


def _checked(
    contents: Iterator[tuple[dict[str, Any], bytes]],
    path: Path,
    keys_of: Callable[[str], AuditKeys],
    noted: Head | None,
) -> AuditReport:
    first, _ = next(contents, ({}, b""))
    gallery = first.get("gallery")
    if first.get("facedex_audit") != _FORMAT or not isinstance(gallery, str) or len(gallery) != 32:
        raise _no_audit(path)
    try:
        keys = keys_of(gallery)
    except ValueError as error:
        raise _no_audit(path) from error
    check = Check(gallery, noted)
    fault = None
    for content, before in contents:
        if "hmac" in content:
            if next(contents, None) is not None:
                raise _no_audit(path)
            sealed = keys.signed(_typed(content["hmac"], (str, NoneType), path) or "", before) if keys.keys else None
            head = Head(_typed(content.get("lines"), (int,), path), _typed(content.get("head"), (str,), path))
            return check.report(fault or check.end(head), sealed)
        fault = fault or check.follow(_row(content, path))
    return check.report(fault or (check.at.seq + 1, f"the file ends after line {check.at.seq}, without its end"), None)


def _contents(file: Any, path: Path) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield each line, and the SHA-256 of all before it."""
    sha = hashlib.sha256()
    while line := file.readline(_LONGEST):
        try:
            content = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _no_audit(path) from error
        if not isinstance(content, dict):
            raise _no_audit(path)
        yield content, sha.digest()
        sha.update(line)


def _row(content: dict[str, Any], path: Path) -> Any:
    beside = content.get("beside")
    beside = {"person": None, "salt": None, "content": None} if beside is None else beside
    if not isinstance(beside, dict):
        raise _no_audit(path)
    return SimpleNamespace(
        seq=_typed(content.get("seq"), (int,), path),
        content=_typed(content.get("content"), (str,), path),
        digest=_typed(content.get("digest"), (str,), path),
        person_row=_typed(beside.get("person"), (int, NoneType), path),
        salt=_typed(beside.get("salt"), (str, NoneType), path),
        said=_typed(beside.get("content"), (str, NoneType), path),
    )


def _typed(value: Any, kinds: tuple[type, ...], path: Path) -> Any:
    if not isinstance(value, kinds):
        raise _no_audit(path)
    return value


def _no_audit(path: Path) -> ArgumentError:
    return ArgumentError(f"{str(path)!r} is no audit that 'facedex audit export' wrote")
