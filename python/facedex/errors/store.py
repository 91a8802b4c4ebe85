"""What the database cannot do."""

from __future__ import annotations

from .base import FacedexError


class StoreError(FacedexError):
    """The database below the gallery failed."""

    code = "store"


class DatabaseDamagedError(StoreError):
    """The file is damaged, or no database of facedex at all."""

    code = "database_damaged"


class DatabaseSchemaError(DatabaseDamagedError):
    """The database holds triggers, views or tables that facedex did not make.

    Attributes
    ----------
    found : tuple of str
        Each of them, as "trigger 'name' on 'table'".
    """

    code = "database_schema"

    def __init__(self, message: str, *, found: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.found = found


class TemplateIntegrityError(DatabaseDamagedError):
    """An encrypted template, or the key of a person, was altered or stands where another belongs.

    Attributes
    ----------
    face_id : int or None
        The face; None when it is a person's key.
    """

    code = "template_integrity"

    def __init__(self, message: str, *, face_id: int | None = None) -> None:
        super().__init__(message)
        self.face_id = face_id


class PhotoIntegrityError(DatabaseDamagedError):
    """A stored photo was altered, or stands where another belongs.

    Attributes
    ----------
    photo_id : int or None
        The photo.
    """

    code = "photo_integrity"

    def __init__(self, message: str, *, photo_id: int | None = None) -> None:
        super().__init__(message)
        self.photo_id = photo_id


class DatabaseLockedError(StoreError):
    """Another program holds the database longer than one waits."""

    code = "database_locked"


class StorageFullError(StoreError):
    """The disk is full; nothing of the change was stored."""

    code = "storage_full"


class DatabaseReadOnlyError(StoreError):
    """The database may be read and not written."""

    code = "database_read_only"


class DatabaseVersionError(StoreError):
    """The database was written by a newer facedex than this one."""

    code = "database_version"


class DatabaseUnavailableError(StoreError):
    """The place of the database cannot be opened or reached."""

    code = "database_unavailable"
