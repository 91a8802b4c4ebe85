//! A Rust error → the Python exception of its cause. The `match` has no `_`, so that every new variant must be mapped.

use crate::error::Error;
use pyo3::PyErr;

mod exceptions {
    #![allow(missing_docs)] // documented where they are defined, in facedex/errors.py
    use pyo3::import_exception;

    import_exception!(facedex.errors, ImageReadError);
    import_exception!(facedex.errors, NotAnImageError);
    import_exception!(facedex.errors, UnsupportedImageError);
    import_exception!(facedex.errors, DamagedImageError);
    import_exception!(facedex.errors, TruncatedImageError);
    import_exception!(facedex.errors, ImageTooLargeError);
    import_exception!(facedex.errors, ImageArrayError);
    import_exception!(facedex.errors, LandmarksError);
    import_exception!(facedex.errors, LivenessError);
    import_exception!(facedex.errors, ManifestError);
    import_exception!(facedex.errors, WeightsMissingError);
    import_exception!(facedex.errors, WeightsDigestError);
    import_exception!(facedex.errors, WeightsUnverifiedError);
    import_exception!(facedex.errors, NetworkError);
    import_exception!(facedex.errors, RoleMissingError);
    import_exception!(facedex.errors, PackMismatchError);
    import_exception!(facedex.errors, RuntimeUnavailableError);
    import_exception!(facedex.errors, ProviderError);
    import_exception!(facedex.errors, ForkError);
    import_exception!(facedex.errors, ArgumentError);
    import_exception!(facedex.errors, EmbeddingError);
    import_exception!(facedex.errors, IndexFileError);
    import_exception!(facedex.errors, SearchError);
}

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        use exceptions as py;
        let message = error.to_string();
        match error {
            Error::ImageRead { .. } => py::ImageReadError::new_err(message),
            Error::NotAnImage { .. } => py::NotAnImageError::new_err(message),
            Error::ImageUnsupported { .. } => py::UnsupportedImageError::new_err(message),
            Error::ImageDamaged { .. } => py::DamagedImageError::new_err(message),
            Error::ImageTruncated { .. } => py::TruncatedImageError::new_err(message),
            Error::ImageTooLarge { .. } => py::ImageTooLargeError::new_err(message),
            Error::ImageArray { .. } => py::ImageArrayError::new_err(message),
            Error::Manifest { .. } => py::ManifestError::new_err(message),
            Error::WeightsMissing { .. } => py::WeightsMissingError::new_err(message),
            Error::WeightsDigest { .. } => py::WeightsDigestError::new_err(message),
            Error::WeightsUnverified { .. } => py::WeightsUnverifiedError::new_err(message),
            Error::NetworkMismatch { .. } | Error::NetworkLoad { .. } | Error::NetworkRun { .. } => {
                py::NetworkError::new_err(message)
            }
            Error::RoleMissing { .. } => py::RoleMissingError::new_err(message),
            Error::PackMismatch { .. } => py::PackMismatchError::new_err(message),
            Error::Runtime { .. } => py::RuntimeUnavailableError::new_err(message),
            Error::Provider { .. } => py::ProviderError::new_err(message),
            Error::Forked { .. } => py::ForkError::new_err(message),
            Error::Argument { .. } => py::ArgumentError::new_err(message),
            Error::Landmarks { .. } => py::LandmarksError::new_err(message),
            Error::LivenessUnavailable { .. } => py::LivenessError::new_err(message),
            Error::Embedding { .. } => py::EmbeddingError::new_err(message),
            Error::IndexFile { .. } => py::IndexFileError::new_err(message),
            Error::Index { .. } => py::SearchError::new_err(message),
        }
    }
}
