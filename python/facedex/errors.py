"""Every exception of facedex, in one tree.

A message is lower case, names the offending value and says what is accepted. Each class has a stable ``code`` for
programs, and can be pickled, so that it crosses a process pool with its data. The Rust core raises the classes of this
file too.

::

    FacedexError
    ├── ImageError (ValueError)
    │   ├── ImageReadError            the file or stream cannot be read
    │   ├── NotAnImageError           the bytes are no picture of a known format
    │   ├── UnsupportedImageError     a variant of a known format that is not decoded
    │   ├── DamagedImageError         the data are damaged
    │   ├── TruncatedImageError       the data end before the last row
    │   ├── ImageTooLargeError        more pixels than the limit
    │   └── ImageArrayError (TypeError)   an array of the wrong type or shape
    ├── FaceError (ValueError)
    │   ├── NoFaceError               a face was needed and none is there
    │   ├── SeveralFacesError         one face was needed and several are there: ``bboxes``
    │   ├── LandmarksError            five points from which no crop can be cut
    │   ├── LivenessError             liveness was required and cannot be judged
    │   └── EnrolmentError            a face is not good enough to be registered: ``measured``, ``limit``
    │       ├── FaceTooSmallError         its box is too small
    │       ├── FaceScoreError            the detector is not certain enough
    │       ├── FaceQualityError          the quality for recognition is too low
    │       └── FaceNotLiveError          the face is not live, or that cannot be told
    ├── PackError
    │   ├── PackNotFoundError         no pack of that name
    │   ├── ManifestError (ValueError)    the manifest cannot be read as one
    │   ├── WeightsMissingError       a file that the manifest names is not there
    │   ├── WeightsDigestError        a file differs from what the manifest declares
    │   ├── WeightsUnverifiedError    nobody published a digest of a file, and it was not accepted
    │   ├── LicenseError              the licence of the weights was not accepted: ``licences``
    │   ├── DownloadError             a file could not be fetched: ``url``, ``status``
    │   ├── ArchiveError              an archive is damaged, unsafe, or lacks a file
    │   ├── PackFolderError           the folder for packs cannot be read or written, or its disk is full
    │   ├── PackNameError (ValueError)    another pack has that name
    │   ├── NetworkError              a network does not load, does not run or is another than declared
    │   ├── RoleMissingError          the pack has no network for what was asked
    │   ├── PackScoresError           the pack has no table of scores, by which another scale is put on its own
    │   └── PackMismatchError (ValueError)    embeddings of two packs were to be compared
    ├── RuntimeUnavailableError (RuntimeError)    ONNX Runtime is missing or too old
    ├── ProviderError (RuntimeError)  an execution provider that was named is not available
    ├── ForkError (RuntimeError)      an engine or gallery is used in another process than it was opened in
    ├── ArgumentError (ValueError)    an argument outside its range
    ├── EmbeddingError (ValueError)   a vector of the wrong length, not finite or not of unit length
    ├── IndexFileError                an index file that cannot be trusted
    ├── SearchError                   the search failed below
    │   └── SearchUnavailableError    the search that was chosen is not installed, not allowed or not reached
    ├── GalleryError
    │   ├── UnknownPersonError (LookupError)      nobody of that id is registered: ``person_id``
    │   ├── UnknownFaceError (LookupError)        no face of that id is stored: ``face_id``
    │   ├── UnknownPhotoError (LookupError)       no photo of that id is stored: ``photo_id``
    │   ├── PhotoTooLargeError (ValueError)       a photo has more bytes than are kept: ``measured``, ``limit``
    │   ├── DuplicatePersonError (ValueError)     somebody of that id is registered already: ``person_id``
    │   ├── EmptyGalleryError         nobody is registered
    │   ├── GalleryClosedError        the gallery was closed
    │   ├── GalleryPackError          the gallery was made with another pack: ``stored``, ``opened``
    │   ├── MigrationError            a gallery cannot be moved to a pack, or back
    │   ├── RegistrationError (ValueError)        no picture of several was accepted: ``rejected``
    │   ├── DuplicateFaceError (ValueError)       the face is another person's: ``person_id``, ``measured``, ``limit``
    │   ├── PersonFullError (ValueError)          the person has as many faces as allowed: ``measured``, ``limit``
    │   └── GalleryKeyError           the key of an encrypted gallery
    │       ├── KeyMissingError           the gallery is encrypted and no key was given
    │       ├── WrongKeyError             the key given is another than the gallery's
    │       ├── KeyUnusedError            a key was given and the gallery is not encrypted
    │       ├── EncryptionUnavailableError    the package that encrypts is not installed
    │       └── PlainSearchError          the search that was chosen would hold encrypted templates in the clear
    ├── AccessError                   who may do what in a server
    │   ├── SignInError               no such account, or another password; the two are not told apart
    │   ├── UnauthenticatedError      nobody is signed in, or the token or key is of no use
    │   ├── ForbiddenError            whoever asks may not do that
    │   ├── AttemptsError             too many attempts: ``retry_after_s``
    │   ├── DuplicateAccountError (ValueError)    another account has that login or e-mail address
    │   ├── UnknownAccountError (LookupError)     there is no such account
    │   └── UnknownKeyError (LookupError)         there is no such API key
    ├── RequestError                  a request that a server does not take
    │   ├── MalformedRequestError (ValueError)    it is not what the interface takes: ``problems``
    │   ├── BodyTooLargeError (ValueError)        its body is larger than allowed: ``limit``
    │   ├── SlowBodyError (TimeoutError)          its body did not come in time
    │   ├── OverloadedError           the server has no room for it now: ``retry_after_s``
    │   ├── LateAnswerError (TimeoutError)        it took longer than allowed
    │   ├── RepeatedKeyError (ValueError)         its Idempotency-Key was used for another request
    │   ├── RepeatedNowError          the same request is being answered: ``retry_after_s``
    │   ├── UnknownGalleryError (LookupError)     there is no such gallery
    │   ├── UnknownJobError (LookupError)         there is no such job
    │   └── ServeError (ValueError)   a server cannot be started so
    ├── TransferError
    │   ├── ImportFileError (ValueError)          a file to import is damaged, of an unknown kind, or cannot be read
    │   ├── UnsafePickleError (ValueError)        a pickle names more than arrays and builtins: ``refused``
    │   ├── ForeignTemplatesError (ValueError)    vectors that are not proven to be of the gallery's pack
    │   ├── GalleryFileError (ValueError)         a gallery file is damaged, cut short or no gallery file
    │   ├── GalleryFileVersionError (ValueError)  a gallery file was written by a newer facedex
    │   ├── PlainExportError          an encrypted gallery was to be written in the clear without saying so
    │   └── ExportError               a gallery file cannot be written
    └── StoreError
        ├── DatabaseDamagedError      the file is damaged, or no database at all
        │   ├── TemplateIntegrityError    an encrypted template was altered or is another's: ``face_id``
        │   └── PhotoIntegrityError       a stored photo was altered or is another's: ``photo_id``
        ├── DatabaseLockedError       another program holds the database
        ├── StorageFullError          the disk is full
        ├── DatabaseReadOnlyError     the database may be read and not written
        ├── DatabaseVersionError      the database was written by a newer facedex
        └── DatabaseUnavailableError  the place cannot be opened or reached
"""

