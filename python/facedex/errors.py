"""Every exception of facedex, in one tree.

A message is lower case, names the offending value and says what is accepted. Each class has a stable ``code`` for
programs. Errors can be pickled with their data, so they cross a process pool. The Rust core raises these classes too.

::

    FacedexError
    ├── ImageError (ValueError)
    │   ├── ImageReadError            the file or stream cannot be read
    │   ├── NotAnImageError           the bytes are not a picture of a known format
    │   ├── UnsupportedImageError     a variant of a known format that is not decoded
    │   ├── DamagedImageError         the data are damaged
    │   ├── TruncatedImageError       the data end before the last row
    │   ├── ImageTooLargeError        more pixels than the limit
    │   └── ImageArrayError (TypeError)   an array of the wrong type or shape
    ├── FaceError (ValueError)
    │   ├── NoFaceError               a face is required and none was found
    │   ├── SeveralFacesError         one face is required and several were found: ``bboxes``
    │   ├── LandmarksError            five points from which no crop can be made
    │   ├── LivenessError             liveness is required and cannot be judged
    │   ├── ChallengeError            an active liveness check is not passed
    │   │   ├── ChallengeUnknownError     it was not issued to this caller, or is long over
    │   │   ├── ChallengeUsedError        it was answered before
    │   │   ├── ChallengeTimeError        the answer came too late, or too early for a person
    │   │   ├── ChallengeFramesError      too few frames, or one without exactly one face
    │   │   ├── ChallengePersonError      the frames show several people
    │   │   └── ChallengeOrderError       the frames show other actions than those asked for
    │   └── EnrolmentError            a face is not good enough to be registered: ``measured``, ``limit``
    │       ├── FaceTooSmallError         its box is too small
    │       ├── FaceScoreError            the detector is not certain enough
    │       ├── FaceQualityError          the quality for recognition is too low
    │       └── FaceNotLiveError          the face is not live, or liveness cannot be judged
    ├── PackError
    │   ├── PackNotFoundError         there is no pack of that name
    │   ├── ManifestError (ValueError)    the manifest is invalid
    │   ├── WeightsMissingError       a file that the manifest names is missing
    │   ├── WeightsDigestError        a file does not match the digest in the manifest
    │   ├── WeightsUnverifiedError    a file has no published digest and was not accepted
    │   ├── LicenseError              the licence of the weights was not accepted: ``licences``
    │   ├── DownloadError             a file could not be fetched: ``url``, ``status``
    │   ├── ArchiveError              an archive is damaged, unsafe, or lacks a file
    │   ├── PackFolderError           the folder for packs cannot be read or written, or its disk is full
    │   ├── PackNameError (ValueError)    another pack has that name
    │   ├── NetworkError              a network does not load, does not run or is not the declared one
    │   ├── RoleMissingError          the pack has no network for this task
    │   ├── PackScoresError           the pack has no table of scores to convert another scale
    │   └── PackMismatchError (ValueError)    embeddings of two packs cannot be compared
    ├── RuntimeUnavailableError (RuntimeError)    ONNX Runtime is missing or too old
    ├── ProviderError (RuntimeError)  the requested execution provider is not available
    ├── ForkError (RuntimeError)      an engine or gallery was opened in another process
    ├── ArgumentError (ValueError)    an argument is invalid or out of range
    │   └── RateError                 an error rate is lower than the data can show: ``people``
    ├── EmbeddingError (ValueError)   a vector has the wrong dimension, is not finite or not of unit length
    ├── IndexFileError                an index file is damaged or not ours
    ├── SearchError                   the search backend failed
    │   └── SearchUnavailableError    the search backend is not installed, not allowed or not reachable
    ├── GalleryError
    │   ├── UnknownPersonError (LookupError)      no person with that id is registered: ``person_id``
    │   ├── UnknownFaceError (LookupError)        no face with that id is stored: ``face_id``
    │   ├── UnknownPhotoError (LookupError)       no photo with that id is stored: ``photo_id``
    │   ├── PhotoTooLargeError (ValueError)       a photo has too many bytes: ``measured``, ``limit``
    │   ├── DuplicatePersonError (ValueError)     a person with that id is already registered: ``person_id``
    │   ├── GalleryClosedError        the gallery was closed
    │   ├── GalleryPackError          the gallery was made with another pack: ``stored``, ``opened``
    │   ├── MigrationError            a gallery cannot be migrated to a pack, or rolled back
    │   ├── RegistrationError (ValueError)        none of several pictures was accepted: ``rejected``
    │   ├── DuplicateFaceError (ValueError)       the face resembles another person: ``person_id``, ``measured``
    │   ├── PersonFullError (ValueError)          the person has the maximum number of faces: ``measured``, ``limit``
    │   └── GalleryKeyError           the key of an encrypted gallery is missing or wrong
    │       ├── KeyMissingError           the gallery is encrypted and no key was given
    │       ├── WrongKeyError             the key is not the gallery's
    │       ├── KeyUnusedError            a key was given and the gallery is not encrypted
    │       ├── EncryptionUnavailableError    the package for encryption is not installed
    │       └── PlainSearchError          the search backend would store encrypted templates in the clear
    ├── AccessError                   authentication or authorization failed
    │   ├── SignInError               unknown account or wrong password; the error does not reveal which
    │   ├── UnauthenticatedError      not signed in, or the token or key is invalid
    │   ├── ForbiddenError            permission denied
    │   ├── AttemptsError             too many attempts: ``retry_after_s``
    │   ├── DuplicateAccountError (ValueError)    another account has that login or e-mail address
    │   ├── UnknownAccountError (LookupError)     there is no such account
    │   └── UnknownKeyError (LookupError)         there is no such API key
    ├── RequestError                  a server rejects a request
    │   ├── MalformedRequestError (ValueError)    it does not match the schema: ``problems``
    │   ├── BodyTooLargeError (ValueError)        its body is larger than allowed: ``limit``
    │   ├── SlowBodyError (TimeoutError)          its body did not arrive in time
    │   ├── OverloadedError           the server is overloaded: ``retry_after_s``
    │   ├── LateAnswerError (TimeoutError)        it took longer than allowed
    │   ├── RepeatedKeyError (ValueError)         its Idempotency-Key was used for another request
    │   ├── RepeatedNowError          the same request is in progress: ``retry_after_s``
    │   ├── UnknownGalleryError (LookupError)     there is no such gallery
    │   ├── UnknownJobError (LookupError)         there is no such job
    │   └── ServeError (ValueError)   a server cannot start with these settings
    ├── TransferError
    │   ├── ImportFileError (ValueError)          a file to import is damaged, of an unknown kind or unreadable
    │   ├── UnsafePickleError (ValueError)        a pickle holds more than arrays and plain values: ``refused``
    │   ├── ForeignTemplatesError (ValueError)    vectors are not proven to be of the gallery's pack
    │   ├── GalleryFileError (ValueError)         a gallery file is damaged, truncated or not a gallery file
    │   ├── GalleryFileVersionError (ValueError)  a gallery file was written by a newer facedex
    │   ├── PlainExportError          an encrypted gallery is only written in the clear on request
    │   └── ExportError               a gallery file cannot be written
    ├── EvaluationError (ValueError)  error rates cannot be measured
    │   ├── PictureSetError           a folder or list of pictures cannot be evaluated
    │   ├── LabelsError               a file of labels has no valid columns, or names no picture and no person
    │   └── PlotsUnavailableError     matplotlib, which draws the plots, is not installed
    └── StoreError
        ├── DatabaseDamagedError      the file is damaged or not a database
        │   ├── DatabaseSchemaError       it holds foreign triggers, views or tables: ``found``
        │   ├── TemplateIntegrityError    an encrypted template was altered or moved: ``face_id``
        │   └── PhotoIntegrityError       a stored photo was altered or moved: ``photo_id``
        ├── DatabaseLockedError       another program has locked the database
        ├── StorageFullError          the disk is full
        ├── DatabaseReadOnlyError     the database is read-only
        ├── DatabaseVersionError      the database was written by a newer facedex
        └── DatabaseUnavailableError  the database cannot be opened or reached
"""

