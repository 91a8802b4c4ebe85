//! Inputs of an analysis: the image, and options.

use crate::detect::DetectOptions;
use crate::image::Image;
use std::path::PathBuf;

/// An image in one of the accepted forms.
#[derive(Debug, Clone)]
pub enum Source {
    /// A file.
    Path(PathBuf),
    /// An encoded image.
    Bytes(Vec<u8>),
    /// Pixels.
    Image(Image),
}

/// Which results to compute.
#[derive(Debug, Clone, Copy)]
pub struct AnalyzeOptions {
    /// Which faces to detect.
    pub detect: DetectOptions,
    /// Maximum number of faces, the largest; unlimited by default.
    pub max_faces: Option<usize>,
    /// Whether to compute embeddings.
    pub embed: bool,
    /// Whether to estimate age and gender.
    pub attributes: bool,
    /// Whether to judge liveness, and what happens if that is impossible.
    pub liveness: LivenessPolicy,
    /// Whether to measure quality.
    pub quality: bool,
}

/// Whether to judge liveness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LivenessPolicy {
    /// Liveness is not judged.
    #[default]
    Off,
    /// A face that cannot be judged gets the reason.
    Advisory,
    /// A face that cannot be judged fails the analysis of its image.
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
