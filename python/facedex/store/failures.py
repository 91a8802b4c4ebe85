"""Where the failures of SQLAlchemy and the drivers become errors of facedex."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from ..errors import ArgumentError, DatabaseDamagedError, DatabaseUnavailableError, FacedexError, StoreError
from .backends import Backend


class CommitUnansweredError(DatabaseUnavailableError):
    """The connection was lost while the database was committing: it may have done so or not."""


@contextmanager
def failures(backend: Backend, raw: type[BaseException]) -> Iterator[None]:
    """Turn what the database raises inside into a `StoreError` with its cause chained.

    Parameters
    ----------
    backend : Backend
    raw : type of BaseException
        The driver's own errors, which reach us bare from a new connection.
    """
    try:
        yield
    except sa.exc.DBAPIError as error:
        if error.orig is not None and backend.is_beyond(error.orig):
            raise _beyond() from error
        raise backend.failure(error.orig or error, lost=error.connection_invalidated) from error
    except raw as error:
        raise backend.failure(error, lost=False) from error
    except sa.exc.TimeoutError as error:
        raise DatabaseUnavailableError(
            f"database {backend.place} cannot be used: no connection became free; make fewer calls at once"
        ) from error
    except sa.exc.SQLAlchemyError as error:
        raise StoreError(f"database {backend.place}: {error}") from error
    except FacedexError:
        raise
    except MemoryError as error:
        raise DatabaseDamagedError(
            f"database {backend.place} holds a value that memory has no room for: it is damaged, or memory is short"
        ) from error
    except (TypeError, ValueError, OverflowError) as error:
        if backend.is_beyond(error):
            raise _beyond() from error
        # What is written was checked before, so this is a stored value that is not what its column holds.
        raise DatabaseDamagedError(f"database {backend.place} is damaged: {error}; restore it from a backup") from error


def _beyond() -> ArgumentError:
    return ArgumentError("a number must be one of 64 bits, got one that no column of the database holds")
