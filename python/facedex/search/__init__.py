"""Where templates are searched: caches of the store, which is the truth."""

from .base import LOCAL, PROMISED_RECALL, FoundPeople, Search, SearchOptions, SearchStatus
from .choose import drop_shared, open_search
from .compare import Difference, compare_snapshots
from .following import Feed
from .local import LocalSearch
from .place import snapshots_beside
from .remote import RemoteSearch
from .snapshots import Snapshots

__all__ = [
    "LOCAL",
    "PROMISED_RECALL",
    "Difference",
    "Feed",
    "FoundPeople",
    "LocalSearch",
    "RemoteSearch",
    "Search",
    "SearchOptions",
    "SearchStatus",
    "Snapshots",
    "compare_snapshots",
    "drop_shared",
    "open_search",
    "snapshots_beside",
]
