"""Who is who: the database that is the truth of a gallery."""

from .check import Faults, check, mend
from .database import Database
from .feed import Feed
from .journal import AuditLevel, Head, Journal, Sighting, acting_as
from .rekey import rekey
from .room import Room, WhenFull
from .rows import Delta, NewFace, Owner, PackPin, Receipt
from .sql import OnExisting, SqlStore
from .vault import KeyInput, Vault, key_of

__all__ = [
    "AuditLevel",
    "Database",
    "Delta",
    "Faults",
    "Feed",
    "Head",
    "Journal",
    "KeyInput",
    "NewFace",
    "OnExisting",
    "Owner",
    "PackPin",
    "Receipt",
    "Room",
    "Sighting",
    "SqlStore",
    "Vault",
    "WhenFull",
    "acting_as",
    "check",
    "key_of",
    "mend",
    "rekey",
]