from __future__ import annotations

from typing import Any, ClassVar

BBox = tuple[float, float, float, float]

LONGEST_MESSAGE = 2000
"""Characters of an error's message that are kept, so that no input floods a log."""


class FacedexError(Exception):
    """Base class of all errors that facedex raises.

    Parameters
    ----------
    message : str
        What was wrong and what is accepted; all but the start of a very long one is left out.

    Attributes
    ----------
    code : str
        Stable name of the cause, for programs; the message may change.
    """

    code: ClassVar[str] = "facedex"

    def __init__(self, message: str) -> None:
        if len(message) > LONGEST_MESSAGE:
            message = f"{message[:LONGEST_MESSAGE]}... ({len(message)} characters)"
        super().__init__(message)

    def to_dict(self) -> dict[str, Any]:
        """Return code, message and data as plain Python that JSON can write."""
        names = dict.fromkeys((*vars(self), "measured", "limit"))
        data = {name: _plain(getattr(self, name)) for name in names if hasattr(self, name)}
        return {"code": self.code, "message": str(self)} | data


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.to_dict() if hasattr(value, "to_dict") else value


class ForkError(FacedexError, RuntimeError):
    """An engine or gallery was opened in another process, before a fork."""

    code = "forked"


class ArgumentError(FacedexError, ValueError):
    """An argument is invalid or out of range."""

    code = "argument"


