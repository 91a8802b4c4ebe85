"""What a caller asks for → the search that does it."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import ArgumentError
from ..store import Feed
from .base import LOCAL, Search, SearchOptions
from .local import LocalSearch
from .pgtables import drop_tables
from .place import snapshots_beside


def open_search(
    feed: Feed,
    options: SearchOptions,
    *,
    fresh: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Search:
    """Open the search of a gallery, in step with its database.

    Parameters
    ----------
    feed : Feed
        The gallery, bound to its pack.
    options : SearchOptions
        By which method, and where: "local", "pgvector", or the address of a Milvus, ``milvus+http://host:19530``, or
        ``milvus:path`` for a file of Milvus Lite.
    fresh : bool
        Start over from the database.
    progress : callable, optional
        Called with the number of faces that an index that is built has so far.

    Raises
    ------
    ArgumentError
        When there is no such search, or it has no such method.
    SearchUnavailableError
        When it is not installed, not allowed or not reached.
    PlainSearchError
        When the gallery is encrypted and the search is elsewhere.
    """
    where = options.where
    if where == LOCAL:
        return LocalSearch(
            feed,
            dimension=feed.pin.dimension,
            pack=feed.pin.digest,
            database=snapshots_beside(feed.database.path, feed.uuid),
            gallery=feed.name,
            method=options,
            fresh=fresh,
            progress=progress,
        )
    if where == "pgvector":
        from .pgvector import PgvectorSearch

        return PgvectorSearch(feed, options=options, fresh=fresh, progress=progress)
    if where.partition(":")[0].partition("+")[0] == "milvus":
        from .milvus import MilvusSearch

        return MilvusSearch(feed, address=where, options=options, fresh=fresh, progress=progress)
    shown = where.partition(":")[0]
    raise ArgumentError(f"search must be local, pgvector, milvus+http://host:port or milvus:path, got {shown!r}")


def drop_shared(feed: Feed) -> None:
    """Drop what searches have stored in the gallery's own database: a gallery that is encrypted must not have it."""
    drop_tables(feed)
