"""The database programs that a gallery can stand in, a file each."""

from .base import Backend, Storage
from .choose import backend_at, database_exists, is_in_memory

__all__ = ["Backend", "Storage", "backend_at", "database_exists", "is_in_memory"]
