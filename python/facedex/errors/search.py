"""A vector, an index file or a search failed."""

from __future__ import annotations

from .base import FacedexError


class EmbeddingError(FacedexError, ValueError):
    """A vector of the wrong length, or one that is not finite or not of unit length."""

    code = "embedding"


class IndexFileError(FacedexError):
    """An index file that cannot be trusted. A gallery rebuilds it and goes on."""

    code = "index_file"


class SearchError(FacedexError):
    """The search failed in the library below, or in the file system."""

    code = "index"


class SearchUnavailableError(SearchError):
    """The search that was chosen is not installed, not allowed or not reached."""

    code = "search_unavailable"
