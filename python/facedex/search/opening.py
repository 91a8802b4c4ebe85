"""Opens the search that the options name: in this process, in PostgreSQL or in Milvus."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import ArgumentError
from ..store import Feed
from .base import LOCAL, Search, SearchOptions
from .local import LocalSearch
from .pgvector import PgvectorSearch


def open_search(
    feed: Feed, options: SearchOptions, *, fresh: bool = False, progress: Callable[[int], object] | None = None
) -> Search:
    """Open the search of a gallery and apply the changes of its database.

    Parameters
    ----------
    feed : Feed
        The gallery, bound to its pack.
    options : SearchOptions
        The method and the place: "local", "pgvector", or the address of a Milvus, ``milvus+http://host:19530``, or
        ``milvus:path`` for a file of Milvus Lite.
    fresh : bool
        Rebuild the index from the database.
    progress : callable, optional
        Called during a rebuild with the number of faces that the index has so far.

    Raises
    ------
    ArgumentError
        When there is no such search, it has no such method, or the database of "pgvector" is not PostgreSQL.
    SearchUnavailableError
        When it is not installed, not allowed or not reached.
    PlainSearchError
        When the gallery is encrypted and the search is elsewhere.
    """
    kind = options.where.partition(":")[0]
    if options.where == LOCAL:
        return LocalSearch(feed, options, fresh=fresh, progress=progress)
    if options.where == "pgvector":
        return PgvectorSearch(feed, options, fresh=fresh, progress=progress)
    if kind.partition("+")[0] == "milvus":
        from .milvus import MilvusSearch

        return MilvusSearch(feed, options, fresh=fresh, progress=progress)
    raise ArgumentError(f"search must be local, pgvector, milvus+http://host:port or milvus:path, got {kind!r}")