class RateError(ArgumentError):
    """An error rate is lower than the data can show.

    Attributes
    ----------
    people : int
        How many people it would take to support it.
    """

    code = "rate"

    def __init__(self, message: str, *, people: int = 0) -> None:
        super().__init__(message)
        self.people = people


class ImageError(FacedexError, ValueError):
    """A picture was rejected."""

    code = "image"


class ImageReadError(ImageError):
    """The file or stream of a picture cannot be read."""

    code = "image_read"


class NotAnImageError(ImageError):
    """The bytes are not a picture of a known format."""

    code = "not_an_image"


class UnsupportedImageError(ImageError):
    """A picture is in a variant of a known format that is not supported."""

    code = "image_unsupported"


class DamagedImageError(ImageError):
    """The data of a picture are damaged."""

    code = "image_damaged"


class TruncatedImageError(ImageError):
    """The data of a picture end before its last row."""

    code = "image_truncated"


class ImageTooLargeError(ImageError):
    """A picture has more pixels than the limit, ``FACEDEX_MAX_PIXELS`` or ``Engine(max_pixels=...)``."""

    code = "image_too_large"

    def __init__(self, message: str) -> None:
        if message.endswith(" pixels") and "over the limit" in message:  # from the core, which knows no settings
            message += "; FACEDEX_MAX_PIXELS or max_pixels raises it"
        super().__init__(message)


class ImageArrayError(ImageError, TypeError):
    """A pixel array is not uint8 of shape (height, width, 3)."""

    code = "image_array"


class FaceError(FacedexError, ValueError):
    """The faces in a picture are not suitable."""

    code = "face"


class NoFaceError(FaceError):
    """A face is required and none was found.

    Attributes
    ----------
    measured, limit : int
        How many faces were found, and how many are required.
    """

    code = "no_face"
    measured = 0
    limit = 1


class SeveralFacesError(FaceError):
    """Exactly one face is required and several were found.

    Attributes
    ----------
    bboxes : tuple of (float, float, float, float)
        The faces found, largest first: x1, y1, x2, y2 in pixels of the upright original.
    measured, limit : int
        How many faces were found, and how many are required.
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
    """No crop can be made from five points, because they coincide or are not finite."""

    code = "landmarks"


class LivenessError(FaceError):
    """Liveness is required and cannot be judged: no network for it, or a face too small, cut off or too near."""

    code = "liveness_unavailable"


class ChallengeError(FaceError):
    """An active liveness check, which asks a person to turn the head and to come closer, is not passed."""

    code = "challenge"


class ChallengeUnknownError(ChallengeError):
    """A challenge does not exist: it was not issued to this caller, or is long over."""

    code = "challenge_unknown"


class ChallengeUsedError(ChallengeError):
    """A challenge was answered before; each has one answer, whether it passed or not."""

    code = "challenge_used"


class ChallengeTimeError(ChallengeError):
    """The answer to a challenge came too late, or earlier than a person can give it."""

    code = "challenge_time"


class ChallengeFramesError(ChallengeError):
    """The frames cannot be judged: too few or too many, or one does not show exactly one face."""

    code = "challenge_frames"


class ChallengePersonError(ChallengeError):
    """The frames show several people, one after the other."""

    code = "challenge_person"


class ChallengeOrderError(ChallengeError):
    """The frames show other actions than those asked for, or in another order."""

    code = "challenge_order"


class EnrolmentError(FaceError):
    """A face is not good enough to be registered.

    Attributes
    ----------
    measured, limit : float
        What was measured, and the minimum that the gallery accepts.
    """

    code = "enrolment"

    def __init__(self, message: str, *, measured: float = 0.0, limit: float = 0.0) -> None:
        super().__init__(message)
        self.measured = measured
        self.limit = limit


class FaceTooSmallError(EnrolmentError):
    """The shorter side of a face's box, pixels, is below the gallery's minimum."""

    code = "face_too_small"


class FaceScoreError(EnrolmentError):
    """The detector's score of a face, [0, 1], is below the gallery's minimum."""

    code = "face_score"


class FaceQualityError(EnrolmentError):
    """The quality of a face for recognition, [0, 100], is below the gallery's minimum."""

    code = "face_quality"