from __future__ import annotations

from typing import Any, ClassVar

BBox = tuple[float, float, float, float]


class FacedexError(Exception):
    """Base of everything that facedex raises on purpose.

    Parameters
    ----------
    message : str
        What was wrong and what is accepted.

    Attributes
    ----------
    code : str
        Stable name of the cause, for programs; the message may change.
    """

    code: ClassVar[str] = "facedex"

    def __init__(self, message: str) -> None:
        super().__init__(message)


class ImageError(FacedexError, ValueError):
    """A picture was refused."""

    code = "image"


class ImageReadError(ImageError):
    """The file or stream of a picture cannot be read."""

    code = "image_read"


class NotAnImageError(ImageError):
    """The bytes are no picture of a known format."""

    code = "not_an_image"


class UnsupportedImageError(ImageError):
    """A picture of a known format in a variant that is not decoded."""

    code = "image_unsupported"


class DamagedImageError(ImageError):
    """A picture whose data are damaged."""

    code = "image_damaged"


class TruncatedImageError(ImageError):
    """A picture that ends before its last row."""

    code = "image_truncated"


class ImageTooLargeError(ImageError):
    """A picture with more pixels than the limit."""

    code = "image_too_large"


class ImageArrayError(ImageError, TypeError):
    """A pixel array that is not uint8 of shape (height, width, 3)."""

    code = "image_array"


