"""The database of a gallery: people, faces, templates, photos, the feed of changes and the audit."""

from .audit import AuditKey, AuditLog, Head, Sighting, acting_as, audit_key, check_export, current_actor
from .backends import Storage, database_exists, is_in_memory
from .basis import Basis, read_basis, renew_basis
from .check import Problems, check_gallery, repair_gallery
from .database import Database
from .faces import FaceLimit
from .feed import Feed, Transaction, gallery_names
from .fused import FusedFeed, FusedTemplates, count_registered, faces_by_person, fuse, fused_templates
from .photos import UNKNOWN_TYPE, check_size, media_type_of
from .portable import PortableFace, PortablePerson, PortablePhoto, check_portable
from .rekey import rekey
from .rows import (
    LONGEST_NAME,
    Delta,
    NewFace,
    NewPhoto,
    Owner,
    PackPin,
    PersonFaces,
    Receipt,
    checked_text,
    damaged_owner,
    is_intact,
    plain_id,
    plain_name,
)
from .shadow import LostPerson, PendingFace, Shadow, packs_of, previous_pack
from .store import Eraser, Store
from .vault import KeyInput, Vault, key_of

__all__ = [
    "LONGEST_NAME",
    "UNKNOWN_TYPE",
    "AuditKey",
    "AuditLog",
    "Basis",
    "Database",
    "Delta",
    "Eraser",
    "FaceLimit",
    "Feed",
    "FusedFeed",
    "FusedTemplates",
    "Head",
    "KeyInput",
    "LostPerson",
    "NewFace",
    "NewPhoto",
    "Owner",
    "PackPin",
    "PendingFace",
    "PersonFaces",
    "PortableFace",
    "PortablePerson",
    "PortablePhoto",
    "Problems",
    "Receipt",
    "Shadow",
    "Sighting",
    "Storage",
    "Store",
    "Transaction",
    "Vault",
    "acting_as",
    "audit_key",
    "check_export",
    "check_gallery",
    "check_portable",
    "check_size",
    "checked_text",
    "count_registered",
    "current_actor",
    "damaged_owner",
    "database_exists",
    "faces_by_person",
    "fuse",
    "fused_templates",
    "gallery_names",
    "is_in_memory",
    "is_intact",
    "key_of",
    "media_type_of",
    "packs_of",
    "plain_id",
    "plain_name",
    "previous_pack",
    "read_basis",
    "rekey",
    "renew_basis",
    "repair_gallery",
]
