"""The database programs that a gallery can stand in, a file each."""

from .base import Backend, Storage
from .choose import backend_at

__all__ = ["Backend", "Storage", "backend_at"]
