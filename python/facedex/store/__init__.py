"""Who is who: the database that is the truth of a gallery."""

from .album import AlbumStore
from .audit_file import check_exported
from .audit_seal import AuditKeys, audit_keys
from .backends import Storage
from .carry import CarriedFace, CarriedPerson, CarriedPhoto, CarryStore, check_carried
from .check import Faults, check, mend
from .database import Database
from .feed import Feed
from .journal import Head, Journal, Sighting, acting_as, who_acts
from .photos import UNKNOWN_TYPE, check_size, media_type_of
from .rekey import rekey
from .room import Room
from .rows import (
    LONGEST_NAME,
    Delta,
    NewFace,
    NewPhoto,
    Owner,
    PackPin,
    Receipt,
    checked_text,
    is_sound,
    plain_name,
    unsound,
)
from .shadow import Bare, Lost, Shadow, packs_of, past_pack
from .sql import SqlStore
from .vault import KeyInput, Vault, key_of

__all__ = [
    "LONGEST_NAME",
    "UNKNOWN_TYPE",
    "AlbumStore",
    "AuditKeys",
    "Bare",
    "CarriedFace",
    "CarriedPerson",
    "CarriedPhoto",
    "CarryStore",
    "Database",
    "Delta",
    "Faults",
    "Feed",
    "Head",
    "Journal",
    "KeyInput",
    "Lost",
    "NewFace",
    "NewPhoto",
    "Owner",
    "PackPin",
    "Receipt",
    "Room",
    "Shadow",
    "Sighting",
    "SqlStore",
    "Storage",
    "Vault",
    "acting_as",
    "audit_keys",
    "check",
    "check_carried",
    "check_exported",
    "check_size",
    "checked_text",
    "is_sound",
    "key_of",
    "media_type_of",
    "mend",
    "packs_of",
    "past_pack",
    "plain_name",
    "rekey",
    "unsound",
    "who_acts",
]
