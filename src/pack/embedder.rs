//! What a manifest says about an embedder, and about the similarities of its embeddings.

use super::Refusal;
use super::network::{NetworkSpec, in_range};
use crate::geometry::{Landmarks, Point, Size};
use serde::Deserialize;

/// The embedder.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbedderSpec {
    /// The network. Outputs: one embedding a crop.
    pub network: NetworkSpec,
    /// Number of values of an embedding.
    pub dimension: usize,
    /// Where the five points lie in the crop, pixels.
    pub template: [[f32; 2]; 5],
    /// Whether the embedding is the mean of the crop's and its mirror image's.
    pub mirror: bool,
    /// Most crops in one run of the network; 1 where its batch is fixed or larger ones are slower.
    pub batch: usize,
}

impl EmbedderSpec {
    /// The template as landmarks.
    pub fn template(&self) -> Landmarks {
        Landmarks(self.template.map(|[x, y]| Point::new(x, y)))
    }

    /// Size of a crop, pixels.
    pub fn crop_size(&self) -> Size {
        // `check` has seen both.
        Size::new(self.network.input.width.unwrap_or(0), self.network.input.height.unwrap_or(0))
    }
}

/// What similarities of a pack's embeddings mean.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecognitionSpec {
    /// Default threshold on cosine similarity, inclusive.
    pub threshold: f32,
    /// False match rate at that threshold.
    pub fmr: f64,
    /// Mean cosine of different people; absent where only the threshold is published, like the next two.
    pub impostor_mean: Option<f32>,
    /// Standard deviation of the cosine of different people.
    pub impostor_std: Option<f32>,
    /// Number of comparisons behind these figures.
    pub impostor_pairs: Option<u64>,
    /// Cosine thresholds by false match rate, as measured.
    #[serde(default)]
    pub thresholds: Vec<OperatingPoint>,
    /// On what data they were measured, by which command.
    pub source: String,
}

/// A threshold and its error rates.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatingPoint {
    /// False match rate.
    pub fmr: f64,
    /// Cosine, inclusive.
    pub threshold: f32,
    /// False non-match rate there.
    pub fnmr: f64,
}

impl EmbedderSpec {
    pub(super) fn check(&self) -> Refusal {
        self.network.check(1)?;
        if self.dimension == 0 || self.dimension > 4096 {
            return Err(format!("dimension must be 1 to 4096, got {}", self.dimension));
        }
        if self.batch == 0 {
            return Err("batch must be at least 1".to_string());
        }
        if self.network.input.width.is_none() || self.network.input.height.is_none() {
            return Err("the embedder's input needs width and height".to_string());
        }
        Ok(())
    }
}

impl RecognitionSpec {
    pub(super) fn check(&self) -> Refusal {
        in_range("threshold", f64::from(self.threshold), -1.0, 1.0)?;
        in_range("fmr", self.fmr, 0.0, 1.0)
    }
}
