//! Results of an analysis, and the statistics of an engine.

use crate::attributes::Attributes;
use crate::detect::Face;
use crate::embed::Embedding;
use crate::geometry::Size;
use crate::liveness::Liveness;
use crate::quality::Quality;

/// A face and the requested results.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalyzedFace {
    /// Box, landmarks and score.
    pub face: Face,
    /// Its embedding, if requested.
    pub embedding: Option<Embedding>,
    /// Whether it is live, if requested.
    pub liveness: Option<Liveness>,
    /// Estimated age and gender, if requested.
    pub attributes: Option<Attributes>,
    /// How well it serves recognition, if requested.
    pub quality: Option<Quality>,
}

/// The faces of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    /// Largest first.
    pub faces: Vec<AnalyzedFace>,
    /// Size of the upright image.
    pub size: Size,
}

/// Statistics of an engine since it was opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stats {
    /// Number of analysed images.
    pub images: u64,
    /// Time spent on them, summed over threads, seconds.
    pub total_s: f64,
    /// Time spent inside ONNX Runtime, summed over threads, seconds.
    pub network_s: f64,
}
