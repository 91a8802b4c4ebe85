//! Declaration of an embedder, and of the similarities of its embeddings.

use super::Checked;
use super::network::{NetworkSpec, in_range};
use crate::geometry::{Landmarks, Point, Size};
use serde::Deserialize;

/// The embedder.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbedderSpec {
    /// The network. Outputs: one embedding per crop.
    pub network: NetworkSpec,
    /// Number of values of an embedding.
    pub dimension: usize,
    /// Positions of the five points in the crop, pixels.
    pub template: [[f32; 2]; 5],
    /// Whether to average the embeddings of the crop and of its mirror image.
    pub mirror: bool,
    /// Maximum batch size; 1 if the file fixes it or larger batches are slower.
    pub batch: usize,
}

impl EmbedderSpec {
    /// The template as landmarks.
    pub fn template(&self) -> Landmarks {
        Landmarks(self.template.map(|[x, y]| Point::new(x, y)))
    }

    /// Size of a crop, pixels.
    pub fn crop_size(&self) -> Size {
        self.network.input.crop_size()
    }
}

/// The meaning of similarities between a pack's embeddings.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecognitionSpec {
    /// Default threshold on cosine similarity, inclusive.
    pub threshold: f32,
    /// False match rate at that threshold.
    pub fmr: f64,
    /// Mean cosine of different people. This and the next two are absent if only the threshold is published.
    pub impostor_mean: Option<f32>,
    /// Standard deviation of the cosine of different people.
    pub impostor_std: Option<f32>,
    /// Number of comparisons of different people.
    pub impostor_pairs: Option<u64>,
    /// Measured thresholds by false match rate.
    #[serde(default)]
    pub thresholds: Vec<OperatingPoint>,
    /// Data and command of the measurement.
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
    pub(super) fn check(&self) -> Checked {
        self.network.check_crops()?;
        if self.dimension == 0 || self.dimension > 4096 {
            return Err(format!("dimension must be 1 to 4096, got {}", self.dimension));
        }
        if self.batch == 0 {
            return Err("batch must be at least 1".to_string());
        }
        Ok(())
    }
}

impl RecognitionSpec {
    pub(super) fn check(&self) -> Checked {
        in_range("threshold", f64::from(self.threshold), -1.0, 1.0)?;
        in_range("fmr", self.fmr, 0.0, 1.0)
    }
}