class FaceError(FacedexError, ValueError):
    """A picture was decoded, and its faces are not what was needed."""

    code = "face"


class NoFaceError(FaceError):
    """A face was needed and none was found.

    Attributes
    ----------
    measured, limit : int
        How many were found, and how many are needed.
    """

    code = "no_face"
    measured = 0
    limit = 1


class SeveralFacesError(FaceError):
    """Exactly one face was needed and several were found.

    Attributes
    ----------
    bboxes : tuple of (float, float, float, float)
        The faces found, largest first: x1, y1, x2, y2 in pixels of the upright original.
    measured, limit : int
        How many were found, and how many are needed.
    """

    code = "several_faces"
    limit = 1

    def __init__(self, message: str, *, bboxes: tuple[BBox, ...] = ()) -> None:
        super().__init__(message)
        self.bboxes = bboxes

    @property
    def measured(self) -> int:  # noqa: D102 - described with the class
        return len(self.bboxes)


class LandmarksError(FaceError):
    """Five points from which no crop can be cut, because they coincide or are not finite."""

    code = "landmarks"


class LivenessError(FaceError):
    """Liveness was required and cannot be judged: no network for it, or a face too small, cut off or too near."""

    code = "liveness_unavailable"


class EnrolmentError(FaceError):
    """A face is not good enough to be registered.

    Attributes
    ----------
    measured, limit : float
        What was measured, and the least that the gallery accepts.
    """

    code = "enrolment"

    def __init__(self, message: str, *, measured: float = 0.0, limit: float = 0.0) -> None:
        super().__init__(message)
        self.measured = measured
        self.limit = limit


class FaceTooSmallError(EnrolmentError):
    """The shorter side of a face's box is below the gallery's least, pixels."""

    code = "face_too_small"


class FaceScoreError(EnrolmentError):
    """The detector's certainty of a face is below the gallery's least."""

    code = "face_score"


class FaceQualityError(EnrolmentError):
    """The quality of a face for recognition is below the gallery's least, [0, 100]."""

    code = "face_quality"


class FaceNotLiveError(EnrolmentError):
    """A face is an attack on the camera, or whether it is cannot be told: then nothing was measured."""

    code = "face_not_live"


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


class ForkError(FacedexError, RuntimeError):
    """An engine or gallery is used in another process than the one that opened it."""

    code = "forked"


class ArgumentError(FacedexError, ValueError):
    """An argument outside its range."""

    code = "argument"


class EmbeddingError(FacedexError, ValueError):
    """A vector of the wrong length, or one that is not finite or not of unit length."""

    code = "embedding"


class IndexFileError(FacedexError):
    """An index file that cannot be trusted. A gallery rebuilds it and goes on."""

    code = "index_file"


class SearchError(FacedexError):
    """The search failed in the library below, or in the file system."""

    code = "index"


class SearchUnavailableError(SearchError):
    """The search that was chosen is not installed, not allowed or not reached."""

    code = "search_unavailable"


