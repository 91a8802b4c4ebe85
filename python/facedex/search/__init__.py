"""Where templates are searched: caches of the store, which is the truth."""

from .local import Feed, LocalSearch
from .place import snapshots_beside

__all__ = ["Feed", "LocalSearch", "snapshots_beside"]
