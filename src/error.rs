//! The errors of the core: one variant per cause, with its data in fields.
//!
//! A message is lower case, names the offending value and says what is accepted. `code` is stable: programs may depend
//! on it. `src/py/error.rs` maps each variant to a Python exception by a `match` without `_`.

use std::path::PathBuf;

/// The result of every fallible operation of the core.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // Images.
    /// A file or stream could not be read.
    #[error("cannot read image {path:?}: {reason}")]
    ImageRead {
        /// The path.
        path: PathBuf,
        /// What the operating system said.
        reason: String,
    },
    /// The bytes are not an image of a known format.
    #[error("not an image: {reason}; accepted are JPEG, PNG, WebP, BMP, GIF and TIFF")]
    NotAnImage {
        /// What was found instead.
        reason: String,
    },
    /// An image of a known format in an unsupported variant.
    #[error("unsupported {format} image: {reason}")]
    ImageUnsupported {
        /// Name of the format.
        format: &'static str,
        /// The variant.
        reason: String,
    },
    /// An image with damaged data.
    #[error("damaged {format} image: {reason}")]
    ImageDamaged {
        /// Name of the format.
        format: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// An image that ends before its last row.
    #[error("truncated {format} image: {reason}")]
    ImageTruncated {
        /// Name of the format.
        format: &'static str,
        /// Where it ends.
        reason: String,
    },
    /// An image with more pixels than the limit.
    #[error("image of {width} x {height} = {pixels} pixels is over the limit of {limit} pixels")]
    ImageTooLarge {
        /// Width from the header, pixels.
        width: u64,
        /// Height from the header, pixels.
        height: u64,
        /// Their product.
        pixels: u64,
        /// The limit in force.
        limit: u64,
    },
    /// A pixel array of the wrong type or shape.
    #[error("image must be uint8 of shape (height, width, 3), got {found}")]
    ImageArray {
        /// Its type and shape.
        found: String,
    },

    // Packs and their networks.
    /// An invalid manifest.
    #[error("manifest {path:?}: {reason}")]
    Manifest {
        /// The manifest's file.
        path: PathBuf,
        /// What is wrong, with the line if known.
        reason: String,
    },
    /// A file in the manifest does not exist.
    #[error("pack {pack:?}: file {file:?} is not in {folder:?}")]
    WeightsMissing {
        /// Name of the pack.
        pack: String,
        /// Name of the file.
        file: String,
        /// The folder that was searched.
        folder: PathBuf,
    },
    /// A file has another digest than in the manifest.
    #[error("weights {file:?} do not match the manifest: expected SHA-256 {expected}, found {found}")]
    WeightsDigest {
        /// Name of the file.
        file: String,
        /// Declared digest.
        expected: String,
        /// Digest of the file.
        found: String,
    },
    /// A file without a published digest, before its digest is pinned.
    #[error(
        "weights {file:?} are unverified: the manifest of pack {pack:?} states no SHA-256, and none is pinned here"
    )]
    WeightsUnverified {
        /// Name of the pack.
        pack: String,
        /// Name of the file.
        file: String,
    },
    /// A network differs from its declaration in the manifest.
    #[error("network {file:?}: {what}: expected {expected}, found {found}")]
    NetworkMismatch {
        /// Name of the file.
        file: String,
        /// Which declaration.
        what: String,
        /// As declared.
        expected: String,
        /// As found in the file.
        found: String,
    },
    /// ONNX Runtime cannot load a file.
    #[error("network {file:?} cannot be loaded: {reason}")]
    NetworkLoad {
        /// Name of the file.
        file: String,
        /// What the runtime said.
        reason: String,
    },
    /// ONNX Runtime failed while running a network.
    #[error("network {file:?} failed: {reason}")]
    NetworkRun {
        /// Name of the file.
        file: String,
        /// What the runtime said.
        reason: String,
    },
    /// The pack has no network for a requested task.
    #[error("pack {pack:?} has no {role}; {remedy}")]
    RoleMissing {
        /// Name of the pack.
        pack: String,
        /// The missing role.
        role: &'static str,
        /// What to do.
        remedy: String,
    },
    /// Embeddings of two packs were compared.
    #[error("embeddings of different packs cannot be compared: {left} and {right}")]
    PackMismatch {
        /// Digest of one pack.
        left: String,
        /// Digest of the other.
        right: String,
    },

    // The runtime.
    /// The ONNX Runtime library is missing or too old.
    #[error("ONNX Runtime cannot be used: {reason}; {remedy}")]
    Runtime {
        /// What is wrong.
        reason: String,
        /// What to do.
        remedy: String,
    },
    /// A requested execution provider is not available.
    #[error("execution provider {provider:?} is not available: {reason}")]
    Provider {
        /// Its name.
        provider: String,
        /// What the runtime said.
        reason: String,
    },
    /// The engine was made in another process.
    #[error("this engine was opened in process {opened} and is used in process {used}; open it after the fork")]
    Forked {
        /// The process that opened it.
        opened: u32,
        /// The process that called.
        used: u32,
    },

    // Values.
    /// An argument out of range.
    #[error("{name} must be {accepted}, got {found}")]
    Argument {
        /// Name of the argument.
        name: &'static str,
        /// What is accepted.
        accepted: String,
        /// The value.
        found: String,
    },
    /// Landmarks from which no crop can be cut.
    #[error("landmarks cannot be aligned: {reason}")]
    Landmarks {
        /// Why not.
        reason: String,
    },

    /// Liveness is required and cannot be judged.
    #[error("liveness cannot be judged: {reason}")]
    LivenessUnavailable {
        /// Why not.
        reason: String,
    },

    // The index.
    /// A vector of the wrong length, not finite, or not of unit length.
    #[error("embedding {reason}")]
    Embedding {
        /// What is wrong, with what is accepted.
        reason: String,
    },
    /// An index file that cannot be trusted.
    #[error("index file {path:?} is not usable: {reason}")]
    IndexFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// An index operation failed in the library or in the file system.
    #[error("index: {reason}")]
    Index {
        /// What went wrong.
        reason: String,
    },
}

impl Error {
    /// The stable code of this cause, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ImageRead { .. } => "image_read",
            Self::NotAnImage { .. } => "not_an_image",
            Self::ImageUnsupported { .. } => "image_unsupported",
            Self::ImageDamaged { .. } => "image_damaged",
            Self::ImageTruncated { .. } => "image_truncated",
            Self::ImageTooLarge { .. } => "image_too_large",
            Self::ImageArray { .. } => "image_array",
            Self::Manifest { .. } => "manifest",
            Self::WeightsMissing { .. } => "weights_missing",
            Self::WeightsDigest { .. } => "weights_digest",
            Self::WeightsUnverified { .. } => "weights_unverified",
            Self::NetworkMismatch { .. } => "network_mismatch",
            Self::NetworkLoad { .. } => "network_load",
            Self::NetworkRun { .. } => "network_run",
            Self::RoleMissing { .. } => "role_missing",
            Self::PackMismatch { .. } => "pack_mismatch",
            Self::Runtime { .. } => "runtime",
            Self::Provider { .. } => "provider",
            Self::Forked { .. } => "forked",
            Self::Argument { .. } => "argument",
            Self::Landmarks { .. } => "landmarks",
            Self::LivenessUnavailable { .. } => "liveness_unavailable",
            Self::Embedding { .. } => "embedding",
            Self::IndexFile { .. } => "index_file",
            Self::Index { .. } => "index",
        }
    }
}
