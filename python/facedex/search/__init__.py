"""Where templates are searched: caches of the store, which is the truth."""

from .base import LOCAL, PROMISED_RECALL, FoundPeople, Search, SearchOptions, SearchStatus
from .local import LocalSearch
from .opening import open_search
from .pgvector import drop_tables
from .remote import RemoteSearch
from .snapshots import Difference, Snapshots

__all__ = [
    "LOCAL",
    "PROMISED_RECALL",
    "Difference",
    "FoundPeople",
    "LocalSearch",
    "RemoteSearch",
    "Search",
    "SearchOptions",
    "SearchStatus",
    "Snapshots",
    "drop_tables",
    "open_search",
]