class GalleryError(FacedexError):
    """A gallery cannot do what was asked."""

    code = "gallery"


class UnknownPersonError(GalleryError, LookupError):
    """Nobody of that id is registered.

    Attributes
    ----------
    person_id : str or int or None
        The id that was asked for.
    """

    code = "unknown_person"

    def __init__(self, message: str, *, person_id: str | int | None = None) -> None:
        super().__init__(message)
        self.person_id = person_id


class UnknownFaceError(GalleryError, LookupError):
    """No face of that id is stored in this gallery.

    Attributes
    ----------
    face_id : int or None
        The id that was asked for.
    """

    code = "unknown_face"

    def __init__(self, message: str, *, face_id: int | None = None) -> None:
        super().__init__(message)
        self.face_id = face_id


class UnknownPhotoError(GalleryError, LookupError):
    """No photo of that id is stored in this gallery.

    Attributes
    ----------
    photo_id : int or None
        The id that was asked for.
    """

    code = "unknown_photo"

    def __init__(self, message: str, *, photo_id: int | None = None) -> None:
        super().__init__(message)
        self.photo_id = photo_id


class PhotoTooLargeError(GalleryError, ValueError):
    """A photo has more bytes than a gallery or its database keeps.

    Attributes
    ----------
    measured, limit : int
        Its bytes, and the most that are kept.
    """

    code = "photo_too_large"

    def __init__(self, message: str, *, measured: int = 0, limit: int = 0) -> None:
        super().__init__(message)
        self.measured = measured
        self.limit = limit


class DuplicatePersonError(GalleryError, ValueError):
    """Somebody of that id is registered already.

    Attributes
    ----------
    person_id : str or int or None
        The id that is taken.
    """

    code = "duplicate_person"

    def __init__(self, message: str, *, person_id: str | int | None = None) -> None:
        super().__init__(message)
        self.person_id = person_id


class EmptyGalleryError(GalleryError):
    """Nobody is registered, so nobody can be recognised."""

    code = "empty_gallery"


class GalleryClosedError(GalleryError):
    """The gallery was closed."""

    code = "gallery_closed"


class GalleryPackError(GalleryError):
    """The gallery was made with another pack; the message says what to do.

    Attributes
    ----------
    stored : str
        Name of the pack that made the gallery.
    opened : str
        Name of the pack it was opened with.
    """

    code = "gallery_pack"

    def __init__(self, message: str, *, stored: str = "", opened: str = "") -> None:
        super().__init__(message)
        self.stored = stored
        self.opened = opened


class MigrationError(GalleryError):
    """A gallery cannot be moved to a pack or back, because there is none to go back to or somebody else ended it."""

    code = "migration"


class RegistrationError(GalleryError, ValueError):
    """Several pictures were given to register and none was accepted.

    Attributes
    ----------
    rejected : tuple of facedex.Rejection
        Which picture was refused, and the error of each.
    """

    code = "registration"

    def __init__(self, message: str, *, rejected: tuple[Any, ...] = ()) -> None:
        super().__init__(message)
        self.rejected = rejected


class DuplicateFaceError(GalleryError, ValueError):
    """A face resembles somebody who is registered under another id, and the gallery refuses that.

    Attributes
    ----------
    person_id : str or int or None
        The other person.
    measured, limit : float
        The similarity to that person, and the threshold that it reaches.
    """

    code = "duplicate_face"

    def __init__(
        self, message: str, *, person_id: str | int | None = None, measured: float = 0.0, limit: float = 0.0
    ) -> None:
        super().__init__(message)
        self.person_id = person_id
        self.measured = measured
        self.limit = limit


class PersonFullError(GalleryError, ValueError):
    """A person has as many faces as the gallery allows, and this one does not take the place of another.

    Attributes
    ----------
    measured, limit : int
        How many faces there would be, and the most that is allowed.
    """

    code = "person_full"

    def __init__(self, message: str, *, measured: int = 0, limit: int = 0) -> None:
        super().__init__(message)
        self.measured = measured
        self.limit = limit