class FaceNotLiveError(EnrolmentError):
    """A face is a presentation attack, or its liveness cannot be judged; then nothing was measured."""

    code = "face_not_live"


class PackError(FacedexError):
    """A pack of networks cannot be used."""

    code = "pack"


class PackNotFoundError(PackError):
    """There is no pack of that name, or no manifest at that path."""

    code = "pack_not_found"


class ManifestError(PackError, ValueError):
    """A manifest is invalid."""

    code = "manifest"


class WeightsMissingError(PackError):
    """A file that the manifest names is missing."""

    code = "weights_missing"


class WeightsDigestError(PackError):
    """A file does not match the digest in the manifest."""

    code = "weights_digest"


class WeightsUnverifiedError(PackError):
    """A file has no published digest, and this machine has not accepted one."""

    code = "weights_unverified"


class LicenseError(PackError):
    """The licence of the weights forbids commercial use and was not accepted.

    Attributes
    ----------
    licences : tuple of str
        The licences to accept, as given to ``accept_license``.
    """

    code = "license"

    def __init__(self, message: str, *, licences: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.licences = licences


class DownloadError(PackError):
    """A file could not be downloaded: not found, interrupted, too slow or refused.

    Attributes
    ----------
    url : str
        The last address that was tried.
    status : int or None
        HTTP status of the response, if there was one.
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
    """A network does not load, does not run, or is not the one that the manifest declares."""

    code = "network"


class RoleMissingError(PackError):
    """The pack has no network for this task."""

    code = "role_missing"


class PackScoresError(PackError):
    """The pack has no table of scores, which converts similarities of another scale."""

    code = "pack_scores"


class PackMismatchError(PackError, ValueError):
    """Embeddings of two packs cannot be compared."""

    code = "pack_mismatch"


class RuntimeUnavailableError(FacedexError, RuntimeError):
    """The ONNX Runtime library is missing or too old."""

    code = "runtime"


class ProviderError(FacedexError, RuntimeError):
    """The requested execution provider is not available."""

    code = "provider"


class EmbeddingError(FacedexError, ValueError):
    """A vector has the wrong dimension, is not finite or not of unit length."""

    code = "embedding"


class IndexFileError(FacedexError):
    """An index file is damaged or not ours. A gallery then rebuilds its index."""

    code = "index_file"


class SearchError(FacedexError):
    """The search library or the file system failed."""

    code = "index"


class SearchUnavailableError(SearchError):
    """The search backend is not installed, not allowed or not reachable."""

    code = "search_unavailable"


class GalleryError(FacedexError):
    """A gallery cannot perform an operation."""

    code = "gallery"


class UnknownPersonError(GalleryError, LookupError):
    """No person with that id is registered.

    Attributes
    ----------
    person_id : str or int or None
        The id that was requested.
    """

    code = "unknown_person"

    def __init__(self, message: str, *, person_id: str | int | None = None) -> None:
        super().__init__(message)
        self.person_id = person_id


class UnknownFaceError(GalleryError, LookupError):
    """No face with that id is stored in this gallery.

    Attributes
    ----------
    face_id : int or None
        The id that was requested.
    """

    code = "unknown_face"

    def __init__(self, message: str, *, face_id: int | None = None) -> None:
        super().__init__(message)
        self.face_id = face_id


class UnknownPhotoError(GalleryError, LookupError):
    """No photo with that id is stored in this gallery.

    Attributes
    ----------
    photo_id : int or None
        The id that was requested.
    """

    code = "unknown_photo"

    def __init__(self, message: str, *, photo_id: int | None = None) -> None:
        super().__init__(message)
        self.photo_id = photo_id


class PhotoTooLargeError(GalleryError, ValueError):
    """A photo has more bytes than a gallery or its database stores.

    Attributes
    ----------
    measured, limit : int
        Its size, and the maximum, bytes.
    """

    code = "photo_too_large"

    def __init__(self, message: str, *, measured: int = 0, limit: int = 0) -> None:
        super().__init__(message)
        self.measured = measured
        self.limit = limit


class DuplicatePersonError(GalleryError, ValueError):
    """A person with that id is already registered.

    Attributes
    ----------
    person_id : str or int or None
        The id that is in use.
    """

    code = "duplicate_person"

    def __init__(self, message: str, *, person_id: str | int | None = None) -> None:
        super().__init__(message)
        self.person_id = person_id


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
    """A migration or rollback is not possible, for example because another process finished it."""

    code = "migration"


class RegistrationError(GalleryError, ValueError):
    """None of the pictures given for a registration was accepted.

    Attributes
    ----------
    rejected : tuple of facedex.Rejection
        The rejected pictures, each with its error.
    """

    code = "registration"

    def __init__(self, message: str, *, rejected: tuple[Any, ...] = ()) -> None:
        super().__init__(message)
        self.rejected = rejected


class DuplicateFaceError(GalleryError, ValueError):
    """A face resembles a person who is registered under another id, and the gallery refuses duplicates.

    Attributes
    ----------
    person_id : str or int or None
        The other person.
    measured, limit : float
        The similarity to that person, and the threshold.
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
    """A person has the maximum number of faces, and the new one does not replace another.

    Attributes
    ----------
    measured, limit : int
        The number of faces that there would be, and the maximum.
    """

    code = "person_full"

    def __init__(self, message: str, *, measured: int = 0, limit: int = 0) -> None:
        super().__init__(message)
        self.measured = measured
        self.limit = limit


class GalleryKeyError(GalleryError):
    """The key of an encrypted gallery is missing or wrong."""

    code = "key"


class KeyMissingError(GalleryKeyError):
    """The gallery is encrypted and no key was given."""

    code = "key_missing"


class WrongKeyError(GalleryKeyError):
    """The key that was given is not the gallery's."""

    code = "key_wrong"


class KeyUnusedError(GalleryKeyError):
    """A key was given and the gallery is not encrypted."""

    code = "key_unused"


class EncryptionUnavailableError(GalleryKeyError):
    """A key was given and the package for encryption is not installed."""

    code = "encryption_unavailable"


class PlainSearchError(GalleryKeyError):
    """The gallery is encrypted, and the search backend would store its templates in the clear."""

    code = "search_plain"


class AccessError(FacedexError):
    """Authentication or authorization failed."""

    code = "access"


class SignInError(AccessError):
    """The account is unknown or the password wrong; the error does not reveal which."""

    code = "sign_in"


class UnauthenticatedError(AccessError):
    """The caller is not signed in, or the token or key is unknown, expired or revoked."""

    code = "unauthenticated"


class ForbiddenError(AccessError):
    """Permission denied: the caller lacks a scope."""

    code = "forbidden"


class AttemptsError(AccessError):
    """Too many attempts, from one address or for one account.

    Attributes
    ----------
    retry_after_s : int
        Seconds to wait before the next try.
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
    """A server rejects a request."""

    code = "request"


class MalformedRequestError(RequestError, ValueError):
    """A request does not match its schema.

    Attributes
    ----------
    problems : tuple of str
        One message for each invalid field.
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
        The maximum, bytes.
    """

    code = "body_too_large"

    def __init__(self, message: str, *, limit: int = 0) -> None:
        super().__init__(message)
        self.limit = limit


class SlowBodyError(RequestError, TimeoutError):
    """The body of a request did not arrive in time."""

    code = "body_too_slow"


class OverloadedError(RequestError):
    """The server is overloaded.

    Attributes
    ----------
    retry_after_s : int
        Seconds to wait before the next try.
    """

    code = "overloaded"

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class LateAnswerError(RequestError, TimeoutError):
    """A request took longer than allowed."""

    code = "timeout"


class RepeatedKeyError(RequestError, ValueError):
    """The Idempotency-Key of a request was used for another request."""

    code = "idempotency_key_reused"


class RepeatedNowError(RequestError):
    """Another request with the same Idempotency-Key is in progress.

    Attributes
    ----------
    retry_after_s : int
        Seconds to wait before the next try.
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
    """A server cannot start with these settings."""

    code = "serve"


class TransferError(FacedexError):
    """An import or export failed."""

    code = "transfer"


class ImportFileError(TransferError, ValueError):
    """A file or folder to import is damaged, of an unknown kind or unreadable; nothing was stored."""

    code = "import_file"


class UnsafePickleError(TransferError, ValueError):
    """A pickle holds more than arrays and plain values; no code of it ran, and nothing was stored.

    Attributes
    ----------
    refused : str
        The name or opcode that is not allowed.
    """

    code = "unsafe_pickle"

    def __init__(self, message: str, *, refused: str = "") -> None:
        super().__init__(message)
        self.refused = refused


class ForeignTemplatesError(TransferError, ValueError):
    """Vectors come from another network than the gallery's, or their origin is unknown."""

    code = "foreign_templates"


class GalleryFileError(TransferError, ValueError):
    """A gallery file is damaged, truncated or not a gallery file; nothing was stored."""

    code = "gallery_file"


class GalleryFileVersionError(TransferError, ValueError):
    """A gallery file was written by a newer version of facedex."""

    code = "gallery_file_version"


class PlainExportError(TransferError):
    """An encrypted gallery is written in the clear only when the caller requests it."""

    code = "plain_export"


class ExportError(TransferError):
    """A gallery file cannot be written; an older file is left unchanged."""

    code = "export"


class EvaluationError(FacedexError, ValueError):
    """Error rates cannot be measured."""

    code = "evaluation"


class PictureSetError(EvaluationError):
    """A folder or a list of pictures cannot be evaluated."""

    code = "picture_set"


class LabelsError(EvaluationError):
    """A file of labels has no valid columns, or names no picture and no person of the folder."""

    code = "labels"


class PlotsUnavailableError(EvaluationError):
    """Plots need matplotlib, which is not installed."""

    code = "plots_unavailable"


class StoreError(FacedexError):
    """The database of a gallery failed."""

    code = "store"


class DatabaseDamagedError(StoreError):
    """The file is damaged or not a database of facedex."""

    code = "database_damaged"


class DatabaseSchemaError(DatabaseDamagedError):
    """The database holds triggers, views or tables that facedex did not make.

    Attributes
    ----------
    found : tuple of str
        One text for each, like "trigger 'name' on 'table'".
    """

    code = "database_schema"

    def __init__(self, message: str, *, found: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.found = found


class TemplateIntegrityError(DatabaseDamagedError):
    """An encrypted template or a person's key was altered, or moved to another row.

    Attributes
    ----------
    face_id : int or None
        The face; None for a person's key.
    """

    code = "template_integrity"

    def __init__(self, message: str, *, face_id: int | None = None) -> None:
        super().__init__(message)
        self.face_id = face_id


class PhotoIntegrityError(DatabaseDamagedError):
    """A stored photo was altered, or moved to another row.

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
    """Another program has locked the database for longer than the timeout."""

    code = "database_locked"


class StorageFullError(StoreError):
    """The disk is full; the change was not stored."""

    code = "storage_full"


class DatabaseReadOnlyError(StoreError):
    """The database is read-only."""

    code = "database_read_only"


class DatabaseVersionError(StoreError):
    """The database was written by a newer version of facedex."""

    code = "database_version"


class DatabaseUnavailableError(StoreError):
    """The database cannot be opened or reached."""

    code = "database_unavailable"
