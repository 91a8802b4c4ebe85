//! What comes in: a picture, and what is asked about it.

use crate::detect::DetectOptions;
use crate::image::Image;
use std::path::PathBuf;

/// A picture as it comes.
#[derive(Debug, Clone)]
pub enum Source {
    /// A file.
    Path(PathBuf),
    /// An encoded picture.
    Bytes(Vec<u8>),
    /// Pixels.
    Image(Image),
}

/// What is asked about a picture. Only that is computed.
#[derive(Debug, Clone, Copy)]
pub struct AnalyzeOptions {
    /// What to look for.
    pub detect: DetectOptions,
    /// At most so many faces, the largest; all where absent.
    pub max_faces: Option<usize>,
    /// Whether embeddings are wanted.
    pub embed: bool,
    /// Whether age and gender are wanted.
    pub attributes: bool,
    /// Whether liveness is wanted, and what follows where it cannot be judged.
    pub liveness: LivenessPolicy,
    /// Whether the quality is wanted.
    pub quality: bool,
}

/// What is asked about liveness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LivenessPolicy {
    /// Nothing.
    #[default]
    Off,
    /// A face that cannot be judged says so.
    Advisory,
    /// A face that cannot be judged is an error for the whole picture.
    Required,
}

impl Default for AnalyzeOptions {
    fn default() -> Self {
        Self {
            detect: DetectOptions::default(),
            max_faces: None,
            embed: true,
            attributes: false,
            liveness: LivenessPolicy::Off,
            quality: false,
        }
    }
}
