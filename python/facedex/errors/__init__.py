"""Every exception of facedex, in one tree.

A message is lower case, names the offending value and says what is accepted. Each class has a stable ``code`` for
programs, and can be pickled, so that it crosses a process pool with its data. The Rust core raises these
classes too.

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
        │   ├── DatabaseSchemaError       triggers, views or tables that are not ours: ``found``
        │   ├── TemplateIntegrityError    an encrypted template was altered or is another's: ``face_id``
        │   └── PhotoIntegrityError       a stored photo was altered or is another's: ``photo_id``
        ├── DatabaseLockedError       another program holds the database
        ├── StorageFullError          the disk is full
        ├── DatabaseReadOnlyError     the database may be read and not written
        ├── DatabaseVersionError      the database was written by a newer facedex
        └── DatabaseUnavailableError  the place cannot be opened or reached
"""

from __future__ import annotations

from .base import ArgumentError, BBox, FacedexError, ForkError
from .gallery import (
    DuplicateFaceError,
    DuplicatePersonError,
    EmptyGalleryError,
    EncryptionUnavailableError,
    GalleryClosedError,
    GalleryError,
    GalleryKeyError,
    GalleryPackError,
    KeyMissingError,
    KeyUnusedError,
    MigrationError,
    PersonFullError,
    PhotoTooLargeError,
    PlainSearchError,
    RegistrationError,
    UnknownFaceError,
    UnknownPersonError,
    UnknownPhotoError,
    WrongKeyError,
)
from .packs import (
    ArchiveError,
    DownloadError,
    LicenseError,
    ManifestError,
    NetworkError,
    PackError,
    PackFolderError,
    PackMismatchError,
    PackNameError,
    PackNotFoundError,
    PackScoresError,
    ProviderError,
    RoleMissingError,
    RuntimeUnavailableError,
    WeightsDigestError,
    WeightsMissingError,
    WeightsUnverifiedError,
)
from .pictures import (
    DamagedImageError,
    EnrolmentError,
    FaceError,
    FaceNotLiveError,
    FaceQualityError,
    FaceScoreError,
    FaceTooSmallError,
    ImageArrayError,
    ImageError,
    ImageReadError,
    ImageTooLargeError,
    LandmarksError,
    LivenessError,
    NoFaceError,
    NotAnImageError,
    SeveralFacesError,
    TruncatedImageError,
    UnsupportedImageError,
)
from .search import EmbeddingError, IndexFileError, SearchError, SearchUnavailableError
from .server import (
    AccessError,
    AttemptsError,
    BodyTooLargeError,
    DuplicateAccountError,
    ForbiddenError,
    LateAnswerError,
    MalformedRequestError,
    OverloadedError,
    RepeatedKeyError,
    RepeatedNowError,
    RequestError,
    ServeError,
    SignInError,
    SlowBodyError,
    UnauthenticatedError,
    UnknownAccountError,
    UnknownGalleryError,
    UnknownJobError,
    UnknownKeyError,
)
from .store import (
    DatabaseDamagedError,
    DatabaseLockedError,
    DatabaseReadOnlyError,
    DatabaseSchemaError,
    DatabaseUnavailableError,
    DatabaseVersionError,
    PhotoIntegrityError,
    StorageFullError,
    StoreError,
    TemplateIntegrityError,
)
from .transfer import (
    ExportError,
    ForeignTemplatesError,
    GalleryFileError,
    GalleryFileVersionError,
    ImportFileError,
    PlainExportError,
    TransferError,
    UnsafePickleError,
)

__all__ = [
    "AccessError",
    "ArchiveError",
    "ArgumentError",
    "AttemptsError",
    "BBox",
    "BodyTooLargeError",
    "DamagedImageError",
    "DatabaseDamagedError",
    "DatabaseLockedError",
    "DatabaseReadOnlyError",
    "DatabaseSchemaError",
    "DatabaseUnavailableError",
    "DatabaseVersionError",
    "DownloadError",
    "DuplicateAccountError",
    "DuplicateFaceError",
    "DuplicatePersonError",
    "EmbeddingError",
    "EmptyGalleryError",
    "EncryptionUnavailableError",
    "EnrolmentError",
    "ExportError",
    "FaceError",
    "FaceNotLiveError",
    "FaceQualityError",
    "FaceScoreError",
    "FaceTooSmallError",
    "FacedexError",
    "ForbiddenError",
    "ForeignTemplatesError",
    "ForkError",
    "GalleryClosedError",
    "GalleryError",
    "GalleryFileError",
    "GalleryFileVersionError",
    "GalleryKeyError",
    "GalleryPackError",
    "ImageArrayError",
    "ImageError",
    "ImageReadError",
    "ImageTooLargeError",
    "ImportFileError",
    "IndexFileError",
    "KeyMissingError",
    "KeyUnusedError",
    "LandmarksError",
    "LateAnswerError",
    "LicenseError",
    "LivenessError",
    "MalformedRequestError",
    "ManifestError",
    "MigrationError",
    "NetworkError",
    "NoFaceError",
    "NotAnImageError",
    "OverloadedError",
    "PackError",
    "PackFolderError",
    "PackMismatchError",
    "PackNameError",
    "PackNotFoundError",
    "PackScoresError",
    "PersonFullError",
    "PhotoIntegrityError",
    "PhotoTooLargeError",
    "PlainExportError",
    "PlainSearchError",
    "ProviderError",
    "RegistrationError",
    "RepeatedKeyError",
    "RepeatedNowError",
    "RequestError",
    "RoleMissingError",
    "RuntimeUnavailableError",
    "SearchError",
    "SearchUnavailableError",
    "ServeError",
    "SeveralFacesError",
    "SignInError",
    "SlowBodyError",
    "StorageFullError",
    "StoreError",
    "TemplateIntegrityError",
    "TransferError",
    "TruncatedImageError",
    "UnauthenticatedError",
    "UnknownAccountError",
    "UnknownFaceError",
    "UnknownGalleryError",
    "UnknownJobError",
    "UnknownKeyError",
    "UnknownPersonError",
    "UnknownPhotoError",
    "UnsafePickleError",
    "UnsupportedImageError",
    "WeightsDigestError",
    "WeightsMissingError",
    "WeightsUnverifiedError",
    "WrongKeyError",
]
