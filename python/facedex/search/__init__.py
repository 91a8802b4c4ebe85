"""Where templates are searched: caches of the store, which is the truth."""

from .compare import Difference, compare_snapshots
from .following import Feed
from .local import LocalSearch
from .place import snapshots_beside
from .snapshots import Snapshots

__all__ = ["Difference", "Feed", "LocalSearch", "Snapshots", "compare_snapshots", "snapshots_beside"]