class GalleryKeyError(GalleryError):
    """The key of an encrypted gallery."""

    code = "key"


class KeyMissingError(GalleryKeyError):
    """The gallery is encrypted and no key was given."""

    code = "key_missing"


class WrongKeyError(GalleryKeyError):
    """The key that was given is another than the gallery's."""

    code = "key_wrong"


class KeyUnusedError(GalleryKeyError):
    """A key was given and the gallery is not encrypted."""

    code = "key_unused"


class EncryptionUnavailableError(GalleryKeyError):
    """A key was given and the package that encrypts is not installed."""

    code = "encryption_unavailable"


class PlainSearchError(GalleryKeyError):
    """The gallery is encrypted, and the search that was chosen would hold its templates in the clear."""

    code = "search_plain"


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


class StoreError(FacedexError):
    """The database below the gallery failed."""

    code = "store"


class DatabaseDamagedError(StoreError):
    """The file is damaged, or no database of facedex at all."""

    code = "database_damaged"


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


class AccessError(FacedexError):
    """Who may do what in a server."""

    code = "access"


class SignInError(AccessError):
    """There is no such account, or it has another password; the two are not told apart."""

    code = "sign_in"


class UnauthenticatedError(AccessError):
    """Nobody is signed in, or the token or key is unknown, expired or revoked."""

    code = "unauthenticated"


class ForbiddenError(AccessError):
    """Whoever asks may not do that."""

    code = "forbidden"


class AttemptsError(AccessError):
    """Too many attempts, from one address or for one account.

    Attributes
    ----------
    retry_after_s : int
        When to try again, seconds.
    """

    code = "too_many_attempts"

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DuplicateAccountError(AccessError, ValueError):
    """Another account has that login or e-mail address."""

    code = "duplicate_account"


class UnknownAccountError(AccessError, LookupError):
    """There is no such account."""

    code = "unknown_account"


class UnknownKeyError(AccessError, LookupError):
    """There is no such API key."""

    code = "unknown_api_key"


class RequestError(FacedexError):
    """A request that a server does not take."""

    code = "request"


class MalformedRequestError(RequestError, ValueError):
    """A request is not what the interface takes.

    Attributes
    ----------
    problems : tuple of str
        What is wrong with each part, where there are several.
    """

    code = "malformed_request"

    def __init__(self, message: str, *, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class BodyTooLargeError(RequestError, ValueError):
    """The body of a request is larger than allowed.

    Attributes
    ----------
    limit : int
        The most that is allowed, bytes.
    """

    code = "body_too_large"

    def __init__(self, message: str, *, limit: int = 0) -> None:
        super().__init__(message)
        self.limit = limit


class SlowBodyError(RequestError, TimeoutError):
    """The body of a request did not come in time."""

    code = "body_too_slow"


class OverloadedError(RequestError):
    """The server has no room for a request now.

    Attributes
    ----------
    retry_after_s : int
        When to try again, seconds.
    """

    code = "overloaded"

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class LateAnswerError(RequestError, TimeoutError):
    """A request took longer than allowed."""

    code = "timeout"


class RepeatedKeyError(RequestError, ValueError):
    """The Idempotency-Key of a request was used for another request before."""

    code = "idempotency_key_reused"


class RepeatedNowError(RequestError):
    """The same request, by its Idempotency-Key, is being answered at this moment.

    Attributes
    ----------
    retry_after_s : int
        When to try again, seconds.
    """

    code = "idempotency_in_progress"

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UnknownGalleryError(RequestError, LookupError):
    """There is no gallery of that name."""

    code = "unknown_gallery"


class UnknownJobError(RequestError, LookupError):
    """There is no job of that id."""

    code = "unknown_job"


class ServeError(RequestError, ValueError):
    """A server cannot be started so."""

    code = "serve"
