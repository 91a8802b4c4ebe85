"""A pack or what runs it cannot be used."""

from __future__ import annotations

from .base import FacedexError


class PackError(FacedexError):
    """A pack of networks cannot be used."""

    code = "pack"


class PackNotFoundError(PackError):
    """There is no pack of that name, or no manifest at that place."""

    code = "pack_not_found"


class ManifestError(PackError, ValueError):
    """A manifest that cannot be read as one."""

    code = "manifest"


class WeightsMissingError(PackError):
    """A file that the manifest names is not there."""

    code = "weights_missing"


class WeightsDigestError(PackError):
    """A file differs from the digest that the manifest declares."""

    code = "weights_digest"


class WeightsUnverifiedError(PackError):
    """Nobody published a digest of a file, and this machine has not accepted one."""

    code = "weights_unverified"


class LicenseError(PackError):
    """The licence of the weights forbids commercial use and was not accepted.

    Attributes
    ----------
    licences : tuple of str
        The licences to accept, as ``accept_license`` takes them.
    """

    code = "license"

    def __init__(self, message: str, *, licences: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.licences = licences


class DownloadError(PackError):
    """A file could not be fetched: not found, cut off, too slow, refused.

    Attributes
    ----------
    url : str
        The last address that was tried.
    status : int or None
        What the server answered, where it answered.
    """

    code = "download"

    def __init__(self, message: str, *, url: str = "", status: int | None = None) -> None:
        super().__init__(message)
        self.url = url
        self.status = status


class ArchiveError(PackError):
    """An archive is damaged, unsafe to unpack, or lacks a file that the manifest names."""

    code = "archive"


class PackFolderError(PackError):
    """The folder for packs cannot be read or written, or its disk is full."""

    code = "pack_folder"


class PackNameError(PackError, ValueError):
    """Another pack has that name."""

    code = "pack_name"


class NetworkError(PackError):
    """A network does not load, does not run, or is another than the manifest declares."""

    code = "network"


class RoleMissingError(PackError):
    """The pack has no network for what was asked."""

    code = "role_missing"


class PackScoresError(PackError):
    """The pack has no table of scores, by which another scale is put on its own."""

    code = "pack_scores"


class PackMismatchError(PackError, ValueError):
    """Embeddings of two packs were to be compared."""

    code = "pack_mismatch"


class RuntimeUnavailableError(FacedexError, RuntimeError):
    """The ONNX Runtime library is missing or too old."""

    code = "runtime"


class ProviderError(FacedexError, RuntimeError):
    """An execution provider that was named is not available."""

    code = "provider"
