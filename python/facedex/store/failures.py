"""Where the failures of SQLAlchemy and SQLite become errors of facedex.

SQLite's own words are matched, because its error numbers reach Python only from 3.11 on. Their source is
``sqlite3ErrStr`` in SQLite's main.c.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from ..errors import (
    DatabaseDamagedError,
    DatabaseLockedError,
    DatabaseReadOnlyError,
    DatabaseUnavailableError,
    FacedexError,
    StorageFullError,
    StoreError,
)


@contextmanager
def failures(place: str, path: Path | None) -> Iterator[None]:
    """Turn what the database raises inside into a `StoreError` with its cause chained.

    Parameters
    ----------
    place : str
        What to call the database in messages.
    path : Path or None
        Its file, when it is one.
    """
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise _named(str(error.orig), place, path) from error
    except sqlite3.Error as error:
        raise _named(str(error), place, path) from error
    except sa.exc.SQLAlchemyError as error:
        raise StoreError(f"database {place}: {error}") from error
    except FacedexError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        # What is written was checked before, so this is a stored value that is not what its column holds.
        raise DatabaseDamagedError(f"database {place} is damaged: {error}; restore it from a backup") from error


def _named(said: str, place: str, path: Path | None) -> StoreError:
    low = said.lower()
    if "not a database" in low:
        return DatabaseDamagedError(
            f"{place} is not a database of facedex: {said}; give the path of a gallery or of a new file"
        )
    if "malformed" in low or "could not decode" in low or "corrupt" in low:
        return DatabaseDamagedError(f"database {place} is damaged: {said}; restore it from a backup")
    if "locked" in low or "busy" in low:
        return DatabaseLockedError(
            f"database {place} is held by another program: {said}; try again when it has finished"
        )
    if "is full" in low:
        return StorageFullError(f"no space is left for database {place}: {said}; nothing of this change was stored")
    if "readonly" in low or "read-only" in low or _unwritable(low, path):
        return DatabaseReadOnlyError(
            f"database {place} may not be written: {said}; its file and folder must be writable"
        )
    if "unable to open" in low or "disk i/o error" in low:
        return DatabaseUnavailableError(f"database {place} cannot be used: {said}")
    return StoreError(f"database {place}: {said}")


def _unwritable(said: str, path: Path | None) -> bool:
    """Whether SQLite could not open a file because it or its folder is read-only: both read "unable to open"."""
    if path is None or "unable to open" not in said or not path.exists():
        return False
    return not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))
