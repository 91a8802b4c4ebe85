"""Who is who: the database that is the truth of a gallery."""

from .database import Database
from .feed import Feed
from .rows import Delta, NewFace, Owner, PackPin, Receipt, Removed
from .sql import OnExisting, SqlStore

__all__ = ["Database", "Delta", "Feed", "NewFace", "OnExisting", "Owner", "PackPin", "Receipt", "Removed", "SqlStore"]
