"""Where templates are searched: caches of the store, which is the truth."""

from .local import Feed, LocalSearch

__all__ = ["Feed", "LocalSearch"]
