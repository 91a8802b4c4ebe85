"""What an import or an export refuses."""

from __future__ import annotations

from .base import FacedexError


class TransferError(FacedexError):
    """Something was not imported or exported."""

    code = "transfer"


class ImportFileError(TransferError, ValueError):
    """A file or folder to import is damaged, of an unknown kind, or cannot be read; nothing of it was stored."""

    code = "import_file"


class UnsafePickleError(TransferError, ValueError):
    """A pickle names something else than arrays and builtins; it was not run, and nothing of it was stored.

    Attributes
    ----------
    refused : str
        What it names.
    """

    code = "unsafe_pickle"

    def __init__(self, message: str, *, refused: str = "") -> None:
        super().__init__(message)
        self.refused = refused


class ForeignTemplatesError(TransferError, ValueError):
    """Vectors are of another network than the gallery's, or nothing says that they are of the same."""

    code = "foreign_templates"


class GalleryFileError(TransferError, ValueError):
    """A gallery file is damaged, cut short, or no gallery file; nothing of it was stored."""

    code = "gallery_file"


class GalleryFileVersionError(TransferError, ValueError):
    """A gallery file was written by a newer facedex than this one."""

    code = "gallery_file_version"


class PlainExportError(TransferError):
    """An encrypted gallery was to be written in the clear and the caller did not say so."""

    code = "plain_export"


class ExportError(TransferError):
    """A gallery file cannot be written; an older one stays as it was."""

    code = "export"
