"""The database programs that a gallery can stand in, a file each."""

from .base import Backend
from .choose import backend_at

__all__ = ["Backend", "backend_at"]
