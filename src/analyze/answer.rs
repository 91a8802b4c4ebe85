//! What comes out: the faces of a picture, and the engine's figures.

use crate::attributes::Attributes;
use crate::detect::Face;
use crate::embed::Embedding;
use crate::geometry::Size;
use crate::liveness::Liveness;
use crate::quality::Quality;

/// A face and what was asked about it.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalyzedFace {
    /// Box, points and score.
    pub face: Face,
    /// Its embedding, where asked for.
    pub embedding: Option<Embedding>,
    /// Whether it is live, where asked for.
    pub liveness: Option<Liveness>,
    /// Age and gender as a network guesses them, where asked for.
    pub attributes: Option<Attributes>,
    /// How well it serves recognition, where asked for.
    pub quality: Option<Quality>,
}

/// The faces of a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    /// Largest first.
    pub faces: Vec<AnalyzedFace>,
    /// Size of the upright picture.
    pub size: Size,
}

/// What an engine has done so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stats {
    /// Pictures analysed.
    pub images: u64,
    /// Time spent on them, summed over threads, seconds.
    pub total_s: f64,
    /// Time spent inside ONNX Runtime, summed over threads, seconds.
    pub network_s: f64,
}
